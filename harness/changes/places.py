"""Where does a change take hold: at layers, activations, parameters or the loss, and what can be wrong then?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any, ClassVar, Self

from isograd.changes.change import Change, Circumstances
from isograd.ops.op import Layer, Loss, Op, Param
from isograd.scenario import GaussianData, InlineData, Scenario

BUT = "but "
"""What stands before the glob of parameters that are *not* meant."""


@dataclass(frozen=True)
class AtLayer(Change):
    """A change of one layer; `at` is its name, or none for every layer that it means something for."""

    every: ClassVar[str] = "every layer"

    at: str = ""

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """The layers that it means something for."""
        return [layer.name for layer in scenario.layers]

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """All of its places together, and each."""
        places = cls.places(scenario)
        yield from (cls(at=at) for at in [*([""] if len(places) > 1 else []), *places])

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What its layers give."""
        return of_layers(scenario, [layer.name for layer in scenario.layers if self.is_at(layer.name)])

    def here(self, op: Op) -> bool:
        """Whether it is that layer, or one of all that it means something for."""
        return isinstance(getattr(op, "name", None), str) and self.is_at(op.name)  # type: ignore[attr-defined]

    def is_at(self, name: str) -> bool:
        """Whether the layer of that name is meant."""
        return self.at in ("", name)


@dataclass(frozen=True)
class AtActivation(AtLayer):
    """A change of one activation: of a layer of one input without parameters that keeps its input's shape."""

    one: ClassVar[str] = "the activation {at}"
    every: ClassVar[str] = "every activation"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Activations."""
        return [layer.name for layer in scenario.layers if is_activation(scenario, layer)]

    def op(self, run: Circumstances, op: Op) -> Any:
        """What `activation` makes of it, where it is one that is meant."""
        here = isinstance(op, Layer) and self.here(op) and is_activation(run.scenario, op)
        return self.activation(op) if here else op  # type: ignore[arg-type]

    def activation(self, op: Layer) -> Any:
        """What stands in an activation's place."""
        raise NotImplementedError


@dataclass(frozen=True)
class OfLoss(Change):
    """A change of the loss."""

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the loss computes."""
        return of_loss(scenario)

    def op(self, run: Circumstances, op: Op) -> Any:
        """What `loss` makes of it."""
        return self.loss(run, op) if isinstance(op, Loss) else op

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """What stands in the loss's place."""
        raise NotImplementedError


@dataclass(frozen=True)
class AtParameter(Change):
    """A change for one parameter; `at` is its "layer.param", or none for all, or a group.

    A group is a glob, "*.bias" or "output.*", or all that a glob does not name, "but output.*".
    """

    at: str = ""

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """All together, each, and the groups that optimizers are often given: by name, and by layer."""
        names = list(scenario.parameters())
        yield from (cls(at=at) for at in ["", *(names if len(names) > 1 else []), *groups(names)])

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What its parameters' layers give, of other parameters nothing."""
        keys = [key for key in scenario.parameters() if self.here(key)]
        quantities = of_layers(scenario, list(dict.fromkeys(map(layer_of, keys))))
        others = {f"{kind}/{key}" for key in scenario.parameters() if key not in keys for kind in ("grad", "weight")}
        return quantities - others

    def here(self, key: str) -> bool:
        """Whether it is that parameter, or one of the group."""
        if self.at.startswith(BUT):
            return not fnmatchcase(key, self.at.removeprefix(BUT))
        return self.at in ("", key) or ("*" in self.at and fnmatchcase(key, self.at))

    def says(self) -> str:
        """A group by what it holds."""
        said = super().says()
        layer, _, param = self.at.removeprefix(BUT).partition(".")
        group = f"every {param}" if layer == "*" else f"every parameter of {layer}"
        group = f"every parameter but those of {layer}" if self.at.startswith(BUT) else group
        return said.replace(self.at, group) if "*" in self.at else said


def groups(names: list[str]) -> Iterator[str]:
    """Globs of some parameters, "layer.param", that are more than one and not all; all but the last layer's too."""
    layers, params = ([*dict.fromkeys(name.partition(".")[i] for name in names)] for i in (0, 2))
    for glob in [*(f"*.{param}" for param in params), *(f"{layer}.*" for layer in layers)]:
        if 1 < sum(fnmatchcase(name, glob) for name in names) < len(names):
            yield glob
    if len(layers) > 2:  # otherwise it is one layer
        yield f"{BUT}{layers[-1]}.*"


@dataclass(frozen=True)
class AtPartialBatch(Change):
    """A change of an epoch's last, smaller batch."""

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Where a batch is smaller than the others."""
        yield from [cls()] if _has_partial_batch(scenario) else []


def of_layers(scenario: Scenario, names: list[str]) -> frozenset[str]:
    """What layers compute: outputs, gradients of what feeds them and of their parameters, and what they keep."""
    feeds = scenario.feeds()
    found = {f"{kind}/{name}" for name in names for kind in ("forward", "eval")}
    found |= {f"backward/{feed}" for name in names for feed in feeds[name]}
    keys = [key for key in scenario.parameters() if layer_of(key) in names]
    keys += [owner for key, owner in scenario.shared.items() if layer_of(key) in names]
    found |= {f"{kind}/{key}" for key in keys for kind in ("grad", "weight")}
    slots = scenario.optimizer.slots()
    found |= {f"state/{key}.{slot}" for key in keys for slot in slots}
    return frozenset(found | {f"buffer/{key}" for key in scenario.buffers() if layer_of(key) in names})


def of_optimizer(scenario: Scenario) -> frozenset[str]:
    """The quantities that the optimizer computes."""
    slots = scenario.optimizer.slots()
    found = {f"weight/{key}" for key in scenario.parameters()}
    return frozenset(found | {f"state/{key}.{slot}" for key in scenario.parameters() for slot in slots})


def of_loss(scenario: Scenario) -> frozenset[str]:
    """The quantities that the loss computes."""
    return frozenset(("loss", "eval_loss", f"backward/{scenario.layers[-1].name}"))


def matrices(scenario: Scenario) -> dict[str, Param]:
    """The weights that are matrices, by "layer.param": of so many rows (units) and columns (inputs); no shared ones."""
    return {name: param for name, param in scenario.parameters().items() if param.axes == ("out", "in")}


def layer_of(key: str) -> str:
    """The layer of a parameter, "layer.param"."""
    return key.partition(".")[0]


def alike(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Each two parameters of one shape, "layer.param", in the order of the layers."""
    shapes = {name: param.shape for name, param in scenario.parameters().items()}
    yield from ((a, b) for a, b in combinations(shapes, 2) if shapes[a] == shapes[b])


def _has_partial_batch(scenario: Scenario) -> bool:
    """Whether an epoch's last batch is smaller than the others; of a table, which is not read here, it may be."""
    data = scenario.data
    if isinstance(data, InlineData | GaussianData):
        number = len(data.x) if isinstance(data, InlineData) else data.samples
        return number > scenario.batch_size and number % scenario.batch_size > 0
    return scenario.batch_size > 1


def is_activation(scenario: Scenario, op: Op) -> bool:
    """Whether it is a layer of one input without parameters that keeps its input's shape."""
    if not isinstance(op, Layer) or len(scenario.feeds()[op.name]) != 1:
        return False
    shapes, (before,) = scenario.shapes(), scenario.feeds()[op.name]
    trained = any(key.startswith(f"{op.name}.") for key in scenario.used())
    return not trained and shapes[op.name] == shapes[before]
