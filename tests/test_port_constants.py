"""Constants that a user's own modules hold: what the code makes otherwise is red, what is drawn or rounded is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from isograd.ports.checking import check
from isograd.ports.constants import drawn
from isograd.ports.pairing import pair
from isograd.report.ports import Checked
from isograd.structure import Structure, Unit

pytestmark = pytest.mark.nightly

pytest.importorskip("torch")

FILE = """
import math
import numpy as np

def _side(change=None, hold="buffer", dtype=None, seed=0, off=0):
    import torch
    from torch import nn
    torch.manual_seed(seed)
    dtype = dtype or torch.get_default_dtype()

    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            at = torch.arange(7, dtype=dtype)[:, None]
            by = torch.exp(torch.arange(0, 8, 2, dtype=dtype) * (-math.log(10000.0) / 8))
            table = torch.stack([torch.sin(at * by), torch.cos(at * by)], -1).flatten(1)
            table = change(table) if change else table
            if hold == "attribute":
                self.table = table
            else:
                self.register_buffer("table", table, persistent=hold == "buffer")

        def forward(self, x):
            return x + self.table.to(x.dtype)

    class Features(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("directions", torch.randn(8, 8))
            self.register_buffer("order", torch.randperm(8))
            self.register_buffer("offsets", torch.tensor([0, 100000 + off]))

        def forward(self, x):
            return torch.tanh(x[..., self.order] @ self.directions) + (self.offsets[1] - 100000)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.positions, self.features = nn.Embedding(9, 8), Positions(), Features()
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.features(self.positions(self.embed(x))).mean(1))

    model = Net()
    return model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)

def origin():
    return _side()

def drawn():
    return _side(seed=1)

def attribute():
    return _side(hold="attribute")

def offset():
    return _side(off=1)

def single():
    import torch
    return _side(hold="passing", dtype=torch.float32)

def halves():
    import torch
    return _side(lambda table: torch.cat([table[:, ::2], table[:, 1::2]], 1))

def scaled():
    return _side(lambda table: table * 1.001)

def batches():
    rng = np.random.default_rng(0)
    for _ in range(2):
        yield rng.integers(0, 9, (5, 7)), rng.integers(0, 3, 5)
"""

RIGHT = ("drawn", "attribute", "single")
WRONG = {
    "halves": "positions.table holds other numbers there: the same ones in another order",
    "scaled": "positions.table holds other numbers there: they are 1.001 times as large",
}


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    file = tmp_path_factory.mktemp("port") / "port.py"
    file.write_text(FILE, "utf-8")
    return check(*(f"{file}:{name}" for name in ("origin", *RIGHT, *WRONG, "offset")), steps=2, mode="resync")


@pytest.mark.parametrize("side", RIGHT)
def test_what_is_drawn_or_held_in_another_way_is_right(side: str, checked: Checked) -> None:
    found = next(result for result in checked.results if result.side == side)
    assert found.green, [cell.judgement.message for cell in found.cells.values()]


@pytest.mark.parametrize("side", WRONG)
def test_what_the_code_makes_otherwise_is_red_and_named(side: str, checked: Checked) -> None:
    found = next(result for result in checked.results if result.side == side)
    assert not found.green
    assert found.cells["rules"].judgement.first == "forward/positions"
    assert found.cause.startswith(WRONG[side])


def test_whole_numbers_that_the_code_makes_are_each_sides_own(checked: Checked) -> None:
    found = next(result for result in checked.results if result.side == "offset")
    assert found.cells["rules"].judgement.first == "forward/features"


def test_whole_numbers_that_are_drawn_are_paired_by_name_and_then_in_order() -> None:
    def drawing(*names: str) -> Structure:
        return of().model_copy(update={"drawn": names})

    first = drawing("a.order", "b.order")
    assert drawn(first, drawing("b.order", "a.order")) == {"b.order": "b.order", "a.order": "a.order"}
    assert drawn(first, drawing("one.p", "two.p")) == {"one.p": "a.order", "two.p": "b.order"}
    assert drawn(first, drawing("one.p")) == {}


def of(*units: Unit) -> Structure:
    return Structure(framework="torch", version="", dtype="float32", units=units)


def test_modules_that_hold_buffers_alone_are_paired_by_name_and_hinder_nobody() -> None:
    linear = Unit(name="a", cls="Linear", kind="linear", params={"weight": (2, 3)})
    table = Unit(name="t", cls="Table", kind="Table", known=False, buffers={"b": (4,)})
    more = Unit(name="u", cls="Table", kind="Table", known=False, buffers={"b": (4,)})
    found = pair(of(linear, table), of(linear, table, more))
    assert (found.how, dict(found.params)) == ("name", {"a.weight": "a.weight", "t.b": "t.b"})


def test_held_numbers_move_by_what_float32_makes_of_them_and_are_put_back() -> None:
    from isograd.backends.pytorch.noise.training import noise
    from isograd.framework import Trainee

    torch = pytest.importorskip("torch")

    class Holds(torch.nn.Module):  # type: ignore[misc,name-defined] # frameworks come without types
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("whole", torch.arange(5.0, dtype=torch.float64))
            self.register_buffer("written", torch.full((5,), 0.3, dtype=torch.float64))
            self.third = torch.full((5,), 1 / 3, dtype=torch.float64)

    model = Holds()
    trainee = Trainee(model, None, {}, None, None, None)
    with noise(1, "float64", 1.0, constants=True, rates=False).over(trainee, 0):
        assert torch.equal(model.whole, torch.arange(5.0, dtype=torch.float64))
        off = np.abs(model.third.numpy() * 3 - 1)
        assert (off > 0).all()
        assert (off < 2.0**-23).all()
        model.written.fill_(0.5)
    assert torch.equal(model.third, torch.full((5,), 1 / 3, dtype=torch.float64))
    assert torch.equal(model.written, torch.full((5,), 0.5, dtype=torch.float64))


CASTS = """
import numpy as np

def _side(norm):
    import torch
    from torch import nn
    torch.manual_seed(0)

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(24))

        def forward(self, x):
            return norm(x.float()).type_as(x) * self.weight

    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), Norm(), nn.Linear(24, 3))
    return model, lambda out, y: nn.functional.cross_entropy(out.float(), y), torch.optim.SGD(model.parameters(), 0.1)

def origin():
    return _side(lambda x: x * (x.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt())

def other():
    return _side(lambda x: x / ((x * x).flip(-1).cumsum(-1)[..., -1:] / 24 + 1e-6).sqrt())

def wrong():
    return _side(lambda x: x / ((x * x).mean(-1, keepdim=True) + 1e-3).sqrt())

def batches():
    rng = np.random.default_rng(0)
    for _ in range(2):
        yield rng.normal(size=(5, 6)).astype("float32"), rng.integers(0, 3, 5)
"""


def test_what_a_model_casts_to_fewer_digits_rounds_as_these_do(tmp_path: Path) -> None:
    file = tmp_path / "port.py"
    file.write_text(CASTS, "utf-8")
    _, other, wrong = check(file, steps=2, mode="resync").results
    assert other.green, other.cells["rules"].judgement.message
    assert wrong.cells["rules"].judgement.first == "forward/2"
    assert "its constant 1e-06 is 0.001" in wrong.cause
