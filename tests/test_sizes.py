"""Is the size of a rounding error what real sums come to, and no more where terms are not alike?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from isograd.arithmetic import sizes
from isograd.arithmetic.sizes import LONG, drift, of_product, of_result, of_sum
from isograd.calibration.tables import COLUMNS
from isograd.dtypes import FORMATS
from isograd.inputs import Array

WIDE = ["float32", "float64"]
LENGTHS = [40, 300, 5000]
RNG = np.random.default_rng(0)


def one_by_one(terms: Array) -> float:
    """The furthest that a running total is off, term by term."""
    total, exact, worst = terms.dtype.type(0), np.longdouble(0), 0.0
    for term in terms:
        total, exact = total + term, exact + np.longdouble(term)
        worst = max(worst, float(abs(total - exact)))
    return worst


def columns(kind: str, n: int, dtype: str, width: int = 3) -> Array:
    return np.column_stack([COLUMNS[kind](RNG, n) * RNG.uniform(0.1, 1) for _ in range(width)]).astype(dtype)


@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("kind", COLUMNS)
def test_a_drift_is_how_far_running_totals_are_off(kind: str, dtype: str) -> None:
    x = columns(kind, 500, dtype)
    expected = [one_by_one(column) for column in x.T]
    unit = FORMATS[dtype].roundoff * np.abs(x.astype(float)).sum(axis=0)
    np.testing.assert_allclose(drift(x.T.copy()), expected, atol=float(unit.max()) * 0.1)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dtype", WIDE)
@pytest.mark.parametrize("kind", COLUMNS)
def test_real_sums_are_within_their_size(kind: str, dtype: str, n: int) -> None:
    """Of rows, of all elements, and of products; and no size is more than n u Σ|terms|, beside the root."""
    form = FORMATS[dtype]
    x, d = columns(kind, n, dtype), columns("constant", n, dtype, 2) / dtype_of(dtype)(n)
    wide, gradient = x.astype(np.longdouble), d.astype(np.longdouble)
    ours = x.astype(np.float64)[np.newaxis], d.astype(np.float64)[np.newaxis]
    cases: list[tuple[Array, Any, Array, Any]] = [
        (x.sum(axis=0), wide.sum(axis=0), of_sum(ours[0], {"axis": -2}, form)[0], np.abs(wide).sum(axis=0)),
        (np.cumsum(x, axis=0)[-1], wide.sum(axis=0), of_sum(ours[0], {"axis": -2}, form)[0], np.abs(wide).sum(axis=0)),
        (x.sum(), wide.sum(), of_sum(ours[0], {"axis": (-2, -1)}, form)[0], np.abs(wide).sum()),
        (d.T @ x, gradient.T @ wide, of_product(ours[1].mT, ours[0], form.roundoff, form)[0], gradient.T @ abs(wide)),
    ]
    for came, exact, size, absolute in cases:
        assert (np.abs(came - exact) <= 1.001 * size).all()
        assert (size <= (n / 2 + np.sqrt(3 * n)) * form.roundoff * absolute * 1.001).all()


def dtype_of(name: str) -> Any:
    return np.dtype(name).type


@pytest.mark.parametrize("kind", ["constant", "flag", "price", "count"])
def test_like_terms_have_a_size_that_grows_with_their_number(kind: str) -> None:
    n = 10_000
    x = columns(kind, n, "float32", 8)
    size = of_sum(x.astype(float)[np.newaxis], {"axis": -2}, FORMATS["float32"])[0]
    assert (size / (FORMATS["float32"].roundoff * np.abs(x.astype(float)).sum(axis=0))).max() > 3 * np.sqrt(n)


def test_normal_terms_have_the_root_of_their_number() -> None:
    n = 10_000
    x = columns("normal", n, "float32")
    size = of_sum(x.astype(float)[np.newaxis], {"axis": -2}, FORMATS["float32"])[0]
    expected = FORMATS["float32"].roundoff * np.sqrt(n) * np.abs(x.astype(float)).sum(axis=0)
    np.testing.assert_allclose(size, expected, rtol=0.1)


@pytest.mark.parametrize("dtype", FORMATS)
def test_short_sums_are_the_root_of_their_terms_and_long_ones_of_16_bits_too(dtype: str) -> None:
    form = FORMATS[dtype]
    for n in (LONG, 1000 if form.dtype.itemsize == 2 else LONG):
        a, b = np.full((1, 2, n), 0.1), np.full((1, n, 3), 0.7)
        np.testing.assert_allclose(of_product(a, b, form.roundoff, form), form.roundoff * np.sqrt(n) * (a @ b))
        np.testing.assert_allclose(of_sum(b, {"axis": -2}, form), form.roundoff * np.sqrt(n) * b.sum(axis=-2))


def mixed(n: int, kinds: Sequence[str]) -> np.ndarray:
    """A column of each kind, (1, n, columns)."""
    return np.concatenate([columns(kind, n, "float32", 1).astype(float) for kind in kinds], axis=1)[np.newaxis]


@pytest.mark.parametrize("place", [0, 1, 7, 11])
@pytest.mark.parametrize("kind", ["constant", "price"])
def test_of_a_large_product_a_column_that_drifts_is_told_wherever_it_is(
    kind: str, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the others, which do not, are not allowed more for it."""
    kinds = ["normal"] * 12
    kinds[place] = kind
    form, x, d = FORMATS["float32"], mixed(3000, kinds), RNG.standard_normal((1, 3, 3000))
    d[0, 1] = 0.1
    whole = of_product(d, x, form.roundoff, form)
    monkeypatch.setattr(sizes, "TRIED", 1000)
    some = of_product(d, x, form.roundoff, form)
    assert some[0, 1, place] == pytest.approx(whole[0, 1, place], rel=0.01)
    np.testing.assert_allclose(some, whole, rtol=0.5)


def test_of_a_large_product_a_row_of_one_sign_is_told_and_no_other_pays_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    form, x = FORMATS["float32"], mixed(3000, ["constant", "normal", "price", "normal"])
    d = RNG.standard_normal((1, 5, 3000))
    d[0, 3] = 0.25
    whole = of_product(d, x, form.roundoff, form)
    monkeypatch.setattr(sizes, "TRIED", 10**5)
    some = of_product(d, x, form.roundoff, form)
    np.testing.assert_allclose(some[0, 3], whole[0, 3], rtol=0.3)
    np.testing.assert_allclose(some, whole, rtol=0.5)


@np.errstate(over="ignore", invalid="ignore")
def test_many_sums_drift_as_far_side_by_side_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    form, a, b = FORMATS["float32"], RNG.random((1, 6, 5, 400)), RNG.random((1, 1, 400, 70))
    a[0, 3] *= 1e38  # and what overflows has none
    side_by_side = of_product(a, b, form.roundoff, form)
    monkeypatch.setattr(sizes, "MANY", 6 * 5 * 70 + 1)
    np.testing.assert_array_equal(side_by_side, of_product(a, b, form.roundoff, form))


def test_steps_that_run_together_change_no_size() -> None:
    form, a, b = FORMATS["float32"], RNG.random((1, 6, 30, 400)), RNG.random((1, 6, 400, 50))
    together = of_product(a, b, form.roundoff, form)
    for step in range(6):
        np.testing.assert_array_equal(together[:, step], of_product(a[:, step], b[:, step], form.roundoff, form))


def test_an_infinity_takes_nobodys_size_away(monkeypatch: pytest.MonkeyPatch) -> None:
    form, a, b = FORMATS["float32"], RNG.random((1, 4, 400)), RNG.random((1, 400, 5))
    right = of_product(a, b, form.roundoff, form)
    a[0, 2, 7] = np.inf
    for tried in (10**9, 1):
        monkeypatch.setattr(sizes, "TRIED", tried)
        with np.errstate(invalid="ignore"):
            found = of_product(a, b, form.roundoff, form)[0]
        assert (found[[0, 1, 3]] > 0.3 * right[0, [0, 1, 3]]).all()


def test_what_is_told_by_blocks_is_told_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    form = FORMATS["float32"]
    a, b = RNG.random((2, 7, 100)), RNG.random((2, 100, 5))
    whole = of_product(a[:1], b[:1], form.roundoff, form)
    monkeypatch.setattr(sizes, "BLOCK", 1)
    np.testing.assert_array_equal(of_product(a[:1], b[:1], form.roundoff, form), whole)


@pytest.mark.parametrize("keepdims", [False, True])
def test_a_sum_over_rows_has_its_shape(keepdims: bool) -> None:
    terms = RNG.random((4, 2, 100, 3))
    size = of_sum(terms, {"axis": -2, "keepdims": keepdims}, FORMATS["float32"])
    assert size.shape == terms.sum(axis=-2, keepdims=keepdims).shape


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("ufunc", "flushes"), [(np.exp, True), (np.tanh, True), (np.multiply, False)])
def test_a_function_below_the_smallest_normal_number_may_be_zero(ufunc: np.ufunc, flushes: bool, dtype: str) -> None:
    form = FORMATS[dtype]
    values = np.array([form.normal / 2, form.normal * 2])
    size = of_result(ufunc, values, form)
    assert (size[0] == values[0]) == flushes
    assert size[1] < values[1] / 2 or form.roundoff > 2**-9


SABOTEURS: dict[str, Callable[..., Any]] = {
    "the root alone": lambda terms: np.zeros(terms.shape[:-1]),
    "the last total": lambda terms: np.abs(np.cumsum(terms, -1)[..., -1] - terms.astype(np.longdouble).sum(-1)) / 9,
}


@pytest.mark.parametrize("name", SABOTEURS)
def test_a_size_that_is_too_small_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "drift", SABOTEURS[name])
    with pytest.raises(AssertionError):
        test_real_sums_are_within_their_size("constant", "float32", 5000)
