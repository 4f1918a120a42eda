"""What is right where a number is beyond the dtype's range? What the rules come to in the dtype, in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.arithmetic.numbers import Numbers
from isograd.dtypes import FORMATS
from isograd.inputs import Array

Columns = Mapping[str, Array]

NEAR = 0.5
"""Beyond this part of the largest number, what follows may overflow: some libraries double it before they divide."""


def as_far_as_the_dtype_reaches(
    columns: Mapping[str, Array], twin: Callable[[], Mapping[str, Array]], dtype: str, free: bool = False
) -> Mapping[str, Array]:
    """Quantities of a wider arithmetic; beyond the dtype's range, those of the dtype: inf, NaN, saturation.

    So too for what follows from an infinity (later in the execution order of its step, and in a free run at any later
    step), where the dtype has no finite number: the wider arithmetic goes on with one that nobody else has.

    Args:
        columns: each quantity in execution order, with a leading axis of steps (or of runs of one step).
        twin: gives the same quantities, computed by the same rules in the dtype; asked only where something overflows.
        dtype: the scenario's.
        free: each step follows from the one before.
    """
    held = {name: FORMATS[dtype].held(column) for name, column in columns.items()}
    if all(held[name] is column for name, column in columns.items()):
        return columns
    told = twin()
    infinite = {name: np.isinf(column).reshape(len(column), -1).any(axis=1) for name, column in held.items()}
    after = np.zeros(len(next(iter(held.values()))), bool)  # what has an infinity before it
    if free:
        after[1:] = np.logical_or.accumulate(np.logical_or.reduce(list(infinite.values())))[:-1]
    for name, column in held.items():
        own = np.asarray(told[name]).astype(np.float64)
        follows = after.reshape(-1, *[1] * (column.ndim - 1)) & ~(np.isfinite(own) & np.isfinite(column))
        held[name] = np.where(np.isinf(column) | follows, own, column)
        after = after | infinite[name]
    return held


def is_near(columns: Iterable[Array], terms: int, dtype: str) -> bool:
    """Whether anything that a step computes may be beyond half of the dtype's range.

    All that the rules compute are a step's quantities, sums of products of two of them, and sums of squares of a
    difference of two: less than 4 M² a term, where none is beyond M.

    Args:
        columns: all numbers of a run: what goes into it, and its quantities.
        terms: how many a sum has at most.
        dtype: the scenario's.
    """
    largest = np.max([_peak(column) for column in columns])  # NaN where there is one
    with np.errstate(over="ignore"):
        return not 8 * terms * np.square(np.float64(largest)) < FORMATS[dtype].largest


def _peak(column: Array) -> float:
    """The largest absolute value, at least 1; NaN where there is one."""
    return float(np.maximum(column.max(initial=1.0), -column.min(initial=-1.0)))


def left_open(
    envelope: Columns,
    truth: Columns,
    others: Iterable[tuple[Any, Columns]],
    factor: float,
    dtype: str,
    free: bool = False,
) -> None:
    """Give an infinite envelope to each element that right runs do not agree about: is it finite, infinite, or NaN?

    And where a bound reaches beyond half of the range, to all that follows: what is computed from it may overflow.

    Args:
        envelope: of each quantity, in execution order; it is written to.
        truth: each quantity.
        others: some steps, and each quantity there of other right runs, (runs, steps, ...); of a smaller batch its own
            rows only.
        factor: how many envelopes an element may be off.
        dtype: the scenario's.
        free: each step follows from the one before.
    """
    _open_beyond(envelope, truth, factor, NEAR * FORMATS[dtype].largest, free)
    _open_among_infinities(envelope, truth, free)
    for at, other in others:
        for name, runs in other.items():
            part = (at, *map(slice, runs.shape[2:]))
            differs = ~same_class(runs.astype(np.float64), truth[name][part]).all(axis=0)
            envelope[name][part] = np.where(differs, np.inf, envelope[name][part])


def _open_among_infinities(envelope: Columns, truth: Columns, free: bool) -> None:
    """Where something was infinite before, an infinity may as well be NaN: 0 · ∞ is met in some orders of a product.

    Such elements get an envelope of −∞: any number is right that is not finite.
    """
    names = [name for name in envelope if name != "lr"]
    lost = {name: ~np.isfinite(truth[name]) for name in names}
    at = {name: flags.reshape(len(flags), -1).any(axis=1) for name, flags in lost.items()}
    after = np.zeros(len(next(iter(truth.values()))), bool)
    if free:
        after[1:] = np.logical_or.accumulate(np.logical_or.reduce(list(at.values())))[:-1]
    for name in names:
        if at[name].any():
            column, flags = envelope[name], lost[name] & after.reshape(-1, *[1] * (truth[name].ndim - 1))
            column[flags & np.isfinite(column)] = -np.inf
        after = after | at[name]


def _open_beyond(envelope: Columns, truth: Columns, factor: float, largest: float, free: bool) -> None:
    """Open what follows a number whose bound reaches so far, in its step or, in free, at any later."""
    names = [name for name in envelope if name != "lr"]
    beyond = {name: _reaches(truth[name], envelope[name], factor, largest) for name in names}
    after = np.zeros(len(next(iter(truth.values()))), bool)
    if free:
        after[1:] = np.logical_or.accumulate(np.logical_or.reduce(list(beyond.values())))[:-1]
    for name in names:
        after |= beyond[name]
        envelope[name][after] = np.inf


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _reaches(truth: Array, envelope: Array, factor: float, largest: float) -> NDArray[np.bool_]:
    """At which steps some element's bound does, though the element itself is within the range."""
    if _peak(truth) + factor * _peak(envelope) < largest:
        return np.zeros(len(truth), bool)
    bound = factor * envelope
    beyond = np.isfinite(truth) & (np.abs(truth) + bound >= largest)
    return np.asarray(beyond.reshape(len(truth), -1).any(axis=1))


def same_class(a: Array, b: Array) -> NDArray[np.bool_]:
    """Whether both are finite, both NaN, or both the same infinity."""
    return np.asarray(np.isfinite(a) & np.isfinite(b) | np.isnan(a) & np.isnan(b) | (np.isinf(a) & (a == b)))


ROUNDINGS = 64
"""A stored number is infinite from so many roundings beyond the largest on: nearer to it, they may decide."""


def late(dtype: str) -> Callable[[str, Any], Any]:
    """A hook for a run in float64 that overflows as late as a right one can.

    What a step stores is infinite beyond the range; what it computes on the way, it may compute in any order, or wider.
    """
    form = FORMATS[dtype]
    with np.errstate(over="ignore"):
        limit = np.float64(form.largest) * (1 + ROUNDINGS * form.roundoff)

    def held(name: str, value: Any) -> Any:
        plain = value.a.plain(value) if isinstance(value, Numbers) else value
        beyond = np.abs(plain) >= limit
        cut = np.where(beyond, np.copysign(np.inf, plain), plain)
        return value.a.held(cut) if isinstance(value, Numbers) else cut

    return held
