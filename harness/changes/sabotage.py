"""What if a backend had this fault? Any backend, wrapped so that one change of the rules is in all that it does.

Named ``torch[fault=gradient_scale,by=1.00001]``: the entry point ``fault`` of the group ``isograd.wrappers``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isograd.backend import Backend, Session
from isograd.changes.catalogue import make_change
from isograd.changes.change import Both, Change
from isograd.changes.changed import ChangedSession
from isograd.changes.places import layer_of
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Batch, Inputs
from isograd.rules import Rules
from isograd.scenario import Scenario


def wrap(backend: Backend, options: Mapping[str, str]) -> Backend:
    """``backend`` with the fault that the options name; ValueError for a fault or an option that there is not.

    A second fault has its options with a 2: ``fault=labels_shifted,fault2=gradient_scale,by2=0.5``.
    """
    second = {key[:-1]: value for key, value in options.items() if key.endswith("2")}
    first = {key: value for key, value in options.items() if not key.endswith("2")}
    changes = [make_change(named.pop("fault", ""), named) for named in (first, second) if named]
    return Sabotaged(backend, changes[0] if len(changes) == 1 else Both(*changes))


class Sabotaged(Backend):
    """A backend with a change of the rules."""

    def __init__(self, inner: Backend, change: Change) -> None:
        self.inner, self.change = inner, change
        self.distribution, self.layers, self.losses = inner.distribution, inner.layers, inner.losses  # type: ignore[misc]
        self.optimizers, self.schedules, self.dtypes = inner.optimizers, inner.schedules, inner.dtypes  # type: ignore[misc]
        self.clippings = inner.clippings  # type: ignore[misc]
        self.deviations = inner.deviations  # type: ignore[misc]

    def environment(self) -> dict[str, str]:
        """The backend's, and the fault."""
        return self.inner.environment() | {"fault": repr(self.change)}

    def missing(self, scenario: Scenario) -> list[str]:
        """What the backend lacks."""
        return self.inner.missing(scenario)

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The backend's session, wrapped; ValueError for a place where the fault would do nothing."""
        for part in self.change.parts:
            if part.idle:
                raise ValueError(f"fault={part.id}: expected {' or '.join(part.needs)}; without, nothing is different")
            for option in ("at", "other"):
                place = getattr(part, option, "")
                places = dict.fromkeys(getattr(change, option, "") for change in part.variants(scenario))
                if place and place not in places:
                    known = ", ".join(filter(None, places)) or "none: it means nothing in this scenario"
                    raise ValueError(f"fault={part.id}: {option}: expected one of {known}; got {place!r}")
            layer, layers = getattr(part, "layer", ""), dict.fromkeys(map(layer_of, scenario.parameters()))
            if layer and layer not in layers:
                raise ValueError(f"fault={part.id}: layer: expected one of {', '.join(layers)}; got {layer!r}")
        return SabotagedSession(self.inner.session(scenario, inputs), self.change, scenario, inputs)


class SabotagedSession(Session):
    """Each step is the backend's own, plus what the change does to the rules on the same state and batch.

    The rules run in the scenario's dtype, so that the fault's numbers are rounded as such numbers are. Where they
    differ from those without the fault, what the backend's differ by from the latter is added; where they do not, the
    numbers are the backend's bits. Batches and states are changed before the backend sees them.
    """

    def __init__(self, inner: Session, change: Change, scenario: Scenario, inputs: Inputs) -> None:
        self.inner, self.change = inner, change
        self.dtype = FORMATS[scenario.dtype].dtype
        self.clean = Rules(scenario.dtype).session(scenario, inputs)
        arithmetic = change.arithmetic() or scenario.dtype
        self.changed = ChangedSession(scenario, inputs, change, arithmetic, outside=False)
        self.run = self.changed.run
        self.state: dict[str, Array] = {}
        self.load(0, inputs.initial)

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        """Take the state over, changed."""
        self.run.step = t
        self._take(t, self.change.loaded(self.run, state))

    @np.errstate(over="ignore", invalid="ignore", divide="ignore")
    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        """One step, with the fault."""
        self.run.step = t
        batch = self.run.batch(self.change)
        self.clean.load(t, self.state)
        self.changed.load(t, self.state)
        seen = {name: np.array(value) for name, value in self.inner.step(t, batch).items()}
        right, wrong = self.clean.step(t, batch), self.changed.step(t, batch)
        seen = {name: self._with_fault(name, value, right.get(name), wrong.get(name)) for name, value in seen.items()}
        reported = {name: value for name, value in seen.items() if value.shape == np.shape(right[name])}
        self._take(t + 1, {name: reported.get(name, seen[name].T) for name in self.state})
        return seen

    def _take(self, t: int, state: Mapping[str, Array]) -> None:
        self.state = {name: np.ascontiguousarray(value).reshape(value.shape) for name, value in state.items()}
        self.inner.load(t, self.state)

    def _with_fault(self, name: str, value: Array, right: Any, wrong: Any) -> Any:
        right, wrong = np.asarray(right), np.asarray(wrong, np.float64)
        if right.shape != wrong.shape:
            return wrong.astype(self.dtype)
        off = np.where((wrong == right) | (np.isnan(wrong) & np.isnan(right)), 0.0, wrong - right)
        moves = np.isfinite(off) & np.isfinite(value.astype(np.float64))  # what has overflowed has no rounding to keep
        error = value.astype(np.float64) - right
        before = self.state.get(name)
        smaller = _smaller(wrong, right)
        if before is not None:  # a smaller update has a smaller one too
            smaller = np.fmin(smaller, _smaller(wrong - before, right - before))
        faulty = np.where(moves, wrong + smaller * error, wrong).astype(self.dtype)
        return np.where(off == 0, value, faulty).astype(self.dtype)


def _smaller(wrong: Array, right: Array) -> Array:
    """How much smaller a rounding error is: as much as the number, and as the largest of its tensor; 0 has none."""
    with np.errstate(divide="ignore"):
        size = np.where(right == 0, 1.0, np.fmin(1.0, np.abs(wrong / right)))
    largest = np.abs(right).max(initial=0.0)
    return np.asarray(np.fmin(size, np.abs(wrong).max(initial=0.0) / largest) if largest else size)
