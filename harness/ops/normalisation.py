"""How is an activation brought to mean 0 and variance 1?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field

from isograd.arithmetic.words import reshape, sqrt, sum
from isograd.ops.op import Alternative, Array, Back, InitialVector, Layer, Out, Param, Shape
from isograd.spec import Number

Params = Mapping[str, Array]
Share = Annotated[Number, Field(ge=0, le=1)]


class BatchNorm(Layer):
    """a = γ (x − μ) / √(σ² + ε) + β, with mean and variance of each channel over the batch.

    The channel is a sample's first axis. Ioffe and Szegedy, *Batch Normalization* (2015), algorithms 1 and 2. The
    running mean and variance keep a share of what they were: r ← ``momentum`` r + (1 − ``momentum``) · new, with the
    unbiased variance n / (n − 1) σ² as new one; in evaluation they stand for μ and σ².
    """

    kind: Literal["batch_norm"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 3)
    examples = (
        {},
        {"weight": {"draw": "normal", "scale": 1.0}, "bias": {"draw": "normal", "scale": 1.0}},
        {"momentum": 0.5},
        {"epsilon": 0.1},
    )

    weight: InitialVector | None = None
    bias: InitialVector | None = None
    momentum: Share = 0.9
    epsilon: Annotated[Number, Field(ge=0)] = 1e-5

    def shape(self, *x: Shape) -> Shape:
        """That of the input; ValueError where scale or shift have not as many values as there are channels."""
        for name, values in (("weight", self.weight), ("bias", self.bias)):
            if isinstance(values, tuple) and len(values) != x[0][0]:
                raise ValueError(f"{name}: expected {x[0][0]} values, one a channel; got {len(values)}")
        return x[0]

    def fewest(self, *x: Shape) -> int:
        """Two values a channel: one has no variance. PyTorch refuses it, PaddlePaddle then gives back its input."""
        return 1 if prod(x[0][1:]) > 1 else 2

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Scale γ as weight, 1 at first, and shift β as bias, 0 at first, unless said otherwise: (channels,)."""
        weight, bias = (1.0 if self.weight is None else self.weight), (0.0 if self.bias is None else self.bias)
        shape, axes = (x[0][0],), ("channel",)
        return {"weight": Param(shape, axes, weight), "bias": Param(shape, axes, bias)}

    def buffers(self, *x: Shape) -> Mapping[str, Param]:
        """Running mean, 0 at first, and variance, 1 at first: (channels,)."""
        shape, axes = (x[0][0],), ("channel",)
        return {"running_mean": Param(shape, axes, 0.0), "running_var": Param(shape, axes, 1.0)}

    def forward(self, p: Params, x: Array) -> Out:
        """By the batch's mean and variance; the running ones move towards them."""
        axes, n = _all_but_channels(x)
        mean = sum(x, axes, keepdims=True) / n
        centred = x - mean
        variance = sum(centred * centred, axes, keepdims=True) / n
        deviation = sqrt(variance + self.epsilon)
        normal = centred / deviation
        seen = {"running_mean": _flat(mean), "running_var": self.kept_variance(_flat(variance), n)}
        buffers = {name: self.momentum * p[name] + (1 - self.momentum) * new for name, new in seen.items()}
        return Out(_wide(p["weight"], x) * normal + _wide(p["bias"], x), (normal, deviation), buffers)

    def kept_variance(self, variance: Array, n: int) -> Array:
        """The variance of a batch that the running one moves to, of ``n`` values: n / (n − 1) σ²; of one value 0."""
        return variance * n / (n - 1) if n > 1 else variance

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x = (γ d − mean(γ d) − x̂ mean(γ d x̂)) / √(σ² + ε), ∂L/∂γ = Σ d x̂, ∂L/∂β = Σ d."""
        normal, deviation = out.saved
        axes, n = _all_but_channels(x)
        e = d * _wide(p["weight"], x)
        along = sum(e * normal, axes, keepdims=True) / n
        dx = (e - sum(e, axes, keepdims=True) / n - normal * along) / deviation
        return Back(dx, weight=sum(d * normal, axes), bias=sum(d, axes))

    def evaluate(self, p: Params, x: Array) -> Array:
        """By the running mean and variance."""
        deviation = sqrt(_wide(p["running_var"], x) + self.epsilon)
        return _wide(p["weight"], x) * ((x - _wide(p["running_mean"], x)) / deviation) + _wide(p["bias"], x)


class _Biased(BatchNorm):
    def kept_variance(self, variance: Array, n: int) -> Array:
        return variance


class _EpsilonOutside(BatchNorm):
    def forward(self, p: Params, x: Array) -> Out:
        inner = BatchNorm.forward(self._without(), p, x)
        normal, deviation = inner.saved
        outside = deviation + self.epsilon
        normal = normal * deviation / outside
        return Out(_wide(p["weight"], x) * normal + _wide(p["bias"], x), (normal, deviation), inner.buffers)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """With s = √σ² + ε, whose derivative is that of √σ² alone: (γ d − mean(γ d)) / s − x̂ mean(γ d x̂) / √σ²."""
        normal, deviation = out.saved
        axes, n = _all_but_channels(x)
        e = d * _wide(p["weight"], x)
        along = sum(e * normal, axes, keepdims=True) / n
        dx = (e - sum(e, axes, keepdims=True) / n) / (deviation + self.epsilon) - normal * along / deviation
        return Back(dx, weight=sum(d * normal, axes), bias=sum(d, axes))

    def evaluate(self, p: Params, x: Array) -> Array:
        outside = sqrt(_wide(p["running_var"], x)) + self.epsilon
        return _wide(p["weight"], x) * ((x - _wide(p["running_mean"], x)) / outside) + _wide(p["bias"], x)

    def _without(self) -> Self:
        return self.model_copy(update={"epsilon": 0.0})


BatchNorm.alternatives = {
    "biased_running_variance": Alternative(
        _Biased,
        "moves its running variance to the biased variance of the batch",
        "r ← m r + (1 − m) «σ²»   (not n / (n − 1) σ²)",
        "PaddlePaddle, TensorFlow and ONNX define it so, PyTorch does not",
    ),
    "epsilon_outside_root": Alternative(
        _EpsilonOutside,
        "adds ε to the standard deviation, not to the variance",
        "a = γ (x − μ) / («√σ² + ε») + β",
        "a batch norm written by hand",
    ),
}


def _all_but_channels(x: Array) -> tuple[tuple[int, ...], int]:
    """All axes but the channel's, and how many values a channel has."""
    axes = (0, *range(2, x.ndim))
    return axes, prod(x.shape[i] for i in axes)


def _wide(values: Array, x: Array) -> Array:
    """A value a channel, in the rank of ``x``."""
    return reshape(values, (x.shape[1], *[1] * (x.ndim - 2)))


def _flat(values: Array) -> Array:
    return reshape(values, (values.shape[1],))
