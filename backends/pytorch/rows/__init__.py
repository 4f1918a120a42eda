"""Which operations does PyTorch have? A row per operation, by families."""

from __future__ import annotations

from isograd.backend import Deviation
from isograd.backends.pytorch.rows import activations, blocks, layers, optimizers, pooling, shapes
from isograd.backends.pytorch.rows.clipping import CLIPPINGS
from isograd.backends.pytorch.rows.losses import LOSSES
from isograd.backends.pytorch.rows.optimizers import OPTIMIZERS
from isograd.backends.pytorch.rows.row import torch
from isograd.backends.pytorch.rows.schedules import SCHEDULES

__all__ = ["CLIPPINGS", "DEVIATIONS", "LAYERS", "LOSSES", "OPTIMIZERS", "SCHEDULES", "torch"]

LAYERS = activations.LAYERS | layers.LAYERS | blocks.LAYERS | pooling.LAYERS | shapes.LAYERS
DEVIATIONS: dict[str, tuple[Deviation, ...]] = activations.DEVIATIONS | optimizers.DEVIATIONS
