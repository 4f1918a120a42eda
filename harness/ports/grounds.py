"""By what are the sides of a port judged? And what is a side that can be?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.ports.bounds import Bounds
from isograd.ports.known import Convention, variances
from isograd.ports.layouts import fitted
from isograd.ports.pairing import Pairing
from isograd.ports.request import Port
from isograd.ports.result import RULES, Stage
from isograd.ports.sides import Files, Work
from isograd.ports.without import Without
from isograd.structure import Structure
from isograd.trace import Mode


@dataclass(frozen=True)
class Built:
    """A side that could be built.

    Attributes:
        at: which one; the origin is 0.
        label: its label.
        of: what it is made of.
        paired: what of it is what of the origin; None of the origin itself.
        tried: whether that is only a try, whose runs are kept apart.
    """

    at: int
    label: str
    of: Structure
    paired: Pairing | None
    tried: bool = False

    def dtype(self, stage: Stage) -> str:
        """What a stage is computed in."""
        return "float64" if stage == RULES else self.of.dtype

    def trace(self, stage: Stage) -> str:
        """The file of a stage's run."""
        return f"trace-{self.at}-{stage}{'-tried' if self.tried else ''}"


@dataclass(frozen=True)
class Grounds:
    """What the sides of a port are judged by.

    Attributes:
        port: what was asked for.
        works: every side's child.
        files: where everything lies.
        batches: the batches' file.
        first: what the origin is made of.
        initial: its state before the first step.
        truth: its quantities in float64, in each mode, with the steps leading.
        bounds: how far each may be off.
        without: what is not compared.
        rate: the parameter whose learning rate is compared, since groups may have others; "" for any.
    """

    port: Port
    works: Sequence[Work]
    files: Files
    batches: Path
    first: Structure
    initial: Mapping[str, Array]
    truth: Mapping[Mode, Mapping[str, Array]]
    bounds: Bounds
    without: Without
    rate: str = ""

    @property
    def steps(self) -> int:
        """How many were trained."""
        return len(next(iter(self.truth["resync"].values())))

    def columns(self, built: Built, stage: Stage) -> dict[str, Array]:
        """What a side has recorded, in the stage's dtype, whatever a model casts to, and laid out as the truth is."""
        columns, truth = self.files.columns(built.trace(stage)) or {}, self.truth[mode_of(stage)]
        form = FORMATS[built.dtype(stage)].dtype
        columns = {name: of if of.dtype == form else of.astype(form) for name, of in columns.items()}
        return fitted(columns, truth)

    def clipped(self, built: Built, mode: Mode) -> tuple[Mapping[str, Array], str]:
        """The truth by a side's way of clipping gradients, and how that is another; the truth, and "", if it is not."""
        reason = next((of.clips for of in built.of.optimizers.values() if of.clips), "")
        if not reason or built.of.framework == self.first.framework:
            return self.truth[mode], ""
        if (found := self.files.columns(f"clipped-{mode}")) is None:
            self.works[0].ask(
                "truth",
                batches=str(self.batches),
                initial=self.files["initial-0"],
                folder=str(self.files.folder),
                modes=[mode],
                dtype="float64",
                clipping=True,
                rate=self.rate,
            ).result()
            found = self.files.columns(f"clipped-{mode}")
        return found or self.truth[mode], reason

    def conventions(self, built: Built, mode: Mode) -> list[Convention]:
        """What differs by definition between a side's framework and the origin's."""
        paired = built.paired
        if paired is None:
            return []
        settings = {paired.units.get(unit.name, ""): unit.settings for unit in built.of.units}
        states = self.files.columns("states") if mode == "resync" else None
        return variances(self.first, settings, self.truth[mode], states, self.initial)


def mode_of(stage: Stage) -> Mode:
    """The mode of a stage's run."""
    return "free" if stage == "free" else "resync"
