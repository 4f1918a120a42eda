"""What can a sum or a product of two tensors have been instead, or a mean?"""

from __future__ import annotations

from collections.abc import Iterator
from operator import mul, neg
from typing import Any

from isograd.backends.pytorch.alternatives.activations import BEFORE_SUMS
from isograd.backends.pytorch.alternatives.building import (
    Args,
    Call,
    Options,
    Table,
    after,
    before,
    changed,
    exchanged,
    given,
    tensors,
    where_given,
)
from isograd.backends.pytorch.alternatives.masks import is_mask, is_share, of_added_masks
from isograd.backends.pytorch.functions import ACTIVATIONS
from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")


def _of_sums(args: Args, options: Options) -> Iterator[Other]:
    if len(tensors(args)) < 2:
        return
    mask = next((i for i in (0, 1) if isinstance(args[i], torch.Tensor) and is_mask(args[i])), None)
    if mask is not None:
        yield from of_added_masks(mask, float(args[mask].min()))
        return
    yield Other("the second part of the sum is left out there (a residual, skip, mask or bias is missing)", _only(0))
    yield Other("the first part of the sum is left out there (a residual or skip is missing)", _only(1))
    for at, which in enumerate(("first", "second")):
        if isinstance(args[at], torch.Tensor) and args[at].dim() > 1 and args[at].shape[-2] > 1:
            words = f"the {which} part of the sum is missing at the first place there (class token: positions skip it)"
            yield Other(words, changed(at, _but_first))
    for at, which in enumerate(("first", "second")):
        yield Other(f"the {which} part of the sum is {{x}} times as large there (scaled)", where_given(at, mul), 2.0)
    if all(isinstance(value, torch.Tensor) for value in args[:2]):
        words = (
            "the first part of the sum is {x} times as large there, the second so much smaller: the other is weighted"
        )
        yield Other(words, lambda f, a, o, x: f(a[0] * x, a[1] / x, **o), 0.7)
    yield Other("the second part is subtracted there, not added", changed(1, neg))
    yield Other("multiplied there, not added", lambda f, a, o: a[0] * a[1])
    for words in BEFORE_SUMS:
        for at, which in enumerate(("first", "second")):
            yield Other(f"the {which} part of the sum goes through {words} there", changed(at, ACTIVATIONS[words]))


def _but_first(x: Any) -> Any:
    kept = torch.ones_like(x.select(-1, 0))[..., None]
    kept[..., 0, :] = 0
    return x * kept


def _only(at: int) -> Call:
    return lambda f, a, o: a[at] + torch.zeros_like(a[1 - at])


def _of_factors(args: Args, options: Options) -> Iterator[Other]:
    if all(isinstance(value, torch.Tensor) for value in args[:2]):
        yield Other("added there, not multiplied", lambda f, a, o: a[0] + a[1])
        yield Other("divided by the second there, not multiplied", lambda f, a, o: a[0] / a[1])
        yield Other("divided by the first there, not multiplied", lambda f, a, o: a[1] / a[0])
        for at, which in enumerate(("first", "second")):
            if is_share(args[at]):
                words = f"the {which} factor, a mask of 1 and 0, is left out there: what it hides counts (not masked)"
                yield Other(words, _only(1 - at))
        yield Other("the first factor is left out there", _only(1))


def _of_differences(args: Args, options: Options) -> Iterator[Other]:
    if len(tensors(args)) > 1:
        yield Other("the difference is the other way round there (sign)", exchanged(0, 1))
        yield Other("added there, not subtracted", lambda f, a, o: a[0] + a[1])


def _of_extremes(args: Args, options: Options) -> Iterator[Other]:
    if len(tensors(args)) > 1:
        yield Other("the smaller there, not the larger (minimum, maximum)", lambda f, a, o: torch.minimum(*a[:2]))
        yield Other("the larger there, not the smaller (maximum, minimum)", lambda f, a, o: torch.maximum(*a[:2]))


def _of_quotients(args: Args, options: Options) -> Iterator[Other]:
    if not isinstance(args[1], torch.Tensor):
        return
    yield Other("divided by the root there", changed(1, lambda by: by.sqrt()))
    yield Other("divided by the square there (a variance, and no deviation)", changed(1, lambda by: by * by))
    yield Other("divided by {x} there", changed(1, lambda by, x: torch.full_like(by, x)), 2.0)
    yield Other("multiplied there, not divided", lambda f, a, o: a[0] * a[1])


def _of_means(args: Args, options: Options) -> Iterator[Other]:
    for name in ("sum", "mean", "amax"):
        yield Other(f"a {name.removeprefix('a')} there", _method(name))
    counted = "what is not 0 is counted there, not summed up (a mean over how many there are, not over their weights)"
    yield Other(counted, before(lambda x: (x != 0).to(x.dtype)))
    yield Other("its root there (a norm, and not its square)", after(lambda out: out.sqrt()))
    yield Other("divided by n − 1 there, not by n (the unbiased variance)", _of_one_less)
    where = given(args, options, "dim", 1)
    if where is not None:
        name = "over all axes there, samples too (the whole batch)"
        yield Other(name, lambda f, a, o: _kept(f(a[0]), a, o), anywhere=True)
    if isinstance(where, (tuple, list)) and 0 not in where and args[0].dim() > len(where):
        yield Other("over axis 0 too there (the whole batch)", _over_samples_too, anywhere=True)
    if isinstance(where, int):
        yield Other("the last place there, in place of all (pooling)", _place(-1))
        yield Other("the first place there, in place of all (pooling)", _place(0))


def _method(name: str) -> Call:
    return lambda f, a, o: getattr(a[0], name)(*a[1:], **o)


def _of_one_less(f: Any, a: Args, o: Options) -> Any:
    out = f(*a, **o)
    n = a[0].numel() // max(out.numel(), 1)
    return out * (n / (n - 1))


def _over_samples_too(f: Any, a: Args, o: Options) -> Any:
    return f(a[0], dim=(0, *given(a, o, "dim", 1, ())), keepdim=given(a, o, "keepdim", 2, False))


def _kept(out: Any, a: Args, o: Options) -> Any:
    """One number, with the axes that the call would have kept."""
    return out.reshape((1,) * a[0].dim()) if given(a, o, "keepdim", 2, False) else out


def _place(at: int) -> Call:
    return lambda f, a, o: a[0].select(given(a, o, "dim", 1, 0), at)


TABLE: Table = {
    ("add", "__add__", "__iadd__", "__radd__", "add_"): _of_sums,
    ("mul", "__mul__", "__imul__", "mul_"): _of_factors,
    ("sub", "__sub__", "sub_", "__isub__"): _of_differences,
    ("maximum", "minimum", "max", "min"): _of_extremes,
    ("div", "__truediv__", "div_", "true_divide"): _of_quotients,
    ("mean", "sum"): _of_means,
}
