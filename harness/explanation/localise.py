"""Where does a trace first leave the rules, and which operations are wrong for the numbers that they were given?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from isograd.arithmetic.noise import Kind
from isograd.arithmetic.noisy import noisy
from isograd.dtypes import FORMATS
from isograd.envelope import Floats
from isograd.explanation.local import Local, outside, spreads
from isograd.graph import Graph, Hooks, Training
from isograd.inputs import Array
from isograd.judging import FACTOR


@dataclass(frozen=True)
class Place:
    """The first step at which a trace leaves the rules.

    Attributes:
        step: the step.
        ratios: for each quantity, in execution order, its largest error in bounds; more than 1 is outside.
        first: the first quantity outside.
        guilty: quantities that are wrong for the numbers that they were computed from.
    """

    step: int
    ratios: Mapping[str, float]
    first: str
    guilty: tuple[str, ...]


def first_outside(local: Local, limit: float) -> tuple[int, str] | None:
    """The row of the first step outside, from the trace's own state, and its first quantity; None if all are inside."""
    flags = outside(local.ratios, limit)
    rows = [int(np.argmax(flag)) for flag in flags.values() if flag.any()]
    if not rows:
        return None
    row = min(rows)
    return row, next(name for name, flag in flags.items() if flag[row])


def localise(local: Local) -> Place | None:
    """The first step outside, from the trace's own state; None where every step is inside."""
    found = first_outside(local, local.limit)
    if found is None:
        return None
    row, first = found
    step = int(local.steps[row])
    ratios = {name: float(ratio[row]) / local.limit for name, ratio in local.ratios.items()}
    return Place(step, ratios, first, tuple(guilty(local, step)))


def guilty(local: Local, step: int) -> Iterator[str]:
    """Quantities whose rule, fed with the trace's own numbers, gives something else than the trace has."""
    found = {name for name, ratio in local_errors(local, step).items() if not (ratio <= local.limit).all()}
    found |= {name for name in local.trace.columns if not local.fits(name)}  # whatever it was computed from
    found |= set() if local.rate_is_right(step) else {"lr"}
    yield from sorted(found, key=list(local.trace.columns).index)


def local_errors(local: Local, step: int, digits: int = 0) -> Mapping[str, Floats]:
    """For each quantity the error over envelope of every element, of its rule fed with the trace's own numbers.

    Kept with the trace: it is asked for where it leaves the rules, and again by the search.

    Args:
        local: the trace.
        step: one of its steps.
        digits: if not 0, products of matrices take their factors rounded to so many binary digits, and the rest is
            in float32 at most.
    """
    if (step, digits) not in local.by_operation:
        local.by_operation[step, digits] = _local_errors(local, step, digits)
    return local.by_operation[step, digits]


def _local_errors(local: Local, step: int, digits: int) -> dict[str, Floats]:
    names = [layer.name for layer in local.scenario.layers]
    needed = {f"{kind}/{name}" for kind in ("forward", "backward") for name in names} | {"loss"}
    if not all(local.fits(name) for name in needed):
        return {}
    out, held = {}, FORMATS[local.scenario.dtype].held
    found = spreads((kind, _locally(local, step, digits, kind)) for kind in local.effort.kinds)
    for name, (right, spread) in found.items():
        value = held(right)
        envelope = local.envelope(name, spread[np.newaxis], value[np.newaxis], np.array([step]))[0]
        got = local.recorded(name, step)
        alike = (got == value) | (np.isnan(got) & np.isnan(value))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(alike, 0.0, np.abs(got - value) / envelope)
        out[name] = np.atleast_1d(np.where(np.isnan(ratio), np.inf, ratio)).ravel()
    return out


def _locally(local: Local, step: int, digits: int, kind: Kind) -> Iterator[tuple[str, Array]]:
    """Each operation of the step on the recorded results of those before it, with noise; in execution order."""
    dtype = "float32" if digits and local.scenario.dtype == "float64" else local.scenario.dtype
    arithmetic = noisy(dtype, local.effort.runs, FACTOR, 3, digits=digits, kind=kind)
    computed: dict[str, Any] = {}

    def recorded(name: str, value: Any) -> Any:
        """What the trace has of it is passed on, and what the rule gives kept."""
        computed[name] = value
        return arithmetic.array(local.recorded(name, step)) if name != "lr" and local.fits(name) else value

    training = Training(Graph.of(local.scenario), arithmetic, Hooks(see=recorded))
    training.load(local.state(step))
    for name, _ in training.step(local.inputs.batch(step), local.inputs.lr[step], step):
        value = computed.pop(name)
        if name != "lr" and local.fits(name):
            yield name, arithmetic.plain(value)[:, 0]
