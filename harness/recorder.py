"""What does one scenario on one backend produce, step by step? Copied once, into columns allocated once."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.backend import Backend
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Inputs, fingerprint
from isograd.ops.op import Op
from isograd.quantities import quantity_shapes
from isograd.scenario import Scenario
from isograd.trace import FLOATS, INPUTS, STEPS, Known, Manifest, Mode, Trace
from isograd.words import clean, clipped, said_of

NAMES = 10_000  # quantities of a step
NAME = 200  # characters of a quantity's name
FACTS = 200  # lines of an environment
PLAIN = frozenset({np.ndarray, np.float16, np.float32, np.float64})  # what needs no look before it is copied

States = Mapping[str, Array]
"""Resync: the state before each step by quantity, (steps, *shape), in the scenario's dtype."""


class RecordError(Exception):
    """A backend that returns what is no quantity, or changes from one step to the next what it returns."""


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

    The backend is given copies, of the inputs once and of each step's batch and state: what it writes into them is in
    its own next numbers, and neither in what is stored nor in what another step or run is given.

    Args:
        backend: the backend; its framework is imported here.
        name: the backend's name, for the manifest.
        scenario: what to run.
        inputs: the scenario's numbers.
        states: None to train freely; or the state to load before each step (resync).
        every: record every so many steps, and the last.
        quantities: globs, parted by commas, of the quantities to keep.

    Raises:
        RecordError: a step returns something else than named arrays of floats; or a quantity comes, goes, or changes
            its shape or dtype between steps.
    """
    steps = recorded_steps(inputs.steps, every)
    session = backend.session(scenario, _copied(inputs))
    columns = Columns(scenario, quantities, len(steps), inputs.batch_size)
    wanted, row = set(steps.tolist()), 0
    for step, batch in enumerate(inputs.batches()):
        if states is not None:
            session.load(step, {key: np.array(column[step]) for key, column in states.items()})
        seen = session.step(step, batch)
        if step in wanted:
            columns.keep(row, step, seen)
            row += 1
    manifest = manifest_of(backend, name, scenario, inputs, "free" if states is None else "resync")
    manifest = manifest.model_copy(update={"every": every, "pattern": quantities})
    return Trace(columns.frozen(), steps, manifest, inputs)


def _copied(inputs: Inputs) -> Inputs:
    return Inputs.from_arrays({name: np.array(values) for name, values in inputs.arrays().items()})


def environment_of(backend: Backend) -> dict[str, str]:
    """What a backend says of its environment, as text that a file can hold.

    Raises:
        RecordError: it is no mapping from text to text.
    """
    said = backend.environment()
    if not isinstance(said, Mapping) or not all(isinstance(text, str) for pair in said.items() for text in pair):
        raise RecordError(f"environment(): expected a dict from text to text; got {clipped(repr(said), NAME)}")
    return {clipped(clean(key)): clipped(clean(value)) for key, value in list(said.items())[:FACTS]}


def manifest_of(backend: Backend, name: str, scenario: Scenario, inputs: Inputs, mode: Mode) -> Manifest:
    """Where a trace comes from, with the whole scenario, so that it can be judged again from its file alone."""
    return Manifest(
        scenario=scenario.name,
        fingerprint=fingerprint(scenario, inputs),
        backend=name,
        dtype=scenario.dtype,
        mode=mode,
        steps=inputs.steps,
        environment=environment_of(backend),
        platform=platform.platform(),
        spec=scenario.model_dump(mode="json"),
        deviation=_known(backend, scenario),
    )


def _known(backend: Backend, scenario: Scenario) -> Known | None:
    """What the backend is known to do otherwise on this scenario; None: nothing."""
    found = [
        (deviation, where)
        for op in scenario.ops
        for deviation in backend.deviations.get(op.kind, ())
        if deviation.when(op, scenario.dtype)
        for where in _where(deviation.quantity, op, scenario)
    ]
    if not found:
        return None
    told = dict.fromkeys(clipped(clean(deviation.reason)) for deviation, _ in found)
    follows = dict.fromkeys(glob.replace("{op}", "*") for deviation, _ in found for glob in deviation.follows)
    always = all(deviation.always for deviation, _ in found)
    names = tuple(dict.fromkeys(name for _, name in found))
    kept = [deviation.kept_in for deviation, _ in found if deviation.kept_in]
    other = [(name, *(glob.replace("{op}", "*") for glob in d.follows)) for d, name in found if not d.kept_in]
    return Known(
        quantities=names,
        follows=tuple(follows),
        reason="; ".join(told),
        always=always,
        kept_in=max(kept, key=lambda dtype: FORMATS[dtype].roundoff, default=""),
        apart=tuple(dict.fromkeys(chain.from_iterable(other))),
    )


def _where(quantity: str, op: Op, scenario: Scenario) -> list[str]:
    """The glob with the operation's name in it, and that of the layer below; of a group its parameters' alone."""
    name = getattr(op, "name", "")
    of = next((of for of in scenario.of_groups() if of.optimizer is op), None)
    if of is not None:
        return [
            quantity.replace("/*", f"/{key}" + (".*" if quantity.startswith("state/") else "")) for key in of.parameters
        ]
    return [quantity.format(op=name, below=(scenario.feeds()[name] or ("",))[0] if name else "")]


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
        self.kept: list[tuple[str, Array, np.dtype[Any], tuple[int, ...]]] = []
        self.returned: frozenset[str] = frozenset()

    def keep(self, row: int, step: int, seen: Mapping[str, Array]) -> None:
        """Copy the step's quantities into row ``row``."""
        if not isinstance(seen, Mapping):
            raise RecordError(f"step {step}: expected a dict from quantity to array; got {type(seen).__name__}")
        if not row:
            self._allocate(step, seen)
        if seen.keys() != self.returned:
            changed = min(map(str, seen.keys() ^ self.returned))
            raise RecordError(f"step {step}: {changed} was {'lost' if changed in self.returned else 'added'}")
        for name, column, dtype, shape in self.kept:
            value = seen[name]
            if value.__class__ in PLAIN and value.dtype is dtype and value.shape == shape:
                column[row] = value
                continue
            value = _array(step, name, value)
            if value.dtype != dtype:
                raise RecordError(f"step {step}: {name} became {value.dtype}; it was {dtype}")
            if value.shape == shape:
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

    def _allocate(self, step: int, seen: Mapping[str, Array]) -> None:
        self.returned = frozenset(seen)
        extra = [name for name in seen if name not in quantity_shapes(self.scenario)]
        if len(extra) > NAMES:
            raise RecordError(f"step {step}: expected the quantities of a step; got {len(seen)}")
        for name in [*self.expected, *map(_extra, extra)]:
            if name in seen:
                value = _array(step, name, seen[name])
                if value.dtype not in FLOATS:
                    floats = ", ".join(str(dtype) for dtype in FLOATS)
                    raise RecordError(f"step {step}: {name}: expected an array of {floats}; got {value.dtype}")
                self.columns[name] = np.zeros((self.rows, *value.shape), value.dtype)
        self.kept = [(name, column, column.dtype, column.shape[1:]) for name, column in self.columns.items()]

    def _is_smaller_batch(self, name: str, value: Array) -> bool:
        shape = self.expected.get(name, ())
        return bool(shape) and shape[0] is None and len(value) < self.batch_size


def _array(step: int, name: str, value: object) -> Array:
    try:
        return np.asarray(value)
    except Exception as error:  # whatever a framework says that cannot give an array
        kind = type(value).__name__
        raise RecordError(f"step {step}: {name}: expected an array; got {kind}: {said_of(error)}") from error


def _extra(name: object) -> str:
    """The name of a quantity that the scenario does not have, if a file can hold one of that name."""
    if isinstance(name, str) and 0 < len(name) <= NAME and name.isprintable() and clean(name) == name:
        taken = name == STEPS or name.startswith((INPUTS, "__"))  # those have a meaning in a trace file
        if not taken:
            return name
    raise RecordError(f"expected names of quantities, as in 'grad/hidden.weight'; got {clipped(repr(name), NAME)}")
