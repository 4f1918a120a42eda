"""What if another operation stands in one's place: another activation, loss or optimizer; or none, or one more?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self, get_args

import numpy as np
from pydantic.dataclasses import dataclass

from isograd.arithmetic.numbers import Exact
from isograd.arithmetic.words import sqrt
from isograd.changes.catalogue.losses import OF_SQUARES
from isograd.changes.change import OPTIONS, AtLayer, Change, Circumstances, of_loss
from isograd.changes.instead import followed, instead, is_activation
from isograd.ops import LAYERS, LOSSES, OPTIMIZERS
from isograd.ops.op import Back, Layer, Loss, Op, Out
from isograd.scenario import Scenario

EVERY = "every setting"

How = Literal[
    "it is taken at the output",
    "it is the output itself (its factor 1 − a is missing)",
    "it is 1 − the output (its factor a is missing)",
    "it is taken twice",
]
HOWS: tuple[How, ...] = get_args(How)


NOTHING = {"leaky_relu": 1.0}
"""The number with which a kind hands on what it is given: then it is left out, which is another change."""


def _elementwise() -> Iterator[tuple[str, type[Layer]]]:
    """Functions of each number: layers of one input that have no parameters and take any shape."""
    for kind, op in LAYERS.items():
        plain = op.parameters is Layer.parameters and op.buffers is Layer.buffers and op.shape is Layer.shape
        if plain and op.arity == (1, 1) and kind != "scale":
            yield kind, op


def _number(op: type[Op]) -> str:
    """The name of the one setting that is a number; "" where there is none, or several."""
    names = [name for name, field in op.model_fields.items() if isinstance(field.default, float)]
    return names[0] if len(names) == 1 else ""


@dataclass(config=OPTIONS)
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
    def where(self) -> str:
        """The place, and the kind."""
        return f"{self.at}: {self.by}" if self.at else self.by

    @classmethod
    def kinds(cls, place: str, scenario: Scenario) -> Iterator[str]:
        """What may stand at a place."""
        yield from (kind for kind, _ in _elementwise())

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
        told = ", ".join(f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
                         for name, value in settings.items())  # fmt: skip
        return self.by.replace("_", " ") + (f" ({told})" if told else "")

    def layer(self, op: Layer) -> Layer:
        """The kind's layer, in the place of another."""
        chosen = LAYERS[self.by]
        settings = dict(chosen.examples[self.example])
        if self.value is not None:
            settings = {_number(chosen): Exact(self.value)}
        return chosen.model_construct(kind=self.by, name=op.name, inputs=op.inputs, **settings)


@dataclass(config=OPTIONS)
class OtherLayer(_ByKind):
    """Another activation stands in one's place."""

    id = "other_layer"
    sentence = "{at} is another activation"
    formula = "a = «g»(z)   (not f(z))"
    origin = "a default, a name that was mistaken, a variant: GELU by erf or by tanh, leaky ReLU for ReLU"
    every = "every activation"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Activations."""
        return [layer.name for layer in scenario.layers if is_activation(scenario, layer)]

    @classmethod
    def kinds(cls, place: str, scenario: Scenario) -> Iterator[str]:
        """All but what stands there."""
        there = {layer.kind for layer in scenario.layers if place in ("", layer.name)}
        yield from (kind for kind, _ in _elementwise() if place == "" or kind not in there)

    def says(self) -> str:
        """Which stands where."""
        return f"{self.at or 'every activation'} is {self.said()}"

    def op(self, run: Circumstances, op: Op) -> Any:
        """The other one."""
        here = self.by and isinstance(op, Layer) and self.here(op) and is_activation(run.scenario, op)
        return self.layer(op) if here else op  # type: ignore[arg-type]


@dataclass(config=OPTIONS)
class LayerLeftOut(AtLayer):
    """An activation is left out."""

    id = "layer_left_out"
    sentence = "{at} is left out"
    formula = "a = «z»   (not f(z))"
    origin = "a line that was forgotten, a model whose last activation is part of the loss in one framework"
    one = "the activation {at}"
    every = "every activation"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Activations."""
        return OtherLayer.places(scenario)

    def op(self, run: Circumstances, op: Op) -> Any:
        """What goes in comes out."""
        if not (isinstance(op, Layer) and self.here(op) and is_activation(run.scenario, op)):
            return op
        return instead(op, forward=lambda p, z: Out(z), backward=lambda p, out, d, z: Back(d), evaluate=lambda p, z: z)


@dataclass(config=OPTIONS)
class AppliedTwice(AtLayer):
    """An activation is applied twice."""

    id = "applied_twice"
    sentence = "{at} is applied twice"
    formula = "a = «f»(f(z))"
    origin = "an activation in the module and another one in its forward(), probabilities taken for logits"
    one = "the activation {at}"
    every = "every activation"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Activations."""
        return OtherLayer.places(scenario)

    def op(self, run: Circumstances, op: Op) -> Any:
        """Once more on its own output."""
        if not (isinstance(op, Layer) and self.here(op) and is_activation(run.scenario, op)):
            return op
        return followed(
            op,
            lambda a: op.forward({}, a).a,
            lambda d, a: op.backward({}, op.forward({}, a), d, a).inputs[0],
        )


@dataclass(config=OPTIONS)
class OtherDerivative(_ByKind):
    """An activation has the derivative of another one."""

    id = "other_derivative"
    sentence = "{at} has the derivative of another activation"
    formula = "∂L/∂z = d «g′»(z)   (not f′(z))"
    origin = "a hand-written derivative, an autograd function that was copied"
    every = "every activation"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Activations."""
        return OtherLayer.places(scenario)

    @classmethod
    def kinds(cls, place: str, scenario: Scenario) -> Iterator[str]:
        """All but what stands there."""
        yield from OtherLayer.kinds(place, scenario)

    @property
    def vague(self) -> bool:
        """Of numbers that are all large, or all of one sign, many functions have one derivative."""
        return True

    def says(self) -> str:
        """Whose derivative stands where."""
        return f"{self.at or 'every activation'} has the derivative of {self.said()}, not its own"

    def op(self, run: Circumstances, op: Op) -> Any:
        """Its own forward rule, and the other's backward rule."""
        if not (self.by and isinstance(op, Layer) and self.here(op) and is_activation(run.scenario, op)):
            return op
        other = self.layer(op)
        return instead(op, backward=lambda p, out, d, z: other.backward(p, other.forward(p, z), d, z))


@dataclass(config=OPTIONS)
class DerivativeAtOutput(AtLayer):
    """An activation's derivative is taken at its output, not at its input; or lacks a factor."""

    id = "derivative_at_output"
    sentence = "the derivative of {at} is wrong: {how}"
    formula = "∂L/∂z = d f′(«a»)   (not f′(z))"
    origin = "a hand-written derivative: σ′ takes z, and a (1 − a) takes the output"
    one = "the activation {at}"
    every = "every activation"

    how: How = "it is taken at the output"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Activations."""
        return OtherLayer.places(scenario)

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each way, at each place."""
        for plain in super().variants(scenario):
            yield from (cls(at=plain.at, how=how) for how in HOWS)

    @property
    def where(self) -> str:
        """Where."""
        return self.at

    def op(self, run: Circumstances, op: Op) -> Any:
        """The forward rule as it is."""
        if not (isinstance(op, Layer) and self.here(op) and is_activation(run.scenario, op)):
            return op

        def backward(p: Any, out: Out, d: Any, z: Any) -> Back:
            if self.how == HOWS[0]:
                return op.backward(p, op.forward(p, out.a), d, out.a)
            if self.how == HOWS[1]:
                return Back(d * out.a)
            if self.how == HOWS[2]:
                return Back(d * (1 - out.a))
            return op.backward(p, out, op.backward(p, out, d, z).inputs[0], z)

        return instead(op, backward=backward)


@dataclass(config=OPTIONS)
class LayerAdded(_ByKind):
    """An activation comes after a layer, though there is none."""

    id = "layer_added"
    sentence = "an activation comes after {at}"
    formula = "a = «g»(f(x))"
    origin = "a layer's argument act, an activation in the model and another one in the loss"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Layers with parameters."""
        trained = {key.partition(".")[0] for key in scenario.parameters()}
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


@dataclass(config=OPTIONS)
class OtherLoss(Change):
    """Another loss stands in the loss's place."""

    id = "other_loss"
    sentence = "the loss is {by}"
    formula = "L = «another» (ŷ, y)"
    origin = "a default, a robust variant, a name that means another loss in the other framework"

    by: str = ""
    example: int = 0

    @property
    def where(self) -> str:
        """Which."""
        return self.by

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every other of such labels; a constant's difference has a change of its own."""
        right = scenario.loss
        for kind, op in LOSSES.items():
            alike = {kind, right.kind} <= OF_SQUARES.keys()
            if kind != right.kind and op.labels == right.labels and not alike:
                yield from (cls(by=kind, example=i) for i, _ in enumerate(op.examples))

    def says(self) -> str:
        """Which it is."""
        names = {"l1": "the mean absolute error (l1)", "smooth_l1": "the smooth l1 (Huber's) loss"}
        told = "".join(f", with {name} {value:g}" for name, value in LOSSES[self.by].examples[self.example].items())
        return f"the loss is {names.get(self.by, self.by.replace('_', ' '))}{told}"

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the loss computes."""
        return of_loss(scenario)

    def op(self, run: Circumstances, op: Op) -> Any:
        """The other one."""
        if not (self.by and isinstance(op, Loss)):
            return op
        return LOSSES[self.by].model_construct(kind=self.by, **LOSSES[self.by].examples[self.example])


@dataclass(config=OPTIONS)
class RootOfLoss(Change):
    """The root of the loss is what is made small."""

    id = "root_of_loss"
    sentence = "the loss is the root of what it should be"
    formula = "L ← «√»L, and so ∂L/∂ŷ ← ∂L/∂ŷ «/ (2 √L)»"
    origin = "the root of the mean squared error, where that itself was asked for"

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the loss computes."""
        return of_loss(scenario)

    def op(self, run: Circumstances, op: Op) -> Any:
        """The root, and its derivative."""
        if not isinstance(op, Loss):
            return op
        return instead(
            op,
            value=lambda yhat, y: sqrt(op.value(yhat, y)),
            gradient=lambda yhat, y: op.gradient(yhat, y) / (2 * sqrt(op.value(yhat, y))),
        )


@dataclass(config=OPTIONS)
class OtherOptimizer(Change):
    """Another optimizer stands in the optimizer's place, with the settings that a framework gives it by default."""

    id = "other_optimizer"
    sentence = "the optimizer is {by}"
    formula = "w ← «another»(w, g)"
    origin = "the optimizer of the tutorial that the code was copied from"
    remembers = True
    rounds = True

    by: str = ""
    usual: int = 0
    alternative: str = ""
    narrow: str = ""

    @property
    def where(self) -> str:
        """Which."""
        return self.by

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every other one, with each framework's settings, by each of its definitions; in float64 also narrowly set."""
        for kind, op in OPTIMIZERS.items():
            if kind != scenario.optimizer.kind:
                numbers = [name for name, field in op.model_fields.items() if isinstance(field.default, float)]
                ways = ["", EVERY, *numbers] if scenario.dtype == "float64" else [""]
                for i, _ in enumerate(op.usual):
                    names = ["", *op.alternatives]
                    yield from (cls(kind, i, name, narrow) for name in names for narrow in ways)

    def says(self) -> str:
        """Which, with its settings."""
        op = OPTIMIZERS[self.by]
        made = self._made(1.0)
        told = ", ".join(f"{name} {value:.9g}" for name, value in made if isinstance(value, float) and name != "lr")
        other = f", which {op.alternatives[self.alternative].sentence}" if self.alternative else ""
        name = "adamw" if getattr(made, "decoupled", False) else self.by
        narrow = f", of which {self.narrow} is kept in float32" if self.narrow else ""
        return f"the optimizer is {name} ({told}){other}{narrow}"

    def _made(self, lr: float) -> Any:
        op = OPTIMIZERS[self.by]
        cls: Any = op.alternatives[self.alternative].op if self.alternative else op
        made = cls.model_construct(kind=self.by, lr=lr, **op.usual[self.usual])
        narrow = {
            name: float(np.float32(value))
            for name, value in made
            if isinstance(value, float) and self.narrow in (EVERY, name) and name != "lr"
        }
        return made.model_copy(update=narrow)

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """What the other one makes of the gradient, from slots of its own."""
        if not self.by:
            return after
        made, slots = self._made(run.lr), run.memory.get(key)
        if slots is None:
            slots = {slot: np.zeros(run.inputs.weights[key].shape) for slot in made.slots()}
        slots = {slot: run.held(values, w) for slot, values in slots.items()}
        changed, kept = made.update(w, g, slots, run.rate, run.count)
        run.memory[key] = {slot: run.plain(values) for slot, values in kept.items()}
        return changed
