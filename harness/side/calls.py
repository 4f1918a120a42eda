"""Which call of a function in the origin's code, had it been another, gives all that another side gave?"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

from isograd.framework import Other
from isograd.side.changes import Change
from isograd.side.listed import Call, listed_calls, regions_of
from isograd.side.operands import Arguments, Exchanged, Given, Place, Reordered, Shared, strangers
from isograd.side.origin import Found, Origin, better
from isograd.side.ways import IN_ORDER, OF_LOSS, ONCE, SHARES, Ways, plain, reordered

MOST = 3000
"""Others that are tried."""

RUNS = 20
"""Others that a search for several numbers counts as, for each of them: it runs as many steps, or more."""

SMALL, SAME = 128, 1e-6
"""Whole numbers up to which a ratio is told as one of two, and how near it has to be."""


def call_of_loss(origin: Origin, first: str) -> Found | None:
    """The same within a loss that the user has written, of what needs no number, and only if it gives everything."""
    loss = origin.session.trainee.loss
    theirs = loss is None or origin.session.framework.made(loss)
    if theirs or not first.startswith("loss"):
        return None
    found = other_call(origin, first, ((0, (plain,)),))
    return found if found and not found[1] else None


def other_call(origin: Origin, first: str, ways: Ways = ()) -> Found | None:
    """The first other call, or other operand of one, that gives everything, and []; None if there is none.

    Functions are tried as they are called, then fused ones spelled out, each part for itself. If none gives everything,
    it is the one of those that give the first quantity that leaves the rest latest, and what remains.
    """
    left, nearly = MOST, None
    spelled_in = origin.session.framework.spelled_in
    listed = [
        (in_parts, listed_calls(origin, first, in_parts)) for in_parts in ((False, True) if spelled_in else (False,))
    ]
    regions = [(parts, calls, list(regions_of(origin, first, calls))) for parts, calls in listed]
    for at, hows in ways or (OF_LOSS if first.startswith("loss") else IN_ORDER):
        if nearly and at:
            continue
        whole_first = ((how, *region) for region in regions for how in hows if at < len(region[2]))
        for how, in_parts, calls, of in whole_first:
            if (in_parts and how in ONCE) or (how is reordered and first.startswith(("backward/", "grad/"))):
                continue  # where all that is computed forward is right, the order is
            region = [call for call in of[at] if call.site.parts or not in_parts]
            for call, other, numbers in islice(how(calls, region), SHARES.get(how, MOST)):
                left -= RUNS * len(other.begins) if len(other.begins) > 1 else 1
                if left < 0:
                    return nearly
                with suppress(Exception):  # a call that cannot be that is none
                    x, outside = _fitted(origin, first, numbers, other, in_parts)
                    if not origin.comes_right(first, outside):
                        continue
                    said = other.said(x) + (_told(origin, x[0], other) if len(x) == 1 else "")
                    sentence = f"{_where(call, first, spelled_in)}: {said}{_also(call, calls, numbers, other)}"
                    if not outside:
                        return sentence, []
                    nearly = better(origin, nearly, (sentence, outside))
    return nearly


def _told(origin: Origin, x: float, other: Other) -> str:
    """More of a number: the share that it is of what it is here; of a divisor also whose size it is."""
    sizes = {size: axis for axis, size in sorted(_sizes(origin.batch[0]), reverse=True) if axis}
    near = isfinite(x) and abs(x - round(x)) <= SAME * abs(x)
    if other.words.startswith("divided by") and near and round(x) in sizes and round(x) > 1:
        return f" (as many as axis {sizes[round(x)]} of the samples has: all are counted, padding too)"
    return _share(x, other.here)


def _sizes(of: Any) -> Iterator[tuple[int, int]]:
    """Axes and sizes of all arrays of a batch."""
    if isinstance(of, (Mapping, tuple)):
        for one in of.values() if isinstance(of, Mapping) else of:
            yield from _sizes(one)
    else:
        yield from enumerate(getattr(of, "shape", ()))


def _share(x: float, here: float | None) -> str:
    """Of two numbers whose ratio is one of small whole numbers, that: what is divided by 8 and not by 7 is 7/8."""
    if not here or not isfinite(x / here):
        return ""
    share = Fraction(x / here).limit_denominator(SMALL)
    near = abs(float(share) - x / here) <= SAME * abs(x / here) and share.numerator <= SMALL and share.denominator > 1
    return f" ({share} of it)" if near and share else ""


@dataclass(frozen=True)
class _Shifted:
    """What calls have made, by the numbers of those that stood so before the first of some alike ones."""

    made: Mapping[int, Any]
    given: Mapping[int, Arguments]
    by: int
    role: tuple[int, Place] | None

    def __getitem__(self, number: int) -> Any:
        if self.role is not None:
            return self.given[self.role[0] + self.by].taken(self.role[1])
        return self.made[number if number < 0 else number + self.by]


def _fitted(
    origin: Origin, first: str, numbers: Sequence[int], other: Other, in_parts: bool
) -> tuple[list[float], list[str]]:
    """The number with which it comes nearest, where it has one; and what it leaves outside."""

    def changes(x: Sequence[float]) -> list[Change]:
        return [{"do": "called", "value": _instead(origin, numbers, other, *x), "in_parts": in_parts}]

    return origin.fitted(first, changes, other.begins)


def _instead(origin: Origin, numbers: Sequence[int], other: Other, *x: float) -> Callable[..., Any]:
    """What gives each call's result, where some of them are another, perhaps with numbers."""
    made, given = dict[int, Any](), dict[int, Arguments]()
    params = {key: held.tensor for key, held in origin.session.params.items()}
    known = {id(tensor) for tensor in params.values()}
    reordered = other.call.begun() if isinstance(other.call, Reordered) else None

    def result(number: int, function: Any, args: Any, options: Any) -> Any:
        if number not in numbers:
            return function(*args, **options)
        if reordered is not None:
            return reordered(number, function, Arguments(args, options))
        if isinstance(other.call, Shared):
            return other.call(number, function, Arguments(args, options), *x)
        if isinstance(other.call, Exchanged):
            return other.call(made, number, function, given[number])
        if isinstance(other.call, Given):
            shifted = _Shifted(made, given, number - numbers[0], other.call.role)
            return other.call(params, shifted, function, given[number])
        return other.call(function, args, options, *x)

    def followed(number: int, function: Any, args: Any, options: Any) -> Any:
        """The same, where other tensors of the step have to be known."""
        given[number] = Arguments(args, options)
        for value in strangers(origin.session.framework, given[number], known):
            made[-1 - sum(number < 0 for number in made)] = value
            known.add(id(value))
        made[number] = result(number, function, args, options)
        known.add(id(made[number]))
        return made[number]

    return followed if isinstance(other.call, (Given, Exchanged)) else result


def _where(call: Call, first: str, spelled_in: str) -> str:
    """Where a call is: between which quantities, in which line; and which part of a fused function it is."""
    begin, end = call.after.partition("/")[2] or "the input", first.partition("/")[2] or first
    where = f"{call.name}{' in ' * bool(call.site.whole)}{call.site.whole} between {begin} and {end}"
    if call.site.file:
        where += f" ({Path(call.site.file).name}, line {call.site.line})"
    parts = [linecache.getline(spelled_in, line).partition("  # ")[2].strip() for line in call.site.parts]
    said = ", in ".join(part for part in parts if part)
    return f"{where}, {said}" if said else where


def _also(call: Call, calls: Sequence[Call], numbers: Sequence[int], other: Other) -> str:
    """In which other lines it is so, of calls of the same function."""
    if isinstance(other.call, (Given, Exchanged, Shared, Reordered)):
        return ""
    others = {one.site.line for one in calls if one.number in numbers and one.name == call.name and not one.site.parts}
    lines = [str(line) for line in sorted(others - {call.site.line})]
    return f" (and so in line{'s' * (len(lines) > 1)} {', '.join(lines)})" if lines else ""
