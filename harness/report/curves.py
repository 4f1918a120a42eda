"""Which curves does the page draw, and which of their points does it need?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.assess import Cell, ScenarioResult
from harness.trace import Mode

POINTS = 2000
"""A curve has at most this many: more than the pixels that it is drawn on."""

DECADE = 10.0
"""Losses that span more than this are drawn on a logarithmic scale."""

Chart = dict[str, Any]


def loss_chart(result: ScenarioResult, mode: Mode, losses: pd.DataFrame, backends: Sequence[str]) -> Chart | None:
    """Every backend's loss and the reference's over the steps, and the reference's mean over each epoch.

    Args:
        result: one scenario's.
        mode: the mode of the rows.
        losses: its rows of the losses table, of that mode.
        backends: all of the report's: a backend has the same colour in every chart.
    """
    if len(losses) < 2:
        return None
    traces = {name: cell.trace for name in backends if (cell := result.cells.get((name, mode)))}
    ran = [name for name, trace in traces.items() if trace and "loss" in trace.columns]
    curves = {"reference": losses["reference"]} | {name: losses[name] for name in ran}
    if result.inputs.steps_per_epoch > 1:
        curves |= {"epoch mean": losses["epoch_mean"]}
    values = np.array(list(curves.values()), dtype=np.float64)
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    log = bool(len(positive) and finite.min() >= 0 and positive.max() > DECADE * positive.min())
    rows = keep(values)
    styles = _places(backends) | {"reference": "reference", "epoch mean": "mean"}
    series = [
        {"label": name, "style": styles[name], "y": numbers(y[rows], 9)} for name, y in zip(curves, values, strict=True)
    ]
    steps = losses["step"].to_numpy()
    return {"x": steps[rows].tolist(), "log": log, "bound": False, "series": series} | _captions(curves, steps, rows)


def error_chart(result: ScenarioResult, mode: Mode, backends: Sequence[str]) -> Chart | None:
    """At each step the largest error over bound of all quantities, and which quantity it is that of."""
    cells = {name: cell for name in backends if (cell := result.cells.get((name, mode))) and cell.judgement.ratios}
    found = {name: _largest(cell) for name, cell in cells.items()}
    frame = pd.DataFrame({name: ratios for name, (ratios, _) in found.items()})
    if len(frame) < 2:
        return None
    names = list(dict.fromkeys(quantity for _, which in found.values() for quantity in which))
    steps, values = frame.index.to_numpy(), frame.to_numpy(dtype=np.float64).T
    rows = keep(values)
    series = [
        {
            "label": name,
            "style": _places(backends)[name],
            "y": numbers(y[rows], 3),
            "of": [names.index(quantity) for quantity in which.reindex(frame.index, fill_value=names[0]).iloc[rows]],
        }
        for (name, (_, which)), y in zip(found.items(), values, strict=True)
    ]
    chart = {"x": steps[rows].tolist(), "log": True, "bound": True, "series": series, "quantities": names}
    return chart | _captions(dict(zip(found, values, strict=True)), steps, rows)


def _largest(cell: Cell) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """By step: the largest ratio, and its quantity. A ratio that is NaN proves nothing, so it counts as infinite."""
    assert cell.comparison is not None  # for mypy: where there are ratios there is a comparison
    ratios: Mapping[str, Any] = cell.judgement.ratios or {}
    table = np.nan_to_num(np.array(list(ratios.values())), nan=np.inf, posinf=np.inf)
    index = pd.Index(cell.comparison.steps, name="step")
    return pd.Series(table.max(axis=0), index), pd.Series(np.array(list(ratios))[table.argmax(axis=0)], index)


def keep(curves: NDArray[np.float64], points: int = POINTS) -> NDArray[np.int64]:
    """Rows to draw: all; of long curves the ends, and of each of equal stretches each curve's lowest and highest.

    Args:
        curves: shape (curves, steps); NaN is neither low nor high, an infinity is.
        points: how many rows are few enough to keep them all.

    Returns:
        Ascending row numbers, ``points`` at most, the same for all curves, since they share an axis.

    Example:
        >>> keep(np.array([[0.0, 0, 9, 0, 0, 0, -9, 0, 0, 0]]), points=6).tolist()
        [0, 2, 5, 6, 9]
    """
    steps = curves.shape[1]
    if steps <= points:
        return np.arange(steps)
    stretches = max(1, (points - 2) // (2 * len(curves)))
    edges = np.linspace(0, steps, stretches + 1).astype(np.int64)
    low, high = np.where(np.isnan(curves), np.inf, curves), np.where(np.isnan(curves), -np.inf, curves)
    rows = [np.array([0, steps - 1])]
    for start, stop in pairwise(edges):
        rows += [start + low[:, start:stop].argmin(axis=1), start + high[:, start:stop].argmax(axis=1)]
    return np.unique(np.concatenate(rows))


def numbers(values: NDArray[np.float64], digits: int) -> list[float | None]:
    """Numbers as JSON has them: with ``digits`` significant digits, and null for what is not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


def _captions(curves: Mapping[str, Any], steps: NDArray[np.int64], rows: NDArray[np.int64]) -> Chart:
    """What the curves do not show: steps without a finite number, and those that were left out."""
    gaps = {name: ~np.isfinite(np.asarray(curve, dtype=np.float64)) for name, curve in curves.items()}
    notes = [
        f"{name} is not finite at {at.sum():,} of {len(steps):,} steps, the first of them {steps[at.argmax()]}"
        for name, at in gaps.items()
        if at.any()
    ]
    drawn = f"{len(rows):,} of {len(steps):,} steps are drawn, of each stretch the lowest and the highest"
    return {"notes": notes, "drawn": drawn if len(rows) < len(steps) else ""}


def _places(backends: Sequence[str]) -> dict[str, Any]:
    return {name: place for place, name in enumerate(backends)}
