"""Which fault must be caught? Backends with one each, over the NumPy backend's sessions, as a stranger would write them.

Named as ``tests.saboteurs:Name`` they go the same way as any user's backend: a child process, the recorder, the judge.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backends.numpy_manual import NumpyBackend
from harness import Backend, Scenario, Session
from harness.backend import LazyModule
from harness.inputs import Array, Inputs

Seen = dict[str, Array]


class Honest(Backend):
    """The control: everything goes through the wrapper, and nothing is changed."""

    distribution = NumpyBackend.distribution
    layers = NumpyBackend.layers
    losses = NumpyBackend.losses
    optimizers = NumpyBackend.optimizers
    dtypes = NumpyBackend.dtypes

    def __init__(self) -> None:
        self.inner = NumpyBackend()

    def environment(self) -> dict[str, str]:
        return self.inner.environment() | {"pid": str(os.getpid())}

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        return Wrapper(self, self.inner.session(scenario, inputs), inputs)

    # Where a saboteur lays hands on a step. `run` is the session, for what is to be remembered from step to step.

    def batch(self, run: Wrapper, x: Array, y: Array) -> tuple[Array, Array]:
        """What the session is given."""
        return x, y

    def backward(self, run: Wrapper, seen: Seen) -> Seen:
        """What the session has computed; its gradients decide the update."""
        return seen

    def update(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        """The weight after the step."""
        return w - run.lr * g

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        """What the recorder is told; it changes nothing in the training."""
        return seen

    def loaded(self, run: Wrapper, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Which state is taken over."""
        return state


class Wrapper(Session):
    """A session around another, with its backend's hands on every step."""

    def __init__(self, backend: Honest, inner: Session, inputs: Inputs) -> None:
        self.backend, self.inner, self.inputs = backend, inner, inputs
        self.lr = next(iter(inputs.initial.values())).dtype.type(inputs.lr)
        self.state = {name: np.array(value) for name, value in inputs.initial.items()}
        self.at = -1
        self.memory: Any = None

    def load(self, state: Mapping[str, Array]) -> None:
        self._take({name: np.array(value) for name, value in self.backend.loaded(self, state).items()})

    def _take(self, state: Mapping[str, Array]) -> None:
        self.state = {**self.state, **state}
        self.inner.load(self.state)

    def step(self, x: Array, y: Array) -> Mapping[str, Array]:
        self.at += 1
        before = dict(self.state)
        seen = self.backend.backward(self, dict(self.inner.step(*self.backend.batch(self, x, y))))
        after = {name: self.backend.update(self, name, w, seen[f"grad/{name}"]) for name, w in before.items()}
        self._take(after)
        seen |= {f"weight/{name}": w for name, w in after.items()}
        return self.backend.returned(self, seen)


# ---------------------------------------------------------------- wrong numbers


class NanAtStep7(Honest):
    """An element of a gradient is NaN, once."""

    def backward(self, run: Wrapper, seen: Seen) -> Seen:
        if run.at == 7:
            seen["grad/hidden.weight"] = np.array(seen["grad/hidden.weight"])
            seen["grad/hidden.weight"][1, 0] = np.nan
        return seen


class InfinityAtStep7(Honest):
    """A loss is infinite, once."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | ({"loss": np.float32(np.inf)} if run.at == 7 else {})


class Transposed(Honest):
    """Gradients of weights are (in, out). Of a square one only the numbers tell."""

    def update(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        return super().update(run, name, w, g.T if g.shape != w.shape else g)

    def backward(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {name: g.T for name, g in seen.items() if name.startswith("grad/")}


class MeanForSum(Honest):
    """The loss is a mean over outputs, where it should be a sum."""

    def backward(self, run: Wrapper, seen: Seen) -> Seen:
        outputs = run.inputs.y.shape[1]
        return {
            name: value / value.dtype.type(outputs) if name.startswith(("loss", "backward/", "grad/")) else value
            for name, value in seen.items()
        }


class BiasMean(Honest):
    """A bias's gradient is a mean over the samples, where it should be a sum."""

    def backward(self, run: Wrapper, seen: Seen) -> Seen:
        samples = len(seen["forward/output"])
        return seen | {name: g / g.dtype.type(samples) for name, g in seen.items() if name.endswith(".bias") and name.startswith("grad/")}


class WeightOffOnce(Honest):
    """In a thousand steps one element of a weight is off by a thousandth, once."""

    def update(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        after = super().update(run, name, w, g)
        if run.at == 637 and name == "hidden.weight":
            after[2, 1] *= after.dtype.type(1.001)
        return after


class ForwardOffOnce(Honest):
    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        if run.at == 637:
            seen["forward/hidden"] = np.array(seen["forward/hidden"])
            seen["forward/hidden"][0, 2] *= np.float32(1.001)
        return seen

class GradOffOnce(Honest):
    """In a thousand steps one element of a gradient is off by a thousandth, once."""

    def backward(self, run: Wrapper, seen: Seen) -> Seen:
        if run.at == 637:
            seen["grad/output.weight"] = np.array(seen["grad/output.weight"])
            seen["grad/output.weight"][0, 0] *= np.float32(1.001)
        return seen


class Zeros(Honest):
    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return {name: np.zeros_like(value) for name, value in seen.items()}


class NeverUpdates(Honest):
    def update(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        return w


class SlightlyScaled(Honest):
    """Gradients are 1.0001 times what they should be."""

    def backward(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {name: g * g.dtype.type(1.0001) for name, g in seen.items() if name.startswith("grad/")}


class Accumulates(Honest):
    def backward(self, run: Wrapper, seen: Seen) -> Seen:
        grads = {name: g for name, g in seen.items() if name.startswith("grad/")}
        run.memory = {name: g + run.memory[name] for name, g in grads.items()} if run.memory else grads
        return seen | run.memory


class ShiftedLabels(Honest):
    def batch(self, run: Wrapper, x: Array, y: Array) -> tuple[Array, Array]:
        run.memory, y = y, np.zeros_like(y) if run.memory is None else run.memory
        return x, y[:len(x)]


class ReportedRate(Honest):
    """The learning rate is off by a millionth, and says so."""
    def update(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        return w - run.lr * w.dtype.type(1 + 1e-6) * g
    def returned(self, run, seen):
        return seen | {"lr": seen["lr"] * seen["lr"].dtype.type(1 + 1e-6)}


class SecretRate(Honest):
    def update(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        return w - run.lr * w.dtype.type(1 + 1e-3) * g


class SecretRate6(Honest):
    def update(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        return w - run.lr * w.dtype.type(1 + 1e-6) * g

class IgnoresState(Honest):
    def loaded(self, run: Wrapper, state: Mapping[str, Array]) -> Mapping[str, Array]:
        return {}

class Missing(Honest):
    def returned(self, run, seen):
        return {n: v for n, v in seen.items() if n != "grad/hidden.weight"}
class Extra(Honest):
    def returned(self, run, seen):
        return seen | {"grad/hidden.bias": np.float32([1,2])}
class Wide(Honest):
    def returned(self, run, seen):
        return {n: np.asarray(v, np.float64) for n,v in seen.items()}
class LosesSample(Honest):
    def batch(self, run: Wrapper, x: Array, y: Array) -> tuple[Array, Array]:
        return (x[:-1], y[:-1]) if run.at == 7 and len(x) > 1 else (x,y)
class LosesSample0(Honest):
    def batch(self, run: Wrapper, x: Array, y: Array) -> tuple[Array, Array]:
        return (x[:-1], y[:-1]) if len(x) > 1 else (x,y)
class Repeats(Honest):
    def returned(self, run, seen):
        if run.at == 500:
            return run.memory
        run.memory = seen
        return seen
