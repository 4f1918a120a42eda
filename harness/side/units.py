"""Which units has a user's model, and where do their parameters lie?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from isograd.framework import Framework
from isograd.parts import Part, Row

MODEL = "model"
"""The name of the model itself, where it holds parameters."""


@dataclass(frozen=True)
class Held:
    """A canonical parameter or buffer, and the framework's tensor that it lies in."""

    key: str
    part: Part
    tensor: Any


@dataclass
class Own:
    """A unit, with the framework's module.

    Attributes:
        name: its path.
        module: the module.
        row: the framework's row for its class; None for a user's own.
    """

    name: str
    module: Any
    row: Row | None
    framework: Framework

    @property
    def known(self) -> bool:
        """Whether it is the framework's own, and not a user's class."""
        return self.row is not None or self.framework.made(self.module)

    @property
    def kind(self) -> str:
        """The operation: by the row, or as frameworks call it, in small letters; of a user's own class its name."""
        name = type(self.module).__name__
        return self.row.kind if self.row else name.lower() if self.known else name

    def params(self) -> Iterator[Held]:
        """Its parameters."""
        if self.row and self.row.parts:
            parts = list(self.row.parts(self.module))
        else:
            parts = [Part(name, name) for name in self.framework.direct(self.module)]
        yield from (Held(f"{self.name}.{part.name}", part, attribute(self.module, part.own)) for part in parts)

    def buffers(self) -> Iterator[Held]:
        """Its buffers."""
        if self.row:
            parts = list(self.row.buffers(self.module))
        else:
            parts = [Part(name, name) for name in self.framework.direct_buffers(self.module)]
        yield from (Held(f"{self.name}.{part.name}", part, attribute(self.module, part.own)) for part in parts)


def attribute(module: Any, path: str) -> Any:
    """An attribute by its path."""
    return reduce(getattr, path.split("."), module)


def row_of(module: Any, rows: Mapping[str, Row]) -> Row | None:
    """The row of a module's class, or of the first of its bases that has one."""
    return next((rows[cls.__name__] for cls in type(module).__mro__ if cls.__name__ in rows), None)


def units_of(framework: Framework, model: Any) -> list[Own]:
    """Modules with parameters of their own, or without modules within."""
    units: list[Own] = []
    inside: set[int] = set()
    seen: set[int] = set()
    for path, module in framework.modules(model):
        children = [*framework.children(module)]
        if id(module) in inside:
            inside.update(map(id, children))
            continue
        if id(module) in seen:
            continue
        seen.add(id(module))
        row = row_of(module, framework.rows)
        if row or not children or framework.direct(module) or framework.direct_buffers(module):
            units.append(Own(path or MODEL, module, row, framework))
        if row and row.whole:
            inside.update(map(id, children))
    return units
