"""Why does a trace leave the rules? Where, which operations are to blame, and which changed rule accounts for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.explanation.apart import telling_apart
from harness.explanation.localise import Place, localise
from harness.explanation.looks import pattern, worst_elements
from harness.explanation.own import own_states
from harness.explanation.search import Search
from harness.explanation.trial import Trial
from harness.inputs import Inputs
from harness.recorder import States
from harness.scenario import Scenario
from harness.trace import Trace


@dataclass(frozen=True)
class Account:
    """What is known of a divergence.

    Attributes:
        of: whose trace it is: a backend's name, or "published".
        place: where the trace first leaves the rules.
        causes: changes each of which accounts for everything; several cannot be told apart in this scenario.
        tried: all that were tried, the closest first.
        pattern: where nothing fits, what the difference looks like.
        out_of_time: not all pairs of changes were tried.
        table: the worst elements of the first quantity: index, reference, trace.
        apart: of several causes, what altered in the scenario would tell them apart; a phrase.
    """

    of: str
    place: Place
    causes: tuple[Trial, ...]
    tried: tuple[Trial, ...]
    pattern: str
    out_of_time: bool
    table: tuple[tuple[str, float, float], ...]
    apart: str = ""

    @property
    def ids(self) -> str:
        """The causes' names, parted by " or "; of two changes together, by " + "."""
        return " or ".join(trial.id for trial in self.causes)

    @property
    def sentence(self) -> str:
        """The cause in a sentence, or plainly that there is none."""
        if not self.causes:
            more = " (not all pairs of changes were tried)" if self.out_of_time else ""
            return f"no catalogued cause{more}: {self.pattern}"
        told = "; or ".join(trial.sentence for trial in self.causes)
        if len(self.causes) > 1:
            told += "; these cannot be told apart in this scenario"
        return told + (f"; {self.apart}" if self.apart else "")


@np.errstate(all="ignore")  # a trace that is wrong may hold anything
def explain(scenario: Scenario, inputs: Inputs, trace: Trace, states: States) -> Account | None:
    """Find out why a trace leaves the rules; None where, from its own states, every step of it is inside.

    Args:
        scenario: what was run.
        inputs: its numbers.
        trace: what came of it: a backend's, or what a source has printed.
        states: the states that it was given before each step, if it is of a resync run.
    """
    own = own_states(scenario, inputs, trace, states)
    place = localise(own) if len(own.steps) else None
    if place is None:
        return None
    search, of = Search(own, place), trace.manifest.backend
    if not search.has_something_to_explain():
        return Account(of, place, (), (), pattern(own, place, search.rerun), False, ())
    tried = search.single()
    causes = [trial for trial in tried if trial.fits] or [trial for trial in search.pairs() if trial.fits]
    looks = "" if causes else pattern(own, place, search.rerun)
    table = tuple(worst_elements(own, place, search.rerun))
    names = search.rerun.names
    apart = telling_apart(scenario, inputs, place.step, names, causes) if len(causes) > 1 else ""
    return Account(of, place, tuple(causes), tuple(tried), looks, search.out_of_time, table, apart)
