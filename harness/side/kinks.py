"""Where may a step go one of two ways by rounding, and no noisy run went the other? There one run is made to.

A ReLU's derivative jumps at 0, and a maximum's gradient goes to its winner alone: docs/judging.md, "A kink is a rule,
not luck".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum, auto
from pathlib import Path

import numpy as np

from isograd.columns import Columns, read_columns
from isograd.floors import floored
from isograd.framework import Kinks
from isograd.inputs import Array


class Pass(Enum):
    """What a training is for."""

    KEEP = auto()
    """Without noise: its gaps are kept."""
    STRAY = auto()
    """With noise: how far its gaps are from those, and which places have gone the other way."""
    TURN = auto()
    """Without noise, but that what can go the other way, and has in no other training, does."""


class Gaps(Kinks):
    """The gaps of each step: by how much a place, where an operation goes one of two ways, goes that way.

    A ReLU's are its inputs: where one is above 0 it goes one way, else the other. The framework gives them in the order
    of its operations; they come in the same order in every pass.

    Args:
        path: files are made whose names begin so.
        steps: how many there are.
        factor: how many envelopes a gap may be off.
        dtype: what the training is computed in.
    """

    def __init__(self, path: Path, steps: int, factor: float, dtype: str) -> None:
        self.factor, self.dtype = factor, dtype
        self.paths = {of: path.with_name(f"{path.name}-{of.name.lower()}") for of in (Pass.KEEP, Pass.STRAY)}
        self.columns = {of: Columns(path, steps) for of, path in self.paths.items()}
        self.now, self.t, self.scale = Pass.KEEP, 0, 1.0
        self.called = 0  # operations of the step so far
        self.kept: dict[str, Array] = {}
        self.strays: dict[str, Array] = {}
        self.seen: dict[str, Array] = {}

    def begin(self, now: Pass, scale: float = 1.0) -> bool:
        """Begin a pass, whose noise is so many times as large as rounding; whether there is anything to do in it."""
        if now is not self.now and self.now in self.columns:
            self.columns[self.now].close()
        self.now, self.scale = now, scale
        if now is not Pass.KEEP:
            self.kept = read_columns(self.paths[Pass.KEEP]) or {}
        if now is Pass.TURN:
            self.strays = (read_columns(self.paths[Pass.STRAY]) or {}) if self.kept else {}
        return now is not Pass.TURN or bool(self.strays)

    def end(self) -> None:
        """Remove the files."""
        self.kept, self.strays = {}, {}
        for path in self.paths.values():
            for file in (path, path.with_name(f"{path.name}.json")):
                file.unlink(missing_ok=True)

    @contextmanager
    def over(self, t: int) -> Iterator[None]:
        """Within it, gaps are those of a step."""
        self.t, self.seen, self.called = t, {}, 0
        yield
        if self.seen and self.now is Pass.KEEP:
            self.columns[self.now].put(t, self.seen)
        elif self.seen and self.now is Pass.STRAY:
            self.columns[self.now].raise_to(t, self.seen)

    def winners(self, winners: Array) -> Array:
        """As they were in the pass without noise."""
        name = f"{self.called} winners"
        if self.now is Pass.KEEP:
            self.seen[name] = winners
        kept = winners if self.now is Pass.KEEP else self._kept(name)
        return winners if kept is None or kept.shape != winners.shape else kept

    def turned(self, gaps: Array) -> Array | None:
        """In the last pass, those within their bound; the others take note."""
        name = str(self.called)
        self.called += 1
        if self.now is Pass.KEEP:
            self.seen[name] = gaps
            return None
        kept = self._kept(name)
        if kept is None or kept.shape != gaps.shape:
            return None
        if self.now is Pass.STRAY:
            with np.errstate(invalid="ignore"):
                off = np.abs(gaps - kept) / self.scale
            self.seen[name] = np.where(np.isfinite(off), off, 0.0)
            self.seen[f"{name} other"] = (gaps > 0) != (kept > 0)
            return None
        if name not in self.strays:
            return None
        strays = np.array(self.strays[name][self.t])
        bound = self.factor * floored(strays[np.newaxis].copy(), kept[np.newaxis], self.dtype)[0]
        turned = (np.abs(kept) <= bound) & (strays > 0) & ~self.strays[f"{name} other"][self.t]
        turned &= (gaps > 0) == (kept > 0)  # what goes the other way already does so in the backward pass as well
        turned &= np.abs(gaps) <= bound  # and what has turned before has moved others
        return turned if turned.any() else None

    def _kept(self, name: str) -> Array | None:
        column = self.kept.get(name)
        return None if column is None else np.array(column[self.t])
