"""How are steps of a trace run again by changed rules, each from the trace's own state?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np

from isograd.arithmetic import make_arithmetic
from isograd.arithmetic.numbers import Arithmetic
from isograd.changes.change import START, Change
from isograd.changes.changed import ChangedSession, Known, known
from isograd.dtypes import FORMATS
from isograd.envelope import Floats
from isograd.explanation.effort import HELD
from isograd.explanation.kept import Kept, Steps
from isograd.explanation.local import Local
from isograd.graph import Graph, Training, narrows
from isograd.inputs import Array
from isograd.overflow import as_far_as_the_dtype_reaches
from isograd.quantities import has_samples

NOTHING = np.zeros(0)
"""What quantities are put behind: there may be none."""

LEAD = 16
"""Steps before one that is looked at, of which what a change remembers has noise too."""


@dataclass(frozen=True)
class Replay:
    """Steps of a trace, run again.

    Attributes:
        local: the trace and its states.
        kept: what is known of its steps already.
    """

    local: Local
    kept: Kept = field(default_factory=Kept, repr=False, kw_only=True)

    def with_runs(self, name: str, value: Array) -> Array:
        """With a leading axis of runs: one, or those of noisy arithmetic, which has an axis of steps besides."""
        more = value.ndim - len(self.local.shapes[name])
        return value[:, 0] if more == 2 else value[np.newaxis] if not more else value

    def run(
        self, change: Change, steps: Steps, arithmetic: str | Arithmetic
    ) -> Iterator[tuple[int, Mapping[str, Array]]]:
        """The changed rules at the steps; a change that remembers is led through all steps before, far ones plainly."""
        scenario, inputs, free = self.local.scenario, self.local.inputs, self.local.trace.manifest.mode == "free"
        session = ChangedSession(scenario, inputs, change, arithmetic, rounded=False)
        before = session
        if change.remembers:
            before = ChangedSession(scenario, inputs, change, "float64", rounded=False)
            before.run = session.run
        wanted, late, effort = set(steps.tolist()), change.late, self.local.effort
        lead = {step - back for step in wanted for back in range(LEAD)} if change.remembers else wanted
        for step, begins, tells in self._led(change, steps):
            at = session if step in lead else before
            if begins and change.remembers:
                at.run.step, at.run.memory = step, {}
                change.recall(at.run, partial(self._recorded_before, step))
            at.run.loads = not (free and step)  # a free run loads a state once, and then has its own
            plain = step not in lead or arithmetic == "float64"
            effort.spent += effort.step if plain else effort.noisy / len(effort.kinds)
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                at.load(step, self.local.state(step))
                at.known = self._known(step) if plain and late else None
                seen = [at.step(step, inputs.batch(step))]
            if tells:
                # large: not to be held here while it is looked at
                yield step, self._as_recorded(seen.pop(), change, step)

    def _led(self, change: Change, steps: Steps) -> Iterator[tuple[int, bool, bool]]:
        """The steps that are run for those that are looked at; whether a memory begins there; whether it is wanted."""
        known, wanted = self.local.steps, set(steps.tolist())
        if not change.remembers:
            yield from ((step, False, True) for step in steps.tolist())
        elif (back := change.back_in(self.local.scenario)) is None:
            every = known[known <= steps.max(initial=-1)].tolist()
            yield from ((step, i == 0, step in wanted) for i, step in enumerate(every))
        else:
            for step in steps.tolist():
                some = known[(known >= step - back) & (known <= step)].tolist()
                yield from ((other, i == 0, other == step) for i, other in enumerate(some))

    def _recorded_before(self, step: int, name: str, back: int) -> Array | None:
        local, at = self.local, step - back
        row = local.row(at) if at >= 0 else -1
        there = 0 <= row < len(local.trace.steps) and int(local.trace.steps[row]) == at
        if name.startswith(START):
            return local.state(at)[name.removeprefix(START)].astype(np.float64) if at in local.steps else None
        return np.asarray(local.recorded(name, at), np.float64) if there and local.fits(name) else None

    def _known(self, step: int) -> Known:
        """What the rules give up to the gradients, from the trace's own state; kept, as far as that is not too much."""
        knowns = self.kept.knowns
        found = knowns.get(step)
        if found is None:
            local = self.local
            training = self._training(step)
            found = known(training, local.inputs.batch(step))
            if len(knowns) * local.effort.numbers < HELD:
                knowns[step] = found
        return found

    def _as_recorded(self, seen: Mapping[str, Array], change: Change, step: int) -> Mapping[str, Array]:
        """A step's quantities as a trace could hold them: with its batch's rows, and within its dtype's range."""
        rows = len(self.local.inputs.samples(step))
        if self._could_be_recorded(seen, rows):
            return seen
        flat = [name for name in self.local.shapes if name in seen and name != "lr"]
        runs = {name: self.with_runs(name, np.asarray(seen[name])) for name in flat}
        runs = {name: _of_a_batch(name, value, rows) for name, value in runs.items()}
        held = as_far_as_the_dtype_reaches(runs, partial(self._twin, change, step), self.local.scenario.dtype)
        lr = {"lr": self.with_runs("lr", np.asarray(seen["lr"]))[0]} if "lr" in seen else {}
        return {**seen, **lr, **{name: value[0] if len(value) == 1 else value for name, value in held.items()}}

    def _could_be_recorded(self, seen: Mapping[str, Array], rows: int) -> bool:
        """Whether quantities without noise are so already, as nearly all are."""
        values = []
        for name, axes, of_samples in self._forms:
            value = np.asarray(seen.get(name, 0.0 if not axes else ()))
            if value.ndim != axes or (of_samples and len(value) != rows):
                return False
            values.append(value)
        return FORMATS[self.local.scenario.dtype].holds(end_to_end(values))

    @cached_property
    def _forms(self) -> list[tuple[str, int, bool]]:
        """Of every quantity but the learning rate how many axes it has, and whether the first counts samples."""
        return [(name, len(shape), has_samples(name)) for name, shape in self.local.shapes.items() if name != "lr"]

    def _twin(self, change: Change, step: int) -> dict[str, Array]:
        """The changed rules in the dtype itself; a change that remembers is not led through the steps before here."""
        local = self.local
        session = ChangedSession(local.scenario, local.inputs, change, local.scenario.dtype, rounded=False)
        rows = len(local.inputs.samples(step))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            session.load(step, local.state(step))
            seen = session.step(step, local.inputs.batch(step))
        return {name: _of_a_batch(name, np.asarray(value)[np.newaxis], rows)[0] for name, value in seen.items()}

    def _training(self, step: int) -> Training:
        """The rules in float64, at the trace's own state before a step."""
        scenario = self.local.scenario
        training = Training(Graph.of(scenario), make_arithmetic("float64", scenario.dtype, narrows(scenario)))
        training.load(self.local.state(step))
        return training

    def moved(self, step: int) -> dict[str, Array]:
        """What the optimizer adds to each parameter at a step, for the gradients that the trace has."""
        local = self.local
        training = self._training(step)
        plain, array = training.arithmetic.plain, training.arithmetic.array
        gradients = {key: array(local.recorded(f"grad/{key}", step)) for key in local.parameters}
        training.clip(gradients)
        update, out = training.updating(local.inputs.lr[step], step), {}
        for key, g in gradients.items():
            w = array(local.state(step)[f"weight/{key}"])
            out[key] = np.asarray(plain(update(key, w, g)) - plain(w))
        return out


def end_to_end(values: list[Array]) -> Floats:
    """Several quantities in one vector."""
    return np.concatenate([NOTHING, *[value.reshape(-1) for value in values]])


def _of_a_batch(name: str, value: Array, rows: int) -> Array:
    """Runs of a quantity with the rows that its batch should have: a change may have seen another batch."""
    if not has_samples(name) or value.shape[1] == rows:
        return value
    kept = value[:, :rows]
    return np.pad(kept, [(0, 0), (0, rows - kept.shape[1]), *[(0, 0)] * (kept.ndim - 2)])
