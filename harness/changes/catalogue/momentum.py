"""Which momentum is present, though none was asked for?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isograd.changes.change import START, Change, Circumstances, Recorded, Values
from isograd.scenario import Scenario


@dataclass(frozen=True)
class Momentum(Change):
    """Momentum, though none was asked for."""

    id = "momentum"
    sentence = "a momentum of {by:.7g} is present"
    formula = "v ← «μ v +» g, w ← w − η v"
    origin = "an optimizer's default"
    between = {"by": (-1.0, 1.0)}  # noqa: RUF012
    solve = {"by": 0.0}  # noqa: RUF012
    remembers = True

    by: float = 0.9

    def back_in(self, scenario: Scenario) -> int | None:
        """Of gradient descent the parameters tell it; of others it is led through all steps."""
        return back_of(scenario)

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """V, by which the parameters have moved."""
        run.memory = moved_by(run, recorded)

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """V for g."""
        run.memory[key] = self.by * run.memory.get(key, 0) + g
        return run.memory[key]


def back_of(scenario: Scenario) -> int | None:
    """That what parameters have moved by tells all that a momentum remembers; None where it does not."""
    return 0 if scenario.is_plain else None


def moved_by(run: Circumstances, recorded: Recorded) -> Values:
    """What each parameter's gradient must have been for the update of the step before, by plain gradient descent."""
    plain = run.scenario.is_plain
    lr = float(run.inputs.lr[run.step - 1]) if run.step and plain else 0.0
    sides = {
        key: (recorded(f"{START}weight/{key}", 1), recorded(f"weight/{key}", 1)) for key in run.inputs.weights if lr
    }
    return {key: (w - after) / lr for key, (w, after) in sides.items() if w is not None and after is not None}


@dataclass(frozen=True)
class Nesterov(Change):
    """Nesterov's momentum, though none was asked for."""

    id = "nesterov"
    sentence = "a Nesterov momentum of {by:.7g} is present"
    formula = "v ← μ v + g, w ← w − η (g «+ μ v»)"
    origin = "nesterov=True"
    between = {"by": (0.0, 1.0)}  # noqa: RUF012
    solve = {"by": 0.0}  # noqa: RUF012
    remembers = True

    by: float = 0.9

    def back_in(self, scenario: Scenario) -> int | None:
        """Of gradient descent the parameters tell it; of others it is led through all steps."""
        return back_of(scenario)

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """μ v: by what the parameters have moved beside their gradients."""
        gradients = {key: recorded(f"grad/{key}", 1) for key in run.inputs.weights}
        moved = moved_by(run, recorded)
        run.memory = {key: moved[key] - g for key, g in gradients.items() if g is not None and key in moved}

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """A gradient, and momentum ahead of it; what is remembered is μ v."""
        run.memory[key] = self.by * (run.memory.get(key, 0) + g)
        return g + run.memory[key]


@dataclass(frozen=True)
class Dampened(Change):
    """Momentum with dampening, though none was asked for."""

    id = "dampened"
    sentence = "a momentum of {by:.7g} with a dampening of {dampening:.7g} is present"
    formula = "v ← μ v + «(1 − τ)» g, v_1 = g, w ← w − η v"
    origin = "PyTorch's SGD with dampening"
    between = {"by": (0.0, 1.0), "dampening": (0.0, 1.0)}  # noqa: RUF012
    solve = {"by": 0.0, "dampening": 0.0}  # noqa: RUF012
    remembers = True

    by: float = 0.9
    dampening: float = 0.5

    def back_in(self, scenario: Scenario) -> int | None:
        """Of gradient descent the parameters tell it; of others it is led through all steps."""
        return back_of(scenario)

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """V, by which the parameters have moved."""
        run.memory = moved_by(run, recorded)

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """V for g."""
        before = run.memory.get(key)
        run.memory[key] = g if before is None else self.by * before + (1 - self.dampening) * g
        return run.memory[key]
