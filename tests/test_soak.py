"""Does what is tried for hours (`make soak`) hold for a few seconds, with the same mistakes every time?"""

from __future__ import annotations

import pytest

from tests.soak import scenarios


@pytest.mark.parametrize("seed", range(3))
def test_a_scenario_is_run_or_refused(seed: int) -> None:
    before = scenarios.tries
    assert scenarios.campaign(60, 300, seed) == []
    assert scenarios.tries - before == 300
