"""Which layers are so wide that fewer noisy runs make their envelope? Random ones, the same for the same number."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from isograd.envelope import LARGE
from isograd.loading import parse_scenario
from isograd.scenario import Scenario

WIDEST = {"float16": 900, "bfloat16": 900, "float32": 1200, "float64": 420}
"""Units of a layer; in float64 the truth of more takes minutes."""


def wide_scenarios(dtype: str, count: int, seed: int = 0) -> Iterator[Scenario]:
    """``count`` scenarios with a weight of so many elements that there are fewer noisy runs."""
    for number in range(seed * 1_000_000, seed * 1_000_000 + count):
        yield wide_scenario(dtype, number)


def wide_scenario(dtype: str, number: int) -> Scenario:
    """1 to 3 layers with something between, batches of 4 to 64, 1 to 3 steps."""
    rnd = random.Random(f"wide {dtype} {number}")
    features, widest = rnd.randint(64, 800), WIDEST[dtype]
    least = round(1.2 * LARGE / features)
    first = rnd.randint(least, max(widest, least))
    widths = [features, first, *(rnd.randint(1, widest // 2) for _ in range(rnd.randint(0, 2)))]
    samples, batch = rnd.randint(4, 64), rnd.randint(4, 64)
    layers: list[dict[str, Any]] = []
    for i, (before, width) in enumerate(pairwise(widths)):
        layers += [{"name": f"act{i}", "kind": rnd.choice(["relu", "sigmoid"])}] if i else []
        weight = {"draw": rnd.choice(["normal", "uniform"]), "scale": rnd.choice([0.3, 1.0, 3.0]) / before**0.5}
        bias = {"bias": {"draw": "uniform", "scale": 0.1}} if rnd.random() < 0.7 else {}
        layers.append({"name": f"linear{i}", "kind": "linear", "outputs": width, "weight": weight} | bias)
    broadcast = {"width_1_labels": "broadcast"} if widths[-1] > 1 else {}
    return parse_scenario(
        {
            "name": f"wide/{dtype}/{number}",
            "title": " → ".join(map(str, widths)),
            "dtype": dtype,
            "seed": number,
            "epochs": rnd.randint(1, 3),
            "batch_size": batch,
            "data": {"kind": "gaussian", "samples": samples, "features": features, "target": "sum"},
            "layers": layers,
            "loss": {"kind": "mse"} | broadcast,
            "optimizer": {"kind": "sgd", "lr": rnd.choice([1e-2, 1e-3, 1e-4])},
        }
    )
