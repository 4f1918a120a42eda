"""What can be wrong with the numbers of a batch as a whole: scaled, centred, cast, clipped?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import numpy as np

from isograd.changes.change import Change, Circumstances, Evidence
from isograd.changes.ways import WAYS
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Batch
from isograd.scenario import Scenario

What = Literal["samples", "labels", "samples and labels"]


def of_batch(batch: Batch, what: str, change: Callable[[Array], Array]) -> Batch:
    """A batch with its samples, its labels or both changed, in the dtypes that they had."""

    def changed(some: Array) -> Array:
        return np.asarray(change(some.astype(np.float64)).astype(some.dtype))

    batch = batch._replace(x=changed(batch.x)) if "samples" in what else batch
    return batch._replace(y=changed(batch.y)) if "labels" in what else batch


def kinds(scenario: Scenario) -> tuple[What, ...]:
    """Samples that are numbers; and labels that are, alone and with the samples."""
    are = {"samples": not scenario.indices, "labels": scenario.loss.labels == "values"}
    return tuple(what for what in get_args(What) if all(are[part] for part in what.split(" and ")))


@dataclass(frozen=True)
class DataChanged(Change):
    """Samples or labels are preprocessed, though nobody asked for that: normalised, cast, clipped."""

    id = "data_changed"
    sentence = "the {what} are {way}"
    formula = "x ← «f»(x)"
    origin = "a transform that is left from another data set, a column's type, a loader's default"

    what: What = "samples"
    way: str = "standardised"
    often: Often = "once"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each way, of samples and of labels that are numbers; of both, where it makes others of the labels too."""
        digits = FORMATS[scenario.dtype].digits
        ways = [way for way in WAYS if way not in FORMATS or FORMATS[way].digits < digits]
        yield from (cls(what, way) for what in kinds(scenario)[:2] for way in ways)

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Also of both, and once more each epoch, where that makes something else of them."""
        y = evidence.inputs.y.astype(np.float64)
        if self.what == "samples" and len(kinds(evidence.scenario)) > 1:
            both = replace(self, what="samples and labels")
            with np.errstate(all="ignore"):
                alone = np.array_equal(WAYS[self.way][0](y, y), y)
            if not alone:
                yield both
                yield from both.fitted(evidence)
        batch, inputs = evidence.inputs.batch(evidence.steps[0]), evidence.inputs
        some, whole = ((of.x if "samples" in self.what else of.y).astype(np.float64) for of in (batch, inputs))
        with np.errstate(all="ignore"):
            once = WAYS[self.way][0](some, whole)
            if not np.array_equal(WAYS[self.way][0](once, whole), once, equal_nan=True):
                yield from (replace(self, often=often) for often in oftener(evidence))

    @property
    def where(self) -> str:
        """Whose, and how."""
        return f"{self.what}: {self.way}" + ("" if self.often == "once" else f", {self.often}")

    def says(self) -> str:
        """What they are."""
        return f"the {self.what} are {WAYS[self.way][1]}{SAID[self.often]}"

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """The batch, changed by what the whole data are."""
        number = min(times(run, self.often), MANY)

        def changed(some: Array, whole: Array) -> Array:
            for _ in range(number):
                some = WAYS[self.way][0](some, whole.astype(np.float64))
            return some

        if "samples" in self.what:
            batch = of_batch(batch, "samples", lambda some: changed(some, run.inputs.x))
        return of_batch(batch, "labels", lambda some: changed(some, run.inputs.y)) if "labels" in self.what else batch


Often = Literal["once", "each epoch", "after each epoch"]

SAID: Mapping[Often, str] = {
    "once": "",
    "each epoch": ", and once more each epoch: they are changed in place",
    "after each epoch": ", once more after each epoch: they are changed in place",
}

MANY = 100
"""How often data are changed at most: what has not ended by then has become all zeros, or infinite."""


def times(run: Circumstances, often: Often) -> int:
    """How often data have been changed by a step."""
    epoch = run.step // run.inputs.steps_per_epoch
    return {"once": 1, "each epoch": epoch + 1, "after each epoch": epoch}[often]


def oftener(evidence: Evidence) -> Iterator[Often]:
    """How often data may have been changed, but for once, by the first wrong step."""
    if evidence.scenario.epochs > 1:
        yield "after each epoch" if evidence.steps[0] >= evidence.inputs.steps_per_epoch else "each epoch"


@dataclass(frozen=True)
class _OfData(Change):
    """A change of samples or of labels."""

    what: What = "samples"

    @property
    def where(self) -> str:
        """Whose; how often, where that is more than once."""
        often = getattr(self, "often", "once")
        return self.what + ("" if often == "once" else f", {often}")

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Samples, and labels that are numbers."""
        yield from (cls(what) for what in kinds(scenario))


@dataclass(frozen=True)
class DataScaled(_OfData):
    """Samples or labels are multiplied by a constant."""

    id = "data_scaled"
    sentence = "the {what} are scaled: {by:.7g} times what they should be"
    formula = "x ← «k» x"
    origin = "a division by 255, another unit"
    solve = {"by": 1.0}  # noqa: RUF012

    what: What = "samples"
    by: float = 0.5
    often: Often = "once"

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Also once more each epoch."""
        yield from (replace(self, often=often) for often in oftener(evidence))

    def says(self) -> str:
        """By how much, and how often."""
        return super().says() + SAID[self.often]

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """K times."""
        return of_batch(batch, self.what, lambda some: np.float64(self.by) ** times(run, self.often) * some)


@dataclass(frozen=True)
class DataShifted(_OfData):
    """A constant is added to samples or labels."""

    id = "data_shifted"
    sentence = "{by:.7g} is added to all {what}"
    formula = "y ← y «+ c»"
    origin = "labels that are counted from 1, an offset of a sensor"
    solve = {"by": 0.0}  # noqa: RUF012

    what: What = "labels"
    by: float = 1.0
    often: Often = "once"

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Also once more each epoch."""
        yield from (replace(self, often=often) for often in oftener(evidence))

    def says(self) -> str:
        """By how much, and how often."""
        return super().says() + SAID[self.often]

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """With the constant."""
        return of_batch(batch, self.what, lambda some: some + times(run, self.often) * self.by)


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
        sizes = np.unique(np.abs((batch.x if "samples" in self.what else batch.y).astype(np.float64)))
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
    sentence = "the {what} are {by:.7g} times what they should be, and {plus:.6g} more (scaled and shifted)"
    formula = "x ← «k» x «+ c»"
    origin = "the mean and deviation of another data set; labels that are smoothed as if they were classes"
    solve = {"by": 1.0, "plus": 0.0}  # noqa: RUF012

    what: What = "samples"
    by: float = 0.9
    plus: float = 0.05

    vague = True  # a factor or a constant alone says more

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """K times, and c more."""
        return of_batch(batch, self.what, lambda some: self.by * some + self.plus)


MIXED: Mapping[str, Callable[[Array], Array]] = {
    "the one before": lambda v: np.roll(v, 1, axis=0),
    "the one after": lambda v: np.roll(v, -1, axis=0),
    "the one as far from the end": lambda v: v[::-1],
    "the mean of all": lambda v: np.broadcast_to(v.mean(axis=0), v.shape),
}
"""With which of its batch a sample may be mixed."""

WHOLE = 1e-6
"""How far a share of 1 may be from it, as a trace tells it."""


@dataclass(frozen=True)
class DataMixed(_OfData):
    """Samples of a batch are mixed with one another."""

    id = "data_mixed"
    sentence = "the {what} are mixed within their batch (mixup): each has {by:.6g} of {other}, and the rest of itself"
    formula = "x_i ← «(1 − λ)» x_i «+ λ x_π(i)»"
    origin = "mixup, a smoothing over the batch, labels that are shared"
    solve = {"by": 0.0}  # noqa: RUF012

    what: What = "samples"
    by: float = 0.2
    other: str = "the one before"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """With each other one, of batches of two samples or more."""
        if scenario.batch_size > 1:
            yield from (cls(what=what, other=other) for what in kinds(scenario) for other in MIXED)

    @property
    def where(self) -> str:
        """Whose, and with what."""
        return f"{self.what}: {self.other}"

    def says(self) -> str:
        """All of the other one is no mixture, but another order."""
        of = {"the one as far from the end": "in the reverse order"}.get(self.other, f"replaced: each is {self.other}")
        return f"the {self.what} are {of} within their batch" if abs(self.by - 1) < WHOLE else super().says()

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """So much of the other one."""
        return of_batch(batch, self.what, lambda some: (1 - self.by) * some + self.by * MIXED[self.other](some))
