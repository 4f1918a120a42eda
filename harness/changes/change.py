"""What can be changed in a training step, and where? A change has one place to take hold: a rule, the data, an update.

The same changes are seeded as faults (`isograd.changes.sabotage`) and looked for as causes: there is one
catalogue, `isograd.changes.catalogue`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from fnmatch import fnmatchcase
from itertools import combinations
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from isograd.arithmetic.words import Marked
from isograd.inputs import Array, Batch, Inputs
from isograd.ops.op import Op, Param
from isograd.scenario import GaussianData, InlineData, Scenario

Rows = NDArray[np.int64]
"""Samples of a batch, by their numbers."""

Values = dict[str, Any]
"""Something for each parameter, by "layer.param"; what a change is given has axes of runs and steps leading."""

OPTIONS: Any = {"extra": "forbid", "frozen": True}


EARLY = ("arithmetic", "op", "samples", "labels", "data", "loaded")
"""Methods of a change that take hold before the gradients."""


ORDER = {"lr": 0, "forward": 1, "loss": 2, "backward": 3, "grad": 4, "state": 5, "weight": 5}
"""In which order kinds of quantities come; all others are later."""

BEGINS = {
    "returned": 0,
    "rate": 0,
    "arithmetic": 1,
    "loaded": 1,
    "samples": 1,
    "data": 1,
    "op": 1,
    "labels": 2,
    "gradients": 4,
    "used": 5,
    "updated": 5,
}
"""The first kind of quantity that each method of a change can make another."""


class Evidence(Protocol):
    """What a change may read its options off: a trace, and what the rules make of the trace's own states."""

    @property
    def scenario(self) -> Scenario:
        """What was run."""

    @property
    def inputs(self) -> Inputs:
        """Its numbers."""

    @property
    def steps(self) -> list[int]:
        """The steps of which the trace's state is known, the first that is wrong first."""

    @property
    def looked_at(self) -> list[int]:
        """Those of them at which a change must account for everything."""

    def state(self, step: int) -> Mapping[str, Array]:
        """The parameters before a step."""

    def recorded(self, name: str, step: int) -> Array | None:
        """A quantity as the trace has it; None if it does not have it, or in a wrong shape."""

    def ruled(self, name: str, step: int) -> Array:
        """A quantity as the rules have it."""


@dataclass(config=OPTIONS)
class Change:
    """One change of the rules; its fields are its options. A method leaves its part as it is: a change overrides one.

    Attributes:
        id: its stable name.
        sentence: what is different, in a sentence; `{at}` stands for where, and so on for the other options.
        one: how the sentence calls the place.
        every: how it calls all places together.
        formula: the formula with the change, the offending term between « and ».
        origin: where it usually comes from.
        solve: options that a trace can be solved for, each with the value that changes nothing.
        between: of options that are solved for, the range outside which they mean nothing.
        remembers: what it does at a step depends on steps before.
        is_fact: it says which numbers are other ones; that all the rest is right is what speaks for it.
        rounds: its `updated` computes in the run's arithmetic, with its rounding; otherwise it is given plain arrays.
    """

    id: ClassVar[str] = ""
    sentence: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    origin: ClassVar[str] = ""
    one: ClassVar[str] = "{at}"
    every: ClassVar[str] = "every parameter"
    solve: ClassVar[Mapping[str, float]] = {}
    between: ClassVar[Mapping[str, tuple[float, float]]] = {}
    remembers: ClassVar[bool] = False
    rounds: ClassVar[bool] = False
    is_fact: ClassVar[bool] = False

    @property
    def parts(self) -> tuple[Change, ...]:
        """Itself; of two changes together each."""
        return (self,)

    def says(self) -> str:
        """The sentence with its options."""
        options = {f.name: getattr(self, f.name) for f in fields(self)}
        at = self.one.format(**options) if options.get("at") else self.every
        return self.sentence.format(**options | {"at": at})

    def written(self) -> str:
        """Its formula."""
        return self.formula

    def comes_from(self) -> str:
        """Its origin."""
        return self.origin

    @property
    def where(self) -> str:
        """The place or the choice that its name is followed by: ``gradient_scale(hidden.weight)``."""
        options = (getattr(self, name, "") for name in ("at", "name", "by"))
        return next((option for option in options if option and isinstance(option, str)), "")

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """The change at each place of a scenario where it means something, with its usual options."""
        yield cls()

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Itself with options that are read off a trace (an order, an index); none where there is nothing to read."""
        yield from ()

    @property
    def late(self) -> bool:
        """Whether it begins at the gradients: everything before the update is as the rules have it."""
        return all(getattr(type(part), name) is getattr(Change, name) for part in self.parts for name in EARLY)

    def reaches(self, quantity: str) -> bool:
        """Whether a quantity can be the first that differs: what comes before a change takes hold is right."""
        kind, first = quantity.partition("/")[0], min((BEGINS[h] for h in BEGINS if self._overrides(h)), default=0)
        if first == BEGINS["rate"] and not any(self._overrides(h) for h in BEGINS if h not in ("rate", "returned")):
            return kind in ("lr", "weight", "state") or self._overrides("returned")
        return first <= ORDER.get(kind, len(ORDER))

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """Quantities that it can make wrong for the numbers that they are computed from; None: it may be any."""
        return None

    def _overrides(self, method: str) -> bool:
        return any(getattr(type(part), method) is not getattr(Change, method) for part in self.parts)

    @property
    def vague(self) -> bool:
        """Whether it accounts for so much that it is a cause only where nothing else is."""
        return False

    def arithmetic(self) -> str | None:
        """Another arithmetic to compute in; None: no other."""
        return None

    def precision(self) -> tuple[str, float] | None:
        """For a change of precision: the dtype whose rounding the results have, and the roundoff of matrix products."""
        return None

    def op(self, run: Circumstances, op: Op) -> Any:
        """What stands in the place of an operation: a layer, the loss, the optimizer (`isograd.changes.instead`)."""
        return op

    def rate(self, run: Circumstances, lr: float) -> float:
        """The learning rate of the step ``run.step``."""
        return lr

    def samples(self, run: Circumstances, rows: Rows) -> Rows:
        """The samples of a step's batch, by their numbers."""
        return rows

    def labels(self, run: Circumstances, rows: Rows) -> Rows:
        """Whose labels these samples have."""
        return rows

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """The numbers of a batch."""
        return batch

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """The state, by quantity, as it is taken over."""
        return state

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """The gradients of all parameters, as they are told and the update gets them."""
        return g

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """A parameter's gradient as the update uses it, where that is not what is told."""
        return g

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """A parameter after the update; ``after`` is what the rule gives."""
        return after

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """What is told of a step, without consequences for the training."""
        return seen


class Circumstances:
    """What a change may know of the run that it is part of, and remember from step to step.

    Attributes:
        scenario: what is run.
        inputs: its numbers.
        step: which step it is.
        lr: its learning rate.
        update: what the optimizer makes of a parameter and a gradient at this step.
        parameter: a parameter before the update, by "layer.param", in the run's arithmetic.
        again: the layers' outputs and the loss of the step's batch once more, by the parameters as they are then.
        plain: a number of the run's arithmetic as an array.
        held: an array as a number of the run's arithmetic, with as many axes as another one.
        rate, count: the learning rate and the step's number, counted from 1, in the run's arithmetic.
        memory: for the change.
        loads: whether states are loaded anew before each step.
    """

    def __init__(self, scenario: Scenario, inputs: Inputs) -> None:
        self.scenario, self.inputs = scenario, inputs
        self.step = 0
        self.lr = 0.0
        self.update: Callable[[str, Any, Any], Any] = lambda key, w, g: w
        self.parameter: Callable[[str], Any] = lambda key: inputs.weights[key]
        self.again: Callable[[], Values] = dict
        self.plain: Callable[[Any], Array] = np.asarray
        self.held: Callable[[Any, Any], Any] = lambda values, like: values
        self.rate, self.count = np.float64(0.0), np.float64(1.0)
        self.memory: dict[Any, Any] = {}
        self.loads = True
        self.parts: dict[int, Circumstances] = {}

    def batch(self, change: Change) -> Batch:
        """The features and labels of the step's batch, changed."""
        rows = change.samples(self, self.inputs.samples(self.step))
        return change.data(self, Batch(self.inputs.x[rows], self.inputs.y[change.labels(self, rows)]))

    def part(self, number: int) -> Circumstances:
        """The same circumstances with a memory of its own, for one of several changes."""
        part = self.parts.get(number)
        if part is None:
            part = self.parts[number] = _Part(self)
        return part


class _Part(Circumstances):
    """Whatever is not its own is the whole's, as it is then."""

    def __init__(self, whole: Circumstances) -> None:
        self.whole, self.memory, self.parts = whole, {}, {}

    def __getattr__(self, name: str) -> Any:
        if name in PLAINLY:  # of two changes together each is given plain arrays by what comes after the gradients
            return getattr(self, f"_{name}")
        return getattr(self.whole, name)

    @property
    def _rate(self) -> Any:
        return np.float64(self.whole.lr)

    @property
    def _count(self) -> Any:
        return np.float64(self.whole.step + 1)

    def _held(self, values: Any, like: Any) -> Any:
        return values

    def _plain(self, values: Any) -> Any:
        return self.whole.plain(values) if isinstance(values, Marked) else np.asarray(values)


PLAINLY = ("rate", "count", "held", "plain")
"""What a part of several changes has in its own way."""


@dataclass(config=OPTIONS | {"arbitrary_types_allowed": True})
class Both(Change):
    """Two changes together, the first nearer to the rules."""

    first: Change
    second: Change

    def __post_init__(self) -> None:
        object.__setattr__(self, "remembers", self.first.remembers or self.second.remembers)

    @property
    def parts(self) -> tuple[Change, ...]:
        """Both."""
        return (self.first, self.second)

    def says(self) -> str:
        """Both sentences."""
        return f"{self.first.says()}, and {self.second.says()}"

    def arithmetic(self) -> str | None:
        """Either's."""
        return self.first.arithmetic() or self.second.arithmetic()

    def op(self, run: Circumstances, op: Op) -> Any:
        """One after the other."""
        return self.second.op(run.part(1), self.first.op(run.part(0), op))

    def rate(self, run: Circumstances, lr: float) -> float:
        """One after the other."""
        return self.second.rate(run.part(1), self.first.rate(run.part(0), lr))

    def samples(self, run: Circumstances, rows: Rows) -> Rows:
        """One after the other."""
        return self.second.samples(run.part(1), self.first.samples(run.part(0), rows))

    def labels(self, run: Circumstances, rows: Rows) -> Rows:
        """One after the other."""
        return self.second.labels(run.part(1), self.first.labels(run.part(0), rows))

    def data(self, run: Circumstances, batch: Batch) -> Batch:
        """One after the other."""
        return self.second.data(run.part(1), self.first.data(run.part(0), batch))

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """One after the other."""
        return self.second.loaded(run.part(1), self.first.loaded(run.part(0), state))

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """One after the other."""
        return self.second.gradients(run.part(1), self.first.gradients(run.part(0), g))

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """One after the other."""
        return self.second.used(run.part(1), key, w, self.first.used(run.part(0), key, w, g))

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """One after the other."""
        return self.second.updated(run.part(1), key, w, g, self.first.updated(run.part(0), key, w, g, after))

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """One after the other."""
        return self.second.returned(run.part(1), self.first.returned(run.part(0), seen))


@dataclass(config=OPTIONS)
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


@dataclass(config=OPTIONS)
class AtParameter(Change):
    """A change for one parameter; `at` is its "layer.param", or none for all, or a group: "*.bias", "output.*"."""

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
        return self.at in ("", key) or ("*" in self.at and fnmatchcase(key, self.at))

    def says(self) -> str:
        """A group by what it holds."""
        said = super().says()
        layer, _, param = self.at.partition(".")
        group = f"every {param}" if layer == "*" else f"every parameter of {layer}"
        return said.replace(self.at, group) if "*" in self.at else said


def groups(names: list[str]) -> Iterator[str]:
    """Globs of some parameters, "layer.param", that are more than one and not all."""
    layers, params = ([*dict.fromkeys(name.partition(".")[i] for name in names)] for i in (0, 2))
    for glob in [*(f"*.{param}" for param in params), *(f"{layer}.*" for layer in layers)]:
        if 1 < sum(fnmatchcase(name, glob) for name in names) < len(names):
            yield glob


@dataclass(config=OPTIONS)
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
    found |= {f"{kind}/{key}" for key in scenario.parameters() if layer_of(key) in names for kind in ("grad", "weight")}
    slots = scenario.optimizer.slots()
    found |= {f"state/{key}.{slot}" for key in scenario.parameters() if layer_of(key) in names for slot in slots}
    return frozenset(found | {f"buffer/{key}" for key in scenario.buffers() if layer_of(key) in names})


def of_loss(scenario: Scenario) -> frozenset[str]:
    """The quantities that the loss computes."""
    return frozenset(("loss", "eval_loss", f"backward/{scenario.layers[-1].name}"))


MOST = 10_000_000
"""Of more products of rows, candidates and outputs, no order is read off a trace: it would take seconds a step."""

AT_ONCE = 2**18
"""Distances that are computed at once: some megabytes."""


def distances(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Σ|a_i − b_j| over the columns, for some rows i of the first at a time and all rows j of the second.

    Args:
        a: (n, columns).
        b: (m, columns).

    Yields:
        Which rows of ``a``, and their distances, (rows, m).
    """
    rows = max(1, AT_ONCE // max(1, b.size))
    for start in range(0, len(a), rows):
        part = slice(start, start + rows)
        yield part, np.abs(a[part, np.newaxis] - b).sum(axis=2)


def nearest(far: Array, own: Rows) -> Rows:
    """For each row of distances the nearest column; where it is as near, the one that it should be."""
    there = far[np.arange(len(far)), own]
    return np.asarray(np.where(there <= far.min(axis=1), own, far.argmin(axis=1)))


def listed(order: tuple[int, ...], number: int = 12) -> str:
    """The first of an order, for people."""
    return ", ".join(map(str, order[:number])) + (" …" if len(order) > number else "")


def matrices(scenario: Scenario) -> dict[str, Param]:
    """The weights that are matrices, by "layer.param": of so many rows (units) and columns (inputs)."""
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
