"""Is each fault of the catalogue found where it is above rounding, on any backend, and is it honest where it is not?

A row says which verdict is right for a fault in a scenario, where it must show first, and why.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from isograd import Report, run
from isograd.calibration.faults import fault_name
from isograd.cases import cases, scenario_of
from isograd.changes.catalogue import CATALOGUE
from isograd.changes.changed import ChangedBackend
from isograd.changes.sabotage import Sabotaged
from isograd.describe import describe
from isograd.inputs import make_inputs
from isograd.judging import FACTOR
from isograd.loading import load_scenario, parse_scenario
from isograd.pytest_plugin import asked_for
from isograd.recorder import record_here
from isograd.rules import Rules
from isograd.scenario import Scenario
from isograd.trace import MODES, Mode
from tests.conftest import REFERENCE
from tests.test_sabotage import SQUARE

ARTICLE = "article/sum_regression"
KINK = SQUARE | {
    "name": "kink",
    "data": {"kind": "inline", "x": [[0, 0, 0], [1, 2, 3]], "y": [[1, 1], [0, 2]]},
    "batch_size": 2,
    "epochs": 1,
    "layers": [
        {"name": "hidden", "kind": "linear", "outputs": 3, "weight": {"draw": "normal", "scale": 0.5}},
        {"name": "hidden_act", "kind": "relu"},
        {"name": "output", "kind": "linear", "outputs": 2, "weight": {"draw": "normal", "scale": 0.5}},
    ],
}
_rng = np.random.Generator(np.random.PCG64(5))
DRAWN = {"draw": "normal", "scale": 0.5}
MIXED: dict[str, Any] = {
    "name": "mixed",
    "title": "Batches of 3, 3 and 1 samples, one output, parameters of one shape, no bias in the last layer",
    "epochs": 3,
    "batch_size": 3,
    "data": {
        "kind": "inline",
        "x": _rng.standard_normal((7, 3)).tolist(),
        "y": _rng.standard_normal((7, 1)).tolist(),
    },
    "layers": [
        {"name": "first", "kind": "linear", "outputs": 3, "weight": DRAWN, "bias": DRAWN},
        {"name": "first_act", "kind": "sigmoid"},
        {"name": "second", "kind": "linear", "outputs": 3, "weight": DRAWN, "bias": DRAWN},
        {"name": "second_act", "kind": "scale", "factor": 0.3},
        {"name": "third", "kind": "linear", "outputs": 1, "weight": DRAWN},
    ],
    "loss": {"kind": "mse"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
}
OBLONG = MIXED | {
    "name": "oblong",
    "layers": [
        {"name": "first", "kind": "linear", "outputs": 5, "weight": DRAWN, "bias": DRAWN},
        {"name": "first_act", "kind": "sigmoid"},
        {"name": "third", "kind": "linear", "outputs": 1, "weight": DRAWN},
    ],
}
WIDE = MIXED | {"name": "wide", "dtype": "float64"}
PLANNED = SQUARE | {
    "name": "planned",
    "title": "Classes, and a schedule",
    "data": {"kind": "inline", "x": _rng.standard_normal((6, 3)).tolist(), "y": [0, 1, 1, 0, 1, 0]},
    "batch_size": 2,
    "epochs": 2,
    "loss": {"kind": "cross_entropy"},
    "schedule": {"kind": "cosine"},
}
TINY = MIXED | {
    "name": "tiny",
    "data": {"kind": "inline", "x": [[1e-20, 3e-20, 2e-20]] * 7, "y": [[1e-20]] * 7},
    "layers": [{"name": "output", "kind": "linear", "weight": [[7e-20, -3e-20, 1e-20]]}],
}
HOT = MIXED | {
    "name": "hot",
    "title": "A pre-activation of 195,000, in float16, which ends at 65,504",
    "dtype": "float16",
    "batch_size": 1,
    "data": {"kind": "inline", "x": [[300, 200, 100]], "y": [[1]]},
    "layers": [
        {"name": "first", "kind": "linear", "weight": [[600, 50, 50]]},
        {"name": "first_act", "kind": "sigmoid"},
    ],
}
NORMED = MIXED | {
    "name": "normed",
    "batch_size": 4,
    "layers": [
        {"name": "first", "kind": "linear", "outputs": 3, "weight": DRAWN},
        {"name": "norm", "kind": "batch_norm"},
        {"name": "third", "kind": "linear", "outputs": 1, "weight": DRAWN},
    ],
    "optimizer": {"kind": "adam", "lr": 0.01},
}
GROUPED = MIXED | {
    "name": "grouped",
    "title": "A group of parameters, and a weight of two layers",
    "optimizer": {"kind": "adam", "lr": 0.01, "weight_decay": 0.1, "decoupled": True},
    "groups": [{"parameters": ["*.bias"], "rate": 0.5, "settings": {"weight_decay": 0.0}}],
    "shared": {"second.weight": "first.weight"},
}
LONG = SQUARE | {"name": "long", "epochs": 200}  # 600 steps
SCENARIOS = {raw["name"]: raw for raw in (SQUARE, KINK, LONG, MIXED, OBLONG, WIDE, HOT, NORMED)}

GREEN = ("IDENTICAL", "EQUIVALENT")


class Row(NamedTuple):
    fault: str
    scenario: str
    first: str  # "" where the right verdict is green
    step: int | None
    why: str
    everywhere: bool = False  # on every backend, and not on the reference backend only


ROWS = [
    Row("gradient_scale,by=1.00001", "square", "grad/output.weight", 0, "a hundred units in the last place", True),
    Row("gradient_scale,by=1.00001", ARTICLE, "grad/hidden.weight", 2, "the first step whose gradients are not tiny"),
    Row("gradient_scale", "square", "grad/output.weight", 0, "all are doubled"),
    Row("gradient_scale,by=0.5", "square", "grad/output.weight", 0, "all are halved"),
    Row("gradient_scale,by=-1", "square", "grad/output.weight", 0, "all have the other sign"),
    Row("derivative_left_out,at=hidden_act", "square", "backward/hidden", 0, "the first below the activation", True),
    Row("derivative_left_out,at=hidden_act", ARTICLE, "backward/hidden", 0, "some unit is dead at step 0"),
    Row("derivative_at_kink", "kink", "backward/hidden", 0, "a sample of zeros: pre-activations that are exactly 0"),
    Row("derivative_at_kink", ARTICLE, "", None, "no pre-activation is exactly 0"),
    Row("path_detached,at=output", "square", "backward/hidden_act", 0, "the first below the output"),
    Row("gradient_detached,at=hidden.weight", "square", "grad/hidden.weight", 0, "it is zero"),
    Row("gradient_transposed,at=hidden.weight", "square", "grad/hidden.weight", 0, "square: only the numbers tell"),
    Row("weight_transposed,at=hidden", "square", "forward/hidden", 0, "square: it is used the other way round", True),
    Row("weight_transposed,at=output", "square", "grad/output.weight", 0, "oblong: its shape tells", True),
    Row("units_swapped,at=hidden", "square", "forward/hidden", 0, "the units' outputs are swapped", True),
    Row("units_permuted,at=hidden", "square", "forward/hidden", 0, "an equivalent network, with other weights", True),
    Row("initial_lost", "square", "forward/hidden", 0, "other weights"),
    Row("bias_scale,at=hidden", "square", "forward/hidden", 0, "added twice"),
    Row("bias_scale,at=hidden,by=0", "square", "forward/hidden", 0, "left out"),
    Row("bias_mean,at=output", "square", "grad/output.bias", 0, "a quarter of it, in batches of four"),
    Row("loss_scale,by=over_outputs", "square", "loss", 0, "half of it, for two outputs", True),
    Row("loss_scale,by=over_samples", ARTICLE, "", None, "batches of one: the mean is the sum"),
    Row("gradients_not_cleared", "square", "grad/output.weight", 1, "at step 0 there is nothing to clear", True),
    Row("gradients_stale", "square", "weight/hidden.weight", 0, "at step 0 there is no gradient before"),
    Row("learning_rate,by=1.000001", "square", "lr", 0, "a constant: nothing may be off", True),
    Row("update_scale,by=1.0001", "square", "weight/hidden.weight", 0, "the update is a tenth of the weight"),
    Row("update_twice,step=500", "long", "weight/hidden.weight", 500, "the update is far above a weight's rounding"),
    Row("update_twice,step=500", ARTICLE, "", None, "the hidden units are dead for this sample: the update is zero"),
    Row("update_twice,step=502", ARTICLE, "weight/hidden.weight", 502, "two samples on they are not"),
    Row("update_skipped,step=3", "square", "weight/hidden.weight", 3, "the update is missing"),
    Row("weight_decay", "square", "weight/hidden.weight", 0, "a thousandth of the weight"),
    Row("momentum", "square", "weight/hidden.weight", 1, "at step 0 there is no velocity"),
    Row("state_lost", "square", "weight/hidden.weight", 2, "the last step of the first epoch", True),
    Row("samples_reordered", "square", "forward/hidden", 0, "other samples"),
    Row("labels_shifted", "square", "loss", 0, "other labels, the same samples", True),
    Row("batch_repeated,step=3", "square", "forward/hidden", 3, "another batch"),
    Row("computed_in", "square", "forward/hidden", 0, "bfloat16 has 8 digits, float32 24", True),
    Row("computed_in,name=tf32", "square", "forward/hidden", 0, "products of matrices with 11 digits"),
    Row("narrow_rate", "square", "", None, "a float32 run keeps its rate in float32 anyway"),
    Row("nan_to_zero", ARTICLE, "", None, "no pre-activation is NaN"),
    Row("updated_too_early", "mixed", "backward/second_act", 0, "the first that flows through an updated layer"),
    Row("gradients_exchanged", "mixed", "grad/second.weight", 0, "the later of the two comes first"),
    Row("gradients_cleared_early", "mixed", "weight/first.weight", 0, "nothing is updated"),
    Row("labels_broadcast", "mixed", "loss", 0, "nine residuals for three", True),
    Row("labels_broadcast", ARTICLE, "", None, "batches of one: there is one label"),
    Row("partial_batch_scaled", "mixed", "loss", 2, "the first batch of one sample", True),
    Row("partial_batch_dropped", "mixed", "forward/first", 2, "three samples where one is due", True),
    Row("partial_batch_filled", "mixed", "forward/first", 2, "two samples more", True),
    Row("partial_batch_filled", ARTICLE, "", None, "all batches have one size"),
    Row("batch_dropped,step=4", "mixed", "forward/first", 4, "another batch"),
    Row("values_of_other", "mixed", "forward/first", 0, "other weights"),
    Row("rows_swapped,at=second", "mixed", "forward/second", 0, "the bias stays where it was"),
    Row("weight_reshaped,at=first", "oblong", "forward/first", 0, "the shape is right, the order is not", True),
    Row("narrow_constant", "wide", "forward/second_act", 0, "0.3 is no float32"),
    Row("setting,at=norm,name=epsilon,value=0.001", "normed", "forward/norm", 0, "a hundred times ε"),
    Row(
        "setting,at=norm,name=momentum,value=0.1",
        "normed",
        "buffer/norm.running_mean",
        0,
        "that of the other convention",
    ),
    Row("definition,at=optimizer,name=not_corrected", "normed", "weight/first.weight", 0, "moments that begin at 0"),
    Row("narrow_constant", "mixed", "", None, "a float32 run keeps it in float32 anyway"),
    Row("infinity_clipped", "hot", "forward/first", 0, "65,504 for infinity"),
    Row("infinity_clipped", "mixed", "", None, "nothing is infinite"),
]


def scenario(name: str) -> Scenario:
    return parse_scenario(SCENARIOS[name]) if name in SCENARIOS else load_scenario(name)


@pytest.fixture(scope="module")
def sabotaged(pytestconfig: pytest.Config) -> dict[str, Report]:
    """Each scenario with its faults: all in the reference backend, some in every one that was asked for."""
    others = [b for b in asked_for(pytestconfig) if b != REFERENCE and describe(b).version]
    names = dict.fromkeys(row.scenario for row in ROWS)
    return {
        name: run(
            scenario(name),
            backends=list(
                dict.fromkeys(
                    f"{backend}[fault={row.fault}]"
                    for row in ROWS
                    if row.scenario == name
                    for backend in [REFERENCE, *(others if row.everywhere else [])]
                )
            ),
            repeat=1,
            causes=False,
            jobs=1,  # variants of a backend share one child: its framework is imported once
        )
        for name in names
    }


def cells(sabotaged: dict[str, Report], row: Row, mode: Mode) -> list[Any]:
    summary = sabotaged[row.scenario].summary
    return list(summary[summary.backend.str.endswith(f"[fault={row.fault}]") & (summary["mode"] == mode)].itertuples())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.fault} in {row.scenario}")
def test_a_fault_shows_where_it_is_and_only_if_it_does_something(
    sabotaged: dict[str, Report], row: Row, mode: Mode
) -> None:
    found = cells(sabotaged, row, mode)
    assert found
    for cell in found:
        if row.first:
            assert (cell.verdict, cell.first, cell.step) == ("DIVERGES", row.first, row.step), cell.backend
        else:
            assert cell.verdict in GREEN, (cell.backend, cell.message)


def test_an_equivalent_network_is_reported_with_an_equal_loss(sabotaged: dict[str, Report]) -> None:
    row = next(row for row in ROWS if row.fault.startswith("units_permuted"))
    for cell in cells(sabotaged, row, "free"):
        assert cell.message.endswith("; the loss is within its bound at every step"), cell.backend


def test_four_units_in_the_last_place_are_at_the_bound() -> None:
    # Six envelopes are allowed, and an envelope is a unit at least: 4 ULP once are not found here, 16 are.
    faults = [f"{REFERENCE}[fault=weight_off,ulp={ulp},step=3]" for ulp in (1, 4, 16, 64)]
    summary = run(parse_scenario(SQUARE), backends=faults, mode="resync", causes=False).summary.set_index("backend")
    assert summary.verdict[faults[0]] in GREEN
    assert 3 <= summary.error_over_bound[faults[1]] * FACTOR <= FACTOR
    for fault in faults[2:]:
        where = (summary.verdict[fault], summary["first"][fault], summary.step[fault])
        assert where == ("DIVERGES", "weight/output.weight", 3)


# ---------------------------------------------------------------- the catalogue


SEEDED = {row.fault.partition(",")[0] for row in ROWS} | {"weight_off"}
READ_OFF: dict[str, Any] = {  # what is read off a trace, as it could have been
    "labels_reordered": {"orders": ((0, (2, 0, 1, 3)), (1, (1, 0, 2, 3)))},
    "cell_off": {"sample": 1, "by": 0.5},
    "clamped": {"at": "hidden", "high": 0.1},
    "data_clipped": {"by": 0.3},
    "dropped": {"at": "hidden", "by": 2.0, "masks": ((0, (True, False, True) * 4),)},
    "gradients_clipped": {"at_most": 1e-3},
    "rate_of_its_own": {"rates": ((0, 0.5),)},
    "rate_on_plateau": {"drops": (1, 3)},
    "rate_warms_up": {"steps": 5},
    "rows_limited": {"by": 0.01},
    "family_loss": {"of": "power", "c": 3.0},
    "flow_changed": {"at": "hidden", "how": "its sign"},
    "term_added": {"by": 0.1},
    "reported_of_other": {"at": "forward/hidden", "other": "forward/hidden_act"},
    "weight_used_as": {"how": "squared"},
    "weights_clamped": {"by": 0.01},
    "written_loss": {"of": "distances", "by": 1.0},
    "other_function": {"at": "hidden_act", "of": "sin"},
}


@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in SEEDED])
def test_a_change_makes_nothing_wrong_before_it_takes_hold(name: str) -> None:
    seen = []
    for raw in (SQUARE, MIXED, WIDE, PLANNED, TINY, GROUPED):
        scenario = parse_scenario(raw)
        inputs = make_inputs(scenario)
        right = record_here(Rules("float64"), "right", scenario, inputs)
        options = [CATALOGUE[name](**READ_OFF[name])] if name in READ_OFF else CATALOGUE[name].variants(scenario)
        for change in options:
            places = [getattr(change, "at", "").rpartition("/")[2]]
            if name in READ_OFF and any(place and place not in scenario.shapes() for place in places):
                continue
            if name == "dropped" and inputs.batch_size != 4:
                continue
            wrong = record_here(ChangedBackend(change), "wrong", scenario, inputs)
            differs = {q: (v != wrong.columns[q]).reshape(len(v), -1).any(axis=1) for q, v in right.columns.items()}
            step = min((int(rows.argmax()) for rows in differs.values() if rows.any()), default=None)
            first = next((q for q, rows in differs.items() if step is not None and rows[step]), "")
            assert not first or change.reaches(first), (change, first)
            seen.append(first)
    assert any(seen), f"{name} makes nothing another in any scenario"


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_a_fault_that_would_do_nothing_is_refused(name: str) -> None:
    change = CATALOGUE[name]()
    assert change.idle == bool(change.needs)
    if name in READ_OFF:
        assert not CATALOGUE[name](**READ_OFF[name]).idle
    if change.idle:
        scenario = parse_scenario(SQUARE)
        with pytest.raises(ValueError, match=f"fault={name}: expected {change.needs[0]}.*; without, nothing"):
            Sabotaged(Rules("float32"), change).session(scenario, make_inputs(scenario))


@pytest.mark.parametrize("name", ["gradient_scale", "gradients_in", "weight_decay", "momentum", "learning_rate"])
def test_what_happens_to_gradients_reaches_no_buffer(name: str) -> None:
    assert not CATALOGUE[name]().reaches("buffer/norm.running_mean")
    assert CATALOGUE["definition"]().reaches("buffer/norm.running_mean")


def test_every_change_is_tried() -> None:
    assert set(CATALOGUE) >= SEEDED
    assert set(CATALOGUE) >= set(READ_OFF)


@pytest.mark.parametrize("change", CATALOGUE.values(), ids=list(CATALOGUE))
def test_every_change_says_what_it_is(change: Any) -> None:
    assert change.sentence
    assert re.search("«.+»", change.formula)  # the offending term
    assert change.origin


OF_COLUMNS = ("labels_are_feature", "labels_are_of_features", "column_changed")


def test_a_label_that_is_one_number_has_no_columns() -> None:
    case = next(case for case in cases() if case.kind == "cosine_embedding")
    scenario = scenario_of(case, "float32", "test")
    assert scenario.loss.label_shape(scenario.outputs) == ()
    assert [list(CATALOGUE[name].variants(scenario)) for name in OF_COLUMNS] == [[], [], []]


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_a_change_has_a_place_in_some_scenario_and_its_name_leads_back_to_it(name: str) -> None:
    made = [
        change
        for raw in (SQUARE, KINK, MIXED, OBLONG, WIDE, NORMED, PLANNED, GROUPED)
        for change in CATALOGUE[name].variants(parse_scenario(raw))
    ]
    assert made
    from isograd.changes.catalogue import make_change

    for change in made:
        options = dict(item.split("=", 1) for item in fault_name(change).split(","))
        assert make_change(options.pop("fault"), options) == change


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("numpy[fault=gradient_scal]", " changes, such as gradient_scale, "),
        ("numpy[fault=gradient_scale,by=much]", "fault=gradient_scale: by: "),
        ("numpy[fault=gradient_scale,times=2]", "fault=gradient_scale: times: "),
        ("numpy[fault=loss_scale,by=over_there]", "fault=loss_scale: by: "),
        ("nothing[fault=gradient_scale]", "expected one of "),
    ],
)
def test_a_fault_that_there_is_not_is_a_wrong_request(isograd: Any, backend: str, words: str) -> None:
    outcome = isograd("run", "article/worked_backprop", "--backends", backend)
    assert outcome.code == 2
    assert words in outcome.err


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("gradient_scale,at=hiden.weight", "at: expected one of hidden.weight, output.weight; got 'hiden.weight'"),
        ("gradients_not_cleared,layer=hiden", "layer: expected one of hidden, output; got 'hiden'"),
        ("derivative_left_out,at=output", "at: expected one of hidden_act; got 'output'"),
        ("bias_scale,at=hidden", "at: expected one of none: it means nothing in this scenario; got 'hidden'"),
    ],
)
def test_a_fault_at_a_place_that_there_is_not_is_an_error(fault: str, words: str) -> None:
    report = run("article/worked_backprop", backends=[f"{REFERENCE}[fault={fault}]"], repeat=1)
    assert set(report.summary.verdict) == {"ERROR"}
    assert report.summary.message.str.contains(words, regex=False).all()


def test_a_change_that_does_nothing_leaves_the_backends_bits() -> None:
    report = run("article/worked_backprop", backends=[f"{REFERENCE}[fault=gradient_scale,by=1]"])
    assert set(report.summary.verdict) == {"IDENTICAL"}


def test_state_is_not_shared_between_runs() -> None:
    backend = f"{REFERENCE}[fault=gradients_not_cleared]"
    report = run(parse_scenario(SQUARE), backends=[backend], repeat=2)
    assert set(report.summary.verdict) == {"DIVERGES"}
    assert np.isfinite(report.summary.max_abs).all()
