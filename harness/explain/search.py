"""Which change of the rules accounts for all that a trace has? Each is run in its place, and compared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.numpy_manual.arithmetic import Arithmetic
from backends.numpy_manual.catalogue import CATALOGUE
from backends.numpy_manual.changes import Both, Change, ChangedSession
from backends.numpy_manual.noisy import noisy
from harness.envelope import Floats
from harness.explain.localise import Place
from harness.explain.own import RUNS, Own, spread
from harness.inputs import Array
from harness.judge import FACTOR
from harness.scaled import scale

CONFIRM = 8
"""Further steps that a change must account for, spread over the run, beside the one after the first."""

SECONDS = 1.5
"""Pairs are tried for this long: so that a cell is explained in two seconds."""

ITERATIONS = 6
"""Gauss–Newton steps: one is enough where a parameter's effect is linear, as it is but behind activations."""

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


@dataclass(frozen=True)
class Trial:
    """A change, and how close it came.

    Attributes:
        change: what was tried.
        ratio: the largest error in bounds over all quantities and steps that were looked at: up to 1 it is a cause.
        worst: the quantity and step of that.
        solved: its parameters that were solved for.
    """

    change: Change
    ratio: float
    worst: tuple[str, int]
    solved: Mapping[str, Solved] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether everything is inside."""
        return self.ratio <= 1.0


@dataclass
class Search:
    """The search for the cause of one place.

    Attributes:
        own: the trace, from its own states.
        place: where it leaves the rules.
    """

    own: Own
    place: Place

    def __post_init__(self) -> None:
        self.steps = self._steps_to_confirm()
        self.deadline = time.monotonic() + SECONDS
        self.out_of_time = False

    def _steps_to_confirm(self) -> NDArray[np.int64]:
        """The step, the next one, and some more; those that came out wrong before others."""
        known = self.own.steps[self.own.steps >= self.place.step]
        wrong = known[np.isin(known, self._wrong_steps())]
        spread_out = wrong[np.unique(np.linspace(0, len(wrong) - 1, CONFIRM // 2).astype(int))] if len(wrong) else wrong
        others = known[np.unique(np.linspace(0, len(known) - 1, CONFIRM // 2).astype(int))]
        return np.unique(np.concatenate([known[:2], spread_out, others]))

    def _wrong_steps(self) -> NDArray[np.int64]:
        flags = [~(ratio <= self.own.limit) for ratio in self.own.ratios.values()]
        return np.asarray(self.own.steps[np.logical_or.reduce(flags)])

    # ------------------------------------------------------------ one change

    def candidates(self) -> Iterator[Change]:
        """Every change of the catalogue at each of its places; what happens at one step, at this one."""
        for kind in CATALOGUE.values():
            for change in kind.variants(self.own.scenario):
                at_step = any(f.name == "step" for f in fields(change))
                yield replace(change, step=self.place.step) if at_step else change  # type: ignore[call-arg]

    def single(self) -> list[Trial]:
        """Every candidate, tried, the closest first; several can account for everything."""
        return sorted((self.trial(change) for change in self.candidates()), key=lambda trial: trial.ratio)

    def trial(self, change: Change) -> Trial:
        """Solve for the change's parameter, if it has one; then compare all quantities, at the step and at others."""
        solved: dict[str, Solved] = {}
        for name, neutral in change.solve.items():
            change, solved[name] = self._solve(change, name, neutral)
            if not abs(solved[name].value - neutral) > SURE * solved[name].error:
                return Trial(change, np.inf, (self.place.first, self.place.step), solved)
        first = self._compare(change, self.steps[:1])
        if first[0] > 1.0 or len(self.steps) == 1:
            return Trial(change, *first, solved)
        return Trial(change, *max(first, self._compare(change, self.steps[1:])), solved)

    def _compare(self, change: Change, steps: NDArray[np.int64]) -> tuple[float, tuple[str, int]]:
        """The largest error in bounds of a change's noisy runs, and where."""
        arithmetic = noisy(change.precision() or self.own.scenario.dtype, RUNS, FACTOR, 4)
        worst = (0.0, ("", int(steps[0])))
        for step, seen in self._run(change, steps, arithmetic):
            for name in self.own.trace.columns:
                if name in seen:
                    worst = max(worst, (self._ratio(name, step, seen[name]), (name, step)))
        return worst

    def _ratio(self, name: str, step: int, runs: Array) -> float:
        got = self.own.recorded(name, step)
        if runs.shape[1:] != got.shape and runs.shape != got.shape:
            return float("inf")
        runs = runs if runs.ndim > got.ndim else runs[np.newaxis]
        value, envelope = spread(runs[:, np.newaxis], self.own.scenario.dtype, name)
        return float(scale(got[np.newaxis], value, envelope).ratio[0]) / self.own.limit

    def _run(
        self, change: Change, steps: NDArray[np.int64], arithmetic: str | Arithmetic
    ) -> Iterator[tuple[int, Mapping[str, Array]]]:
        """The changed rules at the steps; what remembers runs through all steps before them, without noise."""
        scenario, inputs, free = self.own.scenario, self.own.inputs, self.own.trace.manifest.mode == "free"
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            session = ChangedSession(scenario, inputs, change.without_arithmetic(), arithmetic)
            before = ChangedSession(scenario, inputs, change.without_arithmetic())
            before.run = session.run
            known = set(self.own.steps.tolist())
            for step in range(int(steps[-1]) + 1) if change.remembers else steps.tolist():
                if step not in known:
                    continue
                at = session if step in steps else before
                at.run.step = step
                at.outside = not (free and step)  # a free run loads a state once, and then has its own
                at.load(self.own.state(step))
                at.outside = True
                rows = inputs.samples(step)
                seen = at.step(inputs.x[rows], inputs.y[rows])
                if at is session:
                    yield step, seen

    # ------------------------------------------------------------ a parameter

    def _solve(self, change: Change, name: str, neutral: float) -> tuple[Change, Solved]:
        """Gauss–Newton on all quantities of all steps, weighted by their envelopes; from the value that changes nothing."""
        value, error = neutral, np.inf
        weight = self._weights()
        for _ in range(ITERATIONS):
            moved = value + max(abs(value), 1.0) * 1e-4
            at, beside = (self._vector(replace(change, **{name: v})) for v in (value, moved))
            slope = (beside - at) / (moved - value) * weight
            residual = (self._recorded() - at) * weight
            good = np.isfinite(slope) & np.isfinite(residual)
            square = float(slope[good] @ slope[good])
            if not square > 0:
                break
            step = float(slope[good] @ residual[good]) / square
            value, error = value + step, 1 / np.sqrt(square)
            if abs(step) <= 1e-3 * error or abs(step) <= 1e-12 * abs(value):
                break
        return replace(change, **{name: value}), Solved(value, error, neutral)

    def _vector(self, change: Change) -> Floats:
        """All quantities of all steps in one vector, in float64."""
        parts = [
            np.ravel(seen[name])
            for _, seen in self._run(change, self.steps, "float64")
            for name in self.own.trace.columns
            if name in seen
        ]
        return np.concatenate(parts)

    def _recorded(self) -> Floats:
        parts = [np.ravel(self.own.recorded(name, int(s))) for s in self.steps for name in self.own.trace.columns]
        return np.concatenate(parts)

    def _weights(self) -> Floats:
        """One over the envelope of each element, of the unchanged rules; 0 where it has none."""
        arithmetic = noisy(self.own.scenario.dtype, RUNS, FACTOR, 5)
        parts = []
        for step, seen in self._run(Change(), self.steps, arithmetic):
            for name in self.own.trace.columns:
                got = self.own.recorded(name, step)
                runs = seen[name] if np.ndim(seen[name]) > got.ndim else np.asarray(seen[name])[np.newaxis]
                envelope = spread(runs[:, np.newaxis], self.own.scenario.dtype, name)[1]
                parts.append(np.ravel(envelope[0]) if name != "lr" else np.full(1, _ulp(got, self.own.scenario.dtype)))
        flat = np.concatenate(parts)
        return np.asarray(np.where(flat > 0, 1 / np.where(flat > 0, flat, 1), 0.0))
