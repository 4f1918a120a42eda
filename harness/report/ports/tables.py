"""Which rows does each table of a port have? All from its comparisons: no tensor is kept for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from isograd.ports.result import Cell
from isograd.quantities import kind

if TYPE_CHECKING:
    from isograd.report.ports import Checked

SUMMARY = ["port", "side", "stage", "dtype", "verdict", "first", "step", "error_over_bound", "cause", "message"]
QUANTITIES = ["port", "side", "stage", "quantity", "step", "error_over_bound", "bound"]
WEIGHTS = ["port", "side", "stage", "parameter", "step", "largest_difference", "bound", "error_over_bound"]
LOSSES = ["port", "stage", "quantity", "step", "truth"]

OF_SIDE = "loss_"
"""What the name of a column begins with that holds a side's losses: a side may be called as another column is."""


def summary(checked: Checked) -> pd.DataFrame:
    """A row a side and stage."""
    rows = [
        {
            "port": checked.port.name,
            "side": result.side,
            "stage": cell.stage,
            "dtype": cell.dtype,
            "verdict": str(cell.verdict),
            "first": cell.judgement.first,
            "step": cell.judgement.step,
            "error_over_bound": cell.judgement.error_over_bound,
            "cause": "" if cell.verdict.green else result.cause,
            "message": cell.judgement.message,
        }
        for result in checked.results
        for cell in result.cells.values()
    ]
    return pd.DataFrame(rows, columns=SUMMARY).astype({"step": "Int64"})


def quantities(checked: Checked) -> pd.DataFrame:
    """A row a side, stage, quantity and step."""
    rows = [
        (checked.port.name, side, cell.stage, name, step, float(ratio), float(bound))
        for side, cell in compared(checked)
        for name, step, _, bound, ratio in _measured(cell)
    ]
    return pd.DataFrame(rows, columns=QUANTITIES)


def weights(checked: Checked) -> pd.DataFrame:
    """A row a side, stage, parameter and step; bound and error over bound are those of the element nearest to it."""
    rows = [
        (checked.port.name, side, cell.stage, name.partition("/")[2], step, float(off), float(bound), float(ratio))
        for side, cell in compared(checked)
        for name, step, off, bound, ratio in _measured(cell)
        if kind(name) == "weight"
    ]
    return pd.DataFrame(rows, columns=WEIGHTS)


def losses(checked: Checked) -> pd.DataFrame:
    """A row a stage, loss and step; the largest difference is that of any side from the truth."""
    sides = [OF_SIDE + result.side for result in checked.results]
    rows: dict[tuple[str, str, int], dict[str, float]] = {}
    for side, cell in compared(checked):
        assert cell.comparison is not None
        for name, scaled in cell.comparison.scaled.items():
            if kind(name) == "loss":
                for step, value, truth in zip(cell.comparison.steps, scaled.value, scaled.other, strict=True):
                    rows.setdefault((cell.stage, name, step), {"truth": truth})[OF_SIDE + side] = value
    table = [{"port": checked.port.name, "stage": s, "quantity": q, "step": t} | row for (s, q, t), row in rows.items()]
    frame = pd.DataFrame(table, columns=[*LOSSES, *sides]).astype(dict.fromkeys(("truth", *sides), np.float64))
    return frame.assign(largest_difference=frame[sides].sub(frame["truth"], axis=0).abs().max(axis=1))


def compared(checked: Checked) -> Iterator[tuple[str, Cell]]:
    """Every side and stage of which there are numbers."""
    for result in checked.results:
        yield from ((result.side, cell) for cell in result.cells.values() if cell.comparison is not None)


def _measured(cell: Cell) -> Iterator[tuple[str, int, float, float, float]]:
    """Of each quantity at each step the largest difference; the bound, and error over bound, of its nearest element."""
    assert cell.comparison is not None
    bounds = cell.judgement.bounds or {}
    for name, ratios in (cell.judgement.ratios or {}).items():
        off = cell.comparison.measures[name].max_abs
        yield from ((name, *row) for row in zip(cell.comparison.steps, off, bounds[name], ratios, strict=True))
