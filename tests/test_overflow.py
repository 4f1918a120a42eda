"""What is right where a number is beyond the dtype's range?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isograd import Verdict, run
from isograd.arithmetic.early import Early
from isograd.arithmetic.rounded import Narrow
from isograd.arithmetic.words import sum as total
from isograd.backends.numpy_manual import NumpyBackend
from isograd.calibration.overflows import overflowing_scenarios
from isograd.comparison import compare_traces
from isograd.dtypes import FORMATS
from isograd.graph import Hooks
from isograd.inputs import make_inputs
from isograd.judging import FACTOR, judge
from isograd.loading import parse_scenario
from isograd.overflow import is_near, late, left_open
from isograd.recorder import record_here
from isograd.reference import make_reference
from isograd.rules import Rules
from isograd.trace import MODES, Mode
from tests.conftest import REFERENCE
from tests.test_faults import HOT, MIXED

BLOWS_UP: dict[str, Any] = MIXED | {
    "name": "blows_up",
    "title": "A learning rate that is a thousand times too large: NaN from step 4 on",
    "epochs": 5,
    "layers": [{"name": y["name"], "kind": "relu"} if y["kind"] == "sigmoid" else y for y in MIXED["layers"]],
    "optimizer": {"kind": "sgd", "lr": 400.0},
}


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_value_is_infinite_where_it_rounds_to_infinity(dtype: str) -> None:
    told = FORMATS[dtype]
    half_a_unit = float(told.spacing(np.asarray(told.largest))) / 2
    values = np.array([told.largest, told.largest + 0.99 * half_a_unit, told.largest + half_a_unit, -np.inf])
    with np.errstate(over="ignore"):
        rounded = values.astype(told.dtype).astype(np.float64)
    np.testing.assert_array_equal(np.isinf(told.held(values)), np.isinf(rounded))
    assert np.isnan(told.held(np.array([np.nan]))).all()


def test_values_within_the_range_are_left_alone() -> None:
    values = np.array([1.0, -2.0])
    assert FORMATS["float16"].held(values) is values


@pytest.mark.parametrize("raw", [HOT, BLOWS_UP, BLOWS_UP | {"dtype": "float16"}], ids=["hot", "float32", "float16"])
def test_a_run_that_overflows_as_the_rules_do_agrees(raw: dict[str, Any]) -> None:
    report = run(parse_scenario(raw), backends=[REFERENCE])
    assert set(report.summary.verdict) == {"IDENTICAL"}


def test_the_truth_of_a_step_goes_on_in_wider_arithmetic_where_the_dtype_can() -> None:
    scenario = parse_scenario(HOT)
    reference = make_reference(scenario, make_inputs(scenario), MODES, factor=FACTOR)
    for mode in MODES:
        truth = {name: column[0] for name, column in reference.truth[mode].columns.items()}
        assert truth["forward/first"] == np.inf
        assert truth["forward/first_act"] == 1.0
        assert np.isfinite(truth["loss"])


def test_in_free_what_follows_from_an_infinity_is_what_the_dtype_has() -> None:
    scenario = parse_scenario(BLOWS_UP)
    reference = make_reference(scenario, make_inputs(scenario), MODES, factor=FACTOR)
    truth, twin = reference.truth["free"].columns, reference.twin["free"].columns
    for name, column in truth.items():
        np.testing.assert_array_equal(np.isfinite(column), np.isfinite(twin[name]), err_msg=name)
    assert np.isnan(truth["loss"][-1])


def test_a_fault_before_the_overflow_is_found() -> None:
    backend = f"{REFERENCE}[fault=gradient_scale,by=1.00001]"
    summary = run(parse_scenario(BLOWS_UP), backends=[backend], repeat=1, causes=False).summary
    assert set(zip(summary.verdict, summary.step, strict=True)) == {("DIVERGES", 0)}


@pytest.mark.parametrize("mode", MODES)
def test_a_fault_that_only_a_nan_shows_is_found_and_named(mode: Mode) -> None:
    backend = f"{REFERENCE}[fault=nan_to_zero]"
    row = run(parse_scenario(BLOWS_UP), backends=[backend], mode=mode, repeat=1).summary.iloc[0]
    assert (row.verdict, row["first"], row.cause) == ("DIVERGES", "forward/first_act", "nan_to_zero(first_act)")


# ---------------------------------------------------------------- what is left open


@pytest.mark.parametrize(
    ("terms", "early"),
    [
        ([1e38, 1e38, -1e38], np.inf),
        ([-1e38, -1e38, 1e38, 1.0], -np.inf),
        ([3e38, 3e38, -3e38, -3e38], np.nan),
        ([1e38, 0.4e38, -1e38], 0.4e38),
        ([2e38, 1.0], np.inf),
        ([np.inf, 1.0], np.inf),
        ([np.inf, -2e38], np.nan),
        ([np.inf, -np.inf], np.nan),
    ],
)
@pytest.mark.parametrize("operation", ["sum", "product"])
def test_an_early_run_overflows_as_early_as_an_order_can(terms: list[float], early: float, operation: str) -> None:
    arithmetic = Early("float32")
    t = arithmetic.array(np.array([terms]))
    with np.errstate(all="ignore"):
        found = total(t, -1)[0] if operation == "sum" else (t @ arithmetic.array(np.ones((len(terms), 1))))[0, 0]
    np.testing.assert_allclose(float(found.v), early, rtol=1e-6)


@pytest.mark.parametrize("dtype", FORMATS)
def test_far_from_the_end_of_the_range_an_early_run_and_a_late_one_are_as_others(dtype: str) -> None:
    scenario = parse_scenario(MIXED | {"dtype": dtype})
    inputs = make_inputs(scenario)
    runs = [
        record_here(b, "b", scenario, inputs)
        for b in (Rules(Early(dtype)), Rules("float64", hooks=Hooks(see=late(dtype))))
    ]
    twin = record_here(NumpyBackend(), "twin", scenario, inputs)
    for name, column in twin.columns.items():
        for run_ in runs:
            tolerance = 100 * FORMATS[dtype].roundoff
            np.testing.assert_allclose(run_.columns[name], column.astype(float), rtol=tolerance, atol=tolerance)


def test_a_late_run_is_infinite_where_a_stored_number_is_far_beyond_the_range_and_nowhere_else() -> None:
    for times, infinite in ((0.89, False), (1, True)):  # of 75,000, where float16 ends at 65,504
        weight = [[times * w for w in (200, 50, 50)]]
        layers = [{"name": "first", "kind": "linear", "weight": weight}, *HOT["layers"][1:]]
        scenario = parse_scenario(HOT | {"layers": layers})
        seen = record_here(
            Rules("float64", hooks=Hooks(see=late("float16"))), "late", scenario, make_inputs(scenario)
        ).columns
        assert np.isinf(seen["forward/first"]).any() == infinite
        assert np.isfinite(seen["loss"]).all()


RESIDUAL: dict[str, Any] = MIXED | {
    "name": "residual",
    "title": "Squares that float16 holds, and whose sum it does not",
    "dtype": "float16",
    "epochs": 2,
    "batch_size": 64,
    "data": {"kind": "inline", "x": [[1.0]] * 64, "y": [[49.5]] * 64},
    "layers": [{"name": "only", "kind": "linear", "weight": [[0.0]], "bias": [0.0]}],
    "optimizer": {"kind": "sgd", "lr": 0.001},
}


@pytest.mark.parametrize("mode", MODES)
def test_a_mean_whose_sum_overflows_on_the_way_is_left_open_and_all_else_is_compared(mode: Mode) -> None:
    scenario = parse_scenario(RESIDUAL)
    cell = run(scenario, backends=[REFERENCE], mode=mode, repeat=1).results[0].cells[REFERENCE, mode]
    assert cell.verdict is Verdict.IDENTICAL
    assert cell.judgement.message.startswith("from loss, step 0, on right runs can overflow ")
    assert cell.judgement.message.endswith(": 2 of 268 elements not compared")
    envelope = make_reference(scenario, make_inputs(scenario), (mode,), factor=FACTOR).envelope[mode]
    assert {name for name, column in envelope.items() if np.isinf(column).any()} == {"loss"}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_right_runs_that_overflow_agree(dtype: str) -> None:
    scenarios = list(overflowing_scenarios(dtype, 6, seed=7))
    report = run(scenarios, backends=[REFERENCE], repeat=1, causes=False)
    assert set(report.summary.verdict) <= {"IDENTICAL", "VACUOUS"}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_same_rules_in_another_order_that_overflow_agree(dtype: str) -> None:
    """Products of matrices term by term, backwards: partial sums that the twin does not have."""
    for scenario in overflowing_scenarios(dtype, 12, seed=8):
        inputs = make_inputs(scenario)
        reference = make_reference(scenario, inputs, MODES, factor=FACTOR)
        for mode in MODES:
            backwards = Rules(Backwards(dtype), rounded=True)
            states = reference.states if mode == "resync" else None
            with np.errstate(all="ignore"):
                trace = record_here(backwards, "backwards", scenario, inputs, states=states)
            comparison = compare_traces(trace, reference.truth[mode], reference.envelope[mode], dtype=dtype)
            found = judge(comparison, dtype)
            assert found.verdict in (Verdict.EQUIVALENT, Verdict.VACUOUS), f"{scenario.name} {mode} {found.message}"


class Backwards(Narrow):
    """Sums from the last term to the first, each total in the dtype; or in float32 for 16 bits, as libraries do."""

    def taken(self, values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32, copy=False) if self.kept == np.float32 else super().taken(values)

    def operate(self, ufunc: np.ufunc, method: str, inputs: Any, options: dict[str, Any]) -> np.ndarray:
        if ufunc is np.matmul:
            a, b = inputs
            terms = a[..., :, :, np.newaxis] * b[..., np.newaxis, :, :]
            return self.taken(np.add.accumulate(terms[..., ::-1, :], axis=-2)[..., -1, :])
        return super().operate(ufunc, method, inputs, options)


@pytest.mark.parametrize("mode", MODES)
def test_where_every_right_run_is_infinite_a_clipped_one_is_red(mode: Mode) -> None:
    backend = f"{REFERENCE}[fault=infinity_clipped,at=first]"
    scenario = parse_scenario(
        HOT | {"layers": [{**y, "kind": "relu"} if y["name"] == "first_act" else y for y in HOT["layers"]]}
    )
    row = run(scenario, backends=[backend], mode=mode, repeat=1).summary.iloc[0]
    assert (row.verdict, row["first"]) == ("DIVERGES", "forward/first")


def test_of_some_steps_and_a_smaller_batch_only_those_are_left_open() -> None:
    truth, envelope = {"a": np.ones((4, 3, 2))}, {"a": np.ones((4, 3, 2))}
    runs = np.ones((5, 2, 1, 2))  # five runs of two steps, with one sample each
    runs[3, 1, 0, 1] = np.nan
    left_open(envelope, truth, [(np.array([1, 3]), {"a": runs})], 6.0, "float32", free=False)
    assert np.argwhere(np.isinf(envelope["a"])).tolist() == [[3, 0, 1]]


def test_left_open_is_what_others_differ_in_and_what_follows_a_bound_beyond_the_range() -> None:
    truth = {"lr": np.ones(3), "a": np.array([[1.0, np.inf]] * 3), "b": np.ones((3, 1))}
    envelope = {"lr": np.zeros(3), "a": np.ones((3, 2)), "b": np.ones((3, 1))}
    other = {"a": np.array([[[np.nan, np.inf], [1.0, np.inf], [1.0, -np.inf]]]), "b": np.ones((2, 3, 1))}
    left_open(envelope, truth, [(slice(None), other)], 6.0, "float32")
    assert np.isinf(envelope["a"]).tolist() == [[True, False], [False, False], [False, True]]
    assert not np.isinf(envelope["b"]).any()
    for free, expected in ((False, [False, True, False]), (True, [False, True, True])):
        envelope = {"lr": np.zeros(3), "a": np.ones((3, 2)), "b": np.ones((3, 1))}
        envelope["a"][1, 0] = 1e38
        left_open(envelope, truth, [], 6.0, "float32", free)
        assert np.isinf(envelope["b"])[:, 0].tolist() == expected
        assert not np.isinf(envelope["lr"]).any()


@pytest.mark.parametrize(
    ("largest", "terms", "near"),
    [(1.0, 10, False), (1e18, 1, False), (1e18, 100, True), (np.inf, 1, True), (np.nan, 1, True)],
)
def test_an_overflow_is_near_if_a_sum_of_products_can_reach_it(largest: float, terms: int, near: bool) -> None:
    assert is_near([np.array([0.5]), np.array([largest])], terms, "float32") == near
