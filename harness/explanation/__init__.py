"""Why does a trace leave the rules? Where, which operations are to blame, and which changed rule accounts for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isograd.explanation import free
from isograd.explanation.apart import telling_apart
from isograd.explanation.local import Local, make_local
from isograd.explanation.localise import Place, localise
from isograd.explanation.looks import pattern, worst_elements
from isograd.explanation.search import Search
from isograd.explanation.trial import Trial
from isograd.inputs import Inputs
from isograd.judging import LocalSteps
from isograd.recorder import States
from isograd.scenario import Scenario
from isograd.trace import Trace

LOUD = False
"""Let out whatever the search raises. A report must not be lost by a search that fails, and a test must see that it
does: isograd's own test suite sets this."""


@dataclass(frozen=True)
class Account:
    """What is known of a divergence.

    Attributes:
        of: whose trace it is: a backend's name, or "published".
        place: where the trace first leaves the rules.
        causes: changes each of which accounts for everything; several cannot be told apart in this scenario.
        tried: all that were tried, the closest first.
        pattern: where nothing fits, what the difference looks like.
        skipped: what was not tried, as phrases.
        table: the worst elements of the first quantity: index, reference, trace.
        apart: of several causes, what altered in the scenario would tell them apart; a phrase.
        structural: the first quantity that differs has another name, shape or dtype than it should; see `pattern`.
        failed: what the search raised, if it did.
    """

    of: str
    place: Place
    causes: tuple[Trial, ...] = ()
    tried: tuple[Trial, ...] = ()
    pattern: str = ""
    skipped: tuple[str, ...] = ()
    table: tuple[tuple[str, float, float], ...] = ()
    apart: str = ""
    structural: bool = False
    failed: str = ""

    @property
    def ids(self) -> str:
        """The causes' names, parted by " or "; of two changes together, by " + "."""
        return " or ".join(trial.id for trial in self.causes)

    @property
    def sentence(self) -> str:
        """The cause in a sentence, or plainly that there is none."""
        if self.failed:
            return f"the search for a cause failed: {self.failed}; please report this, with the trace"
        more = f" (not tried: {', '.join(self.skipped)})" if self.skipped else ""
        if not self.causes:
            return self.pattern if self.structural else f"no catalogued cause{more}: {self.pattern}"
        text = "; or ".join(trial.sentence for trial in self.causes)
        if len(self.causes) > 1:
            text += "; these cannot be told apart in this scenario"
        return text + (f"; {self.apart}" if self.apart else "")


@np.errstate(all="ignore")  # a trace that is wrong may hold anything
def explain(scenario: Scenario, inputs: Inputs, trace: Trace, states: States) -> Account | None:
    """Find out why a trace leaves the rules; None where, from its own states, every step of it is inside.

    A search that fails is an account that says so, never an exception: what was judged stays judged.

    Args:
        scenario: what was run.
        inputs: its numbers.
        trace: what came of it: a backend's, or what a source has printed.
        states: the states that it was given before each step, if it is of a resync run.
    """
    place = Place(int(trace.steps[0]) if len(trace.steps) else 0, {}, "", ())
    try:
        local = make_local(scenario, inputs, trace, states)
        found = localise(local) if len(local.steps) else None
        if found is None:
            return None
        place = found
        return _account(local, place)
    except Exception as error:
        if LOUD:
            raise
        return Account(trace.manifest.backend, place, failed=f"{type(error).__name__}: {error}")


def local_steps(scenario: Scenario, inputs: Inputs, trace: Trace, factor: float) -> LocalSteps:
    """Judge each step of a free run from the state that the run itself had before it.

    Args:
        scenario: what was run.
        inputs: its numbers.
        trace: what came of it, free.
        factor: how many envelopes an element may be off.
    """
    try:
        return free.local_steps(make_local(scenario, inputs, trace, {}), factor)
    except Exception as error:
        if LOUD:
            raise
        return LocalSteps(unchecked=f"judging its steps from its own states failed: {type(error).__name__}: {error}")


def _account(local: Local, place: Place) -> Account:
    """What accounts for the place where a trace leaves the rules, or what it looks like."""
    search, of = Search(local, place, LOUD), local.trace.manifest.backend
    structural = not local.fits(place.first)
    if not search.has_something_to_explain():
        return Account(of, place, pattern=pattern(local, place, search.rerun), structural=structural)
    tried = search.single()
    fitting = [trial for trial in tried if trial.fits] or [trial for trial in search.pairs() if trial.fits]
    causes = [trial for trial in fitting if trial.is_overdetermined]
    looks = "" if causes else _described(fitting) or pattern(local, place, search.rerun)
    table = tuple(worst_elements(local, place, search.rerun))
    apart = telling_apart(local, place.step, search.rerun.present, causes) if len(causes) > 1 else ""
    return Account(of, place, tuple(causes), tuple(tried), looks, search.skipped, table, apart, structural)


def _described(fitting: list[Trial]) -> str:
    """What would fit, but has as many values that were made to fit as there are wrong numbers."""
    if not fitting:
        return ""
    trial = fitting[0]
    number = f"{len(trial.solved)} {'value' if len(trial.solved) == 1 else 'values'}"
    return f"it could be described so: {trial.sentence}; but {number} can be found for any such difference"
