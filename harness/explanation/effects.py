"""What do two effects leave of a difference, when they are added up? By least squares where a size is solved for."""

from __future__ import annotations

import numpy as np

from isograd.changes.change import Change
from isograd.inputs import Array

Effects = list[tuple[Change, Array]]
"""Changes, and how far each moves the numbers of a step, in envelopes."""

PARALLEL = 1e-10
"""Of the product of two squared lengths: two effects with a smaller determinant are one and the same."""


def nearest_pairs(wanted: Array, effects: Effects, most: int) -> list[tuple[Change, Change]]:
    """Pairs of changes of different kinds, those first that leave the least of a difference by its largest number.

    Only so many are looked at closely: those that leave the least by their squared length, which is known of all at
    once.
    """
    if len(effects) < 2:
        return []
    left = _left_over_by_pair(wanted, effects)
    order = [divmod(int(k), len(effects)) for k in np.argsort(left, axis=None, kind="stable")]
    pairs = [(i, j) for i, j in order if i < j and effects[i][0].id != effects[j][0].id][:most]
    closest = sorted((_left_over(wanted, effects[i], effects[j]), i, j) for i, j in pairs)
    return [(effects[i][0], effects[j][0]) for _, i, j in closest]


def _left_over_by_pair(wanted: Array, effects: Effects) -> Array:
    """The squared length of what each two effects leave of a difference, by the Gram matrix of all of them."""
    moved, solved = np.stack([effect for _, effect in effects]), np.array([bool(c.solve) for c, _ in effects])
    gram, along, whole = moved @ moved.T, moved @ wanted, float(wanted @ wanted)
    squares = np.diagonal(gram)
    fixed = whole - 2 * along + squares  # what one leaves by itself, as it is
    with np.errstate(divide="ignore", invalid="ignore"):
        # the first as it is, the second as large as it takes
        toward = along[np.newaxis] - gram
        one = fixed[:, np.newaxis] - toward**2 / squares[np.newaxis]
        product = squares[:, np.newaxis] * squares[np.newaxis]
        determinant = product - gram**2
        both = along[:, np.newaxis] ** 2 * squares[np.newaxis] + along[np.newaxis] ** 2 * squares[:, np.newaxis]
        both = whole - (both - 2 * along[:, np.newaxis] * along[np.newaxis] * gram) / determinant
        alone = whole - along**2 / squares
        parallel = determinant <= PARALLEL * product
        both = np.where(parallel, np.minimum(alone[:, np.newaxis], alone[np.newaxis]), both)
    neither = fixed[:, np.newaxis] + fixed[np.newaxis] - whole + 2 * gram
    first, second = solved[:, np.newaxis], solved[np.newaxis]
    left = np.where(first & second, both, np.where(first, one.T, np.where(second, one, neither)))
    return np.asarray(np.nan_to_num(np.maximum(left, 0.0), nan=np.inf))


def _left_over(wanted: Array, one: tuple[Change, Array], other: tuple[Change, Array]) -> float:
    """What two effects leave of a difference: any multiple of one whose size is solved for, otherwise just that."""
    solved = [effect for change, effect in (one, other) if change.solve]
    rest = wanted - sum((effect for change, effect in (one, other) if not change.solve), np.zeros(1))
    if solved:
        basis = np.stack(solved, axis=1)
        rest = rest - basis @ np.linalg.lstsq(basis, rest, rcond=None)[0]
    return float(np.abs(rest).max())
