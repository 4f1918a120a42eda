"""What is there to say of a checked port? Plain rows for its pages: outcome, verdicts, what decides, what differs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from isograd.judging import Verdict, describe
from isograd.ports.result import STARTS, Cell, Result
from isograd.report.overview import Rows, meanings, where
from isograd.report.ports.tables import OF_SIDE, compared
from isograd.report.ports.text import green_sentence, said, stages_of
from isograd.report.section import shortest

if TYPE_CHECKING:
    import pandas as pd

    from isograd.report.ports import Checked
    from isograd.structure import Structure, Unit

MEANING = {
    Verdict.EQUIVALENT: "every element is within its bound",
    Verdict.EXPECTED: "differs only in what the framework is known to define otherwise",
    Verdict.DRIFTS: "each step is within its bounds, the free run is not: the same rules, amplified rounding",
    Verdict.IMPRECISE: "right in float64, outside in its own dtype: the same mathematics, computed less precisely",
    Verdict.DIVERGES: "outside its bound: another rule",
    Verdict.VACUOUS: "nothing was really compared: all zeros, all NaN",
    Verdict.ERROR: "crashed, hung, or could not be imported",
}
"""The verdicts that a port can have."""

SAID = {
    Verdict.ERROR: "could not be run",
    Verdict.IMPRECISE: "is less precise than {}",
    Verdict.DRIFTS: "drifts from {}",
}


def told(checked: Checked) -> Rows:
    """Everything but curves and modules."""
    labels = [side.label for side in checked.port.sides]
    cells = [cell for result in checked.results for cell in result.cells.values()]
    return {
        "green": checked.green,
        "headline": headline(checked),
        "scope": _scope(checked),
        "origin": labels[0],
        "sides": labels,
        "bounded": checked.bounded or checked.origin is None,
        "counts": {str(v): n for v in MEANING if (n := sum(cell.verdict is v for cell in cells))},
        "meaning": meanings(MEANING),
        "stages": stages_of(checked),
        "verdicts": [side_row(checked, result, f"side-{at}") for at, result in enumerate(checked.results)],
        "facts": _facts(checked),
    }


def headline(checked: Checked) -> str:
    """The outcome, in a sentence."""
    origin = checked.port.sides[0].label
    others = [result.side for result in checked.results if result.side != origin]
    red = [result for result in checked.results if not result.green]
    if len(red) > 1:
        return f"{len(red)} of {len(checked.results)} sides do not train as {origin} does in float64"
    if red:
        how = (
            SAID.get(red[0].deciding.verdict, "does not train as {} does")
            if red[0].cells
            else "was not compared with {}"
        )
        return f"{red[0].side} {how.format(origin if red[0].side != origin else f'{origin} in float64')}"
    if not others:
        return "Nothing was compared"
    many = f"All {len(others)} ports" if len(others) > 3 else " and ".join(others)
    return f"{many} {'trains' if len(others) == 1 else 'train'} as {origin} does"


def _scope(checked: Checked) -> list[str]:
    origin, first = checked.port.sides[0].label, checked.origin
    if first is None:
        return [checked.port.name]
    steps = f"{checked.steps} step{'s' * (checked.steps != 1)}"
    return [checked.port.name, steps, f"judged against {origin} ({first.framework} {first.version}) in float64"]


def side_row(checked: Checked, result: Result, anchor: str) -> Rows:
    """One side: its verdicts, what decides, and what is known of it."""
    red = bool(result.cells) and not result.deciding.verdict.green
    numbers = any(cell.comparison is not None for cell in result.cells.values())
    row = {
        "side": result.side,
        "anchor": anchor,
        "of_origin": result.side == checked.port.sides[0].label,
        "green": result.green,
        "cells": {stage: _outcome(cell) for stage, cell in result.cells.items()},
        "deciding": _deciding(result) if red else None,
        "sentence": green_sentence(result) if result.green and numbers else "",
        "known": said(result),
        "settings": [
            {"at": of.at, "name": of.name.replace("_", " "), "here": of.told(of.here), "there": of.told(of.other)}
            for of in result.settings
        ],
        "pairing": _pairing(checked.origin, result),
        "left_out": dict(result.left_out) if result.pairing is not None else {},
        "starts": _starts(result),
    }
    return row | {"more": any(row[name] for name in ("sentence", "known", "settings", "pairing", "left_out", "starts"))}


def _starts(result: Result) -> str:
    """What begins otherwise, where something else decides."""
    cell = result.cells.get(STARTS)
    return "" if cell is None or cell.verdict.green or cell is result.deciding else cell.judgement.message


def _outcome(cell: Cell) -> Rows:
    numbers = cell.comparison is not None and not cell.judgement.structural
    return {
        "verdict": str(cell.verdict),
        "ratio": cell.judgement.error_over_bound if numbers else None,
        "where": "" if cell.verdict.green else where(cell.judgement),
    }


def _deciding(result: Result) -> Rows:
    """The first cell that is not green: where it first diverges, both values, and why."""
    cell = result.deciding
    problems = (
        [f"{problem.quantity}: {problem.text}" for problem in cell.comparison.problems] if cell.comparison else []
    )
    return {
        "stage": cell.stage,
        "verdict": str(cell.verdict),
        "where": where(cell.judgement),
        "message": cell.judgement.message,
        "cause": result.cause,
        "element": _element(cell),
        "problems": [text for text in problems if text != cell.judgement.message],
        "tail": cell.tail,
    }


def _element(cell: Cell) -> Rows | None:
    """The element of the first divergence that is the most bounds off."""
    found, comparison = cell.judgement, cell.comparison
    if comparison is None or found.structural or found.first not in comparison.scaled or found.step is None:
        return None
    row, of = comparison.steps.index(found.step), comparison.scaled[found.first]
    got, expected, index = float(of.value[row]), float(of.other[row]), list(comparison.index(found.first, row))
    finite = math.isfinite(got) and math.isfinite(expected)
    measures = comparison.measures[found.first]
    return {
        "name": f"{found.first}{index or ''}",
        "expected": f"{expected:.9g}",
        "got": f"{got:.9g}",
        "off": abs(got - expected) if finite else math.inf,
        "bound": float(of.unit[row]) * found.limit,
        "unequal": f"{measures.unequal[row]:,} of {measures.size[row]:,}",
        "remark": found.message.removeprefix(describe(comparison, found.first, row, found.limit)).removeprefix("; "),
    }


def _pairing(origin: Structure | None, result: Result) -> Rows | None:
    """Which parameter or buffer is which, in the origin's order, and which have no counterpart."""
    of = result.pairing
    if of is None or origin is None:
        return None
    shapes = origin.params() | origin.buffers()
    places = {name: at for at, name in enumerate(shapes)}
    pairs = sorted(of.params.items(), key=lambda pair: places.get(pair[1], len(places)))
    rows = [
        {
            "mine": mine,
            "theirs": theirs,
            "shape": " × ".join(map(str, shapes.get(mine, ()))) or "a number",
            "swapped": theirs in of.swapped,
        }
        for theirs, mine in pairs
    ]
    return {"how": of.how, "rows": rows, "missing": of.missing, "extra": of.extra}


# ---------------------------------------------------------------- what was built


def _facts(checked: Checked) -> list[Rows]:
    """A row a side that could be built."""
    found = [(checked.port.sides[0].label, checked.origin)]
    found += [(result.side, result.structure) for result in checked.results if result.side != found[0][0]]
    return [
        {
            "side": side,
            "framework": f"{of.framework} {of.version}",
            "dtype": of.dtype,
            "model": _size(of),
            "loss": _loss(of.loss),
            "optimizer": "; ".join(_optimizer(name, o.kind, o.settings) for name, o in of.optimizers.items()) or "none",
        }
        for side, of in found
        if of is not None
    ]


def _size(of: Structure) -> str:
    numbers = sum(math.prod(shape) for unit in of.units for name, shape in unit.params.items() if name not in unit.tied)
    return f"{len(of.units):,} modules, {numbers:,} trained numbers"


def _loss(unit: Unit | None) -> str:
    return unit.cls if unit else "the model's own"


def _optimizer(name: str, kind: str, settings: Any) -> str:
    words = [
        kind,
        *(
            f"{key} = {value:.6g}" if isinstance(value, float) else f"{key} = {value}"
            for key, value in settings.items()
        ),
    ]
    return (f"{name}: " if name else "") + ", ".join(words).replace("_", " ")


# ---------------------------------------------------------------- numbers


def loss_rows(checked: Checked, limit: int) -> list[Rows]:
    """For each stage and loss so many of its steps, with the digits of the stage's dtype."""
    dtypes = {cell.stage: cell.dtype for _, cell in compared(checked)}
    return [
        _of_loss(stage, name, sides, frame, dtypes[stage], limit) for stage, name, sides, frame in losses_of(checked)
    ]


def losses_of(checked: Checked) -> Iterator[tuple[str, str, list[str], pd.DataFrame]]:
    """Every loss of every stage, in the order in which they decide: the sides that have it, its rows of the table."""
    of_stage = dict(list(checked.losses.groupby("stage")))
    for stage in (stage for stage in stages_of(checked) if stage in of_stage):
        for name, frame in of_stage[stage].groupby("quantity", sort=False):
            cells = {side: cell for side, cell in compared(checked) if cell.stage == stage}
            yield stage, str(name), [s for s, c in cells.items() if c.comparison and name in c.comparison.scaled], frame


def _of_loss(stage: str, name: str, sides: list[str], frame: pd.DataFrame, dtype: str, limit: int) -> Rows:
    chosen = np.unique(np.linspace(0, len(frame) - 1, limit).round().astype(int))
    rows = [
        {
            "step": int(frame["step"].iloc[at]),
            "sides": [shortest(frame[of].iloc[at], dtype) for of in ("truth", *(OF_SIDE + side for side in sides))],
            "off": float(frame["largest_difference"].iloc[at]),
        }
        for at in chosen
    ]
    return {"stage": stage, "name": name, "sides": sides, "rows": rows, "left_out": len(frame) - len(rows)}


def weight_rows(checked: Checked, limit: int) -> Rows:
    """The parameters that are nearest to their bounds after the last step, or outside, each where it is."""
    frame = checked.weights
    last = frame[frame["step"] == frame["step"].max()].sort_values("error_over_bound", ascending=False, kind="stable")
    worst = last.drop_duplicates("parameter").head(limit)
    return {"rows": worst.to_dict("records"), "left_out": last["parameter"].nunique() - len(worst)}


def all_rows(branch: Rows) -> Iterator[Rows]:
    """Every module of a branch, in order."""
    for part in branch["parts"]:
        yield from part["rows"] if "rows" in part else all_rows(part)
