"""Which functions do people put where no operation has one? Each with its derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from isograd.arithmetic.words import cos, erf, exp, log, maximum, minimum, sign, sin, sqrt, tanh, where
from isograd.arithmetic.words import max as largest
from isograd.arithmetic.words import sum as total

TINY = 1e-30
"""Instead of 0 under a root, in a logarithm or a quotient: no dtype but float64 has squares that are smaller."""

HALF_PI = 0.8862269254527580  # √π / 2


class Function(NamedTuple):
    """A function of each number.

    Attributes:
        of: f.
        slope: from z, f(z) and d what ∂L/∂z is.
        said: its name.
    """

    of: Callable[[Any], Any]
    slope: Callable[[Any, Any, Any], Any]
    said: str


def _by(of: Callable[[Any], Any], slope: Callable[[Any], Any], said: str) -> Function:
    return Function(of, lambda z, a, d: d * slope(z), said)


def softmax(z: Any, axis: int) -> Any:
    """e^z over its sum along an axis, both over e to the largest, so that nothing overflows."""
    e = exp(z - largest(z, axis, keepdims=True))
    return e / total(e, axis, keepdims=True)


def _of_softmax(axis: int, said: str) -> Function:
    return Function(lambda z: softmax(z, axis), lambda z, a, d: a * (d - total(d * a, axis, keepdims=True)), said)


def length(v: Any, axis: Any) -> Any:
    """The Euclidean length along axes (None: of all), which is no divisor of 0."""
    return sqrt(total(v * v, axis, keepdims=True) + TINY)


MORE: Mapping[str, Function] = {
    "sin": _by(sin, cos, "the sine"),
    "cos": _by(cos, lambda z: -1 * sin(z), "the cosine"),
    "erf": _by(erf, lambda z: exp(-1 * z * z) / HALF_PI, "the error function erf"),
    "gaussian": _by(lambda z: exp(-1 * z * z), lambda z: -2 * z * exp(-1 * z * z), "the Gaussian exp(−z²)"),
    "half gaussian": _by(
        lambda z: exp(-0.5 * z * z), lambda z: -1 * z * exp(-0.5 * z * z), "the Gaussian exp(−z²/2)"
    ),
    "exp": _by(exp, exp, "the exponential"),
    "square": _by(lambda z: z * z, lambda z: 2 * z, "the square"),
    "cube": _by(lambda z: z * z * z, lambda z: 3 * z * z, "the cube"),
    "abs": _by(abs, sign, "the absolute value"),
    "squared relu": _by(
        lambda z: maximum(z, 0) * maximum(z, 0), lambda z: 2 * maximum(z, 0), "the square of ReLU"
    ),
    "min": _by(lambda z: minimum(z, 0), lambda z: where(z < 0, 1 + 0 * z, 0), "min(z, 0), the negative part only"),
    "negative relu": _by(lambda z: maximum(-1 * z, 0), lambda z: where(z < 0, -1 + 0 * z, 0), "ReLU of −z"),
    "signed root": _by(
        lambda z: sign(z) * sqrt(abs(z)), lambda z: 0.5 / sqrt(abs(z)), "the signed root sign(z) √|z|"
    ),
    "signed logarithm": _by(
        lambda z: sign(z) * log(1 + abs(z)), lambda z: 1 / (1 + abs(z)), "the signed logarithm sign(z) log(1 + |z|)"
    ),
    "isru": _by(
        lambda z: z / sqrt(1 + z * z),
        lambda z: 1 / (sqrt(1 + z * z) * (1 + z * z)),
        "the inverse square root unit z / √(1 + z²)",
    ),
    "squareplus": _by(
        lambda z: 0.5 * (z + sqrt(z * z + 4)), lambda z: 0.5 * (1 + z / sqrt(z * z + 4)), "squareplus ½ (z + √(z² + 4))"
    ),
    "bent identity": _by(
        lambda z: 0.5 * (sqrt(z * z + 1) - 1) + z, lambda z: 0.5 * z / sqrt(z * z + 1) + 1, "the bent identity"
    ),
    "snake": _by(lambda z: z + sin(z) * sin(z), lambda z: 1 + 2 * sin(z) * cos(z), "the snake function z + sin² z"),
    "growing cosine": _by(lambda z: z * cos(z), lambda z: cos(z) - z * sin(z), "the growing cosine z cos z"),
    "z tanh z": _by(
        lambda z: z * tanh(z), lambda z: tanh(z) + z * (1 - tanh(z) * tanh(z)), "z tanh z"
    ),
    "squared tanh": _by(
        lambda z: tanh(z) * tanh(z), lambda z: 2 * tanh(z) * (1 - tanh(z) * tanh(z)), "the square of tanh"
    ),
    "step": _by(lambda z: where(z > 0, 1 + 0 * z, 0), lambda z: 0 * z, "a step: 1 above 0, 0 elsewhere"),
    "sign": _by(sign, lambda z: 0 * z, "the sign"),
    "straight-through step": _by(
        lambda z: where(z > 0, 1 + 0 * z, 0), lambda z: 1 + 0 * z, "a step with the derivative 1 (straight-through)"
    ),
    "straight-through sign": _by(sign, lambda z: 1 + 0 * z, "the sign with the derivative 1 (straight-through)"),
    "softmax": _of_softmax(-1, "softmax over the features"),
    "softmax over samples": _of_softmax(0, "softmax over the batch (another axis)"),
    "log softmax": Function(
        lambda z: z - largest(z, -1, keepdims=True)
        - log(total(exp(z - largest(z, -1, keepdims=True)), -1, keepdims=True)),
        lambda z, a, d: d - exp(a) * total(d, -1, keepdims=True),
        "log softmax over the features",
    ),
    "unit length": Function(
        lambda z: z / length(z, -1),
        lambda z, a, d: (d - a * total(d * a, -1, keepdims=True)) / length(z, -1),
        "a division by each sample's length (l2 normalisation)",
    ),
    "less its mean": Function(
        lambda z: z - total(z, -1, keepdims=True) / z.shape[-1],
        lambda z, a, d: d - total(d, -1, keepdims=True) / z.shape[-1],
        "a subtraction of each sample's mean (centred)",
    ),
    "less the batch's mean": Function(
        lambda z: z - total(z, 0, keepdims=True) / z.shape[0],
        lambda z, a, d: d - total(d, 0, keepdims=True) / z.shape[0],
        "a subtraction of the batch's mean (centred)",
    ),
    "reversed": Function(lambda z: z[..., ::-1], lambda z, a, d: d[..., ::-1], "features from the last to the first"),
}  # fmt: skip
"""Functions that are no operation of a scenario's."""
