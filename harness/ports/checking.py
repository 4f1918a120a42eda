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
from isograd.ports.pairing import pair
from isograd.ports.request import Port, port_of
from isograd.ports.result import RULES, Cell, Checked, Result, Stage
from isograd.ports.settings import different
from isograd.ports.sides import Files, SideError, Work, describe, names, take_batches, working
from isograd.scratch import scratch
from isograd.structure import Structure
from isograd.trace import MODES, Manifest, Mode, Trace, load_arrays, save_arrays

RUNS = 16
"""Noisy runs of the origin: the largest of n uniform errors is on average n / (n + 1) of what is possible."""

IN_FLOAT32 = "constants are held with float32's digits"


def check(
    *sides: str | Path,
    data: str | Path | None = None,
    steps: int = 3,
    mode: str = "both",
    pairs: Mapping[str, str] | None = None,
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
    port = port_of([str(side) for side in sides], data)
    modes: tuple[Mode, ...] = ("resync", "free") if mode == "both" else (mode,)  # type: ignore[assignment]
    with scratch() as folder, working(port, timeout) as works:
        checking = Checking(port, works, Files(folder), modes, steps, dict(pairs or {}), runs, factor, progress)
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
        self.paired = [
            None if isinstance(of, SideError) or of is first else pair(first, of, self.pairs) for of in described
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
        return {
            stage: self.works[at].ask(
                "record",
                batches=str(self.batches),
                initial=self.files["initial-0"],
                states=self.files["states"] if mode == "resync" else "",
                dtype=dtype,
                out=self.files[f"trace-{at}-{stage}"],
                **names(paired),
            )
            for stage, dtype, mode in stages
        }

    # ------------------------------------------------------------ judging

    def _judged(self, at: int, label: str, of: Structure | SideError, futures: Mapping[Stage, Future[None]]) -> Result:
        if isinstance(of, SideError):
            return _failed(label, of)
        paired = self.paired[at]
        settings = different(self.first, of, paired) if paired else ()
        result = Result(label, of, paired, settings)
        if paired and not paired.whole:
            text = "parameters without a counterpart: " + "; ".join(
                f"{whose} {', '.join(of[:5])}{' …' if len(of) > 5 else ''}"
                for whose, of in ((self.port.sides[0].label, paired.missing), (label, paired.extra))
                if of
            )
            return replace(result, cells={"pairing": Cell(label, "pairing", of.dtype, _structural(text))})
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
        return replace(result, cells=cells, cause=self._cause(at, of, replace(result, cells=cells)))

    def _cause(self, at: int, of: Structure, result: Result) -> str:
        """Why the rules are others; "" where they are not, or nobody knows."""
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
        states = load_arrays(Path(self.files["states"]))[0]
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
            there=of,
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
        wanted = [name for name in truth if name in columns or not _of_a_unit(name)]
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
        states = load_arrays(Path(self.files["states"]))[0] if mode == "resync" else None
        return variances(self.first, settings, self.truth[mode], states, self.initial)


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
