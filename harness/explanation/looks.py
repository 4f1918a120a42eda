"""What does a difference look like, whether anything accounts for it or not? The worst elements, and a phrase."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from isograd.dtypes import FORMATS
from isograd.envelope import Floats
from isograd.explanation.local import Local
from isograd.explanation.localise import Place
from isograd.explanation.rerun import Rerun
from isograd.quantities import kind
from isograd.trace import FLOATS

ALIKE = 1e-3
"""Of the largest difference: how far a difference of rank 1 may be from one. A phrase hangs on it, no verdict."""


@dataclass(frozen=True)
class Look:
    """A quantity that is wrong at a step, beside what it should be.

    Attributes:
        name: the quantity.
        right: what the rules give.
        got: what the trace has, of the same shape.
        bound: how far each element may be off.
    """

    name: str
    right: Floats
    got: Floats
    bound: Floats

    @cached_property
    def off(self) -> Floats:
        """How far each element is off; infinite where only one of the two is a finite number."""
        alike = (self.got == self.right) | (np.isnan(self.got) & np.isnan(self.right))
        return np.where(alike, 0.0, np.nan_to_num(np.abs(self.got - self.right), nan=np.inf))

    @cached_property
    def outside(self) -> NDArray[np.bool_]:
        """Which elements are."""
        return np.asarray(~(self.off <= self.bound))

    def within(self, other: Floats, *, slack: float = 1.0) -> bool:
        """Whether it is, everywhere, another tensor; elements of one tensor share the largest bound."""
        off = np.abs(self.got - other)
        return bool((off <= slack * self.bound.max(initial=0.0)).all())


def worst_elements(local: Local, place: Place, rerun: Rerun, rows: int = 4) -> list[tuple[str, float, float]]:
    """The elements of the first quantity that are furthest off: index, reference, trace."""
    if place.first not in rerun.names:
        return []
    look = look_at(local, place, rerun)
    off = look.off.ravel()
    worst = np.flatnonzero(off >= np.partition(off, -rows)[-rows]) if off.size > rows else np.arange(off.size)
    worst = worst[np.argsort(-off[worst], kind="stable")][:rows]
    at = [np.unravel_index(i, look.got.shape) if look.got.ndim else () for i in worst if off[i] > 0]
    return [(str([int(k) for k in i]) if i else "", float(look.right[i]), float(look.got[i])) for i in at]


def pattern(local: Local, place: Place, rerun: Rerun) -> str:
    """Where the difference is, and what it looks like."""
    if not local.fits(place.first):
        return misfit(local, place, rerun)
    where = f"local to {', '.join(place.guilty)}" if place.guilty else f"first in {place.first}"
    if place.first not in rerun.names:
        return where
    return f"{where} at step {place.step}; {next(_looks(local, place, rerun))}"


def look_at(local: Local, place: Place, rerun: Rerun) -> Look:
    """The first quantity, which has the shape that it should have."""
    got, right = local.recorded(place.first, place.step), rerun.ruled(place.first, place.step)
    return Look(place.first, right, got, rerun.bound(place.first, place.step))


# ---------------------------------------------------------------- what has another form


def misfit(local: Local, place: Place, rerun: Rerun) -> str:
    """What is wrong with a quantity that cannot be compared element by element: a name, a dtype or a shape."""
    name, column, expected = place.first, local.trace.columns[place.first], local.shapes.get(place.first)
    if expected is None:
        return f"{name} is no quantity of this scenario"
    if column.dtype not in FLOATS:
        return f"{name} holds {column.dtype}, expected {local.scenario.dtype}"
    came = column.shape[1:]
    form = _form(came, expected)
    numbers = f": {form}{_numbers(local, place, rerun)}" if form else ""
    return f"{name} has shape {came}, expected {expected}{numbers}"


def _form(came: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """How one shape comes from another, if it is by something that people do."""
    without = [tuple(n for n in shape if n != 1) for shape in (came, expected)]
    more = len(came) - len(expected)
    if came == expected[::-1]:
        return "it is transposed"
    if without[0] == without[1] and more:
        number = "an axis" if abs(more) == 1 else f"{abs(more)} axes"
        return f"it has {number} too many" if more > 0 else f"it lacks {number}"
    if prod(came) == prod(expected):
        return "it is reshaped"
    rest = [(a, b) for a, b in zip(came, expected, strict=False) if a != b]
    if not more and len(rest) == 1:
        axis = next(i for i, (a, b) in enumerate(zip(came, expected, strict=True)) if a != b)
        return f"it has {came[axis]} where axis {axis} should have {expected[axis]}"
    return ""


def _numbers(local: Local, place: Place, rerun: Rerun) -> str:
    """Whether its numbers, in the shape that they should have, are right; "" where that cannot be said."""
    name, expected = place.first, local.shapes[place.first]
    got, right = local.recorded(name, place.step), rerun.ruled(name, place.step)
    if got.size != prod(expected):
        return ""
    value = got.T if got.shape == expected[::-1] else got.reshape(expected)
    value = value[: len(right)] if right.ndim else value  # of a smaller batch its own rows
    alike = not Look(name, right, value, rerun.bound(name, place.step)).outside.any()
    return ", and its numbers are right" if alike else ""


# ---------------------------------------------------------------- what has other numbers


def _looks(local: Local, place: Place, rerun: Rerun) -> Iterator[str]:
    """All that it looks like, the most telling first."""
    look = look_at(local, place, rerun)
    got, right = look.got, look.right
    wild = ~np.isfinite(got) & np.isfinite(right)
    if wild.any():
        yield f"{np.count_nonzero(wild)} of {got.size} elements are not finite numbers"
    if got.size > 1 and np.count_nonzero(look.outside) == 1:
        yield f"one element of {got.size} is off"
    yield from _a_ratio(look)
    yield from _something_else(local, place, rerun, look)
    if got.ndim == 2 and got.shape[0] == got.shape[1] and look.within(right.T):
        yield "it is the transpose of the reference"
    if got.size > 1 and np.isfinite(got).all() and _in_another_order(look):
        yield "it has the reference's elements in another order"
    for dtype in ("bfloat16", "float16", "float32"):
        if FORMATS[dtype].digits < FORMATS[local.scenario.dtype].digits and _only_digits_lack(look, dtype):
            yield f"its numbers have no more digits than {dtype} has"
    if got.ndim == 2 and _in_rows_and_columns(look) and _has_rank_one(got - right):
        yield "its ratio to the reference is not constant; the difference has rank 1"
    yield "its ratio to the reference is not constant"


def _a_ratio(look: Look) -> Iterator[str]:
    """One number that makes the trace's elements of the reference's: all of them, or those that are outside."""
    finite = np.isfinite(look.got) & np.isfinite(look.right)
    chosen = look.outside & finite
    weight = 1 / look.bound[chosen]
    right, got = look.right[chosen] * weight, look.got[chosen] * weight
    size = float(right @ right)
    if not size or not np.isfinite(size):
        return
    ratio = float(right @ got) / size
    fits = np.abs(look.got - ratio * look.right) <= max(1.0, abs(ratio)) * look.bound
    if not fits[look.outside].all():
        return
    text = f"its ratio to the reference is {ratio:.6g}"
    if look.got.size == 1:
        yield text
    elif fits.all():
        yield f"{text} everywhere"
    elif np.count_nonzero(look.outside) > 1:
        yield f"{text} in the {np.count_nonzero(look.outside)} of {look.got.size} elements that are off"


def _something_else(local: Local, place: Place, rerun: Rerun, look: Look) -> Iterator[str]:
    """Whether it is what another quantity should be, or what a parameter was before the step."""
    if kind(place.first) == "weight" and np.array_equal(look.got, local.state(place.step)[place.first]):
        yield "the step leaves it as it was"
    for name in rerun.names:
        other = rerun.ruled(name, place.step)
        alike = kind(name) == kind(place.first) and name != place.first and other.shape == look.got.shape
        if alike and other.size > 1 and np.abs(other).max() > 0:
            there = Look(name, other, look.got, rerun.bound(name, place.step))
            if not there.outside.any():
                yield f"it is what {name} should be"


def _in_another_order(look: Look) -> bool:
    """Whether more than one element is off, and none if both sides are sorted."""
    several = np.count_nonzero(look.outside) > 1
    slack = look.bound.max(initial=0.0)
    return bool(several and (np.abs(np.sort(look.got, axis=None) - np.sort(look.right, axis=None)) <= slack).all())


def _only_digits_lack(look: Look, dtype: str) -> bool:
    """Whether it is the reference, rounded to a narrower dtype; where that holds the reference too, it says nothing."""
    narrow = FORMATS[dtype]

    def held(values: Floats) -> NDArray[np.bool_]:
        return np.asarray(values.astype(narrow.dtype).astype(np.float64) == values)

    near = np.abs(look.got - look.right) <= look.bound + 2 * narrow.spacing(look.right)
    telling = look.outside & ~held(look.right)
    return bool(telling.any() and near.all() and held(look.got).all())


def _in_rows_and_columns(look: Look) -> bool:
    """Whether elements in several rows and in several columns are off: one row alone has rank 1 anyway."""
    return bool(look.outside.any(axis=0).sum() > 1 and look.outside.any(axis=1).sum() > 1)


def _has_rank_one(off: Floats) -> bool:
    """Whether a matrix is the outer product of two vectors: of the column and the row of its largest element."""
    i, j = np.unravel_index(int(np.argmax(np.abs(off))), off.shape)
    pivot = off[i, j]
    if not (np.isfinite(off).all() and pivot):
        return False
    rest = np.abs(off - np.outer(off[:, j], off[i] / pivot))
    return bool((rest <= ALIKE * np.abs(pivot)).all())
