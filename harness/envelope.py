"""How far from the truth can rounding alone push each element of each quantity at each step?"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.arithmetic.noise import Kind
from isograd.arithmetic.noisy import noisy
from isograd.dtypes import FORMATS
from isograd.floors import floored
from isograd.graph import Training, training
from isograd.inputs import Array, Batch, Inputs
from isograd.quantities import kind, quantity_shapes
from isograd.recorder import States
from isograd.scenario import Scenario
from isograd.trace import Mode, Trace

Floats = NDArray[np.float64]
Walks = Iterator[tuple[Any, Iterator[tuple[str, Array]]]]
"""Some steps, and their quantities as they are computed, (runs, steps, *shape)."""

RUNS = 16
"""Noisy runs of each kind, unless asked otherwise. The largest of n uniform errors is on average n / (n + 1) of what is
possible: sixteen see 94 %."""

LARGE = 2**16
"""Elements of a tensor from which on there are fewer runs: as many more elements, so many fewer runs, down to a
quarter. The largest stray of a tensor is then one of very many, and a tenth of that is the floor of each."""

LOUDEST = 64.0
"""So many times rounding's size is the loudest noise, whatever the factor: with more, nothing of a run is left, and all
that could be wrong would be within its envelope. It is the largest factor that was calibrated."""

CROWDED = 2**28
"""Bytes of a tensor in all runs of a kind from which on the kinds run one after the other, and not side by side."""

BLOCK = 2**19  # elements of a tensor in all runs of all steps that run at once: they fit the cache


def how_many(scenario: Scenario, inputs: Inputs, runs: int = RUNS) -> int:
    """How many noisy runs of each kind a scenario has, where ``runs`` are asked for: fewer for large tensors."""
    return runs_for(largest(scenario, inputs), runs)


def runs_for(size: int, runs: int = RUNS) -> int:
    """The same, by the number of elements of the largest tensor of a step."""
    return max(2, -(-runs // 4), round(runs * min(1.0, LARGE / size)))


def largest(scenario: Scenario, inputs: Inputs) -> int:
    """Elements of the largest tensor of a step."""
    shapes = quantity_shapes(scenario).values()
    return max(int(np.prod([n or inputs.batch_size for n in shape])) for shape in shapes)


def make_envelope(
    scenario: Scenario,
    inputs: Inputs,
    truth: Trace,
    twin: Trace,
    states: States,
    *,
    runs: int = RUNS,
    factor: float,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Floats]:
    """The largest distance to the truth of noisy runs, and of the rules in the dtype itself; floored.

    The rules are the hand-written ones, in `isograd.arithmetic.noisy`'s arithmetic. In free the noise
    accumulates over the steps; in resync each step starts from its state, and so many steps of one batch size run at
    once.

    Args:
        scenario: what is run.
        inputs: its numbers.
        truth: the reference's trace of every step.
        twin: likewise, the same rules in the scenario's dtype: one more run that is right.
        states: the state before each step, for resync.
        runs: how many noisy runs of each kind, where tensors are not large.
        factor: how many envelopes an element may be off.
        seed: of the noise, with the scenario's name.
        progress: told of each share of the work that is done, 1 in all; from several threads, one at a time.
    """
    factor = min(factor, LOUDEST)
    runs, mode = how_many(scenario, inputs, runs), truth.manifest.mode
    size = largest(scenario, inputs) * (1 + runs)
    apart = (Kind.FIRST, Kind.SECOND)
    kinds = [(Kind.BOTH,)] if 2 * size <= BLOCK else [apart] if 8 * size <= CROWDED else [(kind,) for kind in apart]
    number = len(truth.steps) * sum(map(len, kinds))
    spread = Spread(truth, factor, lambda steps: progress(steps / number))
    walks = partial(noisy_walks, scenario, inputs, mode, states, runs=runs, factor=factor, seed=seed)
    for together in kinds:
        spread.look(walks, together)
    return spread.envelope(twin, scenario)


class Spread:
    """How far runs are from the truth, at most, as they come; each may be of some steps only.

    Args:
        truth: the reference's trace of every step.
        factor: how many envelopes an element may be off.
        progress: told of each number of steps that is done; one at a time.
    """

    def __init__(self, truth: Trace, factor: float, progress: Callable[[int], None]) -> None:
        self.truth, self.factor, self.progress = truth, factor, progress
        self.columns = {name: np.zeros(column.shape) for name, column in truth.columns.items()}
        self.lock, self.stopped = threading.Lock(), threading.Event()

    def look(self, walks: Callable[..., Walks], kinds: tuple[Kind, ...]) -> None:
        """Look at the runs of some kinds, side by side."""
        if len(kinds) == 1:
            return self._look(walks(kind=kinds[0]), kinds[0])
        with ThreadPoolExecutor(len(kinds)) as pool:  # NumPy's loops let go of the interpreter lock
            work = [pool.submit(self._look, walks(kind=kind), kind) for kind in kinds]
            try:
                wait(work, return_when=FIRST_EXCEPTION)
            finally:  # one that failed, or Ctrl-C: nobody waits for the rest
                self.stopped.set()
            for done in work:
                done.result()

    @np.errstate(
        over="ignore", invalid="ignore", divide="ignore"
    )  # a run that overflows is for the judge; the setting is per thread
    def _look(self, walks: Walks, kind: Kind) -> None:
        for at, walk in walks:
            for name, runs in walk:
                if self.stopped.is_set():
                    return
                self._keep(self.columns[name], at, runs, self.truth.columns[name][at], kind)
            with self.lock:
                self.progress(at.stop - at.start if isinstance(at, slice) else len(at))

    def _keep(self, column: Floats, at: Any, runs: Array, truth: Array, kind: Kind) -> None:
        """Take the rows ``at`` in; a smaller batch has some of their rows only."""
        if len(runs) == 1:
            return
        part = at if runs.shape[2:] == column.shape[1:] else (at, slice(runs.shape[2]))
        off = spread_of(runs, truth if part is at else truth[:, : runs.shape[2]], self.factor, kind)
        with self.lock:
            column[part] = np.maximum(column[part], off)

    def envelope(self, twin: Trace, scenario: Scenario) -> dict[str, Floats]:
        """The columns, with the rules in the dtype itself as one more run that is right; floored, but for the rate."""
        for name, column in self.columns.items():
            for at in rows(column):
                right = self.truth.columns[name][at]
                off = np.abs(twin.columns[name][at].astype(np.float64) - right)
                off[~np.isfinite(off)] = 0.0
                np.maximum(column[at], off, out=column[at])
                if kind(name) != "lr":
                    floored(column[at], right, scenario.dtype)
        if "lr" in self.columns:
            self.columns["lr"] = rate_envelope(scenario, self.truth.columns["lr"], self.truth.steps)
        return self.columns


SLIPS = 4.0
"""Roundings of float64 that a schedule may gather in a step: some compute a rate from the one before."""


def rate_envelope(scenario: Scenario, lr: Floats, steps: NDArray[np.int64]) -> Floats:
    """How far off the learning rates of some steps may be: a constant not at all.

    What a schedule gives is computed in float64 everywhere, from formulas or from the rate before, and rounded to the
    dtype once: to the one side of a tie or the other.
    """
    if scenario.schedule is None:
        return np.zeros(np.shape(lr))
    slips = SLIPS * (steps + 1) * FORMATS["float64"].roundoff * scenario.optimizer.lr
    return np.asarray(slips + (FORMATS[scenario.dtype].spacing(lr) if scenario.dtype != "float64" else 0.0))


def rows(column: Array) -> Iterator[slice]:
    """The steps of a column in blocks that fit the cache."""
    at_once = max(1, BLOCK // max(1, column[:1].size))
    return (slice(start, start + at_once) for start in range(0, len(column), at_once))


def spread_of(runs: Array, truth: Array, factor: float, kind: Kind = Kind.BOTH) -> Floats:
    """The largest distance of noisy runs to the truth; those with more noise than rounding has count so much less.

    Args:
        runs: one without noise, and all of the kind: (2 K + 1, …) of both, (K + 1, …) of one.
        truth: (…), what they should be.
        factor: how many envelopes an element may be off.
        kind: which they are.
    """
    scales = np.concatenate(kind.scales(kind.each(len(runs) - 1), factor))
    if runs.size > BLOCK:
        return _far_apart(runs, truth, scales)
    off = np.abs(runs[1:] - truth)
    off[~np.isfinite(off)] = 0.0  # a run that overflows says nothing about rounding
    off /= scales.reshape(-1, *[1] * (off.ndim - 1))
    return np.asarray(off.max(axis=0))


def _far_apart(runs: Array, truth: Array, scales: Floats) -> Floats:
    """The same, piece by piece and run by run."""
    largest = np.zeros(truth.shape)
    flat, right, out = runs.reshape(len(runs), -1), truth.reshape(-1), largest.reshape(-1)
    for start in range(0, len(right), BLOCK):
        piece = slice(start, start + BLOCK)
        for run, scale in zip(flat[1:, piece], scales, strict=True):
            off = np.abs(run - right[piece])
            off /= scale
            if not np.isfinite(off.sum()):
                off[~np.isfinite(off)] = 0.0
            np.maximum(out[piece], off, out=out[piece])
    return largest


def noisy_runs(*arguments: Any, **options: Any) -> Iterator[tuple[Any, Mapping[str, Array]]]:
    """As `noisy_walks`, with all quantities of the steps together."""
    for at, walk in noisy_walks(*arguments, **options):
        yield at, dict(walk)


def noisy_walks(
    scenario: Scenario,
    inputs: Inputs,
    mode: Mode,
    states: States,
    *,
    runs: int,
    factor: float,
    seed: int,
    steps: NDArray[np.int64] | None = None,
    kind: Kind = Kind.BOTH,
) -> Walks:
    """Noisy runs of the rules: the numbers of some steps, and each quantity there, (1 + noisy runs, steps, *shape).

    Run 0 has no noise; the others are ``runs`` of each kind. A constant has no noise, and no more than one run.
    ``steps`` says which are wanted in resync; None: all.
    """
    name = zlib.crc32(f"{scenario.name} {mode} {seed}".encode())
    arithmetic = noisy(scenario.dtype, runs, factor, name, kind=kind)
    run = training(scenario, inputs, arithmetic)
    at_once = max(1, BLOCK // (largest(scenario, inputs) * (1 + kind.number(runs))))
    if mode == "free":
        return _free(run, inputs) if at_once == 1 else _together(_free(run, inputs), at_once)
    return _resync(run, inputs, states, np.arange(inputs.steps) if steps is None else steps, at_once)


def _free(run: Training, inputs: Inputs) -> Walks:
    for step, batch in enumerate(inputs.batches()):
        yield slice(step, step + 1), _plain(run, run.step(batch, inputs.lr[step], step))


def _together(steps: Walks, at_once: int) -> Walks:
    """Steps one after the other, handed on in blocks of steps whose batches are of one size."""
    block: list[dict[str, Array]] = []
    start = 0
    for at, walk in steps:
        seen = dict(walk)
        if block and (len(block) == at_once or any(runs.shape != seen[name].shape for name, runs in block[0].items())):
            yield slice(start, at.start), _stacked(block)
            start, block = at.start, []
        block.append(seen)
    yield slice(start, start + len(block)), _stacked(block)


def _stacked(block: list[dict[str, Array]]) -> Iterator[tuple[str, Array]]:
    return ((name, np.concatenate([seen[name] for seen in block], axis=1)) for name in block[0])


def _resync(run: Training, inputs: Inputs, states: States, steps: NDArray[np.int64], at_once: int) -> Walks:
    """All steps whose batches are of one size, in blocks."""
    samples = [inputs.samples(int(step)) for step in steps]
    sizes = np.array([len(batch) for batch in samples])
    for size in np.unique(sizes):
        of_size = np.flatnonzero(sizes == size)
        for start in range(0, len(of_size), at_once):
            rows = of_size[start : start + at_once]
            at = steps[rows]
            batch = np.array([samples[row] for row in rows])
            run.load({name: column[at] for name, column in states.items()}, steps=True)
            walk = run.step(Batch(inputs.x[batch], inputs.y[batch]), inputs.lr[at], at, steps=True)
            yield at, _plain(run, walk)


def _plain(run: Training, walk: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Array]]:
    """The quantities of some steps as plain arrays, (runs, steps, …); what is a constant has one run."""
    return ((name, run.arithmetic.plain(value)) for name, value in walk)
