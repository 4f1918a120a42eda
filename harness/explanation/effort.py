"""How large may a search for causes be? Estimated from sizes, so that no report depends on a machine or its load.

Costs are in operations on an element of an array, of which a processor core does about 10⁹ a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from harness.envelope import how_many
from harness.inputs import Inputs
from harness.quantities import quantity_shapes
from harness.scenario import Linear, Scenario

LAYER = 40_000
"""What a layer costs whatever its size: Python and the calls into NumPy."""

PRODUCTS = 1 / 8
"""What a multiplication and an addition within a product of matrices cost."""

NUMBER = 8
"""How often each number of a step is gone through."""

NOISE = 6
"""How many times a plain run a noisy one costs; it is so many calls, too, for any number of runs."""

HELD = 2**22
"""Numbers of steps that are kept, so as not to be computed again."""

SINGLES = 8_000_000_000
PAIRS = 1_000_000_000
ALTERATIONS = 500_000_000
STEPS = 1_500_000_000
"""What all single changes may cost, all pairs, all alterations that could tell causes apart, and the steps at which a
change must account for everything. Of a small scenario the pairs are several hundred."""

SAMPLE = 2**16
"""Elements of a tensor that are looked at before all of them are."""


@dataclass
class Effort:
    """What a search costs.

    Attributes:
        step: a step by the rules.
        runs: noisy runs of each kind, as many as make a verdict's envelope.
        numbers: of all quantities of a step.
        spent: on steps that were run so far.
    """

    step: float
    runs: int
    numbers: int
    spent: float = 0.0

    @property
    def noisy(self) -> float:
        """A step with noise, of all runs."""
        return NOISE * (2 * self.runs + 1) * self.step / 4

    def steps(self, most: int, least: int = 2) -> int:
        """How many steps a change is compared at."""
        return int(np.clip(STEPS / self.noisy, least, most))


def effort_of(scenario: Scenario, inputs: Inputs) -> Effort:
    """What the search costs for a scenario."""
    batch, widths = inputs.batch_size, scenario.input_widths()
    linear = (y for y in scenario.layers if isinstance(y, Linear))
    products = 3 * batch * sum(widths[y.name] * y.units for y in linear)
    numbers = sum(prod(n or batch for n in shape) for shape in quantity_shapes(scenario).values())
    step = LAYER * (1 + len(scenario.layers)) + PRODUCTS * products + NUMBER * numbers
    return Effort(step, how_many(scenario, inputs), numbers)
