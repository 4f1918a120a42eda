"""Which functions of each number are there? Each with its derivative, as in Goodfellow, Bengio, Courville (2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from isograd.arithmetic.words import around, exp, max, maximum, minimum, sum, tanh, where
from isograd.ops.op import Array, Back, Layer, Out, Shape
from isograd.spec import Index, Number

Params = Mapping[str, Array]


class Sigmoid(Layer):
    """a = 1 / (1 + e⁻ᶻ), σ′(z) = a (1 − a)."""

    kind: Literal["sigmoid"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """Times e^min(z, 0) above and below, so that nothing overflows."""
        z = around(z)
        return Out(exp(minimum(z, 0)) / (1 + exp(-abs(z))))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d a (1 − a)."""
        return Back(d * out.a * (1 - out.a))


class Tanh(Layer):
    """a = tanh z, tanh′(z) = 1 − a²."""

    kind: Literal["tanh"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """A = tanh z."""
        return Out(tanh(z))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d (1 − a²)."""
        return Back(d * (1 - out.a * out.a))


class Relu(Layer):
    """a = max(0, z), with derivative 0 at 0."""

    kind: Literal["relu"]

    def forward(self, p: Params, z: Array) -> Out:
        """In this order NaN stays NaN in every arithmetic."""
        return Out(maximum(0, z))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """The derivative is 1 above 0, and 0 below and at 0; at NaN d is passed on, as a is NaN too and not 0."""
        return Back(where(~(z <= 0), d, 0))


class Softsign(Layer):
    """a = z / (1 + |z|), with derivative 1 / (1 + |z|)² (Bergstra et al., 2009)."""

    kind: Literal["softsign"]

    def forward(self, p: Params, z: Array) -> Out:
        """A = z / (1 + |z|)."""
        return Out(z / (1 + abs(z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d / (1 + |z|)²."""
        below = 1 + abs(z)
        return Back(d / (below * below))


class Scale(Layer):
    """a = k z, the article's f(z) = 2z for ``factor = 2``."""

    kind: Literal["scale"]
    examples = ({"factor": 2.0}, {"factor": -0.3})

    factor: Number

    def forward(self, p: Params, z: Array) -> Out:
        """A = k z."""
        return Out(self.factor * z)

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """The derivative is k."""
        return Back(self.factor * d)


class Softmax(Layer):
    """a_i = e^{z_i} / Σ_j e^{z_j} over an axis of a sample, ∂L/∂z = a (d − Σ_j d_j a_j) (Bridle, 1990)."""

    kind: Literal["softmax"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 3)
    examples = ({}, {"axis": 0})

    axis: Index = -1

    def shape(self, *x: Shape) -> Shape:
        """That of the input, which has such an axis."""
        if not -len(x[0]) <= self.axis < len(x[0]):
            raise ValueError(f"axis: expected an axis of a sample of shape {x[0]}; got {self.axis}")
        return x[0]

    def _of_batch(self) -> int:
        return self.axis if self.axis < 0 else self.axis + 1

    def forward(self, p: Params, z: Array) -> Out:
        """Over the largest, so that nothing overflows."""
        e = exp(z - max(z, self._of_batch(), keepdims=True))
        return Out(e / sum(e, self._of_batch(), keepdims=True))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = a (d − Σ_j d_j a_j)."""
        return Back(out.a * (d - sum(d * out.a, self._of_batch(), keepdims=True)))
