"""Does a port train as its origin does? Pairs, settings, rules, rounding: the first that fails decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

from isograd.errors import IsogradError
from isograd.judging import FACTOR
from isograd.ports.bounds import Bounds
from isograd.ports.cells import cell_of, failed, not_built, settled, structural
from isograd.ports.constants import drawn, kept
from isograd.ports.grounds import Built, Grounds
from isograd.ports.pairing import Pairing, pair
from isograd.ports.request import Port, port_of
from isograd.ports.result import RULES, STARTS, Cell, Result, Stage
from isograd.ports.running import record
from isograd.ports.searching import cause_of
from isograd.ports.settings import different
from isograd.ports.sides import Files, SideError, Work, describe, take_batches, working
from isograd.ports.starts import starts_of
from isograd.ports.trying import repaired
from isograd.ports.without import Without
from isograd.report.ports import Checked
from isograd.scratch import scratch
from isograd.structure import Structure
from isograd.trace import MODES, Mode, load_arrays

RUNS = 16
"""Noisy runs of the origin: the largest of n uniform errors is on average n / (n + 1) of what is possible."""

NAMED = 5
"""Parameters without a counterpart that are named."""


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
    with scratch() as folder, working(port, timeout) as (works, spare):
        options = (dict(pairs or {}), Without(without or {}), starts, runs, factor, progress)
        checking = Checking(port, works, spare, Files(folder), modes, steps, *options)
        return checking.result()


@dataclass
class Checking:
    """One port on its way through the stages."""

    port: Port
    works: Sequence[Work]
    spare: Work
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
            batches = take_batches(self.works, self.port, self.files, self.steps)
        except SideError as error:
            raise SideError(f"batches(): {error}", error.tail) from None
        self.progress("building " + ", ".join(labels))
        first, *others = described = describe(self.works, self.files, batches)
        if isinstance(first, SideError):
            return Checked(self.port, None, (not_built(labels[0], first),))
        self.without.known(of for of in described if not isinstance(of, SideError))
        sides: list[Built | SideError] = [Built(0, labels[0], first, None)]
        for at, of in enumerate(others, 1):
            sides.append(of if isinstance(of, SideError) else Built(at, labels[at], of, self._paired(first, of, at)))
        try:
            rate = self._rate([side for side in sides if isinstance(side, Built)])
            grounds = self._grounds(first, batches, rate)
            self.progress("training, and the origin with noise")
            ran = [{} if isinstance(side, SideError) else record(grounds, side, self.modes) for side in sides]
            other = any(isinstance(side, Built) and side.of.framework != first.framework for side in sides)
            grounds.bounds.begin(tuple(grounds.truth), constants=other)
            known = bool(grounds.bounds.envelope("resync"))
        except SideError as error:
            return Checked(self.port, first, (not_built(labels[0], error),))
        results = [
            not_built(label, side) if isinstance(side, SideError) else self._judged(grounds, side, futures)
            for label, side, futures in zip(labels, sides, ran, strict=True)
        ]
        judged = tuple(result for result in results if result.cells)
        return Checked(self.port, first, judged, grounds.steps, known)

    def _paired(self, first: Structure, of: Structure, at: int) -> Pairing:
        pairing = self.without.paired(pair(first, of, self.pairs))
        if first.drawn and of.drawn:
            pairing = replace(pairing, drawn=drawn(first, of))
        if not first.constants or not of.constants:
            return pairing
        here, there = (load_arrays(Path(self.files[f"initial-{side}"]))[0] for side in (0, at))
        return replace(pairing, kept=kept(first, of, pairing, here, there))

    def _rate(self, sides: Sequence[Built]) -> str:
        """The first parameter in the alphabet that every side's optimizers have, and that is compared."""
        known = [
            {
                side.paired.params.get(name, "") if side.paired else name
                for of in side.of.optimizers.values()
                for name in of.params
            }
            for side in sides
        ]
        return min((name for name in set.intersection(*known) if name and not self.without.covers(name)), default="")

    def _grounds(self, first: Structure, batches: Path, rate: str) -> Grounds:
        """The origin's own quantities in float64, and the bounds of each."""
        origin, files = self.works[0], self.files
        origin.ask(
            "truth",
            batches=str(batches),
            initial=files["initial-0"],
            folder=str(files.folder),
            modes=list(self.modes),
            dtype=first.dtype,
            rate=rate,
        ).result()
        truth = {mode: files.columns(f"truth-{mode}") or {} for mode in ("resync", *self.modes)}
        bounds = Bounds(origin, self.spare, files, batches, first.dtype, self.runs, self.factor, truth)
        initial = load_arrays(Path(files["initial-0"]))[0]
        return Grounds(self.port, self.works, files, batches, first, initial, truth, bounds, self.without, rate)

    def _judged(self, grounds: Grounds, built: Built, ran: Mapping[Stage, Future[None]]) -> Result:
        """A side, by its pairing, its settings, and a cell a stage."""
        if built.paired and not built.paired.whole:
            cell = Cell(built.label, "pairing", built.of.dtype, structural(self._unpaired(built.label, built.paired)))
            return self._result(grounds, built, {"pairing": cell})
        if built.paired and built.paired.how == "order" and ran[RULES].exception() is None:
            better = repaired(grounds, built)
            if better.paired != built.paired:
                built, ran = better, record(grounds, better, self.modes)
        cells: dict[Stage, Cell] = {}
        for stage, future in ran.items():
            if stage != RULES and not grounds.bounds.envelope("resync"):
                continue  # nobody knows how far rounding may go
            try:
                future.result()
                cells[stage] = cell_of(grounds, built, stage)
            except SideError as error:
                cells[stage] = failed(built.label, error, stage, built.of.dtype)
        cells = settled(cells)
        if self.starts and built.paired:
            cells[STARTS] = starts_of(grounds, built, self.steps)
        result = self._result(grounds, built, cells)
        return replace(result, cause=self._cause(grounds, built, result))

    def _cause(self, grounds: Grounds, built: Built, result: Result) -> str:
        return cause_of(grounds, built, result, self.progress)

    def _result(self, grounds: Grounds, built: Built, cells: Mapping[Stage, Cell]) -> Result:
        found = different(grounds.first, built.of, built.paired) if built.paired else ()
        settings = tuple(d for d in found if not self.without.covers(d.at.rpartition(", ")[2]))
        return Result(built.label, built.of, built.paired, settings, cells, left_out=dict(self.without.reasons))

    def _unpaired(self, label: str, paired: Pairing) -> str:
        without = ((self.port.sides[0].label, paired.missing), (label, paired.extra))
        return "parameters without a counterpart: " + "; ".join(
            f"{whose} {', '.join(of[:NAMED])}{' …' if len(of) > NAMED else ''}" for whose, of in without if of
        )
