"""In which arithmetic do the rules run? NumPy's floats, narrower and wider ones, 50 digits, or exact fractions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from isograd.backends.numpy_manual.rounded import Narrow, Rounded, Rounding, Tf32, plain
from isograd.inputs import Array

DIGITS = 50  # three times float64's 16: its error is far below anything that a comparison in float64 can see


@dataclass(frozen=True)
class Arithmetic:
    """How numbers are held: ``array`` and ``constant`` take them in; the operators of what they give do the rest."""

    name: str
    dtype: np.dtype[Any]
    constant: Callable[[float], Any]
    exact: bool = False
    rounds: bool = True  # a constant is rounded to the scenario's dtype before it is taken in
    rounding: Rounding | None = None

    def array(self, values: Array) -> Array:
        """``values`` in this arithmetic, without a copy where they are already."""
        if self.rounding:
            return self.rounding.rounded(self.rounding.taken(values.astype(self.dtype)))
        if self.dtype != object:
            return values.astype(self.dtype, copy=False)
        return np.array([self.constant(float(v)) for v in values.flat], dtype=object).reshape(values.shape)


def exp(z: Array) -> Array:
    """eᶻ in z's own arithmetic; TypeError for fractions, which have none."""
    if z.dtype != object:
        e: Array = np.exp(z)
        return e
    return np.asarray(np.frompyfunc(_exp, 1, 1)(z))


def around(z: Array) -> Array:
    """``z`` for a function with its slope at 0; of many noisy runs one is put there where rounding can carry it."""
    return z.rounding.rounded(z.rounding.around(plain(z))) if isinstance(z, Rounded) else z


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
    """The fraction that a person wrote: 0.01 is 1/100, not the double nearest to it, which is `exact`'s."""
    return Fraction(repr(value))


def _narrow(dtype: str) -> Arithmetic:
    """16 bits, held in float32."""
    rounding = Narrow(dtype)
    constant = lambda value: rounding.taken(np.array(value, np.float32))[()]  # noqa: E731
    return Arithmetic(dtype, np.dtype(np.float32), constant, rounding=rounding)


def has_extended() -> bool:
    """Whether this machine's long double has at least 11 digits more than float64, as x86's has."""
    return np.finfo(np.longdouble).nmant >= 63


def make_arithmetic(name: str) -> Arithmetic:
    """The arithmetic of that name; ValueError with the list of names otherwise."""
    if name in ARITHMETICS:
        return ARITHMETICS[name]
    raise ValueError(f"arithmetic: expected one of {', '.join(ARITHMETICS)}; got {name!r}")


ARITHMETICS = {
    arithmetic.name: arithmetic
    for arithmetic in (
        _narrow("float16"),
        _narrow("bfloat16"),
        Arithmetic("tf32", np.dtype(np.float32), np.float32, rounding=Tf32()),
        Arithmetic("float32", np.dtype(np.float32), np.float32),
        Arithmetic("float64", np.dtype(np.float64), np.float64),
        Arithmetic("extended", np.dtype(np.longdouble), np.longdouble),
        Arithmetic("mp50", np.dtype(object), lambda value: _mp().mpf(value)),
        Arithmetic("rational", np.dtype(object), _fraction, exact=True, rounds=False),
        Arithmetic("exact", np.dtype(object), Fraction, exact=True),
    )
}
