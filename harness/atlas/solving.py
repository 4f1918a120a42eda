"""Which settings of ours has an operation as a framework builds it unasked? Tried one after another, and solved for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from isograd.atlas.compared import NARROW, ROUNDING
from isograd.atlas.operations import Arrays, Operation, Settings, apart, distances, numbers_of, worst
from isograd.errors import IsogradError

NARROWER = 2.0**-14
"""Of the largest number: what keeping a setting in float32 can do. 1 − β₂ = 0.001 is off by 3e-5 then."""


@dataclass(frozen=True)
class Found:
    """What was found of an operation in one framework.

    Attributes:
        settings: of ours, that give its numbers.
        apart: how far from them it still is.
        narrow: settings that it keeps in float32.
        silent: settings that change nothing here.
        where: the quantity that is furthest off.
    """

    settings: Settings
    apart: float
    narrow: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    where: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether its numbers are ours, but for rounding or a constant that it keeps in float32."""
        return self.apart <= NARROWER


USUAL = (
    0.0, 2.0**-52, 1e-12, 1e-10, 1e-8, 1e-7, 2.0**-23, 1e-6, 1e-5, 1e-4, 1e-3, 2e-3, 4e-3, 0.01, 0.02, 0.05, 0.1,
    0.125, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.75, 0.8, 0.9, 0.95, 0.96, 0.98, 0.99, 0.995, 0.999, 1.0, 1.2, 1.5, 2.0, 3.0,
    4.0, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0, 1e4, -1.0,
)  # fmt: skip
"""Numbers that are somebody's default."""

ROUNDS = 3  # over all settings: two that go together are found in the second


def variants(operation: Operation) -> Iterator[dict[str, Any]]:
    """Settings to probe a framework with: ours, and with one flag the other way, on which parameters may depend."""
    yield operation.open
    for name, value in operation.open.items():
        if isinstance(value, bool):
            yield {**operation.open, name: not value}


def solve(operation: Operation, came: Sequence[Arrays], start: Mapping[str, Any] | None = None) -> Found:
    """The settings of ours that give a framework's numbers: each tried in turn, until none does better; then solved.

    Args:
        operation: what it is.
        came: what the framework gave in each probe.
        start: the settings that the probes were made with; ours without.
    """
    values = dict(start or operation.open)
    if "lr" in operation.open:
        values["lr"] = float(came[0]["lr"][0])
    best, far = Settings(values), np.inf
    for alternative in ("", *operation.type.alternatives):
        found = _descended(operation, came, Settings(values, alternative))
        best, far = min((best, far), found, key=_second)
        if far == 0:
            break
    best, narrow = _narrowed(operation, came, *min((best, far), _refined(operation, came, best, far), key=_second))
    ours = numbers_of(operation, _as_kept(best, narrow))
    left = apart(came, ours)
    silent = frozenset(name for name in operation.open if _is_silent(operation, best, name))
    return Found(best, left, narrow, silent, worst(came, ours) if left > ROUNDING else "")


def _descended(operation: Operation, came: Sequence[Arrays], best: Settings) -> tuple[Settings, float]:
    """Each setting in turn has the value that does best, until none does better."""
    far = _far(operation, came, best)
    for _ in range(ROUNDS):
        before = far
        for name in operation.open:
            for value in _candidates(operation, name) if far > 0 else ():
                tried = best.with_(name, value)
                off = _far(operation, came, tried)
                if off < far:
                    best, far = tried, off
        if far in (0, before):
            break
    return best, far


def _second(pair: tuple[Any, float]) -> float:
    return pair[1]


def _far(operation: Operation, came: Sequence[Arrays], settings: Settings) -> float:
    """How far settings are from what came: the mean over all quantities of how many digits are wrong; 0 if none is.

    Digits, since what one setting has put right must show while another still spoils all the rest.
    """
    try:
        off = [distance for distance, _ in distances(came, numbers_of(operation, settings))]
    except (ValueError, ArithmeticError, IsogradError):  # refused: by a spec, a shape, or by dividing
        return float("inf")
    return float(np.mean(np.log10(np.clip(off, ROUNDING, MOST)) - np.log10(ROUNDING)))


MOST = 1e3  # what is further off is no worse


def _as_kept(settings: Settings, narrow: frozenset[str]) -> Settings:
    rounded = {name: float(np.float32(settings.values[name])) for name in narrow}
    return replace(settings, values={**settings.values, **rounded})


def _candidates(operation: Operation, name: str) -> list[Any]:
    now, hint = operation.open[name], operation.type.model_fields[name].annotation
    kinds = _kinds(hint)
    if isinstance(now, bool):
        return [False, True]
    if isinstance(now, str):
        return [value for kind in kinds if get_origin(kind) is Literal for value in get_args(kind)]
    if isinstance(now, float):
        return [value for value in USUAL if value != now]
    if isinstance(now, int):
        return [value for value in range(-3, 6) if value != now]
    if isinstance(now, tuple):
        return [tuple(value + 1 for value in now)]
    return [1, 1.0, (1,), (1, 1), (1.0, 2.0, 0.5)]  # None: something else than none of it


def _kinds(hint: Any) -> list[Any]:
    inner = [kind for part in get_args(hint) for kind in _kinds(part)] if get_origin(hint) is not Literal else []
    return [hint, *inner]


def _refined(operation: Operation, came: Sequence[Arrays], best: Settings, far: float) -> tuple[Settings, float]:
    """All numbers moved together to where they fit best: Gauss and Newton's steps, as long as they lead nearer."""
    names = [name for name, value in operation.open.items() if isinstance(value, float)]
    for _ in range(ITERATIONS if names and far > 0 and np.isfinite(far) else 0):
        further = _further(operation, came, best, names)
        tried = replace(best, values={**best.values, **further})
        off = _far(operation, came, tried)
        if not off < far:
            break
        best, far = tried, off
    return best, far


ITERATIONS = 6


def _further(operation: Operation, came: Sequence[Arrays], best: Settings, names: Sequence[str]) -> dict[str, float]:
    """The numbers after one step; every quantity counts by its largest number."""
    here = numbers_of(operation, best)
    left = _stacked(came, here, here)
    slopes = []
    for name in names:
        width = abs(best.values[name]) * 1e-6 or 1e-9
        moved = numbers_of(operation, best.with_(name, best.values[name] + width))
        slopes.append(_stacked(moved, here, here) / width)
    steps = np.linalg.lstsq(np.stack(slopes, 1), left, rcond=1e-12)[0]
    return {name: float(best.values[name] + step) for name, step in zip(names, steps, strict=True)}


def _stacked(came: Sequence[Arrays], ours: Sequence[Arrays], sizes: Sequence[Arrays]) -> NDArray[np.float64]:
    """Differences of all quantities in one row, each of its largest number; 0 where they are not alike."""
    parts = []
    for theirs, mine, like in zip(came, ours, sizes, strict=True):
        for name, value in mine.items():
            size = float(np.abs(like[name][np.isfinite(like[name])]).max(initial=0.0)) or 1.0
            alike = name in theirs and theirs[name].shape == value.shape
            with np.errstate(all="ignore"):
                off = (theirs[name] - value) / size if alike else np.zeros_like(value)
            parts.append(np.where(np.isfinite(off), off, 0.0).reshape(-1))
    return np.concatenate(parts)


def _narrowed(
    operation: Operation, came: Sequence[Arrays], best: Settings, far: float
) -> tuple[Settings, frozenset[str]]:
    """The settings by short numbers, and which of them bring it nearer where they are rounded to float32."""
    short = replace(best, values={name: _short(value) for name, value in best.values.items()})
    kept: frozenset[str] = frozenset()
    for name, value in short.values.items():
        if not isinstance(value, float) or float(np.float32(value)) == value:
            continue
        off = _far(operation, came, _as_kept(short, kept | {name}))
        if off < _far(operation, came, _as_kept(short, kept)):
            kept |= {name}
    for name, usual in operation.open.items():  # what rounding alone has moved is put back
        value, back = short.values[name], short.with_(name, usual)
        if value == usual:
            continue
        no_worse = _far(operation, came, _as_kept(back, kept)) <= far + SLACK
        odd = isinstance(value, float) and (abs(value - usual) <= NARROW or not _is_short(value))
        by_a_hair = far > SLACK and odd
        if no_worse or (by_a_hair and apart(came, numbers_of(operation, _as_kept(back, kept))) <= NARROW):
            short, kept = back, kept - {name}
    left = apart(came, numbers_of(operation, _as_kept(short, kept)))
    if left > NARROW and _far(operation, came, _as_kept(short, kept)) > far + SLACK:
        return best, frozenset()
    return short, kept if left <= ROUNDING else frozenset()  # otherwise it is not known which they are


SLACK = 0.05  # digits


def _short(value: Any) -> Any:
    """The shortest decimal number within a few roundings of float32."""
    if not isinstance(value, float) or value in USUAL:
        return value
    return next(s for digits in range(1, 17) if abs((s := float(f"{value:.{digits}g}")) - value) <= abs(value) * 2e-7)


def _is_short(value: Any) -> bool:
    return not isinstance(value, float) or float(f"{value:.4g}") == value


def _is_silent(operation: Operation, best: Settings, name: str) -> bool:
    """Whether no other value of a setting changes anything, of those that the operation takes."""
    here, taken = numbers_of(operation, best), False
    for value in _candidates(operation, name):
        far = _far(operation, here, best.with_(name, value))
        if 0 < far < np.inf:
            return False
        taken = taken or far == 0
    return taken
