"""Is each step of a free run right from the state that the run itself had before it?

A backend may keep more than its weights: momentum, weights in more digits than it tells. In resync that is gone
with every state that is loaded; in free it is there, and a step does not follow from the weights alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from isograd.explanation.local import Local
from isograd.explanation.localise import first_outside
from isograd.judging import FACTOR, LocalSteps


@np.errstate(all="ignore")  # a trace that is wrong may hold anything
def local_steps(local: Local, factor: float) -> LocalSteps:
    """Judge every step of which the trace holds the state before.

    Args:
        local: a free run's trace.
        factor: how many envelopes an element may be off; no less than `FACTOR`, with which causes are looked for.
    """
    limit = local.limit * max(1.0, factor / FACTOR)
    local = replace(local, steps=local.steps[_finite(local)])
    found = first_outside(local, limit) if len(local.steps) else None
    if found:
        return LocalSteps(found[1], int(local.steps[found[0]]), _described(local, *found, limit))
    checked, steps = len(local.steps), local.inputs.steps
    if checked == steps:
        return LocalSteps()
    others = "the others' was not recorded, or they are not finite"
    text = f"{checked} of {steps} steps could be judged from the run's own state ({others})"
    return LocalSteps(unchecked=text)


def _finite(local: Local) -> NDArray[np.bool_]:
    """At which steps all that was recorded is a finite number: where something overflows, a state tells no more."""
    flags = np.ones(len(local.steps), bool)
    rows = np.searchsorted(local.trace.steps, local.steps)
    for column in local.trace.columns.values():
        flags &= np.isfinite(column[rows].astype(np.float64)).reshape(len(rows), -1).all(axis=1)
    return flags


def _described(local: Local, row: int, name: str, limit: float) -> str:
    """The element that is the most envelopes off."""
    scaled, step = local.scaled[name], int(local.steps[row])
    shape = local.recorded(name, step).shape
    index = [int(i) for i in np.unravel_index(int(scaled.worst[row]), shape)] if shape else ""
    got, expected = float(scaled.value[row]), float(scaled.other[row])
    off = f"off by {abs(got - expected):.3g}, bound {limit * float(scaled.unit[row]):.3g}"
    where = f"{name}{index} at step {step}"
    return f"{where}: got {got:.9g}, expected {expected:.9g} from the state that the run itself had before ({off})"
