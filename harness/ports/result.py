"""What comes of one side of a port? A cell a stage, and which of them decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from isograd.comparison import Comparison
from isograd.judging import Judgement, Verdict
from isograd.ports.known import Convention
from isograd.ports.pairing import Pairing
from isograd.ports.settings import Different
from isograd.structure import Structure

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
