"""What comes of a checked port? A cell a side and stage, and which of them decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from isograd.comparison import Comparison
from isograd.judging import Judgement, Verdict
from isograd.ports.known import Convention
from isograd.ports.pairing import Pairing
from isograd.ports.request import Port
from isograd.ports.settings import Different
from isograd.structure import Structure

if TYPE_CHECKING:
    import pandas as pd

RULES, STARTS = "rules", "starts"
Stage = str
"""`RULES`, in float64 and resync; a mode, in the side's own dtype; or `STARTS`."""


@dataclass(frozen=True)
class Cell:
    """One side at one stage.

    Attributes:
        side: its label.
        stage: "rules", "resync" or "free".
        dtype: what it was computed in.
        judgement: what it comes to.
        comparison: its errors; None where nothing was compared.
        conventions: differences by definition that show, and that a right port has.
        tail: the last words of a child that failed.
    """

    side: str
    stage: Stage
    dtype: str
    judgement: Judgement
    comparison: Comparison | None = None
    conventions: tuple[Convention, ...] = ()
    tail: str = ""

    @property
    def verdict(self) -> Verdict:
        """The judgement's."""
        return self.judgement.verdict


@dataclass(frozen=True)
class Result:
    """What came of one side beside the origin.

    Attributes:
        side: its label.
        structure: what it is made of; None where it could not be built.
        pairing: what of it is what of the origin; likewise.
        settings: what is set otherwise.
        cells: by stage.
        cause: what accounts for the first divergence, in a sentence; "" where nothing is known to.
        left_out: modules that are not compared, each with the reason that was given.
    """

    side: str
    structure: Structure | None = None
    pairing: Pairing | None = None
    settings: tuple[Different, ...] = ()
    cells: Mapping[Stage, Cell] = field(default_factory=dict)
    cause: str = ""
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def deciding(self) -> Cell:
        """The first cell that is not green; where all are, the last."""
        cells = list(self.cells.values())
        return next((cell for cell in cells if not cell.verdict.green), cells[-1])

    @property
    def green(self) -> bool:
        """Whether every stage is."""
        return bool(self.cells) and all(cell.verdict.green for cell in self.cells.values())


@dataclass(frozen=True)
class Checked:
    """The outcome of `check`.

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

    @property
    def green(self) -> bool:
        """Whether every side is."""
        return bool(self.results) and all(result.green for result in self.results)

    @property
    def summary(self) -> pd.DataFrame:
        """A row a side and stage: the verdict, the first divergence, the largest error over its bound, the cause."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "port": self.port.name,
                    "side": result.side,
                    "stage": cell.stage,
                    "dtype": cell.dtype,
                    "verdict": str(cell.verdict),
                    "first": cell.judgement.first,
                    "step": cell.judgement.step,
                    "error_over_bound": cell.judgement.error_over_bound,
                    "cause": "" if cell.verdict.green else result.cause,
                    "message": cell.judgement.message,
                }
                for result in self.results
                for cell in result.cells.values()
            ]
        )

    @property
    def quantities(self) -> pd.DataFrame:
        """A row a side, stage, quantity and step: error over bound, and bound, of the element that is nearest to it."""
        import pandas as pd

        columns = ["port", "side", "stage", "quantity", "step", "error_over_bound", "bound"]
        rows = [
            (self.port.name, result.side, cell.stage, name, step, float(ratio), float(bound))
            for result in self.results
            for cell in result.cells.values()
            if cell.comparison is not None
            for name, ratios in (cell.judgement.ratios or {}).items()
            for step, ratio, bound in zip(
                cell.comparison.steps, ratios, (cell.judgement.bounds or {})[name], strict=True
            )
        ]
        return pd.DataFrame(rows, columns=columns)

    def __repr__(self) -> str:
        return f"<Checked: {self.port.name}, {'green' if self.green else 'red'}>"
