"""What is known of a port's first divergence: what both sides gave at that step, and from what they started?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isograd.inputs import Array
from isograd.ports.settings import Different
from isograd.structure import Structure, Unit

Change = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """Something that may be otherwise there.

    Attributes:
        sentence: what is said if it is, in the user's words; ``{x}`` stands for the number that was solved for.
        changes: what the origin is to do (`isograd.side.trial`).
        plain: the value that changes nothing; a solved one that is it is no cause.
        beside: parameters of which nothing is compared: they are arranged otherwise there, and so is all of them.
    """

    sentence: str
    changes: tuple[Change, ...]
    plain: float | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guilty:
    """A port's first divergence, and everything at that step.

    Attributes:
        first: the quantity.
        step: the step.
        target: what the port gave.
        truth: what the origin gives.
        before: the state before the step.
        earlier: what the port gave a step before; {} at the first.
        bounds: how far each quantity may be off, in order; only those that are compared.
        origin: what the origin is made of.
        settings: what is set otherwise.
        rates: the learning rate of every step, there and here.
        losses: the first quantity's numbers in every step, likewise; of interest where it is a loss.
        there: what the other side is made of.
        calls: the units with parameters that a step calls, in order, here and there, by the origin's names.
        clips: whether gradients are clipped by their norm alone there, as they are in ``truth``.
        kept: buffers that the other side's code makes otherwise, by the origin's names.
    """

    first: str
    step: int
    target: Mapping[str, Array]
    truth: Mapping[str, Array]
    before: Mapping[str, Array]
    earlier: Mapping[str, Array]
    bounds: Mapping[str, Array]
    origin: Structure
    settings: Sequence[Different]
    rates: tuple[Array, Array] = field(default_factory=lambda: (np.zeros(0), np.zeros(0)))
    losses: tuple[Array, Array] = field(default_factory=lambda: (np.zeros(0), np.zeros(0)))
    there: Structure | None = None
    calls: tuple[Sequence[str], Sequence[str]] = ((), ())
    clips: bool = False
    kept: Sequence[str] = ()

    @property
    def kind(self) -> str:
        """What sort of quantity is first."""
        return self.first.partition("/")[0]

    @property
    def unit(self) -> Unit | None:
        """The unit that it belongs to."""
        name = self.first.partition("/")[2]
        of = self.origin.of
        name = name.partition(":")[0].partition("[")[0]
        while name and name not in of:
            name = name.rpartition(".")[0]
        return of.get(name)

    def outside(self) -> list[str]:
        """Everything that differs, in order."""
        return [n for n, bound in self.bounds.items() if not (np.abs(self.target[n] - self.truth[n]) <= bound).all()]

    def until_update(self) -> list[str]:
        """Of that, what comes before the first update: what comes after it may differ for what the update did."""
        names = list(self.bounds)
        end = next((i for i, name in enumerate(names) if name.partition("/")[0] in ("state", "weight")), len(names))
        before = set(names[:end])
        return [name for name in self.outside() if name in before]
