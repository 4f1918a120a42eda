"""What can be wrong with the numbers of a batch as a whole: scaled, centred, cast, clipped?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from isograd.changes.change import Change, Circumstances, Evidence
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Batch
from isograd.scenario import Scenario

What = Literal["samples", "labels"]


def _or_one(values: Array) -> Array:
    return np.where(values == 0, 1.0, values)


def _of_n_less_1(whole: Array) -> Array:
    return np.asarray(whole.std(axis=0) * np.sqrt(len(whole) / max(len(whole) - 1, 1)))


def _cast(dtype: str) -> Callable[[Array, Array], Array]:
    return lambda v, whole: v.astype(FORMATS[dtype].dtype).astype(np.float64)


WAYS: Mapping[str, tuple[Callable[[Array, Array], Array], str]] = {
    "centred": (lambda v, whole: v - whole.mean(axis=0), "centred: each column less its mean"),
    "standardised": (
        lambda v, whole: (v - whole.mean(axis=0)) / _or_one(whole.std(axis=0)),
        "normalised: each column less its mean, over its standard deviation",
    ),
    "standardised by n − 1": (
        lambda v, whole: (v - whole.mean(axis=0)) / _or_one(_of_n_less_1(whole)),
        "normalised: each column less its mean, over its standard deviation (of n − 1)",
    ),
    "standardised in all": (
        lambda v, whole: (v - whole.mean()) / (whole.std() or 1.0),
        "normalised: less the mean of all, over their standard deviation",
    ),
    "ranged": (
        lambda v, whole: (v - whole.min(axis=0)) / _or_one(np.ptp(whole, axis=0)),
        "normalised: each column brought between 0 and 1",
    ),
    "ranged to ±1": (
        lambda v, whole: 2 * (v - whole.min(axis=0)) / _or_one(np.ptp(whole, axis=0)) - 1,
        "normalised: each column brought between −1 and 1",
    ),
    "of unit length": (
        lambda v, whole: v / _or_one(np.linalg.norm(v.reshape(len(v), -1), axis=1)).reshape(-1, *[1] * (v.ndim - 1)),
        "normalised: each over its length",
    ),
    "truncated": (lambda v, whole: np.trunc(v), "cut off to whole numbers, as a cast to int does"),
    "rounded": (lambda v, whole: np.rint(v), "rounded to whole numbers"),
    "float32": (_cast("float32"), "cast to float32"),
    "float16": (_cast("float16"), "cast to float16"),
    "bfloat16": (_cast("bfloat16"), "cast to bfloat16"),
    "reversed": (lambda v, whole: v[..., ::-1], "in columns from the last to the first"),
    "rotated": (lambda v, whole: np.roll(v, 1, axis=-1), "in columns that are shifted by one"),
    "clipped": (lambda v, whole: np.clip(v, -1.0, 1.0), "clipped to ±1"),
    "binary": (lambda v, whole: (v > 0).astype(np.float64), "made binary: 1 where they are positive, and 0 elsewhere"),
    "binary at ½": (lambda v, whole: (v > 0.5).astype(np.float64), "made binary: 1 above ½, and 0 elsewhere"),
    "signs": (lambda v, whole: np.sign(v), "their signs only"),
    "not negative": (lambda v, whole: np.maximum(v, 0.0), "cut off at 0: what is negative is 0"),
    "reshaped": (
        lambda v, whole: v.T.reshape(v.shape) if v.ndim > 1 else v,
        "reshaped where they should be transposed: rows stand for columns",
    ),
    "squared": (lambda v, whole: v * v, "squared"),
    "logarithms": (lambda v, whole: np.sign(v) * np.log1p(np.abs(v)), "taken as logarithms, of 1 more"),
    "within 0 and 1": (lambda v, whole: np.clip(v, 0.0, 1.0), "clipped to what lies between 0 and 1"),
    "over the largest": (
        lambda v, whole: v / (np.abs(whole).max() or 1.0),
        "normalised: over the largest absolute value of all",
    ),
    "standardised by the batch": (
        lambda v, whole: (v - v.mean(axis=0)) / _or_one(v.std(axis=0)),
        "normalised by the batch: each column less its mean, over its standard deviation",
    ),
    "centred by the batch": (lambda v, whole: v - v.mean(axis=0), "centred by the batch: each column less its mean"),
    "standardised each": (
        lambda v, whole: (v - v.mean(axis=-1, keepdims=True)) / _or_one(v.std(axis=-1, keepdims=True)),
        "normalised one by one: each less its own mean, over its own standard deviation",
    ),
    "absolute": (lambda v, whole: np.abs(v), "without their sign"),
}
"""What becomes of some rows, where the whole data are those; and how it is said."""


def of_batch(batch: Batch, what: str, change: Callable[[Array], Array]) -> Batch:
    """A batch with its samples or its labels changed, in the dtype that they had."""
    some = batch.x if what == "samples" else batch.y
    changed = change(some.astype(np.float64)).astype(some.dtype)
    return batch._replace(x=changed) if what == "samples" else batch._replace(y=changed)


def kinds(scenario: Scenario) -> tuple[What, ...]:
    """Samples, and labels that are numbers."""
    return ("samples", "labels") if scenario.loss.labels == "values" else ("samples",)


@dataclass(frozen=True)
class DataChanged(Change):
    """Samples or labels are preprocessed, though nobody asked for that: normalised, cast, clipped."""

    id = "data_changed"
    sentence = "the {what} are {way}"
    formula = "x ← «f»(x)"
    origin = "a transform that is left from another data set, a column's type, a loader's default"

    what: What = "samples"
    way: str = "standardised"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each way, of samples and of labels that are numbers."""
        digits = FORMATS[scenario.dtype].digits
        ways = [way for way in WAYS if way not in FORMATS or FORMATS[way].digits < digits]
        yield from (cls(what, way) for what in kinds(scenario) for way in ways)

    @property
    def where(self) -> str:
        """Whose, and how."""
        return f"{self.what}: {self.way}"

    def says(self) -> str:
        """What they are."""
        return f"the {self.what} are {WAYS[self.way][1]}"

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """The batch, changed by what the whole data are."""
        whole = (run.inputs.x if self.what == "samples" else run.inputs.y).astype(np.float64)
        return of_batch(batch, self.what, lambda some: WAYS[self.way][0](some, whole))


@dataclass(frozen=True)
class _OfData(Change):
    """A change of samples or of labels."""

    what: What = "samples"

    @property
    def where(self) -> str:
        """Whose."""
        return self.what

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Samples, and labels that are numbers."""
        yield from (cls(what) for what in kinds(scenario))


@dataclass(frozen=True)
class DataScaled(_OfData):
    """Samples or labels are multiplied by a constant."""

    id = "data_scaled"
    sentence = "the {what} are scaled: {by:.9g} times what they should be"
    formula = "x ← «k» x"
    origin = "a division by 255, another unit"
    solve = {"by": 1.0}  # noqa: RUF012

    what: What = "samples"
    by: float = 0.5

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """K times."""
        return of_batch(batch, self.what, lambda some: self.by * some)


@dataclass(frozen=True)
class DataShifted(_OfData):
    """A constant is added to samples or labels."""

    id = "data_shifted"
    sentence = "{by:.9g} is added to all {what}"
    formula = "y ← y «+ c»"
    origin = "labels that are counted from 1, an offset of a sensor"
    solve = {"by": 0.0}  # noqa: RUF012

    what: What = "labels"
    by: float = 1.0

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """With the constant."""
        return of_batch(batch, self.what, lambda some: some + self.by)


@dataclass(frozen=True)
class DataClipped(_OfData):
    """Samples or labels are kept between bounds."""

    id = "data_clipped"
    sentence = "the {what} are clipped to ±{by:.6g}"
    formula = "x ← «min(max(x, −c), c)»"
    origin = "a guard against outliers"
    needs = ("by",)
    solve = {"by": float("inf")}  # noqa: RUF012

    what: What = "samples"
    by: float = 1e300

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """From a bound just under the largest number of the first wrong step."""
        batch = evidence.inputs.batch(evidence.steps[0])
        sizes = np.unique(np.abs((batch.x if self.what == "samples" else batch.y).astype(np.float64)))
        for least, most in zip(sizes[:-1][-CLIPPED:], sizes[1:][-CLIPPED:], strict=True):
            yield replace(self, by=float(least + most) / 2)
        if len(sizes) == 1 and sizes[0]:
            yield replace(self, by=float(sizes[0]) / 2)

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """Between the bounds."""
        return of_batch(batch, self.what, lambda some: np.clip(some, -self.by, self.by))


CLIPPED = 4
"""Largest numbers of a batch between which a bound is looked for."""


@dataclass(frozen=True)
class DataAffine(_OfData):
    """Samples or labels have another scale and another zero."""

    id = "data_affine"
    sentence = "the {what} are {by:.9g} times what they should be, and {plus:.6g} more (scaled and shifted)"
    formula = "x ← «k» x «+ c»"
    origin = "the mean and deviation of another data set; labels that are smoothed as if they were classes"
    solve = {"by": 1.0, "plus": 0.0}  # noqa: RUF012

    what: What = "samples"
    by: float = 0.9
    plus: float = 0.05

    @property
    def vague(self) -> bool:
        """A factor or a constant alone says more."""
        return True

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """K times, and c more."""
        return of_batch(batch, self.what, lambda some: self.by * some + self.plus)
