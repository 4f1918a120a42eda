"""Does the calibration count what it says, and would it notice a judge that is wrong?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isograd import run
from isograd.backends.numpy_manual import NumpyBackend
from isograd.calibration import Calibration, calibrate, share
from isograd.calibration.causes import Causes
from isograd.calibration.overflows import makes_numbers_of_nan, overflowing_scenarios, overflows
from isograd.calibration.report import write
from isograd.calibration.same import equivalent, is_seeded
from isograd.calibration.scenarios import SCALES, graph_scenarios, random_scenarios
from isograd.calibration.tables import table_scenarios
from isograd.calibration.tools import assert_close, mean_difference, means
from isograd.calibration.wide import wide_scenarios
from isograd.changes.catalogue import make_change
from isograd.changes.changed import ChangedBackend
from isograd.dtypes import FORMATS
from isograd.envelope import RUNS, how_many
from isograd.errors import IsogradError
from isograd.explanation.solve import Solved
from isograd.explanation.trial import Trial
from isograd.inputs import make_inputs
from isograd.judging import FACTOR, FALSE_ALARMS, factor_of
from isograd.loading import parse_scenario
from isograd.recorder import record_here
from tests.conftest import REFERENCE
from tests.test_overflow import BLOWS_UP
from tests.test_sabotage import SQUARE


@pytest.fixture(scope="module")
def small() -> Calibration:
    return calibrate(
        2, backends=[REFERENCE], dtypes=["float32"], seed=12, operations=0
    )  # of few steps, and not too wide


def test_right_runs_are_counted(small: Calibration) -> None:
    assert len(small.backends) == 2 * 2
    assert set(small.clean.kind) == {"backend", "noise"}
    assert set(small.backends.verdict) == {"IDENTICAL"}


def test_faults_are_run_alone_before_they_are_judged(small: Calibration) -> None:
    assert len(small.above) > 20
    assert not small.above.green.any()
    assert small.first_right.all()
    nothing = small.faults[small.faults.id == "nan_to_zero"]
    assert not nothing.above_rounding.any()


def test_too_few_cells_reach_no_goal(small: Calibration) -> None:
    assert not small.green
    assert small.goals.reached.tolist() == [False, False, True, False, False, True, False]


def test_a_judge_that_passes_a_fault_is_counted(small: Calibration) -> None:
    faults = small.faults.assign(green=True)
    assert f"{len(small.above)} of {len(small.above)}" in replace(small, faults=faults).goals.came.tolist()


def test_a_judge_that_fails_a_right_run_is_counted(small: Calibration) -> None:
    clean = small.clean.assign(verdict="DIVERGES")
    assert replace(small, clean=clean).goals.came[0] == "4 of 4"


def test_the_curve_falls_with_the_factor(small: Calibration) -> None:
    for column in ("backends", "false_alarms", "found"):
        assert (np.diff(small.curve[column]) <= 0).all()


def test_the_report_is_written_whole(small: Calibration, tmp_path: Path) -> None:
    folder = write(small, tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "curve.svg", "run.json"),
        *("curve.csv", "clean.csv", "faults.csv", "tables.csv", "wide.csv", "planted.csv", "overflows.csv"),
    }
    page = (folder / "README.md").read_text("utf-8")
    assert "right runs of backends judged not green | 0 of ≥ 2,000 | 0 of 4 | ❌" in page
    assert "assert_close, every step" in page


def test_tables_and_overflows_are_counted(small: Calibration) -> None:
    outside = small.outside
    verdicts = set(outside.tables.verdict) | set(outside.wide.verdict) | set(outside.overflows.verdict)
    assert verdicts <= {"IDENTICAL", "VACUOUS"}
    assert not outside.planted[outside.planted.above_rounding].green.any()
    assert len(outside.tables) == len(outside.wide) == len(outside.overflows) == 2
    assert outside.red.empty


def test_a_judge_that_is_wrong_there_is_told(small: Calibration, tmp_path: Path) -> None:
    outside = small.outside
    wrong = replace(
        outside,
        tables=outside.tables.assign(verdict="DIVERGES"),
        wide=outside.wide.assign(verdict="DIVERGES"),
        planted=outside.planted.assign(green=True, above_rounding=True),
        overflows=outside.overflows.assign(verdict="DIVERGES"),
    )
    came = [goal[2] for goal in wrong.goals]
    assert came == ["2 of 2", "2 of 2", f"{len(outside.planted)} of {len(outside.planted)}", "2 of 2"]
    assert len(wrong.red) == 6
    page = write(replace(small, outside=wrong), tmp_path / "out") / "README.md"
    assert "right, but DIVERGES: table/float32/" in page.read_text("utf-8")


def test_a_relu_that_makes_numbers_of_nan_is_told_apart(small: Calibration) -> None:
    wrong = small.outside.overflows.assign(verdict="DIVERGES", makes_numbers_of_nan=True)
    assert replace(small.outside, overflows=wrong).goals[3][2] == "0 of 0"


@pytest.mark.parametrize("dtype", SCALES)
def test_wide_layers_are_the_same_each_time_and_have_fewer_runs(dtype: str) -> None:
    one, other = (list(wide_scenarios(dtype, 8)) for _ in range(2))
    assert one == other
    assert all(3 < how_many(scenario, make_inputs(scenario)) < RUNS for scenario in one)


@pytest.mark.parametrize("dtype", SCALES)
def test_tables_are_the_same_each_time_long_and_fit_their_dtype(dtype: str) -> None:
    one, again = (next(table_scenarios(dtype, 1)) for _ in range(2))
    assert one == again
    inputs = make_inputs(one)
    assert 1000 <= inputs.batch_size <= 10_000
    assert np.abs(inputs.x.astype(np.float64)).max() < FORMATS[dtype].largest


@pytest.mark.parametrize("dtype", SCALES)
def test_overflowing_scenarios_are_the_same_each_time_and_overflow(dtype: str) -> None:
    one, again = (next(overflowing_scenarios(dtype, 1)) for _ in range(2))
    assert one == again
    assert overflows(one)
    assert not overflows(next(random_scenarios(dtype, 1)))


def test_a_trace_whose_relu_makes_numbers_of_nan_is_seen() -> None:
    scenario = parse_scenario(BLOWS_UP)
    for backend, expected in ((NumpyBackend(), False), (ChangedBackend(make_change("nan_to_zero", {})), True)):
        with np.errstate(all="ignore"):
            trace = record_here(backend, "b", scenario, make_inputs(scenario))
        assert makes_numbers_of_nan(scenario, trace) == expected


@pytest.mark.parametrize("dtype", SCALES)
def test_random_scenarios_are_the_same_each_time_and_fit_their_dtype(dtype: str) -> None:
    one, again = (list(random_scenarios(dtype, 3)) for _ in range(2))
    assert one == again
    for scenario in one:
        assert np.abs(make_inputs(scenario).x.astype(np.float64)).max() < FORMATS[dtype].largest


def test_another_seed_gives_other_scenarios() -> None:
    assert next(random_scenarios("float32", 1, 0)) != next(random_scenarios("float32", 1, 1))


# ---------------------------------------------------------------- numbers


def test_wilsons_interval() -> None:
    # 10 of 100: [0.0552, 0.1744], as in Brown, Cai, DasGupta (2001)
    np.testing.assert_allclose(share(np.arange(100) < 10), (0.1, 0.0552, 0.1744), atol=1e-4)
    assert share(np.zeros(2100, bool))[2] == pytest.approx(0.0018, abs=5e-5)
    assert share(np.zeros(0, bool))[1:] == (0.0, 1.0)


@pytest.mark.parametrize(
    ("tool", "near", "far"), [(assert_close, 1e-6, 1e-4), (means, 1e-8, 1e-6), (mean_difference, 1e-7, 1e-5)]
)
def test_other_tools_rules(tool: Any, near: float, far: float) -> None:
    right = np.ones(4)
    assert tool(right * (1 + near), right, "float32")
    assert not tool(right * (1 + far), right, "float32")
    assert not tool(right * np.nan, right, "float32")


@pytest.mark.parametrize(("alarms", "factor"), [(None, FACTOR), (1.0, 2.0), (0.02, 4.0), (0.002, 64.0)])
def test_a_share_of_false_alarms_gives_the_smallest_factor(alarms: float | None, factor: float) -> None:
    assert factor_of(alarms) == factor


@pytest.mark.parametrize("alarms", [0.0, 1e-4, -1.0, 2.0, float("nan")])
def test_a_share_that_was_not_measured_is_refused(alarms: float) -> None:
    with pytest.raises(IsogradError, match=r"--false-alarms: expected a share from 0\.002 to 1"):
        factor_of(alarms)


def test_more_is_asked_of_the_larger_factor() -> None:
    assert list(FALSE_ALARMS) == sorted(FALSE_ALARMS)
    assert list(FALSE_ALARMS.values()) == sorted(FALSE_ALARMS.values(), reverse=True)


# ---------------------------------------------------------------- the search for causes


def causes_of(**changed: Any) -> Causes:
    """What came of five hundred faults that were all named; but for what is changed."""
    seeded = pd.DataFrame({"named": [True] * 500, "wrong": False, "above_rounding": True, "described": False})
    frames = {
        "single": seeded,
        "pairs": seeded,
        "strangers": pd.DataFrame({"wrong": [False]}),
        "clean": pd.DataFrame({"wrong": [False]}),
        "seconds": pd.DataFrame({"seconds": [0.5]}),
    }
    for name, (column, values) in changed.items():
        frames[name] = frames[name].assign(**{column: values})
    return Causes(**frames, request={})


def test_goals_are_reached_where_every_cause_is_named() -> None:
    assert causes_of().green


def test_what_has_too_few_numbers_for_a_cause_is_not_counted() -> None:
    found = causes_of(single=("described", [True] + [False] * 499))
    assert found.goals.came[0] == "100.0% of 499"


@pytest.mark.parametrize(
    ("changed", "goal"),
    [
        ({"single": ("named", [False] * 11 + [True] * 489)}, "seeded faults"),
        ({"single": ("wrong", [True] * 11 + [False] * 489)}, "seeded faults"),
        ({"single": ("above_rounding", [False] + [True] * 499)}, "seeded faults"),
        ({"pairs": ("named", [False] * 101 + [True] * 399)}, "seeded pairs"),
        ({"strangers": ("wrong", [True])}, "faults of no catalogue"),
        ({"clean": ("wrong", [True])}, "right runs"),
        ({"seconds": ("seconds", [2.1])}, "seconds to explain"),
    ],
    ids=["missed", "wrong", "too few", "pairs", "strangers", "right runs", "slow"],
)
def test_a_goal_that_is_missed_is_told(changed: dict[str, Any], goal: str) -> None:
    goals = causes_of(**changed).goals
    (missed,) = goals[~goals.reached].figure
    assert missed.startswith(goal)


def test_changes_that_do_the_same_in_a_scenario_are_equivalent_and_others_are_not() -> None:
    result = run(parse_scenario(SQUARE), backends=[REFERENCE], mode="resync", repeat=1).results[0]
    half, outputs = (make_change("loss_scale", {"by": by}) for by in ("half", "over_outputs"))
    assert equivalent(result, half, outputs)  # two outputs
    assert not equivalent(result, half, make_change("loss_scale", {"by": "over_samples"}))


def test_a_cause_is_the_seeded_one_if_its_value_is_within_its_error() -> None:
    seeded = make_change("gradient_scale", {"by": "1.5"})
    for value, same in ((1.5 + 3e-7, True), (1.5 + 1e-4, False)):
        named = make_change("gradient_scale", {"by": str(value)})
        assert is_seeded(Trial(named, 0.1, ("", 0), {"by": Solved(value, 1e-7, 1.0)}), seeded) == same
    assert not is_seeded(Trial(make_change("update_scale", {"by": "1.5"}), 0.1, ("", 0)), seeded)


def test_graphs_at_random_are_the_same_each_time_and_use_the_whole_vocabulary() -> None:
    lots = [list(graph_scenarios("float32", 60, seed=5)) for _ in range(2)]
    assert lots[0] == lots[1]
    kinds = {layer.kind for scenario in lots[0] for layer in scenario.layers}
    assert len(kinds) > 45
    assert len({scenario.loss.kind for scenario in lots[0]}) > 12
    assert any(scenario.clipping for scenario in lots[0])
    assert any(scenario.schedule for scenario in lots[0])
