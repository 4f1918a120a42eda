"""How fast is measuring, and in how much memory? ``python -m tests.bench.measure [--large]``."""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from harness.measure import measure

Row = tuple[str, str, float, float, float, str]  # what, against, ours, theirs, ours / theirs, the goal for the ratio
ROUNDS = 7
MEGABYTE = 1e6


def pair(count: int) -> tuple[Any, Any]:
    """One step of ``count`` float32: the result of a backend, off by up to 2 ULP, and the reference; both (1, count)."""
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


def rows(large: bool = False) -> Iterator[Row]:
    """Everything measured, at 10⁷ elements and small; ``large`` adds 10⁸, which needs 2 GB."""
    yield small_row()
    for count in (10**7, 10**8) if large else (10**7,):
        yield from large_rows(count)


def small_row() -> Row:
    """A quantity of 1,000 steps, as dozens of them are measured in a run; against what is wanted, 1 ms."""
    b = np.random.default_rng(0).standard_normal((1000, 8))
    a = b.astype(np.float32)
    ours = min(_seconds(lambda: measure(a, b)) for _ in range(20 * ROUNDS))
    return "measure, (1000, 8) float32 against float64", "1 ms", round(ours, 6), 1e-3, round(ours / 1e-3, 3), "≤ 1"


def large_rows(count: int) -> Iterator[Row]:
    """Two float32 arrays: against torch's comparison, against copying one of them, and the memory beyond them."""
    import torch

    what = f"measure, {count:.0e} float32"
    a, b = pair(count)
    one, two = torch.from_numpy(a), torch.from_numpy(b)
    yield (
        what,
        "torch.testing.assert_close",
        *duel(lambda: measure(a, b), lambda: torch.testing.assert_close(one, two)),
        "≤ 0.125",
    )
    target = np.ones_like(b)  # written once, so that its pages are there before it is timed
    yield what, "np.copyto", *duel(lambda: measure(a, b), lambda: np.copyto(target, b)), "≤ 4" if count > 10**7 else ""
    peak = round(_peak(lambda: measure(a, b)) / MEGABYTE, 1)
    yield (
        f"{what}: MB beyond the arrays",
        "MB of the arrays",
        peak,
        2 * b.nbytes / MEGABYTE,
        round(peak / 64, 3),
        "≤ 64 MB",
    )


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
