"""How fast is measuring, and in how much memory? ``python -m tests.bench.measure [--large]``."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from isograd.measure import measure

Row = tuple[str, str, float, float, float, str]  # what, against, ours, theirs, ours / theirs, the goal for the ratio
ROUNDS = 7
MEGABYTE = 1e6


def pair(count: int) -> tuple[Any, Any]:
    """One step of ``count`` float32: the result of a backend, off by up to 2 ULP, and the reference: (1, count)."""
    rng = np.random.default_rng(0)
    b = rng.standard_normal((1, count), dtype=np.float32)
    return b * (1 + rng.integers(-2, 3, b.shape, dtype=np.int8) * np.float32(2**-23)), b


def duel(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float, float]:
    """The best time of each, taken in turns so that a busy moment meets both, and their ratio."""
    times = [(_seconds(ours), _seconds(theirs)) for _ in range(ROUNDS)]
    a, b = (min(side) for side in zip(*times, strict=True))
    return round(a, 6), round(b, 6), round(a / b, 3)


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rows(large: bool = False) -> list[Row]:
    """Everything measured, small and at 10⁷ elements; ``large`` adds 10⁸, which needs 2 GB."""
    counts = (10**7, 10**8) if large else (10**7,)
    return [small_row(), *(row for count in counts for row in large_rows(count))]


def small_row() -> Row:
    """A quantity of 1,000 steps, as dozens of them are measured in a run; against what is wanted, 1 ms."""
    b = np.random.default_rng(0).standard_normal((1000, 8))
    a = b.astype(np.float32)
    ours = min(_seconds(lambda: measure(a, b)) for _ in range(20 * ROUNDS))
    return "measure, (1000, 8) float32 against float64", "1 ms", round(ours, 6), 1e-3, round(ours / 1e-3, 3), "≤ 1"


def large_rows(count: int) -> list[Row]:
    """Two float32 arrays: against torch's comparison, against copying one of them, and the memory beyond them."""
    import torch

    a, b = pair(count)
    one, two = torch.from_numpy(a), torch.from_numpy(b)
    target = np.ones_like(b)  # written once, so that no time goes into getting its pages
    torch_times = duel(lambda: measure(a, b), lambda: torch.testing.assert_close(one, two))
    copy_times = duel(lambda: measure(a, b), lambda: np.copyto(target, b))
    peak = round(_peak(lambda: measure(a, b)) / MEGABYTE, 1)
    what = f"measure, {count:.0e} float32"
    return [
        (what, "torch.testing.assert_close", *torch_times, "≤ 0.125"),
        (what, "np.copyto of one", *copy_times, "≤ 4" if count >= 10**8 else ""),
        (f"{what}, MB beyond the arrays", "64 MB", peak, 64.0, round(peak / 64, 3), "≤ 1"),
    ]


def _peak(call: Callable[[], Any]) -> int:
    tracemalloc.start()  # NumPy tells it of its arrays
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main() -> None:
    """Print a line for each row."""
    print(f"{'what':45}{'against':28}{'ours':>10}{'theirs':>10}{'ratio':>8}  goal")
    for what, against, ours, theirs, ratio, goal in rows(large="--large" in sys.argv):
        print(f"{what:45}{against:28}{ours:10.5g}{theirs:10.5g}{ratio:8.3f}  {goal}")


if __name__ == "__main__":
    main()
