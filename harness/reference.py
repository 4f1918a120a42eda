"""What is the truth for a scenario? The hand-written rules, in wider arithmetic than the scenario's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backends.numpy_manual import NumpyBackend
from harness.inputs import Array, Inputs
from harness.recorder import States, record_here
from harness.scenario import Scenario
from harness.trace import Mode, Trace

# float64 has 29 bits more than float32, so its own rounding is invisible there; for float64 itself, 50 digits.
WIDER = {"float16": "float64", "float32": "float64", "float64": "mp50"}


@dataclass(frozen=True)
class Reference:
    """The truth of one scenario.

    Attributes:
        truth: for each mode, the reference's trace, in float64.
        twin: for each mode, the same rules in the scenario's own dtype: what `IDENTICAL` means.
        states: the state that every backend is given before each step in resync, in the scenario's dtype.
    """

    truth: Mapping[Mode, Trace]
    twin: Mapping[Mode, Trace]
    states: States


@np.errstate(over="ignore", invalid="ignore")  # a run that overflows is for the judge, who can name where
def make_reference(scenario: Scenario, inputs: Inputs, modes: tuple[Mode, ...]) -> Reference:
    """Run the reference, in this process: it needs NumPy only."""
    wide, same = NumpyBackend(WIDER[scenario.dtype], rounded=False), NumpyBackend()
    states = resync_states(wide, scenario, inputs) if "resync" in modes else {}
    given: dict[Mode, States | None] = {"free": None, "resync": states}

    def run(backend: NumpyBackend, mode: Mode) -> Trace:
        return record_here(backend, "reference", scenario, inputs, states=given[mode])

    return Reference({m: run(wide, m) for m in modes}, {m: run(same, m) for m in modes}, states)


def resync_states(wide: NumpyBackend, scenario: Scenario, inputs: Inputs) -> States:
    """The reference's trajectory, rounded to the scenario's dtype after every step.

    Each state is one that every backend can hold exactly: what differs after the step is the step's own error.
    """
    session = wide.session(scenario, inputs)
    states = {name: np.empty((inputs.steps, *value.shape), value.dtype) for name, value in inputs.initial.items()}
    state: dict[str, Array] = dict(inputs.initial)
    for step, (x, y) in enumerate(inputs.batches()):
        for name, column in states.items():
            column[step] = state[name]
        session.load(state)
        seen = session.step(x, y)
        state = {name: seen[f"weight/{name}"].astype(scenario.dtype) for name in states}
    return states
