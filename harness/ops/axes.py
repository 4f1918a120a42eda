"""Which axis of a sample does a setting name, and what lies along it?"""

from __future__ import annotations

from isograd.arithmetic.words import concat, reshape
from isograd.ops.op import Array, Shape


def axis_of(axis: int, sample: Shape, even: bool = False) -> int:
    """An axis of a sample, counted from 0; ValueError where there is none, or it has no halves and needs them.

    Example:
        >>> axis_of(-1, (2, 3))
        1
    """
    if not -len(sample) <= axis < len(sample):
        raise ValueError(f"axis: expected an axis of a sample of shape {sample}; got {axis}")
    if even and sample[axis] % 2:
        raise ValueError(f"axis: expected one of even size, to be halved; got {sample[axis]} in {sample}")
    return axis % len(sample)


def between(x: Array, axis: int, first: int, last: int) -> Array:
    """Of a batch, the places ``first`` to before ``last`` of a sample's axis."""
    at = axis_of(axis, x.shape[1:]) + 1
    return x[(*[slice(None)] * at, slice(first, last))]


def halves(x: Array, axis: int) -> tuple[Array, Array]:
    """Of a batch, both halves of a sample's axis."""
    size = x.shape[axis_of(axis, x.shape[1:]) + 1]
    return between(x, axis, 0, size // 2), between(x, axis, size // 2, size)


def parts(x: Array, number: int) -> list[Array]:
    """What lies on a sample's first axis, one by one: (B, number, …) gives (B, …) each."""
    shape = (x.shape[0], *x.shape[2:])
    return [reshape(between(x, 0, i, i + 1), shape) for i in range(number)]


def joined(*arrays: Array) -> Array:
    """The other way: (B, …) each gives (B, number, …)."""
    return concat([reshape(one, (one.shape[0], 1, *one.shape[1:])) for one in arrays], 1)
