"""What are the floating-point formats: their precision, their range, and their NumPy dtype?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Format:
    """A binary floating-point format.

    Attributes:
        dtype: NumPy's; bfloat16 is ml_dtypes'.
        digits: binary digits of the significand, with the hidden one.
        roundoff: unit roundoff u of round-to-nearest, half the spacing of the numbers in [1, 2).
        smallest: the smallest number above zero; what an underflow can cost.
        largest: the largest finite number, beyond which a right result is infinite.
    """

    dtype: np.dtype[Any]
    digits: int
    smallest: float
    largest: float

    @property
    def roundoff(self) -> float:
        """2⁻ᵖ for p digits."""
        return 2.0**-self.digits

    @property
    def normal(self) -> float:
        """The smallest number with all its digits; below it, some libraries give 0."""
        return self.smallest * 2.0 ** (self.digits - 1)

    @property
    def accumulates(self) -> bool:
        """Whether libraries add up long sums in this very format: 16-bit numbers are added up in float32."""
        return self.dtype.itemsize > 2

    def spacing(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """One ULP of each value: the distance between neighbours in the binade that it lies in; at 0 the smallest."""
        exponent = np.frexp(values)[1]
        ulp = np.maximum(np.ldexp(1.0, exponent - self.digits), self.smallest)
        return np.asarray(np.where(values == 0, self.smallest, ulp))

    def held(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values, those beyond the range as the infinities that they round to (IEEE 754-2019, section 4.3.1)."""
        beyond = np.abs(values) >= self._beyond
        return np.where(beyond, np.copysign(np.inf, values), values) if beyond.any() else values

    def holds(self, values: NDArray[Any]) -> bool:
        """Whether none of the values is beyond the range, nor NaN."""
        return bool(np.abs(values).max(initial=0.0) < self._beyond)

    @cached_property
    def _beyond(self) -> float:
        return self.largest + float(self.spacing(np.asarray(self.largest))) / 2


# IEEE 754-2019, table 3.5; bfloat16 is float32 with 16 bits fewer (Intel, BFLOAT16 Hardware Numerics Definition, 2018).
FORMATS = {
    "float16": Format(np.dtype(np.float16), 11, 2.0**-24, 65504.0),
    "bfloat16": Format(np.dtype(ml_dtypes.bfloat16), 8, 2.0**-133, (2 - 2.0**-7) * 2.0**127),
    "float32": Format(np.dtype(np.float32), 24, 2.0**-149, (2 - 2.0**-23) * 2.0**127),
    "float64": Format(np.dtype(np.float64), 53, 2.0**-1074, (2 - 2.0**-52) * 2.0**1023),
}
