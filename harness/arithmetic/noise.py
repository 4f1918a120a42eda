"""Which noisy runs are there, and where does their noise come from? Pieces of one table of random numbers."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TABLE = 2**20
"""Places to take noise from."""

PIECE = 2**18
"""Elements that take their noise from one place; a larger tensor has several pieces."""

OPERATIONS = 4093
"""So many operations have places of their own, then the places come again. A prime, so that an operation has others at
every step."""

SMALL = 2**15
"""A result that has no more numbers than this in all runs gets its noise at once, a larger one run by run, so that what
is worked on fits the cache."""


def is_small(size: int, runs: int) -> bool:
    """Whether all runs of a result of ``size`` elements are moved at once."""
    return size * runs <= SMALL


@cache
def noise_scales(runs: int, factor: float) -> Floats:
    """How many times rounding's size the noise of each of the first runs is, once at the least; read-only."""
    scales = np.geomspace(1.0, max(1.0, factor), runs)
    scales.setflags(write=False)
    return scales


class Kind(Enum):
    """Noisy runs beside the one without noise: as many of each kind, the first before the second, or one kind alone.

    In the first kind every operation has noise; in the second only what libraries compute in ways of their own, and the
    rest rounds (`isograd.arithmetic.noisy.Noise`).
    """

    BOTH = (True, True)
    FIRST = (True, False)
    SECOND = (False, True)

    def number(self, runs: int) -> int:
        """How many noisy runs there are, for ``runs`` of each kind."""
        return runs * sum(self.value)

    def each(self, number: int) -> int:
        """How many runs of each kind there are, for so many noisy ones."""
        return number // sum(self.value)

    def among(self, runs: int) -> slice:
        """Which of 2 × ``runs`` these are."""
        first, second = self.value
        return slice(0 if first else runs, 2 * runs if second else runs)

    def scales(self, runs: int, factor: float) -> tuple[Floats, Floats]:
        """How many times rounding's size the noise of each run is: of the first kind, and of the second."""
        first, second = self.value
        return noise_scales(runs if first else 0, factor), np.ones(runs if second else 0)


@cache
def _table() -> Floats:
    """Uniform between ±1; read-only."""
    table = np.random.Generator(np.random.PCG64(0)).uniform(-1.0, 1.0, TABLE + PIECE)
    table.setflags(write=False)
    return table


@cache
def _windows(size: int) -> Floats:
    """All pieces of the table of one size, (TABLE, size), without a copy."""
    return np.lib.stride_tricks.as_strided(_table(), (TABLE, size), (8, 8), writeable=False)


@lru_cache(maxsize=4)  # a megabyte each, and another for each scenario
def _places(seed: int, runs: int) -> NDArray[np.int64]:
    return np.random.Generator(np.random.SFC64(seed)).integers(0, TABLE, (OPERATIONS, runs))


class Places:
    """The noise of one operation after another, for some of several runs.

    Args:
        seed: of the places.
        runs: how many runs there are.
        chosen: which of them are wanted.
    """

    def __init__(self, seed: int, runs: int, chosen: slice) -> None:
        self.places = _places(seed, runs)[:, chosen]
        self.operation = 0

    def noise(self, size: int, scales: Floats) -> Floats:
        """Noise for a small result of ``size`` elements, (runs, size), uniform between ± each run's scale."""
        noise = _windows(size)[self._next()]
        noise *= scales[:, np.newaxis]
        return noise

    def pieces(self, size: int, scales: Floats) -> Iterator[tuple[int, slice, Floats]]:
        """The same for a large one, run by run and piece by piece: the run, counted from 1, its elements, the noise.

        The noise is for the caller to change; it lies where the next will lie.
        """
        table, buffer = _table(), np.empty(min(size, PIECE))
        for start in range(0, size, PIECE):
            width = min(PIECE, size - start)
            for run, place in enumerate(self._next().tolist()):
                noise = np.multiply(table[place : place + width], scales[run], out=buffer[:width])
                yield 1 + run, slice(start, start + width), noise

    def _next(self) -> NDArray[np.int64]:
        places: NDArray[np.int64] = self.places[self.operation % OPERATIONS]
        self.operation += 1
        return places
