"""Is the verdict right? Structure before classes before numbers, and nothing agrees that was not shown to agree."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from harness import Trace, Verdict
from harness.assess import between
from harness.comparison import compare_traces
from harness.errors import TraceError
from harness.findings import AS_PRINTED, CUT_OFF, DIFFERS, classify
from harness.judge import FACTOR, Judgement, drifts, judge, settle
from harness.noise import UNIT_ROUNDOFF, Rounding, noise_levels
from harness.scenario import Expect
from harness.trace import Manifest

STEPS = 10
MANIFEST = Manifest(scenario="s", fingerprint="f", backend="b", dtype="float32", mode="resync", steps=STEPS)
SHAPES = {"lr": (), "forward/output": (1, 2), "loss": (), "backward/output": (1, 2), "weight/output.weight": (2, 3)}


def a_trace(dtype: str = "float32") -> Trace:
    rng = np.random.default_rng(0)
    columns = {name: 1 + rng.random((STEPS, *shape)) for name, shape in SHAPES.items()}
    return Trace({k: v.astype("float32").astype(dtype) for k, v in columns.items()}, np.arange(STEPS), MANIFEST)


def changed(name: str, change: Callable[[np.ndarray], np.ndarray | None]) -> Trace:
    """A trace in which one column is what ``change`` makes of it; None leaves the column out."""
    trace = a_trace()
    columns = dict(trace.columns)
    result = change(columns[name].copy())
    if result is None:
        del columns[name]
    else:
        columns[name] = result
    return Trace(columns, trace.steps, MANIFEST)


def put(step: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(column: np.ndarray) -> np.ndarray:
        column.reshape(STEPS, -1)[step, -1] = value
        return column

    return change


def judged(trace: Trace, truth: Trace | None = None, **options: object) -> Judgement:
    truth = truth or a_trace("float64")
    comparison = compare_traces(trace, truth, dtype="float32", **options)
    magnitudes = {name: m.magnitude for name, m in comparison.measures.items()}
    levels = noise_levels(Rounding("float32", "resync", 4), magnitudes, np.array(comparison.steps), {})
    return judge(comparison, levels, "float32")


def test_a_trace_agrees_with_itself() -> None:
    found = judged(a_trace())
    assert (found.verdict, found.first, found.step, found.max_abs) == (Verdict.EQUIVALENT, "", None, 0.0)


@pytest.mark.parametrize("step", [0, 7, STEPS - 1])
@pytest.mark.parametrize("name", [name for name in SHAPES if name != "lr"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e3, 0.0])
def test_one_wrong_element_is_found_where_it_is(name: str, step: int, value: float) -> None:
    found = judged(changed(name, put(step, value)))
    assert (found.verdict, found.first, found.step) == (Verdict.DIVERGES, name, step)
    assert found.message.startswith(name)
    assert f"at step {step}: got {np.float32(value):.9g}, expected 1." in found.message
    assert not found.error_over_bound <= 1


def test_a_learning_rate_must_be_exact() -> None:
    found = judged(changed("lr", lambda lr: np.nextafter(lr, np.float32(9))))
    assert (found.verdict, found.first, found.step, found.error_over_bound) == (Verdict.DIVERGES, "lr", 0, np.inf)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("loss", lambda c: None, "loss: missing from the trace"),
        ("forward/output", lambda c: c.transpose(0, 2, 1), r"forward/output: has shape \(2, 1\), expected \(1, 2\)"),
        ("loss", lambda c: c.astype(np.float64), "loss: has dtype float64, expected float32"),
    ],
)
def test_structure_comes_before_numbers(name: str, change: Callable, message: str) -> None:
    trace = changed(name, change)
    trace.columns["lr"][:] = 5  # an earlier quantity is wrong too, but what cannot be compared comes first
    found = judged(trace)
    assert (found.verdict, found.first, found.step) == (Verdict.DIVERGES, name, 0)
    assert re.match(message, found.message)


def test_a_quantity_that_nobody_asked_for_is_a_divergence() -> None:
    trace = a_trace()
    extra = Trace(dict(trace.columns) | {"buffer/x.y": trace.columns["loss"]}, trace.steps, MANIFEST)
    found = judged(extra)
    assert (found.verdict, found.first) == (Verdict.DIVERGES, "buffer/x.y")
    assert judged(
        trace, Trace({"loss": a_trace("float64").columns["loss"]}, trace.steps, MANIFEST), partial=True
    ).verdict


def test_a_step_too_few_is_found_at_the_step() -> None:
    short = a_trace().every(np.arange(STEPS - 1))
    found = judged(short)
    assert (found.verdict, found.step) == (Verdict.DIVERGES, STEPS - 1)
    assert f"recorded {STEPS - 1} steps, expected {STEPS}; step {STEPS - 1} is the first missing" in found.message


def test_traces_without_a_common_step_cannot_be_compared() -> None:
    with pytest.raises(TraceError, match="no step in common"):
        compare_traces(a_trace().every(np.array([1])), a_trace().every(np.array([2])))


def test_the_first_is_first_in_order_within_the_earliest_step() -> None:
    trace = changed("loss", put(4, 9.0))
    trace.columns["forward/output"].setflags(write=True)
    trace.columns["forward/output"][4] = 9.0
    trace.columns["lr"][5] = 9.0
    found = judged(trace)
    assert (found.first, found.step) == ("forward/output", 4)


def of(value: float) -> Trace:
    columns = {name: np.full((STEPS, *shape), value, np.float32) for name, shape in SHAPES.items()}
    return Trace(columns, np.arange(STEPS), MANIFEST)


@pytest.mark.parametrize("value", [0.0, -0.0, np.nan, np.inf])
def test_what_shows_nothing_is_vacuous(value: float) -> None:
    assert judged(of(value), of(value)).verdict is Verdict.VACUOUS


def test_a_learning_rate_alone_shows_nothing() -> None:
    lr = Trace({"lr": a_trace().columns["lr"]}, np.arange(STEPS), MANIFEST)
    assert judged(lr, lr).verdict is Verdict.VACUOUS


def test_all_zeros_against_numbers_diverges_at_once() -> None:
    found = judged(of(0.0))
    assert (found.verdict, found.first, found.step) == (Verdict.DIVERGES, "lr", 0)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_noise_is_sqrt_n_u_times_the_largest_so_far(dtype: str) -> None:
    magnitude = np.array([2.0, 1.0, 4.0])
    level = noise_levels(Rounding(dtype, "resync", 9), {"loss": magnitude}, np.arange(3), {})["loss"]
    np.testing.assert_allclose(level, 3 * UNIT_ROUNDOFF[dtype] * np.array([2, 2, 4]), rtol=1e-3)


def test_noise_grows_with_the_root_of_the_steps_in_free() -> None:
    one = np.ones(100)
    free = noise_levels(Rounding("float64", "free", 1), {"loss": one}, np.arange(100), {})["loss"]
    assert free[99] / free[0] == pytest.approx(10)


def test_noise_is_at_least_what_the_sample_shows_and_an_overflow_shows_nothing() -> None:
    sample = {"loss": np.array([0.5, 0.25, np.inf])}
    level = noise_levels(Rounding("float32", "resync", 1), {"loss": np.ones(3)}, np.arange(3), sample)["loss"]
    assert level.tolist() == [0.5, 0.5, 0.5]


def test_a_saturated_sigmoid_passes_its_noise_on() -> None:
    layers = (("hidden", "linear"), ("act", "sigmoid"))
    magnitudes = {name: np.array([1.0]) for name in ("forward/hidden", "forward/act", "loss", "backward/act")}
    magnitudes |= {"backward/hidden": np.array([1e-6]), "grad/hidden.weight": np.array([1e-5])}
    magnitudes |= {"weight/hidden.weight": np.array([1.0])}
    level = noise_levels(Rounding("float32", "resync", 1, layers, residual=1.0, lr=0.1), magnitudes, np.arange(1), {})
    u = UNIT_ROUNDOFF["float32"]
    # 1 − a is known to u, not to u (1 − a): the noise is that of d, and the weight's gradient inherits it
    assert level["backward/hidden"][0] == pytest.approx(u)
    assert level["grad/hidden.weight"][0] == pytest.approx(10 * u)
    assert level["weight/hidden.weight"][0] == pytest.approx(2 * u)


def test_every_kind_of_quantity_has_a_factor() -> None:
    assert {name.partition("/")[0] for name in SHAPES} | {"grad"} == set(FACTOR)


EXPECT = Expect(verdict="DIVERGES", first="loss", step=3, reason="because")


@pytest.mark.parametrize(
    ("judgement", "expect", "identical", "verdict"),
    [
        (Judgement(Verdict.EQUIVALENT), None, True, Verdict.IDENTICAL),
        (Judgement(Verdict.EQUIVALENT), None, False, Verdict.EQUIVALENT),
        (Judgement(Verdict.DIVERGES, "loss", 3), None, True, Verdict.DIVERGES),
        (Judgement(Verdict.VACUOUS), None, True, Verdict.VACUOUS),
        (Judgement(Verdict.DIVERGES, "loss", 3), EXPECT, False, Verdict.EXPECTED),
        (Judgement(Verdict.DIVERGES, "loss", 4), EXPECT, False, Verdict.DIVERGES),
        (Judgement(Verdict.DIVERGES, "lr", 3), EXPECT, False, Verdict.DIVERGES),
        (Judgement(Verdict.EQUIVALENT), EXPECT, True, Verdict.STALE),
        (Judgement(Verdict.VACUOUS), EXPECT, False, Verdict.VACUOUS),
    ],
)
def test_what_was_expected_decides(
    judgement: Judgement, expect: Expect | None, identical: bool, verdict: Verdict
) -> None:
    assert settle(judgement, expect, identical).verdict is verdict


@pytest.mark.parametrize(
    ("free", "resync", "verdict"),
    [
        (Verdict.DIVERGES, Verdict.EQUIVALENT, Verdict.DRIFTS),
        (Verdict.DIVERGES, Verdict.IDENTICAL, Verdict.DRIFTS),
        (Verdict.DIVERGES, Verdict.DIVERGES, Verdict.DIVERGES),
        (Verdict.DIVERGES, Verdict.ERROR, Verdict.DIVERGES),
        (Verdict.EQUIVALENT, Verdict.DIVERGES, Verdict.EQUIVALENT),
    ],
)
def test_only_a_run_that_is_right_step_by_step_drifts(free: Verdict, resync: Verdict, verdict: Verdict) -> None:
    assert drifts(Judgement(free), Judgement(resync)).verdict is verdict


def test_green_is_what_was_shown_to_agree() -> None:
    assert {v for v in Verdict if v.green} == {Verdict.IDENTICAL, Verdict.EQUIVALENT, Verdict.EXPECTED}


def test_two_traces_are_judged_without_a_reference() -> None:
    assert between(a_trace(), a_trace())[1].verdict is Verdict.EQUIVALENT
    found = between(changed("loss", put(6, 2.5)), a_trace())[1]
    assert (found.verdict, found.first, found.step) == (Verdict.DIVERGES, "loss", 6)


@pytest.mark.parametrize(
    ("printed", "computed", "status"),
    [
        ("0.9997", 0.99972542, AS_PRINTED),
        ("0.9999", 0.99999815, CUT_OFF),
        ("0.9998", 0.99989897, CUT_OFF),
        ("0.9933", 0.99451370, DIFFERS),
        ("70", 70.0, AS_PRINTED),
        ("70", 70.5, AS_PRINTED),
        ("70", 70.51, CUT_OFF),
        ("70", 71.0, DIFFERS),
        ("-9.88", -9.880000114, AS_PRINTED),
        ("-9.88", -9.8899, CUT_OFF),
        ("-9.88", 9.88, DIFFERS),
    ],
)
def test_a_printed_number_holds_at_its_printed_precision(printed: str, computed: float, status: str) -> None:
    assert classify(printed, computed) == status
