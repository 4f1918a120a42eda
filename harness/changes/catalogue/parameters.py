"""What can be wrong with weights, units and biases?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from math import prod
from typing import Any, Self

import numpy as np

from isograd.arithmetic.numbers import Exact
from isograd.changes.change import Change, Circumstances, Values
from isograd.changes.instead import instead, with_parameters
from isograd.changes.places import AtLayer, AtParameter, alike, layer_of, matrices
from isograd.ops.op import Array, Back, Layer, Op, Out
from isograd.scenario import Scenario

WEIGHT = "weight/"
"""Before the name of a parameter in a state."""


def biased(scenario: Scenario) -> list[str]:
    """The layers with a bias that is added to a product: beside a weight, and reported by its name."""
    params = scenario.used()
    return [layer_of(key) for key in params if key.endswith(".bias") and f"{layer_of(key)}.weight" in params]


def _used_matrices(scenario: Scenario) -> dict[str, tuple[int, ...]]:
    return {key: param.shape for key, param in scenario.used().items() if param.axes == ("out", "in")}


@dataclass(frozen=True)
class WeightTransposed(AtLayer):
    """A square weight is used the other way round; an oblong one is reported so."""

    id = "weight_transposed"
    sentence = "the weight of {at} is transposed"
    formula = "z = x «W» + b   (not x Wᵀ + b)"
    origin = "PyTorch keeps a Linear's weight as (out, in), PaddlePaddle as (in, out)"

    every = "every linear layer"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Linear layers whose weight has more than one element."""
        return [layer_of(key) for key, shape in _used_matrices(scenario).items() if shape != (1, 1)]

    def op(self, run: Circumstances, op: Op) -> Any:
        """The rule, with Wᵀ for W, where W is square."""
        if not (isinstance(op, Layer) and self.here(op)):
            return op
        square = [
            key.partition(".")[2]
            for key, shape in _used_matrices(run.scenario).items()
            if layer_of(key) == op.name and shape[0] == shape[1]
        ]

        def turned(p: Mapping[str, Array]) -> Mapping[str, Array]:
            return {**p, **{key: p[key].mT for key in square}}

        def backward(p: Any, out: Out, d: Array, *x: Array) -> Back:
            back = op.backward(turned(p), out, d, *x)
            return Back(*back.inputs, **turned(back.params))

        return with_parameters(op, turned) if not square else instead(with_parameters(op, turned), backward=backward)

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """An oblong weight, as a framework with the other layout would give it."""
        oblong = [key for key, param in matrices(run.scenario).items() if param.shape[0] != param.shape[1]]
        names = [f"{kind}/{key}" for kind in ("grad", "weight") for key in oblong if self.is_at(layer_of(key))]
        return seen | {name: np.asarray(seen[name]).mT for name in names}


@dataclass(frozen=True)
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
        shapes = {key: param.shape for key, param in matrices(scenario).items()}
        return [layer_of(key) for key, shape in shapes.items() if min(shape) > 1 and shape[0] != shape[1]]

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """The numbers in the order of the other layout, in the shape of this one."""
        names = [WEIGHT + key for key in matrices(run.scenario) if self.is_at(layer_of(key))]
        return {**state, **{name: state[name].mT.reshape(state[name].shape) for name in names}}


@dataclass(frozen=True)
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
        pairs = [(WEIGHT + one, WEIGHT + other) for one, other in pairs]
        taken = {one: state[other] for one, other in pairs}
        return {**state, **taken, **{other: state[one] for one, other in pairs if self.exchanged}}


@dataclass(frozen=True)
class LayersTied(Change):
    """Two layers of one kind are one and the same: they share their parameters, which get both gradients."""

    id = "layers_tied"
    sentence = "{at} and {other} are one and the same layer, which is used twice: they share the values of {other}"
    formula = "W ← «V», ∂L/∂W = ∂L/∂V ← «∂L/∂W + ∂L/∂V»"
    origin = "[layer] * 2, one module in two places of a list"

    at: str = ""
    other: str = ""

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each two layers with parameters of the same names and shapes, by the values of either."""
        for one, other in _twins(scenario):
            yield from (cls(one, other), cls(other, one))

    @property
    def where(self) -> str:
        """Both."""
        return f"{self.at} = {self.other}" if self.at else ""

    def says(self) -> str:
        """Which two."""
        return super().says() if self.at else "two layers are one and the same, which is used twice"

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Values, and what the optimizer keeps, of the one for the other."""
        one, other = self._pair(run)
        return {name: state[name.replace(f"/{one}.", f"/{other}.", 1)] for name in state} if one else state

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """The sum, for both."""
        one, other = self._pair(run)
        same = {key: f"{other}.{key.partition('.')[2]}" for key in g if layer_of(key) == one}
        both = {key: g[key] + g[twin] for key, twin in same.items()}
        return {**g, **both, **{same[key]: value for key, value in both.items()}}

    def _pair(self, run: Circumstances) -> tuple[str, str]:
        """The two; without `at` the first that there are."""
        return (self.at, self.other) if self.at else next(_twins(run.scenario), ("", ""))


def _twins(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Each two layers of one kind with parameters of the same names and shapes."""
    of: dict[str, dict[str, Any]] = {}
    for key, param in scenario.parameters().items():
        layer, _, name = key.partition(".")
        of.setdefault(layer, {"kind": scenario.layer(layer).kind})[name] = param.shape
    yield from ((one, other) for one, other in combinations(of, 2) if of[one] == of[other])


@dataclass(frozen=True)
class InitialLost(AtParameter):
    """A parameter has other values than those that it was given."""

    id = "initial_lost"
    sentence = "the values of {at} are not those that were loaded"
    formula = "W ← «U(−1/√n, 1/√n)», n inputs   (the frameworks' own, say)"
    origin = "a name that did not match, strict=False"
    is_fact = True

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Several, and each: which several they are is read off."""
        yield from (change for change in super().variants(scenario) if "*" not in change.at)

    vague = True  # any other values: there may be a reason for just these

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Drawn as PyTorch's Linear does."""
        rng = np.random.Generator(np.random.PCG64(0))
        weights = {name: value for name, value in state.items() if name.startswith(WEIGHT)}
        drawn = {name: rng.uniform(-1, 1, v.shape) / np.sqrt(v.shape[-1]) for name, v in weights.items()}
        lost = [name for name in weights if self.here(name.removeprefix(WEIGHT))]
        return {**state, **{name: drawn[name].astype(state[name].dtype) for name in lost}}


@dataclass(frozen=True)
class ValuesScaled(AtParameter):
    """A parameter's values are multiplied by a constant when they are loaded."""

    id = "values_scaled"
    sentence = "the values of {at} that were loaded are {by:.7g} times what they should be"
    formula = "W ← «k» W"
    origin = "a gain in the initial values, a scale that one framework keeps apart"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """But for a single number: of that any other is a multiple."""
        single = {key for key, param in scenario.parameters().items() if prod(param.shape) == 1}
        yield from (change for change in super().variants(scenario) if change.at not in single)

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """K times."""
        keys = [name for name in state if name.startswith(WEIGHT) and self.here(name.removeprefix(WEIGHT))]
        return {**state, **{name: (self.by * state[name].astype(np.float64)) for name in keys}}


@dataclass(frozen=True)
class BiasScale(AtLayer):
    """A bias is added twice, or not at all."""

    id = "bias_scale"
    sentence = "the bias of {at} is added {by:.7g} times"
    formula = "z = x Wᵀ + «k» b"
    origin = "a bias in the layer and another one after it, or bias=False"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 2.0

    every = "every linear layer"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers with a bias."""
        return biased(scenario)

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Twice and never."""
        yield from (replace(change, by=by) for change in super().variants(scenario) for by in (2.0, 0.0))

    def op(self, run: Circumstances, op: Op) -> Any:
        """The rule, with k b for b."""
        if not (self.here(op) and isinstance(op, Layer) and op.name in biased(run.scenario)):
            return op

        def scaled(p: Mapping[str, Array]) -> Mapping[str, Array]:
            return {**p, "bias": Exact(self.by) * p["bias"]}

        def backward(p: Any, out: Out, d: Array, *x: Array) -> Back:
            back = op.backward(p, out, d, *x)
            return Back(*back.inputs, **scaled(back.params))

        return instead(with_parameters(op, scaled), backward=backward)


@dataclass(frozen=True)
class NeverCalled(AtLayer):
    """A layer with parameters is made, and not part of the forward pass."""

    id = "never_called"
    sentence = "{at} is left out of the forward pass: its input is handed on, and its parameters have no gradient"
    formula = "a = «x»   (not W x + b)"
    origin = "a layer that is made in __init__ and forgotten in forward()"
    every = "every layer with parameters"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers with parameters, and no buffers to be reported, of one input whose shape they keep."""
        shapes, feeds = scenario.shapes(), scenario.feeds()
        owners = set(map(layer_of, scenario.parameters())) - set(map(layer_of, scenario.buffers()))
        return [name for name, fed in feeds.items() if name in owners and [shapes[f] for f in fed] == [shapes[name]]]

    def op(self, run: Circumstances, op: Op) -> Any:
        """What goes in comes out."""
        if not (self.here(op) and isinstance(op, Layer) and op.name in self.places(run.scenario)):
            return op

        def backward(p: Any, out: Out, d: Array, *x: Array) -> Back:
            return Back(d, **{name: 0 * g for name, g in op.backward(p, op.forward(p, *x), d, *x).params.items()})

        return instead(op, forward=lambda p, x: Out(x), backward=backward, evaluate=lambda p, x: x)


@dataclass(frozen=True)
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
        return biased(scenario) if scenario.batch_size > 1 else []

    def op(self, run: Circumstances, op: Op) -> Any:
        """The rule, with the bias's gradient divided by B."""
        if not (self.here(op) and isinstance(op, Layer) and op.name in biased(run.scenario)):
            return op

        def backward(p: Any, out: Out, d: Array, *x: Array) -> Back:
            back = op.backward(p, out, d, *x)
            return Back(*back.inputs, **{**back.params, "bias": back.params["bias"] / d.shape[0]})

        return instead(op, backward=backward)
