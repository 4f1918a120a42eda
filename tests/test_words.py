"""Does every numeric word do in every arithmetic what it says, and is anything else refused?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from isograd.arithmetic import make_arithmetic, words
from isograd.arithmetic.noisy import noisy
from isograd.arithmetic.numbers import Numbers
from isograd.arithmetic.sizes import ACCURACY

RNG = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    """Between 0.2 and 0.9, as every dtype holds them."""
    return RNG.integers(26, 115, shape) / 128


X, Y, IMAGE, LABELS = numbers(4, 3), numbers(4, 3), numbers(2, 5, 6), np.array([2, 0, 1, 1])

LIST: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    **{name: (lambda x, y, z, i, word=word: word(x)) for name, word in words.WORDS.items()},
    "sign": lambda x, y, z, i: words.sign(x - y),
    "maximum": lambda x, y, z, i: words.maximum(x, y),
    "minimum": lambda x, y, z, i: words.minimum(x, 0.5),
    "where": lambda x, y, z, i: words.where(x > y, x, y),
    "sum": lambda x, y, z, i: words.sum(x, 0),
    "sum of all": lambda x, y, z, i: words.sum(x),
    "max": lambda x, y, z, i: words.max(x, 1, keepdims=True),
    "take_at": lambda x, y, z, i: words.take_at(x, i, 1),
    "put_at": lambda x, y, z, i: words.put_at(words.sum(x, 1), i, 1, 3),
    "take": lambda x, y, z, i: words.take(x, i),
    "scatter_add": lambda x, y, z, i: words.scatter_add(x, i, 3),
    "one_hot": lambda x, y, z, i: words.one_hot(i, 3, x),
    "reshape": lambda x, y, z, i: words.reshape(x, (2, 6)),
    "transpose": lambda x, y, z, i: words.transpose(z, (0, 2, 1)),
    "expand": lambda x, y, z, i: words.expand(words.max(x, 0), (4, 3)),
    "pad": lambda x, y, z, i: words.pad(x, [(1, 0), (0, 2)]),
    "windows": lambda x, y, z, i: words.windows(z, (2, 3), (2, 1), (1, 2)),
    "fold": lambda x, y, z, i: words.fold(words.windows(z, (2, 3), (2, 1), (1, 2)), (5, 6), (2, 1), (1, 2)),
    "concat": lambda x, y, z, i: words.concat([x, y], 0),
    "product": lambda x, y, z, i: x @ y.mT,
    "quotient": lambda x, y, z, i: (1 - x) / (2 * y),
}


def told(value: Any) -> np.ndarray:
    return value.a.plain(value) if isinstance(value, Numbers) else np.asarray(value)


def given(arithmetic: Any) -> list[Any]:
    return [arithmetic.array(values) for values in (X, Y, IMAGE, LABELS)]


@pytest.mark.parametrize("name", LIST)
def test_fifty_digits_are_float64s_and_more(name: str) -> None:
    plain, digits = (LIST[name](*given(make_arithmetic(a, "float64"))) for a in ("float64", "mp50"))
    assert told(plain).shape == digits.shape
    np.testing.assert_allclose(told(digits), told(plain), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", [name for name in LIST if name not in words.WORDS])
def test_fractions_are_float64s(name: str) -> None:
    plain, exact = (LIST[name](*given(make_arithmetic(a, "float64"))) for a in ("float64", "exact"))
    np.testing.assert_allclose(told(exact), told(plain), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", LIST)
def test_runs_and_steps_are_hidden_and_rounding_is_covered(name: str, dtype: str) -> None:
    """What the dtype itself gives is within six times what noisy runs stray, or a unit in the last place."""
    arithmetic = noisy(dtype, 16, 6.0, 0)
    steps = [arithmetic.array(np.stack([values] * 2), steps=True) for values in (X, Y, IMAGE, LABELS)]
    runs, own = LIST[name](*steps), told(LIST[name](*given(make_arithmetic(dtype, dtype))))
    right = told(LIST[name](*given(make_arithmetic("float64", "float64"))))
    assert runs.shape == own.shape
    seen = told(runs)
    assert seen.shape[1:] == (2, *own.shape)
    np.testing.assert_array_equal(seen[0, 0], seen[0, 1])
    rounded = {"float32": 2.0**-24, "bfloat16": 2.0**-8}[dtype]
    spread = np.abs(seen[1:] - seen[:1]).max(axis=(0, 1), initial=0.0) + 4 * rounded * np.abs(right) + 1e-30
    assert (np.abs(own.astype(np.float64) - right) <= 6 * spread).all()


def test_every_function_has_an_accuracy_of_its_own() -> None:
    assert {word.ufunc for word in words.WORDS.values()} == set(ACCURACY)


OUTSIDE: dict[str, Callable[[Any], Any]] = {
    "np.sum": np.sum,
    "np.cumsum": np.cumsum,
    "np.einsum": lambda x: np.einsum("ij->i", x),
    "np.concatenate": lambda x: np.concatenate([x, x]),
    "np.sin": np.sin,
    "np.add.reduce": np.add.reduce,
    "np.asarray": np.asarray,
    ".mean": lambda x: x.mean(),
    ".sum": lambda x: x.sum(),
    "an index that is an array": lambda x: x[np.array([0])],
    "a foreign array": lambda x: x + np.ones(3),
    "a foreign array first": lambda x: np.ones(3) * x,
    "a condition": lambda x: 1 if x > 0 else 0,
    "iteration": lambda x: [*x],
}


@pytest.mark.parametrize("arithmetic", ["noisy", "bfloat16", "mp50", "exact"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_not_listed_is_refused(name: str, arithmetic: str) -> None:
    made = noisy("float32", 4, 6.0, 0) if arithmetic == "noisy" else make_arithmetic(arithmetic, "float32")
    with pytest.raises(TypeError, match=None if name == "iteration" else "isograd.arithmetic.words"):
        OUTSIDE[name](made.array(X))


def test_a_choice_is_made_once() -> None:
    """Of ties and of what rounding can decide, in 200 tries: one winner in every run, and it is the largest's place."""
    for seed in range(200):
        arithmetic = noisy("float32", 8, 6.0, seed)
        x = arithmetic.array(np.full((1, 5), 1.0)) * arithmetic.array(np.full((1, 5), 1 / 3))
        hot = told(words.one_hot(words.pick(x, 1), 5, x))
        assert (hot.sum(axis=-1) == 1).all()


def test_what_is_asked_twice_is_answered_alike() -> None:
    for seed in range(200):
        arithmetic = noisy("float32", 8, 6.0, seed)
        a = arithmetic.array(np.array([[1.0, 1 - 2.0**-24]]))
        z = a @ arithmetic.array(np.array([[1.0] * 20, [-1.0] * 20]))
        above, below, on, sign = (told(v) for v in (z > 0, z < 0, z == 0, words.sign(z)))
        assert (above.astype(int) + below + on == 1).all()
        np.testing.assert_array_equal(sign, above.astype(float) - below)
        np.testing.assert_array_equal(told(z >= 0), ~below)
        np.testing.assert_array_equal(told(z > 0), above)
