"""Does any value of any option, and any file in any place, end in an exit code and a sentence, never in a traceback?"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from isograd import record, save_trace
from tests.conftest import REFERENCE, SMALL, Outcome

Command = Callable[..., Outcome]

VALUES = ["", " ", "0", "-1", "1", "nan", "inf", "-inf", "1e308", "1e-320", f"{10**8}", f"{10**24}", "9" * 5000]
VALUES += ["x", "*", "[", "grad/*", ",", "a=b", "numpy[]", "a:b:c", "\x1b[31m", "\udcff", "x" * 5000, "."]
NAMED = {
    "run": ["--backends", "--dtype", "--mode", "--jobs", "--timeout", "--every", "--quantities", "--repeat", "--noise"],
    "record": ["--backend", "--dtype", "--mode", "--timeout", "--every", "--quantities", "--out"],
    "judge": ["--factor", "--false-alarms", "--noise"],
    "explain": ["--backend", "--dtype", "--timeout"],
    "calibrate": ["--backends", "--dtypes", "--seed", "--factor", "--jobs"],
}
PLACES = ["", ".", "/", "x" * 300, "gone", "a folder", "a file", "\udcff"]
PLACES += [
    "a file/below",
    "loop",
    "locked",
    "a trace",
    "empty.safetensors",
    "a pipe",
    "empty.toml",
    "gone.toml",
    "a folder.toml",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one of everything."""
    monkeypatch.chdir(tmp_path)
    for name in ("a folder", "a folder.toml", "locked"):
        Path(name).mkdir()
    Path("small.toml").write_text(SMALL)
    for name in ("a file", "empty.toml", "empty.safetensors"):
        Path(name).touch()
    Path("loop").symlink_to("loop")
    os.mkfifo("a pipe")
    Path("locked").chmod(0)
    save_trace(record("small.toml", REFERENCE), "a trace")
    shutil.copy("a trace", "trace.safetensors")
    return tmp_path


def is_clear(outcome: Outcome) -> bool:
    """Whether it ended as it may: with a verdict; or, where the request was wrong, with a word on it."""
    return outcome.code in (0, 1) or (outcome.code == 2 and bool(outcome.err.strip()))


@pytest.mark.nightly
@pytest.mark.parametrize(("command", "option"), [(c, option) for c, options in NAMED.items() for option in options])
def test_any_value_of_an_option(
    isograd: Command, here: Path, monkeypatch: pytest.MonkeyPatch, command: str, option: str
) -> None:
    monkeypatch.setattr("isograd.plan.Plan.record", refused)  # what comes before it is looked at
    monkeypatch.setattr("isograd.calibration.calibrate", refused)
    given = {
        "run": ["small.toml", "--backends", REFERENCE],
        "record": ["small.toml", "--backend", REFERENCE, "--out", "out.safetensors"],
        "judge": ["trace.safetensors"],
        "explain": ["small.toml", "--backend", REFERENCE],
        "calibrate": ["--scenarios", "1"],
    }[command]
    for value in VALUES:
        outcome = isograd(command, *given, option, value)
        assert is_clear(outcome), (value, outcome)


def refused(*_: object, **__: object) -> None:
    from isograd.errors import IsogradError

    raise IsogradError("that far, and no further")


@pytest.mark.nightly
@pytest.mark.parametrize(
    "request_",
    [
        ["run", "PLACE", "--backends", REFERENCE, "--mode", "free"],
        ["record", "PLACE", "--backend", REFERENCE, "--out", "out.safetensors"],
        ["record", "small.toml", "--backend", REFERENCE, "--out", "PLACE"],
        ["compare", "PLACE", "trace.safetensors"],
        ["compare", "trace.safetensors", "PLACE"],
        ["compare", "trace.safetensors", "trace.safetensors", "--out", "PLACE"],
        ["judge", "trace.safetensors", "PLACE"],
        ["explain", "PLACE"],
        ["explain", "trace.safetensors", "PLACE"],
    ],
    ids=lambda request_: " ".join(request_[:3]),
)
def test_any_place_of_a_file(isograd: Command, here: Path, request_: list[str]) -> None:
    for place in PLACES:
        outcome = isograd(*(place if word == "PLACE" else word for word in request_))
        assert is_clear(outcome), (place, outcome)
    assert Path("small.toml").read_text() == SMALL
    assert Path("a pipe").is_fifo()  # no file takes the place of what is none
    assert sorted(path.name for path in here.glob(".*")) == []


def test_many_jobs_are_as_many_as_there_is_work_for(isograd: Command, here: Path) -> None:
    assert isograd("run", "small.toml", "--backends", REFERENCE, "--jobs", 10**8).code == 0


def test_a_chain_of_files_is_followed_as_far_as_anybody_writes_one(isograd: Command, here: Path) -> None:
    for i in range(3000):
        Path(f"{i}.toml").write_text(f'extends = "{i + 1 if i < 2999 else "small"}.toml"\n')
    assert isograd("run", "2910.toml", "--backends", REFERENCE).code == 0
    outcome = isograd("run", "0.toml", "--backends", REFERENCE)
    assert outcome.code == 2
    assert "extends: expected at most 100 files" in outcome.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"epochs = {'9' * 5000}\n", "expected TOML: Exceeds the limit"),
        ("a" + ".a" * 3000 + " = 1\n", "extends: expected a scenario; tables are nested by the hundred"),
        ("b" + ".a" * 3000 + " = 1\n", "expected at most 20 tables and lists within each other"),
        (f"epochs = {'9' * 400}\n", "expected numbers that float64 can hold; one has hundreds of digits"),
        ("epochs = 1_000_000_000\n", "steps need at least"),
        ("title = '\\u0000'\ndata.file = 'a\\u0000.csv'\n", "data"),
    ],
)
def test_a_file_that_no_scenario_is_in(isograd: Command, here: Path, text: str, words: str) -> None:
    Path("base.toml").write_text('extends = "small.toml"\na' + ".a" * 2000 + " = 2\n" if text[0] == "a" else SMALL)
    Path("wrong.toml").write_text(f'extends = "base.toml"\n{text}')
    outcome = isograd("run", "wrong.toml", "--backends", REFERENCE)
    assert outcome.code == 2
    assert words in outcome.err
