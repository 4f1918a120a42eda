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


def _of_pairs(args: Args, options: Options) -> Iterator[Other]:
    """A loss of each output and its label: another one, of the same reduction."""
    if len(args) > 2:
        raise NotImplementedError("settings by their places, which are not the same of all these")
    how = {"reduction": options.get("reduction", "mean")}
    functional = torch.nn.functional
    for words, loss in {
        "the squared error": functional.mse_loss,
        "half the squared error": lambda a, b, **o: 0.5 * functional.mse_loss(a, b, **o),
        "the absolute error (L1)": functional.l1_loss,
        "a smooth L1 of beta 1": functional.smooth_l1_loss,
    }.items():
        yield Other(f"{words} there", _reduced(loss, how))
    begin = float(options.get("beta", options.get("delta", 1.0)))
    smooth, huber = functional.smooth_l1_loss, functional.huber_loss
    words = f"a Huber loss of delta {begin:g} there: a smooth L1 that is not divided by its beta"
    yield Other(words, lambda f, a, o: huber(*a[:2], delta=begin, **how))
    words = f"a smooth L1 of beta {begin:g} there: a Huber loss that is divided by its delta"
    yield Other(words, lambda f, a, o: smooth(*a[:2], beta=begin, **how))
    yield Other("a smooth L1 of beta {x} there", lambda f, a, o, x: smooth(*a[:2], beta=abs(x), **how), 0.5)
    yield Other("a Huber loss of delta {x} there", lambda f, a, o, x: huber(*a[:2], delta=abs(x), **how), 0.5)


def _reduced(loss: Callable[..., Any], how: Options) -> Call:
    return lambda f, a, o: loss(*a[:2], **how)


def _of_ctc(args: Args, options: Options) -> Iterator[Other]:
    """What stands for nothing, how lengths count, and what becomes of the outputs before."""
    of = ("log_probs", "targets", "input_lengths", "target_lengths", "blank", "reduction", "zero_infinity")
    samples = args[0].shape[1] if args[0].dim() > 2 else 1

    def call(f: Any, a: Args, o: Options, **other: Any) -> Any:
        return f(**{**dict(zip(of, a, strict=False)), **o, **other})

    for words, reduction, share in (
        ("summed up over the samples", "sum", 1.0),
        ("averaged over the samples, and not divided by the labels' lengths", "sum", 1 / samples),
        ("averaged over samples and label lengths", "mean", 1.0),
    ):
        said = f"{words} there (reduction)"
        yield Other(said, lambda f, a, o, how=reduction, by=share: by * call(f, a, o, reduction=how))
    for name, twice in (("softmax", lambda p: p.exp().log_softmax(-1)), ("log softmax", lambda p: p.log_softmax(-1))):
        said = f"of what has been through a {name}, and through a softmax once more there (twice)"
        yield Other(said, before(twice))
    for blank in (0, int(args[0].shape[-1]) - 1):
        yield Other(f"class {blank} is the blank there", lambda f, a, o, at=blank: call(f, a, o, blank=at))
    for by in (1, -1):
        yield Other(f"the outputs' lengths are {by:+d} there", changed(2, _moved(by, args[0].shape[0])))
    whole = "the outputs' lengths are missing there: padding counts too"
    yield Other(whole, changed(2, lambda lengths: torch.full_like(lengths, args[0].shape[0])))
    yield Other("infinite losses are 0 there (zero_infinity)", lambda f, a, o: call(f, a, o, zero_infinity=True))


def _moved(by: int, longest: int) -> Callable[[Any], Any]:
    return lambda lengths: (lengths + by).clamp(1, longest)


def _of_divergence(args: Args, options: Options) -> Iterator[Other]:
    for reduction in ("batchmean", "mean", "sum"):
        yield Other(f"its reduction is {reduction} there", with_options(reduction=reduction))
    yield Other("of probabilities there, not of their logarithms (log_target)", with_options(log_target=False))
    yield Other("of logarithms of the target there (log_target)", with_options(log_target=True))
    yield Other("the other way round there: the target's and the output's places are exchanged", _exchanged)


def _exchanged(f: Any, a: Args, o: Options) -> Any:
    of_logarithms = bool(o.get("log_target"))
    one, other = (a[1], a[0]) if of_logarithms else (a[1].log(), a[0].exp())
    return f(one, other, *a[2:], **o)


TABLE: Table = {
    ("smooth_l1_loss", "huber_loss", "mse_loss", "l1_loss"): _of_pairs,
    ("ctc_loss",): _of_ctc,
    ("kl_div",): _of_divergence,
    ("cross_entropy",): _of_cross_entropy,
    ("binary_cross_entropy_with_logits",): _of_weighted_positives,
    (
        "mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div",
        "nll_loss", "huber_loss",
    ): _of_losses,
}  # fmt: skip
