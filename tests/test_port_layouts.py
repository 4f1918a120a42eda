"""The same numbers in other calls and axes are no difference, and other numbers are not made one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isograd.framework import as_floats
from isograd.inputs import Array
from isograd.ports.checking import check
from isograd.ports.layouts import as_called, fitted

pytestmark = pytest.mark.nightly

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 6, 3, 4))  # two steps of six samples

LAID_OUT = {
    "channels last": (X.transpose(0, 1, 3, 2), X),
    "time before samples, and both as one": (X.reshape(2, 18, 4), X.transpose(0, 2, 1, 3).reshape(2, 18, 4)),
    "rows of all places": (X, X.transpose(0, 2, 1, 3).reshape(2, 18, 4)),
    "an axis of one": (X[:, :, :, None], X),
}


@pytest.mark.parametrize("name", LAID_OUT)
def test_a_layout_is_found_by_the_numbers(name: str) -> None:
    column, truth = LAID_OUT[name]
    if name == "time before samples, and both as one":
        column = X
    found = fitted({"forward/a": column}, {"forward/a": truth})["forward/a"]
    np.testing.assert_array_equal(found, truth)


def test_one_for_all_samples_is_as_many_alike() -> None:
    one, many = X[:, :1], np.repeat(X[:, :1], 6, axis=1)
    for column, truth in ((many, one), (one, many), (one[:, 0], many), (many, one[:, 0])):
        found = fitted({"forward/a": column}, {"forward/a": truth})["forward/a"]
        np.testing.assert_array_equal(found, truth)
    found = fitted({"backward/a": X}, {"backward/a": X.sum(1, keepdims=True)})["backward/a"]
    np.testing.assert_array_equal(found, X.sum(1, keepdims=True))
    assert fitted({"backward/a": X.sum(1, keepdims=True)}, {"backward/a": X}) == {}
    assert fitted({"forward/a": X}, {"forward/a": one})["forward/a"].shape == X.shape


def test_other_numbers_stay_in_another_shape() -> None:
    other = RNG.normal(size=(2, 18, 4))
    assert fitted({"forward/a": other}, {"forward/a": X})["forward/a"].shape == other.shape


def test_parameters_are_laid_out_by_their_row_alone() -> None:
    column = X.transpose(0, 1, 3, 2)
    assert fitted({"grad/a": column}, {"grad/a": X})["grad/a"].shape == column.shape
    assert fitted({"grad/a": X[:, :, :, None]}, {"grad/a": X})["grad/a"].shape == X.shape


def parts(name: str) -> dict[str, Array]:
    return {name: X[:, :2], f"{name}:2": X[:, 2:4], f"{name}:3": X[:, 4:]}


def test_batches_side_by_side_are_the_calls_that_the_other_side_makes() -> None:
    once, thrice = {"forward/a": X}, parts("forward/a")
    for column, truth in ((once, thrice), (thrice, once)):
        found = as_called(column, truth)
        assert list(found) == list(truth)
        for name, of in truth.items():
            np.testing.assert_array_equal(found[name], of)


@pytest.mark.parametrize("axis", [1, 2])
def test_outputs_that_are_stacked_are_the_calls_that_the_other_side_makes(axis: int) -> None:
    each = {"forward/a": X, "forward/a:2": X + 1, "forward/a:3": X * 2}
    once = {"forward/a": np.stack([*each.values()], axis)}
    for column, truth in ((once, each), (each, once)):
        found = as_called(column, truth)
        assert list(found) == list(truth)
        for name, of in truth.items():
            np.testing.assert_array_equal(found[name], of)


def test_calls_of_other_samples_are_left_alone() -> None:
    once = {"forward/a": X[:, :5]}
    assert as_called(once, parts("forward/a")) == once


def test_shares_that_add_up_to_one_do_so_in_more_digits() -> None:
    shares = RNG.dirichlet(np.ones(7), size=5).astype(np.float32)
    assert (shares.astype(np.float64).sum(-1) != 1).any()
    np.testing.assert_allclose(as_floats(shares, "float64").sum(-1), 1, rtol=0, atol=1e-15)
    for other in (shares * np.float32(0.9), X.astype(np.float32)):
        np.testing.assert_array_equal(as_floats(other, "float64"), other.astype(np.float64))
    np.testing.assert_array_equal(as_floats(shares, "float32"), shares)


PENALTY = """
import numpy as np

def torch():
    import torch
    from torch import nn
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))

    def train_step(model, loss, optimizer, batch):
        x = batch[0].clone().requires_grad_()
        value = model(x).sum()
        (slope,) = torch.autograd.grad(value, x, create_graph=True)
        value = ((slope.norm(dim=1) - 1) ** 2).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value

    return {
        "model": model, "loss": None, "optimizer": torch.optim.SGD(model.parameters(), 0.1), "train_step": train_step,
    }

def again():
    return torch()

def batches():
    yield np.ones((2, 3)), np.zeros(2)
"""


def test_gradients_that_come_by_in_several_passes_are_not_compared_where_they_pass(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "port.py"
    file.write_text(PENALTY, "utf-8")
    _, again = check(file, steps=1, mode="resync").results
    comparison = again.cells["rules"].comparison
    assert again.green
    assert comparison is not None
    assert {"grad/0.weight", "grad/2.weight", "forward/2"} <= set(comparison.measures)
    assert "backward/1" not in comparison.measures


ORDERS = """
import numpy as np

def _side(of):
    import torch
    from torch import nn
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return of(self.head, torch.tanh(self.body(x)))

    model = Net()
    return model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)

def origin():
    return _side(lambda head, x: head(x.mean(1)))

def after():
    return _side(lambda head, x: head(x).mean(1))

def wrong():
    return _side(lambda head, x: head(x).sum(1))

def batches():
    rng = np.random.default_rng(0)
    for _ in range(2):
        yield rng.normal(size=(5, 6, 3)), rng.integers(0, 2, 5)
"""


def test_an_output_of_another_shape_is_no_mistake_if_all_that_comes_of_it_is_right(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "port.py"
    file.write_text(ORDERS, "utf-8")
    _, after, wrong = check(file, steps=2, mode="resync").results
    assert after.green
    assert "of another shape, and not compared: head" in after.cells["rules"].judgement.message
    assert not wrong.green
    assert wrong.cells["rules"].judgement.first == "forward/head"


OFTEN = """
import numpy as np

class Loss:
    def __call__(self, out, y):
        return ((out - y) ** 2).mean()

    def size(self, a):
        return 0.1 * (a ** 2).mean()

def _side(scale, tables):
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(5, 4), nn.Linear(4, 1)

        def forward(self, x):
            seen = self.table(x)
            again = self.table(x) if tables == 2 else seen
            return self.head(seen).squeeze(-1), scale * again

    torch.manual_seed(0)
    model = Net()

    def train_step(model, loss, optimizer, batch):
        out, again = model(batch[0])
        value = loss(out, batch[1]) + loss.size(again)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value

    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return {"model": model, "loss": Loss(), "optimizer": optimizer, "train_step": train_step}

def twice():
    return _side(1.0, 2)

def once():
    return _side(1.0, 1)

def wrong():
    return _side(1.01, 1)

def batches():
    rng = np.random.default_rng(0)
    while True:
        yield rng.integers(0, 5, 6), rng.normal(size=6).astype("float32")
"""


def test_a_part_of_a_gradient_is_not_compared_where_a_unit_is_called_more_often(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    file = tmp_path / "port.py"
    file.write_text(OFTEN, "utf-8")
    _, once, wrong = check(file, steps=2, mode="resync").results
    assert once.green
    assert "called more often on one side, and not compared: table" in once.cells["rules"].judgement.message
    assert not wrong.green
