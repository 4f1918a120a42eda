"""What does a run come to, for people and for programs? The tables, and the folder that they are written to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isograd.assess import ScenarioResult
from isograd.comparison import Comparison
from isograd.judging import Judgement
from isograd.trace import Manifest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Report:
    """The outcome of `run`: every table is a pandas DataFrame, made when it is first asked for.

    Attributes:
        results: one entry a scenario, with its traces, comparisons and verdicts.
        absent: backends that are not installed, each with what to do about it.
        request: what was asked for, and how long it took.
    """

    results: tuple[ScenarioResult, ...]
    absent: Mapping[str, str]
    request: Mapping[str, Any]

    def __repr__(self) -> str:
        from isograd.report.overview import headline

        return f"<Report: {headline(self)}>"  # pytest shows it for every failed test, and its numbers fill megabytes

    @property
    def green(self) -> bool:
        """Whether every cell and every finding is as it should be, and there is at least one cell."""
        return any(result.cells for result in self.results) and all(result.green for result in self.results)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """A row per scenario, backend and mode: the verdict, the first divergence, the largest errors."""
        from isograd.report.tables import summary

        return summary(self.results)

    @cached_property
    def losses(self) -> pd.DataFrame:
        """A row per recorded step: the reference's loss, every backend's, the largest difference between any two."""
        from isograd.report.tables import losses

        return losses(self.results)

    @cached_property
    def weights(self) -> pd.DataFrame:
        """A row per parameter and epoch: the reference, every backend, and the difference of each pair."""
        from isograd.report.tables import weights

        return weights(self.results)

    @cached_property
    def quantities(self) -> pd.DataFrame:
        """Everything: a row per scenario, backend, what it is measured against, mode, quantity and step."""
        from isograd.report.tables import quantities

        return quantities(self.results)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """Published values against computed ones, what a careful reader notices in the source, and identities."""
        from isograd.report.tables import findings

        return findings(self.results)

    def write(self, folder: str | Path) -> Path:
        """Write the report's files into ``folder``, whole or not at all, and return the folder.

        Raises:
            ReportError: the folder holds something other than a report, or cannot be written.
        """
        from isograd.report.folder import write

        return write(self, Path(folder))


@dataclass(frozen=True)
class Difference:
    """The outcome of `compare`: how one trace differs from another, and whether rounding accounts for it.

    Attributes:
        a: where the first trace came from.
        b: where the second did, which is taken for the truth.
        comparison: the measures of every quantity that both hold.
        judgement: what they come to.
    """

    a: Manifest
    b: Manifest
    comparison: Comparison
    judgement: Judgement

    @property
    def green(self) -> bool:
        """Whether every quantity is within its bound."""
        return self.judgement.verdict.green

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row, with the columns of a report's summary and the name of the other side."""
        from isograd.report.tables import difference_summary

        return difference_summary(self)

    @cached_property
    def quantities(self) -> pd.DataFrame:
        """A row per quantity and step."""
        from isograd.report.tables import difference_quantities

        return difference_quantities(self)

    def write(self, folder: str | Path) -> Path:
        """Write ``summary.csv`` and ``quantities.parquet`` into ``folder``, whole or not at all.

        Raises:
            ReportError: the folder holds something other than a report, or cannot be written.
        """
        from isograd.report.folder import write_difference

        return write_difference(self, Path(folder))
