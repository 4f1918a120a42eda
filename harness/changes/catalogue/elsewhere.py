"""At which other parameters are gradients taken?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from isograd.changes.catalogue.gradients import shrunk
from isograd.changes.change import Change, Circumstances, Values
from isograd.changes.functions import TINY


@dataclass(frozen=True)
class GradientsElsewhere(Change):
    """Gradients are taken at other parameters than those of the forward pass that is reported."""

    id = "gradients_elsewhere"
    sentence = "gradients are taken at perturbed weights: {by:.7g} times {along} away"
    formula = "g = ∇L(w «+ c δ»)   (not ∇L(w))"
    origin = "sharpness-aware minimisation (SAM), an extragradient or midpoint step, Nesterov's momentum by its paper"
    solve = {"by": 0.0}  # noqa: RUF012
    between = {"by": (-10.0, 10.0)}  # noqa: RUF012
    choices = ("along", "reported")
    remembers = True
    back = 1

    along: Literal[
        "the gradient over its norm uphill (SAM: sharpness)", "the update", "the update of the step before"
    ] = "the gradient over its norm uphill (SAM: sharpness)"
    reported: bool = True
    by: float = 0.01

    vague = True  # of few numbers, some way along some direction gives any gradient

    @property
    def where(self) -> str:
        """Where to."""
        return self.along.partition(" (")[0] + ("" if self.reported else ": in the update only")

    def says(self) -> str:
        """Also whether it is reported."""
        return super().says() + ("" if self.reported else ", in the update only")

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """Those at the other parameters."""
        w = {key: run.plain(run.parameter(key)) for key in g}
        before = run.memory.get("before", w)
        if self.along == "the update":
            away = {
                key: run.plain(run.update(key, run.parameter(key), run.held(g[key], run.parameter(key)))) - w[key]
                for key in g
            }
        elif self.along == "the update of the step before":
            away = {key: w[key] - before[key] for key in g}
        else:
            away = shrunk(run, g, common=True, share=lambda norm: 1 / np.maximum(norm, TINY))
        found = run.elsewhere({key: w[key] + self.by * away[key] for key in g})
        run.memory = {"before": w, "found": found}
        return found if self.reported else g

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """What is not reported is used all the same."""
        return g if self.reported else run.memory["found"][key]
