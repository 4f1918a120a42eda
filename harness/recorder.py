"""What does one scenario on one backend produce, step by step? Copied once, into columns allocated once."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.backend import Backend
from harness.inputs import Array, Inputs, fingerprint
from harness.quantities import quantity_shapes
from harness.scenario import Scenario
from harness.trace import Manifest, Mode, Trace

States = Mapping[str, Array]
"""Resync: "layer.param" to the state before each step, (steps, *shape), in the scenario's dtype."""


class RecordError(Exception):
    """A backend that changes, from one step to the next, what it returns."""


def recorded_steps(steps: int, every: int) -> NDArray[np.int64]:
    """Steps 0, every, 2 · every, …, and always the last."""
    return np.unique(np.append(np.arange(0, steps, every), steps - 1))


def record_here(
    backend: Backend,
    name: str,
    scenario: Scenario,
    inputs: Inputs,
    *,
    states: States | None = None,
    every: int = 1,
    quantities: str = "*",
) -> Trace:
    """Run ``scenario`` on ``backend`` in this process, and keep what it returns.

    Args:
        backend: the backend; its framework is imported here.
        name: the backend's name, for the manifest.
        scenario: what to run.
        inputs: the scenario's numbers.
        states: None to train freely; or the state to load before each step (resync).
        every: record every so many steps, and the last.
        quantities: globs, parted by commas, of the quantities to keep.

    Raises:
        RecordError: a quantity comes, goes, or changes its shape or dtype between steps.
    """
    steps = recorded_steps(inputs.steps, every)
    session = backend.session(scenario, inputs)
    columns = Columns(scenario, quantities, len(steps), inputs.batch_size)
    wanted, row = set(steps.tolist()), 0
    for step, (x, y) in enumerate(inputs.batches()):
        if states is not None:
            session.load({key: column[step] for key, column in states.items()})
        seen = session.step(x, y)
        if step in wanted:
            columns.keep(row, step, seen)
            row += 1
    manifest = manifest_of(backend, name, scenario, inputs, "free" if states is None else "resync")
    manifest = manifest.model_copy(update={"every": every, "pattern": quantities})
    return Trace(columns.frozen(), steps, manifest, inputs)


def manifest_of(backend: Backend, name: str, scenario: Scenario, inputs: Inputs, mode: Mode) -> Manifest:
    """Where a trace comes from, with the whole scenario, so that it can be judged again from its file alone."""
    return Manifest(
        scenario=scenario.name,
        fingerprint=fingerprint(scenario, inputs),
        backend=name,
        dtype=scenario.dtype,
        mode=mode,
        steps=inputs.steps,
        environment=backend.environment(),
        platform=platform.platform(),
        spec=scenario.model_dump(mode="json"),
    )


@dataclass
class Columns:
    """One array per quantity, steps leading, allocated when the first step shows dtype and shape."""

    scenario: Scenario
    pattern: str
    rows: int
    batch_size: int

    def __post_init__(self) -> None:
        self.expected = quantity_shapes(self.scenario, self.pattern)
        self.columns: dict[str, Array] = {}
        self.returned: frozenset[str] = frozenset()

    def keep(self, row: int, step: int, seen: Mapping[str, Array]) -> None:
        """Copy the step's quantities into row ``row``."""
        if not row:
            self._allocate(seen)
        if seen.keys() != self.returned:
            changed = sorted(seen.keys() ^ self.returned)
            raise RecordError(f"step {step}: {changed[0]} was {'lost' if changed[0] in self.returned else 'added'}")
        for name, column in self.columns.items():
            value = np.asarray(seen[name])
            if value.dtype != column.dtype:
                raise RecordError(f"step {step}: {name} became {value.dtype}; it was {column.dtype}")
            if value.shape == column.shape[1:]:
                column[row] = value
            elif value.ndim and value.shape[1:] == column.shape[2:] and self._is_smaller_batch(name, value):
                column[row, : len(value)] = value
            else:
                raise RecordError(f"step {step}: {name} has shape {value.shape}; it had {column.shape[1:]}")

    def frozen(self) -> dict[str, Array]:
        """The columns, read-only from now on."""
        for column in self.columns.values():
            column.setflags(write=False)
        return self.columns

    def _allocate(self, seen: Mapping[str, Array]) -> None:
        self.returned = frozenset(seen)
        extra = [name for name in seen if name not in quantity_shapes(self.scenario)]
        for name in [*self.expected, *extra]:
            if name in seen:
                value = np.asarray(seen[name])
                self.columns[name] = np.zeros((self.rows, *value.shape), value.dtype)

    def _is_smaller_batch(self, name: str, value: Array) -> bool:
        shape = self.expected.get(name, ())
        return bool(shape) and shape[0] is None and len(value) < self.batch_size
