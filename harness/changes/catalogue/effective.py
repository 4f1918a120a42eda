"""What does a layer make of its weight before it computes with it: scaled, normalised, quantised, pruned?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod, sqrt
from typing import Any, NamedTuple, Self

import numpy as np

from isograd.arithmetic.numbers import Exact, Numbers
from isograd.arithmetic.words import Marked, exp, sign
from isograd.arithmetic.words import sqrt as root
from isograd.arithmetic.words import sum as total
from isograd.changes.change import Circumstances, Evidence
from isograd.changes.functions import length
from isograd.changes.instead import instead
from isograd.changes.places import AtLayer
from isograd.changes.reading import met, near
from isograd.inputs import Array
from isograd.ops.op import Back, Layer, Op
from isograd.scenario import Scenario

NEAR = 1e-4
"""Of a layer's largest output, how far it may be off to be tried."""


class Way(NamedTuple):
    """What becomes of a weight, (out, in, …).

    Attributes:
        of: the weight that is used.
        back: from the weight and ∂L/∂ what is used, ∂L/∂ the weight.
        said: how it is said.
    """

    of: Callable[[Any], Any]
    back: Callable[[Any, Any], Any]
    said: str


def _times(factor: Callable[[int], float], said: str) -> Way:
    def by(w: Any) -> Any:
        return Exact(factor(prod(w.shape[1:])))

    return Way(lambda w: by(w) * w, lambda w, g: by(w) * g, said)


def _row_axes(w: Any) -> tuple[int, ...]:
    return tuple(range(1, len(w.shape)))


def _all_axes(w: Any) -> tuple[int, ...]:
    return tuple(range(len(w.shape)))


def _over_length(axes: Callable[[Any], tuple[int, ...]], said: str) -> Way:
    def back(w: Any, g: Any) -> Any:
        size = length(w, axes(w))
        return (g - w / size * total(w / size * g, axes(w), keepdims=True)) / size

    return Way(lambda w: w / length(w, axes(w)), back, said)


def _mean(v: Any) -> Any:
    return total(v, _row_axes(v), keepdims=True) / prod(v.shape[1:])


def _standard(w: Any) -> tuple[Any, Any]:
    centred = w - _mean(w)
    size = root(_mean(centred * centred) + 1e-5)
    return centred / size, size


def _standard_back(w: Any, g: Any) -> Any:
    normed, size = _standard(w)
    return (g - _mean(g) - normed * _mean(g * normed)) / size


def _straight(of: Callable[[Array, tuple[int, ...]], Array], said: str) -> Way:
    """A function that has no derivative: ∂L/∂w is taken to be ∂L/∂ what is used; what it rounds has no noise."""

    def used(w: Any) -> Any:
        axes = tuple(range(-len(w.shape), 0))
        if not isinstance(w, Marked):
            return of(np.asarray(w, np.float64), axes).astype(w.dtype)
        v: Any = w.v
        return Numbers(of(v.astype(np.float64), axes).astype(v.dtype), w.a)

    return Way(used, lambda w, g: g, said)


def _masked(mask: Callable[[Array, tuple[int, ...]], Array], said: str) -> Way:
    """Some elements are 0, and so are their gradients."""

    def kept(w: Any) -> Any:
        axes = tuple(range(-len(w.shape), 0))
        plain = np.asarray(w.a.plain(w) if isinstance(w, Marked) else w, np.float64)
        values = mask(plain, axes).astype(np.float64)
        values = values.reshape((-1, *w.shape))[0]
        return w.a.array(values) if isinstance(w, Marked) else values.astype(w.dtype)

    return Way(lambda w: kept(w) * w, lambda w, g: kept(w) * g, said)


def _levels(number: int) -> Callable[[Array, tuple[int, ...]], Array]:
    def of(w: Array, axes: tuple[int, ...]) -> Array:
        scale = np.abs(w).max(axis=axes, keepdims=True) / number
        return np.asarray(np.rint(w / np.where(scale == 0, 1, scale)) * scale)

    return of


WAYS: Mapping[str, Way] = {
    "over the root of its fan-in": _times(
        lambda n: 1 / sqrt(n), "multiplied by 1/√fan-in, the number of its inputs (an equalised learning rate)"
    ),
    "for relu": _times(lambda n: sqrt(2 / n), "multiplied by √(2/fan-in) (an equalised learning rate, for ReLU)"),
    "over its fan-in": _times(lambda n: 1 / n, "divided by its fan-in, the number of its inputs"),
    "of unit rows": _over_length(_row_axes, "normalised: each row over its length (weight norm)"),
    "of unit length": _over_length(_all_axes, "normalised: over its length as a whole (a Frobenius norm of 1)"),
    "of standard rows": Way(
        lambda w: _standard(w)[0],
        _standard_back,
        "standardised: each row less its mean, over its standard deviation",
    ),
    "of centred rows": Way(lambda w: w - _mean(w), lambda w, g: g - _mean(g), "centred: each row less its mean"),
    "absolute": Way(abs, lambda w, g: g * sign(w), "taken without its sign (absolute)"),
    "squared": Way(lambda w: w * w, lambda w, g: 2 * w * g, "squared"),
    "exponential": Way(exp, lambda w, g: exp(w) * g, "taken as the exponential, so that it is positive"),
    "in 8 bits": _straight(_levels(127), "quantised: rounded to 8 bits (int8, 127 levels either side)"),
    "in 4 bits": _straight(_levels(7), "quantised: rounded to 4 bits (7 levels either side)"),
    "its sign": _straight(lambda w, axes: np.sign(w), "binarised: its sign only"),
    "its sign times its mean": _straight(
        lambda w, axes: np.sign(w) * np.abs(w).mean(axis=axes, keepdims=True),
        "binarised: its sign, times its mean size",
    ),
    "to two decimals": _straight(lambda w, axes: np.round(w, 2), "rounded to two decimals"),
    "to three decimals": _straight(lambda w, axes: np.round(w, 3), "rounded to three decimals"),
    "clipped": _straight(lambda w, axes: np.clip(w, -1, 1), "clipped to ±1"),
    "pruned": _masked(
        lambda w, axes: np.abs(w) > np.median(np.abs(w), axis=axes, keepdims=True),
        "pruned: its smaller half is 0",
    ),
    "lower": _masked(
        lambda w, axes: np.tril(np.ones(w.shape)) if w.ndim > 1 else np.ones(w.shape),
        "masked: 0 above its diagonal",
    ),
}


@dataclass(frozen=True)
class WeightUsedAs(AtLayer):
    """A layer computes with something else than its weight, which is itself as it should be."""

    id = "weight_used_as"
    sentence = "the weight that {at} computes with is another"
    formula = "z = «f(W)» x   (not W x)"
    origin = "a parametrisation, an equalised learning rate, weight norm, fake quantisation, pruning that is left on"
    needs = ("how",)
    every = "every layer"
    tables = {"how": WAYS}  # noqa: RUF012
    reading = 5

    how: str = ""

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers of one input that have a weight of rows."""
        shapes, feeds = {key: param.shape for key, param in scenario.parameters().items()}, scenario.feeds()
        names = [layer.name for layer in scenario.layers if len(feeds[layer.name]) == 1]
        return [name for name in names if len(shapes.get(f"{name}.weight", ())) > 1]

    @property
    def where(self) -> str:
        """Where, and how."""
        return f"{self.at}: {self.how}" if self.at else self.how

    def says(self) -> str:
        """What it is."""
        at = self.at or "every layer"
        return f"the weight that {at} computes with is {WAYS[self.how].said}, in the forward pass" if self.how else at

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Every way by which its layers give what the trace has."""
        step = evidence.steps[0]
        layers = [met(evidence, name, step) for name in self.places(evidence.scenario) if self.is_at(name)]
        known = [layer for layer in layers if layer is not None and "weight" in layer.p]
        if not known or len(known) < len(layers):
            return
        slack = near(evidence.scenario.dtype, NEAR)
        for how, way in WAYS.items():
            if all(self._gives(way, slack, *layer) for layer in known):
                yield replace(self, how=how)

    @staticmethod
    def _gives(way: Way, slack: float, layer: Layer, p: Mapping[str, Array], x: list[Array], a: Array) -> bool:
        with np.errstate(all="ignore"):
            used = np.asarray(way.of(p["weight"]))
            if np.array_equal(used, p["weight"]):
                return False
            came = layer.forward({**p, "weight": used}, *x).a
        least = slack * float(np.abs(a).max(initial=0.0))
        return a.shape == np.shape(came) and bool((np.abs(came - a) <= least).all())

    def op(self, run: Circumstances, op: Op) -> Any:
        """The layer's rules with that weight, and the chain rule for its gradient."""
        if not (self.how and isinstance(op, Layer) and self.here(op) and op.name in self.places(run.scenario)):
            return op
        way = WAYS[self.how]

        def used(p: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**p, "weight": way.of(p["weight"])}

        def backward(p: Any, out: Any, d: Any, *x: Any) -> Back:
            back = op.backward(used(p), out, d, *x)
            return Back(*back.inputs, **{**back.params, "weight": way.back(p["weight"], back.params["weight"])})

        return instead(
            op,
            forward=lambda p, *x: op.forward(used(p), *x),
            backward=backward,
            evaluate=lambda p, *x: op.evaluate(used(p), *x),
        )
