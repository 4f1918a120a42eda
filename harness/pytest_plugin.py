"""How does someone else's test suite ask isograd? An assertion, and a fixture over the backends that are asked for.

pytest imports this file in every project where isograd is installed: nothing heavy may be imported before it is used.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from isograd.report import Report
    from isograd.report.ports import Checked

FIXTURE = "isograd_backend"

_SESSION: list[ExitStack] = []
"""Nothing outside a session; what lasts for it, and from its first assertion on what keeps processes."""

pytest.register_assert_rewrite("isograd.contract")  # before anything imports it: its assertions are to say what came


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--isograd-backends NAMES`` and ``--isograd-rows GLOBS``."""
    group = parser.getgroup("isograd")
    group.addoption(
        "--isograd-backends",
        metavar="NAMES",
        help="backends for the fixture isograd_backend, as in name,module:Class; default: all that are installed",
    )
    group.addoption(
        "--isograd-rows",
        metavar="GLOBS",
        default="*",
        help="operations that isograd.contract tries, as in 'layer-relu-*,optimizer-*'; default: all",
    )


def pytest_configure(config: pytest.Config) -> None:
    """From here to `pytest_unconfigure` there is a session."""
    _SESSION.append(ExitStack())


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the processes that assertions have left for one another."""
    while _SESSION:
        _SESSION.pop().close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per backend, for every test that uses the fixture ``isograd_backend``."""
    if FIXTURE in metafunc.fixturenames:
        metafunc.parametrize(FIXTURE, asked_for(metafunc.config), indirect=True)


def asked_for(config: pytest.Config) -> list[str]:
    """The backends that ``--isograd-backends`` names, or all that are registered."""
    from isograd.backend import backend_names, split_names

    named = config.getoption("--isograd-backends")
    return split_names(named) if named else backend_names()


@pytest.fixture
def isograd_backend(request: pytest.FixtureRequest) -> str:
    """The name of one backend; the test is run once for each that was asked for with ``--isograd-backends``.

    A backend whose framework is not installed skips with its reason; one that was asked for by name fails, and so does
    every one where ``CI`` is set and no names were given.
    """
    from isograd.describe import describe

    name = str(request.param)
    absent = describe(name).absent
    if absent:
        reason = f"backend {name}: {absent}"
        if request.config.getoption("--isograd-backends") or os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and it was asked for")
        pytest.skip(reason)
    return name


def assert_equivalent(scenario: Any, backends: Sequence[str] | None = None, **options: Any) -> Report | Checked:
    """Fail unless every backend agrees with the reference on ``scenario``; or every side of a port with its origin.

    Args:
        scenario: whatever `isograd.run` takes; or a `Report`, which is then only looked at; or a port, as
            ``"port.py"`` or ``"port.py:paddle"``, whatever `isograd.check` takes, several in a list.
        backends: names of backends; None: all that are installed.
        **options: of `isograd.run`: dtype, mode, every, quantities, jobs, timeout; or of `isograd.check`.

    Returns:
        The report, or what was checked, for further assertions.

    Raises:
        AssertionError: with the first divergence and the worst of each red cell, and how to see the report.

    Example:
        >>> from isograd import assert_equivalent
        >>> def test_my_backend():
        ...     assert_equivalent("article/sum_regression", backends=["mypackage.mybackend:MyBackend"])
        >>> def test_my_port():
        ...     assert_equivalent("port.py", steps=5)
    """
    __tracebackhide__ = True
    if sides := _sides(scenario):
        return _assert_port(sides, **options)
    from isograd.api import run
    from isograd.pool import warm
    from isograd.report import Report

    if len(_SESSION) == 1 and not isinstance(scenario, Report):
        _SESSION.append(ExitStack())  # the next test is not to wait for a framework once more
        _SESSION[1].enter_context(warm())
    report = scenario if isinstance(scenario, Report) else run(scenario, backends=backends, **options)
    if not report.green:
        from isograd.report.text import failure

        raise AssertionError(failure(report))
    return report


def _sides(scenario: Any) -> list[str]:
    """The sides of a port, where it is one; [] for anything else."""
    listed = [scenario] if isinstance(scenario, (str, Path)) else scenario
    if not isinstance(listed, (list, tuple)) or not listed:
        return []
    texts = [str(side) for side in listed]
    return texts if all(text.partition(":")[0].endswith(".py") for text in texts) else []


def _assert_port(sides: Sequence[str], **options: Any) -> Checked:
    __tracebackhide__ = True
    from isograd.ports.checking import check
    from isograd.report.ports.text import failure

    checked = check(*sides, **options)
    if not checked.green:
        raise AssertionError(failure(checked))
    return checked
