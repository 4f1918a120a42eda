"""What can be wrong with an update: its size, momentum, decay, or what becomes of a parameter after it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field

from isograd.changes.change import Change, Circumstances, Evidence, Recorded, Values
from isograd.changes.places import AtParameter
from isograd.dtypes import FORMATS
from isograd.scenario import Scenario


@dataclass(frozen=True)
class LearningRate(Change):
    """Another learning rate."""

    id = "learning_rate"
    sentence = "the learning rate is {by:.7g} times what it should be"
    formula = "w ← w − «k» η g"
    origin = "a schedule, a default, a rate that was rounded"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 1 + 1e-6

    def rate(self, run: Circumstances, lr: float) -> float:
        """K times."""
        return lr * self.by


@dataclass(frozen=True)
class UpdateScale(AtParameter):
    """The update is scaled, though learning rate and gradient are right."""

    id = "update_scale"
    sentence = "the update of {at} is {by:.7g} times what it should be"
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class WeightDecay(AtParameter):
    """Weights decay, though none was asked for."""

    id = "weight_decay"
    sentence = "a weight decay of {by:.7g} is present in {at}"
    formula = "w ← w − η (g «+ λ w»)"
    origin = "an optimizer's default"
    between = {"by": (-10.0, 10.0)}  # noqa: RUF012
    solve = {"by": 0.0}  # noqa: RUF012

    by: float = 0.01

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """g + λ w for g."""
        return g + self.by * w if self.here(key) else g


@dataclass(frozen=True)
class DecayToStart(AtParameter):
    """Weights are drawn back to where they began."""

    id = "decay_to_start"
    sentence = "a decay of {by:.7g} towards its initial values is present in {at}"
    formula = "w ← w − η (g «+ λ (w − w_0)»)"
    origin = "a regularisation for fine-tuning (L2-SP), a proximal term"
    between = {"by": (-10.0, 10.0)}  # noqa: RUF012
    solve = {"by": 0.0}  # noqa: RUF012

    by: float = 0.01
    reported: bool = False

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """In the update; of all parameters also as a term of the loss, whose gradient is reported."""
        yield from super().variants(scenario)
        yield cls(reported=True)

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """With the term's own, where they are reported."""
        if not self.reported:
            return g
        return {k: v + self._pull(run, k, run.plain(run.parameter(k))) if self.here(k) else v for k, v in g.items()}

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """g + λ (w − w₀) for g."""
        return g + self._pull(run, key, w) if self.here(key) and not self.reported else g

    def _pull(self, run: Circumstances, key: str, w: Any) -> Any:
        return self.by * (w - run.inputs.weights[key].astype(np.float64))


@dataclass(frozen=True)
class WeightOff(AtParameter):
    """One element of a weight is off by a few units in the last place, once."""

    id = "weight_off"
    sentence = "element {index} of {at} is off by {ulp:.7g} ULP at step {step}"
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class UpdateSkippedEachEpoch(Change):
    """One batch of each epoch updates nothing."""

    id = "update_skipped_each_epoch"
    sentence = "the update of the {which} batch of each epoch is skipped"
    formula = "w ← w «− η g is missing», once an epoch"
    origin = "an index that is off by one, an accumulation that is not emptied at the end of an epoch"
    choices = ("which",)

    which: Literal["last", "first"] = "last"

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Nothing, once an epoch."""
        batches = run.inputs.steps_per_epoch
        return w if run.step % batches == (0 if self.which == "first" else batches - 1) else after


@dataclass(frozen=True)
class UpdatedEverySoMany(Change):
    """There is an update every few steps, and the gradients of those between are lost."""

    id = "updated_every_so_many"
    sentence = "only every {every_so_many}. step updates anything: the updates of the steps between are skipped"
    formula = "w ← w − η g «at every k-th step only»"
    origin = "an update every second batch whose gradients are cleared at each, two optimizers that take turns"

    every_so_many: Annotated[int, Field(ge=1)] = 2
    first: int = 0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Two to four steps, from each of them."""
        yield from (cls(k, first) for k in (2, 3, 4) for first in range(k))

    @property
    def where(self) -> str:
        """How many, from which."""
        return f"{self.every_so_many} from {self.first}"

    def says(self) -> str:
        """In words where there is one."""
        said = super().says()
        return said.replace("every 2. step", "every second step").replace("every 3. step", "every third step")

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Only at those steps."""
        return after if run.step % self.every_so_many == self.first else w


@dataclass(frozen=True)
class WeightsAveraged(Change):
    """The weights become the mean of those that they have been."""

    id = "weights_averaged"
    sentence = "the weights become the average of all that they have been {since}: {when}"
    formula = "w ← «(1/k) Σ» w_t"
    origin = "stochastic weight averaging (SWA), Polyak averaging, a swap that is not taken back"
    remembers = True
    choices = ("since", "when")

    since: Literal["since the epoch's start", "since the start"] = "since the epoch's start"
    when: Literal["at each epoch's end", "after each update"] = "at each epoch's end"

    def back_in(self, scenario: Scenario) -> int | None:
        """Where each update ends with the mean, that is reported; else it is led through all steps."""
        return 0 if self.when == "after each update" else None

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """The sum, from the mean that was reported and the number of steps."""
        number = run.step if self.since == "since the start" else run.step % run.inputs.steps_per_epoch
        found = {
            key: recorded(f"weight/{key}", 1)
            for key in run.inputs.weights
            if number and self.when != "at each epoch's end"
        }
        run.memory = {key: (number * mean, number) for key, mean in found.items() if mean is not None}

    @property
    def where(self) -> str:
        """When, since when."""
        return f"{self.when} {self.since}"

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """The mean, when it is time."""
        starts = run.step % run.inputs.steps_per_epoch == 0 and self.since != "since the start"
        total, number = (0.0, 0) if starts else run.memory.get(key, (0.0, 0))
        total, number = total + after, number + 1
        ends = (run.step + 1) % run.inputs.steps_per_epoch == 0
        run.memory[key] = total, number
        return total / number if ends or self.when == "after each update" else after
