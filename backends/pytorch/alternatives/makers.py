"""What can a call have been instead that makes a tensor: one of a single value, of positions, or a mask?"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import add, invert
from typing import Any

from isograd.backends.pytorch.alternatives.building import Args, Call, Options, Table, after, given, rolled, transposed
from isograd.backends.pytorch.alternatives.choices import of_indices
from isograd.backends.pytorch.alternatives.constants import of_filled
from isograd.framework import Other


def _of_zeros(args: Args, options: Options) -> Iterator[Other]:
    yield Other("ones there, not zeros: it starts with ones (initial state)", after(lambda out: out + 1))


def _of_positions(args: Args, options: Options) -> Iterator[Other]:
    for by in (1, -1):
        words = f"positions begin at {by} there: shifted, or a mask that is made of them is off by one"
        yield Other(words, after(partial(add, by)))
        yield Other(f"positions are shifted by {by} there, around the end", after(rolled(-by)))
    yield Other("positions run backwards there: in the reverse order", after(lambda out: out.flip(0)))


def _of_grids(args: Args, options: Options) -> Iterator[Other]:
    """Coordinates of a grid's places, one tensor an axis."""
    yield Other("x and y are exchanged there: the grid is laid out column by column (indexing)", after(_turned))
    yield Other("its parts are in the reverse order there: x and y are exchanged", after(lambda out: out[::-1]))
    if len(args) > 1:
        swapped = "what it is given is exchanged there: x and y, and the grid is laid out the other way round"
        yield Other(swapped, lambda f, a, o: f(*reversed(a), **o))


def _turned(grids: Any) -> Any:
    return [grid.transpose(0, 1).reshape(grid.shape) for grid in grids]


def _of_triangles(args: Args, options: Options) -> Iterator[Other]:
    for by in (1, -1):
        yield Other(f"the mask's diagonal is {by:+d} there: the causal mask is off by one", _diagonal(by))
    yield Other("the mask is transposed there: the future is seen", after(transposed))
    yield Other("the mask is missing there: everything is seen", after(lambda out: out.new_zeros(out.shape)))
    yield Other("the mask is missing there: everything is seen", after(lambda out: out.new_ones(out.shape)))


def _diagonal(by: int) -> Call:
    return lambda f, a, o: f(a[0], diagonal=given(a, o, "diagonal", 1, 0) + by)


def _of_comparisons(args: Args, options: Options) -> Iterator[Other]:
    yield Other("the comparison is the other way round there: the mask is inverted", after(invert))
    yield Other("the mask is missing there: nothing is masked", after(lambda out: out.new_zeros(out.shape)))
    yield Other("the mask is missing there: nothing is masked", after(lambda out: out.new_ones(out.shape)))


def _of_shifts(args: Args, options: Options) -> Iterator[Other]:
    """Where an index is moved, as of a field in a table for all."""
    for at, which in enumerate(("second", "first")):
        if hasattr(args[at], "dim"):
            words = f"the {which} part of the sum (an offset) is left out there: it is missing"
            yield Other(words, lambda f, a, o, at=at: a[at] + 0 * a[1 - at])


def _of_joined_tokens(args: Args, options: Options) -> Iterator[Other]:
    """Where a token is put before others, or behind them, so that each is told of the one before it."""
    axis = given(args, options, "dim", 1, 0)
    for by in (1, -1):
        words = f"tokens are shifted by {by} there, beside what is put before or behind them"
        yield Other(words, after(rolled(by, axis)))


TABLE: Table = {
    ("ones", "zeros", "full"): of_filled,
    ("zeros",): _of_zeros,
    ("arange",): _of_positions,
    ("meshgrid",): _of_grids,
    ("tril", "triu"): _of_triangles,
}
"""Whatever they are given, which is no tensor mostly."""

COMPARISONS: Table = {
    ("eq", "__eq__", "ne", "__ne__", "lt", "__lt__", "le", "__le__", "gt", "__gt__", "ge", "__ge__"): _of_comparisons,
    ("add", "__add__", "__radd__"): _of_shifts,
    ("cat", "concat"): _of_joined_tokens,
    ("__getitem__",): of_indices,
}
"""Of whole numbers, as tokens and positions are."""
