"""What was seen in one run, where did it come from, and how is it kept in a file?"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from isograd.dtypes import FORMATS
from isograd.errors import TraceError
from isograd.inputs import Array, Inputs
from isograd.spec import EXACT, DType

FORMAT = 3
KEY = "isograd"  # the one entry of a file's metadata that is ours
STEPS, INPUTS = "steps", "inputs/"  # the tensors of a file that are no quantities

SPECIAL = "it is a device or a pipe, and no file"

FLOATS = tuple(FORMATS[name].dtype for name in get_args(DType))

Mode = Literal["free", "resync"]
MODES: tuple[Mode, ...] = ("free", "resync")


class Known(BaseModel):
    """A difference that a backend is known to have on a scenario: what differs, what follows from it, and why."""

    model_config = ConfigDict(frozen=True)

    quantities: tuple[str, ...]
    follows: tuple[str, ...] = ()
    reason: str
    always: bool = True  # otherwise it may be too small to show
    kept_in: Literal["", "float16", "bfloat16", "float32"] = ""  # nothing is further off than that dtype's rounding is
    apart: tuple[str, ...] = ()  # but what differs, or follows, for another reason than that

    def names(self, quantity: str) -> bool:
        """Whether a quantity is one of those that differ by themselves."""
        return any(fnmatchcase(quantity, glob) for glob in self.quantities)


class Manifest(BaseModel):
    """Where a trace came from."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    scenario: str
    fingerprint: str
    backend: str
    dtype: DType
    mode: Mode
    steps: Annotated[int, Field(ge=0, le=EXACT)]
    environment: dict[str, str] = {}
    platform: str = ""
    every: Annotated[int, Field(ge=1, le=EXACT)] = 1
    pattern: str = "*"
    deviation: Known | None = None
    spec: dict[str, Any] = {}


class _Stored(Manifest):
    """A manifest as a file holds it: safetensors sorts its tensors by name, and execution order must not be lost."""

    quantities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """All quantities of one run, as columns.

    Attributes:
        columns: quantity to array, (recorded steps, *shape of each), in execution order. Of a batch smaller than
            the others, the rows that it lacks are zero, on every backend alike.
        steps: which steps were recorded, counted from 0.
        manifest: where it came from.
        inputs: the numbers that it was made from; None for what is no run of a scenario.
    """

    columns: Mapping[str, Array]
    steps: NDArray[np.int64]
    manifest: Manifest
    inputs: Inputs | None = None

    def every(self, steps: NDArray[np.int64], names: Collection[str] | None = None) -> Self:
        """The trace at ``steps`` only, all of which it must hold, and of the quantities ``names`` only."""
        whole = names is None or set(names) == set(self.columns)
        if whole and np.array_equal(steps, self.steps):
            return self
        chosen = self.columns if names is None else {name: self.columns[name] for name in names}
        rows = slice(None) if np.array_equal(steps, self.steps) else np.searchsorted(self.steps, steps)
        return replace(self, columns={name: column[rows] for name, column in chosen.items()}, steps=steps)


def first_difference(a: Trace, b: Trace) -> str:
    """Where two traces of one job first differ in any bit, as in "loss at step 3"; "" where they do not."""
    first = []
    for name in [*a.columns, *(name for name in b.columns if name not in a.columns)]:
        one, other = a.columns.get(name), b.columns.get(name)
        if one is None or other is None or (one.shape, one.dtype) != (other.shape, other.dtype):
            first.append((0, name))
        elif len(rows := np.flatnonzero((bits(one) != bits(other)).reshape(len(one), -1).any(axis=1))):
            first.append((int(rows[0]), name))
    row, name = min(first, key=lambda pair: pair[0], default=(0, ""))
    return f"{name} at step {a.steps[row]}" if name else ""


def bits(column: Array) -> Array:
    """The elements' bits, as integers: −0 is not 0, and a NaN is equal to itself."""
    return np.ascontiguousarray(column).view(f"i{column.itemsize}")


def save_trace(trace: Trace, path: str | Path) -> None:
    """Write a trace file: safetensors, with the manifest in its metadata. Whole or not at all.

    Raises:
        TraceError: the file cannot be written there (no such folder, disk full).
    """
    path = Path(path)
    inputs = {INPUTS + name: values for name, values in (trace.inputs.arrays() if trace.inputs else {}).items()}
    arrays = {STEPS: trace.steps, **inputs, **trace.columns}
    stored = _Stored(**trace.manifest.model_dump(), quantities=tuple(trace.columns))
    save_arrays(arrays, path, {KEY: stored.model_dump_json()})


def check_place(path: str | Path) -> None:
    """TraceError unless a trace file can be written there, as far as can be told beforehand."""
    path = Path(path)
    why = ""
    try:
        if not path.name or path.is_dir():
            why = "expected the name of a file; this is a folder"
        elif _is_special(path):
            why = SPECIAL
        elif not path.parent.is_dir():
            why = f"there is no folder {path.parent}"
        elif not os.access(path.parent, os.W_OK):
            why = f"no permission to write to the folder {path.parent}"
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error)
    if why:
        raise TraceError(f"{str(path)[:200]}: cannot be written: {why}")


def load_trace(path: str | Path) -> Trace:
    """Read a trace file.

    Raises:
        TraceError: no such file; truncated or not safetensors; not written by isograd; of a newer format.
    """
    path = Path(path)
    arrays, metadata = load_arrays(path)
    stored = _manifest(path, metadata.get(KEY))
    if STEPS not in arrays:
        raise TraceError(f"{path}: expected the steps of a trace; the file has no tensor {STEPS!r}")
    steps = arrays.pop(STEPS)
    if steps.ndim != 1 or steps.dtype != np.int64 or (steps < 0).any() or (steps[1:] <= steps[:-1]).any():
        came = f"{steps.dtype} of shape {steps.shape}"
        raise TraceError(f"{path}: expected ascending steps as int64, none below 0; got {came}")
    inputs = _inputs(path, {name: arrays.pop(name) for name in list(arrays) if name.startswith(INPUTS)})
    for name, column in arrays.items():
        if column.dtype not in FLOATS:
            raise TraceError(f"{path}: {name}: expected {', '.join(get_args(DType))}; got {column.dtype}")
        if column.ndim < 1 or len(column) != len(steps):
            raise TraceError(f"{path}: {name}: expected {len(steps)} steps; got shape {column.shape}")
    columns = {name: arrays[name] for name in (*stored.quantities, *arrays) if name in arrays}
    return Trace(columns, steps, Manifest(**stored.model_dump(exclude={"quantities"})), inputs)


def _inputs(path: Path, arrays: Mapping[str, Array]) -> Inputs | None:
    try:
        return Inputs.from_arrays({name.removeprefix(INPUTS): a for name, a in arrays.items()}) if arrays else None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise TraceError(f"{path}: the inputs of the run are not whole: {error!r}") from None


def _manifest(path: Path, text: str | None) -> _Stored:
    if text is None:
        raise TraceError(f"{path}: a safetensors file, but not a trace: expected {KEY!r} in its metadata")
    try:
        raw = json.loads(text)
        newer = isinstance(raw.get("format"), int) and raw["format"] > FORMAT
    except (ValueError, AttributeError, RecursionError) as error:
        raise TraceError(f"{path}: the manifest is not a JSON object: {error}") from None
    if newer:
        raise TraceError(
            f"{path}: trace format {min(raw['format'], 10**9)}; this isograd reads up to {FORMAT}. Try a newer isograd"
        )
    try:
        return _Stored.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise TraceError(f"{path}: manifest: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def save_arrays(arrays: Mapping[str, Array], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write named arrays as safetensors, beside and then renamed, so that no half file is ever at ``path``."""
    if not path.name:
        raise TraceError(f"{str(path)!r}: expected the name of a file to write to")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if _is_special(path):
            raise TraceError(f"{path}: cannot be written: {SPECIAL}")
        # safetensors writes the bytes as they lie: a view must be made contiguous first
        save_file({name: np.ascontiguousarray(a).reshape(a.shape) for name, a in arrays.items()}, part, metadata)
        part.replace(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise TraceError(f"{path}: cannot be written: {error}") from None
    finally:
        with suppress(OSError, ValueError):  # where it could not be written, it can perhaps not be looked for either
            part.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """Whether it is a device or a pipe: those are not replaced by a file, whoever may do that."""
    return path.exists() and not path.is_file() and not path.is_dir()


def load_arrays(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Tensors and metadata of a safetensors file; the library checks all sizes before it allocates."""
    try:
        if not path.is_file():
            raise TraceError(f"{path}: expected a trace file; there is none")
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise TraceError(f"{path}: expected a trace file; {error.strerror}") from None
    try:
        with safe_open(path, framework="np") as file:
            # an own copy, so that nothing depends on the file once it is read
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError, ValueError, AttributeError) as error:
        # the last three: dtypes that NumPy does not have, and shapes that it cannot make
        raise TraceError(
            f"{path}: expected a whole safetensors file; it is truncated or something else: {error}"
        ) from None
