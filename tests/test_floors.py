"""No envelope is less than one unit, nor than a tenth of the largest of what an element is like."""

from __future__ import annotations

import numpy as np
import pytest

from isograd.arithmetic import make_arithmetic
from isograd.dtypes import FORMATS
from isograd.floors import ENOUGH, TENTH, floored, pooled
from isograd.ops import LAYERS, OPTIMIZERS

RNG = np.random.default_rng(0)
NUMBERS = np.abs(RNG.standard_normal(100))


@pytest.mark.parametrize(
    ("dtype", "number", "ulp"),
    [
        ("float32", 1.0, 2.0**-23),
        ("float32", 0.75, 2.0**-24),
        ("float32", -5.0, 2.0**-21),
        ("float32", 0.0, 2.0**-149),
        ("float32", 1e-42, 2.0**-149),
        ("bfloat16", 1.0, 2.0**-7),
        ("bfloat16", -5.0, 2.0**-5),
        ("bfloat16", 0.0, 2.0**-133),
        ("float16", 1.0, 2.0**-10),
        ("float16", 1e-7, 2.0**-24),
        ("float64", 1.0, 2.0**-52),
        ("float64", 0.0, 2.0**-1074),
    ],
)
def test_no_envelope_is_less_than_one_unit_in_the_last_place(dtype: str, number: float, ulp: float) -> None:
    assert floored(np.zeros((1, 1)), np.array([[number]]), dtype).tolist() == [[ulp]]


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_unit_is_the_distance_to_the_next_number(dtype: str) -> None:
    numbers = np.abs(NUMBERS).astype(FORMATS[dtype].dtype)
    further = np.nextafter(numbers, numbers.dtype.type(100)).astype(np.float64) - numbers.astype(np.float64)
    np.testing.assert_array_equal(FORMATS[dtype].spacing(numbers.astype(np.float64)), further)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_has_the_envelope_of_zero(number: float) -> None:
    assert floored(np.zeros((1, 1)), np.array([[number]]), "float32").tolist() == [[2.0**-149]]


def floor(envelope: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The envelope of a step, with its floors, over one unit of each element where it is above that."""
    return floored(np.array(envelope[np.newaxis]), truth[np.newaxis], "float64")[0]


def lucky(envelope: np.ndarray, chosen: tuple[int, ...]) -> np.ndarray:
    """The same, with an element that no noisy run has moved."""
    out = np.array(envelope)
    out[chosen] = 0.0
    return out


def test_an_element_that_no_run_has_moved_has_a_tenth_of_its_like() -> None:
    truth = RNG.standard_normal((80, 90))
    errors = np.full(truth.shape, 1e-7)
    assert floor(lucky(errors, (3, 4)), truth)[3, 4] == pytest.approx(TENTH * 1e-7)


def test_where_some_are_zero_all_are_like_them() -> None:
    truth = np.array([0.0, 1.0, 1e-6, 1e3])
    assert floor(np.array([8.0, 0.0, 0.5, 1.0]), truth).tolist() == [8.0, 0.8, 0.8, 1.0]


def test_each_step_has_floors_of_its_own() -> None:
    envelope = np.array([[[8.0, 0.0], [0.5, 1.0]], [[0.25, 0.5], [0.0, 2.0]]])
    expected = np.array([[[8.0, 0.8], [0.8, 1.0]], [[0.25, 0.5], [0.2, 2.0]]])
    np.testing.assert_allclose(floored(envelope, np.zeros(envelope.shape), "float32"), expected, rtol=1e-15)


@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
def test_a_small_row_or_column_is_like_itself(axis: int) -> None:
    size = np.ones((ENOUGH, ENOUGH))
    size[(7,) if axis == 0 else (slice(None), 7)] = 1e-6  # a word that is rare, a sample or a feature of another unit
    truth = size * RNG.standard_normal(size.shape)
    found = floor(lucky(1e-7 * size, (7, 7)), truth)
    assert found[7, 7] == pytest.approx(TENTH * 1e-13)
    assert found[3, 3] == 1e-7


def test_a_row_of_few_elements_is_like_all() -> None:
    size = np.ones((4, 3))
    size[2] = 1e-6
    truth = np.ones(size.shape)
    assert floor(1e-7 * size, truth)[2].tolist() == pytest.approx([TENTH * 1e-7] * 3)


def test_places_of_a_picture_are_alike() -> None:
    truth = np.ones((2, 3, 16, 16))
    errors = np.full(truth.shape, 1e-7)
    errors[:, :, 0] = 0.0  # the edge, where nothing is: Winograd's way gives it the errors of its neighbours
    assert (floor(errors, truth) >= 0.999 * TENTH * 1e-7).all()


def test_a_softmaxs_small_outputs_have_floors_in_proportion() -> None:
    z = make_arithmetic("float64", "float64").array(np.array([[20.0, 3.0, 0.0, -20.0]]))
    op = LAYERS["softmax"](kind="softmax", name="tried")
    a = np.asarray(op.forward({}, z).a)
    assert floor(lucky(1e-7 * a, (0, 3)), a)[0, 3] == pytest.approx(TENTH * 1e-7 * a[0, 3])


def test_averages_of_squares_have_floors_that_go_with_their_roots() -> None:
    g = np.geomspace(1e-8, 1.0, 50)
    op = OPTIMIZERS["adam"](kind="adam", lr=0.1)
    arithmetic = make_arithmetic("float64", "float64")
    slots = {name: arithmetic.array(np.full(50, op.initial(name))) for name in op.slots()}
    numbers = [arithmetic.array(value) for value in (g, g, np.asarray(0.1), np.asarray(1))]
    v = np.asarray(op.update(*numbers[:2], slots, *numbers[2:])[1]["v"])
    error = 2 * np.sqrt(v) * 1e-9  # of gradients that are all off by as much
    assert floor(lucky(error, (10,)), v)[10] == pytest.approx(TENTH * error[10])


def test_a_scalars_envelope_is_its_own() -> None:
    assert floored(np.array([8.0, 1e-3, 0.5]), np.zeros(3), "float32").tolist() == [8.0, 1e-3, 0.5]


def test_what_is_no_number_shuts_no_other_out() -> None:
    found = floor(np.array([1e-7, 0.0, 1e-7]), np.array([1.0, 1.0, np.nan]))
    assert found.tolist() == pytest.approx([1e-7, TENTH * 1e-7, 1e-7])


def test_a_tensor_without_elements_has_no_largest() -> None:
    assert pooled(np.zeros((2, 0, 3))).shape == (2, 0, 3)
