"""What is there to run, and on what? Scenarios, backends, and the support matrix, read off the backends' tables.

All of it as the sources say it, without importing them (`isograd.static`): one looks a name up in a blink, or not at
all. What a source does not write out is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import isograd.static as static
from isograd.errors import IsogradError
from isograd.files import catalogue_names, read_scenario
from isograd.registered import registered

GROUP = "isograd.backends"
SCENARIO, SPEC, OPS = f"{__package__}.scenario", f"{__package__}.spec", f"{__package__}.ops"
OPTIONAL = ("schedules", "clippings")  # what a backend may say nothing of
FAULTS = "isograd.wrappers"


@dataclass(frozen=True)
class About:
    """What is told of a backend: its package, the kinds in each of its tables, or why there is nothing to tell."""

    name: str
    distribution: str = ""
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    error: str = ""


Fault = tuple[str, dict[str, Any], str]
"""Its name, its options with what they are unless said otherwise, and what is different."""


def listing() -> RenderableType:
    """Four tables; no framework is imported."""
    found = [about(name, target) for name, target in sorted(_registered().items())]
    return Group(_scenarios(), _backends(found), _support(found), _faults())


def _scenarios() -> Table:
    table = _titled("scenarios")
    for column in ("name", "dtype", "epochs", "batch", "what"):
        table.add_column(column, no_wrap=column == "name")
    spec = static.find_class(SCENARIO, "Scenario")
    defaults = {key: static.value(SCENARIO, spec.attributes[key]) for key in ("dtype", "epochs", "batch_size")}
    for name in catalogue_names():
        raw = defaults | read_scenario(name)[1]
        shown = (raw[key] for key in ("dtype", "epochs", "batch_size", "title"))
        table.add_row(name, *map(str, shown))
    return table


def _backends(found: list[About]) -> Table:
    table = _titled("backends")
    for column in ("name", "package", "version"):
        table.add_column(column)
    for backend in found:
        table.add_row(
            backend.name, backend.distribution, Text(backend.error, "red") if backend.error else _version(backend)
        )
    return table


def _version(backend: About) -> str | Text:
    try:
        return version(backend.distribution)
    except PackageNotFoundError:
        return Text("not installed", "red")


def _support(found: list[About]) -> Table:
    found = [backend for backend in found if not backend.error]
    table = _titled("support")
    table.add_column("row")
    for backend in found:
        table.add_column(backend.name, justify="center")
    for what, attribute, kinds in support_rows():
        for kind in kinds:
            marks = ["yes" if kind in backend.tables[attribute] else Text("no", "dim") for backend in found]
            table.add_row(f"{what} {kind}", *marks)
    return table


def _faults() -> Table:
    table = _titled("faults, as in NAME[fault=gradient_scale,by=1.00001]")
    for column in ("name", "options", "what is different"):
        table.add_column(column, no_wrap=column != "what is different")
    for name, options, what in sorted(faults()):
        table.add_row(name, ", ".join(f"{key}={default}" for key, default in options.items()), what)
    return table


def _titled(title: str) -> Table:
    return Table(title=title, title_justify="left", header_style="bold")


# ---------------------------------------------------------------- backends


def _registered() -> dict[str, str]:
    return {point.name: point.value for point in registered(GROUP)}


def about(name: str, target: str) -> About:
    """What a registered backend says of itself, from its source where that says it."""
    try:
        return _read(name, target)
    except static.Unreadable:
        return _imported(name)


def _read(name: str, target: str) -> About:
    module, _, attribute = target.partition(":")
    cls = static.find_class(module, attribute)
    tables = {}
    for _, table, _ in support_rows():
        if table not in cls.attributes:
            if table in OPTIONAL:
                tables[table] = ()
                continue
            raise static.Unreadable(target)
        tables[table] = _table(module, cls.attributes[table])
    return About(name, str(static.value(module, cls.attributes.get("distribution"))), tables)


def _imported(name: str) -> About:
    """What it says when it is imported; somebody else's is, in a child process."""
    from isograd.describe import describe

    try:
        found = describe(name)
    except IsogradError as error:
        return About(name, error=str(error))
    tables = {table: tuple(found.tables.get(table, ())) for _, table, _ in support_rows()}
    return About(name, found.distribution, tables, found.error or ("" if found.tables else found.absent))


# ---------------------------------------------------------------- what a scenario can ask for


def support_rows() -> list[tuple[str, str, list[str]]]:
    """What a scenario can ask for, read off the operations: word, table of a backend, kinds."""
    dtypes = _slices(SPEC, static.assigned(SPEC, "DType"))
    return [(word, table, list(_kinds(base))) for word, table, base in SORTS] + [("dtype", "dtypes", dtypes)]


SORTS = [
    ("layer", "layers", "Layer"),
    ("loss", "losses", "Loss"),
    ("optimizer", "optimizers", "Optimizer"),
    ("schedule", "schedules", "Schedule"),
    ("clipping", "clippings", "Clipping"),
]
"""What operations there are: word, table of a backend, class."""


def _kinds(base: str) -> Iterator[str]:
    """The kinds of all operations of a sort, file by file."""
    for module in _modules(OPS):
        for spec in static.classes(module):
            if "kind" in spec.annotations and any(base == part.name for part in static.ancestry(spec)):
                yield _slices(module, spec.annotations["kind"])[0]


def _table(module: str, node: ast.expr | None) -> tuple[Any, ...]:
    """The keys of a backend's table; the registry of the operations itself has all there are."""
    try:
        return static.keys(module, node)
    except static.Unreadable:
        if isinstance(node, ast.Name) and static.imported(module, node.id) == (OPS, node.id):
            return tuple(_kinds(next(base for _, table, base in SORTS if table.upper() == node.id)))
        raise


def _slices(module: str, node: ast.expr | None) -> list[str]:
    """The words of a ``Literal``."""
    if not isinstance(node, ast.Subscript):
        raise static.Unreadable(module)
    words = static.value(module, node.slice)
    return [str(word) for word in (words if isinstance(words, tuple) else (words,))]


# ---------------------------------------------------------------- faults


def faults() -> list[Fault]:
    """The changes that the wrapper ``fault`` knows, from their sources where these say it."""
    target = next((point.value for point in registered(FAULTS) if point.name == "fault"), "")
    package = f"{target.partition(':')[0].rpartition('.')[0]}.catalogue"
    try:
        return [fault for module in _modules(package) for spec in static.classes(module) for fault in _fault(spec)]
    except static.Unreadable:
        return _imported_faults(package)


def _modules(package: str) -> list[str]:
    folder = Path(static.place(package)).parent
    return [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]


def _fault(spec: static.Class) -> Iterator[Fault]:
    if "id" not in spec.attributes:
        return
    options: dict[str, Any] = {}
    for part in reversed(list(static.ancestry(spec))):
        fields = {name: node for name, node in part.attributes.items() if name in part.annotations}
        options |= {
            name: static.value(part.module, node)
            for name, node in fields.items()
            if not _is_of_class(part.annotations[name])
        }
    told = {name: default for name, default in options.items() if not isinstance(default, tuple)}  # others: off traces
    yield str(static.value(spec.module, spec.attributes["id"])), told, spec.doc.strip()


def _is_of_class(annotation: ast.expr) -> bool:
    """Whether it is a ``ClassVar``, which is no option."""
    outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    return isinstance(outer, ast.Name) and outer.id == "ClassVar"


def _imported_faults(package: str) -> list[Fault]:
    from dataclasses import fields
    from importlib import import_module

    return [
        (
            name,
            {f.name: f.default for f in fields(change) if not isinstance(f.default, tuple)},
            (change.__doc__ or "").strip(),
        )
        for name, change in import_module(package).CATALOGUE.items()
    ]
