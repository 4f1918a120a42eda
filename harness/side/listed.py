"""Which functions does a step of the origin call, where in the user's code, and what can each call have been?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isograd.framework import Framework, Other
from isograd.side.operands import Arguments, Given, Place, Pool
from isograd.side.origin import Origin


@dataclass(frozen=True)
class Site:
    """Where in the user's code a function is called: all layers of a class call it from there.

    Attributes:
        file: of the user's code.
        line: its line.
        parts: lines where the framework's fused functions are spelled out, the innermost first; () for none.
        within: the function that holds the innermost line.
        whole: the fused function.
        function: of the user's code.
    """

    file: str = ""
    line: int = 0
    parts: tuple[int, ...] = ()
    within: str = ""
    whole: str = ""
    function: str = ""


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
        sources: which of its arguments other calls have made, and their numbers.
        through: by which of its arguments something can go through it: those that are no parameters, if there are any.
    """

    number: int
    name: str
    after: str
    site: Site
    others: list[Other] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    operands: list[tuple[Place, int]] = field(default_factory=list)
    shared: dict[int, list[Other]] = field(default_factory=dict)
    sources: list[tuple[Place, int]] = field(default_factory=list)
    through: list[Place] = field(default_factory=list)


def listed_calls(origin: Origin, first: str, in_parts: bool) -> list[Call]:
    """Every call of a step, with what it can have been."""
    session, listed = origin.session, list[Call]()
    backward = first.partition("/")[0] in ("backward", "grad")
    pool = Pool(session.framework, {id(held.tensor): key for key, held in session.params.items()})

    def see(number: int, function: Any, args: Any, options: Any) -> Any:
        last = next(reversed(session.forward), "")
        call = Call(number, getattr(function, "__name__", str(function)), last, site_of(session.framework))
        listed.append(call)
        given = Arguments(args, options)
        pool.meet(given)
        call.sources, operands = pool.sources(given), pool.operands(given)
        tensors = [at for at, value in given.placed() if session.framework.is_tensor(value)]
        call.through = [at for at, _ in operands] or tensors
        made = function(*args, **options)
        if backward:
            call.others = _as_far(session.framework.cut(function, args, options))
            call.given = [other for other in pool.instead(given, None) if other.neighbour]
        else:
            call.others = _as_far(session.framework.others(function, args, options))
            call.given = list(pool.instead(given, made))
            call.operands = [(at, id(value)) for at, value in operands]
            call.shared = {id(value): list(session.framework.shared(value)) for _, value in operands}
        pool.keep(number, made)
        return made

    origin.step([{"do": "called", "value": see, "in_parts": in_parts}])
    return listed


def _as_far(found: Iterator[Other]) -> list[Other]:
    """Others, as far as they come: a family that cannot cope with a call ends no search."""
    others = list[Other]()
    with suppress(Exception):
        others.extend(found)
    return others


def regions_of(origin: Origin, first: str, calls: Sequence[Call]) -> Iterator[list[Call]]:
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
    own = first.partition("[")[0]  # what a unit gives is seen together, whatever was computed first
    known = [name for name in before if name in origin.bounds and name.partition("[")[0] != own]
    begin = before.index(known[-1]) if known else -1
    region = {"" if at < 0 else before[at] for at in range(begin, len(before))}
    yield [call for call in calls if call.after in region]
    earlier = {"", *before} - region
    yield [call for call in reversed(calls) if call.after in earlier]


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
    return Site(frame.f_code.co_filename, frame.f_lineno, tuple(parts), within, whole, frame.f_code.co_qualname)
