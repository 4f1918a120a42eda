"""What can be wrong with an update, or with the gradients that it is given?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import numpy as np
from pydantic.dataclasses import dataclass

from isograd.changes.change import (
    OPTIONS,
    AtParameter,
    Change,
    Circumstances,
    Evidence,
    Values,
)
from isograd.dtypes import FORMATS
from isograd.scenario import Scenario


@dataclass(config=OPTIONS)
class GradientsNotCleared(Change):
    """Gradients add up over the steps."""

    id = "gradients_not_cleared"
    sentence = "gradients are not cleared: each step adds to those of the steps before"
    formula = "g_t ← g_t «+ g_(t−1)»"
    origin = "zero_grad() or clear_grad() is missing"
    remembers = True

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Added to those before."""
        before = run.memory
        run.memory = {key: before.get(key, 0) + value for key, value in g.items()}
        return dict(run.memory)


@dataclass(config=OPTIONS)
class GradientsClearedEarly(Change):
    """Gradients are cleared before the update has used them."""

    id = "gradients_cleared_early"
    sentence = "gradients are cleared before the update: no parameter changes"
    formula = "w ← w − η · «0»"
    origin = "zero_grad() between loss.backward() and optimizer.step(), an optimizer of other parameters"

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """As it was."""
        return w


@dataclass(config=OPTIONS)
class GradientsStale(Change):
    """The update uses the gradients of the step before."""

    id = "gradients_stale"
    sentence = "the update uses the gradients of the step before"
    formula = "w ← w − η g_«(t−1)»"
    origin = "optimizer.step() before loss.backward()"
    remembers = True

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """The gradient before; at first none."""
        before, run.memory[key] = run.memory.get(key, 0 * g), g
        return before


@dataclass(config=OPTIONS)
class LearningRate(Change):
    """Another learning rate."""

    id = "learning_rate"
    sentence = "the learning rate is {by:.9g} times what it should be"
    formula = "w ← w − «k» η g"
    origin = "a schedule, a default, a rate that was rounded"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 1 + 1e-6

    def rate(self, run: Circumstances, lr: float) -> float:
        """K times."""
        return lr * self.by


@dataclass(config=OPTIONS)
class UpdateScale(AtParameter):
    """The update is scaled, though learning rate and gradient are right."""

    id = "update_scale"
    sentence = "the update of {at} is {by:.9g} times what it should be"
    formula = "w ← w + «k» Δw"
    origin = "a group of parameters with a rate of its own, or a second update"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """K times the step."""
        return w + self.by * (after - w) if self.here(key) else after


@dataclass(config=OPTIONS)
class UpdateTwice(Change):
    """One update is applied twice."""

    id = "update_twice"
    sentence = "the update of step {step} is applied twice"
    formula = "w ← w + Δw «+ Δw»"
    origin = "optimizer.step() called twice, a callback that calls it again"

    step: int = 0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """At the first step."""
        yield cls(step=0)

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Once more."""
        return after + (after - w) if run.step == self.step else after


@dataclass(config=OPTIONS)
class UpdateSkipped(Change):
    """One update is left out."""

    id = "update_skipped"
    sentence = "the update of step {step} is skipped"
    formula = "w ← w «− η g is missing»"
    origin = "gradient accumulation, a gradient scaler that found an infinity"

    step: int = 0

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Nothing is updated."""
        return w if run.step == self.step else after


@dataclass(config=OPTIONS)
class WeightDecay(Change):
    """Weights decay, though none was asked for."""

    id = "weight_decay"
    sentence = "a weight decay of {by:.9g} is present"
    formula = "w ← w − η (g «+ λ w»)"
    origin = "an optimizer's default"
    solve = {"by": 0.0}  # noqa: RUF012

    by: float = 0.01

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """g + λ w for g."""
        return g + self.by * w


@dataclass(config=OPTIONS)
class Momentum(Change):
    """Momentum, though none was asked for."""

    id = "momentum"
    sentence = "a momentum of {by:.9g} is present"
    formula = "v ← «μ v +» g, w ← w − η v"
    origin = "an optimizer's default"
    solve = {"by": 0.0}  # noqa: RUF012
    remembers = True

    by: float = 0.9

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """V for g."""
        run.memory[key] = self.by * run.memory.get(key, 0) + g
        return run.memory[key]


@dataclass(config=OPTIONS)
class WeightOff(AtParameter):
    """One element of a weight is off by a few units in the last place, once."""

    id = "weight_off"
    sentence = "element {index} of {at} is off by {ulp:.9g} ULP at step {step}"
    formula = "w_i ← w_i «+ k ulp(w_i)»"
    origin = "a bit that flipped, a kernel that is wrong for one lane"
    solve = {"ulp": 0.0}  # noqa: RUF012

    ulp: float = 4.0
    step: int = 0
    index: int = 0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """In each parameter."""
        yield from (change for change in super().variants(scenario) if change.at)

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """The element that is off the most."""
        step = evidence.steps[0]
        got = evidence.recorded(f"weight/{self.at}", step)
        if got is not None:
            index = int(np.abs(got - evidence.ruled(f"weight/{self.at}", step)).argmax())
            yield from [replace(self, index=index)] if index != self.index else []

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """One element, that many units on; without `at` in the first parameter that is updated."""
        if run.step != self.step or not self.here(key) or run.memory.get(self.step, key) != key:
            return after
        run.memory[self.step] = key
        shape = run.inputs.initial[f"weight/{key}"].shape
        one = np.zeros(shape)
        one.flat[self.index] = 1.0
        unit = FORMATS[run.scenario.dtype].spacing(np.asarray(after, np.float64))
        return after + self.ulp * one * np.asarray(unit)


@dataclass(config=OPTIONS)
class StateLost(Change):
    """The parameters go back to their initial values at an epoch's end."""

    id = "state_lost"
    sentence = "the parameters are set back to their initial values at the end of an epoch"
    formula = "w ← «w₀» after the last step of an epoch"
    origin = "a model that is built anew in the loop over epochs"

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """The initial value, at an epoch's last step."""
        ends = (run.step + 1) % run.inputs.steps_per_epoch == 0
        initial = run.inputs.initial[f"weight/{key}"].astype(np.float64)
        return np.broadcast_to(initial, np.shape(after)) if ends else after
