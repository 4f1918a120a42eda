"""Which curves does the page draw, and which of their points does it need?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isograd.assess import ScenarioResult
from isograd.thinning import keep
from isograd.trace import Mode

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
    ran = [name for name, trace in traces.items() if trace and name in losses.columns]
    curves = {"reference": losses["reference"]} | {name: losses[name] for name in ran}
    if result.inputs.steps_per_epoch > 1:
        curves |= {"epoch mean": losses["epoch_mean"]}
    styles = _places(backends) | {"reference": "reference", "epoch mean": "mean"}
    return loss_curves(losses["step"].to_numpy(), curves, styles)


def loss_curves(steps: NDArray[np.int64], curves: Mapping[str, Any], styles: Mapping[str, Any]) -> Chart:
    """Losses over the steps, by label: a colour's number, or "reference" or "mean", for each."""
    values = np.array(list(curves.values()), dtype=np.float64)
    finite = values[np.isfinite(values)]
    positive = finite[finite > 0]
    log = bool(len(positive) and finite.min() >= 0 and positive.max() > DECADE * positive.min())
    rows = keep(values)
    series = [
        {"label": name, "style": styles[name], "y": numbers(y[rows], 9)} for name, y in zip(curves, values, strict=True)
    ]
    return {"x": steps[rows].tolist(), "log": log, "bound": False, "series": series} | captions(curves, steps, rows)


def error_chart(result: ScenarioResult, mode: Mode, backends: Sequence[str]) -> Chart | None:
    """At each step the largest error over bound of all quantities, and which quantity it is that of."""
    courses = {name: cell.course for name in backends if (cell := result.cells.get((name, mode))) and cell.course}
    found = {name: course for name, course in courses.items() if course is not None}
    frame = pd.DataFrame({name: pd.Series(course.ratio, course.steps) for name, course in found.items()})
    if len(frame) < 2:
        return None
    names = list(dict.fromkeys(name for course in found.values() for name in course.names))
    steps, values = frame.index.to_numpy(), frame.to_numpy(dtype=np.float64).T
    rows = keep(values)
    series = [
        {
            "label": name,
            "style": _places(backends)[name],
            "y": numbers(y[rows], 3),
            "of": [names.index(course.names[i]) for i in course.of_at(steps[rows])],
        }
        for (name, course), y in zip(found.items(), values, strict=True)
    ]
    chart = {"x": steps[rows].tolist(), "log": True, "bound": True, "series": series, "quantities": names}
    return chart | captions(dict(zip(found, values, strict=True)), steps, rows)


def numbers(values: NDArray[np.float64], digits: int) -> list[float | None]:
    """Numbers as JSON has them: with ``digits`` significant digits, and null for what is not finite."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]


def captions(curves: Mapping[str, Any], steps: NDArray[np.int64], rows: NDArray[np.int64]) -> Chart:
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
