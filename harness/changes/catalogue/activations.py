"""What can be wrong with an activation: another one, none, one more, or another derivative?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from isograd.arithmetic.numbers import Exact
from isograd.changes.change import Circumstances
from isograd.changes.instead import followed, instead, left_out
from isograd.changes.places import AtActivation, AtLayer, layer_of, of_layers
from isograd.ops import LAYERS
from isograd.ops.op import Back, Layer, Op, Out
from isograd.scenario import Scenario

How = Literal[
    "it is taken at the output",
    "it is the output itself (its factor 1 − a is missing)",
    "it is 1 − the output (its factor a is missing)",
    "it is taken twice",
    "it is tanh's (1 − a²)",
    "it is taken as z (1 − z) of its input and not as a (1 − a) of its output",
    "it is taken as 1 − z² of its input and not as 1 − a² of its output",
]


HOWS: tuple[How, ...] = get_args(How)


NOTHING = {"leaky_relu": 1.0, "hard_shrink": 0.0, "soft_shrink": 0.0}
"""The number with which a kind hands on what it is given: then it is left out, which is another change."""


FARTHEST = {"celu": 100.0}
"""The largest number that a kind is tried with, where with a larger one it hands on what it is given, nearly."""


def elementwise() -> Iterator[tuple[str, type[Layer]]]:
    """Functions of each number: layers of one input that have no parameters and take any shape."""
    for kind, op in LAYERS.items():
        plain = op.parameters is Layer.parameters and op.buffers is Layer.buffers and op.shape is Layer.shape
        if plain and op.arity == (1, 1) and kind not in ("scale", "identity"):
            yield kind, op


def _number(op: type[Op]) -> str:
    """The name of the one setting that is a number; "" where there is none, or several."""
    names = [name for name, field in op.model_fields.items() if isinstance(field.default, float)]
    return names[0] if len(names) == 1 else ""


@dataclass(frozen=True)
class _ByKind(AtLayer):
    """A change that names the kind of an elementwise layer, with one of its examples, or a number that is solved."""

    by: str = ""
    example: int = 0
    value: float | None = None

    @property
    def solve(self) -> Mapping[str, float]:  # type: ignore[override]  # of a kind with a number
        """The kind's number; that it is its usual one changes as much as any other."""
        return {} if self.value is None else {"value": NOTHING.get(self.by, float("inf"))}

    @property
    def between(self) -> Mapping[str, tuple[float, float]]:  # type: ignore[override]  # of a kind with a number
        """Above 0, where the kind's number has to be."""
        if self.value is None:
            return {}
        bounds = LAYERS[self.by].model_fields[_number(LAYERS[self.by])].metadata
        most = FARTHEST.get(self.by, float("inf"))
        return {"value": (0.0, most)} if any(getattr(bound, "gt", None) == 0 for bound in bounds) else {}

    @property
    def where(self) -> str:
        """The place, and the kind."""
        return f"{self.at}: {self.by}" if self.at else self.by

    @classmethod
    def kinds(cls, place: str, scenario: Scenario) -> Iterator[str]:
        """What may stand at a place."""
        yield from (kind for kind, _ in elementwise())

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every kind at every place, by its examples; or its number solved for, where it has one."""
        for plain in super().variants(scenario):
            for by in cls.kinds(plain.at, scenario):
                op = LAYERS[by]
                if number := _number(op):
                    yield cls(at=plain.at, by=by, value=op.model_fields[number].default)
                else:
                    yield from (cls(at=plain.at, by=by, example=i) for i, _ in enumerate(op.examples))

    def said(self) -> str:
        """The kind, with its settings."""
        op = LAYERS[self.by]
        settings = dict(op.examples[self.example])
        if self.value is not None:
            settings = {_number(op): self.value}
        said = ", ".join(f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
                         for name, value in settings.items())  # fmt: skip
        return self.by.replace("_", " ") + (f" ({said})" if said else "")

    def layer(self, op: Layer) -> Layer:
        """The kind's layer, in the place of another."""
        chosen = LAYERS[self.by]
        settings = dict(chosen.examples[self.example])
        if self.value is not None:
            settings = {_number(chosen): Exact(self.value)}
        return chosen.model_construct(kind=self.by, name=op.name, inputs=op.inputs, **settings)


@dataclass(frozen=True)
class OtherLayer(_ByKind, AtActivation):
    """Another activation stands in one's place."""

    id = "other_layer"
    sentence = "{at} is another activation"
    formula = "a = «g»(z)   (not f(z))"
    origin = "a default, a name that was mistaken, a variant: GELU by erf or by tanh, leaky ReLU for ReLU"
    needs = ("by",)

    @classmethod
    def kinds(cls, place: str, scenario: Scenario) -> Iterator[str]:
        """All but what stands there."""
        there = {layer.kind for layer in scenario.layers if place in ("", layer.name)}
        yield from (kind for kind, _ in elementwise() if place == "" or kind not in there)

    def says(self) -> str:
        """Which stands where."""
        return f"{self.at or 'every activation'} is {self.said()}"

    def activation(self, op: Layer) -> Any:
        """The other one."""
        return self.layer(op) if self.by else op


@dataclass(frozen=True)
class LayerLeftOut(AtActivation):
    """An activation is left out."""

    id = "layer_left_out"
    sentence = "{at} is left out"
    formula = "a = «z»   (not f(z))"
    origin = "a line that was forgotten, a model whose last activation is part of the loss in one framework"

    def activation(self, op: Layer) -> Any:
        """What goes in comes out."""
        return left_out(op)


@dataclass(frozen=True)
class AppliedTwice(AtActivation):
    """An activation is applied twice."""

    id = "applied_twice"
    sentence = "{at} is applied twice"
    formula = "a = «f»(f(z))"
    origin = "an activation in the module and another one in its forward(), probabilities taken for logits"

    def activation(self, op: Layer) -> Any:
        """Once more on its own output."""
        return followed(
            op,
            lambda a: op.forward({}, a).a,
            lambda d, a: op.backward({}, op.forward({}, a), d, a).inputs[0],
        )


@dataclass(frozen=True)
class DerivativeLeftOut(AtActivation):
    """An activation's derivative is left out."""

    id = "derivative_left_out"
    sentence = "the derivative of {at} is left out"
    formula = "∂L/∂z = ∂L/∂a «· f′(z) is missing»"
    origin = "a hand-written backward pass; an activation applied to detached values"

    def activation(self, op: Layer) -> Any:
        """∂L/∂z = ∂L/∂a."""
        return instead(op, backward=lambda p, out, d, z: Back(d))


@dataclass(frozen=True)
class OtherDerivative(_ByKind, AtActivation):
    """An activation has the derivative of another one."""

    id = "other_derivative"
    sentence = "{at} has the derivative of another activation"
    formula = "∂L/∂z = d «g′»(z)   (not f′(z))"
    origin = "a hand-written derivative, an autograd function that was copied"
    needs = ("by",)

    @classmethod
    def kinds(cls, place: str, scenario: Scenario) -> Iterator[str]:
        """All but what stands there."""
        yield from OtherLayer.kinds(place, scenario)

    vague = True  # of numbers that are all large, or all of one sign, many functions have one derivative

    def says(self) -> str:
        """Whose derivative stands where."""
        return f"{self.at or 'every activation'} has the derivative of {self.said()}, not its own"

    def activation(self, op: Layer) -> Any:
        """Its own forward rule, and the other's backward rule."""
        if not self.by:
            return op
        other = self.layer(op)
        return instead(op, backward=lambda p, out, d, z: other.backward(p, other.forward(p, z), d, z))


@dataclass(frozen=True)
class DerivativeAtOutput(AtActivation):
    """An activation's derivative is taken at its output, not at its input; or lacks a factor."""

    id = "derivative_at_output"
    sentence = "the derivative of {at} is wrong: {how}"
    formula = "∂L/∂z = d f′(«a»)   (not f′(z))"
    origin = "a hand-written derivative: σ′ takes z, and a (1 − a) takes the output"

    how: How = "it is taken at the output"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each way, at each place."""
        for plain in super().variants(scenario):
            yield from (cls(at=plain.at, how=how) for how in HOWS)

    @property
    def where(self) -> str:
        """Where."""
        return self.at

    def activation(self, op: Layer) -> Any:
        """The forward rule as it is."""

        def backward(p: Any, out: Out, d: Any, z: Any) -> Back:
            if self.how == HOWS[0]:
                return op.backward(p, op.forward(p, out.a), d, out.a)
            if self.how == HOWS[1]:
                return Back(d * out.a)
            if self.how == HOWS[2]:
                return Back(d * (1 - out.a))
            if self.how == HOWS[4]:
                return Back(d * (1 - out.a * out.a))
            if self.how == HOWS[5]:
                return Back(d * z * (1 - z))
            if self.how == HOWS[6]:
                return Back(d * (1 - z * z))
            return op.backward(p, out, op.backward(p, out, d, z).inputs[0], z)

        return instead(op, backward=backward)


@dataclass(frozen=True)
class LayerAdded(_ByKind):
    """An activation comes after a layer, though there is none."""

    id = "layer_added"
    sentence = "an activation comes after {at}"
    formula = "a = «g»(f(x))"
    origin = "a layer's argument act, an activation in the model and another one in the loss"
    needs = ("by",)

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers with parameters."""
        trained = set(map(layer_of, scenario.used()))
        return [layer.name for layer in scenario.layers if layer.name in trained]

    def says(self) -> str:
        """Which comes after which."""
        return f"{self.said()} comes after {self.at or 'every layer with parameters'}"

    def op(self, run: Circumstances, op: Op) -> Any:
        """One after the other."""
        if not (self.by and isinstance(op, Layer) and self.here(op) and op.name in self.places(run.scenario)):
            return op
        added = self.layer(op)
        return followed(
            op,
            lambda a: added.forward({}, a).a,
            lambda d, a: added.backward({}, added.forward({}, a), d, a).inputs[0],
        )


@dataclass(frozen=True)
class ActivationBefore(AtActivation):
    """An activation comes before the layer that feeds it, and not after."""

    id = "activation_before"
    sentence = "{at} comes before the layer that feeds it, and not after"
    formula = "a = W «f(x)» + b   (not f(W x + b))"
    origin = "lines in another order; a block that is norm first, or activation first"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Activations whose layer has one input, and feeds nothing else."""
        feeds = scenario.feeds()
        fed = [name for names in feeds.values() for name in names]
        layers = {layer.name for layer in scenario.layers}

        def moves(name: str) -> bool:
            before = feeds[name][0]
            return before in layers and len(feeds[before]) == 1 and fed.count(before) == 1

        return [name for name in super().places(scenario) if moves(name)]

    def op(self, run: Circumstances, op: Op) -> Any:
        """The activation is left out, and its layer is given what it makes of the layer's input."""
        feeds, scenario = run.scenario.feeds(), run.scenario
        if not isinstance(op, Layer):
            return op
        if self.here(op) and op.name in self.places(scenario):
            return left_out(op)
        moved = [name for name in self.places(scenario) if self.is_at(name) and feeds[name][0] == op.name]
        if not moved:
            return op
        first = next(layer for layer in scenario.layers if layer.name == moved[0])

        def forward(p: Any, x: Any) -> Out:
            out = op.forward(p, first.forward({}, x).a)
            return Out(out.a, out, out.buffers)

        def backward(p: Any, out: Out, d: Any, x: Any) -> Back:
            before = first.forward({}, x)
            back = op.backward(p, out.saved, d, before.a)
            return Back(first.backward({}, before, back.inputs[0], x).inputs[0], **back.params)

        return instead(
            op, forward=forward, backward=backward, evaluate=lambda p, x: op.evaluate(p, first.evaluate({}, x))
        )

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the activation and its layer compute."""
        feeds = scenario.feeds()
        names = [name for name in self.places(scenario) if self.is_at(name)]
        return of_layers(scenario, [*names, *(feeds[name][0] for name in names)])
