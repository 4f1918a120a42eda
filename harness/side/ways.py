"""How can a step be another by its calls: by one, those of a line, their operands, their order, what they share?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from isograd.framework import Other
from isograd.side.listed import Call
from isograd.side.operands import Exchanged, Given, Link, Place, Reordered, Shared

Ways = Sequence[tuple[int, Sequence[Callable[..., Any]]]]
"""In which order others are tried: in which region, and how they come about."""

Tried = Iterator[tuple[Call, Other, list[int]]]
"""Each other, with the calls that are it: all of one line, all of a function, one alone."""


def plain(calls: Sequence[Call], region: Sequence[Call]) -> Tried:
    """Those without a number."""
    return _others_of(calls, region, False)


def _solved(calls: Sequence[Call], region: Sequence[Call]) -> Tried:
    """What one number can be made to fit; and what all calls of the region can well be."""
    yield from _others_of(calls, region, True)
    alike: dict[str, list[tuple[Call, Other]]] = {}
    for call in region:
        for other in call.others:
            if other.anywhere:
                alike.setdefault(other.words, []).append((call, other))
    for some in alike.values():
        if len(some) > 1:
            numbers = {number for call, _ in some for number in _of_line(calls, call)}
            yield *some[0], sorted(numbers)


def _others_of(calls: Sequence[Call], region: Sequence[Call], solved: bool) -> Tried:
    done: set[tuple[str, int, tuple[int, ...]]] = set()
    known = {call.number: {other.words for other in call.others} for call in calls}

    forms, written = _forms(calls), dict[tuple[Any, ...], list[int]]()

    def inside(call: Call) -> tuple[Any, ...]:  # of the user's own functions those that are written alike
        return (call.name, call.site.file, call.site.within or (call.site.function, forms[call.number]))

    for call in calls:
        written.setdefault(inside(call), []).append(call.number)

    def function(call: Call) -> list[int]:
        return written[inside(call)]

    def alone(call: Call) -> list[int]:
        if not call.site.parts:
            return [call.number]
        whole = (call.name, call.site, call.after)  # a part of one fused function, however often it computes it
        return [one.number for one in calls if (one.name, one.site, one.after) == whole]

    for numbers_of in (partial(_of_line, calls), function, alone):
        for call in region:
            alike = numbers_of(call)
            for at, other in enumerate(call.others):
                if (other.begin is not None) == solved:
                    numbers = [number for number in alike if other.words in known[number]]
                    if _fresh(done, other, at, numbers):
                        yield call, other, numbers


DEPTH = 2
"""Calls behind a call by which it is told from others of its function."""


def _forms(calls: Sequence[Call]) -> dict[int, tuple[Any, ...]]:
    """What is told of a call by its function, and by those that have made what it is given."""
    of = {call.number: call for call in calls}

    def form(number: int, depth: int) -> tuple[Any, ...]:
        further = (form(source, depth - 1) for _, source in of[number].sources if source in of) if depth else ()
        return of[number].name, *further

    return {call.number: form(call.number, DEPTH) for call in calls}


def _given(calls: Sequence[Call], region: Sequence[Call]) -> Tried:
    """Other operands."""
    done: set[tuple[str, int, tuple[int, ...]]] = set()
    for call in region:
        before = [one for one in calls if one.number < call.number]
        for at, given in enumerate(call.given):
            other = Other(_words_of(given, calls), given)
            if not given.neighbour:
                lines = _of_line(calls, call)
                if len(lines) > 1:
                    numbers = [call.number, *(number for number in lines if number != call.number)]
                    yield call, other, numbers
                    if role := _role(given, before):
                        in_role = replace(given, role=role)
                        yield call, Other(_words_of(in_role, calls), in_role), numbers
                yield call, other, [call.number]
            elif _fresh(done, other, at, numbers := _of_line(calls, call)):
                yield call, other, numbers


def _role(given: Given, before: Sequence[Call]) -> tuple[int, Place] | None:
    """What else is given a tensor, the latest call of those."""
    (_, number), *_ = given.of
    places = ((call.number, at) for call in reversed(before) for at, source in call.sources if source == number)
    return next(places, None) if isinstance(number, int) and number >= 0 else None


def _exchanged(calls: Sequence[Call], region: Sequence[Call]) -> Tried:
    """Two tensors of one shape in each other's place from a call on, in all that they are given to then."""
    last = {number: call.number for call in calls for _, number in call.sources}
    for call in region:
        for at, one in call.sources:
            alike = (number for given in call.given for place, number in given.of if place == at and not given.added)
            for other in (number for number in alike if isinstance(number, int) and number >= 0):
                if last.get(other, -1) >= call.number:
                    where = said_of(next(of for of in calls if of.number == other))
                    words = f"what it is given and what {where} gives are in each other's place there: swapped"
                    yield call, Other(words, Exchanged(call.number, (one, other))), [of.number for of in calls]


def _shared(calls: Sequence[Call], region: Sequence[Call]) -> Tried:
    """Tensors that several calls are given, which are another in all of them."""
    users: dict[int, list[Call]] = {}
    for call in region:
        for tensor in dict.fromkeys(tensor for _, tensor in call.operands):
            users.setdefault(tensor, []).append(call)
    for tensor, some in users.items():
        places = {
            number: [at for at, of in call.operands if of == tensor]
            for call in some
            for number in _of_line(calls, call)
        }
        for other in some[0].shared[tensor] if len(some) > 1 else ():
            words = f"what it and others in this place are given comes {other.words}"
            yield some[0], Other(words, Shared(places, other.call), other.begin), list(places)


LONGEST = 4
"""Calls of a chain, one of which comes at its other end."""


def reordered(calls: Sequence[Call], region: Sequence[Call]) -> Tried:
    """Calls that follow each other, in another order: a step that comes too early, or too late; in every block alike.

    Only where nothing else is given what the first ones have made: it would have to be another then.
    """
    of = {call.number: call for call in calls}
    users = Counter(number for call in calls for _, number in call.sources)
    inside = {call.number for call in region}
    alike: dict[tuple[Any, ...], list[list[Link]]] = {}
    for chain in (chain for call in calls for chain in _chains(of, users, call)):
        key = tuple((of[link.number].name, of[link.number].site, link.at) for link in chain)
        if len({(name, site) for name, site, _ in key}) == len(chain):  # one more turn of a loop is no other order
            alike.setdefault(key, []).append(chain)
    here = [some for some in alike.values() if any(chain[0].number in inside for chain in some)]
    for some in sorted(here, key=lambda some: len(some[0])):
        apart, begin = _apart(some), [chain for chain in some if chain[0].number in inside]
        last = len(some[0]) - 1
        later = [*range(1, last + 1), 0], 0, last, "comes after {} there, and before it here: the order is another"
        earlier = [last, *range(last)], last, 0, "comes before {} there, and after it here: the order is another"
        for order, moved, other, words in (later,) if last == 1 else (later, earlier):
            for group in ([apart] if len(apart) > 1 else []) + [[chain] for chain in begin]:
                said = words.format(said_of(of[group[0][other].number]))
                change = Other(said, Reordered(group, order))
                yield of[group[0][moved].number], change, [link.number for chain in group for link in chain]


def _apart(chains: Sequence[Sequence[Link]]) -> list[Sequence[Link]]:
    """Those that have no call in common with one before."""
    taken, found = set[int](), list[Sequence[Link]]()
    for chain in chains:
        numbers = {link.number for link in chain}
        if taken.isdisjoint(numbers):
            found.append(chain)
            taken |= numbers
    return found


def _chains(of: Mapping[int, Call], users: Mapping[int, int], last: Call) -> Iterator[list[Link]]:
    """Chains of calls that end with one: of two, of three, and so on."""
    tails = [[Link(last.number, at)] for at, _ in last.sources]
    for _ in range(LONGEST - 1):
        longer = []
        for tail in tails:
            source = next((number for at, number in of[tail[0].number].sources if at == tail[0].at), None)
            if source is None or source not in of or users[source] > 1:
                continue
            longer += [[Link(source, at), *tail] for at in of[source].through]
        yield from longer
        tails = longer


def said_of(call: Call) -> str:
    """A call, and where in the user's code it is."""
    return f"{call.name} ({Path(call.site.file).name}, line {call.site.line})" if call.site.file else call.name


def _of_line(calls: Sequence[Call], call: Call) -> list[int]:
    return [one.number for one in calls if (one.name, one.site) == (call.name, call.site)]


def _fresh(done: set[tuple[str, int, tuple[int, ...]]], other: Other, at: int, numbers: list[int]) -> bool:
    """Whether something is tried for the first time."""
    key = (other.words, at, tuple(numbers))
    if not numbers or key in done:
        return False
    done.add(key)
    return True


def _words_of(given: Given, calls: Sequence[Call]) -> str:
    """What is said of a call with other tensors."""
    (_, name), *_ = given.of
    if given.neighbour:
        return f"it has the parameters of {given.neighbour} beside it there, in place of its own: that is used twice"
    if isinstance(name, str):
        unit = name.rpartition(".")[0]
        return f"it has the parameters of {unit} there, in place of its own: the same layer is used twice, or another"
    if name < 0:
        return "it is given the samples there, or another tensor that no function has made: as they come, unprocessed"
    call = next(one for one in calls if one.number == name)
    if given.role:
        other = next(one for one in calls if one.number == given.role[0])
        if given.added:
            return f"what {said_of(other)} is given is added to it there: a residual, or skip"
        return f"it is given what {said_of(other)} is given there: another tensor (a state before or after its update)"
    following = next((one for one in calls if one.number > call.number), None)
    last = following is not None and following.after != call.after
    what = following.after.partition("/")[2] if last and following else said_of(call)
    if given.added:
        return f"what {what} gives is added to it there: a residual, or skip"
    return f"it is given what {what} gives there: another tensor (a residual, skip, or the order of the parts)"


IN_ORDER = (
    (0, (plain, reordered, _solved, _given)),
    (1, (plain, reordered, _solved, _given)),
    (0, (_shared, _exchanged)),
)
OF_LOSS = ((0, (plain, reordered, _solved)), (1, (plain,)), (0, (_given,)), (1, (_solved, _given)))
"""How the regions are tried, functions as they are called before their parts; before a loss come functions of many
outputs, whose operands are many."""

SHARES: Mapping[Callable[..., Any], int] = {reordered: 400, _exchanged: 400}
"""Of `MOST`, what others of a kind may take that are many and seldom it."""

ONCE = (reordered, _exchanged)
"""Not with fused functions spelled out: their parts are in no other order."""
