"""What is read off a trace: an order, by distances to what each candidate would give; a layer, and all that it met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from isograd.changes.change import Evidence, Rows
from isograd.changes.places import layer_of
from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.ops.op import Layer
from isograd.scenario import Scenario

MOST = 10_000_000
"""Of more products of rows, candidates and outputs, no order is read off a trace: it would take seconds a step."""


ROUND = 1e-4
"""Of a number, how far it may be from one that is written with two digits."""

AT_ONCE = 2**18
"""Distances that are computed at once: some megabytes."""


def distances(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Σ|a_i − b_j| over the columns, for some rows i of the first at a time and all rows j of the second.

    Args:
        a: (n, columns).
        b: (m, columns).

    Yields:
        Which rows of ``a``, and their distances, (rows, m).
    """
    rows = max(1, AT_ONCE // max(1, b.size))
    for start in range(0, len(a), rows):
        part = slice(start, start + rows)
        yield part, np.abs(a[part, np.newaxis] - b).sum(axis=2)


def nearest(far: Array, own: Rows) -> Rows:
    """For each row of distances the nearest column; where it is as near, the one that it should be."""
    there = far[np.arange(len(far)), own]
    return np.asarray(np.where(there <= far.min(axis=1), own, far.argmin(axis=1)))


def listed(order: tuple[int, ...], number: int = 12) -> str:
    """The first of an order, for people."""
    return ", ".join(map(str, order[:number])) + (" …" if len(order) > number else "")


def near(dtype: str, usual: float) -> float:
    """How far from a form numbers may be, of their largest, to be tried: no nearer than the dtype lets them be."""
    return max(usual, 8 * FORMATS[dtype].roundoff)


def is_round(value: float) -> bool:
    """Whether it has one or two digits, as far as a trace tells: what a person writes has no more."""
    return bool(np.isclose(value, float(f"{value:.2g}"), rtol=ROUND, atol=0.0))


class Met(NamedTuple):
    """A layer at a step of a trace.

    Attributes:
        layer: the operation.
        p: its parameters and buffers before the step.
        x: what it was given.
        a: what it gave.
    """

    layer: Layer
    p: dict[str, Array]
    x: list[Array]
    a: Array


def met(evidence: Evidence, name: str, step: int) -> Met | None:
    """What a layer was given and gave; None where the trace does not have all of it."""
    scenario, batch = evidence.scenario, evidence.inputs.batch(step)
    layer, a = scenario.layer(name), evidence.recorded(f"forward/{name}", step)
    feeds = scenario.feeds()
    x = [
        evidence.recorded(f"forward/{feed}", step) if feed in feeds else batch.x.astype(np.float64)
        for feed in feeds[name]
    ]
    given = [value for value in x if value is not None]
    if a is None or len(given) < len(x):
        return None
    return Met(layer, parameters_of(scenario, name, evidence.state(step)), given, a)


def parameters_of(scenario: Scenario, layer: str, state: Mapping[str, Array]) -> dict[str, Array]:
    """A layer's parameters, be they another's, and buffers in a state, by their own names."""
    keys = {key: f"weight/{scenario.shared.get(key, key)}" for key in scenario.used()}
    keys |= {key: f"buffer/{key}" for key in scenario.buffers()}
    of_layer = {key: name for key, name in keys.items() if layer_of(key) == layer and name in state}
    return {key.partition(".")[2]: np.asarray(state[name], np.float64) for key, name in of_layer.items()}
