"""What can have been chosen instead: by an index, by a condition, the largest of several, or by letters?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from operator import invert
from typing import Any

from isograd.backends.pytorch.alternatives.building import (
    Args,
    Call,
    Options,
    Table,
    argument,
    before,
    changed,
    given,
    instead,
    rolled,
    transposed,
    with_options,
)
from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")


def of_indices(args: Args, options: Options) -> Iterator[Other]:
    """A place of a sequence, or a range of it, or one of each sample."""
    x, where = args[:2]
    places = where if isinstance(where, tuple) else (where,)
    chosen = [at for at, index in enumerate(places) if _is_whole(index)]
    if len(chosen) == 2 and chosen == [0, 1]:
        yield from _of_chosen()
    for at, index in enumerate(places):
        if isinstance(index, int) and at < x.dim():
            for other in (0, -1, index + 1, index - 1):
                if other != index and -x.shape[at] <= other < x.shape[at]:
                    there = tuple(other if i == at else v for i, v in enumerate(places))
                    yield Other(f"place {other} along axis {at} there, not {index} (-1: the last)", argument(1, there))
            yield Other(f"the mean over axis {at} there, not place {index} (pooling)", instead(_mean(at)))
            yield Other(f"the largest over axis {at} there, not place {index} (pooling)", instead(_largest(at)))
        if isinstance(index, slice) and at < x.dim() and index != slice(None):
            for by in (1, -1):
                yield Other(f"the range along axis {at} is shifted by {by} there", before(rolled(-by, at)))


def _is_whole(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and not index.is_floating_point() and index.dtype != torch.bool


def _of_chosen() -> Iterator[Other]:
    """Of each sample a place of its own, as its last one: another one of each, or the same of all."""
    for place, said in ((-1, "the last"), (0, "the first")):
        words = f"{said} place (position) of every sample there, index {place}, not one of its own: padding counts"
        yield Other(words, instead(_place(place)))
    yield Other("the mean over all places there, not one place of each sample (pooling)", instead(_mean(1)))
    yield Other("the largest over all places there, not one place of each sample (pooling)", instead(_largest(1)))
    for by in (1, -1):
        yield Other(f"the place of each sample is {by:+d} there: off by one", _beside(by))


def _beside(by: int) -> Call:
    return lambda f, a, o: f(a[0], (a[1][0], (a[1][1] + by).clamp(0, a[0].shape[1] - 1), *a[1][2:]))


def _place(at: int) -> Callable[[Any], Any]:
    return lambda x: x[:, at]


def _mean(axis: int) -> Callable[[Any], Any]:
    return lambda x: x.mean(axis)


def _largest(axis: int) -> Callable[[Any], Any]:
    return lambda x: x.amax(axis)


def _of_gathered(args: Args, options: Options) -> Iterator[Other]:
    """By an index: the one beside it."""
    at, dim = 2, given(args, options, "dim", 1)
    if len(args) > at and _is_whole(args[at]) and isinstance(dim, int):
        yield from _moved(at, args[0].shape[dim])


def _of_taken(args: Args, options: Options) -> Iterator[Other]:
    dim = given(args, options, "dim", 2)
    if len(args) > 1 and _is_whole(args[1]) and isinstance(dim, int):
        yield from _moved(1, args[0].shape[dim])


def _moved(at: int, size: int) -> Iterator[Other]:
    for by in (1, -1):
        words = f"the index is moved by {by} there: off by one"
        yield Other(words, changed(at, lambda index, by=by: (index + by).clamp(0, size - 1)))


def _of_conditions(args: Args, options: Options) -> Iterator[Other]:
    """One of two values at each place; as a function of the condition, or as the first value's method."""
    if len(args) < 3:
        return
    condition = 0 if isinstance(args[0], torch.Tensor) and args[0].dtype == torch.bool else 1
    values = [at for at in range(3) if at != condition]
    said = "the condition is the other way round there: inverted, or its two values are swapped"
    yield Other(said, changed(condition, invert))
    for at, which in zip(values, ("first", "second"), strict=True):
        words = f"the {which} of the two values stands everywhere there: the condition (mask) is missing"
        yield Other(words, changed(condition, lambda seen, first=at == values[0]: torch.full_like(seen, first)))


def _of_extremes(args: Args, options: Options) -> Iterator[Other]:
    """The largest along an axis: another one of all there."""
    axis = given(args, options, "dim", 1)
    if not isinstance(axis, int) or isinstance(axis, bool):
        return
    for words, of in (
        ("the mean there, not the largest (pooling)", lambda x, keep: x.mean(axis, keepdim=keep)),
        ("the sum there, not the largest (pooling)", lambda x, keep: x.sum(axis, keepdim=keep)),
        ("the largest there, not the smallest", lambda x, keep: x.amax(axis, keepdim=keep)),
        ("the smallest there, not the largest", lambda x, keep: x.amin(axis, keepdim=keep)),
    ):
        yield Other(words, _extreme(of))


def _extreme(of: Callable[[Any, bool], Any]) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        own, value = f(*a, **o), of(a[0], bool(given(a, o, "keepdim", 2, False)))
        return value if isinstance(own, torch.Tensor) else type(own)((value, *own[1:]))

    return call


def _of_letters(args: Args, options: Options) -> Iterator[Other]:
    """A sum over letters: two axes of one size, of an operand or of what comes, are taken for each other."""
    equation, operands = args[0], args[1] if isinstance(args[1], (list, tuple)) else args[1:]
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        return
    left, right = equation.replace(" ", "").split("->")
    terms = left.split(",")
    sizes = {
        letter: n for term, x in zip(terms, operands, strict=False) for letter, n in zip(term, x.shape, strict=False)
    }
    for at, term in enumerate([*terms, right]):
        for one, other in combinations(term, 2):
            if sizes.get(one) == sizes.get(other):
                swapped = term.translate(str.maketrans(one + other, other + one))
                parts = [swapped if i == at else part for i, part in enumerate([*terms, right])]
                changed_to = f"{','.join(parts[:-1])}->{parts[-1]}"
                yield Other(
                    f"{changed_to} there, not {equation}: axes are exchanged (transposed)", argument(0, changed_to)
                )


def _of_shuffled_pixels(args: Args, options: Options) -> Iterator[Other]:
    """Which channel goes to which pixel."""
    by = int(given(args, options, "upscale_factor", 1, 1))
    words = "channels go to pixels in another order there: the blocks' places count first, then the channels"
    yield Other(words, before(lambda x: x.unflatten(1, (by * by, -1)).transpose(1, 2).flatten(1, 2)))
    yield Other("rows and columns of each block are exchanged there (transposed)", lambda f, a, o: _turned(f, a, o))


def _turned(f: Any, a: Args, o: Options) -> Any:
    return transposed(f(transposed(a[0]), *a[1:], **o))


def _of_buckets(args: Args, options: Options) -> Iterator[Other]:
    """To which bucket a number on a boundary belongs."""
    right = bool(given(args, options, "right", 3, False))
    bucket = "bucket before" if right else "next bucket"
    words = f"right={not right} there: what is equal to a boundary falls into the {bucket}"
    yield Other(words, with_options(right=not right))


TABLE: Table = {
    ("bucketize", "searchsorted"): _of_buckets,
    ("__getitem__",): of_indices,
    ("gather", "index_select"): _of_gathered,
    ("take_along_dim",): _of_taken,
    ("where",): _of_conditions,
    ("max", "min", "amax", "amin"): _of_extremes,
    ("einsum",): _of_letters,
    ("pixel_shuffle",): _of_shuffled_pixels,
}
