"""How does a training step go over any graph of operations? Forward, loss, backward, update: the only walk there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from isograd.arithmetic.numbers import Arithmetic
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Batch, Inputs
from isograd.ops.op import Layer, Loss, Optimizer, Out
from isograd.scenario import SAMPLES, Scenario
from isograd.spec import remembered

Values = dict[str, Any]
"""Numbers of the run's arithmetic, by name."""

Walk = Iterator[tuple[str, Any]]
"""A step's quantities in the order in which they are computed, so that nobody has to hold them all."""


@dataclass(frozen=True)
class Graph:
    """A scenario's operations, each of which a change may have put another in the place of.

    Attributes:
        layers: in an order in which each comes after those that feed it.
        feeds: for each the nodes that feed it; "x" are the samples.
        loss: of the last layer's output.
        optimizer: of every parameter.
        evaluates: whether each step ends with the batch in evaluation mode.
    """

    layers: tuple[Layer, ...]
    feeds: Mapping[str, tuple[str, ...]]
    loss: Loss
    optimizer: Optimizer
    evaluates: bool = False

    @classmethod
    def of(cls, scenario: Scenario) -> Graph:
        """The graph as the scenario has it."""
        return cls(scenario.layers, scenario.feeds(), scenario.loss, scenario.optimizer, scenario.evaluate)

    @property
    def last(self) -> str:
        """The layer whose output the loss sees."""
        return self.layers[-1].name


def passed_on(name: str, value: Any) -> Any:
    """A quantity as it is."""
    return value


@dataclass(frozen=True)
class Hooks:
    """Where hands can be laid on a step.

    Attributes:
        see: is shown each quantity as it is computed, by its name, and gives what is passed on and told.
        gradients: is shown all parameters' gradients together, and gives what is told and what updates get.
        used: is shown a parameter and its gradient, and gives what the update uses for it.
        updated: is shown a parameter, its gradient, and the parameter after the update, and gives the latter.
    """

    see: Callable[[str, Any], Any] = passed_on
    gradients: Callable[[Values], Values] = lambda g: g
    used: Callable[[str, Any, Any], Any] = lambda key, w, g: g
    updated: Callable[[str, Any, Any, Any], Any] = lambda key, w, g, after: after


@dataclass
class Training:
    """One training of a graph in one arithmetic.

    Attributes:
        graph: what is trained.
        arithmetic: what it is computed in.
        hooks: hands that are laid on each step.
        params: each layer's parameters and buffers, in the arithmetic.
        slots: each parameter's slots of the optimizer, likewise.
    """

    graph: Graph
    arithmetic: Arithmetic
    hooks: Hooks = Hooks()
    params: dict[str, Values] = field(default_factory=dict)
    slots: dict[str, Values] = field(default_factory=dict)

    def load(self, state: Mapping[str, Array], steps: bool = False) -> None:
        """Take a state over: weights, slots and buffers.

        Args:
            state: by quantity, as `isograd.inputs.state_of` names them.
            steps: each has a leading axis of steps, which run side by side.
        """
        self.params = {layer.name: {} for layer in self.graph.layers}
        self.slots = {}
        for name, value in state.items():
            kind, _, key = name.partition("/")
            taken = self.arithmetic.array(value, steps)
            if kind == "state":
                key, _, slot = key.rpartition(".")
                self.slots.setdefault(key, {})[slot] = taken
            else:
                layer, _, param = key.partition(".")
                self.params[layer][param] = taken

    def step(self, batch: Batch, lr: Any, t: Any, steps: bool = False) -> Walk:
        """One step, quantity by quantity. Not to be left early.

        Args:
            batch: samples and labels.
            lr: the learning rate; of several steps one each.
            t: the number of the step, counted from 0; likewise.
            steps: as for `load`.
        """
        gradients: Values = {}
        outs: dict[str, Out] = {}
        yield from self.gradients(batch, lr, gradients, outs, steps)
        yield from self.update(gradients, lr, t, outs)
        yield from self.evaluated(batch, steps)

    def _taken(self, batch: Batch, steps: bool) -> Batch:
        return Batch(self.arithmetic.array(batch.x, steps), self.arithmetic.array(batch.y, steps))

    def gradients(self, batch: Batch, lr: Any, gradients: Values, outs: dict[str, Out], steps: bool = False) -> Walk:
        """The step up to its gradients, which are put into ``gradients``, and each layer's output into ``outs``."""
        x, y = self._taken(batch, steps)
        yield "lr", self.hooks.see("lr", self.arithmetic.scalar(lr))
        values: Values = {SAMPLES: x}
        for layer in self.graph.layers:
            out = layer.forward(self.params[layer.name], *self._feeds(layer, values))
            name = f"forward/{layer.name}"
            a = values[layer.name] = self.hooks.see(name, out.a)
            outs[layer.name] = out if a is out.a else out._replace(a=a)
            yield name, a
        yield "loss", self.hooks.see("loss", self.graph.loss.value(values[self.graph.last], y))
        yield from self._backward(values, outs, y, gradients)

    def _feeds(self, layer: Layer, values: Values) -> list[Any]:
        return [values[name] for name in self.graph.feeds[layer.name]]

    def _backward(self, values: Values, outs: dict[str, Out], y: Any, gradients: Values) -> Walk:
        """∂loss/∂ each layer's output, last first: summed over those that take it, the last of them first."""
        graph, see = self.graph, self.hooks.see
        above = {graph.last: graph.loss.gradient(values[graph.last], y)}
        for layer in reversed(graph.layers):
            name = layer.name
            d = see(f"backward/{name}", above.pop(name))
            yield f"backward/{name}", d
            feeds, out = graph.feeds[name], outs[name]
            back = layer.backward(self.params[name], out, d, *[values[feed] for feed in feeds])
            for feed, dx in zip(feeds, back.inputs, strict=True):
                if feed != SAMPLES:
                    above[feed] = above[feed] + dx if feed in above else dx
            for param, g in back.params.items():
                gradients[f"{name}.{param}"] = g
            del values[name]  # those that take it come after it, and are done
            outs[name] = Out(None, None, out.buffers)

    def update(self, gradients: Values, lr: Any, t: Any, outs: Mapping[str, Out]) -> Walk:
        """The end of a training step: gradients, and what becomes of slots, parameters and buffers."""
        rate, count = self.arithmetic.scalar(lr), self.arithmetic.count(t + 1)
        gradients = self.hooks.gradients(gradients)
        for key in list(gradients):
            layer, _, param = key.partition(".")
            g = self.hooks.see(f"grad/{key}", gradients.pop(key))
            yield f"grad/{key}", g
            w = self.params[layer][param]
            used = self.hooks.used(key, w, g)
            after, slots = self.graph.optimizer.update(w, used, self.slots.get(key, {}), rate, count)
            after = self.hooks.updated(key, w, g, after)
            for slot, value in slots.items():
                self.slots[key][slot] = self.hooks.see(f"state/{key}.{slot}", value)
                yield f"state/{key}.{slot}", self.slots[key][slot]
            self.params[layer][param] = self.hooks.see(f"weight/{key}", after)
            yield f"weight/{key}", self.params[layer][param]
        for layer, out in outs.items():
            for name, value in out.buffers.items():
                self.params[layer][name] = self.hooks.see(f"buffer/{layer}.{name}", value)
                yield f"buffer/{layer}.{name}", self.params[layer][name]

    def updating(self, lr: Any, t: Any) -> Callable[[str, Any, Any], Any]:
        """What the optimizer makes of a parameter and a gradient at a step, without consequences."""
        rate, count = self.arithmetic.scalar(lr), self.arithmetic.count(t + 1)
        return lambda key, w, g: self.graph.optimizer.update(w, g, self.slots.get(key, {}), rate, count)[0]

    def evaluated(self, batch: Batch, steps: bool = False) -> Walk:
        """The batch in evaluation mode, with what the update has left; nothing, where that was not asked for."""
        if not self.graph.evaluates:
            return
        x, y = self._taken(batch, steps)
        values: Values = {SAMPLES: x}
        for layer in self.graph.layers:
            a = layer.evaluate(self.params[layer.name], *self._feeds(layer, values))
            values[layer.name] = self.hooks.see(f"eval/{layer.name}", a)
            yield f"eval/{layer.name}", values[layer.name]
        yield "eval_loss", self.hooks.see("eval_loss", self.graph.loss.value(values[self.graph.last], y))


@remembered
def narrows(scenario: Scenario) -> bool:
    """Whether some setting of an operation is another number in the scenario's dtype, in which kernels take it."""
    to = FORMATS[scenario.dtype if FORMATS[scenario.dtype].accumulates else "float32"].dtype.type
    numbers = [value for op in scenario.ops for name, value in op if isinstance(value, float) and name != "lr"]
    return any(float(to(value)) != value for value in numbers)


def training(
    scenario: Scenario, inputs: Inputs, arithmetic: Arithmetic, graph: Graph | None = None, hooks: Hooks | None = None
) -> Training:
    """A training of a scenario from its initial state; of ``graph`` where a change has altered it."""
    made = Training(graph or Graph.of(scenario), arithmetic, hooks or Hooks())
    made.load(inputs.initial)
    return made
