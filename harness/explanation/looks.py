"""What does a difference look like, whether anything accounts for it or not? The worst elements, and a phrase."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.dtypes import FORMATS
from harness.envelope import Floats
from harness.explanation.localise import Place
from harness.explanation.own import Own
from harness.explanation.rerun import Rerun

ALIKE = 1e-3
"""Relative: what is so near is alike to a person who looks at it. A phrase hangs on it, no verdict."""


def worst_elements(own: Own, place: Place, rerun: Rerun, rows: int = 4) -> list[tuple[str, float, float]]:
    """The elements of the first quantity that are furthest off: index, reference, trace."""
    if place.first not in rerun.names:
        return []
    right, got = _right(own, place, rerun)  # of a wrong shape, in the trace's
    off = np.nan_to_num(np.abs(got - right), nan=np.inf)
    worst = np.argsort(-off, axis=None, kind="stable")[:rows]
    at = [np.unravel_index(i, got.shape) if got.ndim else () for i in worst if off.flat[i] > 0]
    return [(str([int(k) for k in i]) if i else "", float(right[i]), float(got[i])) for i in at]


def pattern(own: Own, place: Place, rerun: Rerun) -> str:
    """Where the difference is, and what it looks like."""
    where = f"local to {', '.join(place.guilty)}" if place.guilty else f"first in {place.first}"
    if place.first not in rerun.names:
        return where
    return f"{where} at step {place.step}; {next(_looks(own, place, rerun))}"


def _right(own: Own, place: Place, rerun: Rerun) -> tuple[Floats, Floats]:
    """The first quantity as the rules give it, and as the trace has it."""
    got = own.recorded(place.first, place.step)
    return rerun.ruled(place.first, place.step).reshape(got.shape), got


def _looks(own: Own, place: Place, rerun: Rerun) -> Iterator[str]:
    """All that it looks like, the most telling first."""
    right, got = _right(own, place, rerun)
    if not np.isfinite(got).all():
        yield f"{np.count_nonzero(~np.isfinite(got))} of {got.size} elements are not finite numbers"
    off = np.abs(got - right)
    if got.size > 1 and np.count_nonzero(off > ALIKE * off.max()) == 1:
        yield f"one element of {got.size} is off"
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (got / right)[off > 0]
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) and np.ptp(ratio) <= ALIKE * np.abs(ratio).max():
        yield f"its ratio to the reference is {np.median(ratio):.6g}" + (" everywhere" if got.size > 1 else "")
    yield from _something_else(own, place, rerun, got)
    if got.ndim == 2 and got.shape[0] == got.shape[1] and np.allclose(got, right.T, rtol=ALIKE):
        yield "it is the transpose of the reference"
    if got.size > 1 and np.allclose(np.sort(got, axis=None), np.sort(right, axis=None), rtol=ALIKE):
        yield "it has the reference's elements in another order"
    for dtype in ("bfloat16", "float16", "float32"):
        if FORMATS[dtype].digits < FORMATS[own.scenario.dtype].digits and got.any() and _all_held(got, dtype):
            yield f"its numbers have no more digits than {dtype} has"
    if got.ndim == 2 and min(got.shape) > 1:
        values = np.linalg.svd(got - right, compute_uv=False)
        if values[1] <= ALIKE * values[0]:
            yield "its ratio to the reference is not constant; the difference has rank 1"
    yield "its ratio to the reference is not constant"


def _all_held(values: Floats, dtype: str) -> bool:
    """Whether a narrower dtype holds all the values."""
    return bool((values.astype(FORMATS[dtype].dtype) == values).all())


def _something_else(own: Own, place: Place, rerun: Rerun, got: Floats) -> Iterator[str]:
    """Whether it is what another quantity should be, or what a parameter was before the step."""
    kind, _, key = place.first.partition("/")
    if kind == "weight" and np.array_equal(got, own.state(place.step)[key].astype(np.float64)):
        yield "the step leaves it as it was"
    for name in rerun.names:
        other = rerun.ruled(name, place.step)
        alike = name.startswith(f"{kind}/") and name != place.first and other.shape == got.shape and got.size > 1
        if alike and np.abs(other).max() > 0 and np.allclose(got, other, rtol=ALIKE):
            yield f"it is what {name} should be"
