"""Which questions does the atlas ask of every framework? Read from ``conventions/*.toml``, a file for each family."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from isograd.atlas.operations import Operation

CONVENTIONS = Path(__file__).parent / "conventions"


class Question(BaseModel):
    """One question, as a program in each framework whose value is the answer.

    Attributes:
        operation: what it is about, as we name it.
        asks: what is asked, in a few words.
        both: the program, where it is the same in every framework.
        program: by framework, where it is not.
        instead: by framework, the program that gives another framework's answer there, where its own does not.
        refuses: frameworks that refuse to answer; that too is an answer, but never an accident.
        docs: by framework, what its documentation says otherwise, and where.
        note: what else a reader should know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    operation: str = Field(min_length=1)
    asks: str = Field(min_length=1)
    both: str = ""
    program: dict[str, str] = {}
    instead: dict[str, str] = {}
    refuses: frozenset[str] = frozenset()
    docs: dict[str, str] = {}
    note: str = ""

    @model_validator(mode="after")
    def _is_asked(self) -> Question:
        if not self.both and not self.program:
            raise ValueError(f"{self.operation}, {self.asks}: no program")
        return self

    def of(self, framework: str) -> str:
        """The program in a framework; "" where there is none."""
        return self.program.get(framework, self.both).strip()


class Family(BaseModel):
    """A page of the atlas.

    Attributes:
        title: its name.
        operation: operations of ours, whose settings are solved for.
        question: what else is asked, by programs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    operation: tuple[Operation, ...] = ()
    question: tuple[Question, ...] = ()


@cache
def families() -> Mapping[str, Family]:
    """All pages, by the names of their files."""
    paths = sorted(CONVENTIONS.glob("*.toml"))
    return {path.stem: Family.model_validate(tomllib.loads(path.read_text("utf-8"))) for path in paths}
