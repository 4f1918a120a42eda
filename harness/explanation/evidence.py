"""What may a change read its options off? The trace, and what the rules make of the trace's own states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from isograd.explanation.rerun import Rerun
from isograd.inputs import Array, Inputs
from isograd.scenario import Scenario


@dataclass(frozen=True)
class TraceEvidence:
    """What changes may read their options off (`isograd.changes.change.Evidence`).

    Attributes:
        rerun: the trace, and the rules.
        steps: those of which the trace's state is known, from the first wrong one on.
    """

    rerun: Rerun
    steps: list[int]

    @property
    def scenario(self) -> Scenario:
        """What was run."""
        return self.rerun.local.scenario

    @property
    def inputs(self) -> Inputs:
        """Its numbers."""
        return self.rerun.local.inputs

    @property
    def looked_at(self) -> list[int]:
        """Those of them at which a change must account for everything."""
        return [step for step in self.rerun.steps.tolist() if step >= self.steps[0]]

    @property
    def quantities(self) -> list[str]:
        """What the trace has in the shape that it should have."""
        return self.rerun.names

    def state(self, step: int) -> Mapping[str, Array]:
        """The trace's parameters before a step."""
        return self.rerun.local.state(step)

    def recorded(self, name: str, step: int) -> Array | None:
        """A quantity of the trace, at a step that it has."""
        local = self.rerun.local
        row = local.row(step)
        there = row < len(local.trace.steps) and int(local.trace.steps[row]) == step
        return local.recorded(name, step) if there and local.fits(name) else None

    def ruled(self, name: str, step: int) -> Array:
        """The same by the rules."""
        return self.rerun.ruled(name, step)
