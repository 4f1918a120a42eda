"""Is noise of the size of rounding, and does the envelope hold all that rounding can do, and little more?"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import isograd.envelope as enveloping
from isograd import Scenario, Trace, Verdict, load_scenario
from isograd.arithmetic import make_arithmetic, noise
from isograd.arithmetic.noise import Kind, Places, noise_scales
from isograd.arithmetic.noisy import EXACT, Noise, noisy
from isograd.arithmetic.numbers import Numbers
from isograd.arithmetic.sizes import ACCURACY, LONG
from isograd.arithmetic.words import exp, maximum, minimum, where
from isograd.arithmetic.words import sum as total
from isograd.comparison import compare_traces
from isograd.dtypes import FORMATS
from isograd.envelope import how_many, make_envelope, noisy_runs, spread_of
from isograd.inputs import make_inputs
from isograd.judging import FACTOR, judge
from isograd.loading import parse_scenario
from isograd.ops import LAYERS
from isograd.recorder import record_here
from isograd.reference import Reference, make_reference
from isograd.rules import Rules
from isograd.trace import MODES, Mode
from tests.conftest import SMALL

NARROW = ["float16", "bfloat16", "float32"]
RUNS = 200  # so many that their largest is nearly the largest there is

Operation = Callable[..., Any]


def told(value: Any) -> np.ndarray:
    """A plain array, with the axis of runs leading where there is one; of steps there is one here."""
    if not isinstance(value, Numbers):
        return np.asarray(value)
    return value.v[:, 0] if value.a.hidden else value.v


def product(a: Any, b: Any) -> Any:
    return a @ b


# ---------------------------------------------------------------- the size of noise

RNG = np.random.default_rng(0)
A, B = RNG.uniform(1, 4, (3, 5, 8)), RNG.uniform(-0.9, -0.1, (3, 5, 8))


def spread(operation: Operation, dtype: str, *operands: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """How far the runs of each kind are off the one without noise, at most."""
    arithmetic = noisy(dtype, RUNS, 1.0, 0, **options)
    runs = told(operation(*map(arithmetic.array, operands)))
    off = np.abs(runs - runs[0])
    return off[1 : RUNS + 1].max(axis=0), off[RUNS + 1 :].max(axis=0)


def check_noise(operation: Operation, dtype: str, size: np.ndarray, *operands: np.ndarray, **options: Any) -> None:
    """All noise is within ``size`` and the number that holds it, and some of it is at least half as large."""
    seen = spread(operation, dtype, *operands, **options)[0]
    own = np.abs(operation(*operands)) * 2.0**-53 + FORMATS[dtype].smallest  # float64's, and an underflow
    assert (seen <= 1.001 * size + own).all()
    assert (seen >= 0.5 * size).all()


BASIC: dict[str, Operation] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
}
SUMS: dict[str, tuple[Operation, Operation]] = {  # each with what it is of the absolute values
    "one axis": (lambda a: total(a, -1), lambda a: np.sqrt(8) * total(a, -1)),
    "two axes": (lambda a: total(a, (-2, -1)), lambda a: np.sqrt(40) * total(a, (-2, -1))),
    "mean": (lambda a: total(a, -2) / 4, lambda a: np.sqrt(5) * total(a, -2) / 4),
}


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", BASIC)
def test_a_basic_operation_is_off_by_half_a_unit_of_its_result(name: str, dtype: str) -> None:
    check_noise(BASIC[name], dtype, FORMATS[dtype].roundoff * np.abs(BASIC[name](A, B)), A, B)


@pytest.mark.parametrize("name", BASIC)
def test_float64_is_off_by_one_unit_or_none(name: str) -> None:
    """Its noise is put into float64 itself, which holds no halves of its units."""
    result = BASIC[name](A, B)
    seen = spread(BASIC[name], "float64", A, B)[0]
    assert (seen <= FORMATS["float64"].spacing(result)).all()
    assert (seen >= FORMATS["float64"].roundoff * np.abs(result) / 2).mean() > 0.9


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("terms", [1, 2, 8, LONG])
def test_a_dot_product_is_off_by_the_root_of_its_terms_times_their_absolute_sum(dtype: str, terms: int) -> None:
    a, b = RNG.uniform(0.5, 1, (2, terms)), RNG.uniform(-1, 1, (terms, 3))
    size = FORMATS[dtype].roundoff * np.sqrt(terms) * (np.abs(a) @ np.abs(b))
    check_noise(product, dtype, size, a, b)


@pytest.mark.parametrize("dtype", NARROW)
def test_a_dot_product_that_cancels_keeps_the_noise_of_its_terms(dtype: str) -> None:
    a, b = np.array([[3.0, 1.0, 2.0]]), np.array([[1.0], [1.0], [-2.0]])
    assert (a @ b).tolist() == [[0.0]]
    check_noise(product, dtype, np.array([[FORMATS[dtype].roundoff * np.sqrt(3) * 8]]), a, b)


@pytest.mark.parametrize("dtype", NARROW)
def test_products_of_matrices_may_have_a_precision_of_their_own(dtype: str) -> None:
    a, b = A[0], B[0].T
    size = 2.0**-11 * np.sqrt(8) * (np.abs(a) @ np.abs(b))
    check_noise(product, dtype, size, a, b, products=2.0**-11)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", SUMS)
def test_a_sum_is_off_by_the_root_of_its_terms_times_their_absolute_sum(name: str, dtype: str) -> None:
    operation, absolute = SUMS[name]
    seen = spread(operation, dtype, A - 2)[0]  # of either sign
    size = FORMATS[dtype].roundoff * absolute(np.abs(A - 2))
    quotient = FORMATS[dtype].roundoff * np.abs(operation(A - 2))  # the mean's own
    assert (seen <= 1.001 * size + quotient + 2 * FORMATS[dtype].smallest).all()
    assert (seen >= 0.5 * size).all()


@pytest.mark.parametrize("dtype", NARROW)
def test_an_exponential_is_off_by_what_the_worst_library_is(dtype: str) -> None:
    check_noise(exp, dtype, 2 * ACCURACY[np.exp] * FORMATS[dtype].roundoff * np.exp(A), A)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(
    "operation",
    [lambda z: -z, abs, lambda z: minimum(z, 0), lambda z: maximum(0, z), lambda z: where(z > 0, z, 0)],
    ids=["negative", "absolute", "minimum", "maximum", "where"],
)
def test_what_is_exact_adds_no_noise(operation: Operation, dtype: str) -> None:
    """Neither to what has none, nor to what has some: each run has what NumPy makes of its own number."""
    arithmetic = noisy(dtype, 4, FACTOR, 0)
    for z in (arithmetic.array(B), arithmetic.array(A) + arithmetic.array(B) * arithmetic.array(A)):
        np.testing.assert_array_equal(told(operation(z)), operation(told(z)))


def test_what_is_exact_is_said_to_be() -> None:
    assert {np.negative, np.absolute, np.minimum, np.maximum} == EXACT


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(
    "operation",
    [
        lambda z, w: z * w,
        lambda z, w: z / w,
        lambda z, w: z + z,
        lambda z, w: total(z, -1),
        lambda z, w: z @ w.mT,
        lambda z, w: w - w,
    ],
    ids=["product", "quotient", "addition", "sum", "dot product", "difference"],
)
def test_what_is_exactly_zero_stays_so_in_every_run(operation: Operation, dtype: str) -> None:
    arithmetic = noisy(dtype, 4, FACTOR, 0)
    result = told(operation(arithmetic.array(np.zeros((2, 3))), arithmetic.array(A[0, :2, :3])))
    assert len(result) == 9
    assert not result.any()


@pytest.mark.parametrize("dtype", NARROW)
def test_an_underflow_costs_the_smallest_number(dtype: str) -> None:
    smallest = FORMATS[dtype].smallest
    tiny = np.full((1, 50), np.sqrt(smallest) / 8)
    seen = spread(lambda a, b: a * b, dtype, tiny, tiny)[0]
    assert smallest / 2 < seen.max() <= smallest * 1.01


# ---------------------------------------------------------------- the kinds of runs


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_first_run_has_no_noise(dtype: str) -> None:
    arithmetic = noisy(dtype, 3, FACTOR, 0)
    a, b = arithmetic.array(A), arithmetic.array(B)
    seen = told(exp(a * b - 1) @ (a / b).mT + total(b, -1, keepdims=True))
    np.testing.assert_allclose(seen[0], np.exp(A * B - 1) @ (A / B).mT + B.sum(axis=-1, keepdims=True), rtol=1e-14)
    assert len(seen) == 7
    assert (seen[1:] != seen[0]).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(("runs", "scales"), [(1, [1]), (2, [1, 16]), (3, [1, 4, 16]), (5, [1, 2, 4, 8, 16])])
def test_the_scales_go_from_rounding_to_the_bound(runs: int, scales: list[float]) -> None:
    assert noise_scales(runs, 16.0).tolist() == pytest.approx(scales)


def test_each_run_of_the_first_kind_has_noise_of_its_scale() -> None:
    ones = np.ones((100, 100))
    arithmetic = noisy("float32", 5, 16.0, 0)
    runs = told(arithmetic.array(ones) * arithmetic.array(ones))
    largest = np.abs(runs[1:6] - 1).max(axis=(1, 2)) / FORMATS["float32"].roundoff
    assert largest.tolist() == pytest.approx([1, 2, 4, 8, 16], rel=1e-3)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", BASIC)
def test_in_the_second_kind_basic_operations_round_as_the_dtype_does(name: str, dtype: str) -> None:
    form = FORMATS[dtype].dtype
    arithmetic = noisy(dtype, 4, FACTOR, 0)
    runs = told(BASIC[name](arithmetic.array(A), arithmetic.array(B)))[5:]
    expected = BASIC[name](A, B).astype(form).astype(np.float64)
    np.testing.assert_array_equal(runs, np.broadcast_to(expected, runs.shape))


def test_in_the_second_kind_an_update_of_less_than_half_a_unit_is_lost() -> None:
    arithmetic = noisy("float32", 4, FACTOR, 0)
    w = told(arithmetic.array(np.ones(50)) - arithmetic.array(np.full(50, 2.0**-26)))
    assert (w[5:] == 1).all()
    assert (w[0] == 1 - 2.0**-26).all()


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize(
    "operation",
    [exp, lambda a: a @ a.mT, lambda a: total(a, -1)],
    ids=["exp", "product of matrices", "sum"],
)
def test_in_the_second_kind_there_is_noise_where_libraries_go_their_own_ways(operation: Operation, dtype: str) -> None:
    first, second = spread(operation, dtype, A)
    assert (second >= 0.5 * first).all()
    ulp = FORMATS[dtype].spacing(operation(A))
    assert (second <= 1.1 * first + ulp).all()


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("operation", [exp, lambda a: a @ a.mT, lambda a: a + 0.3], ids=["exp", "matmul", "add"])
def test_in_the_second_kind_every_result_is_a_number_of_the_dtype(operation: Operation, dtype: str) -> None:
    runs = told(operation(noisy(dtype, 4, FACTOR, 0).array(A)))[5:]
    np.testing.assert_array_equal(runs, runs.astype(FORMATS[dtype].dtype).astype(np.float64))


# ---------------------------------------------------------------- does that check see anything?


def sized(method: Operation, times: float) -> Operation:
    return lambda *arguments: times * method(*arguments)


def of_the_result(self: Noise, ufunc: Any, inputs: Any, options: Any) -> np.ndarray:
    """As if nothing ever cancelled."""
    return told(self.format.roundoff * np.abs(ufunc(*(side[:1] for side in inputs))))


@pytest.mark.parametrize("times", [0.4, 1.5, 0.0], ids=["too little", "too much", "none"])
@pytest.mark.parametrize("name", BASIC)
def test_noise_of_another_size_is_seen(name: str, times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noise, "_unit", sized(Noise._unit, times))
    with pytest.raises(AssertionError):
        check_noise(BASIC[name], "float32", FORMATS["float32"].roundoff * np.abs(BASIC[name](A, B)), A, B)


@pytest.mark.parametrize("times", [0.4, 1.5, 0.0], ids=["too little", "too much", "none"])
def test_noise_of_another_size_in_a_product_of_matrices_is_seen(times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noise, "_size", sized(Noise._size, times))
    with pytest.raises(AssertionError):
        test_a_dot_product_is_off_by_the_root_of_its_terms_times_their_absolute_sum("float32", 8)


def test_noise_that_knows_no_cancellation_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noise, "_size", of_the_result)
    with pytest.raises(AssertionError):
        test_a_dot_product_that_cancels_keeps_the_noise_of_its_terms("float32")


# ---------------------------------------------------------------- large tensors

LARGE: dict[str, Operation] = {
    **BASIC,
    "exp": lambda a, b: exp(a - b),
    "matmul": lambda a, b: a @ b.mT,
    "sum": lambda a, b: total(a + b, -1),
    "transposed": lambda a, b: a.mT * b.mT,
}
WIDE = RNG.uniform(1, 4, (2, 30, 40)), RNG.uniform(-0.9, -0.1, (2, 30, 40))


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", LARGE)
def test_what_is_moved_run_by_run_and_piece_by_piece_is_moved_as_much(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for small, piece in ((2**30, 2**18), (0, 1000)):
        monkeypatch.setattr(noise, "SMALL", small)
        monkeypatch.setattr(noise, "PIECE", piece)
        arithmetic = noisy(dtype, 8, FACTOR, 0)
        seen.append(told(LARGE[name](*map(arithmetic.array, WIDE))))
    at_once, in_pieces = (np.abs(runs[1:] - runs[0]).reshape(2, 8, -1) for runs in seen)
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    for one, other in zip(at_once.max(axis=2).ravel(), in_pieces.max(axis=2).ravel(), strict=True):
        assert one == other == 0 or 0.5 < one / other < 2


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", LARGE)
def test_a_run_is_the_same_whether_those_of_the_other_kind_run_beside_it_or_not(name: str, dtype: str) -> None:
    both, first, second = (told(LARGE[name](*map(noisy(dtype, 4, FACTOR, 0, kind=kind).array, WIDE))) for kind in Kind)
    np.testing.assert_array_equal(both[:5], first)
    np.testing.assert_array_equal(both[[0, 5, 6, 7, 8]], second)


def test_two_operations_have_noise_of_their_own() -> None:
    arithmetic = noisy("float32", 4, FACTOR, 0)
    a, b = map(arithmetic.array, WIDE)
    assert (told(a * b)[1:5] != told(a * b)[1:5]).mean() > 0.99


def test_the_places_of_noise_come_again_late_and_not_in_step() -> None:
    places = Places(1, 2, slice(None))
    seen = [places.noise(1, np.ones(2)).ravel().tolist() for _ in range(noise.OPERATIONS + 1)]
    assert seen[0] == seen[-1]
    assert len({tuple(row) for row in seen}) == noise.OPERATIONS
    assert all(noise.OPERATIONS % n for n in range(2, 64))


@pytest.mark.parametrize(
    ("size", "runs", "many"),
    [(8, 16, 16), (2**16, 16, 16), (2**17, 16, 8), (2**22, 16, 4), (2**22, 64, 16), (2**22, 2, 2)],
)
def test_large_tensors_have_fewer_runs(size: int, runs: int, many: int) -> None:
    weight = {"draw": "normal", "scale": 1.0}
    layers = [{"name": "wide", "kind": "linear", "outputs": size // 8, "weight": weight}]
    data = {"kind": "gaussian", "samples": 1, "features": 8, "target": "sum"}
    loss = {"kind": "mse", "width_1_labels": "broadcast"}
    scenario = small(layers=layers, data=data, loss=loss, batch_size=1)
    inputs = replace(make_inputs(small()), batch_size=1)
    assert how_many(scenario, inputs, runs) == many


@pytest.mark.parametrize("mode", MODES)
def test_the_envelope_of_large_tensors_is_made_side_by_side_or_one_after_the_other(
    mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same runs, whichever way: only the kinks that are put on the other side can be others."""
    made = []
    for block, crowded in ((2**30, 2**28), (1, 2**28), (1, 1)):
        monkeypatch.setattr(enveloping, "BLOCK", block)
        monkeypatch.setattr(enveloping, "CROWDED", crowded)
        made.append(seeded(mode, 0))
    at_once, side_by_side, one_by_one = made
    np.testing.assert_array_equal(side_by_side, one_by_one)
    if mode == "free":
        np.testing.assert_array_equal(at_once, one_by_one)
    assert (np.abs(np.log2(at_once / one_by_one)) < 3).all()


def test_what_goes_wrong_in_one_kind_of_runs_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Noise, *arguments: Any) -> Any:
        raise MemoryError("no more")

    monkeypatch.setattr(enveloping, "BLOCK", 1)
    known = reference_of(small())
    monkeypatch.setattr(Noise, "operate", broken)
    inputs, options = make_inputs(small()), {"runs": 4, "factor": FACTOR}
    with pytest.raises(MemoryError, match="no more"):
        make_envelope(small(), inputs, known.truth["free"], known.twin["free"], known.states, **options)


# ---------------------------------------------------------------- narrower arithmetics


ANY: dict[str, tuple[Operation, float]] = {  # each with the error that rounding the result makes, in halves of a unit
    **{name: (operation, 1) for name, operation in BASIC.items()},
    "exp": (lambda a, b: exp(a), 1.01),
    "matmul": (lambda a, b: a @ b.mT, 1.01),
    "sum": (lambda a, b: total(a, -1), 1.01),
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ANY)
def test_sixteen_bits_round_every_operation_once(name: str, dtype: str) -> None:
    arithmetic = make_arithmetic(dtype, dtype)
    operands = [arithmetic.array(side) for side in (A, B)]
    operation, halves = ANY[name]
    found = told(operation(*operands))
    exact = operation(*(told(side).astype(np.float64) for side in operands))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, found.astype(FORMATS[dtype].dtype).astype(np.float32))
    assert (np.abs(found - exact) <= halves * FORMATS[dtype].spacing(exact) / 2).all()


def test_a_long_sum_of_like_terms_in_float16_is_off_by_its_last_rounding() -> None:
    arithmetic = make_arithmetic("float16", "float16")
    rows = np.full((4000, 3), 0.1)
    found = told(total(arithmetic.array(rows), -2))
    np.testing.assert_array_equal(found, np.float16(4000 * float(np.float16(0.1))))


def test_bfloat16_takes_numbers_and_constants_in_with_eight_digits() -> None:
    arithmetic = make_arithmetic("bfloat16", "bfloat16")
    assert told(arithmetic.array(np.array([1.01, -3.3]))).tolist() == [1.0078125, -3.296875]
    assert float(arithmetic.constant(0.01)) == float(np.float32(0.01))  # as a kernel of 16-bit numbers takes it


@pytest.mark.parametrize("name", [name for name in ANY if name != "matmul"])
def test_tf32_is_float32_but_for_products_of_matrices(name: str) -> None:
    tf32, single = (
        told(ANY[name][0](*(make_arithmetic(a, "float32").array(side) for side in (A, B)))) for a in ("tf32", "float32")
    )
    np.testing.assert_array_equal(tf32, single)


def test_tf32_rounds_the_inputs_of_products_to_eleven_digits() -> None:
    arithmetic = make_arithmetic("tf32", "float32")
    found = told(arithmetic.array(A) @ arithmetic.array(B).mT)
    eleven = [side.astype(np.float32).astype(np.float16).astype(np.float32) for side in (A, B)]  # as float16 has
    np.testing.assert_array_equal(found, eleven[0] @ eleven[1].mT)
    assert (found != A.astype(np.float32) @ B.astype(np.float32).mT).any()


@pytest.mark.parametrize("name", ["bfloat16", "tf32"])
def test_a_comparison_rounds_nothing(name: str) -> None:
    z = make_arithmetic(name, "float32").array(np.array([-1.0, 0.0, 2.0]))
    assert told(z > 0).tolist() == [False, False, True]
    assert told(where(z > 0, z, 0)).tolist() == [0, 0, 2]


# ---------------------------------------------------------------- kinks


def near_a_kink(units: float, dtype: str, *, runs: int = 16, factor: float = FACTOR, many: int = 500) -> np.ndarray:
    """Which runs see many z on another side of 0 than the one without noise does.

    Each z is 1 − (1 − units · u) in one dot product, so that it has noise of 2√2 u, and a bound of `factor` times that.
    """
    z = np.array([[1.0, 1 - units * FORMATS[dtype].roundoff]])
    arithmetic = noisy(dtype, runs, factor, 0)
    seen = told(arithmetic.array(z) @ arithmetic.array(np.array([[1.0] * many, [-1.0] * many])) > 0.0)[:, 0]
    assert (seen[0] == (units > 0)).all()
    return seen != seen[0]


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("units", [0.5, 2, 2.8, -0.5, -2, -2.8])
def test_a_number_within_rounding_of_a_kink_is_on_both_sides_of_it(units: float, dtype: str) -> None:
    assert near_a_kink(units, dtype)[1:17].any(axis=0).all()


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("units", [18, 40, -18, -40])
def test_a_number_beyond_its_bound_of_a_kink_is_on_its_own_side(units: float, dtype: str) -> None:
    assert not near_a_kink(units, dtype).any()


@pytest.mark.parametrize(("factor", "there"), [(1.0, False), (16.0, True)])
def test_how_far_a_kink_reaches_is_what_the_factor_says(factor: float, there: bool) -> None:
    assert near_a_kink(6, "float32", factor=factor).any() == there


def one_run_of_each_kind() -> None:
    """Of two runs, both are on the right side a quarter of the time; then one of each kind is put on the other."""
    first, second = near_a_kink(1e-6, "float32", runs=1)[1:]
    assert (first | second).all()
    assert (first & second).any()


def test_a_kink_is_a_rule_and_not_luck() -> None:
    one_run_of_each_kind()


def test_that_a_kink_is_left_to_luck_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noise, "_unclear", lambda self, distance, sides: None)
    with pytest.raises(AssertionError):
        one_run_of_each_kind()


def test_an_exact_zero_is_on_one_side_of_a_kink() -> None:
    arithmetic = noisy("float32", 16, FACTOR, 0)
    z = arithmetic.array(np.zeros((1, 2))) @ arithmetic.array(np.ones((2, 1)))
    assert not told(z > 0).any()
    assert len(told(z)) == 33


def test_a_number_without_noise_is_compared_once() -> None:
    z = noisy("float32", 16, FACTOR, 0).array(np.array([1e-30, 0.0, -1.0]))
    assert told(z > 0).tolist() == [[True, False, False]]


SIGMOID = LAYERS["sigmoid"](kind="sigmoid", name="tried")


def slopes(z: float, noise: float, runs: int = 16) -> np.ndarray:
    """σ(z) in each run, of many z with noise of ± ``noise`` times 1.7 u in bfloat16."""
    arithmetic = noisy("bfloat16", runs, FACTOR, 0)
    size = noise / FORMATS["bfloat16"].roundoff / 2
    a, b = np.array([[size + z, size]]), np.array([[1.0] * 300, [-1.0] * 300])
    return told(SIGMOID.forward({}, arithmetic.array(a) @ arithmetic.array(b)).a)[:, 0]


@pytest.mark.parametrize("z", [300.0, -300.0, 900.0])
def test_where_rounding_carries_a_number_across_a_sigmoids_slope_a_run_is_on_it(z: float) -> None:
    """By construction, and not by luck: of sixteen numbers spread over thousands, few are within the slope's ten."""
    a = slopes(z, 1000.0)
    half = a[1:9]
    assert (np.abs(half - 0.5) < 0.3).any(axis=0).all()
    assert (np.round(a[0]) == (z > 0)).all()


@pytest.mark.parametrize("z", [300.0, -300.0])
def test_where_rounding_does_not_carry_it_there_no_run_is_on_the_slope(z: float) -> None:
    assert (np.abs(slopes(z, 10.0) - 0.5) > 0.3).all()


def test_that_a_slope_is_left_to_luck_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Noise, "around", lambda self, z: z)
    with pytest.raises(AssertionError):
        test_where_rounding_carries_a_number_across_a_sigmoids_slope_a_run_is_on_it(300.0)


def test_an_exponential_below_the_smallest_normal_number_may_be_zero() -> None:
    arithmetic = noisy("float32", RUNS, 1.0, 0)
    seen = told(exp(arithmetic.array(np.full(50, -90.0))))
    assert seen[0, 0] == pytest.approx(8.19e-40, rel=1e-3)
    assert np.abs(seen[1:] - seen[0]).max() > 0.95 * seen[0, 0]


def test_an_infinity_stays_what_it_is_in_every_run() -> None:
    arithmetic = noisy("float32", 4, FACTOR, 0)
    z = arithmetic.array(np.array([np.inf, -np.inf, 1.0]))
    with np.errstate(invalid="ignore", over="ignore"):
        for seen in (z + 1, z * 2, (z * 2) + (z * 2), z - 1e38):
            assert np.isinf(told(seen)[:, :2]).all()


# ---------------------------------------------------------------- floors and strays


def test_the_farthest_run_counts_and_one_with_more_noise_so_much_less() -> None:
    truth = np.array([1.0, 1.0])
    runs = 1 + np.array([[9, 9], [3, 1], [8, -20], [-2.5, 1], [1, 2]])  # none, scale 1, scale 4, and two as they are
    assert spread_of(runs, truth, 4.0).tolist() == [3.0, 5.0]


def test_a_run_that_overflows_shows_nothing() -> None:
    runs = np.array([[1.0], [np.inf], [np.nan], [-np.inf], [1.5]])
    assert spread_of(runs, np.array([1.0]), 1.0).tolist() == [0.5]
    assert spread_of(runs, np.array([np.nan]), 1.0).tolist() == [0.0]


# ---------------------------------------------------------------- of a scenario


def small(dtype: str = "float32", **changes: Any) -> Scenario:
    return parse_scenario(tomllib.loads(SMALL) | {"name": "small", "dtype": dtype} | changes)


@cache
def reference_of(scenario: Scenario, modes: tuple[Mode, ...] = MODES) -> Reference:
    return make_reference(scenario, make_inputs(scenario), modes, factor=FACTOR)


def envelope_of(scenario: Scenario, mode: Mode = "resync") -> Mapping[str, np.ndarray]:
    return reference_of(scenario, (mode,)).envelope[mode]


def gather(scenario: Scenario, mode: Mode, *, runs: int = 1, seed: int = 1, **options: Any) -> dict[str, np.ndarray]:
    """Each quantity of all runs at all steps, (2 runs + 1, steps, *shape); a smaller batch is filled up with zeros."""
    inputs, reference = make_inputs(scenario), reference_of(scenario)
    shapes = {name: column.shape for name, column in reference.truth[mode].columns.items()}
    out = {name: np.zeros((2 * runs + 1, *shape)) for name, shape in shapes.items()}
    options |= {"runs": runs, "factor": FACTOR, "seed": seed}
    for at, seen in noisy_runs(scenario, inputs, mode, reference.states, **options):
        for name, value in seen.items():
            rows = out[name][:, at]
            rows[(slice(None), slice(None), *map(slice, value.shape[2:]))[: rows.ndim]] = value
            out[name][:, at] = rows
    return out


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", NARROW)
def test_run_0_of_a_scenario_is_its_truth(dtype: str, mode: Mode) -> None:
    scenario = small(dtype)
    truth = record_here(
        Rules("float64"),
        "b",
        scenario,
        make_inputs(scenario),
        states=reference_of(scenario).states if mode == "resync" else None,
    )
    for name, runs in gather(scenario, mode).items():
        np.testing.assert_allclose(runs[0], truth.columns[name], rtol=1e-13, atol=1e-16, err_msg=name)


@pytest.mark.parametrize("block", [1, 50, 100_000])
def test_every_step_is_run_once_however_many_run_together(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enveloping, "BLOCK", block)
    scenario = small(epochs=5)
    reference = reference_of(scenario)
    states, inputs = reference.states, make_inputs(scenario)
    options: dict[str, Any] = {"runs": 1, "factor": FACTOR, "seed": 0}
    seen = [at for at, _ in noisy_runs(scenario, inputs, "resync", states, **options)]
    assert sorted(np.concatenate(seen)) == list(range(10))
    truth = reference.truth["resync"].columns
    for name, runs in gather(scenario, "resync").items():
        np.testing.assert_allclose(runs[0], truth[name], rtol=1e-13, atol=1e-16, err_msg=name)


def test_of_some_steps_only_those_are_run() -> None:
    scenario = small(epochs=5)
    steps = np.array([2, 3, 8])
    runs = gather(scenario, "resync", steps=steps)["loss"]
    truth = reference_of(scenario).truth["resync"].columns["loss"]
    assert np.flatnonzero(runs[0]).tolist() == steps.tolist()
    np.testing.assert_allclose(runs[0, steps], truth[steps], rtol=1e-13)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("mode", MODES)
def test_a_learning_rate_has_an_envelope_of_nothing(mode: Mode, dtype: str) -> None:
    assert not envelope_of(small(dtype), mode)["lr"].any()


@pytest.mark.parametrize("mode", MODES)
def test_the_same_scenario_has_the_same_envelope(mode: Mode) -> None:
    inputs = make_inputs(small())
    one, other = (make_reference(small(), inputs, (mode,), factor=FACTOR).envelope[mode] for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def seeded(mode: Mode, seed: int, name: str = "small") -> np.ndarray:
    scenario = small(name=name)
    inputs, known = make_inputs(scenario), reference_of(scenario)
    options: dict[str, Any] = {"runs": 4, "factor": FACTOR, "seed": seed}
    envelope = make_envelope(scenario, inputs, known.truth[mode], known.twin[mode], known.states, **options)
    return envelope["grad/hidden.weight"]


@pytest.mark.parametrize("mode", MODES)
def test_another_seed_or_name_has_another_envelope_of_the_same_size(mode: Mode) -> None:
    one = seeded(mode, 0)
    for other in (seeded(mode, 1), seeded(mode, 0, "other")):
        assert (one != other).any()
        assert (np.abs(np.log2(one / other)) < 3).all()


# ---------------------------------------------------------------- over the steps

LONG = {"epochs": 60, "optimizer": {"kind": "sgd", "lr": 2.0**-13}}  # so that hardly anything changes but the noise


@pytest.mark.parametrize("dtype", NARROW)
def test_in_free_the_envelope_grows_and_in_resync_it_does_not(dtype: str) -> None:
    free, resync = (envelope_of(small(dtype, **LONG), mode)["weight/hidden.weight"].max(axis=(1, 2)) for mode in MODES)
    assert free[-1] > 5 * free[0]
    assert resync[-1] < 3 * resync[0]


def test_in_free_the_first_step_is_as_in_resync() -> None:
    free, resync = (envelope_of(small(), mode)["loss"][0] for mode in MODES)
    assert 0.5 < free / resync < 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", NARROW)
def test_a_smaller_last_batch_has_an_envelope_too(dtype: str, mode: Mode) -> None:
    """Of three samples in batches of two, the third is alone in its batch, and a dot product as the others."""
    scenario = small(dtype)
    inputs, envelope = make_inputs(scenario), envelope_of(scenario, mode)["forward/hidden"]
    x, weight = (side.astype(np.float64) for side in (inputs.x[2], inputs.initial["weight/hidden.weight"]))
    size = FORMATS[dtype].roundoff * np.sqrt(2) * (np.abs(x) @ np.abs(weight).T)
    assert (envelope[1, 0] > 0.5 * size).all()
    assert (envelope[3, 0] > 0.4 * size).all()  # of the second epoch, with weights a little other


# ---------------------------------------------------------------- kinks in a scenario


def with_relu(weight: list[list[float]], x: list[list[float]], dtype: str = "float32") -> Reference:
    """One step of two hidden units under a ReLU."""
    layers = [
        {"name": "hidden", "kind": "linear", "weight": weight},
        {"name": "hidden_act", "kind": "relu"},
        {"name": "output", "kind": "linear", "weight": [[3.0, 0.5]]},
    ]
    data = {"kind": "inline", "x": x, "y": [[4.0]]}
    return reference_of(small(dtype, epochs=1, batch_size=1, data=data, layers=layers))


def kinked(distance: float, samples: float = 1.0) -> tuple[float, float]:
    """|∂L/∂a| above a ReLU and its envelope below, where z is ``distance`` times u off 0, and its noise is 2√2 u."""
    reference = with_relu([[1.0, -(1 - distance * 2.0**-24)], [0.5, 0.25]], [[samples, samples]])
    above = abs(float(reference.truth["resync"].columns["backward/hidden_act"][0, 0, 0]))
    return above, float(reference.envelope["resync"]["backward/hidden"][0, 0, 0])


@pytest.mark.parametrize("distance", [0.5, 1, 2, -0.5, -1, -2])
def test_where_a_relu_can_go_either_way_its_whole_gradient_is_in_the_envelope(distance: float) -> None:
    above, envelope = kinked(distance)
    assert above > 1
    assert envelope == pytest.approx(above, rel=1e-5)


@pytest.mark.parametrize("distance", [4, 8, -4, -6])
def test_where_a_relu_can_go_either_way_within_the_bound_its_gradient_is_in_the_bound(distance: float) -> None:
    above, envelope = kinked(distance)
    assert above * (1 - 1e-5) <= FACTOR * envelope
    assert envelope <= above * (1 + 1e-5)


@pytest.mark.parametrize(("distance", "samples"), [(40, 1.0), (-40, 1.0), (4000, 1.0), (8, 0.0)])
def test_where_a_relu_can_go_one_way_only_its_envelope_is_rounding(distance: float, samples: float) -> None:
    """Also where the sample is all zeros, and so its pre-activation exactly zero."""
    above, envelope = kinked(distance, samples)
    assert above > 1
    assert envelope < 1e-5 * above


# ---------------------------------------------------------------- what is right is inside, and what is wrong is not

SCENARIOS: dict[str, Callable[[str], Scenario]] = {
    "sigmoid": lambda dtype: small(dtype, epochs=10),
    "relu": lambda dtype: load_scenario("article/single_neuron_relu").model_copy(update={"dtype": dtype}),
    "exact": lambda dtype: load_scenario("article/worked_backprop").model_copy(update={"dtype": dtype}),
    "minibatch": lambda dtype: load_scenario("article/sum_regression_minibatch").model_copy(
        update={"dtype": dtype, "epochs": 1, "batch_size": 30}
    ),
}


def traced(scenario: Scenario, truth: Trace, seed: int) -> list[Trace]:
    """A noisy run of each kind that had no part in the envelope, as a backend would return it."""
    seen = gather(scenario, truth.manifest.mode, seed=seed)
    form = FORMATS[scenario.dtype].dtype
    return [replace(truth, columns={name: runs[run].astype(form) for name, runs in seen.items()}) for run in (1, 2)]


def verdict_of(trace: Trace, reference: Reference, dtype: str) -> Verdict:
    mode = trace.manifest.mode
    comparison = compare_traces(trace, reference.truth[mode], reference.envelope[mode], dtype=dtype)
    return judge(comparison, dtype).verdict


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_noisy_runs_that_had_no_part_in_the_envelope_are_inside(name: str, dtype: str, mode: Mode) -> None:
    scenario = SCENARIOS[name](dtype)
    reference = reference_of(scenario)
    traces = [trace for seed in (7, 8) for trace in traced(scenario, reference.truth[mode], seed)]
    assert [verdict_of(trace, reference, dtype) for trace in traces] == [Verdict.EQUIVALENT] * 4


def changed(reference: Reference, mode: Mode, name: str, change: Callable[[np.ndarray], np.ndarray]) -> Trace:
    """What the rules give in the dtype itself, with one quantity changed."""
    twin = reference.twin[mode]
    columns = dict(twin.columns)
    columns[name] = change(columns[name].astype(np.float64)).astype(columns[name].dtype)
    return replace(twin, columns=columns)


@pytest.mark.parametrize("name", ["sigmoid", "relu", "minibatch"])
@pytest.mark.parametrize("mode", MODES)
def test_a_gradient_that_is_a_hundred_thousandth_too_large_is_outside(mode: Mode, name: str) -> None:
    scenario = SCENARIOS[name]("float32")
    reference = reference_of(scenario)
    gradient = next(q for q in reference.truth[mode].columns if q.startswith("grad/"))
    assert verdict_of(changed(reference, mode, gradient, lambda g: g), reference, "float32") is Verdict.EQUIVALENT
    wrong = changed(reference, mode, gradient, lambda g: g * (1 + 1e-5))
    assert verdict_of(wrong, reference, "float32") is Verdict.DIVERGES


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", FORMATS)
def test_a_weight_that_missed_an_update_is_outside(dtype: str, mode: Mode) -> None:
    reference = reference_of(small(dtype))
    wrong = changed(reference, mode, "weight/hidden.weight", lambda w: np.concatenate([w[:1], w[:-1]]))
    assert verdict_of(wrong, reference, dtype) is Verdict.DIVERGES


@pytest.mark.parametrize("dtype", NARROW)
def test_a_gradient_through_a_dead_relu_is_zero_and_nothing_else(dtype: str) -> None:
    """What is exactly zero has no rounding error: no right backend is off by u there."""
    reference = with_relu([[-1.0, -2.0], [-0.5, -0.25]], [[1.0, 1.0]], dtype)
    wrong = changed(reference, "resync", "grad/hidden.weight", lambda g: g + FORMATS[dtype].roundoff)
    assert verdict_of(wrong, reference, dtype) is Verdict.DIVERGES


@pytest.mark.parametrize("times", [1 / 64, 64.0])
def test_an_envelope_of_another_size_lets_right_runs_out_or_wrong_ones_in(times: float) -> None:
    """So that neither of the tests above would pass with an envelope of any size."""
    scenario = SCENARIOS["sigmoid"]("float32")
    right = reference_of(scenario)
    wrong = replace(
        right,
        envelope={m: {q: e * times for q, e in envelope.items()} for m, envelope in right.envelope.items()},
    )
    trace = traced(scenario, right.truth["resync"], 7)[0]
    fault = changed(right, "resync", "grad/output.weight", lambda g: g * (1 + 1e-5))
    assert verdict_of(trace, wrong, "float32") is (Verdict.DIVERGES if times < 1 else Verdict.EQUIVALENT)
    assert verdict_of(fault, wrong, "float32") is (Verdict.DIVERGES if times < 1 else Verdict.EQUIVALENT)
