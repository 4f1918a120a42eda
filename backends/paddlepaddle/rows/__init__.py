"""Which operations does PaddlePaddle have? A row per operation, by families."""

from __future__ import annotations

from isograd.backend import Deviation
from isograd.backends.paddlepaddle.rows import activations, blocks, layers, losses, optimizers, pooling, shapes
from isograd.backends.paddlepaddle.rows.clipping import CLIPPINGS
from isograd.backends.paddlepaddle.rows.losses import LOSSES
from isograd.backends.paddlepaddle.rows.optimizers import OPTIMIZERS
from isograd.backends.paddlepaddle.rows.row import paddle
from isograd.backends.paddlepaddle.rows.schedules import SCHEDULES

__all__ = ["CLIPPINGS", "DEVIATIONS", "LAYERS", "LOSSES", "OPTIMIZERS", "SCHEDULES", "paddle"]

LAYERS = activations.LAYERS | layers.LAYERS | blocks.LAYERS | pooling.LAYERS | shapes.LAYERS
DEVIATIONS: dict[str, tuple[Deviation, ...]] = (
    activations.DEVIATIONS
    | blocks.DEVIATIONS
    | layers.DEVIATIONS
    | losses.DEVIATIONS
    | optimizers.DEVIATIONS
    | pooling.DEVIATIONS
)
