"""What is right where nobody has written rules? The origin in float64, and noisy runs of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isograd.arithmetic.noise import noise_scales
from isograd.columns import Columns, Each
from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.side.kinks import Gaps, Pass
from isograd.side.training import Session, Values, at_step

KEPT = ("weight", "state", "buffer")
"""Kinds of quantities that a step leaves to the next."""


def resynced(
    session: Session, batches: Sequence[Any], initial: Mapping[str, Array], dtype: str, states: Columns
) -> Iterator[Values]:
    """A training whose state is rounded to a dtype after every step: the quantities of each.

    Args:
        session: the origin's, in float64.
        batches: one a step.
        initial: the state before the first.
        dtype: the origin's own.
        states: the state before each step is put there; a slot that is not there before the first, as 0.
    """
    state: Values = {name: np.array(value) for name, value in initial.items()}
    form = FORMATS[dtype].dtype
    for t, batch in enumerate(batches):
        session.load(t, state)
        seen = session.step(t, batch)
        after = {name: seen[name].astype(form) for name in seen if name.partition("/")[0] in KEPT}
        before = {name: np.asarray(state.get(name, np.zeros_like(value)), form) for name, value in after.items()}
        states.put(t, before)
        yield seen
        state = after


def write_envelope(
    session: Session,
    batches: Sequence[Any],
    initial: Mapping[str, Array],
    states: Mapping[str, Array] | None,
    truth: Mapping[str, Array],
    job: Mapping[str, Any],
) -> None:
    """How far noisy runs lie from the truth, over how loud they are; nothing, where the framework has no noise."""
    envelope = Columns(Path(job["out"]), len(batches))
    kinks = Gaps(Path(f"{job['out']}-kinks"), len(batches), job["factor"], job["noise"])
    loud = [(Pass.STRAY, scale) for scale in noise_scales(job["runs"], job["factor"]).tolist()]
    for run, (now, scale) in enumerate([(Pass.KEEP, 0.0), *loud, (Pass.TURN, 0.0)]):
        if not kinks.begin(now, scale):
            continue
        noise = session.framework.noisy(job["seed"] + run, job["noise"], scale, job["constants"], job["rates"], kinks)
        if noise is None:
            return
        session.load(0, initial)
        for t, batch in enumerate(batches):
            if states is not None and t:
                session.load(t, at_step(states, t))
            with kinks.over(t), noise.over(session.trainee, t):
                seen = session.step(t, batch)
            names = [name for name in truth if name in seen]
            envelope.raise_to(t, Each(names, partial(_strayed, seen, truth, t, scale or 1.0)))
    envelope.close()
    kinks.end()


def _strayed(seen: Values, truth: Mapping[str, Array], t: int, scale: float, name: str) -> Array:
    """How far one quantity has been moved, over how loud the noise is."""
    return _moved(seen[name], truth[name][t]) / scale


def _moved(value: Array, truth: Array) -> Array:
    """How far; of what is no number, with noise or without, 0."""
    with np.errstate(invalid="ignore"):
        off = np.abs(value.reshape(truth.shape) - truth)  # parts may give (1,) for ()
    return np.where(np.isnan(off), 0.0, off)
