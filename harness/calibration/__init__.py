"""How often is the judge wrong, at which factor? Right runs and seeded faults, judged, counted, and written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isograd.api import run
from isograd.backend import backend_names
from isograd.calibration.cells import clean_cells, fault_cells
from isograd.calibration.faults import faults_of
from isograd.calibration.outside import GREEN, Outside, calibrate_outside
from isograd.calibration.scenarios import SCALES, graph_scenarios, operation_scenarios, random_scenarios
from isograd.calibration.tools import TOOLS
from isograd.describe import describe
from isograd.judging import FACTOR
from isograd.scenario import Scenario

CHUNK = 30
"""Scenarios that are run and counted at a time: their traces need not be kept."""

FAULT_STEPS = (3, 20, 20, 40)
"""Steps to aim at with a fault in: most show within a few."""

LONG = (1000,)
"""Steps of the scenarios for faults that come late."""

FACTORS = np.round(np.geomspace(0.5, 64, 85), 3)


def installed() -> list[str]:
    """Backends whose framework is there."""
    return [name for name in backend_names() if describe(name).version is not None]


@dataclass(frozen=True)
class Calibration:
    """What came of it.

    Attributes:
        clean: a row for each right run; see `isograd.calibration.cells.clean_cells`.
        faults: a row for each seeded fault; see `fault_cells`.
        factor: the factor that was judged with.
        request: what was asked for, and how long it took.
        outside: long tables, and runs that overflow.
    """

    clean: pd.DataFrame
    faults: pd.DataFrame
    factor: float
    request: dict[str, object]
    outside: Outside

    @property
    def backends(self) -> pd.DataFrame:
        """The right runs of backends."""
        return self.clean[self.clean.kind == "backend"]

    @property
    def above(self) -> pd.DataFrame:
        """The seeded faults that are above rounding."""
        return self.faults[self.faults.above_rounding]

    @property
    def well_defined(self) -> pd.DataFrame:
        """Those of them whose first quantity is beyond doubt."""
        return self.above[self.above.well_defined]

    @property
    def first_right(self) -> pd.Series[bool]:
        """Whether the judge named that quantity, at that step."""
        cells = self.well_defined
        return (cells["first"] == cells.expected_first) & (cells.step == cells.expected_step)

    @cached_property
    def curve(self) -> pd.DataFrame:
        """A row a factor: how many right runs would be judged wrong, and how many faults above rounding found."""
        clean, above = self.clean.least_factor.to_numpy(), self.above.least_factor.to_numpy()
        backends = self.backends.least_factor.to_numpy()
        rows = []
        for factor in FACTORS:
            alarms, low, high = share(clean > factor)
            found, _, _ = share(above > factor)
            rows.append((factor, share(backends > factor)[0], alarms, low, high, found))
        return pd.DataFrame(rows, columns=["factor", "backends", "false_alarms", "low", "high", "found"])

    @cached_property
    def goals(self) -> pd.DataFrame:
        """Each goal, what came, and whether it is reached."""
        wrong, missed = int((~self.backends.verdict.isin(GREEN)).sum()), int(self.above.green.sum())
        named = float(self.first_right.mean()) if len(self.first_right) else math.nan
        rows = [
            ("right runs of backends judged not green", "0 of ≥ 2,000", f"{wrong} of {len(self.backends):,}",
             wrong == 0 and len(self.backends) >= 2000),
            ("faults above rounding judged green", "0 of ≥ 500", f"{missed} of {len(self.above):,}",
             missed == 0 and len(self.above) >= 500),
            ("first diverging quantity and step named rightly", "≥ 99 %", f"{named:.2%} of {len(self.first_right):,}",
             named >= 0.99),
            *self.outside.goals,
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["figure", "goal", "came", "reached"])

    @cached_property
    def tools(self) -> pd.DataFrame:
        """A row a tool: right free runs that it would fail, and faults above rounding that it would pass."""
        clean, above = self.backends[self.backends["mode"] == "free"], self.above[self.above["mode"] == "free"]
        rows = [
            (f"{tool}, {where}", 1 - clean[f"{tool}, {where}"].mean(), above[f"{tool}, {where}"].mean())
            for tool in TOOLS
            for where in ("final weights", "every step")
        ]
        ours = ("isograd", 1 - clean.verdict.isin(GREEN).mean(), above.green.mean())
        return pd.DataFrame([ours, *rows], columns=["tool", "right_failed", "faults_passed"])

    @property
    def green(self) -> bool:
        """Whether every goal is reached."""
        return bool(self.goals.reached.all())


def share(flags: NDArray[np.bool_]) -> tuple[float, float, float]:
    """The share of true ones, with Wilson's 95 % interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    n, z = len(flags), 1.96
    if not n:
        return math.nan, 0.0, 1.0
    p = float(np.mean(flags))
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return p, max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def calibrate(
    count: int = 105,
    *,
    backends: Sequence[str] | None = None,
    dtypes: Sequence[str] = tuple(SCALES),
    seed: int = 0,
    factor: float = FACTOR,
    jobs: int | None = None,
    operations: int | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Calibration:
    """Run right runs and seeded faults on every backend, and judge them.

    Args:
        count: random scenarios a dtype; a tenth as many get faults, and three long ones.
        backends: names; None: all that are installed.
        dtypes: which of the four.
        seed: other scenarios for another one.
        factor: how many envelopes an element may be off.
        jobs: child processes at once.
        operations: likewise, scenarios that try an operation each, and graphs of several; None: as many of each.
        progress: is told how far it is.
    """
    operations = count if operations is None else operations
    names = list(backends if backends is not None else installed())
    options: dict[str, object] = {"factor": factor, "jobs": jobs}
    clean = []
    for dtype in dtypes:
        scenarios = [*random_scenarios(dtype, count, seed), *operation_scenarios(dtype, operations, seed)]
        scenarios += graph_scenarios(dtype, operations, seed)
        for start in range(0, len(scenarios), CHUNK):
            part = scenarios[start : start + CHUNK]
            report = run(part, backends=names, repeat=1, factor=factor, jobs=jobs)
            clean.append(clean_cells(report.results))
            progress(f"{dtype}: {start + len(part)} of {len(scenarios)} scenarios")
    seeded = _scenarios_for_faults(count, operations, dtypes, seed)
    faults = [_seed(name, part, names, options, progress) for name, part in seeded.items() if part]
    outside = calibrate_outside(count, names, dtypes, seed, options, progress)
    request = {"scenarios": count, "backends": names, "dtypes": list(dtypes), "seed": seed}
    cells, seeded_cells = (pd.concat(rows, ignore_index=True) for rows in (clean, faults))
    return Calibration(cells, seeded_cells, factor, request, outside)


def _scenarios_for_faults(count: int, operations: int, dtypes: Sequence[str], seed: int) -> dict[str, list[Scenario]]:
    """Others than the right runs are made from; float32 has most, and a long one if there are ten or more."""
    tenth = max(1, count // 10)
    numbers = {dtype: tenth if dtype == "float32" else -(-tenth // 3) for dtype in dtypes}
    parts = {
        dtype: [
            *random_scenarios(dtype, n, seed + 1, FAULT_STEPS),
            *operation_scenarios(dtype, -(-operations * n // count), seed + 1),
        ]
        for dtype, n in numbers.items()
    }
    if "float32" in parts and count >= 10:
        parts["float32"] += random_scenarios("float32", 1, seed + 9, LONG)
    return parts


def _seed(
    name: str,
    scenarios: list[Scenario],
    backends: list[str],
    options: dict[str, object],
    progress: Callable[[str], None],
) -> pd.DataFrame:
    right = run(scenarios, backends=backends, repeat=1, **options)  # type: ignore[arg-type]
    progress(f"{name}: faults in {len(scenarios)} scenarios")
    faults = {scenario.name: faults_of(scenario) for scenario in scenarios}
    return fault_cells(right.results, faults, backends, **options)
