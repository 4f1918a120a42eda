"""What can a linear function have been instead: a product of matrices, a layer, the rows of an embedding?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import add, mul
from typing import Any

from isograd.backends.pytorch.alternatives.building import (
    Args,
    Call,
    Options,
    Table,
    after,
    as_given,
    before,
    changed,
    exchanged,
    transposed,
)
from isograd.backends.pytorch.functions import ACTIVATIONS
from isograd.framework import Other


def _of_products(args: Args, options: Options) -> Iterator[Other]:
    one, other = args[:2]
    if other.dim() > 1 and other.shape[-1] == other.shape[-2]:
        yield Other("the second factor is transposed there", changed(1, transposed))
    if one.dim() > 1 and one.shape[-1] == one.shape[-2]:
        yield Other("the first factor is transposed there", changed(0, transposed))
    if one.shape == other.shape:
        yield Other("the factors are exchanged there: swapped", exchanged(0, 1))
    if one.dim() > 1 and one.shape == transposed(other).shape:
        yield Other("its factors (queries and keys) are exchanged there: swapped", after(transposed))


def _of_linear(args: Args, options: Options) -> Iterator[Other]:
    if args[1].shape[0] == args[1].shape[1]:
        yield Other("the weight is transposed there", changed(1, lambda weight: weight.T))
    if len(args) > 2 or "bias" in options:
        yield Other("the bias is left out there: it is missing", lambda f, a, o: f(a[0], a[1]))
        if len(args) > 2 and args[2] is not None:
            yield Other("its bias is {x} times as large there (added twice, or scaled)", changed(2, mul), 2.0)


def _of_inputs(args: Args, options: Options) -> Iterator[Other]:
    """What has been through another function before, or goes through one then."""
    for words, function in ACTIVATIONS.items():
        yield Other(f"what it is given goes through {words} there (an activation comes before it)", before(function))
    for words, function in ACTIVATIONS.items():
        yield Other(f"what it gives goes through {words} there (an activation comes after it)", after(function))
    yield Other("what it is given is {x} times as large there (scaled)", before(mul), 0.5)
    yield Other("what it is given is moved by {x} there", before(add), 0.5)
    yield Other("it is left out there", as_given)


def _of_embedding(args: Args, options: Options) -> Iterator[Other]:
    rows = args[1].shape[0]
    for row in (0, 1, rows - 1):
        yield Other(f"row {row} gives 0 there (padding index: padding_idx)", _row_of_zeros(row))
    for by in (1, -1):
        words = f"the index is moved by {by} there (positions, or tokens, are shifted)"
        yield Other(words, before(_index_moved(by, rows)))
    yield Other("the index is 0 everywhere there: segments, types, positions are missing", before(lambda i: 0 * i))
    yield Other("the index is 1 everywhere there", before(lambda i: 0 * i + 1))
    yield Other("the index (tokens, positions) is reversed there along its last axis", before(lambda i: i.flip(-1)))
    yield Other("the index is counted from the end there: positions are reversed", before(lambda i: i.max() - i))
    yield Other("what it gives is {x} times as large there (scaled)", after(mul), 2.0)


def _row_of_zeros(row: int) -> Call:
    return lambda f, a, o: f(*a, **o) * (a[0] != row)[..., None]


def _index_moved(by: int, rows: int) -> Callable[[Any], Any]:
    return lambda i: (i + by) % rows


TABLE: Table = {
    ("matmul", "bmm", "__matmul__", "mm"): _of_products,
    ("linear",): _of_linear,
    (
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "layer_norm", "batch_norm", "group_norm", "matmul",
    ): _of_inputs,
    ("embedding",): _of_embedding,
}  # fmt: skip
