"""Does a difference matter? The only file with an opinion, and the only one with thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from harness.comparison import Comparison
from harness.noise import LARGEST, Floats
from harness.quantities import kind
from harness.source import Expect


class Verdict(StrEnum):
    """What a cell (scenario × backend × dtype × mode) comes to."""

    IDENTICAL = "IDENTICAL"  # bit for bit what the reference backend gives in the same dtype
    EQUIVALENT = "EQUIVALENT"  # every element within its bound
    EXPECTED = "EXPECTED"  # diverges exactly as written down
    DRIFTS = "DRIFTS"  # within bounds in resync, outside in free
    DIVERGES = "DIVERGES"  # outside its bound
    STALE = "STALE"  # a written-down divergence that does not show
    VACUOUS = "VACUOUS"  # nothing was really compared
    UNSUPPORTED = "UNSUPPORTED"  # the backend has no row for something in the scenario
    ERROR = "ERROR"  # crashed, hung, or could not be imported

    @property
    def green(self) -> bool:
        """Whether a run with this verdict is fine."""
        return self in (Verdict.IDENTICAL, Verdict.EQUIVALENT, Verdict.EXPECTED)


# ---------------------------------------------------------------- the bound

# How many times its noise a quantity may be off. Of 1,540 cells of random float32 scenarios on PyTorch 2.13.0 and
# PaddlePaddle 3.3.1 half came to 0.6 times their noise, 99 % to 3.1 times, and all to 10.6 times
# (`python -m tests.bench.clean`, error over bound × 16). A learning rate is a constant: nothing may be off.
FACTOR = {"lr": 0.0, "forward": 16.0, "loss": 16.0, "backward": 16.0, "grad": 16.0, "weight": 16.0}


def bound(quantity: str, level: Floats, sides: int = 1) -> Floats:
    """The largest error that rounding accounts for, for each step of one quantity.

    Args:
        quantity: its name.
        level: the size of rounding's noise at each step, from `harness.noise`.
        sides: how many runs have noise: 1 against the reference, 2 between two backends.
    """
    return FACTOR.get(kind(quantity), max(FACTOR.values())) * sides * level


# ---------------------------------------------------------------- the verdict


@dataclass(frozen=True)
class Judgement:
    """What a comparison comes to.

    Attributes:
        verdict: see `Verdict`.
        first: the first quantity outside its bound, in execution order within the earliest step; "" if none.
        step: its step; None if none.
        error_over_bound: the largest of all.
        max_abs: the largest absolute error of all.
        max_ulp: the largest distance in units in the last place.
        message: what a person should read first.
        ratios: for each quantity, error over bound at each step.
        bounds: for each quantity, the bound at each step.
        structural: it is no number that differs: a name, a step, a shape or a dtype.
    """

    verdict: Verdict
    first: str = ""
    step: int | None = None
    error_over_bound: float = 0.0
    max_abs: float = 0.0
    max_ulp: float = 0.0
    message: str = ""
    ratios: Mapping[str, Floats] | None = None
    bounds: Mapping[str, Floats] | None = None
    structural: bool = False


def judge(comparison: Comparison, levels: Mapping[str, Floats], dtype: str, sides: int = 1) -> Judgement:
    """Structure first, then NaN and infinities by class (their error is infinite), then numbers.

    Args:
        comparison: the measures of two traces.
        levels: by quantity, the size of rounding's noise at each of the comparison's steps.
        dtype: what the run was in.
        sides: how many of the two runs have noise.
    """
    bounds = {name: bound(name, levels[name], sides) for name in comparison.measures}
    ratios = {name: _ratio(m.max_abs, bounds[name]) for name, m in comparison.measures.items()}
    found = Judgement(
        Verdict.EQUIVALENT,
        error_over_bound=max((float(r.max()) for r in ratios.values()), default=0.0),
        max_abs=max((float(m.max_abs.max()) for m in comparison.measures.values()), default=0.0),
        max_ulp=max((float(m.max_ulp.max()) for m in comparison.measures.values()), default=0.0),
        ratios=ratios,
        bounds=bounds,
    )
    if comparison.problems:
        problem = comparison.problems[0]
        text = f"{problem.quantity}: {problem.text}"
        found = replace(found, first=problem.quantity, step=problem.step, structural=True)
        return replace(found, verdict=Verdict.DIVERGES, message=text)
    if not _anything_proven(comparison):
        size = f"{len(comparison.measures)} quantities over {len(comparison.steps)} steps"
        text = f"{size}, and not one number other than zero or NaN"
        return replace(found, verdict=Verdict.VACUOUS, message=text)
    outside = [(int(rows[0]), name) for name, r in ratios.items() if len(rows := np.flatnonzero(~(r <= 1.0)))]
    if not outside:
        return found
    row, name = min(outside, key=lambda pair: pair[0])  # of one step the first in order: dicts keep it, min is stable
    text = describe(comparison, name, row, bounds[name][row])
    if abs(comparison.measures[name].other[row]) > LARGEST[dtype]:
        text += f": the run overflows, {dtype} ends at {LARGEST[dtype]:.3g}"
    return replace(found, verdict=Verdict.DIVERGES, first=name, step=comparison.steps[row], message=text)


def describe(comparison: Comparison, name: str, row: int, limit: float) -> str:
    """One line on the worst element of a quantity at a step: where, what came, what was expected, how far off."""
    m = comparison.measures[name]
    where = f"{name}{list(comparison.index(name, row)) or ''} at step {comparison.steps[row]}"
    inside = f"off by {m.max_abs[row]:.3g}, bound {limit:.3g}"
    off = "one of them is not a finite number" if m.mismatched[row] else inside
    others = f"; {m.unequal[row]} of {m.size[row]} elements differ" if m.size[row] > 1 else ""
    return f"{where}: got {m.value[row]:.9g}, expected {m.other[row]:.9g} ({off}{others})"


def settle(judgement: Judgement, expect: Expect | None, identical: bool) -> Judgement:
    """The verdict, once it is known what the scenario expects, and whether all bits are the reference backend's."""
    if expect is None:
        same = identical and judgement.verdict is Verdict.EQUIVALENT
        return replace(judgement, verdict=Verdict.IDENTICAL) if same else judgement
    if judgement.verdict is Verdict.VACUOUS or judgement.structural:  # what was not compared shows nothing expected
        return judgement
    if judgement.verdict is not Verdict.DIVERGES:
        text = f"expected to diverge at {expect.first}, step {expect.step} ({expect.reason}); it does not"
        return replace(judgement, verdict=Verdict.STALE, message=text)
    if (judgement.first, judgement.step) != (expect.first, expect.step):
        text = f"{judgement.message}; expected the first divergence at {expect.first}, step {expect.step}"
        return replace(judgement, message=text)
    return replace(judgement, verdict=Verdict.EXPECTED, message=expect.reason)


def drifts(free: Judgement, resync: Judgement) -> Judgement:
    """A free run that is outside its bound although each step of it is inside: the same rules, amplified rounding."""
    numbers = free.verdict is Verdict.DIVERGES and not free.structural
    if numbers and resync.verdict in (Verdict.IDENTICAL, Verdict.EQUIVALENT):
        return replace(free, verdict=Verdict.DRIFTS)
    return free


def _ratio(error: Floats, limit: Floats) -> Floats:
    """error / limit, with 0 / 0 = 0: an exact zero is within every bound, and an infinite error within none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(error == 0, 0.0, np.where(np.isinf(error), np.inf, error / limit)))


def _anything_proven(comparison: Comparison) -> bool:
    """Whether there is one finite number other than zero on either side; the learning rate does not count."""
    seen: list[Any] = [m for name, m in comparison.measures.items() if name != "lr"]
    return any(((m.magnitude > 0) | (m.max_abs > 0)).any() for m in seen)
