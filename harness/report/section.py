"""What is there to say of one scenario? Plain rows for the pages: what was run, and every table of its section."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isograd.assess import Cell, ScenarioResult
from isograd.findings import AS_PRINTED, RED, Row
from isograd.report.overview import Rows, backends_of, verdict_row, where
from isograd.scenario import Group

if TYPE_CHECKING:
    import pandas as pd

    from isograd.report import Report


def scenario_rows(report: Report, result: ScenarioResult, *, losses: int, weights: int) -> Rows:
    """All tables of a scenario, with so many rows of losses and weights at most."""
    group, _, own = result.scenario.name.rpartition("/")
    return verdict_row(result, backends_of(report)) | {
        "group": group,
        "short_name": own,
        "section": result.scenario.section,
        "mode": next(iter(result.truth)),
        "facts": facts(result),
        "losses": loss_rows(report, result, losses),
        "weights": weight_rows(report, result, weights),
        **quantity_rows(result),
        "pairs": pair_rows(result),
        **finding_rows(result),
    }


TRUTH = {"float64": "float64", "mp50": "50-digit arithmetic", "exact": "exact fractions"}
"""What the truth was computed in, for people."""


def facts(result: ScenarioResult) -> dict[str, str]:
    """What was run, a phrase for each part of it."""
    scenario, inputs = result.scenario, result.inputs
    recorded = len(next(iter(result.truth.values())).steps)
    counted = [(scenario.epochs, "epoch"), (inputs.steps_per_epoch, "step"), (inputs.batch_size, "sample")]
    steps = " × ".join(f"{n:,} {what}{'s' * (n != 1)}" for n, what in counted)
    wide = TRUTH[result.reference.arithmetic]
    return {
        "Model": _model(result),
        "Loss": _spec(scenario.loss),
        "Optimizer": _spec(scenario.optimizer),
        **({"Schedule": _spec(scenario.schedule)} if scenario.schedule else {}),
        **({"Clipping": _spec(scenario.clipping)} if scenario.clipping else {}),
        **(
            {"Shared": "; ".join(f"{name} is {owner}" for name, owner in scenario.shared.items())}
            if scenario.shared
            else {}
        ),
        **({"Groups": "; ".join(map(_group, scenario.groups))} if scenario.groups else {}),
        "Steps": steps + (f", {recorded:,} steps recorded" if recorded < inputs.steps else ""),
        "Dtype": scenario.dtype,
        "Truth": "the source's own numbers" if scenario.truth == "published" else f"the hand-written rules in {wide}",
    }


def _group(group: Group) -> str:
    """Which parameters have what of their own."""
    own = ([f"{group.rate:g} of the rate"] if group.rate != 1 else []) + [f"{k} {v}" for k, v in group.settings.items()]
    return f"{', '.join(group.parameters)}: {', '.join(own) or 'nothing of their own'}"


def _model(result: ScenarioResult) -> str:
    """As in 2 → 4 relu → 2: the sizes of the data and of each layer that has parameters; of the others their kind."""
    scenario = result.scenario
    shapes, trained = scenario.shapes(), {name.partition(".")[0] for name in scenario.used()}
    words = [_size(shapes["x"])]
    for layer in scenario.layers:
        kind = f"×{getattr(layer, 'factor', 1.0):g}" if layer.kind == "scale" else layer.kind.replace("_", " ")
        sized = kind if layer.kind != "linear" and layer.name in trained else ""
        words.append(f"→ {sized} {_size(shapes[layer.name])}".replace("  ", " ") if layer.name in trained else kind)
    biased = any(name.endswith(".bias") for name in result.inputs.initial)
    return " ".join(words) + (", with bias" if biased else "")


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _spec(spec: Any) -> str:
    """The kind, and the settings that are not as usual."""
    options = spec.model_dump(exclude={"kind"}, exclude_defaults=True)
    return ", ".join([spec.kind, *(f"{key} = {value}" for key, value in options.items())]).replace("_", " ")


def rows_of(frame: pd.DataFrame, result: ScenarioResult) -> pd.DataFrame:
    """A scenario's rows of one of the report's tables, of its first mode."""
    if frame.empty:
        return frame
    return frame[(frame["scenario"] == result.scenario.name) & (frame["mode"] == next(iter(result.truth)))]


def loss_rows(report: Report, result: ScenarioResult, limit: int) -> Rows:
    """Every side's loss at the last step of an epoch, the epoch's mean, and the backends' largest difference in it."""
    frame = rows_of(report.losses, result)
    if frame.empty:
        return {"sides": [], "rows": [], "left_out": 0}
    sides = _sides(report, result, frame, "loss")
    epochs = [rows for _, rows in frame.groupby("epoch")]
    chosen = [epochs[i] for i in np.unique(np.linspace(0, len(epochs) - 1, limit).round().astype(int))]
    rows = [
        {
            "epoch": int(epoch["epoch"].iloc[-1]),
            "step": int(epoch["step"].iloc[-1]),
            "sides": [shortest(epoch[side].iloc[-1], result.scenario.dtype) for side in sides],
            "mean": f"{epoch['epoch_mean'].iloc[-1]:.6g}",
            "apart": short(_ranges(epoch[sides[1:]]).max()) if len(sides) > 2 else "",
        }
        for epoch in chosen
    ]
    return {"sides": sides, "rows": rows, "left_out": len(epochs) - len(rows)}


def weight_rows(report: Report, result: ScenarioResult, limit: int) -> Rows:
    """The parameters after the last step on every side; of many elements those on which the sides differ most."""
    frame = rows_of(report.weights, result)
    if frame.empty:
        return {"sides": [], "rows": [], "left_out": 0}
    sides = _sides(report, result, frame, "weight/")
    final = frame[frame["epoch"] == frame["epoch"].max()]
    ranges = _ranges(final[sides])
    chosen = np.sort(np.argsort(-ranges, kind="stable")[:limit])
    rows = [
        {
            "name": f"{final['parameter'].iloc[i]}{final['index'].iloc[i]}",
            "sides": [shortest(final[side].iloc[i], result.scenario.dtype) for side in sides],
            "apart": short(ranges[i]),
        }
        for i in chosen
    ]
    return {"sides": sides, "rows": rows, "left_out": len(final) - len(rows)}


def _ranges(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Of each row the largest difference of two columns; infinite where a side is not finite."""
    with np.errstate(invalid="ignore"):
        ranges = np.ptp(frame.to_numpy(dtype=np.float64), axis=1)
    return np.where(np.isfinite(ranges), ranges, np.inf)


def _sides(report: Report, result: ScenarioResult, frame: pd.DataFrame, quantity: str) -> list[str]:
    """The reference, and the backends that recorded a quantity whose name begins so."""
    mode = next(iter(result.truth))
    traces = {b: cell.trace for (b, m), cell in result.cells.items() if m == mode and cell.trace}
    recorded = {b for b, trace in traces.items() if any(name.startswith(quantity) for name in trace.columns)}
    return ["reference", *(b for b in backends_of(report) if b in recorded and b in frame.columns)]


def quantity_rows(result: ScenarioResult) -> Rows:
    """A row per quantity in execution order: the largest measures of all steps, or None, in each column.

    A column is a backend in one mode, or in both if they measure the same, as they must in a run of one step.
    """
    known = dict.fromkeys(name for truth in result.truth.values() for name in truth.columns)
    columns: list[tuple[str, str, list[Rows | None]]] = []
    for cell in result.cells.values():
        measured = [_measured(cell, name) for name in known]
        if columns and columns[-1][0] == cell.backend and columns[-1][2] == measured:
            columns[-1] = (cell.backend, f"{columns[-1][1]}, {cell.mode}", measured)
        elif any(measured):
            columns.append((cell.backend, cell.mode, measured))
    rows = []
    for i, name in enumerate(known):
        cells = [column[i] for _, _, column in columns]
        if any(cells):
            inside = all(measures["inside"] for measures in cells if measures)
            rows.append({"name": name, "cells": cells, "inside": inside})
    return {"columns": [(backend, modes) for backend, modes, _ in columns], "quantities": rows}


def _measured(cell: Cell, name: str) -> Rows | None:
    """The largest measures; or the problem that keeps a quantity from being compared; or None if it was not to be."""
    if cell.comparison is None:
        return None
    if name not in cell.comparison.measures:
        problems = [problem.text for problem in cell.comparison.problems if problem.quantity == name]
        return {"problem": problems[0], "inside": False} if problems else None
    m, ratios = cell.comparison.measures[name], (cell.judgement.ratios or {})[name]
    largest = {"ratio": float(ratios.max()), "abs": float(m.max_abs.max()), "ulp": float(m.max_ulp.max())}
    return largest | {"problem": "", "inside": bool((ratios <= 1.0).all())}


def pair_rows(result: ScenarioResult) -> list[Rows]:
    """A row per two backends and mode."""
    return [
        {
            "names": f"{pair.first} – {pair.second}",
            "mode": pair.mode,
            "verdict": str(pair.judgement.verdict),
            "where": where(pair.judgement),
            "ratio": pair.judgement.error_over_bound,
            "abs": pair.judgement.max_abs,
            "ulp": pair.judgement.max_ulp,
        }
        for pair in result.pairs
    ]


# ---------------------------------------------------------------- findings


def finding_rows(result: ScenarioResult) -> Rows:
    """The numbers printed in the source, the notes on it with what each accounts for, and the identities."""
    notes = {finding.id: [r for r in result.findings if r["id"] == finding.id] for finding in result.scenario.findings}
    others = [row for row in result.findings if row["id"] not in notes]
    printed = [row for row in result.findings if row.get("printed")]
    kinds = dict.fromkeys(row["status"] for row in printed)
    return {
        "notes": [_note(rows) for rows in notes.values() if rows],
        "printed": [_printed(row) for row in others if row.get("printed")],
        "printed_counts": [f"{sum(r['status'] == kind for r in printed)} {kind}" for kind in kinds],
        "printed_total": len(printed),
        "identities": [_identity(row) for row in others if not row.get("printed")],
    }


def _note(rows: list[Row]) -> Rows:
    said = next(row for row in rows if "computed" not in row)
    shown = [row for row in rows if "computed" in row]
    return {
        "id": said["id"],
        "section": said["section"],
        "status": said["status"],
        "red": said["status"] in RED,
        "text": said["text"],
        "evidence": [{"label": r["text"], "value": f"{r['computed']:.9g}"} for r in shown if not r.get("printed")],
        "printed": [_printed(row) for row in shown if row.get("printed")],
    }


def _printed(row: Row) -> Rows:
    return {
        "name": f"{row['quantity']}{row['index']}",
        "step": row["step"],
        "section": row["section"],
        "printed": row["printed"],
        "computed": f"{row['computed']:.9g}",
        "difference": short(row["difference"]),
        "status": row["status"],
        "tone": "good" if row["status"] == AS_PRINTED else "bad" if row["status"] in RED else "known",
    }


def _identity(row: Row) -> Rows:
    where = f"step {row['step']}" if "step" in row else ""
    return {"name": row.get("quantity", ""), "where": where, "status": row["status"], "red": row["status"] in RED} | {
        "difference": short(row.get("difference")),
        "text": row["text"],
    }


# ---------------------------------------------------------------- numbers and text

CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""A terminal's colour sequences, and all control characters but tabs and line ends."""


def plain(value: Any) -> Any:
    """Text without control characters; anything else, text that is marked as safe included, as it is."""
    return CONTROL.sub("", value) if type(value) is str else value


def short(value: float | None) -> str:
    """Three significant digits; a dash where there is no number.

    Example:
        >>> short(1.2345e-06), short(float("inf")), short(None)
        ('1.23e-6', '∞', '–')
    """
    if value is None:
        return "–"
    text = f"{value:.3g}".replace("inf", "∞").replace("nan", "NaN")
    return text.replace("e-0", "e-").replace("e+0", "e+").replace("e+", "e")


def shortest(value: float, dtype: str) -> str:
    """The fewest digits that tell a number of ``dtype`` from its neighbours; a wider number is rounded to it first.

    Example:
        >>> shortest(0.1, "float32"), shortest(0.1 + 1e-9, "float32"), shortest(0.1 + 1e-9, "float64")
        ('0.1', '0.1', '0.100000001')
    """
    with np.errstate(over="ignore", under="ignore"):
        return str(np.dtype(dtype).type(value))
