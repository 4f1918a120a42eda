"""Do trace files alone come to what the run came to, at any factor, and is a file that cannot be judged refused?"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from isograd import Report, Scenario, Trace, load_scenario, load_trace, record, run, save_trace
from isograd.api import judge
from isograd.assess import Cell
from isograd.backend import backend_class, backend_names
from isograd.cases import Case, cases, scenario_of
from isograd.contract import modules_of
from isograd.errors import IsogradError, TraceError
from isograd.inputs import Inputs, fingerprint, make_inputs
from isograd.judging import FACTOR
from isograd.ops import LAYERS, OPTIMIZERS
from isograd.recorder import record_here
from isograd.rejudge import _fit, rejudge
from isograd.rules import Rules
from isograd.trace import INPUTS, KEY, STEPS, Mode
from tests.conftest import REFERENCE, SMALL, Outcome

Command = Callable[..., Outcome]

AS_PUBLISHED, WORKED = "article/worked_backprop_as_published", "article/worked_backprop"
SHORT = load_scenario("article/sum_regression").model_copy(
    update={"name": "short", "epochs": 1, "published": (), "findings": ()}
)
RIGHT, SCALED, DOWN = REFERENCE, "tests.saboteurs:SlightlyScaled", "tests.saboteurs:RoundsDown"
BACKENDS = [RIGHT, SCALED, DOWN, "tests.saboteurs:NanOnce", "tests.saboteurs:TransposesOblong"]

# What is asked of `run`; and the same of `judge`, which finds the rest in the files.
REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "float32": ({}, {}),
    "float16": ({"dtype": "float16"}, {}),
    "bfloat16": ({"dtype": "bfloat16"}, {}),
    "some steps": ({"every": 30}, {}),
    "some quantities": ({"quantities": "loss, grad/*"}, {}),
    "a factor": ({"factor": 400.0}, {"factor": 400.0}),
    "little noise": ({"noise": 3}, {"noise": 3}),
}


@pytest.mark.parametrize("case", [case for case in cases() if case.word == "loss"], ids=lambda case: case.name)
def test_the_inputs_of_every_loss_are_taken_for_such(case: Case) -> None:
    scenario = scenario_of(case, "float32", "rejudge")
    inputs = make_inputs(scenario)
    assert _fit(scenario, inputs)
    assert not _fit(scenario, replace(inputs, y=inputs.y[:-1]))


WRITTEN = {
    "conv2d": "weight bias outputs kernel stride padding dilation groups",
    "batch_norm": "weight bias momentum epsilon",
    "linear": "weight bias outputs",
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_fields_stand_in_the_order_of_which_old_fingerprints_are(kind: str) -> None:
    """Those that stood in a scenario before others came, and after what all layers have."""
    fields = [name for name in LAYERS[kind].model_fields if name not in ("kind", "name", "inputs")]
    assert [name for name in fields if name in WRITTEN[kind].split()] == WRITTEN[kind].split()


def test_an_optimizers_fields_too() -> None:
    fields = "kind lr beta1 beta2 epsilon weight_decay decoupled"
    assert [name for name in OPTIMIZERS["adam"].model_fields if name in fields.split()] == fields.split()


def of(report: Report) -> list[Cell]:
    return [cell for result in report.results for cell in result.cells.values()]


def traces_of(report: Report) -> list[Trace]:
    return [cell.trace for cell in of(report) if cell.trace]


def seen(cell: Cell) -> tuple[Any, ...]:
    """All that a person is told of a cell."""
    found = cell.judgement
    names = ("verdict", "first", "step", "error_over_bound", "max_abs", "max_ulp", "least_factor", "limit", "message")
    return cell.backend, cell.mode, *(getattr(found, name) for name in names)


def verdicts(cells: list[Cell]) -> list[str]:
    return [str(cell.verdict) for cell in cells]


def small(dtype: str = "float32") -> Scenario:
    return Scenario.model_validate(tomllib.loads(SMALL) | {"name": "small", "dtype": dtype})


@pytest.fixture(scope="module")
def short() -> Report:
    return run(SHORT, backends=[RIGHT, SCALED, DOWN], repeat=1)


def trace_of(report: Report, backend: str, mode: Mode) -> Trace:
    trace = report.results[0].cells[backend, mode].trace
    assert trace is not None
    return trace


# ---------------------------------------------------------------- the same verdicts


@pytest.mark.parametrize(("asked", "again"), REQUESTS.values(), ids=REQUESTS)
def test_files_alone_come_to_what_the_run_came_to(tmp_path: Path, asked: dict[str, Any], again: dict[str, Any]) -> None:
    report = run(SHORT, backends=BACKENDS, traces=tmp_path, repeat=1, causes=False, **asked)
    names = {(cell.backend, cell.mode): cell for cell in judge(sorted(tmp_path.iterdir()), **again)}
    assert len(names) == len(BACKENDS) * 2
    for cell in of(report):
        assert seen(names[cell.backend, cell.mode]) == seen(cell)


def test_traces_are_judged_as_their_files_are(short: Report) -> None:
    assert [seen(cell) for cell in judge(traces_of(short))] == [seen(cell) for cell in of(short)]


def test_cells_come_in_the_order_of_the_traces(short: Report) -> None:
    backwards = traces_of(short)[::-1]
    assert [cell.trace for cell in judge(backwards)] == backwards


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_reference_backend_is_identical_to_itself_in_every_dtype(dtype: str) -> None:
    assert verdicts(judge([record(small(dtype), REFERENCE)])) == ["IDENTICAL"]


def test_a_scenario_that_expects_a_divergence_is_judged_by_it() -> None:
    assert verdicts(judge([record(AS_PUBLISHED, REFERENCE)])) == ["EXPECTED"]


@pytest.mark.parametrize("order", [(WORKED, AS_PUBLISHED), (AS_PUBLISHED, WORKED)], ids=["after", "before"])
def test_scenarios_with_the_same_numbers_are_told_apart(order: tuple[str, str]) -> None:
    expected = {WORKED: "IDENTICAL", AS_PUBLISHED: "EXPECTED"}
    assert verdicts(judge([record(name, REFERENCE) for name in order])) == [expected[name] for name in order]


def test_traces_of_several_scenarios_and_steps_are_judged_each_by_its_own() -> None:
    given = [
        record(SHORT, RIGHT),
        record(small(), RIGHT),
        record(SHORT, RIGHT, every=7),
        record(small("float64"), RIGHT),
    ]
    assert verdicts(judge(given)) == ["IDENTICAL"] * 4


def test_a_quantity_that_was_lost_from_a_file_is_missed(short: Report) -> None:
    trace = trace_of(short, RIGHT, "free")
    (cell,) = judge([trace.every(trace.steps, [name for name in trace.columns if name != "loss"])])
    assert (str(cell.verdict), cell.judgement.message) == ("DIVERGES", "loss: missing from the trace")


# ---------------------------------------------------------------- free and resync


def test_a_free_trace_that_diverges_alone_drifts_beside_the_resync_one(short: Report) -> None:
    free, resync = trace_of(short, DOWN, "free"), trace_of(short, DOWN, "resync")
    assert verdicts(judge([free])) == ["DIVERGES"]
    assert verdicts(judge([free, resync])) == ["DRIFTS", "EQUIVALENT"]
    assert verdicts(judge([resync, free])) == ["EQUIVALENT", "DRIFTS"]


def test_another_backends_resync_trace_proves_nothing(short: Report) -> None:
    free, other = trace_of(short, DOWN, "free"), trace_of(short, RIGHT, "resync")
    assert verdicts(judge([free, other])) == ["DIVERGES", "IDENTICAL"]


def test_a_resync_trace_of_another_scenario_proves_nothing(short: Report) -> None:
    free, other = trace_of(short, DOWN, "free"), record(small(), DOWN, mode="resync")
    assert verdicts(judge([free, other]))[0] == "DIVERGES"


# ---------------------------------------------------------------- another factor


@pytest.mark.parametrize("mode", ["free", "resync"])
def test_another_factor_gives_another_verdict(short: Report, mode: Mode) -> None:
    trace = trace_of(short, SCALED, mode)
    (cell,) = judge([trace])
    least = cell.judgement.least_factor
    assert verdicts(judge([trace], factor=least * 0.99)) == ["DIVERGES"]
    assert verdicts(judge([trace], factor=least * 1.01)) == ["EQUIVALENT"]


@pytest.mark.parametrize("backend", [RIGHT, DOWN])
def test_a_factor_that_is_too_small_lets_nothing_pass_that_is_not_exact(short: Report, backend: str) -> None:
    same = backend == RIGHT  # bit for bit the rules' own: no factor makes that wrong
    assert verdicts(judge([trace_of(short, backend, "free")], factor=1e-6)) == ["IDENTICAL" if same else "DIVERGES"]


def printed_factor(outcome: Outcome) -> str:
    return re.findall(r"│ +(\S+) +│\n", outcome.out)[-1]


@pytest.mark.parametrize("backend", [RIGHT, SCALED, DOWN])
@pytest.mark.parametrize("mode", ["free", "resync"])
def test_the_factor_that_is_printed_is_one_at_which_it_passes(
    isograd: Command, short: Report, tmp_path: Path, backend: str, mode: Mode
) -> None:
    path = tmp_path / "t.safetensors"
    save_trace(trace_of(short, backend, mode), path)
    least = printed_factor(isograd("judge", path))
    if backend == RIGHT:
        assert (least, isograd("judge", path, "--factor", 1e-6).code) == ("any", 0)
        return
    assert isograd("judge", path, "--factor", least).code == 0
    assert isograd("judge", path, "--factor", 0.98 * float(least)).code == 1


@pytest.mark.parametrize("saboteur", ["NanOnce", "TransposesOblong"])
def test_what_no_factor_lets_pass_says_so(isograd: Command, tmp_path: Path, saboteur: str) -> None:
    path = tmp_path / "t.safetensors"
    save_trace(record(SHORT, f"tests.saboteurs:{saboteur}"), path)
    outcome = isograd("judge", path, "--factor", 1e9)
    assert (outcome.code, printed_factor(outcome)) == (1, "none")


@pytest.mark.parametrize("options", [{"factor": 0.0}, {"factor": -1.0}, {"factor": float("nan")}, {"noise": 1}])
def test_a_wrong_request_is_refused(short: Report, options: dict[str, Any]) -> None:
    with pytest.raises(IsogradError, match=r"noise from 2 to 10000 and factor from 1e-09 to 1e\+09"):
        judge(traces_of(short), **options)


# ---------------------------------------------------------------- the command


def test_the_command_says_where_and_why(isograd: Command, short: Report, tmp_path: Path) -> None:
    for name, backend in (("right", RIGHT), ("wrong", SCALED)):
        save_trace(trace_of(short, backend, "resync"), tmp_path / f"{name}.safetensors")
    outcome = isograd("judge", tmp_path / "right.safetensors", tmp_path / "wrong.safetensors")
    assert outcome.code == 1
    found = judge([trace_of(short, SCALED, "resync")])[0].judgement
    assert re.search(rf"right\.safetensors +│ short +│ {RIGHT} +│ float32 +│ resync +│ IDENTICAL ", outcome.out)
    row = rf"wrong\.safetensors +│ short +│ {SCALED} +│ float32 +│ resync +│ DIVERGES +│ {found.first} +│ {found.step} "
    assert re.search(row, outcome.out)
    assert found.message in outcome.out


def test_only_green_traces_are_0(isograd: Command, short: Report, tmp_path: Path) -> None:
    save_trace(trace_of(short, RIGHT, "free"), tmp_path / "right.safetensors")
    assert isograd("judge", tmp_path / "right.safetensors").code == 0


MODULES = """
import json, os, sys
from isograd.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
with open(os.environ["ISOGRAD_TEST_MODULES"], "w") as file:
    json.dump([code or 0, sorted({name.partition(".")[0] for name in sys.modules})], file)
"""


def test_no_framework_is_imported(short: Report, tmp_path: Path) -> None:
    path, trace = tmp_path / "modules.json", tmp_path / "t.safetensors"
    save_trace(trace_of(short, RIGHT, "free"), trace)
    env = dict(os.environ) | {"ISOGRAD_TEST_MODULES": str(path)}
    command = [sys.executable, "-c", MODULES, "judge", str(trace)]
    subprocess.run(command, env=env, check=True, capture_output=True, cwd=Path(__file__).parent.parent)
    code, modules = json.loads(path.read_text())
    assert code == 0
    frameworks = [modules_of(backend_class(name).distribution) for name in backend_names() if name != REFERENCE]
    assert not set(modules) & set().union(*frameworks)


# ---------------------------------------------------------------- what cannot be judged


def with_manifest(trace: Trace, **changes: Any) -> Trace:
    return replace(trace, manifest=trace.manifest.model_copy(update=changes))


def with_spec(trace: Trace, **changes: Any) -> Trace:
    return with_manifest(trace, spec=trace.manifest.spec | changes)


def with_inputs(trace: Trace, **changes: Any) -> Trace:
    """Other inputs than those that the fingerprint is of."""
    assert trace.inputs is not None
    return replace(trace, inputs=replace(trace.inputs, **changes))


def forged(trace: Trace, **changes: Any) -> Trace:
    """Other inputs, and their fingerprint."""
    changed = with_inputs(trace, **changes)
    assert changed.inputs is not None
    mark = fingerprint(Scenario.model_validate(trace.manifest.spec), changed.inputs)
    return with_manifest(changed, fingerprint=mark)


def initial(trace: Trace, **values: np.ndarray | None) -> dict[str, dict[str, np.ndarray]]:
    assert isinstance(trace.inputs, Inputs)
    found = {**trace.inputs.initial, **{f"weight/{name.replace('_', '.')}": value for name, value in values.items()}}
    return {"initial": {name: value for name, value in found.items() if value is not None}}


OLD = "does not hold the scenario that it was made from; record it again with this isograd"
OTHER = "holds another scenario than the one that its fingerprint is of; record it again"
ONES = np.ones((2, 2), np.float32)

UNFIT: dict[str, tuple[Callable[[Trace], Trace], str]] = {
    "format 1": (lambda t: replace(with_manifest(t, format=1, spec={}), inputs=None), OLD),
    "no inputs": (lambda t: replace(t, inputs=None), OLD),
    "no scenario": (lambda t: with_manifest(t, spec={}), OLD),
    "another rate": (lambda t: with_spec(t, optimizer={"kind": "sgd", "lr": 0.5}), OTHER),
    "another loss": (lambda t: with_spec(t, loss={"kind": "half_squared_error"}), "data.y: expected labels of width 2"),
    "another dtype": (lambda t: with_spec(t, dtype="float64"), OTHER),
    "fewer layers": (lambda t: with_spec(t, layers=t.manifest.spec["layers"][:-1]), OTHER),
    "no scenario at all": (lambda t: with_spec(t, layers=[]), "layers: "),
    "an unknown key": (lambda t: with_spec(t, colour="red"), "colour: unknown key"),
    "another fingerprint": (lambda t: with_manifest(t, fingerprint="0" * 64), OTHER),
    "another sample": (lambda t: with_inputs(t, x=t.inputs.x + 1), OTHER),  # type: ignore[union-attr]
    "another order": (lambda t: with_inputs(t, order=t.inputs.order[:, ::-1]), OTHER),  # type: ignore[union-attr]
    "a parameter of another shape": (lambda t: forged(t, **initial(t, hidden_weight=ONES)), OTHER),
    "a parameter too few": (lambda t: forged(t, **initial(t, hidden_weight=None)), OTHER),
    "a parameter too many": (lambda t: forged(t, **initial(t, hidden_bias=ONES[0])), OTHER),
    "samples of another width": (lambda t: forged(t, x=t.inputs.x[:, :1]), OTHER),  # type: ignore[union-attr]
    "labels of another width": (lambda t: forged(t, y=np.repeat(t.inputs.y, 2, axis=1)), OTHER),  # type: ignore[union-attr]
    "samples that there are not": (lambda t: forged(t, order=t.inputs.order + 1), OTHER),  # type: ignore[union-attr]
    "batches of nothing": (lambda t: forged(t, batch_size=0), OTHER),
}


@pytest.mark.parametrize(("change", "words"), UNFIT.values(), ids=UNFIT)
def test_what_cannot_be_judged_is_refused(
    isograd: Command, short: Report, tmp_path: Path, change: Callable[[Trace], Trace], words: str
) -> None:
    path = tmp_path / "t.safetensors"
    save_trace(change(trace_of(short, RIGHT, "free")), path)
    with pytest.raises(TraceError) as refused:
        judge([load_trace(path)])
    assert words in str(refused.value)
    outcome = isograd("judge", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"isograd: {refused.value}" in outcome.err


def test_one_unfit_trace_among_others_is_named(short: Report) -> None:
    traces = [trace_of(short, RIGHT, "free"), replace(trace_of(short, SCALED, "free"), inputs=None)]
    with pytest.raises(TraceError, match=f"the trace of {SCALED} on short does not hold the scenario"):
        judge(traces)


def test_a_title_may_be_changed(short: Report) -> None:
    assert verdicts(judge([with_spec(trace_of(short, RIGHT, "free"), title="another")])) == ["IDENTICAL"]


def test_a_backends_options_are_shown(isograd: Any, tmp_path: Path) -> None:
    backend = f"{REFERENCE}[fault=gradient_scale,by=2]"
    save_trace(record("article/worked_backprop", backend, mode="resync"), tmp_path / "t.safetensors")
    assert backend in isograd("judge", tmp_path / "t.safetensors").out


def of_format_2(trace: Trace, path: Path) -> None:
    """A trace's file as the version before wrote it: parameters by their names, one learning rate, another hash."""
    assert trace.inputs is not None
    arrays = trace.inputs.arrays()
    old = {INPUTS + name.replace("initial/weight/", "initial/"): np.array(v) for name, v in arrays.items()}
    old[INPUTS + "lr"] = np.asarray(trace.inputs.lr[0])
    manifest = trace.manifest.model_dump(exclude={"deviation"}) | {"format": 2, "fingerprint": "of another list"}
    stored = json.dumps(manifest | {"quantities": list(trace.columns)})
    columns = {name: np.array(column) for name, column in trace.columns.items()}
    save_file({STEPS: trace.steps, **old, **columns}, path, {KEY: stored})


def test_a_trace_of_format_2_is_judged_as_ever(tmp_path: Path) -> None:
    scenario = load_scenario("article/worked_forward")
    trace = record_here(Rules(rounded=True), REFERENCE, scenario, make_inputs(scenario))
    of_format_2(trace, tmp_path / "old.safetensors")
    (cell,) = rejudge([load_trace(tmp_path / "old.safetensors")], FACTOR, 16)
    assert str(cell.verdict) == "IDENTICAL"
