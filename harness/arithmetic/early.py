"""Where could a right library overflow that another does not? The rules, overflowing as early as any order can.

Whether 3e38 + 3e38 − 3e38 is 3e38 or infinite in float32 is a question of order, and so is whether 2 (ŷ − y) / n is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isograd.arithmetic.noisy import EXACT
from isograd.arithmetic.numbers import Arithmetic, Array
from isograd.dtypes import FORMATS, Format

MARGIN = 0.5
"""Beyond this part of the largest number a result is infinite here: some libraries double it before they divide."""


class Early(Arithmetic):
    """Every result in the dtype; infinite beyond half of its range, and a sum where some order of its terms can be.

    Args:
        dtype: the scenario's.
    """

    def __init__(self, dtype: str) -> None:
        super().__init__("early", np.float64, dtype)
        self.format: Format = FORMATS[dtype]
        self.limit = MARGIN * self.format.largest

    def operate(self, ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """The result as early as it can be infinite, or NaN."""
        result = np.asarray(getattr(ufunc, method)(*inputs, **options))
        if ufunc in EXACT:
            return result
        if ufunc is np.matmul:
            a, b = inputs
            return self._summed(result, np.abs(a) @ np.abs(b), _finite(a) @ _finite(b))
        if method == "reduce":
            (terms,) = inputs
            return self._summed(result, np.add.reduce(np.abs(terms), **options), _finite(terms).sum(**options))
        return self._held(result)

    def summed(self, total: Array, magnitude: Callable[[slice], Array], number: Any) -> Array:
        """A sum that may overflow in some order."""
        size = magnitude(slice(None))
        return self._summed(total, size, size)

    def chosen(self, result: Array, condition: Array, values: Any, others: Any) -> Array:
        """`np.where`: libraries multiply by the mask, and 0 times what is not finite is NaN."""
        lost = ~np.where(condition, np.isfinite(others), np.isfinite(values))
        return np.where(lost, np.nan, result)

    def _summed(self, total: Array, magnitude: Array, finite: Array) -> Array:
        """A sum, infinite or NaN where its terms of one sign or of both can be beyond the range in some order.

        Args:
            total: the sum.
            magnitude: the sum of the terms' absolute values.
            finite: likewise, of those that are finite.
        """
        whole = np.isfinite(magnitude)
        plus, minus = (np.where(whole, magnitude + sign * total, 0) / 2 >= self.limit for sign in (1, -1))
        total = np.where(plus, np.inf, np.where(minus, -np.inf, total))
        return self._held(np.where(plus & minus | ~whole & (finite >= self.limit), np.nan, total))

    def _held(self, result: Array) -> Array:
        beyond = np.abs(result) >= self.limit
        return np.where(beyond, np.copysign(np.inf, result), result).astype(self.format.dtype).astype(np.float64)


def _finite(values: Array) -> Array:
    """Absolute values, with 0 for those that are not finite."""
    return np.where(np.isfinite(values), np.abs(values), 0.0)
