"""How is a divergence told? The step in execution order with a mark on what is wrong, the cause, and what was tried."""

from __future__ import annotations

import math

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.assess import Cell
from harness.explanation import Account, identifier, says

TRIED = 8
"""Changes that are listed with how close they came."""


def account_text(cell: Cell, account: Account | None) -> RenderableType:
    """The whole account."""
    assert cell.trace is not None  # it was judged
    manifest = cell.trace.manifest
    style = "green" if cell.verdict.green else "bold red"
    head = Text.assemble(
        f"{manifest.scenario}, {manifest.backend}, {manifest.dtype}, {cell.mode}: ", (str(cell.verdict), style)
    )
    lines = [Text(cell.judgement.message)] if cell.judgement.message else []
    if account is None:
        return Group(head, *lines, Text("every step, from the trace's own state, is within the rules' rounding"))
    return Group(head, *lines, *_cause(account), _step(account), _elements(account), _tried(account))


def _cause(account: Account) -> list[Text]:
    out = [Text.assemble(("cause: ", "bold"), account.sentence)]
    for trial in account.causes:
        change = trial.change
        out += [Text(f"  {change.formula}\n  usually: {change.origin}", "dim")] if change.formula else []
    return out


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


def _elements(account: Account) -> Table:
    table = Table(title=account.place.first, title_justify="left", header_style="bold")
    table.add_column("element")
    for column in ("reference", "trace", "ratio"):
        table.add_column(column, justify="right")
    for index, right, got in account.table:
        ratio = got / right if right else math.nan
        table.add_row(index, f"{right:.9g}", f"{got:.9g}", f"{ratio:.9g}")
    return table


def _tried(account: Account) -> Table:
    table = Table(title="changes tried, the closest first", title_justify="left", header_style="bold")
    for column in ("change", "error over bound", "at", "what"):
        table.add_column(column)
    for trial in account.tried[:TRIED]:
        where = f"{trial.worst[0]}, step {trial.worst[1]}"
        table.add_row(Text(identifier(trial)), f"{trial.ratio:.3g}", where, Text(says(trial)))
    return table
