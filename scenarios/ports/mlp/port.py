"""A multilayer perceptron: GELU, tanh, ReLU, dropout, Adam."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> tuple[Any, ...]:
    """The original."""
    import torch
    from old import MLP

    model = MLP()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    return model, torch.nn.CrossEntropyLoss(), optimizer


def paddle() -> tuple[Any, ...]:
    """The port."""
    import paddle
    from new import MLP

    model = MLP()
    optimizer = paddle.optimizer.Adam(learning_rate=0.002, parameters=model.parameters())
    return model, paddle.nn.CrossEntropyLoss(), optimizer


def batches() -> Iterator[tuple[Any, Any]]:
    """Eight batches of sixteen rows."""
    rng = np.random.default_rng(1)
    for _ in range(8):
        yield rng.normal(size=(16, 12)).astype("float32"), rng.integers(0, 5, 16)
