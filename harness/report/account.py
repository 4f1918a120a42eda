"""How is a divergence told? The cause with its formula, the quantity that is wrong first, and the whole account."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from isograd.assess import Cell

if TYPE_CHECKING:
    from isograd.explanation import Account

TRIED = 8
"""Changes that are listed with how close they came."""

Rows = dict[str, Any]


def cause_rows(account: Account | None) -> Rows | None:
    """The cause as plain rows: its sentence, each changed formula in parts, and the first quantity's worst elements."""
    if account is None:
        return None
    return {
        "sentence": account.sentence,
        "formulas": [
            {"id": part.id, "parts": marked(part.written()), "origin": part.comes_from()}
            for part in {part.id: part for trial in account.causes for part in trial.change.parts}.values()
        ],
        "of": "source" if account.of == "published" else "backend",
        "first": account.place.first,
        "step": account.place.step,
        "elements": [
            {"index": index, "right": f"{right:.9g}", "got": f"{got:.9g}", "ratio": _ratio(right, got)}
            for index, right, got in account.table
        ],
    }


def _ratio(right: float, got: float) -> str:
    return f"{got / right:.9g}" if right and math.isfinite(right) else "–"


def marked(formula: str) -> list[tuple[str, bool]]:
    """A formula in parts, each with whether it is the offending term.

    Example:
        >>> marked("w ← w − «k» η g")
        [('w ← w − ', False), ('k', True), (' η g', False)]
    """
    parts = [formula]
    for mark in "«»":
        parts = [piece for part in parts for piece in part.split(mark)]
    return [(part, bool(i % 2)) for i, part in enumerate(parts) if part]


def cause_text(account: Account) -> RenderableType:
    """The cause for a terminal: the sentence, the formulas with the offending term marked, the worst elements."""
    rows = cause_rows(account)
    assert rows is not None
    lines: list[RenderableType] = [Text.assemble(("cause: ", "bold"), rows["sentence"])]
    for formula in rows["formulas"]:
        parts = [(f"«{part}»", "bold red") if offends else (part, "") for part, offends in formula["parts"]]
        lines.append(Text.assemble("  ", *parts, (f"   (usually: {formula['origin']})", "dim")))
    if rows["elements"]:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column(f"{rows['first']}, step {rows['step']}")
        for column in ("reference", rows["of"], "ratio"):
            table.add_column(column, justify="right")
        for row in rows["elements"]:
            table.add_row(Text(row["index"]), row["right"], row["got"], row["ratio"])
        lines.append(Padding(table, (0, 0, 0, 2), expand=False))
    return Group(*lines)


def account_text(cell: Cell) -> RenderableType:
    """The whole account of a cell."""
    assert cell.trace is not None  # it was judged
    manifest, account = cell.trace.manifest, cell.account
    style = "green" if cell.verdict.green else "bold red"
    head = Text.assemble(
        f"{manifest.scenario}, {manifest.backend}, {manifest.dtype}, {cell.mode}: ", (str(cell.verdict), style)
    )
    lines = [Text(cell.judgement.message)] if cell.judgement.message else []
    if account is None:
        return Group(head, *lines, Text("every step, from the trace's own state, is within the rules' rounding"))
    return Group(head, *lines, cause_text(account), _step(account), _tried(account))


def _step(account: Account) -> Table:
    place = account.place
    table = Table(title=f"step {place.step}, from the trace's own state", title_justify="left", header_style="bold")
    table.add_column("quantity")
    table.add_column("error over bound", justify="right")
    table.add_column("")
    for name, ratio in place.ratios.items():
        inside = ratio <= 1.0
        here = "HERE" if name in place.guilty else "passed on" if place.guilty else ""
        table.add_row(
            name, f"{ratio:.3g}", Text("inside", "green") if inside else Text(f"outside {here}".strip(), "red")
        )
    return table


def _tried(account: Account) -> Table:
    table = Table(title="changes tried, the closest first", title_justify="left", header_style="bold")
    for column in ("change", "error over bound", "at", "what"):
        table.add_column(column)
    listed = [*account.causes, *(trial for trial in account.tried if trial not in account.causes)]
    for trial in listed[: max(TRIED, len(account.causes))]:
        where = f"{trial.worst[0]}, step {trial.worst[1]}"
        table.add_row(Text(trial.id), f"{trial.ratio:.3g}", where, Text(trial.sentence))
    return table
