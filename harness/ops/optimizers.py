"""How does a parameter follow from its gradient?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool

from isograd.arithmetic.words import constant, maximum, power, sign, sqrt
from isograd.ops.op import Alternative, Array, Optimizer
from isograd.spec import Number

Share = Annotated[Number, Field(ge=0, lt=1)]
Slots = Mapping[str, Array]


class Sgd(Optimizer):
    """w ← w − lr ∂L/∂w."""

    kind: Literal["sgd"]
    examples = ({"lr": 0.1},)

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step against its gradient."""
        return w - lr * g, {}


class Adam(Optimizer):
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − lr m̂ / (√v̂ + ε), with m̂ = m / (1 − β₁ᵗ), v̂ likewise.

    Kingma and Ba, *Adam* (2015), algorithm 1. ``weight_decay`` λ is coupled, g ← g + λ w; or, if ``decoupled``, of the
    parameter itself, w ← w − lr λ w, before the step (Loshchilov and Hutter, *Decoupled weight decay regularization*,
    2019, algorithm 2).
    """

    kind: Literal["adam"]
    exact: ClassVar[bool] = False
    examples = (
        {"lr": 0.01, "epsilon": 1e-4},
        {"lr": 0.01},
        {"lr": 0.01, "beta1": 0.5},
        {"lr": 0.01, "beta2": 0.9},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled": True},
    )
    usual = ({}, {"weight_decay": 0.01, "decoupled": True}, {"epsilon": 1e-7})  # Adam; AdamW; Keras

    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: Annotated[Number, Field(ge=0)] = 1e-8
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    decoupled: StrictBool = False

    def slots(self) -> tuple[str, ...]:
        """First and second moment."""
        return ("m", "v")

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and its moments."""
        if self.weight_decay and self.decoupled:
            w = w - lr * self.weight_decay * w
        elif self.weight_decay:
            g = g + self.weight_decay * w
        m = self.beta1 * slots["m"] + (1 - constant(self.beta1, g)) * g
        v = self.beta2 * slots["v"] + (1 - constant(self.beta2, g)) * (g * g)
        m_hat, v_hat = m / (1 - power(self.beta1, t)), v / (1 - power(self.beta2, t))
        return w - lr * m_hat / self.root(v_hat), {"m": m, "v": v}

    def root(self, v_hat: Array) -> Any:
        """What the step is divided by."""
        return sqrt(v_hat) + self.epsilon


class _EpsilonInside(Adam):
    def root(self, v_hat: Array) -> Any:
        return sqrt(v_hat + self.epsilon)


class _EpsilonBeforeCorrection(Adam):
    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        _, kept = Adam.update(self, w, g, slots, lr, t)
        if self.weight_decay and self.decoupled:
            w = w - lr * self.weight_decay * w
        rate = lr * sqrt(1 - power(self.beta2, t)) / (1 - power(self.beta1, t))
        return w - rate * kept["m"] / (sqrt(kept["v"]) + self.epsilon), kept


class _NotCorrected(Adam):
    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        _, kept = Adam.update(self, w, g, slots, lr, t)
        if self.weight_decay and self.decoupled:
            w = w - lr * self.weight_decay * w
        return w - lr * kept["m"] / self.root(kept["v"]), kept


Adam.alternatives = {
    "epsilon_inside_root": Alternative(
        _EpsilonInside,
        "adds ε inside the root",
        "w ← w − lr m̂ / √(v̂ «+ ε»)   (not √v̂ + ε)",
        "some libraries of mixed precision, and hand-written code",
    ),
    "epsilon_before_correction": Alternative(
        _EpsilonBeforeCorrection,
        "adds ε to the root before its bias is corrected",
        "w ← w − lr √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + «ε»)",
        "the last line of section 2 of Adam's paper; TensorFlow",
    ),
    "not_corrected": Alternative(
        _NotCorrected,
        "does not correct the bias of its moments",
        "w ← w − lr «m» / (√«v» + ε)   (not m̂, v̂)",
        "a first implementation by hand; BERT's AdamWeightDecayOptimizer",
    ),
}


class RmsProp(Optimizer):
    """v ← α v + (1 − α) g², w ← w − lr g / (√v + ε): Tieleman and Hinton, lecture 6.5 of *Neural networks* (2012)."""

    kind: Literal["rmsprop"]
    exact: ClassVar[bool] = False
    examples = ({"lr": 0.01, "epsilon": 1e-4}, {"lr": 0.01}, {"lr": 0.01, "smoothing": 0.9})
    usual = ({}, {"smoothing": 0.9}, {"smoothing": 0.95, "epsilon": 1e-6})  # PyTorch; Keras; PaddlePaddle

    smoothing: Share = 0.99
    epsilon: Annotated[Number, Field(ge=0)] = 1e-8

    def slots(self) -> tuple[str, ...]:
        """The mean of the squares."""
        return ("v",)

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and the mean."""
        v = self.smoothing * slots["v"] + (1 - constant(self.smoothing, g)) * (g * g)
        return w - lr * g / self.root(v), {"v": v}

    def root(self, v: Array) -> Any:
        """What the step is divided by."""
        return sqrt(v) + self.epsilon


class _RmsPropEpsilonInside(RmsProp):
    def root(self, v: Array) -> Any:
        return sqrt(v + self.epsilon)


RmsProp.alternatives = {
    "rmsprop_epsilon_inside_root": Alternative(
        _RmsPropEpsilonInside,
        "adds ε inside the root",
        "w ← w − lr g / √(v «+ ε»)   (not √v + ε)",
        "PaddlePaddle; TensorFlow 1",
    ),
}


class Adagrad(Optimizer):
    """v ← v + g², w ← w − lr g / (√v + ε): Duchi, Hazan, Singer (2011), figure 1."""

    kind: Literal["adagrad"]
    exact: ClassVar[bool] = False
    examples = ({"lr": 0.01, "epsilon": 1e-4}, {"lr": 0.01})
    usual = ({}, {"epsilon": 1e-6}, {"epsilon": 1e-7})  # PyTorch; PaddlePaddle; Keras

    epsilon: Annotated[Number, Field(ge=0)] = 1e-10

    def slots(self) -> tuple[str, ...]:
        """The sum of the squares."""
        return ("v",)

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and the sum."""
        v = slots["v"] + g * g
        return w - lr * g / (sqrt(v) + self.epsilon), {"v": v}


class Adamax(Optimizer):
    """m ← β₁ m + (1 − β₁) g, u ← max(β₂ u, |g| + ε), w ← w − lr / (1 − β₁ᵗ) · m / u.

    Kingma and Ba, *Adam* (2015), algorithm 2, which has no ε: PyTorch's is the one here.
    """

    kind: Literal["adamax"]
    exact: ClassVar[bool] = False
    examples = (
        {"lr": 0.01, "epsilon": 1e-4},
        {"lr": 0.01},
        {"lr": 0.01, "beta1": 0.5},
        {"lr": 0.01, "beta2": 0.9},
    )

    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: Annotated[Number, Field(ge=0)] = 1e-8

    def slots(self) -> tuple[str, ...]:
        """The first moment, and the largest gradient."""
        return ("m", "u")

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and what is kept."""
        m = self.beta1 * slots["m"] + (1 - constant(self.beta1, g)) * g
        u = self.largest(self.beta2 * slots["u"], abs(g))
        return w - lr / (1 - power(self.beta1, t)) * (m / u), {"m": m, "u": u}

    def largest(self, old: Array, size: Array) -> Any:
        """What the step is divided by."""
        return maximum(old, size + self.epsilon)


class _AdamaxEpsilonOnTheOld(Adamax):
    def largest(self, old: Array, size: Array) -> Any:
        return maximum(old + self.epsilon, size)


Adamax.alternatives = {
    "adamax_epsilon_on_the_old": Alternative(
        _AdamaxEpsilonOnTheOld,
        "adds ε to the largest gradient so far, not to the new one",
        "u ← max(β₂ u «+ ε», |g|)   (not max(β₂ u, |g| + ε))",
        "PaddlePaddle",
    ),
}


class Lion(Optimizer):
    """w ← w − lr (sign(β₁ m + (1 − β₁) g) + λ w), m ← β₂ m + (1 − β₂) g: Chen et al., *Symbolic discovery* (2023)."""

    kind: Literal["lion"]
    examples = (
        {"lr": 0.01},
        {"lr": 0.01, "beta1": 0.99},
        {"lr": 0.01, "beta2": 0.5},
        {"lr": 0.01, "weight_decay": 0.1},
    )

    beta1: Share = 0.9
    beta2: Share = 0.99
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0

    def slots(self) -> tuple[str, ...]:
        """The moment."""
        return ("m",)

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and the moment."""
        m, step = slots["m"], sign(self.beta1 * slots["m"] + (1 - constant(self.beta1, g)) * g)
        if self.weight_decay:
            step = step + self.weight_decay * w
        return w - lr * step, {"m": self.beta2 * m + (1 - constant(self.beta2, g)) * g}
