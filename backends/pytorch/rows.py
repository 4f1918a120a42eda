"""Which operations does PyTorch have, how is each built, and what is different in it? A row per operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import log
from operator import add
from typing import Any, NamedTuple

from isograd.backend import Deviation, LazyModule

torch = LazyModule("torch")


def _nothing(op: Any) -> str:
    return ""


class LayerRow(NamedTuple):
    """A layer; its parameters and buffers have our names and layouts, but for what is said here.

    Attributes:
        build: from the operation and the shapes of its inputs for one sample, something that takes the inputs.
        lacks: the setting of an operation that PyTorch does not have, or "".
    """

    build: Callable[..., Any]
    lacks: Callable[[Any], str] = _nothing


class OptimizerRow(NamedTuple):
    """An optimizer.

    Attributes:
        build: from the operation, the learning rate, and the parameters in one group.
        slots: PyTorch's names of the slots.
        lacks: as a layer's.
    """

    build: Callable[[Any, float, Any], Any]
    slots: Mapping[str, str] = {}
    lacks: Callable[[Any], str] = _nothing


class ScheduleRow(NamedTuple):
    """A schedule.

    Attributes:
        last: from the operation and the run's steps, the step from which on the rate stays.
        build: from the operation, the optimizer, and that step.
        lacks: as a layer's.
    """

    last: Callable[[Any, int], int]
    build: Callable[[Any, Any, int], Any]
    lacks: Callable[[Any], str] = _nothing


# ---------------------------------------------------------------- layers


def _linear(op: Any, x: tuple[int, ...]) -> Any:
    units, features = op.parameters(x)["weight"].shape
    return torch.nn.Linear(features, units, bias=op.bias is not None)


def _conv2d(op: Any, x: tuple[int, ...]) -> Any:
    channels, _, *kernel = op.parameters(x)["weight"].shape
    settings = {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": op.groups}
    return torch.nn.Conv2d(x[0], channels, kernel, bias=op.bias is not None, **settings)


def _batch_norm(op: Any, x: tuple[int, ...]) -> Any:
    norm = getattr(torch.nn, f"BatchNorm{max(len(x) - 1, 1)}d")
    return norm(x[0], eps=op.epsilon, momentum=1 - op.momentum)  # the weight of the new statistic


def _softmax(op: Any, x: tuple[int, ...]) -> Any:
    return torch.nn.Softmax(dim=op.axis if op.axis < 0 else op.axis + 1)  # axis 0 is the batch


def _flatten(op: Any, x: tuple[int, ...]) -> Any:
    # of samples that are flat already `Flatten` gives its very input, which has no gradient of its own
    return torch.nn.Flatten() if len(x) > 1 else lambda z: z.view_as(z)


def _hard_sigmoid_lacks(op: Any) -> str:
    return "" if op.slope == 1 / 6 else f"slope={op.slope:g}"


def _silu_lacks(op: Any) -> str:
    return "" if op.beta == 1 else f"beta={op.beta:g}"


LAYERS: dict[str, LayerRow] = {
    "linear": LayerRow(_linear),
    "conv2d": LayerRow(_conv2d),
    "batch_norm": LayerRow(_batch_norm),
    "sigmoid": LayerRow(lambda op, x: torch.nn.Sigmoid()),
    "relu": LayerRow(lambda op, x: torch.nn.ReLU()),
    "tanh": LayerRow(lambda op, x: torch.nn.Tanh()),
    "softsign": LayerRow(lambda op, x: torch.nn.Softsign()),
    "leaky_relu": LayerRow(lambda op, x: torch.nn.LeakyReLU(op.slope)),
    "elu": LayerRow(lambda op, x: torch.nn.ELU(op.alpha)),
    "gelu": LayerRow(lambda op, x: torch.nn.GELU(op.approximate)),
    "selu": LayerRow(lambda op, x: torch.nn.SELU()),
    "silu": LayerRow(lambda op, x: torch.nn.SiLU(), _silu_lacks),
    "mish": LayerRow(lambda op, x: torch.nn.Mish()),
    "log_sigmoid": LayerRow(lambda op, x: torch.nn.LogSigmoid()),
    "tanh_shrink": LayerRow(lambda op, x: torch.nn.Tanhshrink()),
    "hard_swish": LayerRow(lambda op, x: torch.nn.Hardswish()),
    "hard_shrink": LayerRow(lambda op, x: torch.nn.Hardshrink(op.bound)),
    "soft_shrink": LayerRow(lambda op, x: torch.nn.Softshrink(op.bound)),
    "softplus": LayerRow(lambda op, x: torch.nn.Softplus()),
    "hard_sigmoid": LayerRow(lambda op, x: torch.nn.Hardsigmoid(), _hard_sigmoid_lacks),
    "hard_tanh": LayerRow(lambda op, x: torch.nn.Hardtanh(op.low, op.high)),
    "softmax": LayerRow(_softmax),
    "scale": LayerRow(lambda op, x: lambda z: op.factor * z),
    "add": LayerRow(lambda op, *x: lambda *z: reduce(add, z)),
    "flatten": LayerRow(_flatten),
}


# ---------------------------------------------------------------- losses


def _half_squared_error(op: Any, yhat: Any, y: Any) -> Any:
    return 0.5 * torch.nn.functional.mse_loss(yhat, y, reduction="sum") / len(y)


def _log_cosh(op: Any, yhat: Any, y: Any) -> Any:
    r = yhat - y
    return (r + torch.nn.functional.softplus(-2.0 * r) - log(2.0)).mean()


LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "half_squared_error": _half_squared_error,
    "mse": lambda op, yhat, y: torch.nn.functional.mse_loss(yhat, y),
    "l1": lambda op, yhat, y: torch.nn.functional.l1_loss(yhat, y),
    "smooth_l1": lambda op, yhat, y: torch.nn.functional.smooth_l1_loss(yhat, y, beta=op.beta),
    "log_cosh": _log_cosh,
    "cross_entropy": lambda op, yhat, y: torch.nn.functional.cross_entropy(yhat, y),
}


# ---------------------------------------------------------------- optimizers and schedules


def _adam(op: Any, lr: float, parameters: Any) -> Any:
    make = torch.optim.AdamW if op.decoupled else torch.optim.Adam
    return make(parameters, lr=lr, betas=(op.beta1, op.beta2), eps=op.epsilon, weight_decay=op.weight_decay)


def _rmsprop(op: Any, lr: float, parameters: Any) -> Any:
    return torch.optim.RMSprop(parameters, lr=lr, alpha=op.smoothing, eps=op.epsilon)


def _adagrad(op: Any, lr: float, parameters: Any) -> Any:
    return torch.optim.Adagrad(parameters, lr=lr, eps=op.epsilon)


def _adamax(op: Any, lr: float, parameters: Any) -> Any:
    return torch.optim.Adamax(parameters, lr=lr, betas=(op.beta1, op.beta2), eps=op.epsilon)


OPTIMIZERS: dict[str, OptimizerRow] = {
    "sgd": OptimizerRow(lambda op, lr, parameters: torch.optim.SGD(parameters, lr=lr)),
    "adam": OptimizerRow(_adam, {"m": "exp_avg", "v": "exp_avg_sq"}),
    "rmsprop": OptimizerRow(_rmsprop, {"v": "square_avg"}),
    "adagrad": OptimizerRow(_adagrad, {"v": "sum"}),
    "adamax": OptimizerRow(_adamax, {"m": "exp_avg", "u": "exp_inf"}),
}


def _cosine_last(op: Any, steps: int) -> int:
    return int(max(op.steps or steps, op.warmup + 1))  # after the warm-up a cosine has one step at least


def _cosine(op: Any, optimizer: Any, last: int) -> Any:
    lr_scheduler = torch.optim.lr_scheduler
    cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=last - op.warmup, eta_min=op.floor)
    if not op.warmup:
        return cosine
    line = lr_scheduler.LinearLR(optimizer, start_factor=op.start, total_iters=op.warmup)
    return lr_scheduler.SequentialLR(optimizer, [line, cosine], milestones=[op.warmup])


SCHEDULES: dict[str, ScheduleRow] = {"cosine": ScheduleRow(_cosine_last, _cosine)}


# ---------------------------------------------------------------- what is different

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
