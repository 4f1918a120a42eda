"""Which faults are in no catalogue? Backends with one each, written as a stranger would, and named ``module:Class``.

The search for causes must name none for them: a wrong cause is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from isograd.arithmetic import make_arithmetic
from isograd.arithmetic.words import exp, minimum, sum, tanh, where
from isograd.backend import Session
from isograd.changes.instead import instead
from isograd.dtypes import FORMATS
from isograd.graph import Graph, Hooks, training
from isograd.inputs import Array, Batch, Inputs
from isograd.ops.op import Back, Loss, Op, Out
from isograd.rules import Rules, RulesSession
from isograd.scenario import Scenario


class Stranger(Rules):
    """NumPy by the rules, but for what a subclass overrides; `at` counts the steps."""

    def __init__(self) -> None:
        super().__init__(rounded=True)

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """A session that asks its backend."""
        return StrangeSession(self, scenario, inputs)

    def op(self, op: Op) -> Any:
        """What stands in the place of a layer, or of the loss."""
        return op

    def gradient(self, at: int, key: str, g: Any) -> Any:
        """A parameter's gradient."""
        return g

    def update(self, at: int, key: str, w: Any, g: Any, after: Any, lr: Any) -> Any:
        """A parameter after the update."""
        return after


class StrangeSession(RulesSession):
    """The rules, with what the backend makes of them; whatever that is computed in, it is kept in the dtype."""

    def __init__(self, backend: Stranger, scenario: Scenario, inputs: Inputs) -> None:
        self.backend, self.at = backend, -1
        arithmetic, graph = make_arithmetic(scenario.dtype, scenario.dtype), Graph.of(scenario)
        layers = tuple(backend.op(layer) for layer in graph.layers)
        graph = replace(graph, layers=layers, loss=backend.op(graph.loss))
        self.plain, self.taken = arithmetic.plain, arithmetic.array
        hooks = Hooks(gradients=self._gradients, updated=self._updated)
        super().__init__(training(scenario, inputs, arithmetic, graph, hooks), inputs, FORMATS[scenario.dtype].dtype)

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        """One step."""
        self.at += 1
        return super().step(t, batch)

    def _gradients(self, gradients: dict[str, Any]) -> dict[str, Any]:
        return {key: self._kept(self.backend.gradient(self.at, key, self.plain(g))) for key, g in gradients.items()}

    def _updated(self, key: str, w: Any, g: Any, after: Any) -> Any:
        before, gradient, right = self.plain(w), self.plain(g), self.plain(after)
        return self._kept(self.backend.update(self.at, key, before, gradient, right, self.lr[self.at]))

    def _kept(self, value: Any) -> Any:
        return self.taken(np.asarray(value, self.dtype))


class SteeperSigmoid(Stranger):
    """A wrong constant inside an activation: σ(1.01 z), with the derivative of σ."""

    def op(self, op: Op) -> Any:
        """σ(1.01 z)."""
        if op.kind != "sigmoid":
            return op
        return instead(op, forward=lambda p, z: Out(exp(minimum(1.01 * z, 0)) / (1 + exp(-abs(1.01 * z)))))


class LeakyRelu(Stranger):
    """ReLU that leaks a hundredth, forward and backward."""

    def op(self, op: Op) -> Any:
        """a = z or 0.01 z."""
        if op.kind != "relu":
            return op
        return instead(
            op,
            forward=lambda p, z: Out(where(z > 0, z, 0.01 * z)),
            backward=lambda p, out, d, z: Back(where(z > 0, d, 0.01 * d)),
        )


class SoftenedScale(Stranger):
    """A scaling that saturates: k tanh(z / 10) · 10."""

    def op(self, op: Op) -> Any:
        """Not linear any more."""
        if op.kind != "scale":
            return op
        return instead(op, forward=lambda p, z: Out(op.factor * 10 * tanh(z / 10)))  # type: ignore[attr-defined]


class NoisyElement(Stranger):
    """One element of each gradient is off by another percentage at each step."""

    def gradient(self, at: int, key: str, g: Any) -> Any:
        """The first element."""
        out = np.array(g)
        out.flat[0] *= 1 + 0.01 * np.sin(1.0 + at)
        return out


class ClippedValues(Stranger):
    """Gradients clipped to half of their largest element."""

    def gradient(self, at: int, key: str, g: Any) -> Any:
        """Clipped."""
        return np.clip(g, -0.5 * np.abs(g).max(), 0.5 * np.abs(g).max())


class SmearedGradients(Stranger):
    """A tenth of each element of a gradient is its neighbour's."""

    def gradient(self, at: int, key: str, g: Any) -> Any:
        """0.9 of its own, and 0.1 of the next one's."""
        return 0.9 * g + 0.1 * np.roll(np.ravel(g), 1).reshape(np.shape(g)) if np.size(g) > 1 else 1.3 * g + 0.1


class SignDescent(Stranger):
    """The update goes by the sign of the gradient, a thousandth of the weight far."""

    def update(self, at: int, key: str, w: Any, g: Any, after: Any, lr: Any) -> Any:
        """W − sign(g) |w| / 1000."""
        return w - np.sign(g) * np.abs(w) / 1000


class Warmup(Stranger):
    """The learning rate warms up over the steps, and is told as constant."""

    def update(self, at: int, key: str, w: Any, g: Any, after: Any, lr: Any) -> Any:
        """η (t + 1) / (t + 3)."""
        return w - lr * g * (at + 1) / (at + 3)


class RootDecay(Stranger):
    """Weights decay by their cube root."""

    def update(self, at: int, key: str, w: Any, g: Any, after: Any, lr: Any) -> Any:
        """W − 0.001 ∛w."""
        return after - 0.001 * np.cbrt(np.asarray(w, np.float64))


class RoundedWeights(Stranger):
    """Weights are kept to three decimals."""

    def update(self, at: int, key: str, w: Any, g: Any, after: Any, lr: Any) -> Any:
        """Rounded."""
        return np.round(np.asarray(after, np.float64), 3)


class SkewedLoss(Stranger):
    """A loss that weighs errors above more, smoothly: Σ r² + 0.3 r³, told and differentiated."""

    def op(self, op: Op) -> Any:
        """The square, and some of the cube."""
        if not isinstance(op, Loss):
            return op
        return instead(
            op,
            value=lambda yhat, y: sum((yhat - y) * (yhat - y) * (1 + 0.3 * (yhat - y)), axis=(0, 1)),
            gradient=lambda yhat, y: (yhat - y) * (2 + 0.9 * (yhat - y)),
        )


class RowScaled(Stranger):
    """Each row of a gradient has a factor of its own."""

    def gradient(self, at: int, key: str, g: Any) -> Any:
        """1.1, 1.2, 1.3 and so on."""
        rows = 1 + 0.1 * (1 + np.arange(np.shape(g)[0]))
        return g * rows.reshape(-1, *[1] * (np.ndim(g) - 1)) if np.shape(g)[0] > 1 else g + 0.01 * (1 + at)


STRANGERS = [f"{__name__}:{cls.__name__}" for cls in Stranger.__subclasses__()]
"""Their names, as a command line would have them."""
