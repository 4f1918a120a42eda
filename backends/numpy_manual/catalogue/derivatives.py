"""What can be wrong with a derivative, or a gradient?"""

from __future__ import annotations

from collections.abc import Iterator
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
from isograd.backends.numpy_manual.rules import LayerRule
from isograd.inputs import Array
from isograd.scenario import Linear, Scenario

ACTIVATIONS = ("sigmoid", "relu", "scale")


@dataclass(config=OPTIONS)
class DerivativeLeftOut(AtLayer):
    """An activation's derivative is left out."""

    id = "derivative_left_out"
    sentence = "the derivative of {at} is left out"
    formula = "∂L/∂z = ∂L/∂a «· f′(z) is missing»"
    origin = "a hand-written backward pass; an activation applied to detached values"
    one = "the activation {at}"
    every = "every activation"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Activations."""
        return [layer.name for layer in scenario.layers if layer.kind in ACTIVATIONS]

    def layer(self, run: Circumstances, name: str, kind: str, rule: LayerRule) -> LayerRule:
        """∂L/∂z = ∂L/∂a."""
        changed = kind in ACTIVATIONS and self.here(name)
        return replace(rule, backward=lambda p, z, a, d: (d, {})) if changed else rule


@dataclass(config=OPTIONS)
class DerivativeAtKink(AtLayer):
    """ReLU's derivative at 0 is that of the other branch."""

    id = "derivative_at_kink"
    sentence = "the derivative of {at} at exactly 0 is 1, not 0"
    formula = "∂L/∂z = ∂L/∂a · [z «≥» 0]   (not >)"
    origin = "a framework's convention for max(0, z), or one written with ≥"
    every = "every ReLU"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """ReLUs."""
        return [layer.name for layer in scenario.layers if layer.kind == "relu"]

    def layer(self, run: Circumstances, name: str, kind: str, rule: LayerRule) -> LayerRule:
        """∂L/∂z = ∂L/∂a · [z ≥ 0]."""
        changed = kind == "relu" and self.here(name)
        return replace(rule, backward=lambda p, z, a, d: (np.where(~(z < 0), d, 0), {})) if changed else rule


@dataclass(config=OPTIONS)
class UpdatedTooEarly(Change):
    """Each layer is updated before the gradient flows back through it."""

    id = "updated_too_early"
    sentence = "each layer is updated before the gradient flows back through it"
    formula = "∂L/∂x = d («W − η ∂L/∂W»)   (not d W)"
    origin = "a hand-written backward pass that updates on its way, in the order of the layers"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Where a layer with parameters is above another."""
        yield from [cls()] if len(linear_layers(scenario)) > 1 else []

    def layer(self, run: Circumstances, name: str, kind: str, rule: LayerRule) -> LayerRule:
        """∂L/∂x by the updated parameters."""

        def backward(p: Any, x: Array, a: Array, d: Array) -> tuple[Array, dict[str, Array]]:
            _, dp = rule.backward(p, x, a, d)
            after = {**p, **{key: p[key] - run.lr * g for key, g in dp.items()}}
            return rule.backward(after, x, a, d)[0], dp

        return replace(rule, backward=backward) if kind == "linear" else rule


@dataclass(config=OPTIONS)
class PathDetached(AtLayer):
    """Nothing flows back through a layer."""

    id = "path_detached"
    sentence = "no gradient flows back through {at}"
    formula = "∂L/∂x = «0»   (not ∂L/∂a · ∂a/∂x)"
    origin = "detach(), stop_gradient, no_grad, or a value that went through NumPy"
    every = "any layer"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers above another one with parameters."""
        first = next((i for i, layer in enumerate(scenario.layers) if isinstance(layer, Linear)), 0)
        return [layer.name for layer in scenario.layers[first + 1 :]]

    def layer(self, run: Circumstances, name: str, kind: str, rule: LayerRule) -> LayerRule:
        """∂L/∂x = 0."""
        if not self.here(name):
            return rule

        def backward(p: Any, x: Array, a: Array, d: Array) -> tuple[Array, dict[str, Array]]:
            dx, dp = rule.backward(p, x, a, d)
            return 0 * dx, dp

        return replace(rule, backward=backward)


@dataclass(config=OPTIONS)
class GradientScale(AtParameter):
    """A constant factor on a gradient."""

    id = "gradient_scale"
    sentence = "the gradient of {at} is {by:.9g} times what it should be"
    formula = "∂L/∂W ← «k» ∂L/∂W"
    origin = "a loss that was scaled, a mean for a sum, a sign, a factor of an activation's derivative"
    solve = {"by": 1.0}  # noqa: RUF012  # a ClassVar of the base

    by: float = 2.0

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """K times."""
        return {key: self.by * value if self.here(key) else value for key, value in g.items()}


@dataclass(config=OPTIONS)
class GradientDetached(AtParameter):
    """A parameter gets no gradient."""

    id = "gradient_detached"
    sentence = "{at} gets no gradient"
    formula = "∂L/∂W ← «0»"
    origin = "requires_grad = False, stop_gradient, or a parameter that the optimizer does not know"

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Zero."""
        return {key: 0 * value if self.here(key) else value for key, value in g.items()}


@dataclass(config=OPTIONS)
class GradientTransposed(AtParameter):
    """A weight's gradient in the other layout."""

    id = "gradient_transposed"
    sentence = "the gradient of {at} is reshaped where it should be transposed"
    formula = "∂L/∂W ← «reshape(»(∂L/∂W)«ᵀ)»"
    origin = "a weight kept as (in, out) in one framework and (out, in) in the other"

    every = "every weight"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """At each weight that has two rows and two columns, and at all of them."""
        widths = scenario.input_widths()
        names = [f"{y.name}.weight" for y in linear_layers(scenario) if widths[y.name] > 1 and y.units > 1]
        yield from (cls(at=at) for at in [*([""] if len(names) > 1 else []), *names])

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Transposed, in the shape that it had."""
        return {
            key: value.mT.reshape(value.shape) if self.here(key) and value.ndim > 1 else value
            for key, value in g.items()
        }


@dataclass(config=OPTIONS)
class GradientsExchanged(Change):
    """Two parameters of one shape get each other's gradient."""

    id = "gradients_exchanged"
    sentence = "{at} and {other} get each other's gradient"
    formula = "∂L/∂V «⇄» ∂L/∂W"
    origin = "two lists of parameters in different orders, zipped"

    at: str = ""
    other: str = ""

    @property
    def where(self) -> str:
        """Both."""
        return f"{self.at} ⇄ {self.other}"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each two of one shape."""
        yield from (cls(at=one, other=other) for one, other in alike(scenario))

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """One for the other; without `at` the first two of one shape."""
        pairs = [(self.at, self.other)] if self.at else list(alike(run.scenario))[:1]
        return {**g, **{a: g[b] for one, other in pairs for a, b in ((one, other), (other, one))}}
