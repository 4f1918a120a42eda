"""Which constants does a port's code make otherwise: positions, masks, means of the data, all that a buffer holds?

Values go from the origin to the others, so that weights need not be loaded; but what a user's own code computes when a
model is built is part of what is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from isograd.inputs import Array
from isograd.ports.guilty import Candidate, Guilty
from isograd.ports.pairing import Pairing
from isograd.structure import Structure

ROUNDED = 1e-5
"""Of its largest number, what a buffer's may be off that both sides compute alike, in float32."""


def kept(
    first: Structure, other: Structure, pairing: Pairing, here: Mapping[str, Array], there: Mapping[str, Array]
) -> tuple[str, ...]:
    """Buffers, by the other side's names, that are not taken over from the first side.

    Args:
        first: the origin.
        other: the side.
        pairing: what of it is what of the origin.
        here: the origin's values as it was built.
        there: the side's.
    """
    if first.loaded and not other.loaded:
        return ()  # the origin comes from a file that the side has not read
    found = []
    for key in other.constants:
        to = pairing.params.get(key)
        if to in first.constants and _differ(here[f"buffer/{to}"], there[f"buffer/{key}"]):
            found.append(key)
    return tuple(found)


def drawn(first: Structure, other: Structure) -> dict[str, str]:
    """Buffers that no step records and that both sides draw: by name; others in their order, if there are as many."""
    found = {key: key for key in other.drawn if key in first.drawn}
    left = [[key for key in of.drawn if key not in found] for of in (other, first)]
    return found | (dict(zip(*left, strict=True)) if len(left[0]) == len(left[1]) else {})


def _differ(one: Array, other: Array) -> bool:
    """Whether two buffers are other numbers, be one of them transposed (`Pairing.swapped`)."""
    other = other if one.shape == other.shape else np.swapaxes(other, -1, -2)
    return not _near(one, other, np.abs(one).max(initial=0.0, where=np.isfinite(one)))


def _near(one: Array, other: Array, largest: float) -> bool:
    """Whether they are the same but for float32's rounding of the largest number."""
    return np.allclose(one, other, rtol=0.0, atol=ROUNDED * float(largest), equal_nan=True)


def candidates(guilty: Guilty) -> Iterator[Candidate]:
    """Each buffer that is made otherwise, and all together."""
    names = [name for name in guilty.kept if f"buffer/{name}" in guilty.target]
    changes = [{"do": "theirs", "at": name} for name in names]
    words = [
        f"{name} holds other numbers there: {_told(guilty.truth[f'buffer/{name}'], guilty.target[f'buffer/{name}'])}"
        for name in names
    ]
    for sentence, change in zip(words, changes, strict=True):
        yield Candidate(sentence, (change,))
    if len(names) > 1:
        yield Candidate("; ".join(words), tuple(changes))


def _told(here: Array, there: Array) -> str:
    """How a buffer's numbers are other ones."""
    same = partial(_near, largest=np.abs(there).max(initial=0.0, where=np.isfinite(there)))
    other = here != 0
    with np.errstate(all="ignore"):
        factor, move = (
            float(np.median(there[other] / here[other])) if other.any() else 0.0,
            float(np.median(there - here)),
        )
        if same(factor * here, there):
            return f"they are {factor:.6g} times as large"
        if same(here + move, there):
            return f"{move:.6g} is added to each"
    for axis in range(here.ndim):
        one, two = np.moveaxis(here, axis, 0), np.moveaxis(there, axis, 0)
        for by, mine, theirs in ((1, one[1:], two[:-1]), (-1, one[:-1], two[1:])):
            if len(one) > 2 and same(mine, theirs):
                return f"they are shifted by {by} along axis {axis}"
        if same(one[::-1], two):
            return f"they are reversed along axis {axis}"
    if same(np.sort(here, axis=None), np.sort(there, axis=None)):
        return "the same ones in another order (interleaved, or in halves; transposed)"
    at = np.unravel_index(np.argmax(np.abs(there - here)), here.shape)
    place = f"[{', '.join(str(int(i)) for i in at)}]"
    return f"at {place} it is {float(there[at]):.6g}, and {float(here[at]):.6g} here; the model's code makes them"
