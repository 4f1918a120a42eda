"""What can be wrong with the data's order, or with what a batch holds?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import numpy as np

from isograd.changes.change import Change, Circumstances, Evidence, Rows
from isograd.changes.places import AtPartialBatch, of_loss
from isograd.changes.reading import MOST, distances, listed, near, nearest, parameters_of
from isograd.inputs import Inputs
from isograd.scenario import Scenario

ABOUT = 1e-3
"""Of the largest gradient of a sample, how far off one may be from what a label gives."""


@dataclass(frozen=True)
class SamplesReordered(Change):
    """The samples come in another order: backwards, or in one that was read off a trace."""

    id = "samples_reordered"
    sentence = "the samples come in another order"
    formula = "(x, y)_i ← (x, y)_«π(i)»"
    origin = "shuffle=True, another seed, a sampler of its own"

    orders: tuple[tuple[int, tuple[int, ...]], ...] = ()
    alone: bool = False

    @property
    def where(self) -> str:
        """Whether the labels stay."""
        return "alone" if self.alone else ""

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """With their labels, and without."""
        yield from (cls(), cls(alone=True))

    def says(self) -> str:
        """With the samples of the first step."""
        said = self.sentence + (", and the labels do not: they belong to other samples" if self.alone else "")
        if not self.orders:
            return said
        step, order = self.orders[0]
        return f"{said}: at step {step} {listed(order)}{self._pattern()}"

    def _pattern(self) -> str:
        """What the order looks like, where that is simple."""
        step, order = self.orders[0]
        apart = {b - a for a, b in pairwise(order)}
        stuck = len(self.orders) > 1 and all(of == order for _, of in self.orders)
        if stuck:
            return f" (from step {step} on the same batch comes again and again)"
        if apart == {1}:
            return f" (a window that is off: it begins at sample {order[0]})"
        if len(apart) == 1 and (by := min(apart)) not in (0, 1):
            words = {2: "every second sample only", -1: "backwards"}
            return f" ({words.get(by, f'every {by}th sample only' if by > 0 else f'backwards, every {-by}th')})"
        return "; some come twice" if len(set(order)) < len(order) else ""

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Each row of a batch is the sample whose output of the first layer is nearest to what the trace has there."""
        if orders := _orders(evidence, _nearest, evidence.inputs.x.size, 10 * MOST):
            yield type(self)(orders=orders, alone=self.alone)

    @property
    def vague(self) -> bool:
        """Any other order: there may be a reason for just this one."""
        return bool(self.orders)

    def samples(self, run: Circumstances, rows: Rows) -> Rows:
        """The samples of the step, counted from the end; or those that were read off."""
        if self.orders:
            return next((np.array(of) for step, of in self.orders if step == run.step), rows)
        epoch, start = _epoch_and_start(run.inputs, run.step)
        backwards: Rows = run.inputs.order[epoch][::-1][start : start + run.inputs.batch_size]
        return backwards

    def labels(self, run: Circumstances, rows: Rows) -> Rows:
        """Those of the samples, or those that the step should have."""
        return run.inputs.samples(run.step) if self.alone else rows


def _orders(
    evidence: Evidence, rows_of: Callable[[Evidence, int], Rows | None], candidates: int, most: int
) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """The steps whose rows are others than they should be, with those; none, if something else is wrong first.

    Args:
        evidence: the trace.
        rows_of: which rows a step has, or None where nobody can tell.
        candidates: numbers that each row is compared with.
        most: comparisons beyond which only the steps that matter are read.
    """
    found, inputs = [], evidence.inputs
    long = len(evidence.steps) * inputs.batch_size * candidates > most
    for step in evidence.looked_at if long else evidence.steps:
        rows = rows_of(evidence, step)
        if rows is None:
            return ()
        if (rows != inputs.samples(step)).any():
            found.append((step, tuple(rows.tolist())))
        elif not found:
            return ()
    return tuple(found)


def _nearest(evidence: Evidence, step: int) -> Rows | None:
    """The samples whose output of the first layer is nearest; where it is as near, the one that it should be."""
    first, inputs = evidence.scenario.layers[0], evidence.inputs
    recorded = evidence.recorded(f"forward/{first.name}", step)
    if recorded is None or recorded.size * len(inputs.x) > MOST:
        return None
    p = parameters_of(evidence.scenario, first.name, evidence.state(step))
    outputs = first.forward(p, inputs.x.astype(np.float64)).a
    right, flat = inputs.samples(step), (len(recorded), -1)
    far_off = distances(recorded.reshape(flat), outputs.reshape(len(outputs), -1))
    return np.concatenate([nearest(far, right[part]) for part, far in far_off])


@dataclass(frozen=True)
class LabelsShifted(Change):
    """Each sample has the label of the one before."""

    id = "labels_shifted"
    sentence = "the labels are shifted by one sample"
    formula = "y_i ← y_«(i−1)»"
    origin = "an index that is off by one, a header that was read as data"

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the loss computes."""
        return of_loss(scenario)

    def labels(self, run: Circumstances, rows: Rows) -> Rows:
        """Labels of the samples before, the last one's for the first."""
        return (rows - 1) % len(run.inputs.y)


@dataclass(frozen=True)
class LabelsReordered(Change):
    """The labels come in another order than the samples, which is read off a trace."""

    id = "labels_reordered"
    sentence = "the labels come in another order, and no longer belong to their samples"
    formula = "y_i ← y_«π(i)»"
    origin = "labels that are shuffled, or sorted, apart from their samples"
    needs = ("orders",)
    reading = 20
    vague = True  # there may be a reason for just this order

    orders: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the loss computes."""
        return of_loss(scenario)

    def says(self) -> str:
        """With the labels of the first step."""
        if not self.orders:
            return self.sentence
        step, order = self.orders[0]
        return f"{self.sentence}: at step {step} those of {listed(order)}"

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Each row of a batch has the label whose gradient of the loss is nearest to what the trace has there."""
        if orders := _orders(evidence, _labels_of, evidence.inputs.y.size, MOST):
            yield type(self)(orders=orders)

    def labels(self, run: Circumstances, rows: Rows) -> Rows:
        """Those that were read off."""
        return next((np.array(of) for step, of in self.orders if step == run.step), rows)


def _labels_of(evidence: Evidence, step: int) -> Rows | None:
    """Whose label each row of a batch has, by the gradient of the loss; where it is as near, the right one."""
    scenario, inputs, last = evidence.scenario, evidence.inputs, evidence.scenario.layers[-1].name
    outputs, got = evidence.recorded(f"forward/{last}", step), evidence.recorded(f"backward/{last}", step)
    if outputs is None or got is None or got.size * len(inputs.y) > MOST:
        return None
    y = inputs.y if scenario.loss.labels == "classes" else inputs.y.astype(np.float64)
    one, where, which = np.unique(y, axis=0, return_index=True, return_inverse=True)  # of equal labels any will do
    with np.errstate(all="ignore"):
        each = [scenario.loss.gradient(outputs, np.repeat(label[np.newaxis], len(outputs), axis=0)) for label in one]
        far = np.stack([np.abs(g - got).reshape(len(got), -1).sum(axis=1) for g in each], axis=1)
    if (far.min(axis=1) > near(scenario.dtype, ABOUT) * np.abs(got).sum(axis=-1).max(initial=0.0)).any():
        return None  # it is the label of none
    right, label = inputs.samples(step), which.reshape(-1)
    found = nearest(far, label[right])
    return np.where(found == label[right], right, where[found])


@dataclass(frozen=True)
class LabelsOfOthers(Change):
    """Within a batch, each sample has the label of another one."""

    id = "labels_of_others"
    sentence = "within each batch the labels are in another order: {how}"
    formula = "y_i ← y_«π(i)»"
    origin = "labels that are rolled, flipped or sorted apart from their samples"
    choices = ("how",)

    how: Literal["shifted by one", "shifted back by one", "backwards"] = "shifted by one"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Of two samples or more."""
        yield from super().variants(scenario) if scenario.batch_size > 1 else ()

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the loss computes."""
        return of_loss(scenario)

    def labels(self, run: Circumstances, rows: Rows) -> Rows:
        """Those of the batch, in the other order."""
        if self.how == "backwards":
            return rows[::-1]
        return np.roll(rows, 1 if self.how == "shifted by one" else -1)


@dataclass(frozen=True)
class BatchRepeated(Change):
    """A step sees the batch of the step before."""

    id = "batch_repeated"
    sentence = "step {step} sees the batch of the step before"
    formula = "(x, y)_t ← (x, y)_«(t−1)»"
    origin = "an iterator that was made anew, a buffer that is filled too late"

    step: int = 1

    def samples(self, run: Circumstances, rows: Rows) -> Rows:
        """The batch before."""
        return run.inputs.samples(run.step - 1) if run.step == self.step and run.step > 0 else rows


@dataclass(frozen=True)
class BatchStuck(Change):
    """Every step sees the first batch."""

    id = "batch_stuck"
    sentence = "every step sees the first batch again"
    formula = "(x, y)_t ← (x, y)_«0»"
    origin = "next(iter(loader)) in the loop, a batch that is kept"

    def samples(self, run: Circumstances, rows: Rows) -> Rows:
        """Those of step 0."""
        return run.inputs.samples(0)


@dataclass(frozen=True)
class BatchDropped(Change):
    """A batch is left out, and the ones after it come a step too early."""

    id = "batch_dropped"
    sentence = "the batch of step {step} is left out: from there each step sees the next one's"
    formula = "(x, y)_t ← (x, y)_«(t+1)»"
    origin = "a batch that was taken to look at its shape, a warm-up step, an iterator that starts at 1"

    step: int = 1

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Where there is a next step."""
        yield cls()

    def samples(self, run: Circumstances, rows: Rows) -> Rows:
        """The batch after; after the last one the first."""
        return rows if run.step < self.step else run.inputs.samples((run.step + 1) % run.inputs.steps)


@dataclass(frozen=True)
class PartialBatchDropped(AtPartialBatch):
    """The last, smaller batch of each epoch is left out."""

    id = "partial_batch_dropped"
    sentence = "the last, smaller batch of each epoch is left out"
    formula = "steps per epoch = «⌊N/B⌋»   (not ⌈N/B⌉)"
    origin = "drop_last=True"

    def samples(self, run: Circumstances, rows: Rows) -> Rows:
        """Whole batches only; when the epochs are used up, they begin again."""
        inputs = run.inputs
        epoch, batch = divmod(run.step, max(1, inputs.order.shape[1] // inputs.batch_size))
        start = batch * inputs.batch_size
        whole: Rows = inputs.order[epoch % len(inputs.order)][start : start + inputs.batch_size]
        return whole


@dataclass(frozen=True)
class PartialBatchFilled(AtPartialBatch):
    """The last, smaller batch of each epoch is filled up."""

    id = "partial_batch_filled"
    sentence = "the last, smaller batch of each epoch is filled up with the epoch's first samples"
    formula = "batch ← batch «∪ first samples»"
    origin = "a sampler that pads so that all batches, or all workers' shares, have one size"

    def samples(self, run: Circumstances, rows: Rows) -> Rows:
        """As many as in a whole batch."""
        inputs = run.inputs
        epoch, start = _epoch_and_start(inputs, run.step)
        filled: Rows = np.tile(inputs.order[epoch], 2)[start : start + inputs.batch_size]
        return filled


def _epoch_and_start(inputs: Inputs, step: int) -> tuple[int, int]:
    """A step's epoch, and where in the epoch's order its batch begins."""
    epoch, batch = divmod(step, inputs.steps_per_epoch)
    return epoch, batch * inputs.batch_size


@dataclass(frozen=True)
class BatchStale(Change):
    """Samples, or labels, are those of the step before."""

    id = "batch_stale"
    sentence = "the {what} are those of the step before, and what belongs to them is not"
    formula = "(«x_(t−1)», y_t)"
    origin = "a buffer that is filled too late, a prefetch of the one and not of the other"
    choices = ("what",)

    what: Literal["samples", "labels"] = "samples"

    def samples(self, run: Circumstances, rows: Rows) -> Rows:
        """Those before, if samples are late."""
        return _before(run, rows) if self.what == "samples" else rows

    def labels(self, run: Circumstances, rows: Rows) -> Rows:
        """Those of the step, or those before."""
        return run.inputs.samples(run.step) if self.what == "samples" else _before(run, rows)


def _before(run: Circumstances, rows: Rows) -> Rows:
    """The step before's, where there is one of the same size."""
    before = run.inputs.samples(run.step - 1) if run.step else rows
    return before if len(before) == len(rows) else rows
