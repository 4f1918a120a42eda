"""Which small scenarios try each operation alone? One for each of its examples, with all else as plain as can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from isograd.loading import parse_scenario
from isograd.ops import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES
from isograd.ops.op import Layer, Op
from isograd.scenario import Scenario

SAMPLES, BATCH, EPOCHS = 10, 4, 2
"""The last batch of an epoch is smaller than the others."""

DRAW = {"draw": "normal", "scale": 0.5}
CLASSES = 3

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
        word: layer, loss, optimizer or schedule.
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
    sample = LAYERS[kind].sample
    layers = _layers(kind, settings, sample, CLASSES if _wants_classes(chosen["loss"][0]) else 2)
    x = rng.standard_normal((SAMPLES, prod(sample))) * scale
    values = rng.standard_normal((SAMPLES, 2)).tolist()
    y = rng.integers(0, CLASSES, SAMPLES).tolist() if _wants_classes(chosen["loss"][0]) else values
    schedule = {"schedule": {"kind": case.kind, **case.settings}} if case.word == "schedule" else {}
    return parse_scenario(
        {
            "name": f"{prefix}/{case.name}-{dtype}",
            "title": f"{prefix}: {case.word} {case.kind}, {dtype}",
            "dtype": dtype,
            "epochs": EPOCHS,
            "batch_size": BATCH,
            "seed": seed,
            "evaluate": LAYERS[kind].buffers is not Layer.buffers,
            "data": {"kind": "inline", "x": x.tolist(), "y": y, "shape": list(sample)},
            "layers": layers,
            "loss": {"kind": chosen["loss"][0], **chosen["loss"][1]},
            "optimizer": {"kind": chosen["optimizer"][0], **chosen["optimizer"][1]},
        }
        | schedule
        | more,
        prefix,
    )


def _wants_classes(loss: str) -> bool:
    return LOSSES[loss].labels == "classes"


def _layers(kind: str, settings: Mapping[str, Any], sample: tuple[int, ...], outputs: int) -> list[dict[str, Any]]:
    """A layer whose output the tried one sees, so that its gradient is seen; it; and a linear one above."""
    below = {"name": "hidden", "kind": "linear", "outputs": sample[-1], "weight": DRAW, "bias": DRAW}
    two = {"inputs": ["hidden", "x"]} if LAYERS[kind].arity[0] > 1 else {}
    flat = [{"name": "flat", "kind": "flatten"}] if len(sample) > 1 else []
    above = {"name": "output", "kind": "linear", "outputs": outputs, "weight": DRAW}
    return [below, {"name": "tried", "kind": kind, **two, **_plain(settings)}, *flat, above]


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}
