"""A GPT of two layers: causal attention, tied embedding, AdamW with warmup and cosine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> tuple[Any, ...]:
    """The original."""
    import torch
    from old import GPT, loss, warmup_cosine

    model = GPT()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine)
    return model, loss, optimizer, schedule


def paddle() -> tuple[Any, ...]:
    """The port."""
    import paddle
    from new import GPTForCausalLM, warmup_cosine

    model = GPTForCausalLM()
    schedule = paddle.optimizer.lr.LambdaDecay(3e-3, warmup_cosine)
    optimizer = paddle.optimizer.AdamW(schedule, beta1=0.9, beta2=0.95, parameters=model.parameters(), weight_decay=0.1)
    return model, paddle.nn.CrossEntropyLoss(), optimizer, schedule


def batches() -> Iterator[tuple[Any, Any]]:
    """Eight batches of three sequences, each with the tokens that follow."""
    rng = np.random.default_rng(6)
    for _ in range(8):
        tokens = rng.integers(0, 32, (3, 11))
        yield tokens[:, :-1].copy(), tokens[:, 1:].copy()
