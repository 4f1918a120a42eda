"""What was computed of a trace's steps, so as not to be computed again?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from isograd.changes.changed import Known
from isograd.envelope import Floats
from isograd.inputs import Array

Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Whole:
    """A step's quantities end to end, but for the learning rate.

    Attributes:
        names: of each.
        sizes: how many elements each has.
        starts: where each begins.
        got: what the trace has.
        weight: one over the envelope, by the unchanged rules.
        largest: the largest element of each, by the unchanged rules.
        typical: one over `FAR` times the typical envelope of each.
    """

    names: list[str]
    sizes: Steps
    starts: Steps
    got: Floats
    weight: Floats
    largest: Floats
    typical: Floats


@dataclass(frozen=True)
class Unchanged:
    """What the rules without any change say of a step, by quantity.

    Attributes:
        weight: one over the envelope of each element, end to end; pooled, for a change makes something of what is
            exactly 0. A constant outweighs all that rounds.
        typical: one over `FAR` times the typical envelope.
        ratio: the largest error in bounds; of what has another shape nothing is known.
    """

    weight: dict[str, Floats]
    typical: dict[str, float]
    ratio: dict[str, float]


@dataclass(frozen=True)
class Kept:
    """What was computed of a trace's steps, so as not to be computed again; by step, or by what was asked for.

    Attributes:
        knowns: steps by the rules up to their gradients.
        ruled: steps by the rules, every quantity.
        unchanged: what the rules say of a step.
        wholes: a step's quantities end to end.
        vectors: some numbers of some quantities of some steps, end to end.
        samples: which elements of a large tensor are looked at.
    """

    knowns: dict[int, Known] = field(default_factory=dict)
    ruled: dict[int, Mapping[str, Array]] = field(default_factory=dict)
    unchanged: dict[int, Unchanged] = field(default_factory=dict)
    wholes: dict[int, Whole] = field(default_factory=dict)
    vectors: dict[tuple[object, ...], Floats] = field(default_factory=dict)
    samples: dict[tuple[str, int], Steps] = field(default_factory=dict)
