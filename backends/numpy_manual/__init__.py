"""How does NumPy run a scenario? The rules by hand, in the order of a training step; also the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from isograd.backend import Backend, Session
from isograd.backends.numpy_manual.arithmetic import Arithmetic, make_arithmetic
from isograd.backends.numpy_manual.rules import LAYERS, LOSSES, OPTIMIZERS, Gradients
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Inputs
from isograd.scenario import Scenario


class NumpyBackend(Backend):
    """Forward and backward by hand, in the scenario's dtype or in the ``arithmetic`` that its name gives.

    Args:
        arithmetic: float16, bfloat16, tf32, float32, float64, extended (the machine's long double), mp50 (50 digits),
            rational (exact, from the decimal digits that a person wrote; not for sigmoid), exact (from the scenario's
            dtype's own numbers), or one made.
        rounded: return every quantity rounded to the scenario's dtype; the reference returns what it has.
    """

    distribution = "numpy"
    layers = LAYERS
    losses = LOSSES
    optimizers = OPTIMIZERS
    dtypes = FORMATS

    def __init__(self, arithmetic: str | Arithmetic | None = None, rounded: bool = True) -> None:
        self.arithmetic = make_arithmetic(arithmetic) if isinstance(arithmetic, str) and arithmetic else arithmetic
        self.rounded = rounded

    def environment(self) -> dict[str, str]:
        """NumPy's version, and the arithmetic where it is not the scenario's dtype."""
        arithmetic = {"arithmetic": self.arithmetic.name} if isinstance(self.arithmetic, Arithmetic) else {}
        return {"numpy": np.__version__, "device": "cpu", **arithmetic}

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The scenario's rules, in order."""
        arithmetic = self.arithmetic or make_arithmetic(scenario.dtype)
        dtype = np.dtype(scenario.dtype) if self.rounded else np.dtype(np.float64)
        return NumpySession(scenario, inputs, arithmetic, dtype)

    def missing(self, scenario: Scenario) -> list[str]:
        """Also the layers that rationals cannot run."""
        exact = isinstance(self.arithmetic, Arithmetic) and self.arithmetic.exact
        inexact = [f"layer {y.kind} in rationals" for y in scenario.layers if exact and not LAYERS[y.kind].exact]
        return super().missing(scenario) + list(dict.fromkeys(inexact))


class NumpySession(Session):
    """A step is a walk forward over the layers, a walk back, and an update."""

    def __init__(self, scenario: Scenario, inputs: Inputs, arithmetic: Arithmetic, dtype: np.dtype[Any]) -> None:
        self.arithmetic = arithmetic
        self.dtype = dtype
        self.convert = arithmetic.dtype != dtype or arithmetic.rounding is not None
        self.rules = [(layer.name, LAYERS[layer.kind]) for layer in scenario.layers]
        self.loss = LOSSES[scenario.loss.kind]
        self.update = OPTIMIZERS[scenario.optimizer.kind]
        self.lr = arithmetic.constant(inputs.lr)
        narrow = FORMATS[scenario.dtype].dtype.type if arithmetic.rounds else float  # the same constants for all
        self.p: dict[str, dict[str, Any]] = {
            layer.name: {
                key: arithmetic.constant(float(narrow(value))) for key, value in layer if isinstance(value, float)
            }
            for layer in scenario.layers
        }
        self.load(inputs.initial)

    def load(self, state: Mapping[str, Array]) -> None:
        """Take the parameters over into this session's arithmetic."""
        for name, value in state.items():
            layer, _, param = name.partition(".")
            self.p[layer][param] = self.arithmetic.array(value)

    def step(self, x: Array, y: Array) -> Mapping[str, Array]:
        """One step, by the rules."""
        return dict(self.walk(x, y))

    def walk(self, x: Array, y: Array) -> Iterator[tuple[str, Array]]:
        """One step, quantity by quantity as they are computed: so nobody has to hold them all. Not to be left early."""
        told = self._told if self.convert else _as_it_is
        if self.convert:
            x, y = self.arithmetic.array(x), self.arithmetic.array(y)
        yield "lr", told(self.lr)
        values = [x]
        for name, rule in self.rules:
            values.append(rule.forward(self.p[name], values[-1]))
            yield "forward/" + name, told(values[-1])
        yield "loss", told(self.loss.value(values[-1], y))

        gradients = {}
        d = self.loss.gradient(values[-1], y)
        for i in range(len(self.rules) - 1, -1, -1):
            name, rule = self.rules[i]
            yield "backward/" + name, told(d)
            d, gradients[name] = rule.backward(self.p[name], values[i], values[i + 1], d)
        yield from self.trained(gradients)

    def trained(self, gradients: dict[str, Gradients]) -> Iterator[tuple[str, Array]]:
        """The end of a step: each parameter's gradient, and what the update makes of it."""
        told = self._told if self.convert else _as_it_is
        gradients = self.gradients(gradients)
        for name in list(gradients):
            p, grads = self.p[name], gradients.pop(name)
            for param, g in grads.items():
                key = f"{name}.{param}"
                yield "grad/" + key, told(g)
                p[param] = self.updated(key, p[param], g)
                yield "weight/" + key, told(p[param])

    def _told(self, value: Any) -> Array:
        """A quantity in the dtype that is told; fractions and 50 digits by way of float64."""
        plain = np.asarray(value, np.float64) if self.arithmetic.dtype == object else value
        return np.asarray(plain, self.dtype)

    # What a changed session lays its hands on, beside the rules themselves (`changes.ChangedSession`).

    def gradients(self, gradients: dict[str, Gradients]) -> dict[str, Gradients]:
        """The parameters' gradients as the update gets them."""
        return gradients

    def updated(self, key: str, w: Any, g: Any) -> Any:
        """A parameter after the update."""
        return self.update(w, g, self.lr)


def _as_it_is(value: Any) -> Any:
    return value
