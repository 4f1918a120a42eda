"""Do the networks that people train come out the same on every backend?"""

from __future__ import annotations

import pytest

from isograd import Verdict, run
from isograd.describe import describe
from isograd.loading import catalogue_names, load_scenario, parse_scenario
from isograd.pytest_plugin import asked_for
from tests.conftest import REFERENCE
from tests.test_faults import NORMED

ALWAYS = ("xor", "xor_adam", "softmax_regression", "lstm_digits")
NETWORKS = [
    pytest.param(name, marks=[] if name.removeprefix("networks/") in ALWAYS else pytest.mark.nightly)
    for name in catalogue_names()
    if name.startswith("networks/")
]


@pytest.mark.parametrize("scenario", NETWORKS)
def test_a_network_trains_and_is_right_or_different_as_written_down(scenario: str, pytestconfig: pytest.Config) -> None:
    """In one test for all backends, so that the oracle is computed once; what is not installed others tell."""
    there = [name for name in asked_for(pytestconfig) if describe(name).version]
    result = run(scenario, backends=sorted({REFERENCE, *there}), repeat=1, causes=False).results[0]
    for (backend, mode), cell in result.cells.items():
        assert cell.verdict.green, f"{backend} {mode} {cell.verdict}: {cell.judgement.message}"
        assert cell.trace is not None
        if cell.verdict is Verdict.EXPECTED:
            assert cell.trace.manifest.deviation is not None
        loss = cell.trace.columns["loss"]
        assert loss[-3:].mean() < 0.9 * loss[:3].mean(), f"{backend} {mode}: the loss does not fall"


def test_what_a_backend_is_known_to_do_otherwise_is_found_by_the_search_too(pytestconfig: pytest.Config) -> None:
    """In a small network: of a large one, a search may leave some changes out."""
    there = [name for name in asked_for(pytestconfig) if describe(name).version]
    result = run(parse_scenario(NORMED), backends=sorted({REFERENCE, *there}), mode="resync", repeat=1).results[0]
    for (backend, _), cell in result.cells.items():
        if cell.verdict is Verdict.EXPECTED:
            assert cell.account is not None
            assert any(cause.change.id == "definition" for cause in cell.account.causes), (backend, cell.account)


def test_the_residual_network_has_what_it_is_for() -> None:
    kinds = {op.kind for op in load_scenario("networks/residual_digits").ops}
    assert {"conv2d", "batch_norm", "add", "tanh", "cross_entropy", "adam", "cosine"} <= kinds
