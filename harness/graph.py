"""How does a training step go over any graph of operations? Forward, loss, backward, update: the only walk there is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, NamedTuple

from isograd.arithmetic.numbers import Arithmetic, Exact
from isograd.arithmetic.words import Marked
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Batch, Inputs
from isograd.ops.op import Clipping, Layer, Loss, Optimizer
from isograd.scenario import SAMPLES, Own, Scenario
from isograd.spec import remembered

Values = dict[str, Any]
"""Numbers of the run's arithmetic, by name."""

Walk = Iterator[tuple[str, Any]]
"""A step's quantities in the order in which they are computed, so that nobody has to hold them all."""


class Node(NamedTuple):
    """A layer in a graph, with the names of its quantities: made once, since a step of a small graph is mostly names.

    Attributes:
        layer: the layer.
        name: its name.
        feeds: what feeds it.
        forward: its output's quantity.
        backward: its output's gradient's quantity.
        passes: of what feeds it those to which gradients go on, with their places: all but the samples.
        shared: by name, the parameters that it shares, and whose they are.
    """

    layer: Layer
    name: str
    feeds: tuple[str, ...]
    forward: str
    backward: str
    passes: tuple[tuple[int, str], ...]
    shared: Mapping[str, str]


@dataclass(frozen=True)
class Graph:
    """A scenario's operations, each of which a change may have put another in the place of.

    Attributes:
        layers: in an order in which each comes after those that feed it.
        feeds: for each the nodes that feed it; "x" are the samples.
        loss: of the last layer's output.
        optimizer: of every parameter.
        clipping: of the gradients, before the optimizer has them; None: none.
        own: what other parameters than most are updated by.
        shared: parameters that are another layer's, and whose.
        evaluates: whether each step ends with the batch in evaluation mode.
    """

    layers: tuple[Layer, ...]
    feeds: Mapping[str, tuple[str, ...]]
    loss: Loss
    optimizer: Optimizer
    evaluates: bool = False
    clipping: Clipping | None = None
    own: Mapping[str, Own] = field(default_factory=dict)
    shared: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, scenario: Scenario) -> Graph:
        """The graph as the scenario has it."""
        return _graph(scenario)

    @cached_property
    def last(self) -> str:
        """The layer whose output the loss sees."""
        return self.layers[-1].name

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every layer with its names."""
        return tuple(self._node(layer, layer.name, self.feeds[layer.name]) for layer in self.layers)

    def _node(self, layer: Layer, name: str, feeds: tuple[str, ...]) -> Node:
        passes = tuple((i, feed) for i, feed in enumerate(feeds) if feed != SAMPLES)
        shared = {key.partition(".")[2]: of for key, of in self.shared.items() if key.partition(".")[0] == name}
        return Node(layer, name, feeds, f"forward/{name}", f"backward/{name}", passes, shared)


@lru_cache(maxsize=2**14)
def _names(key: str) -> tuple[str, str, str, str]:
    """A parameter's layer, its name there, and its gradient's and its own quantity."""
    layer, _, param = key.partition(".")
    return layer, param, f"grad/{key}", f"weight/{key}"


@remembered
def _graph(scenario: Scenario) -> Graph:
    ops = (scenario.layers, scenario.feeds(), scenario.loss, scenario.optimizer)
    return Graph(*ops, scenario.evaluate, scenario.clipping, scenario.own(), scenario.shared)


@dataclass(frozen=True)
class Hooks:
    """Where hands can be laid on a step; None: nowhere.

    Attributes:
        see: is shown each quantity as it is computed, by its name, and gives what is passed on and reported.
        gradients: is shown all parameters' gradients together, and gives what is reported and what updates get.
        used: is shown a parameter and its gradient, and gives what the update uses for it.
        updated: is shown a parameter, its gradient, and the parameter after the update, and gives the latter.
    """

    see: Callable[[str, Any], Any] | None = None
    gradients: Callable[[Values], Values] | None = None
    used: Callable[[str, Any, Any], Any] | None = None
    updated: Callable[[str, Any, Any, Any], Any] | None = None


@dataclass
class Training:
    """One training of a graph in one arithmetic.

    Attributes:
        graph: what is trained.
        arithmetic: what it is computed in.
        hooks: hands that are laid on each step.
        params: each layer's parameters and buffers, in the arithmetic.
        slots: each parameter's slots of the optimizer, likewise.
        clipped: what the optimizer is given for a gradient of this step.
    """

    graph: Graph
    arithmetic: Arithmetic
    hooks: Hooks = Hooks()
    params: dict[str, Values] = field(default_factory=dict)
    slots: dict[str, Values] = field(default_factory=dict)
    clipped: Callable[[Any], Any] = field(default=lambda g: g)

    def clip(self, gradients: Mapping[str, Any]) -> None:
        """What comes is clipped by these, which are all of a step."""
        some = self.graph.clipping and gradients
        self.clipped = self.graph.clipping.of([*gradients.values()]) if some else lambda g: g  # type: ignore[union-attr]

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
        buffers: dict[str, Values] = {}
        rate, see = self.arithmetic.scalar(lr), self.hooks.see
        parts: list[Iterable[tuple[str, Any]]] = [
            (("lr", see("lr", rate) if see else rate),),
            self.gradients(batch, gradients, buffers, steps),
            self.update(gradients, rate, t, buffers),
        ]
        if self.graph.evaluates:
            parts.append(self.evaluated(batch, steps))
        return chain.from_iterable(parts)

    def gradients(self, batch: Batch, gradients: Values, buffers: dict[str, Values], steps: bool = False) -> Walk:
        """Forward and backward; each parameter's gradient is put into ``gradients``, each layer's new buffers likewise.

        ∂loss/∂ each layer's output is summed over those that take it, the last of them first.
        """
        y, values = self.arithmetic.array(batch.y, steps), {SAMPLES: self.arithmetic.array(batch.x, steps)}
        see, loss, value_of, done = self.hooks.see, self.graph.loss, values.__getitem__, []
        for node in self.graph.nodes:
            params, x = self._of(node), [*map(value_of, node.feeds)]
            out = node.layer.forward(params, *x)
            a = out.a
            if see and (seen := see(node.forward, a)) is not a:
                out, a = out._replace(a=seen), seen
            values[node.name] = a
            done.append((node, params, x, out))
            yield node.forward, a
        last = values[self.graph.last]
        value = loss.value(last, y)
        yield "loss", see("loss", value) if see else value
        above = {self.graph.last: loss.gradient(last, y)}
        while done:
            (layer, name, _, _, backward, passes, shared), params, x, out = done.pop()
            d = above.pop(name)
            if see:
                d = see(backward, d)
            yield backward, d
            back = layer.backward(params, out, d, *x)
            for i, feed in passes:
                dx = back.inputs[i]
                above[feed] = above[feed] + dx if feed in above else dx
            for param, g in back.params.items():
                key = shared.get(param) or f"{name}.{param}"
                gradients[key] = gradients[key] + g if key in gradients else g
            if out.buffers:
                buffers[name] = dict(out.buffers)
            del values[name]  # those that take it come after it, and are done

    def update(self, gradients: Values, rate: Any, t: Any, buffers: Mapping[str, Values]) -> Walk:
        """The end of a training step: gradients, and what becomes of slots, parameters and buffers.

        Args:
            gradients: of each parameter; none is left there.
            rate: the learning rate, in the arithmetic.
            t: the number of the step, counted from 0.
            buffers: each layer's new ones.
        """
        count = self.arithmetic.count(t + 1)
        hooks, see, all_slots = self.hooks, self.hooks.see, self.slots
        gradients = hooks.gradients(gradients) if hooks.gradients else gradients
        for key, g in gradients.items():  # all of them, before the first is used: they may be clipped together
            name = _names(key)[2]
            gradients[key] = see(name, g) if see else g
            yield name, gradients[key]
        self.clip(gradients)
        for key in list(gradients):
            layer, param, _, name = _names(key)
            g = gradients.pop(key)
            params = self.params[layer]
            w, kept = params[param], all_slots.get(key, {})
            given = self.clipped(g)
            used = hooks.used(key, w, given) if hooks.used else given
            after, slots = self._updated(key, w, used, kept, rate, count)
            if hooks.updated:
                after = hooks.updated(key, w, g, after)
            for slot, value in slots.items():
                kept[slot] = see(f"state/{key}.{slot}", value) if see else value
                yield f"state/{key}.{slot}", kept[slot]
            after = params[param] = see(name, after) if see else after
            yield name, after
        for layer in (node.name for node in self.graph.nodes if node.name in buffers):
            for buffer, value in buffers[layer].items():
                name = f"buffer/{layer}.{buffer}"
                self.params[layer][buffer] = see(name, value) if see else value
                yield name, self.params[layer][buffer]

    def updating(self, lr: Any, t: Any) -> Callable[[str, Any, Any], Any]:
        """What the optimizer makes of a parameter and a gradient at a step, without consequences."""
        rate, count = self.arithmetic.scalar(lr), self.arithmetic.count(t + 1)
        owner = self.graph.shared

        def updated(key: str, w: Any, g: Any) -> Any:
            key = owner.get(key, key)
            return self._updated(key, w, self.clipped(g), self.slots.get(key, {}), rate, count)[0]

        return updated

    def _updated(self, key: str, w: Any, g: Any, slots: Values, rate: Any, count: Any) -> tuple[Any, Mapping[str, Any]]:
        """A parameter and its slots after an update, by its own optimizer and at its own rate if it is in a group."""
        own = self.graph.own.get(key)
        if own is None:
            return self.graph.optimizer.update(w, g, slots, rate, count)
        factor = Exact(own.rate) if isinstance(rate, Marked) else own.rate  # which no dtype rounds: the product is
        return own.optimizer.update(w, g, slots, rate if own.rate == 1 else rate * factor, count)

    def _of(self, node: Node) -> Values:
        """A layer's parameters and buffers, with those that are another's."""
        own = self.params[node.name]
        return own | {param: self.parameter(key) for param, key in node.shared.items()} if node.shared else own

    def parameter(self, key: str) -> Any:
        """A parameter as it is, by "layer.param"."""
        layer, _, param = self.graph.shared.get(key, key).partition(".")
        return self.params[layer][param]

    def again(self, batch: Batch) -> Walk:
        """Outputs and loss of a batch by the parameters as they are, without consequences."""
        values: Values = {SAMPLES: self.arithmetic.array(batch.x)}
        for node in self.graph.nodes:
            values[node.name] = node.layer.forward(self._of(node), *[values[feed] for feed in node.feeds]).a
            yield node.forward, values[node.name]
        yield "loss", self.graph.loss.value(values[self.graph.last], self.arithmetic.array(batch.y))

    def evaluated(self, batch: Batch, steps: bool = False) -> Walk:
        """The batch in evaluation mode, with what the update has left; nothing, where that was not asked for."""
        if not self.graph.evaluates:
            return
        values, see = {SAMPLES: self.arithmetic.array(batch.x, steps)}, self.hooks.see
        for node in self.graph.nodes:
            name = node.name
            a = node.layer.evaluate(self._of(node), *[values[feed] for feed in node.feeds])
            values[name] = see(f"eval/{name}", a) if see else a
            yield f"eval/{name}", values[name]
        loss = self.graph.loss.value(values[self.graph.last], self.arithmetic.array(batch.y, steps))
        yield "eval_loss", see("eval_loss", loss) if see else loss


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
