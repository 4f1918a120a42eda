"""What is the derivative of each layer and loss? Every rule by hand, forward above backward, as in a textbook.

Notation: x is a layer's input, a its output, d its backward value ∂L/∂a; all have one row a sample. A rule uses nothing
but + − × ÷, comparisons and the arithmetic's `exp`, so that the same lines run in any arithmetic. The formulas are the
chain rule as in Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 6.5, in row convention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backends.numpy_manual.arithmetic import exp
from harness.inputs import Array

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
    gradient: Callable[[Array, Array], Array]


# ---------------------------------------------------------------- layers


def linear(p: Parameters, x: Array) -> Array:
    """z = x Wᵀ + b."""
    z = x @ p["weight"].T
    return z + p["bias"] if "bias" in p else z


def linear_backward(p: Parameters, x: Array, a: Array, d: Array) -> tuple[Array, Gradients]:
    """∂L/∂x = d W, ∂L/∂W = dᵀ x, ∂L/∂b = Σ_samples d."""
    dw: Gradients = {"weight": d.T @ x}
    return d @ p["weight"], dw | {"bias": d.sum(axis=0)} if "bias" in p else dw


def sigmoid(p: Parameters, z: Array) -> Array:
    """a = 1 / (1 + e⁻ᶻ), written with e^(−|z|), which cannot overflow."""
    e = exp(-abs(z))
    return np.asarray(np.where(z >= 0, 1, e) / (1 + e))


def sigmoid_backward(p: Parameters, z: Array, a: Array, d: Array) -> tuple[Array, Gradients]:
    """σ′(z) = a (1 − a)."""
    return d * a * (1 - a), {}


def relu(p: Parameters, z: Array) -> Array:
    """a = max(0, z), written so that NaN stays NaN in every arithmetic."""
    return np.where(z <= 0, 0, z)


def relu_backward(p: Parameters, z: Array, a: Array, d: Array) -> tuple[Array, Gradients]:
    """The derivative is 1 above 0, and 0 below and at 0."""
    return np.where(z > 0, d, 0), {}


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


def half_squared_error(yhat: Array, y: Array) -> Any:
    """L = (1/B) Σ ½ (ŷ − y)², with a sum over outputs."""
    r = yhat - y
    return (r * r).sum() / (2 * len(r))


def half_squared_error_gradient(yhat: Array, y: Array) -> Array:
    """∂L/∂ŷ = (ŷ − y) / B."""
    return (yhat - y) / len(y)


def mse(yhat: Array, y: Array) -> Any:
    """L = (1/n) Σ (ŷ − y)², n = batch × outputs."""
    r = yhat - y
    return (r * r).sum() / r.size


def mse_gradient(yhat: Array, y: Array) -> Array:
    """∂L/∂ŷ = 2 (ŷ − y) / n."""
    return 2 * (yhat - y) / y.size


LOSSES = {
    "half_squared_error": LossRule(half_squared_error, half_squared_error_gradient),
    "mse": LossRule(mse, mse_gradient),
}


# ---------------------------------------------------------------- optimizers


def sgd(w: Array, g: Array, lr: Any) -> Array:
    """w ← w − η ∂L/∂w."""
    return np.asarray(w - lr * g)


OPTIMIZERS = {"sgd": sgd}
