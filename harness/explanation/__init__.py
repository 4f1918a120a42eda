"""Why does a trace leave the rules? Where, which operations are to blame, and which changed rule accounts for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.envelope import Floats
from harness.explanation.apart import telling_apart
from harness.explanation.localise import Place, localise
from harness.explanation.own import Own, own_states
from harness.explanation.rerun import Rerun
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
        place: where the trace first leaves the rules.
        causes: changes each of which accounts for everything; several cannot be told apart in this scenario.
        tried: all that were tried, the closest first.
        pattern: where nothing fits, what the difference looks like.
        out_of_time: not all pairs of changes were tried.
        table: the worst elements of the first quantity: index, reference, trace.
        apart: of several causes, what altered in the scenario would tell them apart; a phrase.
    """

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
    search = Search(own, place)
    if not search.has_something_to_explain():
        return Account(place, (), (), _pattern(own, place, search.rerun), False, ())
    tried = search.single()
    causes = [trial for trial in tried if trial.fits] or [trial for trial in search.pairs() if trial.fits]
    pattern = "" if causes else _pattern(own, place, search.rerun)
    table = tuple(_table(own, place, search.rerun))
    names = search.rerun.names
    apart = telling_apart(scenario, inputs, place.step, names, causes) if len(causes) > 1 else ""
    return Account(place, tuple(causes), tuple(tried), pattern, search.out_of_time, table, apart)


def _right(own: Own, place: Place, rerun: Rerun) -> tuple[Floats, Floats]:
    """The first quantity as the rules give it, and as the trace has it."""
    got = own.recorded(place.first, place.step)
    return rerun.ruled(place.first, place.step).reshape(got.shape), got


def _table(own: Own, place: Place, rerun: Rerun, rows: int = 4) -> list[tuple[str, float, float]]:
    if place.first not in rerun.names:
        return []
    right, got = _right(own, place, rerun)  # of a wrong shape, in the trace's
    off = np.nan_to_num(np.abs(got - right), nan=np.inf)
    worst = np.argsort(-off, axis=None, kind="stable")[:rows]
    at = [np.unravel_index(i, got.shape) if got.ndim else () for i in worst if off.flat[i] > 0]
    return [(str([int(k) for k in i]) if i else "", float(right[i]), float(got[i])) for i in at]


def _pattern(own: Own, place: Place, rerun: Rerun) -> str:
    """What a difference that nothing accounts for looks like."""
    where = f"local to {', '.join(place.guilty)}" if place.guilty else f"first in {place.first}"
    if place.first not in rerun.names:
        return where
    right, got = _right(own, place, rerun)
    return f"{where} at step {place.step}; {_looks(right, got)}"


@np.errstate(divide="ignore", invalid="ignore")
def _looks(right: Floats, got: Floats) -> str:
    if not np.isfinite(got).all():
        return f"{np.count_nonzero(~np.isfinite(got))} of {got.size} elements are not finite numbers"
    off = np.flatnonzero(got != right)
    changed = np.abs(got - right) > 1e-3 * np.abs(got - right).max()
    if got.size > 1 and np.count_nonzero(changed) == 1:
        return f"one element of {got.size} is off"
    ratio = (got / right).ravel()[off]
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) and np.ptp(ratio) <= 1e-3 * np.abs(ratio).max():
        return f"its ratio to the reference is {np.median(ratio):.6g} everywhere"
    if got.ndim == 2 and got.shape[0] == got.shape[1] and np.allclose(got, right.T, rtol=1e-3):
        return "it is the transpose of the reference"
    if got.size > 1 and np.allclose(np.sort(got, axis=None), np.sort(right, axis=None), rtol=1e-3):
        return "it has the reference's elements in another order"
    if got.ndim == 2 and min(got.shape) > 1:
        values = np.linalg.svd(got - right, compute_uv=False)
        if values[1] <= 1e-3 * values[0]:
            return "its ratio to the reference is not constant; the difference has rank 1"
    return "its ratio to the reference is not constant"
