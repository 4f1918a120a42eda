"""Which runs overflow? Random small ones with data and learning rates that are too large; the same for one number."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from isograd.calibration.scenarios import random_scenario
from isograd.errors import ScenarioError
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.recorder import record_here
from isograd.rules import Rules
from isograd.scenario import Scenario
from isograd.trace import Trace

REACH = {"float16": 2.0, "bfloat16": 6.0, "float32": 6.0, "float64": 6.0}
"""Powers of ten by which data may be larger than in other scenarios."""

STEPS = (1, 3, 8, 20)


def overflowing_scenarios(dtype: str, count: int, seed: int = 0) -> Iterator[Scenario]:
    """``count`` scenarios in which the rules in ``dtype`` itself come to an infinity or NaN."""
    number = seed * 1_000_000
    while count:
        number += 1
        scenario = overflowing_scenario(dtype, number)
        if overflows(scenario):
            count -= 1
            yield scenario


def overflowing_scenario(dtype: str, number: int) -> Scenario:
    """A random scenario with data up to a million times as large, and a learning rate that makes it diverge, or not."""
    rnd = random.Random(f"overflow {dtype} {number}")
    raw = random_scenario(dtype, number, STEPS).model_dump(mode="json")
    larger = 10 ** rnd.uniform(0, REACH[dtype])
    for side in ("x", "y") if rnd.random() < 0.7 else ("x",):
        raw["data"][side] = (larger * np.array(raw["data"][side])).tolist()
    raw["optimizer"]["lr"] *= 10 ** rnd.uniform(-1, 5)
    return parse_scenario(raw | {"name": f"overflow/{dtype}/{number}"})


def overflows(scenario: Scenario) -> bool:
    """Whether the rules in the scenario's own dtype come to a number that is not finite."""
    try:
        inputs = make_inputs(scenario)
    except ScenarioError:  # data or a learning rate that the dtype cannot hold
        return False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        trace = record_here(Rules(rounded=True), "reference", scenario, inputs)
    return not all(np.isfinite(column).all() for column in trace.columns.values())


def makes_numbers_of_nan(scenario: Scenario, trace: Trace) -> bool:
    """Whether a ReLU of the trace made a number of its own NaN, which by the rules it may not."""
    layers = scenario.layers
    pairs = [(a.name, b.name) for a, b in pairwise(layers) if b.kind == "relu"]
    columns = [(trace.columns[f"forward/{below}"], trace.columns[f"forward/{name}"]) for below, name in pairs]
    return any(bool((np.isnan(z) & ~np.isnan(a)).any()) for z, a in columns)
