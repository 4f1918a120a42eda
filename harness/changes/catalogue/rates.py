"""What can be wrong with the learning rate of each step: a step early or late, once an epoch, not at all?"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import numpy as np

from isograd.changes.change import Change, Circumstances, Evidence, Values
from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.scenario import Scenario


@dataclass(frozen=True)
class ScheduleShifted(Change):
    """Each step has the rate of another one."""

    id = "schedule_shifted"
    sentence = "the schedule is {steps} step ahead"
    formula = "η_t ← η_«(t+k)»"
    origin = "scheduler.step() before optimizer.step(), or once at the start; a counter from 1"

    steps: int = 1
    reported: bool = True

    @property
    def where(self) -> str:
        """Whether the rate that is reported is the update's."""
        return "" if self.reported else "in the update only"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """A step early and late, and two, where there is a schedule; with another rate that is reported, one."""
        several = [*(cls(steps) for steps in (1, -1, 2, -2)), *(cls(steps, False) for steps in (1, -1))]
        yield from several if scenario.schedule else ()

    def says(self) -> str:
        """How far, and which way."""
        number = "one step" if abs(self.steps) == 1 else f"{abs(self.steps)} steps"
        says = f"the schedule is {number} {'ahead' if self.steps > 0 else 'late'}"
        other = "the next step's" if self.steps > 0 else "the step before's"
        return says if self.reported else f"{says}: each update has {other} rate, and its own is reported"

    def rate(self, run: Circumstances, lr: float) -> float:
        """The other step's."""
        return rate_of(run, run.step + self.steps)

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """The step's own rate, where that is reported."""
        return seen if self.reported else {**seen, "lr": 0 * seen["lr"] + float(run.inputs.lr[run.step])}


@dataclass(frozen=True)
class ScheduleOtherwise(Change):
    """The schedule is not taken a step at a time: once an epoch, or never."""

    id = "schedule_otherwise"
    sentence = "the schedule is taken {how}"
    formula = "η_t ← η_«(epoch of t)»"
    origin = "scheduler.step() in the loop over epochs, or none"
    choices = ("how",)

    how: Literal[
        "once an epoch", "never", "twice a step", "every second step", "from the start again in each epoch"
    ] = "once an epoch"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Where there is a schedule."""
        yield from super().variants(scenario) if scenario.schedule else ()

    def rate(self, run: Circumstances, lr: float) -> float:
        """The rate of as many steps as there were epochs; or the optimizer's own."""
        if self.how == "never":
            return float(run.scenario.optimizer.lr)
        epoch, of_epoch = divmod(run.step, run.inputs.steps_per_epoch)
        steps = {"once an epoch": epoch, "twice a step": 2 * run.step, "every second step": run.step // 2}
        return rate_of(run, steps.get(self.how, of_epoch))


Until = Literal["steps", "steps less 1", "epochs", "as many steps as epochs", "each epoch"]

SHAPES: Mapping[str, tuple[Callable[[float], float], str]] = {
    "quarter cosine": (lambda u: math.cos(math.pi * u / 2), "a quarter of a cosine wave, cos(π t / 2T)"),
    "whole cosine": (
        lambda u: 0.5 * (1 + math.cos(2 * math.pi * u)),
        "a whole cosine wave, ½ (1 + cos(2π t / T)), as of two steps of it at a time",
    ),
    "cosine": (lambda u: 0.5 * (1 + math.cos(math.pi * u)), "half a cosine wave, ½ (1 + cos(π t / T))"),
    "plain cosine": (lambda u: math.cos(math.pi * u), "cos(π t / T), without 1 + and ½"),
    "cosine up": (lambda u: 0.5 * (1 - math.cos(math.pi * u)), "half a cosine wave upwards, ½ (1 − cos(π t / T))"),
    "linear": (lambda u: 1 - u, "a line, 1 − t / T"),
    "linear up": (lambda u: u, "a line upwards, t / T"),
    "square": (lambda u: (1 - u) ** 2, "a polynomial of power 2, (1 − t / T)²"),
    "power 0.9": (lambda u: max(1 - u, 0.0) ** 0.9, "a polynomial of power 0.9, (1 − t / T)^0.9"),
    "root": (lambda u: max(1 - u, 0.0) ** 0.5, "a polynomial of power ½, √(1 − t / T)"),
}
"""Shapes of schedules: the share of the rate at a share u of the run."""


@dataclass(frozen=True)
class ScheduleOfShape(Change):
    """The schedule has another shape."""

    id = "schedule_of_shape"
    sentence = "the schedule of the learning rate has another shape"
    formula = "η_t = «η f(t / T)»"
    origin = "a schedule written by hand, one of another name, another definition of its last step"

    of: str = "quarter cosine"
    until: Until = "steps"
    floor: bool = True

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every shape, over the steps, or the steps but one; and with the schedule's floor or without."""
        floors = (True, False) if getattr(scenario.schedule, "floor", 0.0) else (True,)
        for floor in floors if scenario.schedule else ():
            for until in get_args(Until):
                yield from (cls(of, until, floor) for of in SHAPES)

    @property
    def where(self) -> str:
        """Which, over what."""
        return f"{self.of} over {self.until}" + ("" if self.floor else ", without floor")

    def says(self) -> str:
        """Which."""
        until = {
            "steps": "",
            "steps less 1": ", with T less by 1",
            "epochs": ", a step each epoch",
            "as many steps as epochs": ", with the number of epochs for T, and a step each batch",
            "each epoch": ", from the start again in each epoch",
        }[self.until]
        floor = "" if self.floor else ", without its floor"
        return f"the schedule of the learning rate is {SHAPES[self.of][1]}{until}{floor}"

    def rate(self, run: Circumstances, lr: float) -> float:
        """The shape's share of the optimizer's rate."""
        schedule, inputs = run.scenario.schedule, run.inputs
        steps, warmup = getattr(schedule, "steps", None) or inputs.steps, getattr(schedule, "warmup", 0)
        if run.step < warmup:
            return lr
        t, whole = float(run.step - warmup), float(steps - warmup)
        if self.until == "epochs":
            t, whole = float(run.step // inputs.steps_per_epoch), max(steps / inputs.steps_per_epoch, 1.0)
        elif self.until == "as many steps as epochs":
            whole = float(len(inputs.order))
        elif self.until == "each epoch":
            t, whole = float(run.step % inputs.steps_per_epoch), float(inputs.steps_per_epoch)
        whole = max(whole - (self.until == "steps less 1"), 1.0)
        floor = float(getattr(schedule, "floor", 0.0)) if self.floor else 0.0
        share = t / whole if "cosine" in self.of else min(t / whole, 1.0)  # a wave goes on
        return floor + (run.scenario.optimizer.lr - floor) * SHAPES[self.of][0](share)


@dataclass(frozen=True)
class RateDecays(Change):
    """The rate decays, though there is no schedule that says so."""

    id = "rate_decays"
    sentence = "the learning rate decays: it is {by:.7g} times as large after each {per}"
    formula = "η_t = η «γ^k», k epochs or steps"
    origin = "StepLR or ExponentialDecay, left in"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 0.5
    per: Literal["epoch", "step"] = "epoch"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """After each epoch, and each step."""
        yield from (cls(per="epoch"), cls(by=0.9, per="step"))

    @property
    def where(self) -> str:
        """After what."""
        return self.per

    def says(self) -> str:
        """How fast."""
        return f"the learning rate decays: it is {self.by:.7g} times as large after each {self.per}"

    def rate(self, run: Circumstances, lr: float) -> float:
        """As often as epochs, or steps, have passed."""
        passed = run.step // run.inputs.steps_per_epoch if self.per == "epoch" else run.step
        return float(lr * np.power(float(self.by), passed))  # NumPy's, which overflows to infinity


@dataclass(frozen=True)
class RateWarmsUp(Change):
    """The rate is warmed up in a line over the first steps."""

    id = "rate_warms_up"
    sentence = "the learning rate is warmed up over the first {steps} steps"
    formula = "η_t = η «min(1, (t + 1) / W)»"
    origin = "a warm-up that is left in"
    needs = ("steps",)

    steps: int = 1
    first: int = 1

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """As many steps as the first wrong rate that is not 0 says, or the update where no rate is reported."""
        for t in evidence.looked_at:
            share = self._share(evidence, t)
            if share is not None and share > 0:
                for first in (1, 0):
                    if share < 1 and t + first > 0 and 1 < round((t + first) / share) < 10**6:
                        yield replace(self, steps=round((t + first) / share), first=first)
                return

    def _share(self, evidence: Evidence, t: int) -> float | None:
        """Of the rate, or of the update."""
        got, right = evidence.recorded("lr", t), float(evidence.inputs.lr[t])
        if got is not None and float(got) != right:
            return float(got) / right if right else None
        return _moved(evidence, t)

    def rate(self, run: Circumstances, lr: float) -> float:
        """Its share of the rate."""
        return lr * min(1.0, (run.step + self.first) / self.steps)


@dataclass(frozen=True)
class RateReportedOfOther(Change):
    """The rate that is reported is another step's, and the update has its own."""

    id = "rate_reported_of_other"
    sentence = "the learning rate that is reported is that of the {which} step, and the update has its own"
    formula = "reported: η_«(t+1)»   (not η_t)"
    origin = "a rate that is logged after scheduler.step()"
    choices = ("which",)

    which: Literal["next", "last"] = "next"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Where there is a schedule."""
        yield from super().variants(scenario) if scenario.schedule else ()

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """The other step's, rounded as one that is reported."""
        other = rate_of(run, run.step + (1 if self.which == "next" else -1))
        return {**seen, "lr": 0 * seen["lr"] + float(FORMATS[run.scenario.dtype].dtype.type(other))}


@dataclass(frozen=True)
class RateOfItsOwn(Change):
    """The rate is what it is reported to be, by no rule that is known."""

    id = "rate_of_its_own"
    sentence = "the learning rate is another, and the updates follow it"
    formula = "η_t ← «η′_t»"
    origin = "a schedule that depends on the loss, one that is taken at other times, a rate that is set by hand"
    needs = ("rates",)
    is_fact = True

    rates: tuple[tuple[int, float], ...] = ()

    vague = True  # a rule that says the same is the better account

    def says(self) -> str:
        """What it is at first."""
        if not self.rates:
            return super().says()
        listed = ", ".join(f"{rate:.6g} at step {step}" for step, rate in self.rates[:3])
        return f"{self.sentence}: {listed}{' …' if len(self.rates) > 3 else ''}"

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """As it is reported."""
        reported = {step: evidence.recorded("lr", step) for step in evidence.looked_at}
        rates = tuple((step, float(lr)) for step, lr in reported.items() if lr is not None and np.isfinite(lr).all())
        if any(rate != float(evidence.inputs.lr[step]) for step, rate in rates):
            yield replace(self, rates=rates)

    def rate(self, run: Circumstances, lr: float) -> float:
        """What was reported of the step."""
        return dict(self.rates).get(run.step, lr)


@dataclass(frozen=True)
class RateOnPlateau(Change):
    """The rate falls whenever the loss has not for a while."""

    id = "rate_on_plateau"
    sentence = "the learning rate is {by:.7g} times as large where the loss of {of} is no lower than the lowest so far"
    formula = "η_t = η «f^k», k times that more than p losses in a row were not below (1 − 10⁻⁴) times the lowest"
    origin = "ReduceLROnPlateau, left in; of each batch's loss where an epoch's is meant"
    needs = ("drops",)

    by: float = 0.5
    patience: int = 0
    of: Literal["a batch", "an epoch", "an epoch's last batch"] = "a batch"
    drops: tuple[int, ...] = ()

    def says(self) -> str:
        """How patient, and over what."""
        often = f", {self.patience + 1} times in a row" if self.patience else ""
        return f"{super().says()}{often}: a schedule that waits for a plateau"

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """With the least patience that gives every rate, of losses and rates as they are reported."""
        looked, per_epoch = evidence.looked_at, evidence.inputs.steps_per_epoch
        lr, losses = _reported(evidence, "lr", looked), _reported(evidence, "loss", range(looked[-1]))
        if lr is None or losses is None or not len(losses):
            return
        right = evidence.inputs.lr[looked]
        wrong = np.flatnonzero(np.abs(lr - right) > TELLS * right)
        epochs = losses[: len(losses) // per_epoch * per_epoch].reshape(-1, per_epoch)
        of_batches = [("a batch", 1, losses)]
        of_epochs = [("an epoch", per_epoch, epochs.mean(axis=1)), ("an epoch's last batch", per_epoch, epochs[:, -1])]
        for of, every, each in of_batches + of_epochs if len(wrong) else ():
            for patience in range(PATIENCE):
                drops = tuple(every * at for at in _plateaus(each, patience))
                times = bisect_right(drops, looked[wrong[0]])
                if times:
                    by = float(f"{(lr[wrong[0]] / right[wrong[0]]) ** (1 / times):.6g}")
                    found = replace(self, by=by, patience=patience, of=of, drops=drops)
                    due = [found.fallen(step, rate) for step, rate in zip(looked, right, strict=True)]
                    if np.allclose(lr, due, rtol=TELLS, atol=0.0):
                        yield found
                        return

    def rate(self, run: Circumstances, lr: float) -> float:
        """As often as it has fallen."""
        return self.fallen(run.step, lr)

    def fallen(self, step: int, lr: float) -> float:
        """The rate of a step; it falls no more where that is nothing beside 10⁻⁸, the frameworks' default."""
        for _ in range(bisect_right(self.drops, step)):
            if lr - lr * self.by <= 1e-8:
                break
            lr *= self.by
        return float(lr)


def _reported(evidence: Evidence, name: str, steps: Sequence[int]) -> Array | None:
    """A number of each step; None where some are not reported."""
    values = [evidence.recorded(name, step) for step in steps]
    return None if any(value is None or value.ndim for value in values) else np.array(values, np.float64)


TELLS = 1e-5  # a share of the rate: more than a rate's rounding, and less than any person means
PATIENCE = 20  # steps of patience that are looked for


def _plateaus(losses: Array, patience: int) -> Iterator[int]:
    """After how many losses the rate falls, as PyTorch and PaddlePaddle have it by default."""
    lowest, bad = np.inf, 0
    for at, loss in enumerate(losses.tolist(), 1):
        better = loss < lowest * (1 - 1e-4)
        lowest, bad = (loss, 0) if better else (lowest, bad + 1)
        if bad > patience:
            yield at
            bad = 0


def _moved(evidence: Evidence, step: int) -> float | None:
    """By which share of what the rules say a parameter has moved, from its largest move."""
    for key in evidence.inputs.weights:
        name, before = f"weight/{key}", evidence.state(step)[f"weight/{key}"].astype(np.float64)
        got = evidence.recorded(name, step)
        due = evidence.ruled(name, step) - before
        if got is not None and due.any():
            at = int(np.abs(due).argmax())
            return float((got - before).flat[at] / due.flat[at])
    return None


def rate_of(run: Circumstances, step: int) -> float:
    """The scenario's rate of a step, also beyond the run's ends."""
    scenario, inputs = run.scenario, run.inputs
    if scenario.schedule is None:
        return float(inputs.lr[min(max(step, 0), inputs.steps - 1)])
    return scenario.schedule.rate(max(step, 0), inputs.steps, inputs.steps_per_epoch, scenario.optimizer.lr)


@dataclass(frozen=True)
class RateInTime(Change):
    """The rate goes with one over the time, though there is no schedule that says so."""

    id = "rate_in_time"
    sentence = "the learning rate decays with time: it is over 1 + {by:.7g} times the number of {per}s so far"
    formula = "η_t = η «/ (1 + k t)»"
    origin = "the argument decay of older optimizers, inverse time decay"
    solve = {"by": 0.0}  # noqa: RUF012
    choices = ("per",)

    by: float = 0.1
    per: Literal["step", "epoch"] = "step"

    def rate(self, run: Circumstances, lr: float) -> float:
        """As many as have passed."""
        passed = run.step // run.inputs.steps_per_epoch if self.per == "epoch" else run.step
        return float(lr / (1 + self.by * passed))
