"""What do the rules give at a step of a trace, from the state that the trace itself had before it?

Errors of earlier steps are in that state already, so what differs is this step's own, in free as in resync.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.arithmetic.noise import Kind
from isograd.dtypes import FORMATS
from isograd.envelope import Floats, noisy_walks, rate_envelope, spread_of
from isograd.explanation.effort import HELD, Effort, effort_of
from isograd.floors import floored
from isograd.inputs import Array, Inputs
from isograd.judging import FACTOR
from isograd.measure import Array as Column
from isograd.overflow import as_far_as_the_dtype_reaches
from isograd.quantities import has_samples, quantity_shapes
from isograd.recorder import States
from isograd.rules import Rules
from isograd.scaled import Scaled, scale
from isograd.scenario import Scenario
from isograd.trace import FLOATS, Trace


@dataclass(frozen=True)
class Local:
    """A trace, what it was made from, and its state before each step.

    Attributes:
        scenario: what was run.
        inputs: its numbers.
        trace: what a backend made of it.
        states: the state before each step, (steps, *shape); of steps whose state is not known, NaN.
        steps: the recorded steps whose state is known.
    """

    scenario: Scenario
    inputs: Inputs
    trace: Trace
    states: States
    steps: NDArray[np.int64]

    @property
    def limit(self) -> float:
        """How many envelopes an element may be off; for float64 the rules here round as the trace does."""
        return FACTOR * (2 if self.scenario.dtype == "float64" else 1)

    def row(self, step: int) -> int:
        """The trace's row of a step."""
        return int(np.searchsorted(self.trace.steps, step))

    def recorded(self, name: str, step: int) -> Column:
        """What the trace has of a quantity at a step; of a smaller batch its own rows only, if it has rows."""
        found = self._recorded.get((name, step))
        if found is None:
            value: Column = self.trace.columns[name][self.row(step)].astype(np.float64)
            found = value[: len(self.inputs.samples(step))] if self.fits(name) and has_samples(name) else value
            if len(self._recorded) * self.effort.numbers < HELD:
                self._recorded[name, step] = found
        return found

    @cached_property
    def _recorded(self) -> dict[tuple[str, int], Column]:
        return {}

    @cached_property
    def effort(self) -> Effort:
        """What a search in it costs, and has cost so far."""
        return effort_of(self.scenario, self.inputs)

    @cached_property
    def by_operation(self) -> dict[tuple[int, int], Mapping[str, Floats]]:
        """Errors of operations on its own numbers, as far as they were asked for (`isograd.explanation.localise`)."""
        return {}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of every quantity of the scenario, in execution order, the shape that it should have."""
        batch = self.inputs.batch_size
        return {name: tuple(n or batch for n in shape) for name, shape in quantity_shapes(self.scenario).items()}

    def fits(self, name: str) -> bool:
        """Whether the trace has a quantity, in the shape that the scenario gives it and as numbers that round."""
        return fits(self.trace.columns.get(name), self.shapes.get(name))

    def rate_is_right(self, step: int) -> bool:
        """Whether the learning rate that the trace tells is the scenario's."""
        return "lr" not in self.trace.columns or (
            self.fits("lr") and bool(self.is_rate(self.recorded("lr", step), step))
        )

    @cached_property
    def parameters(self) -> list[str]:
        """The parameters, by "layer.param", in the layers' order; a file may have them in another."""
        return list(self.scenario.parameters())

    def is_rate(self, lr: Floats, step: int) -> bool:
        """Whether a learning rate is the scenario's, as far as its rounding lets one see."""
        return bool(np.abs(lr - self.inputs.lr[step]) <= self.rate_slack(step))

    def rate_slack(self, step: int) -> float:
        """How far off the learning rate of a step may be: a constant not at all."""
        return self.limit * float(rate_envelope(self.scenario, np.asarray(self.inputs.lr[step]), np.asarray(step)))

    def state(self, step: int) -> dict[str, Array]:
        """The state before a step."""
        return {name: column[step] for name, column in self.states.items()}

    @cached_property
    def ratios(self) -> dict[str, Floats]:
        """For each quantity the largest error over envelope at each of `steps`, from the trace's own state."""
        return {name: scaled.ratio for name, scaled in self.scaled.items()}

    @cached_property
    def scaled(self) -> dict[str, Scaled]:
        """For each quantity its errors in envelopes at each of `steps`; infinite where it does not fit."""
        out = {name: _no_errors(len(self.steps), 0.0 if self.fits(name) else np.inf) for name in self.trace.columns}
        for at, values, envelope in self._rules():
            rows = np.searchsorted(self.steps, at)
            for name in out:
                if name in values and self.fits(name):
                    column = self.trace.columns[name][np.searchsorted(self.trace.steps, at)].astype(np.float64)
                    column = column[:, : values[name].shape[1]] if values[name].ndim > 1 else column
                    of_block = scale(column, values[name], envelope[name])
                    for part in fields(Scaled):
                        getattr(out[name], part.name)[rows] = getattr(of_block, part.name)
        return out

    def _rules(self) -> Iterator[tuple[Any, dict[str, Floats], dict[str, Floats]]]:
        """Some of `steps`, what is right there, and its envelope."""
        options: dict[str, Any] = {"runs": self.effort.runs, "factor": FACTOR, "seed": 2, "steps": self.steps}
        walks = partial(noisy_walks, self.scenario, self.inputs, "resync", self.states, **options)
        for parts in zip(*(walks(kind=kind) for kind in self.effort.kinds), strict=True):
            at, dtype = parts[0][0], self.scenario.dtype
            found = spreads((kind, walk) for kind, (_, walk) in zip(self.effort.kinds, parts, strict=True))
            right = {
                name: np.broadcast_to(found[name][0], (len(at), *found[name][0].shape[1:]))
                for name in self.shapes
                if name in found
            }
            values = as_far_as_the_dtype_reaches(right, partial(self._twin, at), dtype)
            yield at, dict(values), {name: self.envelope(name, found[name][1], values[name], at) for name in values}

    def envelope(self, name: str, spread: Floats, right: Array, steps: NDArray[np.int64]) -> Floats:
        """The envelope around what is right at some steps, each with a leading axis of steps."""
        return (
            rate_envelope(self.scenario, right, steps) if name == "lr" else floored(spread, right, self.scenario.dtype)
        )

    def _twin(self, at: Any) -> dict[str, Array]:
        """The rules in the scenario's dtype itself, from the trace's own states."""
        session = Rules(rounded=True).session(self.scenario, self.inputs)
        steps = []
        for step in np.asarray(at).tolist():
            session.load(step, self.state(step))
            steps.append(session.step(step, self.inputs.batch(step)))
        return {name: np.stack([np.asarray(seen[name]) for seen in steps]) for name in steps[0]}


def _no_errors(steps: int, ratio: float) -> Scaled:
    """To be written to: each column is an array of its own."""
    value, other, unit = np.zeros((3, steps))
    worst, left_open = np.zeros((2, steps), np.int64)
    return Scaled(np.full(steps, ratio), worst, value, other, unit, left_open, np.zeros(steps, bool))


Parts = Iterable[tuple[Kind, Iterable[tuple[str, Array]]]]
"""Kinds of noisy runs, each with its quantities, (runs, …)."""


def spreads(parts: Parts) -> dict[str, tuple[Floats, Floats]]:
    """For each quantity the run without noise, and how far the noisy ones stray from it; one kind after the other."""
    out: dict[str, tuple[Floats, Floats]] = {}
    for kind, quantities in parts:
        for name, runs in quantities:
            value, before = out.get(name) or (np.array(runs[0]), np.zeros(runs.shape[1:]))
            off = spread_of(runs, value, FACTOR, kind) if len(runs) > 1 else before
            out[name] = value, np.maximum(before, off)
    return out


def make_local(scenario: Scenario, inputs: Inputs, trace: Trace, states: States) -> Local:
    """The trace with its states: those that it was given in resync; in free what the step before has left."""
    dtype = FORMATS[scenario.dtype].dtype
    if trace.manifest.mode == "resync":
        return Local(scenario, inputs, trace, states, trace.steps)
    left = {name: trace.columns.get(name) for name in inputs.initial}
    if not all(fits(left[name], value.shape) for name, value in inputs.initial.items()):
        # something of the state was not recorded, or not in its layout: only the start is known
        known = {name: np.broadcast_to(value, (inputs.steps, *value.shape)) for name, value in inputs.initial.items()}
        return Local(scenario, inputs, trace, known, trace.steps[trace.steps == 0])
    left_by = {}
    for name, value in inputs.initial.items():
        left_by[name] = np.full((inputs.steps, *value.shape), np.nan, dtype)
        left_by[name][0] = value
        after = trace.steps + 1 < inputs.steps
        left_by[name][trace.steps[after] + 1] = trace.columns[name][after]
    known_steps = trace.steps[(trace.steps == 0) | np.isin(trace.steps - 1, trace.steps)]
    return Local(scenario, inputs, trace, left_by, known_steps)


def fits(column: Column | None, shape: tuple[int, ...] | None) -> bool:
    """Whether a column is there, of floating-point numbers, and each step's tensor is of that shape."""
    return column is not None and column.dtype in FLOATS and column.shape[1:] == shape


def outside(ratios: Mapping[str, Floats], limit: float) -> dict[str, NDArray[np.bool_]]:
    """For each quantity, at which steps it is outside; NaN is."""
    return {name: ~(ratio <= limit) for name, ratio in ratios.items()}
