"""What do a user's modules keep from step to step beside the state that is recorded, and how is it put back?

A counter of steps, the last hidden state, a queue's pointer, a generator of random numbers: a second run in the same
process has to begin with what the first one began with.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import Any

import numpy as np

from isograd.framework import Framework, Trainee

PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic)

PutBack = Callable[[], Any]
"""Gives a thing again as it was; what can be changed in place is, so that who else holds it sees the same."""


def remembered(framework: Framework, trainee: Trainee) -> PutBack:
    """What puts back all that modules of a user's own classes keep now, and a loss."""
    things = (*(module for _, module in framework.modules(trainee.model)), trainee.loss)
    kept = [_module(framework, of) for of in things if hasattr(of, "__dict__") and not framework.made(of)]
    return lambda: [put_back() for put_back in kept]


def _module(framework: Framework, module: Any) -> PutBack:
    """A module's attributes, where they are of a kind that is known, and its buffers."""
    parts = [_names(framework, held) for held in (vars(module), framework.held_buffers(module))]
    return lambda: [part() for part in parts]


def _names(framework: Framework, held: dict[str, Any]) -> PutBack:
    """What stands in a dict by name; what has come since is removed."""
    parts = {name: saved(framework, value) for name, value in held.items() if name not in framework.apart}
    names, known = frozenset(held), {name: part for name, part in parts.items() if part is not None}

    def put_back() -> None:
        for name in [name for name in held if name not in names]:
            del held[name]
        held.update({name: part() for name, part in known.items()})

    return put_back


def saved(framework: Framework, value: Any, within: frozenset[int] = frozenset()) -> PutBack | None:
    """What puts a number, a tensor, an array or a generator back, or what is made of such; None for anything else.

    Args:
        framework: whose tensors.
        value: the thing.
        within: the containers that it stands in, by their `id`: what holds itself is nothing that is known.
    """
    if isinstance(value, PLAIN):
        return lambda: value
    if isinstance(value, (list, tuple, set, deque, dict)):
        return None if id(value) in within else _container(framework, value, within | {id(value)})
    if isinstance(value, np.ndarray) and value.flags.writeable:
        return _with(value, deepcopy(value), lambda copied: np.copyto(value, copied))
    if isinstance(value, np.random.Generator):
        return _with(
            value, deepcopy(value.bit_generator.state), lambda state: setattr(value.bit_generator, "state", state)
        )
    if isinstance(value, np.random.RandomState):
        return _with(value, value.get_state(), value.set_state)
    if isinstance(value, random.Random):
        return _with(value, value.getstate(), value.setstate)
    if hasattr(value, "detach"):
        with suppress(Exception):  # of a kind that no array is of
            array = framework.array(value)
            if array.shape == tuple(value.shape):  # otherwise nobody has put numbers into it yet
                return _with(value, array, lambda array: framework.copy_into(value, array))
    return None


def _with(value: Any, state: Any, put: Callable[[Any], Any]) -> PutBack:
    def put_back() -> Any:
        put(state)
        return value

    return put_back


def _container(framework: Framework, value: Any, within: frozenset[int]) -> PutBack | None:
    names, held = ([*value], [*value.values()]) if isinstance(value, dict) else ((), [*value])
    parts = {at: saved(framework, of, within) for at, of in enumerate(held) if not isinstance(of, PLAIN)}
    if None in parts.values():
        return None

    def put_back() -> Any:
        items = list(held)
        for at, part in parts.items():
            items[at] = part() if part else None
        if isinstance(value, tuple):
            return value if all(one is other for one, other in zip(items, value, strict=True)) else type(value)(items)
        value.clear()
        if isinstance(value, dict):
            value.update(zip(names, items, strict=True))
        elif isinstance(value, set):
            value.update(items)
        else:
            value.extend(items)
        return value

    return put_back
