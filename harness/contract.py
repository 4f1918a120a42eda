"""Does a backend keep to the interface? Tests for any backend, ours or a stranger's.

    pytest --pyargs isograd.contract --isograd-backends mypackage.mybackend:MyBackend

Every row of its tables is tried, in free and in resync. A row that it lacks is skipped, once it is seen to be reported
as UNSUPPORTED. All backends are run once, for all tests. pytest is needed here: nothing else in harness imports this.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd.api import run
from isograd.assess import Cell
from isograd.backend import parse_name
from isograd.cases import BATCH, SAMPLES, Case, cases, scenario_of
from isograd.describe import Description, describe
from isograd.judging import Verdict
from isograd.listing import support_rows
from isograd.loading import parse_scenario
from isograd.pytest_plugin import asked_for
from isograd.quantities import quantity_shapes
from isograd.report import Report
from isograd.scenario import Scenario
from isograd.trace import MODES, Mode, Trace

TIMEOUT = 60.0  # seconds for a job of a few steps, or for the import of a framework from a cold disk

# ---------------------------------------------------------------- the scenarios

SUPPORT = support_rows()
KINDS = {word: kinds for word, _, kinds in SUPPORT}
ROWS = [(case, dtype) for case in cases() for dtype in KINDS["dtype"] if dtype == "float32" or case.example == 0]
"""Every example of every operation in float32; the first one in the other dtypes too."""

SHORT = SAMPLES // BATCH  # the step whose batch is smaller than the others

CHAOTIC = {"half_squared_error": 1.4, "mse": 0.7}
"""For each loss the learning rate with which `chaos` is chaotic; a loss that is not listed has no such test."""

FIRST = "linear"  # the layer that every backend is likeliest to have

AGAIN = "-again"  # the same scenario, under a second name


def row_name(case: Case, dtype: str) -> str:
    """The name of the scenario that tries a row."""
    return f"contract/{case.name}-{dtype}"


def chaos_name(loss: str) -> str:
    """The name of the chaotic scenario with this loss."""
    return f"contract/chaos-{loss}"


def chaos(loss: str) -> Scenario:
    """(w v − 1)², with steps so long that descent is chaotic: runs that start an ULP apart soon share nothing.

    The sample is 1, so that ``forward/hidden`` is the weight that the step started from, exactly, in any arithmetic.
    """
    return parse_scenario(
        {
            "name": chaos_name(loss),
            "title": f"contract: chaotic descent, {loss}",
            "epochs": 60,
            "data": {"kind": "inline", "x": [[1]], "y": [[1]]},
            "layers": [
                {"name": "hidden", "kind": "linear", "weight": [[0.5]]},
                {"name": "output", "kind": "linear", "weight": [[1.2]]},
            ],
            "loss": {"kind": loss},
            "optimizer": {"kind": "sgd", "lr": CHAOTIC[loss]},
        },
        "isograd.contract",
    )


FEATURES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "groups": ("groups of parameters", {"groups": [{"parameters": ["*.bias"], "rate": 0.5}]}),
    "shared": ("parameters that are shared", {"shared": {"output.weight": "hidden.weight"}}),
}
"""What a backend says that it can (`has_groups`, `shares`): how it is called where it is lacking, and what has it."""


def feature(name: str) -> Scenario:
    """Two layers of one size, and what a backend says that it can."""
    drawn = {"draw": "normal", "scale": 0.5}
    layers = [{"name": of, "kind": FIRST, "outputs": 2, "weight": drawn, "bias": drawn} for of in ("hidden", "output")]
    return parse_scenario(
        {
            "name": f"contract/{name}",
            "title": f"contract: {FEATURES[name][0]}",
            "epochs": 2,
            "batch_size": 2,
            "data": {"kind": "inline", "x": [[1, 2], [3, -1], [0.5, 1]], "y": [[1, 0], [0, 1], [1, 1]]},
            "layers": layers,
            "loss": {"kind": "mse"},
            "optimizer": {"kind": "sgd", "lr": 0.1},
        }
        | FEATURES[name][1],
        "isograd.contract",
    )


def rows(globs: str) -> list[tuple[Case, str]]:
    """The rows whose names match one of the globs, which are parted by commas."""
    return [row for row in ROWS if any(fnmatchcase("-".join(_named(row)), glob.strip()) for glob in globs.split(","))]


def _named(row: tuple[Case, str]) -> tuple[str, str]:
    return row[0].name, row[1]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test for each row that ``--isograd-rows`` asks for."""
    if {"case", "dtype"} <= set(metafunc.fixturenames):
        asked = rows(metafunc.config.getoption("--isograd-rows"))
        metafunc.parametrize(("case", "dtype"), asked, ids=["-".join(_named(row)) for row in asked])


def scenarios(globs: str) -> Iterator[Scenario]:
    """All that a backend is run on; what the first row of each word is made of, twice."""
    words = set()
    for case, dtype in rows(globs):
        yield scenario_of(case, dtype, "contract")
        if dtype == "float32" and (case.word not in words or case.kind == FIRST):
            words.add(case.word)
            yield scenario_of(case, dtype, "contract").model_copy(update={"name": row_name(case, dtype) + AGAIN})
    for loss in CHAOTIC:
        yield chaos(loss)
        yield chaos(loss).model_copy(update={"name": chaos_name(loss) + AGAIN})
    yield from map(feature, FEATURES)


# ---------------------------------------------------------------- the run that all tests look at


@dataclass(frozen=True)
class Looked:
    """A backend, and what came of the scenarios on it.

    Attributes:
        name: the backend's name, as it was asked for.
        about: what it says of itself.
        cells: by scenario and mode, what it did.
        truth: by scenario and mode, what it should have done.
        scenarios: by name.
    """

    name: str
    about: Description
    cells: Mapping[tuple[str, Mode], Cell] = field(repr=False)  # pytest shows a failed test's arguments
    truth: Mapping[tuple[str, Mode], Trace] = field(repr=False)
    scenarios: Mapping[str, Scenario] = field(repr=False)

    @property
    def chaos(self) -> str:
        """The chaotic scenario with the first loss that it has."""
        losses = self.about.tables["losses"]
        return chaos_name(next((loss for loss in losses if loss in CHAOTIC), next(iter(CHAOTIC))))

    def row(self, dtype: str = "float32") -> str:
        """The scenario with the first layer that it has."""
        kinds = [FIRST, *self.about.tables["layers"]]
        tried = (
            name for kind in kinds for name in self.scenarios if name.startswith(f"contract/layer-{kind}-0-{dtype}")
        )
        return next(tried)

    def trace(self, scenario: str, mode: Mode = "free") -> Trace:
        """What it did on a scenario, right or wrong; a skip where it has no row for it."""
        cell = self.cells[scenario, mode]
        if cell.verdict is Verdict.UNSUPPORTED:
            pytest.skip(f"{self.name}: {cell.judgement.message}")
        if cell.trace is None:
            pytest.fail(account(cell), pytrace=False)
        return cell.trace


@cache
def report_on(backends: tuple[str, ...], globs: str) -> Report:
    """The one run of all backends that were asked for, so that the reference is computed once."""
    return run(list(scenarios(globs)), backends=backends, timeout=TIMEOUT, causes=False)


def looked(name: str, report: Report) -> Looked:
    """What the report says of one backend."""
    results = report.results
    return Looked(
        name,
        describe(name),
        {(r.scenario.name, mode): r.cells[name, mode] for r in results for mode in MODES},
        {(r.scenario.name, mode): r.truth[mode] for r in results for mode in MODES},
        {r.scenario.name: r.scenario for r in results},
    )


@pytest.fixture
def contract(isograd_backend: str, pytestconfig: pytest.Config) -> Looked:
    """Every backend that was asked for, in turn, with what came of it."""
    globs = pytestconfig.getoption("--isograd-rows")
    return looked(isograd_backend, report_on(tuple(asked_for(pytestconfig)), globs))


def account(cell: Cell) -> str:
    """What a cell came to, with what its child said last."""
    head = f"{cell.backend}, {cell.mode}: {cell.verdict}: {cell.judgement.message}"
    return "\n".join([head, *(f"| {line}" for line in cell.answer.tail.splitlines())])


# ---------------------------------------------------------------- what it says of itself


def test_its_tables_can_be_read(isograd_backend: str) -> None:
    """``layers``, ``losses``, ``optimizers`` and ``dtypes`` are mappings, of kinds that there are."""
    about = describe(isograd_backend)
    assert about.tables, f"{isograd_backend}: its class cannot be looked at: {about.absent or about.error}"
    for word, table, kinds in SUPPORT:
        rows = about.tables[table]
        assert not isinstance(rows, str), f"{isograd_backend}: {table}: expected a mapping from kinds; got {rows}"
        unknown = sorted(set(rows) - set(kinds))
        assert not unknown, (
            f"{isograd_backend}: {table}: no {word} is called {unknown[0]!r}; there are {', '.join(kinds)}"
        )


MODULES_OF_A_BACKEND = """
import json, sys
import numpy  # which everything here is made of
from isograd.backend import make_backend
def packages(): return {name.partition(".")[0] for name in sys.modules}
before = packages()
make_backend(sys.argv[1])
print(json.dumps(sorted(packages() - before)))
"""


def test_its_framework_is_not_imported_before_it_is_used(isograd_backend: str) -> None:
    """Tables are read, and the class is made, in processes that must stay free of frameworks."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES_OF_A_BACKEND, isograd_backend],
        capture_output=True,
        text=True,
        env=_environment(),
        check=False,
    )
    assert done.returncode == 0, f"{isograd_backend} cannot be made in a fresh process:\n{done.stderr}"
    early = sorted(set(json.loads(done.stdout)) & modules_of(describe(isograd_backend).distribution))
    assert not early, (
        f"{isograd_backend}: importing its file imports {', '.join(early)}; "
        f'write {early[0]} = LazyModule("{early[0]}") (from isograd.backend), or import it inside the methods'
    )


def _environment() -> dict[str, str]:
    """This process's, with its import path, where ``module:Class`` was found."""
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}


def modules_of(distribution: str) -> set[str]:
    """The top-level modules that an installed distribution brings."""

    def canonical(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    return {
        module
        for module, distributions in packages_distributions().items()
        if canonical(distribution) in map(canonical, distributions)
    }


def test_an_option_that_it_does_not_have_is_refused(isograd_backend: str) -> None:
    """A misspelt option must not be a silent one."""
    name = f"{parse_name(isograd_backend).base}[no_such_option=1]"
    assert describe(name).error, f"{name} was made; its __init__ must take the options that it has, and no **kwargs"


def test_its_environment_tells_the_version(contract: Looked) -> None:
    """A trace must say which version of the framework it is from."""
    environment = contract.trace(contract.row()).manifest.environment
    version = (contract.about.version or "").partition("+")[0]
    assert any(value.startswith(version) for value in environment.values()), (
        f"{contract.name}: expected environment() to hold {version}, the version of {contract.about.distribution}; "
        f"got {environment}"
    )


# ---------------------------------------------------------------- what a step gives


@pytest.mark.parametrize("dtype", KINDS["dtype"])
def test_every_quantity_of_every_step_is_there(contract: Looked, dtype: str) -> None:
    """By its canonical name, in its canonical shape, in the scenario's dtype."""
    name = contract.row(dtype)
    columns = contract.trace(name).columns
    expected = quantity_shapes(contract.scenarios[name])
    missing, unknown = [q for q in expected if q not in columns], [q for q in columns if q not in expected]
    assert not missing, f"{contract.name}: step() returns no {missing[0]!r}; it must return {', '.join(expected)}"
    assert not unknown, f"{contract.name}: step() returns {unknown[0]!r}, which is none of {', '.join(expected)}"
    for quantity, axes in expected.items():
        shape = tuple(BATCH if axis is None else axis for axis in axes)
        got = columns[quantity]
        hint = (
            "; weights and their gradients are (out, in) here, whatever the framework keeps" if len(shape) > 1 else ""
        )
        assert got.shape[1:] == shape, f"{contract.name}: {quantity}: expected shape {shape}; got {got.shape[1:]}{hint}"
        assert got.dtype == dtype, f"{contract.name}: {quantity}: expected {dtype}, the scenario's; got {got.dtype}"
        assert len(got) == contract.scenarios[name].epochs * (SHORT + 1), (
            f"{contract.name}: {quantity}: {len(got)} steps were recorded"
        )


def test_the_last_batch_may_be_smaller(contract: Looked) -> None:
    """Of 10 samples in batches of 4 the third has 2: rows beyond are not there, and the loss divides by 2."""
    trace, truth = contract.trace(contract.row()), contract.truth[contract.row(), "free"]
    rows = trace.columns["forward/output"][SHORT].any(axis=1).tolist()
    assert rows == [True, True, False, False], (
        f"{contract.name}: step {SHORT} has 2 samples; expected 2 rows in forward/output, got numbers in {rows}"
    )
    got, expected = float(trace.columns["loss"][SHORT]), float(truth.columns["loss"][SHORT])
    assert got == pytest.approx(expected, rel=1e-3), (
        f"{contract.name}: the loss of a batch of 2 is {got:.6g}, expected {expected:.6g}; "
        f"is it divided by the batch's own size?"
    )


@pytest.mark.parametrize("mode", MODES)
def test_the_same_run_gives_the_same_bits(contract: Looked, mode: Mode) -> None:
    """Otherwise no difference that it shows means anything."""
    contract.trace(contract.row(), mode)
    twice = [name for name in contract.scenarios if name + AGAIN in contract.scenarios]
    for name in [name for name in twice if contract.cells[name, mode].verdict is not Verdict.UNSUPPORTED]:
        a, b = contract.trace(name, mode), contract.trace(name + AGAIN, mode)
        for quantity, column in a.columns.items():
            same = [x.tobytes() == y.tobytes() for x, y in zip(column, b.columns[quantity], strict=True)]
            assert all(same), (
                f"{contract.name}, {mode}: {name}: two runs differ, first in {quantity} at step {same.index(False)}; "
                "look for random numbers, threads, uninitialised memory, or what one session leaves to the next"
            )


def test_a_step_gives_its_own_numbers(contract: Looked) -> None:
    """An array of an earlier step, given again, would be recorded as this step's."""
    trace, truth = contract.trace(contract.chaos), contract.truth[contract.chaos, "free"]
    for quantity in [name for name in truth.columns if name in trace.columns]:
        column = truth.columns[quantity]
        moves = np.abs(np.diff(column.reshape(len(column), -1)[:, 0])) > 1e-3
        still = np.diff(trace.columns[quantity].reshape(len(column), -1)[:, 0]) == 0
        steps = np.flatnonzero(moves & still) + 1
        assert not len(steps), (
            f"{contract.name}: {quantity} at step {steps[0]} is that of the step before; "
            "return what the step has computed, or a view of memory that it has written to"
        )


def test_a_step_starts_from_the_state_that_was_loaded(contract: Looked) -> None:
    """``load`` must set what the next step computes with: in resync all rests on it."""
    trace, truth = contract.trace(contract.chaos, "resync"), contract.truth[contract.chaos, "resync"]
    got, loaded = (side.columns["forward/hidden"].ravel().astype(np.float64) for side in (trace, truth))
    steps = np.flatnonzero(got != loaded)
    assert not len(steps), (
        f"{contract.name}: load() was given the weight {loaded[steps[0]]:.9g}, and step {steps[0]} computed with "
        f"{got[steps[0]]:.9g}; load must copy the values into the parameters that step() uses"
    )


# ---------------------------------------------------------------- what it says that it can


@pytest.mark.parametrize("name", FEATURES)
def test_what_it_says_that_it_can_it_does(contract: Looked, name: str) -> None:
    """Groups of parameters have their own rate, and what is shared is one parameter; or it is UNSUPPORTED."""
    for mode in MODES:
        cell = contract.cells[f"contract/{name}", mode]
        if cell.verdict is Verdict.UNSUPPORTED and cell.answer.unsupported:
            pytest.skip(f"{contract.name}: no row for {', '.join(cell.answer.unsupported)}")
        if not cell.verdict.green:
            pytest.fail(account(cell), pytrace=False)


# ---------------------------------------------------------------- every row


def test_every_row_agrees_with_the_reference(contract: Looked, case: Case, dtype: str) -> None:
    """In both modes; and what the tables lack is UNSUPPORTED, and nothing else is."""
    name = row_name(case, dtype)
    scenario = contract.scenarios[name]
    asked = [(word, op.kind) for word, op in scenario.worded()] + [("dtype", dtype)]
    lacks = [f"{word} {kind}" for word, kind in dict.fromkeys(asked) if _lacks(contract, word, kind)]
    missing = list(contract.cells[name, "free"].answer.unsupported)
    assert set(lacks) <= set(missing), (
        f"{contract.name}: its tables have no row for {', '.join(lacks)}, but missing() gives {missing}"
    )
    for mode in MODES:
        cell = contract.cells[name, mode]
        if cell.verdict is not Verdict.UNSUPPORTED if missing else not cell.verdict.green:
            pytest.fail(account(cell), pytrace=False)
    if missing:
        pytest.skip(f"{contract.name}: no row for {', '.join(missing)}")


def _lacks(contract: Looked, word: str, kind: str) -> bool:
    """Whether ``kind`` does not stand in the table that it belongs into."""
    return kind not in contract.about.tables[next(table for asked, table, _ in SUPPORT if asked == word)]
