"""What do stored traces come to? Judged from their files alone, without any framework."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from isograd.assess import Assessor, Cell
from isograd.dtypes import FORMATS
from isograd.envelope import RUNS
from isograd.errors import ScenarioError, TraceError
from isograd.findings import check_source
from isograd.inputs import Inputs, fingerprint, state_of
from isograd.judging import FACTOR
from isograd.labels import are_classes, are_indices
from isograd.loading import parse_scenario
from isograd.reference import make_reference
from isograd.scenario import Scenario
from isograd.trace import FORMAT, Mode, Trace


def rejudge(traces: Sequence[Trace], factor: float, noise: int) -> list[Cell]:
    """A cell for each trace; the reference of a scenario and mode is computed once."""
    assessors: dict[tuple[Scenario, str, Mode, int, str], Assessor] = {}
    cells, known = [], []
    for trace in traces:
        manifest = trace.manifest
        key = (_origin(trace)[0], manifest.fingerprint, manifest.mode, manifest.every, manifest.pattern)
        if key not in assessors:
            assessors[key] = assessor_of(trace, factor, noise)
        known.append(assessors[key])
        cells.append(known[-1].judged(trace))
    return [_with_other_mode(cell, assessor, cells) for cell, assessor in zip(cells, known, strict=True)]


def assessor_of(trace: Trace, factor: float = FACTOR, noise: int = RUNS) -> Assessor:
    """What is known of the scenario that a trace was made from, from the trace itself.

    Raises:
        TraceError: the trace does not hold its scenario and inputs, or they are not those that its fingerprint is of.
    """
    scenario, inputs = _origin(trace)
    manifest = trace.manifest
    check_source(scenario, inputs)
    reference = make_reference(scenario, inputs, (manifest.mode,), runs=noise, factor=factor)
    return Assessor(scenario, inputs, reference, manifest.every, manifest.pattern, factor)


def _origin(trace: Trace) -> tuple[Scenario, Inputs]:
    manifest, inputs = trace.manifest, trace.inputs
    what = f"the trace of {manifest.backend} on {manifest.scenario}"
    if inputs is None or not manifest.spec:
        raise TraceError(f"{what} does not hold the scenario that it was made from; record it again with this isograd")
    try:
        scenario = parse_scenario(manifest.spec, what)
    except ScenarioError as error:
        raise TraceError(str(error)) from None
    of_today = manifest.format >= FORMAT  # older ones were made from another list of fields
    if not _fit(scenario, inputs) or (of_today and fingerprint(scenario, inputs) != manifest.fingerprint):
        raise TraceError(f"{what} holds another scenario than the one that its fingerprint is of; record it again")
    if len(trace.steps) and trace.steps[-1] >= inputs.steps:
        raise TraceError(f"{what} has a step {trace.steps[-1]}; the run has {inputs.steps}, counted from 0")
    return scenario, inputs


def _fit(scenario: Scenario, inputs: Inputs) -> bool:
    """Whether inputs from a file are such as the scenario could have."""
    samples, order = inputs.x.shape[0] if inputs.x.ndim else 0, inputs.order
    dtype, classes = FORMATS[scenario.dtype].dtype, scenario.loss.labels == "classes"
    indices = bool(scenario.indices)
    numbers = [*inputs.initial.values(), *([] if classes else [inputs.y]), *([] if indices else [inputs.x])]
    loss, outputs = scenario.loss, scenario.outputs
    return (
        {name: value.shape for name, value in inputs.initial.items()}
        == {name: param.shape for name, param in state_of(scenario).items()}
        and inputs.x.shape == (samples, *scenario.data.sample)
        and inputs.y.shape == (samples, *loss.label_shape(outputs))
        and (not classes or (inputs.y.dtype == np.int64 and bool(are_classes(inputs.y, loss, outputs).all())))
        and (not indices or (inputs.x.dtype == np.int64 and are_indices(inputs.x, scenario.indices)))
        and order.shape == (scenario.epochs, samples)
        and order.dtype == np.int64
        and bool(((order >= 0) & (order < samples)).all())
        and 1 <= inputs.batch_size <= samples
        and all(values.dtype == dtype and np.isfinite(values).all() for values in numbers)
        and inputs.lr.shape == (inputs.steps,)
        and inputs.lr.dtype == np.float64
        and bool(((inputs.lr >= 0) & (inputs.lr < np.inf)).all())
    )


def _with_other_mode(cell: Cell, assessor: Assessor, cells: Sequence[Cell]) -> Cell:
    """DRIFTS needs both modes of one backend on one scenario."""
    assert cell.trace is not None
    if cell.mode == "resync":
        return cell
    for other in cells:
        assert other.trace is not None
        same = other.backend == cell.backend and other.trace.manifest.fingerprint == cell.trace.manifest.fingerprint
        if same and other.mode == "resync":
            return assessor.beside(cell, other)
    return cell
