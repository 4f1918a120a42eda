"""Do `run`, `record` and the others take and give what they say, and refuse the rest before any child is started?"""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import isograd
from isograd import IsogradError, Report, Trace, compare, load_scenario, load_trace, record, run, save_trace
from isograd.children import Answer
from isograd.envelope import RUNS
from isograd.judging import FACTOR
from isograd.plan import trace_name
from tests.conftest import REFERENCE, SMALL, SMALL_STEPS
from tests.test_architecture import OURS, name_of

Written = Callable[..., Path]

# ---------------------------------------------------------------- the public names


def test_public_names_are_there() -> None:
    assert dir(isograd) == sorted(isograd.__all__)
    assert all(getattr(isograd, name).__name__ == name for name in isograd.__all__)


def test_there_is_no_other_name() -> None:
    with pytest.raises(AttributeError, match="module 'isograd' has no attribute 'rnu'"):
        _ = isograd.rnu


def test_importing_costs_nothing() -> None:
    code = "import isograd, json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = [name for name in json.loads(done.stdout) if name.partition(".")[0] in ("isograd", "numpy", "pandas")]
    assert ours == ["isograd"]


WITH_EXAMPLES = [name_of(path) for path in OURS if ">>>" in path.read_text("utf-8")]


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_are_true(module: str) -> None:
    result = doctest.testmod(import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


# ---------------------------------------------------------------- what is asked for


@pytest.mark.parametrize(
    "given",
    [lambda path: path, str, load_scenario, lambda path: [path], lambda path: (str(path), "article/single_neuron")],
    ids=["path", "text", "scenario", "list", "several"],
)
def test_scenarios_are_given_in_many_ways(scenario_file: Written, given: Callable[[Path], Any]) -> None:
    report = run(given(scenario_file()), backends=[REFERENCE], mode="free")
    assert [result.scenario.name for result in report.results] == ["small", "article/single_neuron"][
        : len(report.results)
    ]
    assert report.green


def test_a_backend_named_twice_runs_once(scenario_file: Written) -> None:
    report = run(scenario_file(), backends=[REFERENCE, REFERENCE], mode="free")
    assert report.summary.backend.tolist() == [REFERENCE]


class Told:
    """What `run` said of its progress."""

    def __init__(self) -> None:
        self.plans: list[tuple[str, int]] = []
        self.jobs: list[tuple[str, str, str]] = []
        self.shares: dict[tuple[str, str], float] = {}

    def planned(self, backend: str, jobs: int) -> None:
        self.plans.append((backend, jobs))

    def done(self, backend: str, scenario: str, mode: str, answer: Answer) -> None:
        assert answer.error == ""
        self.jobs.append((backend, scenario, mode))

    def oracle(self, scenario: str, mode: str, share: float) -> None:
        self.shares[scenario, mode] = self.shares.get((scenario, mode), 0.0) + share


def test_progress_is_told_of_every_job(scenario_file: Written) -> None:
    told = Told()
    run([scenario_file(), "article/single_neuron"], backends=[REFERENCE], progress=told)
    assert told.plans == [("oracle", 4), (REFERENCE, 4)]
    assert list(told.shares.values()) == pytest.approx([1.0] * 4)
    names = ["small", "article/single_neuron"]
    assert told.jobs == [(REFERENCE, name, mode) for mode in ("free", "resync") for name in names]  # free jobs first


def test_traces_are_kept_where_they_are_wanted(scenario_file: Written, tmp_path: Path) -> None:
    report = run(scenario_file(), backends=[REFERENCE], mode="free", traces=tmp_path / "kept")
    (path,) = (tmp_path / "kept").iterdir()
    assert path.name == trace_name("small", REFERENCE, "float32", "free")
    assert path.name.startswith(f"small-{REFERENCE}-float32-free-")
    trace, kept = report.results[0].cells[REFERENCE, "free"].trace, load_trace(path)
    assert trace is not None
    assert trace.manifest == kept.manifest
    assert all(np.array_equal(trace.columns[name], kept.columns[name]) for name in kept.columns)


def test_the_same_request_gives_the_same_tables(scenario_file: Written) -> None:
    first, second = (run(scenario_file(), backends=[REFERENCE]) for _ in range(2))
    for table in ("summary", "losses", "weights", "quantities", "findings"):
        pd.testing.assert_frame_equal(getattr(first, table), getattr(second, table))


def test_what_a_backend_lacks_is_unsupported_and_not_green(scenario_file: Written) -> None:
    report = run(scenario_file(), backends=["tests.outside:Outside"], mode="free")
    row = report.summary.iloc[0]
    assert (row.verdict, row.message) == ("UNSUPPORTED", "no row for layer sigmoid, loss half_squared_error")
    assert not report.green


def test_a_report_of_nothing_is_not_green() -> None:
    assert not Report((), {}, {}).green


def test_a_report_shows_itself_in_a_line(scenario_file: Written) -> None:
    report = run(scenario_file(), backends=[REFERENCE, "tests.saboteurs:SlightlyScaled"], mode="free")
    assert repr(report) == "<Report: 1 of 2 cells is not green>"
    assert repr(Report((), {}, {})) == "<Report: Nothing was run>"


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"scenarios": "nothing"}, "scenario 'nothing': not in the catalogue"),
        ({"backends": []}, "expected at least one backend; got none"),
        ({"backends": ["nobody"]}, "backend 'nobody': expected one of"),
        ({"backends": [f"{REFERENCE}[nothing=1]"]}, "nothing"),
        ({"dtype": "int8"}, "dtype: "),
        ({"mode": "slow"}, "mode: expected free, resync or both; got 'slow'"),
        ({"every": 0}, "expected every from 1 to 2^53, and jobs ≥ 1; got 0, None"),
        ({"jobs": 0}, "expected every from 1 to 2^53, and jobs ≥ 1; got 1, 0"),
        ({"timeout": 0}, "expected a timeout in seconds, from above 0 to "),
        (
            {"repeat": 0},
            f"factor from 1e-09 to 1e+09; got 0, {RUNS}, {FACTOR:g}",
        ),
        (
            {"noise": 1},
            f"factor from 1e-09 to 1e+09; got None, 1, {FACTOR:g}",
        ),
        (
            {"factor": 0},
            f"factor from 1e-09 to 1e+09; got None, {RUNS}, 0",
        ),
        (
            {"factor": float("nan")},
            f"factor from 1e-09 to 1e+09; got None, {RUNS}, nan",
        ),
        ({"quantities": "weights/*"}, "no quantity matches 'weights/*'; it has lr, forward/neuron, "),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_wrong_request_is_refused_before_any_child_is_started(
    monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any], words: str
) -> None:
    monkeypatch.setattr("isograd.pool.Child", lambda *_: pytest.fail("a child was started"))
    with pytest.raises(IsogradError) as refused:
        run(**({"scenarios": "article/single_neuron", "backends": [REFERENCE]} | request_))
    assert words in str(refused.value)


def test_how_it_was_asked_for_stands_in_the_report(scenario_file: Written) -> None:
    report = run(scenario_file(), backends=[REFERENCE], mode="free", repeat=3, noise=5, factor=2.5)
    assert {name: report.request[name] for name in ("repeat", "noise", "factor")} == {
        "repeat": 3,
        "noise": 5,
        "factor": 2.5,
    }


def test_the_public_judge_stays_a_function_whatever_is_imported() -> None:
    """A module of the same name, once imported, would stand in the function's place."""
    code = "import isograd.api, isograd; from isograd import judge; print(callable(isograd.judge), callable(judge))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


# ---------------------------------------------------------------- record and compare


def test_recording_takes_runs_options(scenario_file: Written) -> None:
    trace = record(scenario_file(), REFERENCE, dtype="float64", mode="resync", every=3, quantities="loss,lr")
    assert list(trace.columns) == ["lr", "loss"]
    assert trace.steps.tolist() == [0, SMALL_STEPS - 1]
    manifest = trace.manifest
    assert (manifest.scenario, manifest.backend, manifest.dtype, manifest.mode) == (
        "small",
        REFERENCE,
        "float64",
        "resync",
    )
    assert manifest.steps == SMALL_STEPS
    assert {column.dtype for column in trace.columns.values()} == {np.dtype("float64")}


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("tests.saboteurs:Exits", "the process ended with exit code 3 before it answered\nlast words"),
        ("tests.saboteurs:NotInstalled", "not installed; try pip install isograd-test-no-such-framework"),
        ("tests.outside:Outside", "has no row for layer sigmoid, loss half_squared_error"),
    ],
)
def test_what_cannot_be_recorded_says_why(scenario_file: Written, backend: str, words: str) -> None:
    with pytest.raises(IsogradError) as refused:
        record(scenario_file("wrecked"), backend)
    assert str(refused.value).startswith(f"backend '{backend}'")
    assert words in str(refused.value)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    path = tmp_path_factory.mktemp("trace") / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return record(path, REFERENCE)


def test_traces_and_their_files_are_compared_alike(trace: Trace, tmp_path: Path) -> None:
    save_trace(trace, tmp_path / "a.safetensors")
    first, second = compare(trace, trace), compare(str(tmp_path / "a.safetensors"), tmp_path / "a.safetensors")
    pd.testing.assert_frame_equal(first.quantities, second.quantities)
    pd.testing.assert_frame_equal(first.summary, second.summary)
    assert first.summary.columns.tolist()[:6] == ["scenario", "backend", "against", "dtype", "mode", "verdict"]


def test_runs_in_two_dtypes_differ_in_structure(trace: Trace, scenario_file: Written) -> None:
    wide = record(scenario_file(), REFERENCE, dtype="float64")
    difference = compare(trace, wide)
    assert difference.judgement.verdict == "DIVERGES"
    assert "has dtype float32, expected float64" in difference.judgement.message


def test_a_recorded_trace_holds_what_it_was_made_from(trace: Trace) -> None:
    assert trace.manifest.spec["name"] == "small"
    assert trace.inputs is not None
    assert trace.inputs.x.tolist() == [[0.5, -1], [1, 2], [-0.25, 0.75]]


def test_what_does_not_hold_what_it_was_made_from_is_not_taken_for_the_truth(trace: Trace) -> None:
    assert compare(replace(trace, inputs=None), trace).green
    with pytest.raises(IsogradError, match="does not hold the scenario that it was made from"):
        compare(trace, replace(trace, inputs=None))


def test_traces_without_a_step_in_common_are_refused(trace: Trace) -> None:
    even, odd = trace.every(trace.steps[::2]), trace.every(trace.steps[1::2])
    with pytest.raises(IsogradError, match=r"have no step in common: .* record both with the same --every"):
        compare(even, odd)


@pytest.mark.parametrize("quantities", ["lr", "loss", "weight/*", "forward/*,grad/output.weight"])
@pytest.mark.parametrize("every", [1, 7])
def test_an_identity_is_looked_at_as_far_as_it_was_recorded(quantities: str, every: int) -> None:
    report = run("article/sum_regression_full_batch", backends=[REFERENCE], quantities=quantities, every=every)
    assert set(report.summary.verdict) <= {"IDENTICAL", "VACUOUS"}
    told = report.findings[report.findings.id == "batch-gradient-is-mean"]
    assert set(told[told.text.str.startswith(REFERENCE)].quantity) == (
        {"grad/output.weight"} if "grad" in quantities else set()
    )


def test_published_steps_that_were_not_recorded_are_errors_and_no_end_of_the_run() -> None:
    scenario = load_scenario("article/worked_backprop_as_published")
    later = scenario.model_copy(
        update={"epochs": 6, "published": tuple(p.model_copy(update={"step": 1}) for p in scenario.published)}
    )
    report = run(later, backends=[REFERENCE], every=5)
    assert set(report.summary.verdict) == {"ERROR"}
    assert report.summary.message.str.contains("no step in common").all()


def test_backends_that_are_wrong_in_one_way_end_in_a_report(scenario_file: Callable[..., Path], tmp_path: Path) -> None:
    wrong = ["tests.saboteurs:LossOfOne", "tests.saboteurs:LossOfOneToo"]
    report = run(scenario_file(), backends=[REFERENCE, *wrong])
    report.write(tmp_path / "report")
    verdicts = report.summary.set_index(["backend", "mode"]).verdict
    assert set(verdicts[REFERENCE]) == {"IDENTICAL"}
    assert set(verdicts[wrong[0]]) == set(verdicts[wrong[1]]) == {"DIVERGES"}
    pairs = {(p.first, p.second, p.mode): p.judgement for p in report.results[0].pairs}
    assert pairs[wrong[0], wrong[1], "free"].message == "loss: has shape (1,) on both sides; expected ()"


def test_one_file_by_two_paths_is_one_scenario(scenario_file: Callable[..., Path]) -> None:
    path = scenario_file()
    report = run(
        [path, path.parent / "." / path.name, str(path.parent / ".." / path.parent.name / path.name)],
        backends=[REFERENCE],
    )
    assert len(report.results) == 1
