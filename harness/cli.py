"""What does the command line offer? Arguments and exit codes only; the work is done elsewhere."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from isograd.console import SafeConsole, drop
from isograd.errors import IsogradError

if TYPE_CHECKING:
    from isograd.report import Report
    from isograd.report.staging import Staging

app = typer.Typer(
    help="Does the same training run give the same numbers in every framework? If not, which tensor differs first?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out, err = SafeConsole(), SafeConsole(stderr=True)


class Modes(StrEnum):
    """What ``--mode`` takes."""

    free = "free"
    resync = "resync"
    both = "both"


Dtype = Annotated[
    str | None, typer.Option(help="float16, bfloat16, float32 or float64, instead of the scenario's own.")
]
Noise = Annotated[int | None, typer.Option(help="Noisy runs of each of two kinds that make the envelope.", min=2)]
Factor = Annotated[
    float | None, typer.Option(help="How many envelopes an element may be off; default: the calibrated one.")
]
Every = Annotated[int, typer.Option(help="Record every so many steps, and the last.", min=1)]
Globs = Annotated[str, typer.Option(help="Quantities to record: globs, parted by commas, as in 'grad/*,loss'.")]
Seconds = Annotated[float, typer.Option(help="Seconds that a child process may take for one job.", min=0.001)]


@app.command()
def run(
    scenarios: Annotated[
        list[str] | None, typer.Argument(help="Names, globs or TOML files; none: the whole catalogue.")
    ] = None,
    backends: Annotated[
        str | None, typer.Option(help="Names, parted by commas, as in numpy,module:Class; default: all installed.")
    ] = None,
    dtype: Dtype = None,
    mode: Annotated[
        Modes, typer.Option(help="Train freely, start each step from the reference's state, or both.")
    ] = Modes.both,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Write the report to this folder.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Child processes at once; default: one a processor.", min=1)] = None,
    timeout: Seconds = 300.0,
    every: Every = 1,
    quantities: Globs = "*",
    repeat: Annotated[
        int | None, typer.Option(help="Runs of each job; default: 2 where the second takes under a second.", min=1)
    ] = None,
    noise: Noise = None,
    factor: Factor = None,
) -> None:
    """Run scenarios on backends, compare everything with the reference, and judge it."""
    from isograd.api import run as run_scenarios
    from isograd.backend import split_names
    from isograd.report.folder import publish
    from isograd.report.text import verdict_table

    options: dict[str, Any] = {"dtype": dtype, "mode": mode.value, "jobs": jobs, "timeout": timeout, "every": every}
    options |= {"repeat": repeat, "quantities": quantities} | _given(noise=noise, factor=factor)
    names = split_names(backends) if backends is not None else None
    with _staging(out_folder) as staging:
        with _progress() as progress:
            options |= {
                "backends": names,
                "progress": progress,
                "traces": staging and staging.traces,
                "advise": _advise,
            }
            report = run_scenarios(scenarios or (), **options)
        try:
            remarks = publish(report, staging) if staging else []
        finally:  # where the report cannot be written, there is at least this
            out.print(verdict_table(report), soft_wrap=True)
            _tails(report)
    if out_folder:
        out.print(f"report: {out_folder / 'index.html'}", soft_wrap=True)
    for remark in remarks:
        for console in (out, err):
            console.print(f"{out_folder}: {remark}", style="yellow", soft_wrap=True)
    raise typer.Exit(0 if report.green else 1)


@app.command()
def check(
    sides: Annotated[
        list[str],
        typer.Argument(help="A file whose functions are the sides and give the batches; or file.py:function each."),
    ],
    data: Annotated[
        Path | None, typer.Option(help="A file of batches (.npz with x and y), where no function gives them.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Training steps.", min=1)] = 3,
    mode: Annotated[
        Modes, typer.Option(help="Train freely, start each step from the origin's state, or both.")
    ] = Modes.both,
    pairs: Annotated[
        Path | None, typer.Option("--map", help="A JSON file: names of the other side, and what they are on the first.")
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="MODULE=REASON: a module that is not compared, with all in it; may be given again."),
    ] = None,
    python: Annotated[
        list[str] | None,
        typer.Option(help="SIDE=PATH: the interpreter of a side's own environment; may be given again."),
    ] = None,
    starts: Annotated[
        bool, typer.Option("--starts", help="Compare initial values too, by their distribution.")
    ] = False,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Write the report to this folder.")] = None,
    timeout: Seconds = 300.0,
    factor: Factor = None,
) -> None:
    """Check that a model's port trains as the original does: the first function is the origin."""
    from isograd.ports.checking import check as check_port
    from isograd.ports.maps import read_map
    from isograd.report.mark import check_replaceable
    from isograd.report.ports.text import checked_text

    if out_folder:
        check_replaceable(out_folder)  # now, not after minutes of work
    options: dict[str, Any] = {"data": data, "steps": steps, "mode": mode.value, "timeout": timeout, "starts": starts}
    options |= _given(factor=factor, pairs=pairs and read_map(pairs))
    options |= {"without": _by_name("without", without or []), "python": _by_name("python", python or [])}
    checked = check_port(*sides, progress=err.print, **options)
    out.print(checked_text(checked), soft_wrap=True)
    if out_folder:
        out.print(f"report: {checked.write(out_folder) / 'index.html'}", soft_wrap=True)
    raise typer.Exit(0 if checked.green else 1)


def _by_name(option: str, given: list[str]) -> dict[str, str]:
    """NAME=VALUE each."""
    for text in given:
        if "=" not in text:
            raise IsogradError(f"--{option}: expected NAME=VALUE; got {text}")
    return {name: value for name, _, value in (text.partition("=") for text in given)}


@app.command()
def schema() -> None:
    """Print the JSON schema of scenario files, which editors complete and check by.

    Put it beside the files, and ``#:schema ./isograd.schema.json`` at their top.
    """
    import json

    from isograd.loading import json_schema

    out.print(json.dumps(json_schema(), indent=1, ensure_ascii=False), markup=False, highlight=False, soft_wrap=True)


@app.command(name="list")
def list_all() -> None:
    """Show the scenarios, the backends, and which backend supports what."""
    from isograd.listing import listing

    out.print(listing())


@app.command()
def record(
    scenario: Annotated[str, typer.Argument(help="A name or a TOML file.")],
    backend: Annotated[str, typer.Option(help="A backend's name, or module:Class.")],
    out_file: Annotated[Path, typer.Option("--out", help="The trace file to write.")],
    dtype: Dtype = None,
    mode: Annotated[str, typer.Option(help="free or resync.")] = "free",
    timeout: Seconds = 300.0,
    every: Every = 1,
    quantities: Globs = "*",
) -> None:
    """Record one scenario on one backend into a trace file."""
    from isograd.api import record as record_trace
    from isograd.trace import check_place, save_trace

    check_place(out_file)  # now, not after minutes of work
    options: dict[str, Any] = {"dtype": dtype, "mode": mode, "timeout": timeout, "every": every}
    trace = record_trace(scenario, backend, quantities=quantities, **options)
    save_trace(trace, out_file)
    out.print(f"{out_file}: {len(trace.columns)} quantities, {len(trace.steps)} steps", soft_wrap=True)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A trace file.")],
    b: Annotated[Path, typer.Argument(help="Another, which is taken for the truth.")],
    out_folder: Annotated[Path | None, typer.Option("--out", help="Write the tables to this folder.")] = None,
) -> None:
    """Compare two trace files; no framework is needed."""
    from isograd.api import compare as compare_traces
    from isograd.report.text import difference_text

    difference = compare_traces(a, b)
    out.print(difference_text(difference), end="")
    if out_folder:
        out.print(f"tables: {difference.write(out_folder)}", soft_wrap=True)
    raise typer.Exit(0 if difference.green else 1)


@app.command()
def judge(
    traces: Annotated[list[Path], typer.Argument(help="Trace files; a free and a resync one are judged together.")],
    factor: Factor = None,
    false_alarms: Annotated[
        float | None, typer.Option(help="Instead of a factor: the share of right cells that may be judged wrong.")
    ] = None,
    noise: Noise = None,
) -> None:
    """Judge trace files again, at another factor if need be; no framework is needed."""
    from isograd.api import judge as judge_traces
    from isograd.judging import factor_of
    from isograd.report.text import judgement_table

    if factor is not None and false_alarms is not None:
        raise IsogradError("expected --factor or --false-alarms; got both")
    chosen = factor_of(false_alarms) if factor is None else factor
    cells = judge_traces(traces, factor=chosen, **_given(noise=noise))
    out.print(judgement_table(traces, cells, chosen), soft_wrap=True)
    raise typer.Exit(0 if all(cell.verdict.green for cell in cells) else 1)


@app.command()
def explain(
    scenario: Annotated[str, typer.Argument(help="A name or a TOML file; or a trace file, which needs no --backend.")],
    other: Annotated[str | None, typer.Argument(help="A second trace file, to say why the two differ.")] = None,
    backend: Annotated[str | None, typer.Option(help="A backend's name, or module:Class.")] = None,
    dtype: Dtype = None,
    timeout: Seconds = 300.0,
) -> None:
    """Say why a backend, or a trace, leaves the rules: where it does first, and which changed rule accounts for it."""
    from isograd.api import compare as compare_traces
    from isograd.api import explain as explain_trace
    from isograd.report.account import account_text
    from isograd.report.text import difference_text

    if other is None:
        cell = explain_trace(scenario, backend, dtype=dtype, timeout=timeout)
        out.print(account_text(cell), soft_wrap=True)
        raise typer.Exit(0 if cell.verdict.green else 1)
    if backend is not None or dtype is not None or not scenario.endswith(".safetensors"):
        raise IsogradError("expected two trace files, or a scenario with --backend; got something of both")
    difference = compare_traces(scenario, other)
    out.print(difference_text(difference))
    for path in (scenario, other):
        out.print(account_text(explain_trace(path)), "", soft_wrap=True)
    raise typer.Exit(0 if difference.green else 1)


@app.command()
def calibrate(
    scenarios: Annotated[
        int | None, typer.Option(help="Random scenarios a dtype; default: 105, or 12 with --causes.", min=1)
    ] = None,
    backends: Annotated[str | None, typer.Option(help="Names, parted by commas; default: all installed.")] = None,
    dtypes: Annotated[str | None, typer.Option(help="Of the four, parted by commas; default: all.")] = None,
    seed: Annotated[int, typer.Option(help="Other scenarios for another one.", min=0)] = 0,
    factor: Factor = None,
    jobs: Annotated[int | None, typer.Option(help="Child processes at once; default: one a processor.", min=1)] = None,
    causes: Annotated[bool, typer.Option("--causes", help="Calibrate the search for causes, not the judge.")] = False,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Write the report to this folder.")] = None,
) -> None:
    """Judge right runs and seeded faults, and count how often the judge is wrong, over the factor."""
    from isograd.backend import split_names
    from isograd.calibration import calibrate as run_calibration
    from isograd.calibration.causes import calibrate_causes
    from isograd.calibration.report import write, write_causes
    from isograd.report.mark import check_replaceable
    from isograd.report.text import goals_table

    if out_folder:
        check_replaceable(out_folder)
    names = {"backends": backends and split_names(backends), "dtypes": dtypes and split_names(dtypes)}
    progress = {"progress": err.print}
    if causes:
        of_causes = calibrate_causes(
            seed=seed, **_given(jobs=jobs, count=scenarios, backends=names["backends"], **progress)
        )
        goals, green, written = of_causes.goals, of_causes.green, partial(write_causes, of_causes)
    else:
        found = run_calibration(seed=seed, **_given(factor=factor, jobs=jobs, count=scenarios, **names, **progress))
        goals, green, written = found.goals, found.green, partial(write, found)
    out.print(goals_table(goals), soft_wrap=True)
    if out_folder:
        out.print(f"report: {written(out_folder) / 'README.md'}", soft_wrap=True)
    raise typer.Exit(0 if green else 1)


@app.command()
def atlas(
    pages: Annotated[list[str] | None, typer.Argument(help="Pages, as in optimizers; none: all.")] = None,
    backends: Annotated[str | None, typer.Option(help="Names, parted by commas; default: all installed.")] = None,
    against: Annotated[Path | None, typer.Option(help="An atlas.json: say what is other than it was.")] = None,
    out_folder: Annotated[Path | None, typer.Option("--out", help="Write the pages to this folder.")] = None,
) -> None:
    """Find by running them in which settings, defaults and answers frameworks differ, and what to write instead."""
    from isograd.atlas import build
    from isograd.atlas.pages import counts_table, read, write
    from isograd.atlas.rows import changes
    from isograd.backend import split_names
    from isograd.report.mark import check_replaceable

    if out_folder:
        check_replaceable(out_folder)
    old = read(against) if against else None
    found = build(pages or (), backends=backends and split_names(backends), progress=err.print)
    changed = list(changes(old, found)) if old else []
    out.print(counts_table(found), soft_wrap=True)
    for row in found.red:
        out.print(f"{row.key}: " + "; ".join(f"{name}: {side.answer} {side.left}" for name, side in row.sides.items()))
    for line in changed:
        out.print(line, soft_wrap=True, markup=False)
    if out_folder:
        out.print(f"atlas: {write(found, out_folder) / 'index.html'}", soft_wrap=True)
    raise typer.Exit(1 if changed or found.red else 0)


def _given(**options: Any) -> dict[str, Any]:
    """The options that were given: the others keep the default of the function that they are for."""
    return {name: value for name, value in options.items() if value is not None}


@contextmanager
def _staging(folder: Path | None) -> Iterator[Staging | None]:
    """Where the report is put together; of a run that ends before its report is there, it is told where traces lie."""
    from isograd.report.staging import Staging

    if folder is None:
        yield None
        return
    staging = Staging(folder)
    try:
        with staging:
            yield staging
    except BaseException as error:
        if staging.kept:
            how = "interrupted" if isinstance(error, KeyboardInterrupt) else "not finished"
            err.print(f"{how}; the traces that were finished are in {staging.kept}", style="yellow", soft_wrap=True)
        raise


def _advise(text: str) -> None:
    err.print(text, style="yellow", soft_wrap=True)


def _progress() -> Any:
    from isograd.report.progress import Progress

    return Progress(err)


def _tails(report: Report) -> None:
    """What failed children said last."""
    for result in report.results:
        for cell in result.cells.values():
            if cell.answer.tail:
                err.print(f"{cell.backend} on {result.scenario.name} ({cell.mode}) said:", style="red")
                err.print(cell.answer.tail, soft_wrap=True)


def main() -> None:
    """The entry point: exit code 0 all green, 1 something is not, 2 the request was wrong, 130 interrupted."""
    sys.path.append(str(Path.cwd()))  # so that `module:Class` is found where the command is run, as with `python -m`
    for name in ("SIGTERM", "SIGHUP"):  # an exit that ends the children too, and says where what is finished is
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: sys.exit(128 + number))
    for console in (out, err):
        console.fit()
    try:
        if sys.argv[1:] == ["list"]:  # to read its arguments, of which there are none, typer would import pydantic
            list_all()
            _end(0)
        app(standalone_mode=True)
    except (IsogradError, OSError) as error:
        err.print(f"isograd: {error}", soft_wrap=True)
        _end(2)
    except MemoryError as error:
        err.print(f"isograd: out of memory: {error}; try --every, or fewer --quantities", soft_wrap=True)
        _end(2)
    except KeyboardInterrupt:
        _end(130)


def _end(code: int) -> NoReturn:
    """Exit, with the code that is meant: Python's own last words to a full disk would have another."""
    for file in (sys.stdout, sys.stderr):
        try:
            if file:
                file.flush()
        except OSError:
            drop(file)
    sys.exit(code)


if __name__ == "__main__":
    main()
