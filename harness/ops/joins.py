"""How do branches of a graph meet?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from isograd.arithmetic.words import concat
from isograd.ops.axes import axis_of, between, joined, parts
from isograd.ops.op import Array, Back, Layer, Out, Shape
from isograd.spec import Index

Params = Mapping[str, Array]


def of_one_shape(shapes: tuple[Shape, ...]) -> Shape:
    """That of all inputs."""
    if len(set(shapes)) > 1:
        raise ValueError(f"inputs: expected outputs of one shape; got {', '.join(map(str, shapes))}")
    return shapes[0]


class Add(Layer):
    """a = x₁ + x₂ + …, of ``inputs`` of one shape: a residual, for a layer's output and its input."""

    kind: Literal["add"]
    arity: ClassVar[tuple[int, int]] = (2, 100)

    def shape(self, *x: Shape) -> Shape:
        """That of all inputs."""
        return of_one_shape(x)

    def forward(self, p: Params, *x: Array) -> Out:
        """From left to right."""
        a = x[0]
        for more in x[1:]:
            a = a + more
        return Out(a)

    def backward(self, p: Params, out: Out, d: Array, *x: Array) -> Back:
        """∂L/∂x_i = d, for each."""
        return Back(*(d for _ in x))


class Multiply(Layer):
    """a = x₁ x₂, number by number, of two ``inputs`` of one shape: a gate."""

    kind: Literal["multiply"]
    arity: ClassVar[tuple[int, int]] = (2, 2)

    def shape(self, *x: Shape) -> Shape:
        """That of both inputs."""
        return of_one_shape(x)

    def forward(self, p: Params, *x: Array) -> Out:
        """Their product."""
        return Out(x[0] * x[1])

    def backward(self, p: Params, out: Out, d: Array, *x: Array) -> Back:
        """∂L/∂x₁ = d x₂, ∂L/∂x₂ = d x₁."""
        return Back(d * x[1], d * x[0])


class Concat(Layer):
    """``inputs`` one behind the other on an axis of a sample; they have one shape but for it."""

    kind: Literal["concat"]
    arity: ClassVar[tuple[int, int]] = (2, 100)
    sample: ClassVar[Shape] = (2, 3)
    examples = ({}, {"axis": 0})

    axis: Index = -1

    def shape(self, *x: Shape) -> Shape:
        """As many on the axis as all together."""
        at = axis_of(self.axis, x[0])
        of_one_shape(tuple((*shape[:at], 0, *shape[at + 1 :]) if at < len(shape) else shape for shape in x))
        return (*x[0][:at], sum(shape[at] for shape in x), *x[0][at + 1 :])

    def forward(self, p: Params, *x: Array) -> Out:
        """In the order of the inputs."""
        return Out(concat(x, axis_of(self.axis, x[0].shape[1:]) + 1))

    def backward(self, p: Params, out: Out, d: Array, *x: Array) -> Back:
        """To each its own part."""
        at, parts, first = axis_of(self.axis, d.shape[1:]), [], 0
        for one in x:
            parts.append(between(d, at, first, first + one.shape[at + 1]))
            first += one.shape[at + 1]
        return Back(*parts)


class Stack(Layer):
    """``inputs`` of one shape on a new first axis of a sample: what a loss of pairs or triplets is given."""

    kind: Literal["stack"]
    arity: ClassVar[tuple[int, int]] = (2, 100)

    def shape(self, *x: Shape) -> Shape:
        """How many there are, and the shape of each."""
        return (len(x), *of_one_shape(x))

    def forward(self, p: Params, *x: Array) -> Out:
        """In the order of the inputs."""
        return Out(joined(*x))

    def backward(self, p: Params, out: Out, d: Array, *x: Array) -> Back:
        """To each its own."""
        return Back(*parts(d, len(x)))
