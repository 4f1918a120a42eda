"""Does a backend that crashes, hangs or babbles cost its own cells only, and does no process outlive its run?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from isograd import IsogradError, Report, Scenario, load_scenario, load_trace, run
from isograd.assess import Cell
from isograd.backend import GROUP
from isograd.plan import trace_name
from isograd.words import LINE, TAIL
from tests.conftest import REFERENCE, SMALL, SMALL_STEPS, alive

ROOT = Path(__file__).parent.parent
TIMEOUT = 6  # seconds that a hang is waited for, and more than a child needs to start


def named(wreck: str) -> str:
    return f"tests.saboteurs:{wreck}"


# Who fails in the middle of the scenario `wrecked`, what its cell says of it, and what the tail of its words holds.
WRECKS = [
    ("Exits", "the process ended with exit code 3 before it answered", "last words"),
    ("Segfaults", "the process was killed by SIGSEGV", ", line "),  # faulthandler's stack
    ("IsKilled", "the process was killed by SIGKILL; out of memory is the usual reason", "last words"),
    ("Raises", "RuntimeError: no kernel for this <tensor>", "RuntimeError: no kernel for this <tensor>"),
    ("RunsOutOfMemory", "MemoryError: cannot allocate 64 GiB", "MemoryError: cannot allocate 64 GiB"),
    ("SaysMuch", "RuntimeError: yyy", "RuntimeError: yyy"),
]


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> list[Scenario]:
    """One before the wreck, the wreck, and one after."""
    folder = tmp_path_factory.mktemp("scenarios")
    found = []
    for name in ("before", "wrecked", "after"):
        (folder / f"{name}.toml").write_text(SMALL, encoding="utf-8")
        found.append(load_scenario(folder / f"{name}.toml"))
    return found


@pytest.fixture(scope="module")
def report(scenarios: list[Scenario]) -> Report:
    """All wrecks in one run, with the reference and two that talk too much or not at all."""
    odd = ["PrintsGarbage", "CannotStart", "NotInstalled"]
    return run(
        scenarios, backends=[REFERENCE, *(named(name) for name in [*(row[0] for row in WRECKS), *odd])], mode="free"
    )


@pytest.fixture(scope="module")
def hung(scenarios: list[Scenario], tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, list[int]]:
    """A run with a backend that hangs in a step, and one that hangs as it starts; and the former's processes."""
    pids = tmp_path_factory.mktemp("hung") / "pids"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISOGRAD_TEST_PIDS", str(pids))
        report = run(
            scenarios, backends=[named("Hangs"), named("HangsAtStart"), REFERENCE], mode="free", timeout=TIMEOUT, jobs=3
        )
    return report, [int(pid) for pid in pids.read_text().split()]


def cell_of(report: Report, scenario: str, backend: str) -> Cell:
    return next(r for r in report.results if r.scenario.name == scenario).cells[backend, "free"]


# ---------------------------------------------------------------- crashes


@pytest.mark.parametrize(("wreck", "message", "words"), WRECKS)
def test_a_crash_is_an_error_with_its_last_words(report: Report, wreck: str, message: str, words: str) -> None:
    cell = cell_of(report, "wrecked", named(wreck))
    assert cell.verdict == "ERROR"
    assert cell.judgement.message.startswith(message)
    assert words in cell.answer.tail


@pytest.mark.parametrize("scenario", ["before", "after"])
@pytest.mark.parametrize("wreck", [row[0] for row in WRECKS])
def test_a_crash_costs_no_other_scenario(report: Report, wreck: str, scenario: str) -> None:
    cell = cell_of(report, scenario, named(wreck))
    assert cell.verdict == "IDENTICAL"
    assert cell.answer.tail == ""


@pytest.mark.parametrize("scenario", ["before", "wrecked", "after"])
def test_a_crash_costs_no_other_backend(report: Report, scenario: str) -> None:
    assert cell_of(report, scenario, REFERENCE).verdict == "IDENTICAL"


def test_much_said_is_cut(report: Report) -> None:
    cell = cell_of(report, "wrecked", named("SaysMuch"))
    assert len(cell.judgement.message) < LINE + 100
    assert len(cell.answer.tail) < TAIL * (LINE + 100)
    assert cell.answer.tail.endswith("yyy… (20000014 characters)")


@pytest.mark.parametrize("scenario", ["before", "wrecked", "after"])
def test_garbage_on_standard_output_is_no_answer(report: Report, scenario: str) -> None:
    assert cell_of(report, scenario, named("PrintsGarbage")).verdict == "IDENTICAL"


@pytest.mark.parametrize("scenario", ["before", "wrecked", "after"])
def test_a_framework_that_cannot_be_imported_is_an_error(report: Report, scenario: str) -> None:
    cell = cell_of(report, scenario, named("CannotStart"))
    assert cell.verdict == "ERROR"
    assert cell.judgement.message == "ImportError: libframework.so: cannot open shared object file"
    assert "in environment" in cell.answer.tail


def test_a_report_with_errors_is_not_green(report: Report) -> None:
    assert not report.green


def test_no_process_outlives_its_run(report: Report) -> None:
    started = [cell.answer.environment.get("pid") for result in report.results for cell in result.cells.values()]
    pids = {int(pid) for pid in started if pid}
    assert len(pids) >= 2 * 3 + 4  # those that died in the middle were started again
    assert not [pid for pid in pids if alive(pid)]


# ---------------------------------------------------------------- hangs


def test_a_hang_is_an_error(hung: tuple[Report, list[int]]) -> None:
    cell = cell_of(hung[0], "wrecked", named("Hangs"))
    assert (cell.verdict, cell.judgement.message) == ("ERROR", "no answer within 6 s; see --timeout")
    said = cell.answer.tail.splitlines()
    assert said[:2] == ["last words", "it hung here, most recent call first:"]
    assert 'saboteurs.py", line ' in said[2]
    assert said[2].endswith(" in fail")


def test_a_hang_at_the_start_is_an_error_and_waited_for_once(hung: tuple[Report, list[int]]) -> None:
    cells = [cell_of(hung[0], scenario, named("HangsAtStart")) for scenario in ("before", "wrecked", "after")]
    for cell in cells:
        assert (cell.verdict, cell.judgement.message) == ("ERROR", "no answer within 6 s; see --timeout")
        assert cell.answer is cells[0].answer


@pytest.mark.parametrize(
    ("scenario", "backend"),
    [("before", named("Hangs")), ("after", named("Hangs")), ("wrecked", REFERENCE), ("after", REFERENCE)],
)
def test_a_hang_costs_nothing_else(hung: tuple[Report, list[int]], scenario: str, backend: str) -> None:
    assert cell_of(hung[0], scenario, backend).verdict == "IDENTICAL"


def test_what_hung_is_ended_with_all_that_it_started(hung: tuple[Report, list[int]]) -> None:
    assert len(hung[1]) == 2
    assert not [pid for pid in hung[1] if alive(pid)]


# ---------------------------------------------------------------- what is not there


def test_not_installed_and_asked_for_is_an_error_that_says_how_to_install(report: Report) -> None:
    cell = cell_of(report, "before", named("NotInstalled"))
    assert cell.verdict == "ERROR"
    assert cell.judgement.message == "not installed; try pip install isograd-test-no-such-framework"
    assert dict(report.absent) == {named("NotInstalled"): cell.judgement.message}


@pytest.fixture
def broken_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of backends that cannot be imported, each for its own reason."""
    (tmp_path / "isograd_test_needs.py").write_text("import isograd_test_no_such_framework\n")
    (tmp_path / "isograd_test_broken.py").write_text("x = 1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)


BROKEN = [
    ("isograd_test_needs:Needs", "No module named 'isograd_test_no_such_framework'"),
    ("isograd_test_broken:Broken", "ZeroDivisionError: division by zero"),
]


@pytest.mark.usefixtures("broken_modules")
@pytest.mark.parametrize(("backend", "why"), BROKEN)
def test_a_file_that_cannot_be_imported_is_an_error(scenarios: list[Scenario], backend: str, why: str) -> None:
    report = run(scenarios[0], backends=[REFERENCE, backend], mode="free")
    cell = cell_of(report, "before", backend)
    assert cell.verdict == "ERROR"
    assert cell.judgement.message == f"{backend.partition(':')[0]} cannot be imported: {why}"
    assert cell_of(report, "before", REFERENCE).verdict == "IDENTICAL"


@pytest.mark.usefixtures("broken_modules")
def test_what_nobody_asked_for_is_listed_and_stays_green(
    scenarios: list[Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = [
        (REFERENCE, "isograd.backends.numpy_manual:NumpyBackend"),
        ("absent", named("NotInstalled")),
        ("broken", BROKEN[1][0]),
    ]
    points = [EntryPoint(name, value, GROUP) for name, value in registered]
    monkeypatch.setattr("isograd.backend.registered", lambda group: points)
    report = run(scenarios[0], mode="free")
    assert report.green
    assert list(report.summary.backend) == [REFERENCE]
    assert dict(report.absent) == {
        "absent": "not installed; try pip install isograd-test-no-such-framework",
        "broken": "isograd_test_broken cannot be imported: ZeroDivisionError: division by zero",
    }


def test_a_module_that_does_not_exist_is_a_wrong_request(scenarios: list[Scenario]) -> None:
    with pytest.raises(IsogradError, match="no module 'isograd_test_nowhere'; is its folder on PYTHONPATH"):
        run(scenarios[0], backends=["isograd_test_nowhere:Backend"])


# ---------------------------------------------------------------- interruption

COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started with it ignored
from isograd.cli import main
sys.exit(main())
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_no_process_and_the_last_good_report(
    tmp_path: Path, scenario_file: Callable[..., Path], number: signal.Signals, code: int
) -> None:
    out, pids = tmp_path / "report", tmp_path / "pids"
    run(load_scenario(scenario_file("before")), backends=[REFERENCE], mode="free").write(out)
    good = contents(out)
    paths = [str(scenario_file(name)) for name in ("before", "wrecked")]
    command = ["run", *paths, "--backends", f"{REFERENCE},{named('Hangs')}", "--mode", "free", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *command],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT), "ISOGRAD_TEST_PIDS": str(pids)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def traces() -> list[Path]:
        return sorted(tmp_path.glob(".report.isograd-*/new/traces/*.safetensors"))

    with process:
        try:
            assert wait_for(lambda: pids.exists() and len(traces()) == 3, 60)
            process.send_signal(number)
            said, errors = process.communicate(timeout=10)
        finally:
            process.kill()
    assert process.returncode == code
    assert not [pid for pid in map(int, pids.read_text().split()) if alive(pid)]
    assert contents(out) == good
    names = [path.name for path in traces()]
    assert names == [
        trace_name("before", REFERENCE, "float32", "free"),
        trace_name("before", named("Hangs"), "float32", "free"),
        trace_name("wrecked", REFERENCE, "float32", "free"),
    ]
    assert [len(load_trace(path).steps) for path in traces()] == [SMALL_STEPS] * 3
    assert said == ""
    assert "Traceback" not in errors
    how = "interrupted" if number == signal.SIGINT else "not finished"
    assert f"{how}; the traces that were finished are in {traces()[0].parent}" in errors
