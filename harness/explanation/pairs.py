"""Which two changes together account for a trace, where no single one does?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from isograd.changes.change import Both, Change
from isograd.explanation.effects import nearest_pairs
from isograd.explanation.effort import HELD, LEAST_SQUARES, PAIRS
from isograd.explanation.missing import Missing, is_askew, sizes
from isograd.explanation.rerun import ROUGHLY
from isograd.explanation.solve import solved_for, solved_together
from isograd.explanation.trial import Trial, Trying
from isograd.inputs import Array

if TYPE_CHECKING:
    from isograd.explanation.search import Search

FIRSTS = 6
"""Changes beside which others are tried: those that account for the most steps by themselves."""

NEAREST = 40
"""Pairs of changes in one quantity that are tried: those whose effects, added up, come nearest to what is seen."""


@dataclass
class Pairs:
    """The search for two changes. Stops where they have cost `PAIRS`.

    Attributes:
        search: the search for one, which has found none.
    """

    search: Search

    def __post_init__(self) -> None:
        search = self.search
        self.local, self.place, self.rerun, self.trying = search.local, search.place, search.rerun, search.trying
        self.effort = search.effort
        self._until = self.effort.spent + PAIRS
        self._left_some = False
        self._usual_at: dict[int, list[Change]] = {}
        self._effects: dict[tuple[int, int], Array] = {}

    @property
    def left_some(self) -> bool:
        """Whether some pairs were not tried."""
        return self._is_over or self._left_some

    def found(self) -> list[Trial]:
        """Two changes together, until some are found: one after the other, then those that meet in one quantity."""
        found: list[Trial] = []
        for way in (self._one_after_the_other, self._in_one_quantity):
            found += [trial for trial in way() if trial.fits]
            if found:
                break
        return sorted(map(self.search.with_evidence, found), key=lambda trial: trial.ratio)

    @property
    def _is_over(self) -> bool:
        """Whether pairs have cost enough."""
        return self.effort.spent > self._until

    def _one_after_the_other(self) -> Iterator[Trial]:
        """One that puts right what differs first, and each other one beside it that moves what the first leaves wrong.

        Those that account for the most steps come first, of these what accounts for the most of the next one, and then
        the ones in which nothing is fitted.
        """
        firsts = []
        for one in self._firsts():
            fails = self._where_it_fails(one)
            if fails and fails[1] in self.rerun.names:  # numbers, to be put right
                firsts.append((Missing(self._trying_from(fails[0]), one.change, fails[1]), one))
        firsts.sort(key=lambda row: (-row[0].step, -row[0].begins, len(row[1].solved)))
        self._left_some = len(firsts) > FIRSTS
        for missing, one in firsts[:FIRSTS]:
            trying, both, step, name = missing.trying, partial(Both, one.change), missing.step, missing.name
            for other in self._usual(step):
                if self._is_over:
                    return
                if not other.reaches(name) or other.id == one.change.id:
                    continue
                values = len(other.solve)
                moved = sizes(self._effect(other, trying), missing.starts)
                if missing.lies_elsewhere(moved, values) or not missing.could_come_right(both(other), values):
                    continue
                trial = trying.within(other, both)
                if trial.fits and not missing.moves(trial.change):
                    continue  # what it adds is not what was missing
                yield replace(trial, solved={**one.solved, **trial.solved})
                if trial.fits:
                    break  # with the first change fixed, one account is enough

    def _firsts(self) -> Iterator[Trial]:
        """Changes that put right all up to what differs first, whatever becomes of what comes after."""
        names = self.rerun.present[: self.rerun.present.index(self.place.first) + 1]
        numbers = [name for name in names if self.local.fits(name)]
        first = self.trying.first
        got, weight = self.rerun.recorded(numbers, first), self.rerun.weights(numbers, first)
        wanted = (got - self.rerun.vector(Change(), numbers, first)) * weight
        for change in self._usual():
            if self._is_over:
                return
            if not self._can_begin(change):
                continue
            if len(change.solve) == 1 and is_askew(wanted, self._effect(change, self.trying)[: len(wanted)]):
                continue
            change, solved = solved_for(self.rerun, change, numbers, first)
            came = self.rerun.as_held(change, numbers, first)
            if came.shape != got.shape or not (np.abs(came - got) * weight <= self.local.limit * ROUGHLY).all():
                continue
            trial = Trial(change, *self.rerun.compare(change, self.trying.first, names=names), solved)
            if trial.is_significant and trial.fits:
                yield trial

    def _can_begin(self, change: Change) -> bool:
        """Whether what differs first can be wrong by itself with a change."""
        return change.reaches(self.place.first) and self.search.can_explain(change, frozenset((self.place.first,)))

    def _where_it_fails(self, one: Trial) -> tuple[int, str] | None:
        """The first step that a change does not account for, and a quantity there: that, a second one must move."""
        looked_at, wrong = self.rerun.steps, self.search.wrong_steps
        plainly = self._first_outside(self.rerun.plainly(one.change, looked_at))
        fails = plainly or self._first_outside(self.rerun.ratios(one.change, looked_at))
        if fails is None:
            return None
        right = looked_at[looked_at < fails[0]].max(initial=self.place.step)
        between = wrong[(wrong > right) & (wrong < fails[0])]
        return self._first_outside(self.rerun.ratios(one.change, between)) or fails

    def _first_outside(self, ratios: Iterator[tuple[float, tuple[str, int]]]) -> tuple[int, str] | None:
        return next(((step, name) for ratio, (name, step) in ratios if ratio > 1.0 or self._is_over), None)

    def _trying_from(self, step: int) -> Trying:
        if step == self.place.step:
            return self.trying
        later = self.local.steps[self.local.steps >= step][:2]
        return Trying(self.rerun.at(np.union1d(self.rerun.steps, later)), self.place, later[:1])

    def _in_one_quantity(self) -> Iterator[Trial]:
        """Two that both change what differs first, those first whose effects come nearest to the step when added.

        What comes before is right, so neither of them moves that.
        """
        name, step = self.place.first, self.trying.first
        if not self.local.fits(name):
            return  # no numbers that could be added up
        names = self.rerun.names[: self.rerun.names.index(name) + 1]
        end, size = (len(self.rerun.weights(some, step)) for some in (names, [name]))
        every, all_right = self.rerun.names, self.rerun.ruled_end_to_end(self.rerun.names, step)
        wanted = (self.rerun.recorded(every, step) - all_right) * self.rerun.weights(every, step)
        effects = []
        for change in self._usual():
            if self._is_over:
                return
            if not self._can_begin(change):
                continue
            moved = self._effect(change, self.trying)
            if not np.isfinite(moved[:end]).all() or (np.abs(moved[: end - size]) > self.local.limit).any():
                continue
            if np.abs(moved[end - size : end]).max() > 1.0:
                effects.append((change, np.nan_to_num(moved[end - size :], posinf=0.0, neginf=0.0)))
        wanted = np.nan_to_num(wanted[end - size :], posinf=0.0, neginf=0.0)
        self.effort.spent += LEAST_SQUARES * len(wanted) * len(effects) ** 2 / 8
        for tried, (one, other) in enumerate(nearest_pairs(wanted, effects, 4 * NEAREST)):
            if self._is_over or tried == NEAREST:
                self._left_some = True
                return
            yield self._together(one, other)

    def _effect(self, change: Change, trying: Trying) -> Array:
        """How far a change moves each number of the first step there, in envelopes; infinitely where it has others."""
        rerun, at = trying.rerun, trying.first
        key = (id(change), int(at[0]))
        found = self._effects.get(key)
        if found is None:
            names = rerun.names
            right, came = rerun.ruled_end_to_end(names, at), rerun.as_held(change, names, at)
            alike = came.shape == right.shape
            found = (came - right) * rerun.weights(names, at) if alike else np.full(len(right), np.inf)
            if len(found) <= HELD // 1024:
                self._effects[key] = found
        return found

    def _together(self, one: Change, other: Change) -> Trial:
        names = self.rerun.names[self.rerun.names.index(self.place.first) :]
        both, solved = solved_together(self.rerun, Both(one, other), names, self.trying.first)
        trial = Trial(both, *self.rerun.roughly(both, self.trying.first), solved)
        if not (trial.is_significant and trial.fits):
            return replace(trial, ratio=np.inf) if trial.fits else trial
        both, solved = solved_together(self.rerun, both, self.rerun.names, self.rerun.steps)
        trial = Trial(both, *self.rerun.compare(both, self.rerun.steps), solved)
        if trial.fits and any(self.rerun.compare(part, self.rerun.steps)[0] <= 1.0 for part in both.parts):
            return replace(trial, ratio=np.inf)  # one of them is enough
        return trial

    def _usual(self, step: int | None = None) -> list[Change]:
        """Candidates for a pair: a precision, or any other order or values, would hide the other one."""
        at = self.place.step if step is None else step
        if at not in self._usual_at:
            every = [*self.search.candidates(at), *self.search.constants(at)]
            self._usual_at[at] = [change for change in every if not change.precision() and self.search.copes(change)]
        return self._usual_at[at]
