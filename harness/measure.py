"""How do two arrays differ, step by step, in numbers only: no thresholds, no opinion?"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.dtypes import FORMATS

Array = NDArray[Any]
BFLOAT16 = FORMATS["bfloat16"].dtype
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Job = tuple[slice, slice]

# Sizes found by timing (`python -m tests.bench.measure`); they change no result but the last digits of rms.
BLOCK = 1 << 21  # bytes of an array worked on at a time: they fit the cache, and hide what calling NumPy costs
NARROW = 64  # tensors with fewer elements are worked on transposed
RUN = 512  # squares added up in their own dtype; few enough for six digits in float32
THREADED = 1 << 20  # elements from which on threads pay for their start
MAX_THREADS = 4  # more would wait for memory, and each takes 6 MB, or 15 MB with NaN and infinities


@dataclass(frozen=True, slots=True)
class Measures:
    """How ``a`` differs from the reference ``b``: columns of shape (steps,), one entry a step.

    The class of an element is finite, NaN, +inf or -inf. A step with an element whose class differs between the sides
    is inf in ``max_abs``, ``max_rel`` and ``max_ulp``. Elements alike in class but not finite count as equal.

    Attributes:
        max_abs: largest |a - b|.
        max_rel: largest |a - b| / |b|, with 0/0 = 0 and x/0 = inf.
        max_ulp: largest distance in units in the last place: how many representable numbers b is away from a.
        rms: root of the mean of (a - b)² over the elements that are finite on both sides; 0 without any.
        unequal: elements that are not equal; +0 and -0 are.
        mismatched: elements whose class differs.
        nonfinite: elements that are NaN, or the same infinity, on both sides: no difference, but no agreement proven.
        size: elements compared.
        magnitude: largest finite |b|.
        worst: flat index, within the step's tensor, of the first mismatched element; without any, of the first with
            the largest |a - b|. 0 when all are equal.
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


COLUMNS = {field.name: np.int64 if field.type == "Counts" else np.float64 for field in fields(Measures)}  # name: dtype


def measure(a: Array, b: Array) -> Measures:
    """Measure how ``a`` differs from the reference ``b``, step by step.

    Two arrays of one dtype are subtracted in that dtype (float16 in float32; in float64 where float32 would overflow).
    Of two dtypes, differences are taken in float64, against a wide reference as it is; but ULP and ``unequal`` come
    after rounding the wider side to the narrower dtype: float32 can do no better than the truth rounded to float32.
    Classes are those of the elements as given, so float32's inf against 1e300 is a mismatch.

    Args:
        a: (steps, ...), float16, bfloat16, float32 or float64, of any strides; not modified.
        b: the reference, of the same shape; of one of these dtypes too.

    Returns:
        One entry a step; all 0 for tensors without elements.

    Raises:
        ValueError: shapes that differ, or without a step axis.
        TypeError: another dtype, or foreign byte order.

    Example:
        >>> m = measure(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 5.0]]))
        >>> m.max_abs, m.max_rel, m.worst, m.value, m.other
        (array([0., 1.]), array([0. , 0.2]), array([0, 1]), array([1., 4.]), array([1., 5.]))
    """
    if a.shape != b.shape or not a.ndim:
        raise ValueError(f"expected two arrays of one shape (steps, ...); got {a.shape} and {b.shape}")
    if BFLOAT16 in (a.dtype, b.dtype):
        return _measure_bfloat16(a, b)
    if not {a.dtype, b.dtype} <= {np.dtype("f2"), np.dtype("f4"), np.dtype("f8")}:
        raise TypeError(f"expected {', '.join(FORMATS)}, in native byte order; got {a.dtype!r} and {b.dtype!r}")
    if not a.size:
        return _zeros(len(a))
    jobs = list(_jobs(len(a), math.prod(a.shape[1:]), BLOCK // _wide(a, b).itemsize))
    parts = _zeros(jobs[-1][0].stop)
    _compare_all(a, b, jobs, parts)
    return _combine(parts, a, b)


def _measure_bfloat16(a: Array, b: Array) -> Measures:
    """As wider numbers; ULP as float32's, of which bfloat16 is every 65,536th."""
    wide = np.float32 if a.dtype == b.dtype else np.float64
    with np.errstate(all="ignore"):  # a reference that the dtype cannot hold, NaN
        whole = measure(a.astype(wide), b.astype(wide))
        finite = np.isfinite(a) & np.isfinite(b)
        i, j = (_numbered(np.where(finite, side.astype(BFLOAT16).astype(np.float32), 0)) for side in (a, b))
    ulp = (np.abs(i - j) // 2**16).reshape(len(a), math.prod(a.shape[1:]))
    largest = np.where(whole.mismatched > 0, np.inf, ulp.max(axis=1, initial=0))
    return replace(whole, max_ulp=largest, unequal=np.count_nonzero(ulp, axis=1) + whole.mismatched)


def _numbered(values: Array) -> Array:
    """The integers that number float32 in order, wide enough to be subtracted."""
    return _ordered(values.astype(np.float32).view("i4")).astype(np.int64)


def _zeros(rows: int) -> Measures:
    columns: dict[str, Array] = {name: np.zeros(rows, dtype) for name, dtype in COLUMNS.items()}
    return Measures(**columns)


def _wide(a: Array, b: Array) -> np.dtype[Any]:
    """The dtype to subtract in."""
    return max(a.dtype, np.dtype(np.float32)) if a.dtype == b.dtype else np.dtype(np.float64)


def _jobs(steps: int, size: int, block: int) -> Iterator[Job]:
    """Which rows of the partial results come from which elements of the flattened arrays, ``block`` at the most.

    A row is a piece of one step's tensor: a job is the whole tensors of many steps, or one piece of a large tensor.
    """
    pieces = -(-size // block)
    length, batch = -(-size // pieces), max(1, block // size)
    for row in range(0, steps * pieces, batch):
        step, piece = divmod(row, pieces)
        start, end = step * size + piece * length, min(step + batch, steps) * size
        yield slice(row, min(row + batch, steps * pieces)), slice(start, min(start + batch * length, end))


def _compare_all(a: Array, b: Array, jobs: list[Job], parts: Measures) -> None:
    """Do all jobs. Each writes rows of ``parts`` of its own, so threads need no lock and change no result."""

    def work(jobs: list[Job]) -> None:
        scratch = np.empty((3, min(BLOCK, 8 * a.size)), np.uint8)
        with np.errstate(all="ignore"):  # 0/0, x/0 and overflow are looked at afterwards; the setting is per thread
            for rows, elements in jobs:
                out = Measures(**{name: getattr(parts, name)[rows] for name in COLUMNS})
                out.size[:] = (elements.stop - elements.start) // len(out.size)
                _compare(_block(a, elements, len(out.size)), _block(b, elements, len(out.size)), out, scratch)

    threads = min(MAX_THREADS, os.cpu_count() or 1) if a.size >= THREADED else 1
    if threads == 1:
        work(jobs)
        return
    with ThreadPoolExecutor(threads) as pool:  # NumPy's loops let go of the interpreter lock
        list(pool.map(work, [jobs[first::threads] for first in range(threads)]))


def _block(array: Array, elements: slice, rows: int) -> Array:
    """Elements of the flattened array as (rows, width), without flattening (so copying) a strided one as a whole."""
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    block: Array = flat[elements].reshape(rows, -1)
    # NumPy reduces short rows by one call a row, but with elements of a row far apart by one call a column.
    return np.asfortranarray(block) if block.shape[1] < NARROW else block


def _view(buffer: Array, dtype: Any, like: Array) -> Array:
    return np.ndarray(like.shape, dtype, buffer, order="F" if like.flags.fnc else "C")


def _cast(array: Array, dtype: Any, buffer: Array) -> Array:
    if array.dtype == dtype:
        return array
    cast = _view(buffer, dtype, array)
    np.copyto(cast, array, casting="same_kind")
    return cast


def _compare(a: Array, b: Array, out: Measures, scratch: Array) -> None:
    """Fill ``out`` from blocks ``a`` and ``b`` of shape (rows, width)."""
    x, y = _difference(a, b, _wide(a, b), out, scratch)
    # No difference with a NaN or an infinity in it is finite: if all are, so are all elements.
    if np.isfinite(out.max_abs).all():
        _fill(x, y, a, b, out, scratch)
    else:
        _compare_by_class(a, b, out, scratch)


def _compare_by_class(a: Array, b: Array, out: Measures, scratch: Array) -> None:
    """As `_compare`, with NaN, infinities or overflow: such pairs are counted, then taken for 0 and 0."""
    finite = np.isfinite(a) & np.isfinite(b)
    alike = (a == b) | (np.isnan(a) & np.isnan(b))
    clash = ~(finite | alike)
    magnitude = np.abs(b).max(axis=1, where=np.isfinite(b), initial=0)
    a, b = np.where(finite, a, 0), np.where(finite, b, 0)
    x, y = _difference(a, b, _wide(a, b), out, scratch)
    if not np.isfinite(out.max_abs).all():  # overflow; it outranks all that does not, so float64 changes no order
        scratch = np.empty((3, 8 * a.size), np.uint8)
        x, y = _difference(a, b, np.dtype(np.float64), out, scratch)
    _fill(x, y, a, b, out, scratch)
    out.magnitude[:] = magnitude
    out.nonfinite[:] = np.count_nonzero(alike & ~finite, axis=1)
    out.mismatched[:] = np.count_nonzero(clash, axis=1)
    out.unequal[:] += out.mismatched
    rows = out.mismatched > 0
    out.worst[rows] = clash.argmax(axis=1)[rows]
    for column in (out.max_abs, out.max_rel, out.max_ulp):
        column[rows] = np.inf


def _difference(a: Array, b: Array, wide: np.dtype[Any], out: Measures, scratch: Array) -> tuple[Array, Array]:
    """x = |a - b| and y = |b| in the dtype ``wide``; the largest x, and where it is, go to ``out``."""
    x, y = _view(scratch[0], wide, a), _view(scratch[1], wide, b)
    b = _cast(b, wide, scratch[1])
    np.abs(np.subtract(_cast(a, wide, scratch[0]), b, out=x), out=x)
    np.abs(b, out=y)
    out.worst[:] = x.argmax(axis=1)  # the first of equals; NaN comes before all numbers
    out.max_abs[:] = x[np.arange(len(x)), out.worst]
    return x, y


def _fill(x: Array, y: Array, a: Array, b: Array, out: Measures, scratch: Array) -> None:
    """The other columns, for finite ``a`` and ``b``; ``y`` is overwritten."""
    out.magnitude[:] = y.max(axis=1)
    if not out.max_abs.any():  # equal throughout: the other columns stay 0
        return
    out.max_rel[:] = _relative(x, y, b, out.max_abs)
    out.rms[:] = _root_mean_square(x, out.max_abs)
    narrow = min(a.dtype, b.dtype)
    _count_ulp(_cast(a, narrow, scratch[2]), _cast(b, narrow, scratch[2]), out, scratch[1])


def _relative(x: Array, y: Array, b: Array, peak: Floats) -> Array:
    """The largest x / y of each row."""
    largest = np.fmax.reduce(np.divide(x, y, out=y), axis=1)  # fmax passes over NaN, which is 0/0
    if x.dtype == np.float32 and np.isinf(largest).any():  # x/0, or too large; never too small: x >= y / 2^24
        y = b.astype(np.float64)
        largest = np.fmax.reduce(np.divide(x, np.abs(y, out=y), out=y), axis=1)
    return np.where(peak == 0, 0, largest)


def _root_mean_square(x: Array, peak: Floats) -> Array:
    """√(Σ x² / width) of each row."""
    low, high = (1e-13, 1e15) if x.dtype == np.float32 else (1e-140, 1e140)  # their squares are well within range
    scale = np.where((peak == 0) | (peak > low) & (peak < high) | np.isinf(peak), 1, peak)
    if (scale != 1).any():
        x = x / scale[:, np.newaxis]  # in float64
    # Runs are short for precision, and because BLAS would start threads of its own, against ours, for long ones.
    runs = x.shape[1] // RUN
    head, tail = x[:, : runs * RUN].reshape(len(x), runs, RUN), x[:, runs * RUN :]  # views, whatever the strides
    squares = np.vecdot(head, head).sum(axis=1, dtype=np.float64) + np.vecdot(tail, tail)
    return np.asarray(scale * np.sqrt(squares / x.shape[1]))


def _count_ulp(a: Array, b: Array, out: Measures, buffer: Array) -> None:
    """The largest distance in ULP of each row, and how many are not 0.

    The bits of floating-point numbers of one sign, read as integers, number them in order (IEEE 754: sign, exponent,
    mantissa), so their distance is |i - j|. For opposite signs this is 2^(bits-1) ± less than the bits of infinity,
    which after wrapping is at least 2^mantissa: any less proves that the signs agree.
    """
    i, j = a.view(f"i{a.itemsize}"), b.view(f"i{b.itemsize}")
    distance = _view(buffer, i.dtype, i)
    ulp = distance.view(f"u{a.itemsize}")
    np.abs(np.subtract(i, j, out=distance), out=distance)
    out.max_ulp[:] = ulp.max(axis=1)
    if (out.max_ulp >= 2.0 ** np.finfo(a.dtype).nmant).any():
        i, j = _ordered(i), _ordered(j)
        # Below 2^bits, so a difference that wraps as a signed integer is right as an unsigned one.
        np.subtract(np.maximum(i, j, out=distance), np.minimum(i, j, out=i), out=distance)
        out.max_ulp[:] = ulp.max(axis=1)
    # Counting over all is four times as fast as counting along an axis.
    out.unequal[:] = np.count_nonzero(ulp) if len(ulp) == 1 else np.count_nonzero(ulp, axis=1)


def _ordered(bits: Array) -> Array:
    """The integers that number all floats in order: bits from +0 up, -(bits without sign) from -0 down, 0 for both."""
    sign = bits >> (8 * bits.itemsize - 1)  # -1 or 0, as an arithmetic shift
    number: Array = sign & np.iinfo(bits.dtype).max
    number ^= bits  # with sign -1, all bits but the sign flipped, which is -1 - (bits without sign)
    number -= sign
    return number


def _combine(parts: Measures, a: Array, b: Array) -> Measures:
    """The measures of whole steps, from those of their pieces."""
    part = {name: getattr(parts, name).reshape(len(a), -1) for name in COLUMNS}
    whole = {name: part[name].max(axis=1) for name in ("max_abs", "max_rel", "max_ulp", "magnitude")}
    whole |= {name: part[name].sum(axis=1) for name in ("unequal", "mismatched", "nonfinite", "size")}
    finite = whole["size"] - whole["mismatched"] - whole["nonfinite"]
    share = part["size"] / np.maximum(finite, 1)[:, np.newaxis]
    whole["rms"] = np.hypot.reduce(part["rms"] * np.sqrt(share), axis=1)  # √Σ without squares that overflow
    # A mismatch outranks even finite numbers whose difference is infinite.
    rank = np.where(part["mismatched"] > 0, np.inf, np.minimum(part["max_abs"], np.finfo(np.float64).max))
    first, step = rank.argmax(axis=1), np.arange(len(a))
    whole["worst"] = part["worst"][step, first] + first * part["size"][0, 0]  # all pieces but the last are of one size
    at = step * whole["size"] + whole["worst"]
    return Measures(**whole, value=a.flat[at].astype(np.float64), other=b.flat[at].astype(np.float64))
