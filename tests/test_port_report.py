"""Do a port's pages and tables say what happened, whatever the text in it and however large it is?"""

from __future__ import annotations

import doctest
import importlib
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isograd.comparison import compare_traces
from isograd.judging import Judgement, Verdict, judge
from isograd.ports.pairing import Pairing
from isograd.ports.request import Port, Side
from isograd.ports.result import RULES, Cell, Result
from isograd.ports.settings import Different
from isograd.report.ports import Checked
from isograd.report.ports.html import html
from isograd.report.ports.markdown import markdown
from isograd.report.ports.modules import module_tree
from isograd.report.ports.tables import LOSSES
from isograd.structure import Call, OptimizerOf, Structure, Unit
from isograd.trace import Manifest, Trace
from tests.test_report_pages import EVIL, Page, cells_of

STEPS, UNIT = 3, 1e-8


def columns(names: list[str]) -> dict[str, np.ndarray]:
    """A truth: every quantity of these modules."""
    rng = np.random.default_rng(0)
    out = {"lr": np.full(STEPS, 0.1)}
    out |= {f"forward/{name}": rng.normal(size=(STEPS, 2, 3)) for name in names}
    out |= {"loss": np.array([3.0, 2.0, 1.0])}
    out |= {f"{kind}/{name}.weight": rng.normal(size=(STEPS, 3, 2)) for kind in ("grad", "weight") for name in names}
    return out


def cell_of(side: str, stage: str, truth: dict[str, np.ndarray], off: dict[str, float], names: list[str]) -> Cell:
    """A cell whose quantities are off by so much from the second step on, and all others by half a bound."""
    there = {name: column + 3 * UNIT * np.sign(column) for name, column in truth.items() if name != "lr"}
    there = {"lr": truth["lr"]} | there
    for name, by in off.items():
        there[name] = there[name].copy()
        there[name][1:] += by
    envelope = {name: np.full_like(column, UNIT) for name, column in truth.items()}
    manifest = {"scenario": "p", "fingerprint": "", "dtype": "float64", "mode": "resync", "steps": STEPS}
    traces = [Trace(of, np.arange(STEPS), Manifest(backend=side, **manifest)) for of in (there, truth)]
    comparison = compare_traces(*traces, envelope)
    return Cell(side, stage, "float64", judge(comparison, "float64"), comparison)


def structure(names: list[str], framework: str = "Frame") -> Structure:
    units = tuple(Unit(name=name, cls="Linear", kind="linear", params={"weight": (3, 2)}) for name in names)
    calls = tuple(Call(name=name, outputs=((2, 3),)) for name in names)
    optimizers = {"": OptimizerOf(kind="sgd", settings={"lr": 0.1})}
    return Structure(
        framework=framework, version="1.0", dtype="float32", units=units, calls=calls, optimizers=optimizers
    )


def checked_of(
    names: list[str], off: dict[str, float], cause: str = "", labels: tuple[str, str] = ("old", "new")
) -> Checked:
    """An origin, and one port that is off so far from it."""
    truth = columns(names)
    origin, port = (
        {stage: cell_of(label, stage, truth, by, names) for stage in stages}
        for label, by, stages in ((labels[0], {}, ("resync", "free")), (labels[1], off, (RULES, "resync", "free")))
    )
    params = {f"n.{name}.weight": f"{name}.weight" for name in names}
    pairing = Pairing({f"n.{name}": name for name in names}, params, (), "order", (), ())
    settings = (Different(names[0], f"n.{names[0]}", "epsilon", 1e-5, 1e-3),) if off else ()
    results = (
        Result(labels[0], structure(names), None, (), origin),
        Result(labels[1], structure([f"n.{name}" for name in names], "Other"), pairing, settings, port, cause),
    )
    sides = tuple(Side(label, Path("port.py"), label) for label in labels)
    return Checked(Port("mine", sides, Path("port.py")), structure(names), results, STEPS)


NAMES = ["first", "body.a", "body.b", "last"]


@pytest.fixture(scope="module")
def green() -> Checked:
    return checked_of(NAMES, {})


@pytest.fixture(scope="module")
def red() -> Checked:
    return checked_of(NAMES, {"grad/body.b.weight": 0.5}, "body.b: epsilon is 0.001 there, 1e-05 here")


@pytest.fixture(scope="module")
def broken(green: Checked) -> Checked:
    cell = Cell("new", "building", "", Judgement(Verdict.ERROR, message="exit code 7"), tail="last\nwords")
    return replace(green, results=(green.results[0], Result("new", cells={"building": cell})))


# ---------------------------------------------------------------- what it says


def test_a_green_page_says_so_and_why(green: Checked) -> None:
    for text in (Page(html(green)).said, markdown(green)):
        assert "new trains as old does" in text
        assert "he largest difference is 0.5 of what rounding may do here" in text
        assert text.count("EQUIVALENT") >= 5
        assert "Everything is within its bound" in text


def test_a_red_page_says_what_decides_with_both_values_and_the_cause(red: Checked) -> None:
    cell = red.results[1].cells[RULES]
    assert (cell.judgement.first, cell.judgement.step) == ("grad/body.b.weight", 1)
    of = cell.comparison.scaled["grad/body.b.weight"]
    for text in (Page(html(red)).said, markdown(red)):
        assert "new does not train as old does" in text
        assert "grad/body.b.weight, step 1" in text
        assert f"{of.other[1]:.9g}" in text
        assert f"{of.value[1]:.9g}" in re.sub(r"(?<=\d) (?=\d)", "", text)  # digits that are not the truth's are marked
        assert re.search(r"Cause:(\*\*)? body.b: epsilon is 0.001 there, 1e-05 here", text)
        assert "n.body.b.weight" in text


def test_a_side_that_fails_says_its_last_words(broken: Checked) -> None:
    for text in (html(broken), markdown(broken)):
        assert "new could not be run" in text
        assert "exit code 7" in text
        assert "last\nwords" in text


def test_an_origin_that_fails_leaves_nothing_to_compare(broken: Checked) -> None:
    alone = replace(broken, origin=None, results=(replace(broken.results[1], side="old"),), steps=0)
    for text in (Page(html(alone)).said, markdown(alone)):
        assert "old could not be run" in text
    assert (len(alone.losses), len(alone.weights), len(alone.quantities)) == (0, 0, 0)


def test_parameters_without_a_counterpart_are_named(green: Checked) -> None:
    paired = replace(green.results[1].pairing, missing=("body.c",), extra=("other.c",))
    cell = Cell("new", "pairing", "", Judgement(Verdict.DIVERGES, message="without a counterpart", structural=True))
    lone = replace(green, results=(replace(green.results[1], pairing=paired, cells={"pairing": cell}),))
    for text in (Page(html(lone)).said, markdown(lone)):
        assert "body.c" in text
        assert "other.c" in text


def test_what_differs_by_definition_is_said(green: Checked) -> None:
    cells = dict(green.results[1].cells)
    judgement = replace(cells[RULES].judgement, verdict=Verdict.EXPECTED, message="it is over n there")
    cells[RULES] = replace(cells[RULES], judgement=judgement)
    told = replace(green, results=(green.results[0], replace(green.results[1], cells=cells)))
    for text in (Page(html(told)).said, markdown(told)):
        assert "EXPECTED" in text
        assert "it is over n there" in text


# ---------------------------------------------------------------- tables and files


def test_losses_have_a_row_a_stage_and_step(red: Checked) -> None:
    losses = red.losses
    assert list(losses) == [*LOSSES, "loss_old", "loss_new", "largest_difference"]
    assert len(losses) == 3 * STEPS
    free = losses[losses.stage == "free"]
    np.testing.assert_array_equal(free.truth, [3.0, 2.0, 1.0])
    np.testing.assert_allclose(free.largest_difference, 3 * UNIT, rtol=1e-6)
    assert losses[losses.stage == RULES].loss_old.isna().all()


def test_a_side_may_be_called_as_a_column_is() -> None:
    losses = checked_of(NAMES, {}, labels=("truth", "step")).losses
    np.testing.assert_array_equal(losses[losses.stage == "free"].step, range(STEPS))
    assert {"loss_truth", "loss_step"} <= set(losses)


def test_weights_have_a_row_a_side_stage_parameter_and_step() -> None:
    weights = checked_of(NAMES, {"weight/last.weight": 1e-3}).weights
    assert len(weights) == 5 * len(NAMES) * STEPS
    row = weights[(weights.side == "new") & (weights.parameter == "last.weight")].iloc[1]
    assert row.largest_difference == pytest.approx(1e-3, rel=1e-4)
    assert row.bound == pytest.approx(6 * UNIT)
    assert row.error_over_bound == pytest.approx(row.largest_difference / row.bound)


def test_the_folder_has_everything(red: Checked, tmp_path: Path) -> None:
    folder = red.write(tmp_path / "out")
    files = "README.md index.html losses.csv map.json quantities.parquet report.txt run.json summary.csv weights.csv"
    assert sorted(path.name for path in folder.iterdir()) == files.split()
    for name in ("summary", "losses", "weights"):
        assert len(pd.read_csv(folder / f"{name}.csv")) == len(getattr(red, name))
    assert red.write(folder) == folder


def test_nothing_is_half_written(red: Checked, green: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = green.write(tmp_path / "out")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fails(checked: Checked) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr("isograd.report.ports.html.html", fails)
    with pytest.raises(RuntimeError, match="no page"):
        red.write(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


# ---------------------------------------------------------------- modules


def many() -> list[str]:
    parts = ["query", "key", "value", "out", "norm"]
    return ["embed", *(f"encoder.layer.{i}.attention.{part}" for i in range(20) for part in parts), "head"]


def test_of_many_modules_only_what_is_outside_is_unfolded() -> None:
    page = html(checked_of(many(), {"forward/encoder.layer.7.attention.key": 1.0}))
    assert len(page) < 250_000
    found = re.findall(r'<details class="branch"( open)?><summary>.*?<span class="name">([^<]*)</span>', page)
    assert [name for is_open, name in found if is_open] == ["encoder", "encoder.layer.7"]
    assert len(found) == 21


def test_a_green_page_is_folded(green: Checked) -> None:
    tail = html(green).partition('id="modules"')[2]
    assert "<details><summary>" in tail
    assert "<details open>" not in tail


def test_modules_are_in_the_order_of_their_calls(red: Checked) -> None:
    tree = module_tree(red)
    assert tree is not None
    [part] = tree["parts"]
    assert [row["name"] for row in part["rows"]] == [*NAMES, "lr", "loss"]
    [wrong] = [row for row in part["rows"] if not row["green"]]
    assert (wrong["name"], wrong["others"]) == ("body.b", ["new: n.body.b"])
    assert [bool(cell and cell["here"]) for cell in wrong["cells"]] == [False, False, True, True, True]


def test_examples() -> None:
    outcome = doctest.testmod(importlib.import_module("isograd.report.ports.modules"))
    assert outcome.attempted
    assert not outcome.failed


# ---------------------------------------------------------------- pages


def test_error_curves_go_through_each_step(red: Checked) -> None:
    curves = Page(html(red)).curves
    chart = curves["error-0"]
    assert chart["parts"] == ["forward", "loss", "grad", "weight"]
    assert len(chart["x"]) == STEPS * 4
    [series] = chart["series"]
    first = next(at for at, y in enumerate(series["y"]) if y > 1)
    assert chart["x"][first] == 1.5
    assert chart["quantities"][series["of"][first]] == "grad/body.b.weight"
    [loss] = [chart for name, chart in curves.items() if name.startswith("loss")]
    assert [series["label"] for series in loss["series"]] == ["old in float64", "old", "new"]


def hostile(checked: Checked) -> Checked:
    [first, result] = checked.results
    setting = Different(EVIL, EVIL, EVIL, EVIL, EVIL)
    pairing = replace(result.pairing, params={EVIL: "first.weight"}, missing=(EVIL,), units={EVIL: "first"})
    judgement = replace(result.cells[RULES].judgement, message=EVIL)
    cells = {**result.cells, RULES: replace(result.cells[RULES], side=EVIL, judgement=judgement, tail=EVIL)}
    result = replace(result, side=EVIL, settings=(setting,), pairing=pairing, cause=EVIL, cells=cells)
    sides = (checked.port.sides[0], Side(EVIL, Path("port.py"), "f"))
    return replace(checked, results=(first, result), port=replace(checked.port, name=EVIL, sides=sides))


def test_text_from_outside_stays_text(red: Checked, broken: Checked) -> None:
    known = {tag for of in (red, broken) for tag, _ in Page(html(of)).tags}
    page = Page(html(hostile(red)))
    assert {tag for tag, _ in page.tags} <= known
    assert len(page.scripts) == 3
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert "\x1b" not in html(hostile(red))


def test_markdown_from_outside_stays_text(red: Checked) -> None:
    text = markdown(hostile(red))
    assert "\x1b" not in text
    assert not re.search(r"<(script|img|!--)", text)
    text = re.sub(r"(?s)<pre>.*</pre>", "", text)  # in it Markdown means nothing
    assert not re.search(r"(?<!\\)\[x\\?\]\(y\)", text)
    tables = [lines for block in text.split("\n\n") if len(lines := block.splitlines()) > 1 and "|---" in lines[1]]
    assert len(tables) > 5
    for lines in tables:
        rows = [line for line in lines if line.startswith("|")]
        assert len({cells_of(line) for line in rows}) == 1, rows


def test_no_file_steers_a_terminal(red: Checked, tmp_path: Path) -> None:
    folder = hostile(red).write(tmp_path / "out")
    for path in folder.iterdir():
        assert b"\x1b" not in path.read_bytes() or path.suffix == ".parquet", path.name


def test_a_page_loads_nothing_and_every_link_leads_somewhere(red: Checked, broken: Checked) -> None:
    for page in (Page(html(red)), Page(html(broken))):
        names = ("src", "href", "action", "data", "srcset")
        links = [attrs[name] for _, attrs in page.tags for name in names if name in attrs]
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(set(ids)) == len(ids)
        assert all(link == "data:," or link.removeprefix("#") in ids for link in links)


def test_headings_are_in_order_and_headers_have_a_scope(red: Checked, green: Checked, broken: Checked) -> None:
    for page in (Page(html(of)) for of in (red, green, broken)):
        levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
        assert levels[0] == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert levels.count(1) == 1
        assert all(attrs.get("scope") in ("col", "row") for tag, attrs in page.tags if tag == "th")
