"""A tagger with a bidirectional GRU over sentences of several lengths, Adam."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> tuple[Any, ...]:
    """The original."""
    import torch
    from old import Tagger, loss

    model = Tagger()
    return model, loss, torch.optim.Adam(model.parameters(), lr=0.01)


def paddle() -> tuple[Any, ...]:
    """The port."""
    import paddle
    from new import GRUTagger, loss

    model = GRUTagger()
    return model, loss, paddle.optimizer.Adam(0.01, parameters=model.parameters())


def batches() -> Iterator[tuple[Any, Any]]:
    """Eight batches of five sentences of up to seven words."""
    rng = np.random.default_rng(8)
    for _ in range(8):
        lengths = rng.integers(3, 8, 5)
        lengths[0], lengths[1] = 7, 4
        real = np.arange(7) < lengths[:, None]
        words = np.where(real, rng.integers(1, 50, (5, 7)), 0)
        yield (words, lengths), np.where(real, rng.integers(1, 7, (5, 7)), 0)
