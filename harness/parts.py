"""Where in a framework's module does a canonical parameter lie, and what are the module's settings called?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isograd.inputs import Array


@dataclass(frozen=True)
class Part:
    """A canonical parameter or buffer of a module, and where the framework keeps it.

    Attributes:
        name: its canonical name.
        own: the framework's name for what it is a part of, as a path from the module.
        rows: which rows of that, as start and stop in parts of the whole, (0, 1, 3) for the first third; () for all.
        swap: whether the last two axes are the other way round.
        flat: whether it is told as a vector.
    """

    name: str
    own: str
    rows: tuple[int, ...] = ()
    swap: bool = False
    flat: bool = False

    def read(self, whole: Array) -> Array:
        """The canonical values, from the framework's; a view where that can be."""
        part = self._of(whole)
        part = part.swapaxes(-1, -2) if self.swap else part
        return part.reshape(-1) if self.flat else part

    def write(self, whole: Array, values: Array) -> None:
        """Put canonical values into the framework's."""
        part = self._of(whole)
        values = values.swapaxes(-1, -2) if self.swap else values
        part[...] = values.reshape(part.shape)

    def _of(self, whole: Array) -> Array:
        if not self.rows:
            return whole
        first, last, of = self.rows
        each = len(whole) // of
        return whole[first * each : last * each]


@dataclass(frozen=True)
class Row:
    """How a framework's own module is called in the vocabulary.

    Attributes:
        kind: the operation.
        parts: gives its parameters.
        buffers: gives its buffers.
        settings: gives its settings, in the mathematical convention.
        whole: what is within it is its own, and no unit.
    """

    kind: str
    parts: Callable[[Any], Iterable[Part]] | None = None
    buffers: Callable[[Any], Iterable[Part]] = lambda module: ()
    settings: Callable[[Any], Mapping[str, Any]] = lambda module: {}
    whole: bool = False


def named(*names: str, **others: str) -> Callable[[Any], Iterator[Part]]:
    """Parameters under the framework's names; by keyword, under canonical ones."""
    of = dict(zip(names, names, strict=True)) | others
    return lambda module: (Part(name, own) for name, own in of.items() if getattr(module, own, None) is not None)


def flattened_parts(module: Any) -> Iterator[Part]:
    """Weight and bias, told as vectors: some frameworks keep a norm's so."""
    return (Part(name, name, flat=True) for name in ("weight", "bias") if getattr(module, name, None) is not None)


def all_parts(module: Any) -> Iterator[Part]:
    """Every parameter that a module holds, under the framework's name."""
    return (Part(name, name) for name, value in module._parameters.items() if value is not None)


def settings(**names: str) -> Callable[[Any], dict[str, Any]]:
    """Canonical names, and the attributes that have them."""
    return lambda module: {name: getattr(module, own) for name, own in names.items() if hasattr(module, own)}
