"""Does a port train as its origin does? Pairs, settings, rules, rounding: the first that fails decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isograd.comparison import Comparison, compare_traces
from isograd.errors import IsogradError
from isograd.inputs import Array
from isograd.judging import FACTOR, Judgement, Verdict, imprecise, judge
from isograd.ports.bounds import CONSTANTS, LEAST, RATES, Bounds
from isograd.ports.explain import cause, told
from isograd.ports.guilty import Guilty
from isograd.ports.known import Convention, variances
from isograd.ports.pairing import Pairing, pair
from isograd.ports.request import Port, port_of
from isograd.ports.result import RULES, STARTS, Cell, Result, Stage
from isograd.ports.settings import Different, different
from isograd.ports.sides import Files, SideError, Work, describe, given_by, names, take_batches, working
from isograd.ports.starts import order, starts
from isograd.ports.trying import exchanged
from isograd.ports.without import Without
from isograd.report.ports import Checked
from isograd.scratch import scratch
from isograd.side.batches import read_batches
from isograd.structure import Structure
from isograd.trace import MODES, Manifest, Mode, Trace, load_arrays, save_arrays

RUNS = 16
"""Noisy runs of the origin: the largest of n uniform errors is on average n / (n + 1) of what is possible."""

MANY = 6
"""Findings that are listed."""

IN_FLOAT32 = "constants are held with float32's digits"


def check(
    *sides: str | Path,
    data: str | Path | None = None,
    steps: int = 3,
    mode: str = "both",
    pairs: Mapping[str, str] | None = None,
    without: Mapping[str, str] | None = None,
    python: Mapping[str, str | Path] | None = None,
    starts: bool = False,
    timeout: float = 300.0,
    runs: int = RUNS,
    factor: float = FACTOR,
    progress: Callable[[str], None] = lambda text: None,
) -> Checked:
    """Check that ports train as their origin does.

    Args:
        sides: ``port.py``, whose functions are the sides and give the batches; or ``file.py:function`` each, the origin
            first.
        data: a file of batches (``.npz`` with arrays x and y, the steps leading), where no function gives them.
        steps: training steps.
        mode: free, resync or both.
        pairs: names of modules or parameters of the other sides, and what they are on the first; the rest is paired.
        without: modules, by their names on either side, that are left out of the comparison with all that is in them,
            each with the reason why; the report shows it.
        python: the interpreter of a side, by its label, where it has another environment than this process.
        starts: whether initial values are compared, by their distribution; and the batches of several files.
        timeout: seconds that a child process may take for one job.
        runs: noisy runs of the origin that make the envelope.
        factor: how many envelopes an element may be off.
        progress: told what is being done.

    Raises:
        IsogradError: a request that cannot be carried out.
    """
    if mode not in (*MODES, "both"):
        raise IsogradError(f"mode: expected free, resync or both; got {mode!r}")
    if steps < 1:
        raise IsogradError(f"steps: expected at least 1; got {steps}")
    port = port_of([str(side) for side in sides], data, python)
    modes: tuple[Mode, ...] = ("resync", "free") if mode == "both" else (mode,)  # type: ignore[assignment]
    with scratch() as folder, working(port, timeout) as works:
        options = (dict(pairs or {}), Without(without or {}), starts, runs, factor, progress)
        checking = Checking(port, works, Files(folder), modes, steps, *options)
        return checking.result()


@dataclass
class Checking:
    """One port on its way through the stages."""

    port: Port
    works: Sequence[Work]
    files: Files
    modes: tuple[Mode, ...]
    steps: int
    pairs: Mapping[str, str]
    without: Without
    starts: bool
    runs: int
    factor: float
    progress: Callable[[str], None]

    def result(self) -> Checked:
        """Everything, from the batches to the verdicts."""
        labels = [side.label for side in self.port.sides]
        try:
            self.batches = take_batches(list(self.works), self.port, self.files, self.steps)
        except SideError as error:
            raise SideError(f"batches(): {error}", error.tail) from None
        self.progress("building " + ", ".join(labels))
        described = describe(list(self.works), self.files, self.batches)
        first = described[0]
        if isinstance(first, SideError):
            return Checked(self.port, None, (_failed(labels[0], first),))
        self.first, self.initial = first, load_arrays(Path(self.files["initial-0"]))[0]
        self.without.known(of for of in described if not isinstance(of, SideError))
        self.paired = [
            None if isinstance(of, SideError) or of is first else self.without.paired(pair(first, of, self.pairs))
            for of in described
        ]
        truth = self.works[0].ask(
            "truth",
            batches=str(self.batches),
            initial=self.files["initial-0"],
            folder=str(self.files.folder),
            modes=list(self.modes),
            dtype=first.dtype,
        )
        try:
            truth.result()
        except SideError as error:
            return Checked(self.port, first, (_failed(labels[0], error),))
        self.progress("training, and the origin with noise")
        ran = [self._record(at, of) for at, of in enumerate(described)]
        self.truth = {mode: self.files.columns(f"truth-{mode}") or {} for mode in ("resync", *self.modes)}
        origin, batches = self.works[0], self.batches
        self.bounds = Bounds(origin, self.files, batches, first.dtype, self.runs, self.factor, self.truth)
        self.bounds.begin(tuple(self.truth))
        steps = len(next(iter(self.truth["resync"].values())))
        try:
            self.bounds.envelope("resync")
        except SideError as error:
            return Checked(self.port, first, (_failed(labels[0], error),))
        results = [
            self._judged(at, label, of, futures)
            for at, (label, of, futures) in enumerate(zip(labels, described, ran, strict=True))
        ]
        judged = tuple(result for result in results if result.cells)
        return Checked(self.port, first, judged, steps, bool(self.bounds.envelope("resync")))

    # ------------------------------------------------------------ running

    def _record(self, at: int, of: Structure | SideError) -> dict[Stage, Future[None]]:
        """A side's runs; of the origin those in its own dtype only, since in float64 it is the truth."""
        paired = self.paired[at]
        if isinstance(of, SideError) or (paired and not paired.whole):
            return {}
        stages: list[tuple[Stage, str, Mode]] = [(mode, of.dtype, mode) for mode in self.modes]
        if at:
            stages.insert(0, (RULES, "float64", "resync"))
        return {stage: self._ask(at, stage, dtype, mode) for stage, dtype, mode in stages}

    def _ask(self, at: int, stage: Stage, dtype: str, mode: Mode) -> Future[None]:
        return self.works[at].ask(
            "record",
            batches=str(self.batches),
            initial=self.files["initial-0"],
            states=self.files["states"] if mode == "resync" else "",
            dtype=dtype,
            out=self.files[f"trace-{at}-{stage}"],
            **names(self.paired[at]),
        )

    def _repaired(self, at: int, of: Structure, ran: Mapping[Stage, Future[None]]) -> Mapping[Stage, Future[None]]:
        """A side's runs, with the pairing by which its rules come right the furthest."""
        label, changed = self.port.sides[at].label, False
        try:
            ran[RULES].result()
            cell = self._cell(at, label, RULES, "float64", of)
            while (unit := _of_forward(cell)) and (better := self._exchanged(at, of, cell, unit)):
                cell, changed = better, True
        except SideError:
            return ran
        if not changed:
            return ran
        self._ask(at, RULES, "float64", "resync").result()
        return self._record(at, of)

    def _exchanged(self, at: int, of: Structure, cell: Cell, unit: str) -> Cell | None:
        """The rules' cell with the first exchange of counterparts by which they come right further."""
        before = self.paired[at]
        assert before is not None
        for other in exchanged(before, self.first, unit):
            self.paired[at] = other
            self._ask(at, RULES, "float64", "resync").result()
            found = self._cell(at, cell.side, RULES, "float64", of)
            if self._place(found) > self._place(cell):
                return found
        self.paired[at] = before
        return None

    def _place(self, cell: Cell) -> tuple[float, int]:
        """How far a cell is right: to which step, and which quantity of it."""
        first, step = cell.judgement.first, cell.judgement.step
        if cell.verdict.green:
            return (float("inf"), 0)
        order = list(self.truth["resync"])
        return (-1, 0) if step is None or first not in order else (step, order.index(first))

    # ------------------------------------------------------------ judging

    def _judged(self, at: int, label: str, of: Structure | SideError, futures: Mapping[Stage, Future[None]]) -> Result:
        if isinstance(of, SideError):
            return _failed(label, of)
        paired = self.paired[at]
        result = Result(label, of, paired, self._settings(of, paired), left_out=dict(self.without.reasons))
        if paired and not paired.whole:
            text = "parameters without a counterpart: " + "; ".join(
                f"{whose} {', '.join(of[:5])}{' …' if len(of) > 5 else ''}"
                for whose, of in ((self.port.sides[0].label, paired.missing), (label, paired.extra))
                if of
            )
            return replace(result, cells={"pairing": Cell(label, "pairing", of.dtype, _structural(text))})
        if paired and paired.how == "order":
            futures = self._repaired(at, of, futures)
            paired = self.paired[at]
            result = replace(result, pairing=paired, settings=self._settings(of, paired))
        cells: dict[Stage, Cell] = {}
        for stage, future in futures.items():
            if stage != RULES and not self.bounds.envelope("resync"):
                continue  # nobody knows how far rounding may go
            try:
                future.result()
                dtype = "float64" if stage == RULES else of.dtype
                cells[stage] = self._cell(at, label, stage, dtype, of)
            except SideError as error:
                cells[stage] = Cell(
                    label, stage, of.dtype, Judgement(Verdict.ERROR, message=str(error)), tail=error.tail
                )
        cells = self._settled(cells)
        if self.starts and paired:
            cells[STARTS] = self._starts(at, label, of, paired)
        return replace(result, cells=cells, cause=self._cause(at, of, replace(result, cells=cells)))

    def _settings(self, of: Structure, paired: Pairing | None) -> tuple[Different, ...]:
        found = different(self.first, of, paired) if paired else ()
        return tuple(d for d in found if not self.without.covers(d.at.rpartition(", ")[2]))

    def _starts(self, at: int, label: str, of: Structure, paired: Pairing) -> Cell:
        """Whether it begins as the origin does, and with the same data."""
        own = load_arrays(Path(self.files[f"initial-{at}"]))[0]
        found = list(starts(self.initial, own, paired))
        file = self.port.sides[at].file
        if file in self.port.others:
            other = given_by(list(self.works), file, self.files.folder / f"batches-{at}.npz", self.steps)
            said = order(read_batches(self.batches), read_batches(other))
            found = [f"batches(): {said}", *found] if said else found
        more = f"; and {len(found) - MANY} more" if len(found) > MANY else ""
        judgement = _structural("; ".join(found[:MANY]) + more) if found else Judgement(Verdict.EQUIVALENT)
        return Cell(label, STARTS, of.dtype, judgement)

    def _cause(self, at: int, of: Structure, result: Result) -> str:
        """Why the rules are others; "" where they are not, or nobody knows."""
        sides = [(self.port.sides[0], self.first), *([(self.port.sides[at], of)] if at else [])]
        drawn = [f"{built.random} of {side.label}" for side, built in sides if built.random]
        if drawn and not result.green:
            return f"{', '.join(drawn)} draws random numbers: two runs cannot draw the same; have the batches hold them"
        if shaped := _of_another_shape(result):
            return shaped
        guilty = self._guilty(at, of, result)
        if guilty is None:
            return ""
        self.progress(f"looking for the cause in {result.side}")
        save_arrays(dict(guilty.target), Path(self.files[f"target-{at}"]))
        save_arrays(dict(guilty.bounds), Path(self.files[f"limits-{at}"]))
        try:
            return cause(guilty, partial(self._attempt, at, guilty))
        except SideError as error:
            self.progress(f"the search for a cause in {result.side} ended: {error}")
            return ""

    def _guilty(self, at: int, of: Structure, result: Result) -> Guilty | None:
        """Everything at a side's first divergence from the rules; None where there is none to explain."""
        cell = result.cells.get(RULES)
        if cell is None or cell.comparison is None or cell.verdict is not Verdict.DIVERGES:
            return None
        found, t = cell.judgement, cell.judgement.step
        if found.structural or t is None:
            return None
        columns, truth = self._columns(at, RULES, "resync"), self.truth["resync"]
        names = list(cell.comparison.measures)
        bounds = self.bounds.of("resync", "float64", names, (CONSTANTS, LEAST), of.least)
        without = {convention.quantity for convention in self._conventions(at, of, "resync")} - {found.first}
        limits = {name: found.limit * bounds[name][t] for name in names if name not in without}
        states = self.files.columns("states") or {}
        return Guilty(
            first=found.first,
            step=t,
            target={name: columns[name][t] for name in limits},
            truth={name: truth[name][t] for name in limits},
            before={name: np.asarray(column[t], np.float64) for name, column in states.items()},
            earlier={name: columns[name][t - 1] for name in limits} if t else {},
            bounds=limits,
            origin=self.first,
            settings=result.settings,
            rates=(np.asarray(columns["lr"], np.float64), np.asarray(truth["lr"], np.float64)),
            losses=(np.ravel(columns.get(found.first, ())), np.ravel(truth.get(found.first, ()))),
            there=of,
            calls=_orders(self.first, of, self.paired[at]),
        )

    def _attempt(
        self, at: int, guilty: Guilty, trials: Sequence[Sequence[Mapping[str, Any]]], calls: bool
    ) -> list[dict[str, Any]]:
        """Have the origin try changes at the step."""
        self.works[0].ask(
            "explain",
            t=guilty.step,
            first=guilty.first,
            batches=str(self.batches),
            initial=self.files["initial-0"],
            states=self.files["states"],
            target=self.files[f"target-{at}"],
            bounds=self.files[f"limits-{at}"],
            order=list(guilty.bounds),
            trials=[list(changes) for changes in trials],
            calls=calls,
            told=self.files["explained.json"],
        ).result()
        return told(self.files.folder / "explained.json")

    def _settled(self, cells: Mapping[Stage, Cell]) -> dict[Stage, Cell]:
        """What is wrong by rounding only is imprecise, where the rules are right; what only grows drifts."""
        rules, resync = cells.get(RULES), cells.get("resync")
        out = dict(cells)
        if rules and rules.verdict.green:
            for stage, cell in cells.items():
                if stage != RULES and cell.verdict is Verdict.DIVERGES:
                    alone = stage == "free" and resync is not None and resync.verdict.green
                    out[stage] = replace(cell, judgement=imprecise(cell.judgement, alone))
        return out

    def _cell(self, at: int, label: str, stage: Stage, dtype: str, of: Structure) -> Cell:
        mode: Mode = "free" if stage == "free" else "resync"
        columns, truth = self._columns(at, stage, mode), self.truth[mode]
        wanted = [name for name in self.without.quantities(truth) if name in columns or not _of_a_unit(name)]
        wanted = [name for name in wanted if "[" not in name or columns[name].shape == truth[name].shape]
        here = {name: truth[name] for name in wanted}
        conventions = {c.quantity: c for c in self._conventions(at, of, mode) if c.quantity in here}
        there = {name: conventions[name].truth if name in conventions else here[name] for name in wanted}
        bounds = self.bounds.of(mode, dtype, [name for name in wanted if name in columns])

        def judged(truth: Mapping[str, Array], bounds: Mapping[str, Array]) -> tuple[Judgement, Comparison]:
            comparison = self._compare(columns, truth, bounds, label, dtype, mode)
            return judge(comparison, dtype, 2 if stage == RULES else 1, self.factor), comparison

        judgement, comparison = judged(here, bounds)
        shown: tuple[Convention, ...] = ()
        if judgement.verdict is Verdict.DIVERGES and conventions:
            ratios = judgement.ratios or {}
            shown = tuple(c for name, c in conventions.items() if name in ratios and not (ratios[name] <= 1).all())
            judgement, comparison = judged(there, bounds)
        said, kinds = [], []
        for kind, reason in self._excuses(stage, of):
            if judgement.verdict is Verdict.DIVERGES:
                before = judgement
                kinds.append(kind)
                judgement, comparison = judged(there, self.bounds.of(mode, dtype, list(bounds), kinds, of.least))
                if (before.first, before.step) != (judgement.first, judgement.step):
                    said.append(reason)
        if judgement.verdict.green and (shown or said):
            verdict = judgement.verdict if said == [IN_FLOAT32] and not shown else Verdict.EXPECTED
            reasons = dict.fromkeys([*(convention.reason for convention in shown), *said])
            judgement = replace(judgement, verdict=verdict, message="; ".join(reasons))
        return Cell(label, stage, dtype, judgement, comparison, shown)

    def _columns(self, at: int, stage: Stage, mode: Mode) -> dict[str, Array]:
        """What a side has recorded; an axis of one sample or place, which some layers need, is none."""
        columns, truth = self.files.columns(f"trace-{at}-{stage}") or {}, self.truth[mode]
        shapes = {name: truth[name].shape for name in columns if name in truth and alike(columns[name], truth[name])}
        return {name: column.reshape(shapes.get(name, column.shape)) for name, column in columns.items()}

    def _excuses(self, stage: Stage, of: Structure) -> list[tuple[str, str]]:
        """What a side may be further off by, for a written reason: kinds of bounds, each added to those before it."""
        least = [(LEAST, f"a softmax gives {of.least:.2g} at least there, and 0 here")] if of.least else []
        if stage == RULES:
            return [(CONSTANTS, IN_FLOAT32), *least]
        imprecise = [(RATES, optimizer.imprecise) for optimizer in of.optimizers.values() if optimizer.imprecise]
        return [*imprecise[:1], *least]

    def _compare(
        self,
        columns: Mapping[str, Array],
        truth: Mapping[str, Array],
        envelope: Mapping[str, Array],
        label: str,
        dtype: str,
        mode: Mode,
    ) -> Comparison:
        there = {name: columns[name] for name in truth if name in columns}
        steps = np.arange(len(next(iter(self.truth[mode].values()))))
        sides = [self._trace(values, steps, who, dtype, mode) for values, who in ((there, label), (truth, "origin"))]
        return compare_traces(sides[0], sides[1], envelope, partial=False, dtype=dtype)

    def _trace(self, columns: Mapping[str, Array], steps: Any, who: str, dtype: str, mode: Mode) -> Trace:
        manifest = Manifest(
            scenario=self.port.name,
            fingerprint="",
            backend=who,
            dtype=dtype,
            mode=mode,
            steps=len(steps),
        )
        return Trace(columns, steps, manifest)

    def _conventions(self, at: int, of: Structure, mode: Mode) -> list[Convention]:
        paired = self.paired[at]
        if paired is None:
            return []
        settings = {paired.units.get(unit.name, ""): unit.settings for unit in of.units}
        states = self.files.columns("states") if mode == "resync" else None
        return variances(self.first, settings, self.truth[mode], states, self.initial)


def _of_another_shape(result: Result) -> str:
    """The settings of the first unit whose output has another shape there: no numbers can confirm them."""
    cell = result.cells.get(RULES)
    if cell is None or not cell.judgement.structural or cell.comparison is None:
        return ""
    unit = cell.judgement.first.partition("/")[2].partition(":")[0].partition("[")[0]
    return "; ".join(different.sentence for different in result.settings if different.at == unit)


def _of_forward(cell: Cell) -> str:
    """The unit whose output is the first difference of the first step; "" where it is anything else."""
    found = cell.judgement
    if cell.verdict is not Verdict.DIVERGES or found.structural or found.step or not found.first.startswith("forward/"):
        return ""
    return found.first.partition("/")[2].partition(":")[0].partition("[")[0]


def _orders(here: Structure, there: Structure, pairing: Pairing | None) -> tuple[list[str], list[str]]:
    """In which order both sides call their units with parameters, by the origin's names."""
    units = pairing.units if pairing is not None else {}
    paired = {name for name in units.values() if here.of[name].params}
    names = [call.name for call in here.calls if call.name in paired]
    return names, [units[call.name] for call in there.calls if units.get(call.name) in paired]


def alike(one: Array, other: Array) -> bool:
    """Whether two columns have one shape, but for axes of one."""
    return len(one) == len(other) and [n for n in one.shape[1:] if n != 1] == [n for n in other.shape[1:] if n != 1]


def _of_a_unit(name: str) -> bool:
    """Whether it may be missing on a side: a unit's output or a slot, which not every right port has."""
    return name.partition("/")[0] in ("forward", "backward", "state", "buffer")


def _structural(text: str) -> Judgement:
    return Judgement(Verdict.DIVERGES, message=text, structural=True)


def _failed(label: str, error: SideError) -> Result:
    cell = Cell(label, "building", "", Judgement(Verdict.ERROR, message=str(error)), tail=error.tail)
    return Result(label, cells={"building": cell})
