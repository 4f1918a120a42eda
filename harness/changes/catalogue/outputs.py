"""What can become of a layer's output: scaled, clamped, masked, added to its input, computed by another's weight?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, Self

import numpy as np

from isograd.arithmetic.numbers import Exact
from isograd.arithmetic.words import maximum, minimum, sign, sqrt, where
from isograd.arithmetic.words import sum as total
from isograd.changes.change import Change, Circumstances, Evidence, Values
from isograd.changes.instead import beside, followed, instead
from isograd.changes.places import AtLayer, alike, layer_of
from isograd.ops.op import Back, Layer, Loss, Op, Out
from isograd.scenario import Scenario


@dataclass(frozen=True)
class OutputScale(AtLayer):
    """A constant factor on a layer's output."""

    id = "output_scale"
    sentence = "the output of {at} is {by:.7g} times what it should be"
    formula = "a ← «k» a"
    origin = "an output added to itself, a temperature, a scale that is left from another model"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    def op(self, run: Circumstances, op: Op) -> Any:
        """K times, and so d."""
        if not (isinstance(op, Layer) and self.here(op)):
            return op
        return followed(op, lambda a: Exact(self.by) * a, lambda d, a: Exact(self.by) * d)


@dataclass(frozen=True)
class OutputShift(AtLayer):
    """A constant is added to a layer's output."""

    id = "output_shift"
    sentence = "{by:.7g} is added to every output of {at}"
    formula = "a ← a «+ c»"
    origin = "an offset against a division by 0, labels that are counted from 1"
    solve = {"by": 0.0}  # noqa: RUF012

    by: float = 1.0

    def op(self, run: Circumstances, op: Op) -> Any:
        """With the constant."""
        if not (isinstance(op, Layer) and self.here(op)):
            return op
        return followed(op, lambda a: a + Exact(self.by), lambda d, a: d)


@dataclass(frozen=True)
class OutputPenalty(AtLayer):
    """The loss has one term more: of the squares, or the absolute values, of a layer's output."""

    id = "output_penalty"
    sentence = "a penalty of {by:.7g} times the sum of the {of} of {at}'s output is added to the loss"
    formula = "L ← L «+ λ Σ a²», ∂L/∂a ← ∂L/∂a «+ 2 λ a»   (or |a|, and sign a)"
    origin = "an activity regularizer"
    needs = ("at",)
    solve = {"by": 0.0}  # noqa: RUF012

    by: float = 0.01
    of: Literal["squares", "absolute values"] = "squares"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Either, of each layer."""
        for plain in super().variants(scenario):
            if plain.at:
                yield from (cls(at=plain.at), cls(at=plain.at, of="absolute values"))

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """The loss, and the gradient of the layer's output."""
        return frozenset(("loss", f"backward/{self.at}"))

    def op(self, run: Circumstances, op: Op) -> Any:
        """What takes the output hands back the term's gradient too."""
        slope: Any = (lambda a: 2 * a) if self.of == "squares" else sign
        if isinstance(op, Loss) and run.scenario.layers[-1].name == self.at:
            return instead(op, gradient=lambda yhat, y: op.gradient(yhat, y) + Exact(self.by) * slope(yhat))
        feeds = run.scenario.feeds()[op.name] if isinstance(op, Layer) else ()
        if not isinstance(op, Layer) or feeds != (self.at,):
            return op

        def backward(p: Any, out: Out, d: Any, x: Any) -> Back:
            back = op.backward(p, out, d, x)
            return Back(back.inputs[0] + Exact(self.by) * slope(x), **back.params)

        return instead(op, backward=backward)

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """The loss with the term."""
        name = f"forward/{self.at}"
        if name not in seen or self.at == "":
            return seen
        size = np.square(seen[name]) if self.of == "squares" else np.abs(seen[name])
        axes = tuple(range(-1 - len(run.scenario.shapes()[self.at]), 0))
        return {**seen, "loss": seen["loss"] + self.by * size.sum(axis=axes)}


@dataclass(frozen=True)
class InputAdded(AtLayer):
    """A layer's input is added to its output."""

    id = "input_added"
    sentence = "the input of {at} is added to its output"
    formula = "a ← f(x) «+ x»"
    origin = "a residual connection, also called a skip, that is left in"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers of one input that keep its shape."""
        shapes, feeds = scenario.shapes(), scenario.feeds()
        one = [layer.name for layer in scenario.layers if len(feeds[layer.name]) == 1]
        return [name for name in one if shapes[name] == shapes[feeds[name][0]]]

    def op(self, run: Circumstances, op: Op) -> Any:
        """With x, and with d for ∂L/∂x."""
        if not (isinstance(op, Layer) and self.here(op) and op.name in self.places(run.scenario)):
            return op

        def forward(p: Any, x: Any) -> Out:
            out = op.forward(p, x)
            return Out(out.a + x, out, out.buffers)

        def backward(p: Any, out: Out, d: Any, x: Any) -> Back:
            back = op.backward(p, out.saved, d, x)
            return Back(back.inputs[0] + d, **back.params)

        return instead(op, forward=forward, backward=backward, evaluate=lambda p, x: op.evaluate(p, x) + x)


@dataclass(frozen=True)
class Clamped(AtLayer):
    """A layer's output is kept between bounds."""

    id = "clamped"
    sentence = "the output of {at} is clamped: no less than {low:.6g}, no more than {high:.6g}"
    formula = "a ← «min(max(a, low), high)»"
    origin = "clamp or clip against what is too large, an activation with an upper bound (ReLU6)"
    needs = ("low", "high")

    low: float = -1e300
    high: float = 1e300

    def says(self) -> str:
        """Only the bounds that there are."""
        bounds = [f"no less than {self.low:.6g}"] * (self.low > -1e300) + [f"no more than {self.high:.6g}"] * (
            self.high < 1e300
        )
        return f"the output of {self.at or 'every layer'} is clamped: {', '.join(bounds) or 'to no bounds'}"

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """The extremes of what the trace has, where the rules go beyond them."""
        name = f"forward/{self.at}"
        if not self.at:
            return
        low, high = -1e300, 1e300
        for step in evidence.looked_at:
            got = evidence.recorded(name, step)
            if got is None or not got.size:
                return
            right = evidence.ruled(name, step)
            if not np.isfinite(got).all() or got.shape != right.shape:
                return
            near = 1e-3 * float(np.ptp(right))
            low = max(low, float(got.min())) if right.min() < got.min() - near else low
            high = min(high, float(got.max())) if right.max() > got.max() + near else high
        if low > -1e300 or high < 1e300:
            yield replace(self, low=low, high=high)

    def op(self, run: Circumstances, op: Op) -> Any:
        """Clamped; the derivative is 1 between the bounds and 0 beyond."""
        if not (isinstance(op, Layer) and self.here(op)) or (self.low == -1e300 and self.high == 1e300):
            return op
        low, high = Exact(self.low), Exact(self.high)
        return followed(
            op,
            lambda a: minimum(maximum(a, low), high),
            lambda d, a: where(a >= low, where(a <= high, d, 0), 0),
        )


@dataclass(frozen=True)
class Dropped(AtLayer):
    """Dropout is on: some outputs of a layer are 0, and the others larger."""

    id = "dropped"
    sentence = "dropout is on after {at}"
    formula = "a ← a «m / (1 − p)», m of 0 and 1"
    origin = "a dropout layer that is left in, train() where eval() was meant"
    needs = ("masks",)
    is_fact = True
    every = "every layer"

    by: float = 1.0
    masks: tuple[tuple[int, tuple[bool, ...]], ...] = ()

    def says(self) -> str:
        """With its share."""
        share = f": p = {1 - 1 / self.by:.3g}" if self.by > 1 else ""
        return super().says() + share

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """What is 0 in the trace and not by the rules; the others by one factor."""
        masks, factors, name = [], [], f"forward/{self.at}"
        for step in evidence.looked_at if self.at else ():
            got = evidence.recorded(name, step)
            if got is None:
                return
            right = evidence.ruled(name, step)
            kept = ~((got == 0) & (right != 0))
            telling = kept & (np.abs(right) > 1e-3 * np.abs(right).max(initial=0.0))
            factors += (got[telling] / right[telling]).tolist()
            masks.append((step, tuple(kept.ravel().tolist())))
        if any(not all(mask) for _, mask in masks) and factors:
            by = float(np.median(factors))
            yield replace(self, masks=tuple(masks), by=float(f"{by:.6g}"))

    def op(self, run: Circumstances, op: Op) -> Any:
        """The mask of the step, that was read off."""
        if not (isinstance(op, Layer) and self.at == op.name and self.masks):
            return op
        by_step = dict(self.masks)

        def dropped(values: Any) -> Any:
            mask = by_step.get(run.step)
            if mask is None or len(mask) != prod(values.shape):  # another change may have given it another batch
                return values
            return values * beside(self.by * np.array(mask, np.float64).reshape(values.shape), values)

        return followed(op, dropped, lambda d, a: dropped(d))


@dataclass(frozen=True)
class Tied(Change):
    """Two layers share a parameter: one computes with the other's."""

    id = "tied"
    sentence = "{at} is shared: the same weight as {other} is used in its place, and learns from both"
    formula = "z = x «V»ᵀ   (not W)"
    origin = "a module that is built once and used twice, weights that are tied"
    needs = ("at",)

    at: str = ""
    other: str = ""

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each two of one shape and one name, either way."""
        for one, two in alike(scenario):
            if one.partition(".")[2] == two.partition(".")[2]:
                yield from (cls(one, two), cls(two, one))

    @property
    def where(self) -> str:
        """Both."""
        return f"{self.at} = {self.other}"

    def op(self, run: Circumstances, op: Op) -> Any:
        """The rules of the layer with the other's parameter."""
        if not (self.at and isinstance(op, Layer) and op.name == layer_of(self.at)):
            return op
        param = self.at.partition(".")[2]

        def shared(p: Mapping[str, Any]) -> Mapping[str, Any]:
            return {**p, param: run.parameter(self.other)}

        return instead(
            op,
            forward=lambda p, *x: op.forward(shared(p), *x),
            backward=lambda p, out, d, *x: op.backward(shared(p), out, d, *x),
            evaluate=lambda p, *x: op.evaluate(shared(p), *x),
        )

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Both go to the one."""
        if not self.at:
            return g
        return {**g, self.other: g[self.other] + g[self.at], self.at: 0 * g[self.at]}


@dataclass(frozen=True)
class OutputNormalised(AtLayer):
    """A layer's output is normalised: less its mean, over its standard deviation, with an ε."""

    id = "output_normalised"
    sentence = "the output of {at} is normalised: less its mean over {over}, over its standard deviation"
    formula = "a ← «(a − μ) / √(σ² + ε)», ε = 10⁻⁵"
    origin = "a batch norm or a layer norm that is left in"

    over: Literal["the batch (batch norm)", "each sample (layer norm)"] = "the batch (batch norm)"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Either, at each layer."""
        ways: tuple[Any, ...] = ("the batch (batch norm)", "each sample (layer norm)")
        for plain in super().variants(scenario):
            if plain.at:
                yield from (cls(at=plain.at, over=over) for over in ways)

    @property
    def where(self) -> str:
        """Where, and over what."""
        return f"{self.at}: {self.over}"

    def op(self, run: Circumstances, op: Op) -> Any:
        """∂L/∂a = (d − mean d − â mean(d â)) / σ (Ioffe and Szegedy, 2015)."""
        if not (isinstance(op, Layer) and self.here(op)):
            return op

        def mean(v: Any) -> Any:
            axes = (0, *range(2, v.ndim)) if self.over.startswith("the batch") else tuple(range(1, v.ndim))
            return total(v, axes, keepdims=True) / prod(v.shape[axis] for axis in axes)

        def normal(a: Any) -> tuple[Any, Any]:
            centred = a - mean(a)
            size = sqrt(mean(centred * centred) + 1e-5)
            return centred / size, size

        def back(d: Any, a: Any) -> Any:
            normed, size = normal(a)
            return (d - mean(d) - normed * mean(d * normed)) / size

        return followed(op, lambda a: normal(a)[0], back)
