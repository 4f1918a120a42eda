"""Which other values must a trace have been given than those that were loaded? Its updates tell: w = w′ − Δw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from isograd.changes.change import Change
from isograd.dtypes import FORMATS
from isograd.explanation.local import Local
from isograd.explanation.localise import Place
from isograd.explanation.rerun import Rerun
from isograd.judging import FACTOR

FEW_ELEMENTS = 3
"""Elements up to which those that differ are named."""


@dataclass(frozen=True)
class Loaded:
    """The values that a trace started its steps from.

    Attributes:
        local: the trace.
        rerun: the steps that are looked at.
    """

    local: Local
    rerun: Rerun

    @property
    def is_recorded(self) -> bool:
        """Whether the trace has what it takes: gradients, and parameters after their update."""
        return all(self.local.fits(f"{kind}/{key}") for key in self.local.parameters for kind in ("grad", "weight"))

    @property
    def had(self) -> Local:
        """The trace with the values that it must have had."""
        return self._had[0]

    @property
    def differs(self) -> list[str]:
        """The parameters of which these are others than it was given."""
        return list(self._had[1])

    def compared(self) -> tuple[float, tuple[str, int]]:
        """How far the trace is from the rules on those values, in bounds, and where."""
        return Rerun(self.had, self.rerun.steps).compare(Change(), self.rerun.steps)

    def words(self, step: int) -> str:
        """What is different, in a sentence; for a free run from a step on."""
        differs = self.differs
        named = "every parameter" if len(differs) == len(self.local.parameters) > 1 else " and ".join(differs)
        if self.local.trace.manifest.mode == "free" and step:
            return f"a step starts from other values of {named} than the step before has left"
        return f"the values of {named} are not those that were loaded" + self._which_elements(differs)

    def recorded_early(self, change: Change, place: Place) -> tuple[float, tuple[str, int]]:
        """The same where a free run tells as the weights after a step those that it had before it."""
        local = self.local
        if not all(local.fits(f"weight/{key}") for key in local.parameters):
            return np.inf, (place.first, place.step)
        states = {name: np.array(column) for name, column in local.states.items()}
        for key in local.parameters:
            states[f"weight/{key}"][local.trace.steps] = local.trace.columns[f"weight/{key}"]
        steps = local.steps[local.steps >= place.step][: len(self.rerun.steps)]
        ratio, where = Rerun(replace(local, states=states), steps).compare(change, steps)
        still = len(steps) > 1 and any(
            (states[f"weight/{key}"][steps[0]] != states[f"weight/{key}"][steps[-1]]).any() for key in local.parameters
        )
        return ratio if still else np.inf, where

    def _which_elements(self, differs: list[str]) -> str:
        """What they are, if that is simple: nothing, another parameter's, or of one parameter few other elements."""
        if other := self._what_they_are(differs):
            return other
        if len(differs) != 1:
            return ""
        name, step = f"weight/{differs[0]}", int(self.rerun.steps[0])
        had, given = (local.states[name][step].astype(np.float64) for local in (self.had, self.local))
        turned = given.T if given.ndim == 2 and given.shape[0] == given.shape[1] else given
        near = np.abs(had - given).max() / 1e3
        if (np.abs(had - turned) <= near).all():
            return ": they are those, transposed"
        times = float((had * given).sum() / (given * given).sum()) if given.any() else 0.0
        if times and (np.abs(had - times * given) <= near).all():
            return f": they are {times:.6g} times those"
        where = np.argwhere(np.abs(had - given) > np.abs(had - given).max() / 1e3)
        if not 0 < len(where) <= FEW_ELEMENTS:
            return ""
        off = [f"element {list(map(int, at))} by {(had - given)[tuple(at)]:.3g}" for at in where]
        return f": they differ in {' and '.join(off)} only"

    def _what_they_are(self, differs: list[str]) -> str:
        """That they are all 0, or transposed, or those of other parameters; else ""."""
        step, others = int(self.rerun.steps[0]), []
        given = {key: self.local.states[f"weight/{key}"][step].astype(np.float64) for key in self.local.parameters}
        for key in differs:
            had = self.had.states[f"weight/{key}"][step].astype(np.float64)
            near = np.abs(had - given[key]).max() / 1e3
            square = given[key].ndim == 2 and given[key].shape[0] == given[key].shape[1]
            zero = {"0": np.zeros(had.shape)} | ({"transposed": given[key].T} if square else {})
            alike = {other: value for other, value in given.items() if other != key and value.shape == had.shape}
            others.append(next((of for of, v in (zero | alike).items() if (np.abs(had - v) <= near).all()), ""))
        if set(others) == {"0"}:
            return ": they are 0"
        if set(others) == {"transposed"}:
            return ": they are those, transposed"
        return (
            f": they are those of {' and '.join(others)}"
            if others and all(others) and not {"0", "transposed"} & set(others)
            else ""
        )

    @cached_property
    def _had(self) -> tuple[Local, tuple[str, ...]]:
        """The trace with the values that it must have had, w = w′ − Δw; and the parameters of which they differ."""
        local, states = self.local, {name: np.array(column) for name, column in self.local.states.items()}
        differs: list[str] = []
        for step in self.rerun.steps.tolist():
            moved = self.rerun.moved(step)
            for key in local.parameters:
                after, column = local.recorded(f"weight/{key}", step), states[f"weight/{key}"]
                had = after - moved[key]
                size = np.abs(had) + np.abs(column[step].astype(np.float64)) + np.abs(moved[key])
                ulp = FORMATS[local.scenario.dtype].spacing(size)
                if not (np.abs(had - column[step]) <= FACTOR * ulp).all():
                    differs += [key] if key not in differs else []
                    column[step] = had
        return replace(local, states=states), tuple(key for key in local.parameters if key in differs)
