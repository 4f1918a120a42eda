"""What can be wrong with single things in the data: classes, columns, a cell, a sample that is left out?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal, Self

import numpy as np

from isograd.arithmetic.words import pad
from isograd.changes.catalogue.inputs import What, kinds, of_batch
from isograd.changes.change import Change, Circumstances, Evidence
from isograd.changes.instead import instead
from isograd.changes.places import OfLoss
from isograd.inputs import Array, Batch
from isograd.ops.op import Loss
from isograd.scenario import Scenario

FEW_COLUMNS = 8
"""Columns up to which each two are tried."""

FEATURES = 64
"""Features up to which each is tried as the one that is lost."""


@dataclass(frozen=True)
class ClassesShifted(Change):
    """Classes are counted from another number."""

    id = "classes_shifted"
    sentence = "the labels are classes that are {by} off"
    formula = "y ← y «+ 1», modulo the number of classes"
    origin = "classes that are counted from 1"

    by: int = 1

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """One more and one less."""
        yield from (cls(1), cls(-1)) if scenario.loss.labels == "classes" else ()

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """The next class."""
        return batch._replace(y=(batch.y + self.by) % run.scenario.loss.classes(run.scenario.outputs))


@dataclass(frozen=True)
class ColumnsSwapped(Change):
    """Two columns of the samples stand in each other's place."""

    id = "columns_swapped"
    sentence = "columns {first} and {second} of the samples are swapped"
    formula = "x_i «⇄» x_j"
    origin = "columns in another order than the code takes them in"

    first: int = 0
    second: int = 1

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each two of a few columns."""
        columns = scenario.shapes()["x"]
        if len(columns) == 1 and columns[0] <= FEW_COLUMNS:
            yield from (cls(i, j) for i, j in combinations(range(columns[0]), 2))

    @property
    def where(self) -> str:
        """Both."""
        return f"{self.first} ⇄ {self.second}"

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """One for the other."""
        order = np.arange(batch.x.shape[1])
        order[[self.first, self.second]] = order[[self.second, self.first]]
        return batch._replace(x=batch.x[:, order])


@dataclass(frozen=True)
class CellOff(Change):
    """One number of the data is another."""

    id = "cell_off"
    sentence = "one cell of the data is another: column {column} of sample {sample} of the {what} is {by:.6g} more"
    formula = "x_ij ← x_ij «+ c»"
    origin = "a missing value that was filled, a decimal point, a sensor that failed"
    needs = ("by",)
    is_fact = True
    solve = {"by": 0.0}  # noqa: RUF012

    what: What = "samples"
    sample: int = 0
    column: int = 0
    by: float = 0.0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Of samples that are flat, and of labels that are numbers; where is read off a trace."""
        yield from (cls(what) for what in kinds(scenario)[:2] if len(scenario.shapes()["x"]) == 1)

    @property
    def where(self) -> str:
        """Which."""
        return f"{self.what}[{self.sample}, {self.column}]"

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """In the one sample whose row differs: of the first layer's output, or of the loss's gradient."""
        step, layers = evidence.steps[0], evidence.scenario.layers
        name = f"forward/{layers[0].name}" if self.what == "samples" else f"backward/{layers[-1].name}"
        got = evidence.recorded(name, step)
        if got is None:
            return
        off = np.abs(got - evidence.ruled(name, step)).reshape(len(got), -1).max(axis=1)
        rows = np.flatnonzero(~(off <= 1e-3 * off.max(initial=0.0)))
        if len(rows) == 1:
            sample = int(evidence.inputs.samples(step)[rows[0]])
            values = evidence.inputs.x if self.what == "samples" else evidence.inputs.y
            columns = range(min(values[0].size, 64)) if values.ndim > 1 else range(1)
            yield from (replace(self, sample=sample, column=column, by=0.1) for column in columns)

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """Wherever the sample comes."""
        if not self.by:
            return batch
        here = run.inputs.samples(run.step) == self.sample

        def changed(some: Array) -> Array:
            some = some.copy()
            some.reshape(len(some), -1)[: len(here), self.column][here[: len(some)]] += self.by
            return some

        return of_batch(batch, self.what, changed)


@dataclass(frozen=True)
class SampleLeftOut(OfLoss):
    """The loss is that of all samples of a batch but one."""

    id = "sample_left_out"
    sentence = "the loss leaves out the {which} sample of each batch"
    formula = "L = mean over «B − 1» samples"
    origin = "an index [:-1] or [1:], labels that are one step ahead in a sequence"
    choices = ("which",)

    which: Literal["last", "first"] = "last"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Of two samples or more."""
        yield from super().variants(scenario) if scenario.batch_size > 1 else ()

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """Value and gradient of the loss of the others; no gradient for the one."""
        kept = slice(None, -1) if self.which == "last" else slice(1, None)
        rows = (0, 1) if self.which == "last" else (1, 0)

        def gradient(yhat: Any, y: Any) -> Any:
            if yhat.shape[0] < 2:
                return op.gradient(yhat, y)
            return pad(op.gradient(yhat[kept], y[kept]), [rows, *[(0, 0)] * (yhat.ndim - 1)])

        def value(yhat: Any, y: Any) -> Any:
            return op.value(yhat[kept], y[kept]) if yhat.shape[0] > 1 else op.value(yhat, y)

        return instead(op, value=value, gradient=gradient)


@dataclass(frozen=True)
class FeatureLost(Change):
    """A column of the samples is 0 everywhere."""

    id = "feature_lost"
    sentence = "column {column} of the samples is 0 everywhere"
    formula = "x_j ← «0»"
    origin = "a column that could not be read, a name that was mistyped, a fill value"

    column: int = 0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each column, where samples are rows of a table."""
        shape, numbers = scenario.data.sample, not scenario.indices
        yield from (cls(i) for i in range(shape[0] if numbers and len(shape) == 1 and shape[0] <= FEATURES else 0))

    @property
    def where(self) -> str:
        """Which."""
        return f"column {self.column}"

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """Without it."""
        return of_batch(batch, "samples", lambda some: np.where(np.arange(some.shape[-1]) == self.column, 0.0, some))
