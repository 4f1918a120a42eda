"""How does a parameter follow from its gradient?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from math import sqrt as sqrt_of
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StrictBool, model_validator

from isograd.arithmetic.words import constant, maximum, minimum, of_step, power, sign, sqrt, sum, where
from isograd.ops.op import Alternative, Array, Optimizer
from isograd.spec import NotNegative, Number, Positive, Share

Slots = Mapping[str, Array]


class Decayed(Optimizer):
    """One whose gradient may have a ``weight_decay`` λ in it: g ← g + λ w, as of a term ½ λ w² of the loss."""

    weight_decay: NotNegative = 0.0

    def decayed(self, w: Array, g: Array) -> Array:
        """The gradient with the term's."""
        return g + self.weight_decay * w if self.weight_decay else g


class Sgd(Decayed):
    """w ← w − lr g; with a ``momentum`` μ, v ← μ v + (1 − τ) g, where v = g at first, and w ← w − lr v.

    Polyak (1964). ``dampening`` is τ. ``nesterov``: w ← w − lr (g + μ v) (Sutskever et al., 2013, in frameworks' form).
    """

    kind: Literal["sgd"]
    examples = (
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
        {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    )

    momentum: Share = 0.0
    dampening: Share = 0.0
    nesterov: StrictBool = False

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if not self.momentum and (self.dampening or self.nesterov):
            raise ValueError("momentum: expected one above 0, for dampening or nesterov; got 0")
        if self.nesterov and self.dampening:
            raise ValueError("dampening: expected 0 with nesterov, as frameworks have it")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether the step is lr g, and nothing else."""
        return not self.momentum and not self.weight_decay

    def slots(self) -> tuple[str, ...]:
        """The velocity, where there is a momentum."""
        return ("v",) if self.momentum else ()

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step against its gradient, and the velocity."""
        g = self.decayed(w, g)
        if not self.momentum:
            return w - lr * g, {}
        share = 1 if not self.dampening else 1 - self.dampening * (1 - power(0.0, t - 1))  # 0⁰ is 1: the first step
        v = self.momentum * slots["v"] + (share * g if self.dampening else g)
        return w - lr * (g + self.momentum * v if self.nesterov else v), {"v": v}


class Moments(Optimizer):
    """One that keeps a first and a second moment: m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²."""

    exact: ClassVar[bool] = False

    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: NotNegative = 1e-8

    def slots(self) -> tuple[str, ...]:
        """First and second moment."""
        return ("m", "v")

    def moments(self, g: Array, slots: Slots) -> tuple[Array, Array]:
        """Both after a gradient."""
        m = self.beta1 * slots["m"] + (1 - constant(self.beta1, g)) * g
        return m, self.beta2 * slots["v"] + (1 - constant(self.beta2, g)) * (g * g)


class Adam(Moments):
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − lr m̂ / (√v̂ + ε), with m̂ = m / (1 − β₁ᵗ), v̂ likewise.

    Kingma and Ba, *Adam* (2015), algorithm 1. ``weight_decay`` λ is coupled, g ← g + λ w; or, if ``decoupled``, of the
    parameter itself, w ← w − lr λ w, before the step (Loshchilov and Hutter, *Decoupled weight decay regularization*,
    2019, algorithm 2). ``amsgrad``: the largest v so far stands for v in v̂ (Reddi et al., 2018).
    """

    kind: Literal["adam"]
    examples = (
        {"lr": 0.01, "epsilon": 1e-4},
        {"lr": 0.01},
        {"lr": 0.01, "beta1": 0.5},
        {"lr": 0.01, "beta2": 0.9},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.1, "decoupled": True},
        {"lr": 0.01, "beta2": 0.5, "amsgrad": True},
    )
    usual = ({}, {"weight_decay": 0.01, "decoupled": True}, {"epsilon": 1e-7})  # Adam; AdamW; Keras

    weight_decay: NotNegative = 0.0
    decoupled: StrictBool = False
    amsgrad: StrictBool = False

    def slots(self) -> tuple[str, ...]:
        """First and second moment, and the largest second one where that is asked for."""
        return ("m", "v", "u") if self.amsgrad else ("m", "v")

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and its moments."""
        if self.weight_decay and self.decoupled:
            w = w - lr * self.weight_decay * w
        elif self.weight_decay:
            g = g + self.weight_decay * w
        m, v = self.moments(g, slots)
        kept = {"m": m, "v": v} | ({"u": maximum(slots["u"], v)} if self.amsgrad else {})
        m_hat, v_hat = m / (1 - power(self.beta1, t)), kept.get("u", v) / (1 - power(self.beta2, t))
        return w - lr * m_hat / self.root(v_hat), kept

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
        return w - rate * kept["m"] / (sqrt(kept.get("u", kept["v"])) + self.epsilon), kept


class _NotCorrected(Adam):
    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        _, kept = Adam.update(self, w, g, slots, lr, t)
        if self.weight_decay and self.decoupled:
            w = w - lr * self.weight_decay * w
        return w - lr * kept["m"] / self.root(kept.get("u", kept["v"])), kept


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


class RmsProp(Decayed):
    """v ← α v + (1 − α) g², w ← w − lr g / (√v + ε): Tieleman and Hinton, lecture 6.5 of *Neural networks* (2012).

    ``centred``: a mean m of the gradients is kept too, and √(v − m²) stands for √v (Graves, 2013). With a
    ``momentum`` μ, b ← μ b + g / (√v + ε) and w ← w − lr b.
    """

    kind: Literal["rmsprop"]
    exact: ClassVar[bool] = False
    examples = (
        {"lr": 0.01, "epsilon": 1e-4},
        {"lr": 0.01},
        {"lr": 0.01, "smoothing": 0.9},
        {"lr": 0.01, "centred": True, "epsilon": 1e-2},
        {"lr": 0.01, "momentum": 0.9},
        {"lr": 0.01, "weight_decay": 0.1},
    )
    usual = ({}, {"smoothing": 0.9}, {"smoothing": 0.95, "epsilon": 1e-6})  # PyTorch; Keras; PaddlePaddle

    smoothing: Share = 0.99
    epsilon: NotNegative = 1e-8
    centred: StrictBool = False
    momentum: Share = 0.0

    def slots(self) -> tuple[str, ...]:
        """The mean of the squares; that of the gradients, and the velocity, where they are asked for."""
        return ("v", *(("m",) if self.centred else ()), *(("b",) if self.momentum else ()))

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and what is kept."""
        g = self.decayed(w, g)
        kept = {"v": self.smoothing * slots["v"] + (1 - constant(self.smoothing, g)) * (g * g)}
        v = kept["v"]
        if self.centred:
            kept["m"] = self.smoothing * slots["m"] + (1 - constant(self.smoothing, g)) * g
            v = v - kept["m"] * kept["m"]
        if not self.momentum:
            return w - lr * g / self.root(v), kept
        kept["b"] = self.momentum * slots["b"] + g / self.root(v)
        return w - lr * kept["b"], kept

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


class Adagrad(Decayed):
    """v ← v + g², w ← w − lr g / (√v + ε): Duchi, Hazan, Singer (2011), figure 1; v is ``start`` at first."""

    kind: Literal["adagrad"]
    exact: ClassVar[bool] = False
    examples = (
        {"lr": 0.01, "epsilon": 1e-4},
        {"lr": 0.01},
        {"lr": 0.01, "start": 0.5},
        {"lr": 0.01, "weight_decay": 0.1},
    )
    usual = ({}, {"epsilon": 1e-6}, {"epsilon": 1e-7})  # PyTorch; PaddlePaddle; Keras

    epsilon: NotNegative = 1e-10
    start: NotNegative = 0.0

    def slots(self) -> tuple[str, ...]:
        """The sum of the squares."""
        return ("v",)

    def initial(self, slot: str) -> float:
        """What the sum starts from."""
        return self.start

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and the sum."""
        g = self.decayed(w, g)
        v = slots["v"] + g * g
        return w - lr * g / (sqrt(v) + self.epsilon), {"v": v}


class Adadelta(Decayed):
    """v ← ρ v + (1 − ρ) g², Δ = √(u + ε) / √(v + ε) g, u ← ρ u + (1 − ρ) Δ², w ← w − lr Δ.

    Zeiler, *Adadelta* (2012), algorithm 1, with a learning rate.
    """

    kind: Literal["adadelta"]
    exact: ClassVar[bool] = False
    examples = (
        {"lr": 1.0, "epsilon": 1e-2},
        {"lr": 1.0},
        {"lr": 1.0, "rho": 0.5},
        {"lr": 1.0, "weight_decay": 0.1},
    )
    usual = ({}, {"rho": 0.95}, {"rho": 0.95, "epsilon": 1e-7})  # PyTorch; PaddlePaddle; Keras

    rho: Share = 0.9
    epsilon: Positive = 1e-6

    def slots(self) -> tuple[str, ...]:
        """The means of the gradients' squares and of the steps'."""
        return ("v", "u")

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and both means."""
        g = self.decayed(w, g)
        rest = 1 - constant(self.rho, g)
        v = self.rho * slots["v"] + rest * (g * g)
        delta = sqrt(slots["u"] + self.epsilon) / sqrt(v + self.epsilon) * g
        return w - lr * delta, {"v": v, "u": self.rho * slots["u"] + rest * (delta * delta)}


class RAdam(Moments, Decayed):
    """Adam that waits until its second moment can be trusted: Liu et al., *On the variance* (2020), algorithm 2.

    ρ = ρ∞ − 2 t β₂ᵗ / (1 − β₂ᵗ) with ρ∞ = 2 / (1 − β₂) − 1. While ρ ≤ 5 (4 in the paper): w ← w − lr m̂. Then
    w ← w − lr r m̂ √(1 − β₂ᵗ) / (√v + ε), with r = √((ρ − 4) (ρ − 2) ρ∞ / ((ρ∞ − 4) (ρ∞ − 2) ρ)).
    """

    kind: Literal["radam"]
    examples = (
        {"lr": 0.01, "beta2": 0.8, "epsilon": 1e-2},
        {"lr": 0.01, "beta2": 0.8},
        {"lr": 0.01},
        {"lr": 0.01, "beta1": 0.5},
        {"lr": 0.01, "weight_decay": 0.1},
    )

    beta2: Annotated[Number, Field(gt=0, lt=1)] = 0.999

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and its moments."""
        g = self.decayed(w, g)
        m, v = self.moments(g, slots)
        m_hat, root = m / (1 - power(self.beta1, t)), sqrt(1 - power(self.beta2, t))
        r = of_step(self.trust, t, g)
        return w - lr * where(r > 0, r * m_hat * root / (sqrt(v) + self.epsilon), m_hat), {"m": m, "v": v}

    def trust(self, t: int) -> float:
        """The factor r of a step, counted from 1; 0 where the second moment cannot be trusted yet."""
        last, power = 2 / (1 - self.beta2) - 1, self.beta2**t
        rho = last - 2 * t * power / (1 - power)
        return sqrt_of((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho)) if rho > 5 else 0.0


class NAdam(Moments, Decayed):
    """Adam with Nesterov's momentum: Dozat, *Incorporating Nesterov momentum into Adam* (2016), with its schedule μ.

    μ_t = β₁ (1 − ½ · 0.96^{t ψ}), where ψ is ``momentum_decay``, and M_t is the product of the first t of them. Then
    w ← w − lr (μ_{t+1} m / (1 − M_{t+1}) + (1 − μ_t) g / (1 − M_t)) / (√v̂ + ε).
    """

    kind: Literal["nadam"]
    examples = (
        {"lr": 0.01, "epsilon": 1e-2},
        {"lr": 0.01},
        {"lr": 0.01, "beta1": 0.5},
        {"lr": 0.01, "beta2": 0.9},
        {"lr": 0.01, "momentum_decay": 0.5},
        {"lr": 0.01, "weight_decay": 0.1},
    )

    momentum_decay: NotNegative = 0.004

    def mu(self, t: int) -> float:
        """The momentum of a step, counted from 1."""
        return float(self.beta1 * (1 - 0.5 * 0.96 ** (t * self.momentum_decay)))

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and its moments."""
        g = self.decayed(w, g)
        m, v = self.moments(g, slots)
        now, ahead = of_step(self.mu, t, g), of_step(self.mu, t + 1, g)
        done = of_step(self.product, t, g)
        step = ahead * m / (1 - done * ahead) + (1 - now) * g / (1 - done)
        return w - lr * step / (sqrt(v / (1 - power(self.beta2, t))) + self.epsilon), {"m": m, "v": v}

    def product(self, t: int) -> float:
        """The product of the momenta of the first t steps."""
        return prod(self.mu(i) for i in range(1, t + 1))


class RProp(Optimizer):
    """A step for each number that grows while its gradient keeps its sign: Riedmiller and Braun (1993).

    s ← s times ``up``, where g has the sign of the gradient before, and times ``down``, where it has the other one,
    within ``least`` and ``most``; there g counts as 0. w ← w − s sign(g). At first s is the learning rate.
    """

    kind: Literal["rprop"]
    examples = (
        {"lr": 0.01},
        {"lr": 0.01, "up": 2.0},
        {"lr": 0.01, "down": 0.25},
        {"lr": 0.01, "most": 0.011},
        {"lr": 0.01, "least": 0.009},
    )

    up: Annotated[Number, Field(gt=1)] = 1.2
    down: Annotated[Number, Field(gt=0, lt=1)] = 0.5
    least: Positive = 1e-6
    most: Positive = 50.0

    def slots(self) -> tuple[str, ...]:
        """The step of each number, and the gradient before."""
        return ("s", "g")

    def initial(self, slot: str) -> float:
        """The learning rate, for the steps."""
        return self.lr if slot == "s" else 0.0

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, the steps, and the gradient."""
        same = slots["g"] * g
        s = where(same > 0, self.up * slots["s"], where(same < 0, self.down * slots["s"], slots["s"]))
        s = maximum(self.least, minimum(self.most, s))
        g = where(same < 0, 0, g)
        return w - s * sign(g), {"s": s, "g": g}


class Lamb(Moments):
    """Adam's step r = m̂ / (√v̂ + ε) + λ w, as long as the parameter: w ← w − lr |w| / |r| · r (You et al., 2020).

    Where |w| or |r| is 0, their ratio is 1.
    """

    kind: Literal["lamb"]
    by_norm: ClassVar[bool] = True
    examples = (
        {"lr": 0.01, "epsilon": 1e-2},
        {"lr": 0.01},
        {"lr": 0.01, "beta1": 0.5},
        {"lr": 0.01, "beta2": 0.9},
        {"lr": 0.01, "weight_decay": 0.1},
        {"lr": 0.01, "weight_decay": 0.0},
    )

    epsilon: NotNegative = 1e-6
    weight_decay: NotNegative = 0.01

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and its moments."""
        m, v = self.moments(g, slots)
        m_hat, v_hat = m / (1 - power(self.beta1, t)), v / (1 - power(self.beta2, t))
        r = m_hat / (sqrt(v_hat) + self.epsilon) + self.weight_decay * w
        length, of_r = sqrt(sum(w * w)), sqrt(sum(r * r))
        known = where(of_r > 0, of_r, 1)
        ratio = where(length > 0, where(of_r > 0, length / known, 1), 1)
        return w - lr * ratio * r, {"m": m, "v": v}


class Adamax(Decayed):
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
        {"lr": 0.01, "weight_decay": 0.1},
    )

    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: NotNegative = 1e-8

    def slots(self) -> tuple[str, ...]:
        """The first moment, and the largest gradient."""
        return ("m", "u")

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and what is kept."""
        g = self.decayed(w, g)
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
    weight_decay: NotNegative = 0.0

    def slots(self) -> tuple[str, ...]:
        """The moment."""
        return ("m",)

    def update(self, w: Array, g: Array, slots: Slots, lr: Array, t: Array) -> tuple[Array, Slots]:
        """The parameter after one step, and the moment."""
        m, step = slots["m"], sign(self.beta1 * slots["m"] + (1 - constant(self.beta1, g)) * g)
        if self.weight_decay:
            step = step + self.weight_decay * w
        return w - lr * step, {"m": self.beta2 * m + (1 - constant(self.beta2, g)) * g}
