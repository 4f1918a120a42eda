"""What a user may ask of a check: modules left out, another interpreter, starts; and what is drawn is told."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from isograd.errors import IsogradError
from isograd.ports.checking import check
from isograd.ports.pairing import Pairing
from isograd.ports.result import STARTS
from isograd.ports.starts import order, starts
from isograd.ports.trying import exchanged
from isograd.report.ports.text import plain_text
from isograd.structure import Call, Structure, Unit

pytestmark = pytest.mark.nightly

pytest.importorskip("torch")

FILE = """
import numpy as np

def _side(aux=False, drawn=False, zero=False):
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 40), nn.Linear(40, 3)
            if aux:
                self.aux = nn.Linear(4, 4)

        def forward(self, x):
            h = self.a(x)
            return self.b(h + torch.rand_like(h) if drawn else h)

    model = Net()
    if zero:
        nn.init.zeros_(model.a.bias)
    return model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)

def origin():
    return _side(aux=True)

def other():
    return _side(zero=True)

def drawing():
    return _side(drawn=True)

def batches():
    rng = np.random.default_rng(0)
    for _ in range(2):
        yield rng.normal(size=(4, 8)).astype("float32"), rng.integers(0, 3, 4)
"""


CALLED = """
import numpy as np

def _attention(names, order):
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            for name in names:
                setattr(self, name, nn.Linear(8, 8))

        def forward(self, x):
            made = {at: getattr(self, names[at])(x) for at in order}
            q, k, v = made[0], made[1], made[2]
            return getattr(self, names[3])(torch.softmax(q @ k.T, -1) @ v)

    model = Attention()
    return model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)

def attention():
    return _attention(("query", "key", "value", "dense"), (0, 1, 2))

def called_backwards():
    return _attention(("q_proj", "k_proj", "v_proj", "out_proj"), (2, 1, 0))

def batches():
    yield np.random.default_rng(0).normal(size=(6, 8)), np.arange(6)
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "port.py").write_text(FILE)
    return str(tmp_path / "port.py")


def test_what_is_left_out_is_not_compared_and_starts_are_where_that_is_asked(file: str) -> None:
    options = {"steps": 2, "mode": "resync", "runs": 2, "starts": True, "python": {"other": sys.executable}}
    checked = check(f"{file}:origin", f"{file}:other", without={"aux": "is not ported yet"}, **options)
    cells = checked.results[1].cells
    assert {stage: cell.verdict.green for stage, cell in cells.items()} == {
        "rules": True,
        "resync": True,
        STARTS: False,
    }
    assert cells[STARTS].judgement.message.startswith("a.bias starts with 0 everywhere there, mean")
    assert "left out: aux: is not ported yet" in plain_text(checked)


def test_what_a_model_draws_is_said_and_is_the_cause(file: str) -> None:
    checked = check(f"{file}:other", f"{file}:drawing", steps=1, mode="resync", runs=2)
    assert checked.results[0].cause == ""
    assert checked.results[1].cause.startswith("b of drawing draws random numbers")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"without": {"auxx": ""}}, "expected a module of a side, such as a, b, aux; got auxx"),
        ({"python": {"nobody": sys.executable}}, "expected a side, one of origin, other, drawing; got nobody"),
        ({"python": {"other": "/no/python"}}, "expected an interpreter"),
    ],
)
def test_an_option_that_is_none_of_the_ports(options: dict[str, dict[str, str]], words: str, file: str) -> None:
    with pytest.raises(IsogradError, match=words):
        check(file, steps=1, runs=1, **options)  # type: ignore[arg-type]


def test_what_is_called_in_another_order_is_paired_by_trying(tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text(CALLED)
    result = check(tmp_path / "port.py", steps=1, mode="resync", runs=2).results[1]
    assert result.green
    assert result.pairing is not None
    assert result.pairing.units["q_proj"] == "query"


def test_counterparts_are_not_exchanged_where_names_say_otherwise() -> None:
    names = ("query", "key", "value", "dense")
    params = {"weight": (8, 8)}
    units = tuple(Unit(name=name, cls="Linear", kind="linear", params=params) for name in names)
    calls = tuple(Call(name=name) for name in names)
    first = Structure(framework="", version="", dtype="float32", units=units, calls=calls)

    def pairs(*there: str) -> set[tuple[str, ...]]:
        pairing = Pairing(units=dict(zip(there, names, strict=True)))
        return {tuple(other.units) for other in exchanged(pairing, first, "dense")}

    assert pairs("q_proj", "k_proj", "v_proj", "o_proj") == set()
    assert [other.units for other in exchanged(Pairing(units={"k": "query", "q": "key"}), first, "dense")] == [
        {"k": "key", "q": "query"}
    ]


def test_two_draws_of_one_distribution_are_alike_and_of_another_not() -> None:
    rng = np.random.default_rng(0)
    here = {"weight/a": rng.uniform(-1, 1, (40, 40)), "weight/b": rng.normal(size=500), "buffer/c": np.ones(3)}
    same = {"weight/x": rng.uniform(-1, 1, (40, 40)), "weight/y": rng.normal(size=500), "buffer/z": np.ones(3)}
    pairing = Pairing(params={"x": "a", "y": "b", "z": "c"})
    assert list(starts(here, same, pairing)) == []
    other = same | {"weight/x": rng.uniform(-1.5, 1.5, (40, 40)), "buffer/z": np.zeros(3)}
    assert [text.partition(" starts")[0] for text in starts(here, other, pairing)] == ["a", "c"]


def test_the_order_of_data() -> None:
    rng = np.random.default_rng(0)
    here = [(rng.normal(size=(3, 2)), rng.integers(0, 9, 3)) for _ in range(2)]
    assert order(here, [(x.copy(), y.copy()) for x, y in here]) == ""
    assert order(here, here[::-1]) == "the same samples in another order there, from batch 0 on"
    assert order(here, [here[0], (here[1][0] + 1, here[1][1])]) == "other samples or labels there, from batch 1 on"
    assert order(here, here[:1]) == "1 batches there, 2 here"


OTHERS_DATA = """
from port import origin as _origin

def elsewhere():
    return _origin()

def batches():
    raise ValueError("the data is not here")
    yield
"""


def test_data_that_another_file_cannot_give_is_an_error_of_starts_alone(file: str, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(OTHERS_DATA)
    sides = (f"{file}:origin", f"{tmp_path / 'other.py'}:elsewhere")
    cells = check(*sides, steps=1, mode="resync", runs=2, starts=True).results[1].cells
    assert {stage: cell.verdict.green for stage, cell in cells.items()} == {
        "rules": True,
        "resync": True,
        STARTS: False,
    }
    assert "the data is not here" in cells[STARTS].judgement.message


FROM_PADDLE = """
import numpy as np

def _layers(nn, dictionary):
    return dictionary({"{first}": nn.Linear(8, 8), "{second}": nn.Linear(8, 3)})

def paddle():
    import paddle
    from paddle import nn

    class Net(nn.Layer):
        def __init__(self):
            super().__init__()
            self.layers = _layers(nn, nn.LayerDict)

        def forward(self, x):
            return self.layers["{second}"](paddle.tanh(self.layers["{first}"](x)))

    model = Net()
    return model, nn.CrossEntropyLoss(), paddle.optimizer.SGD(0.1, parameters=model.parameters())

def torch():
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = _layers(nn, nn.ModuleDict)

        def forward(self, x):
            return self.layers["{second}"](torch.tanh(self.layers["{first}"](x) * 0.7) + 0.1)

    model = Net()
    return model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)

def batches():
    yield np.random.default_rng(0).normal(size=(6, 8)).astype("float32"), np.arange(6) % 3
"""


def test_an_origin_whose_calls_cannot_be_seen_is_searched_as_far_as_it_can_be(tmp_path: Path) -> None:
    pytest.importorskip("paddle")
    told: list[str] = []
    (tmp_path / "port.py").write_text(FROM_PADDLE)
    (other,) = check(tmp_path / "port.py", steps=1, mode="resync", runs=2, progress=told.append).results
    assert not other.green
    assert other.deciding.judgement.first == "forward/layers.{second}"
    assert told[-1] == "looking for the cause in torch", "the search ended by an error"
