"""What does a person see in the terminal? The table of verdicts, and what is behind the red ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from isograd.assess import Cell, ScenarioResult
from isograd.findings import RED
from isograd.judging import Verdict, describe
from isograd.report import Difference, Report
from isograd.report.account import cause_text

STYLE = {
    Verdict.IDENTICAL: "green",
    Verdict.EQUIVALENT: "green",
    Verdict.EXPECTED: "cyan",
    Verdict.DRIFTS: "yellow",
    Verdict.IMPRECISE: "yellow",
}


def verdict_table(report: Report) -> RenderableType:
    """One row a scenario, one column a backend; under a red verdict the first divergence, below all the reasons."""
    backends = list(dict.fromkeys(cell.backend for result in report.results for cell in result.cells.values()))
    table = Table(header_style="bold", show_lines=not report.green)
    table.add_column("scenario", no_wrap=True)
    for backend in backends:
        table.add_column(Text(backend), overflow="fold")  # a verdict that is cut short is none
    for result in report.results:
        cells = [[c for c in result.cells.values() if c.backend == backend] for backend in backends]
        table.add_row(Text(result.scenario.name), *(_cell_text(of_backend) for of_backend in cells))
    notes: list[RenderableType] = [*_behind(report)]
    notes += [Text(line, style="red") for result in report.results for line in red_findings(result)]
    notes += [Text(f"{name}: {why}", style="dim") for name, why in report.absent.items()]
    return Group(table, *notes)


def _cell_text(cells: list[Cell]) -> Text:
    """A verdict once where the modes agree, otherwise one for each; under a red one, where it first diverges."""
    text = Text()
    same = len({(cell.verdict, cell.judgement.first, cell.judgement.step) for cell in cells}) == 1
    for cell in cells[:1] if same else cells:
        text.append("\n" if text else "")
        text.append("" if same else f"{cell.mode} ")
        text.append(str(cell.verdict), STYLE.get(cell.verdict, "bold red"))
        if cell.judgement.first and not cell.verdict.green:
            text.append(f"\n{cell.judgement.first}\nstep {cell.judgement.step}", "red")
    return text


def _behind(report: Report) -> Iterator[RenderableType]:
    """What is behind each red cell, and its cause; a backend's cells that have the same share it."""
    reasons: dict[tuple[str, str], list[tuple[ScenarioResult, Cell]]] = {}
    for result in report.results:
        for cell in result.cells.values():
            if not cell.verdict.green:
                same = cell.account.sentence if cell.account else f"{cell.verdict} {cell.judgement.message}"
                reasons.setdefault((cell.backend, same), []).append((result, cell))
    for (backend, _), cells in reasons.items():
        cell = cells[0][1]
        modes: dict[str, list[str]] = {}
        for result, of_mode in cells:
            modes.setdefault(result.scenario.name, []).append(of_mode.mode)
        where = _several([f"{name} ({', '.join(of)})" for name, of in modes.items()])
        yield Text(f"{where}, {backend}: {cell.verdict}: {cell.judgement.message}", style="red")
        if cell.account:
            yield Padding(cause_text(cell.account), (0, 0, 0, 4), expand=False)


def _several(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def red_findings(result: ScenarioResult) -> list[str]:
    """A line for each finding that is not as it should be."""
    return [
        f"{row['scenario']}: {row['status']}: {row.get('quantity', '')} {row.get('index', '')} printed "
        f"{row.get('printed', '')}, computed {row.get('computed', math.nan):.9g} ({row['id']}: {row['text']})"
        for row in result.findings
        if row["status"] in RED
    ]


def failure(report: Report) -> str:
    """Everything that is not green, for an assertion's message: the first divergence, the worst, and what to do."""
    lines = ["the backends do not agree with the reference:" if report.results else "nothing was run"]
    for result in report.results:
        for cell in result.cells.values():
            if not cell.verdict.green:
                lines += _account(result, cell)
        lines += [f"  {line}" for line in red_findings(result)]
    names = " ".join(result.scenario.name for result in report.results)
    lines.append(f"to see the report: isograd run {names} --out report, then open report/index.html")
    return "\n".join(lines)


def _account(result: ScenarioResult, cell: Cell) -> list[str]:
    lines = [f"  {result.scenario.name}, {cell.backend}, {cell.mode}: {cell.verdict}"]
    lines.append(f"    first: {cell.judgement.message}" if cell.judgement.first else f"    {cell.judgement.message}")
    worst = worst_of(cell)
    if worst:
        lines.append(f"    worst: {worst}")
    if cell.account:
        lines.append(f"    cause: {cell.account.sentence}")
    return lines + [f"    | {line}" for line in cell.answer.tail.splitlines()]


def worst_of(cell: Cell | Difference) -> str:
    """One line on the quantity and step that is furthest outside its bound; "" where nothing was measured."""
    ratios = cell.judgement.ratios or {}
    if not ratios or cell.comparison is None:
        return ""
    name = max(ratios, key=lambda quantity: float(ratios[quantity].max()))
    row = int(ratios[name].argmax())
    return describe(cell.comparison, name, row, cell.judgement.limit) if ratios[name][row] > 1 else ""


def goals_table(goals: Any) -> RenderableType:
    """Each goal of a calibration, what came, and whether it is reached."""
    table = Table(header_style="bold")
    for column in ("figure", "goal", "came"):
        table.add_column(column)
    for row in goals.itertuples():
        table.add_row(row.figure, row.goal, Text(row.came, "green" if row.reached else "bold red"))
    return table


def judgement_table(names: Sequence[object], cells: Sequence[Cell], factor: float) -> RenderableType:
    """A row a trace, with the smallest factor at which a red one would pass; below, what is behind the red ones."""
    table = Table(header_style="bold", title=f"factor {factor:g}", title_justify="left")
    for column in ("trace", "scenario", "backend", "dtype", "mode", "verdict", "first", "step"):
        table.add_column(column, overflow="fold")
    table.add_column("passes at factor", justify="right")
    for name, cell in zip(names, cells, strict=True):
        assert cell.trace is not None  # a judged trace
        manifest, found = cell.trace.manifest, cell.judgement
        verdict = Text(str(cell.verdict), STYLE.get(cell.verdict, "bold red"))
        where = (found.first, "" if found.step is None else str(found.step))
        least = "none" if found.structural or math.isinf(found.least_factor) else _rounded_up(found.least_factor)
        least = "any" if cell.verdict is Verdict.IDENTICAL else least
        told = (str(name), manifest.scenario, manifest.backend, manifest.dtype, cell.mode)
        table.add_row(*map(Text, told), verdict, *where, least)  # brackets of a backend's name are no markup
    reasons = dict.fromkeys(cell.judgement.message for cell in cells if not cell.verdict.green)
    return Group(table, *(Text(line, style="red") for line in reasons))


def _rounded_up(factor: float) -> str:
    """With three digits, and not less than it is: at the factor that is printed, the cell passes."""
    unit = 10.0 ** (math.floor(math.log10(factor)) - 2) if factor else 1.0
    return f"{math.ceil(factor / unit - 1e-9) * unit * (1 + 1e-12):.6g}"


def difference_text(difference: Difference) -> RenderableType:
    """A comparison of two traces in a few lines."""
    a, b, found = difference.a, difference.b, difference.judgement
    text = Text(f"{a.scenario}: {a.backend} ({a.dtype}, {a.mode}) against {b.backend} ({b.dtype}, {b.mode})\n")
    if a.fingerprint != b.fingerprint and a.format == b.format:
        text.append("these are runs of different scenarios: their fingerprints differ\n", "yellow")
    text.append(str(found.verdict), STYLE.get(found.verdict, "bold red"))
    text.append(f"  {len(difference.comparison.measures)} quantities, {len(difference.comparison.steps)} steps, ")
    text.append(f"largest error {found.error_over_bound:.3g} of its bound, {found.max_ulp:.3g} ULP\n")
    for label, line in (("first", found.message), ("worst", worst_of(difference))):
        text.append(f"{label}: {line}\n" if line else "")
    return text
