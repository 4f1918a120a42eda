"""What does one stage of one side come to? Its errors beside what noise and written reasons allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from isograd.comparison import Comparison, compare_traces
from isograd.inputs import Array
from isograd.judging import Judgement, Verdict, imprecise, judge
from isograd.ports.bounds import CONSTANTS, LEAST, RATES
from isograd.ports.grounds import Built, Grounds, mode_of
from isograd.ports.known import Convention
from isograd.ports.layouts import OUTPUTS
from isograd.ports.result import RULES, Cell, Result, Stage
from isograd.ports.sides import SideError
from isograd.trace import Manifest, Trace

IN_FLOAT32 = "constants are held with float32's digits"


def cell_of(grounds: Grounds, built: Built, stage: Stage) -> Cell:
    """A stage whose run is done.

    An output of another shape is none that a wrong port is told by, where all that comes of it is right: a linear layer
    may come before a mean, or after it. Nor is the gradient of one call of a unit that is called more often on one
    side: it is a part of what another call gets on the other.
    """
    cell = _cell(grounds, built, stage)
    if cell.verdict.green:
        return cell
    columns, truth = grounds.columns(built, stage), grounds.truth[mode_of(stage)]
    shaped = [of for of in columns if of.startswith(OUTPUTS) and of in truth and columns[of].shape != truth[of].shape]
    parted = [of for of in _parts_of_gradients(columns, truth) if of not in shaped]
    again = _cell(grounds, built, stage, [*shaped, *parted]) if shaped or parted else cell
    if not again.verdict.green:
        return cell
    why = {"of another shape": shaped, "called more often on one side": parted}
    units = {said: dict.fromkeys(name.partition("/")[2].partition(":")[0] for name in of) for said, of in why.items()}
    told = " and ".join(f"{said}, and not compared: {', '.join(of)}" for said, of in units.items() if of)
    told += "; what comes of that is right"
    message = "; ".join(said for said in (again.judgement.message, told) if said)
    return replace(again, judgement=replace(again.judgement, verdict=Verdict.EXPECTED, message=message))


def _parts_of_gradients(columns: Mapping[str, Array], truth: Mapping[str, Array]) -> list[str]:
    """The gradients of outputs of units that are called more often on one side."""
    gradients = [[name for name in side if name.startswith("backward/")] for side in (columns, truth)]
    here, there = (Counter(name.partition(":")[0] for name in side) for side in gradients)
    return [name for name in gradients[0] if here[name.partition(":")[0]] != there[name.partition(":")[0]]]


def _cell(grounds: Grounds, built: Built, stage: Stage, without: Collection[str] = ()) -> Cell:
    """The same, with all that is to be compared but for some quantities."""
    mode, dtype = mode_of(stage), built.dtype(stage)
    columns, truth = grounds.columns(built, stage), grounds.truth[mode]
    columns = {name: column for name, column in columns.items() if name not in without}
    wanted = [name for name in grounds.without.quantities(truth) if name in columns or not _of_a_unit(name)]
    wanted = [name for name in wanted if "[" not in name or columns[name].shape == truth[name].shape]
    here = {name: truth[name] for name in wanted}
    conventions = {c.quantity: c for c in grounds.conventions(built, mode) if c.quantity in here}
    there = {name: conventions[name].truth if name in conventions else here[name] for name in wanted}
    bounds = grounds.bounds.of(mode, dtype, [name for name in wanted if name in columns])

    def judged(truth: Mapping[str, Array], bounds: Mapping[str, Array]) -> tuple[Judgement, Comparison]:
        comparison = _compared(grounds, built, stage, columns, truth, bounds)
        return judge(comparison, dtype, 2 if stage == RULES else 1, grounds.bounds.factor), comparison

    judgement, comparison = judged(here, bounds)
    shown: tuple[Convention, ...] = ()
    if judgement.verdict is Verdict.DIVERGES and conventions:
        ratios = judgement.ratios or {}
        shown = tuple(c for name, c in conventions.items() if name in ratios and not (ratios[name] <= 1).all())
        judgement, comparison = judged(there, bounds)
    said, excuses = list[str](), _excuses(grounds, built, stage, there, list(bounds))
    while judgement.verdict is Verdict.DIVERGES and (excuse := next(excuses, None)):
        reason, allowed, further = excuse
        before, (judgement, comparison) = judgement, judged(allowed, further)
        if (before.first, before.step) != (judgement.first, judgement.step):
            said.append(reason)
    if judgement.verdict.green and (shown or said):
        verdict = judgement.verdict if said == [IN_FLOAT32] and not shown else Verdict.EXPECTED
        reasons = dict.fromkeys([*(convention.reason for convention in shown), *said])
        judgement = replace(judgement, verdict=verdict, message="; ".join(reasons))
    return Cell(built.label, stage, dtype, judgement, comparison, shown)


def settled(cells: Mapping[Stage, Cell]) -> dict[Stage, Cell]:
    """What is wrong by rounding only is imprecise, where the rules are right; what only grows drifts."""
    rules, resync = cells.get(RULES), cells.get("resync")
    out = dict(cells)
    if rules and rules.verdict.green:
        for stage, cell in cells.items():
            if stage != RULES and cell.verdict is Verdict.DIVERGES:
                alone = stage == "free" and resync is not None and resync.verdict.green
                out[stage] = replace(cell, judgement=imprecise(cell.judgement, alone))
    return out


def failed(label: str, error: SideError, stage: Stage = "building", dtype: str = "") -> Cell:
    """A stage that a side's child has not done."""
    return Cell(label, stage, dtype, Judgement(Verdict.ERROR, message=str(error)), tail=error.tail)


def not_built(label: str, error: SideError) -> Result:
    """A side that could not be built."""
    return Result(label, cells={"building": failed(label, error)})


def structural(text: str) -> Judgement:
    """Something differs that has no size."""
    return Judgement(Verdict.DIVERGES, message=text, structural=True)


def _excuses(
    grounds: Grounds, built: Built, stage: Stage, truth: Mapping[str, Array], names: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Array], Mapping[str, Array]]]:
    """For which written reasons a side may be further off: each, with the truth and the bounds that it leaves.

    One adds to those before it, and each is made when it is asked for: it may need another run of the origin.
    """
    mode, dtype, of = mode_of(stage), built.dtype(stage), built.of
    known = {optimizer.imprecise: RATES for optimizer in of.optimizers.values() if optimizer.imprecise}
    reasons = [(IN_FLOAT32, CONSTANTS)] if stage == RULES else [*known.items()][:1]
    if of.least:
        reasons.append((f"a softmax gives {of.least:.2g} at least there, and 0 here", LEAST))
    kinds = [kind for _, kind in reasons]
    for at, (reason, _) in enumerate(reasons, 1):
        yield reason, truth, grounds.bounds.of(mode, dtype, names, kinds[:at], of.least)
    clipped, clips = grounds.clipped(built, mode)
    if clips:
        by_definition = {name for name in truth if truth[name] is not grounds.truth[mode][name]}
        there = {name: truth[name] if name in by_definition else clipped.get(name, truth[name]) for name in truth}
        yield clips, there, grounds.bounds.of(mode, dtype, names, kinds, of.least)


def _compared(
    grounds: Grounds,
    built: Built,
    stage: Stage,
    columns: Mapping[str, Array],
    truth: Mapping[str, Array],
    bounds: Mapping[str, Array],
) -> Comparison:
    def trace(values: Mapping[str, Array], who: str) -> Trace:
        manifest = Manifest(
            scenario=grounds.port.name,
            fingerprint="",
            backend=who,
            dtype=built.dtype(stage),
            mode=mode_of(stage),
            steps=grounds.steps,
        )
        return Trace(values, np.arange(grounds.steps), manifest)

    there = trace({name: columns[name] for name in truth if name in columns}, built.label)
    return compare_traces(there, trace(truth, "origin"), bounds, partial=False, dtype=built.dtype(stage))


def _of_a_unit(name: str) -> bool:
    """Whether it may be missing on a side: a unit's output or a slot, which not every right port has."""
    return name.partition("/")[0] in ("forward", "backward", "state", "buffer")
