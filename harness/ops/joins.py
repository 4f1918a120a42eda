"""How do branches of a graph meet, and arrays change their shape?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import ClassVar, Literal

from isograd.arithmetic.words import reshape
from isograd.ops.op import Array, Back, Layer, Out, Shape

Params = Mapping[str, Array]


class Add(Layer):
    """a = x₁ + x₂ + …, of ``inputs`` of one shape: a residual, for a layer's output and its input."""

    kind: Literal["add"]
    arity: ClassVar[tuple[int, int]] = (2, 100)

    def shape(self, *x: Shape) -> Shape:
        """That of all inputs."""
        if len(set(x)) > 1:
            raise ValueError(f"inputs: expected outputs of one shape; got {', '.join(map(str, x))}")
        return x[0]

    def forward(self, p: Params, *x: Array) -> Out:
        """From left to right."""
        a = x[0]
        for more in x[1:]:
            a = a + more
        return Out(a)

    def backward(self, p: Params, out: Out, d: Array, *x: Array) -> Back:
        """∂L/∂x_i = d, for each."""
        return Back(*(d for _ in x))


class Flatten(Layer):
    """A sample's numbers in one row, the last axis the fastest."""

    kind: Literal["flatten"]
    sample: ClassVar[Shape] = (2, 3)

    def shape(self, *x: Shape) -> Shape:
        """As many features as there are numbers."""
        return (prod(x[0]),)

    def forward(self, p: Params, x: Array) -> Out:
        """(B, …) gives (B, n)."""
        return Out(reshape(x, (x.shape[0], prod(x.shape[1:]))))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """Back in the input's shape."""
        return Back(reshape(d, x.shape))
