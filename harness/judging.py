"""Does a difference matter? The only file with an opinion, and the only one with thresholds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from isograd.comparison import Comparison
from isograd.dtypes import FORMATS
from isograd.errors import IsogradError
from isograd.measure import Floats
from isograd.quantities import kind
from isograd.source import Expect
from isograd.trace import Known


class Verdict(StrEnum):
    """What a cell (scenario × backend × dtype × mode) comes to."""

    IDENTICAL = "IDENTICAL"  # bit for bit what the reference backend gives in the same dtype
    EQUIVALENT = "EQUIVALENT"  # every element within its bound
    EXPECTED = "EXPECTED"  # diverges exactly as written down
    DRIFTS = "DRIFTS"  # within bounds in resync, outside in free
    IMPRECISE = "IMPRECISE"  # the rules agree in float64; in its own dtype a quantity is outside its bound
    DIVERGES = "DIVERGES"  # outside its bound
    STALE = "STALE"  # a written-down divergence that does not show
    VACUOUS = "VACUOUS"  # nothing was really compared
    UNSUPPORTED = "UNSUPPORTED"  # the backend has no row for something in the scenario
    NONDETERMINISTIC = "NONDETERMINISTIC"  # two runs of the same backend differ
    ERROR = "ERROR"  # crashed, hung, or could not be imported

    @property
    def green(self) -> bool:
        """Whether a run with this verdict is fine."""
        return self in (Verdict.IDENTICAL, Verdict.EQUIVALENT, Verdict.EXPECTED)


# ---------------------------------------------------------------- the bound

# How many envelopes an element may be off: the one threshold. Measured with `isograd calibrate` (reports/calibration):
# of 2,100 right runs of NumPy, PyTorch 2.13.0 and PaddlePaddle 3.3.1 on random scenarios in four dtypes none was more
# than 3.00 off, so that with 95 % confidence at most 0.18 % of such runs are judged wrong (Wilson); of 3,488 seeded
# faults above rounding none was less than 12.7 off. Six lies between them.
FACTOR = 6.0

# At other factors the share of right runs that may be judged wrong, at most, with 95 % confidence; of the same runs
# and 6,720 noisy ones, which stray further than backends do: those outside at 6 are all in 16-bit dtypes.
FALSE_ALARMS = {2.0: 0.23, 3.0: 0.048, 4.0: 0.016, 6.0: 0.0061, 8.0: 0.0038, 16.0: 0.0023, 32.0: 0.0021, 64.0: 0.002}


def factor_of(false_alarms: float | None) -> float:
    """The smallest calibrated factor with at most that share of false alarms; without a share, `FACTOR`.

    Raises:
        IsogradError: a share that is rarer than was measured, or none.
    """
    if false_alarms is None:
        return FACTOR
    found = [factor for factor, share in FALSE_ALARMS.items() if share <= false_alarms <= 1]
    if not found:
        least = min(FALSE_ALARMS.values())
        raise IsogradError(f"--false-alarms: expected a share from {least:g} to 1, as calibrated; got {false_alarms:g}")
    return min(found)


# ---------------------------------------------------------------- the cause

# A cause must account for everything within the same bounds. What makes of a change that does so a cause, and of a
# number that was solved for a value. Where no origin stands, it was chosen with the hand-written mistakes in view
# (`python -m tests.mistakes.measure`), and not calibrated.

SURE = 3.0
"""A solved value within so many standard errors of what changes nothing, or of a simple number, is that: of normal
errors 0.3 % are further off."""

SHARP = 1e-3
"""A value that is known no better than this share of it is near a simple number by accident too often."""

OF_TWO = 10
"""Wrong numbers for each value that two changes together have solved: numbers of one step follow from one another, and
two values that are free fit a handful of them."""

GRAVE = 10.0
"""So many bounds off, a quantity is wrong by itself, whatever the numbers beside it have been rounded to."""

NARROW = 0.95
"""The share of numbers that must look like a narrower dtype's, where a precision is to be the cause."""

UNMOVED = 1e-6
"""In envelopes: what float64's own rounding can move is no movement."""


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
        least_factor: the smallest factor between envelope and bound with which every element is inside.
        limit: how many envelopes an element may be off: the factor, times the sides that round.
        message: what a person should read first.
        ratios: for each quantity, error over bound at each step, of the element that is nearest to its bound or beyond.
        bounds: for each quantity, that element's bound at each step.
        structural: it is no number that differs: a name, a step, a shape or a dtype.
    """

    verdict: Verdict
    first: str = ""
    step: int | None = None
    error_over_bound: float = 0.0
    max_abs: float = 0.0
    max_ulp: float = 0.0
    least_factor: float = 0.0
    message: str = ""
    limit: float = 0.0
    ratios: Mapping[str, Floats] | None = None
    bounds: Mapping[str, Floats] | None = None
    structural: bool = False


def judge(comparison: Comparison, dtype: str, sides: int = 1, factor: float = FACTOR) -> Judgement:
    """Structure first, then NaN and infinities by class (their error is infinite), then numbers.

    Args:
        comparison: the measures of two traces.
        dtype: what the run was in.
        sides: how many of the two runs round: 1 against the reference, 2 between two backends.
        factor: how many envelopes an element may be off.
    """
    limit = factor * sides
    ratios = {name: s.ratio / limit for name, s in comparison.scaled.items()}
    largest = max((float(r.max()) for r in ratios.values()), default=0.0)
    found = Judgement(
        Verdict.EQUIVALENT,
        error_over_bound=largest,
        max_abs=max((float(m.max_abs.max()) for m in comparison.measures.values()), default=0.0),
        max_ulp=max((float(m.max_ulp.max()) for m in comparison.measures.values()), default=0.0),
        least_factor=largest * factor,
        limit=limit,
        ratios=ratios,
        bounds={name: s.unit * limit for name, s in comparison.scaled.items()},
    )
    if comparison.problems:
        problem = comparison.problems[0]
        text = f"{problem.quantity}: {problem.text}"
        found = replace(found, first=problem.quantity, step=problem.step, structural=True)
        return replace(found, verdict=Verdict.DIVERGES, message=text)
    if not _anything_proven(comparison):
        size = f"{len(comparison.measures)} quantities over {len(comparison.steps)} steps"
        text = f"{size}, and not one number other than zero or NaN{_not_compared(comparison)}"
        return replace(found, verdict=Verdict.VACUOUS, message=text)
    outside = [(int(rows[0]), name) for name, r in ratios.items() if len(rows := np.flatnonzero(~(r <= 1.0)))]
    if not outside:
        return replace(found, message=_not_compared(comparison).removeprefix("; "))
    row, name = min(outside, key=lambda pair: pair[0])  # of one step the first in order: dicts keep it, min is stable
    text = describe(comparison, name, row, limit) + _underflow(comparison, name, row, dtype)
    text += _remark(comparison, ratios, name, row, dtype)
    return replace(found, verdict=Verdict.DIVERGES, first=name, step=comparison.steps[row], message=text)


def describe(comparison: Comparison, name: str, row: int, limit: float) -> str:
    """One line on the element of a quantity at a step that is the most envelopes off: where, what came, how far off.

    Args:
        comparison: the measures of two traces.
        name: the quantity.
        row: the row of its step.
        limit: how many envelopes it may be off.
    """
    m, s = comparison.measures[name], comparison.scaled[name]
    got, expected, bound = s.value[row], s.other[row], limit * s.unit[row]
    where = f"{name}{list(comparison.index(name, row)) or ''} at step {comparison.steps[row]}"
    finite = np.isfinite(got) and np.isfinite(expected)
    off = f"off by {abs(got - expected):.3g}, bound {bound:.3g}" if finite else "one of them is not a finite number"
    others = f"; {m.unequal[row]} of {m.size[row]} elements differ" if m.size[row] > 1 else ""
    return f"{where}: got {got:.9g}, expected {expected:.9g} ({off}{others})"


def _not_compared(comparison: Comparison) -> str:
    """Where right runs begin to overflow, each in its way, and how many elements nothing is said about; "" if none."""
    rows = [(int(np.flatnonzero(s.open)[0]), name) for name, s in comparison.scaled.items() if s.open.any()]
    if not rows:
        return ""
    row, name = min(rows, key=lambda pair: pair[0])
    left, of = (
        sum(int(column.sum()) for column in columns)
        for columns in ([s.open for s in comparison.scaled.values()], [m.size for m in comparison.measures.values()])
    )
    return (
        f"; from {name}, step {comparison.steps[row]}, on right runs can overflow in different places: "
        f"{left:,} of {of:,} elements not compared"
    )


def _underflow(comparison: Comparison, name: str, row: int, dtype: str) -> str:
    """That a number is so small that some arithmetics make 0 of it; "" if it is not."""
    s, normal = comparison.scaled[name], FORMATS[dtype].normal
    larger = max(abs(s.value[row]), abs(s.other[row]))
    return f"; an underflow: below {normal:.3g} {dtype} loses digits" if 0 < larger < normal else ""


def _remark(comparison: Comparison, ratios: Mapping[str, Floats], name: str, row: int, dtype: str) -> str:
    """What else a person would want to know at once: that the run overflows, or that the loss is right all the same."""
    largest = FORMATS[dtype].largest
    if abs(comparison.scaled[name].other[row]) > largest:
        return f": the run overflows, {dtype} ends at {largest:.3g}"
    others = [q for q in ratios if q != "loss" and kind(q) != "lr"]
    numbers = "loss" in ratios and not comparison.measures["loss"].nonfinite.any()  # NaN like NaN is no agreement
    if numbers and others and (ratios["loss"] <= 1.0).all():
        return "; the loss is within its bound at every step"
    return ""


def settle(judgement: Judgement, expect: Expect | None, identical: bool) -> Judgement:
    """The verdict, once it is known what the scenario expects, and whether all bits are the reference backend's.

    Without an expectation a run that is the reference backend's, bit for bit, is right whatever its bound.
    """
    if expect is None:
        same = identical and judgement.verdict is not Verdict.VACUOUS and not judgement.structural
        return replace(judgement, verdict=Verdict.IDENTICAL, first="", step=None) if same else judgement
    if judgement.verdict is Verdict.VACUOUS or judgement.structural:  # what was not compared shows nothing expected
        return judgement
    if judgement.verdict is not Verdict.DIVERGES:
        text = f"expected to diverge at {expect.first}, step {expect.step} ({expect.reason}); it does not"
        return replace(judgement, verdict=Verdict.STALE, message=text)
    if (judgement.first, judgement.step) != (expect.first, expect.step):
        text = f"{judgement.message}; expected the first divergence at {expect.first}, step {expect.step}"
        return replace(judgement, message=text)
    return replace(judgement, verdict=Verdict.EXPECTED, message=expect.reason)


def excused(
    judgement: Judgement,
    known: Known,
    dtype: str,
    rest: Callable[[Collection[str]], Judgement],
    within: Callable[[float, Collection[str]], Judgement],
) -> Judgement:
    """The verdict on a backend that is known to do something otherwise: EXPECTED, if that and no more is different.

    Args:
        judgement: of everything.
        known: what is known of it.
        dtype: the scenario's.
        rest: gives the judgement of all but what matches globs.
        within: gives the judgement of all but what matches globs by bounds that are so many times as wide.
    """
    if judgement.verdict is Verdict.VACUOUS or judgement.structural:
        return judgement
    if judgement.verdict is not Verdict.DIVERGES:
        seen = known.always and any(known.names(name) for name in judgement.ratios or ())
        text = f"known to differ in {known.quantities[0]} ({known.reason}); it does not"
        return replace(judgement, verdict=Verdict.STALE, message=text) if seen else judgement
    if not known.names(judgement.first):
        return judgement
    others = [rest((*known.quantities, *known.follows))]
    if known.kept_in:  # a constant of fewer digits makes nothing further off than rounding to them would
        others.append(within(FORMATS[known.kept_in].roundoff / FORMATS[dtype].roundoff, known.apart))
    wrong = next((other for other in others if other.verdict is Verdict.DIVERGES), None)
    return wrong or replace(judgement, verdict=Verdict.EXPECTED, message=known.reason)


@dataclass(frozen=True)
class LocalSteps:
    """A free run's steps, each judged from the state that the run itself had before it.

    Attributes:
        first: the first quantity outside its bound, in execution order within the earliest step; "" if none.
        step: its step; None if none.
        message: where, what came, how far off.
        unchecked: what could not be judged so, as a phrase; "" if everything was.
    """

    first: str = ""
    step: int | None = None
    message: str = ""
    unchecked: str = ""


def drifts(free: Judgement, resync: Judgement, local: Callable[[], LocalSteps] = LocalSteps) -> Judgement:
    """A free run that is outside its bound although each step of it is inside: the same rules, amplified rounding.

    A step must be inside from the state that was given, in resync, and from the state that the free run itself had:
    what a backend keeps beside its weights is gone once a state is loaded.

    Args:
        free: of the free run.
        resync: of the same backend's resync run.
        local: gives the free run's steps from its own states; asked only where it could drift.
    """
    numbers = free.verdict is Verdict.DIVERGES and not free.structural
    if not (numbers and resync.verdict in (Verdict.IDENTICAL, Verdict.EQUIVALENT)):
        return free
    steps = local()
    if steps.first:
        return replace(free, first=steps.first, step=steps.step, message=steps.message)
    message = "; ".join(filter(None, [free.message, steps.unchecked]))
    return replace(free, verdict=Verdict.DRIFTS, message=message)


def imprecise(judgement: Judgement, only_free: bool) -> Judgement:
    """A port that is outside its bound in its own dtype although its rules agree in float64.

    Args:
        judgement: of the run in its own dtype.
        only_free: whether each step is inside by itself, so that rounding was amplified.
    """
    return replace(judgement, verdict=Verdict.DRIFTS if only_free else Verdict.IMPRECISE)


def _anything_proven(comparison: Comparison) -> bool:
    """Whether some finite number other than zero, on either side, was compared; the learning rate does not count."""
    for name, m in comparison.measures.items():
        s = comparison.scaled[name]
        shown = np.where(s.open > 0, s.shown, (m.magnitude > 0) | (m.max_abs > 0))
        if name != "lr" and shown.any():
            return True
    return False
