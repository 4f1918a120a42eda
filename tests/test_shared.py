"""Is a parameter that layers share one parameter, whose gradient is the sum over its uses?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isograd import Verdict, explain, run
from isograd.backends.numpy_manual import NumpyBackend
from isograd.changes.catalogue.shared import ShareLeftOut
from isograd.errors import ScenarioError
from isograd.explanation.apart import alterations
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.recorder import record_here
from isograd.reference import products, truth_arithmetic
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
    raw = {"data": data, "layers": layers, "loss": {"kind": "cross_entropy", "axis": -1}} | more
    return made(raw.pop("shared", {"logits.weight": "letters.weight"}), **raw)


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


EXPLAINED = {
    "the first layer's": {"a.weight": "c.weight"},
    "all of a layer": {"c.weight": "a.weight", "c.bias": "a.bias"},
}


@pytest.mark.parametrize("shared", EXPLAINED.values(), ids=EXPLAINED)
@pytest.mark.parametrize(
    "fault", ["output_scale,at=c,by=1.1", "weight_transposed,at=c", "labels_shifted", "column_changed"]
)
def test_a_fault_beside_what_is_shared_is_explained(fault: str, shared: dict[str, str]) -> None:
    account = explain(made(shared), f"{REFERENCE}[fault={fault}]").account
    assert account is not None
    assert account.failed == ""
    assert fault.partition(",")[0] in account.ids


def test_what_is_turned_may_have_a_shared_bias_too(isograd_backend: str) -> None:
    more = [
        {"name": "letters", "kind": "embedding", "rows": 6, "features": 4, "weight": DRAW},
        {"name": "mid", "kind": "linear", "outputs": 6, "weight": DRAW, "bias": DRAW},
        {"name": "low", "kind": "linear", "outputs": 4, "weight": DRAW},
        linear("logits", 6),
    ]
    shared = {"logits.weight": "letters.weight", "logits.bias": "mid.bias"}
    scenario = letters(layers=more, optimizer={"kind": "sgd", "lr": 0.1}, shared=shared)
    cells = run(scenario, backends=[isograd_backend], repeat=1, causes=False).results[0].cells
    assert all(cell.verdict.green for cell in cells.values())


def test_the_truth_is_exact_where_that_of_others_is() -> None:
    layers = [linear("a"), linear("b")]
    plain = {"layers": layers, "optimizer": {"kind": "sgd", "lr": 0.5}, "epochs": 1, "batch_size": 10}
    tied = made({"b.weight": "a.weight"}, **plain)
    assert truth_arithmetic(tied, make_inputs(tied)) == "exact"
    assert products(tied, 10) == products(made({}, **plain), 10)


def test_as_many_alterations_tell_causes_apart_as_without() -> None:
    plain, tied = (made(shared) for shared in ({}, {"b.bias": "a.bias"}))
    tried, expected = ([what for what, *_ in alterations(s, make_inputs(s), set())] for s in (tied, plain))
    assert set(expected) - set(tried) == {"5 units in a instead of 4", "5 units in b instead of 4"}  # have one bias


def test_names_need_no_quotes() -> None:
    assert made({"c": {"weight": "a.weight"}}).shared == {"c.weight": "a.weight"}  # type: ignore[dict-item]


def test_a_table_of_names_cannot_be_changed() -> None:
    for change in ("update", "setdefault", "pop", "clear"):
        with pytest.raises(TypeError, match="cannot be changed"):
            getattr(made(TIED).shared, change)()


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
        ({"norm.weight": "a.bias"}, "shared.norm.weight: expected the initial numbers of a.bias, or a draw"),
    ],
)
def test_what_cannot_be_shared_is_refused(shared: dict[str, str], said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        made(shared, layers=[linear("a"), linear("b"), {"name": "norm", "kind": "layer_norm"}, linear("c")])
    assert said in str(caught.value)
