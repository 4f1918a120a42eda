"""What can be wrong with a loss: a sum for a mean, a ½ or a 2, labels against the wrong outputs?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, Self

import numpy as np

from isograd.arithmetic.numbers import Exact
from isograd.arithmetic.words import concat, one_hot, pick, reshape
from isograd.arithmetic.words import max as largest
from isograd.arithmetic.words import sum as total
from isograd.changes.change import Change, Circumstances, Values
from isograd.changes.instead import instead, operand
from isograd.changes.places import AtPartialBatch, OfLoss
from isograd.ops.op import Array, Loss
from isograd.scenario import Scenario

Scale = Callable[[int, int], tuple[int, int]]
"""The constant, as a fraction, for so many samples and outputs."""

SCALES: dict[str, tuple[Scale, str]] = {
    "half": (lambda n, m: (1, 2), "½ stands before the loss"),
    "twice": (lambda n, m: (2, 1), "the ½ of the loss is left out: it is missing"),
    "over_outputs": (lambda n, m: (1, m), "a mean over the outputs stands for their sum"),
    "times_outputs": (lambda n, m: (m, 1), "a sum over the outputs stands for their mean"),
    "over_samples": (lambda n, m: (1, n), "a mean over the batch is taken twice"),
    "times_samples": (lambda n, m: (n, 1), "a sum over the batch stands for its mean"),
    "over_all": (lambda n, m: (1, n * m), "a mean over batch and outputs is taken once more"),
    "times_all": (lambda n, m: (n * m, 1), "a sum over batch and outputs stands for their mean"),
}


@dataclass(frozen=True)
class LossScale(OfLoss):
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

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """Value and gradient of the loss, k times."""
        return scaled(op, SCALES[self.by][0])


@dataclass(frozen=True)
class LossTimes(OfLoss):
    """The loss, and with it every gradient, has a constant factor."""

    id = "loss_times"
    sentence = "the loss, and with it its gradient, is {by:.7g} times what it should be"
    formula = "L ← «k» L, and so ∂L/∂ŷ ← «k» ∂L/∂ŷ"
    origin = "a weight of a loss, a sum for a mean together with a ½"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 3.0

    vague = True  # a constant that has a reason is the better account

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """Value and gradient of the loss, k times."""
        by = Exact(self.by)
        return instead(
            op,
            value=lambda yhat, y: by * op.value(yhat, y),
            gradient=lambda yhat, y: by * op.gradient(yhat, y),
        )


@dataclass(frozen=True)
class OutputsLeftOut(OfLoss):
    """Some outputs do not come into the loss."""

    id = "outputs_left_out"
    sentence = "only one output comes into the loss: the others are left out"
    formula = "L = ℓ(ŷ«[:, k]», y«[:, k]»)"
    origin = "a slice of outputs and labels, a target of one column"

    output: int = 0
    others: bool = False

    @property
    def where(self) -> str:
        """Which."""
        return f"all but {self.output}" if self.others else str(self.output)

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each output alone, and all but each, where labels are numbers, one an output, and outputs are few."""
        outputs, loss = outputs_of(scenario), scenario.loss
        of_each = loss.labels == "values" and loss.label_shape(scenario.outputs) == (outputs,)
        if of_each and 1 < outputs <= len(ORDINALS):
            yield from (cls(output, others) for output in range(outputs) for others in (False, True)[: outputs - 1])

    def says(self) -> str:
        """Which."""
        which = f"the {ORDINALS[self.output]} output"
        if self.others:
            return f"{which} is left out of the loss: it does not count"
        return f"only {which} comes into the loss: the others are left out"

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """The residuals of the others are 0; a mean over the outputs is one over those that are left."""
        outputs = outputs_of(run.scenario)
        left = outputs - 1 if self.others else 1
        share = 1 if op.kind == "half_squared_error" else Exact(outputs / left)

        counts = (np.arange(outputs) == self.output) != self.others

        def residual(yhat: Any, y: Any) -> Any:
            return (yhat - y) * operand(counts, yhat)

        return instead(
            op,
            value=lambda yhat, y: share * op.value(residual(yhat, y), 0 * yhat),
            gradient=lambda yhat, y: share * op.gradient(residual(yhat, y), 0 * yhat) * operand(counts, yhat),
        )


ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
"""Outputs of which each is tried: so many."""

OF_SQUARES: dict[str, Callable[[int], int]] = {"half_squared_error": lambda n: 2 * n, "mse": lambda n: n * n}
"""What each loss, of (n, n) residuals, divides the sum of their squares by."""


@dataclass(frozen=True)
class LabelsBroadcast(OfLoss):
    """Each output is compared with the labels of all samples: (B, 1) against (B,) is (B, B)."""

    id = "labels_broadcast"
    sentence = "every output is compared with the labels of all samples of the batch: they are broadcast to all pairs"
    formula = "r_ij = ŷ_i − «y_j»   (not y_i)"
    origin = "labels of shape (B,) against outputs of shape (B, 1), which broadcast to (B, B)"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """For one output and batches of two or more."""
        yield from [cls()] if outputs_of(scenario) == 1 and scenario.batch_size > 1 and _is_of_squares(scenario) else []

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """The squares of B × B residuals, by their sums: they themselves would take gigabytes for a large batch.

        With the mean ȳ, Σ_ij (ŷ_i − y_j)² = B Σ_i (ŷ_i − ȳ)² + B Σ_j (y_j − ȳ)², and Σ_j (ŷ_i − y_j) = B ŷ_i − Σ_j y_j.
        Of several outputs the rule as it is.
        """
        if op.kind not in OF_SQUARES or outputs_of(run.scenario) > 1:
            return op
        of_all = OF_SQUARES[op.kind]

        def value(yhat: Array, y: Array) -> Any:
            n = y.shape[0]
            mean = total(y, axis=0, keepdims=True) / n
            a, b = yhat - mean, y - mean
            return (total(a * a, axis=(0, 1)) + total(b * b, axis=(0, 1))) * n / of_all(n)

        def gradient(yhat: Array, y: Array) -> Any:
            n = y.shape[0]
            return (n * yhat - total(y, axis=0, keepdims=True)) * 2 / of_all(n)

        return instead(op, value=value, gradient=gradient)


@dataclass(frozen=True)
class PartialBatchScaled(AtPartialBatch, OfLoss):
    """The last, smaller batch of an epoch is divided by the size of a whole one."""

    id = "partial_batch_scaled"
    sentence = "the loss of an epoch's last, smaller batch is divided by the size of a whole batch"
    formula = "L = (1/«B») Σ_samples …   (not by the batch's own size)"
    origin = "a batch size that is taken from the settings, not from the batch"

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """Value and gradient of the loss, times the batch's size over a whole one's."""
        return scaled(op, lambda n, m: (n, run.inputs.batch_size))


@dataclass(frozen=True)
class LossGradientScale(OfLoss):
    """The loss is right, and its gradient has a constant factor."""

    id = "loss_gradient_scale"
    sentence = "the gradient of the loss is {by:.7g} times what it should be, and the loss is not"
    formula = "∂L/∂ŷ ← «k» ∂L/∂ŷ   (and L as it is)"
    origin = "a loss that is scaled for backward only; a hand-written derivative: a 2, a sign, a mean for a sum"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """The gradient of the loss, k times."""
        return instead(op, gradient=lambda yhat, y: Exact(self.by) * op.gradient(yhat, y))


@dataclass(frozen=True)
class Penalty(Change):
    """The loss has one term more: of the squares, or of the absolute values, of all parameters."""

    id = "penalty"
    sentence = "a penalty of {by:.7g} times the sum of all parameters' {of} is added to the loss"
    formula = "L ← L «+ λ Σ w²», ∂L/∂w ← ∂L/∂w «+ 2 λ w»   (or |w|, and sign w)"
    origin = "a regularisation that stands in the training loop"
    solve = {"by": 0.0}  # noqa: RUF012
    choices = ("of", "reported")

    by: float = 0.01
    of: Literal["squares", "absolute values"] = "squares"
    reported: bool = True

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """With the term's own, for each parameter as it is before the update."""
        weights = {key: run.plain(run.parameter(key)) for key in g}
        size = np.square if self.of == "squares" else np.abs
        axes = {key: tuple(range(-run.inputs.weights[key].ndim, 0)) for key in g}
        run.memory["term"] = sum(size(w).sum(axis=axes[key]) for key, w in weights.items())
        slope = (lambda w: 2 * w) if self.of == "squares" else np.sign
        return {key: value + self.by * slope(weights[key]) for key, value in g.items()}

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """The loss with the term, if it is reported so."""
        return seen | {"loss": seen["loss"] + self.by * run.memory["term"]} if self.reported else seen


def scaled(op: Loss, k: Scale) -> Any:
    """The loss, times a constant that depends on the batch."""

    def times(value: Array, yhat: Array) -> Array:
        above, below = k(yhat.shape[0], prod(yhat.shape[1:]))
        return (above * value if above != 1 else value) / below if below != 1 else above * value

    return instead(
        op,
        value=lambda yhat, y: times(op.value(yhat, y), yhat),
        gradient=lambda yhat, y: times(op.gradient(yhat, y), yhat),
    )


def outputs_of(scenario: Scenario) -> int:
    """How many numbers the last layer gives for a sample."""
    return prod(scenario.outputs)


def _is_of_squares(scenario: Scenario) -> bool:
    return scenario.loss.kind in OF_SQUARES


SAMPLES = 64
"""Samples of a batch up to which each has a loss of its own."""


@dataclass(frozen=True)
class WorstSample(OfLoss):
    """The loss of a batch is that of one sample of it."""

    id = "worst_sample"
    sentence = "the loss of a batch is that of its worst sample, and not of all"
    formula = "L = «max»_i L_i   (not a mean, or a sum, over i)"
    origin = "a reduction that is max, hard example mining"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Of two samples or more."""
        yield from [cls()] if 1 < scenario.batch_size <= SAMPLES else []

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """That of the sample that has the largest, and no gradient for the others."""

        def each(of: Callable[..., Any], yhat: Any, y: Any) -> list[Any]:
            return [of(yhat[i : i + 1], y[i : i + 1]) for i in range(yhat.shape[0])]

        def losses(yhat: Any, y: Any) -> Any:
            return concat([reshape(value, (1,)) for value in each(op.value, yhat, y)], 0)

        def gradient(yhat: Any, y: Any) -> Any:
            of_all, rank = losses(yhat, y), yhat.ndim - 1
            worst = reshape(one_hot(pick(of_all, 0), of_all.shape[0], of_all), (of_all.shape[0], *[1] * rank))
            return worst * concat(each(op.gradient, yhat, y), 0)

        return instead(op, value=lambda yhat, y: largest(losses(yhat, y), 0), gradient=gradient)
