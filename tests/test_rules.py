"""Are the hand-written derivatives right? Against exact fractions, and against differences of the forward rules."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from backends.numpy_manual import NumpyBackend
from backends.numpy_manual.arithmetic import exp, make_arithmetic
from backends.numpy_manual.rules import LAYERS, LOSSES, LayerRule
from harness import load_scenario
from harness.inputs import make_inputs

X = np.array([[0.5, -1.25, 2.0], [-0.75, 0.25, 1.5]])
W = np.array([[0.3, -0.6, 0.2], [-0.4, 0.1, 0.7]])
PARAMETERS = {"linear": {"weight": W, "bias": np.array([0.2, -0.1])}, "scale": {"factor": 2.0}}
EXACT = [name for name, rule in LAYERS.items() if rule.exact]


def loss_of(rule: LayerRule, loss: str, p: dict, x: np.ndarray):
    a = rule.forward(p, x)
    y = np.linspace(-1, 1, a.size).reshape(a.shape)
    return a, y, LOSSES[loss].value(a, y if a.dtype != object else fractions(y))


def gradients(rule: LayerRule, loss: str, p: dict, x: np.ndarray) -> dict[str, np.ndarray]:
    a, y, _ = loss_of(rule, loss, p, x)
    d, grads = rule.backward(p, x, a, LOSSES[loss].gradient(a, y if a.dtype != object else fractions(y)))
    return {"x": d, **grads}


def fractions(values: np.ndarray) -> np.ndarray:
    return make_arithmetic("rational").array(values)


def central_differences(value: Callable[[np.ndarray], float], at: np.ndarray, h: float | Fraction) -> np.ndarray:
    """∂value/∂at, an element at a time; exact for a polynomial of degree two, which a loss of exact rules is."""
    result = np.empty(at.shape, at.dtype)
    for i in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[i] += h
        down[i] -= h
        result[i] = (value(up) - value(down)) / (2 * h)
    return result


def numerical(rule: LayerRule, loss: str, p: dict, x: np.ndarray, h: float | Fraction) -> dict[str, np.ndarray]:
    by_x = central_differences(lambda v: loss_of(rule, loss, p, v)[2], x, h)
    arrays = {name: value for name, value in p.items() if isinstance(value, np.ndarray)}
    return {"x": by_x} | {
        name: central_differences(lambda v, name=name: loss_of(rule, loss, p | {name: v}, x)[2], value, h)
        for name, value in arrays.items()
    }


@pytest.mark.parametrize(("layer", "loss"), list(product(LAYERS, LOSSES)))
def test_gradients_are_the_differences_of_the_forward_rule(layer: str, loss: str) -> None:
    p = PARAMETERS.get(layer, {})
    found, expected = gradients(LAYERS[layer], loss, p, X), numerical(LAYERS[layer], loss, p, X, 1e-5)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-8, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(("layer", "loss"), list(product(EXACT, LOSSES)))
def test_gradients_are_exact_in_fractions(layer: str, loss: str) -> None:
    p = {
        name: fractions(value) if isinstance(value, np.ndarray) else Fraction(value)
        for name, value in PARAMETERS.get(layer, {}).items()
    }
    x = fractions(X)
    found, expected = gradients(LAYERS[layer], loss, p, x), numerical(LAYERS[layer], loss, p, x, Fraction(1, 100))
    for name in expected:
        assert found[name].tolist() == expected[name].tolist(), name


def test_a_derivative_of_2_001_for_2_is_caught() -> None:
    good = LAYERS["scale"]
    bad = LayerRule(good.forward, lambda p, z, a, d: (2.001 * d, {}))
    found, expected = (f(bad, "mse", {"factor": 2.0}, X, *h) for f, h in ((gradients, ()), (numerical, (1e-5,))))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(found["x"], expected["x"], rtol=1e-8, atol=1e-9)


def test_a_broadcast_bias_gets_the_sum_over_the_samples() -> None:
    d = np.ones((2, 2))
    assert LAYERS["linear"].backward(PARAMETERS["linear"], X, d, d)[1]["bias"].tolist() == [2.0, 2.0]


@pytest.mark.parametrize(("z", "a"), [(1000.0, 1.0), (-1000.0, 0.0), (0.0, 0.5), (-40.0, 4.248354255291589e-18)])
def test_sigmoid_is_stable_at_its_ends(z: float, a: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        assert LAYERS["sigmoid"].forward({}, np.array([z]))[0] == pytest.approx(a, rel=1e-15)


def test_sigmoid_keeps_small_values_in_float16() -> None:
    assert LAYERS["sigmoid"].forward({}, np.array([-12.0], np.float16))[0] == np.float16(6.1442e-06)


def test_relu_has_derivative_zero_at_zero_and_lets_nan_through() -> None:
    z = np.array([-1.0, -0.0, 0.0, 2.0, np.nan])
    np.testing.assert_array_equal(LAYERS["relu"].forward({}, z), [0, 0, 0, 2, np.nan])
    np.testing.assert_array_equal(LAYERS["relu"].backward({}, z, z, np.full(5, 3.0))[0], [0, 0, 0, 3, 0])


def test_relu_stops_an_infinite_gradient_where_it_is_dead() -> None:
    assert LAYERS["relu"].backward({}, np.array([-1.0]), np.array([0.0]), np.array([np.inf]))[0].tolist() == [0.0]


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_rules_stay_in_their_arithmetic(name: str) -> None:
    x = make_arithmetic(name).array(X)
    for layer, rule in LAYERS.items():
        p = {key: make_arithmetic(name).array(np.asarray(value)) for key, value in PARAMETERS.get(layer, {}).items()}
        a = rule.forward(p, x)
        d, grads = rule.backward(p, x, a, LOSSES["mse"].gradient(a, a * a))
        assert {a.dtype, d.dtype, *(g.dtype for g in grads.values())} == {np.dtype(name)}, layer


def test_fifty_digits_are_more_than_sixteen() -> None:
    one = make_arithmetic("mp50").array(np.array([1.0]))
    assert str(exp(one)[0])[:40] == "2.71828182845904523536028747135266249775"[:40]


def test_fractions_have_no_exponential() -> None:
    with pytest.raises(TypeError):
        exp(fractions(X))


def test_an_unknown_arithmetic_is_refused_with_the_list() -> None:
    with pytest.raises(ValueError, match=r"arithmetic: expected one of float16, .*rational; got 'float8'"):
        NumpyBackend("float8")


@pytest.mark.parametrize("arithmetic", ["rational", "mp50", "float64"])
def test_the_worked_step_gives_the_exact_numbers(arithmetic: str) -> None:
    scenario = load_scenario("article/worked_backprop").model_copy(update={"dtype": "float64"})
    inputs = make_inputs(scenario)
    seen = NumpyBackend(arithmetic).session(scenario, inputs).step(inputs.x, inputs.y)
    exact = arithmetic == "rational"
    for name, values in {
        "forward/hidden_act": [[16, 26, 10, 18]],
        "forward/output": [[70, 34]],
        "backward/output": [[68, 31]],
        "backward/hidden_act": [[99, 68, 68, 99]],
        "grad/output.weight": [[1088, 1768, 680, 1224], [496, 806, 310, 558]],
        "grad/hidden.weight": [[396, 594], [272, 408], [272, 408], [396, 594]],
        "weight/output.weight": [[-9.88, -16.68, -5.8, -11.24], [-3.96, -8.06, -3.1, -4.58]],
        "weight/hidden.weight": [[-2.96, -3.94], [-0.72, -1.08], [-1.72, -3.08], [-0.96, -4.94]],
    }.items():
        if exact:
            assert seen[name].tolist() == values, name
        else:
            np.testing.assert_allclose(seen[name], values, rtol=1e-14, err_msg=name)
