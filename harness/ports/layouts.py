"""How is what one side has recorded laid out as the other has it? The same numbers can be in other calls and axes.

A port may put several batches side by side in one call, have time before samples or channels last, and keep an axis of
one: that is no difference. Numbers are, and are looked at afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count, permutations, takewhile

import numpy as np

from isograd.inputs import Array

NEAR = 1e-3
"""Of a tensor's largest number, what its elements may be off where they are in their places: that is for a layout to be
found by, and no bound."""

MOST = 5
"""Axes of a tensor of which all orders are tried."""


def fitted(columns: Mapping[str, Array], truth: Mapping[str, Array]) -> dict[str, Array]:
    """A side's columns, with the steps leading, in the calls and axes of the truth's, where they can be so.

    Args:
        columns: a side's, by the origin's names.
        truth: the origin's.
    """
    out = {}
    for name, column in as_called(columns, truth).items():
        found = _as_there(name, column, truth[name]) if name in truth else column
        if found is not None:
            out[name] = found
    return out


def _as_there(name: str, column: Array, truth: Array) -> Array | None:
    """One quantity; None where it cannot be compared, as it is where it does not fit."""
    plain = _plain(column, truth)
    if plain.shape == truth.shape or not name.startswith(OUTPUTS):
        return plain
    spread = _spread(name, column, truth)
    return None if spread is None else _laid_out(spread, truth)


OUTPUTS = ("forward/", "backward/")


def as_called(columns: Mapping[str, Array], truth: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs of units that one side calls once, for several batches side by side or stacked, and the other often."""
    out = dict(columns)
    for name in truth:
        if not name.startswith(OUTPUTS) or ":" in name or "[" in name:
            continue
        here, there = (_calls(name, side) for side in (truth, columns))
        shapes = [[side[of].shape for of in calls] for side, calls in ((truth, here), (columns, there))]
        if len(here) == len(there) or not there or min(len(shape) for of in shapes for shape in of) < 2:
            continue
        rows = [[shape[1] for shape in of] for of in shapes]
        rest = {(shape[0], *_sizes(shape[2:])) for of in shapes for shape in of}
        if sum(rows[0]) == sum(rows[1]) and len(rest) == 1:
            joined = np.concatenate([columns[of].reshape(*columns[of].shape[:2], *shapes[0][0][2:]) for of in there], 1)
            for of in there:
                del out[of]
            out |= dict(zip(here, np.split(joined, np.cumsum(rows[0])[:-1], axis=1), strict=True))
        elif 1 in (len(here), len(there)) and (found := _stacked(here, there, columns, truth)):
            for of in there:
                del out[of]
            out |= found
    return out


def _stacked(
    here: Sequence[str], there: Sequence[str], columns: Mapping[str, Array], truth: Mapping[str, Array]
) -> dict[str, Array]:
    """Outputs along an axis of their own in one call, as those of a model's layers; {} where they are none.

    Of several axes that can be it the one along which the numbers are nearest.
    """
    in_one_here = len(here) == 1
    whole = truth[here[0]] if in_one_here else columns[there[0]]
    each = [columns[of] for of in there] if in_one_here else [truth[of] for of in here]
    axes = [
        axis
        for axis in range(1, whole.ndim)
        if whole.shape[axis] == len(each)
        and {of.shape for of in each} == {whole.shape[:axis] + whole.shape[axis + 1 :]}
    ]
    if not axes:
        return {}
    axis = min(axes, key=lambda axis: _off(np.stack(each, axis), whole))
    if in_one_here:
        return {here[0]: np.stack(each, axis)}
    return {name: whole.take(at, axis) for at, name in enumerate(here)}


def _calls(name: str, columns: Mapping[str, Array]) -> list[str]:
    """A unit's outputs, call by call."""
    more = (f"{name}:{number}" for number in count(2))
    return [of for of in (name,) if of in columns] + list(takewhile(columns.__contains__, more))


def _sizes(shape: tuple[int, ...]) -> list[int]:
    """Without axes of one sample or place, which some layers need."""
    return [size for size in shape if size != 1]


def _plain(column: Array, truth: Array) -> Array:
    """With the truth's axes of one."""
    same = len(column) == len(truth) and _sizes(column.shape[1:]) == _sizes(truth.shape[1:])
    return column.reshape(truth.shape) if same else column


def _spread(name: str, column: Array, truth: Array) -> Array | None:
    """One output for all samples, where the other side has as many alike: of these one, and their gradients' sum.

    None where gradients of each are asked for, and only their sum is there.
    """
    more = max(column.ndim, truth.ndim)
    here, there = ((of.shape[0], *[1] * (more - of.ndim), *of.shape[1:]) for of in (truth, column))
    axes = [axis for axis, (a, b) in enumerate(zip(here, there, strict=True)) if a != b]
    if not axes or any(1 not in (here[axis], there[axis]) for axis in axes):
        return column
    found = column.reshape(there)
    for axis in axes:
        if there[axis] == 1 and name.startswith("backward/"):
            return None
        if there[axis] == 1:
            found = np.repeat(found, here[axis], axis)
        elif name.startswith("backward/"):
            found = found.sum(axis, keepdims=True)
        elif _off(found, found.take([0], axis)) <= NEAR:
            found = found.take([0], axis)
        else:
            return column
    return found.reshape(truth.shape)


def _laid_out(column: Array, truth: Array) -> Array:
    """In the order of its axes in which its numbers are nearest to their places; as it is, where they are in none."""
    shape = tuple(_sizes(column.shape[1:]))
    if column.shape == truth.shape or len(column) != len(truth) or column.size != truth.size or len(shape) > MOST:
        return column
    steps = column.reshape(len(column), *shape)
    orders = [(0, *(axis + 1 for axis in order)) for order in permutations(range(len(shape)))]
    found = min((steps.transpose(order).reshape(truth.shape) for order in orders), key=lambda of: _off(of, truth))
    return found if _off(found, truth) <= NEAR else column


def _off(one: Array, other: Array) -> float:
    """How far two are apart, at most, as a share of the largest number of the second; ∞ where one is no number."""
    largest = float(np.abs(other).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        off = float(np.abs(one - other).max(initial=0.0))
    return 0.0 if not off else off / largest if largest and off < np.inf else np.inf
