"""A BERT of two layers: masked tokens, AdamW with groups of weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> tuple[Any, ...]:
    """The original."""
    from old import BertForMaskedLM, loss, optimizer

    model = BertForMaskedLM()
    return model, loss, optimizer(model)


def paddle() -> tuple[Any, ...]:
    """The port."""
    from new import BertForMaskedLM, loss, optimizer

    model = BertForMaskedLM()
    return model, loss, optimizer(model)


def batches() -> Iterator[tuple[Any, Any]]:
    """Eight batches of four sentences of up to twelve tokens."""
    rng = np.random.default_rng(5)
    for _ in range(8):
        tokens = rng.integers(3, 40, (4, 12))
        lengths = rng.integers(7, 12, 4)
        real = np.arange(12) < lengths[:, None]
        masked = (rng.random((4, 12)) < 0.25) & real
        masked[:, 1] = True
        x = {
            "input_ids": np.where(real, np.where(masked, 2, tokens), 0),
            "token_type_ids": (np.arange(12) >= 5).astype("int64") * real,
            "attention_mask": real.astype("int64"),
        }
        yield x, np.where(masked, tokens, -100)
