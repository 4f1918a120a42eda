"""Do the pages say what happened, whatever the text in it, and do they stay whole without a network?"""

import base64
import doctest
import hashlib
import importlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from isograd import Report, run
from isograd.assess import Cell
from isograd.children import Answer
from isograd.comparison import Problem
from isograd.judging import Judgement, Verdict
from isograd.report.curves import loss_chart, numbers
from isograd.report.html import html
from isograd.report.markdown import markdown
from isograd.report.overview import MEANING, backends_of
from isograd.thinning import POINTS

MODES = ("free", "resync")
EVIL = "</script><!--<script>alert(1)</script>&\"'|\n`*_[x](y)\x1b[31m $1$ <img src=x onerror=alert(2)>"
ONE_STEP, MANY_STEPS = "article/worked_backprop", "article/gradient_descent"


@pytest.fixture(scope="module")
def report():
    return run([ONE_STEP, MANY_STEPS, "article/worked_backprop_as_published"], backends=["numpy"])


def changed(report, scenario, backend, **cell):
    """The report with a backend's cells of one scenario replaced, or added."""

    def cells(result):
        old = result.cells.get((backend, "free"))
        new = {(backend, m): replace(old, mode=m, **cell) if old else Cell(backend, m, **cell) for m in result.truth}
        return {**result.cells, **new} if result.scenario.name == scenario else result.cells

    return Report(tuple(replace(r, cells=cells(r)) for r in report.results), report.absent, report.request)


def failed(report, text="it crashed", tail="", verdict=Verdict.ERROR):
    judgement, answer = Judgement(verdict, message=text), Answer(error=text, tail=tail)
    return changed(report, MANY_STEPS, "mine", judgement=judgement, answer=answer)


def diverging(report, **judgement):
    cell = report.results[1].cells["numpy", "free"]
    ratios = {name: ratio + 2.0 for name, ratio in cell.judgement.ratios.items()}
    found = {"verdict": Verdict.DIVERGES, "first": "grad/output.weight", "step": 7, "message": "off by much"}
    red = replace(cell.judgement, **found, error_over_bound=2.0, ratios=ratios)
    return changed(report, MANY_STEPS, "numpy", judgement=replace(red, **judgement))


class Page(HTMLParser):
    """What a browser would take from a page: tags with attributes, the text, and the scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.scripts, self.inside = [], [], [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        (self.scripts if self.inside == "script" else self.text).append(data)

    @property
    def said(self):
        return " ".join(" ".join(self.text).split())

    @property
    def curves(self):
        return json.loads(self.scripts[0], parse_constant=pytest.fail)


def cells_of(line):
    return len(re.split(r"(?<!\\)\|", line))


def test_every_scenario_and_every_verdict_is_there(report):
    for text in (Page(html(report)).said, markdown(report)):
        for result in report.results:
            assert result.scenario.name in text
            assert result.scenario.title in text
        for cell in (cell for result in report.results for cell in result.cells.values()):
            assert str(cell.verdict) in text
        assert "All 6 cells are green" in text
        assert np.__version__ in text


def test_a_red_cell_shows_where_it_first_diverges_and_where_it_is_worst(report):
    for text in (Page(html(diverging(report))).said, markdown(diverging(report))):
        assert "2 of 6 cells are not green" in text
        assert "grad/output.weight, step 7" in text
        assert "off by much" in text
        assert re.search(r"[Ww]orst: ", text)


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.UNSUPPORTED])
def test_a_cell_without_a_trace_shows_its_message_and_the_last_that_its_process_said(report, verdict):
    broken = failed(report, "no answer", "line one\nline two", verdict)
    for text in (html(broken), markdown(broken)):
        assert "no answer" in text
        assert "line one\nline two" in text
        assert str(verdict) in text


def test_a_backend_that_failed_in_one_mode_only(report):
    broken = failed(report)
    fine = {key: cell for key, cell in broken.results[1].cells.items() if key != ("mine", "resync")}
    fine["mine", "resync"] = replace(fine["numpy", "resync"], backend="mine")
    results = (broken.results[0], replace(broken.results[1], cells=fine))
    labels = [series["label"] for series in Page(html(replace(broken, results=results))).curves["1-resync"]["series"]]
    assert labels == ["numpy", "mine"]
    assert markdown(replace(broken, results=results))


def test_a_quantity_that_could_not_be_compared_says_why(report):
    old = report.results[1].cells["numpy", "free"].comparison
    comparison = replace(old, measures={}, problems=(Problem("loss", 0, "has shape (3,), expected ()"),))
    found = Judgement(Verdict.DIVERGES, "loss", 0)
    broken = changed(report, MANY_STEPS, "numpy", comparison=comparison, judgement=found)
    for text in (Page(html(broken)).said, markdown(broken)):
        assert "loss: has shape (3,), expected ()" in text


def test_backends_that_were_left_out_are_named(report):
    for page in (html, markdown):
        assert "try pip install it" in page(replace(report, absent={"paper": "try pip install it"}))


def test_findings_are_shown_with_printed_and_computed_numbers(report):
    row = {"scenario": ONE_STEP, "id": "published", "section": "9.9", "quantity": "loss", "step": 0, "index": "[]"}
    row |= {"printed": "0.123", "computed": 0.456, "difference": -0.333, "status": "UNEXPLAINED", "text": "printed"}
    results = (replace(report.results[0], findings=(row,)), *report.results[1:])
    for text in (Page(html(replace(report, results=results))).said, markdown(replace(report, results=results))):
        for said in ("1 finding is not as expected", "0.123", "0.456", "UNEXPLAINED", "hidden-gradient"):
            assert said in text


def test_every_verdict_has_a_sign_of_its_own_and_a_meaning():
    assert list(MEANING) == sorted(Verdict, key=list(MEANING).index)
    assert len({sign for sign, _, _ in MEANING.values()}) == len(Verdict)


def test_an_empty_report_says_that_nothing_was_run():
    for page in (html, markdown):
        assert "Nothing was run" in page(Report((), {}, {}))


def test_what_changes_from_run_to_run_is_left_out(report):
    def later(cell):
        manifest = cell.trace.manifest.model_copy(update={"platform": "another machine", "fingerprint": "0"})
        return replace(cell, answer=replace(cell.answer, seconds=99.0), trace=replace(cell.trace, manifest=manifest))

    results = tuple(replace(r, cells={key: later(cell) for key, cell in r.cells.items()}) for r in report.results)
    again = Report(results, report.absent, {**report.request, "started": 0.0, "seconds": 99.0})
    assert html(report) == html(again)
    assert markdown(report) == markdown(again)


def hostile(report):
    scenario = report.results[1].scenario.model_copy(update={"title": EVIL, "name": f"a/{EVIL}", "section": EVIL})
    result = failed(report, EVIL, EVIL).results[1]
    why = report.results[2].cells["numpy", "free"].account
    why = replace(why, apart=EVIL, place=replace(why.place, first=EVIL), table=((EVIL, 1.0, 2.0),))
    judgement = replace(result.cells["numpy", "free"].judgement, verdict=Verdict.DIVERGES, message=EVIL)
    cell = replace(result.cells["numpy", "free"], backend=EVIL, judgement=judgement, account=why)
    cells = {(EVIL, mode): replace(cell, mode=mode) for mode in MODES}
    note = {"scenario": "", "id": "x", "quantity": EVIL, "text": EVIL, "status": EVIL, "computed": 1.0, "printed": ""}
    result = replace(result, scenario=scenario, cells={**result.cells, **cells}, findings=(note,))
    return Report((report.results[0], result), {EVIL: EVIL}, report.request)


def test_a_cause_is_told_with_its_formula_and_the_numbers(report):
    said, text = Page(html(report)), markdown(report)
    assert "mark" in {tag for tag, _ in said.tags}
    assert "Cause: the derivative of the activation hidden_act is left out; or the gradient of" in said.said
    assert "∂L/∂z = ∂L/∂a · f′(z) is missing usually: a hand-written backward pass" in said.said
    assert "  - ∂L/∂z = ∂L/∂a **· f′(z) is missing** (usually: a hand-written backward pass" in text
    assert "  | `grad/hidden.weight`, step 0 | reference | source | ratio |" in text
    assert "  | \\[0, 1\\] | 594 | 297 | 0.5 |" in text


def test_text_from_outside_stays_text(report):
    harmless, page = Page(html(failed(report, tail="…"))), Page(html(hostile(report)))
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in harmless.tags}
    assert len(page.scripts) == len(harmless.scripts) == 3
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert "\x1b" not in html(hostile(report))
    assert any(series["label"] == EVIL for chart in page.curves.values() for series in chart["series"])


def test_markdown_from_outside_stays_text(report):
    text = markdown(hostile(report))
    assert "\x1b" not in text
    assert not re.search(r"<(script|img|!--)", text)
    assert len(re.findall("<pre>", text)) == len(re.findall("</pre>", text)) == 1
    text = re.sub(r"(?s)<pre>.*</pre>", "", text)  # in it Markdown means nothing
    assert not re.search(r"(?<!\\)\[x\\?\]\(y\)", text)
    tables = [lines for block in text.split("\n\n") if len(lines := block.splitlines()) > 1 and "|---" in lines[1]]
    assert len(tables) > 5
    for lines in tables:
        rows = [line for line in lines if line.lstrip().startswith("|")]
        assert len({cells_of(line) for line in rows}) == 1, rows


def test_the_page_loads_nothing(report):
    page = Page(html(report))
    links = [
        attrs[name] for _, attrs in page.tags for name in ("src", "href", "action", "data", "srcset") if name in attrs
    ]
    assert links
    assert all(link.startswith(("#", "data:,")) for link in links)
    assert not re.search(r"@import|url\(", html(report))
    assert "default-src 'none'" in html(report)


def test_the_policy_knows_the_scripts_of_the_page_and_no_other(report):
    page = Page(html(report))
    policy = next(attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert "script-src 'unsafe" not in policy


def test_markdown_links_lead_to_its_own_headings(report):
    text = markdown(report)
    headings = [line[4:-1] for line in text.splitlines() if line.startswith("## `")]
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) == anchors


def test_curves_have_a_point_a_step_and_none_for_a_single_step(report):
    curves = Page(html(report)).curves
    assert set(curves) == {"1-loss", "1-free", "1-resync"}
    for chart in curves.values():
        assert chart["x"] == list(range(60))
        assert all(len(series["y"]) == 60 for series in chart["series"])
    assert [series["label"] for series in curves["1-loss"]["series"]] == ["reference", "numpy"]
    assert (curves["1-loss"]["log"], curves["1-loss"]["bound"], curves["1-free"]["bound"]) == (True, False, True)


def test_an_error_curve_names_the_quantity_that_is_worst(report):
    chart = Page(html(report)).curves["1-resync"]
    ratios = report.results[1].cells["numpy", "resync"].judgement.ratios
    for row in (0, 10, 59):
        name = chart["quantities"][chart["series"][0]["of"][row]]
        assert chart["series"][0]["y"][row] == pytest.approx(ratios[name][row], rel=1e-2)
        assert ratios[name][row] == max(ratio[row] for ratio in ratios.values())


def test_what_is_not_finite_is_null_in_the_curves_and_said_beside_them(report):
    cell = report.results[1].cells["numpy", "free"]
    loss = cell.trace.columns["loss"].copy()
    loss[3:] = np.nan
    ratios = {**cell.judgement.ratios, "loss": np.where(np.isnan(loss), np.inf, 0.0)}
    trace = replace(cell.trace, columns={**cell.trace.columns, "loss": loss})
    broken = changed(report, MANY_STEPS, "numpy", trace=trace, judgement=replace(cell.judgement, ratios=ratios))
    page = Page(html(broken))
    for name in ("1-loss", "1-free"):
        assert [y is None for y in page.curves[name]["series"][-1]["y"]] == [False] * 3 + [True] * 57
    assert "numpy is not finite at 57 of 60 steps, the first of them 3" in page.said
    assert not re.search(r"[:,\[](NaN|-?Infinity|inf|nan)\b", page.scripts[0])


def test_a_long_run_is_drawn_with_few_points_and_says_so(report):
    result = report.results[1]
    rows = report.losses[(report.losses["scenario"] == MANY_STEPS) & (report.losses["mode"] == "free")]
    long = rows.iloc[np.arange(30_000) % 60].assign(step=np.arange(30_000))
    long.iloc[4_321, long.columns.get_loc("numpy")] = 1e6
    chart = loss_chart(result, "free", long, backends_of(report))
    assert len(chart["x"]) == len(chart["series"][0]["y"]) <= POINTS
    assert chart["series"][1]["y"][chart["x"].index(4_321)] == 1e6
    assert "of 30,000 steps are drawn" in chart["drawn"]


def test_numbers_for_json():
    assert numbers(np.array([0.1234567, np.nan, np.inf, -np.inf, 0.0]), 3) == [0.123, None, None, None, 0.0]


@pytest.mark.parametrize("module", ["page", "markdown", "section"])
def test_examples(module):
    outcome = doctest.testmod(importlib.import_module(f"isograd.report.{module}"))
    assert outcome.attempted
    assert not outcome.failed
