"""Which single changes are known? Every one with its name, its sentence, its formula, and where it usually comes from.

A file a family; a new layer, loss or optimizer brings its own changes as classes here, which are found by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from pydantic import TypeAdapter, ValidationError

from isograd.changes.change import Change

for module in iter_modules(__path__):
    import_module(f"{__name__}.{module.name}")


def _all(cls: type[Change]) -> Iterator[type[Change]]:
    for sub in cls.__subclasses__():
        if "id" in vars(sub):
            yield sub
        yield from _all(sub)


CATALOGUE: dict[str, type[Change]] = {change.id: change for change in _all(Change)}


@cache
def _reader(name: str) -> TypeAdapter[Change]:
    return TypeAdapter(CATALOGUE[name])


def make_change(name: str, options: Mapping[str, str]) -> Change:
    """The change of that name with its options, as in ``{"by": "1.00001"}``; ValueError for what it does not have."""
    if name not in CATALOGUE:
        near = get_close_matches(name, CATALOGUE, n=3, cutoff=0.0)
        raise ValueError(f"fault: expected one of {len(CATALOGUE)} changes, such as {', '.join(near)}; got {name!r}")
    try:
        change: Change = _reader(name).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "options"
        raise ValueError(f"fault={name}: {key}: {first['msg'].lower()}; got {first.get('input')!r}") from None
    for option, table in change.tables.items():
        if (value := getattr(change, option)) and value not in table:
            like = ", ".join(get_close_matches(value, table, n=3, cutoff=0.0))
            raise ValueError(f"fault={name}: {option}: expected one of {len(table)}, such as {like}; got {value!r}")
    return change
