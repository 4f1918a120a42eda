"""What is an array of numbers whose every operation goes through an arithmetic? One that shows the shape of one run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.arithmetic.words import Irrational, Marked
from isograd.dtypes import FORMATS

Array = NDArray[Any]

LISTED = (
    "expected + − × ÷ @, comparisons, abs, and the words of isograd.arithmetic.words (exp log log1p expm1 tanh sqrt "
    "erf sin cos sign power maximum minimum where around sum max pick take_at put_at take scatter_add one_hot reshape "
    "transpose expand pad windows fold concat constant row up_to equals of_step)"
)


def not_listed(what: str) -> TypeError:
    """The error for an operation of which nobody knows how it rounds."""
    return TypeError(f"{what}: {LISTED}; of anything else nobody knows how it rounds")


class Arithmetic(ABC):
    """How numbers are held, and what becomes of an operation's result.

    Attributes:
        name: as people say it.
        dtype: of the arrays that hold them.
        hidden: leading axes that rules do not see: of runs, and of steps that run side by side.
        exact: fractions, which nothing rounds and not every function is defined for.
    """

    hidden = 0
    exact = False

    def __init__(self, name: str, dtype: Any, scenario: str = "float64") -> None:
        self.name, self.dtype = name, np.dtype(dtype)
        # kernels of 16-bit numbers compute in float32, and take their constants so
        self.rounded = FORMATS[scenario if FORMATS[scenario].accumulates else "float32"].dtype.type
        self.constant = lru_cache(maxsize=256)(self._constant)

    # ------------------------------------------------------------ in and out

    def array(self, values: Array, steps: bool = False) -> Any:
        """Values as numbers of this arithmetic, floats or whole numbers; ``steps``: the first axis counts steps."""
        return Numbers(self._led(values if values.dtype.kind in "iu" else self.taken(values), steps), self)

    def scalar(self, value: Any) -> Any:
        """A learning rate; of several steps an array of them."""
        values = np.asarray(value, np.float64)
        return self.array(values, bool(values.ndim))

    def count(self, value: Any) -> Any:
        """The number of a step, unrounded; of several steps an array of them."""
        return Numbers(self._led(np.asarray(value).astype(self.dtype), bool(np.ndim(value))), self)

    def plain(self, value: Any) -> Array:
        """An array with the hidden axes leading; of fractions or 50 digits in float64."""
        v = value.v if isinstance(value, Numbers) else np.asarray(value)
        return v.astype(np.float64) if v.dtype == object else v

    def held(self, values: Any) -> Any:
        """Plain values, hidden axes leading, as numbers again."""
        return Numbers(self.taken(np.asarray(values)), self)

    def _led(self, values: Array, steps: bool) -> Array:
        return values

    def taken(self, values: Array) -> Array:
        """Floats as this arithmetic holds them."""
        return values.astype(self.dtype, copy=False)

    def _constant(self, value: float) -> Any:
        """A number that stands in a rule: rounded as a kernel rounds its arguments."""
        return float(self.rounded(value))

    def irrational(self, value: Irrational) -> Any:
        """A constant that no double is."""
        return self.constant(float(value))

    # ------------------------------------------------------------ what becomes of results

    @abstractmethod
    def operate(self, ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """The result of ``ufunc``, or of its ``method`` "reduce", on plain arrays; not of comparisons."""

    def summed(self, total: Array, magnitude: Callable[[slice], Array], number: Any) -> Array:
        """What becomes of sums that are no ufunc's.

        Args:
            total: the sums.
            magnitude: gives the sums of the terms' absolute values; of some of the first axis, as of the first run.
            number: how many terms each has.
        """
        return total

    def raised(self, base: float, t: Array) -> Array:
        """A constant to the power of a step's number, which is no 16-bit number anywhere."""
        return np.asarray(self.constant(base) ** t)

    def chosen(self, result: Array, condition: Array, values: Any, others: Any) -> Array:
        """What becomes of `where`'s result: nothing."""
        return result

    def around(self, z: Array) -> Array:
        """What a function with its slope at 0 is computed from."""
        return z

    def sides(self, a: Any, b: Any) -> Array:
        """Where ``a`` lies beside ``b``: 1 above, −1 below, 0 on it, `UNORDERED` where either is NaN; as int8."""
        above, below = np.greater(a, b), np.less(a, b)
        sides = np.asarray(above).astype(np.int8) - below
        return np.asarray(np.where(above | below | np.equal(a, b), sides, UNORDERED)).astype(np.int8)

    def winners(self, x: Array, axis: int) -> Array:
        """The index of the largest along an axis."""
        return np.asarray(x.argmax(axis=axis))


UNORDERED = 9

NONE: dict[str, Any] = {}


class Exact(float):
    """A factor that is no constant of a kernel, and not rounded as one: what a change is solved for."""


class Numbers(Marked):
    """An array in an arithmetic, as what is computed from it is. Its shape, axes and indices are those of one run."""

    __slots__ = ("_sides", "a", "v")
    _sides: list[tuple[Any, Array]]

    def __init__(self, v: Array, a: Arithmetic) -> None:
        self.v, self.a = v, a

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one run."""
        return self.v.shape[self.a.hidden :]

    @property
    def ndim(self) -> int:
        """Of one run."""
        return self.v.ndim - self.a.hidden

    @property
    def mT(self) -> Numbers:  # as NumPy calls it
        """The last two axes exchanged."""
        return Numbers(self.v.mT, self.a)

    def __getitem__(self, index: Any) -> Numbers:
        parts = index if isinstance(index, tuple) else (index,)
        if any(not (part is None or part is Ellipsis or isinstance(part, (int, slice))) for part in parts):
            raise not_listed("an index that is an array")
        return Numbers(self.v[(*[slice(None)] * self.a.hidden, *parts)], self.a)

    def __neg__(self) -> Numbers:
        return Numbers(np.asarray(np.negative(self.v)), self.a)

    def __abs__(self) -> Numbers:
        return Numbers(np.asarray(np.abs(self.v)), self.a)

    def __invert__(self) -> Numbers:
        return Numbers(~self.v, self.a)

    def __and__(self, other: Numbers) -> Numbers:
        return Numbers(self.v & other.v, self.a)

    def __or__(self, other: Numbers) -> Numbers:
        return Numbers(self.v | other.v, self.a)

    # comparisons of one pair follow from where the one lies beside the other, which is decided once

    def __gt__(self, other: Any) -> Numbers:
        return Numbers(self.sides(other) == 1, self.a)

    def __lt__(self, other: Any) -> Numbers:
        return Numbers(self.sides(other) == -1, self.a)

    def __ge__(self, other: Any) -> Numbers:
        sides = self.sides(other)
        return Numbers((sides == 1) | (sides == 0), self.a)

    def __le__(self, other: Any) -> Numbers:
        sides = self.sides(other)
        return Numbers((sides == -1) | (sides == 0), self.a)

    def __eq__(self, other: object) -> Numbers:  # type: ignore[override]
        return Numbers(self.sides(other) == 0, self.a)

    def __ne__(self, other: object) -> Numbers:  # type: ignore[override]
        return Numbers(self.sides(other) != 0, self.a)

    __hash__ = None  # type: ignore[assignment]
    __iter__ = None

    def sides(self, other: Any) -> Array:
        """Where each number lies beside another (`Arithmetic.sides`), the same whenever it is asked for."""
        known: list[tuple[Any, Array]] | None = getattr(self, "_sides", None)
        if known is None:
            known = self._sides = []
        for to, sides in known:
            if to is other or (isinstance(other, (int, float)) and isinstance(to, (int, float)) and to == other):
                return sides
        a, b = operands(self.a, self, other)
        sides = self.a.sides(a, b)
        known.append((other, sides))
        return sides

    def __bool__(self) -> bool:
        raise not_listed("a condition that hangs on numbers")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        raise not_listed(f"np.{ufunc.__name__}" if method == "__call__" else f"np.{ufunc.__name__}.{method}")

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        raise not_listed(f"np.{function.__name__}")

    def __array__(self, *args: Any, **options: Any) -> Array:
        raise not_listed("np.asarray")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise not_listed(f".{name}")

    def __repr__(self) -> str:
        return f"{self.a.name} numbers of shape {self.shape}"


def operands(arithmetic: Arithmetic, *values: Any) -> list[Any]:
    """Plain operands: constants rounded, and arrays of different ranks aligned behind the hidden axes."""
    out: list[Any] = []
    ranks = set()
    for value in values:
        if isinstance(value, Numbers):
            out.append(value.v)
            ranks.add(value.v.ndim)
        elif type(value) is float:
            out.append(arithmetic.constant(value))
        elif isinstance(value, Irrational):
            out.append(arithmetic.irrational(value))
        elif isinstance(value, Exact):
            out.append(float(value))
        elif isinstance(value, int):
            out.append(value)
        else:
            raise not_listed(f"an operand of type {type(value).__name__}")
    if arithmetic.hidden and len(ranks) > 1:
        rank = max(ranks)
        out = [_of_rank(v, rank, arithmetic.hidden) if isinstance(v, np.ndarray) else v for v in out]
    return out


def _of_rank(v: Array, rank: int, hidden: int) -> Array:
    more = rank - v.ndim
    return v.reshape(*v.shape[:hidden], *[1] * more, *v.shape[hidden:]) if more else v


def _forward(ufunc: np.ufunc) -> Any:
    def apply(self: Numbers, other: Any) -> Any:
        a = self.a
        if other.__class__ is Numbers and (not a.hidden or other.v.ndim == self.v.ndim):  # as most are
            return Numbers(a.operate(ufunc, "__call__", (self.v, other.v), NONE), a)
        return Numbers(a.operate(ufunc, "__call__", operands(a, self, other), NONE), a)

    return apply


def _reflected(ufunc: np.ufunc) -> Any:
    def apply(self: Numbers, other: Any) -> Any:
        return Numbers(self.a.operate(ufunc, "__call__", operands(self.a, other, self), NONE), self.a)

    return apply


for _name, _ufunc in {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "truediv": np.divide,
    "matmul": np.matmul,
}.items():
    setattr(Numbers, f"__{_name}__", _forward(_ufunc))
    setattr(Numbers, f"__r{_name}__", _reflected(_ufunc))


class Held(Arithmetic):
    """NumPy's own operations on what is held: floats wider than the scenario's dtype, 50 digits, fractions."""

    def operate(self, ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """As they are."""
        return np.asarray(getattr(ufunc, method)(*inputs, **options))


class Native(Held):
    """The scenario's own dtype, or a wider one that no constant tells from it: NumPy's own arrays, nothing between."""

    def array(self, values: Array, steps: bool = False) -> Any:
        """NumPy's own."""
        return values if values.dtype.kind in "iu" else values.astype(self.dtype, copy=False)

    def scalar(self, value: Any) -> Any:
        """NumPy's own; an array without axes is quicker to compute with than a scalar."""
        return np.array(value, self.dtype)

    def count(self, value: Any) -> Any:
        """NumPy's own."""
        return self.dtype.type(value)

    def plain(self, value: Any) -> Any:
        """NumPy's own."""
        return value

    def held(self, values: Any) -> Any:
        """NumPy's own."""
        return np.asarray(values, self.dtype)
