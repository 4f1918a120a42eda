"""Do columns that are left in a file come back as they were, and does a run with them come to the same?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import isograd.stored as stored
from isograd import record, run
from isograd.dtypes import FORMATS
from isograd.errors import TraceError
from isograd.stored import StoredColumns, in_memory, left_in_file, on_disk
from isograd.trace import bits, load_trace, save_trace
from tests.conftest import REFERENCE

COLUMNS = {
    "z": np.arange(24.0).reshape(2, 3, 4),
    "a": np.array([np.nan, -0.0, np.inf], np.float32),
    "half": np.arange(5).astype(np.float16),
    "brain": np.array([[1.5], [-2.0]]).astype(FORMATS["bfloat16"].dtype),
    "none": np.zeros((0, 7)),
    "number": np.array(3.0),
}


@pytest.fixture
def columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoredColumns:
    monkeypatch.setattr(stored, "LARGE", 1)
    found = on_disk(COLUMNS, tmp_path / "columns")
    assert isinstance(found, StoredColumns)
    return found


def test_columns_come_back_bit_for_bit_and_in_order(columns: StoredColumns) -> None:
    assert list(columns) == list(COLUMNS)
    assert len(columns) == len(COLUMNS)
    for name, column in columns.items():
        assert (column.dtype, column.shape) == (COLUMNS[name].dtype, COLUMNS[name].shape)
        assert np.array_equal(bits(column), bits(COLUMNS[name]))
        assert not column.flags.writeable


def test_what_is_not_there_is_a_key_error(columns: StoredColumns) -> None:
    assert "z" in columns
    assert "y" not in columns
    with pytest.raises(KeyError):
        columns["y"]


def test_the_file_may_be_deleted(columns: StoredColumns, tmp_path: Path) -> None:
    (tmp_path / "columns").unlink()
    assert columns["z"].sum() == COLUMNS["z"].sum()


def test_a_file_that_is_cut_short_is_an_error_and_not_the_end_of_the_process(
    columns: StoredColumns, tmp_path: Path
) -> None:
    with (tmp_path / "columns").open("r+b") as file:
        file.truncate((tmp_path / "columns").stat().st_size - 4)
    with pytest.raises(TraceError, match="cut the file short"):
        _ = [columns[name] for name in columns]


def test_what_is_small_stays_in_memory(tmp_path: Path) -> None:
    assert on_disk(COLUMNS, tmp_path / "columns") is COLUMNS
    assert not list(tmp_path.iterdir())


def test_a_trace_is_left_in_its_file_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "LARGE", 1)
    trace = record("article/worked_backprop", REFERENCE)
    save_trace(trace, tmp_path / "trace")
    left = left_in_file(load_trace(tmp_path / "trace"), tmp_path / "trace")
    assert isinstance(left.columns, StoredColumns)
    assert list(left.columns) == list(trace.columns)
    again = in_memory(left)
    assert isinstance(again.columns, dict)
    assert all(np.array_equal(bits(again.columns[name]), bits(column)) for name, column in trace.columns.items())
    assert in_memory(again) is again
    assert replace(left, columns={}).steps is left.steps


def test_a_run_comes_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [REFERENCE, f"{REFERENCE}[fault=gradient_scale]"]
    scenarios = ["article/sum_regression_minibatch", "article/worked_backprop_as_published"]
    plain = run(scenarios, backends=names)
    monkeypatch.setattr(stored, "LARGE", 1)
    left = run(scenarios, backends=names)
    for table in ("summary", "losses", "weights", "quantities", "findings"):
        assert getattr(plain, table).equals(getattr(left, table)), table
    left.write(tmp_path / "report")  # its folder for traces is gone
