"""What do all runs of one scenario come to? From traces to cells, pairs and findings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isograd.children import Answer
from isograd.comparison import Comparison, compare_traces
from isograd.dtypes import FORMATS
from isograd.errors import TraceError
from isograd.findings import BROKEN, HOLDS, NOTED, RED, Row, findings, published_trace
from isograd.identity import mean_of_sample_gradients
from isograd.inputs import Inputs, make_inputs
from isograd.judging import FACTOR, Judgement, LocalSteps, Verdict, drifts, excused, judge, settle
from isograd.quantities import quantity_shapes
from isograd.recorder import record_here, recorded_steps
from isograd.reference import Reference
from isograd.rules import Rules
from isograd.scenario import Scenario
from isograd.stored import in_memory, left_in_file
from isograd.thinning import Course, course_of, thinned
from isograd.trace import Mode, Trace, bits, load_trace

if TYPE_CHECKING:
    from isograd.explanation import Account


@dataclass(frozen=True)
class Run:
    """One job's answer, and where its trace was to be written."""

    answer: Answer
    path: Path

    def trace(self, backend: str, mode: Mode, fingerprint: str) -> Trace:
        """The trace; TraceError where there is none, or one of another job."""
        trace = load_trace(self.path)
        came = (trace.manifest.backend, trace.manifest.mode, trace.manifest.fingerprint)
        for what, expected, got in zip(("backend", "mode", "inputs"), (backend, mode, fingerprint), came, strict=True):
            if got != expected:
                raise TraceError(f"{self.path}: expected the trace of this job; it is of other {what}: {got}")
        return trace


@dataclass(frozen=True)
class Cell:
    """One backend on one scenario in one mode: what it did, what that comes to, and, where it diverges, why."""

    backend: str
    mode: Mode
    judgement: Judgement
    trace: Trace | None = None
    comparison: Comparison | None = None
    answer: Answer = field(default_factory=Answer)
    account: Account | None = None
    whole: Course | None = None

    @property
    def course(self) -> Course | None:
        """How near to its bound it came at every step; None where nothing was compared."""
        if self.whole is not None or self.comparison is None:
            return self.whole
        return course_of(self.comparison, self.judgement)

    @property
    def verdict(self) -> Verdict:
        """The judgement's."""
        return self.judgement.verdict


@dataclass(frozen=True)
class Pair:
    """Two backends against each other, the second taken for the truth."""

    mode: Mode
    first: str
    second: str
    comparison: Comparison
    judgement: Judgement


@dataclass(frozen=True)
class ScenarioResult:
    """Everything that came of one scenario.

    Attributes:
        scenario: what was run.
        inputs: its numbers.
        reference: the truth at every step, and how far rounding can stray from it.
        truth: for each mode, the reference at the recorded steps.
        cells: by backend and mode.
        findings: rows of the findings table.
        compare_pairs: gives `pairs`.
    """

    scenario: Scenario
    inputs: Inputs
    reference: Reference
    truth: Mapping[Mode, Trace]
    cells: Mapping[tuple[str, Mode], Cell]
    findings: tuple[Row, ...]
    compare_pairs: Callable[[], Iterator[Pair]]

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every two backends that both ran, compared when first asked for: with many backends they are very many."""
        return tuple(self.compare_pairs())

    @property
    def green(self) -> bool:
        """Whether every cell is, and no finding is unexplained or stale."""
        return all(cell.verdict.green for cell in self.cells.values()) and not any(
            row["status"] in RED for row in self.findings
        )


@dataclass(frozen=True)
class Assessor:
    """All that is known of one scenario before its runs are looked at.

    Attributes:
        scenario: what was run.
        inputs: its numbers.
        reference: the truth, at every step.
        every: which steps were recorded.
        quantities: which quantities were.
        factor: how many envelopes an element may be off.
        causes: look for the cause of each divergence.
    """

    scenario: Scenario
    inputs: Inputs
    reference: Reference
    every: int = 1
    quantities: str = "*"
    factor: float = FACTOR
    causes: bool = True

    def assess(self, runs: Mapping[tuple[str, Mode], Run], absent: Mapping[str, str]) -> ScenarioResult:
        """Measure and judge all runs.

        Args:
            runs: by backend and mode, what the children came back with.
            absent: backends that were asked for and are not installed, each with the reason.
        """
        modes = tuple(self.reference.truth)
        cells = {(backend, mode): self._cell(backend, mode, run) for (backend, mode), run in runs.items()}
        for backend in {backend for backend, _ in runs} if len(modes) == 2 else ():
            cells[backend, "free"] = self.beside(cells[backend, "free"], cells[backend, "resync"])
        cells = self._explained(cells) if self.causes else cells
        for backend, why in absent.items():
            error = Judgement(Verdict.ERROR, message=why)
            cells |= {(backend, mode): Cell(backend, mode, error) for mode in modes}
        traces = {b: c.trace for (b, mode), c in cells.items() if mode == modes[0] and c.trace}
        rows = [*self._findings(traces), *self._identity(cells), *_causes(self.scenario, cells)]
        truth = {mode: self._recorded(trace) for mode, trace in self.reference.truth.items()}
        pairs = partial(self._pairs, cells)
        return ScenarioResult(self.scenario, self.inputs, self.reference, truth, cells, tuple(rows), pairs)

    def _findings(self, traces: Mapping[str, Trace]) -> list[Row]:
        """What the source says, held against its own numbers: whether it is right does not depend on a dtype."""
        if not (self.scenario.published or self.scenario.findings):
            return []
        wide = self.scenario.model_copy(update={"dtype": "float64"})
        inputs = make_inputs(wide)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            truth = record_here(Rules(rounded=True), "reference", wide, inputs)
        return findings(self.scenario, inputs, truth, traces)

    def _explained(self, cells: dict[tuple[str, Mode], Cell]) -> dict[tuple[str, Mode], Cell]:
        """The cells, those that diverge with their cause; what shows in resync is explained there, for both modes."""
        accounts: dict[str, Account | None] = {}
        out = dict(cells)
        for (backend, mode), cell in sorted(cells.items(), key=lambda item: item[0][1] != "resync"):
            if cell.trace is None or cell.verdict not in (Verdict.DIVERGES, Verdict.EXPECTED):
                continue
            if backend not in accounts:
                accounts[backend] = self.account(cell)
            out[backend, mode] = replace(cell, account=accounts[backend])
        return out

    def beside(self, free: Cell, resync: Cell) -> Cell:
        """A free run's cell, judged once more beside the same backend's resync run: does it drift?"""

        def local() -> LocalSteps:
            from isograd.explanation import local_steps  # where nothing diverges nobody asks why

            assert free.trace is not None  # it was judged
            return local_steps(self.scenario, self.inputs, in_memory(free.trace), self.factor)

        return replace(free, judgement=drifts(free.judgement, resync.judgement, local))

    def account(self, cell: Cell) -> Account | None:
        """Why a cell diverges; where a source's printed numbers are the truth, why they do."""
        from isograd.explanation import explain  # where all is green nobody asks why

        assert cell.trace is not None
        trace, states = in_memory(cell.trace), self.reference.states
        if cell.verdict is Verdict.EXPECTED and self.scenario.truth == "published":
            trace = published_trace(self.scenario, "free", self._recorded(self.reference.truth[cell.mode]))
        return explain(self.scenario, self.inputs, trace, states)

    def _recorded(self, trace: Trace) -> Trace:
        """A trace of the reference, at the steps and of the quantities that the backends recorded."""
        names = quantity_shapes(self.scenario, self.quantities)
        return trace.every(recorded_steps(self.inputs.steps, self.every), names)

    def _judge(self, comparison: Comparison, sides: int = 1) -> Judgement:
        return judge(comparison, self.scenario.dtype, sides, self.factor)

    def _without(self, comparison: Comparison, left: Collection[str]) -> Judgement:
        return self._judge(comparison.without(left))

    def _within(self, comparison: Comparison, times: float, left: Collection[str]) -> Judgement:
        return judge(comparison.without(left), self.scenario.dtype, factor=times * self.factor)

    def _cell(self, backend: str, mode: Mode, run: Run) -> Cell:
        answer = run.answer
        if answer.error:
            return Cell(backend, mode, Judgement(Verdict.ERROR, message=answer.error), answer=answer)
        if answer.unsupported:
            text = f"no row for {', '.join(answer.unsupported)}"
            return Cell(backend, mode, Judgement(Verdict.UNSUPPORTED, message=text), answer=answer)
        try:
            trace = run.trace(backend, mode, self.reference.truth[mode].manifest.fingerprint)
            judged = self.judged(trace)
        except TraceError as error:
            return Cell(backend, mode, Judgement(Verdict.ERROR, message=str(error)), answer=answer)
        cell = replace(judged, backend=backend, answer=answer, trace=left_in_file(trace, run.path))
        if not answer.differs:
            return cell
        text = f"two runs of it differ: {answer.differs}"
        first, _, step = answer.differs.rpartition(" at step ")
        judgement = replace(cell.judgement, verdict=Verdict.NONDETERMINISTIC, first=first, step=int(step), message=text)
        return replace(cell, judgement=judgement)

    def judged(self, trace: Trace) -> Cell:
        """A trace against the truth."""
        mode = trace.manifest.mode
        published = self.scenario.truth == "published"
        truth = self._recorded(self.reference.truth[mode])
        truth = published_trace(self.scenario, mode, truth) if published else truth
        envelope = self.reference.envelope[mode]
        comparison = compare_traces(trace, truth, envelope, partial=published, dtype=self.scenario.dtype)
        same = not published and identical(trace, self._recorded(self.reference.twin[mode]))
        judged, known = self._judge(comparison), trace.manifest.deviation
        if known is None or self.scenario.expect is not None:
            judgement = settle(judged, self.scenario.expect, same)
        else:
            rest = partial(self._without, comparison)
            within = partial(self._within, comparison)
            judgement = excused(judged, known, self.scenario.dtype, rest, within)
        few, judged = thinned(comparison, judgement)
        whole = course_of(comparison, judgement) if few is not comparison else None
        return Cell(trace.manifest.backend, mode, judged, trace, few, whole=whole)

    def _pairs(self, cells: Mapping[tuple[str, Mode], Cell]) -> Iterator[Pair]:
        for mode in self.reference.truth:
            ran = [(cell.backend, cell.trace) for cell in cells.values() if cell.mode == mode and cell.trace]
            for (first, a), (second, b) in combinations(ran, 2):
                comparison = compare_traces(a, b, self.reference.envelope[mode])
                yield Pair(mode, first, second, *thinned(comparison, self._judge(comparison, sides=2)))

    def _identity(self, cells: Mapping[tuple[str, Mode], Cell]) -> list[Row]:
        """A row per backend and gradient: is the batch's the mean of its samples'?"""
        if not self.scenario.batch_gradient_is_mean or "resync" not in self.reference.truth:
            return []
        mean = mean_of_sample_gradients(self.scenario, self.inputs, self.reference)
        mean = mean.every(recorded_steps(self.inputs.steps, self.every))
        ran = {cell.backend: cell.trace for cell in cells.values() if cell.mode == "resync" and cell.trace}
        return [
            row
            for backend, trace in {"reference": self.reference.truth["resync"], **ran}.items()
            for row in self._identity_rows(backend, trace, mean)
        ]

    def _identity_rows(self, backend: str, trace: Trace, mean: Trace) -> Iterator[Row]:
        dtype = "float64" if backend == "reference" else self.scenario.dtype
        finer = FORMATS[dtype].roundoff / FORMATS[self.scenario.dtype].roundoff  # the reference rounds in float64
        envelope = {name: finer * self.reference.envelope["resync"][name] for name in mean.columns}
        there = [name for name in mean.columns if name in trace.columns]
        if not there:
            return
        comparison = compare_traces(trace.every(mean.steps, there), mean, envelope, partial=True, dtype=dtype)
        judged = judge(comparison, dtype, factor=self.factor)
        for name, m in comparison.measures.items():
            row, ratio = int(np.argmax(m.max_abs)), float((judged.ratios or {})[name].max())
            yield {
                "scenario": self.scenario.name,
                "id": "batch-gradient-is-mean",
                "quantity": name,
                "step": comparison.steps[row],
                "index": str(list(comparison.index(name, row))),
                "printed": "",
                "computed": float(m.value[row]),
                "difference": float(m.max_abs[row]),
                "status": HOLDS if ratio <= 1.0 else BROKEN,
                "text": f"{backend}: the batch's gradient is the mean of its samples' gradients "
                f"({len(comparison.steps)} steps, largest difference {ratio:.2g} of its bound)",
            }


def _causes(scenario: Scenario, cells: Mapping[tuple[str, Mode], Cell]) -> Iterator[Row]:
    """A row for each backend whose divergence was explained."""
    explained = {cell.backend: cell.account for cell in cells.values() if cell.account}
    for backend, account in explained.items():
        yield {
            "scenario": scenario.name,
            "id": "cause",
            "quantity": account.place.first,
            "step": account.place.step,
            "status": NOTED,
            "text": f"{backend}: {account.sentence}",
        }


def between(a: Trace, b: Trace, reference: Reference, factor: float = FACTOR) -> tuple[Comparison, Judgement]:
    """Two traces of one scenario: ``b`` is taken for the truth, and rounding is allowed to both sides."""
    comparison = compare_traces(a, b, reference.envelope[b.manifest.mode])
    return comparison, judge(comparison, b.manifest.dtype, 2, factor)


def identical(trace: Trace, twin: Trace) -> bool:
    """Whether two traces hold the same quantities with the same bits; −0 is not 0 here."""
    return trace.columns.keys() == twin.columns.keys() and all(
        column.dtype == trace.columns[name].dtype and np.array_equal(bits(column), bits(trace.columns[name]))
        for name, column in twin.columns.items()
    )
