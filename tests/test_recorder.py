"""Is what a session returns kept as it was, and is a session that changes its mind refused?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from isograd import Session, load_scenario
from isograd.assess import identical
from isograd.backends.numpy_manual import NumpyBackend
from isograd.inputs import Batch, Inputs, fingerprint, make_inputs
from isograd.recorder import RecordError, record_here, recorded_steps
from isograd.scenario import Scenario
from isograd.trace import Trace

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

            def load(self, t: int, state: Mapping[str, np.ndarray]) -> None:
                inner.load(t, state)

            def step(self, t: int, batch: Batch) -> Mapping[str, np.ndarray]:
                seen = dict(inner.step(t, batch))
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


def test_a_full_batch_where_a_smaller_one_is_due_is_kept_and_so_is_seen() -> None:
    def stale(step: int, seen: dict[str, np.ndarray]) -> None:
        seen["forward/output"] = np.ones((30, 2), np.float32)

    assert recorded(stale).columns["forward/output"][3].all()


@pytest.mark.parametrize(
    ("steps", "every", "kept"),
    [(1, 1, [0]), (4, 1, [0, 1, 2, 3]), (4, 2, [0, 2, 3]), (5, 2, [0, 2, 4]), (4, 99, [0, 3])],
)
def test_every_so_many_steps_and_the_last(steps: int, every: int, kept: list[int]) -> None:
    assert recorded_steps(steps, every).tolist() == kept


def test_recording_fewer_steps_changes_no_number() -> None:
    whole, some = recorded(), recorded(every=2)
    assert identical(whole.every(some.steps), some)


IN_ORDER = [
    "lr",
    "forward/hidden",
    "forward/hidden_act",
    "forward/output",
    "loss",
    "backward/output",
    "backward/hidden_act",
    "backward/hidden",
    "grad/output.weight",
    "grad/hidden.weight",
    "weight/hidden.weight",
    "weight/output.weight",
]


def test_quantities_are_kept_in_the_order_of_execution() -> None:
    def shuffled(step: int, seen: dict[str, np.ndarray]) -> None:
        for name in sorted(seen):
            seen[name] = seen.pop(name)

    assert list(recorded(shuffled).columns) == IN_ORDER


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("*", IN_ORDER),
        ("loss", ["loss"]),
        ("grad/*,loss", ["loss", "grad/output.weight", "grad/hidden.weight"]),
        ("loss, grad/*", ["loss", "grad/output.weight", "grad/hidden.weight"]),
        ("*/hidden.weight", ["grad/hidden.weight", "weight/hidden.weight"]),
        ("forward/hidden", ["forward/hidden"]),
        ("FORWARD/*", []),
        ("state/*", []),
    ],
)
def test_only_the_quantities_asked_for_are_kept(pattern: str, kept: list[str]) -> None:
    assert list(recorded(quantities=pattern).columns) == kept


def test_a_quantity_that_the_scenario_does_not_have_is_kept_last_whatever_was_asked_for() -> None:
    def more(step: int, seen: dict[str, np.ndarray]) -> None:
        seen.update(extra=np.float32(step))

    columns = recorded(more, quantities="loss").columns
    assert list(columns) == ["loss", "extra"]
    assert columns["extra"].tolist() == [0, 1, 2, 3]


def test_a_quantity_that_is_never_returned_is_left_out() -> None:
    assert "loss" not in recorded(lambda step, seen: seen.pop("loss")).columns


def test_the_manifest_says_where_a_trace_came_from() -> None:
    manifest = recorded(every=2).manifest
    assert (manifest.scenario, manifest.backend, manifest.mode) == (SCENARIO.name, "changed", "free")
    assert (manifest.dtype, manifest.steps) == ("float32", 4)  # steps of the run, recorded or not
    assert manifest.fingerprint == fingerprint(SCENARIO, INPUTS)
    assert manifest.environment["numpy"] == np.__version__


def test_a_trace_holds_what_it_was_made_from() -> None:
    trace = recorded(every=2, quantities="loss,grad/*")
    assert trace.inputs is INPUTS
    assert Scenario.model_validate(trace.manifest.spec) == SCENARIO.model_copy(update={"folder": ""})
    assert (trace.manifest.every, trace.manifest.pattern) == (2, "loss,grad/*")


def test_in_resync_every_step_starts_from_the_state_that_is_given() -> None:
    states = {name: np.stack([value * (step + 1) for step in range(4)]) for name, value in INPUTS.initial.items()}
    trace = recorded(states=states)
    assert trace.manifest.mode == "resync"
    x = [x for x, _ in INPUTS.batches()]
    for step, column in enumerate(trace.columns["forward/hidden"]):
        np.testing.assert_array_equal(column[: len(x[step])], x[step] @ states["weight/hidden.weight"][step].T)


def test_a_state_is_loaded_before_steps_that_are_not_recorded_too() -> None:
    loaded = []

    class Counts(NumpyBackend):
        def session(self, scenario: Scenario, inputs: Inputs) -> Session:
            session = super().session(scenario, inputs)
            load = session.load
            session.load = lambda t, state: (loaded.append(t), load(t, state))
            return session

    states = {name: np.stack([value] * 4) for name, value in INPUTS.initial.items()}
    record_here(Counts(), "counts", SCENARIO, INPUTS, states=states, every=99)
    assert loaded == [0, 1, 2, 3]


def test_what_is_kept_is_a_copy_and_frozen() -> None:
    buffer = np.zeros((2, 4), np.float32)

    def reuse(step: int, seen: dict[str, np.ndarray]) -> None:
        buffer[:] = step
        seen["grad/output.weight"] = buffer

    column = recorded(reuse).columns["grad/output.weight"]
    buffer[:] = 9
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
        (
            lambda seen: seen.update({"forward/output": seen["forward/output"][:, :1]}),
            r"step 2: forward/output has shape \(30, 1\); it had \(30, 2\)",
        ),
        (
            lambda seen: seen.update({"forward/output": np.zeros((31, 2), np.float32)}),
            r"step 2: forward/output has shape \(31, 2\); it had \(30, 2\)",
        ),
        (lambda seen: seen.update(loss=np.ones(1, np.float32)), r"step 2: loss has shape \(1,\); it had \(\)"),
        (lambda seen: seen.update(loss=1.5), r"step 2: loss became float64; it was float32"),
    ],
)
def test_a_session_that_changes_its_mind_is_refused(change: Callable, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        recorded(lambda step, seen: change(seen) if step == 2 else None)


def test_a_quantity_that_was_not_asked_for_must_not_come_and_go_either() -> None:
    with pytest.raises(RecordError, match=r"step 2: loss was lost"):
        recorded(lambda step, seen: seen.pop("loss") if step == 2 else None, quantities="lr")


def test_a_plain_number_is_recorded_as_what_python_makes_of_it() -> None:
    """And so is judged: a loss of float64 where float32 was asked for is a divergence, and no crash."""
    assert recorded(lambda step, seen: seen.update(loss=float(seen["loss"]))).columns["loss"].dtype == np.float64


# ---------------------------------------------------------------- what a backend is given is its own


class WritesInto(NumpyBackend):
    """The reference backend, which then writes into what it was given, where it was told to."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        inner, what = super().session(scenario, inputs), self.what
        values = {name: np.array(value) for name, value in inputs.initial.items()}
        inner.load(0, values)  # so that only what is written into is wrong

        class Session_(Session):
            def load(self, t: int, state: Mapping[str, np.ndarray]) -> None:
                inner.load(t, {name: np.array(value) for name, value in state.items()})
                for value in state.values():
                    if what == "states":
                        value *= 2

            def step(self, t: int, batch: Batch) -> Mapping[str, np.ndarray]:
                seen = {name: np.array(value) for name, value in inner.step(t, batch).items()}
                written = {
                    "batch": [*batch],
                    "data": [inputs.x, inputs.y],
                    "order": [inputs.order],
                    "initial": list(inputs.initial.values()),
                }
                for array in written.get(what, ()):
                    array[...] = array[::-1] * 2 if what != "order" else 0
                return seen

        return Session_()


@pytest.mark.parametrize("mode", ["free", "resync"])
@pytest.mark.parametrize("what", ["batch", "data", "order", "initial", "states"])
def test_what_a_backend_writes_into_its_inputs_reaches_nobody_else(what: str, mode: str) -> None:
    """Neither what is stored, nor the next step, nor the second run."""
    scenario = SCENARIO.model_copy(update={"epochs": 3})
    inputs, before = make_inputs(scenario), make_inputs(scenario)
    states = None
    if mode == "resync":
        states = {n: np.stack([v * (step + 1) for step in range(inputs.steps)]) for n, v in inputs.initial.items()}
    right = record_here(NumpyBackend(), "right", scenario, inputs, states=states)
    for _ in range(2):
        trace = record_here(WritesInto(what), "writes", scenario, inputs, states=states)
        assert identical(trace, right)
        assert trace.manifest.fingerprint == fingerprint(scenario, before)
    assert all(np.array_equal(value, inputs.arrays()[name]) for name, value in before.arrays().items())


def test_what_a_backend_writes_into_its_batch_before_it_computes_is_its_own_fault() -> None:
    class Doubles(NumpyBackend):
        def session(self, scenario: Scenario, inputs: Inputs) -> Session:
            session = super().session(scenario, inputs)
            step = session.step
            session.step = lambda t, batch: step(  # type: ignore[method-assign]
                t, Batch(np.multiply(batch.x, 2, out=batch.x), batch.y)
            )
            return session

    wrong, right = record_here(Doubles(), "doubles", SCENARIO, INPUTS), recorded()
    assert not identical(wrong, right)
    assert trace_inputs_are_those_that_were_given(wrong)


def trace_inputs_are_those_that_were_given(trace: Trace) -> bool:
    assert trace.inputs is not None
    return fingerprint(SCENARIO, trace.inputs) == trace.manifest.fingerprint == fingerprint(SCENARIO, INPUTS)
