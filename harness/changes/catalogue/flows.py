"""What can become of a gradient on its way back from one layer to the next?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from isograd.arithmetic.numbers import Exact
from isograd.arithmetic.words import maximum, minimum, sign
from isograd.arithmetic.words import sum as total
from isograd.changes.change import Circumstances, Evidence
from isograd.changes.functions import length
from isograd.changes.instead import instead, operand
from isograd.changes.places import AtLayer
from isograd.changes.reading import near
from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.ops.op import Back, Layer, Loss, Op
from isograd.scenario import Scenario


def _features(d: Any) -> tuple[int, ...]:
    return tuple(range(1, len(d.shape)))


def _over(d: Any, axes: tuple[int, ...]) -> int:
    number = 1
    for axis in axes:
        number *= d.shape[axis]
    return number


FLOWS: Mapping[str, tuple[Callable[[Any, Any], Any], str]] = {
    "clamped": (lambda d, c: minimum(maximum(d, -c), c), "clamped to ±{by:.6g}"),
    "clipped to a norm": (
        lambda d, c: d * minimum(c / length(d, None), 1),
        "clipped to a norm of {by:.6g}",
    ),
    "clipped to a norm each": (
        lambda d, c: d * minimum(c / length(d, _features(d)), 1),
        "clipped to a norm of {by:.6g} for each sample",
    ),
    "over its norm": (lambda d, c: d / length(d, None), "normalised: divided by its norm"),
    "over its norm each": (
        lambda d, c: d / length(d, _features(d)),
        "normalised: divided by the norm of each sample's",
    ),
    "its sign": (lambda d, c: sign(d), "taken as its sign only"),
    "its size": (lambda d, c: abs(d), "taken without its sign (absolute)"),
    "its square": (lambda d, c: d * d, "squared"),
    "positive only": (lambda d, c: maximum(d, 0), "cut off at 0: only what is positive is let through (guided)"),
    "negative only": (lambda d, c: minimum(d, 0), "cut off at 0: only what is negative is let through"),
    "its mean": (
        lambda d, c: total(d, 0, keepdims=True) / d.shape[0] + 0 * d,
        "averaged over the batch: each sample has the mean",
    ),
    "less its mean": (
        lambda d, c: d - total(d, 0, keepdims=True) / d.shape[0],
        "centred: the mean over the batch is subtracted",
    ),
    "less each mean": (
        lambda d, c: d - total(d, _features(d), keepdims=True) / _over(d, _features(d)),
        "centred: each sample's mean is subtracted",
    ),
    "the first half": (
        lambda d, c: d * _first(d),
        "kept for the first half of its features, and 0 for the others",
    ),
    "reversed": (lambda d, c: d[::-1], "given to the samples in reverse order"),
}
"""What may become of it, with a constant c; and how that is said."""

WITH_A_LIMIT = ("clamped", "clipped to a norm", "clipped to a norm each")


def _first(d: Any) -> Any:
    return operand(np.arange(d.shape[-1]) < -(-d.shape[-1] // 2), d)


@dataclass(frozen=True)
class FlowChanged(AtLayer):
    """The gradient that comes to a layer's output goes through a function on its way."""

    id = "flow_changed"
    sentence = "the gradient that flows back into {at} is another"
    formula = "∂L/∂a ← «f»(∂L/∂a)"
    origin = "a backward hook that is left in: against explosions, for a saliency map, for a debugger"
    needs = ("how",)
    tables = {"how": FLOWS}  # noqa: RUF012

    how: str = ""
    by: float = 1.0

    @property
    def solve(self) -> Mapping[str, float]:  # type: ignore[override]  # of what has a limit
        """The limit."""
        return {"by": float("inf")} if self.how in WITH_A_LIMIT else {}

    vague = True  # a change with a name says more

    @property
    def idle(self) -> bool:
        """Without a place, and without a function."""
        return not (self.how and self.at)

    @property
    def where(self) -> str:
        """Where, and what."""
        return f"{self.at}: {self.how}"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """At each layer's output that one layer of one input takes, or the loss."""
        feeds, last = scenario.feeds(), scenario.layers[-1].name
        fed = [name for names in feeds.values() for name in names]
        one = {names[0] for names in feeds.values() if len(names) == 1 and fed.count(names[0]) == 1}
        yield from (plain for plain in super().variants(scenario) if plain.at in one or (plain.at and plain.at == last))

    def says(self) -> str:
        """What becomes of it."""
        at = self.at or "a layer"
        said = FLOWS[self.how][1].format(by=self.by) if self.how else "another"
        return f"the gradient that flows back into {at} (a hook on its output, in the backward pass) is {said}"

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """The gradient of the layer's output."""
        return frozenset((f"backward/{self.at}",)) if self.at else None

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Every function that makes of what it should be what the trace has."""
        step, name = evidence.steps[0], f"backward/{self.at}"
        got, right = evidence.recorded(name, step), evidence.ruled(name, step)
        if got is None or got.shape != right.shape or not np.isfinite(got).all():
            return
        size = float(np.abs(got).max(initial=0.0))
        least = near(evidence.scenario.dtype, NEAR) * size
        if (np.abs(got - right) <= FORMATS[evidence.scenario.dtype].roundoff * size).all():
            return
        for how, (of, _) in FLOWS.items():
            limit = _limit(how, got)
            with np.errstate(all="ignore"):
                if (np.abs(np.asarray(of(right, limit)) - got) <= least).all():
                    yield replace(self, how=how, by=limit)

    def op(self, run: Circumstances, op: Op) -> Any:
        """What takes the layer's output hands back the function's value."""
        if not (self.how and self.at):
            return op
        of, by = FLOWS[self.how][0], Exact(self.by)
        if isinstance(op, Loss) and run.scenario.layers[-1].name == self.at:
            return instead(op, gradient=lambda yhat, y: of(op.gradient(yhat, y), by))
        feeds = run.scenario.feeds()[op.name] if isinstance(op, Layer) else ()
        if not isinstance(op, Layer) or feeds != (self.at,):
            return op

        def backward(p: Any, out: Any, d: Any, x: Any) -> Back:
            back = op.backward(p, out, d, x)
            return Back(of(back.inputs[0], by), **back.params)

        return instead(op, backward=backward)


NEAR = 1e-3
"""Of the largest gradient, how far a function may be off to be tried."""


def _limit(how: str, got: Array) -> float:
    """The limit that a gradient seems to have."""
    if how == "clamped":
        return float(np.abs(got).max(initial=0.0))
    squares = np.square(got)
    each = squares.reshape(len(got), -1).sum(axis=1) if how == "clipped to a norm each" and len(got) else squares.sum()
    return float(np.sqrt(np.max(each, initial=0.0)))
