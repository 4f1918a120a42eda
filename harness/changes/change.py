"""What can be changed in a training step, and where? A change has one place to take hold: a rule, the data, an update.

The same changes are seeded as faults (`isograd.changes.sabotage`) and looked for as causes: there is one
catalogue, `isograd.changes.catalogue`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from itertools import product
from typing import Any, ClassVar, Protocol, Self, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from isograd.inputs import Array, Batch, Inputs
from isograd.ops.op import Op
from isograd.scenario import Own, Scenario

Rows = NDArray[np.int64]
"""Samples of a batch, by their numbers."""

Values = dict[str, Any]
"""Something for each parameter, by "layer.param"; what a change is given has axes of runs and steps leading."""


Recorded = Callable[[str, int], Array | None]
"""A quantity as a trace has it so many steps before; None if it does not. With `START` before its name, as it was
before that step's update."""

START = "start of "


ORDER = {"lr": 0, "forward": 1, "buffer": 1, "loss": 2, "backward": 3, "grad": 4, "state": 5, "weight": 5}
"""In which order kinds of quantities are computed; all others are later. A buffer is reported last, and comes of the
forward pass: what happens to gradients does not reach it."""

BEGINS = {
    "returned": 0,
    "rate": 0,
    "arithmetic": 0,
    "loaded": 1,
    "samples": 1,
    "data": 1,
    "op": 1,
    "own": 5,
    "labels": 2,
    "gradients": 4,
    "used": 5,
    "updated": 5,
}
"""The first kind of quantity that each method of a change can make another."""

BESIDE = frozenset(("rate", "returned"))
"""Methods with no effect on what is computed up to the gradients."""

EARLY = frozenset(method for method, at in BEGINS.items() if at < ORDER["grad"]) - BESIDE
"""Methods with an effect on what is computed before the gradients."""


DATA = frozenset(("samples", "labels", "data"))
"""Methods with an effect on a step's batch."""


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

    @property
    def quantities(self) -> list[str]:
        """What the trace has, in execution order, as far as it can be compared with what the rules have."""

    def state(self, step: int) -> Mapping[str, Array]:
        """The parameters before a step."""

    def recorded(self, name: str, step: int) -> Array | None:
        """A quantity as the trace has it; None if it does not have it, or in a wrong shape."""

    def ruled(self, name: str, step: int) -> Array:
        """A quantity as the rules have it."""


def _values(cls: Any, name: str) -> tuple[Any, ...]:
    """What an option can be: the words of its type, or for a flag what it usually is and the other."""
    usual = getattr(cls, name)
    return (usual, not usual) if isinstance(usual, bool) else get_args(get_type_hints(cls)[name])


@dataclass(frozen=True)
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
        needs: options without any of which it changes nothing: a person gives them, or a trace does.
        remembers: what it does at a step depends on steps before.
        back: of what it remembers, on how many steps before, beside what is reported of those (`recall`); None: on all.
        is_fact: it says which numbers are other ones; that all the rest is right is what speaks for it.
        choices: options that are varied, each a choice of words or a flag; the first of them says `where`.
        tables: of options that are names, those that there are.
        reading: about how many steps of a run it costs to read its options off a trace (`fitted`).
        rounds: its `updated` computes in the run's arithmetic, with its rounding; otherwise it is given plain arrays.
    """

    __pydantic_config__: ClassVar[ConfigDict] = {"extra": "forbid"}  # where a person gives the options
    id: ClassVar[str] = ""
    sentence: ClassVar[str] = ""
    formula: ClassVar[str] = ""
    origin: ClassVar[str] = ""
    one: ClassVar[str] = "{at}"
    every: ClassVar[str] = "every parameter"
    solve: ClassVar[Mapping[str, float]] = {}
    between: ClassVar[Mapping[str, tuple[float, float]]] = {}
    needs: ClassVar[tuple[str, ...]] = ()
    choices: ClassVar[tuple[str, ...]] = ()
    tables: ClassVar[Mapping[str, Collection[str]]] = {}
    reading: ClassVar[int] = 0
    remembers: ClassVar[bool] = False
    back: ClassVar[int | None] = None
    rounds: ClassVar[bool] = False
    is_fact: ClassVar[bool] = False

    @property
    def parts(self) -> tuple[Change, ...]:
        """Itself; of two changes together each."""
        return (self,)

    @property
    def idle(self) -> bool:
        """Whether it has none of the options that it needs."""
        usual = {f.name: f.default for f in fields(self)}
        return bool(self.needs) and all(getattr(self, name) == usual[name] for name in self.needs)

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
        options = (getattr(self, name, "") for name in (*self.choices, "at", "name", "by"))
        return next((option for option in options if option and isinstance(option, str)), "")

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """The change at each place of a scenario where it means something, with every choice and its usual options."""
        every = [_values(cls, name) for name in cls.choices]
        yield from (cls(**dict(zip(cls.choices, values, strict=True))) for values in product(*every))

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Itself with options that are read off a trace (an order, an index); none where there is nothing to read."""
        yield from ()

    def back_in(self, scenario: Scenario) -> int | None:
        """How many steps before it needs in a scenario, as `back`."""
        return self.back

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """Remember what a trace tells of the steps before ``run.step``, where that is what there is to remember."""

    @property
    def late(self) -> bool:
        """Whether it begins at the gradients: everything before the update is as the rules have it."""
        return not EARLY & self._hands

    @property
    def alters_batches(self) -> bool:
        """Whether the samples of a step, or their numbers, can be others."""
        return not self._hands.isdisjoint(DATA)

    @property
    def only_of_data(self) -> bool:
        """Whether nothing but the samples of a step, or their numbers, is another."""
        return not self.remembers and self._hands <= DATA

    def reaches(self, quantity: str) -> bool:
        """Whether a quantity can be the first that differs: what comes before a change takes hold is right."""
        hands = self._hands
        kind, first = quantity.partition("/")[0], min((BEGINS[hand] for hand in hands), default=0)
        if first == BEGINS["rate"] and hands <= BESIDE:
            return kind in ("lr", "weight", "state") or "returned" in hands
        return first <= ORDER.get(kind, len(ORDER))

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """Quantities that it can make wrong for the numbers that they are computed from; None: it may be any."""
        return None

    @property
    def _hands(self) -> frozenset[str]:
        return _hands(type(self))  # type: ignore[arg-type]  # a class is hashable

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

    def own(self, run: Circumstances, key: str, own: Own) -> Own | None:
        """What updates a parameter of a group; None: what updates those of none."""
        return own

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
        """The gradients of all parameters, as they are reported and the update gets them."""
        return g

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """A parameter's gradient as the update uses it, where that is not what is reported."""
        return g

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """A parameter after the update; ``after`` is what the rule gives."""
        return after

    def returned(self, run: Circumstances, seen: Values) -> Values:
        """What is reported of a step, without consequences for the training."""
        return seen


@cache
def _hands(kind: type[Change]) -> frozenset[str]:
    """The methods by which a kind of change takes hold."""
    return frozenset(method for method in BEGINS if getattr(kind, method) is not getattr(Change, method))


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
        elsewhere: the gradients of the step's batch at other parameters, by "layer.param"; plain arrays.
        plain: an array, of numbers of the run's arithmetic too.
        held: an array as what another one is: a number of the run's arithmetic with as many axes, or an array.
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
        self.elsewhere: Callable[[Values], Values] = dict
        self.plain: Callable[[Any], Array] = np.asarray
        self.held: Callable[[Array, Any], Any] = lambda values, like: values
        self.memory: dict[Any, Any] = {}
        self.loads = True
        self.parts: dict[int, Circumstances] = {}

    def batch(self, change: Change) -> Batch:
        """The features and labels of the step's batch, changed."""
        rows = change.samples(self, self.inputs.samples(self.step))
        of = change.labels(self, rows)
        number = min(len(rows), len(of))  # of two changes each may have chosen by itself
        return change.data(self, Batch(self.inputs.x[rows[:number]], self.inputs.y[of[:number]]))

    def lr_of(self, key: str) -> float:
        """The step's learning rate for a parameter, which may be in a group with a rate of its own."""
        own = self.scenario.own().get(key)
        return self.lr * own.rate if own else self.lr

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
        return getattr(self.whole, name)


@dataclass(frozen=True)
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

    @property
    def _hands(self) -> frozenset[str]:
        return self.first._hands | self.second._hands

    def says(self) -> str:
        """Both sentences."""
        return f"{self.first.says()}, and {self.second.says()}"

    def arithmetic(self) -> str | None:
        """Either's."""
        return self.first.arithmetic() or self.second.arithmetic()

    def op(self, run: Circumstances, op: Op) -> Any:
        """One after the other."""
        return self.second.op(run.part(1), self.first.op(run.part(0), op))

    def own(self, run: Circumstances, key: str, own: Own) -> Own | None:
        """One after the other."""
        first = self.first.own(run.part(0), key, own)
        return first and self.second.own(run.part(1), key, first)

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
