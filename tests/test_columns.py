"""Columns on disk: do they come back as they were written, and is a file that is none refused?"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from isograd.columns import Columns, read_columns, write_columns
from isograd.errors import TraceError

STEPS = [
    {
        "loss": np.float64(t),
        "weight/a": np.full((2, 3), t, np.float32),
        "empty": np.zeros((0, 4)),
        "half": np.full(3, t, ml_dtypes.bfloat16),
    }
    for t in range(3)
]


def test_steps_come_back_as_columns_in_order(tmp_path: Path) -> None:
    write_columns(tmp_path / "c", iter(STEPS), 3)
    read = read_columns(tmp_path / "c")
    assert read is not None
    assert list(read) == ["loss", "weight/a", "empty", "half"]
    for name, column in read.items():
        assert column.dtype == STEPS[0][name].dtype
        np.testing.assert_array_equal(column, np.stack([step[name] for step in STEPS]))
        assert not column.flags.writeable


def test_what_comes_or_goes_or_changes_its_shape_is_left_out(tmp_path: Path) -> None:
    steps = [{"a": np.ones(2), "b": np.ones(2), "c": np.ones(2)}, {"a": np.ones(2), "b": np.ones(3), "d": np.ones(1)}]
    write_columns(tmp_path / "c", steps, 2)
    assert list(read_columns(tmp_path / "c") or {}) == ["a"]


def test_what_is_raised_is_the_largest_so_far(tmp_path: Path) -> None:
    columns = Columns(tmp_path / "c", 1)
    for value in (1.0, 3.0, 2.0):
        columns.raise_to(0, {"a": np.array([value, -value]), "b": np.float64(value)})
    columns.close()
    read = read_columns(tmp_path / "c") or {}
    assert read["a"].tolist() == [[3.0, 0.0]]
    assert read["b"].tolist() == [3.0]


def test_what_was_not_closed_is_not_there(tmp_path: Path) -> None:
    Columns(tmp_path / "c", 1).put(0, {"a": np.ones(1)})
    assert read_columns(tmp_path / "c") is None


@pytest.mark.parametrize(
    "index",
    [
        "junk",
        '{"a": {"offset": 0, "dtype": "float64", "shape": [1000]}}',
        '{"a": {"offset": -8, "dtype": "float64", "shape": [1]}}',
        '{"a": {"offset": 0, "dtype": "O", "shape": [1]}}',
        '{"a": {"offset": 0, "dtype": "nothing", "shape": [1]}}',
    ],
)
def test_an_index_that_does_not_fit_is_refused(index: str, tmp_path: Path) -> None:
    write_columns(tmp_path / "c", STEPS, 3)
    (tmp_path / "c.json").write_text(index)
    with pytest.raises(TraceError, match="expected columns"):
        read_columns(tmp_path / "c")


def test_a_disk_that_is_full_is_an_error_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, offset: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(OSError, match="No space left"):
        write_columns(tmp_path / "c", iter(STEPS), 3)


def test_a_file_that_is_written_again_leaves_what_is_mapped(tmp_path: Path) -> None:
    write_columns(tmp_path / "c", [{"a": np.ones(2)}], 1)
    before = read_columns(tmp_path / "c") or {}
    write_columns(tmp_path / "c", [{"a": np.zeros(20000)}], 1)
    assert before["a"].tolist() == [[1.0, 1.0]]
