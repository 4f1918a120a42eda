"""Are the hand-written derivatives right? Against exact fractions, and against differences of the forward rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

from isograd import Scenario, load_scenario
from isograd.arithmetic import ARITHMETICS as NAMES
from isograd.arithmetic import make_arithmetic
from isograd.arithmetic.noisy import noisy
from isograd.arithmetic.numbers import Arithmetic, Numbers
from isograd.arithmetic.words import exp, sum
from isograd.backends.numpy_manual import NumpyBackend
from isograd.changes.instead import instead
from isograd.inputs import Batch, make_inputs
from isograd.loading import parse_scenario
from isograd.ops import LAYERS as CLASSES
from isograd.ops import LOSSES as OF_LOSSES
from isograd.ops import OPTIMIZERS
from isograd.ops.op import Back, Out
from isograd.recorder import record_here
from isograd.rules import Rules

FLOATS = {"float16": "float32", "bfloat16": "float32", "tf32": "float32", "float32": "float32", "float64": "float64"}
NATIVE = ["float32", "float64"]  # the others round what NumPy has computed in float32
FRACTIONS = ["rational", "exact"]
ARITHMETICS = [*FLOATS, "extended", "mp50", *FRACTIONS]

X = np.array([[0.5, -1.25, 2.0], [-0.75, 0.25, 1.5]])
W = np.array([[0.3, -0.6, 0.2], [-0.4, 0.1, 0.7]])
PARAMETERS = {"linear": {"weight": W, "bias": np.array([0.2, -0.1])}}
SETTINGS = {"linear": {"weight": W.tolist(), "bias": [0.2, -0.1]}, "scale": {"factor": 2.0}}
LAYERS = {
    kind: CLASSES[kind](kind=kind, name="tried", **SETTINGS.get(kind, {}))
    for kind in ("linear", "sigmoid", "relu", "tanh", "scale")
}
PLAIN = {"half_squared_error", "mse", "l1", "smooth_l1", "huber"}
LOSSES = {kind: op(kind=kind) for kind, op in OF_LOSSES.items() if kind in PLAIN}
EXACT = [name for name, rule in LAYERS.items() if rule.exact]

Checked = dict[str, np.ndarray]


def made(arithmetic: str) -> Arithmetic:
    """An arithmetic of a scenario in float64, so that its constants are those that are written."""
    return make_arithmetic(arithmetic, "float64")


def in_(arithmetic: str, values: Any) -> Any:
    """Numbers in an arithmetic, as a training holds them."""
    return made(arithmetic).array(np.asarray(values))


def plain(value: Any) -> np.ndarray:
    """What an array holds."""
    return value.v if isinstance(value, Numbers) else np.asarray(value)


class Model:
    """A layer under a loss: L(x, W, b), which can be asked for its value and for its gradients by the rules."""

    def __init__(self, layer: Any, loss: Any, parameters: dict[str, Any], arithmetic: str = "float64"):
        self.layer, self.loss, self.arithmetic = layer, loss, made(arithmetic)
        self.p = {name: plain(in_(arithmetic, value)) for name, value in parameters.items()}
        self.x = plain(in_(arithmetic, X))
        shape = self.forward(self.p, self.x).a.shape
        self.y = plain(in_(arithmetic, np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)))

    def held(self, values: np.ndarray) -> Any:
        return self.arithmetic.held(values)

    def forward(self, p: dict[str, Any], x: np.ndarray) -> Out:
        return self.layer.forward({name: self.held(v) for name, v in p.items()}, self.held(x))

    def value(self, p: dict[str, Any], x: np.ndarray) -> Any:
        return plain(self.loss.value(self.forward(p, x).a, self.held(self.y)))[()]

    def gradients(self) -> Checked:
        out = self.forward(self.p, self.x)
        p = {name: self.held(v) for name, v in self.p.items()}
        back = self.layer.backward(p, out, self.loss.gradient(out.a, self.held(self.y)), self.held(self.x))
        return {"x": plain(back.inputs[0]), **{name: plain(g) for name, g in back.params.items()}}

    def differences(self, h: Any) -> Checked:
        """The same by differences of the value, an element at a time."""
        by_p = {
            name: central_differences(lambda v, name=name: self.value(self.p | {name: v}, self.x), value, h)
            for name, value in self.p.items()
        }
        return {"x": central_differences(lambda v: self.value(self.p, v), self.x, h), **by_p}


def central_differences(value: Callable[[np.ndarray], Any], at: np.ndarray, h: Any) -> np.ndarray:
    """∂value/∂at, an element at a time; exact for a polynomial of degree two, which a loss of exact rules is."""
    result = np.empty(at.shape, at.dtype)
    for i in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[i] += h
        down[i] -= h
        result[i] = (value(up) - value(down)) / (2 * h)
    return result


def assert_close(found: Checked, expected: Checked) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-8, atol=1e-9, err_msg=name)


def model_of(layer: str, loss: str, arithmetic: str = "float64") -> Model:
    return Model(LAYERS[layer], LOSSES[loss], PARAMETERS.get(layer, {}), arithmetic)


def forward(layer: str, z: Any) -> Any:
    return LAYERS[layer].forward({}, z).a


def backward(layer: str, z: Any, a: Any, d: Any) -> Any:
    return LAYERS[layer].backward({}, Out(a), d, z).inputs[0]


# ---------------------------------------------------------------- every rule


@pytest.mark.parametrize(("layer", "loss"), list(product(LAYERS, LOSSES)))
def test_gradients_are_the_differences_of_the_forward_rule(layer: str, loss: str) -> None:
    model = model_of(layer, loss)
    assert_close(model.gradients(), model.differences(1e-5))


@pytest.mark.parametrize(("layer", "loss"), list(product(LAYERS, LOSSES)))
def test_gradients_are_right_to_25_digits(layer: str, loss: str) -> None:
    model = model_of(layer, loss, "mp50")
    found, expected = (
        model.gradients(),
        model.differences(plain(in_("mp50", np.array([1e-15])))[0]),
    )  # h² is the differences' own error
    for name in expected:
        assert abs(found[name] - expected[name]).max() < 1e-25, name


@pytest.mark.parametrize("arithmetic", FRACTIONS)
@pytest.mark.parametrize(("layer", "loss"), list(product(EXACT, LOSSES)))
def test_gradients_are_exact_in_fractions(layer: str, loss: str, arithmetic: str) -> None:
    model = model_of(layer, loss, arithmetic)
    found, expected = model.gradients(), model.differences(Fraction(1, 100))
    for name in expected:
        assert found[name].tolist() == expected[name].tolist(), name


# A row a slip of the pen: which layer (or none) and which loss, with its derivative replaced.
SLIPS = {
    "2.001 for 2": ("scale", lambda p, out, d, z: Back(2.001 * d)),
    "no derivative at all": ("scale", lambda p, out, d, z: Back(d)),
    "a for a (1 − a)": ("sigmoid", lambda p, out, d, z: Back(d * out.a)),
    "of z for of a": ("sigmoid", lambda p, out, d, z: Back(d * z * (1 - z))),
    "1 below 0 too": ("relu", lambda p, out, d, z: Back(d)),
    "Wᵀ for W": ("linear", lambda p, out, d, x: Back(d @ p["weight"][::-1], weight=d.T @ x, bias=d.sum(axis=0))),
    "mean for sum": ("linear", lambda p, out, d, x: Back(d @ p["weight"], weight=d.T @ x, bias=d.mean(axis=0))),
    "x of another row": (
        "linear",
        lambda p, out, d, x: Back(d @ p["weight"], weight=d.T @ x[::-1], bias=d.sum(axis=0)),
    ),
    "no gradient for the bias": ("linear", lambda p, out, d, x: Back(d @ p["weight"], weight=d.T @ x)),
}
LOSS_SLIPS = {
    "a 2 forgotten": ("mse", lambda yhat, y: (yhat - y) / y.size),
    "batch for batch × outputs": ("mse", lambda yhat, y: 2 * (yhat - y) / len(y)),
    "the other sign": ("mse", lambda yhat, y: 2 * (y - yhat) / y.size),
    "a ½ that is gone already": ("half_squared_error", lambda yhat, y: (yhat - y) / (2 * len(y))),
    "sum for mean": ("half_squared_error", lambda yhat, y: yhat - y),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("layer", "backward"), SLIPS.values(), ids=SLIPS)
def test_a_slip_in_a_layer_is_caught(layer: str, backward: Callable[..., Any], loss: str) -> None:
    model = model_of(layer, loss)
    model.layer = instead(model.layer, backward=backward)
    with pytest.raises(AssertionError):
        assert_close(model.gradients(), model.differences(1e-5))


@pytest.mark.parametrize(("loss", "gradient"), LOSS_SLIPS.values(), ids=LOSS_SLIPS)
def test_a_slip_in_a_loss_is_caught(loss: str, gradient: Callable[..., Any]) -> None:
    model = model_of("linear", loss)
    model.loss = instead(model.loss, gradient=gradient)
    with pytest.raises(AssertionError):
        assert_close(model.gradients(), model.differences(1e-5))


@pytest.mark.parametrize(("layer", "loss"), list(product(EXACT, LOSSES)))
def test_a_batchs_gradient_is_the_mean_of_its_samples_gradients(layer: str, loss: str) -> None:
    whole = model_of(layer, loss, "rational")
    rows = [model_of(layer, loss, "rational") for _ in X]
    for i, row in enumerate(rows):
        row.x, row.y = row.x[i : i + 1], row.y[i : i + 1]
    samples = [row.gradients() for row in rows]
    for name, found in whole.gradients().items():
        if name != "x":
            assert found.tolist() == (np.sum([sample[name] for sample in samples], axis=0) / len(samples)).tolist(), (
                name
            )


def test_a_broadcast_bias_gets_the_sum_over_the_samples() -> None:
    d = np.ones((2, 2))
    assert LAYERS["linear"].backward(PARAMETERS["linear"], Out(d), d, X).params["bias"].tolist() == [2.0, 2.0]


def test_a_layer_without_a_bias_has_no_gradient_for_one() -> None:
    d = np.ones((2, 2))
    assert LAYERS["linear"].backward({"weight": W}, Out(d), d, X).params.keys() == {"weight"}


def test_descent_goes_down_the_gradient_and_leaves_the_old_weight_alone() -> None:
    w = np.array([1.0, 2.0])
    assert OPTIMIZERS["sgd"](kind="sgd", lr=0.25).update(w, np.array([4.0, -8.0]), {}, 0.25, 1)[0].tolist() == [
        0.0,
        4.0,
    ]
    assert w.tolist() == [1.0, 2.0]


# ---------------------------------------------------------------- the ends of the range


@pytest.mark.parametrize(("z", "a"), [(1000.0, 1.0), (-1000.0, 0.0), (0.0, 0.5), (-40.0, 4.248354255291589e-18)])
def test_sigmoid_is_stable_at_its_ends(z: float, a: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        assert forward("sigmoid", np.array([z]))[0] == pytest.approx(a, rel=1e-15)


@pytest.mark.parametrize("arithmetic", FLOATS)
@pytest.mark.parametrize(("z", "a"), [(1000.0, 1.0), (-1000.0, 0.0), (np.inf, 1.0), (-np.inf, 0.0)])
def test_sigmoid_is_stable_in_every_float(arithmetic: str, z: float, a: float) -> None:
    with np.errstate(all="raise", under="ignore"):
        assert plain(forward("sigmoid", in_(arithmetic, [z]))).tolist() == [a]


@pytest.mark.parametrize("z", [1000.0, -1000.0])
def test_a_saturated_sigmoid_has_derivative_zero(z: float) -> None:
    at = np.array([z])
    assert backward("sigmoid", at, forward("sigmoid", at), np.ones(1)).tolist() == [0.0]


def test_sigmoid_is_not_quite_0_in_fifty_digits() -> None:
    a = plain(forward("sigmoid", in_("mp50", [-1000.0])))[0]
    assert str(a)[:20] == "5.075958897549456765"  # e^−1000 = 5.07…e−435, far below the smallest float64
    assert str(a).endswith("e-435")


def test_sigmoid_keeps_small_values_in_float16() -> None:
    assert forward("sigmoid", np.array([-12.0], np.float16))[0] == np.float16(6.1442e-06)


def test_relu_has_derivative_zero_at_zero_and_lets_nan_through() -> None:
    z = np.array([-1.0, -0.0, 0.0, 2.0, np.nan])
    np.testing.assert_array_equal(forward("relu", z), [0, 0, 0, 2, np.nan])
    np.testing.assert_array_equal(backward("relu", z, z, np.full(5, 3.0)), [0, 0, 0, 3, 3])


@pytest.mark.parametrize("layer", ["relu", "sigmoid", "tanh", "scale"])
@pytest.mark.parametrize("arithmetic", [*FLOATS, "mp50"])
def test_nan_goes_through_in_every_arithmetic(layer: str, arithmetic: str) -> None:
    assert np.isnan(float(plain(forward(layer, in_(arithmetic, [np.nan])))[0]))


@pytest.mark.parametrize("arithmetic", [*FLOATS, "mp50"])
def test_where_relu_gives_nan_its_gradient_goes_through_in_every_arithmetic(arithmetic: str) -> None:
    z, d = in_(arithmetic, [np.nan, -1.0, 0.0, np.inf]), in_(arithmetic, np.full(4, 3.0))
    assert [float(g) for g in plain(backward("relu", z, z, d))] == [3, 0, 0, 3]


def test_where_relu_gives_nan_its_gradient_goes_through_in_noisy_runs() -> None:
    arithmetic = noisy("float32", 2, 6.0, 0)
    z, d = arithmetic.array(np.array([np.nan, -1.0])), arithmetic.array(np.full(2, 3.0))
    assert (plain(backward("relu", z * 1, z, d)) == [3, 0]).all()


def test_relu_stops_an_infinite_gradient_where_it_is_dead() -> None:
    assert backward("relu", np.array([-1.0]), np.array([0.0]), np.array([np.inf])).tolist() == [0.0]


# ---------------------------------------------------------------- arithmetic


@pytest.mark.parametrize(("name", "held"), FLOATS.items())
def test_rules_stay_in_their_arithmetic(name: str, held: str) -> None:
    x = in_(name, X)
    for layer, rule in LAYERS.items():
        p = {key: in_(name, value) for key, value in PARAMETERS.get(layer, {}).items()}
        out = rule.forward(p, x)
        for loss in LOSSES.values():
            back = rule.backward(p, out, loss.gradient(out.a, out.a * out.a), x)
            found = [out.a, *back.inputs, *back.params.values()]
            value = loss.value(out.a, out.a * out.a)
            assert {plain(v).dtype for v in [*found, value]} == {np.dtype(held)}, layer
            assert {type(v) for v in found} == {type(x)}, layer


@pytest.mark.parametrize("name", ARITHMETICS)
def test_an_arithmetic_takes_in_what_a_double_holds(name: str) -> None:
    values = np.array([[0.5, -2.0], [0.0, 1024.0]])
    assert plain(in_(name, values)).tolist() == values.tolist()


@pytest.mark.parametrize("name", NATIVE)
def test_numbers_that_are_in_their_arithmetic_already_are_not_copied(name: str) -> None:
    values = X.astype(name)
    assert np.shares_memory(make_arithmetic(name, name).array(values), values)


def test_fifty_digits_are_more_than_sixteen() -> None:
    assert str(plain(exp(in_("mp50", [1.0])))[0])[:40] == "2.71828182845904523536028747135266249775"[:40]


def test_a_double_in_fifty_digits_is_that_double() -> None:
    assert float(made("mp50").constant(0.1) * 10 - 1) == 5.551115123125783e-17


def test_a_fraction_is_the_decimal_that_a_person_wrote() -> None:
    assert made("rational").constant(0.1) == Fraction(1, 10)


def test_an_exact_number_is_the_double_itself() -> None:
    assert made("exact").constant(0.1) == Fraction(0.1) != Fraction(1, 10)


@pytest.mark.parametrize("arithmetic", FRACTIONS)
def test_fractions_have_no_exponential(arithmetic: str) -> None:
    with pytest.raises(TypeError):
        exp(in_(arithmetic, X))


def bfloat16(*values: float) -> Any:
    return in_("bfloat16", np.array(values))


@pytest.mark.parametrize(
    ("computed", "rounded"),
    [
        (lambda: bfloat16(1 + 2.0**-9, 1 + 2.0**-7), [1, 1 + 2.0**-7]),
        (lambda: bfloat16(1) + bfloat16(2.0**-9), [1]),
        (lambda: bfloat16(1 + 2.0**-7) * bfloat16(1 + 2.0**-7), [1 + 2.0**-6]),
        (lambda: 3 / bfloat16(7), [0.427734375]),
        (lambda: exp(bfloat16(1)), [2.71875]),
        (
            lambda: sum(bfloat16(1, 2.0**-9, 2.0**-9, 2.0**-8), 0, keepdims=True),
            [1 + 2.0**-7],
        ),  # a sum is rounded once, at its end
        (lambda: (bfloat16(1, 2.0**-9, 2.0**-9, 2.0**-8)[None] @ bfloat16(1, 1, 1, 1)[:, None])[0], [1 + 2.0**-7]),
    ],
    ids=["taken in", "sum", "product", "quotient", "function", "all", "matmul"],
)
def test_every_operation_in_bfloat16_is_rounded_to_8_digits(computed: Callable[[], Any], rounded: list[float]) -> None:
    assert plain(computed()).tolist() == rounded


def test_tf32_rounds_what_is_multiplied_as_matrices_to_11_digits() -> None:
    w = in_("tf32", np.array([[1 + 2.0**-10 + 2.0**-12]]))
    one = in_("tf32", np.array([[1.0]]))
    assert plain(w @ one).tolist() == plain(one @ w).tolist() == [[1 + 2.0**-10]]


def test_tf32_leaves_all_else_in_float32() -> None:
    w = in_("tf32", np.array([1 + 2.0**-12]))
    assert plain(w * w).tolist() == (np.array([1 + 2.0**-12], np.float32) ** 2).tolist()


@pytest.mark.parametrize("name", ["float8", "", "FLOAT64", "mp51"])
def test_an_unknown_arithmetic_is_refused_with_the_list(name: str) -> None:
    names = ", ".join(NAMES)
    with pytest.raises(ValueError, match=f"arithmetic: expected one of {names}; got {name!r}"):
        make_arithmetic(name, "float32")


def test_a_backend_says_which_arithmetic_it_runs_in() -> None:
    assert NumpyBackend("mp50").environment()["arithmetic"] == "mp50"
    assert "arithmetic" not in NumpyBackend().environment()


@pytest.mark.parametrize("arithmetic", ["", *ARITHMETICS])
def test_only_fractions_cannot_run_a_sigmoid(arithmetic: str) -> None:
    missing = NumpyBackend(arithmetic).missing(load_scenario("article/worked_forward"))
    assert missing == (["sigmoid in fractions"] if arithmetic in FRACTIONS else [])


def test_every_arithmetic_is_one() -> None:
    assert all(isinstance(made(name), Arithmetic) for name in ARITHMETICS)


# ---------------------------------------------------------------- whole steps

DYADIC: dict[str, Any] = {
    "name": "dyadic",
    "title": "Two steps in which nothing is rounded: all numbers are small multiples of powers of two",
    "dtype": "float64",
    "epochs": 2,
    "batch_size": 2,
    "data": {"kind": "inline", "x": [[2, 3], [-1, 2]], "y": [[2, 3], [1, -1]]},
    "layers": [
        {"name": "hidden", "kind": "linear", "weight": [[1, 2], [-2, 1], [1, 1], [3, -1]], "bias": [1, 0, -1.5, 2]},
        {"name": "hidden_act", "kind": "relu"},
        {"name": "doubled", "kind": "scale", "factor": 2},
        {"name": "output", "kind": "linear", "weight": [[1, 1, -1, 1], [1, 0, 0, 1]], "bias": [0, 1]},
    ],
    "optimizer": {"kind": "sgd", "lr": 0.00390625},
}


def dyadic(loss: str, **keys: Any) -> Scenario:
    return parse_scenario(DYADIC | {"loss": {"kind": loss}} | keys)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("arithmetic", [*FRACTIONS, "mp50"])
def test_where_nothing_is_rounded_floats_are_fractions(arithmetic: str, loss: str) -> None:
    scenario = dyadic(loss)
    floats, exact = (
        record_here(backend, "b", scenario, make_inputs(scenario))
        for backend in (NumpyBackend(), NumpyBackend(arithmetic))
    )
    for name, column in exact.columns.items():
        np.testing.assert_array_equal(floats.columns[name], column, err_msg=name)
    assert floats.columns["grad/hidden.weight"][1].any(axis=1).all()  # no unit died of the first step


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("parameter", ["hidden.weight", "hidden.bias", "output.weight", "output.bias"])
def test_a_steps_gradient_is_exactly_the_difference_of_its_loss(parameter: str, loss: str) -> None:
    """The loss is quadratic in each parameter as long as no unit crosses 0, and dyadic numbers are not rounded."""
    scenario = dyadic(loss, epochs=1)
    inputs = make_inputs(scenario)

    def step(initial: dict[str, np.ndarray]) -> Any:
        return NumpyBackend().session(scenario, replace(inputs, initial=initial)).step(0, Batch(inputs.x, inputs.y))

    start, key = dict(inputs.initial), f"weight/{parameter}"
    found = step(start)[f"grad/{parameter}"]
    expected = central_differences(lambda v: step(start | {key: v})["loss"], start[key], 0.125)
    assert found.tolist() == expected.tolist()
    assert found.any()


@pytest.mark.parametrize("arithmetic", ["", "mp50"])
def test_a_session_leaves_what_it_was_given_alone(arithmetic: str) -> None:
    scenario = dyadic("mse")
    inputs = make_inputs(scenario)
    before = {name: value.tobytes() for name, value in inputs.arrays().items()}
    record_here(NumpyBackend(arithmetic), "b", scenario, inputs)
    assert {name: value.tobytes() for name, value in inputs.arrays().items()} == before


@pytest.mark.parametrize("arithmetic", ["", *ARITHMETICS])
@pytest.mark.parametrize("scenarios", ["float16", "bfloat16", "float32", "float64"])
def test_quantities_come_in_the_scenarios_dtype_unless_they_are_the_truth(scenarios: str, arithmetic: str) -> None:
    scenario = dyadic("mse", dtype=scenarios)
    inputs = make_inputs(scenario)
    for backend, dtype in (
        (NumpyBackend(arithmetic), scenarios),
        (Rules(arithmetic), "float64"),
    ):
        seen = backend.session(scenario, inputs).step(0, inputs.batch(0))
        assert {str(np.asarray(value).dtype) for value in seen.values()} == {dtype}


@pytest.mark.parametrize("arithmetic", ["rational", "exact", "mp50", "float64"])
def test_the_worked_step_gives_the_exact_numbers(arithmetic: str) -> None:
    scenario = load_scenario("article/worked_backprop").model_copy(update={"dtype": "float64"})
    inputs = make_inputs(scenario)
    seen = NumpyBackend(arithmetic).session(scenario, inputs).step(0, inputs.batch(0))
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
