"""Which small scenarios try each operation alone? One for each of its examples, with all else as plain as can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from isograd.loading import parse_scenario
from isograd.ops import CLIPPINGS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES
from isograd.ops.axes import axis_of
from isograd.ops.op import Layer, Loss, Op, Shape
from isograd.scenario import Scenario

SAMPLES, BATCH = 10, 4
"""The last batch of an epoch is smaller than the others."""

EPOCHS = {"layer": 1, "loss": 1, "optimizer": 2, "schedule": 2, "clipping": 1}
"""By word: what counts steps shows in the second epoch only."""

DRAW = {"draw": "normal", "scale": 0.5}

PLAIN: Mapping[str, Any] = {
    "layer": ("relu", {}),
    "loss": ("mse", {}),
    "optimizer": ("sgd", {"lr": 0.1}),
}
"""What stands in a scenario beside the operation that is tried."""


@dataclass(frozen=True)
class Case:
    """An operation with some settings.

    Attributes:
        word: layer, loss, optimizer, schedule or clipping.
        kind: the operation's.
        example: which of its examples.
        settings: that example.
    """

    word: str
    kind: str
    example: int
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """A short name, as in "layer-relu-0"."""
        return f"{self.word}-{self.kind}-{self.example}"


REGISTRY: Mapping[str, Mapping[str, type[Op]]] = {
    "layer": LAYERS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "clipping": CLIPPINGS,
}


def cases() -> Iterator[Case]:
    """Every example of every operation."""
    for word, ops in REGISTRY.items():
        for kind, op in ops.items():
            yield from (Case(word, kind, i, example) for i, example in enumerate(op.examples))


def scenario_of(case: Case, dtype: str, prefix: str, seed: int = 1, scale: float = 1.0, **more: Any) -> Scenario:
    """A small run with the operation of a case: a layer below it and one above; evaluated, if it keeps anything.

    Args:
        case: what is tried.
        dtype: what it is tried in.
        prefix: of the scenario's name.
        seed: of its numbers.
        scale: of its samples.
        more: other keys of the scenario.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    chosen = {word: (case.kind, case.settings) if word == case.word else plain for word, plain in PLAIN.items()}
    kind, settings = chosen["layer"]
    sample, loss = LAYERS[kind].sample, _loss(*chosen["loss"])
    layers = _layers(kind, settings, sample, loss)
    x = rng.standard_normal((SAMPLES, prod(sample))) * scale
    if indices := tried_layer(kind, settings).indices:
        x = rng.integers(0, indices, x.shape).astype(np.float64)
    y = labels_of(loss, SAMPLES, rng)
    also = {case.word: {"kind": case.kind, **case.settings}} if case.word in ("schedule", "clipping") else {}
    return parse_scenario(
        {
            "name": f"{prefix}/{case.name}-{dtype}",
            "title": f"{prefix}: {case.word} {case.kind}, {dtype}",
            "dtype": dtype,
            "epochs": EPOCHS[case.word],
            "batch_size": BATCH,
            "seed": seed,
            "evaluate": LAYERS[kind].buffers is not Layer.buffers,
            "data": {"kind": "inline", "x": x.tolist(), "y": y, "shape": list(sample)},
            "layers": layers,
            "loss": {"kind": chosen["loss"][0], **chosen["loss"][1]},
            "optimizer": {"kind": chosen["optimizer"][0], **chosen["optimizer"][1]},
        }
        | also
        | more,
        prefix,
    )


def _loss(kind: str, settings: Mapping[str, Any]) -> Loss:
    return LOSSES[kind](kind=kind, **settings)


def labels_of(loss: Loss, samples: int, rng: np.random.Generator, outputs: Shape | None = None) -> Any:
    """Labels that a loss is for, for outputs of its examples' shape or another: a row of numbers each, or a class."""
    outputs = outputs or loss.sample
    label = loss.label_shape(outputs)
    size = (samples, prod(label))
    if loss.labels == "classes":
        return rng.integers(0, loss.classes(outputs), size if label else samples).tolist()
    drawn: Mapping[str, Any] = {
        "numbers": lambda: rng.standard_normal(size),
        "shares": lambda: rng.random(size),
        "distributions": lambda: _distributions(loss, outputs, samples, rng),
        "signs": lambda: rng.choice([-1.0, 1.0], size),
        "counts": lambda: rng.poisson(2.0, size),
    }
    return drawn[loss.within]().astype(np.float64).tolist()


def _distributions(loss: Loss, outputs: Shape, samples: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    at = axis_of(getattr(loss, "axis", -1), outputs)
    rest = (*outputs[:at], *outputs[at + 1 :])
    drawn = rng.dirichlet(np.ones(outputs[at]), (samples, *rest))
    return np.moveaxis(drawn, -1, at + 1).reshape(samples, -1)


def _layers(kind: str, settings: Mapping[str, Any], sample: tuple[int, ...], loss: Loss) -> list[dict[str, Any]]:
    """A layer whose output the tried one sees, so that its gradient is seen; it; and what the loss needs above."""
    below = {"name": "hidden", "kind": "linear", "outputs": sample[-1], "weight": DRAW, "bias": DRAW}
    two = {"inputs": ["hidden", "x", "hidden"][: LAYERS[kind].arity[0]]} if LAYERS[kind].arity[0] > 1 else {}
    tried = tried_layer(kind, settings)
    flat = flattened(tried.shape(*[sample] * max(tried.arity[0], 1)))
    above = layers_above(loss)
    below_it = [] if tried.indices else [below]  # an embedding takes samples
    return [*below_it, {"name": "tried", "kind": kind, **two, **_plain(settings)}, *flat, *above]


def flattened(outputs: Shape) -> list[dict[str, Any]]:
    """What brings outputs into a row, where they are none."""
    return [{"name": "flat", "kind": "flatten"}] if len(outputs) > 1 else []


def layers_above(loss: Loss) -> list[dict[str, Any]]:
    """What stands between a row of numbers and a loss: its outputs' shape, and what keeps them within bounds."""
    above: list[dict[str, Any]] = [{"name": "output", "kind": "linear", "outputs": prod(loss.sample), "weight": DRAW}]
    above += [{"name": "shaped", "kind": "reshape", "to": list(loss.sample)}] if len(loss.sample) > 1 else []
    return above + ([{"name": "bounded", "kind": loss.above}] if loss.above else [])


def tried_layer(kind: str, settings: Mapping[str, Any]) -> Layer:
    """The layer that is tried."""
    return LAYERS[kind](kind=kind, name="tried", **settings)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
