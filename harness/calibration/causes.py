"""How often is the cause named that was seeded, and is another one ever named?"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from isograd.api import run
from isograd.assess import Cell, ScenarioResult
from isograd.calibration import FAULT_STEPS, installed
from isograd.calibration.cells import errors_of, fault_alone
from isograd.calibration.faults import SUBTLE, fault_name
from isograd.calibration.same import equivalent, is_seeded
from isograd.calibration.scenarios import random_scenarios
from isograd.calibration.strangers import STRANGERS
from isograd.changes.catalogue import CATALOGUE
from isograd.changes.change import Both, Change
from isograd.explanation import Account, explain
from isograd.explanation.local import make_local
from isograd.explanation.rerun import Rerun
from isograd.explanation.trial import Trial
from isograd.judging import Verdict
from isograd.scenario import Scenario

DTYPES = ("float32", "float64")
ARTICLE = "article/sum_regression"
NOT_SEEDED = ("nan_to_zero", "narrow_rate")
"""Without a NaN, and in all but float64, they are no faults."""

ALONE = ("initial_lost", "weight_off", "state_lost")
"""They replace what another fault would show in."""


@dataclass(frozen=True)
class Causes:
    """What came of it.

    Attributes:
        single: a row for each seeded fault that diverges; ``described``: it was found, and has no more wrong numbers
            than it has values, so that no search could call it a cause.
        pairs: a row for each seeded pair.
        strangers: a row for each fault of no catalogue.
        clean: a row for each right run.
        seconds: what explaining a cell of the article's long run took, for each of its faults.
    """

    single: pd.DataFrame
    pairs: pd.DataFrame
    strangers: pd.DataFrame
    clean: pd.DataFrame
    seconds: pd.DataFrame
    request: Mapping[str, object]

    @property
    def counted(self) -> pd.DataFrame:
        """The seeded faults that are above rounding, and have enough evidence for a cause."""
        return self.single[self.single.above_rounding & ~self.single.described]

    @cached_property
    def goals(self) -> pd.DataFrame:
        """Each goal, what came, and whether it is reached."""
        single, pairs = self.counted, self.pairs[self.pairs.above_rounding]
        right, both = single.named & ~single.wrong, pairs.named
        slowest, strange = float(self.seconds.seconds.max()), self.strangers.wrong
        rows = [
            ("seeded faults: the cause named, no other but equivalents", "≥ 98 % of 500",
             f"{right.mean():.1%} of {len(single)}", right.mean() >= 0.98 and len(single) >= 500),
            ("seeded pairs: both named", "≥ 80 %", f"{both.mean():.1%} of {len(pairs)}", both.mean() >= 0.8),
            ("faults of no catalogue: a cause named", "0", f"{strange.sum()} of {len(strange)}",
             not strange.any()),
            ("right runs: a cause named", "0", f"{int(self.clean.wrong.sum())} of {len(self.clean)}",
             not self.clean.wrong.any()),
            (f"seconds to explain a cell of {ARTICLE}, at most", "≤ 2", f"{slowest:.2f}", slowest <= 2.0),
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["figure", "goal", "came", "reached"])

    @property
    def green(self) -> bool:
        """Whether every goal is reached."""
        return bool(self.goals.reached.all())


def calibrate_causes(
    count: int = 12,
    *,
    backends: Sequence[str] | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Causes:
    """Seed faults into every backend, explain what came of each, and compare with what was seeded.

    Args:
        count: random scenarios of float32; a third as many of float64.
        backends: names; None: all that are installed.
        seed: other scenarios for another one.
        jobs: child processes at once.
        progress: is told how far it is.
    """
    names = list(backends if backends is not None else installed())
    numbers = {"float32": count, "float64": -(-count // 3)}
    scenarios = [s for dtype in DTYPES for s in random_scenarios(dtype, numbers[dtype], seed + 2, FAULT_STEPS)]
    right = run(scenarios, backends=names, repeat=1, jobs=jobs)
    clean = [_clean_row(result, cell) for result in right.results for cell in result.cells.values()]
    progress("right runs")
    seeded = {s.name: dict(_singles(s)) for s in scenarios}
    single = pd.DataFrame(_seeded(right.results, seeded, names, jobs, lambda text: progress(f"faults, {text}")))
    alone = single[single.above_rounding]
    visible = {s.name: set(alone[alone.scenario == s.name].fault) for s in scenarios}
    couples = {
        s.name: dict(_couples(s, {f: c for f, c in seeded[s.name].items() if f in visible[s.name]})) for s in scenarios
    }
    pairs = pd.DataFrame(_seeded(right.results, couples, names, jobs, lambda text: progress(f"pairs, {text}")))
    strange = run(scenarios, backends=STRANGERS, mode="resync", repeat=1, causes=False, jobs=jobs)
    strangers = [row for result in strange.results for cell in result.cells.values() for row in _strange(result, cell)]
    progress("faults of no catalogue")
    seconds = pd.DataFrame(_article(jobs))
    request = {"scenarios": count, "backends": names, "seed": seed}
    return Causes(single, pairs, pd.DataFrame(strangers), pd.DataFrame(clean), seconds, request)


# ---------------------------------------------------------------- what is seeded


def _singles(scenario: Scenario) -> Iterator[tuple[str, Change]]:
    """Each change that means something, at one of its places by lot, and some near what could be overlooked."""
    lot = random.Random(f"causes {scenario.name}")
    for name, change in CATALOGUE.items():
        places = [c for c in change.variants(scenario) if not c.idle]  # what is read off a trace cannot be seeded so
        if places and name not in NOT_SEEDED:
            chosen = lot.choice(places)
            yield fault_name(chosen), chosen
    for name, options in SUBTLE:
        change_of = CATALOGUE[name](**options)
        yield fault_name(change_of), change_of


def _couples(scenario: Scenario, singles: Mapping[str, Change], number: int = 5) -> Iterator[tuple[str, Change]]:
    """Pairs of them that are not of one family."""
    lot = random.Random(f"pairs {scenario.name}")
    usual = [
        c for c in singles.values() if not c.precision() and c.id not in ("initial_lost", "weight_off", "state_lost")
    ]
    for _ in range(number):
        one, two = lot.sample(usual, 2)
        if one.id != two.id:
            second = [f"{key}2={value}" for key, _, value in (o.partition("=") for o in fault_name(two).split(","))]
            yield ",".join([fault_name(one), *second]), Both(one, two)


# ---------------------------------------------------------------- what came


def _seeded(
    right: Sequence[ScenarioResult],
    seeded: Mapping[str, Mapping[str, Change]],
    backends: Sequence[str],
    jobs: int | None,
    progress: Callable[[str], None],
) -> Iterator[dict[str, Any]]:
    for clean in right:
        faults = seeded[clean.scenario.name]
        names = [f"{backend}[{fault}]" for fault in faults for backend in backends]
        result = run(clean.scenario, backends=names, mode="resync", repeat=1, causes=False, jobs=jobs).results[0]
        errors = errors_of(clean, "resync")
        for fault, change in faults.items():
            alone = fault_alone(clean, "resync", change, errors)
            for backend in backends:
                cell = result.cells[f"{backend}[{fault}]", "resync"]
                if cell.verdict is Verdict.DIVERGES:
                    yield _seeded_row(result, cell, backend, fault, change) | {"above_rounding": alone.above_rounding}
        progress(clean.scenario.name)


def _seeded_row(result: ScenarioResult, cell: Cell, backend: str, fault: str, change: Change) -> dict[str, Any]:
    account, seconds = _explained(result, cell)
    causes = account.causes if account else ()
    strange = [
        trial for trial in causes if not is_seeded(trial, change) and not equivalent(result, trial.change, change)
    ]
    named = len(strange) < len(causes)  # itself, or what does the same at every step
    if isinstance(change, Both):  # one of two can hide the other, or a third do what both do
        named = named or (bool(causes) and not strange)
    return {
        "scenario": result.scenario.name,
        "dtype": result.scenario.dtype,
        "backend": backend,
        "fault": fault,
        "id": change.id,
        "named": named,
        "wrong": bool(strange),
        "described": not causes and _is_described(account, change),
        "causes": account.ids if account else "",
        "first": account.place.first if account else "",
        "seconds": seconds,
        "why": account.sentence if account else "every step is inside from its own state",
        "reason": _reason(account, change, strange),
    }


def _is_described(account: Account | None, change: Change) -> bool:
    """Whether the change itself fits, and is proven by too few numbers."""
    tried = account.tried if account else ()
    return any(trial.fits and not trial.is_overdetermined and is_seeded(trial, change) for trial in tried)


def _reason(account: Account | None, change: Change, strange: Sequence[Trial]) -> str:
    """Why a cause was missed, as far as the search itself can tell."""
    if account is None:
        return "from the trace's own states nothing is outside"
    if strange:
        return f"{strange[0].id} is inside everywhere that was looked at, and not equivalent at every step"
    tried = next((trial for trial in account.tried if trial.change.id == change.id), None)
    if tried is None:
        return "two changes together: " + ("not all pairs were tried" if account.skipped else "no pair is inside")
    if np.isinf(tried.ratio):
        return "the change itself was tried, and does not look like the trace"
    return f"the change itself comes to {tried.ratio:.3g} bounds at {tried.worst[0]}, step {tried.worst[1]}"


def _strange(result: ScenarioResult, cell: Cell) -> Iterator[dict[str, Any]]:
    if cell.verdict is Verdict.DIVERGES:
        account, seconds = _explained(result, cell)
        yield {
            "scenario": result.scenario.name,
            "dtype": result.scenario.dtype,
            "fault": cell.backend.partition(":")[2],
            "wrong": bool(account and not all(_fits_everywhere(result, cell, trial) for trial in account.causes)),
            "causes": account.ids if account else "",
            "seconds": seconds,
            "why": account.sentence if account else "",
        }


def _fits_everywhere(result: ScenarioResult, cell: Cell, trial: Trial) -> bool:
    """Whether a cause accounts for every step of the run: then nothing in this scenario speaks against it."""
    assert cell.trace is not None
    local = make_local(result.scenario, result.inputs, cell.trace, result.reference.states)
    return trial.change.precision() is None and Rerun(local, local.steps).compare(trial.change, local.steps)[0] <= 1.0


def _clean_row(result: ScenarioResult, cell: Cell) -> dict[str, Any]:
    account, seconds = _explained(result, cell)
    where = {"scenario": result.scenario.name, "backend": cell.backend, "mode": cell.mode}
    return where | {"wrong": bool(account and account.causes), "seconds": seconds}


def _article(jobs: int | None) -> Iterator[dict[str, Any]]:
    """What explaining costs on a run of a thousand steps."""
    from isograd.loading import load_scenario

    scenario = load_scenario(ARTICLE)
    names = [f"numpy[{fault}]" for fault, _ in _singles(scenario)]
    result = run(scenario, backends=names, mode="resync", repeat=1, causes=False, jobs=jobs).results[0]
    for cell in result.cells.values():
        if cell.verdict is Verdict.DIVERGES:
            account, seconds = _explained(result, cell)
            yield {"backend": cell.backend, "causes": account.ids if account else "", "seconds": seconds}


def _explained(result: ScenarioResult, cell: Cell) -> tuple[Account | None, float]:
    if cell.trace is None:
        return None, 0.0
    start = time.perf_counter()
    account = explain(result.scenario, result.inputs, cell.trace, result.reference.states)
    return account, time.perf_counter() - start
