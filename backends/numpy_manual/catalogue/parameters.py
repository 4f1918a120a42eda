"""What can be wrong with weights, units and biases?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from pydantic.dataclasses import dataclass

from backends.numpy_manual.changes import (
    OPTIONS,
    AtLayer,
    AtParameter,
    Circumstances,
    Values,
    linear_layers,
)
from backends.numpy_manual.rules import LayerRule, samples
from harness.inputs import Array
from harness.scenario import Scenario


@dataclass(config=OPTIONS)
class WeightTransposed(AtLayer):
    """A square weight is used the other way round; an oblong one is told so."""

    id = "weight_transposed"
    sentence = "the weight of {at} is transposed"
    formula = "z = x W + b   (not x Wᵀ + b)"
    origin = "PyTorch keeps a Linear's weight as (out, in), PaddlePaddle as (in, out)"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """At each linear layer whose weight has more than one element."""
        widths = scenario.input_widths()
        yield from (cls(at=y.name) for y in linear_layers(scenario) if widths[y.name] * y.units > 1)

    def layer(self, name: str, kind: str, rule: LayerRule) -> LayerRule:
        """The rule, with Wᵀ for W, where W is square."""
        if kind != "linear" or not self.here(name):
            return rule

        def turned(p: Mapping[str, Array]) -> Mapping[str, Array]:
            w = p["weight"]
            return {**p, "weight": w.mT} if w.shape[-1] == w.shape[-2] else p

        def backward(p: Any, x: Array, a: Array, d: Array) -> tuple[Array, dict[str, Array]]:
            q = turned(p)
            dx, dp = rule.backward(q, x, a, d)
            return dx, dp if q is p else {**dp, "weight": dp["weight"].mT}

        return replace(rule, forward=lambda p, x: rule.forward(turned(p), x), backward=backward)

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """An oblong weight, as a framework with the other layout would give it."""
        keys = [f"{kind}/{y.name}.weight" for kind in ("grad", "weight") for y in linear_layers(run.scenario)]
        oblong = [k for k in keys if self.here(k.partition("/")[2].partition(".")[0]) and not _square(seen[k])]
        return seen | {key: np.asarray(seen[key]).mT for key in oblong}


def _square(w: Array) -> bool:
    return bool(w.shape[-1] == w.shape[-2])


@dataclass(config=OPTIONS)
class UnitsSwapped(AtLayer):
    """Two units of a layer are swapped, and nothing above knows of it."""

    id = "units_swapped"
    sentence = "the first two units of {at} are swapped"
    formula = "rows 0 and 1 of W (and of b) change places"
    origin = "a checkpoint that was split, joined or sorted"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """At each linear layer of two units or more."""
        yield from (cls(at=y.name) for y in linear_layers(scenario) if y.units > 1)

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Rows 0 and 1 change places."""
        return {
            key: value[[1, 0, *range(2, len(value))]] if self.here(key.partition(".")[0]) and len(value) > 1 else value
            for key, value in state.items()
        }


@dataclass(config=OPTIONS)
class UnitsPermuted(AtLayer):
    """The units of a layer are in another order, and the layer above knows of it: an equivalent network."""

    id = "units_permuted"
    sentence = "the units of {at} are in another order, consistently with the layer above: an equivalent network"
    formula = "W ← P W, b ← P b, and above V ← V Pᵀ: f(x) is the same"
    origin = "a pruned, merged or sorted checkpoint"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """At each linear layer of two units or more below another."""
        yield from (cls(at=y.name) for y in linear_layers(scenario)[:-1] if y.units > 1)

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Rows backwards here, columns backwards above."""
        names = [y.name for y in linear_layers(run.scenario)]
        below, above = self.at or names[0], names[names.index(self.at or names[0]) + 1]
        changed = {key: value[::-1] for key, value in state.items() if key.startswith(f"{below}.")}
        return {**state, **changed, f"{above}.weight": state[f"{above}.weight"][:, ::-1]}


@dataclass(config=OPTIONS)
class InitialLost(AtParameter):
    """A parameter has other values than those that it was given."""

    id = "initial_lost"
    sentence = "the values of {at} are not those that were loaded"
    formula = "W ← U(−1/√n, 1/√n), n inputs   (the frameworks' own)"
    origin = "a name that did not match, strict=False"

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Drawn as PyTorch's Linear does."""
        rng = np.random.Generator(np.random.PCG64(0))
        drawn = {key: rng.uniform(-1, 1, v.shape) / np.sqrt(v.shape[-1]) for key, v in state.items()}
        return {key: drawn[key].astype(v.dtype) if self.here(key) else v for key, v in state.items()}


@dataclass(config=OPTIONS)
class BiasScale(AtLayer):
    """A bias is added twice, or not at all."""

    id = "bias_scale"
    sentence = "the bias of {at} is added {by:.9g} times"
    formula = "z = x Wᵀ + k b"
    origin = "a bias in the layer and another one after it, or bias=False"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Twice and never, at each bias."""
        yield from (cls(at=y.name, by=by) for y in linear_layers(scenario, bias=True) for by in (2.0, 0.0))

    def layer(self, name: str, kind: str, rule: LayerRule) -> LayerRule:
        """The rule, with k b for b."""
        if kind != "linear" or not self.here(name):
            return rule

        def scaled(p: Mapping[str, Array]) -> Mapping[str, Array]:
            return {**p, "bias": self.by * p["bias"]} if "bias" in p else p

        def backward(p: Any, x: Array, a: Array, d: Array) -> tuple[Array, dict[str, Array]]:
            dx, dp = rule.backward(p, x, a, d)
            return dx, {**dp, "bias": self.by * dp["bias"]} if "bias" in dp else dp

        return replace(rule, forward=lambda p, x: rule.forward(scaled(p), x), backward=backward)


@dataclass(config=OPTIONS)
class BiasMean(AtLayer):
    """A bias's gradient is a mean over the batch, where it is a sum."""

    id = "bias_mean"
    sentence = "the gradient of the bias of {at} is a mean over the batch, not a sum"
    formula = "∂L/∂b = (1/B) Σ_samples d   (not Σ_samples d)"
    origin = "mean() for sum() in a hand-written backward pass"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """At each bias, for batches of two or more."""
        yield from (cls(at=y.name) for y in linear_layers(scenario, bias=True) if scenario.batch_size > 1)

    def layer(self, name: str, kind: str, rule: LayerRule) -> LayerRule:
        """The rule, with the bias's gradient divided by B."""
        if kind != "linear" or not self.here(name):
            return rule

        def backward(p: Any, x: Array, a: Array, d: Array) -> tuple[Array, dict[str, Array]]:
            dx, dp = rule.backward(p, x, a, d)
            return dx, {**dp, "bias": dp["bias"] / samples(d)} if "bias" in dp else dp

        return replace(rule, backward=backward)
