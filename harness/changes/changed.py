"""How does a training step run with a change? What `isograd.changes.change.Change` overrides takes hold here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isograd.arithmetic import make_arithmetic
from isograd.arithmetic.numbers import Arithmetic
from isograd.arithmetic.words import Marked
from isograd.backend import Session
from isograd.changes.change import Change, Circumstances, Values
from isograd.dtypes import FORMATS
from isograd.graph import Graph, Hooks, Training, narrows
from isograd.inputs import Array, Batch, Inputs
from isograd.ops.op import Optimizer
from isograd.rules import Rules
from isograd.scenario import Own, Scenario


@dataclass(frozen=True)
class Known:
    """A step by the rules up to its gradients.

    Attributes:
        seen: its quantities so far.
        gradients: of each parameter.
        buffers: each layer's new ones.
    """

    seen: Mapping[str, Array]
    gradients: Mapping[str, Any]
    buffers: Mapping[str, Values]


class ChangedSession(Session):
    """The rules with a change; it begins with a `load`.

    Args:
        scenario: what is run.
        inputs: its numbers.
        change: what is different.
        arithmetic: the arithmetic to compute in, or its name; None: the change's own, or float64.
        outside: the change's batches and states too; without, they come changed already.
        rounded: a changed learning rate is rounded to the scenario's dtype, as any constant is.
    """

    def __init__(
        self,
        scenario: Scenario,
        inputs: Inputs,
        change: Change,
        arithmetic: str | Arithmetic | None = None,
        outside: bool = True,
        rounded: bool = True,
    ) -> None:
        self.change, self.outside, self.rounded = change, outside, rounded
        self.known: Known | None = None
        self.run = Circumstances(scenario, inputs)
        chosen = arithmetic or change.arithmetic() or "float64"
        chosen = make_arithmetic(chosen, scenario.dtype, narrows(scenario)) if isinstance(chosen, str) else chosen
        hooks = Hooks(gradients=self._gradients, used=self._used, updated=self._updated)
        self.training = Training(self._graph(), chosen, hooks)
        self.alters_batches = outside and change.alters_batches

    def _graph(self) -> Graph:
        """The scenario's graph, with what the change puts in the operations' places."""
        graph, run = Graph.of(self.run.scenario), self.run
        layers = tuple(self.change.op(run, layer) for layer in graph.layers)
        loss, optimizer = self.change.op(run, graph.loss), self.change.op(run, graph.optimizer)
        clipping = graph.clipping and self.change.op(run, graph.clipping)
        before = (*graph.layers, graph.loss, graph.optimizer, graph.clipping)
        after = (*layers, loss, optimizer, clipping)
        own = {key: self._own(key, of) for key, of in graph.own.items()}
        if all(a is b for a, b in zip((*before, *graph.own.values()), (*after, *own.values()), strict=True)):
            return graph
        ops: dict[str, Any] = {"layers": layers, "loss": loss, "optimizer": optimizer, "clipping": clipping}
        return replace(graph, **ops, own={key: of for key, of in own.items() if of})

    def _own(self, key: str, own: Own) -> Own | None:
        """What updates a parameter of a group, changed; the settings that the group has alone it keeps."""
        op, settings = self.change.op(self.run, own.optimizer), own.group.settings
        if op is not own.optimizer and isinstance(op, Optimizer):
            kept = {name: getattr(own.optimizer, name) for name in settings if name in type(op).model_fields}
            op = op.model_copy(update=kept)
        return self.change.own(self.run, key, own if op is own.optimizer else own._replace(optimizer=op))

    # What a change does to gradients and updates has no rounding of its own: it is given plain arrays, with the axes of
    # runs and steps leading. Otherwise two changes would be allowed more rounding than one, and a second that does
    # nothing would help.

    def _gradients(self, gradients: Values) -> Values:
        if type(self.change).gradients is Change.gradients:
            return gradients
        plain, held = self.training.arithmetic.plain, self.training.arithmetic.held
        changed = self.change.gradients(self.run, {key: plain(g) for key, g in gradients.items()})
        return {key: held(_of_rank(g, plain(gradients[key]))) for key, g in changed.items()}

    def _used(self, key: str, w: Any, g: Any) -> Any:
        if type(self.change).used is Change.used:
            return g
        plain, held = self.training.arithmetic.plain, self.training.arithmetic.held
        return held(_of_rank(self.change.used(self.run, key, plain(w), plain(g)), plain(g)))

    def _updated(self, key: str, w: Any, g: Any, after: Any) -> Any:
        if type(self.change).updated is Change.updated:
            return after
        if self.change.rounds:
            return self.change.updated(self.run, key, w, g, after)
        plain, held = self.training.arithmetic.plain, self.training.arithmetic.held
        changed = self.change.updated(self.run, key, plain(w), plain(g), plain(after))
        return held(_of_rank(changed, plain(after)))

    def _plain(self, values: Any) -> Array:
        return np.asarray(self.training.arithmetic.plain(values) if isinstance(values, Marked) else values)

    def _held(self, values: Array, like: Any) -> Any:
        arithmetic = self.training.arithmetic
        return arithmetic.held(_of_rank(values, arithmetic.plain(like))) if isinstance(like, Marked) else values

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        """Take the state over, changed."""
        self.run.step = t
        self.training.load(self.change.loaded(self.run, state) if self.outside and self.run.loads else state)

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        """One step, changed; plain arrays, with the axes of runs and steps where the arithmetic has some."""
        return self.change.returned(self.run, dict(self.walk(t, batch)))

    def walk(self, t: int, batch: Batch) -> Iterator[tuple[str, Array]]:
        """The same, quantity by quantity, as they are computed."""
        self.run.step = t
        batch = self.run.batch(self.change) if self.alters_batches else batch
        plain = self.training.arithmetic.plain
        yield from ((name, plain(value)) for name, value in self._walk(t, batch))

    def _walk(self, t: int, batch: Batch) -> Iterator[tuple[str, Any]]:
        """One step; where it is known up to its gradients, from there on: a change of updates leaves that as it is."""
        lr = self._rate(t)
        run, training = self.run, self.training
        run.update, run.lr, run.plain, run.held = training.updating(lr, t), lr, self._plain, self._held
        run.parameter, run.again = training.parameter, lambda: dict(training.again(batch))
        run.elsewhere = lambda params: self._elsewhere(params, batch)
        if self.known is None:
            yield from self.training.step(batch, lr, t)
            return
        rate = training.arithmetic.scalar(lr)
        yield "lr", rate
        yield from self.known.seen.items()
        yield from training.update(dict(self.known.gradients), rate, t, self.known.buffers)
        yield from training.evaluated(batch)

    def _elsewhere(self, params: Values, batch: Batch) -> Values:
        """The gradients at other parameters; the training goes on from its own."""
        training, plain = self.training, self.training.arithmetic.plain
        own = training.params
        training.params = {layer: dict(of) for layer, of in own.items()}
        gradients: Values = {}
        try:
            for key, value in params.items():
                layer, _, param = key.partition(".")
                training.params[layer][param] = self._held(value, own[layer][param])
            for _ in training.gradients(batch, gradients, {}):
                pass
        finally:
            training.params = own
        return {key: plain(g) for key, g in gradients.items()}

    def _rate(self, t: int) -> float:
        """The learning rate, changed; what is narrow is the computation, not the constant that it was given."""
        lr = float(self.run.inputs.lr[t])
        changed = self.change.rate(self.run, lr)
        if not self.rounded or changed == lr:
            return changed
        return float(FORMATS[self.run.scenario.dtype].dtype.type(changed))


def _of_rank(value: Any, like: Array) -> Array:
    """With as many leading axes as another: what a change remembers of steps without noise has no runs."""
    values = np.asarray(value)
    return values.reshape((1,) * (like.ndim - values.ndim) + values.shape)


def known(training: Training, batch: Batch) -> Known:
    """One step by the rules, up to its gradients."""
    kept: Values = {}
    buffers: dict[str, Values] = {}
    plain = training.arithmetic.plain
    seen = {name: plain(value) for name, value in training.gradients(batch, kept, buffers)}
    return Known(seen, kept, buffers)


class ChangedBackend(Rules):
    """The rules with a change, in float64, and reported so: what the change does alone."""

    def __init__(self, change: Change) -> None:
        super().__init__("float64")
        self.change = change

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The changed rules."""
        session = ChangedSession(scenario, inputs, self.change)
        session.load(0, inputs.initial)
        return _Plain(session)


class _Plain(Session):
    """What a changed session gives, as float64."""

    def __init__(self, inner: ChangedSession) -> None:
        self.inner = inner

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        """As the session does."""
        self.inner.load(t, state)

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        """As the session does."""
        return {name: np.asarray(value, np.float64) for name, value in self.inner.step(t, batch).items()}
