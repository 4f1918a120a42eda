"""Is the largest error in units of its own found, in every block, of every class, and with its element?"""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

import isograd.scaled as scaling
from isograd.dtypes import FORMATS
from isograd.scaled import Scaled, scale

INF, NAN = math.inf, math.nan
FIELDS = ("ratio", "worst", "value", "other", "unit")


def one(a: float, b: float, unit: float) -> Scaled:
    """A step of one number."""
    return scale(np.array([a]), np.array([b]), np.array([unit]))


def told(found: Scaled) -> list[tuple[float, ...]]:
    """A row for each step."""
    return list(zip(*(getattr(found, name).tolist() for name in FIELDS), strict=True))


# The oracle: Python floats, one element at a time, nothing shared with the implementation.


def ratio_of(a: float, b: float, unit: float) -> float:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    if not (math.isfinite(a) and math.isfinite(b)) or unit == 0:
        return INF
    return abs(a - b) / unit


def oracle(a: np.ndarray, b: np.ndarray, unit: np.ndarray) -> list[tuple[float, ...]]:
    rows = []
    for sides in zip(*(side.astype(np.float64).reshape(len(a), -1).tolist() for side in (a, b, unit)), strict=True):
        ratios = [ratio_of(*element) for element in zip(*sides, strict=True)]
        worst = ratios.index(max(ratios))
        rows.append((ratios[worst], worst, *(side[worst] for side in sides)))
    return rows


def check(found: Scaled, expected: list[tuple[float, ...]]) -> None:
    np.testing.assert_array_equal(np.array(told(found)), np.array(expected))


SPECIAL = [0.0, -0.0, 1.0, -2.5, NAN, INF, -INF, 1e-3]


def drawn(shape: tuple[int, ...], dtype: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of which many are equal, some are special, and some have a unit of 0."""
    rng = np.random.default_rng(seed)
    b = np.where(rng.random(shape) < 0.2, rng.choice(SPECIAL, shape), rng.standard_normal(shape))
    a = np.where(rng.random(shape) < 0.5, b, np.where(rng.random(shape) < 0.2, rng.choice(SPECIAL, shape), b + 0.125))
    unit = np.where(rng.random(shape) < 0.1, 0.0, rng.random(shape))
    return a.astype(FORMATS[dtype].dtype), b, unit


# ---------------------------------------------------------------- classes


@pytest.mark.parametrize(("a", "b"), [(x, y) for x, y in product([NAN, INF, -INF, 1.0, 0.0], repeat=2)])
@pytest.mark.parametrize("unit", [0.0, 1e-3, 1.0])
def test_numbers_of_one_class_agree_and_those_of_two_never_do(a: float, b: float, unit: float) -> None:
    assert one(a, b, unit).ratio.tolist() == [ratio_of(a, b, unit)]


@pytest.mark.parametrize(("a", "b"), [(NAN, 1.0), (1.0, NAN), (INF, 1.0), (1.0, INF), (INF, -INF), (INF, NAN)])
@pytest.mark.parametrize("unit", [1.0, 1e300])
def test_no_finite_unit_is_large_enough_for_another_class(a: float, b: float, unit: float) -> None:
    assert one(a, b, unit).ratio.tolist() == [INF]


@pytest.mark.parametrize("b", [1.0, 0.0, NAN, INF, -INF])
@pytest.mark.parametrize("a", [1.0, 0.0, NAN, INF, -INF])
def test_with_an_infinite_unit_anything_is_right_and_counted(a: float, b: float) -> None:
    found = one(a, b, INF)
    assert (found.ratio.tolist(), found.open.tolist(), found.shown.tolist()) == ([0.0], [1], [False])


def test_beside_an_infinite_unit_other_elements_are_compared() -> None:
    a, b, unit = np.array([[NAN, 2.0], [NAN, 0.0], [1.0, 1.0]]), np.ones((3, 2)), np.array([[INF, 0.5]] * 2 + [[1, 1]])
    found = scale(a, b, unit)
    assert found.ratio.tolist() == [2.0, 2.0, 0.0]
    assert found.worst.tolist() == [1, 1, 0]
    assert found.open.tolist() == [1, 1, 0]
    nothing = scale(np.array([[NAN, 0.0]]), np.array([[1.0, 0.0]]), np.array([[INF, 1.0]]))
    assert (found.shown.tolist()[:2], nothing.shown.tolist()) == ([True, True], [False])


def test_nothing_off_is_nothing_whatever_the_unit() -> None:
    assert [one(3.0, 3.0, unit).ratio[0] for unit in (0.0, 1.0, INF)] == [0.0, 0.0, 0.0]


def test_where_nothing_may_be_off_the_least_is_too_much() -> None:
    assert one(1 + 2.0**-52, 1.0, 0.0).ratio.tolist() == [INF]


def test_minus_zero_is_zero() -> None:
    assert one(-0.0, 0.0, 0.0).ratio.tolist() == [0.0]


def test_a_unit_that_is_not_known_is_never_enough() -> None:
    ratio = one(2.0, 1.0, NAN).ratio[0]
    assert not ratio <= 1


@pytest.mark.filterwarnings("error")
def test_no_number_makes_a_warning() -> None:
    a, b, unit = (np.array(side)[np.newaxis] for side in zip(*product(SPECIAL, SPECIAL, [0.0, 1.0]), strict=True))
    scale(a, b, unit)


def test_a_difference_beyond_float64_is_infinite() -> None:
    assert one(1.7e308, -1.7e308, 1.0).ratio.tolist() == [INF]


# ---------------------------------------------------------------- the worst element


def test_the_worst_is_the_most_units_off_not_the_farthest() -> None:
    a, b = np.array([[9.0, 1.25, 2.0]]), np.array([[1.0, 1.0, 2.0]])
    assert told(scale(a, b, np.array([[8.0, 0.125, 1.0]]))) == [(2.0, 1, 1.25, 1.0, 0.125)]


def test_the_worst_is_the_first_of_equals() -> None:
    assert scale(np.ones((1, 4)), np.array([[1.0, 0.0, 2.0, 0.0]]), np.ones((1, 4))).worst.tolist() == [1]


def test_the_worst_of_a_step_without_errors_is_the_first() -> None:
    assert told(scale(np.ones((1, 3)), np.ones((1, 3)), np.full((1, 3), 0.5))) == [(0.0, 0, 1.0, 1.0, 0.5)]


@pytest.mark.parametrize("other", [NAN, INF, -INF])
def test_another_class_is_worse_than_any_number(other: float) -> None:
    found = scale(np.array([[1e300, 1.0, other]]), np.ones((1, 3)), np.ones((1, 3)))
    assert (found.ratio.tolist(), found.worst.tolist()) == ([INF], [2])
    np.testing.assert_array_equal(found.value, [other])


def test_the_worst_is_counted_within_the_steps_own_tensor() -> None:
    b = np.arange(24.0).reshape(2, 3, 4)
    a = b.copy()
    a[0, 2, 1] += 1
    a[1, 0, 3] -= 2
    assert told(scale(a, b, np.full(b.shape, 0.5))) == [(2.0, 9, 10.0, 9.0, 0.5), (4.0, 3, 13.0, 15.0, 0.5)]


def test_each_step_has_its_own() -> None:
    found = scale(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0]), np.array([1.0, 0.5, 4.0]))
    assert told(found) == [(0.0, 0, 1.0, 1.0, 1.0), (2.0, 0, 2.0, 1.0, 0.5), (0.5, 0, 3.0, 1.0, 4.0)]


# ---------------------------------------------------------------- shapes, dtypes, blocks


@pytest.mark.parametrize("shape", [(3, 0), (0, 2), (0,), (2, 0, 4)])
def test_nothing_to_scale_is_nothing_off(shape: tuple[int, ...]) -> None:
    found = scale(np.zeros(shape), np.ones(shape), np.ones(shape))
    assert told(found) == [(0.0, 0, 0.0, 0.0, 0.0)] * shape[0]


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_dtypes_own_unit_is_a_ratio_of_one(dtype: str) -> None:
    """One unit in the last place off, and in units of it: also where the difference itself is none of the dtype."""
    ulp = 2 * FORMATS[dtype].roundoff
    a = np.array([[1 + ulp, 2]], FORMATS[dtype].dtype)
    assert told(scale(a, np.array([[1.0, 2.0]]), np.full((1, 2), ulp))) == [(1.0, 0, 1 + ulp, 1.0, ulp)]


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_difference_is_taken_in_float64(dtype: str) -> None:
    off = 2.0**-52
    found = scale(np.ones((1, 1), FORMATS[dtype].dtype), np.array([[1 + off]]), np.array([[off / 4]]))
    assert found.ratio.tolist() == [4.0]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("field", FIELDS)
def test_what_comes_out_is_wide(dtype: str, field: str) -> None:
    numbers = np.ones((2, 3), FORMATS[dtype].dtype)
    expected = np.int64 if field == "worst" else np.float64
    assert getattr(scale(numbers, numbers, numbers), field).dtype == expected


@pytest.mark.parametrize("block", [1, 2, 5, 12, 13, 24, 25, 10_000])
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shape", [(7,), (7, 12), (1, 12), (5, 3, 4), (25, 1)])
def test_the_oracle_agrees_however_many_blocks_there_are(
    shape: tuple[int, ...], dtype: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "BLOCK", block)
    numbers = drawn(shape, dtype)
    check(scale(*numbers), oracle(*numbers))


@pytest.mark.parametrize("element", [(0, 0), (2, 3), (4, 5), (6, 11)])
@pytest.mark.parametrize("sabotage", [0.25, NAN, INF, -INF])
def test_one_element_is_found_in_its_block(
    element: tuple[int, int], sabotage: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "BLOCK", 24)  # two steps each, and the last alone
    b = np.random.default_rng(1).random((7, 12))
    a = b.copy()
    a[element] += sabotage
    found = scale(a, b, np.full(b.shape, 0.25))
    assert np.flatnonzero(found.ratio).tolist() == [element[0]]
    assert found.worst[element[0]] == element[1]


def test_neither_strides_nor_read_only_arrays_matter() -> None:
    numbers = [np.asarray(side).swapaxes(1, 2)[::2] for side in drawn((6, 3, 4), "float32")]
    for side in numbers:
        side.flags.writeable = False
    check(scale(*numbers), oracle(*(np.ascontiguousarray(side) for side in numbers)))


def test_the_numbers_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "BLOCK", 5)
    numbers = drawn((7, 12), "float64")  # float64 is not copied
    before = [side.tobytes() for side in numbers]
    scale(*numbers)
    assert [side.tobytes() for side in numbers] == before


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(scaling).failed == 0


# ---------------------------------------------------------------- does the oracle see anything?


def without_classes(a: Any, b: Any, unit: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.abs(a - b) / unit)


def without_units(a: Any, b: Any, unit: Any) -> Any:
    with np.errstate(all="ignore"):
        off = np.abs(a - b)
    return np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.where(np.isfinite(off), off, INF))


def infinite_where_nothing_is_off(a: Any, b: Any, unit: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.where(unit == 0, INF, RIGHT(a, b, unit))


RIGHT = scaling._ratios


@pytest.mark.parametrize("sabotage", [without_classes, without_units, infinite_where_nothing_is_off])
def test_the_oracle_sees_wrong_ratios(
    sabotage: Callable[[Any, Any, Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "_ratios", sabotage)
    numbers = drawn((7, 12), "float32")
    with pytest.raises(AssertionError):
        check(scale(*numbers), oracle(*numbers))


@pytest.mark.parametrize("field", FIELDS)
def test_the_oracle_sees_each_field(field: str) -> None:
    numbers = drawn((7, 12), "float32")
    found = scale(*numbers)
    column = getattr(found, field)
    column[3] = column[3] + 1 if np.isfinite(column[3]) else 0
    with pytest.raises(AssertionError):
        check(found, oracle(*numbers))


def test_among_infinities_any_number_that_is_not_finite_is_right() -> None:
    values = np.array([[np.inf, -np.inf, np.nan, 1.0, 0.0]])
    ratios = [scale(values[:, i : i + 1], np.array([[np.inf]]), np.array([[-np.inf]])).ratio[0] for i in range(5)]
    assert ratios == [0, 0, 0, np.inf, np.inf]
