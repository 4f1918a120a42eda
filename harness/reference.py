"""What is the truth for a scenario, and how far can rounding stray from it? The hand-written rules, wider and noisy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from isograd.arithmetic import has_extended
from isograd.arithmetic.early import Early
from isograd.arithmetic.noise import Kind
from isograd.dtypes import FORMATS
from isograd.envelope import LOUDEST, RUNS, Floats, make_envelope, noisy_runs
from isograd.graph import Hooks
from isograd.inputs import Array, Inputs
from isograd.overflow import as_far_as_the_dtype_reaches, is_near, late, left_open
from isograd.recorder import Columns, States, manifest_of, record_here
from isograd.rules import Rules
from isograd.scenario import Scenario
from isograd.stored import on_disk
from isograd.trace import Mode, Trace

# float64 has 29 bits more than float32, so its own rounding is invisible there; for float64 itself, 50 digits.
WIDER = {"float16": "float64", "bfloat16": "float64", "float32": "float64", "float64": "mp50"}

EXACT = "exact"
EXACT_STEPS = 1
"""A fraction's digits double or triple with every step: one step is exact, more are left to 50 digits or float64."""
EXACT_PRODUCTS = 20_000
"""So many products of a step are exact: they take a quarter of a second."""

EXTENDED = "extended"
WIDE_PRODUCTS = 5_000_000
"""So many products of a run are computed with 50 digits, in some ten seconds; more in extended precision, where the
machine has it: its rounding is 2,048 times as fine as float64's."""


@dataclass(frozen=True)
class Reference:
    """The truth of one scenario.

    Attributes:
        arithmetic: what the truth was computed in: float64, mp50, or exact fractions.
        truth: for each mode, the reference's trace, in float64.
        twin: for each mode, the same rules in the scenario's own dtype: what `IDENTICAL` means.
        states: the state that every backend is given before each step in resync, in the scenario's dtype.
        envelope: for each mode and quantity, how far rounding can push each element at each step.
    """

    arithmetic: str
    truth: Mapping[Mode, Trace]
    twin: Mapping[Mode, Trace]
    states: States
    envelope: Mapping[Mode, Mapping[str, Floats]]


@np.errstate(
    over="ignore", invalid="ignore", divide="ignore"
)  # a run that overflows is for the judge, who can name where
def make_reference(
    scenario: Scenario,
    inputs: Inputs,
    modes: tuple[Mode, ...],
    *,
    factor: float,
    runs: int = RUNS,
    ready: Callable[[States], None] = lambda states: None,
    folder: Path | None = None,
    progress: Callable[[Mode, float], None] = lambda mode, share: None,
) -> Reference:
    """Run the reference, in this process: it needs NumPy only.

    Args:
        scenario: what is run.
        inputs: its numbers.
        modes: free, resync or both.
        factor: how many envelopes an element may be off; see `isograd.envelope`.
        runs: how many noisy runs of each kind make the envelope.
        ready: told of resync's states as soon as they are known, long before the envelope is.
        folder: where to put what is large, an empty folder; None: all is kept in memory.
        progress: told of each share of a mode's work that is done, 1 in all.
    """
    parts: dict[Mode, Any] = {}
    with threadpool_limits(1, "blas"):  # as in a child: no sum may depend on how many processors there are
        arithmetic = truth_arithmetic(scenario, inputs)
        wide = Rules(arithmetic)
        states: States = {}
        for mode in sorted(modes, reverse=True):  # resync first: others wait for its states
            if mode == "resync":
                states, truth = resync(wide, scenario, inputs)
                ready(states)
            else:
                truth = record_here(wide, "reference", scenario, inputs)
            options: dict[str, Any] = {
                "runs": runs,
                "factor": min(factor, LOUDEST),
                "progress": partial(progress, mode),
            }
            parts[mode] = _with_twin_and_envelope(truth, scenario, inputs, states, folder, options)
            del truth  # it may be on disk now
    truths, twins, envelopes = ({mode: parts[mode][i] for mode in modes} for i in range(3))
    return Reference(arithmetic, truths, twins, states, envelopes)


def _with_twin_and_envelope(
    truth: Trace, scenario: Scenario, inputs: Inputs, states: States, folder: Path | None, options: dict[str, Any]
) -> tuple[Trace, Trace, Mapping[str, Floats]]:
    """A mode's truth, twin and envelope; in files of the folder, where they are large."""
    free = truth.manifest.mode == "free"
    twin = record_here(Rules(rounded=True), "reference", scenario, inputs, states=None if free else states)
    truth = _held(truth, twin, scenario.dtype)
    envelope = make_envelope(scenario, inputs, truth, twin, states, **options)
    others = _other_runs(scenario, inputs, truth, twin, states)
    left_open(envelope, truth.columns, others, options["factor"], scenario.dtype, free)
    return (truth, twin, envelope) if folder is None else _on_disk(folder, truth, twin, envelope)


def _on_disk(
    folder: Path, truth: Trace, twin: Trace, envelope: Mapping[str, Floats]
) -> tuple[Trace, Trace, Mapping[str, Floats]]:
    """The same, with what is large in files."""
    mode = truth.manifest.mode
    return (
        replace(truth, columns=on_disk(truth.columns, folder / f"truth-{mode}")),
        replace(twin, columns=on_disk(twin.columns, folder / f"twin-{mode}")),
        on_disk(envelope, folder / f"envelope-{mode}"),
    )


OTHERS = 4
"""Noisy runs that are asked whether they overflow, too, where one does."""


def _other_runs(
    scenario: Scenario, inputs: Inputs, truth: Trace, twin: Trace, states: States
) -> Iterator[tuple[Any, Mapping[str, Array]]]:
    """Where something may overflow, right runs that do so elsewhere: an early one, a late one, the twin, noisy ones."""
    labels = [inputs.y] if scenario.loss.labels == "values" else []
    numbers = [inputs.x, *labels, *inputs.initial.values(), *states.values(), *truth.columns.values()]
    terms = max(inputs.batch_size, *(column[0].size for column in truth.columns.values()))
    if not is_near(numbers, terms, scenario.dtype):
        return
    mode = truth.manifest.mode
    given = states if mode == "resync" else None
    soonest, last = Rules(Early(scenario.dtype)), Rules("float64", hooks=Hooks(see=late(scenario.dtype)))
    first = record_here(soonest, "early", scenario, inputs, states=given).columns
    if all(np.isfinite(column).all() for column in [*first.values(), *twin.columns.values()]):
        return
    for columns in (first, twin.columns, record_here(last, "late", scenario, inputs, states=given).columns):
        yield slice(None), {name: column[np.newaxis] for name, column in columns.items()}
    for at, seen in noisy_runs(scenario, inputs, mode, states, runs=OTHERS, factor=1.0, seed=3, kind=Kind.SECOND):
        yield at, {name: runs[1:] for name, runs in seen.items() if len(runs) > 1}  # they round as the dtype does


def _held(truth: Trace, twin: Trace, dtype: str) -> Trace:
    free = truth.manifest.mode == "free"
    return replace(truth, columns=as_far_as_the_dtype_reaches(truth.columns, lambda: twin.columns, dtype, free))


def truth_arithmetic(scenario: Scenario, inputs: Inputs) -> str:
    """Exact fractions where every rule of the scenario allows them and it is small; otherwise the wider arithmetic."""
    cost = products(scenario, inputs.batch_size)
    if inputs.steps <= EXACT_STEPS and cost <= EXACT_PRODUCTS and not Rules(EXACT).missing(scenario):
        return EXACT
    wider = WIDER[scenario.dtype]
    return EXTENDED if wider == "mp50" and inputs.steps * cost > WIDE_PRODUCTS and has_extended() else wider


def products(scenario: Scenario, batch: int) -> int:
    """How many products one step takes: each weight meets each place of each sample forward, and twice backward."""
    shapes, params = scenario.shapes(), scenario.used()
    places = {name: prod(shapes[name.partition(".")[0]]) // param.shape[0] for name, param in params.items()}
    return 3 * batch * sum(prod(param.shape) * max(1, places[name]) for name, param in params.items())


def resync(wide: Rules, scenario: Scenario, inputs: Inputs) -> tuple[dict[str, Array], Trace]:
    """The reference's trajectory, rounded to the scenario's dtype after every step; and what it does at each.

    Each state is one that every backend can hold exactly: what differs after the step is the step's own error.
    """
    session = wide.session(scenario, inputs)
    dtype = FORMATS[scenario.dtype].dtype
    states = {name: np.empty((inputs.steps, *value.shape), value.dtype) for name, value in inputs.initial.items()}
    columns = Columns(scenario, "*", inputs.steps, inputs.batch_size)
    state: dict[str, Array] = dict(inputs.initial)
    for step, batch in enumerate(inputs.batches()):
        for name, column in states.items():
            column[step] = state[name]
        session.load(step, state)
        seen = session.step(step, batch)
        columns.keep(step, step, seen)
        state = {name: seen[name].astype(dtype) for name in states}
    manifest = manifest_of(wide, "reference", scenario, inputs, "resync")
    return states, Trace(columns.frozen(), np.arange(inputs.steps), manifest)
