"""Is every way in which two traces can differ told, structure first, and nothing compared that cannot be?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from isograd import Trace
from isograd.comparison import Comparison, compare_traces
from isograd.errors import TraceError
from isograd.trace import Manifest

STEPS = 4
COLUMNS = {
    "lr": np.full(STEPS, 0.5, np.float32),
    "forward/output": np.arange(STEPS * 6, dtype=np.float32).reshape(STEPS, 2, 3),
    "loss": np.arange(1, STEPS + 1, dtype=np.float32),
}


def a_trace(changes: Mapping[str, np.ndarray | None] | None = None, steps: list[int] | None = None) -> Trace:
    """A trace with some columns changed, added, or (None) left out, at some of the steps."""
    columns = {k: v for k, v in {**COLUMNS, **(changes or {})}.items() if v is not None}
    rows = np.arange(STEPS) if steps is None else np.array(steps)
    manifest = Manifest(scenario="s", fingerprint="f", backend="b", dtype="float32", mode="free", steps=STEPS)
    return Trace({name: column[: len(rows)] for name, column in columns.items()}, rows, manifest)


def ones() -> dict[str, np.ndarray]:
    """An envelope that is 1 everywhere, at every step."""
    return {name: np.ones(column.shape) for name, column in COLUMNS.items()}


def compared(trace: Trace, truth: Trace, **options: Any) -> Comparison:
    return compare_traces(trace, truth, ones(), **options)


def told(comparison: Comparison) -> list[tuple[str, int, str]]:
    return [(problem.quantity, problem.step, problem.text) for problem in comparison.problems]


def test_equal_traces_have_no_problem_and_every_measure() -> None:
    found = compared(a_trace(), a_trace())
    assert (told(found), list(found.measures), found.steps) == ([], list(COLUMNS), (0, 1, 2, 3))
    assert found.shapes == {"lr": (), "forward/output": (2, 3), "loss": ()}
    assert list(found.scaled) == list(COLUMNS)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"loss": None}, ("loss", 0, "missing from the trace")),
        ({"more": COLUMNS["loss"]}, ("more", 0, "not a quantity of this scenario")),
        ({"loss": COLUMNS["loss"][:, None]}, ("loss", 0, "has shape (1,), expected ()")),
        (
            {"forward/output": COLUMNS["forward/output"].swapaxes(1, 2)},
            ("forward/output", 0, "has shape (3, 2), expected (2, 3)"),
        ),
        ({"loss": COLUMNS["loss"].astype(np.float64)}, ("loss", 0, "has dtype float64, expected float32")),
        ({"loss": COLUMNS["loss"].astype(np.float16)}, ("loss", 0, "has dtype float16, expected float32")),
        ({"loss": COLUMNS["loss"].astype(np.int32)}, ("loss", 0, "has dtype int32, expected float32")),
    ],
    ids=["missing", "extra", "shape", "transposed", "wider", "narrower", "integers"],
)
def test_what_cannot_be_compared_is_a_problem_and_has_no_measure(
    changes: dict[str, np.ndarray], problem: tuple[str, int, str]
) -> None:
    found = compared(a_trace(changes), a_trace())
    assert told(found) == [problem]
    assert list(found.measures) == [name for name in COLUMNS if name not in changes]
    assert found.measures.keys() == found.scaled.keys() == found.shapes.keys()


def test_a_wrong_shape_is_told_before_a_wrong_dtype() -> None:
    found = compared(a_trace({"loss": COLUMNS["loss"][:, None].astype(np.float64)}), a_trace())
    assert told(found) == [("loss", 0, "has shape (1,), expected ()")]


def test_names_are_told_before_steps_and_steps_before_layouts() -> None:
    changes = {"lr": COLUMNS["lr"].astype(np.float64), "forward/output": None, "more": COLUMNS["loss"]}
    found = compared(a_trace(changes, [0, 1, 3]), a_trace())
    assert told(found) == [
        ("forward/output", 0, "missing from the trace"),
        ("more", 0, "not a quantity of this scenario"),
        ("lr", 2, "recorded 3 steps, expected 4; step 2 is the first missing"),
        ("lr", 0, "has dtype float64, expected float32"),
    ]


@pytest.mark.parametrize(
    ("steps", "expected_steps", "problem", "common"),
    [
        ([0, 1, 2], [0, 1, 2, 3], ("lr", 3, "recorded 3 steps, expected 4; step 3 is the first missing"), (0, 1, 2)),
        ([0, 2, 3], [0, 1, 2, 3], ("lr", 1, "recorded 3 steps, expected 4; step 1 is the first missing"), (0, 2, 3)),
        ([0, 1, 2, 3], [0, 1], ("lr", 2, "recorded 4 steps, expected 2; step 2 is the first too many"), (0, 1)),
        ([0, 1, 2], [0, 2, 3], ("lr", 3, "recorded 3 steps, expected 3; step 3 is the first missing"), (0, 2)),
    ],
)
def test_steps_of_one_side_only_are_a_problem_and_the_others_are_compared(
    steps: list[int], expected_steps: list[int], problem: tuple[str, int, str], common: tuple[int, ...]
) -> None:
    found = compared(a_trace(steps=steps), a_trace(steps=expected_steps))
    assert (told(found), found.steps) == ([problem], common)
    assert all(len(measures.max_abs) == len(common) for measures in found.measures.values())
    assert all(len(scaled.ratio) == len(common) for scaled in found.scaled.values())


def test_rows_are_paired_by_their_step() -> None:
    """Of steps 0, 2, 3 on one side and 0, 1, 2, 3 on the other, the second row is compared with the third."""
    some = a_trace().every(np.array([0, 2, 3]))
    found = compared(some, a_trace())
    assert found.measures["loss"].value.tolist() == found.measures["loss"].other.tolist() == [1, 3, 4]


@pytest.mark.parametrize(("steps", "others"), [([1], [2]), ([], [0, 1])])
def test_traces_without_a_common_step_cannot_be_compared(steps: list[int], others: list[int]) -> None:
    with pytest.raises(TraceError, match=r"b and b have no step in common: .*; record both with the same --every"):
        compared(a_trace(steps=steps), a_trace(steps=others))


def test_a_truth_that_knows_less_leaves_the_rest_alone_if_it_is_partial() -> None:
    truth = a_trace({"forward/output": None, "lr": None})
    assert [problem[0] for problem in told(compared(a_trace(), truth))] == ["lr", "forward/output"]
    partial = compared(a_trace(), truth, partial=True)
    assert (told(partial), list(partial.measures)) == ([], ["loss"])


def test_what_a_partial_truth_knows_must_be_there() -> None:
    found = compared(a_trace({"loss": None}), a_trace({"lr": None}), partial=True)
    assert told(found) == [("loss", 0, "missing from the trace")]


def test_the_dtype_may_be_another_than_the_truths() -> None:
    truth = a_trace({name: column.astype(np.float64) for name, column in COLUMNS.items()})
    assert len(told(compared(a_trace(), truth))) == len(COLUMNS)
    assert told(compared(a_trace(), truth, dtype="float32")) == []


def test_measures_are_in_the_truths_order() -> None:
    backwards = Trace(dict(reversed(COLUMNS.items())), np.arange(STEPS), a_trace().manifest)
    assert list(compared(backwards, a_trace()).measures) == list(COLUMNS)
    assert list(compared(a_trace(), backwards).measures) == list(reversed(COLUMNS))


def test_nothing_in_common_is_no_agreement() -> None:
    manifest = a_trace().manifest
    none = Trace({}, np.arange(STEPS), manifest)
    found = compared(Trace({"more": COLUMNS["loss"]}, np.arange(STEPS), manifest), none)
    assert (found.measures, told(found)) == ({}, [("more", 0, "not a quantity of this scenario")])


# ---------------------------------------------------------------- in units of the envelope


@pytest.mark.parametrize("index", [(0, 0), (0, 2), (1, 1), (1, 2)])
def test_the_worst_element_is_found_by_its_index(index: tuple[int, int]) -> None:
    column = COLUMNS["forward/output"].copy()
    column[(2, *index)] += 100
    found = compared(a_trace({"forward/output": column}), a_trace())
    assert found.index("forward/output", 2) == index
    assert found.measures["forward/output"].max_abs.tolist() == [0, 0, 100, 0]
    assert found.scaled["forward/output"].ratio.tolist() == [0, 0, 100, 0]


def test_an_element_is_scaled_by_its_own_envelope() -> None:
    """The element that is 1 off where 1/64 is allowed comes before the one that is 8 off where 1 is."""
    column, envelope = COLUMNS["forward/output"].copy(), ones()
    column[2, 0, 1] += 8
    column[2, 1, 0] += 1
    envelope["forward/output"][2, 1, 0] = 1 / 64
    found = compare_traces(a_trace({"forward/output": column}), a_trace(), envelope)
    assert (found.index("forward/output", 2), found.scaled["forward/output"].ratio[2]) == ((1, 0), 64)
    assert found.measures["forward/output"].worst[2] == 1  # measures know no envelope


@pytest.mark.parametrize("steps", [[0, 1, 2, 3], [0, 2, 3], [3]])
def test_the_envelope_of_a_row_is_that_of_its_step(steps: list[int]) -> None:
    """The envelope has every step, whichever were recorded."""
    envelope = ones() | {"loss": 2.0 ** -np.arange(STEPS)}
    trace, truth = a_trace({"loss": COLUMNS["loss"] + 1}, steps), a_trace(steps=steps)
    found = compare_traces(trace, truth, envelope)
    assert found.scaled["loss"].unit.tolist() == [2.0**-step for step in steps]
    assert found.scaled["loss"].ratio.tolist() == [2.0**step for step in steps]


def test_the_envelope_of_a_common_step_is_that_of_the_step() -> None:
    """Of steps 0, 2 on one side and 2, 3 on the other, the one row is step 2's."""
    envelope = ones() | {"loss": np.array([9.0, 9.0, 0.5, 9.0])}
    found = compare_traces(a_trace(steps=[0, 2]), a_trace(steps=[2, 3]), envelope)
    assert (found.steps, found.scaled["loss"].unit.tolist()) == ((2,), [0.5])


def test_a_step_without_an_error_has_a_ratio_of_nothing_and_one_without_an_envelope_of_everything() -> None:
    loss = COLUMNS["loss"] + np.float32([0, 1, 0, 1])
    envelope = ones() | {"loss": np.array([1.0, 1.0, 0.0, 0.0])}
    assert compare_traces(a_trace({"loss": loss}), a_trace(), envelope).scaled["loss"].ratio.tolist() == [
        0,
        1,
        0,
        np.inf,
    ]


def test_an_error_is_in_the_wide_truths_digits() -> None:
    """float32's 1 against 1 + 2⁻⁴⁰: no difference to float32, and many envelopes if these are as small."""
    truth = a_trace({"loss": COLUMNS["loss"].astype(np.float64) + 2.0**-40})
    found = compare_traces(a_trace(), truth, ones() | {"loss": np.full(STEPS, 2.0**-42)}, dtype="float32")
    assert (found.scaled["loss"].ratio.tolist(), found.measures["loss"].max_ulp.tolist()) == ([4.0] * 4, [0.0] * 4)


def test_what_is_not_compared_needs_no_envelope() -> None:
    trace = a_trace({"more": COLUMNS["loss"]})
    assert list(compare_traces(trace, a_trace(), ones()).scaled) == list(COLUMNS)


def test_a_scalar_has_no_index() -> None:
    assert compared(a_trace({"loss": COLUMNS["loss"] + 1}), a_trace()).index("loss", 0) == ()


def test_comparing_changes_neither_side_nor_the_envelope() -> None:
    trace, truth, envelope = a_trace({"loss": COLUMNS["loss"] + 1}), a_trace(), ones()
    columns = [column for side in (trace.columns, truth.columns, envelope) for column in side.values()]
    before = [column.tobytes() for column in columns]
    compare_traces(trace, truth, envelope)
    assert [column.tobytes() for column in columns] == before
