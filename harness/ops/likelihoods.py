"""What number does a training of a distribution make small? The negative logarithm of the labels' likelihood."""

from __future__ import annotations

from math import pi, prod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool

from isograd.arithmetic.words import Irrational, exp, irrational, log, maximum, row, sum, where
from isograd.ops.activations import logistic
from isograd.ops.axes import joined, parts
from isograd.ops.op import Array, Loss, Shape, Within
from isograd.spec import Positive

LOG_TWO_PI = Irrational("1.8378770664093454835606594728112352797227949472755668256343030")
LEAST = -100.0
"""PyTorch's and PaddlePaddle's least logarithm of a probability in a binary cross-entropy."""


class BinaryCrossEntropy(Loss):
    """L = −mean of y log ŷ + (1 − y) log(1 − ŷ), of probabilities ŷ; a logarithm is −100 at least."""

    kind: Literal["bce"]
    exact: ClassVar[bool] = False
    within: ClassVar[Within] = "shares"
    above: ClassVar[str] = "sigmoid"

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over n."""
        one, other = maximum(log(yhat), LEAST), maximum(log(1 - yhat), LEAST)
        return -sum(y * one + (1 - y) * other) / prod(y.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = (ŷ − y) / (ŷ (1 − ŷ) n), the denominator no smaller than 10⁻¹²."""
        return (yhat - y) / maximum(yhat * (1 - yhat), 1e-12) / prod(y.shape)


class BinaryCrossEntropyWithLogits(Loss):
    """L = −mean of p y log σ(z) + (1 − y) log σ(−z), of logits z; p is 1, or the positives' weights, one an output."""

    kind: Literal["bce_with_logits"]
    exact: ClassVar[bool] = False
    within: ClassVar[Within] = "shares"
    examples = ({}, {"positive": (0.5, 3.0)})

    positive: Annotated[tuple[Positive, ...], Field(min_length=1)] | None = None

    def label_shape(self, outputs: Shape) -> Shape:
        """That of the outputs."""
        if self.positive is not None and len(self.positive) != outputs[-1]:
            raise ValueError(f"positive: expected {outputs[-1]} weights, one an output; got {len(self.positive)}")
        return outputs

    def value(self, yhat: Array, y: Array) -> Any:
        """(1 − y) z + w log(1 + e⁻ᶻ) with w = 1 + (p − 1) y, and the logarithm as max(−z, 0) + log(1 + e^−|z|)."""
        bent = maximum(-yhat, 0) + log(1 + exp(-abs(yhat)))
        return sum((1 - y) * yhat + self._weights(yhat, y) * bent) / prod(y.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂z = ((1 − y) − w σ(−z)) / n."""
        return ((1 - y) - self._weights(yhat, y) * logistic(-yhat)) / prod(y.shape)

    def _weights(self, yhat: Array, y: Array) -> Any:
        return 1 if self.positive is None else 1 + (row(self.positive, yhat) - 1) * y


class KullbackLeibler(Loss):
    """L = mean of y (log y − ŷ), of log-probabilities ŷ and probabilities y.

    ``mean = "elements"`` is over all numbers, ``mean = "batch"`` over the samples, as the mathematics has it.
    """

    kind: Literal["kl"]
    exact: ClassVar[bool] = False
    within: ClassVar[Within] = "shares"
    above: ClassVar[str] = "log_softmax"
    examples = ({}, {"mean": "batch"})

    mean: Literal["elements", "batch"] = "elements"

    def value(self, yhat: Array, y: Array) -> Any:
        """Where y is 0, nothing is added."""
        return sum(where(y > 0, y * (log(where(y > 0, y, 1)) - yhat), 0)) / self._number(y)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = −y / n."""
        return -y / self._number(y)

    def _number(self, y: Array) -> int:
        return int(y.shape[0]) if self.mean == "batch" else prod(y.shape)


class PoissonNll(Loss):
    """L = mean of e^ŷ − y ŷ, of logarithms ŷ of rates and counts y; of rates themselves ŷ − y log(ŷ + ε).

    ``full`` adds Stirling's y log y − y + ½ log 2πy where y > 1, on which no gradient depends.
    """

    kind: Literal["poisson_nll"]
    exact: ClassVar[bool] = False
    within: ClassVar[Within] = "counts"
    above: ClassVar[str] = "sigmoid"
    examples = ({}, {"logarithms": False}, {"full": True}, {"logarithms": False, "epsilon": 0.1})

    logarithms: StrictBool = True
    full: StrictBool = False
    epsilon: Positive = 1e-8

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over n."""
        each = exp(yhat) - y * yhat if self.logarithms else yhat - y * log(yhat + self.epsilon)
        if self.full:
            large = where(y > 1, y, 1)
            stirling = large * log(large) - large + 0.5 * log(2 * pi * large)
            each = each + where(y > 1, stirling, 0)
        return sum(each) / prod(y.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = (e^ŷ − y) / n, or (1 − y / (ŷ + ε)) / n."""
        return ((exp(yhat) - y) if self.logarithms else 1 - y / (yhat + self.epsilon)) / prod(y.shape)


class GaussianNll(Loss):
    """L = mean of ½ (log v + (m − y)² / v), of means m and variances v, which are ε at least.

    A sample's outputs have both on their first axis: m before v. ``full`` adds ½ log 2π.
    """

    kind: Literal["gaussian_nll"]
    exact: ClassVar[bool] = False
    above: ClassVar[str] = "sigmoid"
    sample: ClassVar[Shape] = (2, 3)
    examples = ({}, {"full": True}, {"epsilon": 0.5})

    full: StrictBool = False
    epsilon: Positive = 1e-6

    def label_shape(self, outputs: Shape) -> Shape:
        """That of the means."""
        if outputs[0] != 2:
            raise ValueError(f"expected outputs (2, …), means and variances; got shape {outputs}")
        return outputs[1:] or ()

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over n."""
        r, v = self._parts(yhat, y)
        each = 0.5 * (log(v) + r * r / v)
        return sum(each + 0.5 * irrational(LOG_TWO_PI, each) if self.full else each) / prod(y.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂m = r / (v n), with r = m − y; ∂L/∂v = ½ (1 − r² / v) / (v n), and 0 where v is no more than ε."""
        r, v = self._parts(yhat, y)
        of_v = where(v > self.epsilon, 0.5 * (1 / v - r * r / (v * v)), 0)
        return joined(r / v, of_v) / prod(y.shape)

    def _parts(self, yhat: Array, y: Array) -> tuple[Any, Any]:
        m, v = parts(yhat, 2)
        return m - y, maximum(v, self.epsilon)
