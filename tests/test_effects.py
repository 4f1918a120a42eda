"""Is it known of two effects, when they are added up, what they leave of a difference?"""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from isograd.changes.catalogue import make_change
from isograd.explanation.effects import _left_over_by_pair, nearest_pairs


def test_what_two_effects_leave_is_known_of_all_pairs_at_once() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    kinds = [make_change(name, {}) for name in ("gradient_scale", "labels_shifted", "weight_decay", "update_twice")]
    effects = [(change, rng.standard_normal(9)) for change in kinds]
    effects.append((effects[0][0], 2 * effects[0][1]))  # parallel to the first, and of its kind
    wanted = rng.standard_normal(9)
    left = _left_over_by_pair(wanted, effects)
    for i, j in combinations(range(len(kinds)), 2):
        solved = [effects[k][1] for k in (i, j) if kinds[k].solve]
        rest = wanted - sum((effects[k][1] for k in (i, j) if not kinds[k].solve), np.zeros(9))
        if solved:
            basis = np.stack(solved, axis=1)
            rest = rest - basis @ np.linalg.lstsq(basis, rest, rcond=None)[0]
        assert left[i, j] == pytest.approx(rest @ rest)
    along = effects[0][1] @ wanted
    assert left[0, -1] == pytest.approx(wanted @ wanted - along**2 / (effects[0][1] @ effects[0][1]))


def test_the_pair_that_makes_a_difference_is_the_nearest() -> None:
    rng = np.random.Generator(np.random.PCG64(4))
    names = ("gradient_scale", "labels_shifted", "weight_decay", "update_twice", "momentum")
    effects = [(make_change(name, {}), rng.standard_normal(20)) for name in names]
    found = nearest_pairs(3 * effects[0][1] + effects[1][1], effects, 3)
    assert [change.id for change in found[0]] == ["gradient_scale", "labels_shifted"]
