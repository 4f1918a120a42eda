"""How are a user's batches kept in a file, and read from it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from isograd.inputs import Array
from isograd.side.program import PortError
from isograd.words import said_of


def keep_batches(batches: Iterator[Any], steps: int, file: Path) -> int:
    """Write the first batches to a file; how many there were."""
    arrays: dict[str, Array] = {}
    number = 0
    for number, batch in enumerate(islice(batches, steps), 1):
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise PortError(f"expected (x, y) each time; got {type(batch).__name__}")
        for name, part in zip("xy", batch, strict=True):
            arrays.update(_packed(f"{number - 1:06d}/{name}", part))
    if not number:
        raise PortError("expected at least one batch; got none")
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return number


def _packed(name: str, value: Any) -> Iterator[tuple[str, Array]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _packed(f"{name}/={key}", item)
    elif isinstance(value, (tuple, list)):
        for at, item in enumerate(value):
            yield from _packed(f"{name}/#{at}", item)
    elif value is not None:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise PortError(f"expected arrays of numbers; got {array.dtype}")
        yield name, array


def read_batches(file: Path) -> list[tuple[Any, Any]]:
    """The batches of such a file, or of one that a user has: arrays x and y with the steps leading.

    Raises:
        PortError: it is no file of arrays, or they are no batches.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        if set(arrays) == {"x", "y"}:
            return list(zip(arrays["x"], arrays["y"], strict=True))
    except (OSError, ValueError, AttributeError, TypeError, EOFError, BadZipFile) as error:
        raise PortError(f"{file}: expected an .npz of arrays x and y, the steps leading: {said_of(error)}") from None
    steps = sorted({name.partition("/")[0] for name in arrays})
    batches = [(_unpacked(f"{step}/x", arrays), _unpacked(f"{step}/y", arrays)) for step in steps]
    if not batches or any(x is None for x, _ in batches):
        raise PortError(f"{file}: expected arrays x and y, the steps leading; got {', '.join(arrays) or 'none'}")
    return batches


def _unpacked(name: str, arrays: Mapping[str, Array]) -> Any:
    if name in arrays:
        return arrays[name]
    rest = dict.fromkeys(key[len(name) + 1 :].partition("/")[0] for key in arrays if key.startswith(f"{name}/"))
    if all(key.startswith("=") for key in rest):
        return {key[1:]: _unpacked(f"{name}/{key}", arrays) for key in rest} or None
    return tuple(_unpacked(f"{name}/{key}", arrays) for key in rest) or None
