"""What can a mask have been instead, that is put in or added, and attention with it?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import invert
from typing import Any

from isograd.backends.pytorch.alternatives.building import (
    Args,
    Call,
    Options,
    Table,
    argument,
    changed,
    exchanged,
    given,
    instead,
    transposed,
    where_given,
    with_options,
)
from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

LOW = -1e3
"""What is added to a score to mask it is lower."""


def is_mask(x: Any) -> bool:
    """Whether it is added to scores: 0 where attention may go, and a low number elsewhere."""
    values = x.detach()
    return bool(((values == 0) | (values <= LOW)).all() and (values <= LOW).any())


def is_share(x: Any) -> bool:
    """Whether it is multiplied with: 1 where something counts, and 0 elsewhere."""
    values = x.detach()
    return bool(((values == 0) | (values == 1)).all() and (values == 0).any() and (values == 1).any())


def of_added_masks(at: int, low: float) -> Iterator[Other]:
    """Of a sum, one part of which is a mask."""

    def masked(make: Callable[..., Any]) -> Call:
        return changed(at, lambda mask, *x: make(mask == 0, *x).to(mask.dtype))

    yield Other("the mask is left out there: it is missing", masked(lambda seen: 0 * seen))
    inverted = "the mask is inverted there: what may be seen is masked"
    yield Other(inverted, masked(lambda seen: torch.where(seen, low, 0.0)))
    yield Other("the mask of 1 and 0 is added there as it is", masked(lambda seen: 1.0 * seen))
    yield Other("the mask of 0 and 1 is added there as it is", masked(lambda seen: 1.0 * ~seen))
    yield Other("{x} is added at masked places there (mask value)", masked(lambda seen, x: x * ~seen), -1.0)
    for value in (-10.0, -100.0, -1e4, -1e9):
        yield Other(f"{value:g} is added at masked places there (mask value)", masked(_at_masked(value)))
    yield Other("the mask is transposed there", where_given(at, transposed))
    yield Other("masked by a factor there (multiplied), not by a sum", lambda f, a, o: a[1 - at] * (a[at] == 0))


def _at_masked(value: float) -> Callable[[Any], Any]:
    return lambda seen: torch.where(seen, 0.0, value)


def _of_masks(args: Args, options: Options) -> Iterator[Other]:
    """A value put in at masked places."""
    if len(args) < 3:
        return
    yield Other("the mask is inverted there", changed(1, invert))
    yield Other("the mask is missing there", instead(lambda x: x + 0))
    for value in (0.0, -1e4, -1e9, -1e20, float("-inf")):
        yield Other(f"{value:g} is put in there (mask value)", argument(2, value))
    if args[1].shape[-1] == args[1].shape[-2]:
        square = torch.ones(args[1].shape[-2:], dtype=torch.bool)
        but_first = square.tril(-1)
        but_first[0, 0] = True
        for words, seen in (
            ("the causal mask is off by one: the next place is seen", square.tril(1)),
            ("the causal mask is off by one: the own place is masked", square.tril(-1)),
            ("the causal mask is off by one: all but the first do not see themselves", but_first),
            ("the causal mask is transposed: only the future is seen", square.triu()),
            ("it is causal, and masked", square.tril()),
        ):
            yield Other(f"{words} there", argument(1, ~seen))
    added = "{x} is added at masked places there (mask value), and no minus infinity"
    yield Other(added, lambda f, a, o, x: a[0] + x * a[1], -1.0)
    put = "{x} is put in at masked places there (mask value)"
    yield Other(put, lambda f, a, o, x: f(a[0], a[1], float(x)), -1.0)


def _of_attention(args: Args, options: Options) -> Iterator[Other]:
    query = args[0]
    width, heads, places = query.shape[-1], query.shape[1] if query.dim() == 4 else 1, query.shape[-2]
    yield Other("the scale 1/√d is left out there", with_options(scale=1.0))
    yield Other("scaled by the model's width there, not the head's", with_options(scale=(width * heads) ** -0.5))
    yield Other("scaled by 1/d there, not by 1/√d", with_options(scale=1.0 / width))
    yield Other("it is not causal there: the mask is missing", with_options(is_causal=False, attn_mask=None))
    yield Other("it is causal there", with_options(is_causal=True, attn_mask=None))
    alike = places == args[1].shape[-2]  # PyTorch 2.13.0 does not look, and its backward pass writes beyond the end
    for one, other in ((0, 1), (1, 2), (0, 2)) if alike else ((1, 2),):
        names = ("query", "key", "value")
        yield Other(f"{names[one]} and {names[other]} are exchanged there", exchanged(one, other))
    for axis in range(query.dim() - 2):
        yield Other(f"the softmax is over axis {axis} there (samples, heads)", _over_heads(axis))
    if alike and query.dim() == 4:
        words = "heads and places are exchanged there (axes transposed): it attends over heads"
        yield Other(words, lambda f, a, o: f(*(x.transpose(1, 2) for x in a[:3]), *a[3:], **o).transpose(1, 2))
    all_seen = torch.ones(places, args[1].shape[-2], dtype=torch.bool)
    for words, seen in (
        ("the causal mask is off by one: the next place is seen", all_seen.tril(1)),
        ("the causal mask is off by one: the own place is masked", all_seen.tril(-1)),
        ("the causal mask is transposed: only the future is seen", all_seen.triu()),
    ):
        yield Other(f"{words} there", with_options(is_causal=False, attn_mask=seen))
    causal, mask = given(args, options, "is_causal", 5, False), given(args, options, "attn_mask", 3)
    if causal or mask is not None:
        seen = all_seen.tril() if causal else mask if mask.dtype == torch.bool else mask > -1
        words = "masked after the softmax there, not before it: weights do not add up to 1"
        yield Other(words, _masked_after(seen, again=False))
        yield Other("masked after the softmax there, and normalised again", _masked_after(seen, again=True))


def _over_heads(axis: int) -> Call:
    """Where all of an axis is masked alike, the mask changes nothing."""
    return lambda f, a, o: _weights(a, o, axis) @ a[2]


def _masked_after(seen: Any, *, again: bool) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        weights = _weights(a, o, -1) * seen
        return (weights / weights.sum(-1, keepdim=True) if again else weights) @ a[2]

    return call


def _weights(a: Args, o: Options, axis: int) -> Any:
    scale = o.get("scale") or a[0].shape[-1] ** -0.5
    return (a[0] @ transposed(a[1]) * scale).softmax(axis)


TABLE: Table = {
    ("masked_fill", "masked_fill_"): _of_masks,
    ("scaled_dot_product_attention",): _of_attention,
}
