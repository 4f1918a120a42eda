"""Is a search for causes as large as it may be: in memory, in what is tried, in what it says of itself?"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isograd.backends.numpy_manual import NumpyBackend
from isograd.changes.catalogue import CATALOGUE
from isograd.changes.catalogue.losses import OF_SQUARES
from isograd.changes.change import Both
from isograd.changes.changed import ChangedSession
from isograd.changes.reading import distances, nearest
from isograd.changes.sabotage import wrap
from isograd.explanation import Account, explain
from isograd.explanation.effort import effort_of
from isograd.explanation.local import make_local
from isograd.explanation.localise import localise
from isograd.explanation.looks import Look, _has_rank_one, _looks
from isograd.explanation.rerun import Rerun
from isograd.explanation.search import Search
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.recorder import record_here
from isograd.reference import resync
from isograd.rules import Rules
from isograd.scenario import Scenario
from isograd.trace import Trace
from tests.test_faults import MIXED
from tests.test_sabotage import SQUARE

pytestmark = pytest.mark.nightly

DRAWN = {"draw": "normal", "scale": 0.5}
DEEP = SQUARE | {
    "name": "deep",
    "layers": [
        {"name": "one", "kind": "linear", "outputs": 3, "weight": DRAWN, "bias": DRAWN},
        {"name": "one_act", "kind": "sigmoid"},
        {"name": "two", "kind": "linear", "outputs": 3, "weight": DRAWN, "bias": DRAWN},
        {"name": "two_act", "kind": "sigmoid"},
        {"name": "three", "kind": "linear", "outputs": 2, "weight": DRAWN, "bias": DRAWN},
    ],
}
TALL: dict[str, Any] = {
    "name": "tall",
    "title": "A batch of 2,000 samples",
    "epochs": 1,
    "batch_size": 2000,
    "data": {"kind": "gaussian", "samples": 2000, "features": 3, "target": "sum"},
    "layers": [
        {"name": "one", "kind": "linear", "outputs": 4, "weight": DRAWN, "bias": DRAWN},
        {"name": "one_act", "kind": "relu"},
        {"name": "two", "kind": "linear", "outputs": 1, "weight": DRAWN, "bias": DRAWN},
    ],
    "loss": {"kind": "mse"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
}
WIDE = TALL | {
    "name": "wide",
    "title": "A weight of 220 × 220",
    "batch_size": 8,
    "data": {"kind": "gaussian", "samples": 8, "features": 220, "target": "sum"},
    "layers": [
        {"name": "one", "kind": "linear", "outputs": 220, "weight": {"draw": "normal", "scale": 0.05}, "bias": DRAWN},
        {"name": "one_act", "kind": "relu"},
        {"name": "two", "kind": "linear", "outputs": 1, "weight": {"draw": "normal", "scale": 0.05}},
    ],
}


def faulty(raw: dict[str, Any], fault: str) -> tuple[Scenario, Any, Trace, Any]:
    """A scenario, its inputs, a trace of it with a fault, and its states."""
    scenario = parse_scenario(raw)
    inputs = make_inputs(scenario)
    states, _ = resync(Rules("float64"), scenario, inputs)
    options = dict(option.split("=") for option in f"fault={fault}".split(","))
    return (
        scenario,
        inputs,
        record_here(wrap(NumpyBackend(), options), "faulty", scenario, inputs, states=states),
        states,
    )


def account(raw: dict[str, Any], fault: str) -> Account:
    found = explain(*faulty(raw, fault))
    assert found is not None
    return found


# ---------------------------------------------------------------- all places at once

EVERYWHERE = {
    "derivative_left_out": "the derivative of every activation is left out",
    "weight_transposed": "the weight of every linear layer is transposed",
    "bias_scale": "the bias of every linear layer is added 2 times",
    "bias_mean": "the gradient of the bias of every linear layer is a mean over the batch, not a sum",
    "units_swapped": "the units of every linear layer are in another order, and the layer above does not know of it",
    "gradient_transposed": "the gradient of every weight is reshaped where it should be transposed",
}


@pytest.mark.parametrize("fault", EVERYWHERE)
def test_a_fault_in_every_layer_at_once_is_named(fault: str) -> None:
    found = account(DEEP, fault)
    assert fault in found.ids.split(" or "), found.sentence
    assert EVERYWHERE[fault] in found.sentence


@pytest.mark.parametrize("fault", ["derivative_left_out", "bias_scale", "bias_mean", "weight_transposed"])
def test_of_a_fault_in_one_layer_that_one_is_named(fault: str) -> None:
    place = "two_act" if fault == "derivative_left_out" else "two"
    assert account(DEEP, f"{fault},at={place}").ids.split(" or ")[0] == f"{fault}({place})"


def test_every_change_of_a_layer_can_be_seeded_in_all_of_them() -> None:
    scenario = parse_scenario(DEEP)
    for fault in EVERYWHERE:
        assert next(CATALOGUE[fault].variants(scenario)).at == ""  # type: ignore[attr-defined]


# ---------------------------------------------------------------- two together


def test_a_second_change_that_does_nothing_changes_no_bit_and_no_envelope() -> None:
    scenario, inputs, trace, states = faulty(SQUARE, "weight_decay,by=0.05")
    rerun = Rerun(make_local(scenario, inputs, trace, states), np.arange(3))
    decay = CATALOGUE["weight_decay"](by=0.05)  # type: ignore[call-arg]
    idle = [CATALOGUE["nan_to_zero"](), CATALOGUE["update_skipped"](step=99), CATALOGUE["gradient_scale"](by=1.0)]  # type: ignore[call-arg]
    for other in idle:
        for both in (Both(decay, other), Both(other, decay)):
            for name in rerun.names:
                left = rerun.vector(decay, [name], rerun.steps)
                np.testing.assert_allclose(rerun.vector(both, [name], rerun.steps), left, rtol=1e-15)
            assert rerun.compare(both, rerun.steps)[0] == pytest.approx(rerun.compare(decay, rerun.steps)[0], rel=0.5)


def test_two_changes_together_have_no_more_rounding_than_one() -> None:
    scenario, inputs, trace, states = faulty(SQUARE, "weight_decay,by=0.05")
    rerun = Rerun(make_local(scenario, inputs, trace, states), np.arange(1))
    one, other = CATALOGUE["weight_decay"](by=0.05), CATALOGUE["update_scale"](by=1.0)  # type: ignore[call-arg]
    for both in (Both(one, other), Both(other, one)):
        (_, alone), (_, together) = (next(rerun._spreads(c, rerun.steps, rerun.noise(4))) for c in (one, both))
        for name in rerun.names:
            assert together[name][1].max() <= 1.5 * alone[name][1].max(), name


def test_a_partner_that_does_nothing_is_never_named() -> None:
    scenario, inputs, trace, states = faulty(SQUARE, "weight_decay,by=0.05")
    for by in (1.0 + 2e-6, 1.0 - 1.5e-6, 1.0 + 1e-6):  # just above what rounding explains
        column = np.array(trace.columns["weight/output.weight"])
        column *= np.float32(by)
        tampered = replace(trace, columns={**trace.columns, "weight/output.weight": column})
        found = explain(scenario, inputs, tampered, states)
        for cause in found.causes if found else ():
            for part in cause.change.parts:
                assert part.id in ("weight_decay", "update_scale", "gradient_scale"), cause.sentence


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize("kind", OF_SQUARES)
def test_labels_that_broadcast_are_what_all_pairs_come_to(kind: str) -> None:
    raw = TALL | {"loss": {"kind": kind}, "batch_size": 7, "data": TALL["data"] | {"samples": 7}}
    scenario = parse_scenario(raw)
    inputs = make_inputs(scenario)
    session = ChangedSession(scenario, inputs, CATALOGUE["labels_broadcast"]())
    yhat, y = np.random.Generator(np.random.PCG64(0)).standard_normal((2, 7, 1))
    rule, pairs = scenario.loss, (np.repeat(yhat, 7, axis=1), np.repeat(y.T, 7, axis=0))
    assert session.training.graph.loss.value(yhat, y) == pytest.approx(rule.value(*pairs), rel=1e-12)
    gradient = rule.gradient(*pairs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(session.training.graph.loss.gradient(yhat, y), gradient, rtol=1e-12, atol=1e-15)


def test_no_change_takes_much_more_memory_than_the_step_itself() -> None:
    for raw in (TALL, WIDE):
        scenario, inputs, trace, states = faulty(raw, "gradient_scale")
        local = make_local(scenario, inputs, trace, states)
        place = localise(local)
        assert place is not None
        search = Search(local, place)
        search.rerun.weights(search.rerun.names, search.rerun.steps)
        right = peak(
            lambda rerun=search.rerun: list(rerun.run(CATALOGUE["gradient_scale"](by=1), rerun.steps[:1], "float64"))
        )
        for change in search.candidates():
            taken = peak(lambda c=change, r=search.rerun: list(r.run(c, r.steps[:1], "float64")))
            assert taken <= 6 * right + 2_000_000, (change, taken, right)


def test_reading_options_off_and_looking_take_no_squares_of_the_batch() -> None:
    scenario, inputs, trace, states = faulty(TALL, "samples_reordered")
    local = make_local(scenario, inputs, trace, states)
    place = localise(local)
    assert place is not None
    search = Search(local, place)
    search.rerun.weights(search.rerun.names, search.rerun.steps)
    assert peak(lambda: list(search.candidates())) < 60_000_000
    assert peak(lambda: list(_looks(local, place, search.rerun))) < 60_000_000


def peak(what: Any) -> int:
    """Bytes that something takes at most."""
    tracemalloc.start()
    try:
        what()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_distances_come_in_pieces_and_are_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    a, b = rng.standard_normal((9, 4)), rng.standard_normal((7, 4))
    expected = np.abs(a[:, np.newaxis] - b).sum(axis=2)
    for at_once in (1, 60, 10**6):
        monkeypatch.setattr("isograd.changes.reading.AT_ONCE", at_once)
        np.testing.assert_array_equal(np.concatenate([far for _, far in distances(a, b)]), expected)
    assert nearest(np.array([[1.0, 1.0, 0.5], [2.0, 2.0, 3.0]]), np.array([0, 1])).tolist() == [2, 1]


# ---------------------------------------------------------------- what it may cost


def test_a_search_is_the_same_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    given = faulty(SQUARE, "labels_shifted,fault2=gradient_scale,by2=0.5")
    first = explain(*given)
    monkeypatch.setattr("time.monotonic", lambda: 1e9)
    assert first == explain(*given)


def test_what_would_cost_too_much_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = faulty(SQUARE, "weight_off,at=hidden.weight,ulp=64,step=3")
    column = np.array(strange[2].columns["grad/hidden.weight"])
    column[3:] += np.float32(0.01)
    trace = replace(strange[2], columns={**strange[2].columns, "grad/hidden.weight": column})
    given = (strange[0], strange[1], trace, strange[3])
    whole = explain(*given)
    assert whole is not None
    for where, cost, words in (
        ("pairs.PAIRS", 1e6, "some pairs of changes"),
        ("search.SINGLES", 1e7, " changes"),
        ("effort.STEPS", 1e6, "more than 2 of 9 steps"),
    ):
        monkeypatch.setattr(f"isograd.explanation.{where}", cost)
        found = explain(*given)
        assert found is not None
        assert words in found.sentence
        monkeypatch.undo()


def test_a_large_step_has_fewer_noisy_runs_and_is_compared_at_fewer_steps() -> None:
    wider = WIDE | {"data": WIDE["data"] | {"features": 400}}
    small, large = (effort_of(s, make_inputs(s)) for s in map(parse_scenario, (MIXED, wider)))
    assert small.steps(26) == 26
    assert not small.dear
    assert large.runs < small.runs == 16


@pytest.mark.nightly
def test_a_large_scenario_is_explained_as_a_small_one_is() -> None:
    for fault in (
        "gradient_scale,by=1.001",
        "derivative_left_out,at=one_act",
        "weight_off,at=one.weight,index=777,ulp=512",
    ):
        found = account(WIDE, fault)
        assert fault.partition(",")[0] in found.ids, (fault, found.sentence)


# ---------------------------------------------------------------- what it looks like


def look(right: Any, got: Any, bound: float = 1e-6) -> Look:
    right, got = np.asarray(right, np.float64), np.asarray(got, np.float64)
    return Look("grad/x", right, got, np.full(right.shape, bound))


def test_a_matrix_of_rank_one_is_known_without_its_singular_values() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    one, other = rng.standard_normal((2, 5)), rng.standard_normal((2, 7))
    assert _has_rank_one(np.outer(one[0], other[0]))
    assert not _has_rank_one(np.outer(one[0], other[0]) + 0.01 * np.outer(one[1], other[1]))
    assert not _has_rank_one(np.zeros((3, 3)))
    assert not _has_rank_one(np.full((3, 3), np.nan))
