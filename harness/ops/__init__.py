"""What can be computed? One class an operation, named by its kind in files: the registry, read off the classes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args

from pydantic import Field

from isograd.ops.op import Clipping, Layer, Loss, Op, Optimizer, Schedule

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]


def _of(base: type[Any]) -> Mapping[str, type[Any]]:
    """Every class of a sort that says its kind itself, by it: no base of several, and no alternative of another."""
    defined = [cls for module in _MODULES for cls in vars(module).values() if _is_of(cls, base, module.__name__)]
    return {get_args(cls.model_fields["kind"].annotation)[0]: cls for cls in defined}


def _is_of(cls: Any, base: type[Any], module: str) -> bool:
    return (
        isinstance(cls, type) and issubclass(cls, base) and cls.__module__ == module and "kind" in cls.__annotations__
    )


LAYERS: Mapping[str, type[Layer]] = _of(Layer)
LOSSES: Mapping[str, type[Loss]] = _of(Loss)
OPTIMIZERS: Mapping[str, type[Optimizer]] = _of(Optimizer)
SCHEDULES: Mapping[str, type[Schedule]] = _of(Schedule)
CLIPPINGS: Mapping[str, type[Clipping]] = _of(Clipping)


def _any(classes: Mapping[str, type[Op]]) -> Any:
    """Any of them, told apart by its kind."""
    kinds = tuple(classes.values())
    return Annotated[Union[kinds], Field(discriminator="kind")] if len(kinds) > 1 else kinds[0]  # noqa: UP007


if TYPE_CHECKING:
    AnyLayer = Layer
    AnyLoss = Loss
    AnyOptimizer = Optimizer
    AnySchedule = Schedule
    AnyClipping = Clipping
else:
    AnyLayer, AnyLoss, AnyOptimizer = (_any(c) for c in (LAYERS, LOSSES, OPTIMIZERS))
    AnySchedule, AnyClipping = (_any(c) for c in (SCHEDULES, CLIPPINGS))
