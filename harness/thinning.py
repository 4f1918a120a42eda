"""Which steps of a long run are kept in the tables and drawn, and what is known of all the others?"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.comparison import Comparison
from isograd.judging import Judgement

POINTS = 2000
"""So many steps at most: more than the pixels that a curve is drawn on, and than anyone reads."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Course:
    """How near to its bound a run came at every step.

    Attributes:
        steps: the steps that were compared.
        ratio: at each the largest error over bound; what is no number proves nothing, and counts as infinite.
        of: the number of the quantity that has it.
        names: the quantities.
    """

    steps: Rows
    ratio: Floats
    of: NDArray[np.int16]
    names: tuple[str, ...]

    def of_at(self, steps: Rows) -> list[int]:
        """The quantity's number at each of the steps; 0 at one that was not compared."""
        rows = np.minimum(np.searchsorted(self.steps, steps), len(self.steps) - 1)
        found: list[int] = np.where(self.steps[rows] == steps, self.of[rows], 0).tolist()
        return found


def course_of(comparison: Comparison, judgement: Judgement) -> Course | None:
    """The course of a run that was compared; None where nothing was."""
    if not judgement.ratios:
        return None
    table = np.nan_to_num(np.array(list(judgement.ratios.values())), nan=np.inf, posinf=np.inf)
    steps = np.array(comparison.steps, dtype=np.int64)
    return Course(steps, table.max(axis=0), table.argmax(axis=0).astype(np.int16), tuple(judgement.ratios))


def thinned(comparison: Comparison, judgement: Judgement) -> tuple[Comparison, Judgement]:
    """A comparison and its judgement at `POINTS` of their steps or a few more; all of them, where there are no more.

    Kept are the first and the last, of each stretch the highest and lowest error of each quantity, and wherever
    something is largest or first outside its bound: so no largest number of a table is another than before.
    """
    if len(comparison.steps) <= POINTS or not judgement.ratios:
        return comparison, judgement
    ratios = np.array(list(judgement.ratios.values()))
    flags = ~(ratios <= 1.0)
    kept = [keep(ratios, POINTS), ratios.argmax(axis=1), np.array([flags.any(axis=0).argmax()])]
    for m in comparison.measures.values():
        kept += [np.array([m.max_abs.argmax(), m.max_rel.argmax(), m.max_ulp.argmax(), m.rms.argmax()])]
    rows = np.unique(np.concatenate(kept))
    small = Comparison(
        tuple(np.array(comparison.steps)[rows].tolist()),
        {name: _at(m, rows) for name, m in comparison.measures.items()},
        {name: _at(s, rows) for name, s in comparison.scaled.items()},
        comparison.shapes,
        comparison.problems,
    )
    bounds = judgement.bounds or {}
    return small, replace(
        judgement,
        ratios={name: ratio[rows] for name, ratio in judgement.ratios.items()},
        bounds={name: bound[rows] for name, bound in bounds.items()},
    )


def _at(columns: Any, rows: Rows) -> Any:
    """A dataclass of columns, at some rows."""
    return type(columns)(**{field.name: getattr(columns, field.name)[rows] for field in fields(columns)})


def keep(curves: Floats, points: int = POINTS) -> Rows:
    """Rows to keep: all; of long curves the ends, and of each of equal stretches each curve's lowest and highest.

    Args:
        curves: shape (curves, steps); NaN is neither low nor high, an infinity is.
        points: how many rows are few enough to keep them all.

    Returns:
        Ascending row numbers, ``points`` at most, the same for all curves, since they share an axis.

    Example:
        >>> keep(np.array([[0.0, 0, 9, 0, 0, 0, -9, 0, 0, 0]]), points=6).tolist()
        [0, 2, 5, 6, 9]
    """
    steps = curves.shape[1]
    if steps <= points:
        return np.arange(steps)
    stretches = max(1, (points - 2) // (2 * len(curves)))
    edges = np.linspace(0, steps, stretches + 1).astype(np.int64)
    low, high = np.where(np.isnan(curves), np.inf, curves), np.where(np.isnan(curves), -np.inf, curves)
    rows = [np.array([0, steps - 1])]
    for start, stop in pairwise(edges):
        rows += [start + low[:, start:stop].argmin(axis=1), start + high[:, start:stop].argmax(axis=1)]
    return np.unique(np.concatenate(rows))
