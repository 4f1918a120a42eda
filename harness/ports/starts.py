"""Do both sides begin alike, and with the same data? What is drawn can only be alike in its distribution."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isograd.inputs import Array
from isograd.judging import Judgement, Verdict
from isograd.ports.cells import failed, structural
from isograd.ports.grounds import Built, Grounds
from isograd.ports.pairing import Pairing
from isograd.ports.result import STARTS, Cell
from isograd.ports.sides import SideError, given_by
from isograd.side.batches import read_batches
from isograd.trace import load_arrays

FEW = 32
"""Numbers of which a distribution cannot be told."""

UNLIKELY = 1e-6
"""Of all parameters together, that two draws from one distribution are so far apart: a false alarm in a million."""

MANY = 6
"""Findings that are listed."""


def starts_of(grounds: Grounds, built: Built, steps: int) -> Cell:
    """Whether a side begins as the origin does, and with the same data."""
    assert built.paired is not None
    own = load_arrays(Path(grounds.files[f"initial-{built.at}"]))[0]
    found = list(starts(grounds.initial, own, built.paired))
    file = grounds.port.sides[built.at].file
    if file in grounds.port.others:
        try:
            other = given_by(grounds.works, file, grounds.files.folder / f"batches-{built.at}.npz", steps)
        except SideError as error:
            words = "; ".join([f"batches() of {file.name}: {error}", *found[:MANY]])
            return failed(built.label, SideError(words, error.tail), STARTS, built.of.dtype)
        said = order(read_batches(grounds.batches), read_batches(other))
        found = [f"batches(): {said}", *found] if said else found
    more = f"; and {len(found) - MANY} more" if len(found) > MANY else ""
    judgement = structural("; ".join(found[:MANY]) + more) if found else Judgement(Verdict.EQUIVALENT)
    return Cell(built.label, STARTS, built.of.dtype, judgement)


def starts(here: Mapping[str, Array], there: Mapping[str, Array], pairing: Pairing) -> Iterator[str]:
    """Each parameter or buffer that begins otherwise, in words.

    Two samples of n and m numbers are from two distributions where the largest distance D of their shares below a
    number has p = 2 exp(−2 D² n m / (n + m)) below `UNLIKELY` (Kolmogorov and Smirnov's test).
    """
    pairs = [
        (to, np.ravel(here[f"{kind}/{to}"]), np.ravel(there[f"{kind}/{own}"]))
        for own, to in pairing.params.items()
        for kind in ("weight", "buffer")
        if f"{kind}/{to}" in here and f"{kind}/{own}" in there
    ]
    for name, one, other in pairs:
        if _constant(one) or _constant(other):
            differs = not (_constant(one) and _constant(other) and one.size and np.isclose(one[0], other[0]))
        elif min(one.size, other.size) < FEW:
            continue
        else:
            n, m = one.size, other.size
            differs = 2 * np.exp(-2 * _distance(one, other) ** 2 * n * m / (n + m)) < UNLIKELY / len(pairs)
        if one.size and other.size and differs:
            yield f"{name} starts with {_told(other)} there, {_told(one)} here"


def _constant(values: Array) -> bool:
    return bool(values.size and (values == values[0]).all())


def _distance(one: Array, other: Array) -> float:
    both = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(values), both, side="right") / len(values) for values in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def _told(values: Array) -> str:
    if _constant(values):
        return f"{values[0]:.4g} everywhere"
    return f"mean {values.mean():.3g}, standard deviation {values.std():.3g}, largest {np.abs(values).max():.3g}"


def order(here: Sequence[tuple[Any, Any]], there: Sequence[tuple[Any, Any]]) -> str:
    """How the batches of one file differ from those of another; "" where they are the same."""
    if len(here) != len(there):
        return f"{len(there)} batches there, {len(here)} here"
    for at, (mine, theirs) in enumerate(zip(here, there, strict=True)):
        if not _same(mine, theirs):
            one, other = (np.concatenate([_rows(batch) for batch in side]) for side in (here, there))
            if one.shape == other.shape and np.array_equal(one[np.lexsort(one.T)], other[np.lexsort(other.T)]):
                return f"the same samples in another order there, from batch {at} on"
            return f"other samples or labels there, from batch {at} on"
    return ""


def _arrays(value: Any) -> list[Array]:
    if isinstance(value, Mapping):
        return [array for name in sorted(value) for array in _arrays(value[name])]
    if isinstance(value, (tuple, list)):
        return [array for item in value for array in _arrays(item)]
    return [np.asarray(value)]


def _same(one: Any, other: Any) -> bool:
    a, b = _arrays(one), _arrays(other)
    return len(a) == len(b) and all(x.shape == y.shape and np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def _rows(batch: Any) -> Array:
    """A row a sample: all that it is made of, side by side."""
    arrays = [array for array in _arrays(batch) if array.ndim]
    return np.concatenate([array.reshape(len(array), -1).astype(np.float64) for array in arrays], axis=1)
