"""Which change of the rules accounts for all that a trace has? Each is run in its place, and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from backends.numpy_manual.catalogue import CATALOGUE
from backends.numpy_manual.catalogue.parameters import InitialLost
from backends.numpy_manual.changes import Both, Change
from backends.numpy_manual.noisy import noisy
from harness.dtypes import FORMATS
from harness.explanation.localise import Place, local_errors
from harness.explanation.own import RUNS, Own
from harness.explanation.rerun import Rerun
from harness.explanation.solve import Solved, solved_for
from harness.judging import FACTOR

CONFIRM = 24
"""Further steps that a change must account for, spread over the run, beside the one after the first."""

SECONDS = 1.0
"""Pairs are tried for this long: so that a cell is explained in two seconds."""

MOST = 0.95
"""The share of numbers that must look like a narrower dtype's."""


@dataclass(frozen=True)
class Trial:
    """A change, and how close it came.

    Attributes:
        change: what was tried.
        ratio: the largest error in bounds over all quantities and steps that were looked at: up to 1 it is a cause.
        worst: the quantity and step of that.
        solved: its parameters that were solved for.
    """

    change: Change
    ratio: float
    worst: tuple[str, int]
    solved: Mapping[str, Solved] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether everything is inside."""
        return self.ratio <= 1.0

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from others: its name and its options, but for those that were solved for."""
        options = (f"{f.name}={getattr(self.change, f.name)}" for f in fields(self.change) if f.name not in self.solved)
        return (self.change.id, *options)


@dataclass
class Search:
    """The search for the cause of one place.

    Attributes:
        own: the trace, from its own states.
        place: where it leaves the rules.
    """

    own: Own
    place: Place

    def __post_init__(self) -> None:
        self.rerun = Rerun(self.own, self._steps_to_confirm())
        self.out_of_time = False

    def _steps_to_confirm(self) -> NDArray[np.int64]:
        """The step, the next one, and some more; those that came out wrong before others."""
        known = self.own.steps[self.own.steps >= self.place.step]
        wrong = known[np.isin(known, self._wrong_steps())]
        spread_out = wrong[np.unique(np.linspace(0, len(wrong) - 1, CONFIRM // 2).astype(int))] if len(wrong) else wrong
        others = known[np.unique(np.linspace(0, len(known) - 1, CONFIRM // 2).astype(int))]
        return np.unique(np.concatenate([known[:2], spread_out, others]))

    def _wrong_steps(self) -> NDArray[np.int64]:
        flags = [~(ratio <= self.own.limit) for ratio in self.own.ratios.values()]
        return np.asarray(self.own.steps[np.logical_or.reduce(flags)])

    def has_something_to_explain(self) -> bool:
        """Whether what differs first is a quantity of the scenario, and the rules without any change do not fit.

        Otherwise a change that does nothing would be called a cause.
        """
        known = self.place.first in self.rerun.names
        return known and self.rerun.compare(Change(), self.rerun.steps[:1])[0] > 1.0

    # ------------------------------------------------------------ one change

    def candidates(self) -> Iterator[Change]:
        """Every change of the catalogue at each of its places; what happens at one step, at this one."""
        for kind in CATALOGUE.values():
            for change in kind.variants(self.own.scenario):
                at_step = any(f.name == "step" for f in fields(change))
                yield replace(change, step=self.place.step) if at_step else change  # type: ignore[call-arg]

    def single(self) -> list[Trial]:
        """Every candidate, tried, the closest first; several can account for everything."""
        trials = sorted((self.trial(change) for change in self.candidates()), key=lambda trial: trial.ratio)
        if any(trial.fits and trial.change.id != InitialLost.id for trial in trials):
            trials = [trial for trial in trials if trial.change.id != InitialLost.id]  # it says less than those
        return list({trial.key: trial for trial in reversed(trials)}.values())[::-1]

    def trial(self, change: Change) -> Trial:
        """Solve for the change's parameter, if it has one; then compare all quantities, at the step and at others."""
        if change.precision():
            return self._narrower(change)
        if change.id == InitialLost.id:
            return self._other_values(change)
        return self._trial(change, lambda one: one)

    def _trial(self, change: Change, within: Callable[[Change], Change]) -> Trial:
        """A change as part of what ``within`` makes of it; looked at no longer than it takes to see it is wrong."""
        rerun, first = self.rerun, self.rerun.steps[:1]
        change, solved = solved_for(rerun, change, rerun.names, first, within)
        if any(np.isinf(s.error) for s in solved.values()):  # the first step has nothing to tell of it
            change, solved = solved_for(rerun, change, rerun.names, rerun.steps, within)
        where = (self.place.first, self.place.step)
        if solved and not any(s.tells for s in solved.values()):
            return Trial(within(change), np.inf, where, solved)
        far = rerun.roughly(within(change))
        if far[0] > 1.0:
            return Trial(within(change), *far, solved)
        near = rerun.compare(within(change), first)
        if near[0] > 1.0 or len(rerun.steps) == 1:
            return Trial(within(change), *near, solved)
        change, solved = solved_for(rerun, change, rerun.names, rerun.steps, within)
        return Trial(within(change), *max(near, rerun.compare(within(change), rerun.steps[1:])), solved)

    def pairs(self) -> list[Trial]:
        """Two changes together: one that puts right what differs first, and each other one beside it.

        Stops after `SECONDS`, and says so in `out_of_time`.
        """
        deadline = time.monotonic() + SECONDS
        before = self.rerun.names[: self.rerun.names.index(self.place.first) + 1]
        found: list[Trial] = []
        for one in self._firsts(before):
            for other in self.candidates():
                if time.monotonic() > deadline:
                    self.out_of_time = True
                    return sorted(found, key=lambda trial: trial.ratio)
                if other.id in (one.change.id, InitialLost.id) or other.precision():
                    continue
                trial = self._trial(other, partial(Both, one.change))
                found.append(replace(trial, solved={**one.solved, **trial.solved}))
                if trial.fits:
                    break  # with the first change fixed, one account is enough
        return sorted(found, key=lambda trial: trial.ratio)

    def _firsts(self, names: list[str]) -> Iterator[Trial]:
        """Changes that put right the quantities ``names`` at the first step, whatever becomes of those after."""
        for change in self.candidates():
            if change.precision() or change.id == InitialLost.id:
                continue
            solved_change, solved = solved_for(self.rerun, change, names, self.rerun.steps[:1])
            tells = not solved or any(s.tells for s in solved.values())
            ratio, worst = self.rerun.compare(solved_change, self.rerun.steps[:1], names=names)
            if tells and ratio <= 1.0:
                yield Trial(solved_change, ratio, worst, solved)

    def _other_values(self, change: Change) -> Trial:
        """Other parameters than were loaded account for a trace that follows from those that it must have had.

        They are told by the update: w = w′ + η g. That they are the given ones but for those named is part of it.
        """
        own, ours = self.own, replace(self.own, states={k: np.array(v) for k, v in self.own.states.items()})
        place = (self.place.first, self.place.step)
        if not self.place.first.startswith("forward/"):  # the given values do
            return Trial(change, np.inf, place)
        keys = [f"{kind}/{name}" for name in own.states for kind in ("grad", "weight")]
        if not all(
            own.trace.columns.get(k, np.empty(0)).shape[1:] == own.states[k.partition("/")[2]].shape[1:] for k in keys
        ):
            return Trial(change, np.inf, place)
        differs = set()
        for step in self.rerun.steps.tolist():
            for name, column in ours.states.items():
                after = own.recorded(f"weight/{name}", step)
                had = after + own.inputs.lr * own.recorded(f"grad/{name}", step)
                size = np.abs(had) + np.abs(column[step].astype(np.float64)) + np.abs(after - had)
                ulp = FORMATS[own.scenario.dtype].spacing(size)
                if (np.abs(had - column[step]) > FACTOR * ulp).any():
                    differs.add(name)
                    column[step] = had
        named = {name for name in differs if getattr(change, "at", "") in ("", name)}
        several = len(differs) > 1 or len(own.states) == 1
        if not differs or named != differs or (getattr(change, "at", "") == "" and not several):
            return Trial(change, np.inf, place)
        ratio, where = Rerun(ours, self.rerun.steps).compare(Change(), self.rerun.steps)
        return Trial(
            change, ratio / 2, where
        )  # what the update tells of a value has its own rounding, and the update's

    def _narrower(self, change: Change) -> Trial:
        """A precision accounts for a trace whose errors are within its rounding, and look like it."""
        dtype, products = change.precision() or ("", 0.0)
        worst = self.rerun.compare(Change(), self.rerun.steps, noisy(dtype, RUNS, FACTOR, 6, products))
        if worst[0] > 1.0:
            return Trial(change, *worst)
        looks = self._products_are_rounded() if getattr(change, "name", "") == "tf32" else self._has_few_digits(dtype)
        return Trial(change, worst[0] if looks else np.inf, worst[1])

    def _has_few_digits(self, dtype: str) -> bool:
        """Whether nearly all numbers are those of a narrower dtype, as far as the scenario's rounding lets one see."""
        narrow = FORMATS[dtype].dtype
        recorded, weights = (
            self.rerun.recorded(self.rerun.names, self.rerun.steps),
            self.rerun.weights(self.rerun.names, self.rerun.steps),
        )
        numbers, slack = recorded[recorded != 0], self.own.limit / weights[recorded != 0]
        near = np.abs(numbers.astype(narrow).astype(np.float64) - numbers) <= slack
        telling = FORMATS[dtype].spacing(numbers) > 8 * slack  # elsewhere any number would do
        return bool(telling.any() and near[telling].mean() >= MOST)

    def _products_are_rounded(self) -> bool:
        """Whether nearly all of a step follows from its own numbers if products take 11 digits, and not without."""
        step = int(self.rerun.steps[0])
        as_told, as_ruled = local_errors(self.own, step, 11), local_errors(self.own, step)
        wrong = {name: ratio > self.own.limit for name, ratio in as_ruled.items()}
        right = [(as_told[name] <= self.own.limit).mean() >= MOST for name in wrong]
        return all(right) and any(flags.any() for flags in wrong.values())
