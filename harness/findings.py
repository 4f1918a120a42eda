"""Do the numbers printed in a scenario's source hold, and what else does a careful reader notice in it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from isograd.errors import ScenarioError
from isograd.inputs import Inputs
from isograd.ops import LAYERS
from isograd.quantities import quantity_shapes
from isograd.scenario import Scenario
from isograd.source import Evidence, Finding, Published
from isograd.trace import Manifest, Mode, Trace

Row = dict[str, Any]

AS_PRINTED, CUT_OFF, DIFFERS = "as printed", "cut off", "differs"
UNEXPLAINED, STALE, NOTED = "UNEXPLAINED", "STALE", "noted"
HOLDS, BROKEN = "holds", "BROKEN"
RED = (UNEXPLAINED, STALE, BROKEN)


def check_source(scenario: Scenario, inputs: Inputs) -> None:
    """What a source says must be about quantities, steps and elements that the run has.

    Raises:
        ScenarioError: it is not; the message says what there is instead.
    """
    steps = {
        quantity: sorted({entry.step for entry in scenario.published if entry.quantity == quantity})
        for quantity in {entry.quantity for entry in scenario.published}
    }
    for entry in scenario.published:
        rows, columns = len(entry.values), len(entry.values[0])
        _check_element(scenario, inputs, "published", entry.quantity, entry.step, (rows - 1, columns - 1))
        if scenario.truth == "published":
            shape = _shape(scenario, inputs, entry.quantity)
            every = sorted({other.step for other in scenario.published})
            if steps[entry.quantity] != every:
                said = f"expected values for every step of {every[:9]}"
                raise ScenarioError(f"{scenario.name}: published: {entry.quantity}: {said}")
            if (rows, columns) != shape:
                said = f"expected values of shape {shape}, which are the truth; got {(rows, columns)}"
                raise ScenarioError(f"{scenario.name}: published: {entry.quantity}: {said}")
    for finding in scenario.findings:
        for element in finding.explains:
            if _shape(scenario, inputs, element.quantity) is None:
                _check_element(scenario, inputs, f"findings: {finding.id}: explains", element.quantity, 0, ())
        for evidence in finding.evidence:
            where = f"findings: {evidence.label[:60]!r}"
            if evidence.quantity:
                _check_element(scenario, inputs, where, evidence.quantity, evidence.step, evidence.index)
            if (evidence.epoch or 1) > scenario.epochs:
                said = f"no epoch {evidence.epoch}; the run has {scenario.epochs}"
                raise ScenarioError(f"{scenario.name}: {where}: {said}")


def _check_element(
    scenario: Scenario, inputs: Inputs, where: str, quantity: str, step: int, index: tuple[int, ...]
) -> None:
    shape = _shape(scenario, inputs, quantity)
    if shape is None:
        names = list(quantity_shapes(scenario))
        some = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise ScenarioError(f"{scenario.name}: {where}: no quantity {quantity!r}; there are {some}")
    inside = len(index) == len(shape) and all(-n <= i < n for i, n in zip(index, shape, strict=True))
    if not inside or not -inputs.steps <= step < inputs.steps:
        raise ScenarioError(
            f"{scenario.name}: {where}: {quantity} {[*index]} at step {step}: no such element; the quantity's shape is "
            f"{shape}, the run has {inputs.steps} steps"
        )


def _shape(scenario: Scenario, inputs: Inputs, quantity: str) -> tuple[int, ...] | None:
    shape = quantity_shapes(scenario).get(quantity)
    return None if shape is None else tuple(inputs.batch_size if axis is None else axis for axis in shape)


def published_trace(scenario: Scenario, mode: Mode, recorded: Trace) -> Trace:
    """The published values as a trace, for a scenario whose truth they are; of what ``recorded`` holds only.

    Raises:
        ScenarioError: a quantity is published for some of the steps only, or with another shape than it has.
    """
    steps = sorted({entry.step for entry in scenario.published})
    columns = {}
    for name in dict.fromkeys(entry.quantity for entry in scenario.published):
        entries = {entry.step: entry for entry in scenario.published if entry.quantity == name}
        if sorted(entries) != steps:
            raise ScenarioError(f"{scenario.name}: published: {name}: expected values for every step of {steps}")
        columns[name] = np.array([[[float(v) for v in row] for row in entries[s].values] for s in steps])
    manifest = Manifest(
        scenario=scenario.name, fingerprint="", backend="published", dtype=scenario.dtype, mode=mode, steps=len(steps)
    )
    whole = Trace(columns, np.array(steps, dtype=np.int64), manifest)
    return whole.every(
        np.intersect1d(whole.steps, recorded.steps), [name for name in columns if name in recorded.columns]
    )


def findings(scenario: Scenario, inputs: Inputs, truth: Trace, traces: Mapping[str, Trace]) -> list[Row]:
    """A row per printed number, and a row per piece of evidence of each finding.

    Args:
        scenario: what was run.
        inputs: its numbers.
        truth: the reference's free run.
        traces: the backends' free runs, by name.
    """
    printed = [row for entry in scenario.published for row in _printed(scenario, entry, truth, traces)]
    return printed + [row for finding in scenario.findings for row in _noted(scenario, finding, printed, inputs, truth)]


def classify(printed: str, computed: float) -> str:
    """How a printed number relates to a computed one, at the precision that it was printed with."""
    unit = Decimal(1).scaleb(int(Decimal(printed).as_tuple().exponent))
    exact = Decimal(repr(float(computed)))
    if not exact.is_finite():
        return DIFFERS
    # half a unit of the last printed place, and what float32 adds to a number that lies on the edge
    if abs(exact - Decimal(printed)) <= unit / 2 * (1 + Decimal("1e-6")):
        return AS_PRINTED
    lost = abs(exact) - abs(Decimal(printed))
    return CUT_OFF if 0 <= lost < unit and exact * Decimal(printed) >= 0 else DIFFERS


def _printed(scenario: Scenario, entry: Published, truth: Trace, traces: Mapping[str, Trace]) -> Iterator[Row]:
    explained = {
        (element.quantity, element.index): finding.id for finding in scenario.findings for element in finding.explains
    }
    for index in np.ndindex(len(entry.values), len(entry.values[0])):
        text = entry.values[index[0]][index[1]]
        computed = _element(scenario, truth, entry.quantity, entry.step, index)
        status = classify(text, computed)
        why = explained.get((entry.quantity, index)) or explained.get((entry.quantity, None))
        yield {
            "scenario": scenario.name,
            "id": why or "published",
            "section": entry.section,
            "quantity": entry.quantity,
            "step": entry.step,
            "index": str(list(index)),
            "printed": text,
            "computed": computed,
            "difference": float(text) - computed,
            "status": status if status == AS_PRINTED or why else UNEXPLAINED,
            "text": "printed in the source",
            **{name: _of(trace, entry.quantity, entry.step, index) for name, trace in traces.items()},
        }


def _noted(scenario: Scenario, finding: Finding, printed: list[Row], inputs: Inputs, truth: Trace) -> Iterator[Row]:
    explains = [row for row in printed if row["id"] == finding.id]
    # a finding about printed numbers that are all right is one that no longer holds
    stale = bool(finding.explains) and all(row["status"] == AS_PRINTED for row in explains)
    common = {
        "scenario": scenario.name,
        "id": finding.id,
        "section": finding.section,
        "status": STALE if stale else NOTED,
    }
    yield {**common, "text": finding.text}
    for evidence in finding.evidence:
        step = evidence.step % inputs.steps  # −1 is the last
        where = {"quantity": evidence.quantity, "step": step, "index": str([*evidence.index])}
        yield {
            **common,
            **(where if evidence.quantity else {}),
            "computed": _show(scenario, evidence, inputs, truth),
            "text": evidence.label,
        }


def _show(scenario: Scenario, evidence: Evidence, inputs: Inputs, truth: Trace) -> float:
    if evidence.quantity:
        return _element(scenario, truth, evidence.quantity, evidence.step, evidence.index)  # step −1 is the last
    if evidence.rule:
        rule = LAYERS[evidence.rule](kind=evidence.rule, name="rule")
        return float(rule.forward({}, np.array([evidence.at])).a[0])
    epoch = (evidence.epoch or 1) - 1
    if epoch >= scenario.epochs:
        raise ScenarioError(
            f"{scenario.name}: findings: {evidence.label!r}: no epoch {epoch + 1}; the run has {scenario.epochs}"
        )
    per_epoch = inputs.steps_per_epoch
    losses = truth.columns["loss"][epoch * per_epoch : (epoch + 1) * per_epoch]
    return float(losses[-1] if evidence.epoch_loss == "last" else losses.mean())


def _element(scenario: Scenario, truth: Trace, quantity: str, step: int, index: tuple[int, ...]) -> float:
    try:
        return float(truth.columns[quantity][step][index])
    except (KeyError, IndexError, TypeError):
        shape = truth.columns[quantity].shape[1:] if quantity in truth.columns else "none of this name"
        raise ScenarioError(
            f"{scenario.name}: published or findings: {quantity} {list(index)} at step {step}: no such element; "
            f"the quantity's shape is {shape}, the run has {len(truth.steps)} steps"
        ) from None


def _of(trace: Trace, quantity: str, step: int, index: tuple[int, ...]) -> float:
    """A backend's number; NaN where it was not recorded, or has no such element."""
    row = np.flatnonzero(trace.steps == step)
    try:
        return float(trace.columns[quantity][row[0]][index])
    except (KeyError, IndexError, TypeError):
        return float("nan")
