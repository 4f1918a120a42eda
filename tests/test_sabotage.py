"""Is every fault caught: at the right step, in the right quantity, with the right words, in free and in resync?"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isograd import Report, Scenario, Trace, compare, load_trace, record, run, save_trace
from isograd.contract import chaos
from isograd.loading import parse_scenario
from isograd.trace import MODES, Mode
from tests.conftest import REFERENCE
from tests.saboteurs import LATE, SOON

pytestmark = pytest.mark.nightly

LONG = "article/sum_regression"  # a thousand steps

_rng = np.random.Generator(np.random.PCG64(1))
DRAWN = {"draw": "normal", "scale": 0.5}
SQUARE: dict[str, Any] = {
    "name": "square",
    "title": "Twelve steps of a model with a square weight, an oblong one, and biases",
    "epochs": 4,
    "batch_size": 4,
    "data": {
        "kind": "inline",
        "x": _rng.standard_normal((12, 3)).tolist(),
        "y": _rng.standard_normal((12, 2)).tolist(),
    },
    "layers": [
        {"name": "hidden", "kind": "linear", "outputs": 3, "weight": DRAWN, "bias": DRAWN},
        {"name": "hidden_act", "kind": "sigmoid"},
        {"name": "output", "kind": "linear", "outputs": 2, "weight": DRAWN, "bias": DRAWN},
    ],
    "loss": {"kind": "half_squared_error"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
}

# A row a fault: who; the quantity and step that must be named first; what the message says, and the quotient of the two
# numbers in it. All are DIVERGES in both modes: each is more than rounding could do to its quantity within a step.
SHORT_RUN = [
    # Numbers. NaN and infinity differ from a number in class: no bound makes up for that.
    ("NanOnce", "grad/hidden.weight", SOON, "grad/hidden.weight[1, 0] at step 7: got nan, expected ", np.nan),
    ("InfiniteOnce", "loss", SOON, "loss at step 7: got inf, expected ", np.inf),
    ("SaysZero", "forward/hidden", 0, "at step 0: got 0, expected ", 0),
    # Rules. Each is seen in what it changes first; what is computed before that is right.
    ("TransposesSquare", "grad/hidden.weight", 0, "grad/hidden.weight[", None),
    ("MeanOverOutputs", "loss", 0, "loss at step 0: got ", 1 / 2),
    ("MeanOverSamples", "grad/output.bias", 0, "; 2 of 2 elements differ)", 1 / 4),
    ("SlightlyScaled", "grad/output.weight", 0, "; 6 of 6 elements differ)", 1.0001),
    ("Accumulates", "grad/output.weight", 1, " at step 1: got ", None),  # at step 0 there is nothing to be cleared
    ("NeverUpdates", "weight/hidden.weight", 0, "; 9 of 9 elements differ)", None),
    ("RateOff", "lr", 0, "got 0.100000098, expected 0.100000001 (off by 9.69e-08, bound 0)", 1.000001),  # a constant
    ("SecretRateOff", "weight/hidden.weight", 0, "; 9 of 9 elements differ)", None),
    ("ShiftedLabels", "loss", 1, "loss at step 1: got ", None),  # at step 0 there are no labels before
    # Structure. It comes before any number: what is not there, or has another shape or dtype, was not compared.
    ("TransposesOblong", "grad/output.weight", 0, "grad/output.weight: has shape (3, 2), expected (2, 3)", None),
    ("LacksQuantity", "grad/hidden.weight", 0, "grad/hidden.weight: missing from the trace", None),
    ("AddsQuantity", "grad/hidden.scale", 0, "grad/hidden.scale: not a quantity of this scenario", None),
    ("TooWide", "lr", 0, "lr: has dtype float64, expected float32", None),
    ("DropsSample", "forward/hidden", SOON, "forward/hidden[3, ", 0),
    ("RepeatsStep", "forward/hidden", SOON, "; 12 of 12 elements differ)", None),
]
LONG_RUN = [
    ("WeightOffOnce", "weight/hidden.weight", LATE, "weight/hidden.weight[2, 1] at step 635: got ", 1.001),
    ("OutputOffOnce", "forward/hidden", LATE, "forward/hidden[0, 3] at step 635: got ", 1.001),
    ("GradientOffOnce", "grad/output.weight", LATE, "grad/output.weight[1, 3] at step 635: got ", 1.001),
]
# What a backend returns may not change its form from step to step. That is no number that could be compared, so: ERROR.
BROKEN_OFF = [
    ("LosesQuantity", f"RecordError: step {SOON}: loss was lost"),
    ("Widens", f"RecordError: step {SOON}: loss became float64; it was float32"),
]


def named(saboteur: str) -> str:
    return f"tests.saboteurs:{saboteur}"


def sabotaged(scenario: str | Scenario, *saboteurs: str) -> Report:
    return run(scenario, backends=[named(saboteur) for saboteur in ("Honest", *saboteurs)], causes=False)


@pytest.fixture(scope="module")
def short_run() -> Report:
    return sabotaged(parse_scenario(SQUARE), *(row[0] for row in [*SHORT_RUN, *BROKEN_OFF]))


@pytest.fixture(scope="module")
def long_run() -> Report:
    return sabotaged(LONG, *(row[0] for row in LONG_RUN), "GradientSlightlyOffOnce", "RoundsDown")


@pytest.fixture(scope="module")
def chaotic_run() -> Report:
    return sabotaged(chaos("half_squared_error"), "IgnoresState")


def row_of(report: Report, saboteur: str, mode: Mode) -> pd.Series[Any]:
    rows = report.summary[(report.summary.backend == named(saboteur)) & (report.summary["mode"] == mode)]
    assert len(rows) == 1
    return rows.iloc[0]


def assert_caught(row: pd.Series[Any], first: str, step: int, words: str, quotient: float | None = None) -> None:
    assert (row.verdict, row["first"], row.step) == ("DIVERGES", first, step)
    assert words in row.message
    if quotient is not None:
        got, expected = re.findall(r"got (\S+), expected (\S+) \(", row.message)[0]
        np.testing.assert_allclose(float(got) / float(expected), quotient, rtol=1e-5)


# ---------------------------------------------------------------- the control


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("which", ["short_run", "long_run", "chaotic_run"])
def test_no_fault_is_identical(request: pytest.FixtureRequest, which: str, mode: Mode) -> None:
    row = row_of(request.getfixturevalue(which), "Honest", mode)
    assert (row.verdict, row["first"], row.message) == ("IDENTICAL", "", "")


# ---------------------------------------------------------------- the faults


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("saboteur", "first", "step", "words", "quotient"), SHORT_RUN)
def test_a_fault_is_caught(
    short_run: Report, saboteur: str, first: str, step: int, words: str, quotient: float | None, mode: Mode
) -> None:
    assert_caught(row_of(short_run, saboteur, mode), first, step, words, quotient)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("saboteur", "first", "step", "words", "quotient"), LONG_RUN)
def test_a_thousandth_once_in_a_thousand_steps_is_caught(
    long_run: Report, saboteur: str, first: str, step: int, words: str, quotient: float | None, mode: Mode
) -> None:
    assert_caught(row_of(long_run, saboteur, mode), first, step, words, quotient)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("saboteur", "words"), BROKEN_OFF)
def test_what_changes_its_form_is_an_error(short_run: Report, saboteur: str, words: str, mode: Mode) -> None:
    row = row_of(short_run, saboteur, mode)
    assert (row.verdict, row["first"], row.message) == ("ERROR", "", words)


def test_a_report_with_a_fault_is_not_green(short_run: Report) -> None:
    assert not short_run.green


def test_a_fault_in_one_step_leaves_the_others_alone_in_resync(long_run: Report) -> None:
    rows = long_run.quantities
    rows = rows[(rows.backend == named("WeightOffOnce")) & (rows.against == "reference")]
    outside = rows[rows.error_over_bound > 1]
    in_resync = outside[outside["mode"] == "resync"]
    assert in_resync[["quantity", "step"]].to_numpy().tolist() == [["weight/hidden.weight", LATE]]
    assert outside[outside["mode"] == "free"].step.min() == LATE
    assert outside[outside["mode"] == "free"].step.max() > LATE


# ---------------------------------------------------------------- where the modes differ


def test_resync_sees_what_free_cannot_tell_from_rounding(long_run: Report) -> None:
    # After 635 free steps rounding has grown, and gradients have shrunk: a hundred-thousandth of one is lost in it.
    assert row_of(long_run, "GradientSlightlyOffOnce", "free").verdict == "EQUIVALENT"
    row = row_of(long_run, "GradientSlightlyOffOnce", "resync")
    assert_caught(row, "grad/output.weight", LATE, "grad/output.weight[1, 3] at step 635: got ")


def test_biased_rounding_drifts(long_run: Report) -> None:
    # Each step is within its bound, as the right rules are; the bias adds up, where rounding's errors would cancel.
    assert row_of(long_run, "RoundsDown", "resync").verdict == "EQUIVALENT"
    row = row_of(long_run, "RoundsDown", "free")
    assert row.verdict == "DRIFTS"
    assert 1 < row.step < 1000  # two units in the last place, and then four, are what a result may be off anyway


def test_ignoring_the_state_diverges_in_resync_only(chaotic_run: Report) -> None:
    # Nothing is loaded in free. In resync it trains on from where it is, and chaos makes much of the difference.
    assert row_of(chaotic_run, "IgnoresState", "free").verdict == "IDENTICAL"
    row = row_of(chaotic_run, "IgnoresState", "resync")
    assert row.verdict == "DIVERGES"
    assert 0 < row.step < 20
    assert row.error_over_bound > 1e3


def test_only_zeros_prove_nothing() -> None:
    nothing = SQUARE | {
        "name": "nothing",
        "data": {"kind": "inline", "x": [[0, 0]], "y": [[0]]},
        "layers": [{"name": "output", "kind": "linear", "weight": [[0, 0]]}],
    }
    report = run(parse_scenario(nothing), backends=[named("Honest"), named("SaysZero")], causes=False)
    assert set(report.summary.verdict) == {"VACUOUS"}
    assert "not one number other than zero or NaN" in report.summary.message[0]


# ---------------------------------------------------------------- two runs that differ

NOT_TWICE = [
    ("Wavers", "loss", SOON),
    ("WaversTwice", "loss", SOON),  # as does a gradient of the same step, which is later in it
    ("WaversInSign", "loss", SOON),  # no bound would see it; and the loss is 0 at every step, which is wrong
    ("Unrepeatable", "forward/hidden", 0),  # wrong in the first run already
]


@pytest.fixture(scope="module")
def repeated_run() -> Report:
    saboteurs = ["Honest", *(row[0] for row in NOT_TWICE), "WaversLate", "WaversInForm"]
    backends = [named(saboteur) for saboteur in saboteurs]
    return run(parse_scenario(SQUARE), backends=backends, mode="free", repeat=2, causes=False)


@pytest.mark.parametrize(("saboteur", "first", "step"), NOT_TWICE)
def test_two_runs_that_differ_are_nondeterministic(repeated_run: Report, saboteur: str, first: str, step: int) -> None:
    row = row_of(repeated_run, saboteur, "free")
    assert (row.verdict, row["first"], row.step) == ("NONDETERMINISTIC", first, step)
    assert row.message == f"two runs of it differ: {first} at step {step}"


def test_a_second_run_that_returns_something_else_is_nondeterministic(repeated_run: Report) -> None:
    row = row_of(repeated_run, "WaversInForm", "free")
    assert (row.verdict, row["first"]) == ("NONDETERMINISTIC", "loss")


def test_two_runs_that_do_not_differ_are_judged_by_their_numbers(repeated_run: Report) -> None:
    assert row_of(repeated_run, "Honest", "free").verdict == "IDENTICAL"


@pytest.mark.parametrize(("repeat", "verdict"), [(1, "IDENTICAL"), (2, "IDENTICAL"), (3, "NONDETERMINISTIC")])
def test_no_more_runs_are_compared_than_are_asked_for(repeat: int, verdict: str) -> None:
    report = run(parse_scenario(SQUARE), backends=[named("WaversLate")], mode="free", repeat=repeat, causes=False)
    assert row_of(report, "WaversLate", "free").verdict == verdict


def test_with_one_run_no_difference_is_looked_for() -> None:
    report = run(parse_scenario(SQUARE), backends=[named("Wavers")], mode="free", repeat=1, causes=False)
    assert row_of(report, "Wavers", "free").verdict == "IDENTICAL"


def test_a_job_that_costs_little_is_run_twice_unasked_and_what_differs_is_not_green() -> None:
    report = run(parse_scenario(SQUARE), backends=[named("Wavers")], mode="free", causes=False)
    assert (row_of(report, "Wavers", "free").verdict, report.green) == ("NONDETERMINISTIC", False)


# ---------------------------------------------------------------- what a scenario expects


@pytest.mark.parametrize(
    ("first", "step", "verdict", "words"),
    [
        ("grad/output.weight", 0, "EXPECTED", "known"),
        ("grad/output.weight", 1, "DIVERGES", "; expected the first divergence at grad/output.weight, step 1"),
        ("grad/hidden.weight", 0, "DIVERGES", "; expected the first divergence at grad/hidden.weight, step 0"),
    ],
)
def test_only_the_divergence_that_is_expected_is_green(first: str, step: int, verdict: str, words: str) -> None:
    expect = {"verdict": "DIVERGES", "first": first, "step": step, "reason": "known"}
    report = run(
        parse_scenario(SQUARE | {"expect": expect}), backends=[named("SlightlyScaled")], mode="resync", causes=False
    )
    row = report.summary.iloc[0]
    assert (row.verdict, report.green) == (verdict, verdict == "EXPECTED")
    assert words in row.message


def test_an_expected_divergence_that_does_not_show_is_stale() -> None:
    expect = {"verdict": "DIVERGES", "first": "loss", "step": 3, "reason": "known"}
    report = run(parse_scenario(SQUARE | {"expect": expect}), backends=[named("Honest")], mode="resync", causes=False)
    row = report.summary.iloc[0]
    assert (row.verdict, report.green) == ("STALE", False)
    assert row.message == "expected to diverge at loss, step 3 (known); it does not"


# ---------------------------------------------------------------- trace against trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record(LONG, REFERENCE)


def without(trace: Trace, rows: slice) -> Trace:
    return trace.every(np.delete(trace.steps, np.r_[rows]))


def test_a_trace_equals_itself(trace: Trace) -> None:
    difference = compare(trace, trace)
    assert difference.green
    assert difference.summary.iloc[0][["verdict", "max_abs", "max_ulp"]].tolist() == ["EQUIVALENT", 0, 0]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (slice(999, 1000), "recorded 999 steps, expected 1000; step 999 is the first missing"),
        (slice(400, 401), "recorded 999 steps, expected 1000; step 400 is the first missing"),
        (slice(0, 500), "recorded 500 steps, expected 1000; step 0 is the first missing"),
    ],
)
def test_a_trace_with_too_few_steps_is_caught(trace: Trace, tmp_path: Any, rows: slice, words: str) -> None:
    save_trace(without(trace, rows), tmp_path / "short.safetensors")
    save_trace(trace, tmp_path / "whole.safetensors")
    difference = compare(tmp_path / "short.safetensors", tmp_path / "whole.safetensors")
    assert_caught(difference.summary.iloc[0], "lr", rows.start, words)
    assert not difference.green


def test_a_trace_with_too_many_steps_is_caught(trace: Trace) -> None:
    difference = compare(trace, without(trace, slice(999, 1000)))
    words = "recorded 1000 steps, expected 999; step 999 is the first too many"
    assert_caught(difference.summary.iloc[0], "lr", 999, words)


def test_first_is_first_in_execution_order_after_a_file_too(trace: Trace, tmp_path: Any) -> None:
    wrong = {name: column * (1 if name == "lr" else 2) for name, column in trace.columns.items()}
    save_trace(replace(trace, columns=wrong), tmp_path / "wrong.safetensors")
    difference = compare(load_trace(tmp_path / "wrong.safetensors"), trace)
    assert_caught(difference.summary.iloc[0], "forward/hidden", 0, "forward/hidden[0, ")
    assert list(load_trace(tmp_path / "wrong.safetensors").columns) == list(trace.columns)
