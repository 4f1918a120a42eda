"""Which learning rate does each step have?

The largest is the optimizer's, whatever a schedule starts from; n counts the steps, or the epochs, that are over.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import pairwise
from math import cos, pi, sqrt
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from isograd.ops.op import Schedule
from isograd.spec import Count, NotNegative, Number, Positive, Step

Share = Annotated[Number, Field(ge=0, le=1)]
PositiveShare = Annotated[Number, Field(gt=0, le=1)]
Part = Annotated[Number, Field(gt=0, lt=1)]


def half_cosine(share: float, start: float, end: float) -> float:
    """From ``start`` to ``end`` along half a cosine, of which a share is over."""
    return end + (start - end) * (1 + cos(pi * share)) / 2


def line(share: float, start: float, end: float) -> float:
    """From ``start`` to ``end`` along a line, of which a share is over."""
    return start + (end - start) * share


class Cosine(Schedule):
    """A warm-up in a line, then half a cosine: lr ½ (1 + cos π (n − W) / (T − W)), down to a floor.

    For n < W = ``warmup`` the rate is lr (s + (1 − s) n / W), with s = ``start``; then floor + (lr − floor) times half
    a cosine, which ends at T = ``steps``, or at the run's end without. Loshchilov and Hutter, *SGDR*
    (2017), equation 5.
    """

    kind: Literal["cosine"]
    examples = (
        {"steps": 10},
        {"steps": 10, "warmup": 3},
        {"steps": 10, "warmup": 3, "start": 0.5},
        {"floor": 1e-3},
        {"per": "epoch"},
    )

    warmup: Step = 0
    start: PositiveShare = 0.1
    floor: NotNegative = 0.0
    steps: Count | None = None

    def last(self, whole: int) -> int:
        """T; a cosine has one step at least."""
        return max(self.steps or whole, self.warmup + 1)

    def after(self, n: int, last: int, lr: float) -> float:
        """The line, and the cosine behind it."""
        if n < self.warmup:
            return lr * line(n / self.warmup, self.start, 1)
        return half_cosine((n - self.warmup) / (last - self.warmup), lr, self.floor)


class CosineRestarts(Schedule):
    """Half a cosine again and again: floor + (lr − floor) ½ (1 + cos π n / T), with n counted from the last restart.

    T is ``period`` at first, and ``times`` as long after each restart. Loshchilov and Hutter, *SGDR* (2017),
    equation 5.
    """

    kind: Literal["cosine_restarts"]
    examples = (
        {"period": 3},
        {"period": 2, "times": 2},
        {"period": 3, "floor": 1e-3},
        {"period": 2, "per": "epoch"},
    )

    period: Count
    times: Count = 1
    floor: NotNegative = 0.0

    def after(self, n: int, last: int, lr: float) -> float:
        """The cosine since the last restart."""
        period = self.period
        while self.times > 1 and n >= period:
            n, period = n - period, period * self.times
        return half_cosine(n % period / period, lr, self.floor)


class StepDecay(Schedule):
    """Lower by a factor again and again: lr γ^⌊n / every⌋, with γ = ``factor``."""

    kind: Literal["step"]
    examples = ({"every": 3}, {"every": 2}, {"every": 3, "factor": 0.5}, {"every": 1, "per": "epoch"})

    every: Count
    factor: Part = 0.1

    def after(self, n: int, last: int, lr: float) -> float:
        """As often as it has fallen."""
        return lr * self.factor ** (n // self.every)


def increasing(values: tuple[int, ...]) -> tuple[int, ...]:
    """Refuse what does not increase."""
    if any(a >= b for a, b in pairwise(values)):
        raise ValueError(f"expected numbers that increase; got {list(values)}")
    return values


class MultiStep(Schedule):
    """Lower by a factor at each milestone: lr γ^k, where k milestones are at n or before, with γ = ``factor``."""

    kind: Literal["multi_step"]
    examples = (
        {"milestones": (2, 5)},
        {"milestones": (1, 4)},
        {"milestones": (2, 5), "factor": 0.5},
        {"milestones": (1,), "per": "epoch"},
    )

    milestones: Annotated[tuple[Count, ...], Field(min_length=1), AfterValidator(increasing)]
    factor: Part = 0.1

    def last(self, whole: int) -> int:
        """The last milestone."""
        return self.milestones[-1]

    def after(self, n: int, last: int, lr: float) -> float:
        """As often as it has fallen."""
        return lr * self.factor ** sum(milestone <= n for milestone in self.milestones)


class Exponential(Schedule):
    """Lower by a factor each time: lr γ^n, with γ = ``factor``."""

    kind: Literal["exponential"]
    examples = ({"factor": 0.9}, {"factor": 0.5}, {"factor": 0.5, "per": "epoch"})

    factor: Part

    def after(self, n: int, last: int, lr: float) -> float:
        """The power."""
        return lr * self.factor**n


class Polynomial(Schedule):
    """Down to a floor as a power: floor + (lr − floor) (1 − n / T)^p, with p = ``power``.

    It ends at T = ``steps``, or at the run's end without. Chen et al., *DeepLab* (2017), section 4.1.2, the policy
    "poly".
    """

    kind: Literal["polynomial"]
    examples = ({"steps": 4}, {"steps": 4, "power": 2.0}, {"power": 0.9, "floor": 1e-3}, {"per": "epoch"})

    power: Positive = 1.0
    floor: NotNegative = 0.0
    steps: Count | None = None

    def last(self, whole: int) -> int:
        """T."""
        return self.steps or whole

    def after(self, n: int, last: int, lr: float) -> float:
        """The power of what is left."""
        return float((lr - self.floor) * (1 - n / last) ** self.power + self.floor)


class Linear(Schedule):
    """Along a line between two shares of the rate: lr (s + (e − s) n / T), with s = ``start`` and e = ``end``.

    It ends at T = ``steps``, or at the run's end without.
    """

    kind: Literal["linear"]
    examples = (
        {"steps": 4},
        {"steps": 4, "start": 0.5},
        {"start": 1.0, "end": 0.1},
        {"start": 1.0, "end": 0.1, "per": "epoch"},
    )

    start: PositiveShare = 1 / 3
    end: Share = 1.0
    steps: Count | None = None

    def last(self, whole: int) -> int:
        """T."""
        return self.steps or whole

    def after(self, n: int, last: int, lr: float) -> float:
        """The line."""
        return lr * line(n / last, self.start, self.end)


class Warmup(Schedule):
    """Up to the optimizer's rate along a line: lr (s + (1 − s) n / W) for n < W = ``steps``, with s = ``start``.

    Then it is lr. Goyal et al., *Accurate, large minibatch SGD* (2017), section 2.2.
    """

    kind: Literal["warmup"]
    examples = ({"steps": 4}, {"steps": 3}, {"steps": 4, "start": 0.0}, {"steps": 1, "per": "epoch"})

    steps: Count
    start: Annotated[Number, Field(ge=0, lt=1)] = 0.1

    def last(self, whole: int) -> int:
        """W."""
        return self.steps

    def after(self, n: int, last: int, lr: float) -> float:
        """The line."""
        return lr * line(n / last, self.start, 1)


class Constant(Schedule):
    """A share of the rate at first, then all of it: ``factor`` lr for n < ``steps``, then lr."""

    kind: Literal["constant"]
    examples = (
        {"steps": 2},
        {"steps": 3},
        {"steps": 2, "factor": 0.5},
        {"steps": 2, "factor": 0.0},
        {"steps": 1, "per": "epoch"},
    )

    steps: Count
    factor: Annotated[Number, Field(ge=0, lt=1)] = 1 / 3

    def last(self, whole: int) -> int:
        """When it is all."""
        return self.steps

    def after(self, n: int, last: int, lr: float) -> float:
        """The one or the other."""
        return lr * self.factor if n < last else lr


class InverseSquareRoot(Schedule):
    """Up in a line, then down with the root of time: lr min(k / W, √(W / k)), with W = ``warmup``.

    k = n + ``first``. The optimizer's rate is that at the peak, k = W, for which Vaswani et al., *Attention is all you
    need* (2017), equation 3, have (d W)^−½ where the model's width is d. They count the steps from 1; so the first
    step's rate is 0 where ``first`` is 0.
    """

    kind: Literal["inverse_square_root"]
    examples = ({"warmup": 3}, {"warmup": 2}, {"warmup": 3, "first": 0}, {"warmup": 1, "per": "epoch"})

    warmup: Count
    first: Literal[0, 1] = 1

    def after(self, n: int, last: int, lr: float) -> float:
        """The line or the root."""
        k = n + self.first
        return lr * (k / self.warmup if k < self.warmup else sqrt(self.warmup / k))


class OneCycle(Schedule):
    """Up to the optimizer's rate and down to next to nothing: from lr / a to lr, then to lr / (a b).

    The optimizer's rate is the peak, `max_lr` of PyTorch and `max_learning_rate` of PaddlePaddle; a =
    ``start_divisor``, b = ``end_divisor``. The way up ends at n = ``rises`` T − 1, the way down at T − 1, where T =
    ``steps``; each is half a cosine or a line. Smith and Topin, *Super-convergence* (2018), as fastai and PyTorch have
    it.
    """

    kind: Literal["one_cycle"]
    examples = (
        {"steps": 10},
        {"steps": 5, "rises": 0.4},
        {"steps": 10, "start_divisor": 4.0},
        {"steps": 10, "end_divisor": 10.0},
        {"steps": 10, "shape": "linear"},
        {"steps": 4, "rises": 0.5, "per": "epoch"},
    )

    steps: Count
    rises: Part = 0.3
    start_divisor: Annotated[Number, Field(ge=1)] = 25.0
    end_divisor: Annotated[Number, Field(ge=1)] = 1e4
    shape: Literal["cosine", "linear"] = "cosine"

    @property
    def peak(self) -> float:
        """At which n it is highest: between two steps too, and before the first where the way up is no step long."""
        return self.rises * self.steps - 1

    def last(self, whole: int) -> int:
        """T − 1."""
        return self.steps - 1

    def after(self, n: int, last: int, lr: float) -> float:
        """The way up or down."""
        way = half_cosine if self.shape == "cosine" else line
        start = lr / self.start_divisor
        if n < self.peak:
            return way(n / self.peak, start, lr)
        return way((n - self.peak) / (last - self.peak), lr, start / self.end_divisor)


class Cyclic(Schedule):
    """Up and down in lines, again and again: from ``floor`` to the optimizer's rate in ``up``, back in ``down``.

    The optimizer's rate is the highest, `max_lr` of PyTorch and `max_learning_rate` of PaddlePaddle; ``floor`` is the
    lowest, their `base_lr` and `base_learning_rate`. Smith, *Cyclical learning rates* (2017), section 3.1, the policy
    "triangular".
    """

    kind: Literal["cyclic"]
    examples = (
        {"up": 2, "down": 3},
        {"up": 3, "down": 3},
        {"up": 2, "down": 1, "floor": 0.01},
        {"up": 1, "down": 2, "per": "epoch"},
    )

    up: Count
    down: Count
    floor: NotNegative = 0.0

    def after(self, n: int, last: int, lr: float) -> float:
        """The way up or down, as libraries compute it: the share of a cycle that is over has the rounding of 1 + it."""
        whole = self.up + self.down
        over, turn = 1 + n / whole - (1 + n // whole), self.up / whole
        return line(over / turn if over <= turn else (over - 1) / (turn - 1), self.floor, lr)


class Table(Schedule):
    """A factor for each: lr fₙ, and the last one for all further. What else is said with a function of n."""

    kind: Literal["table"]
    examples = ({"factors": (0.5, 1.0, 0.2)}, {"factors": (1.0, 0.0, 0.3)}, {"factors": (0.5, 1.0), "per": "epoch"})

    factors: Annotated[tuple[NotNegative, ...], Field(min_length=1)]

    def last(self, whole: int) -> int:
        """Where the last factor is."""
        return len(self.factors) - 1

    def after(self, n: int, last: int, lr: float) -> float:
        """The factor's."""
        return lr * self.factors[n]


FALLING = (1.0, 0.9, 0.95, 0.85, 0.86, 0.87)
"""A metric as a run might have it."""


class Plateau(Schedule):
    """lr fᵏ after k falls: the rate falls where more than ``patience`` numbers in a row are no better than the best.

    The numbers are ``metrics``, one for each step or epoch that is over, as a run would have measured them; for all
    further the rate stays. Better is what is less (or more) than the best by more than ``threshold``, of the best or
    itself. After a fall ``cooldown`` of them count as no bad ones; below ``floor``, or by less than ``epsilon``, it
    does not fall. As PyTorch's ReduceLROnPlateau.
    """

    kind: Literal["plateau"]
    examples = (
        {"metrics": FALLING, "patience": 1, "factor": 0.5},
        {"metrics": FALLING, "patience": 0, "factor": 0.5},
        {"metrics": FALLING, "patience": 1},
        {"metrics": FALLING, "patience": 0, "factor": 0.5, "threshold": 0.2},
        {"metrics": (10.0, 9.9, 9.95, 9.85, 9.86), "patience": 0, "threshold": 0.08, "compared": "absolute"},
        {"metrics": FALLING, "patience": 0, "factor": 0.25, "better": "more"},
        {"metrics": FALLING, "patience": 0, "factor": 0.5, "floor": 0.04},
        {"metrics": FALLING, "patience": 0, "factor": 0.5, "epsilon": 0.03},
        {"metrics": (1.0, 1.0, 1.0, 1.0, 1.0), "patience": 0, "factor": 0.5, "cooldown": 2},
        {"metrics": FALLING, "patience": 0, "factor": 0.5, "per": "epoch"},
    )

    metrics: Annotated[tuple[Number, ...], Field(min_length=1)]
    factor: Part = 0.1
    patience: Step = 10
    threshold: NotNegative = 1e-4
    compared: Literal["relative", "absolute"] = "relative"
    better: Literal["less", "more"] = "less"
    cooldown: Step = 0
    floor: NotNegative = 0.0
    epsilon: NotNegative = 1e-8

    def last(self, whole: int) -> int:
        """Behind the last number."""
        return len(self.metrics)

    def after(self, n: int, last: int, lr: float) -> float:
        """The rate falls as often as it has to within the first n."""
        for _ in range(bisect_right(self._falls, n)):
            lower = max(lr * self.factor, self.floor)
            lr = lower if lr - lower > self.epsilon else lr
        return lr

    @cached_property
    def _falls(self) -> list[int]:
        """After how many numbers the rate falls, each time."""
        falls, best, bad, rest = [], self.metrics[0], 0, 0
        for n, metric in enumerate(self.metrics[1:], 2):
            better = self.is_better(metric, best)
            best, bad = (metric, 0) if better else (best, bad + 1)
            if rest:
                rest, bad = rest - 1, 0
            if bad > self.patience:
                falls.append(n)
                rest, bad = self.cooldown, 0
        return falls

    def is_better(self, metric: float, best: float) -> bool:
        """Whether a number is better than the best before it."""
        by = self.threshold * (best if self.compared == "relative" else 1)
        return metric < best - by if self.better == "less" else metric > best + by
