"""Does the atlas find what a framework has, and say when that is other than it was?"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from isograd.atlas import build
from isograd.atlas.asking import Asked
from isograd.atlas.compared import Comes, compared, text_of
from isograd.atlas.draws import drawn
from isograd.atlas.laws import law_of
from isograd.atlas.operations import ALTERNATIVE, Operation, Settings, numbers_of, probes
from isograd.atlas.pages import read, table, write
from isograd.atlas.programs import answer, called, spelled
from isograd.atlas.questions import families
from isograd.atlas.rows import RULE, Atlas, Row, Side, changes, same_text
from isograd.atlas.solving import solve
from isograd.backends.numpy_manual import NumpyBackend
from isograd.cli import app
from isograd.errors import BackendError, IsogradError
from isograd.ops import LAYERS, OPTIMIZERS

# ---------------------------------------------------------------- programs


class Plain(NumpyBackend):
    """NumPy as a framework."""

    def programs(self) -> dict[str, Any]:
        return {"plain": lambda value: value, "t": np.array, "draw": drawn}


def test_a_programs_last_line_is_its_answer() -> None:
    assert answer(Plain(), "x = t([1.0, 2.0])\nx * 2") == {"value": {"array": [2.0, 4.0], "shape": [2]}}
    assert answer(Plain(), "(1, None, float('nan'), {'a': 'b'})") == {"value": [1, None, "nan", {"a": "b"}]}


def test_an_array_is_told_as_its_dtype_has_it() -> None:
    assert answer(Plain(), "t([True, False])") == {"value": {"array": [True, False], "shape": [2]}}
    assert answer(Plain(), "t([2**60 + 1])") == {"value": {"array": [2**60 + 1], "shape": [1]}}
    assert answer(Plain(), "t([1 + 2j, 3j])") == {"value": {"array": [1.0, 2.0, 0.0, 3.0], "shape": [2, 2]}}


def test_what_a_framework_refuses_is_an_answer() -> None:
    assert answer(Plain(), "t([1.0])[3]") == {"raises": "IndexError: index 3 is out of bounds for axis 0 with size 1"}


@pytest.mark.parametrize("program", ["x = 1", "t([1.0]) +", "torrch", "import no_such_module\n1"])
def test_what_is_wrong_with_a_program_is_no_answer(program: str) -> None:
    with pytest.raises((SyntaxError, NameError, ImportError)):
        answer(Plain(), program)


def test_what_is_drawn_depends_on_shape_and_seed_alone() -> None:
    np.testing.assert_array_equal(drawn(2, 3), drawn(2, 3))
    assert not np.array_equal(drawn(2, 3), drawn(2, 3, seed=1))


def test_a_program_is_told_with_the_settings_in_place() -> None:
    norm = LAYERS["batch_norm"](kind="batch_norm", name="it", momentum=0.8, epsilon=0.1)
    program = "nn.BatchNorm2d(3, eps=op.epsilon, momentum=1 - op.momentum, track=op.running)"
    assert spelled(program, norm) == "nn.BatchNorm2d(3, eps=0.1, momentum=0.2, track=True)"
    assert spelled(program, norm, usual={"running", "epsilon"}) == "nn.BatchNorm2d(3, momentum=0.2)"
    assert called(program, norm) == {"epsilon": "eps=0.1", "momentum": "momentum=0.2", "running": "track=True"}
    adam = OPTIMIZERS["adam"](kind="adam", lr=0.1)
    assert called("Adam(p, betas=(op.beta1, op.beta2), b=op.beta1)", adam) == {
        "beta1": "b=0.9",
        "beta2": "betas=(0.9, 0.999)",
    }


# ---------------------------------------------------------------- answers


def array(*values: float | str, shape: list[int] | None = None) -> dict[str, Any]:
    return {"value": {"array": list(values), "shape": shape or [len(values)]}}


@pytest.mark.parametrize(
    ("first", "second", "comes"),
    [
        (array(1.0, 2.0), array(1.0, 2.0 + 1e-15), Comes.SAME),
        (array(1.0, 2.0), array(1.0, 2.0 + 1e-7), Comes.NARROW),
        (array(1.0, 2.0), array(1.0, 2.0 + 1e-5), Comes.DIFFERS),
        (array(0.0, 1e6), array(1e-9, 1e6), Comes.SAME),
        (array("nan", 1.0), array("nan", 1.0), Comes.SAME),
        (array("nan", 1.0), array(0.0, 1.0), Comes.DIFFERS),
        (array("inf"), array("-inf"), Comes.DIFFERS),
        (array(1.0, 2.0), array(1.0, 2.0, shape=[1, 2]), Comes.DIFFERS),
        ({"value": [1, 2]}, {"value": [1, 2.5]}, Comes.DIFFERS),
        ({"value": {"a": 1}}, {"value": {"b": 1}}, Comes.DIFFERS),
        ({"value": None}, {"value": 0}, Comes.DIFFERS),
        ({"value": True}, {"value": 1}, Comes.DIFFERS),
        (array(2**60), array(2**60 + 1), Comes.DIFFERS),
        ({"value": True}, {"value": True}, Comes.SAME),
        ({"value": "float32"}, {"value": "int64"}, Comes.DIFFERS),
        ({"raises": "ValueError: no"}, {"value": 1}, Comes.REFUSED),
        ({"raises": "ValueError: no"}, {"raises": "TypeError: not so"}, Comes.SAME),
    ],
)
def test_two_answers_come_to_a_word(first: dict[str, Any], second: dict[str, Any], comes: Comes) -> None:
    assert compared(first, second).comes is compared(second, first).comes is comes


def test_an_answer_is_told_in_few_words() -> None:
    assert text_of(array(*map(float, range(20)), shape=[4, 5])) == "[0, 1, 2, 3, 4, 5, 6, 7, …] of shape (4, 5)"
    assert text_of({"value": {"law": "uniform", "scale": 0.25, "error": 0.001}}) == "uniform, 0.25 ± 0.001"
    assert text_of({"raises": "ValueError: no"}) == "ValueError: no"


# ---------------------------------------------------------------- laws


def uniform(n: int) -> np.ndarray[Any, Any]:
    return np.random.Generator(np.random.PCG64(3)).uniform(-0.3, 0.3, n)


def cut(n: int) -> np.ndarray[Any, Any]:
    x = drawn(2 * n)
    return 0.7 * x[np.abs(x) < 2][:n]


@pytest.mark.parametrize(
    ("values", "law", "scale"),
    [
        (uniform(20_000), "uniform", 0.3),
        (0.02 * drawn(20_000), "normal", 0.02),
        (cut(20_000), "normal, cut at 2 deviations", 0.7),
        (np.full(10, 0.25), "constant", 0.25),
        (np.concatenate([uniform(10_000), drawn(10_000)]), "another", None),
    ],
    ids=["uniform", "normal", "cut", "constant", "mixed"],
)
def test_a_law_is_found_from_its_numbers(values: Any, law: str, scale: float | None) -> None:
    found = law_of(values)
    assert found["law"] == law
    assert scale is None or abs(found["scale"] - scale) <= 5 * found["error"]


def test_two_scales_of_a_law_are_one_within_their_errors() -> None:
    first, second = ({"value": law_of(0.5 * drawn(20_000, seed=seed))} for seed in (1, 2))
    assert compared(first, second).comes is Comes.SAME
    assert compared(first, {"value": law_of(0.55 * drawn(20_000, seed=2))}).comes is Comes.DIFFERS
    assert compared(first, {"value": law_of(uniform(20_000))}).comes is Comes.DIFFERS


# ---------------------------------------------------------------- settings that are solved for


def operation(word: str, kind: str, **settings: Any) -> Operation:
    return Operation.model_validate({"word": word, "kind": kind, "settings": settings})


@pytest.mark.parametrize(
    ("op", "values", "alternative"),
    [
        (operation("layer", "leaky_relu"), {"slope": 0.2}, ""),
        (operation("layer", "softplus"), {"beta": 1.5, "threshold": 10.0}, ""),
        (operation("layer", "hard_sigmoid"), {"slope": 0.1666667}, ""),
        (operation("layer", "batch_norm"), {"momentum": 0.3, "epsilon": 1e-3}, "biased_running_variance"),
        (operation("layer", "batch_norm"), {}, "epsilon_outside_root"),
        (operation("layer", "softmax"), {"axis": -2}, ""),
        (operation("loss", "smooth_l1"), {"beta": 0.5}, ""),
        (operation("loss", "kl"), {"mean": "batch"}, ""),
        (operation("optimizer", "adam", decoupled=False), {"lr": 3e-4, "epsilon": 1e-6, "amsgrad": True}, ""),
        (
            operation("optimizer", "rmsprop", lr=0.01),
            {"smoothing": 0.95, "epsilon": 1e-6},
            "rmsprop_epsilon_inside_root",
        ),
        (operation("schedule", "one_cycle", steps=20), {"end_divisor": 40.0, "rises": 0.25}, ""),
        (operation("schedule", "polynomial", steps=10), {"floor": 1e-4, "power": 2.0}, ""),
    ],
    ids=lambda value: value.kind if isinstance(value, Operation) else None,
)
def test_settings_are_solved_for_from_what_they_give(op: Operation, values: dict[str, Any], alternative: str) -> None:
    there = Settings({**op.open, **values}, alternative)
    found = solve(op, numbers_of(op, there))
    assert found.is_ours
    assert found.settings.alternative == alternative
    numbers = {name for name, value in there.values.items() if isinstance(value, float)}
    for name, value in there.values.items():
        assert found.settings.values[name] == (pytest.approx(value, rel=1e-9) if name in numbers else value), name


def test_a_setting_that_is_kept_in_float32_is_told_as_it_was_written() -> None:
    op = operation("optimizer", "adagrad", lr=0.01, start=0.0)
    found = solve(op, numbers_of(op, Settings({**op.open, "epsilon": float(np.float32(1e-6))})))
    assert found.settings.values["epsilon"] == 1e-6
    assert found.narrow == {"epsilon"}


def test_what_no_setting_gives_is_not_ours() -> None:
    op = operation("layer", "gelu")
    came = numbers_of(op, Settings(op.open))
    wrong = [{name: value * 1.01 if "tried" in name else value for name, value in of.items()} for of in came]
    found = solve(op, wrong)
    assert not found.is_ours
    assert "tried" in found.where


def test_a_setting_that_takes_no_other_value_here_is_not_said_to_be_silent() -> None:
    op = Operation(word="layer", kind="upsample", settings={"mode": "nearest", "size": [5, 7]}, sample=(2, 3, 4))
    assert "scale" not in solve(op, numbers_of(op, Settings(op.open))).silent


def test_what_shows_nothing_is_said_to_be_silent() -> None:
    op = operation("optimizer", "sgd")
    assert "nesterov" in solve(op, numbers_of(op, Settings(op.open))).silent


# ---------------------------------------------------------------- the pages' own files


@pytest.mark.parametrize("name", families())
def test_a_pages_rows_have_names_of_their_own_and_programs_that_can_be_read(name: str) -> None:
    page = families()[name]
    asked = Counter((question.operation, question.asks) for question in page.question)
    assert [question for question, times in asked.items() if times > 1] == []
    for question in page.question:
        for program in [question.both, *question.program.values(), *question.instead.values()]:
            compile(program, "<program>", "exec")
    for op in page.operation:
        settings = set(op.type.model_fields)
        assert probes(op, op.open)
        for program in (*op.bare.values(), *op.told.values()):
            compile(program, "<program>", "eval")
        for program in op.told.values():
            made = {"name": "tried"} if op.word == "layer" else {}
            usual = op.type(**{"kind": op.kind} | made | op.settings | op.open)
            assert set(called(program, usual)) <= settings


# ---------------------------------------------------------------- what was, and what is


def row(
    asks: str = "epsilon", comes: str = "differs", answers: tuple[str, ...] = ("1e-05", "0.001"), **more: Any
) -> Row:
    sides = {name: Side(answer=answer, program="f(x)", **more) for name, answer in zip("ab", answers, strict=False)}
    return Row(family="norms", operation="layer_norm", asks=asks, comes=comes, sides=sides)


def atlas(*rows: Row) -> Atlas:
    return Atlas(versions={"a": "1", "b": "2"}, titles={"norms": "Norms"}, rows=rows)


def test_what_is_as_it_was_is_no_change() -> None:
    assert list(changes(atlas(row()), atlas(row(answers=("1e-05", "0.001000001"))))) == []


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (row(comes="same", answers=("0.001", "0.001")), "was differs; a 1e-05; b 0.001; is same; a 0.001; b 0.001"),
        (row(answers=("1e-05", "0.01")), "b: was 0.001; is 0.01"),
        (row(left="differs by 2"), "a: was ; is differs by 2"),
        (row(name="eps=1e-05"), "a: was ; is eps=1e-05"),
        (row(verdict="DIVERGES"), "a: was ; is DIVERGES"),
        (row(asks="momentum"), "is no more"),
    ],
)
def test_a_row_that_says_something_else_is_told_with_old_and_new(new: Row, said: str) -> None:
    assert any(said in line for line in changes(atlas(row()), atlas(new)))


def test_of_one_framework_alone_its_own_side_is_compared() -> None:
    alone = row(comes="", answers=("1e-05",))
    assert list(changes(atlas(row()), atlas(alone))) == []
    assert list(changes(atlas(row()), atlas(row(comes="", answers=("2e-05",)))))


def test_a_row_that_is_there_for_a_framework_that_is_missing_is_no_change() -> None:
    alone = Atlas(versions={"a": "1"}, titles=atlas().titles, rows=())
    here, there = row("epsilon, by default"), row("epsilon, by default", answers=("(shows nothing)", "1"))
    only_b = row().model_copy(update={"sides": {"b": Side(answer="1")}})
    assert list(changes(atlas(there, only_b), alone)) == []
    assert len(list(changes(atlas(here, row()), alone))) == 2
    assert list(changes(alone, atlas(here))) == []
    assert len(list(changes(alone, atlas(row())))) == 1


def test_by_how_much_what_is_written_instead_differs_is_no_change() -> None:
    assert list(changes(atlas(row(left="differs by 2: loss")), atlas(row(left="differs by 3: grad")))) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("[1, 2.5, 1e-17]", "[1, 2.5, 3e-17]", True),
        ("[1, 2.5]", "[1, 2.6]", False),
        ("1e-05", "1e-06", False),
        ("epsilon=1e-05", "eps=1e-05", False),
        ("ValueError: no tensor_17", "ValueError: no tensor_42", True),
        ("ValueError: no", "TypeError: no", False),
        ("[1, 2.5012]", "[1, 2.5013]", True),
        ("[1, 2.5012]", "[1, 2.5022]", False),
        ("[1000, 3]", "[1001, 3]", False),
        ("uniform, 0.25 ± 0.001", "uniform, 0.258 ± 0.001", True),
        ("uniform, 0.25 ± 0.001", "uniform, 0.262 ± 0.001", False),
    ],
)
def test_numbers_of_a_text_may_differ_in_their_last_digits(one: str, other: str, same: bool) -> None:
    assert same_text(one, other) is same


def test_a_row_that_nobody_expects_is_red() -> None:
    assert not row().is_red
    assert row(comes=Comes.MISTAKEN.value).is_red
    assert row(answers=("ValueError (not expected)", "1")).is_red
    assert row(answers=("refused: ValueError", "1")).is_red
    assert row(left="refused: ValueError").is_red
    assert row(left="one refuses").is_red
    assert row(answers=(RULE, RULE), verdict="DIVERGES").is_red
    assert not row(answers=("another", RULE), verdict="EQUIVALENT").is_red


# ---------------------------------------------------------------- the versions in use

COMMITTED = Path(__file__).parent.parent / "docs" / "atlas" / "atlas.json"


ALWAYS = ("initial", "schedules")
PAGES = [pytest.param(page, marks=[] if page in ALWAYS else pytest.mark.nightly) for page in families()]


@pytest.fixture(scope="module")
def remade(pytestconfig: pytest.Config) -> Atlas:
    return build() if pytestconfig.getoption("--nightly") else build(ALWAYS)


@pytest.mark.parametrize("page", PAGES)
def test_the_committed_atlas_is_what_the_versions_in_use_give(page: str, remade: Atlas) -> None:
    old = read(COMMITTED)
    assert old.versions.keys() >= remade.versions.keys()
    of_page = [atlas.model_copy(update={"rows": atlas.of(page)}) for atlas in (old, remade)]
    assert [row.key for row in of_page[1].red] == []
    assert list(changes(*of_page)) == []


# ---------------------------------------------------------------- written down


def test_an_atlas_is_written_and_read_again(tmp_path: Path) -> None:
    made = atlas(row(instead="f(x,\n  eps=1)", left="same", docs="says | otherwise"), row("<b>momentum", "", ("0.1",)))
    folder = write(made, tmp_path / "atlas")
    assert read(folder / "atlas.json") == made
    frame = pd.read_csv(folder / "atlas.csv")
    assert list(frame.asks) == ["epsilon", "<b>momentum"]
    assert list(frame.columns) == list(table(made).columns)
    page, html = (folder / "norms.md").read_text(), (folder / "index.html").read_text()
    assert "`f(x,; eps=1)`" in page.replace("  ", " ") or "f(x," in page
    assert "says \\| otherwise" in page
    assert "<b>momentum" not in html
    assert "&lt;b&gt;momentum" in html


def test_a_file_that_is_no_atlas_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text(json.dumps({"rows": 3}))
    with pytest.raises(IsogradError, match="expected an atlas"):
        read(tmp_path / "no.json")
    with pytest.raises(IsogradError, match="No such file"):
        read(tmp_path / "none.json")


def test_a_backend_that_the_pages_have_no_programs_for_is_refused() -> None:
    with pytest.raises(BackendError, match="the pages have programs for"):
        build(backends=["numpy"])


class Fatal(Plain):
    """Ends its process where it is told to."""

    def programs(self) -> dict[str, Any]:
        return {**super().programs(), "end": lambda: os._exit(3)}


def test_a_program_that_ends_its_process_costs_one_answer(tmp_path: Path) -> None:
    asked = Asked("tests.test_atlas:Fatal", tmp_path)
    try:
        answers = asked.answers(["1", "end()", "2", "torrch"])
    finally:
        asked.close()
    assert [answer.get("value") for answer in answers] == [1, None, 2, None]
    assert "exit code 3" in answers[1]["raises"]
    assert "NameError" in answers[3]["mistake"]


def test_an_answer_that_does_not_come_in_time_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isograd.atlas.asking.TIMEOUT", 6.0)
    monkeypatch.setattr("isograd.atlas.asking.EACH", 0.0)
    asked = Asked("tests.test_atlas:Plain", tmp_path)
    try:
        answers = asked.answers(["1", "import time\ntime.sleep(60)"])
    finally:
        asked.close()
    assert answers[0] == {"value": 1}
    assert "no answer within 6 s" in answers[1]["mistake"]


def test_an_operation_is_told_in_the_frameworks_that_build_it() -> None:
    with pytest.raises(ValueError, match="same frameworks"):
        Operation(word="loss", kind="mse", bare={"a": "f"}, told={})


def test_a_page_that_there_is_not_is_refused() -> None:
    result = CliRunner().invoke(app, ["atlas", "no_such_page"])
    assert isinstance(result.exception, IsogradError)
    assert "expected one of" in str(result.exception)
    assert ALTERNATIVE not in str(result.exception)
