"""Which faults must be caught? Backends with one each, written over the NumPy backend's sessions, as a stranger would.

Named as ``tests.saboteurs:Class`` they go the way of any user's backend: a child process, the recorder, the judge.
`Honest` is the control. What verdict each deserves, and why, stands in the tests.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from isograd import Backend, Scenario, Session
from isograd.backend import LazyModule
from isograd.backends.numpy_manual import NumpyBackend
from isograd.inputs import Array, Batch, Inputs

Seen = dict[str, Array]


class Honest(Backend):
    """The control: every step goes through the wrapper's hands, and they do nothing to it."""

    distribution = NumpyBackend.distribution
    layers = NumpyBackend.layers
    losses = NumpyBackend.losses
    optimizers = NumpyBackend.optimizers
    schedules = NumpyBackend.schedules
    dtypes = NumpyBackend.dtypes

    def __init__(self) -> None:
        self.inner = NumpyBackend()

    def environment(self) -> dict[str, str]:
        return self.inner.environment() | {"pid": str(os.getpid())}

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        return Wrapper(self, self.inner.session(scenario, inputs), inputs)

    # A saboteur overrides one of these. `run` is the session: its `at` is the step, its `memory` is theirs.

    def loaded(self, run: Wrapper, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """The state that is taken over."""
        return state

    def batch(self, run: Wrapper, x: Array, y: Array) -> tuple[Array, Array]:
        """The batch that the step is computed from."""
        return x, y

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        """What was computed before the update; the update is made with the gradients in it."""
        return seen

    def updated(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        """A parameter after the update."""
        return w - run.lr * g

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        """What the recorder is told; of no consequence for the training."""
        return seen


class Wrapper(Session):
    """A session around another, which lets its backend lay hands on every step."""

    def __init__(self, backend: Honest, inner: Session, inputs: Inputs) -> None:
        self.backend, self.inner, self.inputs = backend, inner, inputs
        self.dtype = inputs.x.dtype.type
        self.lr = self.dtype(inputs.lr[0])
        self.state = {name: np.array(value) for name, value in inputs.weights.items()}
        self.at = -1
        self.memory: Any = None

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        given = {name.removeprefix("weight/"): value for name, value in state.items()}
        self._take({name: np.array(value) for name, value in self.backend.loaded(self, given).items()})

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        self.at += 1
        before = self.state
        seen = self.backend.computed(self, dict(self.inner.step(t, Batch(*self.backend.batch(self, *batch)))))
        self._take({name: self.backend.updated(self, name, w, seen[f"grad/{name}"]) for name, w in before.items()})
        return self.backend.returned(self, seen | {f"weight/{name}": w for name, w in self.state.items()})

    def _take(self, state: Seen) -> None:
        self.state = self.state | state
        self.inner.load(self.at + 1, {f"weight/{name}": value for name, value in self.state.items()})


def changed(seen: Seen, name: str, index: tuple[int, ...], factor: float) -> Seen:
    """``seen``, with one element of one quantity multiplied."""
    value = np.array(seen[name])
    value[index] *= value.dtype.type(factor)
    return seen | {name: value}


def gradients(seen: Seen) -> Seen:
    return {name: value for name, value in seen.items() if name.startswith("grad/")}


# ---------------------------------------------------------------- what it says that it can


class IgnoresGroups(Honest):
    """Updates all parameters at one rate, though it says that groups have their own."""

    has_groups = True


class CopiesShared(Honest):
    """Leaves a part of the gradient of what is shared out, though it says that it shares."""

    shares = True

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        self.shared = set(scenario.shared.values())
        return super().session(scenario, inputs)

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        for name in self.shared:
            seen = changed(seen, f"grad/{name}", (0, 0), 0.5)
        return seen


# ---------------------------------------------------------------- wrong numbers

SOON = 7  # a step of a short run
LATE = 635  # a step of a run of a thousand


class NanOnce(Honest):
    """A single element of a gradient is NaN, at a single step. In free all that follows is, too."""

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        return changed(seen, "grad/hidden.weight", (1, 0), np.nan) if run.at == SOON else seen


class InfiniteOnce(Honest):
    """The loss is said to be infinite, once."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {"loss": run.dtype(np.inf)} if run.at == SOON else seen


class WeightOffOnce(Honest):
    """In a thousand steps one weight is off by a thousandth, once."""

    def updated(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        after = super().updated(run, name, w, g)
        return changed({name: after}, name, (2, 1), 1.001)[name] if (run.at, name) == (LATE, "hidden.weight") else after


class OutputOffOnce(Honest):
    """In a thousand steps one element of a layer's output is said to be off by a thousandth, once."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return changed(seen, "forward/hidden", (0, 3), 1.001) if run.at == LATE else seen


class GradientOffOnce(Honest):
    """In a thousand steps one element of a gradient is off by a thousandth, once, when gradients are already small."""

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        return changed(seen, "grad/output.weight", (1, 3), 1.001) if run.at == LATE else seen


class GradientSlightlyOffOnce(Honest):
    """The same by a hundred-thousandth."""

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        return changed(seen, "grad/output.weight", (1, 3), 1.00001) if run.at == LATE else seen


class SaysZero(Honest):
    """Trains as it should, and says that all is zero but the learning rate."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return {name: value if name == "lr" else np.zeros_like(value) for name, value in seen.items()}


class LossOfOne(Honest):
    """The loss has an axis, of one element."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {"loss": np.reshape(seen["loss"], (1,))}


class LossOfOneToo(LossOfOne):
    """Another that does the same."""


# ---------------------------------------------------------------- wrong rules


class TransposesSquare(Honest):
    """The gradient of a square weight is transposed: only its numbers tell."""

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {name: g.T for name, g in gradients(seen).items() if g.ndim == 2 and g.shape == g.T.shape}


class TransposesOblong(Honest):
    """The gradient of an oblong weight is given as (in, out)."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {name: g.T for name, g in gradients(seen).items() if g.shape != g.T.shape}


class MeanOverOutputs(Honest):
    """The loss is a mean over the outputs, where it should be a sum."""

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        outputs = run.dtype(run.inputs.y.shape[1])
        return seen | {n: v / outputs for n, v in seen.items() if n.startswith(("loss", "backward/", "grad/"))}


class MeanOverSamples(Honest):
    """A bias's gradient is a mean over the samples, where it should be a sum."""

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        samples = run.dtype(len(seen["forward/output"]))
        return seen | {name: g / samples for name, g in gradients(seen).items() if name.endswith(".bias")}


class SlightlyScaled(Honest):
    """Gradients are 1.0001 times what they should be."""

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {name: g * run.dtype(1.0001) for name, g in gradients(seen).items()}


class Accumulates(Honest):
    """Gradients are never cleared."""

    def computed(self, run: Wrapper, seen: Seen) -> Seen:
        run.memory = {name: g + run.memory[name] if run.memory else g for name, g in gradients(seen).items()}
        return seen | run.memory


class NeverUpdates(Honest):
    """Weights stay as they are."""

    def updated(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        return w


class RateOff(Honest):
    """The learning rate is off by a millionth, and is reported as it is."""

    def updated(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        return w - run.lr * run.dtype(1 + 1e-6) * g

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {"lr": run.lr * run.dtype(1 + 1e-6)}


class SecretRateOff(Honest):
    """The learning rate is off by a hundredth, and the right one is reported."""

    def updated(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        return w - run.lr * run.dtype(1.01) * g


class ShiftedLabels(Honest):
    """Each batch is given the labels of the one before."""

    def batch(self, run: Wrapper, x: Array, y: Array) -> tuple[Array, Array]:
        before, run.memory = run.memory, y
        return x, y if before is None else before


class IgnoresState(Honest):
    """``load`` does nothing: in resync it trains on from where it is."""

    def loaded(self, run: Wrapper, state: Mapping[str, Array]) -> Mapping[str, Array]:
        return {}


class RoundsDown(Honest):
    """Each update is rounded down, by two units in the last place: the right rules, with a bias."""

    def updated(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        after = super().updated(run, name, w, g)
        return after - 2 * np.spacing(abs(after))


class ForgetsTwo(Honest):
    """Two of four parameters keep values of their own."""

    def loaded(self, run: Wrapper, state: Mapping[str, Array]) -> Mapping[str, Array]:
        return {k: v + run.dtype(0.3) if k.startswith("hidden.") else v for k, v in state.items()}


class ForgetsVelocity(Honest):
    """Momentum of 0.9, whose velocity is gone once a state is loaded: the optimizer is made anew with it."""

    def loaded(self, run: Wrapper, state: Mapping[str, Array]) -> Mapping[str, Array]:
        run.memory = {}
        return state

    def updated(self, run: Wrapper, name: str, w: Array, g: Array) -> Array:
        run.memory = run.memory or {}
        run.memory[name] = run.dtype(0.9) * run.memory.get(name, run.dtype(0)) + g
        return w - run.lr * run.memory[name]


class ShadowWeights(Honest):
    """Weights that are told in full, and kept in float16 for the next step."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        run._take({name: w.astype(np.float16).astype(w.dtype) for name, w in run.state.items()})
        return seen


# ---------------------------------------------------------------- wrong structure


class LacksQuantity(Honest):
    """A quantity is never returned."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return {name: value for name, value in seen.items() if name != "grad/hidden.weight"}


class AddsQuantity(Honest):
    """A quantity too many is returned."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {"grad/hidden.scale": seen["grad/hidden.bias"]}


class LosesQuantity(Honest):
    """A quantity is returned at first, and then no more."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return {name: value for name, value in seen.items() if name != "loss" or run.at < SOON}


class TooWide(Honest):
    """Everything is returned in float64."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return {name: np.asarray(value, np.float64) for name, value in seen.items()}


class Widens(Honest):
    """The loss is returned in float32 at first, and then in float64."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return seen | {"loss": np.float64(seen["loss"])} if run.at >= SOON else seen


class DropsSample(Honest):
    """The last sample of a batch is left out, once."""

    def batch(self, run: Wrapper, x: Array, y: Array) -> tuple[Array, Array]:
        return (x[:-1], y[:-1]) if run.at == SOON else (x, y)


class RepeatsStep(Honest):
    """A step is skipped: what was returned before is returned again."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        run.memory = run.memory if run.at == SOON else seen
        return run.memory


# ---------------------------------------------------------------- against the contract


class NamesUnknownLayer(Honest):
    """Claims a layer that there is not."""

    layers: ClassVar = {**Honest.layers, "convolution": None}


class TakesAnything(Honest):
    """Takes every option, misspelt ones too."""

    def __init__(self, **options: str) -> None:
        super().__init__()


class ForgetsVersion(Honest):
    """Says nothing of its version."""

    def environment(self) -> dict[str, str]:
        return {"device": "cpu"}


class PadsBatches(Honest):
    """A batch smaller than the others is filled up with its first sample."""

    def batch(self, run: Wrapper, x: Array, y: Array) -> tuple[Array, Array]:
        lacking = [0] * (run.inputs.batch_size - len(x))
        return np.concatenate([x, x[lacking]]), np.concatenate([y, y[lacking]])


class Unrepeatable(Honest):
    """Every session of a process starts from other weights than the one before."""

    sessions = 0

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        Unrepeatable.sessions += 1
        session = super().session(scenario, inputs)
        session.load(0, {name: w + w.dtype.type(1e-5 * self.sessions) for name, w in inputs.initial.items()})
        return session


class Wavers(Honest):
    """The second run of a process says another loss than it has, by one unit in the last place, once."""

    at_run = 2
    runs = 0

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        type(self).runs += 1
        return super().session(scenario, inputs)

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        wavering = self.runs == self.at_run and run.at == SOON
        return self.wavered(seen) if wavering else seen

    def wavered(self, seen: Seen) -> Seen:
        return seen | {"loss": np.nextafter(seen["loss"], np.float32(np.inf))}


class WaversLate(Wavers):
    """Only the third run is another."""

    at_run = 3


class WaversTwice(Wavers):
    """The second run is another in two quantities of one step."""

    def wavered(self, seen: Seen) -> Seen:
        return super().wavered(changed(seen, "grad/output.bias", (1,), 1.001))


class WaversInSign(Wavers):
    """The second run says -0 where the first says 0."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return super().returned(run, seen | {"loss": run.dtype(0)})

    def wavered(self, seen: Seen) -> Seen:
        return seen | {"loss": -seen["loss"]}


class WaversInForm(Wavers):
    """The second run does not return the loss at all."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        return {name: value for name, value in seen.items() if name != "loss" or self.runs != self.at_run}


class LacksRelu(Honest):
    """Has no row for ReLU: that is no fault."""

    layers: ClassVar = {kind: row for kind, row in Honest.layers.items() if kind != "relu"}


class LacksReluSilently(LacksRelu):
    """Has no row for ReLU, and runs it all the same."""

    def missing(self, scenario: Scenario) -> list[str]:
        return [what for what in super().missing(scenario) if "relu" not in what]


# ---------------------------------------------------------------- wrecks


class Wreck(Honest):
    """Fails at a step of every run of the scenario ``wrecked``, and is honest in every other."""

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        session = super().session(scenario, inputs)
        return Failing(self, session) if scenario.name == "wrecked" else session

    def fail(self) -> None:
        raise NotImplementedError


class Failing(Session):
    """Fails at its third step."""

    def __init__(self, backend: Wreck, inner: Session) -> None:
        self.backend, self.inner, self.at = backend, inner, -1

    def load(self, state: Mapping[str, Array]) -> None:
        self.inner.load(state)

    def step(self, x: Array, y: Array) -> Mapping[str, Array]:
        self.at += 1
        if self.at == 2:
            print("last words", flush=True)
            self.backend.fail()
        return self.inner.step(x, y)


class Exits(Wreck):
    def fail(self) -> None:
        os._exit(3)


class Segfaults(Wreck):
    def fail(self) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), signal.SIGSEGV)


class IsKilled(Wreck):
    """As by a kernel that runs out of memory."""

    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Raises(Wreck):
    def fail(self) -> None:
        raise RuntimeError("no kernel for this <tensor>")


class RunsOutOfMemory(Wreck):
    def fail(self) -> None:
        raise MemoryError("cannot allocate 64 GiB")


class SaysMuch(Wreck):
    """A line of 20 MB, and then an exception with as long a message."""

    def fail(self) -> None:
        sys.stderr.write("x" * 20_000_000 + "\n")
        raise RuntimeError("y" * 20_000_000)


class Hangs(Wreck):
    """Says which processes there are, its own child too, in the file $ISOGRAD_TEST_PIDS; then does nothing for ever."""

    def fail(self) -> None:
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pids = Path(os.environ["ISOGRAD_TEST_PIDS"])
        pids.with_suffix(".part").write_text(f"{os.getpid()} {sleeper.pid}")
        pids.with_suffix(".part").replace(pids)
        time.sleep(600)


class PrintsGarbage(Honest):
    """Prints to standard output at every step, past Python too, what looks like answers."""

    def returned(self, run: Wrapper, seen: Seen) -> Seen:
        print('{"error": "garbage", "seconds": 0}')
        os.write(1, b'\xff\x00 no JSON {"seconds": 1}\n')
        return seen


class CannotStart(Honest):
    """Its framework is installed, and cannot be imported."""

    def environment(self) -> dict[str, str]:
        raise ImportError("libframework.so: cannot open shared object file")


class HangsAtStart(Honest):
    def environment(self) -> dict[str, str]:
        time.sleep(600)
        return {}


class NotInstalled(Honest):
    """Stands on a package that nobody has."""

    distribution = "isograd-test-no-such-framework"

    def environment(self) -> dict[str, str]:
        return {"version": LazyModule("isograd_test_no_such_framework").version}


class NotABackend:
    """No subclass of `isograd.Backend`."""


class RotatesUnits(Honest):
    """The hidden units come in another order, and what is above does not know."""

    def loaded(self, run: Wrapper, state: Mapping[str, Array]) -> Mapping[str, Array]:
        return {key: np.roll(value, 1, axis=0) if key.startswith("hidden.") else value for key, value in state.items()}


class RotatesRows(Honest):
    """The hidden weight's rows come in another order, without the bias."""

    def loaded(self, run: Wrapper, state: Mapping[str, Array]) -> Mapping[str, Array]:
        return {**state, "hidden.weight": np.roll(state["hidden.weight"], 1, axis=0)}


class RotatesUnitsEverywhere(Honest):
    """The hidden units come in another order, and what is above knows."""

    def loaded(self, run: Wrapper, state: Mapping[str, Array]) -> Mapping[str, Array]:
        below = {key: np.roll(v, 1, axis=0) for key, v in state.items() if key.startswith("hidden.")}
        return {**state, **below, "output.weight": np.roll(state["output.weight"], 1, axis=1)}


class Shuffles(Honest):
    """The samples of each batch are drawn by a generator of its own."""

    def batch(self, run: Wrapper, x: Array, y: Array) -> tuple[Array, Array]:
        rows = np.random.Generator(np.random.PCG64(run.at)).permutation(len(run.inputs.x))[: len(x)]
        return run.inputs.x[rows], run.inputs.y[rows]
