"""How fast is it? Ratios, both sides of each measured in the same run: ``python -m tests.bench [--large]``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench import judging
from tests.bench import measure as measuring

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
RUNS = 5


def training_rows() -> list[tuple[str, str, float, float, str]]:
    """Recording against bare loops."""
    rows = []
    for name, goal in (("torch", "≤ 1.5"), ("paddle", "≤ 1.5"), ("numpy", "≤ 3")):
        command = [sys.executable, "-W", "ignore", "-m", "tests.bench.training", name]
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        ours, theirs = json.loads(answer.splitlines()[-1])
        rows.append((f"{name}: 1,000 steps recorded", "bare loop", ours, theirs, goal))
    return rows


def process_row() -> tuple[str, str, float, float, str]:
    """The whole command against importing both frameworks and running the two bare loops, one after the other."""
    ours = [sys.executable, "-m", "isograd.cli", "run", "article/sum_regression", "--backends", "numpy,torch,paddle"]
    theirs = [sys.executable, "-m", "tests.bench.bare"]
    env = os.environ | {"PYTHONWARNINGS": "ignore"}
    pairs = [(_seconds(ours, env), _seconds(theirs, env)) for _ in range(RUNS + 1)][1:]  # the first warms the disk up
    a, b = (float(np.median(side)) for side in zip(*pairs, strict=True))
    return "isograd run article/sum_regression", "imports + bare loops", a, b, "≤ 1"


def _seconds(command: list[str], env: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, env=env, **QUIET)
    return time.perf_counter() - start


def main() -> None:
    """Measure everything and print one table."""
    table = Table("what", "against", "seconds", "seconds", "ratio", "goal")
    rows = [*training_rows(), judging.row(), process_row()]
    for what, against, ours, theirs, goal in rows:
        table.add_row(what, against, f"{ours:.4f}", f"{theirs:.4f}", f"{ours / theirs:.2f}", goal)
    for row in measuring.rows(large="--large" in sys.argv):
        table.add_row(*map(str, row))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
