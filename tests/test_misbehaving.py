"""Whatever a backend does, is there a report for the others, a cell with words for it, and nothing left of it?"""

from __future__ import annotations

import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from isograd import Report, Scenario, load_scenario, run
from isograd.assess import Cell
from isograd.words import LINE, LONG, TAIL
from tests.conftest import REFERENCE, SMALL
from tests.misbehaving import (
    DIVERGES,
    ENDS,
    ENVIRONMENTS,
    HANGS,
    LEAVES,
    MISSING,
    PLACES,
    RAISES,
    RETURNS,
    SPOILS,
    TALKS,
    WRITES,
)

MODULE = "tests.misbehaving"
RIGHT = ("IDENTICAL", "EQUIVALENT")
TIMEOUT = 5  # seconds that a hang is waited for

TEXT = SMALL.replace('"sigmoid"', '"relu"').replace('"half_squared_error"', '"mse"')  # what `tests.outside` has


def processes(mark: str) -> list[int]:
    """All that run with this in their environment, as they were given it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
                if alive and mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Where the runs of this file have their temporary folders, and what their processes are known by."""
    folder, mark = tmp_path_factory.mktemp("temporary"), f"ISOGRAD_TEST_MARK={uuid.uuid4()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv(*mark.split("="))
        patch.setattr(tempfile, "tempdir", None)
        yield folder, mark
    tempfile.tempdir = None


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> list[Scenario]:
    folder = tmp_path_factory.mktemp("scenarios")
    for name in ("wrecked", "after"):
        (folder / f"{name}.toml").write_text(TEXT, encoding="utf-8")
    return [load_scenario(folder / f"{name}.toml") for name in ("wrecked", "after")]


class Ran:
    """A run of many backends, all of them wrong."""

    def __init__(self, backends: list[str], place: tuple[Path, str], scenarios: list[Scenario], **options: object):
        folder, self.mark = place
        self.report: Report = run(scenarios, backends=[REFERENCE, *backends], repeat=1, causes=False, **options)
        self.folders = sorted(path.name for path in folder.glob("isograd-*"))
        self.processes = processes(self.mark)

    def cell(self, backend: str, scenario: str = "wrecked", mode: str = "free") -> Cell:
        result = next(result for result in self.report.results if result.scenario.name == scenario)
        return result.cells[backend, mode]


def shared(**options: str) -> str:
    """A variant: one child serves them all, one after another, until one ends it."""
    return f"{MODULE}:Faulty[{','.join(f'{key}={value}' for key, value in options.items())}]"


def step(fault: str) -> str:
    """What may leave the process in another state has a class, and so a child, of its own."""
    return f"{MODULE}:step_{fault}" if fault in ALONE else shared(step=fault)


ALONE = [*TALKS, *SPOILS]
EARLY = ["os_exit", "segfault", "surrogate", "system_exit", "sleeper", "unspeakable"]
ELSEWHERE = [(where, fault) for where in PLACES[:-1] for fault in EARLY]
TOGETHER = [
    *(shared(step=fault) for fault in (*ENDS, *RAISES, *WRITES, *LEAVES)),
    *(shared(returns=what) for what in (*RETURNS, *DIVERGES)),
    *(shared(environ=what) for what in ENVIRONMENTS),
    *(shared(missing=what) for what in MISSING),
    *(shared(**{where: fault}) for where, fault in ELSEWHERE if where != "load"),
    shared(no_such_option="1"),
    f"{MODULE}:Nobody",
    f"{MODULE}:Path",
    f"{MODULE}:FAULTS",
]


@pytest.fixture(scope="module")
def ran(place: tuple[Path, str], scenarios: list[Scenario]) -> Ran:
    """All that does not hang, in one run."""
    return Ran([*map(step, ALONE), *TOGETHER], place, scenarios, mode="free", jobs=3, timeout=30)


# ---------------------------------------------------------------- what is always so


def test_there_is_a_cell_for_every_backend_and_the_right_one_is_right(ran: Ran) -> None:
    for result in ran.report.results:
        assert {backend for backend, _ in result.cells} == {REFERENCE, *map(step, ALONE), *TOGETHER}
        assert result.cells[REFERENCE, "free"].verdict == "IDENTICAL"


def test_the_report_can_be_written(ran: Ran, tmp_path: Path) -> None:
    """Of those that failed: to compare every two of a hundred that did not takes minutes."""
    results = [
        replace(result, cells={key: cell for key, cell in result.cells.items() if cell.trace is None})
        for result in ran.report.results
    ]
    results = [replace(result, compare_pairs=lambda: iter(())) for result in results]
    folder = Report(tuple(results), ran.report.absent, ran.report.request).write(tmp_path / "report")
    assert (folder / "index.html").read_text("utf-8")


def test_every_error_has_words_that_fit(ran: Ran) -> None:
    for result in ran.report.results:
        for (backend, _), cell in result.cells.items():
            message, tail = cell.judgement.message, cell.answer.tail
            assert message or cell.verdict in RIGHT, backend
            assert len(message) < LONG + 100
            assert len(tail) < 2 * TAIL * (LINE + 100)
            (message + tail).encode()  # raises where there are lone surrogates
            assert "\0" not in message + tail
            assert "no answer within" not in message, backend


def test_nothing_is_left(ran: Ran) -> None:
    assert (ran.folders, ran.processes) == ([], [])


# ---------------------------------------------------------------- what each comes to

SAID = {
    "os_exit": "the process ended with exit code 7 before it answered",
    "os_exit_0": "the process ended with exit code 0 before it answered",
    "segfault": "the process was killed by SIGSEGV",
    "abort": "the process was killed by SIGABRT",
    "killed": "the process was killed by SIGKILL; out of memory is the usual reason",
    "terminated": "the process was killed by SIGTERM",
    "end_of_group": "the process was killed by SIGKILL; out of memory is the usual reason",
    "kills_its_parent": "the process was killed by SIGKILL; out of memory is the usual reason",
    "ends_from_a_thread": "the process ended with exit code 9 before it answered",
}


@pytest.mark.parametrize("fault", ENDS)
def test_an_end_is_an_error_that_says_how(ran: Ran, fault: str) -> None:
    cell = ran.cell(step(fault))
    assert (cell.verdict, cell.judgement.message) == ("ERROR", SAID[fault])
    assert ran.cell(step(fault), "after").verdict in RIGHT


@pytest.mark.parametrize(
    ("fault", "words"), [("os_exit", "last words"), ("segfault", ", line "), ("abort", "in abort")]
)
def test_an_end_leaves_its_last_words(ran: Ran, fault: str, words: str) -> None:
    assert words in ran.cell(step(fault)).answer.tail


WORDS = {
    "surrogate": r"RuntimeError: bad \\udc80 words",
    "nul": r"RuntimeError: nul \\x00 escape",
    "long": r"RuntimeError: y{900,1000}… \(10000014 characters\)",
    "unspeakable": r"Unspeakable: \(its text cannot be shown: RuntimeError\)",
    "mute": r"Mute: \(its text cannot be shown: TypeError\)",
    "system_exit": "SystemExit: 3",
    "system_exit_text": "SystemExit: good bye",
    "keyboard_interrupt": "KeyboardInterrupt: ",
    "recursion": "RecursionError: maximum recursion depth",
    "reads": "EOFError: ",
}


@pytest.mark.parametrize("fault", RAISES)
def test_whatever_is_raised_is_an_error_with_its_words(ran: Ran, fault: str) -> None:
    cell = ran.cell(step(fault))
    assert cell.verdict == "ERROR"
    assert re.match(WORDS.get(fault, "."), cell.judgement.message)
    assert ran.cell(step(fault), "after").verdict in RIGHT


@pytest.mark.parametrize("fault", WRITES)
def test_what_is_no_answer_is_an_error(ran: Ran, fault: str) -> None:
    cell = ran.cell(step(fault))
    assert cell.verdict == "ERROR"
    assert cell.judgement.message.startswith("what came was no answer: a backend wrote to the descriptor")
    assert ran.cell(step(fault), "after").verdict in RIGHT


@pytest.mark.parametrize("fault", [*TALKS, *LEAVES])
def test_what_does_no_harm_to_the_numbers_is_right(ran: Ran, fault: str) -> None:
    wrong = ["raises_twice"]
    assert (ran.cell(step(fault)).verdict in RIGHT) is (fault not in wrong)
    assert ran.cell(step(fault), "after").verdict in RIGHT


@pytest.mark.parametrize("fault", SPOILS)
def test_what_spoils_its_surroundings_is_right_or_an_error(ran: Ran, fault: str) -> None:
    for scenario in ("wrecked", "after"):
        assert ran.cell(step(fault), scenario).verdict in (*RIGHT, "ERROR")


@pytest.mark.parametrize("fault", ["gone_folder", "no_environ", "no_path", "hangs_at_exit", "ignores_signals"])
def test_what_is_no_concern_of_the_child_does_not_disturb_it(ran: Ran, fault: str) -> None:
    assert ran.cell(step(fault)).verdict in RIGHT
    assert ran.cell(step(fault), "after").verdict in RIGHT


@pytest.mark.parametrize("what", RETURNS)
def test_what_is_no_quantity_is_an_error_that_says_what_came(ran: Ran, what: str) -> None:
    cell = ran.cell(shared(returns=what))
    if what == "empty":  # a mapping, and so for the judge
        assert cell.verdict == "DIVERGES"
        return
    assert cell.verdict == "ERROR"
    assert re.match(r"RecordError: .*expected .*; got |RuntimeError: gone", cell.judgement.message)


@pytest.mark.parametrize("what", DIVERGES)
def test_what_is_a_quantity_is_judged(ran: Ran, what: str) -> None:
    assert ran.cell(shared(returns=what)).verdict == "DIVERGES"


@pytest.mark.parametrize("what", ENVIRONMENTS)
def test_an_environment_is_text_or_an_error(ran: Ran, what: str) -> None:
    cell = ran.cell(shared(environ=what))
    if what in ("surrogate", "long", "many"):
        assert cell.verdict in RIGHT
        assert cell.trace is not None
        assert len(str(cell.trace.manifest.environment)) < 10_000
    else:
        assert cell.judgement.message.startswith("RecordError: environment(): expected a dict from text to text; got ")


@pytest.mark.parametrize("what", MISSING)
def test_what_is_missing_is_text_or_an_error(ran: Ran, what: str) -> None:
    cell = ran.cell(shared(missing=what))
    if what in ("surrogate", "many"):
        assert cell.verdict == "UNSUPPORTED"
    else:
        assert cell.judgement.message.startswith("missing(): expected a list of what is missing, each a text; got ")


@pytest.mark.parametrize(("where", "fault"), [row for row in ELSEWHERE if row[0] != "load"])
def test_a_fault_in_another_place_is_an_error_too(ran: Ran, where: str, fault: str) -> None:
    backend = shared(**{where: fault})
    wrong = "ERROR" if fault != "sleeper" else None
    verdict, after = ran.cell(backend).verdict, ran.cell(backend, "after").verdict
    assert verdict == wrong if wrong else verdict in RIGHT
    assert after == wrong if wrong and where != "session" else after in RIGHT


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        (f"{MODULE}:Nobody", "expected tests.misbehaving:Nobody to be a subclass of isograd.Backend; got None"),
        (f"{MODULE}:Path", "to be a subclass of isograd.Backend; got <class"),
        (f"{MODULE}:FAULTS", "to be a subclass of isograd.Backend; got {"),
        (shared(no_such_option="1"), "unexpected keyword argument 'no_such_option'"),
    ],
)
def test_what_cannot_be_made_is_an_error_of_its_own(ran: Ran, backend: str, words: str) -> None:
    cell = ran.cell(backend)
    assert cell.verdict == "ERROR"
    assert words in cell.judgement.message


# ---------------------------------------------------------------- load, and hangs


def test_a_fault_in_load_is_an_error_too(place: tuple[Path, str], scenarios: list[Scenario]) -> None:
    names = [shared(load=fault) for where, fault in ELSEWHERE if where == "load"]
    ran = Ran(names, place, scenarios[:1], mode="resync", jobs=2)
    verdicts = {name: ran.cell(name, mode="resync").verdict for name in names}
    assert [name for name, verdict in verdicts.items() if verdict != "ERROR"] == [shared(load="sleeper")]
    assert (ran.folders, ran.processes) == ([], [])


def test_a_hang_is_an_error_that_says_where(place: tuple[Path, str], scenarios: list[Scenario]) -> None:
    names = [f"{MODULE}:{where}_{hang}" for where in ("step", "environment") for hang in HANGS]
    names.append(f"{MODULE}:init_hang")
    ran = Ran(names, place, scenarios[:1], mode="free", jobs=len(names) + 1, timeout=TIMEOUT)
    assert ran.cell(REFERENCE).verdict == "IDENTICAL"
    for name in names:
        cell = ran.cell(name)
        assert (cell.verdict, cell.judgement.message) == ("ERROR", f"no answer within {TIMEOUT} s; see --timeout")
        if "deaf" not in name and "stops" not in name:
            assert "it hung here, most recent call first:\n  File " in cell.answer.tail, name
            assert "misbehaving.py" in cell.answer.tail
    assert (ran.folders, ran.processes) == ([], [])


# ---------------------------------------------------------------- at import


AT_IMPORT = ["garbage", "closes_three", "closes_all", "other_numpy", "hang", "hang_with_the_lock", "reads"]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that misbehave while they are imported."""
    names = []
    for fault in (*EARLY, *AT_IMPORT):
        text = f"from tests.misbehaving import FAULTS, Faulty\nFAULTS[{fault!r}]()\n"
        (tmp_path / f"isograd_test_{fault}.py").write_text(text)
        names.append(f"isograd_test_{fault}:Faulty")
    monkeypatch.syspath_prepend(tmp_path)
    return names


def test_a_fault_at_import_is_an_error(modules: list[str], place: tuple[Path, str], scenarios: list[Scenario]) -> None:
    ran = Ran(modules, place, scenarios, mode="free", jobs=4, timeout=TIMEOUT)
    right = [f"isograd_test_{fault}:Faulty" for fault in ("sleeper", "garbage", "closes_three")]
    for backend in modules:
        for scenario in ("wrecked", "after"):
            cell = ran.cell(backend, scenario)
            assert (cell.verdict in RIGHT) if backend in right else (cell.verdict == "ERROR"), backend
    assert ran.cell("isograd_test_os_exit:Faulty").judgement.message.startswith("the process ended with exit code 7")
    assert ran.cell("isograd_test_hang:Faulty").judgement.message == f"no answer within {TIMEOUT} s; see --timeout"
    assert (ran.folders, ran.processes) == ([], [])
