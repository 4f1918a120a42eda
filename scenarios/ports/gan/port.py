"""A generative adversarial network: two optimizers, a step of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


def torch() -> dict[str, Any]:
    """The original."""
    import torch
    from old import GAN, train_step

    model = GAN()
    optimizer = {
        "d": torch.optim.Adam(model.discriminator.parameters(), lr=2e-3, betas=(0.5, 0.999)),
        "g": torch.optim.Adam(model.generator.parameters(), lr=2e-3, betas=(0.5, 0.999)),
    }
    return {
        "model": model,
        "loss": torch.nn.BCEWithLogitsLoss(),
        "optimizer": optimizer,
        "train_step": train_step,
    }


def paddle() -> dict[str, Any]:
    """The port."""
    import paddle
    from new import GAN, optimizers, train_step

    model = GAN()
    return {
        "model": model,
        "loss": paddle.nn.BCEWithLogitsLoss(),
        "optimizer": optimizers(model),
        "train_step": train_step,
    }


def batches() -> Iterator[tuple[Any, Any]]:
    """Six batches of eight images and as many draws of noise; the labels are not used."""
    rng = np.random.default_rng(10)
    for _ in range(6):
        real = np.tanh(rng.normal(size=(8, 1, 8, 8))).astype("float32")
        yield (real, rng.normal(size=(8, 10)).astype("float32")), np.zeros(8, "int64")
