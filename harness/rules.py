"""How do the hand-written rules run as a backend? In any arithmetic, and with any change laid on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isograd.arithmetic import make_arithmetic
from isograd.arithmetic.numbers import Arithmetic, Native
from isograd.backend import Backend, Session
from isograd.dtypes import FORMATS
from isograd.graph import Hooks, Training, narrows, training
from isograd.inputs import Array, Batch, Inputs
from isograd.ops import CLIPPINGS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES
from isograd.scenario import Scenario


class Rules(Backend):
    """Forward and backward by hand.

    Args:
        arithmetic: its name, or one made; "" for the scenario's dtype.
        rounded: quantities are reported in the scenario's dtype; the oracle is given all that there is, in float64.
        hooks: hands that are laid on each step.
    """

    distribution = "numpy"
    layers = LAYERS
    losses = LOSSES
    optimizers = OPTIMIZERS
    schedules = SCHEDULES
    clippings = CLIPPINGS
    dtypes = FORMATS
    has_groups = True
    shares = True

    def __init__(self, arithmetic: str | Arithmetic = "", rounded: bool = False, hooks: Hooks | None = None) -> None:
        self.arithmetic, self.rounded, self.hooks = arithmetic, rounded, hooks
        if arithmetic:
            self._made("float32")  # a name that there is not is an error at once

    def _made(self, dtype: str, narrow: bool = True) -> Arithmetic:
        if not isinstance(self.arithmetic, str):
            return self.arithmetic
        return make_arithmetic(self.arithmetic or dtype, dtype, narrow)

    def environment(self) -> dict[str, str]:
        """NumPy's version, and the arithmetic where it is not the scenario's dtype."""
        name = self.arithmetic if isinstance(self.arithmetic, str) else self.arithmetic.name
        return {"numpy": np.__version__, "device": "cpu", **({"arithmetic": name} if name else {})}

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The scenario's rules, in order."""
        arithmetic = self._made(scenario.dtype, narrows(scenario))
        rules = training(scenario, inputs, arithmetic, hooks=self.hooks)
        return RulesSession(rules, inputs, FORMATS[scenario.dtype].dtype if self.rounded else np.dtype(np.float64))

    def missing(self, scenario: Scenario) -> list[str]:
        """Also what fractions cannot run: they have no exponential."""
        exact = bool(self.arithmetic) and self._made(scenario.dtype).exact
        inexact = [f"{op.kind} in fractions" for op in scenario.ops if exact and not getattr(op, "exact", True)]
        return super().missing(scenario) + list(dict.fromkeys(inexact))


class RulesSession(Session):
    """Steps of a training by the rules.

    Attributes:
        rules: the training.
        lr: the learning rate of each step.
        dtype: what quantities are reported in.
        as_it_is: what is computed is what is reported.
    """

    def __init__(self, rules: Training, inputs: Inputs, dtype: np.dtype[Any]) -> None:
        self.rules, self.lr, self.dtype = rules, inputs.lr, dtype
        self.as_it_is = isinstance(rules.arithmetic, Native) and rules.arithmetic.dtype == dtype

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        """Take the state over into the arithmetic of the rules."""
        self.rules.load(state)

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        """One step."""
        plain, walk = self.rules.arithmetic.plain, self.rules.step(batch, self.lr[t], t)
        if self.as_it_is:
            return dict(walk)
        return {name: np.asarray(plain(value), self.dtype) for name, value in walk}
