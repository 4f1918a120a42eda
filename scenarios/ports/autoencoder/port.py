"""A convolutional autoencoder: transposed convolutions, resizing, Adam with weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> tuple[Any, ...]:
    """The original."""
    import torch
    from old import Autoencoder

    model = Autoencoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    return model, torch.nn.BCEWithLogitsLoss(), optimizer, schedule


def paddle() -> tuple[Any, ...]:
    """The port."""
    import paddle
    from new import Autoencoder

    model = Autoencoder()
    schedule = paddle.optimizer.lr.ExponentialDecay(0.003, gamma=0.9)
    optimizer = paddle.optimizer.Adam(schedule, parameters=model.parameters(), weight_decay=0.01)
    return model, paddle.nn.BCEWithLogitsLoss(), optimizer, schedule


def batches() -> Iterator[tuple[Any, Any]]:
    """Six batches of three images between 0 and 1, to be drawn once more."""
    rng = np.random.default_rng(9)
    for _ in range(6):
        images = rng.random((3, 3, 32, 32)).astype("float32")
        yield images, images.copy()
