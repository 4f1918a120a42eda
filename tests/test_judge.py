"""Is the verdict right? Structure before classes before numbers, and nothing agrees that was not shown to agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isograd import Trace, Verdict
from isograd.assess import between, identical
from isograd.comparison import compare_traces
from isograd.errors import TraceError
from isograd.judging import FACTOR, Judgement, drifts, judge, settle
from isograd.reference import Reference
from isograd.source import Expect
from isograd.trace import MODES, Manifest, Mode

STEPS = 10
MANIFEST = Manifest(scenario="s", fingerprint="f", backend="b", dtype="float32", mode="resync", steps=STEPS)
SHAPES = {"lr": (), "forward/output": (1, 2), "loss": (), "backward/output": (1, 2), "weight/output.weight": (2, 3)}
ENVELOPE = {name: np.full((STEPS, *shape), 0.0 if name == "lr" else 2.0**-23) for name, shape in SHAPES.items()}


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


def judged(trace: Trace, truth: Trace | None = None, **options: Any) -> Judgement:
    truth = truth or a_trace("float64")
    return judge(compare_traces(trace, truth, ENVELOPE, dtype="float32", **options), "float32")


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
            r"\(off by 7\.\d+, bound BOUND; 1 of 6 elements differ\)OK",
        ),
        (
            "forward/output",
            np.nan,
            r"forward/output\[0, 1\] at step 3: got nan, expected 1\.\d+ "
            r"\(one of them is not a finite number; 1 of 2 elements differ\)OK",
        ),
        ("loss", 9.0, r"loss at step 3: got 9, expected 1\.\d+ \(off by 7\.\d+, bound BOUND\)"),
        ("lr", 9.0, r"lr at step 3: got 9, expected 1\.\d+ \(off by 7\.\d+, bound 0\)OK"),
    ],
)
def test_the_message_says_where_what_came_what_was_expected_and_how_far_off(
    name: str, value: float, message: str
) -> None:
    bound, fine = re.escape(f"{FACTOR * 2.0**-23:.3g}"), "; the loss is within its bound at every step"
    found = judged(changed(name, put(3, value))).message
    assert re.fullmatch(message.replace("BOUND", bound).replace("OK", fine), found)


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


def envelope_of(*units: float) -> dict[str, np.ndarray]:
    return {"loss": np.array(units)}


@pytest.mark.parametrize("factor", [0.5, 8.0, 64.0])
@pytest.mark.parametrize(
    ("part", "sides", "ratio"),
    [
        (1.0, 1, 1.0),
        (np.nextafter(1.0, 0), 1, np.nextafter(1.0, 2)),
        (0.5, 2, 1.0),
        (0.5, 1, 2.0),
        (16.0, 1, 1 / 16),
        (16.0, 2, 1 / 32),
        (0.0, 1, np.inf),
        (np.nan, 1, np.nan),
        (np.inf, 1, 0.0),
    ],
)
def test_an_element_is_within_factor_times_sides_envelopes_or_diverges(
    part: float, sides: int, ratio: float, factor: float
) -> None:
    units = envelope_of(1.0, part * OFF / factor)
    found = judge(compare_traces(of_loss([1, 1 + OFF]), of_loss([1, 1]), units), "float32", sides, factor)
    assert found.ratios is not None
    assert found.ratios["loss"].tolist() == pytest.approx([0.0, ratio], abs=0, rel=1e-15, nan_ok=True)
    assert (found.verdict, found.step) == ((Verdict.EQUIVALENT, None) if part * sides >= 1 else (Verdict.DIVERGES, 1))


def test_without_being_told_there_is_one_side_and_the_one_threshold() -> None:
    comparison = compare_traces(of_loss([1, 1 + OFF]), of_loss([1, 1]), envelope_of(1, OFF))
    found = judge(comparison, "float32")
    assert (found.limit, found.error_over_bound) == (FACTOR, 1 / FACTOR)


@pytest.mark.parametrize(("sides", "factor"), [(1, FACTOR), (2, FACTOR), (1, 64.0), (2, 0.25)])
def test_the_limit_is_how_many_envelopes_one_may_be_off_and_a_bound_is_that_many(sides: int, factor: float) -> None:
    units = envelope_of(OFF, 3 * OFF)
    found = judge(compare_traces(of_loss([1, 1]), of_loss([1, 1]), units), "float32", sides, factor)
    assert found.limit == sides * factor
    assert found.bounds is not None
    assert found.bounds["loss"].tolist() == [sides * factor * OFF, 3 * sides * factor * OFF]


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("factor", [1.0, FACTOR])
def test_with_the_least_factor_all_is_inside_and_with_less_it_is_not(sides: int, factor: float) -> None:
    comparison = compare_traces(of_loss([1, 1 + OFF, 1]), of_loss([1, 1, 1]), envelope_of(OFF, OFF / 64, OFF))
    least = judge(comparison, "float32", sides, factor).least_factor
    assert least == pytest.approx(64 / sides)
    assert judge(comparison, "float32", sides, least).verdict is Verdict.EQUIVALENT
    assert judge(comparison, "float32", sides, least * 0.999).verdict is Verdict.DIVERGES


def test_the_element_that_is_the_most_envelopes_off_is_told_and_not_the_one_that_is_farthest_off() -> None:
    """An error of 4 where 100 is allowed hides none of 1 where next to nothing is."""
    units = {"loss": np.array([[100.0, 0.01, 100.0]])}
    trace, truth = (Trace({"loss": np.float32([row])}, np.arange(1), MANIFEST) for row in ([5, 2, 1], [1, 1, 1]))
    found = judge(compare_traces(trace, truth, units), "float32")
    assert (found.verdict, found.max_abs) == (Verdict.DIVERGES, 4.0)
    assert found.message.startswith("loss[1] at step 0: got 2, expected 1 (off by 1, bound ")


def test_an_infinite_error_is_within_no_bound() -> None:
    comparison = compare_traces(of_loss([1, np.inf]), of_loss([1, 1]), envelope_of(1e300, 1e300))
    found = judge(comparison, "float32")
    assert (found.verdict, found.step, found.error_over_bound) == (Verdict.DIVERGES, 1, np.inf)


@pytest.mark.parametrize(("got", "expected", "said"), [(0.0, 8e-40, True), (8e-40, 0.0, True), (0.0, 2e-38, False)])
def test_that_a_number_underflows_is_said(got: float, expected: float, said: bool) -> None:
    found = judge(compare_traces(of_loss([1, got]), of_loss([1, expected]), envelope_of(1e-45, 1e-45)), "float32")
    assert found.verdict is Verdict.DIVERGES
    assert ("; an underflow: below 1.18e-38 float32 loses digits" in found.message) == said


def test_what_is_left_open_is_green_and_said_with_its_place() -> None:
    comparison = compare_traces(of_loss([1, np.inf]), of_loss([1, 1]), envelope_of(1.0, np.inf))
    found = judge(comparison, "float32")
    assert found.verdict is Verdict.EQUIVALENT
    assert found.message == (
        "from loss, step 1, on right runs can overflow in different places: 1 of 2 elements not compared"
    )


def test_where_nothing_but_what_is_left_open_was_there_nothing_was_compared() -> None:
    comparison = compare_traces(of_loss([0, np.inf]), of_loss([0, 1]), envelope_of(1.0, np.inf))
    found = judge(comparison, "float32")
    assert found.verdict is Verdict.VACUOUS
    assert found.message.endswith("right runs can overflow in different places: 1 of 2 elements not compared")


def test_a_run_that_is_the_twin_bit_for_bit_is_right_whatever_its_bound() -> None:
    outside = judge(compare_traces(of_loss([2, 1]), of_loss([1, 1]), envelope_of(0.1, 0.1)), "float32")
    assert settle(outside, None, identical=False).verdict is Verdict.DIVERGES
    found = settle(outside, None, identical=True)
    assert (found.verdict, found.first, found.step) == (Verdict.IDENTICAL, "", None)


def test_equal_numbers_are_within_every_bound() -> None:
    comparison = compare_traces(of_loss([1, 2]), of_loss([1, 2]), envelope_of(0, 0))
    assert judge(comparison, "float32").verdict is Verdict.EQUIVALENT


@pytest.mark.parametrize(("step", "verdict"), [(1, Verdict.EQUIVALENT), (2, Verdict.DIVERGES)])
def test_each_step_is_judged_by_its_own_envelope(step: int, verdict: Verdict) -> None:
    """Also where not every step was recorded: the envelope is of all of them."""
    trace, truth = (replace(of_loss([1, value]), steps=np.array([0, step])) for value in (1 + OFF, 1))
    assert judge(compare_traces(trace, truth, envelope_of(1, 1, 0)), "float32").verdict is verdict


@pytest.mark.parametrize(("loss", "said"), [(1.0, True), (1 + OFF, False)])
def test_that_the_loss_is_right_all_the_same_is_said_if_it_is(loss: float, said: bool) -> None:
    """Also of an earlier or later step: who watches the loss alone would see nothing."""
    columns = {"loss": np.float32([1, loss]), "grad/a.weight": np.float32([9, 1])}
    truth = {name: np.ones(2, np.float32) for name in columns}
    units = {name: np.full(2, OFF / FACTOR / 2) for name in columns}
    trace, other = (Trace(side, np.arange(2), MANIFEST) for side in (columns, truth))
    message = judge(compare_traces(trace, other, units), "float32").message
    assert message.startswith("grad/a.weight at step 0")
    assert message.endswith("; the loss is within its bound at every step") is said


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
        compare_traces(a_trace().every(np.array([1])), a_trace().every(np.array([2])), ENVELOPE)


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


EXPECT = Expect(verdict="DIVERGES", first="loss", step=3, reason="because")


@pytest.mark.parametrize(
    ("judgement", "expect", "identical", "verdict"),
    [
        (Judgement(Verdict.EQUIVALENT), None, True, Verdict.IDENTICAL),
        (Judgement(Verdict.EQUIVALENT), None, False, Verdict.EQUIVALENT),
        (Judgement(Verdict.DIVERGES, "loss", 3), None, True, Verdict.IDENTICAL),
        (Judgement(Verdict.DIVERGES, "loss", 3, structural=True), None, True, Verdict.DIVERGES),
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


def known(envelope: dict[str, np.ndarray]) -> Reference:
    """A reference that knows, in both modes, how far rounding can push each element."""
    return Reference("float64", {}, {}, {}, dict.fromkeys(MODES, envelope))


def test_two_traces_are_judged_by_what_rounding_can_do_to_the_second() -> None:
    assert between(a_trace(), a_trace(), known(ENVELOPE))[1].verdict is Verdict.EQUIVALENT
    found = between(changed("loss", put(6, 2.5)), a_trace(), known(ENVELOPE))[1]
    assert (found.verdict, found.first, found.step) == (Verdict.DIVERGES, "loss", 6)


@pytest.mark.parametrize("factor", [FACTOR, 3.0])
def test_two_traces_get_the_rounding_of_both(factor: float) -> None:
    comparison, found = between(a_trace(), a_trace(), known(ENVELOPE), factor)
    assert found.limit == 2 * factor
    assert found.bounds is not None
    np.testing.assert_array_equal(found.bounds["loss"], np.full(STEPS, 2 * factor * 2.0**-23))
    assert list(found.bounds) == list(comparison.measures) == list(SHAPES)


@pytest.mark.parametrize("first", [True, False])
def test_a_quantity_that_one_of_two_traces_lacks_is_a_divergence(first: bool) -> None:
    one, more = a_trace(), a_trace()
    more = replace(more, columns=dict(more.columns) | {"buffer/x.y": more.columns["loss"]})
    found = between(*((more, one) if first else (one, more)), known(ENVELOPE))[1]
    assert (found.verdict, found.first, found.structural) == (Verdict.DIVERGES, "buffer/x.y", True)


@pytest.mark.parametrize("mode", MODES)
def test_two_traces_are_judged_by_the_envelope_of_their_mode(mode: Mode) -> None:
    wide, narrow = ({name: unit * size for name, unit in ENVELOPE.items()} for size in (1e9, 1))
    trace, truth = (
        replace(t, manifest=MANIFEST.model_copy(update={"mode": mode})) for t in (changed("loss", put(6, 2)), a_trace())
    )
    reference = Reference("float64", {}, {}, {}, {"free": wide, "resync": narrow})
    verdict = between(trace, truth, reference)[1].verdict
    assert verdict is (Verdict.EQUIVALENT if mode == "free" else Verdict.DIVERGES)


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
