"""What can be wrong with a loss: a sum for a mean, a ½ or a 2, labels against the wrong outputs?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Self

from pydantic.dataclasses import dataclass

from isograd.backends.numpy_manual.changes import OPTIONS, AtPartialBatch, Change, Circumstances
from isograd.backends.numpy_manual.rules import LossRule, samples
from isograd.inputs import Array
from isograd.scenario import Scenario

Scale = Callable[[Array], float]
"""The constant, for labels of a batch."""

SCALES: dict[str, tuple[Scale, str]] = {
    "half": (lambda y: 0.5, "½ stands before the loss"),
    "twice": (lambda y: 2.0, "the loss lacks a ½"),
    "over_outputs": (lambda y: 1 / y.shape[-1], "a mean over the outputs stands for their sum"),
    "times_outputs": (lambda y: y.shape[-1], "a sum over the outputs stands for their mean"),
    "over_samples": (lambda y: 1 / samples(y), "a mean over the batch is taken twice"),
    "times_samples": (lambda y: samples(y), "a sum over the batch stands for its mean"),
    "over_all": (lambda y: 1 / (samples(y) * y.shape[-1]), "a mean over batch and outputs is taken once more"),
    "times_all": (lambda y: samples(y) * y.shape[-1], "a sum over batch and outputs stands for their mean"),
}


@dataclass(config=OPTIONS)
class LossScale(Change):
    """Sum for mean, mean for sum, a ½ or a 2: the loss, and with it every gradient, has another constant."""

    id = "loss_scale"
    sentence = "the loss has another constant"
    formula = "L ← «k» L, and so ∂L/∂ŷ ← «k» ∂L/∂ŷ"
    origin = "reduction='sum' for 'mean', or a loss defined with ½"

    by: Literal[
        "half",
        "twice",
        "over_outputs",
        "times_outputs",
        "over_samples",
        "times_samples",
        "over_all",
        "times_all",
    ] = "half"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every constant that is none, nor another's."""
        batch, outputs = scenario.batch_size, outputs_of(scenario)
        sizes = {"outputs": outputs, "samples": batch, "all": min(batch, outputs)}
        for by in SCALES:
            if sizes.get(by.rpartition("_")[2], 2) > 1:
                yield cls(by=by)  # type: ignore[arg-type]

    def says(self) -> str:
        """Which constant."""
        return SCALES[self.by][1]

    def loss(self, run: Circumstances, rule: LossRule) -> LossRule:
        """Value and gradient, k times."""
        k = SCALES[self.by][0]
        return scaled(rule, k)


OF_SQUARES: dict[str, Callable[[int], float]] = {
    "half_squared_error": lambda n: 1 / (2 * n),
    "mse": lambda n: 1 / (n * n),
}
"""What each loss, of (n, n) residuals, multiplies the sum of their squares by."""


@dataclass(config=OPTIONS)
class LabelsBroadcast(Change):
    """Each output is compared with the labels of all samples: (B, 1) against (B,) is (B, B)."""

    id = "labels_broadcast"
    sentence = "every output is compared with the labels of all samples of the batch"
    formula = "r_ij = ŷ_i − «y_j»   (not y_i)"
    origin = "labels of shape (B,) against outputs of shape (B, 1), which broadcast to (B, B)"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """For one output and batches of two or more."""
        yield from [cls()] if outputs_of(scenario) == 1 and scenario.batch_size > 1 else []

    def loss(self, run: Circumstances, rule: LossRule) -> LossRule:
        """The squares of B × B residuals, by their sums: they themselves would take gigabytes for a large batch.

        With the mean ȳ, Σ_ij (ŷ_i − y_j)² = B Σ_i (ŷ_i − ȳ)² + B Σ_j (y_j − ȳ)², and Σ_j (ŷ_i − y_j) = B ŷ_i − Σ_j y_j.
        Of several outputs the rule as it is.
        """
        if outputs_of(run.scenario) > 1:
            return rule
        of_all = OF_SQUARES[run.scenario.loss.kind]

        def value(yhat: Array, y: Array) -> Any:
            n = samples(y)
            mean = y.sum(axis=-2, keepdims=True) / n
            a, b = yhat - mean, y - mean
            return ((a * a).sum(axis=(-2, -1)) + (b * b).sum(axis=(-2, -1))) * n * of_all(n)

        def gradient(yhat: Array, y: Array) -> Any:
            n = samples(y)
            return (n * yhat - y.sum(axis=-2, keepdims=True)) * (2 * of_all(n))

        return LossRule(value, gradient)


@dataclass(config=OPTIONS)
class PartialBatchScaled(AtPartialBatch):
    """The last, smaller batch of an epoch is divided by the size of a whole one."""

    id = "partial_batch_scaled"
    sentence = "the loss of an epoch's last, smaller batch is divided by the size of a whole batch"
    formula = "L = (1/«B») Σ_samples …   (not by the batch's own size)"
    origin = "a batch size that is taken from the settings, not from the batch"

    def loss(self, run: Circumstances, rule: LossRule) -> LossRule:
        """Value and gradient, times the batch's size over a whole one's."""
        return scaled(rule, lambda y: samples(y) / run.inputs.batch_size)


def scaled(rule: LossRule, k: Scale) -> LossRule:
    """The rule, times a constant that depends on the batch."""

    def value(yhat: Array, y: Array) -> Any:
        return k(y) * rule.value(yhat, y)

    return LossRule(value, lambda yhat, y: k(y) * rule.gradient(yhat, y))


def outputs_of(scenario: Scenario) -> int:
    """The width of the last layer."""
    last = scenario.layers[-1]
    return last.width(scenario.input_widths()[last.name])
