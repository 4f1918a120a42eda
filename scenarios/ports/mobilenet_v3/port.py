"""MobileNetV3 small from the paper against the one of paddle.vision, SGD with a cosine schedule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> tuple[Any, ...]:
    """The original."""
    import torch
    from old import MobileNetV3

    model = MobileNetV3()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
    return model, torch.nn.CrossEntropyLoss(label_smoothing=0.1), optimizer, schedule


def paddle() -> tuple[Any, ...]:
    """The port."""
    import paddle
    from new import build

    model = build()
    schedule = paddle.optimizer.lr.CosineAnnealingDecay(learning_rate=0.02, T_max=6)
    optimizer = paddle.optimizer.Momentum(
        schedule, momentum=0.9, parameters=model.parameters(), weight_decay=1e-4, use_nesterov=True
    )
    return model, paddle.nn.CrossEntropyLoss(label_smoothing=0.1), optimizer, schedule


def batches() -> Iterator[tuple[Any, Any]]:
    """Six batches of four small images."""
    rng = np.random.default_rng(4)
    for _ in range(6):
        yield rng.normal(size=(4, 3, 64, 64)).astype("float32"), rng.integers(0, 10, 4)
