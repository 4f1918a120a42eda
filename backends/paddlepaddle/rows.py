"""Which operations does PaddlePaddle have, how is each built, and what is different in it? A row per operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from math import log, prod
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


class LossRow(NamedTuple):
    """A loss.

    Attributes:
        of: from the operation, outputs and labels, its value.
        lacks: as a layer's.
        without: dtypes that it does not have.
    """

    of: Callable[[Any, Any, Any], Any]
    lacks: Callable[[Any], str] = _nothing
    without: frozenset[str] = frozenset()


class OptimizerRow(NamedTuple):
    """An optimizer.

    Attributes:
        build: from the operation, the learning rate or its schedule, and the parameters.
        slots: PaddlePaddle's names of the slots.
        counted: its names of what it keeps for each parameter beside them and that follows from the number of steps
            done: from the operation, that number and the dtype.
        lacks: as a layer's.
    """

    build: Callable[[Any, Any, Any], Any]
    slots: Mapping[str, str] = {}
    counted: Mapping[str, Callable[[Any, int, Any], Any]] = {}
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


def _of_batch(axis: int) -> int:
    return axis if axis < 0 else axis + 1  # axis 0 is the batch


def _maxout(op: Any, x: tuple[int, ...]) -> Any:
    at, maxout = op.axis % len(x), paddle.nn.Maxout(op.pieces)  # which takes images, whose axis 1 are the channels
    flat, shape = [-1, x[at], prod(x[at + 1 :]), 1], [-1, *op.shape(x)]
    return lambda z: maxout(z.reshape(flat)).reshape(shape)


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
    "softplus": LayerRow(lambda op, x: paddle.nn.Softplus(op.beta, op.threshold)),
    # the layer's own slope is 0.1666667
    "hard_sigmoid": LayerRow(lambda op, x: lambda z: paddle.nn.functional.hardsigmoid(z, slope=op.slope)),
    "hard_tanh": LayerRow(lambda op, x: paddle.nn.Hardtanh(op.low, op.high)),
    "softmax": LayerRow(lambda op, x: paddle.nn.Softmax(_of_batch(op.axis))),
    "log_softmax": LayerRow(lambda op, x: paddle.nn.LogSoftmax(_of_batch(op.axis))),
    "identity": LayerRow(lambda op, x: lambda z: z.clone()),
    "celu": LayerRow(lambda op, x: paddle.nn.CELU(op.alpha)),
    "relu6": LayerRow(lambda op, x: paddle.nn.ReLU6()),
    "prelu": LayerRow(lambda op, x: paddle.nn.PReLU(x[0] if op.each else 1), {"weight": "_weight"}),
    "glu": LayerRow(lambda op, x: paddle.nn.GLU(_of_batch(op.axis))),
    "swiglu": LayerRow(lambda op, x: lambda z: paddle.nn.functional.swiglu(z)),
    "maxout": LayerRow(_maxout),
    "scale": LayerRow(lambda op, x: lambda z: op.factor * z),
    "add": LayerRow(lambda op, *x: lambda *z: reduce(add, z)),
    "multiply": LayerRow(lambda op, *x: lambda *z: z[0] * z[1]),
    "concat": LayerRow(lambda op, *x: lambda *z: paddle.concat(z, _of_batch(op.axis))),
    "stack": LayerRow(lambda op, *x: lambda *z: paddle.stack(z, 1)),
    "reshape": LayerRow(lambda op, x: lambda z: z.reshape([-1, *op.to])),
    "transpose": LayerRow(lambda op, x: lambda z: z.transpose([0, *(axis + 1 for axis in op.axes)])),
    "slice": LayerRow(lambda op, x: lambda z: paddle.slice(z, [op.axis % len(x) + 1], [op.first], [op.last])),
    "sum": LayerRow(lambda op, x: lambda z: z.sum([*map(_of_batch, op.axes)], keepdim=op.keep)),
    "mean": LayerRow(lambda op, x: lambda z: z.mean([*map(_of_batch, op.axes)], keepdim=op.keep)),
    "flatten": LayerRow(lambda op, x: paddle.nn.Flatten()),
}


# ---------------------------------------------------------------- losses


def _half_squared_error(op: Any, yhat: Any, y: Any) -> Any:
    return 0.5 * paddle.nn.functional.mse_loss(yhat, y, reduction="sum") / len(y)


def _log_cosh(op: Any, yhat: Any, y: Any) -> Any:
    size = (yhat - y).abs()
    return (size + paddle.nn.functional.softplus(-2.0 * size) - log(2.0)).mean()


def _weights(values: Any, like: Any) -> Any:
    return None if values is None else paddle.to_tensor(values, dtype=like.dtype)


def _of_classes(op: Any, yhat: Any) -> dict[str, Any]:
    ignored = {} if op.ignored is None else {"ignore_index": op.ignored}
    return {"weight": _weights(op.weights, yhat), **ignored}


def _cross_entropy(op: Any, yhat: Any, y: Any) -> Any:
    options = {**_of_classes(op, yhat), "label_smoothing": op.smoothing}
    return paddle.nn.functional.cross_entropy(_to_back(op, yhat), y, **options)


def _to_back(op: Any, yhat: Any) -> Any:
    """Classes on the last axis: with smoothing PaddlePaddle takes it for theirs, whatever `axis` says."""
    at = _of_batch(op.axis) % yhat.ndim
    return yhat.transpose([*(axis for axis in range(yhat.ndim) if axis != at), at])


def _soft_cross_entropy(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.cross_entropy(yhat, y, soft_label=True, axis=_of_batch(op.axis))


def _nll(op: Any, yhat: Any, y: Any) -> Any:
    at = _of_batch(op.axis) % yhat.ndim
    order = [0, at, *(axis for axis in range(1, yhat.ndim) if axis != at)]  # PaddlePaddle has its classes on axis 1
    return paddle.nn.functional.nll_loss(yhat.transpose(order), y, **_of_classes(op, yhat))


def _nll_lacks(op: Any) -> str:
    return "" if op.ignored is None else "ignored: it writes outside its memory (docs/found.md)"


def _cross_entropy_lacks(op: Any) -> str:
    return "ignored with smoothing" if op.ignored is not None and op.smoothing else ""


def _kl(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.kl_div(yhat, y, reduction="batchmean" if op.mean == "batch" else "mean")


def _poisson_nll(op: Any, yhat: Any, y: Any) -> Any:
    options = {"log_input": op.logarithms, "full": op.full, "epsilon": op.epsilon}
    return paddle.nn.functional.poisson_nll_loss(yhat, y, **options)


def _bce_with_logits(op: Any, yhat: Any, y: Any) -> Any:
    positive = _weights(op.positive, yhat)
    return paddle.nn.functional.binary_cross_entropy_with_logits(yhat, y, pos_weight=positive)


def _multi_margin(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.multi_margin_loss(yhat, y, p=op.power, margin=op.margin)


def _hinge(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.relu(1 - y * yhat).pow(op.power).mean()


def _margin_ranking(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.margin_ranking_loss(*yhat.unbind(1), y, op.margin)


def _cosine_embedding(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.cosine_embedding_loss(*yhat.unbind(1), y, op.margin)


def _triplet(op: Any, yhat: Any, y: Any) -> Any:
    return paddle.nn.functional.triplet_margin_loss(*yhat.unbind(1), margin=op.margin, epsilon=op.epsilon)


def _gaussian_nll(op: Any, yhat: Any, y: Any) -> Any:
    mean, variance = yhat.unbind(1)
    return paddle.nn.functional.gaussian_nll_loss(mean, y, variance, full=op.full, epsilon=op.epsilon)


LOSSES: dict[str, LossRow] = {
    "half_squared_error": LossRow(_half_squared_error),
    "mse": LossRow(lambda op, yhat, y: paddle.nn.functional.mse_loss(yhat, y)),
    "l1": LossRow(lambda op, yhat, y: paddle.nn.functional.l1_loss(yhat, y)),
    "smooth_l1": LossRow(lambda op, yhat, y: paddle.nn.functional.smooth_l1_loss(yhat, y, delta=op.beta) / op.beta),
    "log_cosh": LossRow(_log_cosh),
    # PaddlePaddle's "smooth L1" is Huber's loss
    "huber": LossRow(lambda op, yhat, y: paddle.nn.functional.smooth_l1_loss(yhat, y, delta=op.delta)),
    "cross_entropy": LossRow(_cross_entropy, _cross_entropy_lacks),
    "soft_cross_entropy": LossRow(_soft_cross_entropy),
    "nll": LossRow(_nll, _nll_lacks),
    "multi_margin": LossRow(_multi_margin),
    "bce": LossRow(lambda op, yhat, y: paddle.nn.functional.binary_cross_entropy(yhat, y)),
    "bce_with_logits": LossRow(_bce_with_logits),
    "kl": LossRow(_kl),
    "poisson_nll": LossRow(_poisson_nll),
    "gaussian_nll": LossRow(_gaussian_nll),
    "hinge": LossRow(_hinge),
    "soft_margin": LossRow(lambda op, yhat, y: paddle.nn.functional.soft_margin_loss(yhat, y)),
    "hinge_embedding": LossRow(lambda op, yhat, y: paddle.nn.functional.hinge_embedding_loss(yhat, y, op.margin)),
    "margin_ranking": LossRow(
        lambda op, yhat, y: paddle.nn.functional.margin_ranking_loss(*yhat.unbind(1), y, op.margin)
    ),
    "cosine_embedding": LossRow(
        lambda op, yhat, y: paddle.nn.functional.cosine_embedding_loss(*yhat.unbind(1), y, op.margin)
    ),
    "triplet": LossRow(_triplet),
}


# ---------------------------------------------------------------- optimizers and schedules


def _sgd(op: Any, lr: Any, parameters: Any) -> Any:
    if not op.momentum:
        return paddle.optimizer.SGD(lr, parameters, weight_decay=op.weight_decay or None)
    options = {"use_nesterov": op.nesterov, "weight_decay": op.weight_decay or None}
    return paddle.optimizer.Momentum(lr, op.momentum, parameters, **options)


def _sgd_lacks(op: Any) -> str:
    return f"dampening={op.dampening:g}" if op.dampening else ""


def _adam(op: Any, lr: Any, parameters: Any) -> Any:
    make = paddle.optimizer.AdamW if op.decoupled else paddle.optimizer.Adam
    return make(lr, op.beta1, op.beta2, op.epsilon, parameters, weight_decay=op.weight_decay, amsgrad=op.amsgrad)


def _rmsprop(op: Any, lr: Any, parameters: Any) -> Any:
    options = {"parameters": parameters, "weight_decay": op.weight_decay or None, "centered": op.centred}
    return paddle.optimizer.RMSProp(lr, op.smoothing, op.epsilon, op.momentum, **options)


def _adagrad(op: Any, lr: Any, parameters: Any) -> Any:
    options = {"weight_decay": op.weight_decay or None, "initial_accumulator_value": op.start}
    return paddle.optimizer.Adagrad(lr, op.epsilon, parameters, **options)


def _adadelta(op: Any, lr: Any, parameters: Any) -> Any:
    return paddle.optimizer.Adadelta(lr, op.epsilon, op.rho, parameters, weight_decay=op.weight_decay or None)


def _of_moments(name: str) -> Callable[[Any, Any, Any], Any]:
    def build(op: Any, lr: Any, parameters: Any) -> Any:
        make, decay = getattr(paddle.optimizer, name), op.weight_decay or None
        return make(lr, op.beta1, op.beta2, op.epsilon, parameters, weight_decay=decay)

    return build


def _nadam(op: Any, lr: Any, parameters: Any) -> Any:
    options = {"parameters": parameters, "weight_decay": op.weight_decay or None}
    return paddle.optimizer.NAdam(lr, op.beta1, op.beta2, op.epsilon, op.momentum_decay, **options)


def _rprop(op: Any, lr: Any, parameters: Any) -> Any:
    return paddle.optimizer.Rprop(lr, (op.least, op.most), parameters, (op.down, op.up))


def _lamb(op: Any, lr: Any, parameters: Any) -> Any:
    return paddle.optimizer.Lamb(lr, op.weight_decay, op.beta1, op.beta2, op.epsilon, parameters)


def _power(setting: str) -> Callable[[Any, int, Any], Any]:
    """Of a setting, one ahead, multiplied step by step, as training would have come to it."""
    return lambda op, t, dtype: np.cumprod(np.full(t + 1, getattr(op, setting), dtype))[-1]


def _narrow_power(setting: str) -> Callable[[Any, int, Any], Any]:
    """Of a setting that is kept in float32."""
    return lambda op, t, dtype: float(np.float32(getattr(op, setting))) ** t


def _rho(op: Any, t: int, dtype: Any) -> Any:
    power = _narrow_power("beta2")(op, t, dtype)
    return t * power / (1 - power) if t else 1.0


MOMENTS = {"m": "moment1", "v": "moment2"}
POWERS = {"beta1_pow_acc": _power("beta1"), "beta2_pow_acc": _power("beta2")}
OF_RADAM = {"beta1_pow": _narrow_power("beta1"), "beta2_pow": _narrow_power("beta2"), "rho": _rho}
OF_NADAM = {
    "momentum_decay_pow": lambda op, t, dtype: 0.96**t,
    "beta2_pow": _narrow_power("beta2"),
    "mu_product": lambda op, t, dtype: op.product(t),
}

OPTIMIZERS: dict[str, OptimizerRow] = {
    "sgd": OptimizerRow(_sgd, {"v": "velocity"}, lacks=_sgd_lacks),
    "adam": OptimizerRow(_adam, MOMENTS | {"u": "moment2_max"}, POWERS),
    "rmsprop": OptimizerRow(_rmsprop, {"v": "mean_square", "m": "mean_grad", "b": "momentum"}),
    "adagrad": OptimizerRow(_adagrad, {"v": "moment"}),
    "adadelta": OptimizerRow(_adadelta, {"v": "_avg_squared_grad", "u": "_avg_squared_update"}),
    "adamax": OptimizerRow(_of_moments("Adamax"), {"m": "moment", "u": "inf_norm"}, {"beta1_pow_acc": _power("beta1")}),
    "radam": OptimizerRow(_of_moments("RAdam"), MOMENTS, OF_RADAM),
    "nadam": OptimizerRow(_nadam, MOMENTS, OF_NADAM),
    "rprop": OptimizerRow(_rprop, {"s": "learning_rates", "g": "prevs"}),
    "lamb": OptimizerRow(_lamb, MOMENTS, POWERS),
}


def _cosine(op: Any, lr: float, last: int) -> Any:
    cosine = paddle.optimizer.lr.CosineAnnealingDecay(lr, T_max=max(last - op.warmup, 1), eta_min=op.floor)
    return paddle.optimizer.lr.LinearWarmup(cosine, op.warmup, op.start * lr, lr) if op.warmup else cosine


def _cosine_lacks(op: Any) -> str:
    return "start=1" if op.warmup and op.start == 1 else ""  # LinearWarmup asserts start_lr < end_lr


SCHEDULES: dict[str, ScheduleRow] = {"cosine": ScheduleRow(_cosine, _cosine_lacks)}


# ---------------------------------------------------------------- what is different

LOSS_FILE = "https://github.com/PaddlePaddle/Paddle/blob/v3.3.1/python/paddle/nn/functional/loss.py"
KERNELS = "https://github.com/PaddlePaddle/Paddle/blob/v3.3.1/paddle/phi/kernels/cpu/"


def _are_rounded(*settings: str) -> Callable[[Any, str], bool]:
    """Whether a float64 run has settings that float32 does not hold."""
    return lambda op, dtype: (
        dtype == "float64" and any(float(np.float32(getattr(op, name))) != getattr(op, name) for name in settings)
    )


def _decays_in_float32(op: Any, dtype: str) -> bool:
    return bool(op.decoupled) and _are_rounded("weight_decay")(op, dtype)


def _narrow(kind: str, *settings: str) -> tuple[Deviation, ...]:
    """That an optimizer keeps settings in float32: seen in a slot, or in the parameter where it shows there first."""
    said = f"{' and '.join(settings)}: kept in float32, in a float64 run too"
    link, rounded = f"{KERNELS}{kind}_kernel.cc", _are_rounded(*settings)
    return tuple(
        Deviation(quantity, said, "3.3.1", link, ("*",), rounded, always=False, kept_in="float32")
        for quantity in ("state/*", "weight/*")
    )


DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "sgd": _narrow("momentum", "momentum", "weight_decay"),
    "adadelta": _narrow("adadelta", "rho", "epsilon", "weight_decay"),
    "radam": _narrow("radam", "beta1", "beta2", "epsilon", "weight_decay"),
    "nadam": _narrow("nadam", "beta1", "beta2", "epsilon", "momentum_decay", "weight_decay"),
    "lamb": _narrow("lamb", "beta1", "beta2", "epsilon", "weight_decay"),
    "rprop": _narrow("rprop", "up", "down", "least", "most"),
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
    "cross_entropy": (
        Deviation(
            "loss",
            "the weight of a smoothed label is Σ_c t_c w_c, once for all its classes, not w_c for each",
            "3.3.1",
            LOSS_FILE,
            ("*",),
            lambda op, dtype: op.weights is not None and op.smoothing > 0,
        ),
        Deviation(
            "loss",
            "the smoothing is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}label_smooth_kernel.cc",
            ("*",),
            _are_rounded("smoothing"),
            kept_in="float32",
        ),
    ),
    "multi_margin": (
        Deviation(
            "loss",
            "mᵖ / C, which is taken off for the class itself, is kept in float32: the loss can be below 0",
            "3.3.1",
            LOSS_FILE,
            ("loss", "eval_loss"),
            lambda op, dtype: dtype == "float64",
        ),
    ),
    "cosine_embedding": (
        Deviation(
            "loss",
            "ε in the norms is 10⁻¹¹",
            "3.3.1",
            LOSS_FILE,
            ("*",),
            lambda op, dtype: op.epsilon != 1e-11,
            always=False,  # as large as it is beside the norms
        ),
    ),
    "gaussian_nll": (
        Deviation(
            "backward/*",
            "no gradient goes to the variance: it is clipped in a tensor that is detached",
            "3.3.1",
            LOSS_FILE,
            ("*",),
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
            "state/*.b",
            "the learning rate is in the velocity: b ← μ b + lr g / √(v + ε), w ← w − b",
            "3.3.1",
            f"{KERNELS}rmsprop_kernel.cc",
            ("*",),
            lambda op, dtype: op.momentum > 0,
        ),
        Deviation(
            "weight/*",
            "ε is added inside the root: g / √(v + ε), not g / (√v + ε)",
            "3.3.1",
            f"{KERNELS}rmsprop_kernel.cc",
            ("*",),
            lambda op, dtype: op.epsilon > 0,
            always=False,  # as large as ε is beside v
        ),
        *_narrow("rmsprop", "smoothing", "epsilon", "momentum", "weight_decay"),
    ),
    "adamax": (
        *_narrow("adamax", "beta1", "beta2", "epsilon", "weight_decay"),
        *(
            Deviation(
                quantity,
                "ε is added to the largest gradient so far: max(β₂ u + ε, |g|), not max(β₂ u, |g| + ε)",
                "3.3.1",
                f"{KERNELS}adamax_kernel.cc",
                ("*",),
                lambda op, dtype: op.epsilon > 0,
                always=False,  # as large as ε is beside the gradients
            )
            for quantity in ("state/*.u", "weight/*")
        ),
    ),
    "adagrad": _narrow("adagrad", "epsilon", "start", "weight_decay"),
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
