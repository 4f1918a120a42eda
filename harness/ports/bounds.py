"""How far may a side be from its origin? As noise has shown, and for written reasons a little further."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isograd.columns import Each
from isograd.dtypes import FORMATS
from isograd.envelope import LARGE, LOUDEST, runs_for
from isograd.floors import floored, pooled
from isograd.inputs import Array
from isograd.ports.sides import Files, Work
from isograd.trace import Mode

NOISE, CONSTANTS, RATES, LEAST = "noise", "constants", "rates", "least"
"""What is allowed: rounding; and for written reasons constants that are held in float32, in float64 too; rounded bias
corrections; a softmax that never gives 0."""

COARSE = 2.0**-24
"""Of a tensor's largest, in float64: the envelope where nothing can be moved by noise. Frameworks keep constants in
float32, and so much is what it holds of them."""

THROUGH = 1e3
"""So many times: what a masked place lets through is multiplied by queries, keys and weights on its way; and of a
saturated softmax all of a tensor's gradient can be as small, so that it is a share of the largest of its kind. A chosen
margin, and a harmless one: 10³ exp(−64) = 1.6·10⁻²⁵ of that largest is 10⁹ times below what float64 resolves of it."""

FEW = 8
"""Noisy runs of an envelope that is asked for only where something known is to be told from what is not."""


@dataclass
class Bounds:
    """The envelopes of one port, each asked for once.

    Attributes:
        origin: the first side's work: its model is run with noise.
        spare: another for the same, at the same time; a large model is not in memory twice.
        files: where everything lies.
        batches: the batches' file.
        dtype: the origin's own.
        runs: noisy runs that make an envelope.
        factor: how many envelopes an element may be off.
        truth: the origin's quantities in each mode.
    """

    origin: Work
    spare: Work
    files: Files
    batches: Path
    dtype: str
    runs: int
    factor: float
    truth: Mapping[Mode, Mapping[str, Array]]
    asked: dict[tuple[Mode, str], Future[None]] = field(default_factory=dict)
    envelopes: dict[tuple[Mode, str], dict[str, Array]] = field(default_factory=dict)

    def begin(self, modes: Sequence[Mode], *, constants: bool) -> None:
        """Have the origin run with noise, which takes the longest of all.

        Args:
            modes: with that of its dtype.
            constants: with that of constants as well, since one of the sides will need it: another framework's.
        """
        small = all(self._elements(mode) <= LARGE for mode in modes)
        for mode in modes:
            self.asked[mode, NOISE] = self.ask(mode, spare=small and mode != modes[0])
        if constants:
            self.asked[modes[0], CONSTANTS] = self.ask(modes[0], CONSTANTS)

    def ask(self, mode: Mode, kind: str = NOISE, *, spare: bool = False) -> Future[None]:
        """How far noise moves everything."""
        runs, few = (runs_for(self._elements(mode), of) for of in (self.runs, FEW))
        options: dict[str, Any] = {
            NOISE: {"runs": runs, "noise": self.dtype, "factor": min(self.factor, LOUDEST)},
            CONSTANTS: {"runs": few, "noise": "float64", "factor": 1.0},
            RATES: {"runs": few, "noise": self.dtype, "factor": 1.0},
        }[kind]
        return (self.spare if spare else self.origin).ask(
            "envelope",
            batches=str(self.batches),
            initial=self.files["initial-0"],
            folder=str(self.files.folder),
            mode=mode,
            seed=0,
            constants=True,
            rates=kind == RATES,
            out=self.files[f"{kind}-{mode}"],
            **options,
        )

    def envelope(self, mode: Mode, kind: str = NOISE) -> dict[str, Array]:
        """How far noise of a kind moves each element at each step; {} where the origin cannot be moved by any."""
        if (mode, kind) not in self.envelopes:
            future = self.asked.get((mode, kind)) or self.ask(mode, kind)
            future.result()  # where the framework has no noise there is no file, and the report says so
            self.envelopes[mode, kind] = self.files.columns(f"{kind}-{mode}") or {}
        return self.envelopes[mode, kind]

    def of(
        self, mode: Mode, dtype: str, wanted: Sequence[str], kinds: Sequence[str] = (), least: float = 0.0
    ) -> Mapping[str, Array]:
        """How far rounding can push each element: as noise has shown, in units of the dtype; floored.

        Args:
            mode: free or resync.
            dtype: what was computed in.
            wanted: of which quantities.
            kinds: what else is allowed, for a written reason.
            least: what a softmax gives at least, as a share of the largest of a quantity's kind.
        """
        noise = self.envelope(mode)
        more = [self.envelope(mode, kind) for kind in kinds if kind != LEAST]
        share = FORMATS[dtype].roundoff / FORMATS[self.dtype].roundoff

        def bound(name: str) -> Array:
            column = np.asarray(self.truth[mode][name], np.float64)
            if name == "lr":
                return np.abs(column) * FORMATS[dtype].roundoff
            coarse = 0.0 if name in noise else COARSE * self._largest(mode, name)
            moved = noise[name] * share if name in noise else np.full_like(column, coarse)
            for other in more:  # a constant moves all of a tensor together, some of it by luck hardly at all
                moved = np.maximum(moved, pooled(other[name]) if name in other else 0.0)
            moved = floored(moved, column, dtype)
            return moved + THROUGH * least * self._largest(mode, name) if LEAST in kinds else moved

        return Each(tuple(wanted), bound)

    def _elements(self, mode: Mode) -> int:
        """Of the largest tensor of a step."""
        return max(math.prod(column.shape[1:]) for column in self.truth[mode].values())

    def _largest(self, mode: Mode, name: str) -> float:
        """Of a quantity; of gradients the largest of all, since some are 0 but for the rounding of others."""
        kind, slot = name.partition("/")[0], name.rpartition(".")[2] if name.startswith("state/") else ""
        like = [n for n in self.truth[mode] if n.startswith(f"{kind}/") and n.endswith(slot)] or [name]
        like = [name] if kind in ("forward", "buffer") else like
        return max(float(np.abs(self.truth[mode][other]).max(initial=0.0)) for other in like)
