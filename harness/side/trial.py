"""What would the origin have given, had one thing been otherwise? In the origin's own process, in float64."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isograd.framework import Framework
from isograd.inputs import Array
from isograd.side.batches import read_batches
from isograd.side.training import Session, at_step, make_session
from isograd.trace import load_arrays

Change = Mapping[str, Any]
"""What is otherwise, as the parent says it: ``do``, which of `CHANGES`, and its options."""

STEPS = 40
"""Steps of an iteration that solves for one number."""

LEAVES = 1e-9
"""An iteration ends where it leaves no more than this share of the difference."""

SHARE = 1e-4
"""A change accounts for a difference of which it leaves no more than this share: constants may be held in float32, and
a share of a difference is what that makes of it."""


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
    """

    session: Session
    t: int
    state: Mapping[str, Array]
    batch: tuple[Any, Any]
    target: Mapping[str, Array]
    bounds: Mapping[str, Array]
    right: Mapping[str, Array] = field(default_factory=dict)

    def step(self, changes: Sequence[Change]) -> dict[str, Array]:
        """The step's quantities, with changes."""
        batch = self.batch
        self.session.framework.recall(self.session.trainee, self.session.memories[self.t])
        with ExitStack() as stack:
            for change in changes:
                batch = stack.enter_context(CHANGES[change["do"]](self, change, batch)) or batch
            self.session.load(self.t, self.state)
            return self.session.step(self.t, batch)

    def outside(self, seen: Mapping[str, Array]) -> list[str]:
        """Which quantities are not the other side's, in order."""
        return [name for name in self.bounds if name not in seen or not self._inside(name, seen[name])]

    def _inside(self, name: str, value: Array) -> bool:
        target, right = self.target[name], self.right.get(name)
        if value.shape != target.shape:
            return False
        with np.errstate(invalid="ignore"):
            rest = np.abs(value - target)
            if (rest <= self.bounds[name]).all():
                return True
            whole = np.abs(right - target).max() if right is not None else 0.0
            return bool(np.isfinite(whole) and rest.max() <= SHARE * whole)


def explain(job: Mapping[str, Any]) -> None:
    """Try changes one after another, and tell of each what remains outside.

    Each is tried as it is, or solved for the number that leaves least of the first quantity that differs.
    """
    t, first = job["t"], job["first"]
    session = make_session(job["file"], job["function"], "float64")
    batches, initial = read_batches(Path(job["batches"])), load_arrays(Path(job["initial"]))[0]
    session.load(0, initial)
    for at in range(t):  # schedules stand where they stood
        session.step(at, batches[at])
    state = at_step(load_arrays(Path(job["states"]))[0], t) if t else initial
    target, bounds = load_arrays(Path(job["target"]))[0], load_arrays(Path(job["bounds"]))[0]
    ordered = {name: bounds[name] for name in job["order"] if name in bounds}
    origin = Origin(session, t, state, batches[t], target, ordered)
    session.memories[t] = session.framework.remember(session.trainee)
    origin.right = origin.step(())
    told = []
    for changes in job["trials"]:
        found: dict[str, Any] = {"outside": None, "values": [], "error": ""}
        try:
            with np.errstate(all="ignore"):
                solved, values = _solved(origin, changes, first)
                found |= {"outside": origin.outside(origin.step(solved)), "values": values}
        except Exception as error:  # noqa: BLE001  # a change that this model cannot have
            found["error"] = f"{type(error).__name__}: {error}"
        told.append(found)
        if found["outside"] == []:
            break
    if job["calls"] and not any(found["outside"] == [] for found in told):
        told += _other_calls(origin, first)
    Path(job["told"]).write_text(json.dumps(told), "utf-8")


@dataclass
class _Call:
    """A call of the framework's function in a step, and the last quantity that was seen before it."""

    number: int
    name: str
    after: str
    words: list[str]
    site: tuple[str, int] = ("", 0)


MOST = 400
"""Other calls that are tried."""


def _other_calls(origin: Origin, first: str) -> list[dict[str, Any]]:
    """Functions that are called between the last quantity that is right and the first that is not, each by others."""
    session, listed = origin.session, []

    def see(number: int, function: Any, args: Any, options: Any) -> Any:
        last = next(reversed(session.forward), "")
        name = getattr(function, "__name__", str(function))
        words = [said for said, _ in session.framework.others(function, args, options)]
        listed.append(_Call(number, name, last, words, _site(session.framework)))
        return function(*args, **options)

    with session.framework.calls(see):
        origin.step(())
    order = [name for name in origin.right if name.startswith("forward/")]
    until = order.index(first) if first in order else len(order)
    known = [name for name in order[:until] if name in origin.bounds]
    begin = order.index(known[-1]) if known else -1
    region = {"" if at < 0 else order[at] for at in range(begin, until)}
    there = [call for call in listed if call.after in region]
    same = {
        call.number: [other.number for other in listed if (other.name, other.site) == (call.name, call.site)]
        for call in there
    }
    tried = [(call, words, same[call.number]) for call in there for words in call.words][:MOST]
    tried += [(call, words, [call.number]) for call, words, numbers in tried if len(numbers) > 1][:MOST]
    for call, words, numbers in tried:

        def instead(
            number: int, function: Any, args: Any, options: Any, at: Sequence[int] = numbers, words: str = words
        ) -> Any:
            if number not in at:
                return function(*args, **options)
            other = dict(session.framework.others(function, args, options))[words]
            return other(function, args, options)

        with suppress(Exception), np.errstate(all="ignore"):  # a call that cannot be that is none
            with session.framework.calls(instead):
                seen = origin.step(())
            if not origin.outside(seen):
                where = f"between {call.after.partition('/')[2] or 'the input'} and {first.partition('/')[2] or first}"
                file, line = call.site
                where += f" ({Path(file).name}, line {line})" if file else ""
                return [{"outside": [], "values": [], "error": "", "words": f"{call.name} {where}: {words}"}]
    return []


def _site(framework: Framework) -> tuple[str, int]:
    """Where in the user's code a function is called: all layers of a class call it from there."""
    ours = [__file__, str(sys.modules[type(framework).__module__].__file__), str(sys.modules[framework.root].__file__)]
    inside = tuple(f"{Path(file).parent}{os.sep}" for file in ours)
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def _solved(origin: Origin, changes: Sequence[Change], first: str) -> tuple[list[Change], list[float]]:
    """The changes with the numbers that are to be solved for; and those numbers."""
    unknown = [i for i, change in enumerate(changes) if change.get("solve")]
    if not unknown:
        return list(changes), []
    begin = [float(changes[i]["value"]) for i in unknown]

    def with_values(x: Sequence[float]) -> list[Change]:
        of = dict(zip(unknown, x, strict=True))
        return [{**change, "value": of[i]} if i in of else change for i, change in enumerate(changes)]

    x = _nearest(lambda x: origin.step(with_values(x)).get(first), origin.target[first], begin)
    return with_values(x), x


def _nearest(run: Callable[[Sequence[float]], Array | None], target: Array, begin: Sequence[float]) -> list[float]:
    """Gauss and Newton's iteration, on the logarithms of numbers that begin above 0."""
    positive = np.array(begin) > 0
    x = np.where(positive, np.log(np.where(positive, begin, 1.0)), begin)

    def of(x: Array) -> list[float]:
        return [float(np.exp(v)) if p else float(v) for v, p in zip(x, positive, strict=True)]

    whole, best = None, (np.inf, x)
    for _ in range(STEPS):
        y = run(of(x))
        if y is None or y.shape != target.shape:
            break
        rest = (target - y).ravel()
        size = float(np.linalg.norm(rest))
        whole = size if whole is None else whole
        if size < best[0]:
            best = (size, x)
        if not np.isfinite(size) or size <= LEAVES * whole:
            break
        h = np.where(positive, 1e-4, 1e-4 * np.maximum(1.0, np.abs(x)))
        columns = [run(of(x + h * unit)) for unit in np.eye(len(x))]
        if any(column is None for column in columns):
            break
        slopes = np.stack([(column - y).ravel() / step for column, step in zip(columns, h, strict=True)], axis=1)
        if not slopes.any() or not np.isfinite(slopes).all():
            break
        move = np.linalg.lstsq(slopes, rest, rcond=None)[0]
        x = x + np.where(positive, np.clip(move, -2.0, 2.0), move)
        if (np.abs(move) <= 1e-13 * np.maximum(1.0, np.abs(x))).all():
            break
    return of(best[1])


# ---------------------------------------------------------------- what can be otherwise


@contextmanager
def _setting(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """A setting of a unit, of several, or of the loss."""
    session = origin.session
    with ExitStack() as stack:
        for name in _names(change):
            module = session.trainee.loss if name == "loss" else _module(origin, name)
            stack.enter_context(session.framework.set(module, change["name"], change["value"]))
        yield


def _names(change: Change) -> list[str]:
    at = change["at"]
    return [at] if isinstance(at, str) else list(at)


@contextmanager
def _optimizer(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """An optimizer's setting, of some parameters or of all."""
    session = origin.session
    chosen = {id(session.params[key].tensor) for key in change.get("params", session.params) if key in session.params}
    optimizer = session.trainee.optimizers[change["at"]]
    with _unscheduled(session), session.framework.set_optimizer(optimizer, change["name"], change["value"], chosen):
        yield


@contextmanager
def _unscheduled(session: Session) -> Iterator[None]:
    """Without the schedule, which counts an optimizer's groups: what it does after the step is of no interest."""
    trainee, schedule = session.trainee, session.trainee.schedule
    trainee.schedule = None
    try:
        yield
    finally:
        trainee.schedule = schedule


@contextmanager
def _rule(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Another optimizer in one's place, with its settings."""
    session, trainee = origin.session, origin.session.trainee
    at, optimizers, given = change["at"], dict(trainee.optimizers), trainee.given
    other = session.framework.other_optimizer(optimizers[at], change["value"], change["settings"])
    session.framework.on_update(other, session._before_update)
    trainee.optimizers[at] = other
    trainee.given = {**given, at: other} if isinstance(given, Mapping) else other
    with _forgotten(session), _unscheduled(session):
        try:
            yield
        finally:
            trainee.optimizers.update(optimizers)
            trainee.given = given


@contextmanager
def _forgotten(session: Session) -> Iterator[None]:
    """Which optimizer has which parameter is looked up anew, now and afterwards."""
    session.__dict__.pop("_optimized", None)
    try:
        yield
    finally:
        session.__dict__.pop("_optimized", None)


@contextmanager
def _replaced(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Another function in a unit's place, or in several units'; "identity": it is left out."""
    with ExitStack() as stack:
        for name in _names(change):
            stack.enter_context(origin.session.framework.replaced(_module(origin, name), change["value"]))
        yield


@contextmanager
def _data(origin: Origin, change: Change, batch: Any) -> Iterator[Any]:
    """Samples or labels that are other ones."""
    part = "xy".index(change["at"])
    made = list(batch)
    made[part] = _each(made[part], DATA[change["name"]], change.get("value"))
    yield tuple(made)


def _each(values: Any, change: Callable[[Array, Any], Array], value: Any) -> Any:
    if isinstance(values, Mapping):
        return {name: _each(item, change, value) for name, item in values.items()}
    if isinstance(values, tuple):
        return tuple(_each(item, change, value) for item in values)
    return change(np.asarray(values), value)


def _swapped(a: Array, axes: Any) -> Array:
    one, other = axes
    return np.ascontiguousarray(np.swapaxes(a, one, other)) if a.ndim > max(one, other) else a


DATA: Mapping[str, Callable[[Array, Any], Array]] = {
    "swapped": _swapped,
    "classes moved": lambda a, by: (a + int(by)) % (int(a.max()) + 1) if a.dtype.kind in "iu" else a,
    "labels moved": lambda a, by: a + int(by) if a.dtype.kind in "iu" else a,
    "scaled": lambda a, by: a * by if a.dtype.kind == "f" else a,
    "moved": lambda a, by: a + by if a.dtype.kind == "f" else a,
    "reversed": lambda a, axis: np.flip(a, axis) if a.ndim > axis else a,
    "rolled": lambda a, by: np.roll(a, int(by), axis=0),
    "rolled along": lambda a, by: np.roll(a, int(by), axis=-1) if a.ndim > 1 else a,
}


@contextmanager
def _output(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """A function of the model's output before the loss."""
    trainee, own = origin.session.trainee, origin.session.trainee.loss
    function = origin.session.framework.function(change["value"])
    trainee.loss = lambda out, *args, **options: own(function(out), *args, **options)
    try:
        yield
    finally:
        trainee.loss = own


@contextmanager
def _evaluation(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """A unit in the other mode, of training and evaluation."""
    module = _module(origin, change["at"])
    before = module.training
    module.training = change["value"]
    try:
        yield
    finally:
        module.training = before


@contextmanager
def _flipped(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """A parameter that is otherwise arranged: an axis the other way round, parts in another order."""
    key = f"weight/{change['at']}"
    kept = origin.state
    origin.state = {**kept, key: ARRANGED[change["name"]](kept[key], change.get("value"))}
    try:
        yield
    finally:
        origin.state = kept


def _in_order(a: Array, order: Any) -> Array:
    return np.concatenate([np.split(a, len(order))[i] for i in order])


ARRANGED: Mapping[str, Callable[[Array, Any], Array]] = {
    "transposed": lambda a, _: np.ascontiguousarray(np.swapaxes(a, -1, -2)),
    "turned": lambda a, _: np.ascontiguousarray(a[..., ::-1, ::-1]),
    "parts": _in_order,
    "nothing": lambda a, _: np.zeros_like(a),
}


@contextmanager
def _exchanged(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Two units with each other's parameters."""
    kept, (one, other) = origin.state, change["at"]
    swap = {}
    for name in kept:
        kind, _, key = name.partition("/")
        for a, b in ((one, other), (other, one)):
            if kind in ("weight", "buffer") and key.startswith(f"{a}."):
                swap[name] = kept[f"{kind}/{b}.{key[len(a) + 1 :]}"]
    origin.state = {**kept, **swap}
    try:
        yield
    finally:
        origin.state = kept


@contextmanager
def _loss_function(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Another loss in the loss's place, perhaps with a number."""
    trainee, own = origin.session.trainee, origin.session.trainee.loss
    trainee.loss = origin.session.framework.loss_function(change["name"], change.get("value"))
    try:
        yield
    finally:
        trainee.loss = own


@contextmanager
def _twice(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """An optimizer that steps twice."""
    optimizer = origin.session.trainee.optimizers[change["at"]]
    own = optimizer.step

    def step(*args: Any, **options: Any) -> Any:
        own(*args, **options)
        return own(*args, **options)

    optimizer.step = step
    try:
        yield
    finally:
        optimizer.step = own


CHANGES: Mapping[str, Callable[..., Any]] = {
    "setting": _setting,
    "optimizer": _optimizer,
    "rule": _rule,
    "replaced": _replaced,
    "arranged": _flipped,
    "exchanged": _exchanged,
    "output": _output,
    "training": _evaluation,
    "data": _data,
    "loss function": _loss_function,
    "twice": _twice,
}


def _module(origin: Origin, name: str) -> Any:
    return next(unit.module for unit in origin.session.units if unit.name == name)
