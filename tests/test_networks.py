"""Do the networks that people train come out the same on every backend?"""

from __future__ import annotations

import pytest

from isograd import Verdict, run
from isograd.catalogue import catalogue_names, load_scenario
from isograd.describe import describe
from isograd.pytest_plugin import asked_for
from tests.conftest import REFERENCE

NETWORKS = [name for name in catalogue_names() if name.startswith("networks/")]


@pytest.mark.parametrize("scenario", NETWORKS)
def test_a_network_trains_and_is_right_or_different_as_written_down(scenario: str, pytestconfig: pytest.Config) -> None:
    """In one test for all backends, so that the oracle is computed once; what is not installed others tell."""
    there = [name for name in asked_for(pytestconfig) if describe(name).version]
    result = run(scenario, backends=sorted({REFERENCE, *there}), repeat=1).results[0]
    for (backend, mode), cell in result.cells.items():
        assert cell.verdict.green, f"{backend} {mode} {cell.verdict}: {cell.judgement.message}"
        assert cell.trace is not None
        if cell.verdict is Verdict.EXPECTED:
            assert cell.trace.manifest.deviation is not None
            assert cell.account is not None
            assert cell.account.causes, f"{backend} {mode}: {cell.account.sentence}"
        loss = cell.trace.columns["loss"]
        assert loss[-3:].mean() < 0.9 * loss[:3].mean(), f"{backend} {mode}: the loss does not fall"


def test_the_residual_network_has_what_it_is_for() -> None:
    kinds = {op.kind for op in load_scenario("networks/residual_digits").ops}
    assert {"conv2d", "batch_norm", "add", "tanh", "cross_entropy", "adam", "cosine"} <= kinds
