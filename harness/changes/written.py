"""Which losses do people write by hand? Functions of outputs and labels, each with its derivative."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, NamedTuple

from isograd.arithmetic.words import exp, log, maximum, one_hot, reshape, sign, sqrt, tanh, where
from isograd.arithmetic.words import sum as total
from isograd.changes.functions import TINY, length, softmax

SMALL = 1e-8
"""What keeps a logarithm or a division finite."""


class Written(NamedTuple):
    """A loss of each number, or of each sample.

    Attributes:
        value: of outputs and labels; its sum over all numbers is what the mean is taken of.
        slope: ∂ value / ∂ŷ.
        said: its name.
    """

    value: Callable[[Any, Any], Any]
    slope: Callable[[Any, Any], Any]
    said: str


def _sigmoid(z: Any) -> Any:
    return 0.5 * (1 + tanh(0.5 * z))


def _softplus(z: Any) -> Any:
    return maximum(z, 0) + log(1 + exp(-abs(z)))


def _hot(y: Any, yhat: Any) -> Any:
    return one_hot(y, yhat.shape[1], yhat)


def _over(y: Any) -> Any:
    return maximum(abs(y), SMALL)


def _of_residual(value: Callable[[Any], Any], slope: Callable[[Any], Any], said: str) -> Written:
    return Written(lambda yhat, y: value(yhat - y), lambda yhat, y: slope(yhat - y), said)


VALUES: Mapping[str, Written] = {
    "squares": _of_residual(lambda r: r * r, lambda r: 2 * r, "the squared error"),
    "distances": _of_residual(abs, sign, "the absolute error (l1)"),
    "residuals": _of_residual(lambda r: r, lambda r: 1 + 0 * r, "the error itself, neither squared nor absolute"),
    "fourth powers": _of_residual(lambda r: r * r * r * r, lambda r: 4 * r * r * r, "the fourth power of the error"),
    "cubes": _of_residual(lambda r: abs(r) * r * r, lambda r: 3 * r * abs(r), "the cube of the absolute error"),
    "roots": _of_residual(
        lambda r: sqrt(abs(r) + SMALL), lambda r: sign(r) / (2 * sqrt(abs(r) + SMALL)), "the root of the absolute error"
    ),
    "huber": _of_residual(
        lambda r: where(abs(r) < 1, 0.5 * r * r, abs(r) - 0.5),
        lambda r: where(abs(r) < 1, r, sign(r)),
        "Huber's (smooth l1) loss",
    ),
    "log cosh": _of_residual(lambda r: abs(r) + log(1 + exp(-2 * abs(r))) - 0.6931471805599453, tanh, "log cosh"),
    "charbonnier": _of_residual(
        lambda r: sqrt(r * r + 1e-6), lambda r: r / sqrt(r * r + 1e-6), "Charbonnier's loss √(r² + ε²), ε = 10⁻³"
    ),
    "pseudo huber": _of_residual(
        lambda r: sqrt(r * r + 1) - 1, lambda r: r / sqrt(r * r + 1), "the pseudo-Huber loss √(1 + r²) − 1"
    ),
    "cauchy": _of_residual(
        lambda r: log(1 + r * r), lambda r: 2 * r / (1 + r * r), "Cauchy's (Lorentzian) loss log(1 + r²)"
    ),
    "welsch": _of_residual(
        lambda r: 1 - exp(-0.5 * r * r), lambda r: r * exp(-0.5 * r * r), "Welsch's (correntropy) loss 1 − exp(−r²/2)"
    ),
    "geman mcclure": _of_residual(
        lambda r: r * r / (1 + r * r), lambda r: 2 * r / ((1 + r * r) * (1 + r * r)), "Geman and McClure's loss"
    ),
    "exponentials": _of_residual(exp, exp, "the exponential of the error"),
    "euclid": Written(
        lambda yhat, y: length(yhat - y, 1),
        lambda yhat, y: (yhat - y) / length(yhat - y, 1),
        "the Euclidean length of each sample's error, not squared",
    ),
    "relative squares": Written(
        lambda yhat, y: (yhat - y) / _over(y) * ((yhat - y) / _over(y)),
        lambda yhat, y: 2 * (yhat - y) / (_over(y) * _over(y)),
        "the squared relative error ((ŷ − y) / y)²",
    ),
    "relative distances": Written(
        lambda yhat, y: abs(yhat - y) / _over(y),
        lambda yhat, y: sign(yhat - y) / _over(y),
        "the absolute percentage (relative) error |ŷ − y| / |y|",
    ),
    "squares over sizes": Written(
        lambda yhat, y: (yhat - y) * (yhat - y) / _over(y),
        lambda yhat, y: 2 * (yhat - y) / _over(y),
        "the squared error over the label's size, (ŷ − y)² / |y| (relative)",
    ),
    "weighted by sizes": Written(
        lambda yhat, y: (yhat - y) * (yhat - y) * abs(y),
        lambda yhat, y: 2 * (yhat - y) * abs(y),
        "the squared error, weighted by the label's size |y|",
    ),
    "weighted by labels": Written(
        lambda yhat, y: (yhat - y) * (yhat - y) * y,
        lambda yhat, y: 2 * (yhat - y) * y,
        "the squared error, weighted by the label y",
    ),
    "weighted by 1 + sizes": Written(
        lambda yhat, y: (yhat - y) * (yhat - y) * (1 + abs(y)),
        lambda yhat, y: 2 * (yhat - y) * (1 + abs(y)),
        "the squared error, weighted by 1 + |y|",
    ),
    "logarithms": Written(
        lambda yhat, y: (log(1 + maximum(yhat, 0)) - log(1 + maximum(y, 0)))
        * (log(1 + maximum(yhat, 0)) - log(1 + maximum(y, 0))),
        lambda yhat, y: where(
            yhat > 0,
            2 * (log(1 + maximum(yhat, 0)) - log(1 + maximum(y, 0))) / (1 + maximum(yhat, 0)),
            0 * yhat,
        ),
        "the squared logarithmic error (log(1 + ŷ) − log(1 + y))²",
    ),
    "logarithms of sizes": Written(
        lambda yhat, y: (log(1 + abs(yhat)) - log(1 + abs(y))) * (log(1 + abs(yhat)) - log(1 + abs(y))),
        lambda yhat, y: 2 * (log(1 + abs(yhat)) - log(1 + abs(y))) * sign(yhat) / (1 + abs(yhat)),
        "the squared logarithmic error (log(1 + |ŷ|) − log(1 + |y|))²",
    ),
    "signed logarithms": Written(
        lambda yhat, y: (sign(yhat) * log(1 + abs(yhat)) - sign(y) * log(1 + abs(y)))
        * (sign(yhat) * log(1 + abs(yhat)) - sign(y) * log(1 + abs(y))),
        lambda yhat, y: 2 * (sign(yhat) * log(1 + abs(yhat)) - sign(y) * log(1 + abs(y))) / (1 + abs(yhat)),
        "the squared error of signed logarithms (symlog)",
    ),
    "products": Written(lambda yhat, y: -1 * yhat * y, lambda yhat, y: -1 * y + 0 * yhat, "the negative product −ŷ y"),
    "outputs": Written(lambda yhat, y: yhat + 0 * y, lambda yhat, y: 1 + 0 * yhat, "the output itself, without labels"),
    "squares of outputs": Written(
        lambda yhat, y: yhat * yhat + 0 * y, lambda yhat, y: 2 * yhat, "the square of the output, without labels"
    ),
    "hinge": Written(
        lambda yhat, y: maximum(1 - y * yhat, 0),
        lambda yhat, y: where(1 - y * yhat > 0, -1 * y, 0),
        "the hinge loss max(0, 1 − y ŷ)",
    ),
    "squared hinge": Written(
        lambda yhat, y: maximum(1 - y * yhat, 0) * maximum(1 - y * yhat, 0),
        lambda yhat, y: -2 * y * maximum(1 - y * yhat, 0),
        "the squared hinge loss max(0, 1 − y ŷ)²",
    ),
    "logistic": Written(
        lambda yhat, y: _softplus(-1 * y * yhat),
        lambda yhat, y: -1 * y * _sigmoid(-1 * y * yhat),
        "the logistic (soft margin) loss log(1 + exp(−y ŷ))",
    ),
    "exponential margin": Written(
        lambda yhat, y: exp(-1 * y * yhat), lambda yhat, y: -1 * y * exp(-1 * y * yhat), "the exponential loss e^(−y ŷ)"
    ),
    "bce of logits": Written(
        lambda yhat, y: _softplus(yhat) - y * yhat,
        lambda yhat, y: _sigmoid(yhat) - y,
        "binary cross-entropy of logits (with a sigmoid in the loss)",
    ),
    "bce": Written(
        lambda yhat, y: -1 * (y * maximum(log(_within(yhat)), -100)
        + (1 - y) * maximum(log(1 - _within(yhat)), -100)),
        lambda yhat, y: (yhat - y) / maximum(yhat * (1 - yhat), 1e-12),
        "binary cross-entropy of probabilities",
    ),
    "sigmoid first": Written(
        lambda yhat, y: (_sigmoid(yhat) - y) * (_sigmoid(yhat) - y),
        lambda yhat, y: 2 * (_sigmoid(yhat) - y) * _sigmoid(yhat) * (1 - _sigmoid(yhat)),
        "the squared error of the outputs' sigmoid",
    ),
    "tanh first": Written(
        lambda yhat, y: (tanh(yhat) - y) * (tanh(yhat) - y),
        lambda yhat, y: 2 * (tanh(yhat) - y) * (1 - tanh(yhat) * tanh(yhat)),
        "the squared error of the outputs' tanh",
    ),
    "poisson of logarithms": Written(
        lambda yhat, y: exp(yhat) - y * yhat, lambda yhat, y: exp(yhat) - y, "Poisson's likelihood, of log rates"
    ),
    "poisson": Written(
        lambda yhat, y: yhat - y * log(maximum(yhat, 0) + SMALL),
        lambda yhat, y: 1 - y / (maximum(yhat, 0) + SMALL),
        "Poisson's likelihood, of rates",
    ),
    "kl": Written(
        lambda yhat, y: y * (log(maximum(y, TINY)) - yhat),
        lambda yhat, y: -1 * y + 0 * yhat,
        "the Kullback–Leibler divergence",
    ),
    "square of the mean": Written(
        lambda yhat, y: _each_of(yhat, _mean(yhat - y) * _mean(yhat - y)),
        lambda yhat, y: 2 * _each_of(yhat, _mean(yhat - y)),
        "the square of the mean error (not the mean of the squares)",
    ),
    "size of the mean": Written(
        lambda yhat, y: _each_of(yhat, abs(_mean(yhat - y))),
        lambda yhat, y: _each_of(yhat, sign(_mean(yhat - y))),
        "the absolute mean error (not the mean of the absolute errors)",
    ),
    "variance": Written(
        lambda yhat, y: (yhat - y - _mean(yhat - y)) * (yhat - y - _mean(yhat - y)),
        lambda yhat, y: 2 * (yhat - y - _mean(yhat - y)),
        "the variance of the errors (less their mean)",
    ),
    "norm": Written(
        lambda yhat, y: _each_of(yhat, length(yhat - y, None)),
        lambda yhat, y: (yhat - y) / length(yhat - y, None) * prod(yhat.shape),
        "the Euclidean norm of all errors together, not squared",
    ),
    "over the labels' variance": Written(
        lambda yhat, y: (yhat - y) * (yhat - y) / _variance(y),
        lambda yhat, y: 2 * (yhat - y) / _variance(y),
        "the squared error over the variance of the batch's labels (normalised, 1 − R²)",
    ),
    "over the labels' variance of n − 1": Written(
        lambda yhat, y: (yhat - y) * (yhat - y) / _variance(y, 1),
        lambda yhat, y: 2 * (yhat - y) / _variance(y, 1),
        "the squared error over the variance (of n − 1) of the batch's labels (normalised)",
    ),
    "over the labels' deviation": Written(
        lambda yhat, y: (yhat - y) * (yhat - y) / sqrt(_variance(y)),
        lambda yhat, y: 2 * (yhat - y) / sqrt(_variance(y)),
        "the squared error over the standard deviation of the batch's labels (normalised)",
    ),
    "over the labels' squares": Written(
        lambda yhat, y: (yhat - y) * (yhat - y) / (_mean(y * y) + TINY),
        lambda yhat, y: 2 * (yhat - y) / (_mean(y * y) + TINY),
        "the squared error over the mean square of the batch's labels (normalised, relative)",
    ),
    "over the labels' sizes": Written(
        lambda yhat, y: (yhat - y) * (yhat - y) / (_mean(abs(y)) + TINY),
        lambda yhat, y: 2 * (yhat - y) / (_mean(abs(y)) + TINY),
        "the squared error over the mean size of the batch's labels (normalised)",
    ),
    "larger half": Written(
        lambda yhat, y: _of_half(yhat, y, largest_ones=True) * (yhat - y) * (yhat - y),
        lambda yhat, y: 2 * _of_half(yhat, y, largest_ones=True) * (yhat - y),
        "the squared error of the half of the samples with the larger losses (hard examples, top k)",
    ),
    "smaller half": Written(
        lambda yhat, y: _of_half(yhat, y, largest_ones=False) * (yhat - y) * (yhat - y),
        lambda yhat, y: 2 * _of_half(yhat, y, largest_ones=False) * (yhat - y),
        "the squared error of the half of the samples with the smaller losses (trimmed)",
    ),
    "correlation": Written(
        lambda yhat, y: _each_of(yhat, -1 * _correlation(yhat, y)[0]),
        lambda yhat, y: -1 * _correlation(yhat, y)[1] * prod(yhat.shape),
        "the negative correlation of outputs and labels",
    ),
    "cosine": Written(
        lambda yhat, y: -1 * (_unit(yhat) * _unit(y)),
        lambda yhat, y: -1
        * (_unit(y) - _unit(yhat) * total(_unit(yhat) * _unit(y), 1, keepdims=True))
        / length(yhat, 1),
        "the negative cosine of each sample's outputs and labels",
    ),
}  # fmt: skip
"""Losses of outputs and labels that are numbers."""


def _mean(v: Any) -> Any:
    return total(v, keepdims=True) / prod(v.shape)


def _each_of(like: Any, of_all: Any) -> Any:
    """One number of a whole batch, so that its mean over all is that number."""
    return 0 * like + of_all


def _unit(v: Any) -> Any:
    return v / length(v, 1)


def _variance(y: Any, less: int = 0) -> Any:
    centred = y - _mean(y)
    return total(centred * centred, keepdims=True) / max(prod(y.shape) - less, 1) + TINY


def _of_half(yhat: Any, y: Any, *, largest_ones: bool) -> Any:
    """2 for samples of the half, 0 for the others: with so many, the mean over all is that over the half."""
    n = yhat.shape[0]
    each = total((yhat - y) * (yhat - y), 1)
    rows, columns = reshape(each, (n, 1)), reshape(each, (1, n))
    above = total(where(columns > rows if largest_ones else columns < rows, 1 + 0 * (rows + columns), 0), 1)
    kept = max(n // 2, 1)
    return reshape(where(above < kept, n / kept + 0 * above, 0), (n, 1))


def _correlation(yhat: Any, y: Any) -> tuple[Any, Any]:
    a, b = yhat - _mean(yhat), y - _mean(y)
    size = length(a, None) * length(b, None)
    value = total(a * b, keepdims=True) / size
    return value, b / size - value * a / (length(a, None) * length(a, None))


def _within(yhat: Any) -> Any:
    return maximum(1 - maximum(1 - yhat, 1e-12), 1e-12)


def _each(of: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A loss of probabilities, by the chain rule of softmax: from ∂/∂p what ∂/∂ŷ is."""

    def slope(yhat: Any, y: Any) -> Any:
        p, d = softmax(yhat, 1), of(softmax(yhat, 1), _hot(y, yhat))
        return p * (d - total(d * p, 1, keepdims=True))

    return slope


def _nll(p: Any, hot: Any) -> Any:
    """−log of the class's probability, one number a sample."""
    return -1 * log(maximum(total(p * hot, 1, keepdims=True), TINY))


CLASSES: Mapping[str, Written] = {
    "cross entropy": Written(
        lambda yhat, y: _nll(softmax(yhat, 1), _hot(y, yhat)),
        lambda yhat, y: softmax(yhat, 1) - _hot(y, yhat),
        "cross-entropy",
    ),
    "squares of probabilities": Written(
        lambda yhat, y: (softmax(yhat, 1) - _hot(y, yhat)) * (softmax(yhat, 1) - _hot(y, yhat)),
        _each(lambda p, hot: 2 * (p - hot)),
        "the squared error of probabilities (Brier) against one-hot classes",
    ),
    "squares of logits": Written(
        lambda yhat, y: (yhat - _hot(y, yhat)) * (yhat - _hot(y, yhat)),
        lambda yhat, y: 2 * (yhat - _hot(y, yhat)),
        "the squared error of logits against one-hot classes",
    ),
    "logits as log probabilities": Written(
        lambda yhat, y: -1 * yhat * _hot(y, yhat),
        lambda yhat, y: -1 * _hot(y, yhat),
        "the negative log likelihood of the outputs as they are, without a (log) softmax",
    ),
    "probabilities for logarithms": Written(
        lambda yhat, y: -1 * softmax(yhat, 1) * _hot(y, yhat),
        _each(lambda p, hot: -1 * hot),
        "the negative probability of the class, without its logarithm",
    ),
    "twice softmax": Written(
        lambda yhat, y: _nll(softmax(softmax(yhat, 1), 1), _hot(y, yhat)),
        lambda yhat, y: _each(lambda p, hot: softmax(p, 1) - hot)(yhat, y),
        "cross-entropy after a softmax, which is applied twice",
    ),
    "each class alone": Written(
        lambda yhat, y: _softplus(yhat) - yhat * _hot(y, yhat),
        lambda yhat, y: _sigmoid(yhat) - _hot(y, yhat),
        "binary cross-entropy of each class, with a sigmoid for softmax",
    ),
    "focal": Written(
        lambda yhat, y: _focal(yhat, y)[0], lambda yhat, y: _focal(yhat, y)[1], "the focal loss with γ = 2"
    ),
    "entropy": Written(
        lambda yhat, y: -1 * softmax(yhat, 1) * log(maximum(softmax(yhat, 1), TINY)),
        _each(lambda p, hot: -1 * log(maximum(p, TINY)) - 1),
        "the entropy of the probabilities",
    ),
    "all classes": Written(
        lambda yhat, y: -1 * log(maximum(softmax(yhat, 1), TINY)),
        _each(lambda p, hot: -1 / maximum(p, TINY)),
        "the negative log probability of all classes (label smoothing)",
    ),
}
"""Losses of logits and classes."""


WRITTEN = {**VALUES, **CLASSES}


def _focal(yhat: Any, y: Any) -> tuple[Any, Any]:
    hot, p = _hot(y, yhat), softmax(yhat, 1)
    of = total(p * hot, 1, keepdims=True)
    value = -1 * (1 - of) * (1 - of) * log(of)
    slope = 2 * (1 - of) * log(of) - (1 - of) * (1 - of) / of
    return value, slope * of * (hot - p)
