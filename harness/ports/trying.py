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

from isograd.ports.pairing import Pairing
from isograd.structure import Structure

NEAR = 4
"""So many calls before the first difference, and it, modules can have been taken for one another."""


def exchanged(pairing: Pairing, first: Structure, unit: str) -> Iterator[Pairing]:
    """The pairing with the counterparts exchanged of two of the origin's units that are alike, before the difference.

    Not where names say otherwise: a port that takes one for the other by mistake is none that calls them in another
    order.
    """
    called = list(dict.fromkeys(call.name for call in first.calls if first.of[call.name].params))
    there = {mine: theirs for theirs, mine in pairing.units.items()}
    at, of = called.index(unit) if unit in called else len(called), first.of
    near = [name for name in called[max(0, at - NEAR) : at + 1] if name in there]
    for one, other in combinations(near, 2):
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
