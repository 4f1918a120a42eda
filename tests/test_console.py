"""Can any text steer the terminal or a spreadsheet, and does a report depend on whether somebody reads what is said?"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isograd.console import SafeConsole
from isograd.errors import IsogradError
from isograd.report.folder import _csv
from isograd.visible import as_cell, visible
from tests.conftest import REFERENCE, SMALL, Outcome
from tests.hostile import HOSTILE as WORDS

ROOT = Path(__file__).parent.parent
Command = Callable[..., Outcome]
Written = Callable[..., Path]
RUN = ("--backends", REFERENCE, "--mode", "free")

HOSTILE = f"{WORDS} \udc80"
STEERING = {*"\x1b\x07\x08\x0b\x0c\r\x7f\x9b\u202e\u2066\u2069\u2028"}


def steers(text: str) -> bool:
    return any((unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t") or c in STEERING for c in text)


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters(codec=None), max_size=20))
def test_no_text_steers_once_it_is_visible(text: str) -> None:
    shown = visible(text)
    assert not steers(shown)
    shown.encode("utf-8")
    assert shown == text or steers(text) or "\\u" in shown
    assert visible(shown) == shown


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from([*HOSTILE, *"=+-@\t1.e,;|'\" \n"]), max_size=12))
def test_no_cell_is_taken_for_a_formula(text: str) -> None:
    cell = as_cell(text)
    if cell[:1] in set("=+-@\t\r"):
        float(cell)
    assert not steers(cell)


def test_a_table_holds_one_row_a_row_whatever_is_in_it(tmp_path: Path) -> None:
    texts = ["=HYPERLINK(1)", "a\rb", "a\nb", "a\r\nb", '"', ",", "+1", "-1.5", "@SUM(A1)", "\tx", WORDS, ""]
    frame = pd.DataFrame({"text": texts, "number": range(len(texts))})
    _csv(frame, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        text = file.read()
    assert "\r" not in text
    rows = list(csv.reader(text.splitlines(keepends=True)))[1:]
    assert [row[1] for row in rows] == [str(i) for i in range(len(texts))]
    assert [row[0] for row in rows][:8] == ["'=HYPERLINK(1)", "a␍b", "a\nb", "a␍\nb", '"', ",", "+1", "-1.5"]


def test_nothing_that_is_printed_steers(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=HOSTILE)
    table.add_column(HOSTILE)
    table.add_row(Text(HOSTILE, "red"))
    for console in (SafeConsole(), SafeConsole(stderr=True)):
        for what in (HOSTILE, Text(HOSTILE), table, IsogradError(HOSTILE), "[bold]no markup[/bold] :smile:"):
            console.print(what)
    said = capsys.readouterr()
    assert not steers(said.out + said.err)
    assert "[bold]no markup[/bold] :smile:" in said.out


CASES = {
    "an exception": ("small", SMALL, ["tests.hostile:RaisesHostile"]),
    "a title": ("small", SMALL.replace("A small run, for tests", r"\u001B[31m\u202E=HYPERLINK(1)"), []),
    "a file's name": ("=\x1b[31m\u202e", SMALL, []),
}


@pytest.mark.parametrize(("name", "text", "backends"), CASES.values(), ids=CASES)
def test_what_others_have_written_reaches_neither_the_terminal_nor_a_table_raw(
    isograd: Command, scenario_file: Written, tmp_path: Path, name: str, text: str, backends: list[str]
) -> None:
    path = scenario_file(name, text)
    outcome = isograd("run", path, "--backends", ",".join([REFERENCE, *backends]), "--out", tmp_path / "out")
    assert outcome.code == (1 if backends else 0)
    assert not steers(outcome.out + outcome.err)
    for file in (tmp_path / "out").glob("*.csv"):
        with file.open(encoding="utf-8", newline="") as lines:
            cells = [cell for row in csv.reader(lines) for cell in row]
        assert not any(steers(cell) or cell.startswith("=") for cell in cells), file


# ---------------------------------------------------------------- nobody reads

WAYS = {
    "a full disk": ("> /dev/full", "isograd: standard output cannot be written: No space left on device\n"),
    "both full": ("> /dev/full 2> /dev/full", ""),
    "closed": (">&-", ""),
    "both closed": (">&- 2>&-", ""),
    "a reader that has enough": ("| head -1", ""),
    "a reader that reads nothing": ("| true", ""),
}


def without_a_reader(command: str, way: str) -> subprocess.CompletedProcess[str]:
    line = f"{sys.executable} -m isograd.cli {command} {way}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full here")
@pytest.mark.parametrize(("way", "words"), WAYS.values(), ids=WAYS)
def test_the_report_is_written_and_the_code_is_the_verdicts(
    scenario_file: Written, tmp_path: Path, way: str, words: str
) -> None:
    backends = f"{REFERENCE},tests.saboteurs:SlightlyScaled"
    command = f"run {scenario_file()} --mode free --backends {backends} --out {tmp_path}/out"
    done = without_a_reader(command, way)
    assert (tmp_path / "out" / "index.html").exists()
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert words in done.stderr


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full here")
@pytest.mark.parametrize("command", ["list", "--help", "run no/such"])
@pytest.mark.parametrize("way", [way for way, _ in WAYS.values()], ids=WAYS)
def test_no_command_ends_in_a_traceback(command: str, way: str) -> None:
    done = without_a_reader(command, way)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.returncode in (0, 2) or ("--help" in command and done.returncode == 1)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_encoding_will_do(scenario_file: Written, tmp_path: Path, encoding: str) -> None:
    path = scenario_file("small", SMALL.replace("A small run", "∂loss/∂w ≥ 0, 微分"))
    command = [sys.executable, "-m", "isograd.cli", "run", str(path), *RUN, "--out", f"{tmp_path}/ü"]
    env = dict(os.environ) | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, env=env, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert b"report: " in done.stdout
