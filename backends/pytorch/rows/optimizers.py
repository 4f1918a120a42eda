"""How is each optimizer built in PyTorch, and what is different in it?"""

from __future__ import annotations

from typing import Any

from isograd.backend import Deviation
from isograd.backends.pytorch.rows.row import OptimizerRow, torch


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
    "adagrad": OptimizerRow(_adagrad, {"v": "sum"}, common=frozenset({"start"})),
    "adadelta": OptimizerRow(_adadelta, {"v": "square_avg", "u": "acc_delta"}),
    "adamax": OptimizerRow(
        lambda op, lr, parameters: torch.optim.Adamax(parameters, lr=lr, **_of_moments(op)),
        {"m": "exp_avg", "u": "exp_inf"},
    ),
    "radam": OptimizerRow(lambda op, lr, parameters: torch.optim.RAdam(parameters, lr=lr, **_of_moments(op)), MOMENTS),
    "nadam": OptimizerRow(_nadam, MOMENTS, {"mu_product": lambda op, t: op.product(t)}),
    "rprop": OptimizerRow(_rprop, {"s": "step_size", "g": "prev"}),
}


DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
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
}
