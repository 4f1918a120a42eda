"""In which arithmetic do the rules run? NumPy's floats, narrower and wider, 50 digits, exact fractions, or with noise.

Each is a closed list of operations (`isograd.arithmetic.words`) and what becomes of their results.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # words are imported without NumPy, and so this package is
    from isograd.arithmetic.numbers import Arithmetic


def has_extended() -> bool:
    """Whether this machine's long double has at least 11 digits more than float64, as x86's has."""
    import numpy as np

    return bool(np.finfo(np.longdouble).nmant >= 63)


@lru_cache(maxsize=64)
def make_arithmetic(name: str, dtype: str, narrows: bool = True) -> Arithmetic:
    """The arithmetic of that name, for a scenario of a dtype; ValueError with the list of names otherwise.

    Args:
        name: of `ARITHMETICS`.
        dtype: the scenario's, to which the constants of rules are rounded first, as a kernel does.
        narrows: some constant is another number then.
    """
    if name not in ARITHMETICS:
        raise ValueError(f"arithmetic: expected one of {', '.join(ARITHMETICS)}; got {name!r}")
    return ARITHMETICS[name](name, dtype, narrows)


def _floats(name: str, dtype: str, narrows: bool) -> Arithmetic:
    """NumPy's own, where no constant needs to be rounded to another dtype first."""
    from isograd.arithmetic.numbers import Held, Native

    kept = "longdouble" if name == "extended" else name
    return (Held if narrows and name != dtype else Native)(name, kept, dtype)


def _narrow(name: str, dtype: str, narrows: bool) -> Arithmetic:
    from isograd.arithmetic.rounded import Narrow

    return Narrow(name)


def _tf32(name: str, dtype: str, narrows: bool) -> Arithmetic:
    from isograd.arithmetic.rounded import Tf32

    return Tf32()


def _digits(name: str, dtype: str, narrows: bool) -> Arithmetic:
    from isograd.arithmetic.exact import Digits

    return Digits(name, object, dtype)


def _fractions(name: str, dtype: str, narrows: bool) -> Arithmetic:
    from isograd.arithmetic.exact import Fractions

    return Fractions(name, dtype, written=name == "rational")


ARITHMETICS: dict[str, Callable[[str, str, bool], Arithmetic]] = {
    "float16": _narrow,
    "bfloat16": _narrow,
    "tf32": _tf32,
    "float32": _floats,
    "float64": _floats,
    "extended": _floats,
    "mp50": _digits,
    "rational": _fractions,
    "exact": _fractions,
}
