"""What is right where a number is beyond the dtype's range? What the rules come to in the dtype itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from harness.dtypes import FORMATS
from harness.inputs import Array


def as_far_as_the_dtype_reaches(
    columns: Mapping[str, Array], twin: Callable[[], Mapping[str, Array]], dtype: str, free: bool = False
) -> Mapping[str, Array]:
    """Quantities of a wider arithmetic; beyond the dtype's range, those of the dtype: inf, NaN, saturation.

    So too for what follows from an infinity (later in the execution order of its step, and in a free run at any later
    step), where the dtype has no finite number: the wider arithmetic goes on with one that nobody else has.

    Args:
        columns: each quantity in execution order, with a leading axis of steps (or of runs of one step).
        twin: gives the same quantities, computed by the same rules in the dtype; asked only where something overflows.
        dtype: the scenario's.
        free: each step follows from the one before.
    """
    held = {name: FORMATS[dtype].held(column) for name, column in columns.items()}
    if all(held[name] is column for name, column in columns.items()):
        return columns
    told = twin()
    infinite = {name: np.isinf(column).reshape(len(column), -1).any(axis=1) for name, column in held.items()}
    after = np.zeros(len(next(iter(held.values()))), bool)  # what has an infinity before it
    if free:
        after[1:] = np.logical_or.accumulate(np.logical_or.reduce(list(infinite.values())))[:-1]
    for name, column in held.items():
        own = np.asarray(told[name]).astype(np.float64)
        follows = after.reshape(-1, *[1] * (column.ndim - 1)) & ~(np.isfinite(own) & np.isfinite(column))
        held[name] = np.where(np.isinf(column) | follows, own, column)
        after = after | infinite[name]
    return held
