"""Which faults are in no catalogue? Backends with one each, written as a stranger would, and named ``module:Class``.

The search for causes must name none for them: a wrong cause is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isograd.backend import Session
from isograd.backends.numpy_manual import NumpyBackend, NumpySession
from isograd.backends.numpy_manual.arithmetic import exp, make_arithmetic
from isograd.backends.numpy_manual.rules import Gradients, LayerRule, LossRule
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Inputs
from isograd.scenario import Scenario


class Stranger(NumpyBackend):
    """NumPy by the rules, but for what a subclass overrides; `at` counts the steps."""

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """A session that asks its backend."""
        return StrangeSession(self, scenario, inputs)

    def rule(self, kind: str, rule: LayerRule) -> LayerRule:
        """A layer's rule."""
        return rule

    def loss(self, rule: LossRule) -> LossRule:
        """The loss's rule."""
        return rule

    def gradient(self, at: int, key: str, g: Any) -> Any:
        """A parameter's gradient."""
        return g

    def update(self, at: int, key: str, w: Any, g: Any, after: Any, lr: Any) -> Any:
        """A parameter after the update."""
        return after


class StrangeSession(NumpySession):
    """The rules, with what the backend makes of them."""

    def __init__(self, backend: Stranger, scenario: Scenario, inputs: Inputs) -> None:
        self.backend, self.at = backend, -1
        dtype = FORMATS[scenario.dtype].dtype
        super().__init__(scenario, inputs, make_arithmetic(scenario.dtype), dtype)
        kinds = {layer.name: layer.kind for layer in scenario.layers}
        self.rules = [(name, backend.rule(kinds[name], rule)) for name, rule in self.rules]
        self.loss = backend.loss(self.loss)

    def step(self, x: Array, y: Array) -> Mapping[str, Array]:
        """One step; whatever a fault is computed in, it is kept in the scenario's dtype."""
        self.at += 1
        return {name: np.asarray(value, self.dtype) for name, value in super().step(x, y).items()}

    def gradients(self, gradients: dict[str, Gradients]) -> dict[str, Gradients]:
        """The backend's."""
        return {
            layer: {p: self._kept(self.backend.gradient(self.at, f"{layer}.{p}", g)) for p, g in of.items()}
            for layer, of in gradients.items()
        }

    def updated(self, key: str, w: Any, g: Any) -> Any:
        """The backend's."""
        return self._kept(self.backend.update(self.at, key, w, g, super().updated(key, w, g), self.lr))

    def _kept(self, value: Any) -> Array:
        return np.asarray(value, self.arithmetic.dtype)


class SteeperSigmoid(Stranger):
    """A wrong constant inside an activation: σ(1.01 z), with the derivative of σ."""

    def rule(self, kind: str, rule: LayerRule) -> LayerRule:
        """σ(1.01 z)."""
        if kind != "sigmoid":
            return rule
        return LayerRule(lambda p, z: exp(np.minimum(1.01 * z, 0)) / (1 + exp(-abs(1.01 * z))), rule.backward)


class LeakyRelu(Stranger):
    """ReLU that leaks a hundredth, forward and backward."""

    def rule(self, kind: str, rule: LayerRule) -> LayerRule:
        """a = z or 0.01 z."""
        if kind != "relu":
            return rule
        return LayerRule(
            lambda p, z: np.where(z > 0, z, 0.01 * z), lambda p, z, a, d: (np.where(z > 0, d, 0.01 * d), {})
        )


class SoftenedScale(Stranger):
    """A scaling that saturates: k tanh(z / 10) · 10."""

    def rule(self, kind: str, rule: LayerRule) -> LayerRule:
        """Not linear any more."""
        if kind != "scale":
            return rule
        return LayerRule(lambda p, z: p["factor"] * 10 * np.tanh(z / 10), rule.backward)


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


class NormalisedGradients(Stranger):
    """Each parameter's gradient divided by its norm: another factor at each step."""

    def gradient(self, at: int, key: str, g: Any) -> Any:
        """Of length one."""
        norm = np.sqrt((np.asarray(g, np.float64) ** 2).sum())
        return g / norm if norm else g


class CentredGradients(Stranger):
    """Gradients without their mean."""

    def gradient(self, at: int, key: str, g: Any) -> Any:
        """Centred."""
        return g - np.mean(g) if np.size(g) > 1 else 1.3 * g + 0.1


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


class AbsoluteDecay(Stranger):
    """Weights decay by a constant, not by a share of themselves."""

    def update(self, at: int, key: str, w: Any, g: Any, after: Any, lr: Any) -> Any:
        """W − 0.001 sign(w)."""
        return after - 0.001 * np.sign(w)


class RoundedWeights(Stranger):
    """Weights are kept to three decimals."""

    def update(self, at: int, key: str, w: Any, g: Any, after: Any, lr: Any) -> Any:
        """Rounded."""
        return np.round(np.asarray(after, np.float64), 3)


class SmoothedLoss(Stranger):
    """A robust loss: Σ (√(1 + r²) − 1), told and differentiated."""

    def loss(self, rule: LossRule) -> LossRule:
        """Charbonnier's."""
        return LossRule(
            lambda yhat, y: (np.sqrt(1 + (yhat - y) ** 2) - 1).sum(axis=(-2, -1)),
            lambda yhat, y: (yhat - y) / np.sqrt(1 + (yhat - y) ** 2),
        )


class RowScaled(Stranger):
    """Each row of a gradient has a factor of its own."""

    def gradient(self, at: int, key: str, g: Any) -> Any:
        """1.1, 1.2, 1.3 and so on."""
        rows = 1 + 0.1 * (1 + np.arange(np.shape(g)[0]))
        return g * rows.reshape(-1, *[1] * (np.ndim(g) - 1)) if np.shape(g)[0] > 1 else g + 0.01 * (1 + at)


STRANGERS = [f"{__name__}:{cls.__name__}" for cls in Stranger.__subclasses__()]
"""Their names, as a command line would have them."""
