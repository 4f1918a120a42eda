"""Does the listing, which reads sources, say what the modules say when they are imported?"""

from __future__ import annotations

import ast
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

import pytest

from isograd import listing, static
from isograd.backend import GROUP, backend_class, backend_names
from isograd.changes.catalogue import CATALOGUE as CHANGES
from isograd.loading import find_scenarios
from isograd.ops import CLIPPINGS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES
from isograd.spec import DType

TARGETS = {point.name: point.value for point in entry_points(group=GROUP)}


def test_the_kinds_are_the_operations() -> None:
    assert {word: sorted(kinds) for word, _, kinds in listing.support_rows()} == {
        "layer": sorted(LAYERS),
        "loss": sorted(LOSSES),
        "optimizer": sorted(OPTIMIZERS),
        "schedule": sorted(SCHEDULES),
        "clipping": sorted(CLIPPINGS),
        "dtype": sorted(get_args(DType)),
    }


@pytest.mark.parametrize("name", backend_names())
def test_a_backends_tables_are_the_classs(name: str) -> None:
    cls, about = backend_class(name), listing.about(name, TARGETS[name])
    assert listing._read(name, TARGETS[name]) == about  # and so from the source
    assert about.distribution == cls.distribution
    assert about.tables == {table: tuple(getattr(cls, table)) for _, table, _ in listing.support_rows()}


def test_the_faults_are_the_changes() -> None:
    expected = {
        name: (
            {f.name: f.default for f in fields(change) if not isinstance(f.default, tuple)},
            (change.__doc__ or "").strip(),
        )
        for name, change in CHANGES.items()
    }
    found = {name: (options, what) for name, options, what in listing.faults()}
    assert found == expected
    assert [list(options) for options, _ in found.values()] == [list(expected[name][0]) for name in found]


def test_the_faults_are_the_same_where_they_have_to_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    read = sorted(listing.faults())

    def unreadable(module: str) -> list[static.Class]:
        raise static.Unreadable(module)

    monkeypatch.setattr(static, "classes", unreadable)
    assert sorted(listing.faults()) == read


def test_the_scenarios_numbers_are_the_scenarios() -> None:
    rows = zip(*(column._cells for column in listing._scenarios().columns), strict=True)
    assert list(rows) == [(s.name, s.dtype, str(s.epochs), str(s.batch_size), s.title) for s in find_scenarios()]


MODULE = """
import os
from fractions import Fraction as Half
A = {"a": 1, **os.environ}
B = {key: 1 for key in "ab"}
C = dict.fromkeys(("a", "b")) | {"c": 1}
D = A
E: tuple[int, ...] = (1, -2, 3 * 4)
F = Half
G = {"a": 1}
G["b"] = 2
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "a_module_to_read.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return "a_module_to_read"


def test_what_is_written_out_is_read(module: str) -> None:
    assert static.keys(module, ast.Name("C")) == ("a", "b", "c")
    assert static.value(module, ast.Name("E")) == (1, -2, 12)
    assert static.find_class(module, "Half").name == "Fraction"


@pytest.mark.parametrize("name", ["A", "B", "D", "F", "nothing"])
def test_what_is_not_written_out_is_not_guessed(module: str, name: str) -> None:
    with pytest.raises(static.Unreadable):
        static.keys(module, ast.Name(name))


@pytest.mark.parametrize("module", ["no_such_module", "sys", "a.b.c", "", "numpy.no_such_module"])
def test_a_module_without_a_source_is_not_read(module: str) -> None:
    with pytest.raises(static.Unreadable):
        static.tree(module)


def test_a_registered_backend_whose_source_says_nothing_is_imported() -> None:
    assert listing.about("numpy", "tests.outside:Outside").distribution == "numpy"
    assert "no module" in listing.about("nowhere:Backend", "nowhere:Backend").error
