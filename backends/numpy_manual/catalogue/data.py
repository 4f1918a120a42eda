"""What can be wrong with the data's order?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
from pydantic.dataclasses import dataclass

from backends.numpy_manual.changes import (
    OPTIONS,
    Change,
    Circumstances,
)
from harness.inputs import Array
from harness.scenario import Scenario


@dataclass(config=OPTIONS)
class SamplesReordered(Change):
    """The samples come in another order."""

    id = "samples_reordered"
    sentence = "the samples come in another order"
    formula = "(x, y)_i ← (x, y)_(N−1−i)"
    origin = "shuffle=True, another seed, a sampler of its own"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Where a batch is not all samples."""
        yield cls()

    def batch(self, run: Circumstances, x: Array, y: Array) -> tuple[Array, Array]:
        """The samples of the step, counted from the end."""
        inputs, per_epoch = run.inputs, run.inputs.steps_per_epoch
        start = run.step % per_epoch * inputs.batch_size
        rows = inputs.order[run.step // per_epoch][::-1][start : start + inputs.batch_size]
        return inputs.x[rows], inputs.y[rows]


@dataclass(config=OPTIONS)
class LabelsShifted(Change):
    """Each sample has the label of the one before."""

    id = "labels_shifted"
    sentence = "the labels are shifted by one sample"
    formula = "y_i ← y_(i−1)"
    origin = "an index that is off by one, a header that was read as data"

    def batch(self, run: Circumstances, x: Array, y: Array) -> tuple[Array, Array]:
        """Labels of the samples before, the last one's for the first."""
        return x, np.roll(run.inputs.y, 1, axis=0)[run.inputs.samples(run.step)]


@dataclass(config=OPTIONS)
class BatchRepeated(Change):
    """A step sees the batch of the step before."""

    id = "batch_repeated"
    sentence = "step {step} sees the batch of the step before"
    formula = "(x, y)_t ← (x, y)_(t−1)"
    origin = "an iterator that was made anew, a buffer that is filled too late"

    step: int = 1

    def batch(self, run: Circumstances, x: Array, y: Array) -> tuple[Array, Array]:
        """The batch before, where it is of one size."""
        before = run.inputs.samples(max(run.step - 1, 0))
        repeats = run.step == self.step and len(before) == len(x)
        return (run.inputs.x[before], run.inputs.y[before]) if repeats else (x, y)
