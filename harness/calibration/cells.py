"""What does the judge say of runs that are known to be right, and of runs that are known to be wrong?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from isograd.api import run
from isograd.assess import Cell, ScenarioResult
from isograd.calibration.overflows import makes_numbers_of_nan
from isograd.calibration.tools import agreements
from isograd.changes.change import Change
from isograd.changes.changed import ChangedBackend
from isograd.dtypes import FORMATS
from isograd.envelope import Floats, noisy_runs
from isograd.judging import FACTOR, Verdict
from isograd.recorder import record_here
from isograd.rules import Rules
from isograd.trace import Mode

NOISY = 4
"""Independent noisy runs of each kind of each scenario, beside the backends."""

CLEARLY = 20.0
"""A fault is above rounding where, in exact arithmetic, it moves some tensor by this many times the largest error that
any right run makes there, of a backend or noisy: a measure that the envelope itself has no part in."""


def clean_cells(results: Sequence[ScenarioResult]) -> pd.DataFrame:
    """A row for each backend on each scenario in each mode, and for each independent noisy run."""
    return pd.DataFrame([row for result in results for row in _clean(result)])


def backend_cells(results: Sequence[ScenarioResult]) -> pd.DataFrame:
    """A row for each backend on each scenario in each mode, with how much of a run that overflows was compared."""
    return pd.DataFrame([row for result in results for row in _backends(result)])


def _backends(result: ScenarioResult) -> Iterator[dict[str, Any]]:
    for cell in result.cells.values():
        if cell.trace is None or cell.comparison is None:
            continue
        scaled, measures = cell.comparison.scaled.values(), cell.comparison.measures.values()
        yield _head(result) | {
            "title": result.scenario.title,
            "backend": cell.backend,
            "mode": cell.mode,
            "verdict": str(cell.verdict),
            "least_factor": cell.judgement.least_factor,
            "message": cell.judgement.message,
            "compared": 1 - sum(s.open.sum() for s in scaled) / max(1, sum(m.size.sum() for m in measures)),
            "makes_numbers_of_nan": makes_numbers_of_nan(result.scenario, cell.trace),
        }


def _head(result: ScenarioResult) -> dict[str, Any]:
    return {"scenario": result.scenario.name, "dtype": result.scenario.dtype, "steps": result.inputs.steps}


def _clean(result: ScenarioResult) -> Iterator[dict[str, Any]]:
    head = _head(result)
    for cell in result.cells.values():
        if cell.trace is not None and cell.verdict is not Verdict.EXPECTED:  # known to be another, by as much as it is
            judged = {"verdict": str(cell.verdict), "least_factor": cell.judgement.least_factor, "kind": "backend"}
            twin = result.reference.twin[cell.mode]
            tools = agreements(cell.trace, twin, result.scenario.dtype) if cell.mode == "free" else {}
            yield head | {"backend": cell.backend, "mode": cell.mode} | judged | tools
    for mode in result.truth:
        for number, ratio in enumerate(_noise_ratios(result, mode)):
            judged = {"verdict": "", "least_factor": float(ratio), "kind": "noise"}
            yield head | {"backend": f"noise {number}", "mode": mode} | judged


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # a run that overflows is for the judge
def _noise_ratios(result: ScenarioResult, mode: Mode) -> Floats:
    """The largest error over envelope of each noisy run that made no envelope."""
    largest = np.zeros(2 * NOISY)
    for name, rows, off in _noise(result, mode):
        unit = result.reference.envelope[mode][name][rows]
        unit = unit[:, : off.shape[2]] if off.ndim > 2 else unit  # a smaller last batch
        largest = np.fmax(largest, (off / unit).reshape(2 * NOISY, -1).max(axis=1))
    return largest


def _noise(result: ScenarioResult, mode: Mode) -> Iterator[tuple[str, Any, Floats]]:
    """How far from the truth noisy runs that made no envelope are: a quantity, its steps, and a row a run."""
    truth, states = result.reference.truth[mode].columns, result.reference.states
    options: dict[str, Any] = {"runs": NOISY, "factor": 1.0, "seed": 1}
    for rows, seen in noisy_runs(result.scenario, result.inputs, mode, states, **options):
        for name, runs in seen.items():
            if len(runs) > 1:
                right = truth[name][rows]
                yield name, rows, np.abs(runs[1:] - (right[:, : runs.shape[2]] if runs.ndim > 2 else right))


# ---------------------------------------------------------------- faults


@dataclass(frozen=True)
class Fault:
    """What a change does to a scenario in one mode, alone, in exact arithmetic.

    Attributes:
        first: the first quantity that it moves, and its step; None if it moves nothing.
        well_defined: at that first place it is so large that rounding cannot hide it.
        over_errors: the largest movement of a tensor over the largest error of any right backend there.
        over_envelope: the largest movement of an element over its envelope.
    """

    first: tuple[str, int] | None
    well_defined: bool
    over_errors: float
    over_envelope: float

    @property
    def above_rounding(self) -> bool:
        """Whether no right backend strays nearly so far."""
        return self.over_errors > CLEARLY


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def fault_alone(result: ScenarioResult, mode: Mode, change: Change, errors: Mapping[str, Floats]) -> Fault:
    """Run the changed rules, and see how far they are from the right ones.

    Args:
        result: a run of the right backends.
        mode: free or resync.
        change: the fault.
        errors: for each quantity, the largest error of any right backend at each step; see `errors_of`.
    """
    reference = result.reference
    states = reference.states if mode == "resync" else None
    seen = record_here(ChangedBackend(change), "changed", result.scenario, result.inputs, states=states)
    right = record_here(Rules("float64"), "right", result.scenario, result.inputs, states=states)
    largest, relative, firsts = 0.0, 0.0, []
    for order, (name, column) in enumerate(right.columns.items()):
        same = seen.columns[name].shape == column.shape  # a transposed weight has another: that is seen at once
        moved = np.abs(seen.columns[name] - column) if same else np.full(column.shape, np.inf)
        moved = np.where(np.isnan(moved), np.inf, moved)
        over = _over(moved, reference.envelope[mode][name])
        steps = np.flatnonzero(over > 1e-3)
        firsts += [(int(steps[0]), order, name, float(over[steps[0]]))] if len(steps) else []
        relative = max(relative, float(over.max(initial=0.0)))
        peak = moved.reshape(len(moved), -1).max(axis=1, initial=0.0)
        largest = max(largest, float(_over(peak, errors[name]).max(initial=0.0)))
    if not firsts:
        return Fault(None, False, largest, relative)
    step, _, name, size = min(firsts)
    return Fault((name, step), size > 2 * FACTOR, largest, relative)


def _over(moved: Floats, unit: Floats) -> Floats:
    """The largest quotient of each step; 0/0 is 0."""
    ratios = np.where(moved == 0, 0.0, moved / unit)
    return np.asarray(ratios.reshape(len(ratios), -1).max(axis=1, initial=0.0))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def errors_of(result: ScenarioResult, mode: Mode) -> dict[str, Floats]:
    """For each quantity and step the largest error of any right run, backend or noise; one ULP of its peak at least."""
    spacing = FORMATS[result.scenario.dtype].spacing
    truth = result.truth[mode].columns
    ran = [c.trace.columns for c in result.cells.values() if c.mode == mode and c.trace is not None]
    out = {}
    for name, column in truth.items():
        flat = column.reshape(len(column), -1)
        off = [np.abs(side[name].astype(np.float64).reshape(flat.shape) - flat).max(axis=1) for side in ran]
        ulp = spacing(np.abs(flat).max(axis=1)) if name != "lr" else np.zeros(len(flat))
        out[name] = np.maximum.reduce([ulp, *off])
    for name, rows, spread in _noise(result, mode):
        largest = spread.reshape(*spread.shape[:2], -1).max(axis=(0, 2))
        out[name][rows] = np.fmax(out[name][rows], largest)
    return out


def fault_cells(
    right: Sequence[ScenarioResult], faults: Mapping[str, Mapping[str, Change]], backends: Sequence[str], **options: Any
) -> pd.DataFrame:
    """A row for each fault that means something in a scenario, on each backend, in each mode.

    Args:
        right: the scenarios, run on the right backends.
        faults: for each scenario's name the faults to seed, by how their backends' names have them: "fault=…,by=…".
        backends: names of backends to seed them into.
        options: for `run`.
    """
    rows: list[dict[str, Any]] = []
    for clean in right:
        of_scenario = faults[clean.scenario.name]
        seeded = [f"{backend}[{fault}]" for fault in of_scenario for backend in backends]
        [result] = run(clean.scenario, backends=seeded, repeat=1, causes=False, **options).results
        for mode in result.truth:
            errors = errors_of(clean, mode)
            for fault, change in of_scenario.items():
                alone = fault_alone(clean, mode, change, errors)
                cells = (result.cells[f"{backend}[{fault}]", mode] for backend in backends)
                rows += [_fault_row(result, cell, fault, change, alone) for cell in cells if cell.trace is not None]
    return pd.DataFrame(rows)


def _allowed(cell: Cell) -> float:
    """How many envelopes a backend may be off by its written deviations: a constant of fewer digits rounds so."""
    assert cell.trace is not None
    known, dtype = cell.trace.manifest.deviation, cell.trace.manifest.dtype
    return FACTOR * FORMATS[known.kept_in].roundoff / FORMATS[dtype].roundoff if known and known.kept_in else 0.0


def _fault_row(result: ScenarioResult, cell: Cell, fault: str, change: Change, alone: Fault) -> dict[str, Any]:
    assert cell.trace is not None
    first = alone.first or ("", None)
    tools = agreements(cell.trace, result.reference.twin["free"], result.scenario.dtype) if cell.mode == "free" else {}
    return {
        "scenario": result.scenario.name,
        "dtype": result.scenario.dtype,
        "steps": result.inputs.steps,
        "backend": cell.backend.partition("[")[0],
        "mode": cell.mode,
        "fault": fault,
        "id": change.id,
        "above_rounding": alone.above_rounding and alone.over_envelope > _allowed(cell),
        "over_errors": alone.over_errors,
        "over_envelope": alone.over_envelope,
        "verdict": str(cell.verdict),
        "green": cell.verdict.green,
        "least_factor": np.inf if cell.judgement.structural else cell.judgement.least_factor,  # a shape, not a number
        "expected_first": first[0],
        "expected_step": first[1],
        "well_defined": alone.well_defined,
        "first": cell.judgement.first,
        "step": cell.judgement.step,
    } | tools
