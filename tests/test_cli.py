"""Does the command do what it is asked, refuse what it cannot, and say so in words and exit codes for a script?"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from isograd import Trace, load_trace, save_trace
from isograd.backend import backend_class, backend_names
from isograd.contract import modules_of
from isograd.envelope import RUNS
from isograd.loading import catalogue_names
from isograd.ops import LAYERS
from isograd.plan import trace_name
from isograd.trace import MODES
from tests.conftest import REFERENCE, SMALL, SMALL_STEPS, Outcome

ROOT = Path(__file__).parent.parent
Command = Callable[..., Outcome]
Written = Callable[..., Path]

FILES = {"summary.csv", "losses.csv", "weights.csv", "findings.csv", "quantities.parquet", "run.json", "README.md"}
FILES |= {"index.html"}
ONE = ("--backends", REFERENCE)
QUICK = (*ONE, "--mode", "free")


def said(outcome: Outcome) -> str:
    """What went to standard error, in one line: a frame around it, and where it is wrapped, are not our business."""
    return re.sub(r"[\s│]+", " ", outcome.err)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- exit codes


def test_all_green_is_0(isograd: Command, scenario_file: Written) -> None:
    outcome = isograd("run", scenario_file(), *ONE)
    assert outcome.code == 0
    assert re.search(r"│ small +│ IDENTICAL │", outcome.out)


def test_something_red_is_1(isograd: Command, scenario_file: Written) -> None:
    outcome = isograd("run", scenario_file(), "--backends", f"{REFERENCE},tests.saboteurs:SlightlyScaled")
    assert outcome.code == 1
    assert "small (free, resync), tests.saboteurs:SlightlyScaled: DIVERGES: grad/output.weight[0, " in outcome.out


def test_a_red_trace_comparison_is_1(isograd: Command, scenario_file: Written, tmp_path: Path) -> None:
    for name, backend in (("a", "tests.saboteurs:SlightlyScaled"), ("b", REFERENCE)):
        isograd("record", scenario_file(), "--backend", backend, "--out", tmp_path / f"{name}.safetensors")
    outcome = isograd("compare", tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert outcome.code == 1
    assert "DIVERGES" in outcome.out
    assert "first: grad/output.weight[0, " in outcome.out


def test_not_installed_and_asked_for_is_1(isograd: Command, scenario_file: Written) -> None:
    outcome = isograd(
        "run", scenario_file(), "--backends", f"{REFERENCE},tests.saboteurs:NotInstalled", "--mode", "free"
    )
    assert outcome.code == 1
    assert (
        "tests.saboteurs:NotInstalled: ERROR: not installed; try pip install isograd-test-no-such-framewo"
        in outcome.out
    )


def test_a_crash_is_1_with_its_last_words(isograd: Command, scenario_file: Written) -> None:
    outcome = isograd("run", scenario_file("wrecked"), "--backends", "tests.saboteurs:Exits", "--mode", "free")
    assert outcome.code == 1
    assert "tests.saboteurs:Exits on wrecked (free) said:\nlast words\n" in outcome.err


# ---------------------------------------------------------------- wrong requests

WRONG = [
    (
        ["run", "sum_regresion"],
        "scenario 'sum_regresion': not in the catalogue, and not a .toml file; did you mean article/",
    ),
    (["run", "zzz"], "scenario 'zzz': not in the catalogue, and not a .toml file. See `isograd list`."),
    (["run", "missing.toml"], "missing.toml: expected a scenario file; No such file or directory"),
    (
        ["run", "small.toml", "other/small.toml", *ONE],
        "two different scenarios are called 'small'; rename one of the files",
    ),
    (["run", "small.toml", "--backends", "nobody"], "backend 'nobody': expected one of "),
    (["run", "small.toml", "--backends", "nowhere:Backend"], "no module 'nowhere'; is its folder on PYTHONPATH?"),
    (["run", "small.toml", "--backends", f"{REFERENCE}[nothing=1]"], f"backend '{REFERENCE}[nothing=1]': "),
    (
        ["run", "small.toml", "--backends", f"{REFERENCE}[arithmetic=octal]"],
        "arithmetic: expected one of float16, bfloat16, tf32, float32, float64, extended, mp50, rational, exact; "
        "got 'octal'",
    ),
    (["run", "small.toml", "--backends", f"{REFERENCE}["], "expected a name, name[option=value,…] or module:Class"),
    (["run", "small.toml", "--backends", ""], "expected at least one backend; got none"),
    (["run", "small.toml", *ONE, "--dtype", "octal"], "small with --dtype: dtype: "),
    (["run", "small.toml", *ONE, "--mode", "slow"], "'slow' is not one of 'free', 'resync', 'both'"),
    (
        ["run", "small.toml", *ONE, "--quantities", "grad/x"],
        "small: no quantity matches 'grad/x'; it has lr, forward/hid",
    ),
    (["run", "small.toml", *ONE, "--every", "0"], "Invalid value for '--every'"),
    (["run", "small.toml", *ONE, "--jobs", "0"], "Invalid value for '--jobs'"),
    (["run", "small.toml", *ONE, "--timeout", "0"], "Invalid value for '--timeout'"),
    (["run", "small.toml", *ONE, "--timeout", "inf"], "expected a timeout in seconds, from above 0 to "),
    (["run", "small.toml", *ONE, "--timeout", "nan"], "Invalid value for '--timeout'"),
    (["record", "small.toml", "--backend", REFERENCE, "--out", "x", "--timeout", "1e300"], "expected a timeout in sec"),
    (["run", "small.toml", *ONE, "--every", f"{10**24}"], "expected every from 1 to 2^53"),
    (["run", "small.toml", *ONE, "--noise", f"{10**9}"], "noise from 2 to 10000"),
    (["run", "small.toml", *ONE, "--factor", "inf"], "factor from 1e-09 to 1e+09; got"),
    (["run", "small.toml", *ONE, "--out", "."], "expected a folder that a report can take the place of"),
    (["run", "small.toml", *ONE, "--out", ""], "expected a folder that a report can take the place of"),
    (["run", "small.toml", *ONE, "--out", "/"], "expected a folder that a report can take the place of"),
    (["run", "small.toml", *ONE, "--out", "x" * 300], "expected the name of a folder: File name too long"),
    (["run", "x" * 300 + ".toml", *ONE], "expected a scenario file; File name too long"),
    (
        ["record", "small.toml", "--backend", REFERENCE, "--out", "x" * 300],
        "cannot be written: File name too long",
    ),
    (["record", "small.toml", "--backend", REFERENCE, "--out", "."], "expected the name of a file; this is a folder"),
    (["compare", "x" * 300, "small.toml"], "expected a trace file; File name too long"),
    (["run", "small.toml", *ONE, "--repeat", "0"], "Invalid value for '--repeat'"),
    (["run", "small.toml", *ONE, "--noise", "1"], "Invalid value for '--noise'"),
    (
        ["run", "small.toml", *ONE, "--factor", "0"],
        f"expected repeat ≥ 1, noise from 2 to 10000 and factor from 1e-09 to 1e+09; got None, {RUNS}, 0",
    ),
    (
        ["run", "small.toml", *ONE, "--factor", "nan"],
        f"expected repeat ≥ 1, noise from 2 to 10000 and factor from 1e-09 to 1e+09; got None, {RUNS}, nan",
    ),
    (
        ["run", "small.toml", *ONE, "--out", "small.toml"],
        "small.toml: expected a folder to write the report to; it is a",
    ),
    (
        ["run", "small.toml", *ONE, "--out", "other"],
        "other: holds files that are no report of isograd; choose an empty",
    ),
    (
        ["run", "small.toml", *ONE, "--out", "small.toml/deep/er"],
        "small.toml/deep/er: the report cannot be written: Not a directory; what was there is unchanged",
    ),
    (["record", "small.toml", "--backend", REFERENCE], "Missing option '--out'"),
    (["record", "small.toml", "--backend", REFERENCE, "--out", "no/x.safetensors"], "no/x.safetensors: cannot be writ"),
    (
        ["record", "small.toml", "--backend", REFERENCE, "--out", "x", "--mode", "both"],
        "one scenario and one mode to record",
    ),
    (["record", "article/*", "--backend", REFERENCE, "--out", "x"], "one scenario and one mode to record; got "),
    (
        ["record", "small.toml", "--backend", "tests.saboteurs:NotInstalled", "--out", "x"],
        "not installed; try pip install",
    ),
    (
        ["record", "small.toml", "--backend", "tests.outside:Outside", "--out", "x"],
        "has no row for layer sigmoid, loss half",
    ),
    (
        ["compare", "small.toml", "small.toml"],
        "small.toml: expected a whole safetensors file; it is truncated or somethi",
    ),
    (["compare", "missing", "small.toml"], "missing: expected a trace file; there is none"),
    (["judge"], "Missing argument"),
    (["judge", "small.toml"], "small.toml: expected a whole safetensors file; it is truncated or somethi"),
    (["judge", "missing"], "missing: expected a trace file; there is none"),
    (
        ["judge", "missing", "--factor", "-1"],
        f"expected repeat ≥ 1, noise from 2 to 10000 and factor from 1e-09 to 1e+09; got None, {RUNS}, -1",
    ),
    (["judge", "missing", "--noise", "1"], "Invalid value for '--noise'"),
    (
        ["judge", "missing", "--factor", "4", "--false-alarms", "0.01"],
        "expected --factor or --false-alarms; got both",
    ),
    (["frobnicate"], "No such command 'frobnicate'"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_a_wrong_request_is_2_and_says_why(
    isograd: Command,
    scenario_file: Written,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    scenario_file()
    (tmp_path / "other").mkdir()
    scenario_file("other/small")
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    outcome = isograd(*arguments)
    assert outcome.code == 2
    assert words in said(outcome)
    assert outcome.out == ""
    assert contents(tmp_path) == before


# A line of a scenario, what it is changed to, and what is said about the file and the key.
MISTAKES = [
    ("lr = 0.1", "lr = -1", "optimizer.lr: "),
    ("lr = 0.1", "rate = 0.1", "optimizer.rate: unknown key; expected one of dampening, kind, lr"),
    ("epochs = 2", "epochs = 0.5", "epochs: "),
    ("epochs = 2", "epoch = 2", "epoch: unknown key; expected one of batch_gradient_is_mean, batch_size, clipping, "),
    (
        'kind = "sigmoid"',
        'kind = "softpluss"',
        f"layers.1.kind: expected one of {len(LAYERS)} kinds (isograd list), such as 'softplus', ",
    ),
    ("y = [[1], [0], [0.5]]", "y = [[1], [0]]", "data.y: expected 3 rows, one a sample of x; got 2"),
    ("weight = [[0.7, -0.6, 0.5]]", "weight = [[0.7]]", "layers.2.weight: expected shape (1, 3), (out, in)"),
    ('title = "A small run, for tests"', "title = ", "expected TOML: Invalid value (at line 2, column 9)"),
]


@pytest.mark.parametrize(("line", "mistake", "words"), MISTAKES)
def test_a_mistake_in_a_scenario_is_2_with_file_and_key(
    isograd: Command, scenario_file: Written, line: str, mistake: str, words: str
) -> None:
    path = scenario_file("mistaken", SMALL.replace(line, mistake))
    outcome = isograd("run", path, *ONE)
    assert outcome.code == 2
    assert f"{path}: {words}" in said(outcome)


# ---------------------------------------------------------------- trace files


@pytest.fixture
def trace_file(isograd: Command, scenario_file: Written, tmp_path: Path) -> Path:
    path = tmp_path / "run.safetensors"
    outcome = isograd("record", scenario_file(), "--backend", REFERENCE, "--out", path)
    assert (outcome.code, outcome.out) == (0, f"{path}: 14 quantities, {SMALL_STEPS} steps\n")
    return path


def test_what_was_recorded_can_be_compared(isograd: Command, trace_file: Path, tmp_path: Path) -> None:
    outcome = isograd("compare", trace_file, trace_file, "--out", tmp_path / "difference")
    assert outcome.code == 0
    assert f"small: {REFERENCE} (float32, free) against {REFERENCE} (float32, free)" in outcome.out
    assert f"EQUIVALENT  14 quantities, {SMALL_STEPS} steps" in outcome.out
    assert set(contents(tmp_path / "difference")) == {"summary.csv", "quantities.parquet", "run.json"}
    assert len(pd.read_parquet(tmp_path / "difference" / "quantities.parquet")) == 14 * SMALL_STEPS


def test_runs_of_different_scenarios_are_told_apart(
    isograd: Command, scenario_file: Written, trace_file: Path, tmp_path: Path
) -> None:
    path = scenario_file("other", SMALL.replace("lr = 0.1", "lr = 0.2"))
    isograd("record", path, "--backend", REFERENCE, "--out", tmp_path / "other.safetensors")
    outcome = isograd("compare", trace_file, tmp_path / "other.safetensors")
    assert outcome.code == 1
    assert "these are runs of different scenarios: their fingerprints differ" in outcome.out
    assert "first: lr at step 0: got 0.1" in outcome.out


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def strange(path: Path) -> None:
    save_file({"x": np.zeros(3)}, path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def wrong_order(path: Path) -> None:
    trace = load_trace(path)
    save_trace(Trace(trace.columns, trace.steps[::-1].copy(), trace.manifest), path)


def newer(path: Path) -> None:
    trace = load_trace(path)
    save_trace(Trace(trace.columns, trace.steps, trace.manifest.model_copy(update={"format": 99})), path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (half, "expected a whole safetensors file; it is truncated or something else"),
        (empty, "expected a whole safetensors file; it is truncated or something else"),
        (strange, "a safetensors file, but not a trace: expected 'isograd' in its metadata"),
        (wrong_order, "expected ascending steps as int64"),
        (newer, "trace format 99; this isograd reads up to 3. Try a newer isograd"),
    ],
)
def test_a_damaged_trace_file_is_2(
    isograd: Command, trace_file: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(trace_file)
    outcome = isograd("compare", trace_file, trace_file)
    assert outcome.code == 2
    assert f"{trace_file}: {words}" in said(outcome)


# ---------------------------------------------------------------- options


def run_to(isograd: Command, scenario_file: Written, out: Path, *options: object) -> tuple[Outcome, dict[str, Any]]:
    outcome = isograd("run", scenario_file(), *ONE, "--out", out, *options)
    assert outcome.code == 0, outcome.err
    return outcome, json.loads((out / "run.json").read_text("utf-8"))


def test_every_records_so_many_steps_and_the_last(isograd: Command, scenario_file: Written, tmp_path: Path) -> None:
    run_to(isograd, scenario_file, tmp_path / "out", "--every", 2)
    losses = pd.read_csv(tmp_path / "out" / "losses.csv")
    assert losses[losses["mode"] == "free"].step.tolist() == [0, 2, SMALL_STEPS - 1]


def test_quantities_are_chosen_by_globs(isograd: Command, scenario_file: Written, tmp_path: Path) -> None:
    run_to(isograd, scenario_file, tmp_path / "out", "--quantities", "grad/*.weight, loss")
    quantities = pd.read_parquet(tmp_path / "out" / "quantities.parquet").quantity
    assert list(dict.fromkeys(quantities)) == ["loss", "grad/output.weight", "grad/hidden.weight"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtype_stands_for_the_scenarios_own(
    isograd: Command, scenario_file: Written, tmp_path: Path, dtype: str
) -> None:
    run_to(isograd, scenario_file, tmp_path / "out", "--dtype", dtype)
    assert set(pd.read_csv(tmp_path / "out" / "summary.csv").dtype) == {dtype}
    trace = load_trace(tmp_path / "out" / "traces" / trace_name("small", REFERENCE, dtype, "free"))
    assert {str(column.dtype) for column in trace.columns.values()} == {dtype}


def test_a_backend_that_differs_is_run_as_often_as_is_asked_for(isograd: Command, scenario_file: Written) -> None:
    backend = ("--backends", "tests.saboteurs:Unrepeatable", "--mode", "free")
    once, twice = (isograd("run", scenario_file(), *backend, "--repeat", repeat) for repeat in (1, 2))
    assert "NONDETERMINISTIC" not in once.out
    assert "NONDETERMINISTIC: two runs of it differ: forward/hidden at step 0" in twice.out


def test_how_it_was_judged_is_kept(isograd: Command, scenario_file: Written, tmp_path: Path) -> None:
    options = ("--repeat", 3, "--noise", 5, "--factor", 7.5)
    _, manifest = run_to(isograd, scenario_file, tmp_path / "out", *options)
    request = manifest["request"]
    assert (request["repeat"], request["noise"], request["factor"]) == (3, 5, 7.5)


def test_a_larger_factor_lets_more_pass(isograd: Command, scenario_file: Written) -> None:
    command = ("run", scenario_file(), "--backends", "tests.saboteurs:SlightlyScaled", "--mode", "resync")
    assert (isograd(*command).code, isograd(*command, "--factor", 1e6).code) == (1, 0)


@pytest.mark.parametrize(("mode", "modes"), [("free", ["free"]), ("resync", ["resync"]), ("both", ["free", "resync"])])
def test_mode_is_one_or_both(
    isograd: Command, scenario_file: Written, tmp_path: Path, mode: str, modes: list[str]
) -> None:
    _, manifest = run_to(isograd, scenario_file, tmp_path / "out", "--mode", mode)
    assert [job["mode"] for job in manifest["jobs"]] == manifest["request"]["modes"] == modes


@pytest.mark.parametrize("jobs", [1, 4])
def test_the_number_of_jobs_changes_nothing(isograd: Command, scenario_file: Written, jobs: int) -> None:
    names = f"tests.saboteurs:Honest,{REFERENCE}"
    outcome = isograd("run", scenario_file(), "--backends", names, "--mode", "free", "--jobs", jobs)
    assert re.search(r"│ small +│ IDENTICAL +│ IDENTICAL +│", outcome.out)


def test_names_and_globs_of_the_catalogue(isograd: Command) -> None:
    outcome = isograd("run", "article/worked_*", "article/single_neuron", *QUICK)
    assert outcome.code == 0
    names = ["article/worked_backprop", "article/worked_backprop_as_published", "article/worked_forward"]
    assert re.findall(r"│ (\S+/\S+) +│", outcome.out) == [*names, "article/single_neuron"]


# ---------------------------------------------------------------- the report's folder


def test_the_folder_holds_a_report_and_the_traces(isograd: Command, scenario_file: Written, tmp_path: Path) -> None:
    out = tmp_path / "out"
    outcome, manifest = run_to(isograd, scenario_file, out)
    assert f"report: {out / 'index.html'}\n" in outcome.out
    traces = {f"traces/{trace_name('small', REFERENCE, 'float32', mode)}" for mode in MODES}
    assert set(contents(out)) == FILES | traces
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "small.toml"]
    assert manifest["green"] is True
    assert [job["verdict"] for job in manifest["jobs"]] == ["IDENTICAL", "IDENTICAL"]


def test_the_files_hold_the_tables(isograd: Command, scenario_file: Written, tmp_path: Path) -> None:
    run_to(isograd, scenario_file, tmp_path / "out")
    rows = {name: len(pd.read_csv(tmp_path / "out" / f"{name}.csv")) for name in ("summary", "losses", "weights")}
    assert rows == {"summary": 2, "losses": 2 * SMALL_STEPS, "weights": 2 * 2 * (6 + 3 + 3)}
    assert len(pd.read_parquet(tmp_path / "out" / "quantities.parquet")) == 2 * 14 * SMALL_STEPS
    assert (tmp_path / "out" / "findings.csv").read_text("utf-8").startswith("scenario,id,section,status,")


def test_a_second_run_takes_the_firsts_place(isograd: Command, scenario_file: Written, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_to(isograd, scenario_file, out, "--dtype", "float64")
    run_to(isograd, scenario_file, out, "--mode", "free")
    assert set(contents(out)) == FILES | {f"traces/{trace_name('small', REFERENCE, 'float32', 'free')}"}
    assert set(pd.read_csv(out / "summary.csv").dtype) == {"float32"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "small.toml"]


def test_a_report_may_go_into_an_empty_folder(isograd: Command, scenario_file: Written, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run_to(isograd, scenario_file, tmp_path / "out")


@pytest.mark.parametrize(
    "writer", ["pandas.DataFrame.to_parquet", "pandas.DataFrame.to_csv", "pathlib.Path.write_bytes"]
)
def test_a_full_disk_leaves_the_last_good_report(
    isograd: Command, scenario_file: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    out, path = tmp_path / "out", scenario_file()
    run_to(isograd, scenario_file, out)
    good = contents(out)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, full)
    outcome = isograd("run", path, *ONE, "--out", out)
    assert outcome.code == 2
    assert f"{out}: the report cannot be written: No space left on device; what was there is unc" in said(outcome)
    assert contents(out) == good


# ---------------------------------------------------------------- how it looks


def test_progress_is_plain_lines_when_piped(isograd: Command, scenario_file: Written) -> None:
    outcome = isograd("run", scenario_file(), *ONE)
    of_the_oracle = r"oracle small (free|resync) done, \d+\.\d\d s after the start\n"
    pattern = rf"(({REFERENCE} small (free|resync) \d+\.\d\d s done\n)|({of_the_oracle})){{4}}"
    assert re.fullmatch(pattern, outcome.err)


def test_nothing_is_cut_or_wrapped_when_piped(isograd: Command, scenario_file: Written) -> None:
    backends = [f"tests.saboteurs:{name}" for name in ("SlightlyScaled", "NeverUpdates", "NanOnce")]
    path = scenario_file("a_scenario_with_a_name_that_is_longer_than_most_names_are")
    outcome = isograd("run", path, "--backends", ",".join(backends), "--mode", "free")
    assert "…" not in outcome.out
    for backend in backends:
        assert f"┃ {backend} " in outcome.out
    where = r"a_scenario_with_.*_are \(free\), tests\.saboteurs:NeverUpdates"
    assert re.search(rf"\n{where}: DIVERGES: weight/.* elements differ\)\n", outcome.out)


def test_no_escape_codes_where_there_is_no_terminal(isograd: Command, scenario_file: Written) -> None:
    outcome = isograd("run", scenario_file(), "--backends", "tests.saboteurs:SlightlyScaled", "--mode", "free")
    assert outcome.code == 1
    assert "\x1b" not in outcome.out + outcome.err


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]")  # a foreground


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colours_unless_it_wants_none(
    scenario_file: Written, monkeypatch: pytest.MonkeyPatch, no_color: str
) -> None:
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "isograd.cli", "run", str(scenario_file()), *QUICK]
    with os.fdopen(ours, "rb", 0) as terminal:
        done = subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, cwd=ROOT, check=False)
        os.close(theirs)
        text = terminal.read(100_000).decode()
    assert done.returncode == 0
    assert "IDENTICAL" in text
    assert bool(COLOUR.search(text)) == (not no_color)


def test_list_shows_scenarios_backends_and_who_supports_what(isograd: Command) -> None:
    outcome = isograd("list")
    assert outcome.code == 0
    for name in [*catalogue_names(), *backend_names()]:
        assert re.search(rf"│ {name} +│", outcome.out)
    assert re.search(r"│ layer linear +│( +yes +│)+\n", outcome.out)


OPTIONS = {
    "run": "--backends --dtype --mode --out --jobs --timeout --every --quantities --repeat --noise --factor --help",
    "judge": "--factor --false-alarms --noise --help",
}


@pytest.mark.parametrize(("command", "options"), OPTIONS.items())
def test_help_names_every_option(isograd: Command, command: str, options: str) -> None:
    outcome = isograd(command, "--help")
    assert outcome.code == 0
    assert set(re.findall(r"(?<!\w)--[a-z-]+", outcome.out)) == set(options.split())


def test_without_a_command_there_is_help(isograd: Command) -> None:
    assert "Usage:" in isograd().out


# ---------------------------------------------------------------- what it costs

MODULES = """
import json, os, sys
from isograd.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
names = sorted({name.partition(".")[0] for name in sys.modules})
with open(os.environ["ISOGRAD_TEST_MODULES"], "w") as file:
    json.dump([code or 0, names], file)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["judge", "--help"], ["list"]], ids=" ".join)
def test_help_and_list_import_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    path = tmp_path / "modules.json"
    env = dict(os.environ) | {"ISOGRAD_TEST_MODULES": str(path)}
    subprocess.run([sys.executable, "-c", MODULES, *arguments], env=env, check=True, capture_output=True, cwd=tmp_path)
    code, modules = json.loads(path.read_text())
    assert code == 0
    frameworks = [modules_of(backend_class(name).distribution) for name in backend_names() if name != REFERENCE]
    heavy = {"pandas", "pyarrow", "mpmath", "jinja2", "pytest", "numpy", "safetensors"}.union(*frameworks)
    assert not heavy & set(modules)
