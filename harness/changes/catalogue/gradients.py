"""What can become of gradients between the backward pass and the update: left, lost, clipped, added up?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from isograd.changes.change import Change, Circumstances, Evidence, Recorded, Values
from isograd.changes.functions import TINY
from isograd.changes.places import AtParameter, layer_of
from isograd.changes.reading import is_round
from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.scenario import Scenario


@dataclass(frozen=True)
class GradientsNotCleared(Change):
    """Gradients add up over the steps."""

    id = "gradients_not_cleared"
    sentence = "gradients are not cleared: each step adds to those of the steps before"
    formula = "g_t ← g_t «+ g_(t−1)»"
    origin = "zero_grad() or clear_grad() is missing, or is called for some layers only"
    remembers = True
    back = 0

    layer: str = ""
    each_epoch: bool = False

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """What they came to at the step before."""
        run.memory = _reported(_of(self.layer, run.inputs.weights), recorded)

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Of all layers, and of each that has parameters; or cleared when an epoch starts."""
        layers = dict.fromkeys(map(layer_of, scenario.parameters()))
        yield from map(cls, ("", *(layers if len(layers) > 1 else ())))
        yield cls(each_epoch=True)

    @property
    def where(self) -> str:
        """Of which layer, and how long."""
        return ", ".join(filter(None, [self.layer, "each epoch" if self.each_epoch else ""]))

    def says(self) -> str:
        """Whose, and how long."""
        cleared = "gradients are cleared once an epoch, and not at each step: each step adds to the epoch's before"
        said = cleared if self.each_epoch else super().says()
        return said.replace("gradients", f"the gradients of {self.layer}", 1) if self.layer else said

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Added to those before."""
        before = {} if self.each_epoch and run.step % run.inputs.steps_per_epoch == 0 else run.memory
        run.memory = {key: before.get(key, 0) + value for key, value in _of(self.layer, g).items()}
        return {**g, **run.memory}


@dataclass(frozen=True)
class GradientsClearedEarly(Change):
    """Gradients are cleared before the update has used them."""

    id = "gradients_cleared_early"
    sentence = "no update is made: all parameters stay as they are (zero_grad before the step, an optimizer of copies)"
    formula = "w ← w − η · «0»"
    origin = "an optimizer of copies of the parameters, zero_grad() between loss.backward() and optimizer.step()"

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """As it was."""
        return w


@dataclass(frozen=True)
class GradientsStale(Change):
    """The update uses the gradients of the step before."""

    id = "gradients_stale"
    sentence = "the update uses the gradients of the step before"
    formula = "w ← w − η g_«(t−1)»"
    origin = "optimizer.step() before loss.backward()"
    remembers = True
    back = 1

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """The gradient before; at first none."""
        before, run.memory[key] = run.memory.get(key, 0 * g), g
        return before


@dataclass(frozen=True)
class GradientsClipped(Change):
    """Gradients are clipped: to a norm of all together, each to one of its own, or each number to a value."""

    id = "gradients_clipped"
    sentence = "gradients are clipped {how} {at_most:.6g}"
    formula = "g ← g «min(1, c / ‖g‖)»   (or clip(g, −c, c))"
    origin = "clip_grad_norm_, clip_grad_value_, ClipGradByGlobalNorm"
    needs = ("at_most",)
    choices = ("how", "reported")

    how: Literal["to a norm of", "each to a norm of", "by value at"] = "to a norm of"
    at_most: float = 0.0
    reported: bool = True
    layer: str = ""
    epsilon: bool = False

    @property
    def solve(self) -> Mapping[str, float]:  # type: ignore[override]  # with a limit
        """The limit: without one nothing is clipped."""
        return {"at_most": float("inf")} if self.at_most else {}

    @property
    def where(self) -> str:
        """Which way."""
        return self.how.removesuffix(" of").removesuffix(" at") + (" by PyTorch" if self.epsilon else "")

    def says(self) -> str:
        """Also whether it is reported."""
        says = super().says() + (", over ‖g‖ + 10⁻⁶ as in PyTorch" if self.epsilon else "")
        says += "" if self.reported else ", in the update only"
        return says.replace("gradients", f"the gradients of {self.layer}", 1) if self.layer else says

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """As far as the gradients of the first wrong step are reported; or as their update is smaller."""
        step, inputs = evidence.steps[0], evidence.inputs
        kind = "grad" if self.reported else "weight"
        names = {key: f"{kind}/{key}" for key in inputs.weights}
        found = {key: evidence.recorded(name, step) for key, name in names.items()}
        right = {key: evidence.ruled(name, step) for key, name in names.items()}
        gradients = {key: evidence.ruled(f"grad/{key}", step) for key in inputs.weights}
        if not gradients or any(value is None for value in found.values()):
            return
        came: dict[str, Array] = {key: np.asarray(value) for key, value in found.items()}
        if not self.reported:  # by as much as its largest number, each parameter's update is smaller
            state = evidence.state(step)
            for key, g in gradients.items():
                w = state[f"weight/{key}"].astype(np.float64)
                moved, due = came[key] - w, right[key] - w
                share = np.divide(moved, due, out=np.ones_like(due), where=due != 0)
                came[key] = g * share
        off = {key for key, g in gradients.items() if not np.allclose(came[key], g, rtol=1e-4, atol=0.0)}
        layers = set(map(layer_of, off))
        alone = layers.pop() if len(layers) == 1 and len(off) < len(gradients) else ""
        if len(off) == 1 and not is_round(self._limit([*_of(alone, came).values()])):
            alone = ""  # of one parameter, a factor says as much
        for layer in dict.fromkeys(("", alone)):
            limit = self._limit([*_of(layer, came).values()])
            if np.isfinite(limit) and limit > 0 and any((came[key] != g).any() for key, g in gradients.items()):
                norm, roundoff = _norm([*_of(layer, gradients).values()]), FORMATS[evidence.scenario.dtype].roundoff
                tells = norm * roundoff / 4 < 1e-6
                for epsilon in (False, True) if self.how == "to a norm of" and tells else (False,):
                    yield replace(self, at_most=float(f"{limit:.6g}"), layer=layer, epsilon=epsilon)

    def _limit(self, came: list[Array]) -> float:
        if self.how == "to a norm of":
            return _norm(came)
        return max(_norm([g]) if self.how == "each to a norm of" else float(np.abs(g).max(initial=0.0)) for g in came)

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Clipped; without a limit as they are."""
        clipped = {**g, **self._clipped(run, _of(self.layer, g))} if self.at_most else g
        run.memory = clipped
        return clipped if self.reported else g

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """What is not reported is used all the same."""
        return g if self.reported else run.memory[key]

    def _clipped(self, run: Circumstances, g: Values) -> Values:
        if self.how == "by value at":
            return {key: np.clip(value, -self.at_most, self.at_most) for key, value in g.items()}
        common = self.how == "to a norm of"
        return shrunk(
            run, g, common, lambda norm: np.minimum(1.0, self.at_most / np.maximum(norm + 1e-6 * self.epsilon, TINY))
        )


@dataclass(frozen=True)
class GradientsNormalised(Change):
    """Gradients are divided by their norm."""

    id = "gradients_normalised"
    sentence = "gradients are normalised: divided by {whose} norm"
    formula = "g ← g «/ ‖g‖»"
    origin = "normalised gradient descent, LARS without its rate"
    choices = ("whose", "reported")

    whose: Literal["their common", "each by its own"] = "their common"
    reported: bool = True

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Over the norm."""
        run.memory = shrunk(run, g, self.whose == "their common", lambda norm: 1 / np.maximum(norm, TINY))
        return run.memory if self.reported else g

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """What is not reported is used all the same."""
        return g if self.reported else run.memory[key]


def shrunk(run: Circumstances, g: Values, common: bool, share: Callable[[Any], Any]) -> Values:
    """Every gradient times what ``share`` makes of a norm: that of all together, or its own."""
    axes = {key: tuple(range(-run.inputs.weights[key].ndim, 0)) for key in g}
    squares = {key: np.square(value).sum(axis=axes[key]) for key, value in g.items()}
    whole = sum(squares.values(), np.zeros(()))
    shares = {key: share(np.sqrt(whole if common else squares[key])) for key in g}
    return {key: v * shares[key].reshape(*shares[key].shape, *[1] * len(axes[key])) for key, v in g.items()}


def _of(layer: str, g: Mapping[str, Any]) -> Values:
    """The gradients of a layer's parameters; of all for none."""
    return {key: value for key, value in g.items() if not layer or layer_of(key) == layer}


def _reported(keys: Iterable[str], recorded: Recorded) -> Values:
    """The gradients of the step before, of those that are reported."""
    found = {key: recorded(f"grad/{key}", 1) for key in keys}
    return {key: value for key, value in found.items() if value is not None}


def _norm(values: list[Array]) -> float:
    return float(np.sqrt(sum(float(np.square(v).sum()) for v in values)))


@dataclass(frozen=True)
class GradientsAccumulated(Change):
    """Gradients add up over some steps, and only then is there an update."""

    id = "gradients_accumulated"
    sentence = "gradients are accumulated: an update every {every_so_many} steps, and none between"
    formula = "g ← Σ_«k steps» g, w ← w − η g at every k-th"
    origin = "gradient accumulation that is left in"
    remembers = True

    every_so_many: int = 2
    mean: bool = False

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Two to eight steps, by sum and mean."""
        yield from (cls(k, mean) for k in (2, 3, 4, 8) for mean in (False, True))

    @property
    def where(self) -> str:
        """How many."""
        return f"{self.every_so_many}{', mean' if self.mean else ''}"

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """The sum since the last update."""
        before = run.memory if run.step % self.every_so_many else {}
        share = self.every_so_many if self.mean else 1
        run.memory = {key: before.get(key, 0) + value / share for key, value in g.items()}
        return dict(run.memory)

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Only every so many steps."""
        return w if (run.step + 1) % self.every_so_many else after


@dataclass(frozen=True)
class NotInOptimizer(AtParameter):
    """A parameter is not one of the optimizer's: it is neither updated nor is its gradient cleared."""

    id = "not_in_optimizer"
    sentence = "{at} is not given to the optimizer: it is never updated, and its gradient is not cleared"
    formula = "w ← «w», g_t ← g_t «+ g_(t−1)»"
    origin = "an optimizer that is made of the parameters of another module, or before a layer is put in"
    remembers = True
    back = 0

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """What they came to at the step before."""
        run.memory = _reported(filter(self.here, run.inputs.weights), recorded)

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Added to those before."""
        before, run.memory = run.memory, {key: value for key, value in g.items() if self.here(key)}
        run.memory = {key: before.get(key, 0) + value for key, value in run.memory.items()}
        return {**g, **run.memory}

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """As it was."""
        return w if self.here(key) else after


@dataclass(frozen=True)
class BiasSummedOverUnits(Change):
    """A bias's gradient is one number for all units."""

    id = "bias_summed_over_units"
    sentence = "the gradient of every bias is {how} over the units too, and one number for all of them"
    formula = "∂L/∂b_j ← «Σ_j» Σ_samples d"
    origin = "sum() without an axis in a hand-written backward pass"
    choices = ("how",)

    how: Literal["summed", "averaged"] = "summed"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Where some bias has two numbers or more."""
        wide = (param.shape for key, param in scenario.parameters().items() if key.endswith(".bias"))
        yield from super().variants(scenario) if any(shape[0] > 1 for shape in wide) else ()

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Of each bias, over its one axis."""
        over = np.sum if self.how == "summed" else np.mean
        return {k: over(v, axis=-1, keepdims=True) + 0 * v if k.endswith(".bias") else v for k, v in g.items()}


@dataclass(frozen=True)
class GradientsMapped(Change):
    """Every gradient goes through a function of each number."""

    id = "gradients_mapped"
    sentence = "gradients are {how}"
    formula = "g ← «|g|»   (or g²)"
    origin = "a norm that is taken of each number, a second moment in the first one's place"
    choices = ("how", "reported")

    how: Literal["taken without their sign (absolute)", "squared"] = "taken without their sign (absolute)"
    reported: bool = True

    @property
    def where(self) -> str:
        """What becomes of them."""
        return self.how.partition(" (")[0]

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Each number's."""
        return {key: self._mapped(value) for key, value in g.items()} if self.reported else g

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """What is not reported is used all the same."""
        return g if self.reported else self._mapped(g)

    def _mapped(self, g: Any) -> Any:
        return g * g if self.how == "squared" else np.abs(g)
