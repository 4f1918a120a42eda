"""What can become of parameters after their update: clamped, shortened, shrunk, decayed?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from isograd.changes.change import Circumstances, Evidence
from isograd.changes.places import AtParameter
from isograd.inputs import Array
from isograd.scenario import Scenario


@dataclass(frozen=True)
class WeightsClamped(AtParameter):
    """Parameters are kept between bounds after each update."""

    id = "weights_clamped"
    sentence = "{at} is clamped to ±{by:.6g} after each update"
    formula = "w ← «min(max(w, −c), c)»"
    origin = "weight clipping, as for the critic of a Wasserstein GAN"
    needs = ("by",)

    by: float = 1e300

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """To the largest of what the trace has."""
        yield from (replace(self, by=limit) for limit in _limits(evidence, self.here, np.abs))

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Between the bounds."""
        return np.clip(after, -self.by, self.by) if self.here(key) else after


@dataclass(frozen=True)
class RowsLimited(AtParameter):
    """Rows of a weight are no longer than a bound after each update."""

    id = "rows_limited"
    sentence = "every row of {at} is kept to a norm of at most {by:.7g} after each update"
    formula = "w_i ← w_i «min(1, c / ‖w_i‖)»"
    origin = "a maximum-norm constraint, renormalised embeddings"
    needs = ("by",)
    every = "every weight"
    solve = {"by": float("inf")}  # noqa: RUF012

    by: float = 1e300

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Parameters that have rows."""
        shapes = {key: param.shape for key, param in scenario.parameters().items()}
        for plain in super().variants(scenario):
            if any(len(shape) > 1 for key, shape in shapes.items() if plain.here(key)):
                yield plain

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """From the longest row of what the trace has."""
        yield from (replace(self, by=limit) for limit in _limits(evidence, self.here, _lengths))

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """The rows that are longer, shortened."""
        rank = run.inputs.weights[key].ndim
        if not self.here(key) or rank < 2:
            return after
        rows = after.reshape(*after.shape[: after.ndim - rank + 1], -1)
        length = np.sqrt((rows * rows).sum(axis=-1, keepdims=True))
        short = rows * np.minimum(1.0, self.by / np.where(length == 0, 1.0, length))
        return short.reshape(after.shape)


def _lengths(weight: Array) -> Array:
    """The length of each row; a vector has none."""
    return np.sqrt(np.square(weight).reshape(len(weight), -1).sum(axis=1)) if weight.ndim > 1 else np.zeros(0)


def _limits(evidence: Evidence, here: Callable[[str], bool], size: Callable[[Array], Array]) -> Iterator[float]:
    """How large parameters are at most in the trace, of those that the rules make larger; none where no one is."""
    limits, step = [], evidence.steps[0]
    for key in filter(here, evidence.inputs.weights):
        got = evidence.recorded(f"weight/{key}", step)
        if got is None:
            return
        came, due = (float(size(side).max(initial=0.0)) for side in (got, evidence.ruled(f"weight/{key}", step)))
        limits += [came] if due > came else []
    if limits:
        yield max(limits)


@dataclass(frozen=True)
class WeightsShrunk(AtParameter):
    """Every weight comes nearer to 0 by a constant after each update, and stops there."""

    id = "weights_shrunk"
    sentence = "{at} is soft-thresholded by {by:.7g} after each update: it comes so much nearer to 0"
    formula = "w ← «sign(w) max(|w| − λ, 0)»"
    origin = "a proximal step for an l1 term"
    solve = {"by": 0.0}  # noqa: RUF012

    by: float = 1e-3

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """So much nearer to 0."""
        return np.sign(after) * np.maximum(np.abs(after) - self.by, 0.0) if self.here(key) else after


@dataclass(frozen=True)
class DecayPerEpoch(AtParameter):
    """Weights are made smaller at the end of each epoch."""

    id = "decay_per_epoch"
    sentence = "{at} decays at the end of each epoch: {by:.7g} times what it was"
    formula = "w ← «k» w after an epoch's last step"
    origin = "a decay that stands in the loop over epochs"
    solve = {"by": 1.0}  # noqa: RUF012

    by: float = 0.99

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """K times, after the last step of an epoch."""
        ends = (run.step + 1) % run.inputs.steps_per_epoch == 0
        return self.by * after if ends and self.here(key) else after
