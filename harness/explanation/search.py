"""Which changes of the rules account for a trace? Every one of the catalogue is tried, then two of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from itertools import combinations

import numpy as np

from isograd.changes.catalogue import CATALOGUE
from isograd.changes.change import Both, Change
from isograd.explanation.effort import LEAST_SQUARES, PAIRS, SINGLES
from isograd.explanation.localise import Place, local_errors
from isograd.explanation.own import Own
from isograd.explanation.rerun import ROUGHLY, Rerun, Steps
from isograd.explanation.solve import solved_for, solved_together
from isograd.explanation.trial import Trial, Trying
from isograd.inputs import Array, Inputs
from isograd.scenario import Scenario

GRAVE = 10.0
"""So many bounds off, a quantity is wrong by itself, whatever the numbers beside it have been rounded to."""

FIRSTS = 6
"""Changes beside which others are tried: those that account for the most steps by themselves."""

NEAREST = 100
"""Pairs of changes in one quantity that are tried: those whose effects, added up, come nearest to what is seen."""

ENOUGH = 64
"""Wrong numbers after which no more are counted: no change has so many values to solve for."""

CONFIRM = 24
"""Further steps that a change must account for, spread over the run, beside the one after the first."""


@dataclass(frozen=True)
class Told:
    """What changes may read their options off (`isograd.changes.change.Evidence`).

    Attributes:
        rerun: the trace, and the rules.
        steps: those of which the trace's state is known, from the first wrong one on.
    """

    rerun: Rerun
    steps: list[int]

    @property
    def scenario(self) -> Scenario:
        """What was run."""
        return self.rerun.own.scenario

    @property
    def inputs(self) -> Inputs:
        """Its numbers."""
        return self.rerun.own.inputs

    @property
    def looked_at(self) -> list[int]:
        """Those of them at which a change must account for everything."""
        return [step for step in self.rerun.steps.tolist() if step >= self.steps[0]]

    def state(self, step: int) -> Mapping[str, Array]:
        """The trace's parameters before a step."""
        return self.rerun.own.state(step)

    def recorded(self, name: str, step: int) -> Array | None:
        """A quantity of the trace."""
        own = self.rerun.own
        return own.recorded(name, step) if own.fits(name) else None

    def ruled(self, name: str, step: int) -> Array:
        """The same by the rules."""
        return self.rerun.ruled(name, step)


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
        self.effort = self.own.effort
        self._steps_left_out = self._left_out = self._pairs_left_out = ""
        self._until, self._some_left = np.inf, False
        self.rerun = Rerun(self.own, self._steps_to_confirm())
        self.trying = Trying(self.rerun, self.place, self.rerun.steps[:1])
        self._usual_at: dict[int, list[Change]] = {}

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was not tried, or not looked at, because it would have cost too much; as phrases."""
        return tuple(filter(None, [self._steps_left_out, self._left_out, self._pairs_left_out]))

    def _steps_to_confirm(self) -> Steps:
        """The step, the next one, and some more; those that came out wrong before others."""
        known = self.own.steps[self.own.steps >= self.place.step]
        further = self.effort.steps(CONFIRM + 2) - 2
        chosen = [known[:2], _spread_out(self._wrong_steps, further // 2), _spread_out(known, further // 2)]
        steps = np.unique(np.concatenate(chosen))
        if further < CONFIRM and len(steps) < len(known):
            self._steps_left_out = f"more than {len(steps)} of {len(known)} steps"
        return steps

    @cached_property
    def _wrong_steps(self) -> Steps:
        flags = [~(ratio <= self.own.limit) for ratio in self.own.ratios.values()]
        return np.asarray(self.own.steps[np.logical_or.reduce(flags)])

    def has_something_to_explain(self) -> bool:
        """Whether what differs first is a quantity of the scenario, and the rules without any change do not fit.

        Otherwise a change that does nothing would be called a cause.
        """
        known = self.place.first in self.rerun.told
        return known and self.rerun.compare(Change(), self.rerun.steps[:1])[0] > 1.0

    # ------------------------------------------------------------ one change

    def candidates(self, step: int | None = None, within: frozenset[str] | None = None) -> Iterator[Change]:
        """Every change of the catalogue at each of its places; what happens at one step, at this one.

        Args:
            step: None: the first that is wrong.
            within: only changes that can make all of these quantities wrong.
        """
        at = self.place.step if step is None else step
        evidence = Told(self.rerun, self.own.steps[self.own.steps >= at].tolist())
        for kind in CATALOGUE.values():
            for variant in kind.variants(self.own.scenario):
                change = _at_step(variant, at)
                if within is None or self._can_explain(change, within):
                    yield change
                    yield from change.fitted(evidence)

    def _can_explain(self, change: Change, wrong: frozenset[str]) -> bool:
        """Whether all that is wrong for what it was computed from can be so by a change."""
        touched = change.touches(self.own.scenario)
        return touched is None or wrong <= touched

    def single(self) -> list[Trial]:
        """Every candidate, tried, the closest first; several can account for everything.

        What says more is kept: not another order or other values where anything else fits, and not a change of all
        places where the same at one of them fits.
        """
        candidates = list(self.candidates(within=self._gravely_wrong))
        if self.effort.dear:  # first those that cost the least
            candidates.sort(key=lambda change: (not self._is_near(change), not change.late, len(change.solve)))
        trials = self._tried(candidates, strict=self.effort.dear)
        if self.effort.dear and not any(trial.fits for trial in trials) and not self._left_out:
            again = self._tried(candidates, strict=False)
            trials = [*again, *trials[len(again) :]]
        trials = [self.proved(trial) for trial in trials]
        # of those that account for everything first what has fewer values to fit
        trials.sort(key=lambda trial: (not trial.fits, trial.fits and len(trial.solved), trial.ratio))
        if any(trial.fits and not trial.change.vague for trial in trials):
            trials = [trial for trial in trials if not trial.change.vague]
        local = {
            t.change.id: min(_width(o) for o in trials if o.fits and o.change.id == t.change.id)
            for t in trials
            if t.fits
        }
        trials = [t for t in trials if not (t.fits and _width(t) > local[t.change.id])]
        return list({trial.id: trial for trial in reversed(trials)}.values())[::-1]

    @cached_property
    def _gravely_wrong(self) -> frozenset[str]:
        """What is by far wrong for what it was computed from: no rounding of the trace's own is to blame for that."""
        errors, own = local_errors(self.own, self.place.step), self.own
        near = {name for name, error in errors.items() if (error <= GRAVE * own.limit).all()}
        return frozenset(self.place.guilty) - near

    def _errors(self, step: int) -> dict[str, Array]:
        rerun, own = self.rerun, self.own
        names = [name for name in rerun.names if name != "lr"]
        off = {name: np.abs(own.recorded(name, step) - rerun.ruled(name, step)) for name in names}
        return {name: error / rerun.bound(name, step) * own.limit for name, error in off.items()}

    def _is_near(self, change: Change) -> bool:
        """Whether a change is of an operation that is wrong for what it was given, or says what one is."""
        at = getattr(change, "at", "")
        wrong = {name.partition("/")[2].partition(".")[0] for name in self.place.guilty}
        kinds = {layer.kind for layer in self.own.scenario.layers if layer.name in wrong}
        return at.partition(".")[0] in wrong or at.removeprefix("every ") in kinds

    def proved(self, trial: Trial) -> Trial:
        """A trial that fits, with how many numbers come right with it."""
        return replace(trial, numbers=self.wrong_numbers) if trial.fits and trial.solved else trial

    @cached_property
    def wrong_numbers(self) -> int:
        """How many numbers are wrong for those that they were computed from: what follows from them says nothing new.

        Counted at as many of the steps as it takes to have `ENOUGH` of them.
        """
        found = 0
        for step in self.rerun.steps.tolist():
            errors = local_errors(self.own, step) or self._errors(step)  # where something was not recorded, all errors
            found += sum(int((~(e <= self.own.limit)).sum()) for e in errors.values())
            found += not self.own.rate_is_right(step)
            if found >= ENOUGH:
                break
        return found

    def _tried(self, candidates: list[Change], strict: bool) -> list[Trial]:
        """Changes tried one by one, as long as that does not cost more than `SINGLES`."""
        trying, trials = replace(self.trying, strict=strict), []
        self.rerun.weights(self.rerun.names, self.rerun.steps)  # needed once for all
        until = self.effort.spent + SINGLES
        for change in candidates:
            if self.effort.spent > until:
                break
            trials.append(trying.trial(change))
        left = len(candidates) - len(trials)
        self._left_out = f"{left} of {len(candidates)} changes" if left else ""
        return trials

    # ------------------------------------------------------------ two together

    def pairs(self) -> list[Trial]:
        """Two changes together, until some are found: one after the other, then those that meet in one quantity.

        Stops where they have cost `PAIRS`, and says so in `skipped`.
        """
        self._until = self.effort.spent + PAIRS
        found: list[Trial] = []
        for way in (self._one_after_the_other, self._in_one_quantity):
            found += [trial for trial in way() if trial.fits]
            if found:
                break
        self._pairs_left_out = "some pairs of changes" if self._is_over or self._some_left else ""
        return sorted(map(self.proved, found), key=lambda trial: trial.ratio)

    @property
    def _is_over(self) -> bool:
        """Whether pairs have cost enough."""
        return self.effort.spent > self._until

    def _one_after_the_other(self) -> Iterator[Trial]:
        """One that puts right what differs first, and each other one beside it that moves what the first leaves wrong.

        Those that account for the most steps come first, and of those the ones in which nothing is fitted.
        """
        firsts = [(fails, one) for one in self._firsts() if (fails := self._where_it_fails(one))]
        firsts.sort(key=lambda row: (-row[0][0], len(row[1].solved)))
        self._some_left = len(firsts) > FIRSTS
        for (step, name), one in firsts[:FIRSTS]:
            trying, both = self._trying_from(step), partial(Both, one.change)
            left = trying.rerun.vector(one.change, [name], trying.first)
            for other in self._usual(step):
                if self._is_over:
                    return
                least = 0.0 if other.solve else self.own.limit / 2  # an option's usual value may be a small one
                if not other.reaches(name) or other.id == one.change.id:
                    continue
                if not trying.moves(both(other), left, name, least):
                    continue
                trial = trying.within(other, both)
                if trial.fits and not trying.moves(trial.change, left, name, self.own.limit / 2):
                    continue  # what it adds is not what was missing
                yield replace(trial, solved={**one.solved, **trial.solved})
                if trial.fits:
                    break  # with the first change fixed, one account is enough

    def _firsts(self) -> Iterator[Trial]:
        """Changes that put right all up to what differs first, whatever becomes of what comes after."""
        names = self.rerun.told[: self.rerun.told.index(self.place.first) + 1]
        numbers = [name for name in names if self.own.fits(name)]
        first = self.trying.first
        got, weight = self.rerun.recorded(numbers, first), self.rerun.weights(numbers, first)
        for change in self._usual():
            if self._is_over:
                return
            if not self._can_begin(change):
                continue
            change, solved = solved_for(self.rerun, change, numbers, first)
            came = self.rerun.vector(change, numbers, first)
            if came.shape != got.shape or not (np.abs(came - got) * weight <= self.own.limit * ROUGHLY).all():
                continue
            trial = Trial(change, *self.rerun.compare(change, self.trying.first, names=names), solved)
            if trial.tells and trial.fits:
                yield trial

    def _can_begin(self, change: Change) -> bool:
        """Whether what differs first can be wrong by itself with a change."""
        return change.reaches(self.place.first) and self._can_explain(change, frozenset((self.place.first,)))

    def _where_it_fails(self, one: Trial) -> tuple[int, str] | None:
        """The first step that a change does not account for, and a quantity there: that, a second one must move."""
        looked_at, wrong = self.rerun.steps, self._wrong_steps
        fails = self._first_outside(one.change, looked_at)
        if fails is None:
            return None
        right = looked_at[looked_at < fails[0]].max(initial=self.place.step)
        return self._first_outside(one.change, wrong[(wrong > right) & (wrong < fails[0])]) or fails

    def _first_outside(self, change: Change, steps: Steps) -> tuple[int, str] | None:
        ratios = self.rerun.ratios(change, steps)
        return next(((step, name) for ratio, (name, step) in ratios if ratio > 1.0 or self._is_over), None)

    def _trying_from(self, step: int) -> Trying:
        if step == self.place.step:
            return self.trying
        later = self.own.steps[self.own.steps >= step][:2]
        return Trying(Rerun(self.own, np.union1d(self.rerun.steps, later)), self.place, later[:1])

    def _in_one_quantity(self) -> Iterator[Trial]:
        """Two that both change what differs first, those first whose effects come nearest to it when they are added.

        What comes before is right, so neither of them moves that.
        """
        name, step = self.place.first, self.trying.first
        if not self.own.fits(name):
            return  # no numbers that could be added up
        names = self.rerun.told[: self.rerun.told.index(name) + 1]
        names = [told for told in names if self.own.fits(told)]
        weight = self.rerun.weights(names, step)
        right = self.rerun.vector(Change(), names, step)
        own = len(self.rerun.weights([name], step))  # the last so many of them are its own
        wanted = np.nan_to_num((self.rerun.recorded(names, step) - right) * weight)[-own:]
        effects = []
        for change in self._usual():
            if self._is_over:
                return
            if not self._can_begin(change):
                continue
            effect = self.rerun.vector(change, names, step)
            moved = (effect - right) * weight if effect.shape == right.shape else np.full(own, np.nan)
            if not np.isfinite(moved).all() or (np.abs(moved[:-own]) > self.own.limit).any():
                continue
            if np.abs(moved[-own:]).max() > 1.0:
                effects.append((change, moved[-own:]))
        pairs = []
        for (i, a), (j, b) in combinations(enumerate(effects), 2):
            if a[0].id != b[0].id and not self._is_over:
                pairs.append((_left_over(wanted, a, b), i, j))
                self.effort.spent += LEAST_SQUARES * len(wanted)
        for tried, (_, i, j) in enumerate(sorted(pairs)):
            if self._is_over or tried == NEAREST:
                self._some_left = True
                return
            yield self._together(effects[i][0], effects[j][0])

    def _together(self, one: Change, other: Change) -> Trial:
        both, solved = solved_together(self.rerun, Both(one, other), [self.place.first], self.trying.first)
        trial = Trial(both, *self.rerun.roughly(both, self.trying.first), solved)
        if not (trial.tells and trial.fits):
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
            self._usual_at[at] = [c for c in self.candidates(at) if not c.precision() and not c.vague]
        return self._usual_at[at]


def _width(trial: Trial) -> int:
    """At how many places a change is: one, some (a group), all."""
    at = getattr(trial.change, "at", None)
    return 2 if at == "" else 1 if at is not None and ("*" in at or at.startswith("every ")) else 0


def _at_step(change: Change, step: int) -> Change:
    happens_once = any(f.name == "step" for f in fields(change))
    return replace(change, step=step) if happens_once else change  # type: ignore[call-arg]


def _spread_out(steps: Steps, number: int) -> Steps:
    """So many of the steps, the first and the last among them."""
    return steps[np.unique(np.linspace(0, len(steps) - 1, number).astype(int))] if len(steps) else steps


def _left_over(wanted: Array, one: tuple[Change, Array], other: tuple[Change, Array]) -> float:
    """What two effects leave of a difference: any multiple of one whose size is solved for, otherwise just that."""
    solved = [effect for change, effect in (one, other) if change.solve]
    rest = wanted - sum((effect for change, effect in (one, other) if not change.solve), np.zeros(1))
    if solved:
        basis = np.stack(solved, axis=1)
        rest = rest - basis @ np.linalg.lstsq(basis, rest, rcond=None)[0]
    return float(np.abs(rest).max())
