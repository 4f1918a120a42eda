"""Which call of a function in the origin's code, had it been another, gives all that another side gave?"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from isograd.framework import Framework, Other
from isograd.side.changes import Change
from isograd.side.operands import Given, Pool, Shared, strangers
from isograd.side.origin import Found, Origin, better

MOST = 3000
"""Others that are tried."""

SMALL, SAME = 128, 1e-6
"""Whole numbers up to which a ratio is told as one of two, and how near it has to be."""


@dataclass(frozen=True)
class Site:
    """Where in the user's code a function is called: all layers of a class call it from there.

    Attributes:
        file: of the user's code.
        line: its line.
        parts: lines where the framework's fused functions are spelled out, the innermost first; () for none.
        within: the function that holds the innermost line.
        whole: the fused function.
    """

    file: str = ""
    line: int = 0
    parts: tuple[int, ...] = ()
    within: str = ""
    whole: str = ""


@dataclass
class Call:
    """A call in a step.

    Attributes:
        number: which one, from 0.
        name: of the function.
        after: the last quantity that was seen before it.
        site: where it is called.
        others: what it can have been instead.
        given: what it can have been given instead.
        operands: the tensors that it is given, each by its place and what it is told from others by.
        shared: what each of these can have been, if other calls are given it too.
    """

    number: int
    name: str
    after: str
    site: Site
    others: list[Other] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    operands: list[tuple[int, int]] = field(default_factory=list)
    shared: dict[int, list[Other]] = field(default_factory=dict)


def call_of_loss(origin: Origin, first: str) -> Found | None:
    """The same within a loss that the user has written, of what needs no number, and only if it gives everything."""
    loss = origin.session.trainee.loss
    theirs = loss is None or type(loss).__module__.startswith(f"{origin.session.framework.root}.")
    if theirs or not first.startswith("loss"):
        return None
    found = other_call(origin, first, ((_plain, 0),))
    return found if found and not found[1] else None


def other_call(origin: Origin, first: str, ways: Ways = ()) -> Found | None:
    """The first other call, or other operand of one, that gives everything, and []; None if there is none.

    Functions are tried as they are called, then fused ones spelled out, each part for itself. If none gives everything,
    it is the one of those that give the first quantity that leaves the rest latest, and what remains.
    """
    left, nearly = MOST, None
    spelled_in = origin.session.framework.spelled_in
    listed = [(in_parts, _listed(origin, first, in_parts)) for in_parts in ((False, True) if spelled_in else (False,))]
    regions = [(parts, calls, list(_regions(origin, first, calls))) for parts, calls in listed]
    for how, at in ways or (OF_LOSS if first.startswith("loss") else IN_ORDER):
        if nearly and at:
            continue
        for in_parts, calls, of in regions:
            if at >= len(of):
                continue
            region = [call for call in of[at] if call.site.parts or not in_parts]
            for call, other, numbers in how(calls, region):
                left -= 1
                if left < 0:
                    return nearly
                with suppress(Exception):  # a call that cannot be that is none
                    x, outside = _fitted(origin, first, numbers, other, in_parts)
                    if not origin.comes_right(first, outside):
                        continue
                    said = other.words.replace("{x}", f"{x[0]:.4g}") + _share(x[0], other.here) if x else other.words
                    sentence = f"{_where(call, first, spelled_in)}: {said}"
                    if not outside:
                        return sentence, []
                    nearly = better(origin, nearly, (sentence, outside))
    return nearly


def _share(x: float, here: float | None) -> str:
    """Of two numbers whose ratio is one of small whole numbers, that: what is divided by 8 and not by 7 is 7/8."""
    if not here or not isfinite(x / here):
        return ""
    share = Fraction(x / here).limit_denominator(SMALL)
    near = abs(float(share) - x / here) <= SAME * abs(x / here) and share.numerator <= SMALL and share.denominator > 1
    return f" ({share} of it)" if near and share else ""


def _listed(origin: Origin, first: str, in_parts: bool) -> list[Call]:
    """Every call of a step, with what it can have been."""
    session, listed = origin.session, list[Call]()
    backward = first.partition("/")[0] in ("backward", "grad")
    pool = Pool(session.framework, {id(held.tensor): key for key, held in session.params.items()})

    def see(number: int, function: Any, args: Any, options: Any) -> Any:
        last = next(reversed(session.forward), "")
        call = Call(number, getattr(function, "__name__", str(function)), last, site_of(session.framework))
        listed.append(call)
        pool.meet(args)
        made = function(*args, **options)
        if backward:
            call.others = list(session.framework.cut(function, args, options))
            call.given = [given for given in pool.instead(args, options, None) if given.neighbour]
        else:
            call.others = list(session.framework.others(function, args, options))
            call.given = list(pool.instead(args, options, made))
            call.operands = [(at, id(value)) for at, value in pool.operands(args)]
            call.shared = {id(value): list(session.framework.shared(value)) for _, value in pool.operands(args)}
        pool.keep(number, made)
        return made

    origin.step([{"do": "called", "value": see, "in_parts": in_parts}])
    return listed


def _regions(origin: Origin, first: str, calls: Sequence[Call]) -> Iterator[list[Call]]:
    """The calls between the last quantity that is right and the first that is not; then all that come before it."""
    kind, _, name = first.partition("/")
    names = list(origin.right)
    order = [name for name in names if name.startswith("forward/")]
    if kind == "backward":  # gradients come from behind
        begin = order.index(f"forward/{name}") if f"forward/{name}" in order else 0
        yield [call for call in calls if call.after in order[begin:]]
        return
    if kind == "grad":
        yield list(calls)
        return
    before = [name for name in names[: names.index(first)] if name.startswith("forward/")]
    known = [name for name in before if name in origin.bounds]
    begin = before.index(known[-1]) if known else -1
    region = {"" if at < 0 else before[at] for at in range(begin, len(before))}
    yield [call for call in calls if call.after in region]
    earlier = {"", *before} - region
    yield [call for call in reversed(calls) if call.after in earlier]


Ways = Sequence[tuple[Callable[..., Any], int]]
"""In which order others are tried: how they come about, and in which region."""

Tried = Iterator[tuple[Call, Other, list[int]]]
"""Each other, with the calls that are it: all of one line, all of a function, one alone."""


def _plain(calls: Sequence[Call], region: Sequence[Call]) -> Tried:
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

    def function(call: Call) -> list[int]:
        inside = (call.name, call.site.file, call.site.within)
        same = [one.number for one in calls if (one.name, one.site.file, one.site.within) == inside]
        return same if call.site.within else []

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


def _given(calls: Sequence[Call], region: Sequence[Call]) -> Tried:
    """Other operands."""
    done: set[tuple[str, int, tuple[int, ...]]] = set()
    for call in region:
        for at, given in enumerate(call.given):
            other = Other(_words_of(given, calls), given)
            if not given.neighbour:
                lines = _of_line(calls, call)
                if len(lines) > 1:
                    yield call, other, [call.number, *(number for number in lines if number != call.number)]
                yield call, other, [call.number]
            elif _fresh(done, other, at, numbers := _of_line(calls, call)):
                yield call, other, numbers


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
    following = next((one for one in calls if one.number > call.number), None)
    where = f" ({Path(call.site.file).name}, line {call.site.line})" if call.site.file else ""
    last = following is not None and following.after != call.after
    what = following.after.partition("/")[2] if last and following else f"{call.name}{where}"
    if given.added:
        return f"what {what} gives is added to it there: a residual, or skip"
    return f"it is given what {what} gives there: another tensor (a residual, skip, or the order of the parts)"


@dataclass(frozen=True)
class _Shifted:
    """What calls have made, by the numbers of those that stood so before the first of some alike ones."""

    made: Mapping[int, Any]
    by: int

    def __getitem__(self, number: int) -> Any:
        return self.made[number if number < 0 else number + self.by]


IN_ORDER = (*((how, at) for at in (0, 1) for how in (_plain, _solved, _given)), (_shared, 0))
OF_LOSS = ((_plain, 0), (_solved, 0), (_plain, 1), (_given, 0), (_solved, 1), (_given, 1))
"""How the regions are tried; before a loss come functions of many outputs, whose operands are many."""


def _fitted(
    origin: Origin, first: str, numbers: Sequence[int], other: Other, in_parts: bool
) -> tuple[list[float], list[str]]:
    """The number with which it comes nearest, where it has one; and what it leaves outside."""

    def changes(x: Sequence[float]) -> list[Change]:
        return [{"do": "called", "value": _instead(origin, numbers, other, *x), "in_parts": in_parts}]

    return origin.fitted(first, changes, [] if other.begin is None else [other.begin])


def _instead(origin: Origin, numbers: Sequence[int], other: Other, x: float | None = None) -> Callable[..., Any]:
    """What gives each call's result, where some of them are another, perhaps with a number."""
    made = dict[int, Any]()
    params = {key: held.tensor for key, held in origin.session.params.items()}
    known = {id(tensor) for tensor in params.values()}

    def of(number: int, function: Any, args: Any, options: Any) -> Any:
        if isinstance(other.call, Given):
            for value in strangers(origin.session.framework, args, known):
                made[-1 - sum(number < 0 for number in made)] = value
                known.add(id(value))
        if number not in numbers:
            out = function(*args, **options)
        elif isinstance(other.call, Shared):
            out = other.call(number, function, args, options, *(() if x is None else (x,)))
        elif isinstance(other.call, Given):
            out = other.call(params, _Shifted(made, number - numbers[0]), function, args, options)
        elif x is None:
            out = other.call(function, args, options)
        else:
            out = other.call(function, args, options, x)
        if isinstance(other.call, Given):
            made[number] = out
            known.add(id(out))
        return out

    return of


def _where(call: Call, first: str, spelled_in: str) -> str:
    """Where a call is: between which quantities, in which line; and which part of a fused function it is."""
    begin, end = call.after.partition("/")[2] or "the input", first.partition("/")[2] or first
    where = f"{call.name}{' in ' * bool(call.site.whole)}{call.site.whole} between {begin} and {end}"
    if call.site.file:
        where += f" ({Path(call.site.file).name}, line {call.site.line})"
    parts = [linecache.getline(spelled_in, line).partition("  # ")[2].strip() for line in call.site.parts]
    said = ", in ".join(part for part in parts if part)
    return f"{where}, {said}" if said else where


def site_of(framework: Framework) -> Site:
    """Where the call that is being seen comes from."""
    ours = [__file__, str(sys.modules[type(framework).__module__].__file__), str(sys.modules[framework.root].__file__)]
    inside = tuple(f"{Path(file).parent}{os.sep}" for file in ours)
    frame, parts, within, whole = sys._getframe(1), list[int](), "", ""
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        if frame.f_code.co_filename == framework.spelled_in:
            parts.append(frame.f_lineno)
            within, whole = within or frame.f_code.co_qualname, frame.f_code.co_qualname.partition(".")[0]
        frame = frame.f_back
    return Site(frame.f_code.co_filename, frame.f_lineno, tuple(parts), within, whole)
