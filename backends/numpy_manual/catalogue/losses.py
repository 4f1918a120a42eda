"""What can be wrong with a loss: a sum for a mean, a ½ or a 2?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, Self

from pydantic.dataclasses import dataclass

from backends.numpy_manual.changes import (
    OPTIONS,
    Change,
)
from backends.numpy_manual.rules import LossRule, samples
from harness.inputs import Array
from harness.scenario import Scenario

SCALES: dict[str, tuple[Callable[[Array, Array], float], str, str]] = {
    "half": (lambda yhat, y: 0.5, "½ stands before the loss", "L ← ½ L"),
    "twice": (lambda yhat, y: 2.0, "the loss lacks a ½", "L ← 2 L"),
    "over_outputs": (
        lambda yhat, y: 1 / y.shape[-1],
        "a mean over the outputs stands for their sum",
        "L ← L / outputs",
    ),
    "times_outputs": (lambda yhat, y: y.shape[-1], "a sum over the outputs stands for their mean", "L ← L · outputs"),
    "over_samples": (lambda yhat, y: 1 / samples(y), "a mean over the batch is taken twice", "L ← L / B"),
    "times_samples": (lambda yhat, y: samples(y), "a sum over the batch stands for its mean", "L ← L · B"),
}


@dataclass(config=OPTIONS)
class LossScale(Change):
    """Sum for mean, mean for sum, a ½ or a 2: the loss, and with it every gradient, has another constant."""

    id = "loss_scale"
    sentence = "the loss has another constant"
    formula = "L ← k L, and so ∂L/∂ŷ ← k ∂L/∂ŷ"
    origin = "reduction='sum' for 'mean', or a loss defined with ½"

    by: Literal["half", "twice", "over_outputs", "times_outputs", "over_samples", "times_samples"] = "half"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every constant that is none."""
        outputs = scenario.layers[-1].width(scenario.input_widths()[scenario.layers[-1].name])
        for by in SCALES:
            size = outputs if by.endswith("outputs") else scenario.batch_size if by.endswith("samples") else 2
            if size > 1:
                yield cls(by=by)  # type: ignore[arg-type]

    def says(self) -> str:
        """Which constant."""
        return SCALES[self.by][1]

    def loss(self, rule: LossRule) -> LossRule:
        """Value and gradient, k times."""
        k = SCALES[self.by][0]
        return LossRule(
            lambda yhat, y: k(yhat, y) * rule.value(yhat, y), lambda yhat, y: k(yhat, y) * rule.gradient(yhat, y)
        )
