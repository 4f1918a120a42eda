"""What modules keep from step to step beside the state: every run in a process begins as the first began."""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from isograd.ports.checking import check
from isograd.report.ports import Checked
from isograd.side.memory import remembered, saved
from isograd.side.program import frameworks

pytestmark = pytest.mark.nightly

torch = pytest.importorskip("torch")
pytest.importorskip("paddle")

FILE = """
import numpy as np

class Keeps:
    def keep(self):
        self.rng, self.count, self.hidden, self.seen = np.random.default_rng(3), 0, None, []

    def stepped(self, x, by):
        # a counter in a buffer and one in an attribute, a state, a mean that is another tensor each time, a generator
        h = self.cell(x) * (by / (1.0 + 0.5 * float(self.steps) + 0.1 * self.count + len(self.seen)))
        h = h + (0 if self.hidden is None else 0.5 * self.hidden) + float(self.rng.normal())
        self.steps += 1
        self.count, self.hidden = self.count + 1, h.detach()
        self.seen.append(self.count)
        self.level = (0.9 * self.level + 0.1 * h.mean()).detach()
        return self.head(h) + self.level

def torch(by=1.0):
    import torch
    from torch import nn

    class Net(Keeps, nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.Linear(6, 5), nn.Linear(5, 3)
            self.register_buffer("steps", torch.zeros((), dtype=torch.long))
            self.register_buffer("level", torch.zeros(()))
            self.keep()

        def forward(self, x):
            return self.stepped(x, by)

    model = Net()
    return model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)

def wrong():
    return torch(1.0001)

def paddle():
    import paddle
    from paddle import nn

    class Net(Keeps, nn.Layer):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.Linear(6, 5), nn.Linear(5, 3)
            self.register_buffer("steps", paddle.zeros([], dtype="int64"))
            self.register_buffer("level", paddle.zeros([]))
            self.keep()

        def forward(self, x):
            return self.stepped(x, 1.0)

    model = Net()
    return model, nn.CrossEntropyLoss(), paddle.optimizer.SGD(0.1, parameters=model.parameters())

def batches():
    rng = np.random.default_rng(0)
    for _ in range(4):
        yield rng.normal(size=(8, 6)).astype("float32"), rng.integers(0, 3, 8)
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    file: Path = tmp_path_factory.mktemp("memory") / "port.py"
    file.write_text(FILE, "utf-8")
    return check(*(f"{file}:{side}" for side in ("torch", "wrong", "paddle")), steps=4, mode="both", runs=4)


def test_what_modules_keep_makes_no_right_port_red(checked: Checked) -> None:
    found = {result.side: result for result in checked.results}
    for side in set(found) - {"wrong"}:
        assert found[side].green, [cell.judgement.message for cell in found[side].cells.values()]


def test_nor_a_wrong_one_green(checked: Checked) -> None:
    (wrong,) = [result for result in checked.results if result.side == "wrong"]
    assert [cell.judgement.step for cell in wrong.cells.values()] == [0, 0, 0]
    assert not any(cell.verdict.green for cell in wrong.cells.values())


FRAMEWORK = next(framework for framework in frameworks() if framework.root == "torch")


def test_things_of_every_kind_are_put_back() -> None:
    tensor, array = torch.arange(3.0), np.arange(3)
    makers = (np.random.default_rng(0), np.random.RandomState(0), random.Random(0))
    things = {"list": [1, tensor], "queue": deque([array], maxlen=2), "set": {1}, "dict": {"a": (tensor, 2)}}
    put_back = saved(FRAMEWORK, [tensor, array, *makers, things])
    assert put_back is not None
    drawn = [makers[0].random(), makers[1].random_sample(), makers[2].random()]
    tensor.mul_(2), things["list"].append(3), things["queue"].append(4), things["set"].add(5), things["dict"].clear()
    array[:] = 7
    again = put_back()
    assert [again[2].random(), again[3].random_sample(), again[4].random()] == drawn
    assert again[0] is tensor
    assert tensor.tolist() == [0, 1, 2]
    assert array.tolist() == [0, 1, 2]
    assert things["list"] == [1, tensor]
    assert [*things["queue"]] == [array]
    assert things["set"] == {1}
    assert things["dict"] == {"a": (tensor, 2)}


def test_what_nobody_can_put_back_is_left_alone() -> None:
    itself: list[object] = []
    itself.append(itself)
    for thing in (object(), [object()], open, {"a": lambda: 0}, itself):
        assert saved(FRAMEWORK, thing) is None


def test_what_came_later_is_removed_and_frameworks_keep_their_own() -> None:
    class Own(torch.nn.Linear):
        pass

    from isograd.framework import Trainee

    model = torch.nn.Sequential(Own(2, 2), torch.nn.Linear(2, 2))
    put_back = remembered(FRAMEWORK, Trainee(model, None, {}))
    model[0].cache, model[1].cache = torch.zeros(2), torch.zeros(2)
    model[0].register_buffer("later", torch.zeros(2))
    model[0].eval()
    put_back()
    assert not hasattr(model[0], "cache")
    assert not hasattr(model[0], "later")
    assert hasattr(model[1], "cache")
    assert not model[0].training


EMPTY = """
import numpy as np

def torch():
    import torch
    from torch import nn
    model = nn.LSTM(3, 4, batch_first=True)
    loss = lambda out, y: ((out[0].mean((1, 2)) - y) ** 2).mean()
    return model, loss, torch.optim.SGD(model.parameters(), 0.1)

def paddle():
    import paddle
    from paddle import nn

    class Mine(nn.LSTM):  # whose own buffer has no numbers yet
        pass

    model = Mine(3, 4)
    loss = lambda out, y: ((out[0].mean((1, 2)) - y) ** 2).mean()
    return model, loss, paddle.optimizer.SGD(0.1, parameters=model.parameters())

def batches():
    rng = np.random.default_rng(0)
    while True:
        yield rng.normal(size=(4, 5, 3)).astype("float32"), rng.normal(size=4).astype("float32")
"""


def test_a_tensor_without_numbers_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text(EMPTY, "utf-8")
    (_, paddle) = check(tmp_path / "port.py", steps=1, mode="resync").results
    assert paddle.green, next(iter(paddle.cells.values())).judgement.message
