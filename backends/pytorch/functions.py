"""Which functions of PyTorch can stand in the place of a module, of a call, or of a loss? By the words for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "relu": lambda x: x.relu(),
    "relu6": lambda x: torch.nn.functional.relu6(x),
    "leaky relu of slope 0.01": lambda x: torch.nn.functional.leaky_relu(x, 0.01),
    "leaky relu of slope 0.1": lambda x: torch.nn.functional.leaky_relu(x, 0.1),
    "leaky relu of slope 0.2": lambda x: torch.nn.functional.leaky_relu(x, 0.2),
    "elu": lambda x: torch.nn.functional.elu(x),
    "selu": lambda x: torch.nn.functional.selu(x),
    "gelu by erf (exact)": lambda x: torch.nn.functional.gelu(x),
    "gelu by tanh (approximate)": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "gelu by sigmoid (approximate), x σ(1.702 x)": lambda x: x * (1.702 * x).sigmoid(),
    "silu (swish)": lambda x: torch.nn.functional.silu(x),
    "mish": lambda x: torch.nn.functional.mish(x),
    "sigmoid": lambda x: x.sigmoid(),
    "tanh": lambda x: x.tanh(),
    "hard swish": lambda x: torch.nn.functional.hardswish(x),
    "hard sigmoid": lambda x: torch.nn.functional.hardsigmoid(x),
    "hard sigmoid of slope 0.2": lambda x: (0.2 * x + 0.5).clamp(0, 1),
    "softplus": lambda x: torch.nn.functional.softplus(x),
    "hard tanh": lambda x: torch.nn.functional.hardtanh(x),
    "log sigmoid": lambda x: torch.nn.functional.logsigmoid(x),
    "the square of a relu": lambda x: x.relu() ** 2,
}
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **ACTIVATIONS,
    "identity": lambda x, *_, **__: x,
    "softmax": lambda x: x.softmax(-1),
    "softmax over samples": lambda x: x.softmax(0),
    "softmax over axis 1": lambda x: x.softmax(1),
    "log softmax": lambda x: x.log_softmax(-1),
    "detached": lambda x: x.detach(),
    "float32": lambda x: x.float().double(),
    "float16": lambda x: x.half().double(),
    "bfloat16": lambda x: x.bfloat16().double(),
}
LOSSES: Mapping[str, Callable[..., Any]] = {
    "mse": lambda out, y: torch.nn.functional.mse_loss(out, y),
    "half the squared error": lambda out, y: ((out - y) ** 2).sum() / 2 / len(y),
    "l1": lambda out, y: torch.nn.functional.l1_loss(out, y),
    "smooth l1": lambda out, y: torch.nn.functional.smooth_l1_loss(out, y),
    "root of the mse": lambda out, y: torch.nn.functional.mse_loss(out, y).sqrt(),
    "bce": lambda out, y: torch.nn.functional.binary_cross_entropy(out, y),
    "bce with logits": lambda out, y: torch.nn.functional.binary_cross_entropy_with_logits(out, y),
    "bce with logits of a sigmoid": lambda out, y: torch.nn.functional.binary_cross_entropy_with_logits(
        out.sigmoid(), y
    ),
    "mse of a sigmoid": lambda out, y: torch.nn.functional.mse_loss(out.sigmoid(), y),
    "bce with weighted positives": lambda out, y, weight: torch.nn.functional.binary_cross_entropy_with_logits(
        out, y, pos_weight=torch.tensor(weight, dtype=out.dtype)
    ),
    "cross-entropy": lambda out, y: torch.nn.functional.cross_entropy(out, y),
    "nll without a log softmax": lambda out, y: torch.nn.functional.nll_loss(out, y),
    "mse of a softmax": lambda out, y: ((out.softmax(-1) - torch.nn.functional.one_hot(y, out.shape[-1])) ** 2).mean(),
    "mse of the outputs and one-hot labels": lambda out, y: (
        (out - torch.nn.functional.one_hot(y, out.shape[-1])) ** 2
    ).mean(),
    "nll of a softmax: the logarithm is missing": lambda out, y: torch.nn.functional.nll_loss(out.softmax(1), y),
    "cross-entropy over axis 0": lambda out, y: torch.nn.functional.nll_loss(out.log_softmax(0), y),
    "bce with logits and one-hot labels": lambda out, y: torch.nn.functional.binary_cross_entropy_with_logits(
        out, torch.nn.functional.one_hot(y, out.shape[-1]).to(out.dtype)
    ),
    "hinge (margin) loss": lambda out, y: torch.nn.functional.multi_margin_loss(out, y),
}
BEHIND = ("detached", "float32", "float16", "bfloat16")
"""Those that are no function in a module's place, but one of what the module gives."""
