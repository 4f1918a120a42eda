"""What can be wrong with an update: its size, momentum, decay, or what becomes of a parameter after it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from pydantic.dataclasses import dataclass

from isograd.changes.change import OPTIONS, Change, Circumstances, Evidence
from isograd.changes.places import AtParameter
from isograd.dtypes import FORMATS
from isograd.scenario import Scenario


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
    between = {"by": (-1000.0, 1000.0)}  # noqa: RUF012
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    def says(self) -> str:
        """In a word where there is one."""
        words = {0.0: "; it is not updated at all", -1.0: "; it is added, with the wrong sign"}
        return super().says() + words.get(self.by, "")

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
class WeightDecay(AtParameter):
    """Weights decay, though none was asked for."""

    id = "weight_decay"
    sentence = "a weight decay of {by:.9g} is present in {at}"
    formula = "w ← w − η (g «+ λ w»)"
    origin = "an optimizer's default"
    between = {"by": (-10.0, 10.0)}  # noqa: RUF012
    solve = {"by": 0.0}  # noqa: RUF012

    by: float = 0.01

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """g + λ w for g."""
        return g + self.by * w if self.here(key) else g


@dataclass(config=OPTIONS)
class Momentum(Change):
    """Momentum, though none was asked for."""

    id = "momentum"
    sentence = "a momentum of {by:.9g} is present"
    formula = "v ← «μ v +» g, w ← w − η v"
    origin = "an optimizer's default"
    between = {"by": (-1.0, 1.0)}  # noqa: RUF012
    solve = {"by": 0.0}  # noqa: RUF012
    remembers = True

    by: float = 0.9

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """V for g."""
        run.memory[key] = self.by * run.memory.get(key, 0) + g
        return run.memory[key]


@dataclass(config=OPTIONS)
class Nesterov(Change):
    """Nesterov's momentum, though none was asked for."""

    id = "nesterov"
    sentence = "a Nesterov momentum of {by:.9g} is present"
    formula = "v ← μ v + g, w ← w − η (g «+ μ v»)"
    origin = "nesterov=True"
    between = {"by": (0.0, 1.0)}  # noqa: RUF012
    solve = {"by": 0.0}  # noqa: RUF012
    remembers = True

    by: float = 0.9

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """A gradient, and momentum ahead of it."""
        run.memory[key] = self.by * run.memory.get(key, 0) + g
        return g + self.by * run.memory[key]


@dataclass(config=OPTIONS)
class Dampened(Change):
    """Momentum with dampening, though none was asked for."""

    id = "dampened"
    sentence = "a momentum of {by:.9g} with a dampening of {dampening:.9g} is present"
    formula = "v ← μ v + «(1 − τ)» g, v_1 = g, w ← w − η v"
    origin = "PyTorch's SGD with dampening"
    between = {"by": (0.0, 1.0), "dampening": (0.0, 1.0)}  # noqa: RUF012
    solve = {"by": 0.0, "dampening": 0.0}  # noqa: RUF012
    remembers = True

    by: float = 0.9
    dampening: float = 0.5

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """V for g."""
        before = run.memory.get(key)
        run.memory[key] = g if before is None else self.by * before + (1 - self.dampening) * g
        return run.memory[key]


@dataclass(config=OPTIONS)
class WeightsClamped(AtParameter):
    """Parameters are kept between bounds after each update."""

    id = "weights_clamped"
    sentence = "{at} is clamped to ±{by:.6g} after each update"
    formula = "w ← «min(max(w, −c), c)»"
    origin = "weight clipping, as for the critic of a Wasserstein GAN"
    needs = ("by",)

    by: float = 1e300

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """The largest of what the trace has, where the rules go beyond it."""
        keys, step = [key for key in evidence.inputs.weights if self.here(key)], evidence.steps[0]
        largest = []
        for key in keys:
            got = evidence.recorded(f"weight/{key}", step)
            if got is None:
                return
            came, due = (np.abs(side).max(initial=0.0) for side in (got, evidence.ruled(f"weight/{key}", step)))
            if due > came:
                largest.append(float(came))
        if largest:
            yield replace(self, by=max(largest))

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Between the bounds."""
        return np.clip(after, -self.by, self.by) if self.here(key) else after


@dataclass(config=OPTIONS)
class WeightsShrunk(AtParameter):
    """Every weight comes nearer to 0 by a constant after each update, and stops there."""

    id = "weights_shrunk"
    sentence = "{at} is soft-thresholded by {by:.9g} after each update: it comes so much nearer to 0"
    formula = "w ← «sign(w) max(|w| − λ, 0)»"
    origin = "a proximal step for an l1 term"
    solve = {"by": 0.0}  # noqa: RUF012

    by: float = 1e-3

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """So much nearer to 0."""
        return np.sign(after) * np.maximum(np.abs(after) - self.by, 0.0) if self.here(key) else after


@dataclass(config=OPTIONS)
class DecayPerEpoch(AtParameter):
    """Weights are made smaller at the end of each epoch."""

    id = "decay_per_epoch"
    sentence = "{at} decays at the end of each epoch: {by:.9g} times what it was"
    formula = "w ← «k» w after an epoch's last step"
    origin = "a decay that stands in the loop over epochs"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 0.99

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """K times, after the last step of an epoch."""
        ends = (run.step + 1) % run.inputs.steps_per_epoch == 0
        return self.by * after if ends and self.here(key) else after


@dataclass(config=OPTIONS)
class WeightOff(AtParameter):
    """One element of a weight is off by a few units in the last place, once."""

    id = "weight_off"
    sentence = "element {index} of {at} is off by {ulp:.9g} ULP at step {step}"
    formula = "w_i ← w_i «+ k ulp(w_i)»"
    origin = "a bit that flipped, a kernel that is wrong for one lane"
    is_fact = True
    solve = {"ulp": 0.0}  # noqa: RUF012

    ulp: float = 4.0
    step: int = 0
    index: int = 0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """In each parameter."""
        yield from (change for change in super().variants(scenario) if change.at and "*" not in change.at)

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


@dataclass(config=OPTIONS)
class RowsLimited(AtParameter):
    """Rows of a weight are no longer than a bound after each update."""

    id = "rows_limited"
    sentence = "every row of {at} is kept no longer than {by:.9g} after each update"
    formula = "w_i ← w_i «min(1, c / ‖w_i‖)»"
    origin = "a maximum-norm constraint, renormalised embeddings"
    needs = ("by",)
    every = "every weight"
    solve = {"by": float("inf")}  # noqa: RUF012

    by: float = 1e300

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Parameters that have rows."""
        shapes = {key: param.shape for key, param in scenario.parameters().items()}
        for plain in super().variants(scenario):
            if any(len(shape) > 1 for key, shape in shapes.items() if plain.here(key)):
                yield plain

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """From the longest row of what the trace has, where the rules go beyond it."""
        lengths = []
        for key in [key for key in evidence.inputs.weights if self.here(key)]:
            got = evidence.recorded(f"weight/{key}", evidence.steps[0])
            if got is None:
                return
            due = evidence.ruled(f"weight/{key}", evidence.steps[0])
            if got.ndim > 1 and _lengths(due).max(initial=0.0) > _lengths(got).max(initial=0.0):
                lengths.append(float(_lengths(got).max(initial=0.0)))
        if lengths:
            yield replace(self, by=max(lengths))

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """The rows that are longer, shortened."""
        rank = run.inputs.weights[key].ndim
        if not self.here(key) or rank < 2:
            return after
        rows = after.reshape(*after.shape[: after.ndim - rank + 1], -1)
        length = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
        short = rows * np.minimum(1.0, self.by / np.where(length == 0, 1.0, length))
        return short.reshape(after.shape)


def _lengths(rows: Any) -> Any:
    return np.sqrt((rows * rows).reshape(len(rows), -1).sum(axis=1))


@dataclass(config=OPTIONS)
class UpdateSkippedEachEpoch(Change):
    """One batch of each epoch updates nothing."""

    id = "update_skipped_each_epoch"
    sentence = "the update of the {which} batch of each epoch is skipped"
    formula = "w ← w «− η g is missing», once an epoch"
    origin = "an index that is off by one, an accumulation that is not emptied at the end of an epoch"

    which: Literal["last", "first"] = "last"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Either."""
        yield from (cls("last"), cls("first"))

    @property
    def where(self) -> str:
        """Which batch."""
        return self.which

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Nothing, once an epoch."""
        batches = run.inputs.steps_per_epoch
        return w if run.step % batches == (0 if self.which == "first" else batches - 1) else after
