"""What is a row of the atlas, and when has one changed?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np
from pydantic import BaseModel, ConfigDict

from isograd.atlas.compared import Comes


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
        return self.comes == Comes.MISTAKEN.value or any(word in text for text in texts for word in WRONG)


WRONG = ("the program does not run", "(not expected)")


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
    before = {row.key: row for row in old.rows if row.family in new.titles}
    after = {row.key: row for row in new.rows}
    for key in {**before, **after}:
        if key not in after:
            yield f"{key}: is no more; it was {_told(before[key])}"
        elif key not in before:
            yield f"{key}: is new: {_told(after[key])}"
        else:
            yield from _differences(before[key], after[key])


def _told(row: Row) -> str:
    return "; ".join([row.comes, *(f"{name} {side.answer}" for name, side in row.sides.items())])


def _differences(old: Row, new: Row) -> Iterator[str]:
    both = [name for name in old.sides if name in new.sides]
    if len(both) == len(old.sides) and old.comes != new.comes:
        yield f"{new.key}: was {_told(old)}; is {_told(new)}"
        return
    for name in both:
        was, now = old.sides[name], new.sides[name]
        for word in ("answer", "name", "left"):
            one, other = getattr(was, word), getattr(now, word)
            alone = word == "left" and len(new.sides) < len(old.sides)  # nobody to compare with
            if not alone and not same_text(one, other):
                yield f"{new.key}: {name}: was {one}; is {other}"


EXCEPTION = re.compile(r"[A-Za-z.]+(?:Error|Exception)(?=:)")
"""Its words may hold a tensor's number, or an address."""

NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?")
NEAR = 1e-2
"""Within which two numbers that are told in few digits are one: processors differ in the last digits of a sum."""


def same_text(one: str, other: str) -> bool:
    """Whether two texts say the same, but for the last digits of their numbers, and the words of an exception."""
    if one == other:
        return True
    if (raised := EXCEPTION.match(one)) and (also := EXCEPTION.match(other)):
        return raised[0] == also[0]
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    a, b = (np.array([float(number) for number in NUMBER.findall(text)]) for text in (one, other))
    size = np.maximum(np.abs(a), np.abs(b))
    return bool((np.abs(a - b) <= NEAR * size + TINY * size.max(initial=0.0)).all())


TINY = 1e-9
"""Of the largest number of a text: what is left of a difference is rounding."""
