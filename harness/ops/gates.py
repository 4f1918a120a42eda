"""How does one half of an activation open the other, and which of several is the largest?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from isograd.arithmetic.words import concat, pick, put_at, reshape, take_at
from isograd.ops.activations import logistic
from isograd.ops.axes import axis_of, halves
from isograd.ops.op import Array, Back, Layer, Out, Shape
from isograd.spec import Count, Index

Params = Mapping[str, Array]


class Glu(Layer):
    """a = u σ(v), of the two halves u, v of an axis of a sample (Dauphin et al., *Gated convolutional networks*, 2017).

    ∂L/∂u = d σ(v), ∂L/∂v = d u σ(v) (1 − σ(v)).
    """

    kind: Literal["glu"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (4, 2)
    examples = ({}, {"axis": 0})

    axis: Index = -1

    def shape(self, *x: Shape) -> Shape:
        """Half as many on the axis."""
        at, half = axis_of(self.axis, x[0], even=True), list(x[0])
        half[at] //= 2
        return tuple(half)

    def forward(self, p: Params, z: Array) -> Out:
        """A = u σ(v)."""
        u, v = halves(z, self.axis)
        gate = logistic(v)
        return Out(u * gate, gate)

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """Of both halves, joined as they were."""
        u, _ = halves(z, self.axis)
        return Back(concat([d * out.saved, d * u * out.saved * (1 - out.saved)], axis_of(self.axis, z.shape[1:]) + 1))


class SwiGlu(Layer):
    """a = u σ(u) v, of the two halves u, v of the last axis (Shazeer, *GLU variants improve transformer*, 2020).

    ∂L/∂u = d v σ(u) (1 + u (1 − σ(u))), ∂L/∂v = d u σ(u).
    """

    kind: Literal["swiglu"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 4)

    def shape(self, *x: Shape) -> Shape:
        """Half as many on the last axis."""
        axis_of(-1, x[0], even=True)
        return (*x[0][:-1], x[0][-1] // 2)

    def forward(self, p: Params, z: Array) -> Out:
        """A = u σ(u) v."""
        u, v = halves(z, -1)
        gate = logistic(u)
        return Out(u * gate * v, gate)

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """Of both halves, joined as they were."""
        u, v = halves(z, -1)
        return Back(concat([d * v * out.saved * (1 + u * logistic(-u)), d * u * out.saved], z.ndim - 1))


class Maxout(Layer):
    """a = the largest of each ``pieces`` neighbours on an axis, which gets the gradient (Goodfellow et al., 2013)."""

    kind: Literal["maxout"]
    sample: ClassVar[Shape] = (4, 3)
    examples = ({"pieces": 2}, {"pieces": 3, "axis": -1})

    pieces: Count
    axis: Index = 0

    def shape(self, *x: Shape) -> Shape:
        """One for each group of pieces on the axis."""
        at, fewer = axis_of(self.axis, x[0]), list(x[0])
        if fewer[at] % self.pieces:
            raise ValueError(f"pieces: expected a divisor of {fewer[at]}, the size of axis {at}; got {self.pieces}")
        fewer[at] //= self.pieces
        return tuple(fewer)

    def forward(self, p: Params, z: Array) -> Out:
        """A choice for each group, made once."""
        grouped, at = self._grouped(z)
        chosen = pick(grouped, at)
        return Out(take_at(grouped, chosen, at), chosen)

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d for the largest of each group, 0 for the others."""
        at = axis_of(self.axis, z.shape[1:]) + 2
        return Back(reshape(put_at(d, out.saved, at, self.pieces), z.shape))

    def _grouped(self, z: Array) -> tuple[Array, int]:
        at = axis_of(self.axis, z.shape[1:]) + 1
        groups = z.shape[at] // self.pieces
        return reshape(z, (*z.shape[:at], groups, self.pieces, *z.shape[at + 1 :])), at + 1
