"""What is a row of the atlas, and when has one changed?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from operator import eq

import numpy as np
from pydantic import BaseModel, ConfigDict

from isograd.atlas.compared import Comes
from isograd.atlas.laws import SURE
from isograd.judging import Verdict

RULE = "the rule as isograd has it"
SETTING = "by default"
SILENT = "(shows nothing)"
REFUSED = "refused: "
"""What a row says of an operation that a framework does not run, and of what is to be written instead."""


class Side(BaseModel):
    """What one framework has in one row.

    Attributes:
        answer: the default or the answer, in few words.
        name: how the setting is told there; "" where it cannot be, and for a question.
        program: what was run.
        verdict: of our rules, told so; "" for a question.
        over: the largest error over its bound there.
        instead: what to write there to get the other framework's answer.
        left: what `instead` comes to, compared with the other framework's answer.
        docs: what its documentation says otherwise, and where.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    answer: str
    name: str = ""
    program: str = ""
    verdict: str = ""
    over: float | None = None
    instead: str = ""
    left: str = ""
    docs: str = ""


class Row(BaseModel):
    """One setting or one question, in every framework.

    Attributes:
        family: the page.
        operation: what it is about.
        asks: the setting, or the question.
        comes: what the first two answers come to (`Comes`); "" where one framework alone has it.
        difference: the largest difference of numbers, of the largest number beside it.
        where: where that is.
        effect: what a differing setting changes within one step, of the largest number, and in which quantity.
        sides: by framework.
        note: what else a reader should know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    operation: str
    asks: str
    comes: str = ""
    difference: float | None = None
    where: str = ""
    effect: str = ""
    sides: Mapping[str, Side]
    note: str = ""

    @property
    def key(self) -> str:
        """What it is told from all other rows by."""
        return f"{self.family}: {self.operation}: {self.asks}"

    @property
    def is_red(self) -> bool:
        """Whether something is wrong with the row itself: a program that does not run, an answer nobody expects."""
        texts = [text for side in self.sides.values() for text in (side.answer, side.left)]
        wrong = any(word in text for text in texts for word in WRONG)
        refused = any(side.left == Comes.REFUSED.value for side in self.sides.values())
        return wrong or refused or self.comes == Comes.MISTAKEN.value or any(map(_is_unlike, self.sides.values()))


WRONG = ("the program does not run", "(not expected)", REFUSED)


def _is_unlike(side: Side) -> bool:
    """Whether our rule was found in a framework, and a run of it there is red nevertheless."""
    return side.answer == RULE and bool(side.verdict) and not Verdict(side.verdict).green


class Atlas(BaseModel):
    """All rows.

    Attributes:
        versions: of each framework.
        titles: of each page, by its name.
        rows: page by page.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    versions: Mapping[str, str]
    titles: Mapping[str, str]
    rows: tuple[Row, ...]

    @property
    def red(self) -> tuple[Row, ...]:
        """Rows that something is wrong with."""
        return tuple(row for row in self.rows if row.is_red)

    def of(self, family: str) -> tuple[Row, ...]:
        """A page's rows."""
        return tuple(row for row in self.rows if row.family == family)


def changes(old: Atlas, new: Atlas) -> Iterator[str]:
    """What is other than it was: rows that came, went, or say something else; of pages and frameworks in both."""
    both, alike = old.versions.keys() & new.versions.keys(), old.versions.keys() == new.versions.keys()
    before, after = _rows(old, new, both), _rows(new, old, both)
    for key in {**before, **after}:
        if key in before and key in after:
            yield from _differences(before[key], after[key])
        elif key in before and (alike or not _is_for_others(before[key], both)):
            yield f"{key}: is no more; it was {_told(before[key])}"
        elif key in after and (alike or f", {SETTING}" not in key):
            yield f"{key}: is new: {_told(after[key])}"


def _rows(atlas: Atlas, other: Atlas, both: Set[str]) -> dict[str, Row]:
    """Of pages that both have, and of frameworks that both have asked."""
    return {row.key: row for row in atlas.rows if row.family in other.titles and row.sides.keys() & both}


def _is_for_others(row: Row, both: Set[str]) -> bool:
    """Whether a row is there only for frameworks that one atlas has not asked: in the others it shows nothing."""
    return all(SILENT in side.answer for name, side in row.sides.items() if name in both)


def _told(row: Row) -> str:
    return "; ".join([row.comes, *(f"{name} {side.answer}" for name, side in row.sides.items())])


def _differences(old: Row, new: Row) -> Iterator[str]:
    both = [name for name in old.sides if name in new.sides]
    if len(both) == len(old.sides) and old.comes != new.comes:
        yield f"{new.key}: was {_told(old)}; is {_told(new)}"
        return
    for name in both:
        was, now = old.sides[name], new.sides[name]
        pairs = [
            (was.answer, now.answer, same_text),
            (was.name, now.name, eq),
            (was.verdict, now.verdict, _same_verdict),
        ]
        if len(new.sides) == len(old.sides):  # with somebody to compare with
            pairs.append((was.left, now.left, _same_left))
        yield from (f"{new.key}: {name}: was {one}; is {other}" for one, other, same in pairs if not same(one, other))


def _same_verdict(one: str, other: str) -> bool:
    """Whether bits are the reference's depends on the processor."""
    return {one, other} == {Verdict.IDENTICAL.value, Verdict.EQUIVALENT.value} or one == other


def _same_left(one: str, other: str) -> bool:
    """By the word: by how much it differs is of a difference, which cancels."""
    return one.partition(" by ")[0] == other.partition(" by ")[0]


EXCEPTION = re.compile(r"[A-Za-z.]+(?:Error|Exception)(?=:)")
"""Its words may hold a tensor's number, or an address."""

NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")
DRAWN = re.compile(rf"({NUMBER.pattern}) ± ({NUMBER.pattern})")
NEAR = 1e-4
"""Of a number that is told in five digits: one in its last place, since processors differ in the last bits of a sum."""

TINY = 1e-9
"""Of the largest number of a text: what is left of a difference is rounding."""


def same_text(one: str, other: str) -> bool:
    """Whether two texts say the same, but for the last digits of their numbers, and the words of an exception."""
    if one == other:
        return True
    if (raised := EXCEPTION.match(one)) and (also := EXCEPTION.match(other)):
        return raised[0] == also[0]
    drawn = [DRAWN.findall(text) for text in (one, other)]
    for (a, off), (b, off_b) in zip(*drawn, strict=False):
        if abs(float(a) - float(b)) > SURE * (float(off) + float(off_b)):
            return False
    one, other = DRAWN.sub("±", one), DRAWN.sub("±", other)
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    texts = [*zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)]
    if any(a != b for a, b in texts if _is_whole(a) and _is_whole(b)):
        return False
    a, b = np.array([(float(a), float(b)) for a, b in texts]).reshape(-1, 2).T
    size = np.maximum(np.abs(a), np.abs(b))
    return bool((np.abs(a - b) <= NEAR * size + TINY * size.max(initial=0.0)).all())


def _is_whole(number: str) -> bool:
    return not set(number) & {".", "e"}
