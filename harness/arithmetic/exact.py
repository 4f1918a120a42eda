"""How do the rules run with 50 digits, or with fractions that nothing rounds?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from isograd.arithmetic.numbers import Array, Held
from isograd.arithmetic.words import WORDS, Irrational

DIGITS = 50  # three times float64's 16: its error is far below anything that a comparison in float64 can see


class _Objects(Held):
    """Arrays of Python's numbers."""

    def taken(self, values: Array) -> Array:
        """One by one."""
        if values.dtype == object:
            return values
        return np.array([self.number(float(v)) for v in values.flat], dtype=object).reshape(values.shape)

    def number(self, value: float) -> Any:
        """A number of the data."""
        raise NotImplementedError

    def _constant(self, value: float) -> Any:
        return self.number(super()._constant(value))

    def count(self, value: Any) -> Any:
        """An integer."""
        return self.held(np.asarray(int(value), dtype=object))


class Digits(_Objects):
    """50 digits, by mpmath."""

    def number(self, value: float) -> Any:
        """The float64 itself."""
        return _mp().mpf(value)

    def irrational(self, value: Irrational) -> Any:
        """All of its decimals."""
        return _mp().mpf(value.decimals)

    def operate(self, ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """Functions by mpmath, all else as Python does it."""
        name = getattr(ufunc, "name", None) or getattr(ufunc, "__name__", "")
        if name in WORDS:
            return np.asarray(np.frompyfunc(getattr(_mp(), name), 1, 1)(inputs[0]), dtype=object)
        return np.asarray(super().operate(ufunc, method, inputs, options), dtype=object)


class Fractions(_Objects):
    """Fractions, of a scenario's numbers as they are.

    Args:
        name: as people say it.
        scenario: the scenario's dtype.
        written: numbers are the decimals that a person wrote: 0.01 is 1/100, not the double nearest to it.
    """

    exact = True

    def __init__(self, name: str, scenario: str, written: bool = False) -> None:
        super().__init__(name, object, scenario)
        self.written = written

    def number(self, value: float) -> Any:
        """The fraction that a number is, or that was written."""
        return Fraction(repr(value)) if self.written else Fraction(value)

    def _constant(self, value: float) -> Any:
        return self.number(value) if self.written else super()._constant(value)

    def operate(self, ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """TypeError for a function whose value is no fraction."""
        name = getattr(ufunc, "name", None) or getattr(ufunc, "__name__", "")
        if name in WORDS:  # mpmath would take a fraction, and quietly give digits
            raise TypeError(f"{name}: a fraction has none that is one")
        return np.asarray(super().operate(ufunc, method, inputs, options), dtype=object)


@cache
def _mp() -> Any:
    """A context of our own, so that nobody else's precision is touched; imported at first use."""
    from mpmath import MPContext

    context = MPContext()
    context.dps = DIGITS
    return context
