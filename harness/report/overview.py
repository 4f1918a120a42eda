"""What does a report come to, before any details? Plain rows for the pages: headline, verdicts, environments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from isograd.assess import Cell, ScenarioResult
from isograd.findings import RED
from isograd.judging import Judgement, Verdict
from isograd.report.account import cause_rows
from isograd.report.text import worst_of

if TYPE_CHECKING:
    from isograd.report import Report

Rows = dict[str, Any]

MEANING = {
    Verdict.IDENTICAL: ("=", "good", "every bit is that of the hand-written rules in the same dtype"),
    Verdict.EQUIVALENT: ("≈", "good", "every element is within its bound"),
    Verdict.EXPECTED: ("✓", "known", "diverges exactly where the scenario says that it will"),
    Verdict.DRIFTS: ("↗", "warn", "within bounds in resync, outside in free: the same rules, amplified rounding"),
    Verdict.IMPRECISE: ("≉", "warn", "right in float64, outside in the port's own dtype"),
    Verdict.DIVERGES: ("≠", "bad", "outside its bound"),
    Verdict.STALE: ("∄", "bad", "a divergence was expected, and does not show"),
    Verdict.VACUOUS: ("∅", "bad", "nothing was really compared"),
    Verdict.UNSUPPORTED: ("?", "bad", "the backend has no row for something in the scenario"),
    Verdict.NONDETERMINISTIC: ("≁", "bad", "two runs of the same job differ"),
    Verdict.ERROR: ("✕", "bad", "crashed, hung, or is not installed though it was asked for"),
}
"""For each verdict a sign and a tone, so that none is told by colour alone, and what it means."""


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
        "backends": backends,
        "counts": {str(v): n for v in MEANING if (n := sum(cell.verdict is v for cell in cells))},
        "meaning": meanings({verdict: text for verdict, (_, _, text) in MEANING.items()}),
        "absent": report.absent,
        "environments": {backend: seen[backend] for backend in backends},
        "verdicts": [verdict_row(result, backends) for result in report.results],
    }


def meanings(texts: Mapping[Verdict, str]) -> Rows:
    """What pages show of each of these verdicts: its sign, its tone, what it means."""
    signs = {verdict: (sign, tone) for verdict, (sign, tone, _) in MEANING.items()}
    return {
        str(verdict): {"sign": signs[verdict][0], "tone": signs[verdict][1], "text": text, "green": verdict.green}
        for verdict, text in texts.items()
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
    parts.append("every tensor" if quantities == "*" else f"quantities {quantities}")
    return parts if report.results else []


def verdict_row(result: ScenarioResult, backends: Sequence[str]) -> Rows:
    """A scenario's row of the table of verdicts, and the reasons behind those verdicts that need one."""
    cells = {name: [cell for cell in result.cells.values() if cell.backend == name] for name in backends}
    alike = {name: list(_alike(of_backend)) for name, of_backend in cells.items()}
    behind = [row for of_backend in alike.values() for row in of_backend if row["message"] or row["red"]]
    wrong = sum(row["status"] in RED for row in result.findings)
    return {
        "name": result.scenario.name,
        "anchor": anchor(result.scenario.name),
        "title": result.scenario.title,
        "green": result.green,
        "cells": alike,
        "reasons": _reasons(behind),
        "wrong": f"{wrong} {'finding' if wrong == 1 else 'findings'} not as expected" if wrong else "",
    }


def anchor(name: str) -> str:
    """The id that GitHub gives to a heading that reads ``name``."""
    return re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")


def _alike(cells: Sequence[Cell]) -> Iterator[Rows]:
    """A row for each outcome of a backend: once for the modes that come to the same at the same place."""
    for _, group in groupby(cells, lambda cell: (cell.verdict, where(cell.judgement) or cell.judgement.message)):
        same = list(group)
        cell, red = same[0], not same[0].verdict.green
        message, problems = cell.judgement.message, cell.comparison.problems if cell.comparison else ()
        worst = worst_of(max(same, key=lambda cell: cell.judgement.error_over_bound)) if red else ""
        yield {
            "backend": cell.backend,
            "modes": ", ".join(c.mode for c in same),
            "verdict": str(cell.verdict),
            "red": red,
            "ratio": max(c.judgement.error_over_bound for c in same) if cell.comparison else None,
            "where": where(cell.judgement),
            "message": message,
            "cause": cause_rows(cell.account),
            "worst": worst if worst != message else "",
            "problems": [text for p in problems if (text := f"{p.quantity}: {p.text}") != message],
            "tail": cell.answer.tail if red else "",
        }


def _reasons(rows: Sequence[Rows]) -> list[Rows]:
    """What is behind the outcomes, once for the backends that it is the same for."""
    reasons: dict[str, Rows] = {}
    for row in rows:
        said = {key: value for key, value in row.items() if key not in ("backend", "ratio")}
        reasons.setdefault(repr(said), said | {"backends": []})["backends"].append(row["backend"])
    return list(reasons.values())


def where(judgement: Judgement) -> str:
    """The first divergence and its step; "" without one."""
    return f"{judgement.first}, step {judgement.step}" if judgement.first else ""
