"""Do all backends compute what the article says, where it is right, and what is right, where it is not?"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isograd import Report, run
from isograd.assess import Cell, ScenarioResult
from isograd.backend import backend_class
from isograd.contract import modules_of
from isograd.judging import FACTOR
from isograd.loading import catalogue_names
from isograd.quantities import quantity_shapes
from isograd.trace import MODES, Mode
from tests.conftest import REFERENCE, Catalogue

AS_PUBLISHED = "article/worked_backprop_as_published"
SUM = "article/sum_regression"


ARTICLE = [name for name in catalogue_names() if name.startswith("article/")]


@pytest.fixture(scope="module")
def report(catalogue: Catalogue) -> Report:
    return catalogue.report


def result_of(report: Report, scenario: str) -> ScenarioResult:
    return next(result for result in report.results if result.scenario.name == scenario)


def cell_of(report: Report, scenario: str, backend: str, mode: Mode = "free") -> Cell:
    return result_of(report, scenario).cells[backend, mode]


def column_of(report: Report, scenario: str, backend: str, quantity: str, mode: Mode = "free") -> Any:
    trace = cell_of(report, scenario, backend, mode).trace
    assert trace is not None
    return trace.columns[quantity]


# ---------------------------------------------------------------- every scenario


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", ARTICLE)
def test_every_scenario_is_as_it_should_be(report: Report, scenario: str, isograd_backend: str, mode: Mode) -> None:
    cell = cell_of(report, scenario, isograd_backend, mode)
    expected = {"EXPECTED"} if scenario == AS_PUBLISHED else {"IDENTICAL", "EQUIVALENT"}
    assert str(cell.verdict) in expected, cell.judgement.message


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", ARTICLE)
def test_every_quantity_of_every_step_was_recorded(
    report: Report, scenario: str, isograd_backend: str, mode: Mode
) -> None:
    result, cell = result_of(report, scenario), cell_of(report, scenario, isograd_backend, mode)
    assert cell.trace is not None
    assert list(cell.trace.columns) == list(quantity_shapes(result.scenario))
    assert cell.trace.steps.tolist() == list(range(result.inputs.steps))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", ARTICLE)
def test_the_reference_backend_is_identical_to_itself(report: Report, scenario: str, mode: Mode) -> None:
    verdict = cell_of(report, scenario, REFERENCE, mode).verdict
    assert verdict == ("EXPECTED" if scenario == AS_PUBLISHED else "IDENTICAL")


def test_nothing_is_red(report: Report) -> None:
    assert report.green
    assert set(report.findings.status) == {"as printed", "cut off", "differs", "holds", "noted"}


def test_no_framework_came_into_this_process(catalogue: Catalogue, isograd_backend: str) -> None:
    cls = backend_class(isograd_backend)
    of_harness = {"numpy"}  # the reference's own, which everything after a trace is made of
    assert not (modules_of(cls.distribution) - of_harness) & catalogue.imported


# ---------------------------------------------------------------- the worked numbers

Z_HIDDEN = [[8.2, 13.2, 5.2, 9.2]]
H = [[16, 26, 10, 18]]
W_OUTPUT_AFTER = [[-9.88, -16.68, -5.8, -11.24], [-3.96, -8.06, -3.1, -4.58]]
W_HIDDEN_AFTER = [[-2.96, -3.94], [-0.72, -1.08], [-1.72, -3.08], [-0.96, -4.94]]

FORWARD = {
    "forward/hidden": Z_HIDDEN,
    "forward/hidden_act": [[0.99972542, 0.99999815, 0.99451370, 0.99989897]],
    "forward/output": [[4.19413624, 2.19962439]],
    "forward/output_act": [[0.98514037, 0.90021578]],
}
BACKPROP = {
    "forward/hidden": [[8, 13, 5, 9]],
    "forward/hidden_act": H,
    "forward/output": [[70, 34]],
    "loss": (68**2 + 31**2) / 2,
    "backward/output": [[68, 31]],
    "backward/hidden_act": [[99, 68, 68, 99]],
    "backward/hidden": [[198, 136, 136, 198]],
    "grad/output.weight": [[1088, 1768, 680, 1224], [496, 806, 310, 558]],
    "grad/hidden.weight": [[396, 594], [272, 408], [272, 408], [396, 594]],
    "weight/hidden.weight": W_HIDDEN_AFTER,
    "weight/output.weight": W_OUTPUT_AFTER,
}


@pytest.mark.parametrize(("quantity", "expected"), FORWARD.items())
def test_forward_pass_and_exercise(report: Report, isograd_backend: str, quantity: str, expected: Any) -> None:
    got = column_of(report, "article/worked_forward", isograd_backend, quantity)
    np.testing.assert_allclose(got[0], expected, rtol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", ["article/worked_backprop", AS_PUBLISHED])
@pytest.mark.parametrize(("quantity", "expected"), BACKPROP.items())
def test_backpropagation(
    report: Report, isograd_backend: str, scenario: str, mode: Mode, quantity: str, expected: Any
) -> None:
    got = column_of(report, scenario, isograd_backend, quantity, mode)
    np.testing.assert_allclose(got[0], expected, rtol=1e-6)


@pytest.fixture(scope="module")
def exact() -> Report:
    """The worked step in fractions; float64, in which each of its decimals is the double nearest to it."""
    return run("article/worked_backprop", backends=[f"{REFERENCE}[arithmetic=rational]"], dtype="float64")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("quantity", "expected"), BACKPROP.items())
def test_backpropagation_in_fractions_is_exact(exact: Report, mode: Mode, quantity: str, expected: Any) -> None:
    got = column_of(exact, "article/worked_backprop", f"{REFERENCE}[arithmetic=rational]", quantity, mode)
    assert got[0].tolist() == expected


def test_backpropagation_in_fractions_is_green(exact: Report) -> None:
    assert exact.green


@pytest.mark.parametrize("mode", MODES)
def test_the_published_gradient_diverges_first(report: Report, isograd_backend: str, mode: Mode) -> None:
    judgement = cell_of(report, AS_PUBLISHED, isograd_backend, mode).judgement
    assert (judgement.first, judgement.step) == ("grad/hidden.weight", 0)
    assert judgement.message == "the source's hidden gradient is half of what all backends compute"


# ---------------------------------------------------------------- printed numbers


def findings_of(report: Report, scenario: str, **where: str) -> pd.DataFrame:
    rows = report.findings[report.findings.scenario == scenario]
    for name, value in where.items():
        rows = rows[rows[name] == value]
    return rows


@pytest.mark.parametrize(
    ("index", "printed", "status", "finding"),
    [
        ("[0, 0]", "0.9997", "as printed", "published"),
        ("[0, 1]", "0.9999", "cut off", "cut-off"),
        ("[0, 2]", "0.9933", "differs", "sigmoid-of-5-2"),
        ("[0, 3]", "0.9998", "cut off", "cut-off"),
    ],
)
def test_printed_sigmoids(report: Report, index: str, printed: str, status: str, finding: str) -> None:
    rows = findings_of(report, "article/worked_forward", quantity="forward/hidden_act", index=index)
    assert rows[["printed", "status", "id"]].to_numpy().tolist() == [[printed, status, finding]]


def test_sigmoid_of_5_2_was_taken_for_that_of_5(report: Report) -> None:
    rows = findings_of(report, "article/worked_forward", id="sigmoid-of-5-2", status="noted")
    computed = dict(zip(rows.text, rows.computed, strict=True))
    assert computed["σ(5.2)"] == pytest.approx(0.99451370, abs=5e-9)
    assert f"{computed['σ(5.0)']:.4f}" == "0.9933"


def test_published_gradient_is_half_of_everyones(report: Report, isograd_backend: str) -> None:
    rows = findings_of(report, AS_PUBLISHED, quantity="grad/hidden.weight", status="differs")
    assert len(rows) == 8
    np.testing.assert_allclose(2 * rows.printed.astype(float), rows[isograd_backend], rtol=1e-6)


def test_printed_numbers_of_the_worked_step_hold(report: Report) -> None:
    assert set(findings_of(report, "article/worked_backprop").status) == {"as printed"}


# ---------------------------------------------------------------- the sum regression


@pytest.mark.parametrize("mode", MODES)
def test_losses_stand_side_by_side(report: Report, isograd_backend: str, mode: Mode) -> None:
    rows = report.losses[(report.losses.scenario == SUM) & (report.losses["mode"] == mode)]
    assert rows.step.tolist() == list(range(1000))
    assert rows.epoch.tolist() == [1 + step // 100 for step in range(1000)]
    np.testing.assert_array_equal(rows[isograd_backend], column_of(report, SUM, isograd_backend, "loss", mode))
    np.testing.assert_allclose(rows[isograd_backend], rows.reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_weights_stand_side_by_side(report: Report, isograd_backend: str, mode: Mode) -> None:
    rows = report.weights[(report.weights.scenario == SUM) & (report.weights["mode"] == mode)]
    assert len(rows) == 10 * (8 + 8)  # epochs × elements
    for name in ("hidden.weight", "output.weight"):
        ends = column_of(report, SUM, isograd_backend, f"weight/{name}", mode)[99::100]
        np.testing.assert_array_equal(rows[rows.parameter == name][isograd_backend], ends.ravel())
    np.testing.assert_allclose(rows[isograd_backend], rows.reference, atol=1e-5)


def test_the_last_samples_loss_stands_still_while_the_model_trains(report: Report, isograd_backend: str) -> None:
    rows = report.losses[(report.losses.scenario == SUM) & (report.losses["mode"] == "free")]
    epochs = rows.groupby("epoch")
    assert epochs[isograd_backend].last().nunique() == 1
    means = epochs.epoch_mean.first()
    assert means.iloc[-1] < 0.7 * means.iloc[0]
    np.testing.assert_allclose(epochs[isograd_backend].mean(), means, rtol=1e-5)


def test_every_label_was_broadcast(report: Report, isograd_backend: str) -> None:
    result = result_of(report, SUM)
    assert result.inputs.y.shape == (100, 2)
    np.testing.assert_array_equal(result.inputs.y[:, 0], result.inputs.y[:, 1])
    assert column_of(report, SUM, isograd_backend, "forward/output").shape == (1000, 1, 2)


@pytest.mark.parametrize("side", ["reference", "backend"])
@pytest.mark.parametrize("scenario", ["article/sum_regression_minibatch", "article/sum_regression_full_batch"])
def test_a_batchs_gradient_is_the_mean_of_its_samples(
    report: Report, isograd_backend: str, scenario: str, side: str
) -> None:
    rows = findings_of(report, scenario, id="batch-gradient-is-mean")
    name = isograd_backend if side == "backend" else "reference"
    rows = rows[rows.text.str.startswith(f"{name}: ")]
    assert rows.quantity.tolist() == ["grad/output.weight", "grad/hidden.weight"]
    assert rows.status.tolist() == ["holds", "holds"]


# ---------------------------------------------------------------- gradient descent


def test_descent_ends_at_the_known_minimum(report: Report, isograd_backend: str) -> None:
    loss = column_of(report, "article/gradient_descent", isograd_backend, "loss")
    weight = column_of(report, "article/gradient_descent", isograd_backend, "weight/output.weight")
    np.testing.assert_allclose(weight[-1], [[3, -1]], rtol=1e-6)
    assert (np.diff(loss) <= 0).all()
    assert loss[-1] < 1e-10


# ---------------------------------------------------------------- the tables

SUMMARY = "scenario backend dtype mode verdict first step error_over_bound max_abs max_ulp cause message"
RUN = "scenario dtype mode epoch step"
QUANTITIES = "scenario backend against dtype mode quantity step"
MEASURES = "max_abs max_rel max_ulp rms unequal mismatched nonfinite size magnitude worst value other"
FINDINGS = "scenario id section status quantity step index printed computed difference text"


def backends_of(report: Report) -> list[str]:
    return list(report.summary.backend.unique())


def test_the_summary_has_a_row_a_cell(report: Report) -> None:
    assert " ".join(report.summary) == SUMMARY
    cells = report.summary[["scenario", "backend", "mode"]]
    assert not cells.duplicated().any()
    assert len(cells) == len(ARTICLE) * len(backends_of(report)) * len(MODES)


def test_losses_have_a_row_a_step(report: Report) -> None:
    expected = [RUN, "epoch_mean", "reference", *backends_of(report), "largest_difference"]
    assert " ".join(report.losses) == " ".join(expected)
    assert len(report.losses) == sum(result.inputs.steps for result in report.results) * len(MODES)


def test_weights_have_a_row_per_element_and_epoch(report: Report) -> None:
    pairs = [f"{a} - {b}" for a, b in combinations(backends_of(report), 2)]
    expected = [RUN, "parameter", "index", "reference", *backends_of(report), *pairs]
    assert " ".join(report.weights) == " ".join(expected)
    elements = [
        sum(w.size for w in result.inputs.weights.values()) * result.scenario.epochs for result in report.results
    ]
    assert len(report.weights) == sum(elements) * len(MODES)


def test_quantities_have_a_row_per_comparison_quantity_and_step(report: Report) -> None:
    assert " ".join(report.quantities) == f"{QUANTITIES} {MEASURES} bound error_over_bound"
    assert not report.quantities[QUANTITIES.split()].duplicated().any()
    count = len(backends_of(report))
    recorded = {r.scenario.name: len(quantity_shapes(r.scenario)) * r.inputs.steps for r in report.results}
    printed = {AS_PUBLISHED: 8}  # its truth are the numbers that are printed, of one step
    compared = sum(count * printed.get(name, rows) + count * (count - 1) // 2 * rows for name, rows in recorded.items())
    assert len(report.quantities) == compared * len(MODES)


def test_findings_have_a_column_a_backend(report: Report) -> None:
    assert " ".join(report.findings) == " ".join([FINDINGS, *backends_of(report)])


def test_the_greens_are_within_their_bounds(report: Report) -> None:
    rows = report.quantities[report.quantities.scenario != AS_PUBLISHED]
    assert rows.error_over_bound.max() <= 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scenario", [name for name in ARTICLE if name != AS_PUBLISHED])
def test_every_element_is_within_its_own_bound(report: Report, scenario: str, isograd_backend: str, mode: Mode) -> None:
    result = result_of(report, scenario)
    for name, truth in result.truth[mode].columns.items():
        off = np.abs(column_of(report, scenario, isograd_backend, name, mode).astype(np.float64) - truth)
        assert (off <= FACTOR * result.reference.envelope[mode][name]).all(), name
