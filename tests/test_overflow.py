"""What is right where a number is beyond the dtype's range?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from harness import run
from harness.catalogue import parse_scenario
from harness.dtypes import FORMATS
from harness.inputs import make_inputs
from harness.judging import FACTOR
from harness.reference import make_reference
from harness.trace import MODES, Mode
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
    summary = run(parse_scenario(BLOWS_UP), backends=[backend], repeat=1).summary
    assert set(zip(summary.verdict, summary.step, strict=True)) == {("DIVERGES", 0)}


@pytest.mark.parametrize("mode", MODES)
def test_a_fault_that_only_a_nan_shows_is_found_and_named(mode: Mode) -> None:
    backend = f"{REFERENCE}[fault=nan_to_zero]"
    row = run(parse_scenario(BLOWS_UP), backends=[backend], mode=mode, repeat=1).summary.iloc[0]
    assert (row.verdict, row["first"], row.cause) == ("DIVERGES", "forward/first_act", "nan_to_zero(first_act)")
