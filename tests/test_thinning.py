"""Of a long run, are the steps kept that anyone would look for, and does nothing else change?"""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isograd.thinning as thinning
from isograd import Report, run
from isograd.thinning import POINTS, course_of, keep, thinned
from tests.conftest import REFERENCE

EPOCHS = 300  # of two steps each
FAULT = "[fault=weight_off,ulp=1000,step=77]"


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import SMALL

    path = tmp_path_factory.mktemp("long") / "long.toml"
    path.write_text(SMALL.replace("epochs = 2", f"epochs = {EPOCHS}"), encoding="utf-8")
    return path


def reported(path: Path, points: int, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(thinning, "POINTS", points)
    return run(path, backends=[REFERENCE, REFERENCE + FAULT], causes=False, repeat=1)


@pytest.fixture(scope="module")
def reports(long_file: Path) -> tuple[Report, Report]:
    """The same run with all its steps, and with few."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return reported(long_file, 2 * EPOCHS, monkeypatch), reported(long_file, 100, monkeypatch)


@pytest.mark.parametrize("curves", [1, 3, 7])
def test_long_curves_keep_their_ends_and_extremes(curves: int) -> None:
    rng = np.random.default_rng(curves)
    values = rng.standard_normal((curves, 100_000)).cumsum(axis=1)
    values[:, 77_777] = 1e9
    values[0, 12_345] = -1e9
    values[-1, 500:900] = np.nan
    rows = keep(values)
    assert 500 < len(rows) <= POINTS == len(keep(values[:, :POINTS]))
    assert (np.diff(rows) > 0).all()
    assert {0, 12_345, 77_777, 99_999} <= set(rows.tolist())
    assert set(np.nanargmin(values, axis=1)) | set(np.nanargmax(values, axis=1)) <= set(rows.tolist())


def test_no_verdict_and_no_largest_number_is_another(reports: tuple[Report, Report]) -> None:
    whole, few = reports
    assert list(whole.summary["verdict"].value_counts()) == [2, 2]  # right ones, and wrong ones
    assert whole.summary.equals(few.summary)
    keys, largest = ["backend", "against", "mode", "quantity"], ["max_abs", "max_rel", "max_ulp", "error_over_bound"]
    one, other = (report.quantities.groupby(keys, observed=True)[largest].max() for report in reports)
    assert one.equals(other)


def test_few_steps_are_kept_and_the_first_divergence_is_one_of_them(reports: tuple[Report, Report]) -> None:
    for cell in reports[1].results[0].cells.values():
        assert cell.comparison is not None
        assert len(cell.comparison.steps) < 2 * EPOCHS / 2
        assert {0, 2 * EPOCHS - 1} <= set(cell.comparison.steps)
        if cell.judgement.step is not None:
            assert cell.judgement.step in cell.comparison.steps


def test_losses_and_weights_are_as_before(reports: tuple[Report, Report]) -> None:
    whole, few = reports
    assert len(whole.losses) == 2 * 2 * EPOCHS
    assert whole.losses.equals(few.losses)
    assert whole.weights.equals(few.weights)


def test_the_course_of_a_run_is_told_of_every_step(reports: tuple[Report, Report]) -> None:
    for one, other in zip(*(report.results[0].cells.values() for report in reports), strict=True):
        whole, few = one.course, other.course
        assert whole is not None
        assert few is not None
        assert len(few.steps) == 2 * EPOCHS
        assert np.array_equal(whole.ratio, few.ratio)
        assert np.array_equal(whole.of, few.of)
        assert few.of_at(np.array([3, 99_999])) == [int(few.of[3]), 0]


def test_a_run_of_few_steps_is_left_as_it_is(reports: tuple[Report, Report]) -> None:
    cell: Any = next(iter(reports[0].results[0].cells.values()))
    assert thinned(cell.comparison, cell.judgement) == (cell.comparison, cell.judgement)
    assert course_of(cell.comparison, cell.judgement) is not None


def test_examples() -> None:
    outcome = doctest.testmod(thinning)
    assert outcome.attempted
    assert not outcome.failed
