"""Do noisy runs of a user's own training show what rounding does to it, and no more?"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from isograd.arithmetic.noise import noise_scales
from isograd.floors import floored

torch = pytest.importorskip("torch")
noise = pytest.importorskip("isograd.backends.pytorch.noise")
operations = pytest.importorskip("isograd.backends.pytorch.noise.operations")
nn, functional = torch.nn, torch.nn.functional

RUNS, FACTOR, STEPS = 16, 6.0, 3
SCALES = noise_scales(RUNS, FACTOR)
Seen = dict[str, np.ndarray]


class Mlp(nn.Module):
    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 24), nn.LayerNorm(24, eps=eps), nn.GELU(), nn.Dropout(0.0), nn.Linear(24, 4)
        )

    def forward(self, x: Any) -> Any:
        return self.body(x)


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, bias=False),
            nn.BatchNorm2d(6),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(54, 4),
        )

    def forward(self, x: Any) -> Any:
        return self.body(x.reshape(-1, 1, 12, 12))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, activation="gelu")
        self.head = nn.Linear(8, 4)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(x.reshape(len(x), -1, 8)).mean(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, 12, batch_first=True)
        self.head = nn.Linear(12, 4)

    def forward(self, x: Any) -> Any:
        return self.head(self.layer(x.reshape(len(x), -1, 8))[0][:, -1])


MODELS: dict[str, tuple[Callable[[], Any], int]] = {
    "mlp": (Mlp, 6),
    "cnn": (Cnn, 144),
    "transformer": (Transformer, 24),
    "lstm": (Recurrent, 24),
}
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "sgd": lambda parameters, **options: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, **options),
    "adam": lambda parameters, **options: torch.optim.Adam(parameters, lr=1e-3, weight_decay=1e-4, **options),
}


@pytest.fixture(autouse=True)
def _alone() -> Any:
    """One thread, and random numbers that no other test has drawn from."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


def batch(width: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(0.3, 1.0, (8, width))), torch.from_numpy(rng.integers(0, 4, 8))


def after_a_step(model: Any, optimizer: Any, x: Any, y: Any, mode: Any = None) -> Seen:
    """All that a step of copies gives, in float64; the model and the optimizer stay as they are."""
    model, state = copy.deepcopy(model), copy.deepcopy(optimizer.state_dict())
    own = type(optimizer)(model.parameters())
    own.load_state_dict(state)
    return of_step(model, own, x, y, mode)


def of_step(model: Any, optimizer: Any, x: Any, y: Any, mode: Any = None) -> Seen:
    optimizer.zero_grad()
    if mode is None:
        out = model(x)
        loss = functional.cross_entropy(out, y)
        loss.backward()
        optimizer.step()
    else:
        mode.hyperparameters(optimizer)
        with mode:
            out = model(x)
            loss = functional.cross_entropy(out, y)
            loss.backward()
            optimizer.step()
    seen = {"forward": out, "loss": loss}
    seen |= {f"grad/{name}": p.grad for name, p in model.named_parameters()}
    seen |= {f"weight/{name}": p for name, p in model.named_parameters()}
    seen |= {f"buffer/{name}": b for name, b in model.named_buffers() if b.is_floating_point()}
    for name, p in model.named_parameters():
        slots = optimizer.state[p].items()
        seen |= {f"state/{name}/{key}": s for key, s in slots if isinstance(s, torch.Tensor)}
    return {name: value.detach().to(torch.float64).numpy().copy() for name, value in seen.items()}


def bounds(truth: Seen, runs: list[Seen]) -> Seen:
    envelopes = {}
    for name, right in truth.items():
        off = [np.abs(run[name] - right) / scale for run, scale in zip(runs, SCALES, strict=True)]
        envelopes[name] = floored(np.max(off, axis=0)[np.newaxis], right[np.newaxis], "float32")[0]
    return envelopes


def largest(truth: Seen, other: Seen, envelopes: Seen) -> tuple[float, str]:
    found = {name: float((np.abs(other[name] - truth[name]) / envelopes[name]).max()) for name in truth}
    worst = max(found, key=lambda name: math.inf if math.isnan(found[name]) else found[name])
    return found[worst], worst


def ratios(
    model: str, optimizer: str, mode: Callable[..., Any] = noise.Noisy, change: Any = None, **options: Any
) -> list[tuple[float, str]]:
    """How many envelopes a step in float32 is off at most, of each of the first steps from the same state."""
    build, width = MODELS[model]
    right = build().double()
    steps, (x, y) = OPTIMIZERS[optimizer](right.parameters(), **options), batch(width)
    found = []
    for _ in range(STEPS):
        right, steps = rounded(right, steps)
        truth = after_a_step(right, steps, x, y)
        modes = [mode(seed, scale=scale) for seed, scale in enumerate(SCALES)]
        runs = [after_a_step(right, steps, x, y, one) for one in modes]
        assert set().union(*(one.unknown for one in modes)) == set()
        narrow = copy.deepcopy(right).float()
        if change:
            change(narrow)
        other = after_a_step(narrow, steps, x.float(), y)
        found.append(largest(truth, other, bounds(truth, runs)))
        of_step(right, steps, x, y)
    return found


def rounded(model: Any, optimizer: Any) -> tuple[Any, Any]:
    """The same, with all numbers such as float32 holds too."""
    with torch.no_grad():
        for value in [*model.parameters(), *model.buffers()]:
            value.copy_(value.float().to(value.dtype))
        for slots in optimizer.state.values():
            for value in slots.values():
                if isinstance(value, torch.Tensor):
                    value.copy_(value.float().to(value.dtype))
    return model, optimizer


# ---------------------------------------------------------------- what is right is inside, what is not is outside


PAIRS = [("mlp", "sgd"), ("mlp", "adam"), ("cnn", "sgd"), ("cnn", "adam"), ("transformer", "adam"), ("lstm", "sgd")]


@pytest.mark.parametrize(("model", "optimizer"), PAIRS)
def test_a_run_in_float32_is_within_its_envelopes(model: str, optimizer: str) -> None:
    found = ratios(model, optimizer)
    print(model, optimizer, max(found))
    assert all(ratio <= FACTOR for ratio, _ in found), found


@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": True}])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_so_is_one_whose_optimizer_takes_all_parameters_at_once(optimizer: str, options: dict[str, bool]) -> None:
    found = ratios("mlp", optimizer, **options)
    print(optimizer, options, max(found))
    assert all(ratio <= FACTOR for ratio, _ in found), found


class Plain(noise.Noisy):
    """A saboteur: noise is of each result's own size, and what is summed within is not seen."""

    def _in_parts(self, operation: Any, func: Any, args: Any, kwargs: Any) -> Any:
        return NotImplemented

    def _size(self, operation: Any, func: Any, args: Any, kwargs: Any) -> None:
        return None

    def _spreads(self, operation: Any, args: Any, kwargs: Any, results: Any) -> None:
        return None

    def _move(self, values: Any, size: Any, ulps: float) -> None:
        super()._move(values, None, 0.5)

    @property
    def unknown(self) -> set[str]:
        return set()

    @unknown.setter
    def unknown(self, value: set[str]) -> None:
        pass


def test_with_noise_of_each_results_own_size_some_run_is_outside() -> None:
    found = ratios("cnn", "adam", Plain)
    print(found)
    assert max(found)[0] > FACTOR


def test_another_epsilon_is_outside() -> None:
    def change(model: Any) -> None:
        model.body[1].eps = 1e-4

    assert all(ratio > FACTOR for ratio, _ in ratios("mlp", "sgd", change=change))


# ---------------------------------------------------------------- what is moved, and by how much


X = torch.linspace(-2.0, 3.0, 24, dtype=torch.float64).reshape(4, 6)
EXACT: dict[str, Callable[[Any], Any]] = {
    "view": lambda x: x.view(6, 4).t()[1:].unsqueeze(0),
    "contiguous": lambda x: x.t().contiguous(),
    "relu": lambda x: x.relu(),
    "clamp": lambda x: x.clamp(-1.0, 1.0),
    "max": lambda x: x.max(1)[0],
    "sort": lambda x: x.sort(1)[0],
    "pool": lambda x: functional.max_pool2d(x[None, None], 2),
    "where": lambda x: torch.where(x > 0, x, -x),
    "cat": lambda x: torch.cat([x, x.abs()]),
    "pick": lambda x: x[torch.tensor([2, 0])].gather(1, torch.tensor([[1], [2]])),
    "pad": lambda x: functional.pad(x, (1, 1)),
    "put": lambda x: x.clone().index_put_((torch.tensor([1]),), x[0]),
    "double": lambda x: 2 * x / 4.0,
    "dropout of none": lambda x: functional.dropout(x, 0.0, training=True),
    "whole numbers": lambda x: (x.round().long() * 3).sum(0),
    "complex": lambda x: torch.complex(x, x) * torch.complex(x, x),
    "empty": lambda x: x[:0].exp(),
    "a count": lambda x: torch.zeros((), dtype=x.dtype).add_(1).add_(1),
}


@pytest.mark.parametrize("name", EXACT)
def test_what_is_exact_is_not_moved(name: str) -> None:
    with noise.Noisy(0):
        moved = EXACT[name](X)
    assert torch.equal(moved, EXACT[name](X))


def test_random_numbers_are_what_they_are_without() -> None:
    def drawn() -> list[Any]:
        torch.manual_seed(3)
        return [torch.randperm(9), torch.rand(4, dtype=torch.float64), torch.empty(5, dtype=torch.float64).bernoulli_()]

    right = drawn()
    with noise.Noisy(0):
        assert all(torch.equal(a, b) for a, b in zip(drawn(), right, strict=True))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("exp", 2.0, 4.8), ("square", 0.3, 1.0), ("sum", 1.0, 24**0.5), ("tanh", 5.0, 13.2)],
)
def test_an_operation_is_moved_by_its_rounding_error(name: str, least: float, most: float) -> None:
    right = getattr(X, name)()
    off = []
    for seed in range(50):
        with noise.Noisy(seed):
            off.append((getattr(X, name)() - right).abs() / (X.abs().sum() if name == "sum" else right.abs()))
    assert least < float(torch.stack(off).max()) * 2**24 <= most * (1 + 1e-6)


IN_PLACE: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (lambda x: x.exp(), lambda x: x.clone().exp_()),
    (lambda x: torch.mul(x, x), lambda x: torch.mul(x, x, out=torch.empty_like(x))),
    (lambda x: torch.addcmul(x, x, x), lambda x: x.clone().addcmul_(x, x)),
    (lambda x: functional.silu(x), lambda x: functional.silu(x.clone(), inplace=True)),
    (lambda x: torch.mm(x, x.t()), lambda x: torch.mm(x, x.t(), out=torch.empty(4, 4, dtype=x.dtype))),
    (lambda x: torch.sum(x, 1), lambda x: torch.sum(x, 1, out=torch.empty(0, dtype=x.dtype))),
]


@pytest.mark.parametrize("at", range(len(IN_PLACE)))
def test_in_place_noise_is_the_same(at: int) -> None:
    found = []
    for do in IN_PLACE[at]:
        with noise.Noisy(1):
            found.append(do(X))
    assert torch.equal(*found)
    assert not torch.equal(found[0], IN_PLACE[at][0](X))


def test_the_same_seed_gives_the_same_noise_and_another_does_not() -> None:
    def step(seed: int) -> Any:
        model, (x, y) = Mlp().double(), batch(6)
        return after_a_step(model, OPTIMIZERS["adam"](model.parameters()), x, y, noise.Noisy(seed))

    torch.manual_seed(0)
    one = step(5)
    torch.manual_seed(0)
    again = step(5)
    torch.manual_seed(0)
    other = step(6)
    assert all(np.array_equal(one[name], again[name]) for name in one)
    assert not any(np.array_equal(one[name], other[name]) for name in one if not name.endswith("/step"))


def test_a_constant_is_the_same_everywhere_and_what_float32_holds_stays() -> None:
    ones = torch.ones(5, dtype=torch.float64)
    mode = noise.Noisy(4)
    with mode:
        a, b, half = torch.full_like(ones, 0.1), torch.full_like(ones, 0.1), torch.full_like(ones, 0.5)
        rest = torch.full_like(ones, 1 - 0.999)
    assert torch.equal(a, b)
    assert 0 < abs(float(a[0]) - 0.1) <= 0.101 * 2**-24
    assert float(half[0]) == 0.5
    assert 2**-24 * 0.001 < abs(float(rest[0]) - 0.001) <= 1.01 * 2**-24
    with noise.Noisy(4, constants=False):
        assert float(torch.full_like(ones, 0.1)[0]) == 0.1


def test_hyperparameters_are_moved_once() -> None:
    optimizer = torch.optim.Adam([torch.zeros(1, dtype=torch.float64, requires_grad=True)], lr=0.1)
    mode = noise.Noisy(2)
    mode.hyperparameters(optimizer)
    (group,) = optimizer.param_groups
    first = {key: group[key] for key in ("lr", "betas", "eps")}
    assert group["lr"] != 0.1
    assert group["betas"][0] != 0.9
    assert all(isinstance(group[key], bool) for key in ("amsgrad", "maximize"))
    mode.hyperparameters(optimizer)
    assert first == {key: group[key] for key in ("lr", "betas", "eps")}


def test_running_statistics_are_moved_with_the_rest() -> None:
    for rules in (True, False):
        layer = nn.BatchNorm1d(6).double()
        plain = copy.deepcopy(layer)
        plain(X)
        with noise.Noisy(0):
            layer(X)
        assert not torch.equal(layer.running_mean, plain.running_mean), rules
        assert torch.allclose(layer.running_var, plain.running_var, rtol=1e-5)


def test_without_decompositions_kernels_are_moved_as_wholes(monkeypatch: pytest.MonkeyPatch) -> None:
    operations.about.cache_clear()
    monkeypatch.setattr(operations, "_rules", dict)
    layer, mode = nn.BatchNorm1d(6).double(), noise.Noisy(0)
    plain = copy.deepcopy(layer)
    try:
        with mode:
            out = layer(X)
    finally:
        operations.about.cache_clear()
    right = plain(X)
    assert mode.unknown <= {"aten::native_batch_norm", "aten::_native_batch_norm_legit"}
    assert mode.unknown
    for one, other in ((out, right), (layer.running_mean, plain.running_mean), (layer.running_var, plain.running_var)):
        assert not torch.equal(one, other)
        assert torch.allclose(one, other, rtol=1e-5)


def test_infinities_stay_and_zeros_too() -> None:
    x = torch.tensor([0.0, -math.inf, 1.0, 1e-44], dtype=torch.float64)
    for seed in range(8):
        with noise.Noisy(seed):
            moved, weights = x + x, torch.softmax(x, 0)
        assert moved[:2].tolist() == [0.0, -math.inf]
        assert weights[1] == 0
        assert torch.isfinite(weights).all()


def test_a_tensor_larger_than_the_table_is_moved_everywhere() -> None:
    ones = torch.ones(2**20 + 5, dtype=torch.float64)
    with noise.Noisy(0):
        moved = ones + ones * 2
    assert ((moved - 3).abs() <= 3 * 2**-24 * 1.001).all()
    assert int((moved != 3).sum()) > 2**20


def test_whole_numbers_stay_so_that_a_floor_does_not_become_another() -> None:
    lengths = torch.tensor([9, 6, 3])
    for seed in range(4):
        with noise.Noisy(seed):
            shares = lengths.double() / 3
            down = torch.div(lengths, 3, rounding_mode="floor")
            moved = torch.tensor([0.5, 3.0], dtype=torch.float64) / 3
        assert shares.tolist() == [3.0, 2.0, 1.0]
        assert (down.dtype, down.tolist()) == (torch.int64, [3, 2, 1])
        assert moved[0] != 0.5 / 3


def test_what_is_unknown_is_moved_and_named() -> None:
    mode = noise.Noisy(0)
    square = X[:, :4] + 3 * torch.eye(4, dtype=torch.float64)
    with mode:
        moved = torch.linalg.inv(square)
    assert mode.unknown == {"aten::linalg_inv_ex"}
    assert not torch.equal(moved, torch.linalg.inv(square))


def test_attention_is_as_it_was_afterwards() -> None:
    ask = torch.backends.cuda.flash_sdp_enabled
    before = ask()
    mode = noise.Noisy(0)
    with mode:
        assert not ask()
        torch.nn.functional.gelu(X)
        assert not ask()
    assert ask() == before


def test_it_is_to_be_had() -> None:
    assert noise.available() == ""


@pytest.mark.parametrize(
    ("places", "moved"), [(49, True), (64, False)], ids=["one over 49 is no number of float32", "one over 64 is one"]
)
def test_what_a_mean_hands_back_is_a_constant(places: int, moved: bool) -> None:
    x = torch.linspace(1.0, 2.0, places, dtype=torch.float64, requires_grad=True)
    with noise.Noisy(1, "float64"):
        x.mean().backward()
    assert (float((x.grad * places - 1).abs().max()) > 1e-10) == moved


def test_what_an_average_pool_hands_back_has_the_digits_of_float32_where_constants_have() -> None:
    off = []
    for constants in (True, False):
        x = torch.ones(1, 1, 6, 6, dtype=torch.float64, requires_grad=True)
        with noise.Noisy(1, "float64", constants=constants):
            functional.avg_pool2d(x, 3).sum().backward()
        off.append(float((x.grad * 9 - 1).abs().max()))
    assert 1e-10 < off[0] < 1e-7
    assert off[1] < 1e-14


def test_what_fused_attention_is_off_where_nothing_is_attended_to() -> None:
    """A row that sees one key has no gradient but for rounding, of which a softmax by itself has none there."""

    def of_queries(around: Any, dtype: Any) -> Any:
        rng = np.random.default_rng(0)
        q, k, v, g = (torch.tensor(rng.normal(size=(8, 4, 10, 16)), dtype=dtype) for _ in range(4))
        q.requires_grad_()
        with around:
            torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).backward(g)
        return q.grad[:, :, 0].double().abs()

    fused = of_queries(nullcontext(), torch.float32)
    noisy = torch.stack([of_queries(noise.Noisy(seed, scale=6.0), torch.float64) for seed in range(4)])
    assert (of_queries(nullcontext(), torch.float64) < 1e-14).all()
    assert fused.max() > 1e-9
    assert (fused <= noisy.amax((0, 3), keepdim=True)[0]).all()
    assert noisy.max() < 100 * fused.max()
