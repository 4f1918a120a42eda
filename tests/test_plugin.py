"""Does the pytest plugin serve somebody else's tests: the assertion, the fixture, and no cost until they are used?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from isograd import Report, assert_equivalent, run
from isograd.backend import GROUP, backend_class, backend_names
from isograd.contract import modules_of
from tests.conftest import REFERENCE

Written = Callable[..., Path]

WRONG = "tests.saboteurs:SlightlyScaled"
ABSENT = "tests.saboteurs:NotInstalled"
REASON = f"backend {ABSENT}: not installed; try pip install isograd-test-no-such-framework"


# ---------------------------------------------------------------- the assertion


def test_agreement_passes_and_gives_the_report(scenario_file: Written) -> None:
    report = assert_equivalent(scenario_file(), backends=[REFERENCE], mode="free")
    assert report.summary.verdict.tolist() == ["IDENTICAL"]


def test_disagreement_fails_with_first_worst_and_what_to_do(scenario_file: Written) -> None:
    with pytest.raises(AssertionError) as failure:
        assert_equivalent(scenario_file(), backends=[REFERENCE, WRONG])
    lines = str(failure.value).splitlines()
    assert lines[0] == "the backends do not agree with the reference:"
    assert lines[1] == f"  small, {WRONG}, free: DIVERGES"
    assert lines[2].startswith("    first: grad/output.weight[0, ")
    assert " at step 0: got " in lines[2]
    assert lines[3].startswith("    worst: ")
    assert lines[4].startswith("    cause: the gradient of every parameter is 1.000")
    assert lines[5] == f"  small, {WRONG}, resync: DIVERGES"
    assert lines[-1] == "to see the report: isograd run small --out report, then open report/index.html"
    assert REFERENCE + "," not in str(failure.value)


def test_a_crash_fails_with_its_last_words(scenario_file: Written) -> None:
    with pytest.raises(
        AssertionError, match=r"(?s)Exits, free: ERROR\n    the process ended with.*\n    \| last words\n"
    ):
        assert_equivalent(scenario_file("wrecked"), backends=["tests.saboteurs:Exits"], mode="free")


def test_not_installed_fails_with_what_to_do(scenario_file: Written) -> None:
    with pytest.raises(AssertionError, match="not installed; try pip install isograd-test-no-such-framework"):
        assert_equivalent(scenario_file(), backends=[ABSENT], mode="free")


@pytest.fixture
def wrong(scenario_file: Written) -> Report:
    return run(scenario_file(), backends=[WRONG], mode="free")


def test_a_report_is_looked_at_and_not_made_again(wrong: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isograd.api.run", lambda *_, **__: pytest.fail("it was run again"))
    with pytest.raises(AssertionError, match="DIVERGES"):
        assert_equivalent(wrong)


def test_a_report_of_nothing_fails() -> None:
    with pytest.raises(AssertionError, match="nothing was run"):
        assert_equivalent(Report((), {}, {}))


# ---------------------------------------------------------------- the fixture

TEST = "def test_it(isograd_backend): assert isinstance(isograd_backend, str)"


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Somebody else's tests, in this process; with what else is registered, and where CI is set or not."""

    def run_tests(*options: str, ci: str = "", registered: dict[str, str] | None = None) -> pytest.RunResult:
        monkeypatch.setenv("CI", ci)
        if registered is not None:
            points = [EntryPoint(name, value, GROUP) for name, value in registered.items()]
            monkeypatch.setattr("isograd.backend.registered", lambda group: points)
        pytester.makepyfile(TEST)
        return pytester.runpytest_inprocess("-rA", "-p", "no:hypothesispytest", "-p", "no:cacheprovider", *options)

    return run_tests


def test_a_test_is_run_once_for_each_backend_that_is_named(project: Callable[..., pytest.RunResult]) -> None:
    result = project("--isograd-backends", f"{REFERENCE},{REFERENCE}[arithmetic=float64],tests.outside:Outside")
    result.assert_outcomes(passed=3)
    for name in (REFERENCE, f"{REFERENCE}[[]arithmetic=float64]", "tests.outside:Outside"):
        result.stdout.fnmatch_lines([f"PASSED *::test_it[[]{name}]"])


def test_without_names_it_is_run_for_each_that_is_registered(project: Callable[..., pytest.RunResult]) -> None:
    registered = {"one": "isograd.backends.numpy_manual:NumpyBackend", "other": "tests.outside:Outside"}
    result = project(registered=registered)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["PASSED *::test_it[[]one]", "PASSED *::test_it[[]other]"])


def test_what_is_not_installed_is_skipped_with_the_reason(project: Callable[..., pytest.RunResult]) -> None:
    result = project(registered={"absent": ABSENT})
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["SKIPPED *: backend absent: not installed; try pip install isograd-test-no-such-framework"]
    )


def test_what_is_not_installed_and_named_fails(project: Callable[..., pytest.RunResult]) -> None:
    result = project("--isograd-backends", ABSENT)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{REASON}, and it was asked for"])


def test_what_is_not_installed_fails_in_ci(project: Callable[..., pytest.RunResult]) -> None:
    result = project(registered={"absent": ABSENT}, ci="true")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*not installed; try pip install *, and it was asked for"])


def test_an_unknown_name_fails_with_the_names_that_there_are(project: Callable[..., pytest.RunResult]) -> None:
    result = project("--isograd-backends", "nobody")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*backend 'nobody': expected one of *or module:Class"])


def test_the_option_and_the_fixture_are_documented(pytester: pytest.Pytester) -> None:
    pytester.runpytest_inprocess("--help").stdout.fnmatch_lines(["isograd:", "*--isograd-backends*NAMES*"])
    pytester.runpytest_inprocess("--fixtures", "-v").stdout.fnmatch_lines(
        ["isograd_backend*", "*The name of one backend;*"]
    )


# ---------------------------------------------------------------- what it costs

MODULES = """
import json, sys

def test_nothing():
    pass

def pytest_sessionfinish():
    print("MODULES", json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_an_installed_plugin_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "test_nothing.py").write_text("def test_nothing(): pass\n")
    (tmp_path / "conftest.py").write_text(MODULES)
    others = ["-p", "no:hypothesispytest", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "--trace-config", *others],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_PLUGINS"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "isograd.pytest_plugin" in done.stdout or "pytest_plugin.py" in done.stdout
    line = next(line for line in done.stdout.splitlines() if "MODULES " in line)
    modules = set(json.loads(line.partition("MODULES ")[2]))
    frameworks = [modules_of(backend_class(name).distribution) for name in backend_names()]
    assert not modules & {"numpy", "pandas", "pydantic", "rich", "typer", "safetensors", "jinja2"}.union(*frameworks)
