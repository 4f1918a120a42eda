"""How is an order read off a trace? By distances between what it has and what each candidate would give."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from isograd.changes.change import Rows
from isograd.inputs import Array

MOST = 10_000_000
"""Of more products of rows, candidates and outputs, no order is read off a trace: it would take seconds a step."""


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
