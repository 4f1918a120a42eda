"""What can be wrong with a derivative, or a gradient?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from isograd.arithmetic.numbers import Exact
from isograd.arithmetic.words import where
from isograd.changes.change import Change, Circumstances, Values
from isograd.changes.instead import instead
from isograd.changes.places import AtLayer, AtParameter, alike, layer_of, matrices
from isograd.ops.op import Array, Back, Layer, Op, Out
from isograd.scenario import Scenario


@dataclass(frozen=True)
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

    def op(self, run: Circumstances, op: Op) -> Any:
        """∂L/∂z = ∂L/∂a · [z ≥ 0]."""
        changed = op.kind == "relu" and self.here(op)
        return instead(op, backward=lambda p, out, d, z: Back(where(~(z < 0), d, 0))) if changed else op


@dataclass(frozen=True)
class UpdatedTooEarly(Change):
    """Each layer is updated before the gradient flows back through it."""

    id = "updated_too_early"
    sentence = "each layer is updated before the gradient flows back through it"
    formula = "∂L/∂x = d («W − η ∂L/∂W»)   (not d W)"
    origin = "a hand-written backward pass that updates on its way, in the order of the layers"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Where a layer with parameters is above another."""
        yield from [cls()] if len({layer_of(key) for key in scenario.used()}) > 1 else []

    def op(self, run: Circumstances, op: Op) -> Any:
        """∂L/∂x by the updated parameters."""
        if not isinstance(op, Layer):
            return op

        def backward(p: Any, out: Out, d: Array, *x: Array) -> Back:
            params = op.backward(p, out, d, *x).params
            after = {**p, **{key: run.update(f"{op.name}.{key}", p[key], g) for key, g in params.items()}}
            return Back(*op.backward(after, out, d, *x).inputs, **params)

        return instead(op, backward=backward)


@dataclass(frozen=True)
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
        trained = {layer_of(key) for key in scenario.used()}
        first = next((i for i, layer in enumerate(scenario.layers) if layer.name in trained), 0)
        return [layer.name for layer in scenario.layers[first + 1 :]]

    def op(self, run: Circumstances, op: Op) -> Any:
        """∂L/∂x = 0."""
        if not (isinstance(op, Layer) and self.here(op)):
            return op

        def backward(p: Any, out: Out, d: Array, *x: Array) -> Back:
            back = op.backward(p, out, d, *x)
            return Back(*(0 * dx for dx in back.inputs), **back.params)

        return instead(op, backward=backward)


@dataclass(frozen=True)
class InputGradientTransposed(AtLayer):
    """What flows back through a square weight goes by the weight as in the forward rule."""

    id = "input_gradient_transposed"
    sentence = "the gradient that flows back through {at} takes its weight without transposing it"
    formula = "∂L/∂x = d «Wᵀ»   (not d W)"
    origin = "a hand-written backward pass of a square weight"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers of a square weight."""
        used = {key: param.shape for key, param in scenario.used().items() if param.axes == ("out", "in")}
        return [
            layer_of(key)
            for key, shape in used.items()
            if shape[0] == shape[1] > 1 and key == f"{layer_of(key)}.weight"
        ]

    def op(self, run: Circumstances, op: Op) -> Any:
        """∂L/∂x by the transposed weight; the rest as it is."""
        if not (isinstance(op, Layer) and self.here(op) and op.name in self.places(run.scenario)):
            return op

        def backward(p: Any, out: Out, d: Array, *x: Array) -> Back:
            back = op.backward(p, out, d, *x)
            turned = {**p, "weight": p["weight"].mT}
            return Back(*op.backward(turned, out, d, *x).inputs, **back.params)

        return instead(op, backward=backward)


@dataclass(frozen=True)
class GradientScale(AtParameter):
    """A constant factor on a gradient."""

    id = "gradient_scale"
    sentence = "the gradient of {at} is {by:.7g} times what it should be"
    formula = "∂L/∂W ← «k» ∂L/∂W"
    origin = "a loss that was scaled, a mean for a sum, a sign, a factor of an activation's derivative"
    solve = {"by": 1.0}  # noqa: RUF012  # a ClassVar of the base

    by: float = 2.0

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """K times."""
        return {key: self.by * value if self.here(key) else value for key, value in g.items()}


@dataclass(frozen=True)
class GradientDetached(AtParameter):
    """A parameter gets no gradient."""

    id = "gradient_detached"
    sentence = "{at} gets no gradient"
    formula = "∂L/∂W ← «0»"
    origin = "requires_grad = False, stop_gradient, or a parameter that the optimizer does not know"

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Zero."""
        return {key: 0 * value if self.here(key) else value for key, value in g.items()}


@dataclass(frozen=True)
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
        names = [name for name, param in matrices(scenario).items() if min(param.shape) > 1]
        yield from (cls(at=at) for at in [*([""] if len(names) > 1 else []), *names])

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Transposed, in the shape that it had."""
        return {
            key: value.mT.reshape(value.shape) if self.here(key) and value.ndim > 1 else value
            for key, value in g.items()
        }


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class InputStale(AtLayer):
    """A layer's gradients are computed with the input that it had at the step before."""

    id = "input_stale"
    sentence = "the gradients of {at} are computed with the input that it had at the step before"
    formula = "∂L/∂W = dᵀ «x_(t−1)»   (not x_t)"
    origin = "an input that is saved once, a buffer that is filled too late, a hand-written backward pass"
    every = "every layer with parameters"
    remembers = True
    back = 1

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers with parameters, of one input."""
        feeds, trained = scenario.feeds(), set(map(layer_of, scenario.used()))
        return [layer.name for layer in scenario.layers if layer.name in trained and len(feeds[layer.name]) == 1]

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """The gradients of its layers' parameters."""
        here = {name for name in self.places(scenario) if self.is_at(name)}
        keys = [scenario.shared.get(key, key) for key in scenario.used() if layer_of(key) in here]
        return frozenset(f"grad/{key}" for key in keys)

    def op(self, run: Circumstances, op: Op) -> Any:
        """What goes back to the layers before is right."""
        if not (isinstance(op, Layer) and self.here(op) and op.name in self.places(run.scenario)):
            return op
        key = f"input of {op.name}"

        def forward(p: Any, x: Any) -> Out:
            before, run.memory[key] = run.memory.get(key), run.plain(x)
            out = op.forward(p, x)
            old = run.held(before, x) if before is not None and before.shape[-x.ndim :] == x.shape else x
            return Out(out.a, (out, old), out.buffers)

        def backward(p: Any, out: Out, d: Any, x: Any) -> Back:
            own, old = out.saved
            params = op.backward(p, op.forward(p, old), d, old).params
            return Back(*op.backward(p, own, d, x).inputs, **params)

        return instead(op, forward=forward, backward=backward, evaluate=op.evaluate)


@dataclass(frozen=True)
class FlowScaled(PathDetached):
    """What flows back through a layer has a constant factor."""

    id = "flow_scaled"
    sentence = "the gradient that flows back through {at} is {by:.7g} times what it should be"
    formula = "∂L/∂x ← «k» ∂L/∂x"
    origin = "a hook, a gradient reversal, a scale for mixed precision that is not taken back"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 0.5

    vague = True  # of few numbers any other derivative is a factor

    def op(self, run: Circumstances, op: Op) -> Any:
        """∂L/∂x, k times; the layer's own parameters have the gradients that they should have."""
        if not (isinstance(op, Layer) and self.here(op) and op.name in self.places(run.scenario)):
            return op

        def backward(p: Any, out: Out, d: Array, *x: Array) -> Back:
            back = op.backward(p, out, d, *x)
            return Back(*(Exact(self.by) * g for g in back.inputs), **back.params)

        return instead(op, backward=backward)
