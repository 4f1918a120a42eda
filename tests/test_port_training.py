"""What is done to gradients and rates: are ports right that clip, have groups and schedules, and wrong ones told?"""

from __future__ import annotations

from pathlib import Path

import pytest

from isograd.judging import Verdict
from isograd.ports.checking import check
from isograd.ports.result import RULES
from isograd.report.ports import Checked

pytest.importorskip("torch")
pytest.importorskip("paddle")

FILE = """
import numpy as np

def torch():
    import torch
    from torch import nn
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    groups = [{"params": model[0].parameters(), "lr": 0.02}, {"params": model[2].parameters()}]
    optimizer = torch.optim.SGD(groups, 0.1, momentum=0.9, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    def train_step(model, loss, optimizer, batch):
        value = loss(model(batch[0]), batch[1])
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
        return value

    return model, nn.CrossEntropyLoss(), optimizer, schedule, train_step

def _paddle(scale=0.2, gamma=0.5, clipped=True, decay=0.01):
    import paddle
    from paddle import nn
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    rate = paddle.optimizer.lr.StepDecay(0.1, 1, gamma)
    groups = [
        {"params": model[0].parameters(), "learning_rate": scale},
        {"params": model[2].parameters(), "weight_decay": decay},
    ]
    optimizer = paddle.optimizer.Momentum(rate, 0.9, parameters=groups, weight_decay=0.01)
    if clipped == "by group":
        optimizer._grad_clip = paddle.nn.ClipGradByGlobalNorm(0.1)

    def train_step(model, loss, optimizer, batch):
        value = loss(model(batch[0]), batch[1])
        value.backward()
        if clipped is True:
            paddle.nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.clear_grad()
        return value

    return model, nn.CrossEntropyLoss(), optimizer, rate, train_step

def right():
    return _paddle()

def absolute_rate():
    return _paddle(scale=0.02)

def other_schedule():
    return _paddle(gamma=0.1)

def no_decay():
    return _paddle(decay=0.0)

def clipped_by_group():
    return _paddle(clipped="by group")

def batches():
    rng = np.random.default_rng(0)
    for _ in range(3):
        yield rng.normal(size=(5, 6)).astype("float32"), rng.integers(0, 3, 5)
"""

CLIPPED = """
import numpy as np

def torch():
    import torch
    from torch import nn
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

    def train_step(model, loss, optimizer, batch):
        value = loss(model(batch[0]), batch[1])
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        optimizer.step()
        optimizer.zero_grad()
        return value

    return {
        "model": model, "loss": nn.CrossEntropyLoss(), "optimizer": torch.optim.SGD(model.parameters(), 0.1),
        "train_step": train_step,
    }

def paddle():
    import paddle
    from paddle import nn
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    clip = nn.ClipGradByGlobalNorm(1e-3)
    return model, nn.CrossEntropyLoss(), paddle.optimizer.SGD(0.1, model.parameters(), grad_clip=clip)

def batches():
    yield (np.random.default_rng(0).normal(size=(5, 6)) * 1e-3).astype("float32"), np.arange(5) % 3
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    file = tmp_path_factory.mktemp("training") / "port.py"
    file.write_text(FILE)
    return check(file, steps=3, mode="resync", runs=4)


def test_groups_that_scale_a_rate_and_a_schedule_beside_a_step_of_ones_own_are_right(checked: Checked) -> None:
    (right,) = [result for result in checked.results if result.side == "right"]
    assert right.green, right.deciding.judgement.message


@pytest.mark.parametrize(
    ("side", "first", "words"),
    [
        ("absolute_rate", "lr", "optimizer, 0.weight: lr is 0.002 there, 0.02 here"),
        ("other_schedule", "lr", "schedule: gamma is 0.1 there, 0.5 here"),
        ("no_decay", "state/2.weight.velocity", "optimizer, 2.weight: weight decay is 0 there, 0.01 here"),
        ("clipped_by_group", "grad/2.bias", ""),
    ],
)
def test_what_is_otherwise_is_told(side: str, first: str, words: str, checked: Checked) -> None:
    (result,) = [result for result in checked.results if result.side == side]
    assert result.deciding.verdict is Verdict.DIVERGES
    assert result.deciding.judgement.first == first
    assert result.cause.startswith(words)


def test_a_clip_that_divides_by_just_the_norm_is_expected(tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text(CLIPPED)
    cell = check(tmp_path / "port.py", steps=1, mode="resync", runs=4).results[1].cells[RULES]
    assert cell.verdict is Verdict.EXPECTED
    assert "clip_grad_norm_ by that and 1e-06" in cell.judgement.message


CHAINED = """
import numpy as np

def _torch(steps_itself):
    import torch
    from torch import nn
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    lr = torch.optim.lr_scheduler
    schedule = lr.ExponentialLR(optimizer, 0.5)
    if steps_itself:
        schedule = lr.ChainedScheduler([schedule])

    def train_step(model, loss, optimizer, batch):
        optimizer.zero_grad()
        value = loss(model(batch[0]), batch[1])
        value.backward()
        optimizer.step()
        schedule.step()
        return value

    return model, nn.CrossEntropyLoss(), optimizer, schedule, train_step if steps_itself else None

def plain():
    return _torch(False)

def chained():
    return _torch(True)

def batches():
    for seed in range(3):
        yield np.random.default_rng(seed).normal(size=(5, 6)), np.arange(5) % 3
"""


def test_a_schedule_that_a_step_of_ones_own_has_stepped_is_stepped_once(tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text(CHAINED)
    assert all(result.green for result in check(tmp_path / "port.py", steps=3, mode="resync", runs=2).results)
