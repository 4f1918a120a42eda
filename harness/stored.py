"""How is a large trace kept without being kept in memory? Its columns stay in their file until one is asked for."""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from isograd.dtypes import FORMATS
from isograd.errors import TraceError
from isograd.inputs import Array
from isograd.trace import Trace, save_arrays

LARGE = 2**23
"""Bytes of a trace's columns from which on they are left in the file."""

DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}  # as safetensors calls them


class StoredColumns(Mapping[str, Array]):
    """Columns of a safetensors file that is known to be whole: each access reads one, and keeps nothing.

    The file is read and not mapped: what is mapped counts as memory, and ends the process where somebody cuts the file
    short. It may be deleted meanwhile.

    Args:
        path: the file.
        names: the columns, in execution order.
    """

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self._path, self._file = path, path.open("rb", buffering=0)
        weakref.finalize(self, self._file.close)
        length = int.from_bytes(self._file.read(8), "little")
        header, self._start = json.loads(self._file.read(length)), 8 + length
        self._entries = {name: header[name] for name in names}

    def __getitem__(self, name: str) -> Array:
        entry = self._entries[name]
        column = np.empty(entry["shape"], FORMATS[DTYPES[entry["dtype"]]].dtype)
        left = column.reshape(-1).view(np.uint8).data
        self._file.seek(self._start + entry["data_offsets"][0])
        while left:
            read = self._file.readinto(left)
            if not read:
                raise TraceError(f"{self._path}: {name}: somebody cut the file short while it was in use")
            left = left[read:]
        column.setflags(write=False)
        return column

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def on_disk(columns: Mapping[str, Array], path: Path) -> Mapping[str, Array]:
    """Columns as they are, or, where they are large, written to ``path`` and read again whenever they are needed.

    Where they cannot be written (a full disk, a folder that somebody removed), they stay in memory.
    """
    if sum(column.nbytes for column in columns.values()) < LARGE:
        return columns
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(columns, path)
        return StoredColumns(path, tuple(columns))
    except (TraceError, OSError):
        return columns


def left_in_file(trace: Trace, path: Path) -> Trace:
    """The trace that was read from ``path``; its columns, if they are large, are read again when they are needed."""
    if sum(column.nbytes for column in trace.columns.values()) < LARGE:
        return trace
    try:
        return replace(trace, columns=StoredColumns(path, tuple(trace.columns)))
    except OSError:  # it was removed meanwhile, or too many files are open
        return trace


def in_memory(trace: Trace) -> Trace:
    """The trace with all its columns read, for whoever looks at them again and again."""
    return replace(trace, columns=dict(trace.columns)) if isinstance(trace.columns, StoredColumns) else trace
