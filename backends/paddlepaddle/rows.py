"""Which operations does PaddlePaddle have, how is each built, and what is different in it? A row per operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import log
from operator import add
from typing import Any, NamedTuple

import numpy as np

from isograd.backend import Deviation, LazyModule

paddle = LazyModule("paddle")


def _nothing(op: Any) -> str:
    return ""


class LayerRow(NamedTuple):
    """A layer.

    Attributes:
        build: from the operation and the shapes of its inputs for one sample, something that takes the inputs.
        names: PaddlePaddle's names of parameters and buffers, where they are not ours.
        transposed: parameters, by our names, whose axes PaddlePaddle keeps in the opposite order.
        lacks: the setting of an operation that PaddlePaddle does not have, or "".
    """

    build: Callable[..., Any]
    names: Mapping[str, str] = {}
    transposed: frozenset[str] = frozenset()
    lacks: Callable[[Any], str] = _nothing


class OptimizerRow(NamedTuple):
    """An optimizer.

    Attributes:
        build: from the operation, the learning rate or its schedule, and the parameters.
        slots: PaddlePaddle's names of the slots.
        powers: its names of the powers that it keeps for each parameter, and the setting that is their base.
        lacks: as a layer's.
    """

    build: Callable[[Any, Any, Any], Any]
    slots: Mapping[str, str] = {}
    powers: Mapping[str, str] = {}
    lacks: Callable[[Any], str] = _nothing


class ScheduleRow(NamedTuple):
    """A schedule.

    Attributes:
        build: from the operation, the optimizer's learning rate, and the schedule's last step.
        lacks: as a layer's.
    """

    build: Callable[[Any, float, int], Any]
    lacks: Callable[[Any], str] = _nothing


# ---------------------------------------------------------------- layers


def _bias(op: Any) -> bool | None:
    return None if op.bias is not None else False


def _linear(op: Any, x: tuple[int, ...]) -> Any:
    units, features = op.parameters(x)["weight"].shape
    return paddle.nn.Linear(features, units, bias_attr=_bias(op))


def _conv2d(op: Any, x: tuple[int, ...]) -> Any:
    channels, _, *kernel = op.parameters(x)["weight"].shape
    return paddle.nn.Conv2D(
        x[0], channels, kernel, [*op.stride], [*op.padding], [*op.dilation], op.groups, bias_attr=_bias(op)
    )


def _batch_norm(op: Any, x: tuple[int, ...]) -> Any:
    norm = getattr(paddle.nn, f"BatchNorm{max(len(x) - 1, 1)}D")
    return norm(x[0], momentum=op.momentum, epsilon=op.epsilon)


def _softmax(op: Any, x: tuple[int, ...]) -> Any:
    return paddle.nn.Softmax(axis=op.axis if op.axis < 0 else op.axis + 1)  # axis 0 is the batch


def _silu_lacks(op: Any) -> str:
    return "" if op.beta == 1 else f"beta={op.beta:g}"


# On the CPU the kernels of softmax and cross-entropy clip z − max z at −64, in float64 too: no probability is under
# 1.6e-28, no loss of a sample over about 64. In float64, ε and momentum of batch norm and AdamW's weight_decay are kept
# in float32. (Measured with 3.3.1.)
LAYERS: dict[str, LayerRow] = {
    # a weight is (in, out), for z = x W + b
    "linear": LayerRow(_linear, transposed=frozenset({"weight"})),
    "conv2d": LayerRow(_conv2d),
    "batch_norm": LayerRow(_batch_norm, {"running_mean": "_mean", "running_var": "_variance"}),
    "sigmoid": LayerRow(lambda op, x: paddle.nn.Sigmoid()),
    "relu": LayerRow(lambda op, x: paddle.nn.ReLU()),
    "tanh": LayerRow(lambda op, x: paddle.nn.Tanh()),
    "softsign": LayerRow(lambda op, x: paddle.nn.Softsign()),
    "leaky_relu": LayerRow(lambda op, x: paddle.nn.LeakyReLU(op.slope)),
    "elu": LayerRow(lambda op, x: paddle.nn.ELU(op.alpha)),
    "gelu": LayerRow(lambda op, x: paddle.nn.GELU(op.approximate == "tanh")),
    "selu": LayerRow(lambda op, x: paddle.nn.SELU()),
    "silu": LayerRow(lambda op, x: paddle.nn.Silu(), lacks=_silu_lacks),
    "mish": LayerRow(lambda op, x: paddle.nn.Mish()),
    "log_sigmoid": LayerRow(lambda op, x: paddle.nn.LogSigmoid()),
    "tanh_shrink": LayerRow(lambda op, x: paddle.nn.Tanhshrink()),
    "hard_swish": LayerRow(lambda op, x: paddle.nn.Hardswish()),
    "hard_shrink": LayerRow(lambda op, x: paddle.nn.Hardshrink(op.bound)),
    "soft_shrink": LayerRow(lambda op, x: paddle.nn.Softshrink(op.bound)),
    "softplus": LayerRow(lambda op, x: paddle.nn.Softplus()),
    # the layer's own slope is 0.1666667
    "hard_sigmoid": LayerRow(lambda op, x: lambda z: paddle.nn.functional.hardsigmoid(z, slope=op.slope)),
    "hard_tanh": LayerRow(lambda op, x: paddle.nn.Hardtanh(op.low, op.high)),
    "softmax": LayerRow(_softmax),
    "scale": LayerRow(lambda op, x: lambda z: op.factor * z),
    "add": LayerRow(lambda op, *x: lambda *z: reduce(add, z)),
    "flatten": LayerRow(lambda op, x: paddle.nn.Flatten()),
}


# ---------------------------------------------------------------- losses


def _half_squared_error(op: Any, yhat: Any, y: Any) -> Any:
    return 0.5 * paddle.nn.functional.mse_loss(yhat, y, reduction="sum") / len(y)


def _log_cosh(op: Any, yhat: Any, y: Any) -> Any:
    r = yhat - y
    return (r + paddle.nn.functional.softplus(-2.0 * r) - log(2.0)).mean()


LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "half_squared_error": _half_squared_error,
    "mse": lambda op, yhat, y: paddle.nn.functional.mse_loss(yhat, y),
    "l1": lambda op, yhat, y: paddle.nn.functional.l1_loss(yhat, y),
    "smooth_l1": lambda op, yhat, y: paddle.nn.functional.smooth_l1_loss(yhat, y, delta=op.beta) / op.beta,
    "log_cosh": _log_cosh,
    "cross_entropy": lambda op, yhat, y: paddle.nn.functional.cross_entropy(yhat, y),
}


# ---------------------------------------------------------------- optimizers and schedules


def _adam(op: Any, lr: Any, parameters: Any) -> Any:
    make = paddle.optimizer.AdamW if op.decoupled else paddle.optimizer.Adam
    return make(lr, op.beta1, op.beta2, op.epsilon, parameters, weight_decay=op.weight_decay)


def _rmsprop(op: Any, lr: Any, parameters: Any) -> Any:
    return paddle.optimizer.RMSProp(lr, op.smoothing, op.epsilon, parameters=parameters)


def _adagrad(op: Any, lr: Any, parameters: Any) -> Any:
    return paddle.optimizer.Adagrad(lr, op.epsilon, parameters)


def _adamax(op: Any, lr: Any, parameters: Any) -> Any:
    return paddle.optimizer.Adamax(lr, op.beta1, op.beta2, op.epsilon, parameters)


OPTIMIZERS: dict[str, OptimizerRow] = {
    "sgd": OptimizerRow(lambda op, lr, parameters: paddle.optimizer.SGD(lr, parameters)),
    "adam": OptimizerRow(_adam, {"m": "moment1", "v": "moment2"}, {"beta1_pow_acc": "beta1", "beta2_pow_acc": "beta2"}),
    "rmsprop": OptimizerRow(_rmsprop, {"v": "mean_square"}),
    "adagrad": OptimizerRow(_adagrad, {"v": "moment"}),
    "adamax": OptimizerRow(_adamax, {"m": "moment", "u": "inf_norm"}, {"beta1_pow_acc": "beta1"}),
}


def _cosine(op: Any, lr: float, last: int) -> Any:
    cosine = paddle.optimizer.lr.CosineAnnealingDecay(lr, T_max=max(last - op.warmup, 1), eta_min=op.floor)
    return paddle.optimizer.lr.LinearWarmup(cosine, op.warmup, op.start * lr, lr) if op.warmup else cosine


def _cosine_lacks(op: Any) -> str:
    return "start=1" if op.warmup and op.start == 1 else ""  # LinearWarmup asserts start_lr < end_lr


SCHEDULES: dict[str, ScheduleRow] = {"cosine": ScheduleRow(_cosine, _cosine_lacks)}


# ---------------------------------------------------------------- what is different

KERNELS = "https://github.com/PaddlePaddle/Paddle/blob/v3.3.1/paddle/phi/kernels/cpu/"


def _are_rounded(*settings: str) -> Callable[[Any, str], bool]:
    """Whether a float64 run has settings that float32 does not hold."""
    return lambda op, dtype: (
        dtype == "float64" and any(float(np.float32(getattr(op, name))) != getattr(op, name) for name in settings)
    )


def _decays_in_float32(op: Any, dtype: str) -> bool:
    return bool(op.decoupled) and _are_rounded("weight_decay")(op, dtype)


DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "batch_norm": (
        Deviation(
            "forward/{op}",
            "ε is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}batch_norm_kernel.cc",
            ("*",),
            _are_rounded("epsilon"),
            kept_in="float32",
        ),
        Deviation(
            "buffer/{op}.running_mean",
            "momentum is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}batch_norm_kernel.cc",
            ("buffer/{op}.*", "eval/*", "eval_loss"),
            _are_rounded("momentum"),
            kept_in="float32",
        ),
        Deviation(
            "buffer/{op}.running_var",
            "the running variance takes in the batch's biased variance (a mean over n), not the unbiased one (n − 1)",
            "3.3.1",
            f"{KERNELS}batch_norm_kernel.cc",
            ("eval/*", "eval_loss"),
        ),
    ),
    "selu": (
        Deviation(
            "forward/{op}",
            "λ and α are kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}selu_kernel.cc",
            ("*",),
            lambda op, dtype: dtype == "float64",
            kept_in="float32",
        ),
    ),
    "soft_shrink": (
        Deviation(
            "forward/{op}",
            "the bound is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}activation_kernel.cc",
            ("*",),
            _are_rounded("bound"),
            kept_in="float32",
        ),
    ),
    "hard_sigmoid": (
        Deviation(
            "forward/{op}",
            "the slope is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}activation_kernel.cc",
            ("*",),
            _are_rounded("slope"),
            kept_in="float32",
        ),
    ),
    "rmsprop": (
        Deviation(
            "weight/*",
            "ε is added inside the root: g / √(v + ε), not g / (√v + ε)",
            "3.3.1",
            f"{KERNELS}rmsprop_kernel.cc",
            ("*",),
            lambda op, dtype: op.epsilon > 0,
            always=False,  # as large as ε is beside v
        ),
        Deviation(
            "state/*.v",
            "the weight of the old mean is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}rmsprop_kernel.cc",
            ("*",),
            _are_rounded("smoothing"),
            kept_in="float32",
        ),
    ),
    "adamax": (
        Deviation(
            "state/*.m",
            "β₁ and β₂ are kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}adamax_kernel.cc",
            ("*",),
            _are_rounded("beta1", "beta2"),
            kept_in="float32",
        ),
        Deviation(
            "state/*.u",
            "ε is added to the largest gradient so far: max(β₂ u + ε, |g|), not max(β₂ u, |g| + ε)",
            "3.3.1",
            f"{KERNELS}adamax_kernel.cc",
            ("*",),
            lambda op, dtype: op.epsilon > 0,
            always=False,  # as large as ε is beside the gradients
        ),
    ),
    "adagrad": (
        Deviation(
            "weight/*",
            "ε is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}adagrad_kernel.cc",
            ("*",),
            _are_rounded("epsilon"),
            always=False,
            kept_in="float32",
        ),
    ),
    "adam": (
        Deviation(
            "weight/*",
            "the decoupled weight decay is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}adamw_kernel.cc",
            ("*",),
            _decays_in_float32,
            kept_in="float32",
        ),
    ),
}
