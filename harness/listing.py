"""What is there to run, and on what? Scenarios, backends, and the support matrix, read off the backends' tables."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from backends.numpy_manual.catalogue import CATALOGUE
from harness.backend import backend_names
from harness.catalogue import find_scenarios
from harness.describe import Description, describe
from harness.scenario import LayerSpec, Loss, Optimizer
from harness.spec import DType, Spec


def listing() -> RenderableType:
    """Four tables; no framework is imported."""
    found = [describe(name) for name in backend_names()]
    return Group(_scenarios(), _backends(found), _support(found), _faults())


def _scenarios() -> Table:
    table = Table(title="scenarios", title_justify="left", header_style="bold")
    for column in ("name", "dtype", "epochs", "batch", "what"):
        table.add_column(column, no_wrap=column == "name")
    for s in find_scenarios():
        table.add_row(s.name, s.dtype, str(s.epochs), str(s.batch_size), s.title)
    return table


def _backends(found: list[Description]) -> Table:
    table = Table(title="backends", title_justify="left", header_style="bold")
    for column in ("name", "package", "version"):
        table.add_column(column)
    for about in found:
        table.add_row(about.name, about.distribution, about.version or Text(about.absent or about.error, "red"))
    return table


def _support(found: list[Description]) -> Table:
    found = [about for about in found if about.tables]
    table = Table(title="support", title_justify="left", header_style="bold")
    table.add_column("row")
    for about in found:
        table.add_column(about.name, justify="center")
    for what, attribute, kinds in support_rows():
        for kind in kinds:
            marks = ["yes" if kind in about.tables[attribute] else "[dim]no[/]" for about in found]
            table.add_row(f"{what} {kind}", *marks)
    return table


def _faults() -> Table:
    table = Table(title="faults, as in NAME\\[fault=gradient_scale,by=1.00001]", title_justify="left")
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
