"""What is there to run, and on what? Scenarios, backends, and the support matrix, read off the backends' tables."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from backends.numpy_manual.catalogue import CATALOGUE
from harness.backend import Backend, backend_class, backend_names, installed_version
from harness.catalogue import find_scenarios
from harness.errors import BackendError
from harness.scenario import LayerSpec, Loss, Optimizer
from harness.spec import DType, Spec


def listing() -> RenderableType:
    """Four tables; no framework is imported."""
    classes, broken = {}, {}
    for name in backend_names():
        try:
            classes[name] = backend_class(name)
        except BackendError as error:
            broken[name] = str(error)
    return Group(_scenarios(), _backends(classes, broken), _support(classes), _faults())


def _scenarios() -> Table:
    table = Table(title="scenarios", title_justify="left", header_style="bold")
    for column in ("name", "dtype", "epochs", "batch", "what"):
        table.add_column(column, no_wrap=column == "name")
    for s in find_scenarios():
        table.add_row(s.name, s.dtype, str(s.epochs), str(s.batch_size), s.title)
    return table


def _backends(classes: dict[str, type[Backend]], broken: dict[str, str]) -> Table:
    table = Table(title="backends", title_justify="left", header_style="bold")
    for column in ("name", "package", "version"):
        table.add_column(column)
    for name, cls in classes.items():
        version = installed_version(cls)
        table.add_row(name, cls.distribution, version or Text("not installed", "red"))
    for name, why in broken.items():
        table.add_row(name, "", Text(why, "red"))
    return table


def _support(classes: dict[str, type[Backend]]) -> Table:
    table = Table(title="support", title_justify="left", header_style="bold")
    table.add_column("row")
    for name in classes:
        table.add_column(name, justify="center")
    for what, attribute, kinds in support_rows():
        for kind in kinds:
            marks = ["yes" if kind in getattr(cls, attribute) else Text("no", "dim") for cls in classes.values()]
            table.add_row(f"{what} {kind}", *marks)
    return table


def _faults() -> Table:
    table = Table(title="faults, as in NAME[fault=gradient_scale,by=1.00001]", title_justify="left")
    table.header_style = "bold"
    for column in ("name", "options", "what is different"):
        table.add_column(column, no_wrap=column != "what is different")
    for name, change in sorted(CATALOGUE.items()):
        chosen = (
            field for field in fields(change) if not isinstance(field.default, tuple)
        )  # those are read off traces
        options = ", ".join(f"{field.name}={field.default}" for field in chosen)
        table.add_row(name, options, (change.__doc__ or "").strip())
    return table


def support_rows() -> list[tuple[str, str, list[str]]]:
    """What a scenario can ask for, read off the specs: word, table of a backend, kinds."""
    return [
        ("layer", "layers", [_kind(spec) for spec in LayerSpec.__subclasses__()]),
        ("loss", "losses", [_kind(spec) for spec in get_args(get_args(Loss)[0])]),
        ("optimizer", "optimizers", [_kind(Optimizer)]),
        ("dtype", "dtypes", list(get_args(DType))),
    ]


def _kind(spec: type[Spec]) -> str:
    return str(get_args(spec.model_fields["kind"].annotation)[0])
