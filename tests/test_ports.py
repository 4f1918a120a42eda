"""Ports: which side is which, what is set otherwise, do they train alike, and why not?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import isograd
from isograd.cli import app
from isograd.errors import IsogradError
from isograd.framework import ACTIVATIONS, LOSSES, OF_OUTPUTS, WEIGHTED, Framework, as_floats
from isograd.judging import Verdict
from isograd.ports.checking import check
from isograd.ports.known import variances
from isograd.ports.pairing import aligned, pair
from isograd.ports.request import functions_of, port_of
from isograd.ports.result import RULES
from isograd.ports.seen import factor_of
from isograd.ports.settings import different
from isograd.report.ports import Checked
from isograd.side.batches import keep_batches, read_batches
from isograd.side.program import frameworks, trainee_of
from isograd.structure import Call, OptimizerOf, Structure, Unit

PORTS = Path(__file__).parents[1] / "scenarios" / "ports"

# ---------------------------------------------------------------- a request


def test_a_file_is_read_and_not_run(tmp_path: Path) -> None:
    file = tmp_path / "port.py"
    file.write_text(
        "raise SystemExit(3)\ndef a(): ...\ndef _b(): ...\ndef c(x): ...\ndef d(x=1): ...\ndef batches(): ...\n"
    )
    assert functions_of(file) == ["a", "d", "batches"]
    port = port_of([str(file)])
    assert [side.label for side in port.sides] == ["a", "d"]
    assert (port.name, port.batches) == (tmp_path.name, file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def a(): ...\ndef batches(): ...\n", "two functions at least"),
        ("def a(): ...\ndef b(): ...\n", "batches()"),
        ("def a(:\n", "expected a Python file"),
    ],
)
def test_a_request_that_cannot_be_carried_out_says_what_was_expected(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "port.py").write_text(text)
    with pytest.raises(IsogradError, match=words.replace("(", r"\(").replace(")", r"\)")):
        port_of([str(tmp_path / "port.py")])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(IsogradError, match="cannot be read"):
        port_of([str(tmp_path / "none.py")])


def test_two_files_whose_functions_have_one_name(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / f"{name}.py").write_text("def build(): ...\n")
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 3)), y=np.zeros(2))
    port = port_of([f"{tmp_path}/old.py:build", f"{tmp_path}/new.py:build"], tmp_path / "data.npz")
    assert [side.label for side in port.sides] == ["old:build", "new:build"]


def test_batches_come_back_as_they_were_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given: list[tuple[Any, Any]] = [
        (rng.random((2, 3)), np.arange(2)),
        ({"ids": np.arange(4), "mask": np.ones(4)}, (np.arange(3), rng.random(2))),
    ]
    assert keep_batches(iter(given * 2), 2, tmp_path / "b.npz") == 2
    (x, y), (xs, ys) = read_batches(tmp_path / "b.npz")
    np.testing.assert_array_equal(x, given[0][0])
    assert y.dtype == np.int64
    assert list(xs) == ["ids", "mask"]
    assert isinstance(ys, tuple)
    np.testing.assert_array_equal(ys[1], given[1][1][1])


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (np.zeros(3), r"expected \(x, y\) each time; got ndarray"),
        ((np.zeros(3),), r"expected \(x, y\) each time; got tuple"),
        ((np.array(["a"]), np.zeros(1)), "expected arrays of numbers; got <U1"),
    ],
)
def test_batches_that_are_none(batch: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(IsogradError, match=said):
        keep_batches(iter([batch]), 1, tmp_path / "b.npz")


@pytest.mark.parametrize("content", [b"junk", {"a": np.zeros(3)}, {"x": np.zeros(3), "y": np.zeros(2)}])
def test_a_file_that_holds_no_batches(content: Any, tmp_path: Path) -> None:
    file = tmp_path / "b.npz"
    file.write_bytes(content) if isinstance(content, bytes) else np.savez(file, **content)
    with pytest.raises(IsogradError, match="the steps leading"):
        read_batches(file)


def test_batches_without_labels_have_none() -> None:
    x = {"a": np.zeros(2, np.float32), "b": np.arange(2)}
    floats = as_floats((x, None), "float64")
    assert floats[1] is None
    assert [array.dtype for array in floats[0].values()] == [np.float64, np.int64]


def test_what_a_function_gives_in_order_or_by_name() -> None:
    assert trainee_of((1, 2, 3), "f").optimizers == {"": 3}
    assert trainee_of({"model": 1, "optimizer": {"d": 2}, "train_step": 4}, "f").optimizers == {"d": 2}
    for wrong in (1, (1, 2), {"model": 1}, {"model": 1, "optimizer": 2, "others": 3}):
        with pytest.raises(IsogradError, match=r"f\(\)"):
            trainee_of(wrong, "f")


# ---------------------------------------------------------------- pairing


def linear(name: str, inputs: int, outputs: int, **options: Any) -> Unit:
    params = {"weight": (outputs, inputs), "bias": (outputs,)}
    return Unit(name=name, cls="Linear", kind="linear", params=params, **options)


def structure(*units: Unit, **options: Any) -> Structure:
    calls = tuple(Call(name=unit.name, outputs=((2, 4),)) for unit in units)
    return Structure(framework="f", version="1", dtype="float32", units=units, calls=calls, **options)


def test_what_has_the_same_names_is_paired_by_them_in_any_order() -> None:
    first = structure(linear("a", 4, 4), linear("b", 4, 4))
    found = pair(first, structure(linear("b", 4, 4), linear("a", 4, 4)))
    assert found.how == "name"
    assert found.params["a.weight"] == "a.weight"
    assert found.whole


def test_what_has_other_names_is_paired_in_the_order_of_calls() -> None:
    first = structure(linear("in", 3, 5), linear("out", 5, 2))
    found = pair(first, structure(linear("fc1", 3, 5), linear("fc2", 5, 2)))
    assert (found.how, found.units) == ("order", {"fc1": "in", "fc2": "out"})


def test_the_order_is_that_of_calls_and_not_of_definition() -> None:
    first, other = structure(linear("in", 4, 4), linear("out", 4, 4)), structure(linear("z", 4, 4), linear("y", 4, 4))
    other = other.model_copy(update={"calls": other.calls[::-1]})
    assert pair(first, other).units == {"y": "in", "z": "out"}


def test_a_parameter_without_a_counterpart_is_named() -> None:
    first = structure(linear("a", 3, 5), linear("b", 5, 2))
    bare = Unit(name="b", cls="Linear", kind="linear", params={"weight": (2, 5)})
    found = pair(first, structure(linear("a", 3, 5), bare))
    assert (found.missing, found.extra) == (("b.bias",), ())
    assert not found.whole


def test_a_users_own_module_may_have_its_weight_the_other_way_round() -> None:
    own = Unit(name="mine", cls="Mine", kind="Mine", known=False, params={"kernel": (3, 5), "offset": (5,)})
    found = pair(structure(linear("a", 3, 5)), structure(own))
    assert found.params == {"mine.kernel": "a.weight", "mine.offset": "a.bias"}
    assert found.swapped == ("mine.kernel",)


def test_projections_that_are_packed_here_may_be_layers_there() -> None:
    parts = [f"{name}_proj.{of}" for name in "qkv" for of in ("weight", "bias")]
    packed = {name: (4, 4) if name.endswith("weight") else (4,) for name in parts}
    attention = Unit(name="attn", cls="A", kind="attention", params=packed)
    found = pair(structure(attention), structure(*(linear(f"attn.{name}_proj", 4, 4) for name in "qkv")))
    assert found.params["attn.k_proj.weight"] == "attn.k_proj.weight"
    assert found.whole


def test_a_map_comes_before_everything() -> None:
    first = structure(linear("a", 4, 4), linear("b", 4, 4))
    found = pair(first, structure(linear("y", 4, 4), linear("z", 4, 4)), {"y": "b", "z": "a"})
    assert (found.how, found.params["y.weight"]) == ("map", "b.weight")


def test_a_parameter_of_the_model_itself_may_be_a_layers_there() -> None:
    whole = Unit(name="model", cls="Net", kind="Net", known=False, params={"decoder_bias": (7,)})
    tied = linear("decoder", 4, 7, tied={"weight": "emb.weight"})
    emb = Unit(name="emb", cls="Embedding", kind="embedding", params={"weight": (7, 4)})
    assert pair(structure(emb, tied), structure(emb, whole)).params["model.decoder_bias"] == "decoder.bias"


def test_an_alignment_takes_the_largest_sum() -> None:
    scores = {(0, 0): 0.6, (0, 1): 1.0, (1, 0): 1.0}
    assert aligned("ab", "xy", lambda i, j: scores.get((i, j), 0.0)) in ([(0, 1)], [(1, 0)])
    assert aligned("abc", "abc", lambda i, j: float(i == j)) == [(0, 0), (1, 1), (2, 2)]


# ---------------------------------------------------------------- settings


def test_settings_that_differ_are_named_in_the_users_words() -> None:
    def norm(epsilon: float) -> Unit:
        return Unit(name="norm", cls="LayerNorm", kind="layer_norm", params={"w": (4,)}, settings={"epsilon": epsilon})

    first, other = structure(norm(1e-5)), structure(norm(1e-6))
    [found] = different(first, other, pair(first, other))
    assert found.sentence == "norm: epsilon is 1e-06 there, 1e-05 here"
    assert different(first, structure(norm(float(np.float32(1e-5)))), pair(first, other)) == ()


def test_a_group_with_its_own_decay_is_told_by_parameter_and_one_for_all_once() -> None:
    def adam(decay: float, of_bias: float) -> dict[str, OptimizerOf]:
        params = {"a.weight": {}, "a.bias": {"weight_decay": of_bias}}
        return {"": OptimizerOf(kind="adam", settings={"weight_decay": decay}, params=params)}

    first = structure(linear("a", 3, 5), optimizers=adam(0.1, 0.0))
    one = structure(linear("a", 3, 5), optimizers=adam(0.1, 0.1))
    both = structure(linear("a", 3, 5), optimizers=adam(0.2, 0.1))
    assert [d.sentence for d in different(first, one, pair(first, one))] == [
        "optimizer, a.bias: weight decay is 0.1 there, 0 here"
    ]
    assert len(different(first, both, pair(first, both))) == 2
    assert different(first, first, pair(first, first)) == ()


def test_a_weight_that_a_module_holds_itself_is_that_of_a_linear_layer_in_the_other() -> None:
    own = Unit(name="gc", cls="G", kind="G", known=False, params={"weight": (3, 5), "bias": (5,)})
    bias = Unit(name="gc", cls="G", kind="G", known=False, params={"bias": (5,)})
    inner = Unit(name="gc.linear", cls="Linear", kind="linear", params={"weight": (5, 3)})
    found = pair(structure(own), structure(bias, inner))
    assert dict(found.params) == {"gc.bias": "gc.bias", "gc.linear.weight": "gc.weight"}
    assert found.swapped == ("gc.linear.weight",)
    assert found.whole


# ---------------------------------------------------------------- what is known


@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize("states", [True, False])
def test_a_running_variance_over_n_follows_from_one_over_n_less_1(states: bool, calls: int) -> None:
    rng, n, m = np.random.default_rng(0), 12, 0.1
    here, there, start = np.ones(3), np.ones(3), np.ones(3)
    kept, truth, expected = [], [], []
    for _ in range(4):
        kept.append(here)
        if states:
            there = here
        for _ in range(calls):
            batch = rng.random((n, 3))
            here = (1 - m) * here + m * batch.var(axis=0, ddof=1)
            there = (1 - m) * there + m * batch.var(axis=0)
        truth.append(here)
        expected.append(there)
    settings = {"momentum": m, "unbiased": True}
    unit = Unit(name="bn", cls="B", kind="batch_norm", settings=settings)
    outputs = {f"forward/bn{of}": np.zeros((4, n, 3)) for of in ("", ":2")[:calls]}
    columns = {"buffer/bn.running_var": np.array(truth), **outputs}
    before = {"buffer/bn.running_var": np.array(kept)} if states else None
    initial = {"buffer/bn.running_var": start}
    [found] = variances(structure(unit), {"bn": settings | {"unbiased": False}}, columns, before, initial)
    np.testing.assert_allclose(found.truth, np.array(expected), rtol=1e-12)
    assert f"n = {n}" in found.reason
    assert variances(structure(unit), {"bn": settings}, columns, before, initial) == []
    still = {"buffer/bn.running_var": np.ones((4, 3)), **outputs}  # in evaluation mode it stays, by any definition
    kept_still = {"buffer/bn.running_var": np.ones((4, 3))} if states else None
    [found] = variances(structure(unit), {"bn": settings | {"unbiased": False}}, still, kept_still, initial)
    np.testing.assert_array_equal(found.truth, np.ones((4, 3)))


def test_a_framework_knows_every_function_and_loss_that_is_tried_by_its_words() -> None:
    knows = [framework for framework in frameworks() if type(framework).function is not Framework.function]
    assert knows
    for framework in knows:
        for name in (*ACTIVATIONS, *OF_OUTPUTS, "identity", "detached"):
            assert callable(framework.function(name))
        for name in LOSSES:
            assert callable(framework.loss_function(name))
        assert callable(framework.loss_function(WEIGHTED, 2.0))


def test_one_factor_is_found_and_two_are_none() -> None:
    truth = np.arange(1.0, 5.0)
    assert factor_of(3 * truth, truth) == pytest.approx(3)
    assert factor_of(truth * [1, 2, 1, 2], truth) is None


# ---------------------------------------------------------------- what is compared


SCALAR = """
import numpy as np

def torch():
    import torch
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))
        def forward(self, x):
            return (x * self.scale).exp().sum()
    model = Net()
    return model, None, torch.optim.SGD(model.parameters(), 0.01)

def paddle():
    import paddle
    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.scale = self.create_parameter([], default_initializer=paddle.nn.initializer.Constant(1.0))
        def forward(self, x):
            return (x * self.scale).exp().sum()
    model = Net()
    return model, None, paddle.optimizer.SGD(0.01, parameters=model.parameters())

def batches():
    while True:
        yield np.array([[0.1, 0.2]]), None
"""


def test_a_parameter_of_one_number_without_axes_and_batches_without_labels(tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text(SCALAR)
    checked = check(tmp_path / "port.py", steps=2)
    assert checked.green, checked.summary.to_string()


# ---------------------------------------------------------------- whole ports


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """LeNet's right port, and three that are wrong."""
    folder = tmp_path_factory.mktemp("lenet")
    (folder / "wrong.py").write_text(
        f"import sys\nsys.path.insert(0, {str(PORTS / 'lenet')!r})\n"
        + """
def momentum():
    import paddle, port
    model, *rest = port.paddle()
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            layer._momentum = 0.1
    return model, *rest

def halved():
    import port
    model, loss, *rest = port.paddle()
    return model, lambda out, y: loss(out, y) * 0.5, *rest

def killed():
    import os
    os._exit(7)
"""
    )
    wrong = [f"{folder}/wrong.py:{name}" for name in ("momentum", "halved", "killed")]
    return check(str(PORTS / "lenet" / "port.py"), *wrong)


def verdicts(checked: Checked, side: str) -> dict[str, str]:
    [result] = [result for result in checked.results if result.side == side]
    return {stage: str(cell.verdict) for stage, cell in result.cells.items()}


def test_a_right_port_is_green_and_says_what_its_framework_defines_otherwise(lenet: Checked) -> None:
    assert verdicts(lenet, "torch") == {"resync": "EQUIVALENT", "free": "EQUIVALENT"}
    assert verdicts(lenet, "paddle") == {RULES: "EXPECTED", "resync": "EXPECTED", "free": "EXPECTED"}
    assert "running variance" in lenet.results[1].cells[RULES].judgement.message


def test_a_convention_that_was_carried_over_is_named(lenet: Checked) -> None:
    result = lenet.results[2]
    found = result.cells[RULES].judgement
    assert (found.verdict, found.first, found.step) == (Verdict.DIVERGES, "buffer/bn1.running_mean", 0)
    assert "momentum is 0.9 there, 0.1 here" in result.cause


def test_a_loss_that_is_half_as_large_is_named(lenet: Checked) -> None:
    result = lenet.results[3]
    assert result.cells[RULES].judgement.first == "loss"
    assert "the loss is 0.5 times as large there" in result.cause


def test_a_side_that_ends_its_process_is_an_error_and_nothing_more(lenet: Checked) -> None:
    assert verdicts(lenet, "killed") == {"building": "ERROR"}
    assert "exit code 7" in lenet.results[4].cells["building"].judgement.message
    assert not lenet.green


def test_the_summary_has_a_row_a_side_and_stage(lenet: Checked) -> None:
    summary = lenet.summary
    assert len(summary) == 2 + 3 + 3 + 3 + 1
    assert summary[summary.side == "momentum"].cause.str.contains("momentum").all()


def test_the_command_line_prints_the_table_and_writes_the_report(tmp_path: Path) -> None:
    command = ["check", str(PORTS / "mlp" / "port.py"), "--steps", "2", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "EQUIVALENT" in done.output
    assert "of what rounding may do here" in done.output
    assert json.loads((tmp_path / "out" / "map.json").read_text())
    assert (tmp_path / "out" / "summary.csv").read_text().startswith("port,side,stage")
    for name in ("report.txt", "README.md", "index.html"):
        assert "EQUIVALENT" in (tmp_path / "out" / name).read_text("utf-8")
    again = CliRunner().invoke(app, [*command, "--map", str(tmp_path / "out" / "map.json"), "--mode", "resync"])
    assert again.exit_code == 0, again.output
    assert "paired by map" in again.output


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": 1}'])
def test_a_map_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(text)
    done = CliRunner().invoke(app, ["check", str(PORTS / "mlp" / "port.py"), "--map", str(tmp_path / "map.json")])
    assert done.exit_code != 0


def test_an_assertion_over_a_port() -> None:
    checked = isograd.assert_equivalent(str(PORTS / "mlp" / "port.py"), steps=2, mode="resync")
    assert isinstance(checked, Checked)


def test_an_assertion_over_a_port_that_is_wrong_says_why(tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text(
        """
import numpy as np

def torch():
    import torch
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))
    return model, torch.nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.1)

def other():
    import torch
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4, eps=1e-3), torch.nn.Linear(4, 2))
    return model, torch.nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.1)

def batches():
    rng = np.random.default_rng(0)
    while True:
        yield rng.random((5, 3), "float32"), rng.random((5, 2), "float32")
"""
    )
    with pytest.raises(AssertionError, match=r"epsilon is 0\.001 there, 1e-05 here"):
        isograd.assert_equivalent(str(tmp_path / "port.py"), mode="resync")
