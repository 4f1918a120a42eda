"""Is the verdict right? Structure before classes before numbers, and nothing agrees that was not shown to agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from harness import Trace, Verdict
from harness.assess import between, identical
from harness.comparison import compare_traces
from harness.errors import TraceError
from harness.judge import FACTOR, Judgement, bound, drifts, judge, settle
from harness.noise import UNIT_ROUNDOFF, Rounding, noise_levels
from harness.source import Expect
from harness.trace import MODES, Manifest, Mode

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


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "weight/output.weight",
            9.0,
            r"weight/output\.weight\[1, 2\] at step 3: got 9, expected 1\.\d+ "
            r"\(off by 7\.\d+, bound [\d.e-]+; 1 of 6 elements differ\)",
        ),
        (
            "forward/output",
            np.nan,
            r"forward/output\[0, 1\] at step 3: got nan, expected 1\.\d+ "
            r"\(one of them is not a finite number; 1 of 2 elements differ\)",
        ),
        ("loss", 9.0, r"loss at step 3: got 9, expected 1\.\d+ \(off by 7\.\d+, bound [\d.e-]+\)"),
        ("lr", 9.0, r"lr at step 3: got 9, expected 1\.\d+ \(off by 7\.\d+, bound 0\)"),
    ],
)
def test_the_message_says_where_what_came_what_was_expected_and_how_far_off(
    name: str, value: float, message: str
) -> None:
    assert re.fullmatch(message, judged(changed(name, put(3, value))).message)


@pytest.mark.parametrize(
    ("got", "expected", "agree"),
    [
        (np.nan, np.nan, True),
        (np.inf, np.inf, True),
        (-np.inf, -np.inf, True),
        (0.0, -0.0, True),
        (np.nan, 1.5, False),
        (1.5, np.nan, False),
        (np.inf, -np.inf, False),
        (np.inf, np.nan, False),
        (1.5, np.inf, False),
    ],
)
def test_classes_must_be_the_same(got: float, expected: float, agree: bool) -> None:
    trace = changed("loss", put(4, got))
    truth = changed("loss", put(4, expected))
    found = judged(trace, Trace({k: v.astype(float) for k, v in truth.columns.items()}, truth.steps, MANIFEST))
    assert (found.verdict, found.step) == ((Verdict.EQUIVALENT, None) if agree else (Verdict.DIVERGES, 4))


def test_an_overflow_is_called_one() -> None:
    truth = a_trace("float64")
    truth.columns["loss"][4] = 1e39
    found = judged(changed("loss", put(4, np.inf)), truth)
    assert (found.first, found.step) == ("loss", 4)
    assert found.message.endswith("the run overflows, float32 ends at 3.4e+38")


def test_no_overflow_is_no_excuse() -> None:
    assert "overflows" not in judged(changed("loss", put(4, np.inf))).message


# ---------------------------------------------------------------- the bound


def of_loss(values: list[float], dtype: str = "float32") -> Trace:
    return Trace({"loss": np.array(values, dtype)}, np.arange(len(values)), MANIFEST)


OFF = 2.0**-10  # of 1.0, and exact in float32


@pytest.mark.parametrize(
    ("level", "sides", "ratio"),
    [
        (OFF / 16, 1, 1.0),
        (np.nextafter(OFF / 16, 0), 1, np.nextafter(1.0, 2)),
        (OFF / 32, 2, 1.0),
        (OFF / 32, 1, 2.0),
        (OFF, 1, 1 / 16),
        (0.0, 1, np.inf),
        (np.nan, 1, np.nan),
        (np.inf, 1, 0.0),
    ],
)
def test_an_element_is_within_its_bound_or_diverges(level: float, sides: int, ratio: float) -> None:
    comparison = compare_traces(of_loss([1, 1 + OFF]), of_loss([1, 1]))
    found = judge(comparison, {"loss": np.full(2, level)}, "float32", sides)
    assert found.ratios is not None
    assert found.ratios["loss"].tolist() == pytest.approx([0.0, ratio], abs=0, rel=1e-15, nan_ok=True)
    assert found.verdict is (Verdict.EQUIVALENT if ratio <= 1 else Verdict.DIVERGES)
    assert found.step == (None if ratio <= 1 else 1)


def test_an_infinite_error_is_within_no_bound() -> None:
    comparison = compare_traces(of_loss([1, np.inf]), of_loss([1, 1]))
    found = judge(comparison, {"loss": np.full(2, np.inf)}, "float32")
    assert (found.verdict, found.step, found.error_over_bound) == (Verdict.DIVERGES, 1, np.inf)


def test_equal_numbers_are_within_every_bound() -> None:
    comparison = compare_traces(of_loss([1, 2]), of_loss([1, 2]))
    assert judge(comparison, {"loss": np.zeros(2)}, "float32").verdict is Verdict.EQUIVALENT


@pytest.mark.parametrize(
    ("quantity", "factor"),
    [("lr", 0), ("loss", 16), ("grad/a.weight", 16), ("state/a.weight.momentum", 16), ("buffer/a.mean", 16)],
)
def test_a_quantitys_kind_gives_its_factor(quantity: str, factor: int) -> None:
    assert bound(quantity, np.array([1.0, 0.5])).tolist() == [factor, factor / 2]
    assert bound(quantity, np.array([1.0]), sides=2).tolist() == [2 * factor]


def test_the_largest_of_all_is_kept_beside_the_first() -> None:
    trace = changed("loss", put(2, 3.0))
    trace.columns["weight/output.weight"][7, 0, 0] = 9.0
    found = judged(trace)
    assert (found.first, found.step) == ("loss", 2)
    assert found.max_abs == float(9.0 - a_trace("float64").columns["weight/output.weight"][7, 0, 0])
    assert found.error_over_bound == max(float(r.max()) for r in found.ratios.values())
    assert found.max_ulp > 2**23


# ---------------------------------------------------------------- structure


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


@pytest.mark.parametrize("side", ["got", "expected", "both"])
def test_a_single_number_shows_something(side: str) -> None:
    trace, truth = of(0.0), of(0.0)
    for found in [trace] if side == "got" else [truth] if side == "expected" else [trace, truth]:
        found.columns["loss"][STEPS - 1] = 1
    judgement = judged(trace, truth)
    assert judgement.verdict is (Verdict.EQUIVALENT if side == "both" else Verdict.DIVERGES)
    assert (judgement.first, judgement.step) == (("", None) if side == "both" else ("loss", STEPS - 1))


def test_what_is_vacuous_says_how_much_nothing_there_was() -> None:
    assert judged(of(0.0), of(0.0)).message == "5 quantities over 10 steps, and not one number other than zero or NaN"


def test_nothing_at_all_is_vacuous() -> None:
    nothing = Trace({}, np.arange(STEPS), MANIFEST)
    assert judged(nothing, nothing).verdict is Verdict.VACUOUS


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


@pytest.mark.parametrize("dtype", UNIT_ROUNDOFF)
def test_an_underflow_may_cost_the_smallest_number(dtype: str) -> None:
    level = noise_levels(Rounding(dtype, "resync", 9), {"loss": np.zeros(2)}, np.arange(2), {})["loss"]
    assert level.tolist() == [np.finfo(dtype).smallest_subnormal] * 2


def test_a_small_residual_is_as_uncertain_as_the_output_that_it_is_taken_from() -> None:
    magnitudes = {"forward/output": np.array([1.0]), "loss": np.array([1e-12]), "backward/output": np.array([1e-6])}
    magnitudes |= {"grad/output.weight": np.array([1e-5]), "weight/output.weight": np.array([1.0])}
    rounding = Rounding("float32", "resync", 1, (("output", "linear"),), residual=0.5, lr=0.1)
    level = noise_levels(rounding, magnitudes, np.arange(1), {})
    u = UNIT_ROUNDOFF["float32"]
    # ŷ − y is known to u, not to u (ŷ − y): 500,000 times its own rounding, and so is what is computed from it
    assert level["backward/output"][0] == pytest.approx(0.5 * u)
    assert level["grad/output.weight"][0] == pytest.approx(0.5e6 * 1e-5 * u)
    assert level["weight/output.weight"][0] == pytest.approx(u + 0.1 * 0.5e6 * 1e-5 * u)


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
        (Judgement(Verdict.DIVERGES, "loss", 3, structural=True), EXPECT, False, Verdict.DIVERGES),
        (Judgement(Verdict.DIVERGES, "loss", 3, structural=True), None, False, Verdict.DIVERGES),
    ],
)
def test_what_was_expected_decides(
    judgement: Judgement, expect: Expect | None, identical: bool, verdict: Verdict
) -> None:
    assert settle(judgement, expect, identical).verdict is verdict


@pytest.mark.parametrize(
    ("judgement", "message"),
    [
        (Judgement(Verdict.DIVERGES, "loss", 3, message="off"), "because"),
        (Judgement(Verdict.EQUIVALENT), "expected to diverge at loss, step 3 (because); it does not"),
        (
            Judgement(Verdict.DIVERGES, "grad/a.weight", 2, message="off"),
            "off; expected the first divergence at loss, step 3",
        ),
        (Judgement(Verdict.DIVERGES, "loss", 3, message="missing", structural=True), "missing"),
    ],
)
def test_what_was_expected_is_said(judgement: Judgement, message: str) -> None:
    assert settle(judgement, EXPECT, identical=False).message == message


def test_what_cannot_be_compared_is_never_what_was_expected() -> None:
    """A tensor that is not there, at the very place where numbers should differ, showed nothing."""
    expect = EXPECT.model_copy(update={"first": "loss", "step": 0})
    found = settle(judged(changed("loss", lambda column: None)), expect, identical=False)
    assert (found.verdict, found.message) == (Verdict.DIVERGES, "loss: missing from the trace")


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


def test_a_run_that_lacks_a_quantity_does_not_drift() -> None:
    free = Judgement(Verdict.DIVERGES, structural=True)
    assert drifts(free, Judgement(Verdict.IDENTICAL)).verdict is Verdict.DIVERGES


def test_what_drifts_keeps_its_numbers() -> None:
    free = Judgement(Verdict.DIVERGES, "loss", 3, 17.0, message="off")
    assert drifts(free, Judgement(Verdict.EQUIVALENT)) == Judgement(Verdict.DRIFTS, "loss", 3, 17.0, message="off")


def test_green_is_what_was_shown_to_agree() -> None:
    assert {v for v in Verdict if v.green} == {Verdict.IDENTICAL, Verdict.EQUIVALENT, Verdict.EXPECTED}


def test_two_traces_are_judged_without_a_reference() -> None:
    assert between(a_trace(), a_trace())[1].verdict is Verdict.EQUIVALENT
    found = between(changed("loss", put(6, 2.5)), a_trace())[1]
    assert (found.verdict, found.first, found.step) == (Verdict.DIVERGES, "loss", 6)


@pytest.mark.parametrize("mode", MODES)
def test_two_traces_get_the_rounding_of_both(mode: Mode) -> None:
    """float32's u is 2⁻²⁴; the longest axis has 3 terms; of 10 free steps the last has √10 times one step's noise."""
    a, b = (replace(a_trace(), manifest=MANIFEST.model_copy(update={"mode": mode})) for _ in range(2))
    comparison, found = between(a, b)
    magnitude = np.maximum.accumulate(comparison.measures["loss"].magnitude)
    growth = np.sqrt(np.arange(1, STEPS + 1)) if mode == "free" else 1
    assert found.bounds is not None
    np.testing.assert_allclose(found.bounds["loss"], 16 * 2 * growth * np.sqrt(3) * 2.0**-24 * magnitude)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda trace: trace, True),
        (
            lambda trace: changed("loss", put(0, np.nextafter(np.float32(trace.columns["loss"][0]), np.float32(9)))),
            False,
        ),
        (lambda trace: changed("loss", lambda column: None), False),
        (lambda trace: changed("loss", lambda column: column.astype(np.float64)), False),
    ],
    ids=["itself", "an ULP off", "one less", "wider"],
)
def test_identical_is_bit_for_bit(change: Callable[[Trace], Trace], same: bool) -> None:
    assert identical(change(a_trace()), a_trace()) is same


@pytest.mark.parametrize(
    ("value", "other", "same"), [(0.0, -0.0, False), (np.nan, np.nan, True), (np.nan, -np.nan, False)]
)
def test_identical_looks_at_signs_too(value: float, other: float, same: bool) -> None:
    assert identical(of(value), of(other)) is same
