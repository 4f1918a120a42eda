"""From a side that is red to the search for its cause: what is looked at, and who tries?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isograd.judging import Verdict
from isograd.ports.bounds import CONSTANTS, LEAST
from isograd.ports.explain import cause, told
from isograd.ports.grounds import Built, Grounds
from isograd.ports.guilty import Guilty
from isograd.ports.pairing import Pairing
from isograd.ports.result import RULES, Result
from isograd.ports.seen import order_of
from isograd.ports.sides import SideError
from isograd.side.origin import SHARE
from isograd.structure import Structure
from isograd.trace import save_arrays


def cause_of(grounds: Grounds, built: Built, result: Result, progress: Callable[[str], None]) -> str:
    """Why the rules are others; "" where they are not, or nobody knows."""
    sides = [(grounds.port.sides[0].label, grounds.first), *([(built.label, built.of)] if built.at else [])]
    drawn = [f"{of.random} of {label}" for label, of in sides if of.random]
    if drawn and not result.green:
        return f"{', '.join(drawn)} draws random numbers: two runs cannot draw the same; have the batches hold them"
    if shaped := _of_another_shape(grounds, built, result):
        return shaped
    guilty = _guilty(grounds, built, result)
    if guilty is None:
        return ""
    progress(f"looking for the cause in {result.side}")
    save_arrays(dict(guilty.target), Path(grounds.files[f"target-{built.at}"]))
    try:
        for one in (*_of_its_loss(guilty), guilty):
            save_arrays(dict(one.bounds), Path(grounds.files[f"limits-{built.at}"]))
            if found := cause(one, partial(_attempt, grounds, built, one, progress)):
                return found
    except SideError as error:
        progress(f"the search for a cause in {result.side} ended: {error}")
    return ""


LOOSE = 1e-6
"""A loss that is off by more than this share of it is another loss, though a kink may let it be."""


def _of_its_loss(guilty: Guilty) -> Iterator[Guilty]:
    """The same, as if its loss were the first divergence, where gradients are and a kink has loosened its bound.

    A choice between equals, as of an anchor for a box, lets rounding move the loss by as much as a mistake does. What
    is found has to account for all of the difference, so that nothing is said of what a choice did.
    """
    if guilty.kind not in ("backward", "grad"):
        return
    for name in (name for name in guilty.bounds if name.startswith("loss")):
        off, size = np.abs(guilty.target[name] - guilty.truth[name]), np.abs(guilty.truth[name])
        if (off > LOOSE * size).any():
            tight = np.maximum(SHARE * off, SAME * size)
            yield replace(guilty, first=name, bounds={**guilty.bounds, name: np.minimum(guilty.bounds[name], tight)})
            return


SAME = 1e-9
"""The share of a loss that two computations of it are off in float64, at most."""


def _of_another_shape(grounds: Grounds, built: Built, result: Result) -> str:
    """What is otherwise at the first unit whose output has another shape there: no numbers can confirm it."""
    cell = result.cells.get(RULES)
    if cell is None or not cell.judgement.structural or cell.comparison is None:
        return ""
    unit = cell.judgement.first.partition("/")[2].partition(":")[0].partition("[")[0]
    settings = [different.sentence for different in result.settings if different.at == unit]
    order = order_of(*_orders(grounds.first, built.of, built.paired), unit)
    first = cell.judgement.first
    columns = [
        side[first].shape[1:] for side in (grounds.truth["resync"], grounds.columns(built, RULES)) if first in side
    ]
    return "; ".join(settings or [*order] or (_axes(unit, *columns) if len(columns) == 2 else ()))


def _axes(unit: str, here: Sequence[int], there: Sequence[int]) -> Iterator[str]:
    """Axes that are still there, or no longer, where a unit comes before or after what does away with them."""
    fewer, more = sorted((tuple(here), tuple(there)), key=len)
    left = Counter(more) - Counter(fewer)
    if not fewer or len(left) == 0 or Counter(fewer) - Counter(more):
        return
    sizes = " and ".join(map(str, left.elements()))
    when = ("before", "after") if len(there) > len(here) else ("after", "before")
    yield (
        f"{unit} comes {when[0]} axes of {sizes} are averaged, pooled or flattened away there, and {when[1]} that "
        "here: the order is another, or that is missing"
    )


def _guilty(grounds: Grounds, built: Built, result: Result) -> Guilty | None:
    """Everything at a side's first divergence from the rules; None where there is none to explain."""
    cell = result.cells.get(RULES)
    if cell is None or cell.comparison is None or cell.verdict is not Verdict.DIVERGES:
        return None
    found, t = cell.judgement, cell.judgement.step
    if found.structural or t is None:
        return None
    columns, (truth, clips) = grounds.columns(built, RULES), grounds.clipped(built, "resync")
    names = list(cell.comparison.measures)
    bounds = grounds.bounds.of("resync", "float64", names, (CONSTANTS, LEAST), built.of.least)
    without = {convention.quantity for convention in grounds.conventions(built, "resync")} - {found.first}
    limits = {name: found.limit * bounds[name][t] for name in names if name not in without}
    states = grounds.files.columns("states") or {}
    return Guilty(
        first=found.first,
        step=t,
        target={name: columns[name][t] for name in limits},
        truth={name: truth[name][t] for name in limits},
        before={name: np.asarray(column[t], np.float64) for name, column in states.items()},
        earlier={name: columns[name][t - 1] for name in limits} if t else {},
        bounds=limits,
        origin=grounds.first,
        settings=result.settings,
        rates=(np.asarray(columns["lr"], np.float64), np.asarray(truth["lr"], np.float64)),
        losses=(np.ravel(columns.get(found.first, ())), np.ravel(truth.get(found.first, ()))),
        there=built.of,
        calls=_orders(grounds.first, built.of, built.paired),
        clips=bool(clips),
        kept=[built.paired.params[key] for key in built.paired.kept] if built.paired else (),
    )


def _orders(here: Structure, there: Structure, pairing: Pairing | None) -> tuple[list[str], list[str]]:
    """In which order both sides call their units with parameters, by the origin's names."""
    units = pairing.units if pairing is not None else {}
    paired = {name for name in units.values() if here.of[name].params}
    names = [call.name for call in here.calls if call.name in paired]
    return names, [units[call.name] for call in there.calls if units.get(call.name) in paired]


def _attempt(
    grounds: Grounds,
    built: Built,
    guilty: Guilty,
    progress: Callable[[str], None],
    trials: Sequence[Sequence[Mapping[str, Any]]],
    calls: bool,
) -> list[dict[str, Any]]:
    """Have the origin try changes at the step; if it does not come to an end, what it had found until then."""
    files, answer = grounds.files, Path(grounds.files["explained.json"])
    answer.unlink(missing_ok=True)
    asked = grounds.works[0].ask(
        "explain",
        t=guilty.step,
        first=guilty.first,
        batches=str(grounds.batches),
        initial=files["initial-0"],
        states=files["states"],
        target=files[f"target-{built.at}"],
        bounds=files[f"limits-{built.at}"],
        order=list(guilty.bounds),
        trials=[list(changes) for changes in trials],
        calls=calls,
        clipping=guilty.clips,
        rate=grounds.rate,
        told=str(answer),
    )
    try:
        asked.result()
    except SideError as error:
        if not answer.exists():
            raise
        progress(f"the search for a cause in {built.label} ended: {error}")
    return told(answer)
