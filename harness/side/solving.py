"""For which numbers does a run give what is nearest to what another side gave?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from isograd.inputs import Array

STEPS = 40
"""Steps of an iteration."""

LEAVES = 1e-9
"""An iteration ends where it leaves no more than this share of the difference."""


def nearest(run: Callable[[Sequence[float]], Array | None], target: Array, begin: Sequence[float]) -> list[float]:
    """Gauss and Newton's iteration, on the logarithms of numbers that begin above 0."""
    positive = np.array(begin) > 0
    x = np.where(positive, np.log(np.where(positive, begin, 1.0)), begin)

    def of(x: Array) -> list[float]:
        return [float(np.exp(v)) if p else float(v) for v, p in zip(x, positive, strict=True)]

    whole, best = None, (np.inf, x)
    for _ in range(STEPS):
        y = run(of(x))
        if y is None or y.shape != target.shape:
            break
        rest = (target - y).ravel()
        size = float(np.linalg.norm(rest))
        whole = size if whole is None else whole
        if size < best[0]:
            best = (size, x)
        if not np.isfinite(size) or size <= LEAVES * whole:
            break
        h = np.where(positive, 1e-4, 1e-4 * np.maximum(1.0, np.abs(x)))
        columns = [run(of(x + h * unit)) for unit in np.eye(len(x))]
        if any(column is None for column in columns):
            break
        slopes = np.stack([(column - y).ravel() / step for column, step in zip(columns, h, strict=True)], axis=1)
        if not slopes.any() or not np.isfinite(slopes).all():
            break
        move = np.linalg.lstsq(slopes, rest, rcond=None)[0]
        x = x + np.where(positive, np.clip(move, -2.0, 2.0), move)
        if (np.abs(move) <= 1e-13 * np.maximum(1.0, np.abs(x))).all():
            break
    return of(best[1])
