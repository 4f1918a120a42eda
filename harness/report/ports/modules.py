"""Which module is how far off? A tree by their names, in the order in which the origin calls them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from isograd.ports.result import Cell, Result
from isograd.report.overview import Rows
from isograd.report.ports.tables import compared

if TYPE_CHECKING:
    from isograd.report.ports import Checked
    from isograd.structure import Structure

FEW = 12
"""So many modules are one table; more of them are folded by what their names begin with."""

CALL = re.compile(r"(:\d+)?(\[\d+\])?$")
"""What follows a module's name: which of its calls it was, and which of the call's outputs."""


def module_tree(checked: Checked) -> Rows | None:
    """A branch with its modules and the branches below it; None where nothing was compared.

    A module has a cell a side and stage; what belongs to none, as the loss, has rows of its own.
    """
    columns = [
        (side, cell, _by_place(cell, _names(checked.origin))) for side, cell in compared(checked) if checked.origin
    ]
    if not columns or checked.origin is None:
        return None
    there = {result.side: _names_there(result) for result in checked.results}
    kinds = {unit.name: unit.cls for unit in checked.origin.units}
    order = dict.fromkeys([*_names(checked.origin), *(place for *_, of in columns for place in of)])
    rows = []
    for name in order:
        cells = [_cell(cell, name, of[name]) if name in of else None for _, cell, of in columns]
        if any(cells):
            others = [f"{side}: {to}" for side, of in there.items() if (to := of.get(name, name)) != name]
            green = all(cell["inside"] for cell in cells if cell)
            rows.append({"name": name, "kind": kinds.get(name, ""), "others": others, "cells": cells, "green": green})
    heads = [{"side": side, "stage": cell.stage} for side, cell, _ in columns]
    return _branch("", rows, 0) | {"columns": heads}


def _names(origin: Structure | None) -> list[str]:
    """All modules: those that were called in that order, then the others."""
    if origin is None:
        return []
    return list(dict.fromkeys([*(call.name for call in origin.calls), *(unit.name for unit in origin.units)]))


def _names_there(result: Result) -> dict[str, str]:
    return {mine: theirs for theirs, mine in result.pairing.units.items()} if result.pairing else {}


def _by_place(cell: Cell, names: Iterable[str]) -> dict[str, list[str]]:
    """The quantities of each module that were compared, or could not be; of what belongs to none by its own name."""
    assert cell.comparison is not None
    known, found = set(names), dict[str, list[str]]()
    problems = (problem.quantity for problem in cell.comparison.problems)
    for quantity in dict.fromkeys([*(cell.judgement.ratios or {}), *problems]):
        place = CALL.sub("", quantity.partition("/")[2])
        while place and place not in known:
            place = place.rpartition(".")[0]
        found.setdefault(place or quantity, []).append(quantity)
    return found


def _cell(cell: Cell, name: str, quantities: Sequence[str]) -> Rows:
    """A module's largest error over bound, and its first quantity outside, in execution order within a step."""
    assert cell.comparison is not None
    problems = {problem.quantity: problem.text for problem in cell.comparison.problems}
    wrong = [f"{_within(name, of)} {problems[of]}" for of in quantities if of in problems]
    ratios = {of: found for of in quantities if (found := (cell.judgement.ratios or {}).get(of)) is not None}
    outside = [(int(rows[0]), of) for of, found in ratios.items() if len(rows := np.flatnonzero(~(found <= 1.0)))]
    row, first = min(outside, key=lambda found: found[0], default=(0, ""))
    worst = max((float(np.nan_to_num(found, nan=np.inf).max()) for found in ratios.values()), default=None)
    said = f"{_within(name, first)}, step {cell.comparison.steps[row]}" if first else ""
    here = bool(cell.judgement.first and cell.judgement.first in quantities and not cell.verdict.green)
    return {"ratio": worst, "said": said or "; ".join(wrong), "inside": not (outside or wrong), "here": here}


def _within(module: str, quantity: str) -> str:
    """A quantity's name beside its module's.

    Example:
        >>> _within("fc1", "grad/fc1.weight"), _within("fc1", "forward/fc1"), _within("loss", "loss")
        ('grad weight', 'forward', 'loss')
    """
    sort, _, rest = quantity.partition("/")
    return f"{sort} {rest.removeprefix(module).lstrip('.')}".strip()


def _branch(prefix: str, rows: Sequence[Rows], depth: int) -> Rows:
    """Modules whose names begin alike: a table if they are few, otherwise by what follows."""
    told = {"name": prefix, "count": len(rows), "outside": sum(not row["green"] for row in rows)}
    ratios = [cell["ratio"] for row in rows for cell in row["cells"] if cell and cell["ratio"] is not None]
    told |= {"green": not told["outside"], "worst": max(ratios, default=None)}
    if len(rows) <= FEW:
        return told | {"parts": [{"rows": rows}]}
    groups = _by_next_part(rows, depth)
    while len(groups) == 1 and next(iter(groups)):  # what all have in common says nothing
        depth += 1
        groups = _by_next_part(rows, depth)
    parts: list[Rows] = []
    for of in groups.values():
        if len(of) > 1 and len(groups) > 1:
            parts.append(_branch(".".join(of[0]["name"].split(".")[: depth + 1]), of, depth + 1))
        elif parts and "rows" in parts[-1]:
            parts[-1]["rows"] += of
        else:
            parts.append({"rows": list(of)})
    return told | {"parts": parts}


def _by_next_part(rows: Sequence[Rows], depth: int) -> Mapping[str, list[Rows]]:
    """By the part of the name at a depth, in the order in which they come; "" where a name has none."""
    groups: dict[str, list[Rows]] = {}
    for row in rows:
        parts = row["name"].split(".")
        groups.setdefault(parts[depth] if depth < len(parts) else "", []).append(row)
    return groups
