"""Is there always a whole report, whatever else is in the folder, runs beside, or ends the run at any line?"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from isograd.errors import ReportError
from isograd.report import exchange, staging
from isograd.report.mark import MARK, check_replaceable
from isograd.report.staging import Staging, staged
from tests.conftest import REFERENCE, Outcome

Command = Callable[..., Outcome]
Written = Callable[..., Path]
RUN = ("--backends", REFERENCE, "--mode", "free")


def publish(folder: Path, text: str, request: dict[str, float] | None = None) -> None:
    with staged(folder, {"request": request or {}}) as new:
        (new / "summary.csv").write_text(text)


def told(folder: Path) -> str:
    return (folder / "summary.csv").read_text()


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def hidden(folder: Path) -> list[Path]:
    return sorted(folder.glob(".*.isograd-*"))


# ---------------------------------------------------------------- what is not ours stays


def put(path: Path, text: str = "the user's own") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


NEIGHBOURS = ["out.partial/mine", "out.old/mine", ".out.isograd-x/mine", ".out.isograd-x/new/mine", "out.partial.old"]


def test_what_lies_beside_stays(tmp_path: Path) -> None:
    for name in NEIGHBOURS:
        put(tmp_path / name)
    for text in ("one", "two"):
        publish(tmp_path / "out", text)
    assert {name: None for name in NEIGHBOURS if (tmp_path / name).read_text() != "the user's own"} == {}
    assert told(tmp_path / "out") == "two"


FOREIGN: dict[str, dict[str, str]] = {
    "a mark of something else": {MARK: "{}"},
    "a mark that is a list": {MARK: "[1]"},
    "a mark that is no JSON": {MARK: "isograd"},
    "a mark that is nested too deeply": {MARK: "[" * 100_000},
    "no mark": {"summary.csv": ""},
    "a number for a version": {MARK: '{"isograd": 1}'},
    "one file too many": {MARK: '{"isograd": "0.1.0"}', "notes.txt": "mine"},
    "one file that is not listed": {MARK: '{"isograd": "0.2", "files": ["run.json"]}', "summary.csv": "mine"},
    "files that are no list": {MARK: '{"isograd": "0.2", "files": 3}'},
    "a folder too many": {MARK: '{"isograd": "0.1.0"}', "mine/summary.csv": ""},
    "something else among the traces": {MARK: '{"isograd": "0.1.0"}', "traces/model.pt": ""},
}


@pytest.mark.parametrize("files", FOREIGN.values(), ids=FOREIGN)
def test_a_folder_with_anything_that_is_not_a_reports_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        put(tmp_path / "out" / name, text)
    before = tree(tmp_path)
    with pytest.raises(ReportError, match=r"holds .*; choose an empty or a new folder"):
        publish(tmp_path / "out", "new")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), lambda path: path.mkdir()])
def test_links_and_empty_folders_are_nobodys_report(tmp_path: Path, make: Callable[[Path], None]) -> None:
    publish(tmp_path / "out", "old")
    make(tmp_path / "out" / "mine")
    with pytest.raises(ReportError, match="holds mine, which is not the report's"):
        publish(tmp_path / "out", "new")
    assert told(tmp_path / "out") == "old"


def test_a_report_of_release_0_1_is_replaced(tmp_path: Path) -> None:
    for name in ("summary.csv", "index.html", "quantities.parquet", "traces/a.safetensors", ".DS_Store"):
        put(tmp_path / "out" / name)
    put(tmp_path / "out" / MARK, '{"isograd": "0.1.0", "green": true}')
    publish(tmp_path / "out", "new")
    assert sorted(tree(tmp_path / "out")) == [MARK, "summary.csv"]


def test_what_comes_in_while_the_report_is_made_is_put_back(tmp_path: Path) -> None:
    publish(tmp_path / "out", "old")
    with Staging(tmp_path / "out") as run:
        put(run.open() / "summary.csv", "new")
        put(tmp_path / "out" / "notes.txt")
        with pytest.raises(ReportError, match=r"holds notes\.txt, which is not the report's; what was there is unch"):
            run.publish({})
    assert (told(tmp_path / "out"), (tmp_path / "out" / "notes.txt").read_text()) == ("old", "the user's own")
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_what_was_displaced_and_cannot_be_looked_into_is_never_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, way: str
) -> None:
    def no_exchange(*_: Path) -> None:
        raise OSError(errno.ENOSYS, "no exchange here")

    def not_now(folder: Path) -> str:
        monkeypatch.setattr(staging, "foreign", staging_foreign)  # once
        raise error

    staging_foreign = staging.foreign
    if way == "renames":
        monkeypatch.setattr(exchange, "_renameat2", no_exchange)
    with pytest.raises((ReportError, KeyboardInterrupt)), Staging(tmp_path / "out") as run:  # noqa: PT012
        put(run.open() / "summary.csv", "new")
        put(tmp_path / "out" / "notes.txt")
        monkeypatch.setattr(staging, "foreign", not_now)
        run.publish({})
    assert [path.read_text() for path in tmp_path.rglob("notes.txt")] == ["the user's own"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("runs/3")
    for text in ("one", "two"):
        publish(tmp_path / "latest", text)
        assert (tmp_path / "latest").is_symlink()
        assert told(tmp_path / "runs" / "3") == text


def test_a_report_may_be_read_by_whoever_may_read_what_the_user_writes(tmp_path: Path) -> None:
    publish(tmp_path / "out", "one")
    (tmp_path / "other").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("name", ["", ".", "..", "/", "\0", "x" * 300, "a/../..", "a\0b/c"])
def test_what_can_be_no_reports_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ReportError, match="expected "):
        check_replaceable(name)
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "a\nb", "a b", "[red]", "\udcff"])
def test_any_name_that_a_folder_can_have_will_do(tmp_path: Path, name: str) -> None:
    for text in ("one", "two"):
        publish(tmp_path / name, text)
    assert told(tmp_path / name) == "two"
    assert list(tmp_path.iterdir()) == [tmp_path / name]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_folder_without_permission_is_a_request_that_cannot_be_met(tmp_path: Path, mode: int) -> None:
    (tmp_path / "locked").mkdir(mode=mode)
    with pytest.raises(ReportError, match="Permission denied"):
        publish(tmp_path / "locked" / "out", "new")


# ---------------------------------------------------------------- the request first


@pytest.mark.parametrize(
    "request_",
    [["no/such"], ["small.toml", "--backends", "nobody"], ["small.toml", "--dtype", "int8"], ["gone.toml"]],
    ids=" ".join,
)
def test_a_mistyped_request_touches_nothing(
    isograd: Command, scenario_file: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: list[str]
) -> None:
    scenario_file()
    monkeypatch.chdir(tmp_path)
    publish(tmp_path / "out", "last")
    interrupt(tmp_path / "out")
    for name in NEIGHBOURS:
        put(tmp_path / name)
    before = tree(tmp_path)
    assert isograd("run", *RUN, "--out", "out", *request_).code == 2
    assert isograd("run", *RUN, "--out", "new/deep/out", *request_).code == 2
    assert tree(tmp_path) == before


def interrupt(folder: Path) -> Path:
    """What a run that was interrupted leaves: where it has put its traces."""
    run = Staging(folder)
    with pytest.raises(KeyboardInterrupt), run:  # noqa: PT012
        put(run.traces() / "a.safetensors", "a trace")
        raise KeyboardInterrupt
    assert run.kept is not None
    return run.kept


def test_finished_traces_of_an_interrupted_run_stay_until_the_next_report(tmp_path: Path) -> None:
    traces = interrupt(tmp_path / "out")
    assert [path.name for path in traces.iterdir()] == ["a.safetensors"]
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "out", {}):
        raise ZeroDivisionError
    assert traces.exists()
    publish(tmp_path / "out", "new")
    assert hidden(tmp_path) == []


def test_what_a_killed_run_has_begun_among_them_is_swept_too(tmp_path: Path) -> None:
    traces = interrupt(tmp_path / "out")
    put(traces / "isograd-abc" / "isograd.lock")
    put(traces / "isograd-abc" / "b.safetensors")
    put(traces / "isograd-abc" / ".c.safetensors.77.part")
    publish(tmp_path / "out", "new")
    assert hidden(tmp_path) == []


def test_a_run_that_was_killed_when_its_folder_of_traces_was_empty_is_swept(tmp_path: Path) -> None:
    traces = interrupt(tmp_path / "out")
    (traces / "a.safetensors").unlink()
    put(traces.parent / "summary.csv")
    publish(tmp_path / "out", "new")
    assert hidden(tmp_path) == []


def test_what_the_user_puts_among_them_is_not_swept(tmp_path: Path) -> None:
    traces = interrupt(tmp_path / "out")
    put(traces / "notes.txt")
    publish(tmp_path / "out", "new")
    assert (traces / "notes.txt").exists()


def test_a_run_that_fails_without_a_trace_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Staging(tmp_path / "out") as run:  # noqa: PT012
        put(run.open() / "summary.csv")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_an_end_while_it_tidies_up_leaves_what_the_next_one_sweeps(tmp_path: Path, monkeypatch: Any) -> None:
    publish(tmp_path / "out", "one")

    def ended(folder: Path, **_: object) -> None:
        first = min(path for path in folder.rglob("*") if path.is_file())
        first.unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(staging.shutil, "rmtree", ended)
        with pytest.raises(KeyboardInterrupt):
            publish(tmp_path / "out", "two")
    assert hidden(tmp_path)
    publish(tmp_path / "out", "three")
    assert hidden(tmp_path) == []


def test_a_run_that_died_before_it_said_a_word_is_swept_when_it_is_sure_to_be_dead(tmp_path: Path) -> None:
    born, dead = tmp_path / ".out.isograd-born", tmp_path / ".out.isograd-dead"
    for home in (born, dead):
        home.mkdir()
        (home / "lock").touch()
    os.utime(dead, (time.time() - 2 * staging.UNBORN,) * 2)
    publish(tmp_path / "out", "new")
    assert hidden(tmp_path) == [born]


# ---------------------------------------------------------------- several runs


def test_a_live_run_is_not_swept_and_the_last_to_finish_wins(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Staging(out) as slow, Staging(out) as quick:
        put(slow.open() / "summary.csv", "slow")
        started = {"request": {"started": time.time() - 1}}
        put(quick.open() / "summary.csv", "quick")
        said = quick.publish({"request": {"started": time.time() - 0.5}})
        assert said == ["another run is at work on a report for this folder, which will replace this one"]
        assert told(out) == "quick"
        (said_last,) = slow.publish(started)
        assert said_last.startswith("it replaced the report of another run, finished at ")
    assert told(out) == "slow"
    assert hidden(tmp_path) == []


def test_a_run_that_started_later_has_nothing_to_say(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with Staging(tmp_path / "out") as run:
            put(run.open() / "summary.csv", text)
            assert run.publish({"request": {"started": time.time()}}) == []
            time.sleep(0.02)


def test_runs_side_by_side_publish_whole_reports(tmp_path: Path, scenario_file: Written) -> None:
    """Each of another scenario, so that it is seen whose files are in the folder at the end."""
    command = [sys.executable, "-m", "isograd.cli", "run", *RUN, "--out", str(tmp_path / "out")]
    runs = [
        subprocess.Popen(
            [*command, str(scenario_file(name))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in ("one", "two", "three")
    ]
    said = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], said
    assert all("ERROR" not in out + err and "Traceback" not in err for out, err in said)
    written = json.loads((tmp_path / "out" / MARK).read_text())
    names = {job["scenario"] for job in written["jobs"]}
    assert len(names) == 1
    assert set(pd.read_csv(tmp_path / "out" / "summary.csv").scenario) == names
    assert {path.name.partition("-")[0] for path in (tmp_path / "out" / "traces").iterdir()} == names
    assert set(written["files"]) == {name for name, data in tree(tmp_path / "out").items() if data is not None}
    assert hidden(tmp_path) == []
    assert sum("another run" in out and "another run" in err for out, err in said) >= 2  # they started together


# ---------------------------------------------------------------- an end at any line

AT_ANY_LINE = '''
"""End a publication at the n-th line of its code that is come to, for every n; a child for each."""

import errno, json, os, signal, sys
from pathlib import Path
from isograd.report import exchange, mark, staging

folder, how, at_once = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "exchange"
FILES = {staging.__file__, mark.__file__, exchange.__file__}

if not at_once:
    def without(one, other):
        raise OSError(errno.ENOSYS, "no exchange here")
    exchange._renameat2 = without


def publish(text):
    with staging.staged(folder, {}) as new:
        (new / "summary.csv").write_text(text)


def ending_at(n):
    seen = set()

    def line(frame, event, argument):
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and place not in seen:
            seen.add(place)
            if len(seen) == n:
                if how == "exception":
                    sys.settrace(None)
                    raise KeyboardInterrupt
                os.kill(os.getpid(), signal.SIGKILL)
        return line

    sys.settrace(lambda frame, event, argument: line if frame.f_code.co_filename in FILES else None)
    publish("new")
    sys.settrace(None)


def told():
    return (folder / "summary.csv").read_text() if folder.exists() else "nothing"


outcomes = []
for n in range(1, 100_000):
    publish("old")
    child = os.fork()
    if not child:
        code = 0
        try:
            ending_at(n)
        except KeyboardInterrupt:
            code = 1
        os._exit(code)
    ended = os.waitpid(child, 0)[1] != 0
    then = told()
    publish("next")
    outcomes.append((then, told()))
    if not ended:
        break
print(json.dumps(outcomes))
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are made by fork")
@pytest.mark.parametrize("how", ["exception", "kill"])
@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_an_end_at_any_line_leaves_a_whole_report(tmp_path: Path, how: str, way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_ANY_LINE, str(tmp_path / "out"), how, way],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) > 100
    assert {after for _, after in found} == {"next"}
    whole = {"old", "new"} | ({"nothing"} if (how, way) == ("kill", "renames") else set())
    assert {at_once for at_once, _ in found} <= whole
    assert found[-1] == ["new", "next"]
    for home in hidden(tmp_path):  # of runs that died before their lock had said a word
        os.utime(home, (time.time() - 2 * staging.UNBORN,) * 2)
    publish(tmp_path / "out", "last")
    assert hidden(tmp_path) == []
