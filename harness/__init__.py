"""isograd: does the same training run give the same numbers in every framework, and if not, which tensor differs first?

The public names. Each is imported when it is first used, so that ``import isograd`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from isograd.api import compare, explain, judge, record, run
    from isograd.backend import Backend, Session
    from isograd.errors import IsogradError
    from isograd.judging import Verdict
    from isograd.loading import load_scenario
    from isograd.pool import warm
    from isograd.ports.checking import check
    from isograd.pytest_plugin import assert_equivalent
    from isograd.report import Report
    from isograd.scenario import Scenario
    from isograd.trace import Trace, load_trace, save_trace

_WHERE = {
    "Backend": "backend",
    "IsogradError": "errors",
    "Report": "report",
    "Scenario": "scenario",
    "Session": "backend",
    "Trace": "trace",
    "Verdict": "judging",
    "assert_equivalent": "pytest_plugin",
    "check": "ports.checking",
    "compare": "api",
    "explain": "api",
    "judge": "api",
    "load_scenario": "loading",
    "load_trace": "trace",
    "record": "api",
    "run": "api",
    "save_trace": "trace",
    "warm": "pool",
}
__all__ = [
    "Backend",
    "IsogradError",
    "Report",
    "Scenario",
    "Session",
    "Trace",
    "Verdict",
    "assert_equivalent",
    "check",
    "compare",
    "explain",
    "judge",
    "load_scenario",
    "load_trace",
    "record",
    "run",
    "save_trace",
    "warm",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'isograd' has no attribute {name!r}")
    return getattr(import_module(f"isograd.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return __all__
