"""Which value of a change's parameter fits a trace best, and how well is it known?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from backends.numpy_manual.changes import Change
from harness.explanation.rerun import Rerun, Steps

ITERATIONS = 12
"""Gauss–Newton steps at most: one is enough where a parameter's effect is linear, as it is but behind activations."""

SURE = 3.0
"""A solved parameter within so many standard errors of the value that changes nothing is none."""


@dataclass(frozen=True)
class Solved:
    """A parameter that was solved for.

    Attributes:
        value: what fits best.
        error: its standard error, from the envelope of what it was solved from.
        neutral: the value that changes nothing.
    """

    value: float
    error: float
    neutral: float

    @property
    def tells(self) -> bool:
        """Whether it changes anything for sure."""
        return abs(self.value - self.neutral) > SURE * self.error

    def __str__(self) -> str:
        return f"{self.value:.{digits(self.value, self.error)}g} ± {self.error:.1g}, expected {self.neutral:g}"


def digits(value: float, error: float) -> int:
    """How many digits of a value its error supports, one more than are sure."""
    if not (np.isfinite(error) and error > 0 and value):
        return 6
    return int(np.clip(np.ceil(np.log10(abs(value) / error)) + 1, 1, 17))


def solved_for(
    rerun: Rerun,
    change: Change,
    names: list[str],
    steps: Steps,
    within: Callable[[Change], Change] = lambda change: change,
) -> tuple[Change, dict[str, Solved]]:
    """The change with its parameter solved for, as part of what ``within`` makes of it."""
    solved = {}
    for name, neutral in change.solve.items():
        value, error = _solve(rerun, change, name, names, steps, within)
        simple = (0.0, float(np.rint(value)), float(np.rint(4 * value) / 4))
        near = [v for v in simple if abs(value - v) <= SURE * error]
        solved[name] = Solved(value, error, neutral)
        change = replace(change, **{name: near[0] if near else float(f"{value:.{digits(value, error)}g}")})
    return change, solved


def _solve(
    rerun: Rerun,
    change: Change,
    name: str,
    names: list[str],
    steps: Steps,
    within: Callable[[Change], Change],
) -> tuple[float, float]:
    """Gauss–Newton over the quantities of the steps, weighted by their envelopes, from the change's usual value."""
    value, error = float(getattr(change, name)), np.inf
    got, weight = rerun.recorded(names, steps), rerun.weights(names, steps)
    for _ in range(ITERATIONS):
        width = max(abs(value), 1.0) * 1e-4
        at, beside = (rerun.vector(within(replace(change, **{name: v})), names, steps) for v in (value, value + width))
        slope, residual = (beside - at) / width * weight, (got - at) * weight
        good = np.isfinite(slope) & np.isfinite(residual)
        square = float(slope[good] @ slope[good])
        if not square > 0:
            break
        step, error = float(slope[good] @ residual[good]) / square, 1 / np.sqrt(square)
        if not np.isfinite(value + step):
            return value, np.inf
        value += step
        if abs(step) <= 1e-2 * error:
            break
    return value, error
