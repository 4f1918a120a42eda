"""What is the derivative of each layer and loss? Every rule by hand, forward above backward, as in a textbook.

Notation: x is a layer's input, a its output, d its backward value ∂L/∂a; all have one row a sample. A rule uses nothing
but + − × ÷, comparisons and the arithmetic's `exp` and `around`, so that the same lines run in any arithmetic, and no
axis but the last two, so that they run on many batches at once. The formulas are the chain rule as in Goodfellow,
Bengio, Courville, *Deep Learning* (2016), section 6.5, in row convention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from isograd.backends.numpy_manual.arithmetic import around, exp
from isograd.inputs import Array

Parameters = Mapping[str, Array]
Gradients = dict[str, Array]


@dataclass(frozen=True)
class LayerRule:
    """``forward(p, x)`` gives a; ``backward(p, x, a, d)`` gives ∂L/∂x and the parameters' gradients."""

    forward: Callable[[Parameters, Array], Array]
    backward: Callable[[Parameters, Array, Array, Array], tuple[Array, Gradients]]
    exact: bool = True  # only + − × ÷ and comparisons: rationals can run it


@dataclass(frozen=True)
class LossRule:
    """``value(ŷ, y)`` gives L; ``gradient(ŷ, y)`` gives ∂L/∂ŷ."""

    value: Callable[[Array, Array], Any]
    gradient: Callable[[Array, Array], Any]


# ---------------------------------------------------------------- layers


def linear(p: Parameters, x: Array) -> Array:
    """z = x Wᵀ + b."""
    z = x @ p["weight"].mT
    return z + p["bias"][..., np.newaxis, :] if "bias" in p else z


def linear_backward(p: Parameters, x: Array, a: Array, d: Array) -> tuple[Array, Gradients]:
    """∂L/∂x = d W, ∂L/∂W = dᵀ x, ∂L/∂b = Σ_samples d."""
    dw: Gradients = {"weight": d.mT @ x}
    return d @ p["weight"], dw | {"bias": d.sum(axis=-2)} if "bias" in p else dw


def sigmoid(p: Parameters, z: Array) -> Any:
    """a = 1 / (1 + e⁻ᶻ), times e^min(z, 0) above and below, so that nothing overflows."""
    z = around(z)
    return exp(np.minimum(z, 0)) / (1 + exp(-abs(z)))


def sigmoid_backward(p: Parameters, z: Array, a: Array, d: Array) -> tuple[Array, Gradients]:
    """σ′(z) = a (1 − a)."""
    return d * a * (1 - a), {}


def relu(p: Parameters, z: Array) -> Array:
    """a = max(0, z); in this order NaN stays NaN in every arithmetic."""
    result: Array = np.maximum(0, z)
    return result


def relu_backward(p: Parameters, z: Array, a: Array, d: Array) -> tuple[Array, Gradients]:
    """The derivative is 1 above 0, and 0 below and at 0; at NaN d is passed on, as a is NaN too and not 0."""
    return np.where(~(z <= 0), d, 0), {}


def scale(p: Parameters, z: Array) -> Array:
    """a = k z."""
    return p["factor"] * z


def scale_backward(p: Parameters, z: Array, a: Array, d: Array) -> tuple[Array, Gradients]:
    """The derivative is k."""
    return p["factor"] * d, {}


LAYERS = {
    "linear": LayerRule(linear, linear_backward),
    "sigmoid": LayerRule(sigmoid, sigmoid_backward, exact=False),
    "relu": LayerRule(relu, relu_backward),
    "scale": LayerRule(scale, scale_backward),
}


# ---------------------------------------------------------------- losses


def samples(a: Array) -> int:
    """B, the rows of a batch."""
    return int(a.shape[-2])


def half_squared_error(yhat: Array, y: Array) -> Any:
    """L = (1/B) Σ ½ (ŷ − y)², with a sum over outputs."""
    r = yhat - y
    return (r * r).sum(axis=(-2, -1)) / (2 * samples(r))


def half_squared_error_gradient(yhat: Array, y: Array) -> Array:
    """∂L/∂ŷ = (ŷ − y) / B."""
    return (yhat - y) / samples(y)


def mse(yhat: Array, y: Array) -> Any:
    """L = (1/n) Σ (ŷ − y)², n = batch × outputs."""
    r = yhat - y
    return (r * r).sum(axis=(-2, -1)) / (samples(r) * r.shape[-1])


def mse_gradient(yhat: Array, y: Array) -> Any:
    """∂L/∂ŷ = 2 (ŷ − y) / n."""
    return 2 * (yhat - y) / (samples(y) * y.shape[-1])


LOSSES = {
    "half_squared_error": LossRule(half_squared_error, half_squared_error_gradient),
    "mse": LossRule(mse, mse_gradient),
}


# ---------------------------------------------------------------- optimizers


def sgd(w: Array, g: Array, lr: Any) -> Any:
    """w ← w − η ∂L/∂w."""
    return w - lr * g


OPTIMIZERS = {"sgd": sgd}
