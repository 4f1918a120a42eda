"""What does a first change leave wrong, and could a second one beside it put that right?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isograd.changes.change import Change
from isograd.explanation.trial import Trying
from isograd.inputs import Array
from isograd.judging import UNMOVED

ASKEW = 0.9
"""A second change whose effect leaves more than this part of what is missing, whatever its size, is not solved for."""

ROOM = 10.0
"""How many bounds a multiple of an effect may move what comes before: it need not be linear."""

HALF_WAY = 0.5
"""One that has nothing to solve for, and leaves more than this part, is not tried."""


@dataclass
class Missing:
    """What a first change leaves wrong, and a second one beside it must put right.

    Attributes:
        trying: where they are tried.
        first: the first change.
        name: what it leaves wrong at the first step there.
    """

    trying: Trying
    first: Change
    name: str

    def __post_init__(self) -> None:
        rerun, step = self.trying.rerun, self.trying.first
        self.step = int(step[0])
        self.limit, self.weight = rerun.local.limit, rerun.weights(rerun.names, step)
        self.starts, which = rerun.starts(rerun.names, step), rerun.names.index(self.name)
        self.its = slice(self.starts[which], [*self.starts, len(self.weight)][which + 1])
        self.left = rerun.as_held(self.first, rerun.names, step)
        self.wanted = (rerun.recorded(rerun.names, step) - self.left) * self.weight
        self.sizes = sizes(self.wanted, self.starts)
        outside = ~(np.maximum.reduceat(np.abs(self.wanted), self.starts) <= self.limit)
        self.begins = int(np.argmax(outside)) if outside.any() else which

    def moves(self, both: Change) -> bool:
        """Whether two changes move it by more than half its bound from where the first one leaves it."""
        return _most(self._effect(both)[self.its]) > self.limit / 2

    def lies_elsewhere(self, moved: Array, values: int) -> bool:
        """Whether a change moves nothing by itself, or other quantities than those in which something is missing.

        All that comes before the first of these is right with the first change: a second one leaves it as it is.

        Args:
            moved: how far it moves each quantity.
            values: how many of its options would be solved for.
        """
        if not moved.max(initial=0.0) > UNMOVED:
            return not values
        before, there = moved[: self.begins].max(initial=0.0), moved[self.begins]
        if values == 1 and there:  # as much of it as puts right what is missing
            before *= self.sizes[self.begins] / there / ROOM
        return bool(values < 2 and before > self.limit) or is_askew(self.sizes, moved)

    def could_come_right(self, both: Change, values: int) -> bool:
        """Whether two changes can put it right, and the step with it: by what they move, or by a multiple of that.

        Args:
            both: the two, the second one's options at their usual values.
            values: how many of those would be solved for.
        """
        effect = self._effect(both)
        if not _most(effect[self.its]) > (UNMOVED if values else self.limit / 2):
            return False
        if values > 1:
            return True
        if values:  # most effects are linear; the others are so far from it seldom
            return not is_askew(self.wanted, effect)
        rest, wanted = (self.wanted - effect)[self.its], self.wanted[self.its]
        return _most(rest) <= max(self.limit, HALF_WAY * _most(wanted))

    def _effect(self, both: Change) -> Array:
        """What two changes move the step by from where the first one leaves it, in envelopes."""
        rerun, step = self.trying.rerun, self.trying.first
        moved = rerun.as_held(both, rerun.names, step)
        alike = (moved == self.left) | (np.isnan(moved) & np.isnan(self.left))
        return np.asarray(np.where(alike, 0.0, (moved - self.left) * self.weight))


def sizes(effect: Array, starts: Array) -> Array:
    """How large each quantity's part of an effect is."""
    return np.sqrt(np.add.reduceat(effect * effect, starts)) if len(starts) else effect


def is_askew(wanted: Array, effect: Array) -> bool:
    """Whether no multiple of an effect comes near to what is wanted; no where one of them is not finite."""
    if not (np.isfinite(wanted).all() and np.isfinite(effect).all()):
        return False
    along = effect * (effect @ wanted / (effect @ effect))
    return bool(np.linalg.norm(wanted - along) > ASKEW * np.linalg.norm(wanted))


def _most(off: Array) -> float:
    """The largest size of all, NaN counted as infinite."""
    return float(np.nan_to_num(np.abs(off), nan=np.inf).max(initial=0.0))
