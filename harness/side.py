"""How is one side of a port built, loaded and trained step by step? In a child process: it is the user's own code."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, reduce
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from isograd.arithmetic.noise import noise_scales
from isograd.dtypes import FORMATS
from isograd.envelope import runs_for
from isograd.errors import IsogradError
from isograd.framework import Framework, Part, Row, Trainee, as_floats
from isograd.inputs import Array
from isograd.registered import registered
from isograd.structure import Call, Structure, Unit, plain
from isograd.trace import load_arrays, save_arrays

GROUP = "isograd.frameworks"

MODEL = "model"
"""The name of the model itself, where it holds parameters."""

Values = dict[str, Array]


class PortError(IsogradError):
    """A port that cannot be run: what was expected, and what came."""


# ---------------------------------------------------------------- the user's file


@cache
def module_of(file: str) -> ModuleType:
    """The user's file, run once, as it would be as a script: with its folder first on the path, and this one last."""
    path = Path(file)
    for place, folder in ((0, str(path.parent)), (len(sys.path), str(Path.cwd()))):
        if folder not in sys.path:
            sys.path.insert(place, folder)
    name = f"isograd_port_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PortError(f"{file}: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def function_of(file: str, name: str) -> Callable[[], Any]:
    """A function of the user's file."""
    function = getattr(module_of(file), name, None)
    if not callable(function):
        raise PortError(f"{file}: expected a function {name}; got {type(function).__name__}")
    return function  # type: ignore[no-any-return]


@cache
def frameworks() -> tuple[Framework, ...]:
    """Every framework that is registered; none is imported by that."""
    return tuple(point.load()() for point in registered(GROUP))


def framework_of(model: Any) -> Framework:
    """The framework of a model."""
    found = [framework for framework in frameworks() if framework.owns(model)]
    if not found:
        names = " or ".join(framework.name for framework in frameworks())
        raise PortError(f"expected a model of {names}; got {type(model).__module__}.{type(model).__name__}")
    return found[0]


KEYS = ("model", "loss", "optimizer", "schedule", "train_step")


def trainee_of(given: Any, name: str) -> Trainee:
    """What a function has given, in order or by name."""
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in KEYS]
        if unknown or "model" not in given or "optimizer" not in given:
            raise PortError(f"{name}(): expected a dict with model, optimizer and of {', '.join(KEYS)}; got {[*given]}")
        parts = {key: given.get(key) for key in KEYS}
    elif isinstance(given, (tuple, list)) and 3 <= len(given) <= len(KEYS):
        parts = dict.fromkeys(KEYS) | dict(zip(KEYS, given, strict=False))
    else:
        came = f"{len(given)} values" if isinstance(given, (tuple, list)) else type(given).__name__
        raise PortError(f"{name}(): expected model, loss, optimizer, and perhaps a schedule; got {came}")
    optimizer = parts["optimizer"]
    optimizers = dict(optimizer) if isinstance(optimizer, Mapping) else {"": optimizer}
    return Trainee(parts["model"], parts["loss"], optimizers, parts["schedule"], parts["train_step"], optimizer)


# ---------------------------------------------------------------- batches


def keep_batches(batches: Iterator[Any], steps: int, file: Path) -> int:
    """Write the first batches to a file; how many there were."""
    arrays: dict[str, Array] = {}
    number = 0
    for number, batch in enumerate(islice(batches, steps), 1):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise PortError(f"batches(): expected (x, y) each time; got {type(batch).__name__}")
        for name, part in zip("xy", batch, strict=True):
            arrays.update(_packed(f"{number - 1:06d}/{name}", part))
    if not number:
        raise PortError("batches(): expected at least one batch; got none")
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return number


def _packed(name: str, value: Any) -> Iterator[tuple[str, Array]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _packed(f"{name}/={key}", item)
    elif isinstance(value, (tuple, list)):
        for at, item in enumerate(value):
            yield from _packed(f"{name}/#{at}", item)
    elif value is not None:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise PortError(f"batches(): expected arrays of numbers; got {array.dtype}")
        yield name, array


def read_batches(file: Path) -> list[tuple[Any, Any]]:
    """The batches of such a file, or of one that a user has: arrays x and y with the steps leading."""
    with np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if set(arrays) == {"x", "y"}:
        return list(zip(arrays["x"], arrays["y"], strict=True))
    steps = sorted({name.partition("/")[0] for name in arrays})
    return [(_unpacked(f"{step}/x", arrays), _unpacked(f"{step}/y", arrays)) for step in steps]


def _unpacked(name: str, arrays: Mapping[str, Array]) -> Any:
    if name in arrays:
        return arrays[name]
    rest = dict.fromkeys(key[len(name) + 1 :].partition("/")[0] for key in arrays if key.startswith(f"{name}/"))
    if all(key.startswith("=") for key in rest):
        return {key[1:]: _unpacked(f"{name}/{key}", arrays) for key in rest} or None
    return tuple(_unpacked(f"{name}/{key}", arrays) for key in rest)


# ---------------------------------------------------------------- a model's units


@dataclass(frozen=True)
class Held:
    """A canonical parameter or buffer, and the framework's tensor that it lies in."""

    key: str
    part: Part
    tensor: Any


@dataclass
class Own:
    """A unit, with the framework's module.

    Attributes:
        name: its path.
        module: the module.
        row: the framework's row for its class; None for a user's own.
    """

    name: str
    module: Any
    row: Row | None
    framework: Framework

    @property
    def known(self) -> bool:
        """Whether it is the framework's own, and not a user's class."""
        return self.row is not None or type(self.module).__module__.startswith(f"{self.framework.root}.")

    @property
    def kind(self) -> str:
        """The operation: by the row, or as frameworks call it, in small letters; of a user's own class its name."""
        name = type(self.module).__name__
        return self.row.kind if self.row else name.lower() if self.known else name

    def params(self) -> Iterator[Held]:
        """Its parameters."""
        if self.row and self.row.parts:
            parts = list(self.row.parts(self.module))
        else:
            parts = [Part(name, name) for name in self.framework.direct(self.module)]
        yield from (Held(f"{self.name}.{part.name}", part, attribute(self.module, part.own)) for part in parts)

    def buffers(self) -> Iterator[Held]:
        """Its buffers."""
        if self.row:
            parts = list(self.row.buffers(self.module))
        else:
            parts = [Part(name, name) for name in self.framework.direct_buffers(self.module)]
        yield from (Held(f"{self.name}.{part.name}", part, attribute(self.module, part.own)) for part in parts)


def attribute(module: Any, path: str) -> Any:
    """An attribute by its path."""
    return reduce(getattr, path.split("."), module)


def row_of(module: Any, rows: Mapping[str, Row]) -> Row | None:
    """The row of a module's class, or of the first of its bases that has one."""
    return next((rows[cls.__name__] for cls in type(module).__mro__ if cls.__name__ in rows), None)


def units_of(framework: Framework, model: Any) -> list[Own]:
    """Modules with parameters of their own, or without modules within."""
    units: list[Own] = []
    inside: set[int] = set()
    seen: set[int] = set()
    for path, module in framework.modules(model):
        children = [*framework.children(module)]
        if id(module) in inside:
            inside.update(map(id, children))
            continue
        if id(module) in seen:
            continue
        seen.add(id(module))
        row = row_of(module, framework.rows)
        if row or not children or framework.direct(module) or framework.direct_buffers(module):
            units.append(Own(path or MODEL, module, row, framework))
        if row and row.whole:
            inside.update(map(id, children))
    return units


# ---------------------------------------------------------------- a training


@dataclass(frozen=True)
class Names:
    """How this side's units and parameters are called on the first side; None: as they are called here.

    Attributes:
        units: of units that are compared.
        params: of parameters and buffers.
        swapped: parameters whose last two axes are the other way round there.
    """

    units: Mapping[str, str] | None = None
    params: Mapping[str, str] | None = None
    swapped: tuple[str, ...] = ()

    def unit(self, name: str) -> str | None:
        """A unit's name; None where it has no counterpart."""
        return name if self.units is None else self.units.get(name)

    def param(self, key: str) -> str | None:
        """A parameter's, likewise."""
        return key if self.params is None else self.params.get(key)


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
        self.grads: Values = {}
        self.times: dict[str, int] = {}
        self.memories: dict[int, Any] = {}
        self.watching = True
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
        self.buffers = {held.key: held for unit in self.units for held in unit.buffers()}
        for unit in self.units:
            self.framework.on_forward(unit.module, self._seen(unit.name))
        for optimizer in self.trainee.optimizers.values():
            self.framework.on_update(optimizer, self._before_update)

    # ------------------------------------------------------------ what is seen

    def _seen(self, unit: str) -> Callable[[list[Any]], None]:
        name = self.names.unit(unit)

        def see(outputs: list[Any]) -> None:
            if not self.watching:
                return
            self.calls.append(Call(name=unit, outputs=tuple(tuple(tensor.shape) for tensor in outputs)))
            if name is None:
                return
            time = self.times[unit] = self.times.get(unit, 0) + 1
            call = name if time == 1 else f"{name}:{time}"
            for at, tensor in enumerate(outputs):
                key = call if at == 0 else f"{call}[{at}]"
                self.forward[f"forward/{key}"] = self.framework.array(tensor)
                self.framework.on_gradient(tensor, self._gradient(f"backward/{key}"))

        return see

    def _gradient(self, key: str) -> Callable[[Any], None]:
        def see(gradient: Any) -> None:
            self.backward[key] = self.framework.array(gradient)

        return see

    def _before_update(self, clipped: Mapping[int, Array]) -> None:
        for key, held in self.params.items():
            gradient = clipped.get(id(held.tensor))
            if key not in self.grads and gradient is None:
                gradient = self.framework.gradient(held.tensor)
            if key not in self.grads and gradient is not None:
                self.grads[key] = held.part.read(gradient)

    # ------------------------------------------------------------ state

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        """Take a state over, by the first side's names; what it does not name stays."""
        whole: dict[int, tuple[Any, Array]] = {}
        for kind, held in (("weight", self.params), ("buffer", self.buffers)):
            for key, one in held.items():
                value = state.get(f"{kind}/{self.names.param(key)}")
                if value is not None:
                    _, array = whole.setdefault(id(one.tensor), (one.tensor, self.framework.array(one.tensor)))
                    one.part.write(array, value)
        for tensor, array in whole.values():
            self.framework.copy_into(tensor, array)
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

    def step(self, t: int, batch: tuple[Any, Any]) -> Values:
        """One step, and its quantities, by the first side's names."""
        self.memories.setdefault(t, self.framework.remember(self.trainee))
        for seen in (self.forward, self.backward, self.grads, self.times):
            seen.clear()
        self.calls.clear()
        self.framework.seed(t)
        rates = [rate for optimizer in self.trainee.optimizers.values() for rate in self.framework.rates(optimizer)]
        tensors = tuple(self._tensors(as_floats(part, self.dtype)) for part in batch)
        if self.trainee.train_step:
            given = self.trainee.train_step(self.trainee.model, self.trainee.loss, self.trainee.given, tensors)
        else:
            given = self.framework.step(self.trainee, *tensors)
        self._before_update({})
        losses = self._losses(given)
        grads = {
            f"grad/{name}": np.array(self.grads[key] if key in self.grads else np.zeros_like(self._value(held)))
            for key, held in reversed(self.params.items())
            if (name := self.names.param(key))
        }
        backward = {key: self.backward[key] for key in reversed(self._forward_order()) if key in self.backward}
        lr = {"lr": np.asarray(rates[0] if rates else 0.0, self.dtype)}
        return lr | self.forward | losses | backward | grads | self.state()

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


def make_session(file: str, function: str, dtype: str = "", names: Names = Names()) -> Session:
    """A training, built anew; in its own dtype where none is given."""
    given = None
    with _building(dtype):
        given = function_of(file, function)()
    trainee = trainee_of(given, function)
    framework = framework_of(trainee.model)
    dtype = dtype or own_dtype(framework, trainee.model)
    framework.prepared(trainee.model, dtype)
    return Session(framework, trainee, dtype, names)


def _building(dtype: str) -> Any:
    """What a framework wants while a model is built; which framework it is was found out by the first build."""
    loaded = [framework for framework in frameworks() if framework.root in sys.modules]
    return loaded[0].building(dtype) if dtype and loaded else nullcontext()


def own_dtype(framework: Framework, model: Any) -> str:
    """The dtype of most of a model's numbers."""
    sizes: dict[str, int] = {}
    for unit in units_of(framework, model):
        for held in unit.params():
            array = framework.array(held.tensor)
            sizes[str(array.dtype)] = sizes.get(str(array.dtype), 0) + array.size
    return max(sizes, key=lambda name: sizes[name], default="float32")


# ---------------------------------------------------------------- what the parent asks for


def batches(job: Mapping[str, Any]) -> None:
    """Take the batches from the user's function."""
    number = keep_batches(iter(function_of(job["file"], job["function"])()), job["steps"], Path(job["out"]))
    Path(job["told"]).write_text(json.dumps({"batches": number}), "utf-8")


def describe(job: Mapping[str, Any]) -> None:
    """Build the model, tell its structure and its initial values, and what a first step of it calls."""
    session = make_session(job["file"], job["function"])
    initial = session.state()
    structure = structure_of(session)
    session.step(0, read_batches(Path(job["batches"]))[0])
    slots = {name: session.framework.optimizer(opt, {}).slots for name, opt in session.trainee.optimizers.items()}
    optimizers = {
        name: optimizer.model_copy(update={"slots": slots[name]}) for name, optimizer in structure.optimizers.items()
    }
    structure = structure.model_copy(update={"calls": tuple(session.calls), "optimizers": optimizers})
    save_arrays({name: _numpy(value) for name, value in initial.items()}, Path(job["out"]))
    Path(job["told"]).write_text(structure.model_dump_json(), "utf-8")


def _numpy(value: Array) -> Array:
    return np.ascontiguousarray(value)


def structure_of(session: Session) -> Structure:
    """What a model is made of."""
    framework, trainee = session.framework, session.trainee
    names: dict[int, str] = {}
    for key, held in session.params.items():
        names.setdefault(id(held.tensor), key)
    units = []
    for unit in session.units:
        params, buffers = [*unit.params()], [*unit.buffers()]
        short = len(unit.name) + 1
        units.append(
            Unit(
                name=unit.name,
                cls=type(unit.module).__name__,
                kind=unit.kind,
                known=unit.known,
                params={held.key[short:]: session._value(held).shape for held in params},
                buffers={held.key[short:]: session._value(held).shape for held in buffers},
                frozen=tuple(held.key[short:] for held in params if not framework.trained(held.tensor)),
                tied={held.key[short:]: session.tied[held.key] for held in params if held.key in session.tied},
                settings={
                    name: plain(value) for name, value in (unit.row.settings(unit.module) if unit.row else {}).items()
                },
            )
        )
    loss = trainee.loss
    told = None
    if loss is not None:
        row = row_of(loss, framework.rows)
        settings = {name: plain(value) for name, value in (row.settings(loss) if row else {}).items()}
        cls = type(loss).__name__ if row or not hasattr(loss, "__name__") else loss.__name__
        told = Unit(name="loss", cls=cls, kind=row.kind if row else cls, known=row is not None, settings=settings)
    return Structure(
        framework=framework.name,
        version=framework.version(),
        least=framework.least,
        dtype=session.dtype,
        units=tuple(units),
        optimizers={name: framework.optimizer(optimizer, names) for name, optimizer in trainee.optimizers.items()},
        loss=told,
    )


def record(job: Mapping[str, Any]) -> None:
    """Train for the steps that there are batches of, freely or each step from a given state; write the trace."""
    session = make_session(job["file"], job["function"], job["dtype"], names_of(job))
    trained = train(session, read_batches(Path(job["batches"])), load_arrays(Path(job["initial"]))[0], _states(job))
    write_columns(columns_of(trained), job["out"])


def names_of(job: Mapping[str, Any]) -> Names:
    """The names that the parent has paired."""
    return Names(job["units"], job["params"], tuple(job["swapped"]))


def _states(job: Mapping[str, Any]) -> Mapping[str, Array] | None:
    return load_arrays(Path(job["states"]))[0] if job.get("states") else None


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


def columns_of(steps: Iterator[Values]) -> Values:
    """Steps as columns, in the order of the first; what comes or goes from step to step is left out."""
    rows = list(steps)
    names = [name for name in rows[0] if all(name in row and row[name].shape == rows[0][name].shape for row in rows)]
    return {name: np.stack([row[name] for row in rows]) for name in names}


def write_columns(columns: Values, out: str) -> None:
    """Write columns, with their order."""
    save_arrays(columns, Path(out), {"order": json.dumps(list(columns))})


# ---------------------------------------------------------------- the oracle


def truth(job: Mapping[str, Any]) -> None:
    """The model in float64: the truth of each mode, and the states before each step, rounded to its own dtype."""
    batches, initial = read_batches(Path(job["batches"])), load_arrays(Path(job["initial"]))[0]
    session = make_session(job["file"], job["function"], "float64")
    folder = Path(job["folder"])
    states, resync = resynced(session, batches, initial, job["dtype"])
    save_arrays(states, folder / "states")
    write_columns(resync, str(folder / "truth-resync"))
    if "free" in job["modes"]:
        write_columns(columns_of(train(session, batches, initial, None)), str(folder / "truth-free"))


def envelope(job: Mapping[str, Any]) -> None:
    """How far rounding can push everything; nothing is written where the framework has no noise."""
    batches, initial = read_batches(Path(job["batches"])), load_arrays(Path(job["initial"]))[0]
    session = make_session(job["file"], job["function"], "float64")
    folder = Path(job["folder"])
    states = load_arrays(folder / "states")[0] if job["mode"] == "resync" else None
    truth = load_arrays(folder / f"truth-{job['mode']}")[0]
    found = envelope_of(session, batches, initial, states, truth, job)
    if found is not None:
        write_columns(found, job["out"])


def resynced(
    session: Session, batches: Sequence[Any], initial: Mapping[str, Array], dtype: str
) -> tuple[Values, Values]:
    """A training whose state is rounded to a dtype after every step: the states before each, and the quantities."""
    kept, rows = [], []
    state: Values = {name: np.array(value) for name, value in initial.items()}
    for t, batch in enumerate(batches):
        session.load(t, state)
        seen = session.step(t, batch)
        rows.append(seen)
        kept.append(state)
        after = {name: seen[name] for name in seen if name.partition("/")[0] in ("weight", "state", "buffer")}
        state = {name: value.astype(FORMATS[dtype].dtype) for name, value in after.items()}
    kept[0] = {name: kept[0].get(name, np.zeros_like(value)) for name, value in state.items()}
    states = {name: np.stack([np.asarray(step[name], FORMATS[dtype].dtype) for step in kept]) for name in state}
    return states, columns_of(iter(rows))


def envelope_of(
    session: Session,
    batches: Sequence[Any],
    initial: Mapping[str, Array],
    states: Mapping[str, Array] | None,
    truth: Values,
    job: Mapping[str, Any],
) -> Values | None:
    """How far noisy runs lie from the truth, over how loud they are; None where the framework has no noise."""
    largest = max((column[0].size for column in truth.values()), default=1)
    scales = noise_scales(runs_for(largest, job["runs"]), job["factor"])
    envelope = {name: np.zeros_like(column, np.float64) for name, column in truth.items()}
    for run, scale in enumerate(scales.tolist()):
        noise = session.framework.noisy(job["seed"] + run, job["noise"], scale, job["constants"], job["rates"])
        if noise is None:
            return None
        session.load(0, initial)
        for t, batch in enumerate(batches):
            if states is not None and t:
                session.load(t, at_step(states, t))
            with noise.over(session.trainee, t):
                seen = session.step(t, batch)
            for name, column in envelope.items():
                if name in seen:
                    column[t] = np.maximum(column[t], np.abs(seen[name] - truth[name][t]) / scale)
    return envelope


WORK: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "batches": batches,
    "describe": describe,
    "record": record,
    "truth": truth,
    "envelope": envelope,
}
