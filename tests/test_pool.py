"""Do the processes of isograd's own backends stay for the next run, where that is wanted, and only then?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isograd import run, warm
from isograd.children import Child
from isograd.pool import IDLE
from tests.conftest import REFERENCE, SMALL


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def waiting() -> list[int]:
    return [child.process.pid for lot in IDLE.kept.values() for _, child in lot]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_without_warm_nothing_stays(small: Path) -> None:
    assert run(small, backends=[REFERENCE]).green
    assert waiting() == []


def test_the_next_run_has_the_same_process_and_the_block_ends_it(small: Path) -> None:
    with warm():
        first = run(small, backends=[REFERENCE], jobs=1)
        (pid,) = waiting()
        with warm():
            second = run(small, backends=[REFERENCE], jobs=1)
        assert waiting() == [pid]
        assert is_there(pid)
    assert not is_there(pid)
    assert waiting() == []
    cells = [next(iter(report.results[0].cells.values())) for report in (first, second)]
    assert cells[0].judgement.error_over_bound == cells[1].judgement.error_over_bound


def test_what_has_another_environment_or_folder_gets_a_process_of_its_own(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warm():
        pids = []
        for change in (
            lambda: None,
            lambda: monkeypatch.setenv("ISOGRAD_TEST", "1"),
            lambda: monkeypatch.chdir(tmp_path),
            lambda: monkeypatch.syspath_prepend(str(tmp_path / "more")),
        ):
            change()
            run(small, backends=[REFERENCE], jobs=1)
            pids += waiting()
        assert len(set(pids)) == len(pids) == 4
        assert [is_there(pid) for pid in pids] == [False, False, False, True]


def test_somebody_elses_backend_does_not_stay(small: Path) -> None:
    with warm():
        run(small, backends=["tests.misbehaving:Faulty"], jobs=1)
        assert waiting() == []


@pytest.mark.parametrize("seen", [True, False])
def test_a_process_that_has_died_is_started_anew(seen: bool, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warm():
        run(small, backends=[REFERENCE], jobs=1)
        (pid,) = waiting()
        os.kill(pid, 9)
        if not seen:  # the system has not yet ended it when it is looked at
            monkeypatch.setattr(Child, "alive", True)
        assert run(small, backends=[REFERENCE], jobs=1).green
        assert waiting() != [pid]
