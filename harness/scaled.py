"""How far is each element off, in units of its own?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]

BLOCK = 1 << 18  # elements worked on at a time: their differences fit the cache


@dataclass(frozen=True, slots=True)
class Scaled:
    """A quantity's errors in units: columns of shape (steps,), one entry a step.

    Attributes:
        ratio: the largest |a − b| / unit, with 0/0 = 0; inf where NaN or an infinity is on one side only.
        worst: flat index, within the step's tensor, of the first element that has it.
        value: ``a`` there.
        other: ``b`` there.
        unit: its unit.
        open: elements with an infinite unit, for which anything is right.
        shown: whether some other element is a finite number but 0, on either side; told where some are open only.
    """

    ratio: Floats
    worst: NDArray[np.int64]
    value: Floats
    other: Floats
    unit: Floats
    open: NDArray[np.int64]
    shown: NDArray[np.bool_]


def scale(a: Array, b: Array, unit: Array) -> Scaled:
    """Each step's largest error in units.

    Args:
        a: (steps, ...), of any floating-point dtype.
        b: what it should be, of the same shape.
        unit: the unit of each element, of the same shape; 0 where nothing may be off, inf where anything may be,
            −inf where anything may be that is no finite number.

    Example:
        >>> scale(np.array([[1.0, 2.5]]), np.array([[1.0, 2.0]]), np.array([[0.1, 0.25]])).ratio
        array([2.])
    """
    steps, size = len(a), math.prod(a.shape[1:])
    if not size:
        nothing, none = np.zeros(steps), np.zeros(steps, np.int64)
        return Scaled(nothing, none, nothing, nothing, nothing, none, np.zeros(steps, bool))
    rows = max(1, BLOCK // size)
    sides = [side.reshape(steps, size) for side in (a, b, unit)]
    ratio, worst = np.empty(steps), np.empty(steps, np.int64)
    count, shown = np.empty(steps, np.int64), np.zeros(steps, bool)
    for start in range(0, steps, rows):
        block = slice(start, start + rows)
        x, y, e = (side[block].astype(np.float64, copy=False) for side in sides)
        ratios, anything = _ratios(x, y, e), e == np.inf
        count[block] = np.count_nonzero(anything, axis=1)
        if count[block].any():
            ratios[anything] = 0.0
            shown[block] = (~anything & (_number(x) | _number(y))).any(axis=1)
        worst[block] = ratios.argmax(axis=1)
        ratio[block] = np.take_along_axis(ratios, worst[block, np.newaxis], axis=1)[:, 0]
    at = np.arange(steps), worst
    value, other, own = (side[at].astype(np.float64) for side in sides)
    return Scaled(ratio, worst, value, other, own, count, shown)


def _number(values: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(values) & (values != 0))


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _ratios(a: Floats, b: Floats, unit: Floats) -> Floats:
    off = np.abs(a - b)
    ratios = off / unit
    ratios[~np.isfinite(off)] = np.inf
    ratios[(off == 0) | (a == b) | (np.isnan(a) & np.isnan(b))] = 0.0
    if (among := unit == -np.inf).any():
        ratios[among] = np.where(np.isfinite(a) | np.isfinite(b), np.inf, 0.0)[among]
    return ratios
