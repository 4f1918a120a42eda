"""ResNet-18 from the paper against the one of paddle.vision, SGD with momentum and weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> tuple[Any, ...]:
    """The original."""
    import torch
    from old import ResNet18

    model = ResNet18()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    return model, torch.nn.CrossEntropyLoss(), optimizer


def paddle() -> tuple[Any, ...]:
    """The port."""
    import paddle
    from new import build

    model = build()
    optimizer = paddle.optimizer.Momentum(
        learning_rate=0.01, momentum=0.9, parameters=model.parameters(), weight_decay=5e-4
    )
    return model, paddle.nn.CrossEntropyLoss(), optimizer


def batches() -> Iterator[tuple[Any, Any]]:
    """Six batches of four small images."""
    rng = np.random.default_rng(3)
    for _ in range(6):
        yield rng.normal(size=(4, 3, 64, 64)).astype("float32"), rng.integers(0, 10, 4)
