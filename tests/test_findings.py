"""Does the report say where the source is wrong, and notice when it says so wrongly?"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd import Scenario, Trace, Verdict, load_scenario, run, save_trace
from isograd.assess import Assessor, Run, ScenarioResult
from isograd.backends.numpy_manual import NumpyBackend
from isograd.children import Answer
from isograd.errors import ScenarioError
from isograd.findings import (
    AS_PRINTED,
    BROKEN,
    CUT_OFF,
    DIFFERS,
    HOLDS,
    NOTED,
    RED,
    STALE,
    UNEXPLAINED,
    Row,
    classify,
    findings,
    published_trace,
)
from isograd.inputs import make_inputs
from isograd.judging import FACTOR
from isograd.recorder import record_here
from isograd.reference import Reference, make_reference
from tests.conftest import REFERENCE

FORWARD, BACKPROP, AS_PUBLISHED, SUM = (
    f"article/{name}"
    for name in ("worked_forward", "worked_backprop", "worked_backprop_as_published", "sum_regression")
)


def changed(name: str, **changes: Any) -> Scenario:
    return Scenario.model_validate(load_scenario(name).model_dump() | changes)


def reference_of(scenario: Scenario) -> Reference:
    return make_reference(scenario, make_inputs(scenario), ("free",), runs=2, factor=FACTOR)


def rows_of(scenario: Scenario, **traces: Trace) -> list[Row]:
    return findings(scenario, make_inputs(scenario), reference_of(scenario).truth["free"], traces)


def recorded(scenario: Scenario, **options: Any) -> Trace:
    return record_here(NumpyBackend(), REFERENCE, scenario, make_inputs(scenario), **options)


# ---------------------------------------------------------------- one printed number


@pytest.mark.parametrize(
    ("printed", "computed", "status"),
    [
        ("0.9997", 0.99972542, AS_PRINTED),
        ("0.9999", 0.99999815, CUT_OFF),
        ("0.9998", 0.99989897, CUT_OFF),
        ("0.9933", 0.99451370, DIFFERS),
        ("8.2", 8.2, AS_PRINTED),
        # integers, and the edge of half a unit
        ("70", 70.0, AS_PRINTED),
        ("70", 69.5, AS_PRINTED),
        ("70", 69.49, DIFFERS),
        ("70", 70.5, AS_PRINTED),
        ("70", 70.51, CUT_OFF),
        ("70", 70.999, CUT_OFF),
        ("70", 71.0, DIFFERS),
        ("1000", 1000.4, AS_PRINTED),
        ("+3", 3.0, AS_PRINTED),
        ("0.10", 0.1, AS_PRINTED),
        ("0.10", 0.106, CUT_OFF),
        ("0.1", 0.106, AS_PRINTED),
        # a number that lies on the edge, but for what rounding made of it
        ("0.13", 0.125, AS_PRINTED),
        ("0.13", 0.12499999996, AS_PRINTED),
        ("0.13", 0.1249999, DIFFERS),
        # negative numbers are cut off towards 0
        ("-9.88", -9.880000114, AS_PRINTED),
        ("-9.88", -9.8899, CUT_OFF),
        ("-9.88", -9.8701, DIFFERS),
        ("-9.88", 9.88, DIFFERS),
        ("9.88", -9.8899, DIFFERS),
        ("-0.5", -0.55, AS_PRINTED),
        # around 0
        ("0", 0.0, AS_PRINTED),
        ("0", -0.0, AS_PRINTED),
        ("0.00", 0.004, AS_PRINTED),
        ("0.00", 0.009, CUT_OFF),
        ("0.00", -0.009, CUT_OFF),
        ("0.00", 0.01, DIFFERS),
        ("0.01", -0.001, DIFFERS),
        # what is no number, or far from one
        ("70", np.nan, DIFFERS),
        ("70", np.inf, DIFFERS),
        ("-70", -np.inf, DIFFERS),
        ("0.0001", 1e30, DIFFERS),
        ("0.0001", 1e308, DIFFERS),
        ("0", 5e-324, AS_PRINTED),
    ],
)
def test_a_printed_number_holds_at_its_printed_precision(printed: str, computed: float, status: str) -> None:
    assert classify(printed, computed) == status


NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
PLACES = st.integers(0, 6)
HOUSE = settings(derandomize=True, deadline=None, max_examples=200)


def printed(value: float, places: int, rounding: str) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), rounding)


@HOUSE
@given(NUMBERS, PLACES)
def test_a_number_that_was_rounded_is_as_printed(value: float, places: int) -> None:
    assert classify(f"{printed(value, places, ROUND_HALF_UP):f}", value) == AS_PRINTED


@HOUSE
@given(NUMBERS, PLACES)
def test_a_number_that_was_cut_off_never_differs(value: float, places: int) -> None:
    assert classify(f"{printed(value, places, ROUND_DOWN):f}", value) in (AS_PRINTED, CUT_OFF)


@HOUSE
@given(NUMBERS, PLACES, st.integers(2, 1000), st.sampled_from([-1, 1]))
def test_a_number_that_is_two_units_off_differs(value: float, places: int, units: int, sign: int) -> None:
    off = printed(value, places, ROUND_DOWN) + sign * units * Decimal(1).scaleb(-places)
    assert classify(f"{off:f}", value) == DIFFERS


# ---------------------------------------------------------------- the printed numbers of a source


def statuses(rows: list[Row], **where: Any) -> list[str]:
    return [row["status"] for row in rows if all(row[key] == value for key, value in where.items())]


def test_every_printed_number_has_a_row_with_what_everybody_computed() -> None:
    scenario = load_scenario(BACKPROP)
    rows = [row for row in rows_of(scenario, one=recorded(scenario)) if row["quantity"] == "forward/hidden_act"]
    assert [row["index"] for row in rows] == ["[0, 0]", "[0, 1]", "[0, 2]", "[0, 3]"]
    assert [row["printed"] for row in rows] == ["16", "26", "10", "18"]
    assert [row["computed"] for row in rows] == [row["one"] for row in rows] == [16, 26, 10, 18]
    assert {(row["status"], row["difference"], row["section"]) for row in rows} == {(AS_PRINTED, 0, "2.2.3")}


def test_the_difference_is_what_the_print_says_too_much() -> None:
    row = next(row for row in rows_of(load_scenario(FORWARD)) if row["printed"] == "0.9933")
    assert row["difference"] == pytest.approx(0.9933 - 0.99451370, abs=1e-8)


def without(scenario: Scenario, quantity: str) -> Trace:
    trace = recorded(scenario)
    return trace.every(trace.steps, [name for name in trace.columns if name != quantity])


def reshaped(scenario: Scenario, quantity: str, shape: tuple[int, ...]) -> Trace:
    trace = recorded(scenario)
    columns = {**trace.columns, quantity: trace.columns[quantity].reshape(1, *shape)}
    return Trace(columns, trace.steps, trace.manifest)


@pytest.mark.parametrize("case", ["not returned", "a column for a row", "flat"])
def test_a_backend_that_has_no_such_element_shows_none(case: str) -> None:
    scenario, quantity = load_scenario(BACKPROP), "forward/hidden_act"
    shape = {"a column for a row": (4, 1), "flat": (4,)}.get(case)
    trace = reshaped(scenario, quantity, shape) if shape else without(scenario, quantity)
    rows = [row for row in rows_of(scenario, one=trace) if row["quantity"] == quantity]
    assert np.isnan([row["one"] for row in rows[1:]]).all()


def test_a_step_that_was_not_recorded_shows_nothing() -> None:
    entry = {"quantity": "forward/output", "section": "2.4", "step": 3, "values": [["1"]]}
    scenario = changed(SUM, epochs=1, published=[entry], findings=[])
    row = rows_of(scenario, some=recorded(scenario, every=10), all=recorded(scenario))[0]
    assert np.isnan(row["some"])
    assert row["all"] == pytest.approx(row["computed"])


@pytest.mark.parametrize(
    "entry",
    [
        {"quantity": "forward/hidden", "values": [["1", "2", "3", "4", "5"]]},
        {"quantity": "forward/hidden", "values": [["1"], ["2"]]},
        {"quantity": "forward/nothing", "values": [["1"]]},
        {"quantity": "forward/hidden", "step": 5, "values": [["1", "2", "3", "4"]]},
    ],
    ids=["column", "row", "name", "step"],
)
def test_a_published_number_that_has_no_place_is_refused(entry: dict[str, Any]) -> None:
    where = rf"{entry['quantity']} \[\d, \d\] at step \d"
    with pytest.raises(ScenarioError, match=f"{FORWARD}: published or findings: {where}: no such element; "):
        rows_of(changed(FORWARD, published=[{"section": "1", **entry}]))


# ---------------------------------------------------------------- findings


def test_a_printed_number_that_nobody_explains_is_red() -> None:
    rows = rows_of(changed(FORWARD, findings=[]))
    assert statuses(rows, quantity="forward/hidden_act") == [AS_PRINTED, UNEXPLAINED, UNEXPLAINED, UNEXPLAINED]
    assert UNEXPLAINED in RED


def explaining(*elements: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"id": "slip", "section": "1", "text": "t", "explains": elements}]


HIDDEN, ACT = "forward/hidden", "forward/hidden_act"


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        ([], NOTED),
        ([{"quantity": ACT, "index": [0, 2]}], NOTED),
        ([{"quantity": ACT}], NOTED),
        ([{"quantity": HIDDEN}, {"quantity": ACT, "index": [0, 2]}], NOTED),
        ([{"quantity": HIDDEN}], STALE),  # all of it is right
        ([{"quantity": ACT, "index": [0, 0]}], STALE),  # this one is right
        ([{"quantity": "loss"}], STALE),  # nothing was printed of it
        ([{"quantity": ACT, "index": [0, 9]}], STALE),  # nothing was printed there
    ],
)
def test_a_finding_stands_as_long_as_a_number_that_it_explains_is_wrong(
    elements: list[dict[str, Any]], status: str
) -> None:
    rows = rows_of(changed(FORWARD, findings=explaining(*elements)))
    assert statuses(rows, id="slip", text="t") == [status]
    assert STALE in RED


@pytest.mark.parametrize(
    ("element", "unexplained"),
    [({"quantity": ACT}, 0), ({"quantity": ACT, "index": [0, 2]}, 2), ({"quantity": HIDDEN}, 3)],
)
def test_a_finding_explains_what_it_lists_and_no_more(element: dict[str, Any], unexplained: int) -> None:
    rows = rows_of(changed(FORWARD, findings=explaining(element)))
    assert statuses(rows).count(UNEXPLAINED) == unexplained


def evidence(scenario: str, **keys: Any) -> Scenario:
    finding = {"id": "slip", "section": "1", "text": "t", "evidence": [{"label": "shown", **keys}]}
    return changed(scenario, findings=[finding], published=[])


@pytest.mark.parametrize(
    ("scenario", "keys", "value"),
    [
        (BACKPROP, {"quantity": "loss"}, 2792.5),
        (BACKPROP, {"quantity": "backward/hidden", "index": [0, 3]}, 198),
        (BACKPROP, {"quantity": "backward/hidden", "index": [0, -1]}, 198),
        (BACKPROP, {"quantity": "loss", "step": -1}, 2792.5),
        (BACKPROP, {"rule": "sigmoid", "at": 5.2}, 0.99451370),
        (BACKPROP, {"rule": "sigmoid", "at": 5}, 0.99330715),
        (BACKPROP, {"rule": "relu", "at": -5}, 0),
        (BACKPROP, {"epoch_loss": "last", "epoch": 1}, 2792.5),
        (FORWARD, {"quantity": "forward/output_act", "index": [0, 0]}, 0.98514037),
        (FORWARD, {"quantity": "forward/output_act", "index": [0, 1]}, 0.90021578),
    ],
)
def test_a_findings_evidence_is_computed(scenario: str, keys: dict[str, Any], value: float) -> None:
    row = rows_of(evidence(scenario, **keys))[-1]
    assert (row["text"], row["status"]) == ("shown", NOTED)
    assert row["computed"] == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize(("which", "of"), [("last", lambda losses: losses[-1]), ("mean", np.mean)])
def test_an_epochs_loss_is_its_last_or_its_mean(epoch: int, which: str, of: Any) -> None:
    scenario = evidence(SUM, epoch_loss=which, epoch=epoch).model_copy(update={"epochs": 3, "batch_size": 30})
    losses = reference_of(scenario).truth["free"].columns["loss"].reshape(3, 4)  # 4 steps an epoch
    assert rows_of(scenario)[-1]["computed"] == of(losses[epoch - 1])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"quantity": HIDDEN, "index": [0, 9]},
            r"forward/hidden \[0, 9\] at step 0: no such element; .*shape is \(1, 4\)",
        ),
        ({"quantity": HIDDEN, "index": [0]}, r"forward/hidden \[0\] at step 0: no such element"),
        ({"quantity": HIDDEN, "index": [0, 0, 0]}, r"forward/hidden \[0, 0, 0\] at step 0: no such element"),
        ({"quantity": HIDDEN}, r"forward/hidden \[\] at step 0: no such element"),
        ({"quantity": "loss", "index": [0]}, r"loss \[0\] at step 0: no such element; the quantity's shape is \(\)"),
        ({"quantity": "forward/nothing"}, r"forward/nothing \[\] at step 0: .*none of this name"),
        ({"quantity": "loss", "step": 1}, r"loss \[\] at step 1: no such element; .*the run has 1 steps"),
        ({"quantity": "loss", "step": -2}, r"loss \[\] at step -2: no such element; .*the run has 1 steps"),
        ({"epoch_loss": "last", "epoch": 2}, r"findings: 'shown': no epoch 2; the run has 1"),
        ({"epoch_loss": "mean", "epoch": 2}, r"findings: 'shown': no epoch 2; the run has 1"),
    ],
)
def test_evidence_that_has_no_place_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=f"{BACKPROP}: .*{message}"):
        rows_of(evidence(BACKPROP, **keys))


# ---------------------------------------------------------------- what makes a result red


@pytest.mark.parametrize(
    ("status", "green"),
    [
        (AS_PRINTED, True),
        (CUT_OFF, True),
        (DIFFERS, True),
        (NOTED, True),
        (HOLDS, True),
        (UNEXPLAINED, False),
        (STALE, False),
        (BROKEN, False),
    ],
)
def test_a_red_row_makes_its_result_red(status: str, green: bool) -> None:
    scenario = load_scenario(BACKPROP)
    rows = ({"status": NOTED}, {"status": status})
    result = ScenarioResult(scenario, make_inputs(scenario), reference_of(scenario), {}, {}, rows, lambda: iter(()))
    assert result.green is green


@pytest.mark.parametrize(("explained", "green"), [(True, True), (False, False)])
def test_a_slip_that_nobody_explains_makes_a_run_red(explained: bool, green: bool) -> None:
    changes = {} if explained else {"findings": []}
    assert run(changed(FORWARD, **changes), backends=[REFERENCE], mode="free").green is green


# ---------------------------------------------------------------- a source that is taken for the truth


def test_published_values_make_a_truth() -> None:
    scenario = load_scenario(AS_PUBLISHED)
    truth = published_trace(scenario, "free", recorded(scenario))
    assert list(truth.columns) == [entry.quantity for entry in scenario.published]
    assert truth.columns["grad/hidden.weight"].tolist() == [[[198, 297], [136, 204], [136, 204], [198, 297]]]
    assert truth.steps.tolist() == [0]


def test_only_what_was_recorded_is_taken_of_it() -> None:
    scenario = load_scenario(AS_PUBLISHED)
    truth = published_trace(scenario, "free", recorded(scenario, quantities="grad/*"))
    assert list(truth.columns) == ["grad/output.weight", "grad/hidden.weight"]


def test_a_truth_must_have_all_its_quantities_at_all_its_steps() -> None:
    entries = [
        {"quantity": "forward/output", "section": "1", "step": 0, "values": [["1", "2"]]},
        {"quantity": "forward/output", "section": "1", "step": 1, "values": [["1", "2"]]},
        {"quantity": "forward/hidden", "section": "1", "step": 0, "values": [["1", "2", "3", "4"]]},
    ]
    scenario = changed(AS_PUBLISHED, published=entries, epochs=2)
    with pytest.raises(ScenarioError, match=r"published: forward/hidden: expected values for every step of \[0, 1\]"):
        published_trace(scenario, "free", recorded(scenario))


def assessed(folder: Path, **changes: Mapping[str, np.ndarray | None]) -> ScenarioResult:
    """The article's own backward pass against backends that are the reference, but for what is changed in them."""
    scenario = load_scenario(AS_PUBLISHED)
    right = recorded(scenario)
    runs = {}
    for backend, change in changes.items():
        columns = {name: column for name, column in {**right.columns, **change}.items() if column is not None}
        path = folder / f"{backend}.safetensors"
        save_trace(Trace(columns, right.steps, right.manifest.model_copy(update={"backend": backend})), path)
        runs[backend, "free"] = Run(Answer(), path)
    return Assessor(scenario, make_inputs(scenario), reference_of(scenario)).assess(runs, {})


GRADIENT = "grad/hidden.weight"
RIGHT = np.array([[[396, 594], [272, 408], [272, 408], [396, 594]]], np.float32)


@pytest.mark.parametrize(
    ("column", "verdict", "message"),
    [
        (RIGHT, Verdict.EXPECTED, "the source's hidden gradient is half of what all backends compute"),
        (RIGHT / 2, Verdict.DIVERGES, "weight/hidden.weight"),  # then the weights, which are right, come first
        (None, Verdict.DIVERGES, f"{GRADIENT}: missing from the trace"),
        (RIGHT.swapaxes(1, 2), Verdict.DIVERGES, f"{GRADIENT}: has shape (2, 4), expected (4, 2)"),
        (RIGHT.astype(np.float64), Verdict.DIVERGES, f"{GRADIENT}: has dtype float64, expected float32"),
    ],
    ids=["right", "as published", "missing", "transposed", "wider"],
)
def test_only_numbers_diverge_as_expected(
    tmp_path: Path, column: np.ndarray | None, verdict: Verdict, message: str
) -> None:
    judgement = assessed(tmp_path, one={GRADIENT: column}).cells["one", "free"].judgement
    assert judgement.verdict is verdict
    assert judgement.message.startswith(message)


def test_what_two_backends_return_and_nobody_knows_is_no_agreement(tmp_path: Path) -> None:
    extra = {"buffer/x": np.ones(1, np.float32)}
    result = assessed(tmp_path, one=extra, two=extra)
    (pair,) = result.pairs
    assert pair.judgement.message == "buffer/x: not a quantity of this scenario"
    assert pair.judgement.verdict is Verdict.DIVERGES
