"""In which arithmetic do the rules run? NumPy's floats, 50 digits, or exact fractions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from harness.inputs import Array

DIGITS = 50  # three times float64's 16: its error is far below anything that a comparison in float64 can see


@dataclass(frozen=True)
class Arithmetic:
    """How numbers are held: ``array`` and ``constant`` take them in; the operators of what they give do the rest."""

    name: str
    dtype: np.dtype[Any]
    constant: Callable[[float], Any]
    exact: bool = False

    def array(self, values: Array) -> Array:
        """``values`` in this arithmetic, without a copy where they are already."""
        if self.dtype != object:
            return values.astype(self.dtype, copy=False)
        return np.array([self.constant(float(v)) for v in values.flat], dtype=object).reshape(values.shape)


def exp(z: Array) -> Array:
    """eᶻ in z's own arithmetic; TypeError for fractions, which have none."""
    if z.dtype != object:
        return np.asarray(np.exp(z))
    return np.asarray(np.frompyfunc(_exp, 1, 1)(z))


def _exp(value: Any) -> Any:
    if isinstance(value, Fraction):  # mpmath would take it, and quietly give digits for a fraction
        raise TypeError("a fraction has no exponential that is one")
    return _mp().exp(value)


@cache
def _mp() -> Any:
    """A context of our own, so that nobody else's precision is touched; imported at first use."""
    from mpmath import MPContext

    context = MPContext()
    context.dps = DIGITS
    return context


def _fraction(value: float) -> Fraction:
    """The fraction that a person wrote: 0.01 is 1/100, not the double nearest to it."""
    return Fraction(repr(value))


def make_arithmetic(name: str) -> Arithmetic:
    """The arithmetic of that name; ValueError with the list of names otherwise."""
    if name in FLOATS:
        return Arithmetic(name, np.dtype(name), np.dtype(name).type)
    if name == "mp50":
        return Arithmetic(name, np.dtype(object), lambda value: _mp().mpf(value))
    if name == "rational":
        return Arithmetic(name, np.dtype(object), _fraction, exact=True)
    raise ValueError(f"arithmetic: expected one of {', '.join((*FLOATS, 'mp50', 'rational'))}; got {name!r}")


FLOATS = ("float16", "float32", "float64")
