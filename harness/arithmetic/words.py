"""What may a rule compute with, beside operators? The closed list, the same for every arithmetic.

On NumPy's own arrays a word is NumPy's function; on `Numbers` its result goes through the arithmetic, which knows how
large the word's rounding error can be (`isograd.arithmetic.sizes`). Anything else is a TypeError. Axes are those of one
run, counted from 0 or from the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from isograd.lazy import LazyModule

if TYPE_CHECKING:
    import numpy as np

    from isograd.arithmetic import numbers
else:  # rules are listed and documented without NumPy
    np, numbers = LazyModule("numpy"), LazyModule("isograd.arithmetic.numbers")

Array = Any
Axis = int | tuple[int, ...] | None


class Marked:
    """What `Numbers` are, for whoever must not import NumPy to tell them from NumPy's own arrays."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What `Numbers` have."""


class Irrational(float):
    """A constant that no double is: 50 digits take it from its decimals.

    Example:
        >>> float(Irrational("0.70710678118654752440084436210484903928483593768847"))
        0.7071067811865476
    """

    decimals: str

    def __new__(cls, decimals: str) -> Irrational:
        """The nearest double, with the decimals."""
        made = super().__new__(cls, decimals)
        made.decimals = decimals
        return made


def _arithmetic(*values: Any) -> Any:
    return next(value.a for value in values if isinstance(value, Marked))


# ---------------------------------------------------------------- elementwise, rounded


class Word:
    """A function of each number, with a name by which arithmetics know it; called like NumPy's functions."""

    def __init__(self, name: str, function: Callable[[float], float] | None = None) -> None:
        self.name, self.function = name, function

    @property
    def ufunc(self) -> Any:
        """NumPy's own; or this word itself, where NumPy has none."""
        return self if self.function else getattr(np, self.name)

    def __call__(self, x: Array) -> Any:
        """The function of each number."""
        if isinstance(x, Marked):
            return numbers.Numbers(x.a.operate(self.ufunc, "__call__", [x.v], {}), x.a)
        if self.function is None:
            return getattr(np, self.name)(x)
        values = np.frompyfunc(self.function, 1, 1)(np.asarray(x, np.float64))
        return np.asarray(values, np.float64).astype(x.dtype)


exp = Word("exp")
log = Word("log")
log1p = Word("log1p")
expm1 = Word("expm1")
tanh = Word("tanh")
sqrt = Word("sqrt")
sin = Word("sin")
cos = Word("cos")
erf = Word("erf", math.erf)
WORDS = {word.name: word for word in (exp, log, log1p, expm1, tanh, sqrt, sin, cos, erf)}


def power(base: float, t: Array) -> Any:
    """A constant to the power of a step's number."""
    if isinstance(t, Marked):
        return numbers.Numbers(t.a.raised(base, t.v), t.a)
    return t.dtype.type(base) ** t


def of_step(function: Callable[[int], float], t: Array, like: Array) -> Any:
    """A number that follows from a step's number, computed in float64, as frameworks do on the side."""
    if not isinstance(t, Marked):
        return like.dtype.type(function(int(t)))
    values = np.array([function(int(each)) for each in t.v.flat]).reshape(t.v.shape)
    return numbers.Numbers(like.a.taken(values), like.a)


# ---------------------------------------------------------------- elementwise, exact


def maximum(a: Array, b: Array) -> Any:
    """The larger of each two; NaN where either is."""
    return _of_two(np.maximum, a, b)


def minimum(a: Array, b: Array) -> Any:
    """The smaller of each two; NaN where either is."""
    return _of_two(np.minimum, a, b)


def _of_two(ufunc: Any, a: Array, b: Array) -> Any:
    if not (isinstance(a, Marked) or isinstance(b, Marked)):
        return ufunc(a, b)
    arithmetic = _arithmetic(a, b)
    operands = numbers.operands(arithmetic, a, b)
    return numbers.Numbers(arithmetic.operate(ufunc, "__call__", operands, {}), arithmetic)


def sign(z: Array) -> Any:
    """1, −1 or 0; NaN of NaN. Decided together with all comparisons of ``z`` with 0."""
    if not isinstance(z, Marked):
        return np.sign(z)
    sides = z.sides(0)
    return numbers.Numbers(z.a.taken(np.where(sides == numbers.UNORDERED, np.nan, sides).astype(np.float64)), z.a)


def where(mask: Array, a: Array, b: Array) -> Any:
    """``a`` where the mask holds, elsewhere ``b``."""
    if not isinstance(mask, Marked):  # nor are the others: a mask of plain numbers
        return np.where(mask, a, b)
    arithmetic = _arithmetic(mask, a, b)
    condition, x, y = numbers.operands(arithmetic, mask, a, b)
    result = np.where(condition, x, y)
    return numbers.Numbers(arithmetic.chosen(result, condition, x, y), arithmetic)


def around(z: Array) -> Any:
    """``z`` for a function with its slope at 0; of many noisy runs one is put there where rounding can carry it."""
    return numbers.Numbers(z.a.around(z.v), z.a) if isinstance(z, Marked) else z


def constant(value: float, like: Array) -> Any:
    """A number as an operand of the arithmetic of another, rounded to its dtype: 1 − β may be computed from that."""
    return (
        numbers.Numbers(like.a.raised(value, like.a.count(1).v), like.a)
        if isinstance(like, Marked)
        else like.dtype.type(value)
    )


def irrational(value: Irrational, like: Array) -> Any:
    """A constant that no double is, as an operand of the arithmetic of another."""
    return value if isinstance(like, Marked) else like.dtype.type(value)


def row(values: Sequence[float], like: Array) -> Any:
    """Numbers that stand in a rule, along an axis, as operands of the arithmetic of another array."""
    if not isinstance(like, Marked):
        return np.array(values, like.dtype)
    made = np.array([like.a.constant(float(value)) for value in values])
    return numbers.Numbers(made.reshape(*[1] * like.a.hidden, len(values)), like.a)


# ---------------------------------------------------------------- over axes


def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum over axes; None: over all."""
    return _reduced(np.add, x, axis, keepdims)


def max(x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """The largest over axes; no choice is made between equals."""
    return _reduced(np.maximum, x, axis, keepdims)


def _reduced(ufunc: Any, x: Array, axis: Axis, keepdims: bool) -> Any:
    if not isinstance(x, Marked):
        return ufunc.reduce(x, axis=axis, keepdims=keepdims)
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    options = {"axis": tuple(x.a.hidden + i % x.ndim for i in axes), "keepdims": keepdims}
    return numbers.Numbers(x.a.operate(ufunc, "reduce", [x.v], options), x.a)


def pick(x: Array, axis: int) -> Any:
    """The index of the largest along an axis: a choice that is made once, for one of them in every run."""
    if not isinstance(x, Marked):
        return x.argmax(axis=axis)
    return numbers.Numbers(x.a.winners(x.v, _axis(x, axis)), x.a)


# ---------------------------------------------------------------- by index: exact, but for sums


def take_at(x: Array, index: Array, axis: int) -> Any:
    """The element of ``x`` at an index along an axis; the index has x's shape without it."""
    if not isinstance(x, Marked):
        return np.take_along_axis(x, np.expand_dims(index, axis), axis).squeeze(axis)
    at = _axis(x, axis)
    return numbers.Numbers(np.take_along_axis(x.v, np.expand_dims(index.v, at), at).squeeze(at), x.a)


def put_at(values: Array, index: Array, axis: int, n: int) -> Any:
    """The adjoint of `take_at`: zeros with an axis of size ``n`` put in, and the values at the index."""
    if not isinstance(values, Marked):
        return _put(values, index, axis % (values.ndim + 1), n)
    at = values.a.hidden + axis % (values.ndim + 1)
    return numbers.Numbers(_put(values.v, index.v, at, n), values.a)


def _put(values: Any, index: Any, axis: int, n: int) -> Any:
    shape = np.broadcast_shapes(values.shape, index.shape)
    values, index = np.broadcast_to(values, shape), np.broadcast_to(index, shape)
    out = np.zeros((*shape[:axis], n, *shape[axis:]), values.dtype)
    np.put_along_axis(out, np.expand_dims(index, axis), np.expand_dims(values, axis), axis)
    return out


def up_to(index: Array, n: int) -> Any:
    """An index, and the last of ``n`` places where it is beyond them."""
    if not isinstance(index, Marked):
        return np.minimum(index, n - 1)
    return numbers.Numbers(np.minimum(index.v, n - 1), index.a)


def whole(x: Array, n: int) -> Any:
    """Whole numbers as an index of ``n`` places: what is none is rounded, what is beyond has the place at that end."""
    if not isinstance(x, Marked):
        return _index(x, n)
    return numbers.Numbers(_index(x.v, n), x.a)


def _index(values: Any, n: int) -> Any:
    if values.dtype.kind not in "iu":
        values = np.rint(np.nan_to_num(np.asarray(values, np.float64))).astype(np.int64)
    return np.clip(values, 0, n - 1)


def equals(index: Array, value: int, like: Array) -> Any:
    """1 where an index is a value, elsewhere 0, as numbers of the arithmetic of another array."""
    if not isinstance(like, Marked):
        return (index == value).astype(like.dtype)
    return numbers.Numbers(like.a.taken((index.v == value).astype(np.float64)), like.a)


def one_hot(index: Array, n: int, like: Array) -> Any:
    """1 at the index along a new last axis, elsewhere 0, as numbers of the arithmetic of another array."""
    if not isinstance(like, Marked):
        return (index[..., np.newaxis] == np.arange(n)).astype(like.dtype)
    return numbers.Numbers(like.a.taken((index.v[..., np.newaxis] == np.arange(n)).astype(np.float64)), like.a)


def take(x: Array, index: Array) -> Any:
    """Rows of ``x``: of the index's shape, each of the shape of a row."""
    if not isinstance(x, Marked):
        return x[index]
    hidden = x.a.hidden
    lead = np.broadcast_shapes(x.v.shape[:hidden], index.v.shape[:hidden])
    table, at = (np.broadcast_to(v, (*lead, *v.shape[hidden:])) for v in (x.v, index.v))
    where_from = np.ix_(*map(range, lead))
    return numbers.Numbers(table[(*(_over(i, at.ndim) for i in where_from), at)], x.a)


def _over(grid: Any, rank: int) -> Any:
    return grid.reshape(*grid.shape, *[1] * (rank - grid.ndim))


def scatter_add(values: Array, index: Array, n: int) -> Any:
    """The adjoint of `take`: ``n`` rows, each the sum of the values whose index it is."""
    if not isinstance(values, Marked):
        return _scattered(values, index, n, 0)
    arithmetic, hidden = values.a, values.a.hidden
    lead = np.broadcast_shapes(values.v.shape[:hidden], index.v.shape[:hidden])
    v, at = (np.broadcast_to(side, (*lead, *side.shape[hidden:])) for side in (values.v, index.v))
    ones = np.ones(at.shape, np.float64)
    counts = _scattered(ones, at, n, hidden)
    total = arithmetic.summed(
        _scattered(v, at, n, hidden),
        lambda some: _scattered(np.abs(v[some]), at[some], n, hidden),
        counts.reshape(*counts.shape, *[1] * (v.ndim - at.ndim)),
    )
    return numbers.Numbers(total, arithmetic)


def _scattered(values: Any, index: Any, n: int, hidden: int) -> Any:
    lead, row = index.shape[:hidden], values.shape[index.ndim :]
    out = np.zeros((*lead, n, *row), values.dtype)
    grids = (_over(grid, index.ndim) for grid in (np.ix_(*map(range, lead)) if lead else ()))
    np.add.at(out, (*grids, index), values)
    return out


# ---------------------------------------------------------------- shapes: exact


def reshape(x: Array, shape: Sequence[int]) -> Any:
    """The same numbers in another shape."""
    if not isinstance(x, Marked):
        return x.reshape(shape)
    return numbers.Numbers(x.v.reshape(*x.v.shape[: x.a.hidden], *shape), x.a)


def transpose(x: Array, axes: Sequence[int]) -> Any:
    """The axes in another order."""
    if not isinstance(x, Marked):
        return x.transpose(axes)
    hidden = x.a.hidden
    return numbers.Numbers(x.v.transpose(*range(hidden), *(hidden + i % x.ndim for i in axes)), x.a)


def expand(x: Array, shape: Sequence[int]) -> Any:
    """Repeated along axes of size 1, and new ones in front."""
    if not isinstance(x, Marked):
        return np.broadcast_to(x, shape)
    hidden = x.a.hidden
    v = x.v.reshape(*x.v.shape[:hidden], *[1] * (len(shape) - x.ndim), *x.v.shape[hidden:])
    return numbers.Numbers(np.broadcast_to(v, (*v.shape[:hidden], *shape)), x.a)


def pad(x: Array, widths: Sequence[tuple[int, int]], value: float = 0) -> Any:
    """A constant before and after each axis."""
    if not any(before or after for before, after in widths):
        return x
    if not isinstance(x, Marked):
        return np.pad(x, widths, constant_values=value)
    v = np.pad(x.v, [*[(0, 0)] * x.a.hidden, *widths], constant_values=value)
    return numbers.Numbers(v, x.a)


def windows(x: Array, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Any:
    """Windows over the last axes, one behind the other: (…, H, W) gives (…, H′, W′, h, w)."""
    if not isinstance(x, Marked):
        return _windows(x, size, stride, dilation)
    return numbers.Numbers(_windows(x.v, size, stride, dilation), x.a)


def _windows(x: Any, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Any:
    n = len(size)
    reach = tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True))
    seen: Any = np.lib.stride_tricks.sliding_window_view(x, reach, axis=tuple(range(-n, 0)))
    return seen[(..., *(slice(None, None, s) for s in stride), *(slice(None, None, d) for d in dilation))]


def fold(c: Array, shape: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Any:
    """The adjoint of `windows`: each number of the last axes, of this shape, is the sum of all windows' that are it."""
    if not isinstance(c, Marked):
        return _fold(c, shape, stride, dilation)
    ones = np.ones(c.shape[c.ndim - 2 * len(shape) :])
    number = np.maximum(_fold(ones, shape, stride, dilation), 1)
    total = c.a.summed(
        _fold(c.v, shape, stride, dilation), lambda some: _fold(np.abs(c.v[some]), shape, stride, dilation), number
    )
    return numbers.Numbers(total, c.a)


def _fold(c: Any, shape: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Any:
    n = len(shape)
    places, size = c.shape[-2 * n : -n], c.shape[-n:]
    out: Any = np.zeros((*c.shape[: -2 * n], *shape), c.dtype)
    for at in np.ndindex(*size):
        spots = (
            slice(i * d, i * d + (m - 1) * s + 1, s) for i, d, s, m in zip(at, dilation, stride, places, strict=True)
        )
        out[(..., *spots)] += c[(..., *at)]
    return out


def concat(xs: Sequence[Array], axis: int) -> Any:
    """One behind the other along an axis."""
    if not any(isinstance(x, Marked) for x in xs):
        return np.concatenate(xs, axis)
    arithmetic, at = xs[0].a, _axis(xs[0], axis)
    lead = np.broadcast_shapes(*(x.v.shape[: arithmetic.hidden] for x in xs))
    parts = [np.broadcast_to(x.v, (*lead, *x.v.shape[arithmetic.hidden :])) for x in xs]
    return numbers.Numbers(np.concatenate(parts, at), arithmetic)


def _axis(x: Array, axis: int) -> int:
    """An axis of one run, behind the hidden ones."""
    return int(x.a.hidden + axis % x.ndim)
