"""What can a loss have been instead: another one, of other outputs or labels, or summed up and weighted otherwise?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import mul
from typing import Any

from isograd.backends.pytorch.alternatives.building import (
    Args,
    Call,
    Options,
    Table,
    before,
    changed,
    given,
    rolled,
    with_options,
)
from isograd.backends.pytorch.functions import LOSSES
from isograd.framework import WEIGHTED, Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")


def _of_cross_entropy(args: Args, options: Options) -> Iterator[Other]:
    classes = args[0].shape[1] if args[0].dim() > 1 else 1
    yield Other("label smoothing is {x} there", lambda f, a, o, x: f(*a, **{**o, "label_smoothing": min(x, 1.0)}), 0.1)
    yield from _of_reductions()
    for label in (0, 1, -1, -100, classes - 1):
        yield Other(f"label {label} is ignored there (ignore_index)", with_options(ignore_index=label))
    yield Other("of what has been through a softmax there", before(lambda out: out.softmax(1)))
    yield Other("of what has been through a sigmoid there", before(lambda out: out.sigmoid()))
    yield Other("of outputs that are {x} times as large there (scaled: a temperature)", before(mul), 0.5)
    for axis in range(args[0].dim()):
        yield Other(f"its softmax is over axis {axis} there", _nll_over(axis))
    for words, loss in LOSSES.items():
        if words != WEIGHTED:
            yield Other(f"{words} there", _loss(loss))
    for by in (1, -1):
        yield Other(f"labels are shifted by {by} along the batch there", changed(1, rolled(by)))
    yield Other("weighted by how rare each class is there (class weights)", _balanced(classes))


def _of_reductions() -> Iterator[Other]:
    for reduction in ("sum", "mean"):
        yield Other(f"its reduction is {reduction} there", with_options(reduction=reduction))


def _nll_over(axis: int) -> Call:
    return lambda f, a, o: torch.nn.functional.nll_loss(
        a[0].log_softmax(axis), *a[1:], **{key: value for key, value in o.items() if key != "label_smoothing"}
    )


def _loss(loss: Callable[..., Any]) -> Call:
    return lambda f, a, o: loss(*a[:2])


def _balanced(classes: int) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        counts = a[1].flatten().bincount(minlength=classes).clamp(min=1).to(a[0].dtype)
        return f(a[0], a[1], 1 / counts, **o)

    return call


def _of_weighted_positives(args: Args, options: Options) -> Iterator[Other]:
    weight = given(args, options, "pos_weight", 5)

    def weighted(f: Any, a: Args, o: Options, **other: Any) -> Any:
        return f(*a[:2], **{**{k: v for k, v in o.items() if k not in ("weight", "pos_weight")}, **other})

    if weight is not None:
        words = "the weight of positives (pos_weight) is that of all samples there (weight)"
        yield Other(words, lambda f, a, o: weighted(f, a, o, weight=weight))
        yield Other("the weight of positives (pos_weight) is missing there", weighted)
    words = "the weight of positives (pos_weight) is {x} there"
    yield Other(words, lambda f, a, o, x: weighted(f, a, o, pos_weight=a[0].new_tensor(x)), 2.0)


def _of_losses(args: Args, options: Options) -> Iterator[Other]:
    if args[0].dim() == args[1].dim() == 1:
        words = "outputs are (n, 1) there and labels (n,): each is compared with all (broadcast)"
        yield Other(words, lambda f, a, o: f(*torch.broadcast_tensors(a[0][:, None], a[1]), *a[2:], **o))
    yield from _of_reductions()
    yield Other("of outputs that are {x} times as large there (scaled)", before(mul), 0.5)
    yield Other("of what has been through a sigmoid there", before(lambda out: out.sigmoid()))


TABLE: Table = {
    ("cross_entropy",): _of_cross_entropy,
    ("binary_cross_entropy_with_logits",): _of_weighted_positives,
    (
        "mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div",
        "nll_loss", "huber_loss",
    ): _of_losses,
}  # fmt: skip
