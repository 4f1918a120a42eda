"""What does a backend say of itself, its options, tables and version? Somebody else's is asked in a child process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from isograd.backend import TABLES, Target, backend_class, find_backend, installed_version, make_backend
from isograd.errors import BackendError

TIMEOUT = 60.0  # seconds in which somebody else's file must be imported: its framework is not


@dataclass(frozen=True)
class Description:
    """What is known of a backend before its framework is imported.

    Attributes:
        name: the backend's name.
        distribution: the package whose version is the framework's; "" where its class cannot be looked at.
        version: the framework's; None where it is not installed.
        tables: ``layers``, ``losses``, ``optimizers``, ``schedules``, ``clippings`` and ``dtypes``: the kinds in each;
            or its ``repr``, if it is no table.
        absent: why it cannot be run here, and what to do: not installed, or its file cannot be imported.
        error: why it cannot be run anywhere: no such class, or an option that it does not have.
    """

    name: str
    distribution: str = ""
    version: str | None = None
    tables: Mapping[str, tuple[str, ...] | str] = field(default_factory=dict)
    absent: str = ""
    error: str = ""


def describe(name: str) -> Description:
    """Look at a backend; a child process is started for each that is not isograd's own, once.

    Raises:
        BackendError: no backend has that name.
    """
    target = find_backend(name)
    return _of_ours(name) if target.own else _of_others(name, target)


def _of_ours(name: str) -> Description:
    cls = backend_class(name)
    version = installed_version(cls)
    tables = {table: tuple(getattr(cls, table)) for table in TABLES}
    absent = "" if version else f"not installed; try pip install {cls.distribution}"
    error = ""
    try:
        make_backend(name)
    except BackendError as refused:
        error = str(refused)
    return Description(name, cls.distribution, version, tables, absent, error)


@cache
def _of_others(name: str, target: Target) -> Description:
    from isograd.children import Child  # only they need a process

    try:
        child = Child(name, target)
    except OSError as problem:
        return Description(name, error=f"a child process cannot be started: {problem}")
    try:
        answer = child.ask({"kind": "describe", "backend": name, "make": True}, TIMEOUT)
    finally:
        child.close()
    if answer.about is None:
        error = answer.error or "it says nothing of itself"
        return Description(name, absent=error) if answer.absent else Description(name, error=error)
    about = answer.about
    tables = {table: rows if isinstance(rows, str) else tuple(rows) for table, rows in about.tables.items()}
    return Description(name, about.distribution, about.version, tables, error=about.refused)
