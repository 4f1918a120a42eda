"""Samples that are whole numbers, for an embedding: are they taken, kept, judged and explained as such?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isograd import explain, judge, record, run
from isograd.errors import ScenarioError
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.scenario import Scenario

DRAW = {"draw": "normal", "scale": 0.5}
WORDS = {"name": "words", "kind": "embedding", "rows": 5, "features": 3, "weight": DRAW}


def scenario(x: Any = ((0, 4), (1, 1), (2, 0)), **more: Any) -> Scenario:
    raw: dict[str, Any] = {
        "name": "whole/numbers",
        "title": "an embedding",
        "epochs": 2,
        "batch_size": 2,
        "data": {"kind": "inline", "x": [[float(v) for v in row] for row in x], "y": [[0.1], [0.2], [0.3]]},
        "layers": [
            WORDS,
            {"name": "flat", "kind": "flatten"},
            {"name": "output", "kind": "linear", "outputs": 1, "weight": DRAW},
        ],
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "sgd", "lr": 0.1},
    }
    return parse_scenario(raw | more, "a test")


def test_samples_are_whole_numbers_to_every_backend(isograd_backend: str) -> None:
    made = scenario()
    assert make_inputs(made).x.dtype == np.int64
    assert run(made, backends=[isograd_backend], causes=False).green


@pytest.mark.parametrize("x", [((0, 5), (1, 1), (2, 0)), ((0, -1), (1, 1), (2, 0)), ((0, 0.5), (1, 1), (2, 0))])
def test_numbers_that_have_no_row_are_refused(x: Any) -> None:
    with pytest.raises(ScenarioError, match="expected whole numbers from 0 to 4"):
        make_inputs(scenario(x))


def test_whole_numbers_go_to_embeddings_alone() -> None:
    layers = [
        WORDS,
        {"name": "flat", "kind": "flatten"},
        {"name": "own", "kind": "linear", "inputs": ["x"], "outputs": 6, "weight": DRAW},
        {"name": "it", "kind": "add", "inputs": ["flat", "own"]},
    ]
    with pytest.raises(ScenarioError, match=r"layers\.2\.inputs: the samples x are whole numbers, which linear"):
        scenario(layers=layers)
    layers = [WORDS, {"name": "flat", "kind": "flatten"}, {**WORDS, "name": "again"}]
    with pytest.raises(ScenarioError, match=r"layers\.2\.inputs: embedding takes whole numbers"):
        scenario(layers=layers)


def test_a_stored_trace_of_them_is_judged_again() -> None:
    (cell,) = judge([record(scenario(), "numpy")])
    assert str(cell.verdict) == "IDENTICAL"


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ("samples_reordered", "samples_reordered"),
        ("gradient_scale,by=0.5", "gradient_scale"),
        ("update_skipped", "update_skipped"),
    ],
)
def test_causes_are_found_beside_them(fault: str, named: str) -> None:
    account = explain(scenario(), f"numpy[fault={fault}]").account
    assert account is not None
    assert named in account.ids


CLIPPED = {"clipping": {"kind": "value", "bound": 0.02}}


def test_a_clipping_is_run_and_its_bound_solved_for(isograd_backend: str) -> None:
    made = scenario(**CLIPPED)
    assert run(made, backends=[isograd_backend], causes=False).green
    account = explain(made, f"{isograd_backend}[fault=setting,at=clipping,name=bound,value=0.03,right=0.02]").account
    assert account is not None
    assert "bound" in account.sentence
    assert "0.03" in account.sentence


def test_a_layer_that_needs_an_axis_is_refused_without_one() -> None:
    layers = [WORDS, {"name": "all", "kind": "sum", "axes": [0, 1]}, {"name": "it", "kind": "softmax"}]
    with pytest.raises(ScenarioError, match=r"layers\.2\."):
        scenario(layers=layers)
