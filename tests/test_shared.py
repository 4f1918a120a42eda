"""Is a parameter that layers share one parameter, whose gradient is the sum over its uses?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isograd import Verdict, explain, run
from isograd.backends.numpy_manual import NumpyBackend
from isograd.changes.catalogue.shared import ShareLeftOut
from isograd.errors import ScenarioError
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.recorder import record_here
from isograd.scenario import Scenario
from tests.conftest import REFERENCE

DRAW = {"draw": "normal", "scale": 0.5}
ACT = {"name": "act", "kind": "tanh"}


def linear(name: str, outputs: int = 4) -> dict[str, Any]:
    return {"name": name, "kind": "linear", "outputs": outputs, "weight": DRAW, "bias": DRAW}


def made(shared: dict[str, str], **more: Any) -> Scenario:
    """Three layers of one size."""
    rng = np.random.Generator(np.random.PCG64(3))
    raw = {
        "name": "shared",
        "title": "shared",
        "epochs": 2,
        "batch_size": 4,
        "data": {"kind": "inline", "x": rng.normal(size=(10, 4)).tolist(), "y": rng.normal(size=(10, 4)).tolist()},
        "layers": [
            linear("a"),
            ACT,
            linear("b"),
            {"name": "also", "kind": "tanh"},
            linear("c"),
        ],
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9},
        "shared": shared,
    }
    return parse_scenario(raw | more, "a test")


def letters(**more: Any) -> Scenario:
    """A language model whose last layer has the embedding's weight."""
    rng = np.random.Generator(np.random.PCG64(4))
    x, y = (rng.integers(0, 6, (10, 5)).tolist() for _ in range(2))
    layers = [
        {"name": "letters", "kind": "embedding", "rows": 6, "features": 4, "weight": DRAW},
        {"name": "act", "kind": "tanh"},
        linear("logits", 6),
    ]
    data = {"kind": "inline", "x": x, "y": y, "shape": [5]}
    more = {"data": data, "layers": layers, "loss": {"kind": "cross_entropy", "axis": -1}} | more
    return made({"logits.weight": "letters.weight"}, **more)


TIED = {"c.weight": "a.weight", "b.bias": "a.bias"}


def test_what_is_shared_is_no_parameter_of_its_own() -> None:
    assert list(made(TIED).parameters()) == ["a.weight", "a.bias", "b.weight", "c.bias"]


def test_its_gradient_is_the_sum_over_its_uses() -> None:
    """The same network with weights that are equal and not shared has the parts."""
    tied, inputs = made(TIED, dtype="float64", epochs=1), make_inputs(made(TIED, dtype="float64", epochs=1))
    w = {name: value.tolist() for name, value in inputs.weights.items()}
    layers = [dict(layer) for layer in made({}).model_dump(mode="json")["layers"]]
    values = {"a": ("a.weight", "a.bias"), "b": ("b.weight", "a.bias"), "c": ("a.weight", "c.bias")}
    for layer in layers:
        if layer["name"] in values:
            weight, bias = values[layer["name"]]
            layer |= {"weight": w[weight], "bias": w[bias]}
    alone = made({}, dtype="float64", epochs=1, layers=layers)
    parts = record_here(NumpyBackend(), "numpy", alone, make_inputs(alone)).columns
    whole = record_here(NumpyBackend(), "numpy", tied, inputs).columns
    for name, uses in {"a.weight": ("a.weight", "c.weight"), "a.bias": ("a.bias", "b.bias")}.items():
        expected = sum(parts[f"grad/{use}"][0] for use in uses)
        np.testing.assert_allclose(whole[f"grad/{name}"][0], expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [lambda **more: made(TIED, **more), letters], ids=["layers", "letters"])
def test_a_backend_shares(make: Any, dtype: str, isograd_backend: str) -> None:
    scenario = make(dtype=dtype, evaluate=True)
    cells = run(scenario, backends=sorted({REFERENCE, isograd_backend}), repeat=1, causes=False).results[0].cells
    assert all(cells[isograd_backend, mode].verdict.green for mode in ("free", "resync"))


class Without(NumpyBackend):
    """A backend that shares nothing."""

    shares = False


def test_a_backend_that_shares_nothing_says_so() -> None:
    assert Without().missing(letters()) == ["parameters that are shared"]


@pytest.mark.parametrize("layer", ShareLeftOut.places(letters()))
def test_a_part_that_is_missing_is_the_cause(layer: str) -> None:
    cell = explain(letters(), f"{REFERENCE}[fault=share_left_out,at={layer}]")
    assert cell.verdict is Verdict.DIVERGES
    assert cell.account is not None
    assert f"share_left_out({layer})" in cell.account.ids


@pytest.mark.parametrize(
    ("shared", "said"),
    [
        ({"c.weight": "d.weight"}, "shared: expected parameters, of a.weight, a.bias, b.weight"),
        ({"weight": "a.weight"}, "got 'weight'"),
        ({"a.weight": "a.weight"}, "shared.a.weight: expected a parameter of another layer"),
        ({"b.weight": "a.weight", "c.weight": "b.weight"}, "shared.c.weight: expected a parameter of another layer"),
        ({"b.weight": "a.bias"}, "expected a.bias to have its shape; they have [4, 4] and [4]"),
    ],
)
def test_what_cannot_be_shared_is_refused(shared: dict[str, str], said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        made(shared)
    assert said in str(caught.value)
