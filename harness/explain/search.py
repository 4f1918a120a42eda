"""Which change of the rules accounts for all that a trace has? Each is run in its place, and compared."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from backends.numpy_manual.arithmetic import Arithmetic
from backends.numpy_manual.catalogue import CATALOGUE
from backends.numpy_manual.changes import Change, ChangedSession
from backends.numpy_manual.noisy import noisy
from harness.dtypes import FORMATS
from harness.envelope import Floats
from harness.explain.localise import Place
from harness.explain.own import RUNS, Own, spread
from harness.inputs import Array
from harness.judge import FACTOR
from harness.quantities import quantity_shapes
from harness.scaled import scale

CONFIRM = 8
"""Further steps that a change must account for, spread over the run, beside the one after the first."""

SECONDS = 1.5
"""Pairs are tried for this long: so that a cell is explained in two seconds."""

ITERATIONS = 6
"""Gauss–Newton steps: one is enough where a parameter's effect is linear, as it is but behind activations."""

SURE = 3.0
"""A solved parameter within so many standard errors of the value that changes nothing is none."""


MOST = 0.95
"""The share of numbers that must look like a narrower dtype's."""


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
        if change.precision():
            return self._narrower(change)
        for name, neutral in change.solve.items():
            change, solved[name] = self._solve(change, name, neutral)
            if not abs(solved[name].value - neutral) > SURE * solved[name].error:
                return Trial(change, np.inf, (self.place.first, self.place.step), solved)
        first = self._compare(change, self.steps[:1])
        if first[0] > 1.0 or len(self.steps) == 1:
            return Trial(change, *first, solved)
        return Trial(change, *max(first, self._compare(change, self.steps[1:])), solved)

    def _narrower(self, change: Change) -> Trial:
        """A precision accounts for a trace whose errors are within its rounding, and look like it."""
        dtype, products = change.precision() or ("", 0.0)
        worst = self._compare(Change(), self.steps, noisy(dtype, RUNS, FACTOR, 6, products))
        looks = self._has_few_digits(dtype) if dtype != self.own.scenario.dtype else self._products_are_off()
        return Trial(change, worst[0] if looks else max(worst[0], np.inf), worst[1])

    def _has_few_digits(self, dtype: str) -> bool:
        """Whether nearly all numbers are those of a narrower dtype, as far as the scenario's rounding lets one see."""
        narrow = FORMATS[dtype].dtype
        numbers = self._recorded[self._recorded != 0]
        slack = self.own.limit / self._weights[self._recorded != 0]
        near = np.abs(numbers.astype(narrow).astype(np.float64) - numbers) <= slack
        telling = FORMATS[dtype].spacing(numbers) > 8 * slack  # elsewhere any number would do
        return bool(telling.any() and near[telling].mean() >= MOST)

    def _products_are_off(self) -> bool:
        """Whether most quantities are outside, the first product of matrices among them."""
        rows = np.isin(self.own.steps, self.steps)
        flags = {name: ~(ratio[rows] <= self.own.limit) for name, ratio in self.own.ratios.items() if name != "lr"}
        first = next(layer.name for layer in self.own.scenario.layers if layer.kind == "linear")
        return bool(np.mean(list(flags.values())) >= 0.5 and flags[f"forward/{first}"].mean() >= 0.5)

    def _compare(
        self, change: Change, steps: NDArray[np.int64], arithmetic: Arithmetic | None = None
    ) -> tuple[float, tuple[str, int]]:
        """The largest error in bounds of a change's noisy runs, and where."""
        worst = (0.0, ("", int(steps[0])))
        arithmetic = arithmetic or noisy(self.own.scenario.dtype, RUNS, FACTOR, 4)
        for step, seen in self._run(change, steps, arithmetic):
            for name in self.own.trace.columns:
                if name in seen:
                    worst = max(worst, (self._ratio(name, step, seen[name]), (name, step)))
        return worst

    def _ratio(self, name: str, step: int, seen: Array) -> float:
        got = self.own.recorded(name, step)
        value, envelope = self._spread(name, got, seen)
        if value.shape[1:] != got.shape:
            return float("inf")
        return float(scale(got[np.newaxis], value, envelope).ratio[0]) / self.own.limit

    def _spread(self, name: str, got: Array, seen: Array) -> tuple[Floats, Floats]:
        """A quantity without noise, and its envelope, each with an axis of one step; a constant has one run only."""
        runs = seen if seen.ndim > got.ndim else seen[np.newaxis]
        return spread(runs[:, np.newaxis], self.own.scenario.dtype, name)

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def _run(
        self, change: Change, steps: NDArray[np.int64], arithmetic: str | Arithmetic
    ) -> list[tuple[int, Mapping[str, Array]]]:
        """The changed rules at the steps; a change that remembers is led through all steps before, without noise."""
        scenario, inputs, free = self.own.scenario, self.own.inputs, self.own.trace.manifest.mode == "free"
        session = ChangedSession(scenario, inputs, change, arithmetic, rounded=False)
        before = ChangedSession(scenario, inputs, change, "float64", rounded=False)
        before.run = session.run
        wanted, known = set(steps.tolist()), self.own.steps
        out = []
        for step in known[known <= steps[-1]].tolist() if change.remembers else steps.tolist():
            at = session if step in wanted else before
            at.run.step = step
            at.outside = True
            at.run.loads = not (free and step)  # a free run loads a state once, and then has its own
            at.load(self.own.state(step))
            rows = inputs.samples(step)
            seen = at.step(inputs.x[rows], inputs.y[rows])
            if step in wanted:
                out.append((step, seen))
        return out

    # ------------------------------------------------------------ a parameter

    def _solve(self, change: Change, name: str, neutral: float) -> tuple[Change, Solved]:
        """Gauss–Newton over all quantities of all steps, weighted by their envelopes, from the value that does nothing."""
        value, error = neutral, np.inf
        got, weight = self._recorded, self._weights
        for _ in range(ITERATIONS):
            width = max(abs(value), 1.0) * 1e-4
            at, beside = (self._vector(replace(change, **{name: v})) for v in (value, value + width))
            slope, residual = (beside - at) / width * weight, (got - at) * weight
            good = np.isfinite(slope) & np.isfinite(residual)
            square = float(slope[good] @ slope[good])
            if not square > 0:
                break
            step, error = float(slope[good] @ residual[good]) / square, 1 / np.sqrt(square)
            value += step
            if abs(step) <= 1e-2 * error:
                break
        return replace(change, **{name: value}), Solved(value, error, neutral)

    def _vector(self, change: Change) -> Floats:
        """All quantities of all steps in one vector, in float64."""
        runs = self._run(change, self.steps, "float64")
        return np.concatenate([np.ravel(seen[name]) for _, seen in runs for name in self.names])

    @property
    def names(self) -> list[str]:
        """Quantities of the scenario that the trace has."""
        return [name for name in quantity_shapes(self.own.scenario) if name in self.own.trace.columns]

    @cached_property
    def _recorded(self) -> Floats:
        return np.concatenate([np.ravel(self.own.recorded(n, int(s))) for s in self.steps for n in self.names])

    @cached_property
    def _weights(self) -> Floats:
        """One over the envelope of each element, of the unchanged rules; of a constant, over one unit in its last place."""
        spacing, parts = FORMATS[self.own.scenario.dtype].spacing, []
        for step, seen in self._run(Change(), self.steps, noisy(self.own.scenario.dtype, RUNS, FACTOR, 5)):
            for name in self.names:
                got = self.own.recorded(name, step)
                _, envelope = self._spread(name, got, np.asarray(seen[name]))
                parts.append(np.ravel(envelope if name != "lr" else spacing(got)))
        return np.asarray(1 / np.concatenate(parts))
