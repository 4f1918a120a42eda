"""Causes where tensors and calls change places: an order, two states, a state for its update, lines that are alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isograd.ports.checking import check
from isograd.report.ports import Checked

pytestmark = pytest.mark.nightly

pytest.importorskip("torch")

FILE = """
import numpy as np

def _model():
    import torch
    from torch import nn

    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin, self.peep = nn.Linear(8, 15), nn.Parameter(torch.randn(5))

        def output(self, o, old, new):
            return o + self.peep * new

        def forward(self, x, h, c):
            i, o, g = self.lin(torch.cat([x, h], 1)).chunk(3, 1)
            old, c = c, c + i.sigmoid() * g.tanh()
            return self.output(o, old, c).sigmoid() * c.tanh(), c

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder, self.head = Cell(), Cell(), nn.Linear(5, 4)
            self.mix, self.bias = nn.Parameter(torch.randn(6, 6)), nn.Parameter(torch.randn(5))

        def handed(self, h, c):
            return h, c

        def mixed(self, x):
            return self.mix @ x + self.bias

        def forward(self, x):
            h = c = x.new_zeros(len(x), 5)
            for t in range(3):
                h, c = self.encoder(x[:, t], h, c)
            h, c = self.handed(h, c)
            for t in range(3):
                h, c = self.decoder(x[:, t], h, c)
            return self.head(self.mixed(self.squashed(h)))

        def squashed(self, h):
            return (3.0 * h.tanh()).sin()

    class Loss(nn.Module):
        def sizes(self, a, b):
            p = (a[:, 1:] - a[:, :-1]).abs()
            q = (b[:, 1:] - b[:, :-1]).abs()
            return p, q

        def forward(self, a, b):
            p, q = self.sizes(a, b)
            return (p - q).abs().mean() + ((a - b) ** 2).mean()

    return torch, Cell, Net, Loss

def _side(model=None, loss=None):
    torch, Cell, Net, Loss = _model()
    torch.manual_seed(0)
    net = Net()
    for name, change in (model or {}).items():
        for part in (net, net.encoder, net.decoder):
            if hasattr(part, name):
                setattr(part, name, change.__get__(part))
    own = Loss()
    for name, change in (loss or {}).items():
        setattr(own, name, change.__get__(own))
    return net, own, torch.optim.SGD(net.parameters(), 0.1)

def origin():
    return _side()

def old_state():
    return _side({"output": lambda self, o, old, new: o + self.peep * old})

def handed_over():
    return _side({"handed": lambda self, h, c: (c, h)})

def bias_first():
    return _side({"mixed": lambda self, x: self.mix @ (x + self.bias)})

def sine_first():
    return _side({"squashed": lambda self, h: 3.0 * h.sin().tanh()})

def signed():
    def sizes(self, a, b):
        return a[:, 1:] - a[:, :-1], b[:, 1:] - b[:, :-1]
    return _side(loss={"sizes": sizes})

def batches():
    rng = np.random.default_rng(1)
    for _ in range(2):
        yield rng.normal(size=(6, 3, 3)), rng.normal(size=(6, 4))
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    file: Path = tmp_path_factory.mktemp("orders") / "port.py"
    file.write_text(FILE)
    return check(file, steps=2, mode="resync", runs=4)


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ("old_state", r"mul between .*: it is given what add \(port.py, line \d+\) is given there"),
        ("handed_over", r"cat between .*: what it is given and what \w+ .* gives are in each other's place"),
        ("bias_first", r"matmul .* comes after add \(port.py, line \d+\) there, and before it here: the order is"),
        ("sine_first", r"^sin between .* comes before tanh \(port.py, line \d+\) there, and after it here"),
        ("signed", r"abs between \w+ and loss .*: left out there.* \(and so in line \d+\)$"),
    ],
)
def test_what_changed_places_is_named(side: str, words: str, checked: Checked) -> None:
    (result,) = [result for result in checked.results if result.side == side]
    assert re.search(words, result.cause), f"{result.cause!r}: {result.deciding.judgement.message}"
