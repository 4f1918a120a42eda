"""What a call can have been instead: does each do what its words say?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional


def drawn(*shape: int) -> Any:
    return torch.from_numpy(np.random.default_rng(sum(shape)).normal(size=shape))


X, Y, SQUARE, IMAGE = drawn(3, 4), drawn(4, 3).T, drawn(4, 4), drawn(2, 3, 6, 6)
POSITIVE, EDGES = X.abs() + 1, X[0].sort().values
SHARES = (X > 0).double()
HEADS = drawn(2, 4, 5, 3)
LABELS = torch.tensor([0, 2, 1])
CHANNELS = torch.tensor([0.5, 1.5, 2.5])[:, None, None].double()
CHOSEN = (torch.arange(2), torch.tensor([1, 3]))
IDS = torch.tensor([[0, 1, 2], [2, 1, 0]])
OFFSETS = torch.tensor([0, 3, 6])
CTC = (drawn(6, 2, 5).log_softmax(-1), torch.tensor([[1, 2], [3, 1]]), torch.tensor([6, 5]), torch.tensor([2, 1]))


class Row(NamedTuple):
    """A call, the beginning of what is said, and what it then gives; a number where one is searched for."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    words: str
    gives: Any
    number: float | tuple[float, ...] | None = None


def row(
    function: Any, args: Any, words: str, gives: Any, number: float | tuple[float, ...] | None = None, **options: Any
) -> Row:
    return Row(function, args, options, words, gives, number)


PARTS = (X, Y, POSITIVE)
ROWS = [
    row(torch.relu, (X,), "tanh there", X.tanh()),
    row(F.relu6, (X + 3,), "clipped to 0 and 6 of what is 1.2 times", 6 * (0.2 * X + 0.5).clamp(0, 1)),
    row(torch.softmax, (X, 1), "over axis 0 there", X.softmax(0), dim=1),
    row(F.log_softmax, (X, 1), "of what has been through a softmax over axis 1", X.softmax(1).log_softmax(1)),
    row(F.glu, (X,), "the halves are exchanged", X[:, 2:] * X[:, :2].sigmoid()),
    row(F.glu, (X,), "the gate goes through tanh", X[:, :2] * X[:, 2:].tanh()),
    row(torch.mul, (X, POSITIVE), "divided by the second", X / POSITIVE),
    row(torch.add, (X, Y), "the second part of the sum is left out", X),
    row(torch.add, (X, Y), "the first part of the sum is {x} times as large there, the", X * 0.5 + Y / 0.5, 0.5),
    row(torch.add, (X, Y), "the second part of the sum goes through relu", X + Y.relu()),
    row(torch.add, (POSITIVE, 1e-3), "its constant 0.001 (epsilon) is added to", (POSITIVE.sqrt() + 1e-3) ** 2),
    row(torch.add, (IDS, OFFSETS), "the second part of the sum (an offset) is left out", IDS),
    row(torch.mul, (X, SHARES), "the second factor, a mask of 1 and 0, is left out", X),
    row(torch.div, (X, POSITIVE), "divided by the square", X / POSITIVE**2),
    row(torch.div, (X, POSITIVE), "divided by the root", X / POSITIVE.sqrt()),
    row(torch.div, (X, 4.0), "its divisor (scale) 4 is {x} there", X / 3, 3.0),
    row(torch.sum, (POSITIVE,), "its root there", POSITIVE.sum().sqrt()),
    row(torch.sum, (SHARES * 3,), "what is not 0 is counted", SHARES.sum()),
    row(torch.mean, (X,), "over axis 0 there, not over axis 1", X.mean(0), dim=1),
    row(torch.cumsum, (X, 1), "over axis 0 there, not over axis 1", X.cumsum(0)),
    row(torch.cumsum, (X, 1), "cumprod there, not cumsum", X.cumprod(1)),
    row(torch.cumsum, (X, 1), "left out there: it is missing", X),
    row(torch.log, (POSITIVE,), "log1p there, not log", POSITIVE.log1p()),
    row(torch.clamp, (X,), "it has no max there", X.clamp(min=-0.5), min=-0.5, max=0.5),
    row(torch.clamp, (X,), "its max 0.5 is {x} there", X.clamp(min=-0.5, max=0.7), 0.7, min=-0.5, max=0.5),
    row(F.gelu, (X,), "its approximate is tanh there", F.gelu(X, approximate="tanh"), approximate="none"),
    row(F.mse_loss, (X, Y), "its reduction is sum there, not mean", F.mse_loss(X, Y, reduction="sum")),
    row(F.avg_pool2d, (IMAGE, 2), "its ceil_mode is True", F.avg_pool2d(IMAGE, 2, ceil_mode=True), ceil_mode=False),
    row(torch.where, (SHARES > 0, X, Y), "the condition is the other way", torch.where(SHARES > 0, Y, X)),
    row(torch.where, (SHARES > 0, X, Y), "the second of the two values stands everywhere", Y),
    row(torch.amax, (X, 1), "the mean there, not the largest", X.mean(1)),
    row(torch.gather, (X, 1, LABELS[:, None]), "the index is moved by 1", X.gather(1, LABELS[:, None] + 1)),
    row(torch.Tensor.__getitem__, (HEADS[:, 0], CHOSEN), "the last place (position) of every", HEADS[:, 0, -1]),
    row(torch.Tensor.__getitem__, (HEADS[:, 0], CHOSEN), "the mean over all places", HEADS[:, 0].mean(1)),
    row(torch.Tensor.__getitem__, (HEADS[:, 0], CHOSEN), "the place of each sample is +1", HEADS[(0, 1), 0, (2, 4)]),
    row(torch.einsum, ("ij,jk->ik", SQUARE, SQUARE), "ji,jk->ik there", SQUARE.T @ SQUARE),
    row(
        F.pixel_shuffle, (IMAGE.repeat(1, 4, 1, 1), 2), "channels go to pixels in another order",
        F.pixel_shuffle(IMAGE.repeat(1, 4, 1, 1).unflatten(1, (4, 3)).transpose(1, 2).flatten(1, 2), 2),
    ),
    row(torch.mean, ((X - X.mean(1, keepdim=True)) ** 2, 1), "divided by n − 1", X.var(1)),
    row(torch.cat, (list(PARTS), 1), "joined in another order there: the last", torch.cat([POSITIVE, X, Y], 1)),
    row(torch.cat, (list(PARTS), 1), "joined in another order there: parts 1 and 2", torch.cat([X, POSITIVE, Y], 1)),
    row(torch.cat, (list(PARTS), 1), "joined in the reverse order", torch.cat([POSITIVE, Y, X], 1)),
    row(torch.repeat_interleave, (HEADS, 2, 1), "repeated as a whole", torch.cat([HEADS, HEADS], 1)),
    row(torch.Tensor.repeat, (HEADS, 1, 2, 1, 1), "each is repeated for itself", HEADS.repeat_interleave(2, 1)),
    row(torch.transpose, (SQUARE, 0, 1), "left out there: not transposed", SQUARE),
    row(torch.sub, (IMAGE, CHANNELS), "its 3 constants are {x} there", IMAGE - 2 * CHANNELS, (1.0, 3.0, 5.0)),
    row(
        torch.div, (IMAGE, CHANNELS), "its 3 channels are scaled and moved there", IMAGE / CHANNELS * 2 - 1,
        (2.0, 2.0, 2.0, -1.0, -1.0, -1.0),
    ),
    row(F.pad, (IMAGE, (0, 1, 0, 2)), "what is padded before comes behind", F.pad(IMAGE, (1, 0, 2, 0))),
    row(F.pad, (IMAGE, (0, 1, 0, 2)), "axes are padded as the other", F.pad(IMAGE, (0, 2, 0, 1))),
    row(F.pad, (IMAGE, (1, 1, 2, 2)), "padding is reflect there", F.pad(IMAGE, (1, 1, 2, 2), mode="reflect")),
    row(F.max_pool2d, (IMAGE, 2), "average pooling there, not max", F.avg_pool2d(IMAGE, 2)),
    row(
        F.conv2d, (IMAGE, drawn(2, 3, 3, 3)), "padding is replicate there",
        F.conv2d(F.pad(IMAGE, (1, 1, 1, 1), mode="replicate"), drawn(2, 3, 3, 3), stride=2), stride=2, padding=1,
    ),
    row(
        F.interpolate, (IMAGE,), "bilinear with align_corners=True",
        F.interpolate(IMAGE, size=(9, 9), mode="bilinear", align_corners=True), size=(9, 9), mode="bilinear",
    ),
    row(F.cross_entropy, (X, LABELS), "of what has been through a softmax", F.cross_entropy(X.softmax(1), LABELS)),
    row(F.smooth_l1_loss, (X, Y), "a Huber loss of delta 0.2", F.huber_loss(X, Y, delta=0.2), beta=0.2),
    row(F.huber_loss, (X, Y), "a smooth L1 of beta 0.2", F.smooth_l1_loss(X, Y, beta=0.2), delta=0.2),
    row(F.mse_loss, (X, Y), "half the squared error", ((X - Y) ** 2).sum() / 2, reduction="sum"),
    row(F.ctc_loss, CTC, "averaged over the samples, and", F.ctc_loss(*CTC, reduction="sum") / 2),
    row(F.ctc_loss, CTC, "the outputs' lengths are -1", F.ctc_loss(*CTC[:2], CTC[2] - 1, CTC[3])),
    row(F.ctc_loss, CTC, "class 4 is the blank", F.ctc_loss(*CTC, blank=4)),
    row(
        F.kl_div, (X.log_softmax(1), Y.softmax(1)), "the other way round",
        F.kl_div(Y.log_softmax(1), X.softmax(1), reduction="sum"), reduction="sum",
    ),
    row(F.mse_loss, (X[:, 0], X[:, 1]), "outputs are (n, 1)", ((X[:, :1] - X[:, 1]) ** 2).mean()),
    row(
        F.scaled_dot_product_attention, (HEADS, HEADS, HEADS), "it is not causal there",
        F.scaled_dot_product_attention(HEADS, HEADS, HEADS), is_causal=True,
    ),
    row(
        F.scaled_dot_product_attention, (HEADS, HEADS, HEADS), "heads and places are exchanged there",
        F.scaled_dot_product_attention(*[HEADS.transpose(1, 2)] * 3, is_causal=True).transpose(1, 2), is_causal=True,
    ),
    row(torch.bucketize, (X, EDGES), "right=True there", torch.bucketize(X, EDGES, right=True)),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.function.__name__}: {row.words}")
def test_an_alternative_does_what_its_words_say(row: Row) -> None:
    from isograd.backends.pytorch.alternatives import others

    found = [other for other in others(row.function, row.args, row.options) if other.words.startswith(row.words)]
    assert found, f"nothing begins with {row.words!r}"
    for other in found:
        assert (other.begin is None) == (row.number is None)
    numbers = [] if row.number is None else [*row.number] if isinstance(row.number, tuple) else [row.number]
    results = [other.call(row.function, row.args, row.options, *numbers) for other in found]
    assert any(result.shape == row.gives.shape and torch.allclose(result, row.gives) for result in results)


def test_what_pytorch_does_not_look_at_is_not_tried() -> None:
    """Queries and keys of other lengths, exchanged: its backward pass writes beyond the end."""
    from isograd.backends.pytorch.alternatives import others

    args = (HEADS, HEADS[..., :4, :], HEADS[..., :4, :])
    words = [other.words for other in others(F.scaled_dot_product_attention, args, {})]
    assert "key and value are exchanged there" in words
    assert not [said for said in words if said.startswith("query and")]
