"""How does an array change its shape, or lose an axis?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool

from isograd.arithmetic.words import expand, pad, reshape, sum, transpose
from isograd.ops.axes import axis_of, between
from isograd.ops.op import Array, Back, Layer, Out, Shape
from isograd.spec import Count, Index

Params = Mapping[str, Array]
Axes = Annotated[tuple[Index, ...], Field(min_length=1, max_length=8)]


class Flatten(Layer):
    """A sample's numbers in one row, the last axis the fastest."""

    kind: Literal["flatten"]
    sample: ClassVar[Shape] = (2, 3)

    def shape(self, *x: Shape) -> Shape:
        """As many features as there are numbers; ValueError for a single number without axes."""
        if not x[0]:
            raise ValueError("inputs: expected samples with an axis; got single numbers")
        return (prod(x[0]),)

    def forward(self, p: Params, x: Array) -> Out:
        """(B, …) gives (B, n)."""
        return Out(reshape(x, (x.shape[0], prod(x.shape[1:]))))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """Back in the input's shape."""
        return Back(reshape(d, x.shape))


class Reshape(Layer):
    """A sample's numbers in another shape, the last axis the fastest."""

    kind: Literal["reshape"]
    sample: ClassVar[Shape] = (2, 3)
    examples = ({"to": (3, 2)},)

    to: Annotated[tuple[Count, ...], Field(min_length=1, max_length=8)]

    def shape(self, *x: Shape) -> Shape:
        """The one that is asked for, of as many numbers."""
        if prod(self.to) != prod(x[0]):
            raise ValueError(f"to: expected a shape of {prod(x[0])} numbers, as {x[0]} has; got {self.to}")
        return self.to

    def forward(self, p: Params, x: Array) -> Out:
        """(B, …) gives (B, *to)."""
        return Out(reshape(x, (x.shape[0], *self.to)))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """Back in the input's shape."""
        return Back(reshape(d, x.shape))


class Transpose(Layer):
    """A sample's axes in another order: the i-th of the output is the ``axes[i]``-th of the input."""

    kind: Literal["transpose"]
    sample: ClassVar[Shape] = (2, 3)
    examples = ({"axes": (1, 0)},)

    axes: Axes

    def shape(self, *x: Shape) -> Shape:
        """The sizes in that order."""
        if sorted(self.axes) != [*range(len(x[0]))]:
            raise ValueError(f"axes: expected an order of 0 to {len(x[0]) - 1}, the axes of a sample; got {self.axes}")
        return tuple(x[0][axis] for axis in self.axes)

    def forward(self, p: Params, x: Array) -> Out:
        """The batch stays in front."""
        return Out(transpose(x, (0, *(axis + 1 for axis in self.axes))))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """In the order that undoes it."""
        return Back(transpose(d, (0, *(self.axes.index(axis) + 1 for axis in range(len(self.axes))))))


class Slice(Layer):
    """The places ``first`` to before ``last`` of an axis of a sample: several of them split it."""

    kind: Literal["slice"]
    sample: ClassVar[Shape] = (2, 4)
    examples = ({"first": 1, "last": 3}, {"first": 1, "last": 2, "axis": 0})

    first: Annotated[Index, Field(ge=0)]
    last: Count
    axis: Index = -1

    def shape(self, *x: Shape) -> Shape:
        """As many on the axis as are taken."""
        at, sizes = axis_of(self.axis, x[0]), list(x[0])
        if not self.first < self.last <= sizes[at]:
            raise ValueError(
                f"last: expected first < last ≤ {sizes[at]}, the size of axis {at}; got {self.first} and {self.last}"
            )
        sizes[at] = self.last - self.first
        return tuple(sizes)

    def forward(self, p: Params, x: Array) -> Out:
        """Those places."""
        return Out(between(x, self.axis, self.first, self.last))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """0 at the others."""
        widths = [(0, 0)] * x.ndim
        at = axis_of(self.axis, x.shape[1:]) + 1
        widths[at] = (self.first, x.shape[at] - self.last)
        return Back(pad(d, widths))


class _Reduction(Layer):
    sample: ClassVar[Shape] = (2, 3)
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({"axes": (0,)}, {"axes": (-1,), "keep": True})

    axes: Axes
    keep: StrictBool = False

    def shape(self, *x: Shape) -> Shape:
        """Without those axes."""
        return reduced(x[0], self.axes, self.keep)


class Sum(_Reduction):
    """The sum over ``axes`` of a sample, which are then missing, or of size 1 if they are kept."""

    kind: Literal["sum"]

    def forward(self, p: Params, x: Array) -> Out:
        """(B, …) gives (B, …)."""
        return Out(sum(x, _of_batch(self.axes, x), keepdims=self.keep))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x = d, for each term."""
        return Back(_repeated(d, self.axes, x))


class Mean(_Reduction):
    """The mean over ``axes`` of a sample, likewise: with all places of each channel, global average pooling."""

    kind: Literal["mean"]

    def forward(self, p: Params, x: Array) -> Out:
        """The sum over the number of terms."""
        return Out(sum(x, _of_batch(self.axes, x), keepdims=self.keep) / self._terms(x))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x = d / n, for each term."""
        return Back(_repeated(d / self._terms(x), self.axes, x))

    def _terms(self, x: Array) -> int:
        return prod(x.shape[axis] for axis in _of_batch(self.axes, x))


def reduced(sample: Shape, axes: tuple[int, ...], keep: bool) -> Shape:
    """A sample's shape without some axes, or with 1 in their places."""
    gone = {axis_of(axis, sample) for axis in axes}
    if len(gone) != len(axes):
        raise ValueError(f"axes: expected each axis once; got {axes} for a sample of shape {sample}")
    return tuple(1 if at in gone else size for at, size in enumerate(sample) if keep or at not in gone)


def _of_batch(axes: tuple[int, ...], x: Array) -> tuple[int, ...]:
    return tuple(axis_of(axis, x.shape[1:]) + 1 for axis in axes)


def _repeated(d: Array, axes: tuple[int, ...], x: Array) -> Array:
    gone = _of_batch(axes, x)
    return expand(reshape(d, tuple(1 if at in gone else size for at, size in enumerate(x.shape))), x.shape)
