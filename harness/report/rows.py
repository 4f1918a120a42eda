"""What does a report tell its reader? Plain rows, which the templates of both pages lay out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.assess import Cell, ScenarioResult
from harness.findings import AS_PRINTED, RED, Row
from harness.judge import Judgement, Verdict
from harness.report.text import worst_of

if TYPE_CHECKING:
    import pandas as pd

    from harness.report import Report

Rows = dict[str, Any]

MEANING = {
    Verdict.IDENTICAL: ("=", "good", "every bit is that of the hand-written rules in the same dtype"),
    Verdict.EQUIVALENT: ("≈", "good", "every element is within its bound"),
    Verdict.EXPECTED: ("✓", "known", "diverges exactly where the scenario says that it will"),
    Verdict.DRIFTS: ("↗", "warn", "within bounds in resync, outside in free: the same rules, amplified rounding"),
    Verdict.DIVERGES: ("≠", "bad", "outside its bound"),
    Verdict.STALE: ("∄", "bad", "a divergence was expected, and does not show"),
    Verdict.VACUOUS: ("∅", "bad", "nothing was really compared"),
    Verdict.UNSUPPORTED: ("?", "bad", "the backend has no row for something in the scenario"),
    Verdict.ERROR: ("✕", "bad", "crashed, hung, or is not installed though it was asked for"),
}
"""For each verdict a sign and a tone, so that none is told by colour alone, and what it means."""

CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Terminal sequences and control characters, in what a child said."""


# ---------------------------------------------------------------- the whole


def overview(report: Report) -> Rows:
    """What comes before the scenarios. Nothing in it changes from one run to the next of the same thing."""
    backends = backends_of(report)
    cells = [cell for result in report.results for cell in result.cells.values()]
    seen = {c.backend: c.answer.environment for c in cells}
    seen |= {c.backend: c.trace.manifest.environment for c in cells if c.trace}
    return {
        "green": report.green,
        "headline": headline(report),
        "scope": _scope(report),
        "isograd": version("isograd"),
        "backends": backends,
        "counts": {str(v): n for v in MEANING if (n := sum(cell.verdict is v for cell in cells))},
        "meaning": {str(v): {"sign": s, "tone": t, "text": m, "green": v.green} for v, (s, t, m) in MEANING.items()},
        "absent": report.absent,
        "environments": {backend: seen[backend] for backend in backends},
        "verdicts": [verdict_row(result, backends) for result in report.results],
    }


def backends_of(report: Report) -> list[str]:
    """All backends that there is a cell of."""
    return list(dict.fromkeys(cell.backend for result in report.results for cell in result.cells.values()))


def headline(report: Report) -> str:
    """The outcome, in a sentence."""
    cells = [cell for result in report.results for cell in result.cells.values()]
    red = sum(not cell.verdict.green for cell in cells)
    wrong = sum(row["status"] in RED for result in report.results for row in result.findings)
    if not cells:
        return "Nothing was run"
    parts = [f"{red} of {len(cells)} cells {'is' if red == 1 else 'are'} not green"] if red else []
    parts += [f"{wrong} {'finding is' if wrong == 1 else 'findings are'} not as expected"] if wrong else []
    return ", ".join(parts) or f"All {len(cells)} cells are green"


def _scope(report: Report) -> list[str]:
    count = len(report.results)
    dtypes = dict.fromkeys(result.scenario.dtype for result in report.results)
    modes = dict.fromkeys(mode for result in report.results for mode in result.truth)
    every, quantities = report.request.get("every", 1), report.request.get("quantities", "*")
    parts = [f"{count} scenario{'s' * (count != 1)} on {', '.join(backends_of(report))}", " and ".join(modes)]
    parts += [", ".join(dtypes), "every step" if every == 1 else f"one step in {every}"]
    return [*parts, "every tensor" if quantities == "*" else f"quantities {quantities}"]


def verdict_row(result: ScenarioResult, backends: Sequence[str]) -> Rows:
    """A scenario's row of the table of verdicts, and the reasons behind those verdicts that need one."""
    cells = {name: [cell for cell in result.cells.values() if cell.backend == name] for name in backends}
    alike = {name: list(_alike(of_backend)) for name, of_backend in cells.items()}
    wrong = sum(row["status"] in RED for row in result.findings)
    return {
        "name": result.scenario.name,
        "anchor": anchor(result.scenario.name),
        "title": result.scenario.title,
        "green": result.green,
        "cells": alike,
        "reasons": [reason for of_backend in alike.values() for reason in of_backend if reason["message"]],
        "wrong": f"{wrong} {'finding' if wrong == 1 else 'findings'} not as expected" if wrong else "",
    }


def anchor(name: str) -> str:
    """The id that GitHub gives to a heading that reads ``name``."""
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


def _alike(cells: Sequence[Cell]) -> Iterator[Rows]:
    """A row for each outcome of a backend: once for the modes that come to the same."""
    for _, group in groupby(cells, lambda c: (c.verdict, c.judgement.first, c.judgement.step, c.judgement.message)):
        same = list(group)
        cell, red = same[0], not same[0].verdict.green
        worst = worst_of(cell) if red else ""
        yield {
            "backend": cell.backend,
            "modes": " and ".join(c.mode for c in same),
            "verdict": str(cell.verdict),
            "ratio": max(c.judgement.error_over_bound for c in same) if cell.comparison else None,
            "where": _where(cell.judgement),
            "message": cell.judgement.message,
            "worst": worst if worst != cell.judgement.message else "",
            "problems": [f"{p.quantity}: {p.text}" for p in cell.comparison.problems[1:]] if cell.comparison else [],
            "tail": CONTROL.sub("", cell.answer.tail) if red else "",
        }


def _where(judgement: Judgement) -> str:
    return f"{judgement.first}, step {judgement.step}" if judgement.first else ""


# ---------------------------------------------------------------- a scenario


def scenario_rows(report: Report, result: ScenarioResult, *, losses: int, weights: int) -> Rows:
    """All tables of a scenario, with so many rows of losses and weights at most."""
    return verdict_row(result, backends_of(report)) | {
        "section": result.scenario.section,
        "mode": next(iter(result.truth)),
        "facts": facts(result),
        "losses": loss_rows(report, result, losses),
        "weights": weight_rows(report, result, weights),
        "columns": [(cell.backend, cell.mode) for cell in result.cells.values() if cell.comparison],
        "quantities": quantity_rows(result),
        "pairs": pair_rows(result),
        **finding_rows(result),
    }


def facts(result: ScenarioResult) -> dict[str, str]:
    """What was run, a phrase for each part of it."""
    scenario, inputs = result.scenario, result.inputs
    recorded = len(next(iter(result.truth.values())).steps)
    left_out = f"; {recorded} of them recorded" if recorded < inputs.steps else ""
    epochs = f"{scenario.epochs} epochs × {inputs.steps_per_epoch}" if scenario.epochs > 1 else str(inputs.steps)
    samples = f"{inputs.batch_size} of {len(inputs.x)} samples"
    wide = "50-digit arithmetic" if scenario.dtype == "float64" else "float64"
    return {
        "Model": _model(result),
        "Loss": _spec(scenario.loss),
        "Optimizer": _spec(scenario.optimizer),
        "Steps": f"{epochs}, each on {samples}{left_out}",
        "Dtype": scenario.dtype,
        "Truth": "the source's own numbers" if scenario.truth == "published" else f"the hand-written rules in {wide}",
    }


def _model(result: ScenarioResult) -> str:
    """As in 2 → 4 relu → 2: the width of the data and of each layer that has parameters; of the others their kind."""
    words, features = [str(result.inputs.x.shape[1])], result.scenario.features()
    for layer in result.scenario.layers:
        width = features[layer.name]
        kind = f"×{layer.factor:g}" if layer.kind == "scale" else layer.kind
        words.append(f"→ {layer.width(width)}" if layer.parameters(width) else kind)
    biased = any(name.endswith(".bias") for name in result.inputs.initial)
    return " ".join(words) + (", with bias" if biased else "")


def _spec(spec: Any) -> str:
    options = spec.model_dump(exclude={"kind"}, exclude_none=True)
    return ", ".join([spec.kind, *(f"{key} = {value}" for key, value in options.items())]).replace("_", " ")


def rows_of(frame: pd.DataFrame, result: ScenarioResult) -> pd.DataFrame:
    """A scenario's rows of one of the report's tables, of its first mode."""
    if frame.empty:
        return frame
    return frame[(frame["scenario"] == result.scenario.name) & (frame["mode"] == next(iter(result.truth)))]


def loss_rows(report: Report, result: ScenarioResult, limit: int) -> Rows:
    """The loss at each epoch's last step on every side, the epoch's mean, and its largest difference of two backends."""
    frame = rows_of(report.losses, result)
    sides = ["reference", *(b for b in backends_of(report) if b in frame.columns and _traced(result, b, "loss"))]
    if frame.empty:
        return {"sides": sides, "rows": [], "left_out": 0}
    epochs = frame.groupby("epoch")
    last, apart = epochs.last(), epochs["largest_difference"].max()
    chosen = np.unique(np.linspace(0, len(last) - 1, limit).round().astype(int))
    rows = [
        {
            "epoch": int(epoch),
            "step": int(row["step"]),
            "sides": [shortest(row[side], result.scenario.dtype) for side in sides],
            "mean": f"{row['epoch_mean']:.6g}",
            "apart": short(apart[epoch]) if len(sides) > 2 else "",
        }
        for epoch, row in last.iloc[chosen].iterrows()
    ]
    return {"sides": sides, "rows": rows, "left_out": len(last) - len(rows)}


def weight_rows(report: Report, result: ScenarioResult, limit: int) -> Rows:
    """The parameters after the last step on every side; of many elements those on which the sides differ most."""
    frame = rows_of(report.weights, result)
    sides = ["reference", *(b for b in backends_of(report) if b in frame.columns and _traced(result, b, "weight/"))]
    if frame.empty:
        return {"sides": sides, "rows": [], "left_out": 0}
    final = frame[frame["epoch"] == frame["epoch"].max()]
    spread = (final[sides].max(axis=1) - final[sides].min(axis=1)).fillna(np.inf)
    shown = final.loc[spread.nlargest(limit).index.sort_values()]
    rows = [
        {
            "name": f"{row['parameter']}{row['index']}",
            "sides": [shortest(row[side], result.scenario.dtype) for side in sides],
            "apart": short(spread[i]),
        }
        for i, row in shown.iterrows()
    ]
    return {"sides": sides, "rows": rows, "left_out": len(final) - len(rows)}


def _traced(result: ScenarioResult, backend: str, quantity: str) -> bool:
    """Whether a backend recorded a quantity whose name begins so."""
    cell = result.cells.get((backend, next(iter(result.truth))))
    return bool(cell and cell.trace and any(name.startswith(quantity) for name in cell.trace.columns))


def quantity_rows(result: ScenarioResult) -> list[Rows]:
    """A row per quantity in execution order: for each cell the largest measures of all steps, None where it has none."""
    cells = [cell for cell in result.cells.values() if cell.comparison]
    known = dict.fromkeys(name for truth in result.truth.values() for name in truth.columns)
    rows = [{"name": name, "cells": [_measured(cell, name) for cell in cells]} for name in known]
    return [row for row in rows if any(row["cells"])]


def _measured(cell: Cell, name: str) -> Rows | None:
    ratios = (cell.judgement.ratios or {}).get(name)
    if ratios is None or cell.comparison is None:
        return None
    m = cell.comparison.measures[name]
    largest = {"ratio": float(ratios.max()), "abs": float(m.max_abs.max()), "ulp": float(m.max_ulp.max())}
    return largest | {"inside": bool((ratios <= 1.0).all())}


def pair_rows(result: ScenarioResult) -> list[Rows]:
    """A row per two backends and mode."""
    return [
        {
            "names": f"{pair.first} – {pair.second}",
            "mode": pair.mode,
            "verdict": str(pair.judgement.verdict),
            "where": _where(pair.judgement),
            "ratio": pair.judgement.error_over_bound,
            "abs": pair.judgement.max_abs,
            "ulp": pair.judgement.max_ulp,
        }
        for pair in result.pairs
    ]
