"""Are labels such as a loss is for, and samples such as an embedding is for?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.ops.axes import axis_of
from isograd.ops.op import Loss, Shape

Array = NDArray[Any]

SUMS = 1e-4
"""How far the numbers of a distribution that a person has written may be from 1 in all."""

WITHIN: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
    "numbers": ("numbers", np.isfinite),
    "shares": ("numbers from 0 to 1", lambda y: (y >= 0) & (y <= 1)),
    "distributions": ("numbers from 0 to 1", lambda y: (y >= 0) & (y <= 1)),
    "signs": ("1 or −1", lambda y: np.abs(y) == 1),
    "counts": ("whole numbers from 0", lambda y: (y >= 0) & (y == np.rint(y))),
}


def are_classes(y: Array, loss: Loss, outputs: Shape) -> Array:
    """For each label, whether it is a class that there is, or the one that is ignored."""
    ignored = getattr(loss, "ignored", None)
    known: Array = (y >= 0) & (y < loss.classes(outputs)) & (y == np.rint(y))
    return known if ignored is None else np.asarray(known | (y == ignored))


def are_indices(x: Array, n: int) -> bool:
    """Whether samples are whole numbers from 0, below ``n``."""
    return bool(((x >= 0) & (x < n) & (x == np.rint(x))).all())


def mistake_in(y: Array, loss: Loss, outputs: Shape) -> str:
    """What is wrong with labels (N, *the loss's shape of them), for outputs of a sample's shape; "" if nothing is.

    What is no finite number is for whoever rounds them to say.
    """
    if loss.labels == "classes":
        last, wrong = loss.classes(outputs) - 1, y[~are_classes(y, loss, outputs)]
        return f"expected classes from 0 to {last}, as many as outputs; got {wrong[0]:g}" if len(wrong) else ""
    expected, right = WITHIN[loss.within]
    if len(wrong := y[~right(y) & np.isfinite(y)]):
        return f"expected {expected}, for the loss {loss.kind}; got {wrong[0]:g}"
    if loss.within == "distributions":
        sums = y.sum(axis_of(getattr(loss, "axis", -1), outputs) + 1)
        if len(off := sums[np.abs(sums - 1) > SUMS]):
            return f"expected shares that are 1 in all, for the loss {loss.kind}; got {off[0]:g}"
    return ""
