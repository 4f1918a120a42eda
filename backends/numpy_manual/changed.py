"""How does a training step run with a change of the rules? What `changes.Change` overrides takes hold here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from isograd.backend import Session
from isograd.backends.numpy_manual import NumpyBackend, NumpySession
from isograd.backends.numpy_manual.arithmetic import Arithmetic, make_arithmetic
from isograd.backends.numpy_manual.changes import Change, Circumstances
from isograd.backends.numpy_manual.rules import Gradients
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Inputs
from isograd.scenario import Scenario


@dataclass(frozen=True)
class Known:
    """A step by the rules up to its gradients.

    Attributes:
        seen: its quantities so far.
        gradients: of each layer.
    """

    seen: Mapping[str, Array]
    gradients: Mapping[str, Gradients]


class ChangedSession(NumpySession):
    """The rules with a change.

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
        self.change, self.outside = change, outside
        self.known: Known | None = None
        self.run = Circumstances(scenario, inputs)
        chosen = arithmetic or change.arithmetic() or "float64"
        chosen = make_arithmetic(chosen) if isinstance(chosen, str) else chosen
        super().__init__(scenario, inputs, chosen, np.dtype(np.float64))
        if change.arithmetic():  # what is narrow is the computation, not the constant that it was given
            self.lr = inputs.lr
        self.run.lr = self.lr = self._rounded(change.rate(self.lr)) if rounded else change.rate(self.lr)
        kinds = {layer.name: layer.kind for layer in scenario.layers}
        self.rules = [(name, change.layer(self.run, name, kinds[name], rule)) for name, rule in self.rules]
        self.loss = change.loss(self.run, self.loss)

    def _rounded(self, lr: Any) -> Any:
        narrow = float(FORMATS[self.run.scenario.dtype].dtype.type(float(lr)))
        return lr if self.arithmetic.exact or narrow == lr else self.arithmetic.constant(narrow)

    def load(self, state: Mapping[str, Array]) -> None:
        """Take the parameters over, changed."""
        super().load(self.change.loaded(self.run, state) if self.outside and self.run.loads else state)

    def step(self, x: Array, y: Array) -> Mapping[str, Array]:
        """One step, changed."""
        x, y = self.run.batch(self.change) if self.outside else (x, y)
        seen = self.change.returned(self.run, dict(super().step(x, y)))
        self.run.step += 1
        return seen

    def walk(self, x: Array, y: Array) -> Iterator[tuple[str, Array]]:
        """One step; where it is known up to its gradients, from there on: a change of updates leaves that as it is."""
        if self.known is None:
            yield from super().walk(x, y)
            return
        yield "lr", self.lr
        yield from self.known.seen.items()
        yield from self.trained({layer: dict(of) for layer, of in self.known.gradients.items()})

    def gradients(self, gradients: dict[str, Gradients]) -> dict[str, Gradients]:
        """The gradients, changed."""
        flat = {f"{layer}.{param}": g for layer, of in gradients.items() for param, g in of.items()}
        changed = self.change.gradients(self.run, flat)
        return {layer: {param: changed[f"{layer}.{param}"] for param in of} for layer, of in gradients.items()}

    def updated(self, key: str, w: Any, g: Any) -> Any:
        """A parameter after the update, changed."""
        return self.change.updated(self.run, key, w, g, super().updated(key, w, g))


class KnownSession(NumpySession):
    """The rules, remembering each step up to its gradients."""

    def known(self, x: Array, y: Array) -> Known:
        """One step, up to its gradients."""
        seen = {name: value for name, value in self.walk(x, y) if name.startswith(("forward/", "loss", "backward/"))}
        return Known(seen, self.kept)

    def gradients(self, gradients: dict[str, Gradients]) -> dict[str, Gradients]:
        """As they are; the update takes them out of what it is given."""
        self.kept = {layer: dict(of) for layer, of in gradients.items()}
        return gradients


class ChangedBackend(NumpyBackend):
    """The rules with a change, in float64 and told so: what the change does alone."""

    def __init__(self, change: Change) -> None:
        super().__init__("float64", rounded=False)
        self.change = change

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The changed rules."""
        return ChangedSession(scenario, inputs, self.change)
