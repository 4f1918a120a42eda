"""How small may an envelope be, whatever the noisy runs say?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from isograd.dtypes import FORMATS

Floats = NDArray[np.float64]

TENTH = 0.1
"""No element's envelope is less than this part of the largest of its like: some runs can all be near by luck."""

ENOUGH = 64
"""A row or a column is compared with itself alone if it has so many elements, so that luck in all of it is rare: a row
of an embedding's gradient, a sample among larger ones, a column of another unit."""


@np.errstate(over="ignore")  # over a zero, in float64: that power then gives no floor
def floored(envelope: Floats, truth: Floats, dtype: str) -> Floats:
    """At least one ULP of each element, and `TENTH` of the largest among its like, in place.

    One ULP, because a result is rounded when it is stored, and two right ones can lie on either side of a tie. What an
    element is like is not known, and need not be: of all that it could be like the least floor counts. In a large
    tensor of sums some elements nearly cancel, so that by a higher power of those the floor of the others is no lower.

    Args:
        envelope: (steps, *shape).
        truth: likewise, the elements.
        dtype: what they are rounded to.
    """
    form = FORMATS[dtype]
    known = np.where(np.isfinite(truth), truth, 0.0)
    if envelope[:1].size > 1:
        np.maximum(envelope, TENTH * _least(envelope, np.maximum(np.abs(known), form.normal)), out=envelope)
    return np.maximum(envelope, form.spacing(known), out=envelope)


def _least(envelope: Floats, size: Floats) -> Floats:
    """The least of what the largest among its like would make of each element's envelope.

    Errors of sums of like terms are of one size; those of averages of squares go with the root of the elements; those
    of exponentials are in proportion to them.
    """
    scales = (np.ones(()), np.sqrt(size), size)
    like = (
        (envelope / scale).max(axis=axes, keepdims=True) * scale for scale in scales for axes in _alike(envelope.shape)
    )
    return reduce(np.minimum, like)


def pooled(envelope: Floats) -> Floats:
    """At least `TENTH` of the largest of each step, whatever the elements are like: (steps, *shape)."""
    largest = envelope.max(axis=tuple(range(1, envelope.ndim)), keepdims=True, initial=0.0)
    return np.asarray(np.maximum(envelope, TENTH * largest))


def _alike(shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Over which axes of (steps, *shape) elements are alike: those of a row and of a column if they are many, or all.

    Only the first two axes are told apart: what follows them are places of one picture, and some convolutions give each
    the errors of its neighbours (Winograd's, Fourier's).
    """
    axes = tuple(range(1, len(shape)))
    number = int(np.prod(shape[1:]))
    apart = [axis for axis in axes[:2] if 1 < shape[axis] <= number / ENOUGH]
    yield from (tuple(other for other in axes if other != axis) for axis in apart)
    if not apart:
        yield axes
