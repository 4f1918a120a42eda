"""Which rows does each table have? From results to pandas, a column at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from isograd.assess import Cell, ScenarioResult
from isograd.comparison import Comparison
from isograd.judging import Judgement
from isograd.measure import Measures
from isograd.trace import Mode

if TYPE_CHECKING:
    from isograd.report import Difference

WEIGHT_ROWS = 256
"""Of a larger tensor only the elements on which the backends differ most are listed, this many."""

SUMMARY = ["scenario", "backend", "dtype", "mode", "verdict", "first", "step"]
SUMMARY += ["error_over_bound", "max_abs", "max_ulp", "cause", "message"]
FINDINGS = ["scenario", "id", "section", "status", "quantity", "step", "index"]
FINDINGS += ["printed", "computed", "difference", "text"]
NAMES = ["scenario", "backend", "against", "dtype", "mode", "quantity"]

Results = Sequence[ScenarioResult]


def summary(results: Results) -> pd.DataFrame:
    """A row a cell."""
    rows = [
        {"scenario": result.scenario.name, "backend": cell.backend, "dtype": result.scenario.dtype, "mode": cell.mode}
        | _verdict(cell.judgement)
        | {"cause": cell.account.ids if cell.account else ""}
        for result in results
        for cell in result.cells.values()
    ]
    return pd.DataFrame(rows, columns=SUMMARY).astype({"step": "Int64"})


def difference_summary(difference: Difference) -> pd.DataFrame:
    """One row, with both sides' names."""
    a, b = difference.a, difference.b
    head = {"scenario": a.scenario, "backend": a.backend, "against": b.backend, "dtype": a.dtype, "mode": a.mode}
    return pd.DataFrame([head | _verdict(difference.judgement)]).astype({"step": "Int64"})


def _verdict(judgement: Judgement) -> dict[str, Any]:
    return {
        "verdict": str(judgement.verdict),
        "first": judgement.first,
        "step": judgement.step,
        "error_over_bound": judgement.error_over_bound,
        "max_abs": judgement.max_abs,
        "max_ulp": judgement.max_ulp,
        "message": judgement.message,
    }


def losses(results: Results) -> pd.DataFrame:
    """A row a step; ``epoch_mean`` is the mean of the reference's losses over the step's epoch."""
    return _concat(_losses(result, mode) for result in results for mode in result.truth)


def _losses(result: ScenarioResult, mode: Mode) -> pd.DataFrame | None:
    truth = result.truth[mode]
    if "loss" not in truth.columns:
        return None
    losses = {c.backend: (c.trace.columns.get("loss"), c.trace.steps) for c in _ran(result, mode)}
    traces = {
        backend: (loss, steps) for backend, (loss, steps) in losses.items() if loss is not None and loss.ndim == 1
    }
    frame = pd.DataFrame(_run_columns(result, mode, truth.steps) | {"reference": truth.columns["loss"]})
    for backend, (loss, steps) in traces.items():  # of a wrong shape it is no number a step
        frame[backend] = pd.Series(loss.astype(np.float64), steps).reindex(truth.steps).to_numpy()
    both = frame[list(traces)]
    frame.insert(5, "epoch_mean", frame.groupby("epoch")["reference"].transform("mean"))
    ranges = both.max(axis=1, skipna=False) - both.min(axis=1, skipna=False)
    frame["largest_difference"] = ranges if len(traces) > 1 else np.nan
    return frame


def weights(results: Results) -> pd.DataFrame:
    """A row per element of a parameter and epoch; a column per backend, and one per pair with their difference."""
    return _concat(
        _weights(result, mode, name)
        for result in results
        for mode in result.truth
        for name in result.truth[mode].columns
        if name.startswith("weight/")
    )


def _weights(result: ScenarioResult, mode: Mode, name: str) -> pd.DataFrame:
    truth = result.truth[mode]
    ends = np.arange(1, result.scenario.epochs + 1) * result.inputs.steps_per_epoch - 1
    steps = np.intersect1d(ends, truth.steps)
    sides = {"reference": truth.every(steps, [name]).columns[name]}
    for cell in _ran(result, mode):
        if name in cell.trace.columns and np.isin(steps, cell.trace.steps).all():
            column = cell.trace.every(steps, [name]).columns[name].astype(np.float64)
            if column.shape == sides["reference"].shape:
                sides[cell.backend] = column
    shape = truth.columns[name].shape[1:]
    flat = {side: values.reshape(len(steps), -1) for side, values in sides.items()}
    chosen = _most_different(list(flat.values()))
    index = [str(list(map(int, np.unravel_index(i, shape)))) for i in chosen]
    frame = pd.DataFrame(_run_columns(result, mode, np.repeat(steps, len(chosen))))
    frame["parameter"], frame["index"] = name.removeprefix("weight/"), index * len(steps)
    for side, values in flat.items():
        frame[side] = values[:, chosen].ravel()
    for a, b in combinations([side for side in flat if side != "reference"], 2):
        frame[f"{a} - {b}"] = frame[a] - frame[b]
    return frame


def _most_different(sides: list[Any]) -> Any:
    """Columns of the elements to list: all, or of a large tensor those with the widest spread in any epoch."""
    if sides[0].shape[1] <= WEIGHT_ROWS:
        return np.arange(sides[0].shape[1])
    ranges = np.nan_to_num((np.max(sides, axis=0) - np.min(sides, axis=0)).max(axis=0), nan=np.inf)
    return np.sort(np.argpartition(ranges, -WEIGHT_ROWS)[-WEIGHT_ROWS:])


def quantities(results: Results) -> pd.DataFrame:
    """A row per quantity and step of every comparison: cells against the truth, and every pair of backends."""
    blocks: list[pd.DataFrame] = []
    for result in results:
        for cell in result.cells.values():
            if cell.comparison:
                head = _head(result, cell.backend, result.scenario.truth, cell.mode)
                blocks += _measured(head, cell.comparison, cell.judgement)
        for pair in result.pairs:
            head = _head(result, pair.first, pair.second, pair.mode)
            blocks += _measured(head, pair.comparison, pair.judgement)
    return _categories(blocks)


def difference_quantities(difference: Difference) -> pd.DataFrame:
    """A row per quantity and step."""
    a, b = difference.a, difference.b
    head = {"scenario": a.scenario, "backend": a.backend, "against": b.backend, "dtype": a.dtype, "mode": a.mode}
    return _categories(_measured(head, difference.comparison, difference.judgement))


def _head(result: ScenarioResult, backend: str, against: str, mode: Mode) -> dict[str, str]:
    scenario = result.scenario
    return {"scenario": scenario.name, "backend": backend, "against": against, "dtype": scenario.dtype, "mode": mode}


def _measured(head: dict[str, str], comparison: Comparison, judgement: Judgement) -> Iterator[pd.DataFrame]:
    ratios, bounds = judgement.ratios or {}, judgement.bounds or {}
    for name, m in comparison.measures.items():
        columns: dict[str, Any] = {"step": comparison.steps}
        columns |= {field.name: getattr(m, field.name) for field in fields(Measures)}
        yield pd.DataFrame(
            head | {"quantity": name} | columns | {"bound": bounds[name], "error_over_bound": ratios[name]}
        )


def _categories(blocks: Iterable[pd.DataFrame]) -> pd.DataFrame:
    frame = _concat(blocks)
    return frame.astype({name: "category" for name in NAMES if name in frame.columns})


def findings(results: Results) -> pd.DataFrame:
    """A row per printed number, finding, piece of evidence, and identity; backends' own numbers to the right."""
    rows = [row for result in results for row in result.findings]
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=[*FINDINGS, *(c for c in frame.columns if c not in FINDINGS)])
    return frame.astype({"step": "Int64"})


def _ran(result: ScenarioResult, mode: Mode) -> list[Any]:
    """Cells of a mode that have a trace."""
    return [cell for cell in result.cells.values() if isinstance(cell, Cell) and cell.mode == mode and cell.trace]


def _run_columns(result: ScenarioResult, mode: Mode, steps: Any) -> dict[str, Any]:
    epoch = np.asarray(steps) // result.inputs.steps_per_epoch + 1
    return {
        "scenario": result.scenario.name,
        "dtype": result.scenario.dtype,
        "mode": mode,
        "epoch": epoch,
        "step": steps,
    }


def _concat(frames: Iterable[pd.DataFrame | None]) -> pd.DataFrame:
    there = [frame for frame in frames if frame is not None]
    return pd.concat(there, ignore_index=True) if there else pd.DataFrame()
