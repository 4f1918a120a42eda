"""Which curves does a port's page draw?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from isograd.measure import Floats
from isograd.ports.result import Cell
from isograd.quantities import kind
from isograd.report.curves import Chart, loss_curves, numbers
from isograd.report.ports.rows import losses_of
from isograd.report.ports.tables import OF_SIDE, compared
from isograd.thinning import keep

if TYPE_CHECKING:
    from isograd.report.ports import Checked


def charts(checked: Checked, stages: Mapping[str, str]) -> dict[str, tuple[str, Chart]]:
    """Every chart by an id, with its label."""
    places = {side.label: place for place, side in enumerate(checked.port.sides)}
    losses, found = list(losses_of(checked)), dict[str, tuple[str, Chart]]()
    for at, (stage, name, sides, frame) in enumerate(losses):
        if stage == losses[-1][0] and len(frame) > 1:
            truth = f"{checked.port.sides[0].label} in float64"
            curves = {truth: frame["truth"]} | {side: frame[OF_SIDE + side] for side in sides}
            words = f"{name.replace('/', ' ').capitalize()} of each step, {stages[stage]}"
            found[f"loss-{at}"] = words, loss_curves(frame["step"].to_numpy(), curves, places | {truth: "reference"})
    for at, stage in enumerate(stages):
        cells = {side: cell for side, cell in compared(checked) if cell.stage == stage and cell.judgement.ratios}
        if cells:
            found[f"error-{at}"] = f"Error over bound, {stages[stage]}", error_curves(cells, places)
    return found


def error_curves(cells: Mapping[str, Cell], places: Mapping[str, int]) -> Chart:
    """Each side's largest error over bound, at each step in each group of quantities, in execution order.

    A step's groups lie between it and the next: where a curve first leaves the bound is where to look. Groups in which
    no side is off at all are left out.
    """
    every = {side: cell.judgement.ratios or {} for side, cell in cells.items()}
    steps = np.array(next(cell.comparison.steps for cell in cells.values() if cell.comparison), np.float64)
    names = list(dict.fromkeys(name for ratios in every.values() for name in ratios))
    moved = {kind(name) for ratios in every.values() for name, of in ratios.items() if (of != 0).any()}
    groups = [group for group in dict.fromkeys(map(kind, names)) if group in moved] or [kind(names[0])]
    found = {side: _by_group(ratios, groups, names) for side, ratios in every.items()}
    x = np.add.outer(steps, np.arange(len(groups)) / len(groups)).ravel()
    rows = keep(np.array([worst for worst, _ in found.values()]))
    used = [at for at in np.unique([which[rows] for _, which in found.values()]).tolist() if at >= 0]
    place = {at: n for n, at in enumerate(used)} | {-1: None}
    series = [
        {"label": side, "style": places[side], "y": numbers(worst[rows], 3)}
        | {"of": [place[at] for at in which[rows].tolist()]}
        for side, (worst, which) in found.items()
    ]
    notes = [
        f"{side} is not finite at {np.isinf(worst).sum():,} of {len(x):,} places, "
        f"the first of them in step {int(x[np.isinf(worst).argmax()])}"
        for side, (worst, _) in found.items()
        if np.isinf(worst).any()
    ]
    drawn = f"{len(rows):,} of {len(x):,} places are drawn, of each stretch the lowest and the highest"
    chart = {"x": numbers(x[rows], 9), "log": True, "bound": True, "series": series, "parts": groups}
    chart |= {"quantities": [names[at] for at in used], "notes": notes}
    return chart | {"drawn": drawn if len(rows) < len(x) else ""}


def _by_group(
    ratios: Mapping[str, Floats], groups: Sequence[str], names: Sequence[str]
) -> tuple[Floats, NDArray[np.int64]]:
    """At each step in each group the largest, and the number of the quantity that has it; NaN and -1 without any."""
    columns = []
    numbered = {name: at for at, name in enumerate(names)}
    for group in groups:
        own = [name for name in ratios if kind(name) == group]
        table = np.nan_to_num(np.array([ratios[name] for name in own]), nan=np.inf)
        nothing = np.full(len(next(iter(ratios.values()))), np.nan)
        worst = table.max(axis=0) if own else nothing
        which = np.array([numbered[own[at]] for at in table.argmax(axis=0)]) if own else np.full(len(nothing), -1)
        columns.append((worst, which))
    return np.array([worst for worst, _ in columns]).T.ravel(), np.array([which for _, which in columns]).T.ravel()
