"""What would the origin have given at one step, had something been otherwise? And is that what another side gave?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isograd.inputs import Array
from isograd.patched import patched
from isograd.side.changes import CHANGES, OF_UPDATES, Change
from isograd.side.memory import PutBack
from isograd.side.solving import nearest
from isograd.side.training import Enough, Session

SHARE = 1e-4
"""A change accounts for a difference of which it leaves no more than this share: constants may be held in float32, and
a share of a difference is what that makes of it."""

ENOUGH = 16
"""Numbers that come right by no accident."""


@dataclass
class Origin:
    """The origin at one step, with what another side gave there.

    Attributes:
        session: its training.
        t: the step.
        state: the state before it.
        batch: its batch.
        target: the other side's quantities.
        bounds: how far each may be off.
        right: the origin's own quantities.
        previous: the state before the step before, and its batch: changes of updates act in that one too, and so in
            what is kept from it.
        roles: units that do what others do.
        kept: what puts back what modules keep beside the state, as it was before that step and the one before.
    """

    session: Session
    t: int
    state: Mapping[str, Array]
    batch: tuple[Any, Any]
    target: Mapping[str, Array]
    bounds: Mapping[str, Array]
    right: Mapping[str, Array] = field(default_factory=dict)
    previous: tuple[Mapping[str, Array], tuple[Any, Any]] | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[int, PutBack] = field(default_factory=dict)

    def step(self, changes: Sequence[Change]) -> dict[str, Array]:
        """The step's quantities, with changes."""
        batch = self.batch
        self.session.framework.recall(self.session.trainee, self.session.memories[self.t])
        twice = self.previous is not None and any(change["do"] in OF_UPDATES for change in changes)
        self.kept[self.t - twice]()
        with ExitStack() as stack:
            for change in changes:
                batch = stack.enter_context(CHANGES[change["do"]](self, change, batch)) or batch
            if twice and self.previous is not None:
                self.session.take(self.t - 1, self.previous[0])
                self.session.step(self.t - 1, self.previous[1])
            self.session.take(self.t, self.state)
            seen = self.session.step(self.t, batch)
            return {self.role(name): value for name, value in seen.items()} if self.roles else seen

    def first(self, name: str, changes: Sequence[Change] = ()) -> Array | None:
        """One quantity of it; where it is of the forward pass, or the loss, the step ends there."""
        with ExitStack() as stack:
            for change in changes:
                if change["do"] == "roles":
                    stack.enter_context(self.in_roles(change["at"]))
            self.session.until = self.role(name)
            try:
                return self.step([change for change in changes if change["do"] != "roles"]).get(name)
            except Enough:
                return self.session.loss if name == "loss" else self.session.forward[self.role(name)]
            finally:
                self.session.until = ""

    @contextmanager
    def in_roles(self, pairs: Sequence[tuple[str, str]]) -> Iterator[None]:
        """Within it, two units of each pair do what the other does, with its parameters, by its name."""
        roles = {unit: other for one, two in pairs for unit, other in ((one, two), (two, one))}
        with patched(self, roles=roles), patched(self, state={self.role(k): v for k, v in self.state.items()}):
            yield

    def role(self, name: str) -> str:
        """What a quantity is called while units are in each other's role."""
        kind, _, path = name.partition("/")
        for unit, other in self.roles.items():
            if path.startswith(unit) and path[len(unit) : len(unit) + 1] in ("", ".", ":", "["):
                return f"{kind}/{other}{path[len(unit) :]}"
        return name

    def fitted(
        self, first: str, changes: Callable[[Sequence[float]], Sequence[Change]], begin: Sequence[float] = ()
    ) -> tuple[list[float], list[str]]:
        """The numbers with which changes give what is nearest to the other side's first quantity; and what they leave.

        Most changes do not give that quantity: then it is all that is said to be outside, and nothing more is computed.

        Args:
            first: that quantity.
            changes: the changes, with numbers.
            begin: the numbers from which on they are solved for; () where there are none.
        """
        with np.errstate(all="ignore"):
            x = nearest(lambda x: self.first(first, changes(x)), self.target[first], begin) if begin else []
            if first.startswith("forward/") or (first == "loss" and self.session.trainee.train_step is None):
                value = self.first(first, changes(x))
                if value is None or not self.inside(first, value):
                    return x, [first]
            return x, self.outside(self.step(changes(x)))

    def outside(self, seen: Mapping[str, Array]) -> list[str]:
        """Which quantities are not the other side's, in order."""
        return [name for name in self.bounds if not self._is_seen(name, seen)]

    def _is_seen(self, name: str, seen: Mapping[str, Array]) -> bool:
        value = seen.get(name)
        if value is None and name.startswith("state/"):  # without a gradient, a parameter has no slots to begin with
            value = np.zeros_like(self.target[name])
        return value is not None and self.inside(name, value)

    def inside(self, name: str, value: Array) -> bool:
        """Whether one quantity is the other side's."""
        target, right = self.target[name], self.right.get(name)
        if value.shape != target.shape:
            return False
        with np.errstate(invalid="ignore"):
            rest = np.abs(value - target)
            if (rest <= self.bounds[name] * self._larger(name, value)).all():
                return True
            whole = np.abs(right - target).max() if right is not None else 0.0
            return bool(np.isfinite(whole) and rest.max() <= SHARE * whole)

    def _larger(self, name: str, value: Array) -> float:
        """How many times as large a quantity is as it was: so much further off may it be."""
        right = np.abs(self.right[name]).max(initial=0.0) if name in self.right else 0.0
        with np.errstate(invalid="ignore", divide="ignore"):
            larger = np.abs(value).max(initial=0.0) / right
        return float(larger) if np.isfinite(larger) and larger > 1 else 1.0

    def comes_right(self, first: str, outside: Sequence[str]) -> bool:
        """Whether a quantity is right, and all before it, where these are outside; a number can be so by accident."""
        if not outside:
            return True
        return self.target[first].size >= ENOUGH and self.reach(outside) > list(self.bounds).index(first)

    def reach(self, outside: Sequence[str]) -> int:
        """How many quantities, in order, are right before the first that is not."""
        return list(self.bounds).index(outside[0]) if outside else len(self.bounds)


Found = tuple[str, list[str]]
"""What may account for a difference, in words, and what it leaves."""


def better(origin: Origin, one: Found | None, other: Found) -> Found:
    """Of two that leave something, the one that leaves it later; the first of equals."""
    return other if one is None or origin.reach(other[1]) > origin.reach(one[1]) else one
