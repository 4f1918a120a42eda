"""What does a function of a user's file give? A model, its loss and its optimizers, in a framework."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from isograd.errors import IsogradError
from isograd.framework import Framework, Trainee
from isograd.patched import patched
from isograd.registered import registered

GROUP = "isograd.frameworks"


class PortError(IsogradError):
    """A port that cannot be run: what was expected, and what came."""


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
        hint = "a function that is no side begins with an underscore"
        raise PortError(f"{name}(): expected model, loss, optimizer, and perhaps a schedule; got {came}; {hint}")
    optimizer = parts["optimizer"]
    optimizers = dict(optimizer) if isinstance(optimizer, Mapping) else {"": optimizer}
    return Trainee(parts["model"], parts["loss"], optimizers, parts["schedule"], parts["train_step"], optimizer)


@contextmanager
def building(dtype: str) -> Iterator[None]:
    """Within it every framework that is imported makes its numbers in a dtype."""
    with ExitStack() as stack:
        for framework in frameworks():
            if framework.root in sys.modules:
                stack.enter_context(framework.building(dtype))
        yield


OTHER_SEED = 7919


@contextmanager
def reseeded() -> Iterator[None]:
    """Within it other numbers are drawn than before, also where a user's code says from which seed."""

    def other(own: Callable[..., Any]) -> Callable[..., Any]:
        return lambda seed=0, *args, **options: own(
            seed + OTHER_SEED if isinstance(seed, int) else OTHER_SEED, *args, **options
        )

    places: list[tuple[Any, str]] = [(np.random, "seed"), (np.random, "default_rng"), (random, "seed")]
    seeding = [place for framework in frameworks() for place in framework.seeding()]
    places += [(sys.modules[module], name) for module, name in seeding if module in sys.modules]
    with ExitStack() as stack:
        for place, name in places:
            stack.enter_context(patched(place, **{name: other(getattr(place, name))}))
        for place, name in places:
            if name != "default_rng":
                getattr(place, name)(0)
        yield
