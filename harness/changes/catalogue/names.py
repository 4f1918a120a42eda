"""Is what is reported under one name another quantity?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from isograd.changes.change import Change, Circumstances, Evidence, Values
from isograd.changes.places import is_activation
from isograd.changes.reading import near
from isograd.scenario import Scenario


@dataclass(frozen=True)
class ReportedOfOther(Change):
    """What is reported under one name is another quantity, or its transpose."""

    id = "reported_of_other"
    sentence = "what is reported as {at} is {other}, and the training is right"
    formula = "reported: «q′»   (not q)"
    origin = "a hook on the layer behind, grad_output for grad_input, a name that is mistaken, a layout"
    needs = ("other",)

    at: str = ""
    other: str = ""
    turned: bool = False

    @property
    def where(self) -> str:
        """What is reported as what."""
        return f"{self.at}: {self.other}"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """An activation's and that of what feeds it, either way; others are read off."""
        yield cls()
        for layer in scenario.layers:
            if is_activation(scenario, layer) and (feed := scenario.feeds()[layer.name][0]) in scenario.feeds():
                for kind in ("forward", "backward"):
                    one, other = f"{kind}/{feed}", f"{kind}/{layer.name}"
                    yield from (cls(at=one, other=other), cls(at=other, other=one))

    def says(self) -> str:
        """What is reported."""
        if self.turned:
            return f"{self.at} is reported transposed, in its other layout (in, out), and the training is right"
        return super().says()

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """That quantity."""
        return frozenset((self.at,)) if self.at else None

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Which other quantity each that is wrong at the first step is; none where it is no other."""
        if self.at:
            return
        step, slack = evidence.steps[0], near(evidence.scenario.dtype, NEAR)
        names = [name for name in evidence.quantities if name != "lr"]
        right = {name: evidence.ruled(name, step) for name in names}
        for name in names:
            got = evidence.recorded(name, step)
            if got is None or got.size < FEW or _alike(got, right[name], slack):
                continue
            yield from (
                cls_of for other in names
                if other != name and _alike(got, right[other], slack)
                for cls_of in [replace(self, at=name, other=other)]
            )  # fmt: skip
            if got.ndim == 2 and got.shape[0] == got.shape[1] and _alike(got, right[name].T, slack):
                yield replace(self, at=name, other=name, turned=True)

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """The other one under its name."""
        if not self.at or self.other not in seen:
            return seen
        value = np.asarray(seen[self.other])
        return {**seen, self.at: value.swapaxes(-1, -2) if self.turned else value}


NEAR = 1e-4
"""Of its largest number, how far a quantity may be from another one to be that."""

FEW = 2
"""Numbers of a quantity from which on that it is another one is no accident."""


def _alike(got: Any, other: Any, slack: float) -> bool:
    size = float(np.abs(other).max(initial=0.0))
    return got.shape == other.shape and size > 0 and bool((np.abs(got - other) <= slack * size).all())
