"""Is a cause that was named the change that was seeded, or one that does the same?"""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from isograd.assess import ScenarioResult
from isograd.changes.change import Both, Change
from isograd.changes.changed import ChangedBackend
from isograd.explanation.trial import Trial
from isograd.floors import pooled
from isograd.judging import FACTOR
from isograd.recorder import record_here


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


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def equivalent(result: ScenarioResult, one: Change, other: Change) -> bool:
    """Whether two changes do the same at every step of a scenario, as far as rounding lets one see."""
    traces = [
        record_here(
            ChangedBackend(c), "changed", result.scenario, result.inputs, states=result.reference.states
        ).columns
        for c in (one, other)
    ]
    for name, a in traces[0].items():
        b, envelope = traces[1][name], result.reference.envelope["resync"][name]
        envelope = np.where(envelope == 0, pooled(envelope), envelope) if envelope.ndim > 1 else envelope
        truth = result.reference.truth["resync"].columns[name]
        if a.shape != b.shape:
            return False
        larger = np.maximum(1.0, np.abs(b) / np.maximum(np.abs(truth), 1e-300)) if a.shape == truth.shape else 1.0
        if name != "lr" and not (np.abs(a - b) <= 2 * FACTOR * np.minimum(larger, 1e6) * envelope).all():
            return False
    return True
