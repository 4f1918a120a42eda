"""What is right where nobody has written rules? The origin in float64, and noisy runs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isograd.arithmetic.noise import noise_scales
from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.side.training import Session, Values, at_step, columns_of


def resynced(
    session: Session, batches: Sequence[Any], initial: Mapping[str, Array], dtype: str
) -> tuple[Values, Values]:
    """A training whose state is rounded to a dtype after every step: the states before each, and the quantities."""
    kept, rows = [], []
    state: Values = {name: np.array(value) for name, value in initial.items()}
    for t, batch in enumerate(batches):
        session.load(t, state)
        seen = session.step(t, batch)
        rows.append(seen)
        kept.append(state)
        after = {name: seen[name] for name in seen if name.partition("/")[0] in ("weight", "state", "buffer")}
        state = {name: value.astype(FORMATS[dtype].dtype) for name, value in after.items()}
    kept[0] = {name: kept[0].get(name, np.zeros_like(value)) for name, value in state.items()}
    states = {name: np.stack([np.asarray(step[name], FORMATS[dtype].dtype) for step in kept]) for name in state}
    return states, columns_of(iter(rows))


def envelope_of(
    session: Session,
    batches: Sequence[Any],
    initial: Mapping[str, Array],
    states: Mapping[str, Array] | None,
    truth: Values,
    job: Mapping[str, Any],
) -> Values | None:
    """How far noisy runs lie from the truth, over how loud they are; None where the framework has no noise."""
    scales = noise_scales(job["runs"], job["factor"])
    envelope = {name: np.zeros_like(column, np.float64) for name, column in truth.items()}
    for run, scale in enumerate(scales.tolist()):
        noise = session.framework.noisy(job["seed"] + run, job["noise"], scale, job["constants"], job["rates"])
        if noise is None:
            return None
        session.load(0, initial)
        for t, batch in enumerate(batches):
            if states is not None and t:
                session.load(t, at_step(states, t))
            with noise.over(session.trainee, t):
                seen = session.step(t, batch)
            for name, column in envelope.items():
                if name in seen:
                    with np.errstate(invalid="ignore"):  # what is no number is none with noise either: not how far
                        here = truth[name][t]
                        off = np.abs(seen[name].reshape(here.shape) - here) / scale  # parts may give (1,) for ()
                    column[t] = np.fmax(column[t], off)
    return envelope
