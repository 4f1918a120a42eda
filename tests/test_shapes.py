"""Does a run end in a report, with every verdict, whatever shapes, dtypes and names a backend returns?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd import explanation
from isograd.explanation import Account
from isograd.judging import Verdict
from tests.soak import shapes
from tests.soak.shapes import WRONG, Case

pytestmark = pytest.mark.nightly

EVERYTHING = list(shapes.cases())
FEW = 15  # of a thousand; all of them are tried in `make soak`


@pytest.mark.parametrize("case", EVERYTHING[:: len(EVERYTHING) // FEW], ids=str)
def test_a_wrong_return_ends_in_a_report_with_every_verdict(case: Case, tmp_path: Path) -> None:
    assert shapes.complaints(case, tmp_path, written=case.wrong == "(1, 1)") == []


def test_several_wrong_returns_at_once_likewise(tmp_path: Path) -> None:
    some = shapes.cases(rng=np.random.Generator(np.random.PCG64(4)))
    for case, _ in zip(some, range(4), strict=False):
        assert shapes.complaints(case, tmp_path) == [], case


def account(case: Case, folder: Path) -> Account:
    found = shapes.assessed(case, folder).cells["wrong", "resync"].account
    assert found is not None
    return found


# A row: the quantity, what is done to it, and what must be said.
SAID: list[tuple[str, str, str]] = [
    ("loss", "of one element", "loss has shape (1,), expected (): it has an axis too many, and its numbers are right"),
    ("loss", "(1, 1)", "loss has shape (1, 1), expected (): it has 2 axes too many, and its numbers are right"),
    ("forward/act", "an axis between", "it has an axis too many, and its numbers are right"),
    (
        "forward/act",
        "scaled, with an axis after",
        "forward/act has shape (3, 3, 1), expected (3, 3): it has an axis too ",
    ),
    (
        "grad/b.weight",
        "flat",
        "grad/b.weight has shape (6,), expected (2, 3): it is reshaped, and its numbers are right",
    ),
    ("grad/b.bias", "a column less", "grad/b.bias has shape (1,), expected (2,): it has 1 where axis 0 should have 2"),
    ("grad/b.weight", "twice as wide", "it has 6 where axis 1 should have 3"),
    ("forward/b", "without its first axis", "forward/b has shape (2,), expected (3, 2)"),
    ("lr", "(1, 1)", "lr has shape (1, 1), expected (): it has 2 axes too many, and its numbers are right"),
    ("loss", "beside a gradient of nothing", "grad/nothing.weight is no quantity of this scenario"),
]


@pytest.mark.parametrize(("quantity", "wrong", "words"), SAID, ids=lambda value: str(value))
def test_what_has_another_form_is_told_so(quantity: str, wrong: str, words: str, tmp_path: Path) -> None:
    found = account(Case("square", (quantity,), wrong), tmp_path)
    assert found.causes == ()
    assert words in found.sentence
    assert found.sentence.endswith("right") == ("numbers are right" in words)


def test_a_weight_that_is_told_transposed_has_its_cause(tmp_path: Path) -> None:
    assert account(Case("square", ("grad/b.weight", "weight/b.weight"), "transposed"), tmp_path).ids == (
        "weight_transposed(b)"
    )
    alone = account(Case("square", ("grad/b.weight",), "transposed"), tmp_path)
    assert alone.sentence == (
        "grad/b.weight has shape (3, 2), expected (2, 3): it is transposed, and its numbers are right"
    )


def test_a_right_shape_is_no_complaint(tmp_path: Path) -> None:
    for mode in ("free", "resync"):
        assert shapes.assessed(Case("square", (), "NaN"), tmp_path).cells["wrong", mode].verdict is Verdict.IDENTICAL


def test_a_search_that_fails_takes_no_verdict_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("square", ("loss",), "scaled, with an axis after")

    def fail(*arguments: Any) -> Any:
        raise MemoryError("no more")

    monkeypatch.setattr(explanation, "Search", fail)
    with pytest.raises(MemoryError):  # in this suite it is seen
        shapes.assessed(case, tmp_path)
    monkeypatch.setattr(explanation, "LOUD", False)
    cell = shapes.assessed(case, tmp_path).cells["wrong", "resync"]
    assert (cell.verdict, cell.judgement.first) == (Verdict.DIVERGES, "loss")
    assert cell.account is not None
    assert cell.account.sentence == (
        "the search for a cause failed: MemoryError: no more; please report this, with the trace"
    )
    assert cell.account.place.first == "loss"
    assert shapes.complaints(case, tmp_path) != []


def test_every_way_to_be_wrong_is_tried() -> None:
    assert {case.wrong for case in EVERYTHING} == set(WRONG)
