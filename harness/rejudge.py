"""What do stored traces come to? Judged from their files alone, without any framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.assess import Assessor, Cell
from harness.catalogue import parse_scenario
from harness.envelope import RUNS
from harness.errors import ScenarioError, TraceError
from harness.inputs import Inputs, fingerprint
from harness.judge import FACTOR, drifts
from harness.reference import make_reference
from harness.scenario import Scenario
from harness.trace import Mode, Trace


def rejudge(traces: Sequence[Trace], factor: float, noise: int) -> list[Cell]:
    """A cell for each trace; the reference of a scenario and mode is computed once."""
    assessors: dict[tuple[str, Mode, int, str], Assessor] = {}
    cells = []
    for trace in traces:
        manifest = trace.manifest
        key = (manifest.fingerprint, manifest.mode, manifest.every, manifest.pattern)
        if key not in assessors:
            assessors[key] = assessor_of(trace, factor, noise)
        cells.append(assessors[key].judged(trace))
    return [_with_other_mode(cell, cells) for cell in cells]


def assessor_of(trace: Trace, factor: float = FACTOR, noise: int = RUNS) -> Assessor:
    """What is known of the scenario that a trace was made from, from the trace itself.

    Raises:
        TraceError: the trace does not hold its scenario and inputs, or they are not those that its fingerprint is of.
    """
    scenario, inputs = _origin(trace)
    manifest = trace.manifest
    reference = make_reference(scenario, inputs, (manifest.mode,), runs=noise, factor=factor)
    return Assessor(scenario, inputs, reference, manifest.every, manifest.pattern, factor)


def _origin(trace: Trace) -> tuple[Scenario, Inputs]:
    manifest, inputs = trace.manifest, trace.inputs
    what = f"the trace of {manifest.backend} on {manifest.scenario}"
    if inputs is None or not manifest.spec:
        raise TraceError(f"{what} does not hold the scenario that it was made from; record it again with this isograd")
    try:
        scenario = parse_scenario(manifest.spec, what)
        shapes = {name: value.shape for name, value in inputs.initial.items()}
        widths = scenario.input_widths()
        expected = {
            f"{layer.name}.{param}": shape
            for layer in scenario.layers
            for param, (shape, _) in layer.parameters(widths[layer.name]).items()
        }
    except ScenarioError as error:
        raise TraceError(str(error)) from None
    if shapes != expected or fingerprint(scenario, inputs) != manifest.fingerprint:
        raise TraceError(f"{what} holds another scenario than the one that its fingerprint is of; record it again")
    return scenario, inputs


def _with_other_mode(cell: Cell, cells: Sequence[Cell]) -> Cell:
    """DRIFTS needs both modes of one backend on one scenario."""
    assert cell.trace is not None
    if cell.mode == "resync":
        return cell
    for other in cells:
        assert other.trace is not None
        same = other.backend == cell.backend and other.trace.manifest.fingerprint == cell.trace.manifest.fingerprint
        if same and other.mode == "resync":
            return replace(cell, judgement=drifts(cell.judgement, other.judgement))
    return cell
