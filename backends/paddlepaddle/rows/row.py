"""What is a row of PaddlePaddle's tables?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from isograd.backend import LazyModule

paddle = LazyModule("paddle")


def nothing(op: Any) -> str:
    """No setting is lacking."""
    return ""


class LayerRow(NamedTuple):
    """A layer.

    Attributes:
        build: from the operation and the shapes of its inputs for one sample, something that takes the inputs.
        names: PaddlePaddle's names of parameters and buffers, where they are not ours.
        transposed: parameters, by our names, whose axes PaddlePaddle keeps in the opposite order.
        lacks: the setting of an operation that PaddlePaddle does not have, or "".
        stacked: of a parameter of ours, those that stand in it one below the other.
    """

    build: Callable[..., Any]
    names: Mapping[str, str] = {}
    transposed: frozenset[str] = frozenset()
    lacks: Callable[[Any], str] = nothing
    stacked: Mapping[str, tuple[str, ...]] = {}


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
        build: from the operation, the learning rate or its schedule, and the parameters.
        slots: PaddlePaddle's names of the slots.
        counted: its names of what it keeps for each parameter beside them and that follows from the number of steps
            done: from the operation, that number and the dtype.
        group: its names of the settings that can be others for a group of parameters.
        lacks: as a layer's.
    """

    build: Callable[[Any, Any, Any], Any]
    slots: Mapping[str, str] = {}
    counted: Mapping[str, Callable[[Any, int, Any], Any]] = {}
    group: Mapping[str, str] = {"weight_decay": "weight_decay"}
    lacks: Callable[[Any], str] = nothing


class ScheduleRow(NamedTuple):
    """A schedule.

    Attributes:
        build: from the operation, the optimizer's learning rate, and how often it is stepped at most: then the rate
            stays.
        lacks: as a layer's.
    """

    build: Callable[[Any, float, int], Any]
    lacks: Callable[[Any], str] = nothing


class ClippingRow(NamedTuple):
    """A clipping.

    Attributes:
        build: from the operation, what an optimizer is given.
        lacks: as a layer's.
        without: dtypes that it does not have.
    """

    build: Callable[[Any], Any]
    lacks: Callable[[Any], str] = nothing
    without: frozenset[str] = frozenset()


def of_batch(axis: int) -> int:
    """The axis of a batch that is an axis of a sample."""
    return axis if axis < 0 else axis + 1


def bias_of(op: Any) -> bool | None:
    """What a layer is told of its bias: None for one."""
    return None if op.bias is not None else False


KERNELS = "https://github.com/PaddlePaddle/Paddle/blob/v3.3.1/paddle/phi/kernels/cpu/"


LOSS_FILE = "https://github.com/PaddlePaddle/Paddle/blob/v3.3.1/python/paddle/nn/functional/loss.py"


def are_rounded(*settings: str) -> Callable[[Any, str], bool]:
    """Whether a float64 run has settings that float32 does not hold."""
    return lambda op, dtype: (
        dtype == "float64" and any(float(np.float32(getattr(op, name))) != getattr(op, name) for name in settings)
    )
