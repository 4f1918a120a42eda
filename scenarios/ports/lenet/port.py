"""LeNet: convolution, batch normalization, pooling, SGD with momentum, a step schedule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> tuple[Any, ...]:
    """The original."""
    import torch
    from old import LeNet

    model = LeNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    return model, torch.nn.CrossEntropyLoss(), optimizer, schedule


def paddle() -> tuple[Any, ...]:
    """The port."""
    import paddle
    from new import LeNet

    model = LeNet()
    schedule = paddle.optimizer.lr.StepDecay(learning_rate=0.05, step_size=2, gamma=0.5)
    optimizer = paddle.optimizer.Momentum(schedule, momentum=0.9, parameters=model.parameters())
    return model, paddle.nn.CrossEntropyLoss(), optimizer, schedule


def batches() -> Iterator[tuple[Any, Any]]:
    """Eight batches of four images."""
    rng = np.random.default_rng(2)
    for _ in range(8):
        yield rng.normal(size=(4, 1, 28, 28)).astype("float32"), rng.integers(0, 10, 4)
