"""Which changes of the rules account for a trace? Every one of the catalogue is tried, then two of them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import TypeVar

import numpy as np

from isograd.changes.catalogue import CATALOGUE
from isograd.changes.change import Change
from isograd.explanation.effort import READINGS, SINGLES
from isograd.explanation.evidence import TraceEvidence
from isograd.explanation.kept import Steps
from isograd.explanation.local import Local
from isograd.explanation.localise import Place, local_errors
from isograd.explanation.pairs import Pairs
from isograd.explanation.rerun import Rerun
from isograd.explanation.trial import Trial, Trying
from isograd.inputs import Array
from isograd.judging import GRAVE
from isograd.words import said_of

T = TypeVar("T")

ENOUGH = 64
"""Wrong numbers after which no more are counted: no change has so many values to solve for."""

BEFORE = 4
"""Steps before the first wrong one at which a change that accounts for it may have shown already."""

FEW = 2
"""Wrong numbers, up to which many changes give just these: then the vague ones are causes beside the others."""

FURTHER = 24
"""Steps more at which those that account for everything so far are compared, where there are several."""

CONFIRM = 24
"""Further steps that a change must account for, spread over the run, beside the one after the first."""


@dataclass
class Search:
    """The search for the cause of one place.

    Attributes:
        local: the trace, from its own states.
        place: where it leaves the rules.
        loud: what a change raises is let out; otherwise it is left out, and that is said in `skipped`.
    """

    local: Local
    place: Place
    loud: bool = False

    def __post_init__(self) -> None:
        self.effort = self.local.effort
        self._variants_at: dict[int, tuple[list[Change], list[Change], list[Change]]] = {}
        self._steps_left_out = self._left_out = self._pairs_left_out = ""
        self._failed: dict[str, str] = {}
        self.rerun = Rerun(self.local, self._steps_to_confirm())
        self.trying = Trying(self.rerun, self.place, self.rerun.steps[:1])

    @property
    def skipped(self) -> tuple[str, ...]:
        """What was not tried, or not looked at, because it would have cost too much, or failed; as phrases."""
        said = "{}, which failed ({}; please report this, with the trace)".format
        failed = (said(name, error) for name, error in self._failed.items())
        return tuple(filter(None, [self._steps_left_out, self._left_out, self._pairs_left_out, *failed]))

    def _steps_to_confirm(self) -> Steps:
        """The step, the next one, and some more; those that came out wrong before others."""
        known = self.local.steps[self.local.steps >= self.place.step]
        further = self.effort.steps(CONFIRM + 2) - 2
        chosen = [known[:2], _evenly(self.wrong_steps, further // 2), _evenly(known, further // 2)]
        steps = np.unique(np.concatenate(chosen))
        if further < CONFIRM and len(steps) < len(known):
            self._steps_left_out = f"more than {len(steps)} of {len(known)} steps"
        return steps

    @cached_property
    def wrong_steps(self) -> Steps:
        """The steps at which anything is outside."""
        flags = [~(ratio <= self.local.limit) for ratio in self.local.ratios.values()]
        return np.asarray(self.local.steps[np.logical_or.reduce(flags)])

    def has_something_to_explain(self) -> bool:
        """Whether what differs first is a quantity of the scenario, and the rules without any change do not fit.

        Otherwise a change that does nothing would be called a cause.
        """
        known = self.place.first in self.rerun.present
        return known and self.rerun.compare(Change(), self.rerun.steps[:1])[0] > 1.0

    # ------------------------------------------------------------ one change

    def candidates(self, step: int | None = None) -> list[Change]:
        """Every change of the catalogue at each of its places; what happens at one step, at this one. No vague ones."""
        return self._variants(step)[0]

    def constants(self, step: int) -> list[Change]:
        """The vague ones of which a constant is all that is not known: beside another change one may be a cause."""
        return [change for change in self._variants(step)[2] if change.solve and not change.idle]

    def vague_candidates(self) -> list[Change]:
        """The changes that account for so much that they are causes only where nothing else is."""
        _, read, unread = self._variants()
        found = [*read]
        evidence, until = self._evidence_from(self.place.step), self.effort.spent + READINGS
        for change in unread:
            found += [] if change.idle else [change]
            if self.effort.spent <= until:
                self.effort.spent += self.effort.step * change.reading
                found += self._read_off(change, evidence)
        return found

    def _read_off(self, change: Change, evidence: TraceEvidence) -> list[Change]:
        """A change with its options read off the trace."""
        return self._coping(change.id, lambda: list(change.fitted(evidence)))

    def copes(self, change: Change) -> bool:
        """Whether it has not failed on this trace."""
        return change.id not in self._failed

    def _coping(self, name: str, asked: Callable[[], list[T]]) -> list[T]:
        """What is asked of changes; one that cannot cope with a trace costs no other its trial."""
        try:
            return asked()
        except Exception as error:
            if self.loud:
                raise
            self._failed[name] = said_of(error)
            return []

    def _variants(self, step: int | None = None) -> tuple[list[Change], list[Change], list[Change]]:
        """Those that are not vague, those that are, and of the latter those whose options were not read off yet."""
        at = self.place.step if step is None else step
        if at not in self._variants_at:
            evidence = self._evidence_from(at)
            usual, vague, unread = lots = ([], [], [])  # type: tuple[list[Change], list[Change], list[Change]]
            for kind in CATALOGUE.values():
                for variant in kind.variants(self.local.scenario):
                    change = _at_step(variant, at)
                    if change.vague:
                        unread.append(change)
                        continue
                    for found in (*([] if change.idle else [change]), *self._read_off(change, evidence)):
                        (vague if found.vague else usual).append(found)
            self._variants_at[at] = lots
        return self._variants_at[at]

    def _evidence_from(self, step: int) -> TraceEvidence:
        return TraceEvidence(self.rerun, self.local.steps[self.local.steps >= step].tolist())

    def can_explain(self, change: Change, wrong: frozenset[str]) -> bool:
        """Whether all that is wrong for what it was computed from can be so by a change."""
        touched = change.touches(self.local.scenario)
        return touched is None or wrong <= touched

    def single(self) -> list[Trial]:
        """Every candidate, tried, the closest first; several can account for everything.

        Those that can make wrong all that is gravely so come first, and the others only where none of these fits; and
        the vague ones only where nothing else does, or there are few numbers to tell by. What says more is kept: what
        holds at the steps before too, and a change at one place where the same at all of them would fit as well.
        """
        wrong, lots = self._gravely_wrong, (self.candidates, self.vague_candidates)
        trials: list[Trial] = []
        number = 0
        for lot in lots:
            every = lot()
            near = [change for change in every if self.can_explain(change, wrong)]
            came = self._of(near)
            if len(came) == len(near) and not any(trial.fits for trial in came):
                came += self._of([change for change in every if not self.can_explain(change, wrong)])
            trials, number = trials + came, number + len(every)
            if any(trial.fits for trial in trials) and self.wrong_numbers > FEW:
                number = number if len(came) < len(near) else len(trials)
                break
        left = number - len(trials)
        self._left_out = f"{left} of {number} changes" if left else ""
        trials = [self.with_evidence(trial) for trial in self._distinguished(trials)]
        # of those that account for everything first what has fewer values to fit
        trials.sort(key=lambda trial: (not trial.fits, trial.fits and len(trial.solved), trial.ratio))
        if any(trial.fits and not trial.since for trial in trials):
            trials = [trial for trial in trials if not (trial.fits and trial.since)]
        vague = [len(trial.solved) for trial in trials if trial.fits and trial.change.vague]
        trials = [t for t in trials if not (t.fits and t.change.vague and len(t.solved) > min(vague))]
        narrowest = {
            t.change.id: min(_width(o) for o in trials if o.fits and o.change.id == t.change.id)
            for t in trials
            if t.fits
        }
        trials = [t for t in trials if not (t.fits and _width(t) > narrowest[t.change.id])]
        return list({trial.id: trial for trial in reversed(trials)}.values())[::-1]

    def _distinguished(self, trials: list[Trial]) -> list[Trial]:
        """Of several that fit, those that do so strictly and at further steps too, if there are any."""
        for steps in (self.rerun.steps, self._further_steps):
            fits = [t for t in trials if t.fits and not t.words and not t.change.precision()]
            if len(fits) < 2 or not len(steps) or self.effort.dear:
                break
            ratios = {id(t): self.rerun.compare(t.change, steps, stop=True, strict=True) for t in fits}
            if min(ratio for ratio, _ in ratios.values()) <= 1.0:
                worse = {id(t): max((t.ratio, t.worst), ratios[id(t)]) for t in fits}
                trials = [
                    replace(t, ratio=worse[id(t)][0], worst=worse[id(t)][1]) if id(t) in worse else t for t in trials
                ]
        return trials

    @cached_property
    def _further_steps(self) -> Steps:
        """Steps that no change was compared at so far."""
        known = self.local.steps[self.local.steps >= self.place.step]
        return _evenly(np.setdiff1d(known, self.rerun.steps), FURTHER)

    @cached_property
    def _gravely_wrong(self) -> frozenset[str]:
        """What is by far wrong for what it was computed from: no rounding of the trace's own is to blame for that.

        Nothing is known of that where something was not recorded as it should be: any change may explain it then.
        """
        errors, local = local_errors(self.local, self.place.step), self.local
        if not errors:
            return frozenset()
        near = {name for name, error in errors.items() if (error <= GRAVE * local.limit).all()}
        return frozenset(self.place.guilty) - near

    def _errors(self, step: int) -> dict[str, Array]:
        rerun, local = self.rerun, self.local
        names = [name for name in rerun.names if name != "lr"]
        off = {name: np.abs(local.recorded(name, step) - rerun.ruled(name, step)) for name in names}
        return {name: error / rerun.bound(name, step) * local.limit for name, error in off.items()}

    def with_evidence(self, trial: Trial) -> Trial:
        """A trial that fits, with how many numbers come right with it, and since when."""
        if not trial.fits:
            return trial
        return replace(trial, numbers=self.wrong_numbers if trial.solved else 0, since=self._since(trial))

    def _since(self, trial: Trial) -> int:
        """The first wrong step, if the change would have shown at one before; of a large scenario nobody knows."""
        before = self._before
        if before is None or trial.words or trial.change.precision():
            return 0
        shown = any(ratio > 1.0 for ratio, _ in before.plainly(trial.change, before.steps))
        return self.place.step if shown else 0

    @cached_property
    def _before(self) -> Rerun | None:
        """The last steps before the first wrong one."""
        steps = self.local.steps[self.local.steps < self.place.step][-BEFORE:]
        return self.rerun.at(steps) if len(steps) and not self.effort.dear else None

    @cached_property
    def wrong_numbers(self) -> int:
        """How many numbers are wrong for those that they were computed from: what follows from them says nothing new.

        Counted at as many of the steps as it takes to have `ENOUGH` of them.
        """
        found = 0
        for step in self.rerun.steps.tolist():
            # of all that differs, where something was not recorded
            errors = local_errors(self.local, step) or self._errors(step)
            found += sum(int((~(e <= self.local.limit)).sum()) for e in errors.values())
            found += not self.local.rate_is_right(step)
            if found >= ENOUGH:
                break
        return found

    def _of(self, candidates: list[Change]) -> list[Trial]:
        """Changes tried; in a large scenario first strictly, the likely and cheap ones before the others."""
        if not self.effort.dear:
            return self._tried(candidates, strict=False)
        candidates = sorted(candidates, key=self._cost)
        trials = self._tried(candidates, strict=True)
        if any(trial.fits for trial in trials) or len(trials) < len(candidates):
            return trials
        again = self._tried(candidates, strict=False)
        return [*again, *trials[len(again) :]]

    def _cost(self, change: Change) -> tuple[bool, bool, int]:
        """What is tried later: what could make anything wrong, what needs the whole step, what has much to solve."""
        return change.touches(self.local.scenario) is None, not change.late, len(change.solve)

    def _tried(self, candidates: list[Change], strict: bool) -> list[Trial]:
        """Changes tried one by one, as long as that does not cost more than `SINGLES`."""
        trying, trials = replace(self.trying, strict=strict), []
        until = self.effort.spent + SINGLES
        for change in candidates:
            if self.effort.spent > until:
                break
            trials += self._coping(change.id, partial(_each, trying.trial, change))
        return trials

    # ------------------------------------------------------------ two together

    def pairs(self) -> list[Trial]:
        """Two changes together; that some were not tried is said in `skipped`."""
        pairs = Pairs(self)
        found = self._coping("two changes together", pairs.found)
        self._pairs_left_out = "some pairs of changes" if pairs.left_some else ""
        return found


def _each(trial: Callable[[Change], Trial], change: Change) -> list[Trial]:
    return [trial(change)]


def _width(trial: Trial) -> int:
    """At how many places a change is: one, some (a group), all."""
    at = getattr(trial.change, "at", None)
    return 2 if at == "" else 1 if at is not None and ("*" in at or at.startswith("every ")) else 0


def _at_step(change: Change, step: int) -> Change:
    happens_once = any(f.name == "step" for f in fields(change))
    return replace(change, step=step) if happens_once else change  # type: ignore[call-arg]


def _evenly(steps: Steps, number: int) -> Steps:
    """So many of the steps, the first and the last among them."""
    return steps[np.unique(np.linspace(0, len(steps) - 1, number).astype(int))] if len(steps) else steps
