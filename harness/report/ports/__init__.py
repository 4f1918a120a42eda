"""What does a checked port come to, for people and for programs? Tables, and the folder that they are written to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from isograd.ports.request import Port
from isograd.ports.result import Result
from isograd.structure import Structure

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Checked:
    """The outcome of `check`: every table is a pandas DataFrame, made when it is first asked for.

    Attributes:
        port: what was compared.
        origin: the first side's structure; None where it could not be built.
        results: one for each other side; and the origin itself first, whose own rounding is judged by the same bounds.
        steps: how many there were.
        bounded: whether there is an envelope; without one only the rules are judged, and coarsely.
    """

    port: Port
    origin: Structure | None
    results: tuple[Result, ...]
    steps: int = 0
    bounded: bool = True

    def __repr__(self) -> str:
        return f"<Checked: {self.port.name}, {'green' if self.green else 'red'}>"

    @property
    def green(self) -> bool:
        """Whether every side is."""
        return bool(self.results) and all(result.green for result in self.results)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row a side and stage: the verdict, the first divergence, the largest error over its bound, the cause."""
        from isograd.report.ports.tables import summary

        return summary(self)

    @cached_property
    def losses(self) -> pd.DataFrame:
        """A row a stage and step: the origin's loss in float64, every side's, the largest difference of one from it."""
        from isograd.report.ports.tables import losses

        return losses(self)

    @cached_property
    def weights(self) -> pd.DataFrame:
        """A row a side, stage, parameter and step: the largest difference from the origin in float64, and its bound."""
        from isograd.report.ports.tables import weights

        return weights(self)

    @cached_property
    def quantities(self) -> pd.DataFrame:
        """A row a side, stage, quantity and step: error over bound, and bound, of the element that is nearest to it."""
        from isograd.report.ports.tables import quantities

        return quantities(self)

    def write(self, folder: str | Path) -> Path:
        """Write the report's files into ``folder``, whole or not at all, and return the folder.

        Raises:
            ReportError: the folder holds something other than a report, or cannot be written.
        """
        from isograd.report.folder import write_port

        return write_port(self, Path(folder))
