"""How far from the truth can rounding alone push each element of each quantity at each step?"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.numpy_manual import NumpySession
from backends.numpy_manual.noisy import noise_scales, noisy
from harness.dtypes import FORMATS
from harness.inputs import Array, Inputs
from harness.quantities import kind, quantity_shapes
from harness.recorder import States
from harness.scenario import Scenario
from harness.trace import Mode, Trace

Floats = NDArray[np.float64]

RUNS = 16
"""Noisy runs of each kind, unless asked otherwise. The largest of n uniform errors is on average n / (n + 1) of what is
possible: sixteen see 94 %."""

TENTH = 0.1
"""No element's envelope is less than this part of its tensor's largest: sixteen runs can all be near by luck, and the
elements of one tensor are sums of like terms."""

BLOCK = 2**18  # elements of a batch of steps that run at once: some megabytes, with all runs


def make_envelope(
    scenario: Scenario,
    inputs: Inputs,
    truth: Mapping[Mode, Trace],
    twin: Mapping[Mode, Trace],
    states: States,
    *,
    runs: int = RUNS,
    factor: float,
    seed: int = 0,
) -> dict[Mode, dict[str, Floats]]:
    """The largest distance to the truth of noisy runs, and of the rules in the dtype itself; floored.

    The rules are the hand-written ones, in `backends.numpy_manual.noisy`'s arithmetic. In free the noise accumulates
    over the steps; in resync each step starts from its state, and so all steps of one batch size run at once.

    Args:
        scenario: what is run.
        inputs: its numbers.
        truth: for each mode that is wanted, the reference's trace of every step.
        twin: likewise, the same rules in the scenario's dtype: one more run that is right.
        states: the state before each step, for resync.
        runs: how many noisy runs of each kind.
        factor: how many envelopes an element may be off.
        seed: of the noise, with the scenario's name.
    """
    out = {}
    for mode, trace in truth.items():
        columns = {name: np.zeros(column.shape) for name, column in trace.columns.items()}
        for at, seen in noisy_runs(scenario, inputs, mode, states, runs=runs, factor=factor, seed=seed):
            for name, column in columns.items():
                _keep(column, at, seen[name], trace.columns[name][at], factor)
        for name, column in columns.items():
            off = np.abs(twin[mode].columns[name].astype(np.float64) - trace.columns[name])
            np.maximum(column, np.where(np.isfinite(off), off, 0.0), out=column)
        out[mode] = {
            name: floored(column, trace.columns[name], scenario.dtype) if kind(name) != "lr" else column  # a constant
            for name, column in columns.items()
        }
    return out


def strayed(runs: Array, truth: Array, factor: float) -> Floats:
    """The largest distance of noisy runs to the truth; those with more noise than rounding has count so much less.

    Args:
        runs: (2 K + 1, …): one without noise, K of the first kind, K of the second.
        truth: (…), what they should be.
        factor: how many envelopes an element may be off.
    """
    off = np.abs(runs[1:] - truth)
    off = np.where(np.isfinite(off), off, 0.0)  # a run that overflows says nothing about rounding
    half = len(off) // 2
    off[:half] /= noise_scales(half, factor).reshape(-1, *[1] * (off.ndim - 1))
    return np.asarray(off.max(axis=0))


def noisy_runs(
    scenario: Scenario,
    inputs: Inputs,
    mode: Mode,
    states: States,
    *,
    runs: int,
    factor: float,
    seed: int,
    steps: NDArray[np.int64] | None = None,
) -> Iterator[tuple[Any, Mapping[str, Array]]]:
    """Noisy runs of the rules: the numbers of some steps, and each quantity there, (2 runs + 1, steps, *shape).

    Run 0 has no noise; the others are of two kinds (`backends.numpy_manual.noisy.Noise`). A constant has no noise, and
    no more than one run. ``steps`` says which are wanted in resync; None: all.
    """
    arithmetic = noisy(scenario.dtype, runs, factor, zlib.crc32(f"{scenario.name} {mode} {seed}".encode()))
    session = NumpySession(scenario, inputs, arithmetic, np.dtype(np.float64))
    with np.errstate(over="ignore", invalid="ignore"):  # a run that overflows is for the judge
        if mode == "free":
            yield from _free(session, inputs)
        else:
            wanted = np.arange(inputs.steps) if steps is None else steps
            yield from _resync(session, scenario, inputs, states, wanted)


def floored(envelope: Floats, truth: Floats, dtype: str) -> Floats:
    """At least one ULP of each element, and `TENTH` of the largest of its tensor at the step.

    One ULP, because a result is rounded when it is stored, and two right ones can lie on either side of a tie.
    """
    largest = envelope.reshape(len(envelope), -1).max(axis=1, initial=0.0)
    np.maximum(envelope, TENTH * largest.reshape(-1, *[1] * (envelope.ndim - 1)), out=envelope)
    return np.maximum(envelope, FORMATS[dtype].spacing(np.where(np.isfinite(truth), truth, 0.0)), out=envelope)


def _free(session: NumpySession, inputs: Inputs) -> Iterator[tuple[Any, Mapping[str, Array]]]:
    for step, (x, y) in enumerate(inputs.batches()):
        yield slice(step, step + 1), {name: value[:, np.newaxis] for name, value in _runs(session.step(x, y))}


def _resync(
    session: NumpySession, scenario: Scenario, inputs: Inputs, states: States, steps: NDArray[np.int64]
) -> Iterator[tuple[Any, Mapping[str, Array]]]:
    """All steps whose batches are of one size, in blocks."""
    samples = [inputs.samples(int(step)) for step in steps]
    sizes = np.array([len(batch) for batch in samples])
    largest = max(int(np.prod([n or inputs.batch_size for n in s])) for s in quantity_shapes(scenario).values())
    block = max(1, BLOCK // largest)
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        for start in range(0, len(of_size), block):
            rows = of_size[start : start + block]
            at = steps[rows]
            batch = np.array([samples[row] for row in rows])
            session.load({name: column[at] for name, column in states.items()})
            yield at, dict(_runs(session.step(inputs.x[batch], inputs.y[batch])))


def _runs(seen: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """The quantities of a step, each with a leading axis of runs; what is a constant has none, and gets one."""
    for name, value in seen.items():
        yield name, value if value.ndim else value.reshape(1, 1)


def _keep(column: Floats, at: Any, runs: Array, truth: Array, factor: float) -> None:
    """Write how far the runs strayed into the rows ``at``; a smaller batch fills its own rows only."""
    if len(runs) == 1:
        return
    if runs.shape[2:] == column.shape[1:]:
        column[at] = strayed(runs, truth, factor)
    else:
        column[at, : runs.shape[2]] = strayed(runs, truth[:, : runs.shape[2]], factor)
