"""Which value of a change's parameter fits a trace best, and how well is it known?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from isograd.changes.change import Both, Change
from isograd.dtypes import FORMATS
from isograd.envelope import Floats
from isograd.explanation.kept import Steps
from isograd.explanation.rerun import Rerun
from isograd.judging import SHARP, SURE

ITERATIONS = 12
"""Gauss–Newton steps at most: one is enough where a parameter's effect is linear, as it is but behind activations."""

LARGEST = 1000
"""Whole numbers up to which one is simple."""

NEARLY = 1e-3
"""How near a whole number a fit may have ended to be tried from there."""

WIDER = (1.0, 1e4)
"""How many ten-thousandths of a value, or of 1, its effect is looked at over, if it shows."""

FEW = 4
"""The same for a large scenario."""


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
    def is_simple(self) -> bool:
        """Whether it is a simple number, and known so much better than such lie apart that this is no accident."""
        return any(
            abs(self.value - near) <= SURE * self.error <= SURE * SHARP * apart
            for near, apart in simple(self.value)
            if abs(near) <= LARGEST
        )

    @property
    def is_significant(self) -> bool:
        """Whether it changes anything for sure."""
        return abs(self.value - self.neutral) > SURE * self.error

    def __str__(self) -> str:
        expected = f", expected {self.neutral:g}" if np.isfinite(self.neutral) else ""
        return f"{self.value:.{digits(self.value, self.error)}g} ± {self.error:.1g}{expected}"


def digits(value: float, error: float) -> int:
    """How many digits of a value its error supports, one more than are sure."""
    if not (np.isfinite(error) and error > 0 and value):
        return 6
    return int(np.clip(np.ceil(np.log10(abs(value) / error)) + 1, 1, 17))


def alone(change: Change) -> Change:
    """A change by itself, as what it is tried within."""
    return change


def solved_for(
    rerun: Rerun,
    change: Change,
    names: list[str],
    steps: Steps,
    within: Callable[[Change], Change] = alone,
) -> tuple[Change, dict[str, Solved]]:
    """The change with its parameter solved for, as part of what ``within`` makes of it."""
    if not change.solve:
        return change, {}
    (changed,), (solved,) = _solve([change], lambda parts: within(parts[0]), rerun, names, steps)
    return changed, solved


def solved_together(rerun: Rerun, both: Both, names: list[str], steps: Steps) -> tuple[Both, dict[str, Solved]]:
    """Two changes with the parameters of both solved for at once."""
    if not (both.first.solve or both.second.solve):
        return both, {}
    parts, solved = _solve([both.first, both.second], lambda parts: Both(*parts), rerun, names, steps)
    named = [{f"{part.id}.{name}": value for name, value in of.items()} for part, of in zip(parts, solved, strict=True)]
    return Both(*parts), named[0] | named[1]


def _solve(
    parts: list[Change], joined: Callable[[list[Change]], Change], rerun: Rerun, names: list[str], steps: Steps
) -> tuple[list[Change], list[dict[str, Solved]]]:
    """The parts with their parameters solved for, each one's with its error."""
    where = [(i, name) for i, part in enumerate(parts) for name in part.solve]

    def put(values: Floats) -> list[Change]:
        out = list(parts)
        for (i, name), value in zip(where, values.tolist(), strict=True):
            out[i] = replace(out[i], **{name: value})
        return out

    usual = np.array([float(getattr(parts[i], name)) for i, name in where])
    got, iterations = rerun.recorded(names, steps), FEW if rerun.local.effort.dear else ITERATIONS

    def run(values: Floats) -> Floats:
        return rerun.vector(joined(put(values)), names, steps)

    found, errors, came = _gauss_newton(run, usual, got, rerun.weights(names, steps), iterations)
    found, errors, came = _from_a_whole_number(run, (found, errors, came), got, rerun.weights(names, steps), iterations)
    if np.isfinite(errors).all() and (weights := rerun.weights_near(came, names, steps)) is not None:
        found, errors, _ = _gauss_newton(run, found, got, weights, iterations, came)
    # a number that came out as it is by accident, as an error of 0, has no envelope; nor is it known without rounding
    rounding = FORMATS[rerun.local.scenario.dtype].roundoff * np.abs(found) / np.sqrt(max(1, got.size))
    errors = np.maximum(errors, rounding)
    solved: list[dict[str, Solved]] = [{} for _ in parts]
    for (i, name), value, error in zip(where, found.tolist(), errors.tolist(), strict=True):
        solved[i][name] = Solved(value, error, parts[i].solve[name])
    nice = np.array([_simplest(value, error) for value, error in zip(found.tolist(), errors.tolist(), strict=True)])
    return put(nice), solved


def _from_a_whole_number(
    run: Callable[[Floats], Floats],
    fit: tuple[Floats, Floats, Floats],
    got: Floats,
    weight: Floats,
    iterations: int,
) -> tuple[Floats, Floats, Floats]:
    """The fit from whole numbers, where they are near and fit better: behind a ReLU the slopes lead nearly there."""
    found, _, came = fit
    whole = np.where(np.abs(found - np.rint(found)) <= NEARLY, np.rint(found), found)
    if not np.isfinite(found).all() or (whole == found).all():
        return fit
    at = run(whole)
    if at.shape == came.shape and _left(got, at, weight) < _left(got, came, weight):
        return _gauss_newton(run, whole, got, weight, iterations, at)
    return fit


def _left(got: Floats, came: Floats, weight: Floats) -> float:
    return float(np.linalg.norm(np.nan_to_num((got - came) * weight)))


def simple(value: float) -> Iterator[tuple[float, float]]:
    """Simple numbers that are near, and how far apart such are: 0, whole ones, quarters, 1 or 2 over a whole one."""
    if not np.isfinite(value):
        return
    yield 0.0, 1.0
    yield float(np.rint(value)), 1.0
    yield float(np.rint(4 * value) / 4), 0.25
    if 0 < abs(value) < 1:
        yield 2.0 / float(np.rint(2.0 / value)), value * value / 2


def _simplest(value: float, error: float) -> float:
    """A simple number as near as the errors allow; or the digits that are known."""
    near = [v for v, apart in simple(value) if abs(value - v) <= SURE * error and (apart >= 0.25 or error < apart / 50)]
    return near[0] if near else float(f"{value:.{digits(value, error)}g}")


def _slope(run: Callable[[Floats], Floats], values: Floats, at: Floats, width: Floats, weight: Floats) -> Floats:
    """By how much each number moves with a parameter, in envelopes; where none does at all, over more of it."""
    moved = np.zeros(0)
    for wider in WIDER:
        moved = (run(values + wider * width) - at) * weight / (wider * width.sum())
        if moved.any():
            break
    return moved


def _gauss_newton(
    run: Callable[[Floats], Floats],
    values: Floats,
    got: Floats,
    weight: Floats,
    iterations: int,
    known: Floats | None = None,
) -> tuple[Floats, Floats, Floats]:
    """Parameters that fit best, their standard errors, and what they give: weighted least squares.

    Starts from ``values``, which give ``known``, if anybody knows. Done where, with the slopes as they were, another
    step would be none: one step is enough where the effect is linear. Given up where two steps have not halved what is
    left. Behind a ReLU a step can lead away: what has come nearest counts.
    """
    errors, at = np.full(len(values), np.inf), run(values) if known is None else known
    best = values, at

    def residual() -> Floats:
        return np.nan_to_num((got - at) * weight)

    left = [np.inf, float(np.linalg.norm(residual()))]
    for _ in range(iterations):
        widths = np.diag(np.maximum(np.abs(values), 1.0) * 1e-4)
        slopes = np.stack([_slope(run, values, at, width, weight) for width in widths], axis=1)
        good = np.isfinite(slopes).all(axis=1) & np.isfinite(got - at)
        jacobian = slopes[good]
        normal = jacobian.T @ jacobian
        if not (np.diagonal(normal) > 0).all() or np.linalg.matrix_rank(normal) < len(values):
            break
        errors = np.sqrt(np.diagonal(np.linalg.inv(normal)))
        further = values + np.linalg.solve(normal, jacobian.T @ residual()[good])
        if not np.isfinite(further).all():
            return values, np.full(len(values), np.inf), at
        values, at = further, run(further)
        left.append(float(np.linalg.norm(residual())))
        best = (values, at) if left[-1] <= min(left) else best
        another = np.linalg.solve(normal, jacobian.T @ residual()[good])
        if (np.abs(another) <= 1e-2 * errors).all() or not left[-1] <= left[-3] / 2:
            break
    return best[0], errors, best[1]
