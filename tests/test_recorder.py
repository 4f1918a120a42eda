"""Is what a session returns kept as it was, and is a session that changes its mind refused?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from backends.numpy_manual import NumpyBackend
from harness import Session, load_scenario
from harness.assess import identical
from harness.inputs import Inputs, make_inputs
from harness.recorder import RecordError, record_here, recorded_steps
from harness.reference import WIDER, make_reference
from harness.scenario import Scenario

SCENARIO = load_scenario("article/sum_regression_minibatch").model_copy(update={"epochs": 1, "batch_size": 30})
INPUTS = make_inputs(SCENARIO)  # 4 steps, the last of 10 samples

Change = Callable[[int, dict[str, np.ndarray]], None]


class Changed(NumpyBackend):
    """The reference backend, with ``change(step, quantities)`` applied to what each step returns."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        inner, change = super().session(scenario, inputs), self.change

        class Session_(Session):
            count = 0

            def load(self, state: Mapping[str, np.ndarray]) -> None:
                inner.load(state)

            def step(self, x: np.ndarray, y: np.ndarray) -> Mapping[str, np.ndarray]:
                seen = dict(inner.step(x, y))
                change(self.count, seen)
                self.count += 1
                return seen

        return Session_()


def recorded(change: Change = lambda step, seen: None, **options):
    return record_here(Changed(change), "changed", SCENARIO, INPUTS, **options)


def test_a_smaller_batch_is_filled_up_with_zeros() -> None:
    column = recorded().columns["forward/output"]
    assert column.shape == (4, 30, 2)
    assert not column[3, 10:].any()
    assert column[3, :10].any()


@pytest.mark.parametrize(
    ("steps", "every", "kept"),
    [(1, 1, [0]), (4, 1, [0, 1, 2, 3]), (4, 2, [0, 2, 3]), (5, 2, [0, 2, 4]), (4, 99, [0, 3])],
)
def test_every_so_many_steps_and_the_last(steps: int, every: int, kept: list[int]) -> None:
    assert recorded_steps(steps, every).tolist() == kept


def test_recording_fewer_steps_changes_no_number() -> None:
    whole, some = recorded(), recorded(every=2)
    assert identical(whole.every(some.steps), some)


def test_only_the_quantities_asked_for_are_kept() -> None:
    assert list(recorded(quantities="loss, grad/*").columns) == ["loss", "grad/output.weight", "grad/hidden.weight"]


def test_what_is_kept_is_a_copy_and_frozen() -> None:
    buffer = np.zeros((2, 4), np.float32)

    def reuse(step: int, seen: dict[str, np.ndarray]) -> None:
        buffer[:] = step
        seen["grad/output.weight"] = buffer

    column = recorded(reuse).columns["grad/output.weight"]
    assert column[:, 0, 0].tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        column[0] = 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda seen: seen.pop("loss"), r"step 2: loss was lost"),
        (lambda seen: seen.update(more=seen["loss"]), r"step 2: more was added"),
        (lambda seen: seen.update(loss=np.float64(1)), r"step 2: loss became float64; it was float32"),
        (
            lambda seen: seen.update({"grad/output.weight": seen["grad/output.weight"].T}),
            r"step 2: grad/output\.weight has shape \(4, 2\); it had \(2, 4\)",
        ),
        (
            lambda seen: seen.update({"grad/output.weight": seen["grad/output.weight"][:1]}),
            r"step 2: grad/output\.weight has shape \(1, 4\)",
        ),
    ],
)
def test_a_session_that_changes_its_mind_is_refused(change: Callable, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        recorded(lambda step, seen: change(seen) if step == 2 else None)


# ---------------------------------------------------------------- the reference


@pytest.mark.parametrize("dtype", WIDER)
def test_the_truth_is_finer_than_the_dtype(dtype: str) -> None:
    scenario = SCENARIO.model_copy(update={"dtype": dtype})
    reference = make_reference(scenario, make_inputs(scenario), ("free", "resync"))
    for mode in ("free", "resync"):
        truth, twin = (side[mode].columns["grad/hidden.weight"] for side in (reference.truth, reference.twin))
        assert (truth.dtype, twin.dtype) == (np.float64, np.dtype(dtype))
        assert (truth != twin).any()
        np.testing.assert_allclose(truth, twin, rtol=100 * np.finfo(dtype).eps)


def test_resync_starts_each_step_from_the_truth_before_it_rounded() -> None:
    reference = make_reference(SCENARIO, INPUTS, ("free", "resync"))
    for name, states in reference.states.items():
        truth = reference.truth["resync"].columns[f"weight/{name}"]
        assert states.dtype == np.float32
        np.testing.assert_array_equal(states[0], INPUTS.initial[name])
        np.testing.assert_array_equal(states[1:], truth[:-1].astype(np.float32))
