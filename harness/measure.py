"""How do two arrays differ, step by step? (Numbers only; no thresholds, no opinion.)"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

BLOCK = 1 << 15  # elements worked on at once: both arrays and the scratch stay within a core's L2 cache
NARROW = 64  # tensors smaller than this are worked on transposed
THREADED = 1 << 20  # elements from which on threads pay for their start
MAX_THREADS = 8  # more would only wait for memory, and each has scratch of its own


@dataclass(frozen=True, slots=True)
class Measures:
    """The differences of ``a`` from the reference ``b``, one entry a step in every column; all are 1-D, (steps,).

    The class of an element is finite, NaN, +inf or -inf. A step where the two sides differ in class anywhere is inf in
    ``max_abs``, ``max_rel`` and ``max_ulp``; elements of the same class that is not finite count as equal.

    Attributes:
        max_abs: largest |a - b|.
        max_rel: largest |a - b| / |b|, with 0/0 = 0 and x/0 = inf.
        max_ulp: largest number of steps from one representable number to the next, in the narrower dtype.
        rms: root of the mean of (a - b)², over the elements that are finite on both sides.
        unequal: elements that are not equal in the narrower dtype, or not of one class.
        mismatched: elements that are not of one class.
        nonfinite: elements that are NaN or infinite alike on both sides: no difference, but no agreement proven.
        size: elements compared.
        magnitude: largest finite |b|.
        worst: flat index, within the step's tensor, of the first element with the largest |a - b|, or of the first one
            mismatched; 0 where all are equal.
        value: ``a`` at ``worst``.
        other: ``b`` at ``worst``.
    """

    max_abs: Floats
    max_rel: Floats
    max_ulp: Floats
    rms: Floats
    unequal: Counts
    mismatched: Counts
    nonfinite: Counts
    size: Counts
    magnitude: Floats
    worst: Counts
    value: Floats
    other: Floats


def measure(a: Array, b: Array) -> Measures:
    """Measure how ``a`` differs from the reference ``b``.

    Two arrays of one dtype are subtracted in it (float16 in float32), and in float64 where that overflows. Of two
    dtypes, differences are taken in float64, so exactly against a wide reference; but ULP and ``unequal`` are taken
    after rounding the wider side to the narrower dtype, for a float32 result can do no better than the rounded truth.

    Args:
        a: (steps, ...), float16, float32 or float64; never modified, of any strides.
        b: the reference, of the same shape, of the same or another of these dtypes.

    Returns:
        One entry a step.

    Raises:
        ValueError: shapes that differ or lack the step axis.
        TypeError: another dtype, or another byte order than the machine's.

    Example:
        >>> a, b = np.float32([[1, 2], [3, 4]]), np.float32([[1, 2], [3, 5]])
        >>> m = measure(a, b)
        >>> m.max_abs, m.worst, m.value, m.other
        (array([0., 1.]), array([0, 1]), array([1., 4.]), array([1., 5.]))
    """
    if a.shape != b.shape or not a.ndim:
        raise ValueError(f"expected two arrays of one shape (steps, ...); got {a.shape} and {b.shape}")
    if not {a.dtype, b.dtype} <= {np.dtype(np.float16), np.dtype(np.float32), np.dtype(np.float64)}:
        raise TypeError(f"expected native float16, float32 or float64; got {a.dtype.str} and {b.dtype.str}")
    steps, size = a.shape[0], math.prod(a.shape[1:])
    if not a.size:
        return _zeros(steps)
    parts = _zeros(steps * _split(size)[0])
    _compare_all(a, b, list(_jobs(steps, size)), parts)
    return _combine(parts, a, b)


def _zeros(n: int) -> Measures:
    return Measures(*(np.zeros(n, np.int64 if f.type == "Counts" else np.float64) for f in fields(Measures)))


def _split(size: int) -> tuple[int, int]:
    """How many pieces a tensor of ``size`` elements is cut into, and how long all but the last of them are."""
    pieces = -(-size // BLOCK)
    return pieces, -(-size // pieces)


def _jobs(steps: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of work: which rows of the partial results, from which elements of the flattened arrays.

    A row is one piece of one step: a block is either many small tensors or one piece of a large one.
    """
    pieces, length = _split(size)
    batch = BLOCK // size if pieces == 1 else 1
    for row in range(0, steps * pieces, batch):
        step, piece = divmod(row, pieces)
        start, stop = step * size + piece * length, min(step + batch, steps) * size
        if pieces > 1:
            stop = min(start + length, stop)
        yield slice(row, min(row + batch, steps * pieces)), slice(start, stop)


def _compare_all(a: Array, b: Array, jobs: list[tuple[slice, slice]], parts: Measures) -> None:
    """Do all jobs; each writes its own rows of ``parts``, so that threads need no lock and change no result."""

    def work(mine: list[tuple[slice, slice]]) -> None:
        scratch = np.empty((3, 8 * min(BLOCK, a.size)), np.uint8)
        with np.errstate(all="ignore"):  # 0/0, x/0 and overflow are expected, and looked at; the state is per thread
            for rows, elements in mine:
                out = Measures(*(getattr(parts, field.name)[rows] for field in fields(parts)))
                out.size[:] = (elements.stop - elements.start) // len(out.size)
                _compare(_rows(a, elements, len(out.size)), _rows(b, elements, len(out.size)), out, scratch)

    threads = min(MAX_THREADS, os.cpu_count() or 1) if a.size >= THREADED else 1
    if threads == 1:
        return work(jobs)
    with ThreadPoolExecutor(threads) as pool:  # NumPy's loops release the interpreter's lock
        list(pool.map(work, [jobs[i::threads] for i in range(threads)]))


def _rows(array: Array, elements: slice, rows: int) -> Array:
    """Some elements of the flattened array as (rows, width): a view, or a copy of this block only."""
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat  # reshape would copy all of the others
    block: Array = flat[elements].reshape(rows, -1)
    # NumPy reduces many short rows one call a row, but their transpose in long vector operations.
    return np.asfortranarray(block) if block.shape[1] < NARROW else block


def _view(buffer: Array, dtype: Any, like: Array) -> Array:
    return np.ndarray(like.shape, dtype, buffer, order="F" if like.flags.fnc else "C")


def _cast(array: Array, dtype: Any, buffer: Array) -> Array:
    if array.dtype == dtype:
        return array
    out = _view(buffer, dtype, array)
    np.copyto(out, array, casting="same_kind")
    return out


def _compare(a: Array, b: Array, out: Measures, scratch: Array) -> None:
    """Fill ``out``, one entry a row, for blocks ``a`` and ``b`` of shape (rows, width)."""
    wide = max(a.dtype, np.dtype(np.float32)) if a.dtype == b.dtype else np.dtype(np.float64)
    x = _difference(a, b, wide, out, scratch)
    # A NaN or infinity on either side leaves no finite difference, so finite ones prove that there is none.
    if np.isfinite(out.max_abs).all():
        _fill(x, a, b, out, scratch)
    else:
        _compare_by_class(a, b, wide, out, scratch)


def _compare_by_class(a: Array, b: Array, wide: Any, out: Measures, scratch: Array) -> None:
    """The same for blocks with a NaN, an infinity or an overflow: those elements are counted, then taken for 0 and 0."""
    finite = np.isfinite(a) & np.isfinite(b)
    alike = (a == b) | (np.isnan(a) & np.isnan(b))
    clash = ~finite & ~alike
    magnitude = np.abs(b).max(axis=1, where=np.isfinite(b), initial=0)
    a, b = np.where(finite, a, 0), np.where(finite, b, 0)
    x = _difference(a, b, wide, out, scratch)
    if not np.isfinite(out.max_abs).all():  # finite numbers whose difference overflows
        x = _difference(a, b, np.float64, out, scratch)
    _fill(x, a, b, out, scratch)
    out.magnitude[:] = magnitude
    out.mismatched[:] = clash.sum(axis=1)
    out.nonfinite[:] = (alike & ~finite).sum(axis=1)
    out.unequal[:] += out.mismatched
    rows = out.mismatched > 0
    out.worst[rows] = clash.argmax(axis=1)[rows]
    for column in (out.max_abs, out.max_rel, out.max_ulp):
        column[rows] = np.inf


def _difference(a: Array, b: Array, wide: Any, out: Measures, scratch: Array) -> Array:
    """|a - b| in the dtype ``wide``; with its largest element in each row, and where that is, written to ``out``."""
    x = _view(scratch[0], wide, a)
    np.subtract(_cast(a, wide, scratch[0]), _cast(b, wide, scratch[1]), out=x)
    np.abs(x, out=x)
    out.worst[:] = x.argmax(axis=1)  # the first on ties; a NaN comes before all
    out.max_abs[:] = x[np.arange(len(x)), out.worst]
    return x


def _fill(x: Array, a: Array, b: Array, out: Measures, scratch: Array) -> None:
    """The other columns, from x = |a - b| of finite ``a`` and ``b``."""
    y = _view(scratch[1], x.dtype, x)
    np.abs(_cast(b, x.dtype, scratch[1]), out=y)
    out.magnitude[:] = y.max(axis=1)
    if not out.max_abs.any():  # no difference at all: the other columns are zero, as they were made
        return
    out.max_rel[:] = _relative(x, y, b, out.max_abs)
    out.rms[:] = _root_mean_square(x, out.max_abs, scratch[1])
    narrow = min(a.dtype, b.dtype)
    ulp = _ulp(_cast(a, narrow, scratch[2]), _cast(b, narrow, scratch[2]), scratch[1])
    out.max_ulp[:] = ulp.max(axis=1)
    # Distance 0 is equality, signed zeros included. Without an axis, counting is four times as fast.
    out.unequal[:] = np.count_nonzero(ulp) if len(ulp) == 1 else np.count_nonzero(ulp, axis=1)


def _relative(x: Array, y: Array, b: Array, peak: Floats) -> Array:
    """Largest x / y in each row, y = |b|; ``y`` is overwritten."""
    np.divide(x, y, out=y)
    largest = np.fmax.reduce(y, axis=1)  # passes over NaN, which is 0/0
    limits = np.finfo(x.dtype)
    trusted = (peak == 0) | ((limits.tiny <= largest) & (largest <= limits.max))
    if x.dtype != np.float64 and not trusted.all():  # a float32 quotient that left the range, or x/0
        largest = np.fmax.reduce(x / np.abs(b.astype(np.float64)), axis=1)
    return np.where(peak == 0, 0, largest)


def _root_mean_square(x: Array, peak: Floats, buffer: Array) -> Array:
    """√(Σ x² / width) of each row, in float64, where squares of any float32 fit."""
    x, scale = _cast(x, np.float64, buffer), np.ones_like(peak)
    extreme = np.isfinite(peak) & (peak > 0) & ((peak < 1e-140) | (peak > 1e140))
    if extreme.any():  # only float64 comes here: by their largest, their squares fit as well
        scale[extreme] = peak[extreme]
        x = x / scale[:, np.newaxis]
    return np.asarray(scale * np.sqrt(np.vecdot(x, x) / x.shape[1]))


def _ulp(a: Array, b: Array, buffer: Array) -> Array:
    """How many representable numbers ``b`` is away from ``a``, as unsigned integers of the dtype's width.

    Read as integers, floating-point numbers of one sign are in order and without gaps (IEEE 754: sign, then exponent,
    then mantissa), so distance is |i - j|. Of two signs, i and j are 2^(bits-1) plus or minus less than the largest
    exponent apart, which wraps to 2^mantissa at the least: a smaller result proves that the signs agreed.
    """
    bits, mantissa = 8 * a.itemsize, np.finfo(a.dtype).nmant
    i, j = a.view(f"i{a.itemsize}"), b.view(f"i{a.itemsize}")
    distance = _view(buffer, i.dtype, i)
    np.abs(np.subtract(i, j, out=distance), out=distance)
    ulp = distance.view(f"u{a.itemsize}")
    if ulp.max() < 1 << mantissa:
        return ulp
    # Counted from zero, negative numbers go down: -0 is 0, the next is -1. Distances then are below 2^bits: they wrap
    # as signed integers, and are right again as unsigned ones.
    low = np.iinfo(i.dtype).min
    i, j = np.where(i < 0, low - i, i), np.where(j < 0, low - j, j)
    return (np.maximum(i, j) - np.minimum(i, j)).view(ulp.dtype)


def _combine(parts: Measures, a: Array, b: Array) -> Measures:
    """The measures of whole steps from those of their pieces."""
    steps, size = a.shape[0], math.prod(a.shape[1:])
    pieces, length = _split(size)
    piece = {field.name: getattr(parts, field.name).reshape(steps, pieces) for field in fields(parts)}
    columns = {name: piece[name].max(axis=1) for name in ("max_abs", "max_rel", "max_ulp", "magnitude")}
    columns |= {name: piece[name].sum(axis=1) for name in ("unequal", "mismatched", "nonfinite", "size")}
    finite = columns["size"] - columns["mismatched"] - columns["nonfinite"]
    share = piece["size"] / np.maximum(finite, 1)[:, np.newaxis]
    columns["rms"] = np.hypot.reduce(piece["rms"] * np.sqrt(share), axis=1)  # adds squares without making them
    # A mismatch outranks even a float64 difference that overflowed.
    rank = np.where(piece["mismatched"] > 0, np.inf, np.minimum(piece["max_abs"], np.finfo(np.float64).max))
    first, every = rank.argmax(axis=1), np.arange(steps)
    columns["worst"] = piece["worst"][every, first] + first * length
    at = every * size + columns["worst"]
    return Measures(**columns, value=a.flat[at].astype(np.float64), other=b.flat[at].astype(np.float64))
