"""How large may a search for causes be? Estimated from sizes, so that no report depends on a machine or its load.

Costs are in operations on an element of an array, of which a processor core does about 10⁹ a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from isograd.arithmetic.noise import Kind
from isograd.envelope import how_many
from isograd.inputs import Inputs
from isograd.quantities import quantity_shapes
from isograd.reference import products
from isograd.scenario import Scenario

LAYER = 40_000
"""What a layer costs whatever its size: Python and the calls into NumPy."""

PRODUCTS = 1 / 8
"""What a multiplication and an addition within a product of matrices cost."""

NUMBER = 8
"""How often each number of a step is gone through."""

NOISE = 3
"""How many times a plain run a noisy one costs, element by element."""

CALLS = 10
"""How many times the calls of a plain run the noisy ones cost, all together."""

LEAST_SQUARES = 10
"""What two effects cost that are fitted to a difference, for each element of it."""

TOGETHER = 2**23
"""Numbers of a step in all noisy runs up to which they run at once."""

HELD = 2**22
"""Numbers of steps that are kept, so as not to be computed again."""

DEAR = 50_000_000
"""A noisy step that costs more is not run for a change that is far off by the typical envelope."""

READINGS = 3_000_000_000
SINGLES = 6_000_000_000
PAIRS = 2_000_000_000
ALTERATIONS = 500_000_000
STEPS = 1_500_000_000
"""What reading options off a trace may cost, all single changes, all pairs, all alterations that could tell causes
apart, and the steps at which a change must account for everything. Of a small scenario the pairs are several hundred.
"""

SAMPLE = 2**16
"""Elements of a tensor that are looked at before all of them are."""


@dataclass
class Effort:
    """What a search costs.

    Attributes:
        calls: of a step by the rules, whatever its size.
        elements: of a step by the rules, all that is computed.
        runs: noisy runs of each kind, as many as make a verdict's envelope.
        numbers: of all quantities of a step.
        spent: on steps that were run so far.
    """

    calls: float
    elements: float
    runs: int
    numbers: int
    spent: float = 0.0

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Both kinds of noisy runs together, or of large steps one after the other, so as to hold half as much."""
        together = (1 + Kind.BOTH.number(self.runs)) * self.numbers <= TOGETHER
        return (Kind.BOTH,) if together else (Kind.FIRST, Kind.SECOND)

    @property
    def dear(self) -> bool:
        """Whether a noisy step costs so much that not every change can have some."""
        return self.noisy > DEAR

    @property
    def noisy(self) -> float:
        """A step with noise, of all runs."""
        return CALLS * self.calls + NOISE * (2 * self.runs + 1) * self.elements

    @property
    def step(self) -> float:
        """A step by the rules."""
        return self.calls + self.elements

    def steps(self, most: int, least: int = 2) -> int:
        """How many steps a change is compared at."""
        return int(np.clip(STEPS / self.noisy, least, most))


def effort_of(scenario: Scenario, inputs: Inputs) -> Effort:
    """What the search costs for a scenario."""
    batch = inputs.batch_size
    numbers = sum(prod(n or batch for n in shape) for shape in quantity_shapes(scenario).values())
    calls, elements = LAYER * (1 + len(scenario.layers)), PRODUCTS * products(scenario, batch) + NUMBER * numbers
    return Effort(calls, elements, how_many(scenario, inputs), numbers)
