"""What may stand in a feature's place, or in a label's: one another, another sample's, a function of the features?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np

from isograd.changes.change import Change, Circumstances
from isograd.inputs import Array, Batch
from isograd.scenario import Scenario

COLUMNS = 8
"""Features at either end that are tried as labels."""


def are_rows(scenario: Scenario) -> bool:
    """Whether samples are rows of a table's numbers, and so are labels."""
    loss, samples = scenario.loss, scenario.data.sample
    in_columns = loss.labels == "values" and len(loss.label_shape(scenario.outputs)) == 1
    return in_columns and len(samples) == 1 and not scenario.indices


@dataclass(frozen=True)
class LabelsAreFeature(Change):
    """A feature is learned in the label's place."""

    id = "labels_are_feature"
    sentence = "the labels are the samples' own feature {index}"
    formula = "y_i ← «x_ij»"
    origin = "a label column that is counted from another end, or by another name"

    index: int = 0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """The first features and the last ones, where labels are numbers."""
        if are_rows(scenario):
            n = scenario.data.sample[0]
            yield from (cls(index) for index in sorted({*range(n)[:COLUMNS], *range(n)[-COLUMNS:]}))

    @property
    def where(self) -> str:
        """Which."""
        return f"feature {self.index}"

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """The feature in each label's place."""
        labels = batch.x[:, [self.index] * batch.y.shape[1]]
        return batch._replace(y=labels.astype(batch.y.dtype))


MADE: Mapping[str, Callable[[Array], Array]] = {
    "mean": lambda x: x.mean(axis=-1),
    "largest": lambda x: x.max(axis=-1),
    "smallest": lambda x: x.min(axis=-1),
    "product": lambda x: x.prod(axis=-1),
    "sum of the squares": lambda x: (x * x).sum(axis=-1),
    "sum of the absolute values": lambda x: np.abs(x).sum(axis=-1),
    "sum": lambda x: x.sum(axis=-1),
    "length": lambda x: np.sqrt((x * x).sum(axis=-1)),
    "median": lambda x: np.median(x, axis=-1),
    "difference of the first two": lambda x: x[..., 0] - x[..., min(1, x.shape[-1] - 1)],
}


OF_ONE = ("sum of the squares", "sum of the absolute values")


@dataclass(frozen=True)
class LabelsAreOfFeatures(Change):
    """The labels are another function of the samples' features than they should be."""

    id = "labels_are_of_features"
    sentence = "the labels are the {of} of the samples' own features"
    formula = "y_i ← «f(x_i)»"
    origin = "a target that is computed in the pipeline, by another formula"

    tables = {"of": MADE}  # noqa: RUF012

    of: str = "mean"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every function, where labels are numbers."""
        if are_rows(scenario):
            one = scenario.data.sample[0] == 1  # then nearly all of them are the feature itself
            yield from (cls(of) for of in MADE if not one or of in OF_ONE)

    @property
    def where(self) -> str:
        """Which."""
        return self.of

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """The function's value in each label's place."""
        labels = MADE[self.of](batch.x.astype(np.float64))
        return batch._replace(y=np.broadcast_to(labels[:, np.newaxis], batch.y.shape).astype(batch.y.dtype))


Leaks = Literal["the label", "that of the sample before", "that of the sample after", "added to the label"]


@dataclass(frozen=True)
class ColumnChanged(Change):
    """One feature holds something else: the label, another feature, or another sample's value."""

    id = "column_changed"
    sentence = "feature {column} of the samples is {how}"
    formula = "x_ij ← «y_i»   (or x_(i−1)j, x_ik)"
    origin = "a label that has leaked into the features, a column that was joined or shifted by one row, or copied"

    how: Leaks = "the label"
    column: int = 0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each of the first features and the last ones."""
        if are_rows(scenario):
            n = scenario.data.sample[0]
            columns = sorted({*range(n)[:COLUMNS], *range(n)[-COLUMNS:]})
            yield from (cls(how, column) for how in get_args(Leaks) for column in columns)

    @property
    def where(self) -> str:
        """Which, and what it is."""
        return f"feature {self.column}: {self.how}"

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """The batch with that column; of other samples than the step's nothing is known."""
        if len(batch.x) != len(run.inputs.samples(run.step)):
            return batch
        x, y = batch.x.copy(), batch.y[:, 0].astype(batch.x.dtype)
        at = self.column % x.shape[1]
        values = x[:, at]
        x[:, at] = {
            "the label": y,
            "added to the label": values + y,
            "that of the sample before": self._of(run, -1),
            "that of the sample after": self._of(run, 1),
        }[self.how]
        return batch._replace(x=x)

    def _of(self, run: Circumstances, further: int) -> Array:
        """The feature of the samples that come so much later in the data."""
        column = run.inputs.x[:, self.column % run.inputs.x.shape[1]]
        return np.asarray(column[(run.inputs.samples(run.step) + further) % len(column)])
