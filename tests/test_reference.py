"""Is the truth finer than what is measured with it, and does resync start every step from it?"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from isograd import Scenario, load_scenario
from isograd.assess import identical
from isograd.backends.numpy_manual import NumpyBackend
from isograd.dtypes import FORMATS
from isograd.identity import mean_of_sample_gradients
from isograd.inputs import Inputs, make_inputs
from isograd.judging import FACTOR
from isograd.loading import parse_scenario
from isograd.quantities import quantity_shapes
from isograd.recorder import record_here
from isograd.reference import EXACT, WIDER, Reference, make_reference, truth_arithmetic
from isograd.rules import Rules
from isograd.spec import DType
from isograd.trace import MODES, Mode

SMALL = load_scenario("article/sum_regression_minibatch").model_copy(update={"epochs": 1, "batch_size": 30})


def in_dtype(dtype: str, name: str | Scenario = SMALL) -> Scenario:
    scenario = name if isinstance(name, Scenario) else load_scenario(name)
    return scenario.model_copy(update={"dtype": dtype})


def reference_of(scenario: Scenario, modes: tuple[Mode, ...] = MODES, inputs: Inputs | None = None) -> Reference:
    return make_reference(scenario, inputs or make_inputs(scenario), modes, factor=FACTOR, runs=2)


# ---------------------------------------------------------------- how fine it is


def test_every_dtype_has_a_wider_arithmetic() -> None:
    narrow = ("float16", "bfloat16", "float32")
    assert dict.fromkeys(narrow, "float64") | {"float64": "mp50"} == WIDER
    assert WIDER.keys() == set(get_args(DType))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", WIDER)
def test_the_truth_is_finer_than_the_dtype(dtype: str, mode: Mode) -> None:
    reference = reference_of(in_dtype(dtype))
    truth, twin = (side[mode].columns["grad/hidden.weight"] for side in (reference.truth, reference.twin))
    assert (truth.dtype, twin.dtype) == (np.float64, np.dtype(dtype))
    assert (truth != twin).any()
    np.testing.assert_allclose(truth, twin.astype(np.float64), rtol=200 * FORMATS[dtype].roundoff)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_narrow_dtypes_have_the_rules_in_float64_for_their_truth(dtype: str) -> None:
    scenario = in_dtype(dtype)
    inputs = make_inputs(scenario)
    double = record_here(Rules("float64"), "b", scenario, inputs)
    assert identical(double, reference_of(scenario, ("free",), inputs).truth["free"])


def test_fifty_digits_differ_from_float64_by_its_rounding_and_no_more() -> None:
    scenario = in_dtype("float64")
    reference = reference_of(scenario, ("free",))
    for name, truth in reference.truth["free"].columns.items():
        error = np.abs(truth - reference.twin["free"].columns[name]).max()
        assert error <= 1e-14 * np.abs(truth).max(), name
        assert (error > 0) == (name != "lr"), name


# ---------------------------------------------------------------- exact fractions, for a short while

ONE_STEP: dict[str, Any] = {
    "name": "one_step",
    "title": "One step of rules that fractions can run",
    "batch_size": 3,
    "data": {"kind": "inline", "x": [[0.3, -1.7], [2.1, 0.9], [-0.4, 0.6]], "y": [[0.7], [-1.1], [0.2]]},
    "layers": [
        {"name": "hidden", "kind": "linear", "weight": [[0.3, -0.6], [0.7, 0.2]], "bias": [0.1, -0.2]},
        {"name": "hidden_act", "kind": "relu"},
        {"name": "hidden_scale", "kind": "scale", "factor": 1.1},
        {"name": "output", "kind": "linear", "weight": [[0.9, -0.3]]},
    ],
    "loss": {"kind": "mse"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
}
SIGMOID = {"name": "hidden_act", "kind": "sigmoid"}


def one_step(dtype: str = "float32", **changes: Any) -> Scenario:
    return parse_scenario(ONE_STEP | {"dtype": dtype} | changes)


def with_sigmoid() -> list[dict[str, Any]]:
    return [SIGMOID if layer["kind"] == "relu" else layer for layer in ONE_STEP["layers"]]


@pytest.mark.parametrize("dtype", WIDER)
def test_one_step_of_what_fractions_can_do_is_exact(dtype: str) -> None:
    scenario = one_step(dtype)
    inputs = make_inputs(scenario)
    reference = reference_of(scenario, inputs=inputs)
    exact = record_here(Rules("exact"), "b", scenario, inputs)
    assert reference.arithmetic == truth_arithmetic(scenario, inputs) == EXACT
    assert identical(exact, reference.truth["free"])


@pytest.mark.parametrize("dtype", WIDER)
@pytest.mark.parametrize(
    "changes",
    [{"epochs": 2}, {"batch_size": 2}, {"layers": with_sigmoid()}],
    ids=["two epochs", "two batches", "sigmoid"],
)
def test_anything_longer_or_with_a_sigmoid_has_the_wider_arithmetic(dtype: str, changes: dict[str, Any]) -> None:
    scenario = one_step(dtype, **changes)
    inputs = make_inputs(scenario)
    reference = reference_of(scenario, inputs=inputs)
    wide = record_here(Rules(WIDER[dtype]), "b", scenario, inputs)
    assert reference.arithmetic == truth_arithmetic(scenario, inputs) == WIDER[dtype]
    assert identical(wide, reference.truth["free"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_what_is_exact_differs_from_float64_by_its_rounding_and_no_more(dtype: str) -> None:
    scenario = one_step(dtype)
    inputs = make_inputs(scenario)
    exact = reference_of(scenario, ("free",), inputs).truth["free"]
    double = record_here(Rules("float64"), "b", scenario, inputs)
    off = {name: np.abs(column - double.columns[name]).max() for name, column in exact.columns.items()}
    assert 0 < max(off.values()) < 1e-15


def test_what_is_exact_starts_from_the_dtypes_numbers_and_not_from_those_that_a_person_wrote() -> None:
    scenario = one_step("float16")
    inputs = make_inputs(scenario)
    reference = reference_of(scenario, ("free",), inputs)
    assert reference.truth["free"].columns["lr"].tolist() == [float(np.float16(0.1))]
    weight = inputs.initial["weight/hidden.weight"].astype(np.float64)
    z = inputs.x.astype(np.float64) @ weight.T + inputs.initial["weight/hidden.bias"].astype(np.float64)
    np.testing.assert_allclose(reference.truth["free"].columns["forward/hidden"][0], z, rtol=0, atol=1e-15)


def test_the_truth_of_float64_is_that_of_fractions_to_the_last_digit() -> None:
    scenario = in_dtype("float64", "article/worked_backprop")
    inputs = make_inputs(scenario)
    exact = record_here(NumpyBackend("rational"), "b", scenario, inputs)
    truth = record_here(Rules("mp50"), "b", scenario, inputs)
    for name, column in exact.columns.items():
        # `rational` takes the learning rate for 1/100, 50 digits for the double that every backend is given
        np.testing.assert_allclose(truth.columns[name], column, rtol=1e-15, atol=0, err_msg=name)


# ---------------------------------------------------------------- the same for the same


def test_the_same_scenario_has_the_same_truth() -> None:
    one, other = reference_of(SMALL), reference_of(SMALL)
    assert all(identical(one.truth[mode], other.truth[mode]) for mode in MODES)
    assert all(identical(one.twin[mode], other.twin[mode]) for mode in MODES)
    for mode in MODES:
        for name, envelope in one.envelope[mode].items():
            np.testing.assert_array_equal(envelope, other.envelope[mode][name], err_msg=f"{name} in {mode}")


def test_the_twin_is_what_the_reference_backend_does() -> None:
    twin = reference_of(SMALL).twin["free"]
    assert identical(twin, record_here(NumpyBackend(), "b", SMALL, make_inputs(SMALL)))


# ---------------------------------------------------------------- resync


@pytest.mark.parametrize("dtype", WIDER)
def test_states_are_the_truth_before_the_step_rounded_to_the_dtype(dtype: str) -> None:
    scenario = in_dtype(dtype)
    reference, initial = reference_of(scenario), make_inputs(scenario).initial
    assert reference.states.keys() == initial.keys()
    for name, states in reference.states.items():
        truth = reference.truth["resync"].columns[name]
        assert states.dtype == FORMATS[dtype].dtype  # so that every backend can hold them exactly
        np.testing.assert_array_equal(states[0], initial[name])
        np.testing.assert_array_equal(states[1:], truth[:-1].astype(states.dtype))


@pytest.mark.parametrize("dtype", WIDER)
def test_each_step_of_the_truth_starts_from_its_state(dtype: str) -> None:
    scenario = in_dtype(dtype)
    inputs = make_inputs(scenario)
    reference = reference_of(scenario, inputs=inputs)
    for step, batch in enumerate(inputs.batches()):
        session = Rules(WIDER[dtype]).session(scenario, inputs)
        session.load(step, {name: states[step] for name, states in reference.states.items()})
        for name, value in session.step(step, batch).items():
            row = reference.truth["resync"].columns[name][step]
            np.testing.assert_array_equal(row[: len(value)] if row.ndim else row, value, err_msg=f"{name} at {step}")


def test_resync_parts_from_free_once_a_state_was_rounded() -> None:
    truth = reference_of(SMALL).truth
    free, resync = (truth[mode].columns["loss"] for mode in ("free", "resync"))
    assert free[0] == resync[0]
    assert (free[1:] != resync[1:]).all()


@pytest.mark.parametrize("mode", MODES)
def test_only_the_modes_asked_for_are_run(mode: Mode) -> None:
    reference = reference_of(SMALL, (mode,))
    assert list(reference.truth) == list(reference.twin) == list(reference.envelope) == [mode]
    assert reference.truth[mode].manifest.mode == mode
    assert bool(reference.states) == (mode == "resync")


# ---------------------------------------------------------------- the envelope


@pytest.mark.parametrize("dtype", WIDER)
@pytest.mark.parametrize("mode", MODES)
def test_every_element_of_the_truth_has_an_envelope(dtype: str, mode: Mode) -> None:
    scenario = in_dtype(dtype)
    reference = reference_of(scenario, (mode,))
    envelope, truth = reference.envelope[mode], reference.truth[mode].columns
    assert list(envelope) == list(truth) == list(quantity_shapes(scenario))
    assert {name: e.shape for name, e in envelope.items()} == {name: column.shape for name, column in truth.items()}
    assert {name: bool(np.isfinite(e).all() and (e > 0).all()) for name, e in envelope.items() if name != "lr"} == (
        dict.fromkeys(set(truth) - {"lr"}, True)
    )


@pytest.mark.parametrize("dtype", WIDER)
@pytest.mark.parametrize("mode", MODES)
def test_the_rules_in_the_dtype_itself_are_inside_the_envelope(dtype: str, mode: Mode) -> None:
    reference = reference_of(in_dtype(dtype), (mode,))
    for name, envelope in reference.envelope[mode].items():
        twin = reference.twin[mode].columns[name].astype(np.float64)
        assert (np.abs(twin - reference.truth[mode].columns[name]) <= envelope).all(), name


def test_more_runs_see_more() -> None:
    inputs = make_inputs(SMALL)
    few, many = (
        make_reference(SMALL, inputs, ("resync",), factor=FACTOR, runs=runs).envelope["resync"] for runs in (1, 64)
    )
    assert all(many[name].sum() > few[name].sum() for name in few if name != "lr")


# ---------------------------------------------------------------- runs that overflow

BOOM: dict[str, Any] = {
    "name": "boom",
    "title": "Steps so long that every dtype overflows",
    "epochs": 14,
    "batch_size": 2,
    "data": {"kind": "inline", "x": [[3], [-3]], "y": [[1], [1]]},
    "layers": [
        {"name": "hidden", "kind": "linear", "weight": [[2], [-1]]},
        {"name": "hidden_act", "kind": "relu"},
        {"name": "output", "kind": "linear", "weight": [[1, 2]]},
    ],
    "loss": {"kind": "mse"},
    "optimizer": {"kind": "sgd", "lr": 50},
    "batch_gradient_is_mean": True,
}


@pytest.mark.parametrize("dtype", WIDER)
def test_an_overflow_is_recorded_without_a_word(dtype: str) -> None:
    """A warning here, which is an error in these tests, would stop the run of whoever makes an error of warnings."""
    scenario = parse_scenario(BOOM | {"dtype": dtype})
    inputs = make_inputs(scenario)
    reference = reference_of(scenario, inputs=inputs)
    mean_of_sample_gradients(scenario, inputs, reference)
    assert not np.isfinite(reference.twin["free"].columns["loss"]).all()


@pytest.mark.parametrize("dtype", WIDER)
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_overflows_has_an_envelope_and_a_finite_one_before_it_does(dtype: str, mode: Mode) -> None:
    reference = reference_of(parse_scenario(BOOM | {"dtype": dtype}), (mode,))
    envelope = reference.envelope[mode]
    assert [name for name, column in envelope.items() if np.isnan(column).any()] == []
    assert [name for name, column in envelope.items() if not np.isfinite(column[0]).all()] == []


def test_fifty_digits_overflow_where_float64_does() -> None:
    reference = reference_of(parse_scenario(BOOM | {"dtype": "float64"}))
    truth, twin = (side["resync"].columns["forward/hidden_act"] for side in (reference.truth, reference.twin))
    np.testing.assert_array_equal(np.isnan(truth), np.isnan(twin))
    assert np.isnan(truth).any()
