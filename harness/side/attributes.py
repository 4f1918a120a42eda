"""Which number that a user's own module holds, had it been another, gives all that another side gave?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from isograd.side.origin import Found, Origin, better

Numbers = dict[str, float | int | bool]

WIDEST = 4096
"""Whole numbers that are tried as another: sizes beyond it are of tables."""


def other_attribute(origin: Origin, first: str) -> Found | None:
    """The first other number with which the first quantity comes right, in words, and what then remains."""
    nearly = None
    for name, cls, modules, numbers in _held(origin, first):
        for changed, solved in _others(numbers):
            with suppress(Exception):  # a number that this model cannot have
                values, outside = _fitted(origin, first, modules, changed, solved)
                nothing = solved and abs(values[solved] - numbers[solved]) <= 1e-7 * abs(numbers[solved])
                if nothing or not origin.comes_right(first, outside):
                    continue
                said = ", ".join(f"{key} is {values[key]:.6g} there, {numbers[key]:.6g} here" for key in changed)
                sentence = f"{name} ({cls}): {said}"
                if not outside:
                    return sentence, []
                nearly = better(origin, nearly, (sentence, outside))
    return nearly


def _held(origin: Origin, first: str) -> Iterator[tuple[str, str, list[Any], Numbers]]:
    """The user's own modules around the first quantity: each alone, and all of its class that hold the same."""
    framework = origin.session.framework
    path = first.partition("/")[2].partition(":")[0].partition("[")[0]
    own = {
        name: module
        for name, module in framework.modules(origin.session.trainee.model)
        if not type(module).__module__.startswith(f"{framework.root}.")
    }
    everywhere = first.startswith("loss")
    around = [name for name in own if everywhere or not name or f"{path}.".startswith(f"{name}.")]
    before = [name for name in own if name and name.rpartition(".")[0] in around]
    for name in dict.fromkeys([*reversed(around), *before]):
        numbers = {
            key: value
            for key, value in vars(own[name]).items()
            if isinstance(value, (bool, int, float)) and not key.startswith("_") and key != "training"
        }
        cls = type(own[name]).__name__
        if not numbers:
            continue
        yield name or "model", cls, [own[name]], numbers
        alike = [m for m in own.values() if type(m) is type(own[name]) and numbers.items() <= vars(m).items()]
        if len(alike) > 1:
            yield f"every {cls}", cls, alike, numbers


def _others(numbers: Numbers) -> Iterator[tuple[Numbers, str]]:
    """Other values; and of a float, which one is solved for."""
    whole = {key: value for key, value in numbers.items() if type(value) is int and 0 < value <= WIDEST}
    for key, value in numbers.items():
        if isinstance(value, bool):
            yield {key: not value}, ""
        elif isinstance(value, float) and value:
            yield {key: value}, key
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
