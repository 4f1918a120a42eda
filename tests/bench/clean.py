"""How near to their bounds are runs that differ by rounding alone? ``python -m tests.bench.clean [SCENARIOS] [DTYPE]``.

Random small scenarios (1 to 3 linear layers, width to 24, batch to 40, data scale 1e-3 to 1e3, 1 to 20 epochs) on every
installed backend. A run that overflows its dtype is counted apart: it is no case of rounding.
"""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

from harness import Scenario, run
from harness.catalogue import parse_scenario


def random_scenario(number: int, dtype: str) -> Scenario:
    """Scenario ``number``, the same each time."""
    rnd, rng = random.Random(number), np.random.default_rng(number)
    samples, features, outputs = rnd.randint(1, 40), rnd.randint(1, 16), rnd.randint(1, 4)
    scale = 10 ** rnd.uniform(-3, 3)
    layers: list[dict[str, Any]] = []
    depth = rnd.randint(1, 3)
    for i in range(depth):
        weight = {"draw": rnd.choice(["normal", "uniform"]), "scale": rnd.choice([0.1, 0.5, 1.0, 3.0])}
        units = outputs if i == depth - 1 else rnd.randint(1, 24)
        bias = {"bias": {"draw": "normal", "scale": 0.5}} if rnd.random() < 0.6 else {}
        layers.append({"name": f"linear{i}", "kind": "linear", "outputs": units, "weight": weight} | bias)
        act = rnd.choice(["relu", "sigmoid", "scale", None])
        factor = {"factor": rnd.choice([2.0, 0.3, -1.5])} if act == "scale" else {}
        layers += [{"name": f"act{i}", "kind": act} | factor] if act else []
    x, y = rng.standard_normal((samples, features)) * scale, rng.standard_normal((samples, outputs))
    return parse_scenario(
        {
            "name": f"random/{number}",
            "title": "random",
            "dtype": dtype,
            "seed": number,
            "epochs": rnd.choice([1, 1, 5, 20]),
            "batch_size": rnd.randint(1, samples),
            "data": {"kind": "inline", "x": x.tolist(), "y": y.tolist()},
            "layers": layers,
            "loss": {"kind": rnd.choice(["mse", "half_squared_error"])},
            "optimizer": {"kind": "sgd", "lr": rnd.choice([0.1, 0.01, 0.001]) / max(1.0, scale * scale)},
        }
    )


def main() -> None:
    """Run them, and print how error over bound is distributed."""
    count, dtype = int((sys.argv[1:2] or ["400"])[0]), (sys.argv[2:3] or ["float32"])[0]
    report = run([random_scenario(number, dtype) for number in range(count)])
    cells = report.summary[report.summary.verdict != "UNSUPPORTED"]
    # a scenario overflows where the hand-written rules do, in the same dtype
    overflowed = cells[(cells.backend == "numpy") & ~np.isfinite(cells.error_over_bound)].scenario
    clean = cells[~cells.scenario.isin(overflowed) & (cells.verdict != "IDENTICAL")]
    print(
        f"{dtype}: {count} scenarios, {overflowed.nunique()} overflow; {len(clean)} clean cells that are not IDENTICAL"
    )
    print("not green:", int((~clean.verdict.isin(["EQUIVALENT"])).sum()))
    for share in (0.5, 0.9, 0.99, 1.0):
        print(f"error over bound, {share:.0%} of them at most: {clean.error_over_bound.quantile(share):.3f}")
    worst = clean.sort_values("error_over_bound").tail(3)
    print(worst[["scenario", "backend", "mode", "error_over_bound"]].to_string(index=False))


if __name__ == "__main__":
    main()
