"""What is a row of PyTorch's tables?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from isograd.backend import LazyModule

torch = LazyModule("torch")


def nothing(op: Any) -> str:
    """No setting is lacking."""
    return ""


SIXTEEN = frozenset({"float16", "bfloat16"})
"""Dtypes for which not every kernel is there on the CPU."""


class LayerRow(NamedTuple):
    """A layer; its parameters and buffers have our names and layouts, but for what is said here.

    Attributes:
        build: from the operation and the shapes of its inputs for one sample, something that takes the inputs.
        lacks: the setting of an operation that PyTorch does not have, or "".
    """

    build: Callable[..., Any]
    lacks: Callable[[Any], str] = nothing


class LossRow(NamedTuple):
    """A loss.

    Attributes:
        of: from the operation, outputs and labels, its value.
        lacks: as a layer's.
        without: dtypes that it does not have.
    """

    of: Callable[[Any, Any, Any], Any]
    lacks: Callable[[Any], str] = nothing
    without: frozenset[str] = frozenset()


class OptimizerRow(NamedTuple):
    """An optimizer.

    Attributes:
        build: from the operation, the learning rate, and the parameters in one group.
        slots: PyTorch's names of the slots.
        counted: its names of what follows from the number of steps done: from the operation and that number.
        first: names of slots that its first step makes, from its gradient alone.
        lacks: as a layer's.
        common: settings that are one for all groups.
    """

    build: Callable[[Any, float, Any], Any]
    slots: Mapping[str, str] = {}
    counted: Mapping[str, Callable[[Any, int], float]] = {}
    first: tuple[str, ...] = ()
    lacks: Callable[[Any], str] = nothing
    common: frozenset[str] = frozenset()


class ScheduleRow(NamedTuple):
    """A schedule.

    Attributes:
        build: from the operation, the optimizer, and how often it is stepped at most: then the rate stays.
        lacks: as a layer's.
        common: which of its numbers is one for all groups, whatever their rates are; "" for none.
    """

    build: Callable[[Any, Any, int], Any]
    lacks: Callable[[Any], str] = nothing
    common: Callable[[Any], str] = nothing


class ClippingRow(NamedTuple):
    """A clipping.

    Attributes:
        clip: from the operation and the parameters, which have gradients that are changed in place.
        lacks: as a layer's.
        without: dtypes that it does not have.
    """

    clip: Callable[[Any, Any], None]
    lacks: Callable[[Any], str] = nothing
    without: frozenset[str] = frozenset()


def of_batch(axis: int) -> int:
    """The axis of a batch that is an axis of a sample."""
    return axis if axis < 0 else axis + 1
