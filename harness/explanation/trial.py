"""Does one change account for a trace? Solved for, run in place of the rules, and compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

import numpy as np

from isograd.changes.catalogue.parameters import InitialLost
from isograd.changes.catalogue.told import WeightsToldEarly
from isograd.changes.change import Change
from isograd.dtypes import FORMATS
from isograd.explanation.localise import Place, local_errors
from isograd.explanation.own import Own
from isograd.explanation.rerun import Rerun, Steps
from isograd.explanation.solve import Solved, alone, solved_for
from isograd.judging import FACTOR, NARROW, OF_TWO

FEW_ELEMENTS = 3
"""Elements up to which those that differ are named."""


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
    def proves(self) -> bool:
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
    def tells(self) -> bool:
        """Whether all that was solved for came out as something that changes anything.

        Of several values one that does not is no part of a cause: without it, it is another change.
        """
        return all(value.tells for value in self.solved.values()) and all(map(_means_something, self.change.parts))

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
    def own(self) -> Own:
        """The trace."""
        return self.rerun.own

    def trial(self, change: Change) -> Trial:
        """Solve for the change's parameter, if it has one; then compare all quantities, at the step and at others."""
        if not change.reaches(self.place.first):
            return Trial(change, np.inf, (self.place.first, self.place.step))
        if change.precision():
            return self._narrower(change)
        if change.id == InitialLost.id:
            return self._other_values(change)
        if change.id == WeightsToldEarly.id and self.own.trace.manifest.mode == "free":
            return self._told_early(change)
        return self.within(change, alone)

    def within(self, change: Change, within: Callable[[Change], Change]) -> Trial:
        """A change as part of what ``within`` makes of it; looked at no longer than it takes to see it is wrong."""
        rerun, first = self.rerun, self.first
        change, solved = solved_for(rerun, change, rerun.names, first, within)
        trial = Trial(within(change), np.inf, (self.place.first, self.place.step), solved)
        return self._compared(trial, change, within) if trial.tells else trial  # what moves nothing there is no cause

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

        They are told by the update: w = w′ − Δw. That they are the given ones but for those named is part of it.
        """
        nothing = Trial(change, np.inf, (self.place.first, self.place.step))
        if not self.place.first.startswith("forward/") or not self._updates_are_recorded():
            return nothing  # what comes before the loss is right, and so were the values
        at, differs = getattr(change, "at", ""), list(self._had[1])
        if differs != [at] and not (at == "" and (len(differs) > 1 or len(differs) == len(self.own.parameters))):
            return nothing
        ratio, where = Rerun(self._had[0], self.rerun.steps).compare(Change(), self.rerun.steps)
        named = "every parameter" if len(differs) == len(self.own.parameters) > 1 else " and ".join(differs)
        words = f"the values of {named} are not those that were loaded" + self._which_elements(differs)
        if self.own.trace.manifest.mode == "free" and self.place.step:
            words = f"a step starts from other values of {named} than the step before has told"
        # what an update tells of a value has the update's rounding besides
        return Trial(change, ratio / 2, where, words=words)

    def _which_elements(self, differs: list[str]) -> str:
        """What they are, if that is simple: nothing, another parameter's, or of one parameter few other elements."""
        if other := self._what_they_are(differs):
            return other
        if len(differs) != 1:
            return ""
        name, step = f"weight/{differs[0]}", int(self.rerun.steps[0])
        had, given = (own.states[name][step].astype(np.float64) for own in (self._had[0], self.own))
        turned = given.T if given.ndim == 2 and given.shape[0] == given.shape[1] else given
        near = np.abs(had - given).max() / 1e3
        if (np.abs(had - turned) <= near).all():
            return ": they are those, transposed"
        times = float((had * given).sum() / (given * given).sum()) if given.any() else 0.0
        if times and (np.abs(had - times * given) <= near).all():
            return f": they are {times:.6g} times those"
        where = np.argwhere(np.abs(had - given) > np.abs(had - given).max() / 1e3)
        if not 0 < len(where) <= FEW_ELEMENTS:
            return ""
        told = [f"element {list(map(int, at))} by {(had - given)[tuple(at)]:.3g}" for at in where]
        return f": they differ in {' and '.join(told)} only"

    def _what_they_are(self, differs: list[str]) -> str:
        """That they are all 0, or those of other parameters; else ""."""
        step, others = int(self.rerun.steps[0]), []
        given = {key: self.own.states[f"weight/{key}"][step].astype(np.float64) for key in self.own.parameters}
        for key in differs:
            had = self._had[0].states[f"weight/{key}"][step].astype(np.float64)
            near = np.abs(had - given[key]).max() / 1e3
            zero = {"0": np.zeros(had.shape)}
            alike = {other: value for other, value in given.items() if other != key and value.shape == had.shape}
            others.append(next((of for of, v in (zero | alike).items() if (np.abs(had - v) <= near).all()), ""))
        if set(others) == {"0"}:
            return ": they are 0"
        return f": they are those of {' and '.join(others)}" if others and all(others) and "0" not in others else ""

    @cached_property
    def _had(self) -> tuple[Own, tuple[str, ...]]:
        """The trace with the values that it must have had, w = w′ − Δw; and the parameters of which they differ."""
        own, states = self.own, {name: np.array(column) for name, column in self.own.states.items()}
        differs: list[str] = []
        for step in self.rerun.steps.tolist():
            moved = self.rerun.moved(step)
            for key in own.parameters:
                after, column = own.recorded(f"weight/{key}", step), states[f"weight/{key}"]
                had = after - moved[key]
                size = np.abs(had) + np.abs(column[step].astype(np.float64)) + np.abs(moved[key])
                ulp = FORMATS[own.scenario.dtype].spacing(size)
                if not (np.abs(had - column[step]) <= FACTOR * ulp).all():
                    differs += [key] if key not in differs else []
                    column[step] = had
        return replace(own, states=states), tuple(key for key in own.parameters if key in differs)

    def _told_early(self, change: Change) -> Trial:
        """What a free run tells as the weights after a step are those that it had before it."""
        own = self.own
        if not all(own.fits(f"weight/{key}") for key in own.parameters):
            return Trial(change, np.inf, (self.place.first, self.place.step))
        states = {name: np.array(column) for name, column in own.states.items()}
        for key in own.parameters:
            states[f"weight/{key}"][own.trace.steps] = own.trace.columns[f"weight/{key}"]
        steps = own.steps[own.steps >= self.place.step][: len(self.rerun.steps)]
        ratio, where = Rerun(replace(own, states=states), steps).compare(change, steps)
        still = len(steps) > 1 and any(
            (states[f"weight/{key}"][steps[0]] != states[f"weight/{key}"][steps[-1]]).any() for key in own.parameters
        )
        return Trial(change, ratio if still else np.inf, where)

    def _updates_are_recorded(self) -> bool:
        return all(self.own.fits(f"{kind}/{key}") for key in self.own.parameters for kind in ("grad", "weight"))

    def _narrower(self, change: Change) -> Trial:
        """A precision accounts for a trace whose errors are within its rounding, and look like it."""
        dtype, products = change.precision() or ("", 0.0)
        looks = self._products_are_rounded() if getattr(change, "name", "") == "tf32" else self._has_few_digits(dtype)
        if not looks:
            return Trial(change, np.inf, (self.place.first, self.place.step))
        noise = self.rerun.noise(6, dtype, products)
        return Trial(change, *self.rerun.compare(Change(), self.rerun.steps, noise=noise, stop=True))

    def _has_few_digits(self, dtype: str) -> bool:
        """Whether nearly all numbers are those of a narrower dtype, as far as the scenario's rounding lets one see."""
        narrow = FORMATS[dtype].dtype
        names, steps = self.rerun.names, self.rerun.steps
        recorded, weights = self.rerun.recorded(names, steps), self.rerun.weights(names, steps)
        numbers, slack = recorded[recorded != 0], self.own.limit / weights[recorded != 0]
        near = np.abs(numbers.astype(narrow).astype(np.float64) - numbers) <= slack
        telling = FORMATS[dtype].spacing(numbers) > 8 * slack  # elsewhere any number would do
        return bool(telling.any() and near[telling].mean() >= NARROW)

    def _products_are_rounded(self) -> bool:
        """Whether nearly all of a step follows from its own numbers if products take 11 digits, and not without."""
        step = int(self.rerun.steps[0])
        as_told, as_ruled = local_errors(self.own, step, 11), local_errors(self.own, step)
        wrong = {name: ratio > self.own.limit for name, ratio in as_ruled.items()}
        right = [(as_told[name] <= self.own.limit).mean() >= NARROW for name in wrong]
        return all(right) and any(flags.any() for flags in wrong.values())
