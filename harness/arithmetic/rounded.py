"""How can every operation round differently from the hardware? Each result is handed to a rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isograd.arithmetic.numbers import Arithmetic, Array, Numbers
from isograd.dtypes import FORMATS


class Narrow(Arithmetic):
    """Every operation in float32, and its result rounded to 16 bits; sums and products of matrices as a whole.

    So do the frameworks' kernels on a CPU; NumPy's own float16 adds up rows in float16, where a thousand like terms are
    off by a tenth. Rounding twice is no different from rounding once, since 24 ≥ 2 · 11 + 2 digits (Figueroa, *When is
    double rounding innocuous?*, SIGNUM Newsletter 30, 1995).

    Args:
        dtype: float16 or bfloat16.
    """

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype, np.float32, dtype)
        self.kept = FORMATS[dtype].dtype

    def taken(self, values: Array) -> Array:
        """Rounded, and held in float32."""
        with np.errstate(over="ignore"):
            return np.asarray(values.astype(self.kept).astype(np.float32))

    def scalar(self, value: Any) -> Any:
        """A learning rate as it is given: what is narrow is the computation."""
        return Numbers(np.asarray(value, np.float32), self)

    def operate(self, ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """Computed in float32, and rounded once."""
        return self.taken(np.asarray(getattr(ufunc, method)(*inputs, **options)))

    def summed(self, total: Array, magnitude: Callable[[slice], Array], number: Any) -> Array:
        """Rounded once."""
        return self.taken(total)


class Tf32(Arithmetic):
    """Products of matrices as a GPU's tensor cores take them: inputs rounded to 11 digits, sums in float32.

    NVIDIA, *A100 Tensor Core GPU Architecture* (2020): TF32 has float32's exponent and float16's mantissa of 10 bits.
    """

    def __init__(self) -> None:
        super().__init__("tf32", np.float32, "float32")

    def operate(self, ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """Only `matmul` is different."""
        if ufunc is np.matmul:
            inputs = [to_digits(np.asarray(value, np.float32), 11) for value in inputs]
        return np.asarray(getattr(ufunc, method)(*inputs, **options))


def to_digits(values: Array, digits: int) -> Array:
    """``values`` rounded to so many binary digits, in their own dtype."""
    mantissa, exponent = np.frexp(values)
    return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, digits)), exponent - digits))
