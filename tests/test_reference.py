"""Is the truth finer than what is measured with it, and does resync start every step from it?"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from backends.numpy_manual import NumpyBackend
from harness import Scenario, load_scenario
from harness.assess import identical
from harness.catalogue import parse_scenario
from harness.identity import mean_of_sample_gradients
from harness.inputs import make_inputs
from harness.recorder import record_here
from harness.reference import WIDER, Reference, make_reference
from harness.spec import DType
from harness.trace import MODES, Mode

SMALL = load_scenario("article/sum_regression_minibatch").model_copy(update={"epochs": 1, "batch_size": 30})


def in_dtype(dtype: str, name: str | Scenario = SMALL) -> Scenario:
    scenario = name if isinstance(name, Scenario) else load_scenario(name)
    return scenario.model_copy(update={"dtype": dtype})


def reference_of(scenario: Scenario, modes: tuple[Mode, ...] = MODES) -> Reference:
    return make_reference(scenario, make_inputs(scenario), modes)


# ---------------------------------------------------------------- how fine it is


def test_every_dtype_has_a_wider_arithmetic() -> None:
    assert WIDER == {"float16": "float64", "float32": "float64", "float64": "mp50"}
    assert WIDER.keys() == set(get_args(DType))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", WIDER)
def test_the_truth_is_finer_than_the_dtype(dtype: str, mode: Mode) -> None:
    reference = reference_of(in_dtype(dtype))
    truth, twin = (side[mode].columns["grad/hidden.weight"] for side in (reference.truth, reference.twin))
    assert (truth.dtype, twin.dtype) == (np.float64, np.dtype(dtype))
    assert (truth != twin).any()
    np.testing.assert_allclose(truth, twin, rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_narrow_dtypes_have_the_rules_in_float64_for_their_truth(dtype: str) -> None:
    scenario = in_dtype(dtype)
    inputs = make_inputs(scenario)
    double = record_here(NumpyBackend("float64", rounded=False), "b", scenario, inputs)
    assert identical(double, make_reference(scenario, inputs, ("free",)).truth["free"])


def test_fifty_digits_differ_from_float64_by_its_rounding_and_no_more() -> None:
    scenario = in_dtype("float64")
    reference = reference_of(scenario, ("free",))
    for name, truth in reference.truth["free"].columns.items():
        error = np.abs(truth - reference.twin["free"].columns[name]).max()
        assert error <= 1e-14 * np.abs(truth).max(), name
        assert (error > 0) == (name != "lr"), name


def test_the_truth_of_float64_is_that_of_fractions_to_the_last_digit() -> None:
    scenario = in_dtype("float64", "article/worked_backprop")
    inputs = make_inputs(scenario)
    exact = record_here(NumpyBackend("rational"), "b", scenario, inputs)
    truth = make_reference(scenario, inputs, ("free",)).truth["free"]
    for name, column in exact.columns.items():
        # fractions take the learning rate for 1/100, the truth for the double that every backend is given
        np.testing.assert_allclose(truth.columns[name], column, rtol=1e-15, atol=0, err_msg=name)


def test_the_same_scenario_has_the_same_truth() -> None:
    one, other = reference_of(SMALL), reference_of(SMALL)
    assert all(identical(one.truth[mode], other.truth[mode]) for mode in MODES)
    assert all(identical(one.twin[mode], other.twin[mode]) for mode in MODES)


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
        truth = reference.truth["resync"].columns[f"weight/{name}"]
        assert states.dtype == dtype  # so that every backend can hold them exactly
        np.testing.assert_array_equal(states[0], initial[name])
        np.testing.assert_array_equal(states[1:], truth[:-1].astype(dtype))


@pytest.mark.parametrize("dtype", WIDER)
def test_each_step_of_the_truth_starts_from_its_state(dtype: str) -> None:
    scenario = in_dtype(dtype)
    inputs = make_inputs(scenario)
    reference = make_reference(scenario, inputs, MODES)
    for step, (x, y) in enumerate(inputs.batches()):
        session = NumpyBackend(WIDER[dtype], rounded=False).session(scenario, inputs)
        session.load({name: states[step] for name, states in reference.states.items()})
        for name, value in session.step(x, y).items():
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
    assert list(reference.truth) == list(reference.twin) == [mode]
    assert reference.truth[mode].manifest.mode == mode
    assert bool(reference.states) == (mode == "resync")


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
    reference = make_reference(scenario, inputs, MODES)
    mean_of_sample_gradients(scenario, inputs, reference)
    assert not np.isfinite(reference.twin["free"].columns["loss"]).all()


def test_fifty_digits_overflow_where_float64_does() -> None:
    reference = reference_of(parse_scenario(BOOM | {"dtype": "float64"}))
    truth, twin = (side["resync"].columns["forward/hidden_act"] for side in (reference.truth, reference.twin))
    np.testing.assert_array_equal(np.isnan(truth), np.isnan(twin))
    assert np.isnan(truth).any()
