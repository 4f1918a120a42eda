"""Which scenarios is the judge calibrated on? Small random ones, the same for the same number."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from isograd.cases import cases, flattened, labels_of, layers_above, scenario_of
from isograd.dtypes import FORMATS
from isograd.errors import ScenarioError
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.ops import LAYERS, LOSSES, OPTIMIZERS
from isograd.ops.op import Draw, Shape
from isograd.recorder import record_here
from isograd.rules import Rules
from isograd.scenario import Scenario

SCALES = {"float16": (-2.0, 0.5), "bfloat16": (-4.0, 4.0), "float32": (-4.0, 4.0), "float64": (-4.0, 4.0)}
"""Powers of ten between which data lie; float16 ends at 65,504, and a loss is a square."""

WORK = {"float16": 3e7, "bfloat16": 3e7, "float32": 3e7, "float64": 1.5e5}
"""Products of a whole run at most; for float64 the truth has 50 digits, each product of which takes a microsecond."""

STEPS = (1, 1, 3, 20, 20, 100, 1000)
"""Steps to aim at: a batch size is drawn, and as many epochs as that takes."""


def random_scenarios(dtype: str, count: int, seed: int = 0, steps: tuple[int, ...] = STEPS) -> Iterator[Scenario]:
    """``count`` scenarios that do not overflow ``dtype``: what cannot be held is no case of rounding."""
    number = seed * 1_000_000
    while count:
        number += 1
        scenario = random_scenario(dtype, number, steps)
        if holds(scenario):
            count -= 1
            yield scenario


def random_scenario(dtype: str, number: int, steps: tuple[int, ...] = STEPS) -> Scenario:
    """1 to 3 linear layers of 1 to 40 units, with or without bias and activation; batches of 1 to 32.

    A quarter have data that nearly cancel: pairs of columns that are opposite but for a ten-thousandth, under equal
    weights.
    """
    rnd, rng = random.Random(f"{dtype} {number}"), np.random.Generator(np.random.PCG64(number))
    small = dtype == "float64"
    samples, features, outputs = rnd.randint(1, 32), rnd.randint(1, 6 if small else 24), rnd.randint(1, 4)
    batch_size = rnd.randint(1, samples)
    scale = 10 ** rnd.uniform(*SCALES[dtype])
    x, y = rng.standard_normal((samples, features)) * scale, rng.standard_normal((samples, outputs))
    cancels = rnd.random() < 0.25 and features > 1
    pairs = features // 2
    if cancels:
        x[:, 1 : 2 * pairs : 2] = -x[:, 0 : 2 * pairs : 2] * (1 + 1e-4 * rng.standard_normal((samples, pairs)))
    layers, width, work = _layers(rnd, rng, features, outputs, 8 if small else 40), features, 0
    if cancels:
        weight = np.array(layers[0]["weight"])
        weight[:, 1 : 2 * pairs : 2] = weight[:, 0 : 2 * pairs : 2]
        layers[0]["weight"] = weight.tolist()
    for layer in layers:
        if layer["kind"] == "linear":
            work, width = work + 3 * width * len(layer["weight"]), len(layer["weight"])
    wanted = min(rnd.choice(steps), max(1, int(WORK[dtype] / (work * batch_size))))
    return parse_scenario(
        {
            "name": f"random/{dtype}/{number}",
            "title": "random",
            "dtype": dtype,
            "epochs": max(1, wanted // -(-samples // batch_size)),
            "batch_size": batch_size,
            "data": {"kind": "inline", "x": x.tolist(), "y": y.tolist()},
            "layers": layers,
            "loss": {"kind": rnd.choice(["mse", "half_squared_error"])},
            "optimizer": {"kind": "sgd", "lr": rnd.choice([0.1, 0.01, 0.001]) / max(1.0, scale * scale * features)},
        }
    )


def operation_scenarios(dtype: str, count: int, seed: int = 0) -> Iterator[Scenario]:
    """``count`` scenarios each of which tries an operation, one example after the other, with numbers of its own."""
    every = list(cases())
    number = seed * 1_000_000
    while count:
        number += 1
        rnd = random.Random(f"operation {dtype} {number}")
        case = every[number % len(every)]
        options = {"epochs": rnd.choice([1, 2, 5]), "batch_size": rnd.randint(3, 10), "shuffle": rnd.random() < 0.5}
        scale = 10 ** rnd.uniform(-1, 1 if dtype != "float16" else 0.3)
        scenario = scenario_of(case, dtype, f"operation/{number}", seed=number, scale=scale, **options)
        if holds(scenario):
            count -= 1
            yield scenario


LONGEST = 12
"""Layers of a graph at most, beside those that fit it to its loss."""

LARGEST = 400
"""Numbers of a sample of any output: beyond that a graph is slow, and shows nothing new."""


def graph_scenarios(dtype: str, count: int, seed: int = 0) -> Iterator[Scenario]:
    """``count`` graphs of 1 to 12 layers at random, with a loss, an optimizer, maybe a schedule, clipping, a group."""
    number = seed * 1_000_000
    while count:
        number += 1
        scenario = graph_scenario(dtype, number)
        if scenario and holds(scenario):
            count -= 1
            yield scenario


def graph_scenario(dtype: str, number: int) -> Scenario | None:
    """A graph of examples' layers, each fed by the last output and, where it takes two, by another that fits.

    None where what came together is no scenario.
    """
    rnd, rng = random.Random(f"graph {dtype} {number}"), np.random.Generator(np.random.PCG64(number))
    samples = rnd.randint(3, 10)
    loss_kind, loss = rnd.choice([*_examples("loss")])
    layers, x, shape = _graph(rnd, rng, samples)
    loss_op = LOSSES[loss_kind](kind=loss_kind, **loss)
    layers += flattened(shape) + layers_above(loss_op)
    raw: dict[str, Any] = {
        "name": f"graph/{dtype}/{number}",
        "title": "a graph at random",
        "dtype": dtype,
        "seed": number,
        "epochs": rnd.choice([1, 2, 4]),
        "batch_size": rnd.randint(2, samples),
        "data": {"kind": "inline", "x": x.tolist(), "y": labels_of(loss_op, samples, rng), "shape": list(x.shape[1:])},
        "layers": layers,
        "loss": {"kind": loss_kind, **loss},
    }
    raw["data"]["x"] = x.reshape(samples, -1).tolist()
    kind, optimizer = rnd.choice([*_examples("optimizer")])
    raw["optimizer"] = {"kind": kind, "lr": 0.01, **optimizer}
    for word in ("schedule", "clipping"):
        if rnd.random() < 0.3:
            kind, settings = rnd.choice([*_examples(word)])
            raw[word] = {"kind": kind, **settings}
    if rnd.random() < 0.3:
        own = {"weight_decay": 0.05} if "weight_decay" in OPTIMIZERS[raw["optimizer"]["kind"]].model_fields else {}
        raw["groups"] = [{"parameters": ["*.weight"], "rate": rnd.choice([0.5, 1.5]), "settings": own}]
    try:
        scenario = parse_scenario(json.loads(json.dumps(raw)), "a graph at random")
        shared = _pair(rnd, scenario) if rnd.random() < 0.3 else {}
        return (
            parse_scenario(json.loads(json.dumps(raw | {"shared": shared})), "a graph at random")
            if shared
            else scenario
        )
    except ScenarioError:  # a last batch that is too small for a norm, a schedule longer than it may be
        return None


def _pair(rnd: random.Random, scenario: Scenario) -> dict[str, str]:
    """A parameter that is drawn, and one of another layer of its shape, if there is such a one."""
    used = scenario.used()
    pairs = [(a, b) for a in used for b in used if used[a].shape == used[b].shape and isinstance(used[a].initial, Draw)]
    apart = [(a, b) for a, b in pairs if a.partition(".")[0] != b.partition(".")[0]]
    return dict([rnd.choice(apart)]) if apart else {}


def _examples(word: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kinds of a sort with the settings of their examples."""
    yield from ((case.kind, dict(case.settings)) for case in cases() if case.word == word)


def _graph(
    rnd: random.Random, rng: np.random.Generator, samples: int
) -> tuple[list[dict[str, Any]], np.ndarray[Any, Any], Shape]:
    """Layers, the samples that they take, and the shape of the last output."""
    every, wanted = [*_examples("layer")], rnd.randint(1, LONGEST)
    kind, settings = rnd.choice(every)
    first = LAYERS[kind](kind=kind, name="first", **settings)
    shape = type(first).sample
    if first.indices:
        x = rng.integers(0, first.indices, (samples, *shape)).astype(np.float64)
        layers, shapes = [{"name": "layer0", "kind": kind, **settings}], {"layer0": first.shape(shape)}
    else:
        x = rng.standard_normal((samples, *shape)) * 10 ** rnd.uniform(-1, 0.3)
        layers, shapes = [{"name": "layer0", "kind": "scale", "factor": 1.0}], {"layer0": shape}
    for _ in range(50):
        if len(layers) >= wanted + 1:
            break
        kind, settings = rnd.choice(every)
        last = [*shapes][-1]
        few = LAYERS[kind].arity[0]
        feeds = [last, *rnd.choices([*shapes], k=max(0, few - 1))]
        name = f"layer{len(layers)}"
        try:
            op = LAYERS[kind](kind=kind, name=name, inputs=tuple(feeds), **settings)
            made = op.shape(*(shapes[feed] for feed in feeds))
            op.parameters(*(shapes[feed] for feed in feeds))
        except (ValueError, IndexError):  # it does not fit
            continue
        if not op.indices and prod(made) <= LARGEST and min(made, default=1) > 0:
            layers.append({"name": name, "kind": kind, "inputs": feeds, **settings})
            shapes[name] = made
    return layers, x, [*shapes.values()][-1]


def _layers(
    rnd: random.Random, rng: np.random.Generator, features: int, outputs: int, widest: int
) -> list[dict[str, Any]]:
    """Linear layers and activations, with initial values of the size that keeps activations near theirs."""
    layers: list[dict[str, Any]] = []
    depth, width = rnd.randint(1, 3), features
    for i in range(depth):
        units = outputs if i == depth - 1 else rnd.randint(1, widest)
        weight = rng.standard_normal((units, width)) * rnd.choice([0.3, 1.0, 2.0]) / np.sqrt(width)
        bias = {"bias": (rng.standard_normal(units) / 2).tolist()} if rnd.random() < 0.6 else {}
        layers.append({"name": f"linear{i}", "kind": "linear", "weight": weight.tolist()} | bias)
        act = rnd.choice(["relu", "sigmoid", "scale", None])
        factor = {"factor": rnd.choice([2.0, 0.3, -1.5])} if act == "scale" else {}
        layers += [{"name": f"act{i}", "kind": act} | factor] if act else []
        width = units
    return layers


def holds(scenario: Scenario) -> bool:
    """Whether the dtype holds every number of the run, with room for a sum's partial ones."""
    try:
        inputs = make_inputs(scenario)
    except ScenarioError:  # data or a learning rate that round to zero or infinity
        return False
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        trace = record_here(Rules("float64"), "reference", scenario, inputs)
    limit = FORMATS[scenario.dtype].largest / 64
    return all(bool((np.abs(column) < limit).all()) for column in trace.columns.values())
