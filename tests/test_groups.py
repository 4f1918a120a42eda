"""Is a parameter of a group updated by the group's settings and at its rate, and is it told where it is not?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from isograd import Verdict, explain, run
from isograd.backends.numpy_manual import NumpyBackend
from isograd.changes.catalogue.grouped import GroupIgnored
from isograd.errors import ScenarioError
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.recorder import record_here
from isograd.reference import truth_arithmetic
from isograd.scenario import Scenario
from tests.conftest import REFERENCE

DRAW = {"draw": "normal", "scale": 0.5}
NO_DECAY = {"parameters": ["*.bias", "norm.*"], "settings": {"weight_decay": 0.0}}
SLOWER = {"parameters": ["hidden.*"], "rate": 0.5, "settings": {"weight_decay": 0.2}}
ADAMW = {"kind": "adam", "lr": 0.01, "decoupled": True, "weight_decay": 0.1}


SMALL: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 10,
    "layers": [{"name": name, "kind": "linear", "outputs": 2, "weight": DRAW, "bias": DRAW} for name in "ab"],
}


def made(optimizer: dict[str, Any], *groups: dict[str, Any], dtype: str = "float32", **more: Any) -> Scenario:
    rng = np.random.Generator(np.random.PCG64(5))
    raw = {
        "name": "groups",
        "title": "groups",
        "dtype": dtype,
        "epochs": 2,
        "batch_size": 4,
        "data": {"kind": "inline", "x": rng.normal(size=(10, 4)).tolist(), "y": rng.normal(size=(10, 2)).tolist()},
        "layers": [
            {"name": "hidden", "kind": "linear", "outputs": 5, "weight": DRAW, "bias": DRAW},
            {"name": "norm", "kind": "layer_norm"},
            {"name": "act", "kind": "tanh"},
            {"name": "output", "kind": "linear", "outputs": 2, "weight": DRAW, "bias": DRAW},
        ],
        "loss": {"kind": "mse"},
        "optimizer": optimizer,
        "groups": [*groups],
    }
    return parse_scenario(raw | more, "a test")


# ---------------------------------------------------------------- the rule


def test_each_parameter_is_in_the_first_group_that_names_it() -> None:
    own = made(ADAMW, NO_DECAY, SLOWER).own()
    assert {name: of.rate for name, of in own.items()} == {
        "hidden.weight": 0.5,
        "hidden.bias": 1.0,
        "norm.weight": 1.0,
        "norm.bias": 1.0,
        "output.bias": 1.0,
    }


def test_a_group_is_updated_by_its_own_settings_at_its_own_rate() -> None:
    """w ← w − r lr (g + λ w), with the group's r and λ."""
    optimizer = {"kind": "sgd", "lr": 0.25, "weight_decay": 0.5}
    scenario = made(optimizer, NO_DECAY, SLOWER, dtype="float64")
    inputs = make_inputs(scenario)
    columns = record_here(NumpyBackend(), "numpy", scenario, inputs).columns
    for name, decay, rate in [("hidden.weight", 0.2, 0.5), ("norm.weight", 0.0, 1.0), ("output.weight", 0.5, 1.0)]:
        w, g = inputs.weights[name], columns[f"grad/{name}"][0]
        np.testing.assert_allclose(columns[f"weight/{name}"][0], w - rate * 0.25 * (g + decay * w), rtol=1e-14)


def test_state_starts_as_the_group_has_it() -> None:
    optimizer, group = {"kind": "adagrad", "lr": 0.1}, {"parameters": ["*.bias"], "settings": {"start": 0.5}}
    initial = make_inputs(made(optimizer, group)).initial
    assert (initial["state/output.bias.v"] == 0.5).all()
    assert (initial["state/output.weight.v"] == 0).all()


# ---------------------------------------------------------------- every backend

OPTIMIZERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sgd": ({"weight_decay": 0.1}, {"weight_decay": 0.0}),
    "momentum": ({"kind": "sgd", "momentum": 0.9}, {"momentum": 0.5, "nesterov": True}),
    "adam": ({"weight_decay": 0.1}, {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-4}),
    "adamw": (ADAMW, {"weight_decay": 0.0}),
    "rmsprop": ({"momentum": 0.9}, {"momentum": 0.5, "smoothing": 0.9}),
    "adagrad": ({"weight_decay": 0.1}, {"weight_decay": 0.0, "epsilon": 1e-4}),
    "adadelta": ({"weight_decay": 0.1}, {"weight_decay": 0.0}),
    "adamax": ({"weight_decay": 0.1}, {"weight_decay": 0.0, "beta1": 0.5, "beta2": 0.9}),
    "radam": ({"weight_decay": 0.1}, {"weight_decay": 0.0, "beta1": 0.5, "epsilon": 1e-4}),
    "nadam": ({"weight_decay": 0.1}, {"weight_decay": 0.0, "beta1": 0.5, "momentum_decay": 0.1}),
    "lamb": ({"weight_decay": 0.1}, {"weight_decay": 0.0, "beta1": 0.5}),
    "rprop": ({}, {"up": 1.3}),
    "started": ({"kind": "adagrad"}, {"start": 0.5}),
    "plain_rprop": ({"kind": "rprop"}, {}),
}
OTHERS: dict[str, dict[str, Any]] = {
    "step": {"schedule": {"kind": "step", "every": 2}},
    "cosine": {"schedule": {"kind": "cosine"}},
    "one_cycle": {"schedule": {"kind": "one_cycle", "steps": 6}},
    "cyclic": {"schedule": {"kind": "cyclic", "up": 2, "down": 2, "floor": 1e-3}},
    "cosine_floor": {"schedule": {"kind": "cosine", "floor": 1e-3}},
    "plateau": {"schedule": {"kind": "plateau", "metrics": [1, 1, 1, 1], "patience": 0, "floor": 1e-3, "epsilon": 0.0}},
    "plateau_usual": {"schedule": {"kind": "plateau", "metrics": [1, 1, 1, 1], "patience": 0}},
    "value": {"clipping": {"kind": "value", "bound": 0.05}},
    "norm": {"clipping": {"kind": "norm", "bound": 0.1}},
    "norm_0": {"clipping": {"kind": "norm", "bound": 0.1, "epsilon": 0.0}},
    "global_norm": {"clipping": {"kind": "global_norm", "bound": 0.1}},
    "global_norm_0": {"clipping": {"kind": "global_norm", "bound": 0.1, "epsilon": 0.0}},
}
LACKS = {
    "torch": {"lamb", "started", "cosine_floor", "plateau_usual", "norm_0", "global_norm_0"},
    "paddle": {"rprop", "plain_rprop", "norm", "global_norm", "global_norm_0"},
}
"""What is UNSUPPORTED there, and nothing else is."""


def verdicts(scenario: Scenario, backend: str) -> list[Verdict]:
    cells = run(scenario, backends=sorted({REFERENCE, backend}), repeat=1, causes=False).results[0].cells
    return [cells[backend, mode].verdict for mode in ("free", "resync")]


def check(name: str, scenario: Scenario, backend: str) -> None:
    found = verdicts(scenario, backend)
    if name in LACKS.get(backend, ()):
        assert found == [Verdict.UNSUPPORTED] * 2
    else:
        assert all(verdict.green for verdict in found), found


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_backend_treats_groups_as_they_say(name: str, isograd_backend: str) -> None:
    optimizer, own = OPTIMIZERS[name]
    group = {"parameters": ["*.bias", "norm.*"], "rate": 0.5, "settings": own}
    check(name, made({"kind": name, "lr": 0.01} | optimizer, group), isograd_backend)


@pytest.mark.parametrize("name", OTHERS)
def test_schedules_and_clipping_reach_every_group(name: str, isograd_backend: str) -> None:
    check(name, made(ADAMW, NO_DECAY, SLOWER, **OTHERS[name]), isograd_backend)


def test_a_group_may_have_all_parameters(isograd_backend: str) -> None:
    check("", made(ADAMW, {"parameters": ["*"], "rate": 0.5}), isograd_backend)


def test_a_deviation_of_a_group_is_granted_to_its_parameters_alone(isograd_backend: str) -> None:
    """Of all others' settings it is another matter."""
    group = {"parameters": ["*.bias"], "settings": {"epsilon": 1e-3}}
    scenario = made({"kind": "rmsprop", "lr": 0.01, "epsilon": 0.0}, group)
    trace = (
        run(scenario, backends=[isograd_backend], repeat=1, causes=False)
        .results[0]
        .cells[isograd_backend, "free"]
        .trace
    )
    assert trace is not None
    known = trace.manifest.deviation
    assert known is None or all("bias" in name for name in known.quantities)


def test_the_truth_of_groups_is_exact_where_that_of_others_is() -> None:
    short = made({"kind": "sgd", "lr": 0.5}, {"parameters": ["b.*"], "rate": 0.5}, **SMALL)
    assert truth_arithmetic(short, make_inputs(short)) == truth_arithmetic(
        made({"kind": "sgd", "lr": 0.5}, **SMALL), make_inputs(short)
    )
    assert truth_arithmetic(short, make_inputs(short)) == "exact"


class Without(NumpyBackend):
    """A backend that knows no groups."""

    has_groups = False


def test_a_backend_without_groups_says_so() -> None:
    assert Without().missing(made(ADAMW, NO_DECAY)) == ["groups of parameters"]
    assert Without().missing(made(ADAMW)) == []


# ---------------------------------------------------------------- why it differs


@pytest.mark.parametrize("change", list(GroupIgnored.variants(made(ADAMW, NO_DECAY, SLOWER))), ids=lambda c: c.where)
def test_a_group_that_is_ignored_is_the_cause(change: GroupIgnored) -> None:
    named = f"{REFERENCE}[fault=group_ignored,at={change.at},what={change.what}]"
    account = explain(made(ADAMW, NO_DECAY, SLOWER), named).account
    assert account is not None
    assert f"group_ignored({change.where})" in account.ids
    assert change.says() in account.sentence


@pytest.mark.parametrize("group", [NO_DECAY, NO_DECAY | {"settings": {"weight_decay": 0.1}}], ids=["other", "same"])
def test_another_setting_of_the_optimizer_leaves_a_group_s_own_as_it_is(group: dict[str, Any]) -> None:
    named = f"{REFERENCE}[fault=setting,at=optimizer,name=weight_decay,value=0.3,right=0.1]"
    account = explain(made(ADAMW, group), named).account
    assert account is not None
    assert "setting(optimizer.weight_decay)" in account.ids


# ---------------------------------------------------------------- what is no group


@pytest.mark.parametrize(
    ("optimizer", "groups", "said"),
    [
        (ADAMW, [{"parameters": ["*.scale"]}], "groups.0.parameters: expected names that no group before it has, of"),
        (ADAMW, [NO_DECAY, {"parameters": ["*.bias"]}], "groups.1.parameters: expected names that no group before"),
        (ADAMW, [{"parameters": ["*"], "settings": {"decay": 0.1}}], "groups.0.settings.decay: adam has beta1, beta2"),
        (ADAMW, [{"parameters": ["*"], "settings": {"lr": 0.1}}], "a group's rate is `rate`, over the optimizer's"),
        (ADAMW, [{"parameters": ["*"], "settings": {"beta1": 2.0}}], "groups.0.settings.beta1: "),
        (
            ADAMW,
            [NO_DECAY, {"parameters": ["*"], "settings": {"beta1": 2.0}}],
            "groups.1.settings.beta1: Input should be",
        ),
        (ADAMW, [NO_DECAY, {"parameters": ["*"], "settings": {"decay": 0.1}}], "groups.1.settings.decay: adam has"),
        (ADAMW, [{"parameters": ["*.weight", "nothing.*"]}], "got 'nothing.*'"),
        (ADAMW, [{"parameters": ["*"], "settings": {"beta1": "no"}}], "got 'no'"),
        (
            ADAMW,
            [{"parameters": ["*"], "settings": {"amsgrad": True}}],
            "as the others have; got m, v and",
        ),
        (ADAMW, [{"parameters": []}], "groups.0.parameters"),
        (ADAMW, [{"parameters": ["*"], "rate": 0.0}], "groups.0.rate"),
    ],
)
def test_what_is_no_group_is_refused(optimizer: dict[str, Any], groups: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        made(optimizer, *groups)
    assert said in str(caught.value)


def test_a_setting_that_the_dtype_cannot_hold_is_refused() -> None:
    group = {"parameters": ["*.bias"], "settings": {"epsilon": 1e-12}}
    with pytest.raises(ScenarioError, match=r"groups\.0\.settings\.epsilon: 1e-12 rounds to 0 in float16"):
        make_inputs(made({"kind": "adam", "lr": 0.01, "epsilon": 1e-3}, group, dtype="float16"))
    with pytest.raises(ScenarioError, match=r"groups\.0\.settings\.lr: 1e-10 rounds to 0 in float16"):
        make_inputs(made({"kind": "sgd", "lr": 0.01}, {"parameters": ["*"], "rate": 1e-8}, dtype="float16"))
