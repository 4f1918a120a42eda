"""A language model of two LSTM layers, plain SGD, gradients clipped by their norm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> dict[str, Any]:
    """The original."""
    import torch
    from old import RNNModel, loss, train_step

    model = RNNModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    return {"model": model, "loss": loss, "optimizer": optimizer, "train_step": train_step}


def paddle() -> dict[str, Any]:
    """The port."""
    import paddle
    from new import LanguageModel, train_step

    model = LanguageModel()
    optimizer = paddle.optimizer.SGD(learning_rate=1.0, parameters=model.parameters())
    return {"model": model, "loss": paddle.nn.CrossEntropyLoss(), "optimizer": optimizer, "train_step": train_step}


def batches() -> Iterator[tuple[Any, Any]]:
    """Eight batches of four sequences, each with the tokens that follow."""
    rng = np.random.default_rng(7)
    for _ in range(8):
        tokens = rng.integers(0, 30, (4, 9))
        yield tokens[:, :-1].copy(), tokens[:, 1:].copy()
