"""What if another loss or optimizer stands in one's place?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from isograd.arithmetic.words import Marked
from isograd.changes.catalogue.losses import OF_SQUARES
from isograd.changes.change import Change, Circumstances
from isograd.changes.places import OfLoss
from isograd.ops import LOSSES, OPTIMIZERS
from isograd.ops.op import Loss
from isograd.scenario import Scenario

EVERY = "every setting"


@dataclass(frozen=True)
class OtherLoss(OfLoss):
    """Another loss stands in the loss's place."""

    id = "other_loss"
    sentence = "the loss is {by}"
    formula = "L = «another» (ŷ, y)"
    origin = "a default, a robust variant, a name that means another loss in the other framework"
    needs = ("by",)

    by: str = ""
    example: int = 0

    @property
    def where(self) -> str:
        """Which."""
        return self.by

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every other of such labels; a constant's difference has a change of its own."""
        right = scenario.loss
        for kind, op in LOSSES.items():
            if kind != right.kind and not {kind, right.kind} <= OF_SQUARES.keys():
                made = [op(kind=kind, **example) for example in op.examples]
                yield from (cls(by=kind, example=i) for i, loss in enumerate(made) if _fits(loss, scenario))

    def says(self) -> str:
        """Which it is."""
        names = {"l1": "the mean absolute error (l1)", "smooth_l1": "the smooth l1 (Huber's) loss"}
        settings = "".join(f", with {name} {value:g}" for name, value in LOSSES[self.by].examples[self.example].items())
        return f"the loss is {names.get(self.by, self.by.replace('_', ' '))}{settings}"

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """The other one."""
        if not self.by:
            return op
        return LOSSES[self.by].model_construct(kind=self.by, **LOSSES[self.by].examples[self.example])


def _fits(loss: Loss, scenario: Scenario) -> bool:
    """Whether a loss is for such outputs and labels as another one has."""
    right, outputs = scenario.loss, scenario.outputs
    bounded = scenario.layers[-1].kind == loss.above
    try:
        alike = loss.label_shape(outputs) == right.label_shape(outputs)
    except ValueError:
        return False
    return (
        alike
        and loss.labels == right.labels
        and loss.within in ("numbers", right.within, "shares" if bounded else "")
        and loss.above in ("", right.above, scenario.layers[-1].kind)
    )


@dataclass(frozen=True)
class OtherOptimizer(Change):
    """Another optimizer stands in the optimizer's place, with the settings that a framework gives it by default."""

    id = "other_optimizer"
    sentence = "the optimizer is {by}"
    formula = "w ← «another»(w, g)"
    origin = "the optimizer of the tutorial that the code was copied from"
    needs = ("by",)
    remembers = True
    rounds = True

    by: str = ""
    usual: int = 0
    alternative: str = ""
    narrow: str = ""

    @property
    def where(self) -> str:
        """Which, by which definition, and how narrowly set."""
        return ", ".join(filter(None, (self.by, self.alternative, self.narrow and f"{self.narrow} in float32")))

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every other one, with each framework's settings, by each of its definitions; in float64 also narrowly set."""
        for kind, op in OPTIMIZERS.items():
            if kind != scenario.optimizer.kind:
                numbers = [name for name, field in op.model_fields.items() if isinstance(field.default, float)]
                ways = ["", EVERY, *numbers] if scenario.dtype == "float64" else [""]
                for i, _ in enumerate(op.usual):
                    names = ["", *op.alternatives]
                    yield from (cls(kind, i, name, narrow) for name in names for narrow in ways)

    def says(self) -> str:
        """Which, with its settings."""
        op = OPTIMIZERS[self.by]
        made = self._made(1.0)
        settings = ", ".join(f"{name} {value:.7g}" for name, value in made if isinstance(value, float) and name != "lr")
        other = f", which {op.alternatives[self.alternative].sentence}" if self.alternative else ""
        name = "adamw" if getattr(made, "decoupled", False) else self.by
        narrow = f", of which {self.narrow} is kept in float32" if self.narrow else ""
        return f"the optimizer is {name} ({settings}){other}{narrow}"

    def _made(self, lr: float) -> Any:
        op = OPTIMIZERS[self.by]
        cls: Any = op.alternatives[self.alternative].op if self.alternative else op
        made = cls.model_construct(kind=self.by, lr=lr, **op.usual[self.usual])
        narrow = {
            name: float(np.float32(value))
            for name, value in made
            if isinstance(value, float) and self.narrow in (EVERY, name) and name != "lr"
        }
        return made.model_copy(update=narrow)

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """What the other one makes of the gradient, from slots of its own."""
        if not self.by:
            return after
        made, slots = self._made(run.lr_of(key)), run.memory.get(key)
        rate, count = np.float64(run.lr_of(key)), np.float64(run.step + 1)
        if isinstance(w, Marked):
            rate, count = w.a.scalar(run.lr_of(key)), w.a.count(run.step + 1)
        if slots is None:
            shape = run.inputs.weights[key].shape
            slots = {slot: np.full(shape, made.initial(slot)) for slot in made.slots()}
        slots = {slot: run.held(values, w) for slot, values in slots.items()}
        changed, kept = made.update(w, g, slots, rate, count)
        run.memory[key] = {slot: run.plain(values) for slot, values in kept.items()}
        return changed
