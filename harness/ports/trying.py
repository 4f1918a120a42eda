"""Of modules that are equally good counterparts, which is the right one? The one with which numbers come right.

Ports are paired by the order of calls where names do not say it, and a right port may call what is alike (query, key
and value) in another order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import combinations

from isograd.judging import Verdict
from isograd.ports.cells import cell_of
from isograd.ports.grounds import Built, Grounds
from isograd.ports.pairing import Pairing
from isograd.ports.result import RULES, Cell
from isograd.ports.running import run
from isograd.ports.sides import SideError
from isograd.structure import Structure

NEAR = 4
"""So many calls before the first difference, or after it, modules can have been taken for one another."""


def repaired(grounds: Grounds, built: Built) -> Built:
    """The side, whose run in float64 is done, with the pairing by which its rules come right the furthest.

    It is the same one where no other is better, or where trying ends its child.
    """
    try:
        cell, best = cell_of(grounds, built, RULES), built
        while (unit := _of_forward(cell)) and (better := _better(grounds, best, cell, unit)):
            best, cell = better
    except SideError:
        return built
    return replace(best, tried=False)


def _better(grounds: Grounds, built: Built, cell: Cell, unit: str) -> tuple[Built, Cell] | None:
    """The first exchange of counterparts by which its rules come right further than in a cell."""
    assert built.paired is not None
    for other in exchanged(built.paired, grounds.first, unit):
        tried = replace(built, paired=other, tried=True)
        run(grounds, tried, RULES).result()
        found = cell_of(grounds, tried, RULES)
        if _place(grounds, found) > _place(grounds, cell):
            return tried, found
    return None


def _of_forward(cell: Cell) -> str:
    """The unit whose output is the first difference of the first step; "" where it is anything else."""
    found = cell.judgement
    if cell.verdict is not Verdict.DIVERGES or found.step or not found.first.startswith("forward/"):
        return ""
    return found.first.partition("/")[2].partition(":")[0].partition("[")[0]


def _place(grounds: Grounds, cell: Cell) -> tuple[float, int]:
    """How far a cell is right: to which step, and which quantity of it."""
    first, step = cell.judgement.first, cell.judgement.step
    if cell.verdict.green:
        return (float("inf"), 0)
    order = list(grounds.truth["resync"])
    return (-1, 0) if step is None or first not in order else (step, order.index(first))


def exchanged(pairing: Pairing, first: Structure, unit: str) -> Iterator[Pairing]:
    """The pairing with the counterparts exchanged of two of the origin's units that are alike, before the difference.

    Not where names say otherwise: a port that takes one for the other by mistake is none that calls them in another
    order.
    """
    called = list(dict.fromkeys(call.name for call in first.calls if first.of[call.name].params))
    there = {mine: theirs for theirs, mine in pairing.units.items()}
    at, of = called.index(unit) if unit in called else len(called), first.of
    near = [name for name in called[max(0, at - NEAR) : at + 1] if name in there]
    later = [name for name in called[at + 1 : at + 1 + NEAR] if name in there and unit in there]
    for one, other in (*combinations(near, 2), *((unit, name) for name in later)):
        alike = [(of[name].kind, of[name].params, of[name].buffers) for name in (one, other)]
        now = alikeness(one, there[one]) + alikeness(other, there[other])
        then = alikeness(one, there[other]) + alikeness(other, there[one])
        if alike[0] == alike[1] and then >= now:
            units = {**pairing.units, there[one]: other, there[other]: one}
            params = _moved(pairing.params, {one: other, other: one})
            yield replace(pairing, units=units, params=params, how="order, and by trying")


def _moved(params: Mapping[str, str], units: Mapping[str, str]) -> dict[str, str]:
    """Parameters of the other unit, of each of some."""
    out = {}
    for theirs, mine in params.items():
        unit = next((unit for unit in units if mine.startswith(f"{unit}.")), None)
        out[theirs] = mine if unit is None else f"{units[unit]}{mine[len(unit) :]}"
    return out


def alikeness(one: str, other: str) -> float:
    """How alike two modules are called: their last names, with what begins or numbers them alike."""
    a, b = (name.rpartition(".")[2].lower() for name in (one, other))
    numbers = [re.search(r"\d+$", name) for name in (a, b)]
    same = all(numbers) and numbers[0] is not None and numbers[1] is not None and numbers[0][0] == numbers[1][0]
    return SequenceMatcher(None, a, b).ratio() + (a[:1] == b[:1]) + same
