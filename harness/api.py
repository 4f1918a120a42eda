"""What can one ask for? Run scenarios and judge them; record one run; compare two traces."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from isograd.assess import Cell, between
from isograd.backend import backend_names, find_backend
from isograd.describe import describe
from isograd.envelope import RUNS
from isograd.errors import BackendError, IsogradError
from isograd.estimate import check_size
from isograd.findings import check_source
from isograd.inputs import fingerprint
from isograd.judging import FACTOR, Verdict
from isograd.loading import find_scenarios, parse_scenario
from isograd.plan import Plan, Progress
from isograd.quantities import quantity_shapes
from isograd.rejudge import assessor_of, rejudge
from isograd.report import Difference, Report
from isograd.scenario import Scenario
from isograd.scratch import scratch
from isograd.spec import EXACT
from isograd.trace import MODES, Mode, Trace, load_trace

NOISE = 10_000  # noisy runs of each kind at most
TIGHTEST, LOOSEST = 1e-9, 1e9  # factors; far beyond them, bounds and ratios overflow


def run(
    scenarios: str | Path | Scenario | Sequence[str | Path | Scenario] = (),
    *,
    backends: Sequence[str] | None = None,
    dtype: str | None = None,
    mode: str = "both",
    every: int = 1,
    quantities: str = "*",
    jobs: int | None = None,
    timeout: float = 300.0,
    repeat: int | None = None,
    noise: int = RUNS,
    factor: float = FACTOR,
    causes: bool = True,
    traces: str | Path | Callable[[], Path] | None = None,
    progress: Progress | None = None,
    advise: Callable[[str], object] | None = None,
) -> Report:
    """Run scenarios on backends, compare everything with the reference, and judge it.

    Args:
        scenarios: catalogue names, globs, TOML paths, or `Scenario`s; the whole catalogue without any.
        backends: names, as in ``["numpy", "torch", "mypackage.mybackend:MyBackend"]``; None: all that are installed.
        dtype: instead of the scenarios' own.
        mode: "free", "resync" or "both".
        every: record every so many steps, and the last.
        quantities: globs, parted by commas, of the quantities to record.
        jobs: how many children at once; None: as many as there are processors.
        timeout: seconds that a child may take for one job, or to start.
        repeat: how many times a backend runs each job, to see whether it is deterministic; None: twice where the
            second run costs less than a second.
        noise: how many noisy runs of each of two kinds make the envelope; fewer where tensors are large.
        factor: how many envelopes an element may be off.
        causes: look for the cause of each divergence; a search is bounded by operations (`isograd.explanation.effort`).
        traces: a folder to keep the trace files in, or a function that makes one once the request has been checked;
            None: they are not kept.
        progress: told of each job that is done.
        advise: given a line on how large the run will be, where it is large, before it starts.

    Returns:
        The report; nothing is written until its `write`.

    Raises:
        IsogradError: a request that cannot be carried out, before any child is started.

    Example:
        >>> from isograd import run
        >>> run("article/sum_regression", backends=["numpy", "torch", "paddle"]).green  # doctest: +SKIP
        True
    """
    chosen, modes = _scenarios(scenarios, dtype), _modes(mode)
    present, absent = _backends(backends)
    _check(chosen, every, quantities, jobs, timeout)
    _check_judging(repeat, noise, factor)
    large = check_size(chosen, modes, every, quantities, present)
    if large and advise:
        advise(large)
    judging: dict[str, Any] = {"repeat": repeat, "noise": noise, "factor": factor, "causes": causes}
    started = time.time()
    with scratch() as folder:
        kept = Path((traces() if callable(traces) else traces) or folder)
        plan = Plan(chosen, present, modes, every, quantities, folder, kept, **judging)
        for scenario in chosen:
            check_source(scenario, plan.inputs[scenario.name])
        plan.record(min(jobs or os.cpu_count() or 1, max(1, len(present))), timeout, progress)
        asked_in_vain = absent if backends is not None else {}
        absent |= plan.absent()
        if backends is None:
            plan.leave_out(absent)
            _check_any(plan.backends, absent)
        results = tuple(plan.assessor(scenario).assess(plan.runs(scenario), asked_in_vain) for scenario in chosen)
    request = {"modes": list(modes), "every": every, "quantities": quantities, "started": started}
    return Report(results, absent, request | judging | {"seconds": time.time() - started})


def _scenarios(wanted: Any, dtype: str | None) -> list[Scenario]:
    given = [wanted] if isinstance(wanted, (str, Path, Scenario)) else list(wanted)
    patterns = [str(item) for item in given if not isinstance(item, Scenario)]
    found = find_scenarios(patterns) if patterns or not given else []
    found += [item for item in given if isinstance(item, Scenario)]
    if dtype is not None:
        found = [_with_dtype(scenario, dtype) for scenario in found]
    found = [scenario for i, scenario in enumerate(found) if scenario not in found[:i]]  # the same, by another path
    names = [scenario.name for scenario in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise IsogradError(f"two different scenarios are called {twice[0]!r}; rename one of the files")
    return found


def _with_dtype(scenario: Scenario, dtype: str) -> Scenario:
    raw = scenario.model_dump() | {"dtype": dtype, "folder": scenario.folder}
    return parse_scenario(raw, f"{scenario.name} with --dtype")


def _check(scenarios: list[Scenario], every: int, quantities: str, jobs: int | None, timeout: float) -> None:
    if not 1 <= every <= EXACT or (jobs is not None and jobs < 1):
        raise IsogradError(f"expected every from 1 to 2^53, and jobs ≥ 1; got {every}, {jobs}")
    if not 0 < timeout <= threading.TIMEOUT_MAX:
        raise IsogradError(
            f"expected a timeout in seconds, from above 0 to {threading.TIMEOUT_MAX:.0f}; got {timeout:g}"
        )
    for scenario in scenarios:
        if not quantity_shapes(scenario, quantities):
            names = ", ".join(quantity_shapes(scenario))
            raise IsogradError(f"{scenario.name}: no quantity matches {quantities!r}; it has {names}")


def _check_judging(repeat: int | None, noise: int, factor: float) -> None:
    if not 2 <= noise <= NOISE or not TIGHTEST <= factor <= LOOSEST or (repeat is not None and repeat < 1):
        wanted = f"repeat ≥ 1, noise from 2 to {NOISE} and factor from {TIGHTEST:g} to {LOOSEST:g}"
        raise IsogradError(f"expected {wanted}; got {repeat}, {noise}, {factor:g}")


def _modes(mode: str) -> tuple[Mode, ...]:
    if mode == "both":
        return MODES
    if mode not in MODES:
        raise IsogradError(f"mode: expected free, resync or both; got {mode!r}")
    return (mode,)


def _backends(asked: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """The backends to run, and those that are not installed, each with what to do about it.

    Of somebody else's, only that the module is there: the rest is for its child to say.
    """
    if asked is not None and not asked:
        raise BackendError("expected at least one backend; got none")
    present, absent = [], {}
    for name in dict.fromkeys(asked if asked is not None else backend_names()):
        about = describe(name) if find_backend(name).own else None
        if about and about.absent:
            absent[name] = about.absent
            continue
        if about and about.error:  # an option that it does not have is a wrong request, not a failed run
            raise BackendError(about.error)
        present.append(name)
    if asked is None:
        _check_any(present, absent)
    return present, absent


def _check_any(present: Sequence[str], absent: Iterable[str]) -> None:
    if not present:
        raise BackendError(f"none of {', '.join(absent)} is installed")


def record(
    scenario: str | Path | Scenario,
    backend: str,
    *,
    dtype: str | None = None,
    mode: str = "free",
    every: int = 1,
    quantities: str = "*",
    timeout: float = 300.0,
) -> Trace:
    """Record one scenario on one backend, in a child process.

    Args:
        scenario: a catalogue name, a TOML path, or a `Scenario`.
        backend: its name, or ``module:Class``.
        dtype: instead of the scenario's own.
        mode: "free" or "resync".
        every: record every so many steps, and the last.
        quantities: globs, parted by commas, of the quantities to record.
        timeout: seconds that the child may take.

    Raises:
        IsogradError: the request is wrong, the backend is not installed, cannot run the scenario, or failed.

    Example:
        >>> from isograd import record
        >>> trace = record("article/worked_backprop", "numpy")
        >>> trace.columns["grad/hidden.weight"][0].tolist()
        [[396.0, 594.0], [272.0, 408.0], [272.0, 408.0], [396.0, 594.0]]
    """
    chosen, modes = _scenarios(scenario, dtype), _modes(mode)
    if len(chosen) != 1 or len(modes) != 1:
        raise IsogradError(f"expected one scenario and one mode to record; got {len(chosen)} and {mode!r}")
    _check(chosen, every, quantities, 1, timeout)
    present, absent = _backends([backend])
    if absent:
        raise BackendError(f"backend {backend!r}: {absent[backend]}")
    check_size(chosen, modes, every, quantities, present)
    with scratch() as folder:
        plan = Plan(chosen, present, modes, every, quantities, folder, folder)
        plan.record(1, timeout, None)
        run = plan.runs(chosen[0])[backend, modes[0]]
        if run.answer.unsupported:
            raise BackendError(f"backend {backend!r} has no row for {', '.join(run.answer.unsupported)}")
        if run.answer.error:
            raise BackendError("\n".join(filter(None, [f"backend {backend!r}: {run.answer.error}", run.answer.tail])))
        return run.trace(backend, modes[0], fingerprint(chosen[0], plan.inputs[chosen[0].name]))


def compare(a: str | Path | Trace, b: str | Path | Trace) -> Difference:
    """Compare two traces: measure every quantity that both hold, and judge it as rounding on both sides.

    Args:
        a: a trace or the path of its file.
        b: the one that is taken for the truth where a direction is needed (relative differences).

    Raises:
        TraceError: a file that is not a whole trace file; no step in common.
    """
    first, second = (load_trace(side) if isinstance(side, (str, Path)) else side for side in (a, b))
    return Difference(first.manifest, second.manifest, *between(first, second, assessor_of(second).reference))


def explain(
    scenario: str | Path | Scenario | Trace,
    backend: str | None = None,
    *,
    dtype: str | None = None,
    timeout: float = 300.0,
) -> Cell:
    """Say why a backend, or a trace, leaves a scenario's rules.

    Args:
        scenario: a catalogue name, a TOML path or a `Scenario`, which is recorded in resync; or a trace, or the path of
            its file.
        backend: the backend's name; none for a trace.
        dtype: instead of the scenario's own.
        timeout: seconds that the child may take.

    Returns:
        The cell: its verdict, its trace, and its `account`: where the trace leaves the rules, and the causes; None
        where it does not.

    Raises:
        IsogradError: the request is wrong, or the backend cannot run the scenario.

    Example:
        >>> from isograd import explain
        >>> explain("article/worked_backprop", "numpy[fault=derivative_left_out]").account.ids
        'derivative_left_out(hidden_act)'
    """
    is_file = isinstance(scenario, (str, Path)) and str(scenario).endswith(".safetensors")
    if isinstance(scenario, Trace) or is_file:
        trace = scenario if isinstance(scenario, Trace) else load_trace(scenario)  # type: ignore[arg-type]
    elif backend is None:
        raise IsogradError(f"{scenario}: expected --backend NAME with a scenario; none is needed with a trace file")
    else:
        trace = record(scenario, backend, dtype=dtype, mode="resync", timeout=timeout)
    assessor = assessor_of(trace)
    cell = assessor.judged(trace)
    explained = not cell.verdict.green or cell.verdict is Verdict.EXPECTED
    return replace(cell, account=assessor.account(cell)) if explained else cell


def judge(traces: Sequence[str | Path | Trace], *, factor: float = FACTOR, noise: int = RUNS) -> list[Cell]:
    """Judge traces again, from what they hold: each against the reference of the scenario that it was made from.

    Args:
        traces: traces, or the paths of their files; a free and a resync one of one backend are judged together.
        factor: how many envelopes an element may be off.
        noise: how many noisy runs of each of two kinds make the envelope; fewer where tensors are large.

    Returns:
        A cell a trace, in the same order.

    Raises:
        TraceError: a file that is not a whole trace file, or does not hold what it was made from.

    Example:
        >>> from isograd import judge, record
        >>> [str(cell.verdict) for cell in judge([record("article/worked_backprop", "numpy")])]
        ['IDENTICAL']
    """
    _check_judging(None, noise, factor)
    return rejudge([load_trace(t) if isinstance(t, (str, Path)) else t for t in traces], factor, noise)
