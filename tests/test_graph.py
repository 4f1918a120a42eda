"""Does one walk go over any graph rightly? Joins, shared outputs, states, hooks, evaluation; and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from isograd import Scenario
from isograd.arithmetic import make_arithmetic
from isograd.errors import ScenarioError
from isograd.graph import Hooks, Training, training
from isograd.inputs import Inputs, make_inputs
from isograd.loading import parse_scenario

DRAW = {"draw": "normal", "scale": 0.5}
X = [[0.5, -1.0, 0.3], [1.0, 2.0, -0.7], [-0.25, 0.75, 1.1], [0.4, -0.3, 0.9]]
Y = [[1.0, 0.5], [0.0, -1.0], [0.5, 0.25], [-0.75, 1.0]]
H = 1e-6

Quantities = dict[str, Any]


def node(name: str, kind: str, *inputs: str, **settings: Any) -> dict[str, Any]:
    feeds = {"inputs": list(inputs)} if inputs else {}
    drawn = {"weight": DRAW, "bias": DRAW, "outputs": 3} if kind == "linear" else {}
    return {"name": name, "kind": kind, **feeds, **drawn, **settings}


OUTPUT = node("output", "linear", outputs=2)

# A row a graph: what is hard about it, and its nodes.
GRAPHS: Mapping[str, list[dict[str, Any]]] = {
    "a chain": [node("a", "linear"), node("b", "tanh"), OUTPUT],
    "a residual": [node("a", "linear"), node("b", "tanh"), node("c", "add", "b", "a"), OUTPUT],
    "the samples join": [node("a", "linear"), node("c", "add", "a", "x"), OUTPUT],
    "a node meets itself": [node("a", "linear"), node("c", "add", "a", "a"), OUTPUT],
    "three take one output": [
        node("a", "linear"),
        node("b", "tanh", "a"),
        node("c", "sigmoid", "a"),
        node("d", "add", "b", "a", "c"),
        OUTPUT,
    ],
    "branches from the samples": [node("a", "linear"), node("b", "linear", "x"), node("c", "add", "a", "b"), OUTPUT],
    "the batch counts, too": [
        node("a", "linear"),
        node("norm", "batch_norm"),
        node("c", "add", "norm", "a"),
        OUTPUT,
    ],
}


def scenario(layers: list[dict[str, Any]], **more: Any) -> Scenario:
    plain = {
        "name": "tests/graph",
        "title": "A graph",
        "dtype": "float64",
        "epochs": 3,
        "batch_size": 4,
        "data": {"kind": "inline", "x": X, "y": Y},
        "layers": layers,
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "adam", "lr": 0.01},
    }
    return parse_scenario(plain | more)


def made(layers: list[dict[str, Any]], hooks: Hooks | None = None, **more: Any) -> tuple[Training, Inputs]:
    built = scenario(layers, **more)
    inputs = make_inputs(built)
    return training(built, inputs, make_arithmetic("float64", "float64"), hooks=hooks), inputs


def stepped(run: Training, inputs: Inputs, t: int = 0) -> Quantities:
    return {name: np.array(value) for name, value in run.step(inputs.batch(t), inputs.lr[t], t)}


def state_in(quantities: Quantities) -> Quantities:
    return {name: v for name, v in quantities.items() if name.partition("/")[0] in ("weight", "state", "buffer")}


@pytest.fixture(params=[*GRAPHS.values()], ids=[*GRAPHS])
def layers(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = request.param
    return found


# ---------------------------------------------------------------- gradients


def loss_with(layers: list[dict[str, Any]], name: str, at: tuple[int, ...], by: float) -> float:
    """The loss of the first step, with one element of one quantity moved on its way."""

    def see(seen: str, value: Any) -> Any:
        if seen != name:
            return value
        value = value.copy()
        value[at] += by
        return value

    run, inputs = made(layers, Hooks(see=see))
    if name in inputs.initial:
        moved = inputs.initial[name].copy()
        moved[at] += by
        run.load({**inputs.initial, name: moved})
    return float(stepped(run, inputs)["loss"])


def test_gradients_are_differences_of_the_loss(layers: list[dict[str, Any]]) -> None:
    run, inputs = made(layers)
    step = stepped(run, inputs)
    asked = {f"grad/{key}": f"weight/{key}" for key in inputs.weights}
    asked |= {f"backward/{layer['name']}": f"forward/{layer['name']}" for layer in layers}
    for gradient, moved in asked.items():
        for at in np.ndindex(step[gradient].shape):
            up, down = loss_with(layers, moved, at, H), loss_with(layers, moved, at, -H)
            assert (up - down) / (2 * H) == pytest.approx(step[gradient][at], rel=1e-6, abs=1e-8), (gradient, at)


def test_a_shared_output_s_gradient_is_a_sum_over_those_that_take_it() -> None:
    run, inputs = made(GRAPHS["a node meets itself"])
    step = stepped(run, inputs)
    np.testing.assert_array_equal(step["forward/c"], 2 * step["forward/a"])
    np.testing.assert_array_equal(step["backward/a"], 2 * step["backward/c"])


# ---------------------------------------------------------------- order, state, evaluation


def test_quantities_come_in_the_order_of_a_step() -> None:
    run, inputs = made([node("a", "linear"), node("norm", "batch_norm"), OUTPUT], evaluate=True)
    kinds = [name.partition("/")[0] for name in stepped(run, inputs)]
    assert list(dict.fromkeys(kinds)) == [
        "lr", "forward", "loss", "backward", "grad", "state", "weight", "buffer", "eval", "eval_loss",
    ]  # fmt: skip
    names = list(stepped(run, inputs))
    assert [n for n in names if n.startswith("forward/")] == ["forward/a", "forward/norm", "forward/output"]
    assert [n for n in names if n.startswith("backward/")] == ["backward/output", "backward/norm", "backward/a"]


def test_a_state_that_a_step_returned_is_where_the_next_begins(layers: list[dict[str, Any]]) -> None:
    through, inputs = made(layers)
    first = stepped(through, inputs)
    assert state_in(first).keys() == inputs.initial.keys()
    other, _ = made(layers)
    other.load(state_in(first))
    expected, found = stepped(through, inputs, 1), stepped(other, inputs, 1)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_slots_and_the_number_of_updates_go_into_the_next() -> None:
    run, inputs = made(GRAPHS["a chain"])
    first, second = stepped(run, inputs), stepped(run, inputs, 1)
    for key in inputs.weights:
        slots = {slot: first[f"state/{key}.{slot}"] for slot in run.graph.optimizer.slots()}
        w, g = first[f"weight/{key}"], second[f"grad/{key}"]
        after, kept = run.graph.optimizer.update(w, g, slots, np.float64(inputs.lr[1]), np.float64(2))
        np.testing.assert_array_equal(second[f"weight/{key}"], after)
        for slot, value in kept.items():
            np.testing.assert_array_equal(second[f"state/{key}.{slot}"], value)


def test_a_state_that_is_loaded_is_not_written_to(layers: list[dict[str, Any]]) -> None:
    run, inputs = made(layers)
    before = {name: value.copy() for name, value in inputs.initial.items()}
    for t in range(2):
        stepped(run, inputs, t)
    for name, value in before.items():
        np.testing.assert_array_equal(inputs.initial[name], value, err_msg=name)


def test_evaluation_is_with_what_the_update_left_and_changes_nothing() -> None:
    layers = [node("a", "linear"), node("norm", "batch_norm"), OUTPUT]
    (run, inputs), (plain, _) = made(layers, evaluate=True), made(layers)
    step, without = stepped(run, inputs), stepped(plain, inputs)
    assert step.keys() - without.keys() == {"eval/a", "eval/norm", "eval/output", "eval_loss"}
    a = inputs.x @ step["weight/a.weight"].T + step["weight/a.bias"]
    np.testing.assert_allclose(step["eval/a"], a, rtol=1e-14)
    spread = np.sqrt(step["buffer/norm.running_var"] + 1e-5)
    norm = step["weight/norm.weight"] * (a - step["buffer/norm.running_mean"]) / spread + step["weight/norm.bias"]
    np.testing.assert_allclose(step["eval/norm"], norm, rtol=1e-13)
    after, as_without = stepped(run, inputs, 1), stepped(plain, inputs, 1)
    for name, value in as_without.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


# ---------------------------------------------------------------- hooks


def test_a_hook_sees_every_quantity_once_and_in_order(layers: list[dict[str, Any]]) -> None:
    seen: list[str] = []

    def see(name: str, value: Any) -> Any:
        seen.append(name)
        return value

    run, inputs = made(layers, Hooks(see=see), evaluate=True)
    assert list(stepped(run, inputs)) == seen
    assert len(set(seen)) == len(seen)


def doubling(name: str) -> Callable[[str, Any], Any]:
    return lambda seen, value: 2 * value if seen == name else value


def test_a_derivative_is_that_at_the_output_that_was_passed_on() -> None:
    run, inputs = made(GRAPHS["a chain"], Hooks(see=doubling("forward/b")))
    step = stepped(run, inputs)
    expected = step["backward/b"] * (1 - step["forward/b"] ** 2)
    np.testing.assert_allclose(step["backward/a"], expected, rtol=1e-14)


def test_what_a_hook_gives_is_passed_on(layers: list[dict[str, Any]]) -> None:
    run, inputs = made(layers)
    names = list(stepped(run, inputs))
    for name in names:
        changed, _ = made(layers, Hooks(see=doubling(name)))
        plain, _ = made(layers)
        before, after = stepped(plain, inputs), stepped(changed, inputs)
        np.testing.assert_array_equal(after[name], 2 * before[name], err_msg=name)
        earlier = names[: names.index(name)]
        assert all(np.array_equal(before[other], after[other]) for other in earlier), name


def test_hooks_of_updates_see_what_they_say() -> None:
    layers = GRAPHS["a chain"]
    plain, inputs = made(layers, optimizer={"kind": "sgd", "lr": 0.5})
    before = stepped(plain, inputs)
    hooks = Hooks(gradients=lambda g: {name: 2 * value for name, value in g.items()})
    told = stepped(made(layers, hooks, optimizer={"kind": "sgd", "lr": 0.5})[0], inputs)
    used = Hooks(used=lambda key, w, g: 2 * g)
    kept = stepped(made(layers, used, optimizer={"kind": "sgd", "lr": 0.5})[0], inputs)
    frozen = stepped(made(layers, Hooks(updated=lambda key, w, g, after: w))[0], inputs)
    for key, weight in inputs.weights.items():
        np.testing.assert_array_equal(told[f"grad/{key}"], 2 * before[f"grad/{key}"])
        np.testing.assert_array_equal(kept[f"grad/{key}"], before[f"grad/{key}"])
        np.testing.assert_array_equal(kept[f"weight/{key}"], weight - 0.5 * (2 * before[f"grad/{key}"]))
        np.testing.assert_array_equal(told[f"weight/{key}"], kept[f"weight/{key}"])
        np.testing.assert_array_equal(frozen[f"weight/{key}"], weight)


# ---------------------------------------------------------------- refused

# A row a mistake: the nodes, and what is said.
MISTAKES: Mapping[str, tuple[list[dict[str, Any]], str]] = {
    "nobody takes it": (
        [node("a", "linear"), node("b", "tanh", "x"), OUTPUT],
        "layers.0.name: nothing takes the output of 'a'; expected a layer that does",
    ),
    "a name twice": (
        [node("a", "linear"), node("a", "tanh"), OUTPUT],
        "layers.1.name: 'a' stands twice; expected a name of its own",
    ),
    "the samples' name": (
        [node("x", "linear"), OUTPUT],
        "layers.0.name: 'x' stands twice; expected a name of its own",
    ),
    "a layer that comes later": (
        [node("a", "linear", "b"), node("b", "tanh"), OUTPUT],
        "layers.0.inputs: expected layers before it, of x; got 'b'",
    ),
    "itself": (
        [node("a", "linear"), node("b", "tanh", "b"), OUTPUT],
        "layers.1.inputs: expected layers before it, of x, a; got 'b'",
    ),
    "one too few": (
        [node("a", "linear"), node("b", "add", "a"), OUTPUT],
        "layers.1.inputs: expected 2 or more for add; got ['a']",
    ),
    "none": (
        [node("a", "linear"), node("b", "add"), OUTPUT],
        "layers.1.inputs: expected 2 or more for add; got none",
    ),
    "one too many": (
        [node("a", "linear"), node("b", "tanh", "a", "x"), OUTPUT],
        "layers.1.inputs: expected 1 for tanh; got ['a', 'x']",
    ),
    "shapes that do not meet": (
        [node("a", "linear", outputs=2), node("b", "add", "a", "x"), OUTPUT],
        "layers.1.inputs: expected outputs of one shape; got (2,), (3,)",
    ),
}


@pytest.mark.parametrize(("layers", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_graph_that_cannot_be_is_refused(layers: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(layers)
    assert said in str(caught.value)
