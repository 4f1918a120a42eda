"""How is one side loaded, trained step by step, and watched?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from isograd.framework import Framework, Trainee, as_floats, called
from isograd.inputs import Array
from isograd.patched import patched
from isograd.side.memory import PutBack, remembered
from isograd.side.program import PortError, building, framework_of, function_of, trainee_of
from isograd.side.units import Held, units_of
from isograd.structure import Call

Values = dict[str, Array]


SEEDS = 1_000_003
"""Steps that no training has: seeds of one are not those of another."""


class Enough(BaseException):  # no Exception: a user's code that catches those is not to catch it
    """A step is to end here: what was asked for has come."""


DRAWN = "drawn/"
"""What is in an initial state only: what a model draws when it is built and no step records, as whole numbers."""


@dataclass(frozen=True)
class Names:
    """How this side's units and parameters are called on the first side; None: as they are called here.

    Attributes:
        units: of units that are compared.
        params: of parameters and buffers.
        swapped: parameters whose last two axes are the other way round there.
        kept: buffers that stay as this side's code has made them.
        drawn: of buffers that are not recorded and that both sides draw, which is which on the first side.
        rate: the parameter, by the first side's name, whose learning rate is told; "" for the first in the alphabet.
    """

    units: Mapping[str, str] | None = None
    params: Mapping[str, str] | None = None
    swapped: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    rate: str = ""
    drawn: Mapping[str, str] = field(default_factory=dict)

    def unit(self, name: str) -> str | None:
        """A unit's name; None where it has no counterpart."""
        return name if self.units is None else self.units.get(name)

    def param(self, key: str) -> str | None:
        """A parameter's, likewise."""
        return key if self.params is None else self.params.get(key)

    def passing(self, key: str) -> str | None:
        """A drawn buffer's that is not recorded, likewise."""
        return key if self.params is None else self.drawn.get(key)


@dataclass
class Session:
    """A model in training, in one dtype.

    Attributes:
        framework: its framework.
        trainee: what the user's function has built.
        dtype: what it is computed in.
        names: what its quantities are called.
    """

    framework: Framework
    trainee: Trainee
    dtype: str
    names: Names = Names()
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.units = units_of(self.framework, self.trainee.model)
        self.forward: Values = {}
        self.backward: Values = {}
        self.passed: set[str] = set()
        self.grads: Values = {}
        self.times: dict[str, int] = {}
        self.until = ""  # the quantity of the forward pass, or the loss, after which a step ends with `Enough`
        self.loss: Array | None = None
        self.memories: dict[int, Any] = {}
        params: dict[str, Held] = {}
        tied: dict[str, str] = {}
        for held in (held for unit in self.units for held in unit.params()):
            if held.key in self.names.swapped:
                held = replace(held, part=replace(held.part, swap=not held.part.swap))
            first = next((key for key, other in params.items() if _same(other, held)), None)
            if first is None:
                params[held.key] = held
            else:
                tied[held.key] = first
        self.params, self.tied = params, tied
        self.begins: PutBack | None = None  # what modules keep beside the state, as the first run began
        for unit in self.units:
            self.framework.on_forward(unit.module, self._seen(unit.name))
        self.phases: dict[str, int] = {}  # before which update a quantity came; where there are several optimizers
        self.updated: list[Any] = []
        for optimizer in self.trainee.optimizers.values():
            self.framework.on_update(optimizer, partial(self._before_update, optimizer))

    # ------------------------------------------------------------ what is seen

    def _seen(self, unit: str) -> Callable[[list[Any]], None]:
        name = self.names.unit(unit)

        def see(outputs: list[Any]) -> None:
            self.calls.append(Call(name=unit, outputs=tuple(tuple(tensor.shape) for tensor in outputs)))
            if name is None:
                return
            time = self.times[unit] = self.times.get(unit, 0) + 1
            call = name if time == 1 else f"{name}:{time}"
            for at, tensor in enumerate(outputs):
                key = call if at == 0 else f"{call}[{at}]"
                self.forward[f"forward/{key}"] = self.framework.array(tensor)
                self.framework.on_gradient(tensor, self._gradient(f"backward/{key}"))
                if self.until == f"forward/{key}":
                    raise Enough

        return see

    def _gradient(self, key: str) -> Callable[[Any], None]:
        def see(gradient: Any) -> None:
            if key in self.passed:  # what comes by in which pass, where there are several, frameworks do not agree upon
                self.backward.pop(key, None)
            elif gradient is not None:  # as of an output that a penalty's gradient passes by
                self.backward[key] = self.framework.array(gradient)
            self.passed.add(key)

        return see

    def _before_update(self, optimizer: Any, clipped: Mapping[int, Array]) -> None:
        """Gradients of what an optimizer has, each before its first update; None: of all that is left."""
        mine = None if optimizer is None else self._ids(optimizer)
        for key, held in self.params.items():
            if key in self.grads or (mine is not None and id(held.tensor) not in mine):
                continue
            gradient = clipped.get(id(held.tensor))
            gradient = self.framework.gradient(held.tensor) if gradient is None else gradient
            if gradient is not None:
                self.grads[key] = held.part.read(gradient)
        if optimizer is not None:
            for name in (*self.forward, *self.backward, *(f"grad/{key}" for key in self.grads)):
                self.phases.setdefault(name, len(self.updated))
            if optimizer not in self.updated:
                self.updated.append(optimizer)

    # ------------------------------------------------------------ state

    @property
    def buffers(self) -> dict[str, Held]:
        """Buffers that are recorded, as their modules hold them now: a step may have put others there."""
        return {held.key: held for unit in self.units for held in unit.buffers()}

    def passing(self) -> dict[str, Any]:
        """Buffers of a user's own modules that are not recorded: whole numbers, flags, what no file keeps."""
        return {
            f"{path}.{name}": tensor
            for path, module in self.framework.modules(self.trainee.model)
            if not self.framework.made(module)
            for name, tensor in self.framework.held_buffers(module).items()
            if tensor is not None and name not in self.framework.direct_buffers(module)
        }

    def begin(self) -> None:
        """What modules keep beside the state is as when the first run began."""
        if self.begins is None:
            self.begins = remembered(self.framework, self.trainee)
        else:
            self.begins()

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        """Take a state over, by the first side's names; what it does not name stays, but for a run's beginning."""
        if not t:
            self.begin()
        self.take(t, state)

    def take(self, t: int, state: Mapping[str, Array]) -> None:
        """The same of what is recorded alone."""
        whole: dict[int, tuple[Any, Array]] = {}
        for kind, held in (("weight", self.params), ("buffer", self.buffers)):
            for key, one in held.items():
                value = state.get(f"{kind}/{self.names.param(key)}")
                if value is not None and key not in self.names.kept:
                    _, array = whole.setdefault(id(one.tensor), (one.tensor, self.framework.array(one.tensor)))
                    one.part.write(array, value)
        for tensor, array in whole.values():
            self.framework.copy_into(tensor, array)
        for key, tensor in self.passing().items() if not t else ():
            drawn = state.get(f"{DRAWN}{self.names.passing(key)}")
            if drawn is not None and drawn.shape == tuple(tensor.shape):
                self.framework.copy_into(tensor, drawn)
        self._load_slots(t, state)
        if t in self.memories:
            self.framework.recall(self.trainee, self.memories[t])

    def _load_slots(self, t: int, state: Mapping[str, Array]) -> None:
        for optimizer, held in self._optimized:
            if not t:
                continue
            self.framework.begin_slots(optimizer, held.tensor)
            for slot, tensor in self.framework.slots(optimizer, held.tensor).items():
                value = state.get(f"state/{self.names.param(held.key)}.{slot}")
                if value is not None:
                    array = self.framework.array(tensor)
                    held.part.write(array.reshape(tuple(held.tensor.shape)), value)
                    self.framework.copy_into(tensor, array)
        for optimizer in self.trainee.optimizers.values():
            self.framework.count(optimizer, t)

    @cached_property
    def _optimized(self) -> list[tuple[Any, Held]]:
        """Every parameter with the optimizer that has it."""
        has = [(optimizer, self._ids(optimizer)) for optimizer in self.trainee.optimizers.values()]
        return [(opt, held) for held in self.params.values() for opt, ids in has if id(held.tensor) in ids]

    def _ids(self, optimizer: Any) -> set[int]:
        return set(map(id, self.framework.parameters(optimizer)))

    def state(self) -> Values:
        """Parameters, slots and buffers as they are."""
        out: Values = {}
        for optimizer, held in self._optimized:
            name = self.names.param(held.key)
            for slot, tensor in self.framework.slots(optimizer, held.tensor).items() if name else ():
                whole = self.framework.array(tensor).reshape(tuple(held.tensor.shape))
                out[f"state/{name}.{slot}"] = np.array(held.part.read(whole))
        for kind, of in (("weight", self.params), ("buffer", self.buffers)):
            for key, held in of.items():
                if name := self.names.param(key):
                    out[f"{kind}/{name}"] = np.array(held.part.read(self.framework.array(held.tensor)))
        return out

    # ------------------------------------------------------------ a step

    def step(self, t: int, batch: tuple[Any, Any], seed: int = 0) -> Values:
        """One step, and its quantities, by the first side's names; what is drawn in it is drawn by the seed."""
        self.memories.setdefault(t, self.framework.remember(self.trainee))
        for seen in (self.forward, self.backward, self.passed, self.grads, self.times, self.phases):
            seen.clear()
        self.calls.clear()
        self.updated.clear()
        self.framework.seed(SEEDS * seed + t)
        lr = self._rate()
        tensors = tuple(self._tensors(as_floats(part, self.dtype)) for part in batch)
        stepped = list[bool]()
        with (
            _watched(self.trainee.schedule, stepped),
            self.framework.building(self.dtype),
        ):  # what a step makes anew, states to begin with
            if self.until == "loss" and self.trainee.train_step is None:
                self.loss = self._number(called(self.trainee, *tensors))
                raise Enough
            if self.trainee.train_step:
                given = self.trainee.train_step(self.trainee.model, self.trainee.loss, self.trainee.given, tensors)
            else:
                given = self.framework.step(self.trainee, *tensors)
        self._before_update(None, {})
        losses = self._losses(given)
        if self.trainee.schedule is not None and not stepped:
            _advance(self.trainee.schedule, losses)
        grads = {
            f"grad/{name}": np.array(self.grads[key] if key in self.grads else np.zeros_like(self._value(held)))
            for key, held in reversed(self.params.items())
            if (name := self.names.param(key))
        }
        backward = {key: self.backward[key] for key in reversed(self._forward_order()) if key in self.backward}
        seen = {"lr": lr} | self.forward | losses | backward | grads | self.state()
        return seen if len(self.trainee.optimizers) == 1 else self._by_updates(seen)

    def _rate(self) -> Array:
        """The learning rate of one parameter, that both sides have."""
        of = {id_: rate for opt in self.trainee.optimizers.values() for id_, rate in self.framework.rates(opt).items()}
        rates = {
            name: of[id(p.tensor)]
            for key, p in self.params.items()
            if (name := self.names.param(key)) and id(p.tensor) in of
        }
        name = self.names.rate if self.names.rate in rates else min(rates, default="")
        return np.asarray(rates.get(name, 0.0), self.dtype)

    def _by_updates(self, seen: Values) -> Values:
        """In the order in which they came, where a step has several updates: what each of them changes after it.

        Losses are taken to be one for each update, in the order in which the user's step gives them.
        """
        losses = [name for name in seen if name.partition("/")[0] == "loss"]
        of_state = {
            self.names.param(held.key): at
            for at, optimizer in enumerate(self.updated)
            for held in self.params.values()
            if id(held.tensor) in self._ids(optimizer)
        }

        def phase(name: str) -> int:
            kind, _, key = name.partition("/")
            if name == "lr":
                return -1
            if kind == "loss":
                return min(losses.index(name), max(0, len(self.updated) - 1))
            if kind in ("weight", "grad"):
                return of_state.get(key, len(self.updated))
            if kind == "state":
                return of_state.get(key.rpartition(".")[0], len(self.updated))
            return self.phases.get(name, len(self.updated)) if kind != "buffer" else len(self.updated)

        return {name: seen[name] for name in sorted(seen, key=phase)}

    def _forward_order(self) -> list[str]:
        return [key.replace("forward/", "backward/", 1) for key in self.forward]

    def _value(self, held: Held) -> Array:
        return held.part.read(self.framework.array(held.tensor))

    def _losses(self, given: Any) -> Values:
        if isinstance(given, Mapping):
            return {f"loss/{name}": self._number(value) for name, value in given.items()}
        if given is None:
            return {}
        return {"loss": self._number(given[0] if isinstance(given, (tuple, list)) else given)}

    def _number(self, loss: Any) -> Array:
        if not self.framework.is_tensor(loss):
            return np.asarray(loss, self.dtype)
        array = self.framework.array(loss)
        if array.size != 1:
            raise PortError(f"expected a loss of one number; got shape {array.shape}")
        return array.reshape(())

    def _tensors(self, values: Any) -> Any:
        if isinstance(values, Mapping):
            return {name: self._tensors(value) for name, value in values.items()}
        if isinstance(values, tuple):
            return tuple(map(self._tensors, values))
        return values if values is None else self.framework.tensor(values)


def _same(one: Held, other: Held) -> bool:
    return one.tensor is other.tensor and one.part.rows == other.part.rows


@contextmanager
def _watched(schedule: Any, stepped: list[bool]) -> Iterator[None]:
    """Within it, whoever steps a schedule is noted."""
    own = getattr(schedule, "step", None)
    if own is None:
        yield
        return

    def step(*args: Any, **options: Any) -> Any:
        stepped.append(True)
        return own(*args, **options)

    with patched(schedule, step=step):
        yield


def _advance(schedule: Any, losses: Values) -> None:
    """Step a schedule; one that waits for a plateau is told the loss."""
    told = "metrics" in inspect.signature(schedule.step).parameters
    if told and not losses:
        raise PortError("a schedule that waits for a plateau needs the step's loss: return it from train_step")
    schedule.step(*([float(np.sum(loss)) for loss in losses.values()][:1] if told else []))


def make_session(file: str, function: str, dtype: str = "", names: Names = Names()) -> Session:
    """A training, built anew; in its own dtype where none is given."""
    with building(dtype) if dtype else nullcontext():
        given = function_of(file, function)()
    trainee = trainee_of(given, function)
    framework = framework_of(trainee.model)
    dtype = dtype or own_dtype(framework, trainee.model)
    framework.prepared(trainee.model, dtype)
    return Session(framework, trainee, dtype, names)


def own_dtype(framework: Framework, model: Any) -> str:
    """The dtype of most of a model's numbers."""
    sizes: dict[str, int] = {}
    for unit in units_of(framework, model):
        for held in unit.params():
            array = framework.array(held.tensor)
            sizes[str(array.dtype)] = sizes.get(str(array.dtype), 0) + array.size
    return max(sizes, key=lambda name: sizes[name], default="float32")


def train(
    session: Session, batches: Sequence[Any], initial: Mapping[str, Array], states: Mapping[str, Array] | None
) -> Iterator[Values]:
    """The quantities of each step."""
    session.load(0, initial)
    for t, batch in enumerate(batches):
        if states is not None and t:
            session.load(t, at_step(states, t))
        yield session.step(t, batch)


def at_step(states: Mapping[str, Array], t: int) -> Values:
    """The state before one step."""
    return {name: column[t] for name, column in states.items()}
