"""Which module of the one side is which of the other? By name, or by the order in which they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from isograd.structure import Call, Shape, Structure, Unit


@dataclass(frozen=True)
class Group:
    """Parameters and buffers that belong together: a unit's, or one projection's of several in a unit.

    Attributes:
        name: its path.
        unit: the unit that holds it.
        kind: the operation; "" for a user's own class.
        params: shapes by their names within.
        buffers: likewise.
    """

    name: str
    unit: str
    kind: str
    params: Mapping[str, Shape]
    buffers: Mapping[str, Shape]


@dataclass(frozen=True)
class Pairing:
    """What is called how on the first side.

    Attributes:
        units: units that are compared, by the other side's names.
        params: parameters and buffers, likewise.
        swapped: those whose last two axes are the other way round there.
        how: "name", "order" or "map".
        missing: of the first side, what has no counterpart.
        extra: of the other side, likewise.
        kept: buffers of the other side that are not taken over from the first: its code makes other ones.
        drawn: buffers that no step records and that both sides draw, by the other side's names.
    """

    units: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    swapped: tuple[str, ...] = ()
    how: str = "name"
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    drawn: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether every parameter has its counterpart."""
        return not self.missing and not self.extra


def groups_of(structure: Structure) -> list[Group]:
    """In the order in which their units are first called; those that are not called last, as they are defined."""
    called = {call.name: at for at, call in reversed(list(enumerate(structure.calls)))}
    order = sorted(structure.units, key=lambda unit: called.get(unit.name, len(called) + len(structure.calls)))
    return [group for unit in order for group in _groups(unit)]


def _groups(unit: Unit) -> list[Group]:
    prefixes = dict.fromkeys(name.rpartition(".")[0] for name in unit.params)
    if not any(prefixes):
        kind = unit.kind if unit.known else ""
        return [Group(unit.name, unit.name, kind, unit.params, unit.buffers)] if unit.params or unit.buffers else []
    return [
        Group(
            f"{unit.name}.{prefix}",
            unit.name,
            "linear",
            {name.rpartition(".")[2]: s for name, s in unit.params.items() if name.rpartition(".")[0] == prefix},
            {},
        )
        for prefix in prefixes
    ]


EXACT, NEAR = 1.0, 0.6
NAMED = 0.3  # as much as a name that is the same adds, so that of equal candidates the namesake is taken


def fit(one: Group, other: Group) -> float:
    """How well two groups fit: the same operation and shapes; or, of a user's own class, shapes up to transposition."""
    if one.kind and other.kind:
        if one.kind != other.kind:
            return 0.0
        common = one.params.keys() & other.params.keys() | one.buffers.keys() & other.buffers.keys()
        mine, theirs = {**one.params, **one.buffers}, {**other.params, **other.buffers}
        same = all(mine[name] == theirs[name] for name in common)
        if not (common and same):
            return 0.0
        score = EXACT if one.params.keys() == other.params.keys() else NEAR
    else:
        held = [group.params or group.buffers for group in (one, other)]
        shapes = [sorted(tuple(sorted(shape)) for shape in of.values()) for of in held]
        if shapes[0] != shapes[1] or not shapes[0] or bool(one.params) != bool(other.params):
            return 0.0
        score = EXACT
    return score + NAMED * _alike(one.name, other.name)


def _alike(one: str, other: str) -> float:
    """1 for the same name, a half for the same last part that is no number."""
    if one == other:
        return 1.0
    last = one.rpartition(".")[2]
    return 0.5 if last == other.rpartition(".")[2] and not last.isdigit() else 0.0


def aligned(
    ones: Sequence[object], others: Sequence[object], score: Callable[[int, int], float]
) -> list[tuple[int, int]]:
    """The pairs, in order on both sides, with the largest sum of scores (a longest common subsequence, weighted)."""
    best = np.zeros((len(ones) + 1, len(others) + 1))
    for i in range(len(ones) - 1, -1, -1):
        for j in range(len(others) - 1, -1, -1):
            here = score(i, j)
            both = best[i + 1, j + 1] + here if here > 0 else 0.0
            best[i, j] = max(best[i + 1, j], best[i, j + 1], both)
    i = j = 0
    found = []
    while i < len(ones) and j < len(others):
        here = score(i, j)
        if here > 0 and best[i, j] == best[i + 1, j + 1] + here:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif best[i, j] == best[i + 1, j]:
            i += 1
        else:
            j += 1
    return found


def pair(first: Structure, other: Structure, given: Mapping[str, str] | None = None) -> Pairing:
    """Pair two sides.

    Args:
        first: the origin.
        other: the side that is compared with it.
        given: names that a user has paired, the other's to the first's: of units or of parameters.
    """
    ones, others = groups_of(first), groups_of(other)
    given = dict(given or {})
    pairs, how = _by_name(ones, others), "name"
    if pairs is None or given:
        fixed = [(a, b) for a in ones for b in others if given.get(b.name) == a.name]
        left = [a for a in ones if all(a is not x for x, _ in fixed)]
        right = [b for b in others if all(b is not y for _, y in fixed)]
        found = aligned(left, right, lambda i, j: fit(left[i], right[j]))
        pairs = fixed + [(left[i], right[j]) for i, j in found]
        how = "map" if given else "order"
    params: dict[str, str] = {}
    swapped: list[str] = []
    for a, b in pairs:
        _pair_params(a, b, params, swapped)
    params |= {name: to for name, to in given.items() if name in other.params() and to in first.params()}
    tied = [side.tied() for side in (first, other)]
    missing = [key for key in first.params() if key not in params.values() and key not in tied[0]]
    extra = [key for key in other.params() if key not in params and key not in tied[1]]
    for key, to in _leftover(first.params(), other.params(), missing, extra):
        params[key] = to
        if first.params()[to] != other.params()[key]:
            swapped.append(key)
        missing.remove(to)
        extra.remove(key)
    shared = first.tied()
    params = {key: shared.get(to, to) for key, to in params.items()}  # what is one here may be two there
    units = _units(first, other, {b.unit: a.unit for a, b in pairs if _is_whole(a) and _is_whole(b)})
    return Pairing(units, params, tuple(swapped), how, tuple(missing), tuple(extra))


def _is_whole(group: Group) -> bool:
    return group.name == group.unit


def _by_name(ones: Sequence[Group], others: Sequence[Group]) -> list[tuple[Group, Group]] | None:
    """The pairs by name, if that leaves nobody alone that has parameters, and all of them fit."""
    named = {group.name: group for group in others}
    pairs = [(group, named[group.name]) for group in ones if group.name in named]
    fitting = [(a, b) for a, b in pairs if fit(a, b) >= EXACT]
    trained = [sum(bool(group.params) for group in of) for of in (ones, others, [a for a, _ in fitting])]
    return fitting if len(set(trained)) == 1 else None


def _pair_params(a: Group, b: Group, params: dict[str, str], swapped: list[str]) -> None:
    """Parameters and buffers by their names, or by their shapes in order."""
    for mine, theirs in ((a.params, b.params), (a.buffers, b.buffers)):
        free = [name for name in mine if name not in theirs]
        for name, shape in theirs.items():
            to = name if name in mine else next((other for other in free if _fits(mine[other], shape)), None)
            if to is None or not _fits(mine[to], shape):
                continue
            free = [other for other in free if other != to]
            params[f"{b.name}.{name}"] = f"{a.name}.{to}"
            if mine[to] != shape:
                swapped.append(f"{b.name}.{name}")


def _leftover(
    first: Mapping[str, Shape], other: Mapping[str, Shape], missing: Sequence[str], extra: Sequence[str]
) -> list[tuple[str, str]]:
    """What a module holds on the one side and another on the other: by name, then in order, where shapes fit."""
    named = [(name, name) for name in missing if name in extra and _fits(first[name], other[name])]
    mine, theirs = ([name for name in of if (name, name) not in named] for of in (missing, extra))

    def score(i: int, j: int) -> float:
        one, two = first[mine[i]], other[theirs[j]]
        fits = EXACT if one == two else NEAR if _fits(one, two) else 0.0
        return fits and fits + NAMED * _alike(mine[i], theirs[j])

    return named + [(theirs[j], mine[i]) for i, j in aligned(mine, theirs, score)]


def _fits(one: Shape, other: Shape) -> bool:
    return one == other or (len(one) == 2 and one == other[::-1])


def _units(first: Structure, other: Structure, paired: Mapping[str, str]) -> dict[str, str]:
    """Units whose outputs are compared: those with parameters, and between them what is of one kind and shape."""
    calls = [_first_calls(side) for side in (first, other)]
    of = [side.of for side in (first, other)]

    def score(i: int, j: int) -> float:
        a, b = calls[0][i], calls[1][j]
        if a.name in paired.values() or b.name in paired:
            return EXACT if paired.get(b.name) == a.name else 0.0
        one, two = of[0][a.name], of[1][b.name]
        if one.params or two.params or not (one.known and two.known) or one.kind != two.kind:
            attention = one.kind == two.kind == "attention"
            return EXACT if attention and a.outputs == b.outputs else 0.0
        return NEAR + NAMED * _alike(a.name, b.name) if a.outputs == b.outputs else 0.0

    found = aligned(calls[0], calls[1], score)
    names = {calls[1][j].name: calls[0][i].name for i, j in found}
    return names | {b: a for b, a in paired.items() if b not in names and _once(calls, a, b)}


def _once(calls: Sequence[Sequence[Call]], a: str, b: str) -> bool:
    """Whether both are called at all: out of order, their outputs are compared all the same."""
    return any(call.name == a for call in calls[0]) and any(call.name == b for call in calls[1])


def _first_calls(structure: Structure) -> list[Call]:
    seen: dict[str, Call] = {}
    for call in structure.calls:
        seen.setdefault(call.name, call)
    return list(seen.values())
