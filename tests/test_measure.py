"""Is every column of ``measure`` right: against an oracle that looks at one element at a time, and one by one?"""

from __future__ import annotations

import doctest
import math
import re
import struct
import tracemalloc
from fractions import Fraction
from itertools import product
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isograd.measure as measuring
from isograd.dtypes import FORMATS
from isograd.measure import COLUMNS, Measures, measure

CODES = {"float16": "e", "bfloat16": "b", "float32": "f", "float64": "d"}  # struct's, but for bfloat16, which it lacks
NARROWEST_FIRST = "befd"
DTYPES = {name: FORMATS[name].dtype for name in CODES}
EPS = {name: 2 * FORMATS[name].roundoff for name in CODES}
INF, NAN = math.inf, math.nan


# The oracle: Python floats and integers, one element at a time, nothing shared with the implementation.


def rounded(x: float, code: str) -> float:
    if code == "b":
        return rounded_to_bfloat16(x)
    try:
        return struct.unpack(code, struct.pack(code, x))[0]
    except OverflowError:
        return math.copysign(INF, x)


def rounded_to_bfloat16(x: float) -> float:
    if not math.isfinite(x) or x == 0:
        return x
    ulp = 2.0 ** (max(math.frexp(x)[1], -125) - 8)
    nearest = round(Fraction(x) / Fraction(ulp)) * Fraction(ulp)  # halves to even
    return math.copysign(float(nearest), x) if abs(nearest) < 2**128 else math.copysign(INF, x)


def number(x: float, code: str) -> int:
    """Which float it is, counted from zero."""
    if code == "b":
        return int(number(x, "f") / 2**16)  # the upper half of float32's bits
    bits = int.from_bytes(struct.pack(">" + code, x), "big")
    sign = 1 << (8 * struct.calcsize(code) - 1)
    return -(bits - sign) if bits & sign else bits


def kind(x: float) -> str:
    return "finite" if math.isfinite(x) else repr(x)


def difference(x: float, y: float, codes: tuple[str, str]) -> float:
    exact = abs(x - y)
    if codes[0] != codes[1] or codes[0] == "d":
        return exact
    single = rounded(exact, "f")
    return single if math.isfinite(single) else exact


def quotient(difference: float, y: float) -> float:
    return 0.0 if difference == 0 else INF if y == 0 else difference / abs(y)


def root_mean_square(values: list[float]) -> float:
    top = max(values, default=0.0)
    if top in (0.0, INF):
        return top
    return top * math.sqrt(math.fsum((value / top) ** 2 for value in values) / len(values))


def oracle(xs: list[float], ys: list[float], codes: tuple[str, str]) -> dict[str, Any]:
    """One step: what ``measure`` should say of the flat tensors ``xs`` and ``ys``."""
    narrow = min(codes, key=NARROWEST_FIRST.index)
    pairs = list(zip(xs, ys, strict=True))
    clash = [kind(x) != kind(y) for x, y in pairs]
    finite = [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    narrowed = [(rounded(x, narrow), rounded(y, narrow)) for x, y in finite]
    off = [difference(x, y, codes) for x, y in finite]
    rank = [
        (bad, 0.0 if bad or not math.isfinite(x) else difference(x, y, codes))
        for (x, y), bad in zip(pairs, clash, strict=True)
    ]
    worst = rank.index(max(rank)) if rank else 0
    largest = {
        "max_abs": max(off, default=0.0),
        "max_rel": max((quotient(d, y) for d, (_, y) in zip(off, finite, strict=True)), default=0.0),
        "max_ulp": max((float(abs(number(x, narrow) - number(y, narrow))) for x, y in narrowed), default=0.0),
    }
    return (dict.fromkeys(largest, INF) if any(clash) else largest) | {
        "rms": root_mean_square(off),
        "unequal": sum(x != y for x, y in narrowed) + sum(clash),
        "mismatched": sum(clash),
        "nonfinite": len(pairs) - len(finite) - sum(clash),
        "size": len(pairs),
        "magnitude": max((abs(y) for y in ys if math.isfinite(y)), default=0.0),
        "worst": worst,
        "value": xs[worst] if xs else 0.0,
        "other": ys[worst] if ys else 0.0,
    }


def check(a: Any, b: Any) -> Measures:
    """Compare ``measure`` with the oracle in every column and step."""
    found = measure(a, b)
    codes = CODES[a.dtype.name], CODES[b.dtype.name]
    single = codes[0] == codes[1] != "d"
    steps = zip(a.reshape(len(a), math.prod(a.shape[1:])), b.reshape(len(b), math.prod(b.shape[1:])), strict=True)
    expected = [oracle(x.tolist(), y.tolist(), codes) for x, y in steps]
    tolerance = {"max_rel": 1.2e-7 if single else 0.0, "rms": 1e-6 if single else 1e-12}
    for name, dtype in COLUMNS.items():
        column = getattr(found, name)
        assert (column.shape, column.dtype) == ((len(a),), dtype), name
        want = np.array([step[name] for step in expected], dtype)
        np.testing.assert_allclose(column, want, rtol=tolerance.get(name, 0.0), atol=0, err_msg=name)
    return found


# Everything at once.

SPECIAL = {
    "float16": [0.0, -0.0, NAN, INF, -INF, 6e-8, -6e-8, 65504.0, -65504.0, 1.0],
    "bfloat16": [0.0, -0.0, NAN, INF, -INF, 9.2e-41, -9.2e-41, 1e-30, 3.3895314e38, -3.3895314e38, 1.0],
    "float32": [0.0, -0.0, NAN, INF, -INF, 1e-45, -1e-45, 1e-30, 3.4028234e38, -3.4028234e38, 1.0],
    "float64": [0.0, -0.0, NAN, INF, -INF, 5e-324, -5e-324, 1e-200, 1.7e308, -1.7e308, 1e39, 1.0],
}


WIDTHS = {"float16": 16, "bfloat16": 32, "float32": 32, "float64": 64}


@st.composite
def elements(draw: Any, names: tuple[str, str]) -> tuple[float, float]:
    """A pair: equal, a few ULP apart, or unrelated."""
    one, two = (st.one_of(st.floats(width=WIDTHS[name]), st.sampled_from(SPECIAL[name])) for name in names)
    x, ulp = draw(one), max(EPS[name] for name in names)
    return x, draw(st.one_of(st.just(x), st.integers(-3, 3).map(lambda ulps: x * (1 + ulps * ulp)), two))


@st.composite
def arrays(draw: Any) -> tuple[Any, Any]:
    names = draw(st.tuples(*[st.sampled_from(sorted(CODES))] * 2))
    shape = draw(st.sampled_from([(1,), (7,), (0, 3), (3, 0), (5, 1), (4, 2), (3, 5), (2, 2, 3), (1, 17), (2, 11)]))
    pairs = [draw(elements(names)) for _ in range(math.prod(shape))]
    with np.errstate(over="ignore"):
        a, b = (np.array([p[i] for p in pairs], np.float64).reshape(shape).astype(DTYPES[names[i]]) for i in (0, 1))
    return a, b


SIZES = {
    "block": st.sampled_from([8, 16, 24, 64, 1 << 21]),
    "narrow": st.sampled_from([0, 3, 64]),
    "run": st.sampled_from([2, 512]),
}


@settings(derandomize=True, deadline=None, max_examples=100)
@given(pair=arrays(), **SIZES)
def test_the_oracle_agrees(pair: Any, block: int, narrow: int, run: int) -> None:
    with mock.patch.multiple(measuring, BLOCK=block, NARROW=narrow, RUN=run):
        check(*pair)


@pytest.mark.parametrize(("one", "two"), list(product(CODES, CODES)))
@pytest.mark.parametrize("shape", [(40,), (30, 7), (3, 8), (3, 9), (2, 15), (2, 16), (2, 17), (1, 65)])
def test_the_oracle_agrees_on_any_bits_around_block_boundaries(one: str, two: str, shape: tuple[int, ...]) -> None:
    rng, count = np.random.default_rng(0), math.prod(shape)
    a, b = (np.frombuffer(rng.bytes(count * dtype.itemsize), dtype) for dtype in (DTYPES[one], DTYPES[two]))
    with np.errstate(over="ignore", invalid="ignore"):
        near = a.astype(np.float64) * (1 + rng.integers(-2, 3, count) * max(EPS[one], EPS[two]))
        finite = np.where(np.isfinite(a), a, a.dtype.type(1))
        numbers = np.where(np.isfinite(a), near, 1).astype(DTYPES[two])
    for block, narrow in ((32, 0), (64, 64), (1 << 21, 64)):
        with mock.patch.multiple(measuring, BLOCK=block, NARROW=narrow):
            check(a.reshape(shape), b.reshape(shape))  # most of them far apart, some NaN
            check(a.reshape(shape), numbers.reshape(shape))  # most of them close
            check(finite.reshape(shape), numbers.reshape(shape))  # no NaN, perhaps overflow


# Each column by itself.


def steps(*rows: Any, dtype: Any = np.float32) -> Any:
    return np.array(rows, dtype)


def test_max_abs_is_the_largest_difference_of_each_step() -> None:
    assert measure(steps([1, -2], [5, 5]), steps([1.5, 2], [5, 5])).max_abs.tolist() == [4.0, 0.0]


def test_max_abs_of_float32_neither_overflows_nor_widens() -> None:
    huge = float(np.finfo(np.float32).max)
    with mock.patch.object(measuring, "BLOCK", 8):  # so that what float64 needs is more than a block
        assert measure(steps([huge, 1]), steps([-huge, 1])).max_abs.tolist() == [2 * huge]
    assert measure(steps([1.1]), steps([1.0])).max_abs.tolist() == [float(np.float32(1.1) - np.float32(1))]


def test_max_abs_against_a_wide_reference_is_exact() -> None:
    assert measure(steps([1.0]), steps([1 + 2.0**-40], dtype=np.float64)).max_abs.tolist() == [2.0**-40]


def test_max_rel_is_relative_to_the_second() -> None:
    m = measure(steps([1, 0], [0, 0], [3, 0], [1e-30, 1]), steps([4, 0], [0, 0], [3, -1], [0, 1]))
    assert m.max_rel.tolist() == [0.75, 0.0, 1.0, INF]


def test_max_rel_of_float32_does_not_overflow() -> None:
    m = measure(steps([1e30, 1], [1, 1]), steps([1e-30, 1], [2, 1]))
    assert m.max_rel == pytest.approx([1e60, 0.5], rel=1e-6)


def test_max_ulp_counts_representable_numbers() -> None:
    above = 1 + 2.0**-23
    m = measure(steps([1, 0, 0], [1, -1e-45, 0], [2, 0, 0]), steps([above, -0.0, 0], [1, 1e-45, 0], [1, 0, 0]))
    assert m.max_ulp.tolist() == [1.0, 2.0, 2.0**23]


@pytest.mark.parametrize("name", CODES)
def test_max_ulp_from_end_to_end_of_the_dtype(name: str) -> None:
    top, dtype = FORMATS[name].largest, DTYPES[name]
    half = number(top, CODES[name])
    for zero, end in product((0.0, -0.0), (-top, top)):
        assert measure(steps([zero], dtype=dtype), steps([end], dtype=dtype)).max_ulp.tolist() == [float(half)]
    assert measure(steps([-top], dtype=dtype), steps([top], dtype=dtype)).max_ulp.tolist() == [float(2 * half)]


@pytest.mark.parametrize(("name", "count"), [("float16", 2 * 31 * 1024 - 1), ("bfloat16", 2 * 255 * 128 - 1)])
def test_max_ulp_is_one_between_all_neighbours_of_sixteen_bits(name: str, count: int) -> None:
    values = np.arange(1 << 16, dtype=np.uint16).view(DTYPES[name]).astype(np.float32)
    numbers = np.unique(values[np.isfinite(values)]).astype(DTYPES[name])  # sorted; the zeros are one
    assert len(numbers) == count
    assert (measure(numbers[1:], numbers[:-1]).max_ulp == 1).all()


def test_max_ulp_and_unequal_are_of_the_narrower_dtype() -> None:
    near, next_one = 1 + 2.0**-30, 1 + 2.0**-23
    m = measure(steps([1], [1]), steps([near], [next_one], dtype=np.float64))
    assert (m.max_ulp.tolist(), m.unequal.tolist()) == ([0.0, 1.0], [0, 1])
    m = measure(steps([near], [next_one], dtype=np.float64), steps([1], [1]))
    assert (m.max_ulp.tolist(), m.unequal.tolist()) == ([0.0, 1.0], [0, 1])


def test_max_ulp_of_a_reference_beyond_the_narrower_dtype_counts_to_infinity() -> None:
    top = float(np.finfo(np.float32).max)
    m = measure(steps([top]), steps([1e300], dtype=np.float64))
    assert (m.max_ulp.tolist(), m.mismatched.tolist(), m.unequal.tolist()) == ([1.0], [0], [1])
    assert measure(steps([0]), steps([-1e300], dtype=np.float64)).max_ulp.tolist() == [number(top, "f") + 1.0]


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-10, 1.0, 1e19, 1e37])
def test_rms_is_a_root_of_a_mean_at_any_scale(scale: float) -> None:
    a = steps([3 * scale, 0, -4 * scale, 0], [0, 0, 0, 0])
    three, four = float(a[0, 0]), float(a[0, 2])
    assert measure(a, 0 * a).rms == pytest.approx([math.hypot(three, four) / 2, 0.0], rel=1e-6)


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1.0, 1e200, 4e307])
def test_rms_of_float64_at_any_scale(scale: float) -> None:
    a = steps([3 * scale, 0, 4 * scale, 0], dtype=np.float64)
    assert measure(a, 0 * a).rms == pytest.approx([math.hypot(*(a[0] / 2))], rel=1e-12)


def test_rms_is_infinite_where_float64_overflows() -> None:
    assert measure(steps([1e308, 0], dtype=np.float64), steps([-1e308, 0], dtype=np.float64)).rms.tolist() == [INF]


def test_rms_of_many_equal_differences_is_that_difference() -> None:
    a = np.full((1, 3_000_001), np.float32(0.1))
    assert measure(a, np.zeros_like(a)).rms == pytest.approx(float(a[0, 0]), rel=1e-6)


def test_rms_is_over_finite_pairs_only() -> None:
    assert measure(steps([3, NAN, 3, 1]), steps([0, NAN, 0, INF])).rms.tolist() == [3.0]


def test_unequal_counts_elements() -> None:
    m = measure(steps([1, 0.0, NAN, INF, 2], [1, 1, 1, 1, 1]), steps([2, -0.0, NAN, -INF, 3], [1, 1, 1, 1, 1]))
    assert m.unequal.tolist() == [3, 0]


def test_mismatched_counts_elements_of_different_class() -> None:
    a = steps([NAN, INF, -INF, 1, NAN, INF], [1, 1, 1, 1, 1, 1])
    b = steps([1, -INF, -INF, INF, NAN, NAN], [1, 1, 1, 1, 1, 2])
    m = measure(a, b)
    assert m.mismatched.tolist() == [4, 0]
    for column in (m.max_abs, m.max_rel, m.max_ulp):
        assert column[0] == INF
        assert np.isfinite(column[1])


def test_infinity_against_a_number_that_rounds_to_it_is_a_mismatch() -> None:
    assert measure(steps([INF]), steps([1e300], dtype=np.float64)).mismatched.tolist() == [1]


def test_nonfinite_counts_what_proves_nothing() -> None:
    m = measure(steps([NAN, INF, 1], [NAN, NAN, NAN], [1, 2, 3]), steps([NAN, INF, 1], [NAN, NAN, 1], [1, 2, 3]))
    assert m.nonfinite.tolist() == [2, 2, 0]
    assert measure(steps([NAN]), steps([NAN])).max_abs.tolist() == [0.0]


def test_size_counts_the_elements_of_a_step() -> None:
    assert measure(np.zeros((2, 3, 4)), np.zeros((2, 3, 4))).size.tolist() == [12, 12]


def test_magnitude_is_of_the_second_and_finite() -> None:
    assert measure(steps([9, 9, NAN], [0, 0, 0]), steps([INF, 1, -4], [0, 0, 0])).magnitude.tolist() == [4.0, 0.0]


def test_worst_is_the_first_of_equals_and_names_both_values() -> None:
    m = measure(steps([1, 2, 3], [0, 0, 0]), steps([1, 3, 2], [0, 0, 0]))
    assert (m.worst.tolist(), m.value.tolist(), m.other.tolist()) == ([1, 0], [2.0, 0.0], [3.0, 0.0])


def test_worst_is_a_mismatch_before_any_number() -> None:
    huge = float(np.finfo(np.float64).max)
    with mock.patch.object(measuring, "BLOCK", 8):  # one element at a time
        m = measure(steps([huge, 0, NAN, NAN], dtype=np.float64), steps([-huge, 9, 1, 2], dtype=np.float64))
    assert (m.worst.tolist(), m.other.tolist(), m.mismatched.tolist()) == ([2], [1.0], [2])


# Layouts, sizes, threads.


def test_a_scalar_a_step() -> None:
    m = measure(np.float64([1, 2, 3]), np.float64([1, 2, 4]))
    assert (m.max_abs.tolist(), m.worst.tolist(), m.size.tolist()) == ([0, 0, 1], [0, 0, 0], [1, 1, 1])


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (3, 2, 0)])
def test_nothing_to_compare_is_zero(shape: tuple[int, ...]) -> None:
    check(np.zeros(shape, np.float32), np.ones(shape, np.float64))


@pytest.mark.parametrize("block", [40, 1 << 21])
def test_any_strides_and_inputs_left_alone(block: int) -> None:
    rng = np.random.default_rng(1)
    a = rng.standard_normal((6, 4, 5)).astype(np.float32)
    b = a.astype(np.float64) + rng.standard_normal(a.shape) * 1e-7
    b[2, 1, 1] = NAN
    before = a.tobytes(), b.tobytes()
    a.flags.writeable = b.flags.writeable = False
    with mock.patch.object(measuring, "BLOCK", block):
        for view in (np.s_[...], np.s_[::2], np.s_[:, ::-1], np.s_[:, :, 1:4], np.s_[::-1, 2]):
            check(a[view], b[view])
        check(a.T, b.T)
        check(a[0].T, np.asfortranarray(b[0].T))
    assert (a.tobytes(), b.tobytes()) == before


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(2)
    a = rng.standard_normal((3, 50_000)).astype(np.float32)
    b = a + rng.standard_normal(a.shape).astype(np.float32) * np.float32(1e-6)
    b[1, 7], b[2, 49_999] = INF, 0
    with mock.patch.multiple(measuring, BLOCK=8192):
        alone = measure(a, b)
        with mock.patch.multiple(measuring, THREADED=1, MAX_THREADS=3), mock.patch("os.cpu_count", return_value=3):
            together = measure(a, b)
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(alone, name), getattr(together, name), err_msg=name)


def test_an_error_in_a_thread_is_not_lost() -> None:
    with (
        mock.patch.multiple(measuring, THREADED=1, _compare=mock.Mock(side_effect=MemoryError("no scratch"))),
        mock.patch("os.cpu_count", return_value=2),
        pytest.raises(MemoryError, match="no scratch"),
    ):
        measure(steps([1]), steps([1]))


def test_small_traces_start_no_threads() -> None:
    with mock.patch.object(measuring, "ThreadPoolExecutor", side_effect=AssertionError):
        measure(np.zeros((1000, 8), np.float32), np.ones((1000, 8)))


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_is_that_of_a_few_blocks(order: str) -> None:
    a = np.ones((2, 1000, 1500), np.float32, order=order)
    b = np.full_like(a, 1 + 2**-20)
    tracemalloc.start()
    try:
        with mock.patch.object(measuring, "MAX_THREADS", 1):
            measure(a, b)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5.5 * measuring.BLOCK < a.nbytes  # three buffers, and two strided blocks; a copy would be far more


# Errors and saboteurs.


@pytest.mark.parametrize(("a", "b"), [((3, 2), (3,)), ((3, 2), (2, 3)), ((3, 1), (3, 2)), ((), ())])
def test_shapes_must_agree(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    message = f"expected two arrays of one shape (steps, ...); got {a} and {b}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        measure(np.zeros(a), np.zeros(b))


@pytest.mark.parametrize("dtype", ["int64", ">f4", "complex64", "bool", "object"])
def test_dtypes_must_be_native_floats(dtype: str) -> None:
    words = "expected float16, bfloat16, float32, float64, in native byte order; got dtype"
    with pytest.raises(TypeError, match=words):
        measure(np.zeros((2, 2), dtype), np.zeros((2, 2)))


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("sabotage", [2.0**-7, NAN, INF])
def test_one_element_in_a_thousand_steps_is_found(name: str, sabotage: float) -> None:
    b = np.random.default_rng(3).uniform(1, 1.5, (1000, 4, 9)).astype(DTYPES[name])
    a = b.copy()
    a[617, 2, 5] += b.dtype.type(sabotage)
    m = measure(a, b)
    assert np.flatnonzero(m.unequal).tolist() == [617]
    assert (m.worst[617], m.unequal[617]) == (2 * 9 + 5, 1)
    np.testing.assert_equal((m.value[617], m.other[617]), (float(a[617, 2, 5]), float(b[617, 2, 5])))
    assert m.max_abs[617] == (2.0**-7 if math.isfinite(sabotage) else INF)


@pytest.mark.parametrize("step", [0, 1])
def test_one_element_of_a_large_tensor_is_found(step: int) -> None:
    size = measuring.BLOCK // 4 * 2 + 3  # three pieces
    b = np.ones((2, size), np.float32)
    for index in (0, size // 3, size // 3 + 1, size - 1):
        a = b.copy()
        a[step, index] = 2
        m = measure(a, b)
        assert (m.worst[step], m.max_abs.tolist(), m.unequal.sum()) == (index, [float(step == 0), float(step)], 1)
        assert m.rms[step] == pytest.approx(math.sqrt(1 / size), rel=1e-6)


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(measuring).failed == 0
