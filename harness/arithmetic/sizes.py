"""How large can the rounding error of one operation be? A number for each element of its result, by rule and by trial.

A sum of n terms is off by n u Σ|terms| at most, and by √n u Σ|terms| where the errors of its additions are independent
(N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed. 2002, sections 2.8, 3.1 and 4.2; Higham and
Mary, SIAM J. Sci. Comput. 41, 2019). They are not where terms are alike: added to one total after the other, a constant
is rounded the same way each time (`drift`), and libraries do add long sums one term after the other.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from isograd.arithmetic.numbers import Array
from isograd.arithmetic.words import erf
from isograd.dtypes import Format

# The largest error of an operation, in ULP of its result. The four basic ones and the square root are rounded correctly
# (IEEE 754-2019, section 4.3), but for PaddlePaddle's square root. An elementary function is as inaccurate as the worst
# of PyTorch 2.13.0, PaddlePaddle 3.3.1 and NumPy 2.4.6 on the CPU in float32, rounded up: measured against float64 with
# `python -m tests.bench.functions`, whose table stands in docs/judging.md.
BASIC = 0.5
ACCURACY: dict[Any, float] = {
    np.exp: 2.4,
    np.log: 3.3,
    np.tanh: 6.6,
    np.sqrt: 3.7,
    np.log1p: 0.9,
    np.expm1: 2.9,
    np.sin: 2.2,
    np.cos: 2.4,
    erf: 7.5,
}

LONG = 32
"""Terms up to which a sum is not tried: √n and what n terms alike come to are nearly the same there."""

TRIED = 2**22
"""Terms of a product of matrices, or of a stack of them, up to which all are tried; else those likest to drift."""

BLOCK = 2**16  # terms that are added up at a time: what is worked on fits the cache

MANY = 2**11
"""Sums that are added up side by side, a term of each at a time; of fewer, all terms of one are a pass. What is worked
on fits the cache so, and the bits are the same."""


def unit(ufunc: Any, form: Format) -> float:
    """Of an elementwise operation: its accuracy, over its result."""
    return 2 * ACCURACY.get(ufunc, BASIC) * form.roundoff


def is_flushed(result: Array, form: Format) -> bool:
    """Whether some library may give 0 for a number of a result that is none."""
    size = np.abs(result)
    return bool(((size < form.normal) & (size > 0)).any())


def of_result(ufunc: Any, result: Array, form: Format) -> Array:
    """Of an elementwise operation: its accuracy, in units of the result.

    What an elementary function gives below the smallest normal number may be 0 as well: libraries flush it, or come to
    it by way of a number beyond the range (1 / e⁹⁰ in float32, in PyTorch's and PaddlePaddle's sigmoid).
    """
    size = np.abs(result)
    flushed = (size < form.normal) & (ufunc in ACCURACY)
    return size * np.where(flushed, 1.0, unit(ufunc, form))


def of_sum(terms: Array, options: dict[str, Any], form: Format) -> Array:
    """Of `np.add.reduce`, with its options: √n u Σ|terms|, and for rows what adding them up one by one is off.

    All three libraries add up rows one after the other, but a last axis, and so all elements, by blocks or pairs.

    Args:
        terms: (runs, ...); that they are added up one by one is tried in the first run.
        options: as `np.add.reduce` got them; ``axis`` does not name the first.
        form: the dtype that rounds.
    """
    total = np.add.reduce(np.abs(terms), **options)
    number = terms.size // max(total.size, 1)
    size = np.asarray(form.roundoff * np.sqrt(number) * total)
    axis = options["axis"]
    axes = [i % terms.ndim for i in (axis if isinstance(axis, tuple) else (axis,))]
    if number > LONG and form.accumulates and terms.ndim - 1 not in axes:
        rows = np.moveaxis(terms[:1], axes, range(-len(axes), 0))
        found = drift(rows.reshape(*rows.shape[: -len(axes)], -1).astype(form.dtype))
        found = np.nan_to_num(found, nan=0.0, posinf=0.0)  # what overflows has no rounding error
        size = size + (np.expand_dims(found, tuple(axes)) if options.get("keepdims") else found)
    return size


def of_product(a: Array, b: Array, roundoff: float, form: Format) -> Array:
    """Of a product of matrices (runs, ..., m, n) and (runs, ..., n, k): as of m × k sums of n terms.

    Args:
        a: the one factor.
        b: the other.
        roundoff: unit roundoff of products, where it is not the dtype's.
        form: the dtype that rounds.
    """
    n, magnitude = a.shape[-1], np.abs(a) @ np.abs(b)
    size = np.asarray(roundoff * np.sqrt(n) * magnitude)
    if n > LONG and form.accumulates:
        size += _drift_of_product(a, b, magnitude, form)
    return size


def drift(terms: Array) -> Array:
    """How far off the last axis's running totals are at most, if its terms are added one by one in their own dtype.

    The largest of all totals, since at the last of them errors of both signs can happen to cancel.
    """
    totals = np.add.accumulate(terms, axis=-1)
    lost = _lost(totals[..., :-1], totals[..., 1:], terms[..., 1:])
    return np.asarray(np.abs(np.add.accumulate(lost, axis=-1, dtype=np.float64)).max(axis=-1))


def _lost(before: Array, after: Array, term: Array) -> Array:
    """The rounding errors of additions, before + term = after: numbers of the dtype themselves, and told exactly.

    The six operations of Knuth, *The Art of Computer Programming*, vol. 2, section 4.2.2, theorem B (Møller's and
    Knuth's TwoSum).
    """
    added = after - before
    error: Array = term - added
    added -= after  # before - (after - added), in the place of added
    added += before
    error += added
    return error


def _drift_of_product(a: Array, b: Array, magnitude: Array, form: Format) -> Array:
    """Of each element, if they are few; of many, what the likest sum of its row and of its column comes to, the less.

    The terms of a sum that drifts are of one sign, so that it is nearly as large as the sum of their absolute values.
    A row (a sample, a unit) or a column (a feature) whose sums all cancel drifts little, whatever the others do.
    """
    rows, terms, columns = *a.shape[-2:], b.shape[-1]
    narrow, across = a.astype(form.dtype), np.ascontiguousarray(b.mT).astype(form.dtype)
    stack = prod(np.broadcast_shapes(a.shape[:-2], b.shape[:-2]))
    if stack * rows * columns * terms <= TRIED or rows * columns <= rows + columns:
        return _drifts(narrow, across)
    likeness = _over(np.abs(a @ b), magnitude)
    of_rows = _likest(narrow, across, likeness, magnitude)[..., :, np.newaxis]
    of_columns = _likest(across, narrow, likeness.mT, magnitude.mT)[..., np.newaxis, :]
    return np.asarray(np.minimum(of_rows, of_columns) * magnitude)


def _likest(rows: Array, columns: Array, likeness: Array, magnitude: Array) -> Array:
    """The drift of each row's likest sum, over the sum of the absolute values of its terms."""
    at = likeness.argmax(axis=-1)[..., np.newaxis]
    found = drift(rows * np.take_along_axis(columns, at, axis=-2))
    return _over(found, np.take_along_axis(magnitude, at, axis=-1)[..., 0])


def _over(part: Array, whole: Array) -> Array:
    """The share, 0 of nothing; what is no number says nothing."""
    share = np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)
    share[~np.isfinite(share)] = 0.0
    return share


def _drifts(a: Array, columns: Array) -> Array:
    """The drift of each sum of products of a row of ``a`` and one of ``columns``."""
    stack = np.broadcast_shapes(a.shape[:-2], columns.shape[:-2])
    shape = (*stack, a.shape[-2], columns.shape[-2])
    a, columns = (np.broadcast_to(x, (*stack, *x.shape[-2:])).reshape(-1, *x.shape[-2:]) for x in (a, columns))
    found = _side_by_side(a, columns) if prod(shape) >= MANY else _one_by_one(a, columns)
    return np.nan_to_num(found, nan=0.0, posinf=0.0).reshape(shape)  # what overflows has no rounding error


def _side_by_side(a: Array, columns: Array) -> Array:
    """Of all at once, term by term."""
    rows, across = (np.ascontiguousarray(np.moveaxis(x, -1, 0)) for x in (a, columns))
    terms = (x[..., :, np.newaxis] * y[..., np.newaxis, :] for x, y in zip(rows, across, strict=True))
    total = next(terms)
    off, most = np.zeros(total.shape), np.zeros(total.shape)
    for term in terms:
        before, total = total, total + term
        off += _lost(before, total, term)
        np.maximum(most, np.abs(off), out=most)
    return most


def _one_by_one(a: Array, columns: Array) -> Array:
    """By blocks of rows, the terms of each sum at once."""
    rows = max(1, BLOCK // max(1, prod(columns.shape[1:])))
    starts = range(0, a.shape[1], rows)
    found = [
        [drift(x[start : start + rows, np.newaxis, :] * y) for start in starts] for x, y in zip(a, columns, strict=True)
    ]
    return np.stack([np.concatenate(blocks) for blocks in found])
