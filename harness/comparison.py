"""How do two traces differ? First their structure, then every quantity's numbers; no thresholds, no opinion."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Self

import numpy as np

from isograd.errors import TraceError
from isograd.measure import Array, Measures, measure
from isograd.scaled import Scaled, scale
from isograd.trace import Trace


@dataclass(frozen=True)
class Problem:
    """Something that keeps a quantity from being compared: it is missing, or of another shape, dtype or length."""

    quantity: str
    step: int
    text: str


@dataclass(frozen=True)
class Comparison:
    """One trace against another, quantity by quantity in execution order.

    Attributes:
        steps: the steps that both recorded.
        measures: for each quantity that could be compared, its measures, a row a step.
        scaled: for each of them, its errors in units of the envelope.
        shapes: for each of them, the shape of one step's tensor.
        problems: what could not be compared, first things first.
    """

    steps: tuple[int, ...]
    measures: dict[str, Measures]
    scaled: dict[str, Scaled]
    shapes: dict[str, tuple[int, ...]]
    problems: tuple[Problem, ...]

    def without(self, globs: Collection[str]) -> Self:
        """The comparison of all quantities that match none of the globs."""
        kept = [name for name in self.measures if not any(fnmatchcase(name, glob) for glob in globs)]
        measures, scaled = ({name: of[name] for name in kept} for of in (self.measures, self.scaled))
        shapes = {name: self.shapes[name] for name in kept}
        return replace(self, measures=measures, scaled=scaled, shapes=shapes)  # type: ignore[arg-type]

    def index(self, quantity: str, row: int) -> tuple[int, ...]:
        """Index, within its tensor, of the element that is the most envelopes off."""
        worst = np.unravel_index(self.scaled[quantity].worst[row], self.shapes[quantity] or (1,))
        return tuple(int(i) for i in worst) if self.shapes[quantity] else ()


def compare_traces(
    trace: Trace,
    truth: Trace,
    envelope: Mapping[str, Array],
    *,
    partial: bool = False,
    dtype: str | None = None,
) -> Comparison:
    """Compare ``trace`` with ``truth``, which is believed.

    Args:
        trace: what a backend did.
        truth: the reference, or another backend's trace.
        envelope: for each quantity of the truth, how far rounding can push each element, at *every* step of the run.
        partial: ``truth`` knows some of the quantities only (published values); others are left alone.
        dtype: the dtype that the trace's quantities must have; None: that of the truth's.

    Raises:
        TraceError: the two recorded different steps by choice (another ``--every``), so that no step is common.
    """
    problems = [*_names(trace, truth, partial), *_steps(trace, truth)]
    common = np.intersect1d(trace.steps, truth.steps)
    if not len(common):
        raise TraceError(
            f"{trace.manifest.backend} and {truth.manifest.backend} have no step in common: "
            f"{trace.steps[:3]}… and {truth.steps[:3]}…; record both with the same --every"
        )
    a, b = trace.every(common), truth.every(common)
    measures, scaled, shapes = {}, {}, {}
    for name, expected in b.columns.items():
        if name in a.columns:
            problem = _layout(name, a.columns[name], expected, dtype or str(expected.dtype), int(common[0]))
            if name not in envelope:  # nobody knows how it rounds
                problem = Problem(name, int(common[0]), "not a quantity of this scenario")
            elif not problem and envelope[name].shape[1:] != expected.shape[1:]:  # both are wrong in the same way
                text = f"has shape {expected.shape[1:]} on both sides; expected {envelope[name].shape[1:]}"
                problem = Problem(name, int(common[0]), text)
            problems += [problem] if problem else []
            if not problem:
                measures[name] = measure(a.columns[name], expected)
                unit = envelope[name] if len(envelope[name]) == len(common) else envelope[name][common]
                scaled[name] = scale(a.columns[name], expected, unit)
                shapes[name] = expected.shape[1:]
    return Comparison(tuple(common.tolist()), measures, scaled, shapes, tuple(problems))


def _names(trace: Trace, truth: Trace, partial: bool) -> list[Problem]:
    step = int(trace.steps[0]) if len(trace.steps) else 0
    missing = [Problem(name, step, "missing from the trace") for name in truth.columns if name not in trace.columns]
    extra = [
        Problem(name, step, "not a quantity of this scenario") for name in trace.columns if name not in truth.columns
    ]
    return missing if partial else [*missing, *extra]


def _steps(trace: Trace, truth: Trace) -> list[Problem]:
    lost = np.setdiff1d(truth.steps, trace.steps)
    added = np.setdiff1d(trace.steps, truth.steps)
    first = next(iter(truth.columns), "")
    if len(lost):
        text = f"recorded {len(trace.steps)} steps, expected {len(truth.steps)}; step {lost[0]} is the first missing"
        return [Problem(first, int(lost[0]), text)]
    if len(added):
        text = f"recorded {len(trace.steps)} steps, expected {len(truth.steps)}; step {added[0]} is the first too many"
        return [Problem(first, int(added[0]), text)]
    return []


def _layout(name: str, got: np.ndarray, expected: np.ndarray, dtype: str, step: int) -> Problem | None:
    if got.shape[1:] != expected.shape[1:]:
        return Problem(name, step, f"has shape {got.shape[1:]}, expected {expected.shape[1:]}")
    if str(got.dtype) != dtype:
        return Problem(name, step, f"has dtype {got.dtype}, expected {dtype}")
    return None
