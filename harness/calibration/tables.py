"""Which tables do people have? Long batches of few distinct values and one sign, the same for the same number.

A sum of like terms is another matter than one of normal draws: its rounding errors all go one way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.calibration.scenarios import holds
from isograd.loading import parse_scenario
from isograd.scenario import Scenario

Column = NDArray[np.float64]
Generator = np.random.Generator

COLUMNS: dict[str, Callable[[Generator, int], Column]] = {
    "constant": lambda rng, n: np.full(n, rng.choice([1.0, 0.1, 7.3, 19.99])),
    "flag": lambda rng, n: (rng.random(n) < rng.uniform(0.1, 0.9)).astype(float),
    "rare": lambda rng, n: (rng.random(n) < 0.02).astype(float),
    "count": lambda rng, n: rng.poisson(rng.choice([0.5, 3.0, 40.0]), n).astype(float),
    "price": lambda rng, n: rng.choice([4.99, 9.99, 19.99, 49.9], n),
    "percentage": lambda rng, n: np.round(rng.random(n), 2),
    "rating": lambda rng, n: rng.integers(1, 6, n) / 5,
    "sorted": lambda rng, n: np.sort(rng.uniform(0, 3, n)),
    "amount": lambda rng, n: np.round(rng.lognormal(1, 1, n), 2),
    "normal": lambda rng, n: rng.standard_normal(n),
}
"""A column of so many rows, by what it holds."""

ROWS = {"float16": (1000, 2000), "bfloat16": (1000, 4000), "float32": (1000, 10_000), "float64": (1000, 1500)}
"""Rows of a batch; for float64 the truth has 50 digits, each product of which takes a microsecond."""


def table_scenarios(dtype: str, count: int, seed: int = 0) -> Iterator[Scenario]:
    """``count`` scenarios on tables as people have them, that do not overflow ``dtype``."""
    number = seed * 1_000_000
    while count:
        number += 1
        scenario = table_scenario(dtype, number)
        if holds(scenario):
            count -= 1
            yield scenario


def table_scenario(dtype: str, number: int) -> Scenario:
    """1 to 6 columns, or to 40, whole or of repeated rows; one or two linear layers; 1 to 4 steps."""
    rnd, rng = random.Random(f"table {dtype} {number}"), np.random.Generator(np.random.PCG64(number))
    rows = rnd.randint(*ROWS[dtype])
    kinds, x = _features(rnd, rng, rows, 3 if dtype == "float64" else rnd.choice([6, 6, 6, 40]))
    y = _labels(rnd, rng, x)
    size = float(np.mean(x * x)) * x.shape[1] + 1
    return parse_scenario(
        {
            "name": f"table/{dtype}/{number}",
            "title": ", ".join(kinds),
            "dtype": dtype,
            "epochs": rnd.choice([1, 2, 4]),
            "batch_size": rows,
            "data": {"kind": "inline", "x": x.tolist(), "y": y.tolist()},
            "layers": _layers(rnd, rng, x.shape[1], 4 if dtype == "float64" else 16),
            "loss": {"kind": rnd.choice(["mse", "half_squared_error"])},
            "optimizer": {"kind": "sgd", "lr": rnd.choice([0.3, 0.1, 0.01]) / size},
        }
    )


def _features(rnd: random.Random, rng: Generator, rows: int, most: int) -> tuple[list[str], Column]:
    """Columns, or a category's one-hot ones; in a third of the tables a few rows, again and again."""
    if rnd.random() < 0.15:
        return ["one-hot"], np.eye(rnd.randint(2, most))[rng.integers(0, 2, rows)]
    kinds = rnd.choices(list(COLUMNS), k=rnd.randint(1, most))
    repeated = rnd.random() < 0.33
    distinct = rnd.choice([1, 3, 20]) if repeated else rows
    x = np.column_stack([COLUMNS[kind](rng, distinct) for kind in kinds])
    which = np.arange(rows) % distinct if rnd.random() < 0.5 else np.sort(rng.integers(0, distinct, rows))
    return [*kinds, f"{distinct} rows repeated"] if repeated else kinds, x[which] if repeated else x


def _labels(rnd: random.Random, rng: Generator, x: Column) -> Column:
    """Of one kind of column, or what a linear model comes to, to a cent or but for noise; so that it nearly fits."""
    if rnd.random() < 0.5:
        return COLUMNS[rnd.choice(list(COLUMNS))](rng, len(x))[:, np.newaxis]
    y = x @ rng.uniform(-1, 2, (x.shape[1], 1)) + rnd.choice([0.0, 5.0])
    return np.asarray(np.round(y, 2) if rnd.random() < 0.5 else y + 0.1 * rng.standard_normal(y.shape))


def _layers(rnd: random.Random, rng: Generator, features: int, widest: int) -> list[dict[str, Any]]:
    layers: list[dict[str, Any]] = []
    hidden = rnd.choice([None, "relu", "sigmoid"])
    if hidden:
        units = rnd.randint(1, widest)
        layers += [_linear(rnd, rng, "hidden", features, units), {"name": "hidden_act", "kind": hidden}]
        features = units
    return [*layers, _linear(rnd, rng, "output", features, 1)]


def _linear(rnd: random.Random, rng: Generator, name: str, inputs: int, units: int) -> dict[str, Any]:
    zero = rnd.random() < 0.2 and name == "output"  # as people start a regression
    weight = np.zeros((units, inputs)) if zero else rng.standard_normal((units, inputs)) / np.sqrt(inputs)
    return {"name": name, "kind": "linear", "weight": weight.tolist(), "bias": [0.0 if zero else 0.1] * units}
