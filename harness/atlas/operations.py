"""Which operations of ours does the atlas ask for, and what do small runs of them give, by our own rules?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from isograd.arithmetic import make_arithmetic
from isograd.cases import REGISTRY, flattened, labels_of, layers_above
from isograd.graph import Graph, training
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.ops.op import Layer, Loss, Op, Shape
from isograd.scenario import Scenario

Arrays = Mapping[str, NDArray[np.float64]]


class Operation(BaseModel):
    """An operation of ours, and how each framework spells it.

    Attributes:
        word: layer, loss, optimizer or schedule.
        kind: the operation's.
        settings: those that a framework insists on.
        sample: the shape of a sample; that of its examples without.
        bare: by framework, the program that builds it with no settings but those.
        told: by framework, the program that builds it with the settings of ``op``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    word: Literal["layer", "loss", "optimizer", "schedule"]
    kind: str
    settings: dict[str, Any] = {}
    sample: tuple[int, ...] = ()
    bare: dict[str, str] = {}
    told: dict[str, str] = {}
    note: str = ""

    @model_validator(mode="after")
    def _is_told_where_it_is_built(self) -> Operation:
        if self.bare.keys() != self.told.keys():
            raise ValueError(f"{self.kind}: expected `bare` and `told` for the same frameworks")
        return self

    @property
    def type(self) -> type[Op]:
        """Its class."""
        return REGISTRY[self.word][self.kind]

    @property
    def open(self) -> dict[str, Any]:
        """The settings that a framework decides on, with what they are here unasked."""
        fields = self.type.model_fields
        rest = {name: field for name, field in fields.items() if name not in (*FIXED, *self.settings)}
        return {name: LR if name == "lr" else field.default for name, field in rest.items()}


FIXED = ("kind", "name", "inputs", "weight", "bias", "outputs", "kernel", "per", "width_1_labels")
"""Fields that are names, numbers of a model, or of no framework's."""

LR = 0.1

SCALES = (1.0, 12.0)
"""Of samples: a threshold shows where much is large."""

SMALL = (1e-3, 1e-6)
"""For what has an ε, which shows where all is small."""

STEPS = {"schedule": 24, "optimizer": 8, "layer": 4, "loss": 4}
"""Of a probe; a schedule's is more than one period of any in the atlas."""


@dataclass(frozen=True)
class Settings:
    """What an operation may have: values of its settings, and another definition by name."""

    values: Mapping[str, Any]
    alternative: str = ""

    def with_(self, name: str, value: Any) -> Settings:
        """With one of them changed."""
        if name == ALTERNATIVE:
            return replace(self, alternative=value)
        return replace(self, values={**self.values, name: value})


ALTERNATIVE = "definition"


def probes(operation: Operation, values: Mapping[str, Any]) -> list[Scenario]:
    """Small runs in float64 in which the settings of an operation show."""
    scales: tuple[float, ...] = SCALES if operation.word in ("layer", "optimizer") else SCALES[:1]
    scales += SMALL if "epsilon" in operation.open and operation.word != "loss" else ()
    return [_probe(operation, values, scale) for scale in scales]


def _probe(operation: Operation, values: Mapping[str, Any], scale: float) -> Scenario:
    rng = np.random.Generator(np.random.PCG64(7))
    chosen = {"kind": operation.kind} | operation.settings | {key: _plain(value) for key, value in values.items()}
    loss = chosen if operation.word == "loss" else {"kind": "mse"}
    loss_op: Loss = REGISTRY["loss"][loss["kind"]](**loss)  # type: ignore[assignment]
    sample: Shape = (3,)
    layers: list[dict[str, Any]] = [{"name": "hidden", "kind": "scale", "factor": 1.0}]
    if operation.word == "layer":
        cls: type[Layer] = operation.type  # type: ignore[assignment]
        sample = operation.sample or cls.sample
        two: dict[str, Any] = {"inputs": ["hidden", "x"][: max(cls.arity[0], 1)]}
        tried = cls(**chosen, name="tried", **two)
        layers.append(chosen | {"name": "tried"} | two)
        layers += flattened(tried.shape(*[sample] * len(two["inputs"])))
    layers += layers_above(loss_op)
    more: dict[str, Any] = {"schedule": chosen} if operation.word == "schedule" else {}
    x = rng.standard_normal((6, prod(sample))) * scale
    labels = labels_of(loss_op, 6, rng)
    optimizer = chosen if operation.word == "optimizer" else {"kind": "sgd", "lr": LR}
    return parse_scenario(
        {
            "name": f"atlas/{operation.kind}",
            "title": f"atlas: {operation.word} {operation.kind}",
            "dtype": "float64",
            "epochs": STEPS[operation.word] // 2,
            "batch_size": 3,
            "evaluate": operation.word == "layer" and operation.type.buffers is not Layer.buffers,  # type: ignore[attr-defined]
            "data": {"kind": "inline", "x": x.tolist(), "y": labels, "shape": list(sample)},
            "layers": layers,
            "loss": loss,
            "optimizer": optimizer,
        }
        | more,
        "the atlas",
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def numbers_of(operation: Operation, settings: Settings) -> list[Arrays]:
    """What our rules give in each probe: each quantity with its steps leading."""
    return [_run(operation, scenario, settings.alternative) for scenario in probes(operation, settings.values)]


def _run(operation: Operation, scenario: Scenario, alternative: str) -> Arrays:
    inputs = make_inputs(scenario)
    arithmetic = make_arithmetic("float64", "float64", False)
    run = training(scenario, inputs, arithmetic, _graph(operation, scenario, alternative))
    columns: dict[str, list[Any]] = {}
    with np.errstate(all="ignore"):
        for t, batch in enumerate(inputs.batches()):
            for name, value in run.step(batch, inputs.lr[t], t):
                columns.setdefault(name, []).append(np.array(arithmetic.plain(value), np.float64))
    return {name: np.stack(values) for name, values in columns.items()}


def _graph(operation: Operation, scenario: Scenario, alternative: str) -> Graph:
    graph = Graph.of(scenario)
    if not alternative:
        return graph
    cls = operation.type.alternatives[alternative].op
    if operation.word == "layer":
        made = [_as(cls, op) if op.name == "tried" else op for op in graph.layers]
        return replace(graph, layers=tuple(made))
    return replace(graph, **{operation.word: _as(cls, getattr(graph, operation.word))})


def _as(cls: type[Op], op: Op) -> Any:
    return cls(**dict(op))


def apart(came: Sequence[Arrays], ours: Sequence[Arrays]) -> float:
    """How far apart two lots of numbers are at worst, of the largest of each quantity; inf where they are not alike."""
    return max((distance for distance, _ in distances(came, ours)), default=0.0)


def worst(came: Sequence[Arrays], ours: Sequence[Arrays]) -> str:
    """The quantity that is furthest apart."""
    return max(distances(came, ours), default=(0.0, ""))[1]


def distances(came: Sequence[Arrays], ours: Sequence[Arrays]) -> Iterator[tuple[float, str]]:
    """Of every quantity how far apart it is, of its largest number, and its name; inf where it is not alike."""
    for theirs, mine in zip(came, ours, strict=True):
        for name, value in mine.items():
            if name not in theirs or theirs[name].shape != value.shape:
                yield np.inf, name
                continue
            got, (bad, also) = theirs[name], (~np.isfinite(theirs[name]), ~np.isfinite(value))
            if (bad != also).any():
                yield np.inf, name
                continue
            size = float(np.abs(value[~also]).max(initial=0.0))
            off = float(np.abs(got[~bad] - value[~also]).max(initial=0.0))
            yield (off / size if size else off and np.inf), name
