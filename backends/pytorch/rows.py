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


SIXTEEN = frozenset({"float16", "bfloat16"})
"""Dtypes for which not every kernel is there on the CPU."""


class LayerRow(NamedTuple):
    """A layer; its parameters and buffers have our names and layouts, but for what is said here.

    Attributes:
        build: from the operation and the shapes of its inputs for one sample, something that takes the inputs.
        lacks: the setting of an operation that PyTorch does not have, or "".
    """

    build: Callable[..., Any]
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
        build: from the operation, the learning rate, and the parameters in one group.
        slots: PyTorch's names of the slots.
        counted: its names of what follows from the number of steps done: from the operation and that number.
        first: names of slots that its first step makes, from its gradient alone.
        lacks: as a layer's.
    """

    build: Callable[[Any, float, Any], Any]
    slots: Mapping[str, str] = {}
    counted: Mapping[str, Callable[[Any, int], float]] = {}
    first: tuple[str, ...] = ()
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


def _of_batch(axis: int) -> int:
    return axis if axis < 0 else axis + 1  # axis 0 is the batch


def _swiglu(op: Any, x: tuple[int, ...]) -> Any:
    def apply(z: Any) -> Any:
        u, v = z.chunk(2, -1)
        return torch.nn.functional.silu(u) * v

    return apply


def _maxout(op: Any, x: tuple[int, ...]) -> Any:
    at = op.axis % len(x) + 1
    return lambda z: z.unflatten(at, (-1, op.pieces)).max(at + 1).values


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
    "softplus": LayerRow(lambda op, x: torch.nn.Softplus(op.beta, op.threshold)),
    "hard_sigmoid": LayerRow(lambda op, x: torch.nn.Hardsigmoid(), _hard_sigmoid_lacks),
    "hard_tanh": LayerRow(lambda op, x: torch.nn.Hardtanh(op.low, op.high)),
    "softmax": LayerRow(lambda op, x: torch.nn.Softmax(_of_batch(op.axis))),
    "log_softmax": LayerRow(lambda op, x: torch.nn.LogSoftmax(_of_batch(op.axis))),
    "identity": LayerRow(lambda op, x: lambda z: z.view_as(z)),
    "celu": LayerRow(lambda op, x: torch.nn.CELU(op.alpha)),
    "relu6": LayerRow(lambda op, x: torch.nn.ReLU6()),
    "prelu": LayerRow(lambda op, x: torch.nn.PReLU(x[0] if op.each else 1)),
    "glu": LayerRow(lambda op, x: torch.nn.GLU(_of_batch(op.axis))),
    "swiglu": LayerRow(_swiglu),
    "maxout": LayerRow(_maxout),
    "scale": LayerRow(lambda op, x: lambda z: op.factor * z),
    "add": LayerRow(lambda op, *x: lambda *z: reduce(add, z)),
    "multiply": LayerRow(lambda op, *x: lambda *z: z[0] * z[1]),
    "concat": LayerRow(lambda op, *x: lambda *z: torch.cat(z, _of_batch(op.axis))),
    "stack": LayerRow(lambda op, *x: lambda *z: torch.stack(z, 1)),
    "flatten": LayerRow(_flatten),
    "reshape": LayerRow(lambda op, x: lambda z: z.reshape(-1, *op.to)),
    "transpose": LayerRow(lambda op, x: lambda z: z.permute(0, *(axis + 1 for axis in op.axes))),
    "slice": LayerRow(lambda op, x: lambda z: z.narrow(_of_batch(op.axis), op.first, op.last - op.first)),
    "sum": LayerRow(lambda op, x: lambda z: z.sum([*map(_of_batch, op.axes)], keepdim=op.keep)),
    "mean": LayerRow(lambda op, x: lambda z: z.mean([*map(_of_batch, op.axes)], keepdim=op.keep)),
}


# ---------------------------------------------------------------- losses


def _half_squared_error(op: Any, yhat: Any, y: Any) -> Any:
    return 0.5 * torch.nn.functional.mse_loss(yhat, y, reduction="sum") / len(y)


def _log_cosh(op: Any, yhat: Any, y: Any) -> Any:
    size = (yhat - y).abs()
    return (size + torch.nn.functional.softplus(-2.0 * size) - log(2.0)).mean()


def _weights(values: Any, like: Any) -> Any:
    return None if values is None else torch.tensor(values, dtype=like.dtype)


def _to_front(op: Any, yhat: Any) -> Any:
    return yhat.movedim(_of_batch(op.axis), 1)  # where PyTorch has its classes


def _of_classes(op: Any, yhat: Any) -> dict[str, Any]:
    ignored = {} if op.ignored is None else {"ignore_index": op.ignored}
    return {"weight": _weights(op.weights, yhat), **ignored}


def _cross_entropy(op: Any, yhat: Any, y: Any) -> Any:
    options = {**_of_classes(op, yhat), "label_smoothing": op.smoothing}
    return torch.nn.functional.cross_entropy(_to_front(op, yhat), y, **options)


def _soft_cross_entropy(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.cross_entropy(_to_front(op, yhat), _to_front(op, y))


def _nll(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.nll_loss(_to_front(op, yhat), y, **_of_classes(op, yhat))


def _kl(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.kl_div(yhat, y, reduction="batchmean" if op.mean == "batch" else "mean")


def _poisson_nll(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.poisson_nll_loss(yhat, y, log_input=op.logarithms, full=op.full, eps=op.epsilon)


def _bce_with_logits(op: Any, yhat: Any, y: Any) -> Any:
    positive = _weights(op.positive, yhat)
    return torch.nn.functional.binary_cross_entropy_with_logits(yhat, y, pos_weight=positive)


def _multi_margin(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.multi_margin_loss(yhat, y, op.power, op.margin)


def _hinge(op: Any, yhat: Any, y: Any) -> Any:
    return torch.relu(1 - y * yhat).pow(op.power).mean()


def _margin_ranking(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.margin_ranking_loss(*yhat.unbind(1), y, op.margin)


def _cosine_embedding(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.cosine_embedding_loss(*yhat.unbind(1), y, op.margin)


def _cosine_embedding_lacks(op: Any) -> str:
    return "" if op.epsilon == 1e-12 else f"epsilon={op.epsilon:g}"


def _triplet(op: Any, yhat: Any, y: Any) -> Any:
    return torch.nn.functional.triplet_margin_loss(*yhat.unbind(1), margin=op.margin, eps=op.epsilon)


def _gaussian_nll(op: Any, yhat: Any, y: Any) -> Any:
    mean, variance = yhat.unbind(1)
    return torch.nn.functional.gaussian_nll_loss(mean, y, variance, full=op.full, eps=op.epsilon)


LOSSES: dict[str, LossRow] = {
    "half_squared_error": LossRow(_half_squared_error),
    "mse": LossRow(lambda op, yhat, y: torch.nn.functional.mse_loss(yhat, y)),
    "l1": LossRow(lambda op, yhat, y: torch.nn.functional.l1_loss(yhat, y)),
    "smooth_l1": LossRow(lambda op, yhat, y: torch.nn.functional.smooth_l1_loss(yhat, y, beta=op.beta)),
    "log_cosh": LossRow(_log_cosh),
    "huber": LossRow(lambda op, yhat, y: torch.nn.functional.huber_loss(yhat, y, delta=op.delta)),
    "cross_entropy": LossRow(_cross_entropy),
    "soft_cross_entropy": LossRow(_soft_cross_entropy),
    "nll": LossRow(_nll),
    "multi_margin": LossRow(_multi_margin, without=SIXTEEN),
    "bce": LossRow(lambda op, yhat, y: torch.nn.functional.binary_cross_entropy(yhat, y)),
    "bce_with_logits": LossRow(_bce_with_logits),
    "kl": LossRow(_kl),
    "poisson_nll": LossRow(_poisson_nll),
    "gaussian_nll": LossRow(_gaussian_nll),
    "hinge": LossRow(_hinge),
    "soft_margin": LossRow(lambda op, yhat, y: torch.nn.functional.soft_margin_loss(yhat, y)),
    "hinge_embedding": LossRow(lambda op, yhat, y: torch.nn.functional.hinge_embedding_loss(yhat, y, op.margin)),
    "margin_ranking": LossRow(
        lambda op, yhat, y: torch.nn.functional.margin_ranking_loss(*yhat.unbind(1), y, op.margin)
    ),
    "cosine_embedding": LossRow(_cosine_embedding, _cosine_embedding_lacks),
    "triplet": LossRow(_triplet),
}


# ---------------------------------------------------------------- optimizers and schedules


def _sgd(op: Any, lr: float, parameters: Any) -> Any:
    options = {"momentum": op.momentum, "dampening": op.dampening, "nesterov": op.nesterov}
    return torch.optim.SGD(parameters, lr=lr, weight_decay=op.weight_decay, **options)


def _adam(op: Any, lr: float, parameters: Any) -> Any:
    make = torch.optim.AdamW if op.decoupled else torch.optim.Adam
    return make(parameters, lr=lr, amsgrad=op.amsgrad, **_of_moments(op))


def _of_moments(op: Any) -> dict[str, Any]:
    return {"betas": (op.beta1, op.beta2), "eps": op.epsilon, "weight_decay": op.weight_decay}


def _rmsprop(op: Any, lr: float, parameters: Any) -> Any:
    options = {"alpha": op.smoothing, "eps": op.epsilon, "centered": op.centred, "momentum": op.momentum}
    return torch.optim.RMSprop(parameters, lr=lr, weight_decay=op.weight_decay, **options)


def _adagrad(op: Any, lr: float, parameters: Any) -> Any:
    options = {"eps": op.epsilon, "initial_accumulator_value": op.start, "weight_decay": op.weight_decay}
    return torch.optim.Adagrad(parameters, lr=lr, **options)


def _adadelta(op: Any, lr: float, parameters: Any) -> Any:
    return torch.optim.Adadelta(parameters, lr=lr, rho=op.rho, eps=op.epsilon, weight_decay=op.weight_decay)


def _nadam(op: Any, lr: float, parameters: Any) -> Any:
    return torch.optim.NAdam(parameters, lr=lr, momentum_decay=op.momentum_decay, **_of_moments(op))


def _rprop(op: Any, lr: float, parameters: Any) -> Any:
    return torch.optim.Rprop(parameters, lr=lr, etas=(op.down, op.up), step_sizes=(op.least, op.most))


MOMENTS = {"m": "exp_avg", "v": "exp_avg_sq"}

OPTIMIZERS: dict[str, OptimizerRow] = {
    "sgd": OptimizerRow(_sgd, {"v": "momentum_buffer"}, first=("momentum_buffer",)),
    "adam": OptimizerRow(_adam, MOMENTS | {"u": "max_exp_avg_sq"}),
    "rmsprop": OptimizerRow(_rmsprop, {"v": "square_avg", "m": "grad_avg", "b": "momentum_buffer"}),
    "adagrad": OptimizerRow(_adagrad, {"v": "sum"}),
    "adadelta": OptimizerRow(_adadelta, {"v": "square_avg", "u": "acc_delta"}),
    "adamax": OptimizerRow(
        lambda op, lr, parameters: torch.optim.Adamax(parameters, lr=lr, **_of_moments(op)),
        {"m": "exp_avg", "u": "exp_inf"},
    ),
    "radam": OptimizerRow(lambda op, lr, parameters: torch.optim.RAdam(parameters, lr=lr, **_of_moments(op)), MOMENTS),
    "nadam": OptimizerRow(_nadam, MOMENTS, {"mu_product": lambda op, t: op.product(t)}),
    "rprop": OptimizerRow(_rprop, {"s": "step_size", "g": "prev"}),
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

CLAMPED = (
    Deviation(
        "backward/*",
        "where a clamp to 0 meets 0, the gradient is passed on",
        "2.13.0",
        "https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/Loss.cpp",
        ("*",),
        always=False,  # only of numbers that meet the bound exactly
    ),
)

DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    **dict.fromkeys(("margin_ranking", "hinge_embedding", "triplet"), CLAMPED),
    "nadam": (
        Deviation(
            "weight/*",
            "the product of the momenta is kept in float32, in a float64 run too",
            "2.13.0",
            "https://github.com/pytorch/pytorch/blob/v2.13.0/torch/optim/nadam.py",
            ("*",),
            lambda op, dtype: dtype == "float64",
            always=False,
            kept_in="float32",
        ),
    ),
    "gaussian_nll": (
        Deviation(
            "backward/*",
            "the gradient of a variance below the least one is passed on",
            "2.13.0",
            "https://github.com/pytorch/pytorch/blob/v2.13.0/torch/nn/functional.py",
            ("*",),
            always=False,  # only where some variance is
        ),
    ),
    "cosine_embedding": (
        *CLAMPED,
        Deviation(
            "loss",
            "of a vector of zeros it is NaN: ε = 10⁻¹² is 0 in float16",
            "2.13.0",
            "https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/Loss.cpp",
            ("*",),
            lambda op, dtype: dtype == "float16",
            always=False,
        ),
    ),
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
