"""What can be wrong with an update, or with the gradients that it is given?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal, Self

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
from isograd.inputs import Array
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
class GradientsClipped(Change):
    """Gradients are clipped: to a norm of all together, each to one of its own, or each number to a value."""

    id = "gradients_clipped"
    sentence = "gradients are clipped {how} {at_most:.6g}"
    formula = "g ← g «min(1, c / ‖g‖)»   (or clip(g, −c, c))"
    origin = "clip_grad_norm_, clip_grad_value_, ClipGradByGlobalNorm"

    how: Literal["to a norm of", "each to a norm of", "by value at"] = "to a norm of"
    at_most: float = 0.0
    told: bool = True

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each way, as gradients are told or only used; how far is read off a trace, and solved for."""
        ways: tuple[Any, ...] = ("to a norm of", "each to a norm of", "by value at")
        yield from (cls(how, told=told) for how in ways for told in (True, False))

    @property
    def solve(self) -> Mapping[str, float]:  # type: ignore[override]  # with a limit
        """The limit: without one nothing is clipped."""
        return {"at_most": float("inf")} if self.at_most else {}

    @property
    def where(self) -> str:
        """Which way."""
        return self.how.removesuffix(" of").removesuffix(" at")

    def says(self) -> str:
        """Also whether it is told."""
        return super().says() + ("" if self.told else ", in the update only")

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """As far as the gradients of the first wrong step are told; or as their update is smaller."""
        step, inputs = evidence.steps[0], evidence.inputs
        kind = "grad" if self.told else "weight"
        names = {key: f"{kind}/{key}" for key in inputs.weights}
        found = {key: evidence.recorded(name, step) for key, name in names.items()}
        right = {key: evidence.ruled(name, step) for key, name in names.items()}
        gradients = {key: evidence.ruled(f"grad/{key}", step) for key in inputs.weights}
        if not gradients or any(value is None for value in found.values()):
            return
        came: dict[str, Array] = {key: np.asarray(value) for key, value in found.items()}
        if not self.told:  # by as much as its largest number, each parameter's update is smaller
            state = evidence.state(step)
            for key, g in gradients.items():
                w = state[f"weight/{key}"].astype(np.float64)
                moved, due = came[key] - w, right[key] - w
                share = np.divide(moved, due, out=np.ones_like(due), where=due != 0)
                came[key] = g * share
        limits = {
            "to a norm of": lambda: _norm([*came.values()]),
            "each to a norm of": lambda: max(_norm([g]) for g in came.values()),
            "by value at": lambda: max(float(np.abs(g).max(initial=0.0)) for g in came.values()),
        }
        limit = limits[self.how]()
        if np.isfinite(limit) and limit > 0 and any((came[key] != g).any() for key, g in gradients.items()):
            yield replace(self, at_most=float(f"{limit:.6g}"))

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Clipped; without a limit as they are."""
        clipped = self._clipped(run, g) if self.at_most else g
        run.memory = clipped
        return clipped if self.told else g

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """What is not told is used all the same."""
        return g if self.told else run.memory[key]

    def _clipped(self, run: Circumstances, g: Values) -> Values:
        if self.how == "by value at":
            return {key: np.clip(value, -self.at_most, self.at_most) for key, value in g.items()}
        common = self.how == "to a norm of"
        return shrunk(run, g, common, lambda norm: np.minimum(1.0, self.at_most / np.maximum(norm, 1e-300)))


@dataclass(config=OPTIONS)
class GradientsNormalised(Change):
    """Gradients are divided by their norm."""

    id = "gradients_normalised"
    sentence = "gradients are normalised: divided by {whose} norm"
    formula = "g ← g «/ ‖g‖»"
    origin = "normalised gradient descent, LARS without its rate"

    whose: Literal["their common", "each by its own"] = "their common"
    told: bool = True

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """By a common norm and their own, told and used only."""
        ways: tuple[Any, ...] = ("their common", "each by its own")
        yield from (cls(whose, told) for whose in ways for told in (True, False))

    @property
    def where(self) -> str:
        """Whose norm."""
        return self.whose

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Over the norm."""
        run.memory = shrunk(run, g, self.whose == "their common", lambda norm: 1 / np.maximum(norm, 1e-300))
        return run.memory if self.told else g

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """What is not told is used all the same."""
        return g if self.told else run.memory[key]


def shrunk(run: Circumstances, g: Values, common: bool, share: Callable[[Any], Any]) -> Values:
    """Every gradient times what ``share`` makes of a norm: that of all together, or its own."""
    axes = {key: tuple(range(-run.inputs.weights[key].ndim, 0)) for key in g}
    squares = {key: np.square(value).sum(axis=axes[key]) for key, value in g.items()}
    whole = sum(squares.values(), np.zeros(()))
    shares = {key: share(np.sqrt(whole if common else squares[key])) for key in g}
    return {key: v * shares[key].reshape(*shares[key].shape, *[1] * len(axes[key])) for key, v in g.items()}


def _norm(values: list[Array]) -> float:
    return float(np.sqrt(sum(float(np.square(v).sum()) for v in values)))


@dataclass(config=OPTIONS)
class GradientsAccumulated(Change):
    """Gradients add up over some steps, and only then is there an update."""

    id = "gradients_accumulated"
    sentence = "gradients are accumulated: an update every {every_so_many} steps, and none between"
    formula = "g ← Σ_«k steps» g, w ← w − η g at every k-th"
    origin = "gradient accumulation that is left in"
    remembers = True

    every_so_many: int = 2
    mean: bool = False

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Two to eight steps, by sum and mean."""
        yield from (cls(k, mean) for k in (2, 3, 4, 8) for mean in (False, True))

    @property
    def where(self) -> str:
        """How many."""
        return f"{self.every_so_many}{', mean' if self.mean else ''}"

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """The sum since the last update."""
        before = run.memory if run.step % self.every_so_many else {}
        share = self.every_so_many if self.mean else 1
        run.memory = {key: before.get(key, 0) + value / share for key, value in g.items()}
        return dict(run.memory)

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Only every so many steps."""
        return w if (run.step + 1) % self.every_so_many else after


@dataclass(config=OPTIONS)
class NotInOptimizer(AtParameter):
    """A parameter is not one of the optimizer's: it is neither updated nor is its gradient cleared."""

    id = "not_in_optimizer"
    sentence = "{at} is not given to the optimizer: it is never updated, and its gradient is not cleared"
    formula = "w ← «w», g_t ← g_t «+ g_(t−1)»"
    origin = "an optimizer that is made of the parameters of another module, or before a layer is put in"
    remembers = True

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Added to those before."""
        before, run.memory = run.memory, {key: value for key, value in g.items() if self.here(key)}
        run.memory = {key: before.get(key, 0) + value for key, value in run.memory.items()}
        return {**g, **run.memory}

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """As it was."""
        return w if self.here(key) else after


@dataclass(config=OPTIONS)
class WeightsClamped(AtParameter):
    """Parameters are kept between bounds after each update."""

    id = "weights_clamped"
    sentence = "{at} is clamped to ±{by:.6g} after each update"
    formula = "w ← «min(max(w, −c), c)»"
    origin = "weight clipping, as for the critic of a Wasserstein GAN"

    by: float = 1e300

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """The largest of what the trace has, where the rules go beyond it."""
        keys = [key for key in evidence.inputs.weights if self.here(key)]
        largest = []
        for key in keys:
            got = evidence.recorded(f"weight/{key}", evidence.steps[0])
            if got is None:
                return
            if np.abs(evidence.ruled(f"weight/{key}", evidence.steps[0])).max(initial=0.0) > np.abs(got).max(
                initial=0.0
            ):
                largest.append(float(np.abs(got).max()))
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
