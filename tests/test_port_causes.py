"""Causes in a user's own code: are PyTorch's fused functions spelled out rightly, and is what was done found?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from isograd.ports.checking import check
from isograd.ports.searching import _attempt
from isograd.ports.sides import Files, SideError
from isograd.report.ports import Checked
from isograd.side.operands import Arguments, Pool
from isograd.side.program import frameworks

pytestmark = pytest.mark.nightly

torch = pytest.importorskip("torch")
F = torch.nn.functional


def drawn(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(len(shape)).normal(size=shape)).requires_grad_()


# ---------------------------------------------------------------- fused functions, spelled out


def module(cls: str, *args: Any, **options: Any) -> Callable[..., Any]:
    torch.manual_seed(0)
    made = getattr(torch.nn, cls)(*args, **options).double()
    return lambda *given, **more: made(*given, **more)


def packed(kind: str) -> Callable[[Any], Any]:
    made = module(kind, 4, 5, 2, bidirectional=True, batch_first=True)

    def run(x: Any) -> Any:
        given = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 1, 2]), True, enforce_sorted=False)
        return made(given)[0].data

    return run


MASK = torch.ones(3, 3, dtype=torch.bool).tril()
SPELLED = {
    "attention": lambda x: F.scaled_dot_product_attention(x, 2 * x, x + 1),
    "attention, causal": lambda x: F.scaled_dot_product_attention(x, 2 * x, x + 1, is_causal=True),
    "attention, masked": lambda x: F.scaled_dot_product_attention(x, 2 * x, x + 1, attn_mask=MASK),
    "attention, masked by a sum": lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=-2.0 * MASK),
    "attention, scaled": lambda x: F.scaled_dot_product_attention(x, 2 * x, x + 1, scale=0.3),
    "heads": lambda x: module("MultiheadAttention", 4, 2)(x, x, x)[0],
    "heads, keys of another width": lambda x: module("MultiheadAttention", 4, 2, kdim=3, vdim=4)(x, x[..., :3], x)[0],
    "heads, masked": lambda x: module("MultiheadAttention", 4, 2)(x, x, x, attn_mask=~MASK)[0],
    "heads, padded": lambda x: module("MultiheadAttention", 4, 2, batch_first=True)(
        x, x, x, key_padding_mask=torch.tensor([[False, False, True]] * 3)
    )[0],
    "lstm": lambda x: module("LSTM", 4, 5, 2)(x)[0],
    "lstm, both directions": lambda x: module("LSTM", 4, 5, 2, bidirectional=True, batch_first=True, bias=False)(x)[0],
    "lstm, packed": packed("LSTM"),
    "gru": lambda x: module("GRU", 4, 5, 2)(x)[0],
    "gru, packed": packed("GRU"),
    "rnn": lambda x: module("RNN", 4, 5, nonlinearity="relu")(x)[0] + module("RNN", 4, 5)(x)[0],
    "layer norm": lambda x: module("LayerNorm", [3, 4])(x),
    "linear": lambda x: module("Linear", 4, 2)(x) + module("Linear", 4, 2, bias=False)(x),
}


@pytest.mark.parametrize("name", SPELLED)
def test_a_fused_function_is_what_its_parts_are(name: str) -> None:
    from isograd.backends.pytorch.calls import mode
    from isograd.backends.pytorch.spelled import SPELLED as PARTS

    called = []

    def see(number: int, function: Any, args: Any, options: Any) -> Any:
        called.append(getattr(function, "__name__", ""))
        return function(*args, **options)

    x, y = drawn(3, 3, 4), drawn(3, 3, 4)
    plain = SPELLED[name](x)
    with mode(see, PARTS):
        parts = SPELLED[name](y)
    torch.testing.assert_close(parts, plain, rtol=1e-12, atol=1e-12)
    (plain**2).sum().backward()
    (parts**2).sum().backward()
    torch.testing.assert_close(y.grad, x.grad, rtol=1e-11, atol=1e-11)
    assert not set(called) & set(PARTS), "a part is left fused"


def test_a_call_with_the_parameters_of_the_layer_beside_its_own() -> None:
    x, one, two = drawn(2, 4), drawn(4), drawn(4).detach() * 2
    params = {"block.norm1.weight": one, "block.norm2.weight": two}
    pool = Pool(
        next(of for of in frameworks() if of.root == "torch"),
        {id(one): "block.norm1.weight", id(two): "block.norm2.weight"},
    )
    given = Arguments((x, (4,)), {"weight": two})
    (beside, _) = pool.instead(given, None)
    made = beside(params, {}, F.layer_norm, given)
    torch.testing.assert_close(made, F.layer_norm(x, (4,), one))


def test_what_no_call_has_made_can_stand_in_the_place_of_what_one_has() -> None:
    pool = Pool(next(of for of in frameworks() if of.root == "torch"), {})
    samples, other = drawn(2, 4), drawn(2, 4)
    pool.meet(Arguments((samples,), {}))
    pool.keep(0, other)
    (given,) = pool.instead(Arguments((other,), {}), None)
    assert given.of == ((0, -1),)
    torch.testing.assert_close(given({}, {-1: samples}, torch.exp, Arguments((other,), {})), samples.exp())


def test_what_a_call_is_given_is_put_by_place_by_name_and_in_lists() -> None:
    given = Arguments((1, [2, 3], (4, 5)), {"six": 6})
    places = dict(given.placed())
    assert places == {0: 1, (1, 0): 2, (1, 1): 3, (2, 0): 4, (2, 1): 5, "six": 6}
    for at, value in places.items():
        assert given.taken(at) == value
        assert given.put(at, 0).taken(at) == 0
    assert given.put((2, 1), 0).args == [1, [2, 3], (4, 0)]
    assert given.put("six", 0).of(lambda *args, **options: (args, options)) == ((1, [2, 3], (4, 5)), {"six": 0})


@pytest.mark.parametrize("found", [[], [{"outside": ["loss"], "values": [], "error": ""}], None])
def test_a_search_that_is_cut_off_loses_nothing_that_it_had_found(found: Any, tmp_path: Path) -> None:
    def ask(do: str, **options: Any) -> Future[None]:
        if found is not None:
            Path(options["told"]).write_text(json.dumps(found))
        future = Future[None]()
        future.set_exception(SideError("took longer than 300 s"))
        return future

    (tmp_path / "explained.json").write_text("of another search")
    files = Files(tmp_path)
    grounds: Any = SimpleNamespace(files=files, works=[SimpleNamespace(ask=ask)], batches=tmp_path, rate="")
    guilty: Any = SimpleNamespace(step=0, first="loss", bounds={}, clips=False)
    said: list[str] = []
    built: Any = SimpleNamespace(at=1, label="port")
    if found is None:
        with pytest.raises(SideError):
            _attempt(grounds, built, guilty, said.append, [], True)
    else:
        assert _attempt(grounds, built, guilty, said.append, [], True) == found
        assert said == ["the search for a cause in port ended: took longer than 300 s"]


# ---------------------------------------------------------------- what was done in a user's code

FILE = """
import math
import numpy as np

def _module():
    import torch
    from torch import nn
    import torch.nn.functional as F

    class Attention(nn.Module):
        def __init__(self, heads=2):
            super().__init__()
            self.heads, self.qkv, self.out = heads, nn.Linear(8, 24), nn.Linear(8, 8)

        def attend(self, q, k, v):
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)

        def forward(self, x):
            q, k, v = (p.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for p in self.qkv(x).split(8, 2))
            return self.out(self.attend(q, k, v).transpose(1, 2).reshape(x.shape))

    class Net(nn.Module):
        def __init__(self, attention=Attention):
            super().__init__()
            self.embed, self.attention = nn.Embedding(9, 8), attention()
            self.norm, self.one, self.two = nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.rnn, self.head = nn.LSTM(8, 6, 2, batch_first=True), nn.Linear(6, 3)

        def body(self, x):
            x = x + self.attention(self.norm(x))
            return self.two(F.relu(self.one(x)))

        def forward(self, tokens):
            return self.head(self.rnn(self.body(self.embed(tokens)))[0][:, -1])

    return torch, nn, F, Attention, Net

def _side(net, step=None, **options):
    torch, nn, F, Attention, Net = _module()
    torch.manual_seed(0)
    model = net(torch, nn, F, Attention, Net)
    return {"model": model, "loss": nn.CrossEntropyLoss(), "optimizer": torch.optim.SGD(model.parameters(), 0.1)}

def origin():
    return _side(lambda torch, nn, F, Attention, Net: Net())

def heads():
    return _side(lambda torch, nn, F, Attention, Net: Net(lambda: Attention(4)))

def mask_after_softmax():
    def net(torch, nn, F, Attention, Net):
        class Other(Attention):
            def attend(self, q, k, v):
                weights = (q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))).softmax(-1)
                return weights.tril() @ v
        return Net(Other)
    return _side(net)

def forget_bias():
    def net(torch, nn, F, Attention, Net):
        class LSTM(nn.LSTM):
            def forward(self, x, state=None):
                for layer in range(2):
                    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                    w, u, b, c = (getattr(self, f"{name}_l{layer}") for name in names)
                    h = s = x.new_zeros(len(x), 6)
                    out = []
                    for t in range(x.size(1)):
                        i, f, g, o = (F.linear(x[:, t], w, b) + F.linear(h, u, c)).chunk(4, -1)
                        s = (f + 1).sigmoid() * s + i.sigmoid() * g.tanh()
                        h = o.sigmoid() * s.tanh()
                        out.append(h)
                    x = torch.stack(out, 1)
                return x, None
        model = Net()
        model.rnn = LSTM(8, 6, 2, batch_first=True)
        return model
    return _side(net)

def residual_of_norm():
    def net(torch, nn, F, Attention, Net):
        class Other(Net):
            def body(self, x):
                y = self.norm(x)
                return self.two(F.relu(self.one(y + self.attention(y))))
        return Other()
    return _side(net)

def detached():
    def net(torch, nn, F, Attention, Net):
        class Other(Attention):
            def attend(self, q, k, v):
                return super().attend(q, k.detach(), v)
        return Net(Other)
    return _side(net)

def two_mistakes():
    def net(torch, nn, F, Attention, Net):
        class Other(Net):
            def forward(self, tokens):
                return self.head(self.rnn(self.body(self.embed(tokens)))[0].mean(1))
        return Other(lambda: Attention(4))
    return _side(net)

def batches():
    rng = np.random.default_rng(1)
    for _ in range(2):
        yield rng.integers(0, 9, (4, 5)), rng.integers(0, 3, 4)
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    file = tmp_path_factory.mktemp("causes") / "port.py"
    file.write_text(FILE)
    return check(file, steps=2, mode="resync", runs=4)


@pytest.mark.parametrize(
    ("side", "words"),
    [
        ("heads", r"attention \(Attention\): heads is 4 there, 2 here"),
        ("mask_after_softmax", r"masked after the softmax"),
        ("forget_bias", r"lstm.*the forget gate: of what is moved by 1 there"),
        ("residual_of_norm", r"line \d+\): it is given what norm gives"),
        ("detached", r"scaled_dot_product_attention.*its second operand is detached"),
        ("two_mistakes", r"heads is 4 there, 2 here; .*but not for forward/head: there is something else"),
    ],
)
def test_what_was_done_in_a_users_code_is_named_with_its_place(side: str, words: str, checked: Checked) -> None:
    (result,) = [result for result in checked.results if result.side == side]
    assert re.search(words, result.cause), f"{result.cause!r}: {result.deciding.judgement.message}"


GATED = """
import numpy as np

def _gated(exchanged=False, dilation=1):
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.filter, self.gate = nn.Conv1d(4, 4, 3, padding="same"), nn.Conv1d(4, 4, 3, padding="same")

        def forward(self, x):
            if exchanged:
                return torch.sigmoid(self.filter(x)) * torch.tanh(self.gate(x))
            return torch.tanh(self.filter(x)) * torch.sigmoid(self.gate(x))

    torch.manual_seed(0)
    model = nn.Sequential(Block(), Block(), nn.Flatten(), nn.Linear(28, 3))
    if dilation > 1:
        model[0].filter.dilation, model[0].filter.stride = (dilation,), (1,)
        model[0].register_forward_pre_hook(lambda module, args: (args[0] * 1.1,))
    return model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)

def origin():
    return _gated()

def exchanged():
    return _gated(exchanged=True)

def dilated():
    return _gated(dilation=2)

def batches():
    yield np.random.default_rng(1).normal(size=(5, 4, 7)), np.arange(5) % 3
"""


def test_outputs_that_are_taken_for_one_another_and_a_setting_that_does_not_account_for_all(tmp_path: Path) -> None:
    (tmp_path / "port.py").write_text(GATED)
    _, exchanged, dilated = check(tmp_path / "port.py", steps=1, mode="resync", runs=2).results
    assert exchanged.cause.startswith("what 0.filter and 0.gate give is exchanged there")
    assert dilated.cause.startswith("0.filter: dilation is (2,) there, (1,) here; that alone does not account for it")
