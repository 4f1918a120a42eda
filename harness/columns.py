"""Where do the quantities of many steps lie, of which a large model has more than memory holds? In one file.

Of each quantity all steps lie side by side, and the file is mapped: whoever looks at one of them has the system read
that one. Beside it lies an index, JSON.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from isograd.dtypes import FORMATS
from isograd.errors import TraceError
from isograd.inputs import Array

ALIGNED = 64  # bytes


class Place(BaseModel):
    """Where one quantity lies: shape (steps, *shape) from an offset on, in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offset: Annotated[int, Field(ge=0)]
    dtype: str
    shape: tuple[Annotated[int, Field(ge=0)], ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * _dtype(self.dtype).itemsize


Places = TypeAdapter(dict[str, Place])


def _dtype(name: str) -> np.dtype:
    return np.dtype(FORMATS[name].dtype) if name in FORMATS else np.dtype(name)


class Columns:
    """Quantities that are written step by step.

    Args:
        path: the file; what is there is replaced.
        steps: how many there will be.
    """

    def __init__(self, path: Path, steps: int) -> None:
        self.path, self.steps = path, steps
        self.arrays: dict[str, Array] | None = None
        self.places: dict[str, Place] = {}
        self.whole: set[str] = set()

    def put(self, t: int, values: Mapping[str, Array]) -> None:
        """A step's quantities; one that comes or goes from step to step, or changes its shape, is left out."""
        arrays = self._begun(values)
        for name in list(self.whole):
            value = values.get(name)
            if value is None or value.shape != arrays[name].shape[1:]:
                self.whole.discard(name)
            else:
                arrays[name][t] = value

    def raise_to(self, t: int, values: Mapping[str, Array]) -> None:
        """A step's quantities where they are larger than what is there; at first, that is 0."""
        for name, array in self._begun(values).items():
            if name in values:
                array[t] = np.maximum(array[t], values[name])

    def _begun(self, values: Mapping[str, Array]) -> dict[str, Array]:
        if self.arrays is None:
            at = 0
            for name, value in values.items():
                self.places[name] = Place(offset=at, dtype=str(value.dtype), shape=(self.steps, *value.shape))
                at += -(-self.places[name].size // ALIGNED) * ALIGNED
            self.whole = set(values)
            self.path.unlink(missing_ok=True)  # whoever has the old one mapped keeps it
            with self.path.open("wb") as file:
                _allocate(file.fileno(), max(at, ALIGNED))
            self.arrays = _mapped(self.path, self.places, "r+")
        return self.arrays

    def close(self) -> None:
        """Write the index: only then are they there for others."""
        self._begun({})  # a file, if nothing has been put
        kept = {name: place for name, place in self.places.items() if name in self.whole}
        self.arrays = None
        _index(self.path).write_bytes(Places.dump_json(kept))


class Each(Mapping[str, Array]):
    """An array of each quantity, made when it is asked for: a large model's, of all steps, do not lie in memory."""

    def __init__(self, names: Sequence[str], make: Callable[[str], Array]) -> None:
        self.names, self.make = dict.fromkeys(names), make
        self.last: tuple[str, Array] | None = None  # whoever asks for one asks for it several times

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise KeyError(name)
        if self.last is None or self.last[0] != name:
            self.last = (name, self.make(name))
        return self.last[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _allocate(file: int, size: int) -> None:
    """So many bytes of a disk: a mapped file that finds it full later ends the process.

    Raises:
        OSError: it is full.
    """
    try:
        os.posix_fallocate(file, 0, size)
    except (AttributeError, OSError) as error:  # not every system can, nor every kind of disk
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.ftruncate(file, size)


def write_columns(path: Path, steps: Iterable[Mapping[str, Array]], number: int) -> None:
    """The quantities of so many steps, one after another."""
    columns = Columns(path, number)
    for t, values in enumerate(steps):
        columns.put(t, values)
    columns.close()


def read_columns(path: Path) -> dict[str, Array] | None:
    """Every quantity, (steps, *shape), in order; mapped, and not to be written. None where there is no such file.

    Raises:
        TraceError: the index is none, or does not fit the file.
    """
    if not _index(path).is_file():
        return None
    try:
        places = Places.validate_json(_index(path).read_bytes())
        end = path.stat().st_size
        if any(place.offset + place.size > end for place in places.values()):
            raise ValueError("quantities lie beyond the end of the file")
        return _mapped(path, places, "r")
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise TraceError(f"{path}: expected columns and their index: {error}") from None


def _index(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _mapped(path: Path, places: Mapping[str, Place], mode: str) -> dict[str, Array]:
    raw = np.memmap(path, np.uint8, mode)  # type: ignore[call-overload]
    return {
        name: np.asarray(raw[place.offset : place.offset + place.size]).view(_dtype(place.dtype)).reshape(place.shape)
        for name, place in places.items()
    }
