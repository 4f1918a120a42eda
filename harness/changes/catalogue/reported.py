"""What can be wrong with what is reported of a step, though the training is right?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from isograd.changes.change import Change, Circumstances, Recorded, Values
from isograd.changes.places import AtLayer, is_activation
from isograd.scenario import Scenario


@dataclass(frozen=True)
class LossAfterUpdate(Change):
    """What is reported of the forward pass is that of the weights after the update."""

    id = "loss_after_update"
    sentence = "the loss that is reported is that after the update"
    formula = "L(«w_(t+1)»)   (not L(w_t))"
    origin = "a forward pass once more, to be logged"
    choices = ("what",)

    what: Literal["loss", "outputs", "both"] = "loss"

    @property
    def where(self) -> str:
        """What it is, where that is more than the loss."""
        return "" if self.what == "loss" else self.what

    def says(self) -> str:
        """Of what."""
        words = {
            "outputs": "outputs that are reported are those",
            "both": "outputs and the loss that are reported are those",
        }
        return super().says() if self.what == "loss" else f"the {words[self.what]} after the update"

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """Of the same batch."""
        again = {name: run.plain(value) for name, value in run.again().items()}
        reported = {"loss": ["loss"], "outputs": [name for name in again if name != "loss"], "both": list(again)}
        return {**seen, **{name: again[name] for name in reported[self.what]}}


@dataclass(frozen=True)
class RunningLoss(Change):
    """The loss that is reported is a mean over steps."""

    id = "running_loss"
    sentence = "the loss that is reported is the mean of all {since}"
    formula = "L̄ = «(1/t) Σ» L"
    origin = "a meter that is not reset, or a progress bar's average"
    remembers = True
    back = 0
    choices = ("since",)

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """The sum, from the mean that was reported and the number of steps."""
        number = run.step if self.since == "since the start" else run.step % run.inputs.steps_per_epoch
        if number and (mean := recorded("loss", 1)) is not None:
            run.memory["sum"] = number * mean, number

    since: Literal["since the start", "since the epoch's start"] = "since the start"

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """The mean so far."""
        starts = self.since != "since the start" and run.step % run.inputs.steps_per_epoch == 0
        total, number = (0.0, 0) if starts else run.memory.get("sum", (0.0, 0))
        total, number = total + seen["loss"], number + 1
        run.memory["sum"] = total, number
        return {**seen, "loss": total / number}


@dataclass(frozen=True)
class RunningMean(Change):
    """The loss that is reported is smoothed."""

    id = "smoothed_loss"
    sentence = "the loss that is reported is smoothed: {by:.7g} of what was reported before, and the rest of the loss"
    formula = "L̄ ← «β L̄ + (1 − β)» L"
    origin = "an exponential moving average for a plot"
    between = {"by": (0.0, 1.0)}  # noqa: RUF012
    solve = {"by": 0.0}  # noqa: RUF012
    remembers = True
    back = 0

    by: float = 0.9

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """The mean that was reported."""
        if (mean := recorded("loss", 1)) is not None:
            run.memory["mean"] = mean

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """The mean; at first the loss itself."""
        before = run.memory["mean"] if "mean" in run.memory else seen["loss"]
        run.memory["mean"] = self.by * before + (1 - self.by) * seen["loss"]
        return {**seen, "loss": run.memory["mean"]}


@dataclass(frozen=True)
class WeightsReportedEarly(Change):
    """The weights that are reported are those before the update."""

    id = "weights_reported_early"
    sentence = "the weights that are reported are those before the update"
    formula = "reported: «w_t»   (not w_(t+1))"
    origin = "a copy that is taken too early"

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """As they were."""
        return {**seen, **run.memory.pop("before", {})}

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Nothing is different; what it was is kept for what is reported."""
        run.memory.setdefault("before", {})[f"weight/{key}"] = w
        return after


@dataclass(frozen=True)
class WeightsReportedAveraged(Change):
    """The weights that are reported are a moving average of theirs."""

    id = "weights_reported_averaged"
    sentence = (
        "the weights that are reported are a moving average: {by:.7g} of the average before, and the rest the weights"
    )
    formula = "reported: w̄ ← «β w̄ + (1 − β)» w"
    origin = "an exponential moving average (EMA) of the weights that is saved for them"
    solve = {"by": 0.0}  # noqa: RUF012
    between = {"by": (0.0, 1.0)}  # noqa: RUF012
    remembers = True
    back = 0

    by: float = 0.9

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """The averages that were reported."""
        names = [f"weight/{key}" for key in run.inputs.weights]
        run.memory = {name: value for name in names if (value := recorded(name, 1)) is not None}

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """The average; it begins with the initial weights."""
        reported = dict(seen)
        for key, initial in run.inputs.weights.items():
            name = f"weight/{key}"
            if np.shape(seen[name])[-initial.ndim :] != initial.shape:
                continue  # another change has reported it in another shape
            before = run.memory.get(name, initial.astype(np.float64))
            reported[name] = run.memory[name] = self.by * before + (1 - self.by) * seen[name]
        return reported


@dataclass(frozen=True)
class ReportedOverwritten(AtLayer):
    """A layer's output is reported as the activation after it has overwritten it."""

    id = "reported_overwritten"
    sentence = (
        "what is reported as the output of {at} is the output of {behind} behind it: it works in place (overwrites)"
    )
    formula = "reported: «f(z)»   (not z)"
    origin = "inplace=True, relu_, an out= argument"

    backward: bool = False
    behind: str = "the activation"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """What feeds an activation, and nothing else."""
        feeds = scenario.feeds()
        return [
            feeds[layer.name][0] for layer in scenario.layers if is_activation(scenario, layer) and layer.name in feeds
            and feeds[layer.name][0] in feeds
        ]  # fmt: skip

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """The output alone, and with it the gradient."""
        feeds = scenario.feeds()
        behind = {feeds[layer.name][0]: layer.name for layer in scenario.layers if is_activation(scenario, layer)}
        for plain in super().variants(scenario):
            names = {"behind": behind[plain.at]} if plain.at else {}
            yield from (cls(at=plain.at, backward=backward, **names) for backward in (False, True))

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """Also what is computed from it."""
        return None

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """The activation's, under both names."""
        feeds, reported = run.scenario.feeds(), dict(seen)
        for layer in run.scenario.layers:
            below = feeds[layer.name][0]
            if is_activation(run.scenario, layer) and below in feeds and self.is_at(below):
                for kind in ("forward", "backward") if self.backward else ("forward",):
                    reported[f"{kind}/{below}"] = reported[f"{kind}/{layer.name}"]
        return reported


@dataclass(frozen=True)
class LossReportedTimes(Change):
    """The loss that is reported has a constant factor, and the training does not know of it."""

    id = "loss_reported_times"
    sentence = "the loss that is reported is {by:.7g} times what it should be, and its gradient is right"
    formula = "reported: «k» L"
    origin = "a sum over a batch that is logged for its mean, a loss that is multiplied by the batch's size for a meter"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """K times."""
        return {**seen, "loss": self.by * seen["loss"]}


@dataclass(frozen=True)
class LossReportedRounded(Change):
    """The loss that is reported has few digits."""

    id = "loss_reported_rounded"
    sentence = "the loss that is reported is rounded to {digits} decimals"
    formula = "reported: «round»(L)"
    origin = "a loss that is read from what was printed"

    digits: int = 4

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """As many as are printed."""
        yield from (cls(digits) for digits in range(2, 7))

    @property
    def where(self) -> str:
        """To how many."""
        return f"{self.digits} decimals"

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """Rounded."""
        return {**seen, "loss": np.round(seen["loss"], self.digits)}


@dataclass(frozen=True)
class LossReportedLate(Change):
    """The loss that is reported is that of the step before."""

    id = "loss_reported_late"
    sentence = "the loss that is reported is that of the step before (and at first {at_first})"
    formula = "reported: «L_(t−1)»   (not L_t)"
    origin = "a log that is written before the step, a value that comes back asynchronously"
    remembers = True
    back = 1
    choices = ("at_first",)

    at_first: Literal["0", "its own"] = "0"

    @property
    def where(self) -> str:
        """What is reported at first."""
        return f"at first {self.at_first}"

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """What was kept of the step before."""
        first = 0 * seen["loss"] if self.at_first == "0" else seen["loss"]
        before, run.memory["loss"] = run.memory.get("loss", first), seen["loss"]
        return {**seen, "loss": before}


@dataclass(frozen=True)
class GradientsReportedScaled(Change):
    """The gradients that are reported have a constant factor, and the update does not know of it."""

    id = "gradients_reported_scaled"
    sentence = "the gradients that are reported are {by:.7g} times what they should be, and the update is right"
    formula = "reported: «k» ∂L/∂w"
    origin = "gradients that are read before a loss's scale is taken off them, or before they are averaged"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """K times."""
        return {**seen, **{name: self.by * value for name, value in seen.items() if name.startswith("grad/")}}


@dataclass(frozen=True)
class GradientsReportedCleared(Change):
    """The gradients that are reported were cleared before they were read."""

    id = "gradients_reported_cleared"
    sentence = "the gradients that are reported are 0: they were cleared before they were read, and after the update"
    formula = "reported: «0»   (not ∂L/∂w)"
    origin = "zero_grad() before a log, buffers that are used again"

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """Nothing of them is left."""
        return {**seen, **{name: 0 * value for name, value in seen.items() if name.startswith("grad/")}}
