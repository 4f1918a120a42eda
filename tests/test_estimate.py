"""Is the size of a run known beforehand, and one that no machine could hold refused before anything is allocated?"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isograd import Scenario, record, run
from isograd.errors import ScenarioError
from isograd.estimate import check_size, estimate, in_words, memory
from isograd.inputs import make_inputs
from isograd.recorder import recorded_steps
from isograd.reference import make_reference
from isograd.trace import MODES, Mode
from tests.conftest import REFERENCE, SMALL, Outcome

GAUSSIAN = {"kind": "gaussian", "samples": 10**9, "features": 2, "target": "sum"}
BOTH: tuple[Mode, ...] = MODES


def small(**changes: Any) -> Scenario:
    return Scenario.model_validate(tomllib.loads(SMALL) | {"name": "small"} | changes)


@pytest.mark.parametrize("every", [1, 2, 3, 4, 100])
@pytest.mark.parametrize("quantities", ["*", "loss", "grad/*, weight/*"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_it_is_what_is_really_recorded(every: int, quantities: str, dtype: str) -> None:
    scenario = small(dtype=dtype)
    size = estimate(scenario, ("free",), every, quantities, [REFERENCE])
    trace = record(scenario, REFERENCE, every=every, quantities=quantities) if dtype == "float32" else None
    inputs = make_inputs(scenario)
    assert (size.steps, size.recorded) == (inputs.steps, len(recorded_steps(inputs.steps, every)))
    if trace:
        assert size.trace == size.traces == sum(column.nbytes for column in trace.columns.values())


def test_the_oracles_size_is_what_it_holds() -> None:
    scenario = small()
    reference = make_reference(scenario, make_inputs(scenario), MODES, factor=6.0)
    held = sum(
        column.nbytes
        for of in (reference.truth, reference.twin)
        for trace in of.values()
        for column in trace.columns.values()
    ) + sum(envelope.nbytes for of in reference.envelope.values() for envelope in of.values())
    assert estimate(scenario, MODES, 1, "*", [REFERENCE]).oracle == held


HUGE: dict[str, dict[str, Any]] = {
    "epochs": {"epochs": 10**9},
    "all epochs": {"epochs": 2**53},
    "samples": {"data": GAUSSIAN},
    "features": {"data": GAUSSIAN | {"samples": 1, "features": 10**15}},
    "both": {"data": GAUSSIAN | {"features": 2**53, "samples": 2**53}},
    "outputs": {"data": GAUSSIAN | {"samples": 4}, "units": 10**12},
    "a table's epochs": {"data": {"kind": "table", "file": "gone.csv", "x": ["a", "b"], "y": ["c"]}, "epochs": 10**12},
}


def drawn(**changes: Any) -> dict[str, Any]:
    """A scenario whose sizes are numbers alone."""
    units = changes.pop("units", 3)
    draw = {"draw": "normal", "scale": 1}
    layers = [{"name": f"l{i}", "kind": "linear", "weight": draw, "outputs": n} for i, n in enumerate((units, 1))]
    return tomllib.loads(SMALL) | {"name": "huge", "layers": layers} | changes


@pytest.mark.parametrize("changes", HUGE.values(), ids=HUGE)
def test_what_no_machine_could_hold_is_refused_at_once(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isograd.api.Plan", lambda *_, **__: pytest.fail("something was allocated"))
    scenario = Scenario.model_validate(drawn(**changes))
    for ask in (run, lambda *of, backends: record(*of, backends[0])):
        with pytest.raises(ScenarioError, match=r"huge: .* steps need at least .* of memory: .*Try fewer epochs"):
            ask(scenario, backends=[REFERENCE])


def test_what_is_merely_large_is_told_before_it_starts(
    isograd: Callable[..., Outcome], scenario_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = scenario_file()
    assert "large" not in isograd("run", path, "--backends", REFERENCE).err
    monkeypatch.setattr("isograd.estimate.MANY", 4)
    for options, advice in (([], "; --every 2 would record fewer"), (["--every", "2"], "")):
        err = isograd("run", path, "--backends", REFERENCE, *options).err
        first = err.splitlines()[0]
        assert first.startswith("a large run: 4 steps, about ")
        assert " in traces; the reference alone takes about 0 s" in first
        assert first.endswith(f" s{advice}")


def test_all_scenarios_of_a_run_count_together() -> None:
    many = [small(epochs=3000)] * 2
    assert check_size(many[:1], BOTH, 1, "*", [REFERENCE]) == ""
    assert check_size(many, BOTH, 1, "*", [REFERENCE]).startswith("a large run: 12,000 steps")


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0"), (999, "999"), (1234, "1,230"), (10**15, "10^15"), (10**4000, "10^4000")]
)
def test_counts_are_told_in_words(number: int, words: str) -> None:
    assert in_words(number) == words


def test_the_machines_memory_is_known() -> None:
    assert 2**28 < memory() < 2**50
