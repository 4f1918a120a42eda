"""Which learning rate does each step have?"""

from __future__ import annotations

from math import cos, pi
from typing import Annotated, Literal

from pydantic import Field

from isograd.ops.op import Schedule
from isograd.spec import Count, Number, Step


class Cosine(Schedule):
    """A warm-up in a line, then half a cosine: lr ½ (1 + cos π (t − W) / (T − W)), down to a floor.

    For t < W = ``warmup`` the rate is lr (s + (1 − s) t / W), with s = ``start``; then floor + (lr − floor) times half
    a cosine, which ends at T = ``steps``, or at the run's end without. Loshchilov and Hutter, *SGDR*
    (2017), equation 5.
    """

    kind: Literal["cosine"]
    examples = ({"steps": 10}, {"steps": 10, "warmup": 3}, {"steps": 10, "warmup": 3, "start": 0.5}, {"floor": 1e-3})

    warmup: Step = 0
    start: Annotated[Number, Field(gt=0, le=1)] = 0.1
    floor: Annotated[Number, Field(ge=0)] = 0.0
    steps: Count | None = None

    def rate(self, t: int, steps: int, lr: float) -> float:
        """The rate of a step."""
        if t < self.warmup:
            return lr * (self.start + (1 - self.start) * t / self.warmup)
        last = self.steps or steps
        share = min(1.0, (t - self.warmup) / max(1, last - self.warmup))
        return self.floor + (lr - self.floor) * (1 + cos(pi * share)) / 2
