"""Which optimizer that is no operation here stands in the optimizer's place?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
from pydantic import Field

from isograd.arithmetic.words import Marked, maximum, power, sign, sqrt, where
from isograd.arithmetic.words import sum as total
from isograd.changes.change import Change, Circumstances, Evidence, Recorded
from isograd.scenario import Scenario

Slots = Mapping[str, Any]

Update = Callable[[Any, Any, Slots, Any, Any], tuple[Any, Slots]]
"""From w, g, slots, the rate and the number of the update, counted from 1, to w and slots."""


class Written(NamedTuple):
    """An optimizer.

    Attributes:
        slots: what it keeps for each parameter, 0 at first.
        update: its rule.
        said: its name and its settings.
    """

    slots: tuple[str, ...]
    update: Update
    said: str


def _moments(g: Any, s: Slots, beta1: float = 0.9, beta2: float = 0.999) -> tuple[Any, Any]:
    return beta1 * s["m"] + (1 - beta1) * g, beta2 * s["v"] + (1 - beta2) * (g * g)


def _hats(m: Any, v: Any, t: Any) -> tuple[Any, Any]:
    return m / (1 - power(0.9, t)), v / (1 - power(0.999, t))


def _amsgrad(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    m, v = _moments(g, s)
    most = maximum(s["most"], v)
    m_hat, v_hat = _hats(m, most, t)
    return w - lr * m_hat / (sqrt(v_hat) + 1e-8), {"m": m, "v": v, "most": most}


def _nadam(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    """Dozat (2016), with the decay of momentum 0.004 that PyTorch and PaddlePaddle have."""
    m, v = _moments(g, s)
    mu, mu_next = (0.9 * (1 - 0.5 * power(0.96, 0.004 * at)) for at in (t, t + 1))
    product = where(s["product"] > 0, s["product"], 1 + 0 * s["product"]) * mu
    m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
    return w - lr * m_hat / (sqrt(v / (1 - power(0.999, t))) + 1e-8), {"m": m, "v": v, "product": product}


def _nadam_plain(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    m, v = _moments(g, s)
    m_hat, v_hat = _hats(m, v, t)
    ahead = 0.9 * m_hat + 0.1 * g / (1 - power(0.9, t))
    return w - lr * ahead / (sqrt(v_hat) + 1e-8), {"m": m, "v": v}


def _adadelta(rho: float, epsilon: float) -> Update:
    def update(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
        v = rho * s["v"] + (1 - rho) * (g * g)
        step = sqrt(s["steps"] + epsilon) / sqrt(v + epsilon) * g
        return w - lr * step, {"v": v, "steps": rho * s["steps"] + (1 - rho) * (step * step)}

    return update


def _adabelief(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    m = 0.9 * s["m"] + 0.1 * g
    v = 0.999 * s["v"] + 0.001 * ((g - m) * (g - m)) + 1e-16
    m_hat, v_hat = _hats(m, v, t)
    return w - lr * m_hat / (sqrt(v_hat) + 1e-16), {"m": m, "v": v}


def _yogi(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    m = 0.9 * s["m"] + 0.1 * g
    v = s["v"] - 0.001 * sign(s["v"] - g * g) * (g * g)
    m_hat, v_hat = _hats(m, v, t)
    return w - lr * m_hat / (sqrt(v_hat) + 1e-3), {"m": m, "v": v}


def _centred_rmsprop(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    m, v = 0.99 * s["m"] + 0.01 * g, 0.99 * s["v"] + 0.01 * (g * g)
    return w - lr * g / (sqrt(v - m * m) + 1e-8), {"m": m, "v": v}


def _rmsprop_momentum(smoothing: float, epsilon: float, inside: bool) -> Update:
    def update(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
        v = smoothing * s["v"] + (1 - smoothing) * (g * g)
        m = 0.9 * s["m"] + g / (sqrt(v + epsilon) if inside else sqrt(v) + epsilon)
        return w - lr * m, {"m": m, "v": v}

    return update


def _rprop(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    """Riedmiller and Braun (1993), as PyTorch has it: 0.5 and 1.2, between 10⁻⁶ and 50."""
    same = g * s["g"]
    first = where(s["size"] > 0, s["size"], lr + 0 * g)
    size = where(same > 0, 1.2 * first, where(same < 0, 0.5 * first, first))
    size = where(size > 50, 50 + 0 * size, maximum(size, 1e-6))
    kept = where(same < 0, 0 * g, g)
    return w - size * sign(kept), {"g": kept, "size": size}


def _signum(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    m = 0.9 * s["m"] + 0.1 * g
    return w - lr * sign(m), {"m": m}


def _length(x: Any) -> Any:
    return sqrt(total(x * x, keepdims=True))


def _trusted(w: Any, step: Any, factor: float) -> Any:
    """The step times ‖w‖ / ‖step‖, where neither is 0."""
    of_w, of_step = _length(w), _length(step)
    good = where(of_w > 0, 1 + 0 * of_w, 0) * where(of_step > 0, 1 + 0 * of_w, 0)
    return step * where(good > 0, factor * of_w / where(of_step > 0, of_step, 1 + 0 * of_step), 1 + 0 * of_w)


def _lars(factor: float, momentum: float) -> Update:
    def update(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
        m = momentum * s["m"] + lr * _trusted(w, g, factor)
        return w - m, {"m": m}

    return update


def _lamb(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    m, v = _moments(g, s)
    m_hat, v_hat = _hats(m, v, t)
    return w - lr * _trusted(w, m_hat / (sqrt(v_hat) + 1e-6), 1.0), {"m": m, "v": v}


def _averaged(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
    m = s["m"] + g
    return w - lr * m / t, {"m": m}


def _adam_of(beta1: float, beta2: float, epsilon: float = 1e-8) -> Update:
    def update(w: Any, g: Any, s: Slots, lr: Any, t: Any) -> tuple[Any, Slots]:
        m, v = _moments(g, s, beta1, beta2)
        m_hat, v_hat = m / (1 - power(beta1, t)), v / (1 - power(beta2, t))
        return w - lr * m_hat / (sqrt(v_hat) + epsilon), {"m": m, "v": v}

    return update


OPTIMIZERS: Mapping[str, Written] = {
    "amsgrad": Written(("m", "v", "most"), _amsgrad, "Adam with amsgrad"),
    "nadam": Written(("m", "v", "product"), _nadam, "NAdam (momentum decay 0.004)"),
    "nadam without decay": Written(("m", "v"), _nadam_plain, "NAdam, as in its paper"),
    "adadelta": Written(("v", "steps"), _adadelta(0.9, 1e-6), "Adadelta (ρ = 0.9, ε = 10⁻⁶)"),
    "adadelta of 0.95": Written(("v", "steps"), _adadelta(0.95, 1e-6), "Adadelta (ρ = 0.95, ε = 10⁻⁶)"),
    "adadelta of 0.95 and 1e-7": Written(("v", "steps"), _adadelta(0.95, 1e-7), "Adadelta (ρ = 0.95, ε = 10⁻⁷)"),
    "adabelief": Written(("m", "v"), _adabelief, "AdaBelief"),
    "yogi": Written(("m", "v"), _yogi, "Yogi"),
    "centred rmsprop": Written(("m", "v"), _centred_rmsprop, "RMSprop, centred (smoothing 0.99)"),
    "rmsprop with momentum": Written(
        ("m", "v"), _rmsprop_momentum(0.99, 1e-8, inside=False), "RMSprop with a momentum of 0.9 (smoothing 0.99)"
    ),
    "rmsprop with momentum inside": Written(
        ("m", "v"), _rmsprop_momentum(0.95, 1e-6, inside=True), "RMSprop with a momentum of 0.9 (smoothing 0.95)"
    ),
    "rprop": Written(("g", "size"), _rprop, "Rprop (resilient backpropagation)"),
    "signum": Written(("m",), _signum, "Signum: the sign of a momentum of 0.9"),
    "lars": Written(("m",), _lars(0.001, 0.9), "LARS (trust coefficient 0.001, momentum 0.9)"),
    "lars without momentum": Written(
        ("m",), _lars(1.0, 0.0), "LARS without momentum: each update has the length of its parameter, times the rate"
    ),
    "lamb": Written(("m", "v"), _lamb, "LAMB"),
    "averaged gradients": Written(
        ("m",), _averaged, "gradient descent by the mean of all gradients so far (dual averaging)"
    ),
    "adam of 0.5": Written(("m", "v"), _adam_of(0.5, 0.999), "Adam with β₁ = 0.5"),
    "adam of 0.99": Written(("m", "v"), _adam_of(0.9, 0.99), "Adam with β₂ = 0.99"),
    "adam of 0.95": Written(("m", "v"), _adam_of(0.9, 0.95), "Adam with β₂ = 0.95"),
    "adam of 0.98": Written(("m", "v"), _adam_of(0.9, 0.98, 1e-9), "Adam with β₂ = 0.98 and ε = 10⁻⁹"),
    "adam of 0": Written(("m", "v"), _adam_of(0.0, 0.999), "Adam with β₁ = 0"),
    "adam exchanged": Written(("m", "v"), _adam_of(0.999, 0.9), "Adam with β₁ and β₂ exchanged"),
}
"""Optimizers that frameworks and papers have, with their usual settings."""


@dataclass(frozen=True)
class WrittenOptimizer(Change):
    """Another optimizer stands in the optimizer's place, one that no scenario can ask for."""

    id = "written_optimizer"
    sentence = "the optimizer is {by}"
    formula = "w ← «another»(w, g)"
    origin = "the optimizer of the tutorial, or of the paper, that the code was copied from"
    remembers = True
    rounds = True

    tables = {"by": OPTIMIZERS}  # noqa: RUF012

    by: str = "nadam"

    vague = True  # at a first step many are alike: one that a scenario can ask for says more

    @property
    def where(self) -> str:
        """Which."""
        return self.by

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every one."""
        yield from map(cls, OPTIMIZERS)

    def says(self) -> str:
        """Which, with its settings."""
        return f"the optimizer is {OPTIMIZERS[self.by].said}"

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """What it makes of the gradient, from slots of its own."""
        made, slots = OPTIMIZERS[self.by], run.memory.get(key)
        rate, count = np.float64(run.lr_of(key)), np.float64(run.step + 1)
        if isinstance(w, Marked):
            rate, count = w.a.scalar(run.lr_of(key)), w.a.count(run.step + 1)
        if slots is None:
            slots = {slot: np.zeros(run.inputs.weights[key].shape) for slot in made.slots}
        slots = {slot: run.held(values, w) for slot, values in slots.items()}
        changed, kept = made.update(w, g, slots, rate, count)
        run.memory[key] = {slot: run.plain(values + 0 * g) for slot, values in kept.items()}
        return changed


@dataclass(frozen=True)
class Lookahead(Change):
    """Every few steps the weights go back some way to where they were at the last such step."""

    id = "lookahead"
    sentence = (
        "every {every_so_many} steps the weights go only {by:.6g} of the way from where they were then (Lookahead)"
    )
    formula = "w ← «w̄ + α (w − w̄)», w̄ ← w at every k-th step"
    origin = "a Lookahead wrapper, slow and fast weights, an average over the last steps"
    between = {"by": (1e-3, 10.0)}  # noqa: RUF012
    solve = {"by": 1.0}  # noqa: RUF012
    remembers = True
    back = 0

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """The weights after the last such step."""
        back = run.step % self.every_so_many + 1
        found = {key: recorded(f"weight/{key}", back) for key in run.inputs.weights} if back <= run.step else {}
        run.memory = {key: value for key, value in found.items() if value is not None}

    every_so_many: Annotated[int, Field(ge=1)] = 5
    by: float = 0.5

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Five or six, as libraries have it; another number is read off."""
        yield from (cls(5), cls(6))

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """The first step that is wrong is the first at which it happens."""
        k = evidence.steps[0] + 1
        if self.every_so_many == FIVE and k > 1 and k not in (FIVE, FIVE + 1):
            yield replace(self, every_so_many=k)

    @property
    def where(self) -> str:
        """How often."""
        return f"{self.every_so_many}"

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Part of the way, at every k-th step."""
        slow = run.memory.get(key, run.inputs.weights[key].astype(np.float64))
        if (run.step + 1) % self.every_so_many:
            return after
        run.memory[key] = slow + self.by * (after - slow)
        return run.memory[key]


FIVE = 5
"""The steps between two of Lookahead's, in its paper."""
