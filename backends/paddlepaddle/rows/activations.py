"""How is each function of numbers built in PaddlePaddle, and what is different in it?"""

from __future__ import annotations

from math import prod
from typing import Any

from isograd.backend import Deviation
from isograd.backends.paddlepaddle.rows.row import KERNELS, LayerRow, are_rounded, of_batch, paddle


def _maxout(op: Any, x: tuple[int, ...]) -> Any:
    at, maxout = op.axis % len(x), paddle.nn.Maxout(op.pieces)  # which takes images, whose axis 1 are the channels
    flat, shape = [-1, x[at], prod(x[at + 1 :]), 1], [-1, *op.shape(x)]
    return lambda z: maxout(z.reshape(flat)).reshape(shape)


def _silu_lacks(op: Any) -> str:
    return "" if op.beta == 1 else f"beta={op.beta:g}"


LAYERS: dict[str, LayerRow] = {
    "identity": LayerRow(lambda op, x: lambda z: z.clone()),
    "sigmoid": LayerRow(lambda op, x: paddle.nn.Sigmoid()),
    "tanh": LayerRow(lambda op, x: paddle.nn.Tanh()),
    "relu": LayerRow(lambda op, x: paddle.nn.ReLU()),
    "relu6": LayerRow(lambda op, x: paddle.nn.ReLU6()),
    "leaky_relu": LayerRow(lambda op, x: paddle.nn.LeakyReLU(op.slope)),
    "prelu": LayerRow(lambda op, x: paddle.nn.PReLU(x[0] if op.each else 1), {"weight": "_weight"}),
    "elu": LayerRow(lambda op, x: paddle.nn.ELU(op.alpha)),
    "celu": LayerRow(lambda op, x: paddle.nn.CELU(op.alpha)),
    "selu": LayerRow(lambda op, x: paddle.nn.SELU()),
    "gelu": LayerRow(lambda op, x: paddle.nn.GELU(op.approximate == "tanh")),
    "silu": LayerRow(lambda op, x: paddle.nn.Silu(), lacks=_silu_lacks),
    "mish": LayerRow(lambda op, x: paddle.nn.Mish()),
    "softplus": LayerRow(lambda op, x: paddle.nn.Softplus(op.beta, op.threshold)),
    "softsign": LayerRow(lambda op, x: paddle.nn.Softsign()),
    "log_sigmoid": LayerRow(lambda op, x: paddle.nn.LogSigmoid()),
    "tanh_shrink": LayerRow(lambda op, x: paddle.nn.Tanhshrink()),
    # the layer's own slope is 0.1666667
    "hard_sigmoid": LayerRow(lambda op, x: lambda z: paddle.nn.functional.hardsigmoid(z, slope=op.slope)),
    "hard_tanh": LayerRow(lambda op, x: paddle.nn.Hardtanh(op.low, op.high)),
    "hard_swish": LayerRow(lambda op, x: paddle.nn.Hardswish()),
    "hard_shrink": LayerRow(lambda op, x: paddle.nn.Hardshrink(op.bound)),
    "soft_shrink": LayerRow(lambda op, x: paddle.nn.Softshrink(op.bound)),
    "scale": LayerRow(lambda op, x: lambda z: op.factor * z),
    # on the CPU the kernels of softmax, log softmax and cross-entropy clip z − max z at −64, in float64 too: no
    # probability is under 1.6e-28, no logarithm under −64, no loss of a sample over about 64 (measured with 3.3.1)
    "softmax": LayerRow(lambda op, x: paddle.nn.Softmax(of_batch(op.axis))),
    "log_softmax": LayerRow(lambda op, x: paddle.nn.LogSoftmax(of_batch(op.axis))),
    "glu": LayerRow(lambda op, x: paddle.nn.GLU(of_batch(op.axis))),
    "swiglu": LayerRow(lambda op, x: lambda z: paddle.nn.functional.swiglu(z)),
    "maxout": LayerRow(_maxout),
}


DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
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
            are_rounded("bound"),
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
            are_rounded("slope"),
            kept_in="float32",
        ),
        Deviation(
            "backward/{below}",  # which is off where the output of 0 is not
            "the slope is kept in float32, in a float64 run too",
            "3.3.1",
            f"{KERNELS}activation_kernel.cc",
            ("*",),
            are_rounded("slope"),
            always=False,
            kept_in="float32",
        ),
    ),
}
