"""How is each function of numbers built in PyTorch, and what is different in it?"""

from __future__ import annotations

from typing import Any

from isograd.backend import Deviation
from isograd.backends.pytorch.rows.row import LayerRow, of_batch, torch


def _swiglu(op: Any, x: tuple[int, ...]) -> Any:
    def apply(z: Any) -> Any:
        u, v = z.chunk(2, -1)
        return torch.nn.functional.silu(u) * v

    return apply


def _maxout(op: Any, x: tuple[int, ...]) -> Any:
    at = op.axis % len(x) + 1
    return lambda z: z.unflatten(at, (-1, op.pieces)).max(at + 1).values


def _hard_sigmoid_lacks(op: Any) -> str:
    return "" if op.slope == 1 / 6 else f"slope={op.slope:g}"


def _silu_lacks(op: Any) -> str:
    return "" if op.beta == 1 else f"beta={op.beta:g}"


LAYERS: dict[str, LayerRow] = {
    "identity": LayerRow(lambda op, x: lambda z: z.view_as(z)),
    "sigmoid": LayerRow(lambda op, x: torch.nn.Sigmoid()),
    "tanh": LayerRow(lambda op, x: torch.nn.Tanh()),
    "relu": LayerRow(lambda op, x: torch.nn.ReLU()),
    "relu6": LayerRow(lambda op, x: torch.nn.ReLU6()),
    "leaky_relu": LayerRow(lambda op, x: torch.nn.LeakyReLU(op.slope)),
    "prelu": LayerRow(lambda op, x: torch.nn.PReLU(x[0] if op.each else 1)),
    "elu": LayerRow(lambda op, x: torch.nn.ELU(op.alpha)),
    "celu": LayerRow(lambda op, x: torch.nn.CELU(op.alpha)),
    "selu": LayerRow(lambda op, x: torch.nn.SELU()),
    "gelu": LayerRow(lambda op, x: torch.nn.GELU(op.approximate)),
    "silu": LayerRow(lambda op, x: torch.nn.SiLU(), _silu_lacks),
    "mish": LayerRow(lambda op, x: torch.nn.Mish()),
    "softplus": LayerRow(lambda op, x: torch.nn.Softplus(op.beta, op.threshold)),
    "softsign": LayerRow(lambda op, x: torch.nn.Softsign()),
    "log_sigmoid": LayerRow(lambda op, x: torch.nn.LogSigmoid()),
    "tanh_shrink": LayerRow(lambda op, x: torch.nn.Tanhshrink()),
    "hard_sigmoid": LayerRow(lambda op, x: torch.nn.Hardsigmoid(), _hard_sigmoid_lacks),
    "hard_tanh": LayerRow(lambda op, x: torch.nn.Hardtanh(op.low, op.high)),
    "hard_swish": LayerRow(lambda op, x: torch.nn.Hardswish()),
    "hard_shrink": LayerRow(lambda op, x: torch.nn.Hardshrink(op.bound)),
    "soft_shrink": LayerRow(lambda op, x: torch.nn.Softshrink(op.bound)),
    "scale": LayerRow(lambda op, x: lambda z: op.factor * z),
    "softmax": LayerRow(lambda op, x: torch.nn.Softmax(of_batch(op.axis))),
    "log_softmax": LayerRow(lambda op, x: torch.nn.LogSoftmax(of_batch(op.axis))),
    "glu": LayerRow(lambda op, x: torch.nn.GLU(of_batch(op.axis))),
    "swiglu": LayerRow(_swiglu),
    "maxout": LayerRow(_maxout),
}


DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "hard_sigmoid": (
        Deviation(
            "backward/{below}",
            "the derivative 1/6 is kept in float32, in a float64 run too",
            "2.13.0",
            "https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/cpu/Activation.cpp",
            ("*",),
            lambda op, dtype: dtype == "float64",
            kept_in="float32",
        ),
    ),
}
