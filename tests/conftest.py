"""What do several test files share? The asked-for backends' one run of the catalogue, the command, small scenarios."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from isograd import Report, Scenario, Trace, explanation, run, warm
from isograd.backend import make_backend
from isograd.describe import describe
from isograd.inputs import make_inputs
from isograd.judging import FACTOR
from isograd.pytest_plugin import asked_for
from isograd.recorder import record_here
from isograd.reference import make_reference

pytest_plugins = ("pytester",)
explanation.LOUD = True  # a search for causes that fails is a failed test, not a phrase in a report

REFERENCE = "numpy"  # the one backend that a test may name: all others are compared with it

SMALL = """
title = "A small run, for tests"
epochs = 2
batch_size = 2

[data]
kind = "inline"
x = [[0.5, -1], [1, 2], [-0.25, 0.75]]
y = [[1], [0], [0.5]]

[[layers]]
name = "hidden"
kind = "linear"
weight = [[0.3, -0.2], [0.1, 0.4], [-0.5, 0.2]]
bias = [0.1, 0.2, 0.3]

[[layers]]
name = "hidden_act"
kind = "sigmoid"

[[layers]]
name = "output"
kind = "linear"
weight = [[0.7, -0.6, 0.5]]

[loss]
kind = "half_squared_error"

[optimizer]
kind = "sgd"
lr = 0.1
"""
SMALL_STEPS = 4


COLD = ("test_processes", "test_children", "test_misbehaving", "test_soak", "test_plugin", "test_pool")
"""Tests of how processes start and end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="also what takes long and seldom breaks alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--nightly"):
        return
    late = [item for item in items if item.get_closest_marker("nightly")]
    if late:
        config.hook.pytest_deselected(items=late)
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]


@pytest.fixture(scope="module", autouse=True)
def frameworks_stay(request: pytest.FixtureRequest) -> Iterator[None]:
    """The runs of a file share the processes of isograd's own backends."""
    if request.module.__name__.rpartition(".")[2] in COLD:
        yield
        return
    with warm():
        yield


def recorded_here(scenario: Scenario, backend: str) -> Trace:
    """A backend's resync trace, recorded in this process: most tests look at what becomes of it, not at children."""
    inputs = make_inputs(scenario)
    states = make_reference(scenario, inputs, ("resync",), factor=FACTOR).states
    return record_here(make_backend(backend), backend, scenario, inputs, states=states)


@dataclass(frozen=True)
class Catalogue:
    """The article's scenarios on every backend that was asked for, and what this process had to import for it."""

    report: Report
    imported: frozenset[str] = field(repr=False)


@pytest.fixture(scope="session")
def catalogue(pytestconfig: pytest.Config) -> Catalogue:
    """Run once a session; the reference is always there. What is not installed is for `isograd_backend` to tell."""
    there = [name for name in asked_for(pytestconfig) if describe(name).version]
    before = set(sys.modules)
    report = run("article/*", backends=sorted({REFERENCE, *there}))  # as in the published report
    return Catalogue(report, frozenset(set(sys.modules) - before))


@pytest.fixture
def scenario_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small scenario, under the name that it is to have, and gives its path."""

    def write(name: str = "small", text: str = SMALL) -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def isograd(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """The command, in this process: ``isograd("run", path, "--mode", "free")``."""
    from isograd.cli import main

    def command(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["isograd", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return Outcome(int(end.value.code or 0), said.out, said.err)

    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it
    handler = signal.getsignal(signal.SIGTERM)
    yield command
    signal.signal(signal.SIGTERM, handler)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
