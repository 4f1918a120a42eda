"""Does what is tried for an hour (`make soak`) hold for a few seconds, with the same mistakes every time?"""

from __future__ import annotations

import pytest

from tests.soak import scenarios, staging, traces

pytestmark = pytest.mark.nightly


@pytest.mark.parametrize("seed", range(3))
def test_a_scenario_is_run_or_refused(seed: int) -> None:
    before = scenarios.tries
    assert scenarios.campaign(60, 300, seed) == []
    assert scenarios.tries - before == 300


def test_a_file_is_judged_or_refused() -> None:
    before = traces.tries
    assert traces.campaign(120, 60, 0) == []
    assert traces.tries - before == 60


def test_there_is_a_whole_report_whenever_runs_are_killed() -> None:
    assert staging.campaign(60, 4, 0) == []
