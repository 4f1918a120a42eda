"""What number does a training make small?"""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, Literal

from isograd.arithmetic.words import Irrational, exp, irrational, log, sign, sum, tanh, where
from isograd.ops.op import Array, Loss
from isograd.spec import Positive

LOG_TWO = Irrational("0.69314718055994530941723212145817656807550013436025525412068000950")


class HalfSquaredError(Loss):
    """L = (1/B) Σ_batch Σ_outputs ½ (ŷ − y)²."""

    kind: Literal["half_squared_error"]

    def value(self, yhat: Array, y: Array) -> Any:
        """Half the sum of all squares over the number of samples."""
        r = yhat - y
        return sum(r * r) / (2 * yhat.shape[0])

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = (ŷ − y) / B."""
        return (yhat - y) / yhat.shape[0]


class MeanSquaredError(Loss):
    """L = mean of (ŷ − y)² over batch and outputs.

    ``width_1_labels = "broadcast"`` compares a label of width 1 with every output. The frameworks do that without being
    asked, so a scenario has to say that it means it.
    """

    kind: Literal["mse"]

    width_1_labels: Literal["broadcast"] | None = None

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum of all squares over their number n."""
        r = yhat - y
        return sum(r * r) / prod(r.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = 2 (ŷ − y) / n."""
        return 2 * (yhat - y) / prod(yhat.shape)


class MeanAbsoluteError(Loss):
    """L = mean of |ŷ − y| over batch and outputs, with derivative 0 where both are equal."""

    kind: Literal["l1"]

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum of all distances over their number n."""
        return sum(abs(yhat - y)) / prod(yhat.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = sign(ŷ − y) / n."""
        return sign(yhat - y) / prod(yhat.shape)


class SmoothL1(Loss):
    """L = mean of ½ r² / β where |r| < β, of |r| − ½ β elsewhere, with r = ŷ − y (Girshick, *Fast R-CNN*, 2015)."""

    kind: Literal["smooth_l1"]
    examples = ({}, {"beta": 0.5})

    beta: Positive = 1.0

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over n."""
        r = yhat - y
        size = abs(r)
        return sum(where(size < self.beta, 0.5 * r * r / self.beta, size - 0.5 * self.beta)) / prod(r.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = r / (β n) where |r| < β, sign(r) / n elsewhere."""
        r = yhat - y
        return where(abs(r) < self.beta, r / self.beta, sign(r)) / prod(r.shape)


class Huber(Loss):
    """L = mean of ½ r² where |r| < δ, of δ (|r| − ½ δ) elsewhere, with r = ŷ − y (Huber, 1964)."""

    kind: Literal["huber"]
    examples = ({}, {"delta": 0.5})

    delta: Positive = 1.0

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over n."""
        r = yhat - y
        size = abs(r)
        return sum(where(size < self.delta, 0.5 * r * r, self.delta * (size - 0.5 * self.delta))) / prod(r.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = r / n where |r| < δ, δ sign(r) / n elsewhere."""
        r = yhat - y
        return where(abs(r) < self.delta, r, self.delta * sign(r)) / prod(r.shape)


class LogCosh(Loss):
    """L = mean of log cosh r, with r = ŷ − y: ½ r² of small ones, and |r| − log 2 of large ones."""

    kind: Literal["log_cosh"]
    exact: ClassVar[bool] = False

    def value(self, yhat: Array, y: Array) -> Any:
        """log cosh r = |r| + log(1 + e^−2|r|) − log 2, so that nothing overflows; some libraries lose digits of it."""
        size = abs(yhat - y)
        return sum(size + log(1 + exp(-2 * size)) - irrational(LOG_TWO, size)) / prod(size.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = tanh(r) / n."""
        return tanh(yhat - y) / prod(yhat.shape)
