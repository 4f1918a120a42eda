"""Is what a backend is known to do otherwise excused, and nothing else with it?"""

from __future__ import annotations

import numpy as np
import pytest

from isograd import Verdict, judge
from isograd.assess import Cell
from isograd.backend import Backend, Deviation, Session, backend_class
from isograd.changes.catalogue import make_change
from isograd.changes.sabotage import Sabotaged
from isograd.inputs import Inputs, make_inputs
from isograd.loading import parse_scenario
from isograd.recorder import record_here
from isograd.rules import Rules
from isograd.scenario import Scenario
from tests.test_faults import WIDE


class Keeps(Rules):
    """NumPy, with the factor of every scale kept in float32."""

    deviations = {  # noqa: RUF012
        "scale": (
            Deviation(
                "forward/{op}",
                "the factor is kept in float32",
                follows=("*",),
                when=lambda op, dtype: dtype == "float64",
                kept_in="float32",
            ),
        )
    }

    def __init__(self) -> None:
        super().__init__(rounded=True)

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        layers = [
            layer.model_copy(update={"factor": float(np.float32(layer.factor))}) if layer.kind == "scale" else layer
            for layer in scenario.layers
        ]
        return super().session(scenario.model_copy(update={"layers": tuple(layers)}), inputs)


class KeepsNot(Keeps):
    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        return Rules.session(self, scenario, inputs)


def cell_of(backend: Backend) -> Cell:
    scenario = parse_scenario(WIDE)
    return judge([record_here(backend, "keeps", scenario, make_inputs(scenario))])[0]


def test_what_is_known_is_expected() -> None:
    cell = cell_of(Keeps())
    assert (cell.verdict, cell.judgement.message) == (Verdict.EXPECTED, "the factor is kept in float32")


@pytest.mark.parametrize("by", ["1.001", "-1"])
def test_a_fault_beside_it_that_is_larger_is_named_and_not_excused(by: str) -> None:
    cell = cell_of(Sabotaged(Keeps(), make_change("gradient_scale", {"by": by})))
    assert (cell.verdict, cell.judgement.first, cell.judgement.step) == (Verdict.DIVERGES, "grad/third.weight", 0)


def test_what_is_known_and_does_not_show_is_stale() -> None:
    assert cell_of(KeepsNot()).verdict is Verdict.STALE


UNBOUNDED = ("rmsprop", "adamax")
"""How much ε matters there hangs on the gradients: in their parameters, another fault of theirs may hide behind it."""


def test_no_other_fault_hides_behind_what_is_written_down(isograd_backend: str) -> None:
    """What everything may follow from is bounded by a dtype's rounding; what has another rule is lacking instead."""
    for kind, deviations in backend_class(isograd_backend).deviations.items():
        for deviation in deviations:
            bounded = deviation.kept_in or "*" not in deviation.follows
            assert bounded or kind in UNBOUNDED, f"{isograd_backend}: {kind}: {deviation.reason}"


class Both(Keeps):
    """The same, and with a rule of its own for what the loss says."""

    deviations = {  # noqa: RUF012
        **Keeps.deviations,
        "mse": (Deviation("loss", "another loss is told", always=False),),
        "half_squared_error": (Deviation("loss", "another loss is told", always=False),),
    }


def test_a_constant_of_few_digits_is_bounded_beside_another_rule_too() -> None:
    cell = cell_of(Sabotaged(Both(), make_change("gradient_scale", {"by": "1.001"})))
    assert (cell.verdict, cell.judgement.first) == (Verdict.DIVERGES, "grad/third.weight")
