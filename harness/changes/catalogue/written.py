"""Which loss has somebody written in the loss's place, or beside it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, Self

import numpy as np

from isograd.arithmetic.numbers import Exact
from isograd.arithmetic.words import exp, log, sqrt
from isograd.arithmetic.words import sum as total
from isograd.changes.change import Circumstances, Evidence
from isograd.changes.instead import instead
from isograd.changes.places import OfLoss
from isograd.changes.reading import near
from isograd.changes.written import CLASSES, VALUES, WRITTEN, Written
from isograd.inputs import Array
from isograd.ops.op import Loss
from isograd.scenario import Scenario

NEAR = 1e-3
"""Of a loss's gradient, how much another loss's may be off to be tried."""

LEAST = 1e-6
"""A smaller constant, or a larger one than its inverse, is that of a division by nothing."""

STEPS = 8
"""Steps of which a loss is read off."""


def times(value: Array, wanted: Array, slack: float = NEAR) -> float:
    """The constant with which a vector is another one, nearly; 0 where there is none."""
    square = float((value * value).sum())
    if not (np.isfinite(square) and square and value.shape == wanted.shape):
        return 0.0
    by = float((value * wanted).sum()) / square
    fits = (np.abs(by * value - wanted) <= slack * np.abs(wanted).max(initial=0.0)).all()
    return by if fits and LEAST < abs(by) < 1 / LEAST else 0.0


def written(scenario: Scenario) -> Mapping[str, Written]:
    """The losses that may stand in a scenario's."""
    return VALUES if scenario.loss.labels == "values" else CLASSES


@dataclass(frozen=True)
class WrittenLoss(OfLoss):
    """Another loss stands in the loss's place, or is added to it, with a constant."""

    id = "written_loss"
    sentence = "the loss is {by:.7g} times {of}"
    formula = "L ← «c Σ φ(ŷ, y) / n»   (or L «+ c Σ φ / n»)"
    origin = "a loss that somebody has written by hand, or one of another name; an auxiliary loss"
    needs = ("by",)
    between = {"by": (-1e6, 1e6)}  # noqa: RUF012
    choices = ("how",)
    tables = {"of": WRITTEN}  # noqa: RUF012

    how: Literal["instead", "besides", "reported"] = "instead"
    of: str = ""
    by: float = 0.0

    @property
    def solve(self) -> Mapping[str, float]:  # type: ignore[override]  # what is added is nothing at 0
        """The constant."""
        return {"by": 0.0 if self.how == "besides" else float("inf")} if self.of else {}

    @property
    def idle(self) -> bool:
        """Without a loss."""
        return not (self.of and self.by)

    vague = True  # a change with a name says more

    @property
    def where(self) -> str:
        """Which, and how."""
        return f"{self.how}: {self.of}" if self.how != "instead" else self.of

    def says(self) -> str:
        """Which, and in what part."""
        of, times = (
            WRITTEN[self.of].said if self.of else "another one",
            "" if self.by == 1.0 else f"{self.by:.7g} times ",
        )
        if self.how == "besides":
            return f"{self.by:.7g} times the mean of {of} is added to the loss"
        if self.how == "reported":
            return f"the loss that is reported is {times}the mean of {of}, and its gradient is right"
        return f"the loss is {times}the mean of {of}"

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the loss computes; of what is reported the loss alone."""
        return frozenset(("loss",)) if self.how == "reported" else super().touches(scenario)

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Every loss whose gradient is, but for a constant, what the trace has at the first wrong steps."""
        scenario = evidence.scenario
        found = [self._read(evidence, step) for step in evidence.looked_at[:STEPS]]
        read = [of for of in found if of is not None]
        wrong = np.concatenate([np.ravel(wrong) for _, _, wrong in read]) if read else np.zeros(0)
        if len(read) < len(found) or wrong.size < 2 or not np.isfinite(wrong).all():
            return  # of one number any loss would have the gradient, with some constant
        loss = scenario.loss
        own = Written(loss.value, lambda yhat, y: loss.gradient(yhat, y) * prod(yhat.shape), "")
        known = [self._values(own, read)]  # its own loss with a constant has a change of its own
        for of, other in written(scenario).items():
            value = self._values(other, read)
            by = times(value, wrong, near(scenario.dtype, NEAR))
            if by and not any(times(value, same) for same in known):
                known.append(value)
                yield replace(self, of=of, by=by)

    def _read(self, evidence: Evidence, step: int) -> tuple[Array, Array, Array] | None:
        """Outputs and labels, and what another loss would have to give."""
        last, batch = evidence.scenario.layers[-1].name, evidence.inputs.batch(step)
        name = "loss" if self.how == "reported" else f"backward/{last}"
        outputs, got = evidence.recorded(f"forward/{last}", step), evidence.recorded(name, step)
        if outputs is None or got is None or outputs.ndim != 2:
            return None
        y = batch.y if evidence.scenario.loss.labels == "classes" else batch.y.astype(np.float64)
        if len(outputs) != len(y):
            return None
        return outputs, y, got - evidence.ruled(name, step) if self.how == "besides" else got

    def _values(self, other: Written, read: list[tuple[Array, Array, Array]]) -> Array:
        """What a loss gives for outputs and labels, of all steps: its value where that is reported, or its gradient."""
        out = []
        with np.errstate(all="ignore"):
            for outputs, y, _ in read:
                value = other.value(outputs, y).sum() if self.how == "reported" else other.slope(outputs, y)
                out.append(np.ravel(np.asarray(value, np.float64)) / prod(outputs.shape))
        return np.concatenate(out)

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """The other one, or with the other one; what is reported has no gradient."""
        if self.idle:
            return op
        other, by = WRITTEN[self.of], Exact(self.by)

        def value(yhat: Any, y: Any) -> Any:
            more = by * total(other.value(yhat, y)) / prod(yhat.shape)
            return op.value(yhat, y) + more if self.how == "besides" else more

        def gradient(yhat: Any, y: Any) -> Any:
            more = by * other.slope(yhat, y) / prod(yhat.shape)
            return op.gradient(yhat, y) + more if self.how == "besides" else more

        return instead(op, value=value) if self.how == "reported" else instead(op, value=value, gradient=gradient)


OF_LOSS: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any], str]] = {
    "root": (sqrt, lambda v: 1 / (2 * sqrt(v)), "the root of what it should be"),
    "logarithm": (log, lambda v: 1 / v, "the logarithm of what it should be"),
    "logarithm of 1 more": (lambda v: log(1 + v), lambda v: 1 / (1 + v), "the logarithm of 1 + what it should be"),
    "exponential": (exp, exp, "the exponential of what it should be"),
    "square": (lambda v: v * v, lambda v: 2 * v, "the square of what it should be"),
    "negative exponential": (lambda v: -1 * exp(-1 * v), lambda v: exp(-1 * v), "−exp(−L) of what it should be, L"),
}  # fmt: skip
"""Functions of a loss, their derivatives, and how they are said."""


@dataclass(frozen=True)
class FunctionOfLoss(OfLoss):
    """A function of the loss is what is made small, or what is reported."""

    id = "function_of_loss"
    sentence = "the loss is a function of what it should be"
    formula = "L ← «f(L)», and so ∂L/∂ŷ ← «f′(L)» ∂L/∂ŷ"
    origin = "the root of the mean squared error, a log-likelihood, a perplexity, a loss for a plot with a log axis"
    choices = ("reported",)

    tables = {"of": OF_LOSS}  # noqa: RUF012

    of: str = "root"
    reported: bool = False

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every function, in training and in what is reported."""
        yield from (cls(of=of, reported=reported) for of in OF_LOSS for reported in (False, True))

    @property
    def where(self) -> str:
        """Which, and of what."""
        return f"reported: {self.of}" if self.reported else self.of

    def says(self) -> str:
        """Which."""
        said = OF_LOSS[self.of][2]
        return (
            f"the loss that is reported is {said}, and its gradient is right"
            if self.reported
            else f"the loss is {said}"
        )

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the loss computes; of what is reported the loss alone."""
        return frozenset(("loss",)) if self.reported else super().touches(scenario)

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """The function, and the chain rule."""
        of, slope, _ = OF_LOSS[self.of]
        changed = {"value": lambda yhat, y: of(op.value(yhat, y))}
        if not self.reported:
            changed["gradient"] = lambda yhat, y: slope(op.value(yhat, y)) * op.gradient(yhat, y)
        return instead(op, **changed)
