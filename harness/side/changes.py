"""What can be otherwise on a side? Each change, done to the origin for the length of one step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from isograd.inputs import Array
from isograd.patched import Instead, patched
from isograd.side.training import Session

if TYPE_CHECKING:
    from isograd.side.origin import Origin

Change = Mapping[str, Any]
"""What is otherwise: ``do``, which of `CHANGES`, and its options; the parent says it, or a search in the child."""


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
    with patched(session.trainee, schedule=None):
        yield


@contextmanager
def _rule(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Another optimizer in one's place, with its settings."""
    session, trainee = origin.session, origin.session.trainee
    at, optimizers, given = change["at"], dict(trainee.optimizers), trainee.given
    other = session.framework.other_optimizer(optimizers[at], change["value"], change["settings"])
    session.framework.on_update(other, partial(session._before_update, other))
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


def _standardised(a: Array, axis: Any, correction: int) -> Array:
    if a.dtype.kind != "f":
        return a
    return np.asarray((a - a.mean(axis, keepdims=True)) / a.std(axis, ddof=correction, keepdims=True))


DATA: Mapping[str, Callable[[Array, Any], Array]] = {
    "swapped": _swapped,
    "classes moved": lambda a, by: (a + int(by)) % (int(a.max()) + 1) if a.dtype.kind in "iu" else a,
    "labels moved": lambda a, by: a + int(by) if a.dtype.kind in "iu" else a,
    "scaled": lambda a, by: a * by if a.dtype.kind == "f" else a,
    "moved": lambda a, by: a + by if a.dtype.kind == "f" else a,
    "reversed": lambda a, axis: np.flip(a, axis) if a.ndim > axis else a,
    "truncated": lambda a, _: np.trunc(a) if a.dtype.kind == "f" else a,
    "standardised by feature": lambda a, correction: _standardised(a, 0, correction),
    "standardised as one": lambda a, correction: _standardised(a, None, correction),
    "standardised by sample": lambda a, correction: _standardised(a, tuple(range(1, a.ndim)), correction),
    "rolled": lambda a, by: np.roll(a, int(by), axis=0),
    "rolled along": lambda a, by: np.roll(a, int(by), axis=-1) if a.ndim > 1 else a,
}


@contextmanager
def _output(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """A function of the model's output before the loss."""
    own, function = origin.session.trainee.loss, origin.session.framework.function(change["value"])
    loss = Instead(own, lambda out, *args, **options: own(function(out), *args, **options))
    with patched(origin.session.trainee, loss=loss):
        yield


@contextmanager
def _evaluation(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """A unit in the other mode, of training and evaluation."""
    with patched(_module(origin, change["at"]), training=change["value"]):
        yield


@contextmanager
def _flipped(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """A parameter that is otherwise arranged: an axis the other way round, parts in another order."""
    key = f"weight/{change['at']}"
    other = ARRANGED[change["name"]](origin.state[key], change.get("value"))
    with patched(origin, state={**origin.state, key: other}):
        yield


@contextmanager
def _theirs(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """A buffer as the other side has it."""
    key = f"buffer/{change['at']}"
    with patched(origin, state={**origin.state, key: origin.target[key]}):
        yield


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
    with patched(origin, state={**kept, **swap}):
        yield


@contextmanager
def _loss_function(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Another loss in the loss's place, perhaps with a number."""
    loss = origin.session.framework.loss_function(change["name"], change.get("value"))
    with patched(origin.session.trainee, loss=loss):
        yield


@contextmanager
def _twice(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """An optimizer that steps twice."""
    optimizer = origin.session.trainee.optimizers[change["at"]]
    own = optimizer.step

    def step(*args: Any, **options: Any) -> Any:
        own(*args, **options)
        return own(*args, **options)

    with patched(optimizer, step=step):
        yield


@contextmanager
def _clipped(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """The gradients of the backward pass, clipped in a way, in place of what the step makes of them."""
    session, clip, limit = origin.session, CLIPS[change["name"]], change["value"]
    parts = [{id(session.params[key].tensor) for key in part} for part in change.get("parts", ())]

    def clipped(gradients: Mapping[int, Array]) -> dict[int, Array]:
        of = [{key: g for key, g in gradients.items() if key in part} for part in parts] if parts else [gradients]
        return {key: g for some in of for key, g in clip(some, limit).items()}

    with session.framework.regraded(session.trainee, clipped):
        yield


def _by_norm(gradients: Mapping[int, Array], limit: float) -> dict[int, Array]:
    norm = float(np.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values())))
    return {key: g * min(1.0, limit / norm) if norm else g for key, g in gradients.items()}


CLIPS: Mapping[str, Callable[[Mapping[int, Array], float], dict[int, Array]]] = {
    "none": lambda gradients, _: dict(gradients),
    "norm": _by_norm,
    "each": lambda gradients, limit: {
        key: of for k, g in gradients.items() for key, of in _by_norm({k: g}, limit).items()
    },
    "value": lambda gradients, limit: {key: np.clip(g, -limit, limit) for key, g in gradients.items()},
}


@contextmanager
def _uncleared(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Gradients to which each step adds its own: of what one optimizer has, or all."""
    session = origin.session
    with session.framework.uncleared(session.trainee, change["at"]):
        yield


@contextmanager
def _in_roles(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Units that do what others do: each has the other's parameters, and is called by its name."""
    with origin.in_roles(change["at"]):
        yield


@contextmanager
def _held(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Other numbers that some modules hold."""
    with ExitStack() as stack:
        for module in change["of"]:
            stack.enter_context(patched(module, **change["value"]))
        yield


@contextmanager
def _called(origin: Origin, change: Change, batch: Any) -> Iterator[None]:
    """Other calls of functions."""
    with origin.session.framework.calls(change["value"], in_parts=change["in_parts"]):
        yield


CHANGES: Mapping[str, Callable[..., Any]] = {
    "setting": _setting,
    "optimizer": _optimizer,
    "rule": _rule,
    "replaced": _replaced,
    "arranged": _flipped,
    "theirs": _theirs,
    "exchanged": _exchanged,
    "output": _output,
    "training": _evaluation,
    "data": _data,
    "loss function": _loss_function,
    "twice": _twice,
    "clipped": _clipped,
    "uncleared": _uncleared,
    "roles": _in_roles,
    "held": _held,
    "called": _called,
}


OF_UPDATES = ("optimizer", "rule", "twice", "uncleared")
"""Changes of what is kept from one step to the next."""


def _module(origin: Origin, name: str) -> Any:
    return next(unit.module for unit in origin.session.units if unit.name == name)
