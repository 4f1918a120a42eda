"""Does the report say where the source is wrong, and notice when it says so wrongly?"""

from __future__ import annotations

from typing import Any

import pytest

from harness import Scenario, load_scenario, run
from harness.errors import ScenarioError

REFERENCE = "numpy"


def findings_of(scenario: Scenario) -> tuple[bool, Any]:
    report = run(scenario, backends=[REFERENCE], mode="free")
    return report.green, report.findings.set_index("id")


def forward(**changes: Any) -> Scenario:
    raw = load_scenario("article/worked_forward").model_dump() | changes
    return Scenario.model_validate(raw)


def test_the_slips_of_the_worked_forward_pass_are_named_with_their_numbers() -> None:
    green, found = findings_of(forward())
    assert green
    slip = found.loc["sigmoid-of-5-2"]
    assert slip.status.tolist() == ["differs", "noted", "noted", "noted"]
    assert slip.computed.tolist()[0] == pytest.approx(0.99451370)
    assert slip.computed.tolist()[3] == pytest.approx(0.99330715)  # σ(5.0): what was printed
    assert found.loc["cut-off"].status.tolist()[:2] == ["cut off", "cut off"]
    assert found.loc["published"].status.unique().tolist() == ["as printed"]
    assert found.loc["exercise"].computed.tolist()[1:] == pytest.approx([0.98514037, 0.90021578])


def test_a_printed_number_that_nobody_explains_is_red() -> None:
    green, found = findings_of(forward(findings=[]))
    assert not green
    assert found.loc["published"].status.value_counts()["UNEXPLAINED"] == 3


def test_an_explanation_of_numbers_that_are_right_is_red() -> None:
    slip = {"id": "slip", "section": "1", "text": "t", "explains": [{"quantity": "forward/hidden"}]}
    raw = forward().model_dump()
    green, found = findings_of(forward(findings=[*raw["findings"], slip]))
    assert not green
    assert "STALE" in found.loc["slip"].status.tolist()


@pytest.mark.parametrize(
    "entry",
    [
        {"quantity": "forward/hidden", "section": "1", "values": [["1", "2", "3", "4", "5"]]},
        {"quantity": "forward/nothing", "section": "1", "values": [["1"]]},
        {"quantity": "forward/hidden", "section": "1", "step": 5, "values": [["1", "2", "3", "4"]]},
    ],
)
def test_a_published_number_that_has_no_place_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(
        ScenarioError, match=r"article/worked_forward: published or findings: forward/\w+ .*no such element"
    ):
        findings_of(forward(published=[entry]))
