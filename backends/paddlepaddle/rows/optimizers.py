"""How is each optimizer built in PaddlePaddle, and what is different in it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isograd.backend import Deviation
from isograd.backends.paddlepaddle.rows.row import KERNELS, OptimizerRow, are_rounded, paddle


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
    rprop = paddle.optimizer.Rprop(op.lr, (op.least, op.most), parameters, (op.down, op.up))
    if lr != op.lr:  # which the constructor takes for a number
        rprop.set_lr_scheduler(lr)
    return rprop


def _lamb(op: Any, lr: Any, parameters: Any) -> Any:
    moments = (op.beta1, op.beta2, op.epsilon)
    return paddle.optimizer.Lamb(lr, op.weight_decay, *moments, parameters, always_adapt=True)  # without decay, too


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


def _decays_in_float32(op: Any, dtype: str) -> bool:
    return bool(op.decoupled) and are_rounded("weight_decay")(op, dtype)


def _narrow(kind: str, *settings: str) -> tuple[Deviation, ...]:
    """That an optimizer keeps settings in float32: seen in a slot, or in the parameter where it shows there first."""
    said = f"{' and '.join(settings)}: kept in float32, in a float64 run too"
    link, rounded = f"{KERNELS}{kind}_kernel.cc", are_rounded(*settings)
    return tuple(
        Deviation(quantity, said, "3.3.1", link, ("*",), rounded, always=False, kept_in="float32")
        for quantity in ("state/*", "weight/*")
    )


def _alike(*settings: str) -> dict[str, str]:
    return {name: name for name in ("weight_decay", *settings)}


OF_SGD = _alike("momentum") | {"nesterov": "use_nesterov"}
OF_ADAGRAD = _alike("epsilon") | {"start": "initial_accumulator_value"}
OF_MOMENTS = _alike("beta1", "beta2", "epsilon")
OF_LAMB = OF_MOMENTS | {"weight_decay": "lamb_weight_decay"}
OF_RMSPROP = _alike("epsilon", "momentum") | {"smoothing": "rho"}

OPTIMIZERS: dict[str, OptimizerRow] = {
    "sgd": OptimizerRow(_sgd, {"v": "velocity"}, group=OF_SGD, lacks=_sgd_lacks),
    "adam": OptimizerRow(_adam, MOMENTS | {"u": "moment2_max"}, POWERS, OF_MOMENTS),
    "rmsprop": OptimizerRow(_rmsprop, {"v": "mean_square", "m": "mean_grad", "b": "momentum"}, group=OF_RMSPROP),
    "adagrad": OptimizerRow(_adagrad, {"v": "moment"}, group=OF_ADAGRAD),
    "adadelta": OptimizerRow(_adadelta, {"v": "_avg_squared_grad", "u": "_avg_squared_update"}),
    "adamax": OptimizerRow(
        _of_moments("Adamax"), {"m": "moment", "u": "inf_norm"}, {"beta1_pow_acc": _power("beta1")}, OF_MOMENTS
    ),
    "radam": OptimizerRow(_of_moments("RAdam"), MOMENTS, OF_RADAM, OF_MOMENTS),
    "nadam": OptimizerRow(_nadam, MOMENTS, OF_NADAM, OF_MOMENTS | {"momentum_decay": "momentum_decay"}),
    "rprop": OptimizerRow(_rprop, {"s": "learning_rates", "g": "prevs"}),
    "lamb": OptimizerRow(_lamb, MOMENTS, POWERS, OF_LAMB),
}


DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "sgd": _narrow("momentum", "momentum", "weight_decay"),
    "adadelta": _narrow("adadelta", "rho", "epsilon", "weight_decay"),
    "radam": _narrow("radam", "beta1", "beta2", "epsilon", "weight_decay"),
    "nadam": _narrow("nadam", "beta1", "beta2", "epsilon", "momentum_decay", "weight_decay"),
    "lamb": _narrow("lamb", "beta1", "beta2", "epsilon", "weight_decay"),
    "rprop": _narrow("rprop", "up", "down", "least", "most"),
    "rmsprop": (
        Deviation(
            "state/*.b",
            "the learning rate is in the velocity: b ← μ b + lr g / √(v + ε), w ← w − b",
            "3.3.1",
            f"{KERNELS}rmsprop_kernel.cc",
            (),
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
            for quantity in ("state/*.u", "weight/*")  # where gradients are small it shows in what is divided first
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
