"""How can every operation round differently from the hardware? Arrays that hand each result to a rounding."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from isograd.dtypes import FORMATS
from isograd.inputs import Array


class Rounding(ABC):
    """What becomes of an operation's result."""

    @abstractmethod
    def operate(self, ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """The result of ``ufunc``, or of its ``method`` "reduce", on plain arrays, rounded; comparisons give bools."""

    def taken(self, values: Array) -> Array:
        """``values`` as they are taken in."""
        return values

    def chosen(self, result: Array, condition: Array, values: Any, others: Any) -> Array:
        """What becomes of `np.where`'s result: nothing."""
        return result

    def around(self, z: Array) -> Array:
        """What a function with its slope at 0 is computed from: ``z`` itself."""
        return z

    def rounded(self, values: Array) -> Rounded:
        """``values`` as an array whose operations are rounded so."""
        out = values.view(Rounded)
        out.rounding = self
        return out


class Rounded(np.ndarray):
    """An array of which every operation goes through a `Rounding`; what is computed from it is one too."""

    rounding: Rounding

    def __array_finalize__(self, parent: Any) -> None:
        self.rounding = getattr(parent, "rounding", None)  # type: ignore[assignment]  # set before any operation

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        result = self.rounding.operate(ufunc, method, [plain(value) for value in inputs], options)
        return result if result.dtype == bool else self.rounding.rounded(result)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        """`np.where` and the like pick values and round nothing."""
        values = [plain(value) for value in args]
        result = np.asarray(function(*values, **options))
        return self.rounding.rounded(self.rounding.chosen(result, *values) if function is np.where else result)


def plain(value: Any) -> Any:
    """A `Rounded` array as NumPy's own, anything else as it is."""
    return value.view(np.ndarray) if isinstance(value, Rounded) else value


class Narrow(Rounding):
    """Every operation in float32, and its result rounded to 16 bits; sums and products of matrices as a whole.

    So do the frameworks' kernels on a CPU; NumPy's own float16 adds up rows in float16, where a thousand like terms are
    off by a tenth. Rounding twice is no different from rounding once, since 24 ≥ 2 · 11 + 2 digits (Figueroa, *When is
    double rounding innocuous?*, SIGNUM Newsletter 30, 1995).

    Args:
        dtype: float16 or bfloat16.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = FORMATS[dtype].dtype

    def taken(self, values: Array) -> Array:
        """Rounded, and held in float32."""
        with np.errstate(over="ignore"):
            return np.asarray(values.astype(self.dtype).astype(np.float32))

    def operate(self, ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """Computed in float32, and rounded once."""
        result = np.asarray(getattr(ufunc, method)(*inputs, **options))
        return result if result.dtype == bool else self.taken(result)


class Tf32(Rounding):
    """Products of matrices as a GPU's tensor cores take them: inputs rounded to 11 digits, sums in float32.

    NVIDIA, *A100 Tensor Core GPU Architecture* (2020): TF32 has float32's exponent and float16's mantissa of 10 bits.
    """

    def operate(self, ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """Only `matmul` is different."""
        if ufunc is np.matmul:
            inputs = [to_digits(np.asarray(value, np.float32), 11) for value in inputs]
        return np.asarray(getattr(ufunc, method)(*inputs, **options))


def to_digits(values: Array, digits: int) -> Array:
    """``values`` rounded to so many binary digits, in their own dtype."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, digits)), exponent - digits))
