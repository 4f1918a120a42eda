"""Does one change account for a trace? Solved for, run in place of the rules, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from isograd.changes.catalogue.parameters import InitialLost
from isograd.changes.catalogue.reported import WeightsReportedEarly
from isograd.changes.change import Change, Circumstances
from isograd.changes.reading import parameters_of
from isograd.dtypes import FORMATS
from isograd.explanation.kept import Steps
from isograd.explanation.loaded import Loaded
from isograd.explanation.local import Local
from isograd.explanation.localise import Place, local_errors
from isograd.explanation.rerun import Rerun
from isograd.explanation.solve import Solved, alone, solved_for
from isograd.inputs import Array
from isograd.judging import NARROW, OF_TWO
from isograd.scenario import SAMPLES

ABOUT = 1e-2
"""Of the largest number, how far a layer's output may be off so that a change of data is tried."""

LITTLE = 1 / 64
"""Which part of a change's usual size is looked at to see where it takes hold."""

AT_FIRST = 4
"""Steps from which several values are solved for that one step does not tell apart."""


@dataclass(frozen=True)
class Trial:
    """A change, and how close it came.

    Attributes:
        change: what was tried.
        ratio: the largest error in bounds over all quantities and steps that were looked at: up to 1 it is a cause.
        worst: the quantity and step of that.
        solved: its parameters that were solved for.
        numbers: how many numbers that are wrong by the rules come right with it.
        words: what is different, where more is known than the change says; "" for its own sentence.
        since: the step from which on it is so, where it would have shown before; 0: from the start.
    """

    change: Change
    ratio: float
    worst: tuple[str, int]
    solved: Mapping[str, Solved] = field(default_factory=dict)
    words: str = ""
    numbers: int = 0
    since: int = 0

    @property
    def is_overdetermined(self) -> bool:
        """Whether more numbers come right than values were solved for: otherwise it describes, and accounts for none.

        A value that came out as a simple number was not made to fit.
        """
        fitted = sum(not value.is_simple for value in self.solved.values())
        enough = self.numbers > fitted * (1 if len(self.change.parts) == 1 else OF_TWO)
        return not fitted or enough or all(part.is_fact for part in self.change.parts)

    @property
    def fits(self) -> bool:
        """Whether everything is inside."""
        return self.ratio <= 1.0

    @property
    def is_significant(self) -> bool:
        """Whether all that was solved for came out as something that changes anything.

        Of several values one that does not is no part of a cause: without it, it is another change.
        """
        return all(value.is_significant for value in self.solved.values()) and all(
            map(_means_something, self.change.parts)
        )

    @property
    def id(self) -> str:
        """The change's stable name, with where it is: ``gradient_scale(hidden.weight)``; of two, parted by " + "."""
        return " + ".join(f"{part.id}({part.where})" if part.where else part.id for part in self.change.parts)

    @property
    def sentence(self) -> str:
        """What is different, with the values that were solved for."""
        values = [f"{name} = {solved}" for name, solved in self.solved.items()]
        values += [f"{self.numbers} wrong numbers come right with it"] if values and self.numbers else []
        since = f"from step {self.since} on, " if self.since else ""
        return since + (self.words or self.change.says()) + (f" ({'; '.join(values)})" if values else "")


def _means_something(change: Change) -> bool:
    """Whether its options are within the ranges in which they mean anything."""
    return all(low <= getattr(change, name) <= high for name, (low, high) in change.between.items())


@dataclass(frozen=True)
class Trying:
    """Changes are tried here.

    Attributes:
        rerun: the trace, and all steps that a change must account for.
        place: where the trace leaves the rules.
        first: the step that is looked at before the others, one element.
        strict: changes that are far off by a tensor's typical envelope are not looked at any longer.
    """

    rerun: Rerun
    place: Place
    first: Steps
    strict: bool = False

    @property
    def local(self) -> Local:
        """The trace."""
        return self.rerun.local

    def trial(self, change: Change) -> Trial:
        """Solve for the change's parameter, if it has one; then compare all quantities, at the step and at others."""
        if not change.reaches(self.place.first):
            return Trial(change, np.inf, (self.place.first, self.place.step))
        if change.only_of_data and not change.solve and not self._batch_fits(change):
            return Trial(change, np.inf, (self.place.first, self.place.step))
        if change.precision():
            return self._narrower(change)
        if change.id == InitialLost.id:
            return self._other_values(change)
        if change.id == WeightsReportedEarly.id and self.local.trace.manifest.mode == "free":
            return self._recorded_early(change)
        if self._begins_too_early(change):
            return Trial(change, np.inf, (self.place.first, self.place.step))
        return self.within(change, alone)

    def _begins_too_early(self, change: Change) -> bool:
        """Whether what a change moves first comes before what differs first: that is right, and would not be.

        Where a value is solved for one is looked at that changes little: a threshold may then move nothing there.
        """
        if type(change).returned is not Change.returned or change.late or change.remembers:
            return False
        if change.solve:
            (name, neutral), *others = change.solve.items()
            if others or not np.isfinite(neutral) or getattr(change, "at", "nowhere") == "":
                return False
            change = replace(change, **{name: neutral + (getattr(change, name) - neutral) * LITTLE})
        return self.rerun.moves_before(change, self.place.first, int(self.first[0]))

    def _batch_fits(self, change: Change) -> bool:
        """Whether the first layers give, for a change's batch, about what the trace has there; or the loss does.

        A whole step would say no more, and there are hundreds of such changes.
        """
        local, step = self.local, int(self.first[0])
        run = Circumstances(local.scenario, local.inputs)
        run.step = step
        given, batch = local.inputs.batch(step), run.batch(change)
        if not np.array_equal(given.x, batch.x):
            fed = [layer.name for layer in local.scenario.layers if local.scenario.feeds()[layer.name] == (SAMPLES,)]
            return all(self._is_near(f"forward/{name}", self._given(name, step, batch.x)) for name in fed)
        if not np.array_equal(given.y, batch.y):
            last = f"forward/{local.scenario.layers[-1].name}"
            if local.fits(last) and len(outputs := local.recorded(last, step)) == len(batch.y):
                labels = batch.y if local.scenario.loss.labels == "classes" else batch.y.astype(np.float64)
                with np.errstate(all="ignore"):
                    return self._is_near("loss", local.scenario.loss.value(outputs, labels))
        return True

    def _given(self, name: str, step: int, x: Array) -> Array:
        """What a layer that takes the samples gives for others."""
        with np.errstate(all="ignore"):
            layer, p = self.local.scenario.layer(name), parameters_of(self.local.scenario, name, self.local.state(step))
            return np.asarray(layer.forward(p, x.astype(np.float64)).a)

    def _is_near(self, name: str, value: Array) -> bool:
        """Whether a quantity of the first step is about that; of what cannot be compared nothing is known."""
        if not self.local.fits(name):
            return True
        got = self.local.recorded(name, int(self.first[0]))
        if got.shape != value.shape:
            return True
        off = np.nan_to_num(np.abs(got - value), nan=np.inf)
        return bool((off <= ABOUT * np.abs(got).max(initial=0.0)).all() or not np.isfinite(got).all())

    def within(self, change: Change, within: Callable[[Change], Change]) -> Trial:
        """A change as part of what ``within`` makes of it; looked at no longer than it takes to see it is wrong."""
        rerun, first = self.rerun, self.first
        change, solved = solved_for(rerun, change, rerun.names, first, within)
        if len(solved) > 1 and not all(np.isfinite(value.error) for value in solved.values()):
            change, solved = solved_for(rerun, change, rerun.names, rerun.steps[:AT_FIRST], within)
        trial = Trial(within(change), np.inf, (self.place.first, self.place.step), solved)
        if not trial.is_significant:
            return trial  # what moves nothing there is no cause
        return self._compared(trial, change, within)

    def _compared(self, trial: Trial, change: Change, within: Callable[[Change], Change]) -> Trial:
        rerun, others = self.rerun, np.setdiff1d(self.rerun.steps, self.first)
        for compare in (partial(rerun.roughly, strict=self.strict), rerun.compare):
            near = compare(trial.change, self.first)
            if near[0] > 1.0:
                return replace(trial, ratio=near[0], worst=near[1])
        if len(others):
            change, solved = solved_for(rerun, change, rerun.names, rerun.steps, within)
            trial = replace(trial, change=within(change), solved=solved)
            near = max(near, rerun.compare(trial.change, others, stop=True))
        return replace(trial, ratio=near[0], worst=near[1])

    def _other_values(self, change: Change) -> Trial:
        """Other parameters than were loaded account for a trace that follows from those that it must have had.

        That they are the given ones but for those named is part of it.
        """
        nothing = Trial(change, np.inf, (self.place.first, self.place.step))
        if not self.place.first.startswith("forward/") or not self._loaded.is_recorded:
            return nothing  # what comes before the loss is right, and so were the values
        at, differs = getattr(change, "at", ""), self._loaded.differs
        if differs != [at] and not (at == "" and (len(differs) > 1 or len(differs) == len(self.local.parameters))):
            return nothing
        ratio, where = self._loaded.compared()
        # what an update tells of a value has the update's rounding besides
        return Trial(change, ratio / 2, where, words=self._loaded.words(self.place.step))

    @cached_property
    def _loaded(self) -> Loaded:
        return Loaded(self.local, self.rerun)

    def _recorded_early(self, change: Change) -> Trial:
        """What a free run tells as the weights after a step are those that it had before it."""
        return Trial(change, *self._loaded.recorded_early(change, self.place))

    def _narrower(self, change: Change) -> Trial:
        """A precision accounts for a trace whose errors are within its rounding, and look like it."""
        dtype, products = change.precision() or ("", 0.0)
        looks = self._products_are_rounded() if getattr(change, "name", "") == "tf32" else self._has_few_digits(dtype)
        if not looks:
            return Trial(change, np.inf, (self.place.first, self.place.step))
        noise, names = self.rerun.noise(6, dtype, products), self.rerun.present
        if dtype and self._rate_is_narrow(dtype):
            names = [name for name in names if name != "lr"]
        return Trial(change, *self.rerun.compare(Change(), self.rerun.steps, names, noise=noise, stop=True))

    def _rate_is_narrow(self, dtype: str) -> bool:
        """Whether the learning rate is recorded in a narrower dtype: it goes with it, and is rounded once."""
        local, kind = self.local, FORMATS[dtype].dtype.type
        steps = self.rerun.steps.tolist() if local.fits("lr") else []
        return bool(steps) and all(float(local.recorded("lr", at)) == float(kind(local.inputs.lr[at])) for at in steps)

    def _has_few_digits(self, dtype: str) -> bool:
        """Whether nearly all numbers are those of a narrower dtype, as far as the scenario's rounding lets one see."""
        narrow = FORMATS[dtype].dtype
        names, steps = self.rerun.names, self.rerun.steps
        recorded, weights = self.rerun.recorded(names, steps), self.rerun.weights(names, steps)
        numbers, slack = recorded[recorded != 0], self.local.limit / weights[recorded != 0]
        near = np.abs(numbers.astype(narrow).astype(np.float64) - numbers) <= slack
        telling = FORMATS[dtype].spacing(numbers) > 8 * slack  # elsewhere any number would do
        return bool(telling.any() and near[telling].mean() >= NARROW)

    def _products_are_rounded(self) -> bool:
        """Whether nearly all of a step follows from its own numbers if products take 11 digits, and not without."""
        step = int(self.rerun.steps[0])
        narrowed, as_ruled = local_errors(self.local, step, 11), local_errors(self.local, step)
        wrong = {name: ratio > self.local.limit for name, ratio in as_ruled.items()}
        right = [(narrowed[name] <= self.local.limit).mean() >= NARROW for name in wrong]
        return all(right) and any(flags.any() for flags in wrong.values())
