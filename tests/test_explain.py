"""Is the cause of a divergence found, and only where there is one?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd import Report, explain, explanation, record, run, save_trace
from isograd.calibration.strangers import STRANGERS
from isograd.changes.catalogue import CATALOGUE
from isograd.dtypes import FORMATS
from isograd.explanation import Account, apart
from isograd.explanation.local import make_local
from isograd.explanation.localise import localise
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.quantities import quantity_shapes
from isograd.recorder import record_here
from isograd.rules import Rules
from isograd.trace import MODES, Mode, Trace
from tests.conftest import REFERENCE, recorded_here
from tests.test_faults import DRAWN, HOT, LONG, MIXED, OBLONG, PLANNED, WIDE
from tests.test_sabotage import SQUARE, named

ADAM = SQUARE | {"name": "by_adam", "optimizer": {"kind": "adam", "lr": 0.01}}
OVERFLOWS = HOT | {
    "data": {"kind": "inline", "x": [[300, 200, 100]], "y": [[0.25]]}
}  # before the loss, as the rules do
DEAD = SQUARE | {  # every gradient below the activation is 0, and no norm is one to divide by
    "name": "dead",
    "layers": [
        {"name": "hidden", "kind": "linear", "outputs": 3, "weight": DRAWN, "bias": [-9, -9, -9]},
        {"name": "hidden_act", "kind": "relu"},
    ],
    "data": MIXED["data"] | {"y": [[1, 2, 3], [2, 0, 1], [0, 1, 1], [1, 1, 0], [2, 1, 0], [0, 0, 1], [1, 0, 2]]},
}

# A row a fault: how a backend's name has it, and the causes that must be named: it, and what does the same here.
FAULTS = {
    "derivative_left_out,at=hidden_act": {"derivative_left_out(hidden_act)"},
    "path_detached,at=output": {"path_detached(output)"},
    "gradient_scale,by=1.00001": {"gradient_scale"},
    "gradient_scale,by=-1,at=hidden.bias": {"gradient_scale(hidden.bias)"},
    "gradient_detached,at=hidden.weight": {"gradient_detached(hidden.weight)", "gradient_scale(hidden.weight)"},
    "gradient_transposed,at=hidden.weight": {"gradient_transposed(hidden.weight)"},
    "weight_transposed,at=hidden": {"weight_transposed(hidden)"},
    "weight_transposed,at=output": {"weight_transposed(output)"},
    "units_swapped,at=hidden": {"units_swapped(hidden)"},
    "units_permuted,at=hidden": {"units_permuted(hidden)"},
    "initial_lost,at=hidden.weight": {"initial_lost(hidden.weight)"},
    "bias_scale,at=hidden": {"bias_scale(hidden)"},
    "bias_scale,at=hidden,by=0": {"bias_scale(hidden)"},
    "bias_mean,at=output": {"bias_mean(output)", "gradient_scale(output.bias)"},
    "loss_scale,by=over_outputs": {"loss_scale(half)", "loss_scale(over_outputs)"},
    "loss_scale,by=over_samples": {"loss_scale(over_samples)"},
    "gradients_not_cleared": {"gradients_not_cleared"},
    "gradients_stale": {"gradients_stale"},
    "learning_rate,by=1.000001": {"learning_rate"},
    "update_scale,by=1.0001": {"update_scale", "nesterov"},
    "update_twice,step=3": {"update_twice"},
    "update_skipped,step=3": {"update_skipped"},
    "weight_decay,by=0.0001": {"weight_decay"},
    "momentum,by=0.1": {"momentum"},
    "weight_off,ulp=64,step=3,at=hidden.weight": {"weight_off(hidden.weight)"},
    "state_lost": {"state_lost"},
    "samples_reordered": {"samples_reordered"},
    "labels_shifted": {"labels_shifted"},
    "batch_repeated,step=3": {"batch_repeated"},
    "computed_in": {"computed_in(bfloat16)"},
    "computed_in,name=float16": {"computed_in(float16)"},
    "computed_in,name=tf32": {"computed_in(tf32)"},
}
MORE: list[tuple[dict[str, Any], str, set[str]]] = [
    (MIXED, "updated_too_early", {"updated_too_early"}),
    (MIXED, "gradients_exchanged", {"gradients_exchanged(first.weight ⇄ second.weight)"}),
    (MIXED, "gradients_cleared_early", {"gradients_cleared_early", "weights_reported_early", "update_scale"}),
    (MIXED, "labels_broadcast", {"labels_broadcast"}),
    (MIXED, "partial_batch_scaled", {"partial_batch_scaled"}),
    (MIXED, "partial_batch_dropped", {"partial_batch_dropped"}),
    (MIXED, "partial_batch_filled", {"partial_batch_filled"}),
    (MIXED, "batch_dropped,step=4", {"batch_dropped"}),
    (MIXED, "values_of_other", {"values_of_other(first.weight ← second.weight)"}),
    (MIXED, "rows_swapped,at=second", {"rows_swapped(second)"}),
    (OBLONG, "weight_reshaped,at=first", {"weight_reshaped(first)"}),
    (
        WIDE,
        "narrow_constant",
        {"narrow_constant(second_act)", "setting(second_act.factor)", "output_scale(second_act)"},
    ),
    (WIDE, "narrow_rate", {"narrow_rate", "learning_rate"}),
    (HOT, "infinity_clipped,at=first", {"infinity_clipped(first)"}),
    (ADAM, "momentum,by=0.5", {"momentum"}),
    (ADAM, "nesterov,by=0.5", {"nesterov"}),
    (LONG, "gradients_not_cleared,layer=output", {"gradients_not_cleared(output)"}),
    (MIXED, "written_loss,of=relative squares,by=0.5", {"written_loss(relative squares)"}),
    (MIXED, "family_loss,of=power,c=2.5", {"family_loss(power)"}),
    (MIXED, "term_added,of=mean g,by=-1", {"term_added(every parameter: mean g)"}),
    (MIXED, "other_function,at=first_act,of=erf,by=0.9,times=1.1", {"other_function(first_act: erf)"}),
    (MIXED, "weight_used_as,how=of unit rows", {"weight_used_as(of unit rows)"}),
    (MIXED, "flow_changed,at=first,how=its sign", {"flow_changed(first: its sign)"}),
    (MIXED, "samples_reordered,alone=1", {"samples_reordered(alone)"}),
    (MIXED, "data_mixed,by=0.25", {"data_mixed(samples: the one before)"}),
    (MIXED, "written_optimizer,by=signum", {"written_optimizer(signum)"}),
    (MIXED, "layers_tied", {"layers_tied(first = second)"}),
    (MIXED, "gradients_not_cleared,each_epoch=1", {"gradients_not_cleared(each epoch)"}),
    (MIXED, "rate_warms_up,steps=4,first=0", {"rate_warms_up"}),
    (PLANNED, "schedule_shifted,steps=1,reported=0", {"schedule_shifted(in the update only)"}),
    (PLANNED, "schedule_of_shape,of=cosine,until=each epoch", {"schedule_of_shape(cosine over each epoch)"}),
    (
        DEAD,
        "derivative_left_out,at=hidden_act",
        {"derivative_left_out(hidden_act)", "derivative_at_output(hidden_act)"},
    ),
    (ADAM, "setting,at=optimizer,name=beta2,value=0.99", {"setting(optimizer.beta2)"}),
    (ADAM, "definition,at=optimizer,name=not_corrected", {"definition(optimizer: not_corrected)"}),
    (OVERFLOWS, "loss_scale,by=twice", {"loss_scale(twice)"}),
    (SQUARE, "rate_in_time,by=0.02", {"rate_in_time(step)"}),
    (SQUARE, "initial_lost,at=output.weight,fault2=initial_lost,at2=output.bias", {"initial_lost"}),
    (PLANNED, "weight_decay,by=0.1,fault2=schedule_otherwise,how2=never", {"weight_decay + schedule_otherwise(never)"}),
    (MIXED, "rate_warms_up,steps=4,first=0,fault2=weight_decay,by2=0.1", {"rate_warms_up + weight_decay"}),
]
PAIRS = {
    "which follow from one another": "labels_shifted,fault2=gradient_scale,by2=0.5",
    "in two places": "loss_scale,by=twice,fault2=derivative_left_out,at2=hidden_act",
    "at two steps": "update_skipped,step=3,fault2=batch_repeated,step2=8",
    "from two steps on": "gradients_stale,fault2=update_twice,step2=5",
    "in one quantity": "gradient_scale,by=0.5,at=hidden.weight,fault2=gradient_transposed,at2=hidden.weight",
    "both with a number": "weight_decay,by=0.05,fault2=momentum,by2=0.6",
}


@pytest.fixture(scope="module")
def faulty() -> Report:
    return run(parse_scenario(SQUARE), backends=[f"{REFERENCE}[fault={fault}]" for fault in FAULTS], repeat=1, jobs=1)


def causes(report: Report, fault: str, mode: Mode) -> str:
    rows = report.summary[(report.summary.backend == f"{REFERENCE}[fault={fault}]") & (report.summary["mode"] == mode)]
    return str(rows.iloc[0].cause)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_seeded_fault_is_named_and_what_does_the_same(faulty: Report, fault: str, mode: Mode) -> None:
    assert set(causes(faulty, fault, mode).split(" or ")) == FAULTS[fault]


def sentence(report: Report) -> str:
    found = next(iter(report.results[0].cells.values())).account
    assert found is not None
    return found.sentence


def account(scenario: dict[str, Any], backend: str) -> Account:
    found = explain(recorded_here(parse_scenario(scenario), backend)).account
    assert found is not None
    return found


@pytest.mark.parametrize(("scenario", "fault", "expected"), MORE, ids=[row[1] for row in MORE])
def test_a_fault_that_needs_its_own_scenario_is_named(scenario: dict[str, Any], fault: str, expected: set[str]) -> None:
    assert set(account(scenario, f"{REFERENCE}[fault={fault}]").ids.split(" or ")) == expected


@pytest.mark.nightly
@pytest.mark.parametrize("fault", PAIRS.values(), ids=list(PAIRS))
def test_two_faults_together_are_both_named(fault: str) -> None:
    ids = account(SQUARE, f"{REFERENCE}[fault={fault}]").ids
    assert all(name in ids for name in (fault.partition(",")[0], fault.partition("fault2=")[2].partition(",")[0]))
    assert " + " in ids


@pytest.mark.nightly
@pytest.mark.parametrize("stranger", STRANGERS, ids=lambda name: name.partition(":")[2])
def test_no_cause_is_named_for_what_is_in_no_catalogue(stranger: str) -> None:
    cell = explain(recorded_here(parse_scenario(SQUARE), stranger))
    if not cell.verdict.green:  # a fault of a ReLU does nothing to a sigmoid
        assert cell.account is not None
        assert not cell.account.ids
        assert "no catalogued cause" in cell.account.sentence


def test_a_value_is_solved_for_with_the_digits_that_are_known() -> None:
    (cause,) = account(SQUARE, f"{REFERENCE}[fault=momentum,by=0.75]").causes
    solved = cause.solved["by"]
    assert abs(solved.value - 0.75) < 4 * solved.error < 1e-5
    assert solved.neutral == 0


def test_the_source_s_slip_is_found() -> None:
    report = run("article/worked_backprop_as_published", backends=[REFERENCE])
    assert set(report.summary.verdict) == {"EXPECTED"}
    for cause in report.summary.cause:
        assert "derivative_left_out(hidden_act)" in cause.split(" or ")
    why = sentence(report)
    assert "the gradient of hidden.weight is 0.5 times what it should be" in why


# What is read off a trace: who, and the end of the sentence.
READ_OFF = {
    "RotatesUnits": ("units_swapped(hidden)", "the layer above does not know of it: 2, 0, 1"),
    "RotatesRows": ("rows_swapped(hidden)", "and its bias is not: 2, 0, 1"),
    "RotatesUnitsEverywhere": ("units_permuted(hidden)", "(an equivalent network): 2, 0, 1"),
    "Shuffles": ("samples_reordered", "in another order: at step 0 "),
}


@pytest.mark.parametrize("who", READ_OFF)
def test_an_order_is_read_off_the_trace(who: str) -> None:
    found = account(SQUARE, named(who))
    cause, words = READ_OFF[who]
    assert found.ids == cause
    assert words in found.sentence


def test_an_element_is_read_off_the_trace() -> None:
    found = account(SQUARE, f"{REFERENCE}[fault=weight_off,at=hidden.weight,ulp=64,step=3,index=5]")
    assert found.sentence.startswith("element 5 of hidden.weight is off by 64 ULP at step 3")


# ---------------------------------------------------------------- a free run and its own states


def test_what_a_loaded_state_wipes_out_is_found_in_the_free_run() -> None:
    report = run(parse_scenario(SQUARE), backends=[named("ForgetsVelocity")], repeat=1)
    rows = report.summary.set_index("mode")
    assert dict(rows.verdict) == {"free": "DIVERGES", "resync": "IDENTICAL"}
    assert (rows["first"]["free"], rows.step["free"], rows.cause["free"]) == ("weight/hidden.weight", 1, "momentum")
    numbers = (
        r"at step 1: got (\S+), expected (\S+) from the state that the run itself had before \(off by (\S+), bound"
    )
    got, expected, off = (float(number) for number in re.findall(numbers, rows.message["free"])[0])
    assert abs(got - expected) == pytest.approx(off, rel=1e-2)
    assert "a momentum of 0.9 is present" in sentence(report)


def test_weights_that_are_kept_with_fewer_digits_than_they_are_told_do_not_drift() -> None:
    report = run(parse_scenario(SQUARE), backends=[named("ShadowWeights")], repeat=1)
    rows = report.summary.set_index("mode")
    assert dict(rows.verdict) == {"free": "DIVERGES", "resync": "IDENTICAL"}
    assert (rows["first"]["free"], rows.step["free"]) == ("forward/hidden", 1)
    present = "a step starts from other values of every parameter than the step before has left"
    assert sentence(report) == present


@pytest.mark.parametrize("options", [{"every": 4}, {"quantities": "loss,grad/*"}], ids=str)
def test_what_was_not_recorded_is_not_checked_and_that_is_told(options: dict[str, Any]) -> None:
    report = run(parse_scenario(SQUARE), backends=[named("ForgetsVelocity")], repeat=1, **options)
    rows = report.summary.set_index("mode")
    assert rows.verdict["free"] == "DRIFTS"
    assert rows.message["free"].endswith(
        "1 of 12 steps could be judged from the run's own state (the others' was not recorded, or they are not finite)"
    )


@pytest.mark.parametrize(("change", "method"), [("gradients_clipped", "fitted"), ("output_scale", "op")])
def test_a_change_that_cannot_cope_with_a_trace_costs_no_other_its_trial(
    change: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any) -> Any:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(CATALOGUE[change], method, fail)
    monkeypatch.setattr(explanation, "LOUD", False)
    named = explain(recorded_here(parse_scenario(SQUARE), f"{REFERENCE}[fault=labels_shifted]")).account
    assert named is not None
    assert named.ids == "labels_shifted"
    nothing = explain(recorded_here(parse_scenario(SQUARE), STRANGERS[0])).account
    assert nothing is not None
    assert f"{change}, which failed (ZeroDivisionError: oh; please report this, with the trace)" in nothing.sentence


def test_a_search_that_fails_leaves_a_run_that_drifts(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise IndexError("oh")

    monkeypatch.setattr(explanation, "LOUD", False)
    monkeypatch.setattr(explanation, "make_local", fail)
    report = run(parse_scenario(SQUARE), backends=[named("ForgetsVelocity")], repeat=1)
    row = report.summary.set_index("mode").loc["free"]
    assert row.verdict == "DRIFTS"
    assert row.message.endswith("judging its steps from its own states failed: IndexError: oh")


# ---------------------------------------------------------------- causes that do the same

# A row: scenario, fault, and what altered in the scenario tells its causes apart.
APART: list[tuple[dict[str, Any], str, str]] = [
    (SQUARE, "loss_scale,by=over_outputs", "3 outputs instead of 2"),
    (SQUARE, "bias_mean,at=output", "batches of 5 samples instead of 4"),
    (WIDE, "narrow_rate", "another learning rate"),
    (SQUARE | {"epochs": 1, "batch_size": 12}, "learning_rate,by=2", ""),  # the rate itself is told: there is one cause
]


@pytest.mark.parametrize(("scenario", "fault", "alteration"), APART, ids=[row[1] for row in APART])
def test_causes_that_do_the_same_come_with_what_would_tell_them_apart(
    scenario: dict[str, Any], fault: str, alteration: str
) -> None:
    found = account(scenario, f"{REFERENCE}[fault={fault}]")
    assert found.apart == (f"{alteration} would tell them apart" if alteration else "")
    assert (len(found.causes) > 1) == bool(alteration)


def test_causes_that_are_the_same_everywhere_are_told_so() -> None:
    found = account(MIXED, f"{REFERENCE}[fault=gradients_cleared_early]")
    assert "these cannot be told apart in this scenario" in found.sentence


def test_what_was_not_recorded_is_the_first_that_would_tell_causes_apart() -> None:
    report = run(
        parse_scenario(SQUARE),
        backends=[f"{REFERENCE}[fault=gradient_scale,by=2]"],
        quantities="loss,weight/*",
        mode="resync",
        repeat=1,
    )
    assert "learning_rate" in report.summary.cause[0]
    assert "recording every quantity would tell them apart" in sentence(report)


@pytest.mark.parametrize("raw", [SQUARE, MIXED, OBLONG, WIDE, HOT], ids=lambda raw: str(raw["name"]))
def test_every_alteration_is_a_scenario_that_runs(raw: dict[str, Any]) -> None:
    scenario = parse_scenario(raw)
    made = list(apart.alterations(scenario, make_inputs(scenario), {"loss"}))
    assert len({text for text, *_ in made}) == len(made) >= 5
    for text, altered, inputs in made:
        trace = record_here(Rules("float64"), "reference", altered, inputs)
        assert {name: c.shape[1:] for name, c in trace.columns.items()} == {
            name: tuple(n or inputs.batch_size for n in shape) for name, shape in quantity_shapes(altered).items()
        }, text


# ---------------------------------------------------------------- where


def test_what_is_wrong_for_its_own_numbers_is_guilty_and_what_follows_is_not() -> None:
    place = account(SQUARE, f"{REFERENCE}[fault=derivative_left_out,at=hidden_act]").place
    assert (place.step, place.first, place.guilty) == (0, "backward/hidden", ("backward/hidden",))
    assert place.ratios["grad/hidden.weight"] > 1
    assert place.ratios["grad/output.weight"] <= 1


def test_independent_guilty_places_are_all_named() -> None:
    place = account(SQUARE, f"{REFERENCE}[fault=bias_mean,at=output,fault2=gradient_scale,at2=hidden.weight]").place
    assert place.guilty == ("grad/output.bias", "grad/hidden.weight")


@pytest.mark.parametrize("mode", MODES)
def test_a_right_run_has_no_place(mode: Mode) -> None:
    scenario = parse_scenario(SQUARE)
    report = run(scenario, backends=[REFERENCE], mode=mode)
    result = report.results[0]
    trace = result.cells[REFERENCE, mode].trace
    assert trace is not None
    assert localise(make_local(scenario, result.inputs, trace, result.reference.states)) is None
    assert set(report.summary.cause) == {""}


def test_a_trace_that_holds_a_nan_is_told_plainly() -> None:
    found = account(SQUARE, named("NanOnce"))
    assert found.causes == ()
    assert "elements are not finite numbers" in found.sentence


def test_a_quantity_too_many_has_no_cause() -> None:
    found = account(SQUARE, named("AddsQuantity"))
    assert found.causes == ()
    assert found.sentence == "grad/hidden.scale is no quantity of this scenario"


# What one step's gradient of hidden.weight, (3, 3), is made into, and what must be said of it: nothing accounts for it.
LOOKS: dict[str, tuple[Callable[[Trace], Any], str]] = {
    "nan": (lambda trace: np.nan, "9 of 9 elements are not finite numbers"),
    "one": (lambda trace: changed_once(trace, 0.5), "one element of 9 is off"),
    "ratio": (lambda trace: 1.25 * gradient(trace), "its ratio to the reference is 1.25 everywhere"),
    "transpose": (lambda trace: gradient(trace).T, "it is the transpose of the reference"),
    "order": (lambda trace: np.roll(gradient(trace), 1), "it has the reference's elements in another order"),
    "digits": (lambda trace: narrow(gradient(trace)), "its numbers have no more digits than bfloat16 has"),
    "rank": (lambda trace: gradient(trace) + 0.1 * np.outer([1, 2, 3], [1, 5, 2]), "the difference has rank 1"),
    "nothing": (lambda trace: gradient(trace) ** 2 + 0.1, "its ratio to the reference is not constant"),
    "ratio of a row": (lambda trace: rows(trace, [1.25, 1, 1]), "is 1.25 in the 3 of 9 elements that are off"),
    "other ratios": (lambda trace: rows(trace, [1.0005, 1.0002, 0.9996]), "its ratio to the reference is not constant"),
    "two by a thousandth": (lambda trace: rows(trace, [[1.001, 1, 1], [1.0008, 1, 1], [1, 1, 1]]), "is not constant"),
    "integers": (lambda trace: np.round(300 * gradient(trace)), "its ratio to the reference is not constant"),
}


def gradient(trace: Trace) -> np.ndarray:
    return np.array(trace.columns["grad/hidden.weight"][5])


def rows(trace: Trace, factors: Any) -> np.ndarray:
    factors = np.asarray(factors, np.float32)
    return gradient(trace) * (factors if factors.ndim > 1 else factors[:, np.newaxis])


def changed_once(trace: Trace, by: float) -> np.ndarray:
    out = gradient(trace)
    out[1, 1] += by
    return out


def narrow(values: np.ndarray) -> np.ndarray:
    return values.astype(FORMATS["bfloat16"].dtype).astype(np.float32)


@pytest.mark.parametrize("look", LOOKS)
def test_a_difference_that_nothing_accounts_for_is_described(look: str) -> None:
    make, words = LOOKS[look]
    trace = record(parse_scenario(SQUARE), REFERENCE, mode="resync")
    column = np.array(trace.columns["grad/hidden.weight"])
    column[5] = make(trace)
    tampered = replace(trace, columns={**trace.columns, "grad/hidden.weight": column})
    found = explain(tampered).account
    assert found is not None
    assert (found.place.first, found.place.step, found.causes) == ("grad/hidden.weight", 5, ())
    assert found.sentence.startswith("no catalogued cause")
    assert found.sentence.endswith(words)


def test_integers_are_not_said_to_lack_digits() -> None:
    trace = record("article/worked_backprop", REFERENCE, mode="resync")
    column = np.array(trace.columns["grad/hidden.weight"])
    column[0] += np.array([[1, 7], [2, 3], [-5, 1], [4, 11]])
    found = explain(replace(trace, columns={**trace.columns, "grad/hidden.weight": column})).account
    assert found is not None
    assert found.sentence.endswith("its ratio to the reference is not constant")


def test_the_values_that_differ_are_named_and_not_all() -> None:
    found = account(SQUARE, named("ForgetsTwo"))
    assert found.ids == "initial_lost"
    assert found.sentence == "the values of hidden.weight and hidden.bias are not those that were loaded"


def test_another_parameter_s_values_are_recognised() -> None:
    trace = record(parse_scenario(MIXED), REFERENCE, mode="resync")
    column = np.array(trace.columns["grad/first.weight"])
    column[5] = trace.columns["grad/second.weight"][5]
    found = explain(replace(trace, columns={**trace.columns, "grad/first.weight": column})).account
    assert found is not None
    assert found.sentence.endswith("it is what grad/second.weight should be")


def test_causes_are_not_looked_for_if_not_asked() -> None:
    report = run(parse_scenario(SQUARE), backends=[f"{REFERENCE}[fault=gradient_scale]"], causes=False)
    assert set(report.summary.cause) == {""}


# ---------------------------------------------------------------- the command


def test_the_account_lists_the_step_the_cause_and_what_was_tried(isograd: Any) -> None:
    outcome = isograd("explain", "article/worked_backprop", "--backend", f"{REFERENCE}[fault=derivative_left_out]")
    assert outcome.code == 1
    assert "cause: the derivative of the activation hidden_act is left out" in outcome.out
    assert "∂L/∂z = ∂L/∂a «· f′(z) is missing»" in outcome.out
    (here,) = (line for line in outcome.out.splitlines() if "HERE" in line)
    assert "backward/hidden " in here
    assert "passed on" in outcome.out
    assert "changes tried, the closest first" in outcome.out


def test_a_trace_file_is_explained_without_a_backend(isograd: Any, tmp_path: Path) -> None:
    trace = record("article/worked_backprop", f"{REFERENCE}[fault=gradient_scale,by=3]", mode="resync")
    save_trace(trace, tmp_path / "t.safetensors")
    outcome = isograd("explain", tmp_path / "t.safetensors")
    assert outcome.code == 1
    assert "the gradient of every parameter is 3 times what it should be" in outcome.out


def test_two_trace_files_are_told_apart_and_each_explained(isograd: Any, tmp_path: Path) -> None:
    for name, backend in (("right", REFERENCE), ("wrong", f"{REFERENCE}[fault=gradients_stale]")):
        save_trace(record(parse_scenario(SQUARE), backend), tmp_path / f"{name}.safetensors")
    outcome = isograd("explain", tmp_path / "wrong.safetensors", tmp_path / "right.safetensors")
    assert outcome.code == 1
    difference, wrong, right = outcome.out.split("\n\n")[:3]
    assert "first: weight/hidden.weight[" in difference
    assert "cause: the update uses the gradients of the step before" in wrong
    assert "square, numpy, float32, free: IDENTICAL" in right
    assert isograd("explain", tmp_path / "right.safetensors", tmp_path / "right.safetensors").code == 0


def test_two_traces_and_a_backend_are_a_wrong_request(isograd: Any) -> None:
    for arguments in (("a.safetensors", "b.safetensors", "--backend", REFERENCE), ("mine.toml", "b.safetensors")):
        outcome = isograd("explain", *arguments)
        assert outcome.code == 2
        assert "expected two trace files, or a scenario with --backend" in outcome.err


def test_the_terminal_shows_the_formula_with_the_offending_term_marked_and_the_numbers(isograd: Any) -> None:
    outcome = isograd("run", "article/worked_backprop", "--backends", f"{REFERENCE}[fault=derivative_left_out]")
    assert "cause: the derivative of the activation hidden_act is left out" in outcome.out
    assert "∂L/∂z = ∂L/∂a «· f′(z) is missing»   (usually: a hand-written backward pass" in outcome.out
    numbers = [line.split() for line in outcome.out.splitlines() if line.strip().startswith("[0, 0]")]
    assert numbers == [["[0,", "0]", "198", "99", "0.5"]]


def test_a_right_backend_is_told_to_be_right(isograd: Any) -> None:
    outcome = isograd("explain", "article/worked_backprop", "--backend", REFERENCE)
    assert outcome.code == 0
    assert "IDENTICAL" in outcome.out


def test_a_scenario_without_a_backend_is_a_wrong_request(isograd: Any) -> None:
    outcome = isograd("explain", "article/worked_backprop")
    assert outcome.code == 2
    assert "expected --backend NAME" in outcome.err


def test_some_quantities_are_enough_to_be_told_that_nothing_fits_or_what_does() -> None:
    report = run(
        parse_scenario(SQUARE),
        backends=[f"{REFERENCE}[fault=gradient_scale,by=0.5]"],
        quantities="loss,grad/*",
        mode="resync",
        repeat=1,
    )
    assert np.all(report.summary.cause.str.contains("gradient_scale"))
