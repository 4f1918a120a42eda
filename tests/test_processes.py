"""What of a run outlives it, what does it share with another, and what of the user's own files can get in its way?"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from isograd import IsogradError, Scenario, load_scenario, load_trace, record, run
from isograd.backend import GROUP, WRAPPERS, backend_names, find_backend
from isograd.children import Child
from isograd.describe import describe
from isograd.pipes import KEPT
from isograd.plan import Plan, trace_name
from isograd.scratch import LOCK, scratch
from isograd.trace import save_trace
from isograd.words import LINE, TAIL, last_words
from tests.conftest import REFERENCE, SMALL, alive
from tests.test_children import COMMAND, ROOT, wait_for
from tests.test_misbehaving import RIGHT, TEXT, processes


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder that temporary folders are made in."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    tempfile.tempdir = None


@pytest.fixture
def wrecked(tmp_path: Path) -> Scenario:
    (tmp_path / "wrecked.toml").write_text(TEXT, encoding="utf-8")
    return load_scenario(tmp_path / "wrecked.toml")


# ---------------------------------------------------------------- a run that is killed


@pytest.mark.parametrize("fault", ["hang_with_the_lock", "hang_deaf", "chain"])
def test_a_killed_run_leaves_no_process_and_the_next_one_removes_its_folder(
    wrecked: Scenario, temporary: Path, fault: str
) -> None:
    mark = f"ISOGRAD_TEST_MARK={uuid.uuid4()}"
    backends = [f"tests.misbehaving:step_{fault}", "tests.misbehaving:step_daemon", "tests.misbehaving:step_hang"]
    path = Path(wrecked.folder) / "wrecked.toml"
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            COMMAND,
            "run",
            str(path),
            "--backends",
            ",".join(backends),
            "--mode",
            "free",
            "--jobs=3",
        ],
        env=dict(os.environ) | dict([mark.split("=")]) | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            # each child is a watcher and a worker; the daemon's have come, and those of a chain
            assert wait_for(lambda: len(processes(mark)) >= 6, 120)
            assert wait_for(lambda: len(list(temporary.glob("isograd-*/inputs-0.safetensors"))) >= 1, 60)
        finally:
            process.kill()
    assert wait_for(lambda: not processes(mark), 10), processes(mark)
    assert len(list(temporary.glob("isograd-*"))) == 1
    assert run(wrecked, backends=[REFERENCE], mode="free").green
    assert list(temporary.glob("isograd-*")) == []


def test_a_folder_of_a_run_that_lives_is_left_alone_and_so_is_what_is_not_ours(temporary: Path) -> None:
    for name in ("isograd-notes", "isograd-empty", "other"):
        (temporary / name).mkdir()
    (temporary / "isograd-notes" / "notes.txt").write_text("mine")
    (temporary / "isograd-file").write_text("mine")
    (temporary / "isograd-link").symlink_to(temporary / "isograd-notes")
    stale = temporary / "isograd-stale"
    stale.mkdir()
    (stale / LOCK).touch()
    with scratch() as first:
        (first / "inputs").touch()
        with scratch() as second:
            assert {path.name for path in temporary.iterdir()} == {
                *("isograd-notes", "isograd-empty", "other", "isograd-file", "isograd-link"),
                *(first.name, second.name),
            }
        assert (first / "inputs").exists()
    assert not first.exists()


def test_a_temporary_folder_that_is_removed_aborts_nothing(wrecked: Scenario, temporary: Path) -> None:
    backends = [REFERENCE, "tests.misbehaving:step_removes_temporary_folders", "tests.outside:Outside"]
    report = run(wrecked, backends=backends, jobs=1)
    verdicts = {key: str(cell.verdict) for key, cell in report.results[0].cells.items()}
    assert set(verdicts.values()) <= {*RIGHT, "ERROR"}
    assert verdicts["tests.outside:Outside", "free"] in RIGHT  # its turn came after
    for cell in report.results[0].cells.values():
        assert (
            cell.verdict in RIGHT
            or "No such file or directory" in cell.judgement.message
            or "there is none" in cell.judgement.message
        )
    assert list(temporary.glob("isograd-*")) == []


# ---------------------------------------------------------------- names of trace files

ALIKE = ["a b", "a_b", "a/b", "a-b", "A B", "a.b", "a", "ä", "a" * 300, "a" * 301, "a\nb", "a\udc80", "一", "İ", "i̇"]


def test_no_two_jobs_share_a_trace_file() -> None:
    backends = ["b", "b-b", "b[c=1]", "b[c_1]", "b_c_1_"]
    names = [trace_name(*job) for job in itertools.product(ALIKE, backends, ("float32", "float64"), ("free", "resync"))]
    assert len({name.lower() for name in names}) == len(names)
    assert all(len(name.encode()) < 200 and name.isascii() and "/" not in name for name in names)


@pytest.mark.parametrize(("one", "other"), [("a b", "a_b"), ("article/x", "article_x"), ("a", "A")])
def test_scenarios_of_similar_names_are_each_judged_by_their_own_trace(tmp_path: Path, one: str, other: str) -> None:
    (tmp_path / "s.toml").write_text(SMALL, encoding="utf-8")
    first = load_scenario(tmp_path / "s.toml").model_copy(update={"name": one})
    second = first.model_copy(update={"name": other, "epochs": 3, "batch_size": 1})
    report = run([first, second], backends=[REFERENCE], traces=tmp_path / "traces")
    assert report.summary.verdict.tolist() == ["IDENTICAL"] * 4
    assert len(list((tmp_path / "traces").iterdir())) == 4


@pytest.mark.parametrize("what", ["backend", "mode", "inputs"])
def test_a_trace_of_another_job_is_an_error(
    wrecked: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """As if two jobs had one file after all: each is changed between the child's writing and the parent's reading."""
    changes = {"backend": "someone", "mode": "resync", "inputs": "0" * 64}
    key = "fingerprint" if what == "inputs" else what
    runs = Plan.runs

    def changed(plan: Plan, scenario: Scenario) -> object:
        for path in tmp_path.glob("*.safetensors"):
            trace = load_trace(path)
            manifest = trace.manifest.model_copy(update={key: changes[what]})
            save_trace(type(trace)(trace.columns, trace.steps, manifest, trace.inputs), path)
        return runs(plan, scenario)

    monkeypatch.setattr(Plan, "runs", changed)
    (row,) = run(wrecked, backends=[REFERENCE], mode="free", traces=tmp_path).summary.itertuples()
    assert row.verdict == "ERROR"
    assert f"expected the trace of this job; it is of other {what}: {changes[what]}" in row.message


# ---------------------------------------------------------------- the user's own files

MINE = """
from tests.outside import Outside

class Mine(Outside):
    pass
"""
NAMES = [*backend_names(), "random", "json", "pydantic", "safetensors", "harness", "backends", "scenarios", "site"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_files_of_any_name_in_the_working_directory_break_no_cell(tmp_path: Path, kind: str) -> None:
    """Nor beside the scenario, which is the same folder; and a backend that is there is found."""
    for name in NAMES:
        path = tmp_path / f"{name}.py" if kind == "file" else tmp_path / name / "__init__.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"raise RuntimeError('this is not {name}')\n")
    (tmp_path / "small.toml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "mine.py").write_text(MINE)
    code = f"import sys; sys.path.append({str(ROOT)!r}); from isograd.cli import main; sys.exit(main())"
    command = ["run", "small.toml", "--backends", f"{REFERENCE},mine:Mine", "--mode", "free"]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "not" in done.stderr) == (0, False), done.stdout + done.stderr


def test_the_module_that_this_process_finds_is_the_one_that_a_child_imports(
    tmp_path: Path, wrecked: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though another of its name lies in a folder that comes first there."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        (folder / "isograd_test_pinned").mkdir(parents=True)
        (folder / "isograd_test_pinned" / "__init__.py").write_text("")
    (folders[0] / "isograd_test_pinned" / "inner.py").write_text(MINE)
    monkeypatch.setenv("PYTHONPATH", str(folders[1]))  # a child has this from the start, and the rest last
    monkeypatch.syspath_prepend(folders[0])
    assert run(wrecked, backends=["isograd_test_pinned.inner:Mine"], mode="free").green


@pytest.mark.parametrize("module", ["tests.misbehaving", "isograd_test_exits"])
def test_this_process_imports_nobody_elses_backend(
    tmp_path: Path, wrecked: Scenario, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    (tmp_path / "isograd_test_exits.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, module, raising=False)
    before = set(sys.modules)
    name = f"{module}:Faulty"
    about = describe(name)
    assert "exit code 7" in about.error if "exits" in module else "relu" in about.tables["layers"]
    run(wrecked, backends=[name], mode="free")
    assert module not in set(sys.modules) - before
    if "exits" in module:
        with pytest.raises(IsogradError, match=r"the process ended with exit code 7 before it answered"):
            record(wrecked, name)


def test_what_another_distribution_wraps_around_our_backend_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    points = {group: list(entry_points(group=group)) for group in (GROUP, WRAPPERS)}
    points[WRAPPERS] += [EntryPoint(name, "isograd_test_exits:wrap", WRAPPERS) for name in ("theirs", "fault")]
    monkeypatch.setattr("isograd.backend.registered", lambda group: points[group])
    assert find_backend(f"{REFERENCE}[fault=labels_shifted]").own
    assert not find_backend(f"{REFERENCE}[theirs=1]").own


# ---------------------------------------------------------------- what a child says


def child() -> Child:
    return Child("Faulty", find_backend("tests.misbehaving:Faulty"))


def ask(one: Child, backend: str, timeout: float = 60.0) -> str:
    return one.ask({"kind": "environment", "backend": backend}, timeout).error


def test_of_much_that_is_printed_the_end_is_kept() -> None:
    one = child()
    try:
        assert ask(one, "tests.misbehaving:Faulty[environment=prints]") == ""
        assert ask(one, "tests.misbehaving:Faulty[environment=error]") == "RuntimeError: no kernel"
        assert len(one.pipes.kept) == KEPT
        assert one.pipes.said().endswith("RuntimeError: no kernel\n")
    finally:
        one.close()


def test_a_child_is_ended_with_all_that_it_started_and_gives_back_what_it_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mark = f"ISOGRAD_TEST_MARK={uuid.uuid4()}"
    monkeypatch.setenv(*mark.split("="))
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        one = child()
        for fault in ("sleeper", "daemon", "stubborn"):
            assert ask(one, f"tests.misbehaving:Faulty[environment={fault}]") == ""
        soon = time.monotonic() + 10
        while len(processes(mark)) < 2 + 3 and time.monotonic() < soon:  # the watcher, the worker, what it started
            time.sleep(0.02)
        assert len(processes(mark)) >= 2 + 3
        one.close()
        assert processes(mark) == []
        assert not one.pipes.reader.is_alive()
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_watcher_that_was_stopped_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isograd.children.PATIENCE", 0.3)
    one = child()
    assert ask(one, "tests.misbehaving:Faulty[environment=sleeper]") == ""
    os.kill(one.process.pid, signal.SIGSTOP)
    one.close()
    assert not alive(one.process.pid)


DUMP = """Fatal Python error: Aborted

Thread 0x1 (most recent call first):
  File "threading.py", line 327 in wait
  File "threading.py", line 973 in _bootstrap

{current}0x2 (most recent call first):
  File "mine.py", line 3 in step
  File "<frozen importlib._bootstrap>", line 241 in _call_with_frames_removed
  File "recorder.py", line 71 in record_here

Extension modules: numpy._core._multiarray_umath (total: 1)
"""


@pytest.mark.parametrize("current", ["Current thread ", "Thread "])
def test_of_a_stack_the_thread_that_matters_is_shown(current: str) -> None:
    said = "epoch 1\nepoch 2\n\n" + DUMP.format(current=current)
    frames = ['  File "mine.py", line 3 in step', '  File "recorder.py", line 71 in record_here']
    assert last_words(said).split("\n") == ["epoch 1", "epoch 2", "Fatal Python error: Aborted", *frames]
    assert last_words(said, hung=True).split("\n")[2] == "it hung here, most recent call first:"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("", ""),
        ("one\ntwo\n\n", "one\ntwo"),
        ("\r 1 %\r 2 %\r 3 %", " 3 %"),
        ("one\r\ntwo\r\n", "one\ntwo"),
        ("x" * 5000, f"{'x' * LINE}… (5000 characters)"),
        ("nul \0 and \udc80", "nul \\x00 and \\udc80"),
        ("\n".join(map(str, range(50))), "\n".join(map(str, range(50 - TAIL, 50)))),
        ("Fatal Python error: Aborted", "Fatal Python error: Aborted"),
    ],
)
def test_last_words(said: str, shown: str) -> None:
    assert last_words(said) == shown
