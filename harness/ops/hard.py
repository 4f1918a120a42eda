"""Which functions of each number are straight in pieces, beside ReLU? Each with its derivative and where it bends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import StrictBool

from isograd.arithmetic.words import maximum, minimum, reshape, sum, where
from isograd.ops.op import Array, Back, InitialVector, Layer, Out, Param, Shape
from isograd.spec import Number, Positive

Params = Mapping[str, Array]


class HardSigmoid(Layer):
    """a = min(max(s z + ½, 0), 1), with derivative s between the bounds and 0 elsewhere (Courbariaux et al., 2015)."""

    kind: Literal["hard_sigmoid"]
    examples = ({}, {"slope": 0.2})

    slope: Positive = 1 / 6

    def forward(self, p: Params, z: Array) -> Out:
        """In this order NaN stays NaN."""
        return Out(minimum(1, maximum(0, self.slope * z + 0.5)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d s where 0 < s z + ½ < 1."""
        a = self.slope * z + 0.5
        return Back(where(a > 0, where(a < 1, self.slope * d, 0), 0))


class HardTanh(Layer):
    """a = min(max(z, low), high), with derivative 1 between the bounds and 0 elsewhere (Collobert, 2004)."""

    kind: Literal["hard_tanh"]
    examples = ({}, {"low": -0.5, "high": 0.25})

    low: Number = -1.0
    high: Number = 1.0

    def forward(self, p: Params, z: Array) -> Out:
        """In this order NaN stays NaN."""
        return Out(minimum(self.high, maximum(self.low, z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d for low < z < high."""
        return Back(where(z > self.low, where(z < self.high, d, 0), 0))


class Relu6(Layer):
    """a = min(max(0, z), 6), with derivative 1 between the bounds and 0 elsewhere (Krizhevsky, 2010)."""

    kind: Literal["relu6"]

    def forward(self, p: Params, z: Array) -> Out:
        """In this order NaN stays NaN."""
        return Out(minimum(6, maximum(0, z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d for 0 < z < 6."""
        return Back(where(z > 0, where(z < 6, d, 0), 0))


class PRelu(Layer):
    """a = z above 0, s z below, where s is a parameter: one, or one ``each`` channel (He et al., 2015).

    ∂L/∂s = Σ d z over what is below 0. The channel is a sample's first axis.
    """

    kind: Literal["prelu"]
    sample: ClassVar[Shape] = (2, 3)
    examples = ({}, {"each": True}, {"weight": (-0.5,)})

    weight: InitialVector | None = None
    each: StrictBool = False

    def shape(self, *x: Shape) -> Shape:
        """That of the input; ValueError where there are not as many slopes as it needs."""
        number = x[0][0] if self.each else 1
        if isinstance(self.weight, tuple) and len(self.weight) != number:
            raise ValueError(f"weight: expected {number} values, {self._number}; got {len(self.weight)}")
        return x[0]

    @property
    def _number(self) -> str:
        return "one a channel" if self.each else "one for all, without each = true"

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """The slope as weight, (1,) or (channels,), 0.25 at first."""
        number = x[0][0] if self.each else 1
        return {"weight": Param((number,), ("channel",), 0.25 if self.weight is None else self.weight)}

    def forward(self, p: Params, z: Array) -> Out:
        """At 0 both are 0."""
        return Out(where(z > 0, z, self._slopes(p, z) * z))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d above 0, s d elsewhere."""
        axes = (0, *range(2, z.ndim)) if self.each else None
        slope = sum(where(z > 0, 0, d * z), axes)
        return Back(where(z > 0, d, self._slopes(p, z) * d), weight=reshape(slope, p["weight"].shape))

    def _slopes(self, p: Params, z: Array) -> Array:
        return reshape(p["weight"], (*p["weight"].shape, *[1] * (z.ndim - 2)))


class HardSwish(Layer):
    """a = z min(max(z + 3, 0), 6) / 6, with derivative (2 z + 3) / 6 between ±3, 0 below and 1 above (Howard, 2019)."""

    kind: Literal["hard_swish"]

    def forward(self, p: Params, z: Array) -> Out:
        """In this order NaN stays NaN."""
        return Out(z * minimum(6, maximum(0, z + 3)) / 6)

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d (2 z + 3) / 6 where −3 < z < 3, and d above."""
        return Back(where(z > -3, where(z < 3, d * (2 * z + 3) / 6, d), 0))


class HardShrink(Layer):
    """a = z where |z| > b, else 0, with derivative 1 there and 0 elsewhere."""

    kind: Literal["hard_shrink"]
    examples = ({}, {"bound": 0.2})

    bound: Positive = 0.5

    def forward(self, p: Params, z: Array) -> Out:
        """A jump at ±b."""
        return Out(where(abs(z) > self.bound, z, 0))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d where |z| > b."""
        return Back(where(abs(z) > self.bound, d, 0))


class SoftShrink(Layer):
    """a = z brought nearer to 0 by b, and no further than 0, with derivative 1 where |z| > b and 0 elsewhere."""

    kind: Literal["soft_shrink"]
    examples = ({}, {"bound": 0.2})

    bound: Positive = 0.5

    def forward(self, p: Params, z: Array) -> Out:
        """A = max(z − b, 0) + min(z + b, 0): one of them is 0."""
        return Out(maximum(z - self.bound, 0) + minimum(z + self.bound, 0))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d where |z| > b."""
        return Back(where(abs(z) > self.bound, d, 0))
