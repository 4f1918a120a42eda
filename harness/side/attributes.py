"""Which number that a user's own module holds, had it been another, gives all that another side gave?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from isograd.side.origin import Found, Origin, better

Numbers = dict[str, float | int | bool]

SAME = 1e-12

WIDEST = 4096
"""Whole numbers that are tried as another: sizes beyond it are of tables."""


def other_attribute(origin: Origin, first: str) -> Found | None:
    """The first other number with which the first quantity comes right, in words, and what then remains."""
    return _first(origin, first, _held(origin, first))


def other_of_loss(origin: Origin, first: str, solving: bool) -> Found | None:
    """The same of a loss that the user has written: other values that are likely, or one that is solved for."""
    loss = origin.session.trainee.loss
    if (
        loss is None
        or not first.startswith("loss")
        or origin.session.framework.made(loss)
        or not (numbers := _numbers(loss))
    ):
        return None
    return _first(origin, first, [("loss", type(loss).__name__, [loss], numbers)], (solving,))


def _first(
    origin: Origin,
    first: str,
    held: Iterable[tuple[str, str, list[Any], Numbers]],
    kinds: Collection[bool] = (False, True),
) -> Found | None:
    nearly = None
    for name, cls, modules, numbers in held:
        for changed, solved in (of for of in _others(numbers) if bool(of[1]) in kinds):
            with suppress(Exception):  # a number that this model cannot have
                values, outside = _fitted(origin, first, modules, changed, solved)
                nothing = solved and abs(values[solved] - numbers[solved]) <= 1e-7 * abs(numbers[solved])
                if nothing or not origin.comes_right(first, outside):
                    continue
                said = ", ".join(
                    f"{key} is {_told(values[key], numbers[key])} there, {_told(numbers[key])} here" for key in changed
                )
                sentence = f"{name} ({cls}): {said}"
                if not outside:
                    return sentence, []
                nearly = better(origin, nearly, (sentence, outside))
    return nearly


def _told(value: float, beside: float = 0.0) -> str:
    """What next to nothing of another number is left by a search for 0 is 0."""
    if isinstance(value, bool):
        return str(value)
    return "0" if abs(value) <= 1e-6 * abs(beside) else f"{value:.6g}"


def _held(origin: Origin, first: str) -> Iterator[tuple[str, str, list[Any], Numbers]]:
    """The user's own modules around the first quantity: each alone, and all of its class that hold the same."""
    path = first.partition("/")[2].partition(":")[0].partition("[")[0]
    modules = origin.session.framework.modules(origin.session.trainee.model)
    own = {name: module for name, module in modules if not origin.session.framework.made(module)}
    everywhere = first.startswith("loss")
    around = [name for name in own if everywhere or not name or f"{path}.".startswith(f"{name}.")]
    before = [name for name in own if name and name.rpartition(".")[0] in around]
    for name in dict.fromkeys([*reversed(around), *before]):
        cls, numbers = type(own[name]).__name__, _numbers(own[name])
        if not numbers:
            continue
        yield name or "model", cls, [own[name]], numbers
        alike = [m for m in own.values() if type(m) is type(own[name]) and numbers.items() <= vars(m).items()]
        if len(alike) > 1:
            yield f"every {cls}", cls, alike, numbers


def _numbers(module: Any) -> Numbers:
    return {
        key: value
        for key, value in getattr(module, "__dict__", {}).items()
        if isinstance(value, (bool, int, float)) and not key.startswith("_") and key != "training"
    }


def _others(numbers: Numbers) -> Iterator[tuple[Numbers, str]]:
    """Other values; and of a float, which one is solved for."""
    whole = {key: value for key, value in numbers.items() if type(value) is int and 0 < value <= WIDEST}
    for key, value in numbers.items():
        if isinstance(value, bool):
            yield {key: not value}, ""
        elif isinstance(value, float) and value:
            yield {key: value}, key
            yield {key: 0.0}, ""
            for rest, left in numbers.items():  # shares that make a whole
                if isinstance(left, float) and value < left and abs(value + left - 1) < SAME:
                    yield {key: 0.0, rest: 1.0}, ""
                    yield {key: left, rest: value}, ""
    for key, value in whole.items():
        for other in (2 * value, value // 2, value + 1, value - 1, 1):
            if other > 0 and other != value:
                yield {key: other}, ""
        for by in (2, 4):  # heads and their width: one so many times as large, the other as small
            for rest, width in whole.items():
                if rest != key and width % by == 0:
                    yield {key: value * by, rest: width // by}, ""


def _fitted(
    origin: Origin, first: str, modules: Sequence[Any], changed: Numbers, solved: str
) -> tuple[Numbers, list[str]]:
    """The numbers, and what they leave outside."""

    def values(x: Sequence[float]) -> Numbers:
        return {**changed, solved: x[0]} if solved else changed

    begin = [float(changed[solved])] if solved else []
    x, outside = origin.fitted(first, lambda x: [{"do": "held", "of": modules, "value": values(x)}], begin)
    return values(x), outside
