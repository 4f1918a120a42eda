"""Is a cause that was named the change that was seeded, or one that does the same?"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from isograd.assess import ScenarioResult
from isograd.changes.change import Both, Change
from isograd.changes.changed import ChangedBackend
from isograd.dtypes import FORMATS
from isograd.explanation.local import make_local
from isograd.explanation.rerun import Rerun
from isograd.explanation.trial import Trial
from isograd.recorder import record_here

SOLVED = 1e-6
"""Of a rate how far it may be off, though it is a constant: one of the two was solved for."""

OF_EACH = 2.0
"""Bounds that two runs may be apart, each of which may be one off."""


def is_seeded(trial: Trial, change: Change) -> bool:
    """Whether a cause is the change that was seeded; a value that was solved for within four standard errors."""
    if isinstance(change, Both):
        parts = (trial.change.first, trial.change.second) if isinstance(trial.change, Both) else ()
        return {_place(part) for part in parts} == {_place(change.first), _place(change.second)}
    if trial.change.id != change.id:
        return False
    for f in fields(change):
        got, seeded = getattr(trial.change, f.name), getattr(change, f.name)
        solved = trial.solved.get(f.name)
        if solved and abs(solved.value - seeded) > 4 * solved.error + 1e-6 * abs(seeded):
            return False
        if not solved and got != seeded and not (f.name == "at" and _alone(trial, change)):
            return False
    return True


def _alone(trial: Trial, change: Change) -> bool:
    """Whether "everywhere" and "there" are the same, as for the only layer of a kind."""
    return "" in (getattr(trial.change, "at", ""), getattr(change, "at", ""))


def _place(change: Change) -> tuple[str, str]:
    return change.id, str(getattr(change, "at", ""))


@np.errstate(all="ignore")  # what is wrong may hold anything
def equivalent(result: ScenarioResult, one: Change, other: Change) -> bool:
    """Whether two changes do the same at every step of a scenario, as far as rounding lets one see.

    What the other one does alone, without rounding, is taken for a trace, and the first one must account for it: each
    may be as far off as a trace of its own could.
    """
    if one.precision() or other.precision():  # what has other noise is compared with no noise of its own
        return one == other
    states, dtype = result.reference.states, FORMATS[result.scenario.dtype].dtype
    trace = record_here(ChangedBackend(other), "changed", result.scenario, result.inputs, states=states)
    local = make_local(result.scenario, result.inputs, trace, states)
    rerun = Rerun(local, local.steps)
    rates = np.array([float(seen["lr"]) for _, seen in rerun.run(one, local.steps, "float64")])
    held, other_held = (side.astype(dtype).astype(np.float64) for side in (rates, trace.columns["lr"]))
    if not np.allclose(held, other_held, rtol=SOLVED, atol=0.0):
        return False
    others = [name for name in rerun.present if name != "lr"]
    return rerun.compare(one, local.steps, others, strict=True)[0] <= OF_EACH
