"""Which loss of the error, with a constant of its own, stands in the loss's place?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, NamedTuple, Self

import numpy as np

from isograd.arithmetic.numbers import Exact
from isograd.arithmetic.words import exp, log, maximum, minimum, sign, sqrt, where
from isograd.arithmetic.words import sum as total
from isograd.changes.catalogue.written import LEAST, NEAR, STEPS, times
from isograd.changes.change import Circumstances, Evidence
from isograd.changes.functions import TINY
from isograd.changes.instead import instead
from isograd.changes.places import OfLoss
from isograd.changes.reading import is_round, near
from isograd.inputs import Array
from isograd.ops.op import Loss
from isograd.scenario import Scenario


class Family(NamedTuple):
    """Losses of the error r = ŷ − y with one constant.

    Attributes:
        value: of r and the constant c.
        slope: its derivative by r.
        said: its name, with the constant's place.
        start: from where the constant is solved for.
    """

    value: Callable[[Any, Any], Any]
    slope: Callable[[Any, Any], Any]
    said: str
    start: tuple[float, ...]


def _power_of(r: Any, c: Any) -> Any:
    return exp(c * log(abs(r) + TINY))


FAMILIES: Mapping[str, Family] = {
    "pinball": Family(
        lambda r, c: where(r < 0, -1 * c * r, (1 - c) * r),
        lambda r, c: where(r < 0, -1 * c + 0 * r, (1 - c) + 0 * r),
        "the pinball (quantile) loss of the quantile {c:.6g}: errors below and above have other weights",
        (0.5,),
    ),
    "expectile": Family(
        lambda r, c: where(r < 0, c * r * r, (1 - c) * r * r),
        lambda r, c: where(r < 0, 2 * c * r, 2 * (1 - c) * r),
        "the squared error with other weights for errors below, {c:.6g}, and above (asymmetric, an expectile)",
        (0.5,),
    ),
    "clipped": Family(
        lambda r, c: minimum(abs(r), c) * minimum(abs(r), c),
        lambda r, c: where(abs(r) < c, 2 * r, 0),
        "the square of the error, which is clipped to ±{c:.6g} first",
        (),
    ),
    "capped": Family(
        lambda r, c: minimum(abs(r), c),
        lambda r, c: where(abs(r) < c, sign(r), 0),
        "the absolute error, which is clipped to {c:.6g}",
        (),
    ),
    "huber": Family(
        lambda r, c: where(abs(r) < c, 0.5 * r * r, c * (abs(r) - 0.5 * c)),
        lambda r, c: where(abs(r) < c, r, c * sign(r)),
        "Huber's loss with δ = {c:.6g}",
        (),
    ),
    "insensitive": Family(
        lambda r, c: maximum(abs(r) - c, 0),
        lambda r, c: where(abs(r) > c, sign(r), 0),
        "the absolute error beyond {c:.6g} (ε-insensitive)",
        (),
    ),
    "squared insensitive": Family(
        lambda r, c: maximum(abs(r) - c, 0) * maximum(abs(r) - c, 0),
        lambda r, c: 2 * sign(r) * maximum(abs(r) - c, 0),
        "the square of the error beyond {c:.6g} (a dead zone)",
        (0.1,),
    ),
    "power": Family(
        lambda r, c: _power_of(r, c),
        lambda r, c: c * sign(r) * _power_of(r, c - 1),
        "the absolute error to the power of {c:.6g}",
        (1.5, 3.0),
    ),
    "charbonnier": Family(
        lambda r, c: sqrt(r * r + c * c),
        lambda r, c: r / sqrt(r * r + c * c),
        "Charbonnier's (pseudo-Huber) loss √(r² + c²) with c = {c:.6g}",
        (0.1, 1.0),
    ),
    "cauchy": Family(
        lambda r, c: log(1 + r * r / (c * c)),
        lambda r, c: 2 * r / (c * c + r * r),
        "Cauchy's (Lorentzian) loss log(1 + (r/c)²) with c = {c:.6g}",
        (1.0,),
    ),
    "welsch": Family(
        lambda r, c: 1 - exp(-0.5 * r * r / (c * c)),
        lambda r, c: r / (c * c) * exp(-0.5 * r * r / (c * c)),
        "Welsch's (correntropy) loss with c = {c:.6g}",
        (1.0,),
    ),
    "shifted": Family(
        lambda r, c: (r - c) * (r - c),
        lambda r, c: 2 * (r - c),
        "the squared error, less {c:.6g} (a margin)",
        (0.1,),
    ),
}  # fmt: skip
"""Losses with a constant that is solved for."""


@dataclass(frozen=True)
class FamilyLoss(OfLoss):
    """A loss of the error with a constant of its own stands in the loss's place."""

    id = "family_loss"
    sentence = "the loss is another function of the error"
    formula = "L ← «c₁ Σ φ(ŷ − y; c₂) / n»"
    origin = "a robust loss, a quantile, an error that is clipped before it is squared"
    needs = ("of",)
    tables = {"of": FAMILIES}  # noqa: RUF012
    between = {"by": (-1e6, 1e6)}  # noqa: RUF012

    of: str = ""
    by: float = 1.0
    c: float = 1.0
    as_reduced: bool = False

    @property
    def solve(self) -> Mapping[str, float]:  # type: ignore[override]  # of a family
        """The factor, where it is not that by which the loss reduces, and the constant."""
        solved = ("c",) if self.as_reduced else ("by", "c")
        return dict.fromkeys(solved, float("inf")) if self.of else {}

    vague = True  # a loss without a constant says more

    @property
    def where(self) -> str:
        """Which."""
        return self.of

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Where labels are numbers."""
        yield from [cls()] if scenario.loss.labels == "values" else []

    def says(self) -> str:
        """Which, with its constants."""
        times = "" if self.by == 1.0 or self.as_reduced else f"{self.by:.7g} times "
        return f"the loss is {times}the mean of {FAMILIES[self.of].said.format(c=self.c)}" if self.of else self.sentence

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Every family of which a constant gives the gradient that the trace has at the first wrong step."""
        scenario, last, r, reported, own, each = evidence.scenario, evidence.scenario.layers[-1].name, [], [], [], 1
        for step in evidence.looked_at[:STEPS]:
            outputs, got = (evidence.recorded(f"{kind}/{last}", step) for kind in ("forward", "backward"))
            labels = evidence.inputs.batch(step).y
            if outputs is None or got is None or outputs.shape != labels.shape or not np.isfinite(outputs).all():
                return
            each = (
                prod(outputs.shape[1:]) if scenario.loss.kind == "half_squared_error" else 1
            )  # Σ/n, or the mean of all
            r.append((outputs - labels.astype(np.float64)).ravel())
            reported.append(got.ravel() * prod(outputs.shape))
            gradient = scenario.loss.gradient(outputs, labels.astype(np.float64))
            own.append(np.ravel(gradient) * prod(outputs.shape))
        errors, wrong, right = np.concatenate(r), np.concatenate(reported), np.concatenate(own)
        quantile = _quantile(errors, wrong / each)
        if quantile:
            yield replace(self, of="pinball", by=float(each), c=quantile, as_reduced=True)
        if errors.size < 3:
            return  # a factor and a constant would give any two numbers
        for of, family in FAMILIES.items():
            with np.errstate(all="ignore"):
                for start in family.start or _kinks(errors):
                    found = _constants(family, errors, wrong, start, near(scenario.dtype, NEAR))
                    if found is None:
                        continue
                    if not times(np.asarray(family.slope(errors, found[1])), right):
                        yield replace(self, of=of, by=found[0], c=found[1])
                    break

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """That one."""
        if not self.of:
            return op
        family, by, c = FAMILIES[self.of], Exact(self.by), Exact(self.c)
        return instead(
            op,
            value=lambda yhat, y: by * total(family.value(yhat - y, c)) / prod(yhat.shape),
            gradient=lambda yhat, y: by * family.slope(yhat - y, c) / prod(yhat.shape),
        )


def _quantile(r: Array, reported: Array) -> float:
    """The quantile of which the pinball loss of errors of one sign has the slopes reported; 0 where there is none.

    Such errors have one slope, 1 − c or −c: with a factor besides, any constant would give it.
    """
    slope = float(reported.mean())
    one_sign, alike = (r > 0).all() or (r < 0).all(), np.allclose(reported, slope, rtol=1e-3, atol=0.0)
    c = 1 - slope if r[0] > 0 else -slope
    return float(f"{c:.3g}") if one_sign and alike and 0 < c < 1 and is_round(c) else 0.0


def _kinks(r: Array) -> Iterator[float]:
    """Constants between the sizes of two errors, and at the usual one."""
    sizes = np.unique(np.abs(r))[-KINKS:]
    yield 1.0
    yield from ((sizes[:-1] + sizes[1:]) / 2).tolist()
    yield float(sizes[0]) / 2


KINKS = 12
"""Largest errors between which a constant is looked for."""

NEWTON = 20


def _constants(family: Family, r: Array, reported: Array, start: float, slack: float) -> tuple[float, float] | None:
    """The factor and the constant with which a family's slopes are those reported; None where there are none."""
    c, size = start, float(np.abs(reported).max(initial=0.0))

    def scaled(c: float) -> tuple[float, Array]:
        slope = np.asarray(family.slope(r, c))
        square = float((slope * slope).sum())
        by = float((slope * reported).sum()) / square if square and np.isfinite(square) else 0.0
        return by, by * slope - reported

    for _ in range(NEWTON):
        by, left = scaled(c)
        if LEAST < abs(by) < 1 / LEAST and (np.abs(left) <= slack * size).all():
            return by, c
        width = 1e-6 * max(1.0, abs(c))
        move = (scaled(c + width)[1] - left) / width
        square = float((move * move).sum())
        if not (np.isfinite(square) and square > 1e-20 * size * size):
            return None
        step = -float((move * left).sum()) / square
        c += float(np.clip(step, -0.5 * max(abs(c), 0.1), 0.5 * max(abs(c), 0.1)))
    return None
