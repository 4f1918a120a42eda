"""What can be wrong with weights, units and biases?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np
from pydantic.dataclasses import dataclass

from isograd.backends.numpy_manual.changes import (
    OPTIONS,
    AtLayer,
    AtParameter,
    Change,
    Circumstances,
    Values,
    alike,
    linear_layers,
)
from isograd.backends.numpy_manual.rules import LayerRule, samples
from isograd.inputs import Array
from isograd.scenario import Scenario


@dataclass(config=OPTIONS)
class WeightTransposed(AtLayer):
    """A square weight is used the other way round; an oblong one is told so."""

    id = "weight_transposed"
    sentence = "the weight of {at} is transposed"
    formula = "z = x «W» + b   (not x Wᵀ + b)"
    origin = "PyTorch keeps a Linear's weight as (out, in), PaddlePaddle as (in, out)"

    every = "every linear layer"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Linear layers whose weight has more than one element."""
        widths = scenario.input_widths()
        return [y.name for y in linear_layers(scenario) if widths[y.name] * y.units > 1]

    def layer(self, run: Circumstances, name: str, kind: str, rule: LayerRule) -> LayerRule:
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
class WeightReshaped(AtLayer):
    """A weight that came in the other layout was reshaped, where it should have been transposed."""

    id = "weight_reshaped"
    sentence = "the weight of {at} is reshaped where it should be transposed"
    formula = "W ← «reshape(»W«ᵀ)»"
    origin = "a checkpoint of a framework with the other layout, read into the shape that was asked for"

    every = "every linear layer"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers with an oblong weight of two rows and two columns at least; a square one is transposed."""
        widths = scenario.input_widths()
        layers = (y for y in linear_layers(scenario) if min(widths[y.name], y.units) > 1)
        return [y.name for y in layers if widths[y.name] != y.units]

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """The numbers in the order of the other layout, in the shape of this one."""
        return {
            key: value.mT.reshape(value.shape) if value.ndim > 1 and self.here(key.partition(".")[0]) else value
            for key, value in state.items()
        }


@dataclass(config=OPTIONS)
class ValuesOfOther(Change):
    """A parameter has the values of another one of its shape, or the two have each other's."""

    id = "values_of_other"
    sentence = "{at} has the values of {other}"
    formula = "W ← «V»"
    origin = "names that were mixed up when a checkpoint was read, layers that share a parameter by mistake"

    at: str = ""
    other: str = ""
    exchanged: bool = False

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each two of one shape, either way and both."""
        for one, other in alike(scenario):
            yield from (cls(one, other), cls(other, one), cls(one, other, exchanged=True))

    @property
    def where(self) -> str:
        """Both."""
        return f"{self.at} {'⇄' if self.exchanged else '←'} {self.other}"

    def says(self) -> str:
        """Which has which."""
        both = f"{self.at} and {self.other} have each other's values"
        return both if self.exchanged else super().says()

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """One for the other; without `at` the first two of one shape."""
        pairs = [(self.at, self.other)] if self.at else list(alike(run.scenario))[:1]
        taken = {one: state[other] for one, other in pairs}
        return {**state, **taken, **{other: state[one] for one, other in pairs if self.exchanged}}


@dataclass(config=OPTIONS)
class InitialLost(AtParameter):
    """A parameter has other values than those that it was given."""

    id = "initial_lost"
    sentence = "the values of {at} are not those that were loaded"
    formula = "W ← «U(−1/√n, 1/√n)», n inputs   (the frameworks' own, say)"
    origin = "a name that did not match, strict=False"

    @property
    def vague(self) -> bool:
        """Any other values: there may be a reason for just these."""
        return True

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
    formula = "z = x Wᵀ + «k» b"
    origin = "a bias in the layer and another one after it, or bias=False"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    every = "every linear layer"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers with a bias."""
        return [y.name for y in linear_layers(scenario, bias=True)]

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Twice and never."""
        yield from (replace(change, by=by) for change in super().variants(scenario) for by in (2.0, 0.0))

    def layer(self, run: Circumstances, name: str, kind: str, rule: LayerRule) -> LayerRule:
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
    formula = "∂L/∂b = «(1/B)» Σ_samples d"
    origin = "mean() for sum() in a hand-written backward pass"

    every = "every linear layer"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers with a bias, for batches of two or more."""
        return [y.name for y in linear_layers(scenario, bias=True) if scenario.batch_size > 1]

    def layer(self, run: Circumstances, name: str, kind: str, rule: LayerRule) -> LayerRule:
        """The rule, with the bias's gradient divided by B."""
        if kind != "linear" or not self.here(name):
            return rule

        def backward(p: Any, x: Array, a: Array, d: Array) -> tuple[Array, dict[str, Array]]:
            dx, dp = rule.backward(p, x, a, d)
            return dx, {**dp, "bias": dp["bias"] / samples(d)} if "bias" in dp else dp

        return replace(rule, backward=backward)
