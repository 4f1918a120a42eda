"""Where does a right library not overflow although another does? The rules, as late as any order can.

What a step stores is infinite beyond the range; what it computes on the way, it may compute in any order, or wider.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isograd.backend import Session
from isograd.backends.numpy_manual import NumpyBackend, NumpySession
from isograd.backends.numpy_manual.rules import LayerRule, LossRule
from isograd.dtypes import FORMATS
from isograd.inputs import Inputs
from isograd.scenario import Scenario

ROUNDINGS = 64
"""A stored number is infinite here from so many roundings beyond the largest on: nearer to it, they may decide."""


class LateBackend(NumpyBackend):
    """The rules in float64, with infinities where the scenario's dtype must have them at last."""

    def __init__(self) -> None:
        super().__init__("float64", rounded=False)

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The rules, each with its results held."""
        return LateSession(scenario, inputs)


class LateSession(NumpySession):
    """A step whose stored numbers end a little beyond the range."""

    def __init__(self, scenario: Scenario, inputs: Inputs) -> None:
        form = FORMATS[scenario.dtype]
        with np.errstate(over="ignore"):
            self.limit = np.float64(form.largest) * (1 + ROUNDINGS * form.roundoff)
        super().__init__(scenario, inputs, LateBackend().arithmetic, np.dtype(np.float64))  # type: ignore[arg-type]
        self.rules = [
            (name, LayerRule(self._held(rule.forward), self._held(rule.backward))) for name, rule in self.rules
        ]
        self.loss = LossRule(self._held(self.loss.value), self._held(self.loss.gradient))
        self.update = self._held(self.update)

    def _held(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: self._of(rule(*arguments))

    def _of(self, value: Any) -> Any:
        """A number, or what a backward rule gives: an array, and arrays by name."""
        if isinstance(value, tuple):
            return tuple(self._of(part) for part in value)
        if isinstance(value, dict):
            return {name: self._of(part) for name, part in value.items()}
        beyond = np.abs(value) >= self.limit
        return np.where(beyond, np.copysign(np.inf, value), value)
