"""What does the judge say of long tables as people have them, of wide layers, and of runs that overflow?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pandas as pd

from isograd.api import run
from isograd.calibration.cells import backend_cells, fault_cells
from isograd.calibration.faults import fault_name
from isograd.calibration.overflows import overflowing_scenarios
from isograd.calibration.tables import table_scenarios
from isograd.calibration.wide import wide_scenarios
from isograd.changes.catalogue import make_change
from isograd.scenario import Scenario

GREEN = ("IDENTICAL", "EQUIVALENT")
NOT_WRONG = (*GREEN, "VACUOUS")  # where all overflows at the first step, nothing is left to compare

TABLES = {"float16": 0.2, "bfloat16": 0.2, "float32": 0.6, "float64": 0.12}
OVERFLOWS = {"float16": 0.45, "bfloat16": 0.45, "float32": 0.5, "float64": 0.1}
WIDE = {"float16": 0.06, "bfloat16": 0.06, "float32": 0.12, "float64": 0.04}
"""How many such scenarios of a dtype there are for each random one; in float64 the truth costs most."""

PLANTED = {
    fault_name(change): change for change in (make_change("gradient_scale", {"by": by}) for by in ("1.0001", "0.9999"))
}
"""What is planted in the tables: every gradient off by a ten-thousandth."""

PLANTED_IN = 3
"""Of so many tables, or wide scenarios, one gets the faults. On the longest tables, right runs themselves are a
ten-thousandth apart."""

CHUNK = 10


@dataclass(frozen=True)
class Outside:
    """What came of scenarios that random ones of normal draws do not stand for.

    Attributes:
        tables: a row for each right run on a table; see `isograd.calibration.cells.backend_cells`.
        planted: a row for each fault in one, or in wide layers; see `fault_cells`.
        overflows: a row for each right run that overflows.
        wide: a row for each right run of wide layers.
    """

    tables: pd.DataFrame = field(default_factory=pd.DataFrame)
    planted: pd.DataFrame = field(default_factory=pd.DataFrame)
    overflows: pd.DataFrame = field(default_factory=pd.DataFrame)
    wide: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def goals(self) -> list[tuple[str, str, str, bool]]:
        """Each goal, what came, and whether it is reached."""
        above = self.planted[self.planted.above_rounding]
        right = self.overflows[~self.overflows.makes_numbers_of_nan]
        return [
            _none("right runs on long tables judged not green", ~self.tables.verdict.isin(GREEN), 500),
            _none("right runs of wide layers judged not green", ~self.wide.verdict.isin(GREEN), 100),
            _none("faults of 1e-4 on both, above rounding, judged green", above.green, 0),
            _none("right runs that overflow judged wrong", ~right.verdict.isin(NOT_WRONG), 500),
        ]

    @property
    def red(self) -> pd.DataFrame:
        """Right runs that are not green."""
        right = self.overflows[~self.overflows.makes_numbers_of_nan]
        wrong = [side[~side.verdict.isin(GREEN)] for side in (self.tables, self.wide)]
        wrong.append(right[~right.verdict.isin(NOT_WRONG)])
        return pd.concat(wrong, ignore_index=True)


def _none(figure: str, wrong: pd.Series[bool], least: int) -> tuple[str, str, str, bool]:
    reached = not wrong.any() and len(wrong) >= least
    return figure, f"0 of ≥ {least}" if least else "0", f"{int(wrong.sum())} of {len(wrong):,}", reached


def calibrate_outside(
    count: int,
    backends: Sequence[str],
    dtypes: Sequence[str],
    seed: int,
    options: Mapping[str, Any],
    progress: Callable[[str], None],
) -> Outside:
    """Run right runs on tables and into overflow, and planted faults on tables, and judge them.

    Args:
        count: random scenarios a dtype, of which `TABLES` and `OVERFLOWS` take their share.
        backends: names.
        dtypes: which of the four.
        seed: other scenarios for another one.
        options: for `run`.
        progress: is told how far it is.
    """
    tables: list[pd.DataFrame] = []
    wide: list[pd.DataFrame] = []
    planted, overflows = [EMPTY], []
    for dtype in dtypes:
        for cells, part in (
            *((tables, part) for part in _chunks(table_scenarios(dtype, _share(count, TABLES[dtype]), seed), CHUNK)),
            *((wide, part) for part in _chunks(wide_scenarios(dtype, _share(count, WIDE[dtype]), seed), PLANTED_IN)),
        ):
            right = run(part, backends=list(backends), repeat=1, causes=False, **options).results
            cells.append(backend_cells(right))
            if dtype == "float32":
                chosen = right[::PLANTED_IN]
                faults = {result.scenario.name: PLANTED for result in chosen}
                planted.append(fault_cells(chosen, faults, backends, **options))
        progress(f"{dtype}: tables and wide layers")
        for part in _chunks(overflowing_scenarios(dtype, _share(count, OVERFLOWS[dtype]), seed), CHUNK):
            results = run(part, backends=list(backends), repeat=1, causes=False, **options).results
            overflows.append(backend_cells(results))
        progress(f"{dtype}: overflows")
    return Outside(*(pd.concat(rows, ignore_index=True) for rows in (tables, planted, overflows, wide)))


EMPTY = pd.DataFrame({"above_rounding": [], "green": []}, dtype=bool)
"""No planted faults: those of dtypes in which a ten-thousandth is rounding."""


def _share(count: int, part: float) -> int:
    return max(1, round(count * part))


def _chunks(scenarios: Iterator[Scenario], number: int) -> Iterator[list[Scenario]]:
    """Some at a time: their traces need not be kept."""
    while part := list(islice(scenarios, number)):
        yield part
