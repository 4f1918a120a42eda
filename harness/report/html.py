"""What does a report say to a reader? Plain rows for the pages, and one self-contained HTML page made of them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.resources import files
from itertools import groupby
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from harness.assess import Cell, ScenarioResult
from harness.findings import BROKEN, CUT_OFF, DIFFERS, RED, Row
from harness.judge import Verdict
from harness.report.curves import error_chart, loss_chart
from harness.report.text import worst_of

if TYPE_CHECKING:
    import pandas as pd

    from harness.report import Report

MEANING = {
    Verdict.IDENTICAL: ("=", "good", "every bit is that of the hand-written rules in the same dtype"),
    Verdict.EQUIVALENT: ("≈", "good", "every element is within the bound that rounding accounts for"),
    Verdict.EXPECTED: ("✓", "noted", "diverges exactly where the scenario says that it will"),
    Verdict.DRIFTS: ("↗", "warn", "within bounds in resync, outside in free: the same rules, amplified rounding"),
    Verdict.DIVERGES: ("≠", "bad", "outside its bound"),
    Verdict.STALE: ("∄", "bad", "an expected divergence that does not show"),
    Verdict.VACUOUS: ("∅", "bad", "nothing was really compared"),
    Verdict.UNSUPPORTED: ("?", "bad", "the backend has no row for something in the scenario"),
    Verdict.ERROR: ("✕", "bad", "crashed, hung, or could not be imported"),
}
"""For each verdict a sign and a tone, so that none is told by colour alone, and what it means."""

DIGITS = {"float16": 5, "float32": 9, "float64": 17}
"""Significant digits that tell any two numbers of a dtype apart: IEEE 754-2019, table 9.1 (5.12.2)."""

CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
"""Terminal sequences and control characters, in what a child said."""


def html(report: Report) -> str:
    """The page: CSS, script and numbers are inside it, and it loads nothing.

    Text from scenarios and backends is escaped by the template; the numbers are JSON without ``<``; and the page's own
    policy lets no script run but the two that came with it, known by their digests.
    """
    backends = backends_of(report)
    env = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    env.filters |= {"short": short}
    scripts = [_asset("uplot.min.js"), _asset("charts.js")]
    charts: dict[str, Any] = {}
    sections = [_section(report, i, charts) for i in range(len(report.results))]
    return env.get_template("report.html").render(
        **overview(report),
        sections=sections,
        colours={name: place % 8 for place, name in enumerate(backends)},
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files, which hold no "</script"
        policy=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        styles=[Markup(_asset(name)) for name in ("uplot.min.css", "report.css")],  # noqa: S704
        curves=htmlsafe_json_dumps(charts, _json),
    )


def _asset(name: str) -> str:
    return (files("harness.report") / "templates" / name).read_text("utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _json(value: Any, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _section(report: Report, i: int, charts: dict[str, Any]) -> dict[str, Any]:
    """A scenario's rows for the page; its curves are added to ``charts``."""
    result, backends = report.results[i], backends_of(report)
    mode = next(iter(result.truth))
    drawn = {"loss": loss_chart(result, rows_of(report.losses, result), backends)}
    drawn |= {m: error_chart(result, m, backends) for m in result.truth}
    charts |= {f"s{i}-{name}": chart for name, chart in drawn.items() if chart}
    return scenario_rows(report, result) | {
        "anchor": f"s{i}",
        "charts": {name: chart for name, chart in drawn.items() if chart},
        "mode": mode,
        "quantities": quantity_rows(result),
        "columns": [(cell.backend, cell.mode) for cell in result.cells.values() if cell.comparison],
    }


# ---------------------------------------------------------------- the whole


def overview(report: Report) -> dict[str, Any]:
    """What both pages say before they come to the scenarios."""
    cells = [cell for result in report.results for cell in result.cells.values()]
    environments = {c.backend: c.trace.manifest.environment if c.trace else c.answer.environment for c in cells[::-1]}
    environments |= {c.backend: c.trace.manifest.environment for c in cells[::-1] if c.trace}
    return {
        "green": report.green,
        "headline": headline(report),
        "scope": _scope(report),
        "isograd": version("isograd"),
        "backends": backends_of(report),
        "counts": {v: n for v in MEANING if (n := sum(cell.verdict is v for cell in cells))},
        "meaning": MEANING,
        "absent": report.absent,
        "environments": {name: environments[name] for name in backends_of(report)},
        "verdicts": [verdict_row(result, backends_of(report)) for result in report.results],
    }


def backends_of(report: Report) -> list[str]:
    """All backends that were asked for."""
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


def _scope(report: Report) -> str:
    count = len(report.results)
    dtypes = dict.fromkeys(result.scenario.dtype for result in report.results)
    modes = dict.fromkeys(mode for result in report.results for mode in result.truth)
    every, quantities = report.request.get("every", 1), report.request.get("quantities", "*")
    parts = [f"{count} scenario{'s' * (count != 1)} on {', '.join(backends_of(report))}", " and ".join(modes)]
    parts += [", ".join(dtypes), f"one step in {every}" if every != 1 else "every step"]
    return " · ".join([*parts, "every tensor" if quantities == "*" else f"quantities {quantities}"])


def verdict_row(result: ScenarioResult, backends: list[str]) -> dict[str, Any]:
    """A scenario's row of the table of verdicts: for each backend its verdicts, and below what is behind those."""
    cells = {name: [cell for cell in result.cells.values() if cell.backend == name] for name in backends}
    wrong = sum(row["status"] in RED for row in result.findings)
    return {
        "name": result.scenario.name,
        "title": result.scenario.title,
        "green": result.green,
        "cells": {name: list(_alike(of_backend)) for name, of_backend in cells.items()},
        "reasons": [reason for of_backend in cells.values() for reason in _alike(of_backend) if reason["message"]],
        "wrong": f"{wrong} of its findings {'is' if wrong == 1 else 'are'} not as expected" if wrong else "",
    }


def _alike(cells: list[Cell]) -> Iterator[dict[str, Any]]:
    """Cells of a backend, those modes together that come to the same."""
    for _, group in groupby(cells, lambda c: (c.verdict, c.judgement.first, c.judgement.step, c.judgement.message)):
        same = list(group)
        cell, found = same[0], same[0].judgement
        ratio = max((c.judgement.error_over_bound for c in same), default=0.0) if cell.comparison else None
        yield {
            "backend": cell.backend,
            "modes": " and ".join(c.mode for c in same),
            "verdict": cell.verdict,
            "ratio": ratio,
            "where": f"{found.first}, step {found.step}" if found.first else "",
            "message": found.message,
            "worst": worst_of(cell) if not cell.verdict.green else "",
            "tail": CONTROL.sub("", cell.answer.tail) if not cell.verdict.green else "",
        }


# ---------------------------------------------------------------- a scenario


def scenario_rows(report: Report, result: ScenarioResult) -> dict[str, Any]:
    """What both pages say of a scenario."""
    return verdict_row(result, backends_of(report)) | {
        "section": result.scenario.section,
        "facts": facts(result),
        "pairs": [
            {
                "names": f"{pair.first} – {pair.second}",
                "mode": pair.mode,
                "verdict": pair.judgement.verdict,
                "where": f"{pair.judgement.first}, step {pair.judgement.step}" if pair.judgement.first else "",
                "ratio": pair.judgement.error_over_bound,
                "abs": pair.judgement.max_abs,
                "ulp": pair.judgement.max_ulp,
            }
            for pair in result.pairs
        ],
        **finding_rows(result),
    }


def facts(result: ScenarioResult) -> dict[str, str]:
    """What was run, a short phrase for each part of it."""
    scenario, inputs = result.scenario, result.inputs
    truth = next(iter(result.truth.values()))
    recorded = f", {len(truth.steps)} of them recorded" if len(truth.steps) < inputs.steps else ""
    batch = "1 sample" if inputs.batch_size == 1 else f"{inputs.batch_size} of {len(inputs.x)} samples"
    epochs = f"{scenario.epochs} epochs of {inputs.steps_per_epoch} = " if scenario.epochs > 1 else ""
    return {
        "Model": _model(result),
        "Loss": _spec(scenario.loss),
        "Optimizer": _spec(scenario.optimizer),
        "Steps": f"{epochs}{inputs.steps:,} step{'s' * (inputs.steps != 1)} of {batch}{recorded}",
        "Dtype": scenario.dtype,
        "Compared with": "the numbers printed in the source"
        if scenario.truth == "published"
        else f"the hand-written rules in {'50 digits' if scenario.dtype == 'float64' else 'float64'}",
    }


def _model(result: ScenarioResult) -> str:
    """As in 2 → 4 relu → 2: the width of the data and of each layer that has parameters, the others by name."""
    words, widths = [str(result.inputs.x.shape[1])], result.scenario.features()
    for layer in result.scenario.layers:
        width = layer.width(widths[layer.name])
        trained = bool(layer.parameters(widths[layer.name]))
        detail = f"×{layer.factor:g}" if layer.kind == "scale" else layer.kind
        words.append(f"→ {width}" if trained else detail)
    biased = any(name.endswith(".bias") for name in result.inputs.initial)
    return " ".join(words) + (", with bias" if biased else "")


def _spec(spec: Any) -> str:
    options = spec.model_dump(exclude={"kind"}, exclude_none=True)
    return ", ".join([spec.kind.replace("_", " "), *(f"{key} {value}" for key, value in options.items())])


def quantity_rows(result: ScenarioResult) -> list[dict[str, Any]]:
    """A row per quantity in execution order: for each cell the largest measures of all steps, None where it has none."""
    cells = [cell for cell in result.cells.values() if cell.comparison]
    known = dict.fromkeys(name for truth in result.truth.values() for name in truth.columns)
    return [{"name": name, "cells": [_measured(cell, name) for cell in cells]} for name in known]


def _measured(cell: Cell, name: str) -> dict[str, Any] | None:
    ratios = (cell.judgement.ratios or {}).get(name)
    if ratios is None or cell.comparison is None:
        return None
    m = cell.comparison.measures[name]
    ulp, inside = float(m.max_ulp.max()), bool((ratios <= 1.0).all())
    return {"ratio": float(ratios.max()), "abs": float(m.max_abs.max()), "ulp": ulp, "inside": inside}


def rows_of(frame: pd.DataFrame, result: ScenarioResult) -> pd.DataFrame:
    """A scenario's rows of a table, of its first mode."""
    if frame.empty:
        return frame
    return frame[(frame["scenario"] == result.scenario.name) & (frame["mode"] == next(iter(result.truth)))]
