"""What can be wrong with an operation itself: another setting, or another definition that somebody ships?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, Self, get_args

from isograd.changes.change import Change, Circumstances
from isograd.changes.places import of_layers, of_loss, of_optimizer
from isograd.ops import CLIPPINGS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES
from isograd.ops.op import Alternative, Clipping, Layer, Loss, Op, Optimizer
from isograd.scenario import Scenario

APART = ("kind", "name", "inputs", "weight", "bias", "outputs", "kernel", "lr", "width_1_labels")
"""Fields that are no settings, or that change what there is to compare; the learning rate has a change of its own."""


def places(scenario: Scenario) -> dict[str, Op]:
    """Every operation by its place: a layer's name, or loss, optimizer."""
    others = {"loss": scenario.loss, "optimizer": scenario.optimizer, "clipping": scenario.clipping}
    return {layer.name: layer for layer in scenario.layers} | {word: op for word, op in others.items() if op}


def place_of(op: Op) -> str:
    """An operation's place."""
    word = "loss" if isinstance(op, Loss) else "clipping" if isinstance(op, Clipping) else "optimizer"
    return getattr(op, "name", None) or word


EVERY = "every "
"""Before a kind: all layers of it."""


def groups(scenario: Scenario) -> dict[str, Op]:
    """Layers of one kind that are several, by ``every <kind>``: one of them stands for all."""
    kinds = Counter(layer.kind for layer in scenario.layers)
    return {f"{EVERY}{layer.kind}": layer for layer in scenario.layers if kinds[layer.kind] > 1}


def is_at(op: Op, at: str) -> bool:
    """Whether an operation is at a place, or of the kind that the place is all layers of."""
    return place_of(op) == at or (isinstance(op, Layer) and at == EVERY + op.kind)


@dataclass(frozen=True)
class _OfOp(Change):
    """A change of one operation, or of all layers of a kind."""

    at: str = ""
    name: str = ""

    @property
    def called(self) -> str:
        """The operation in a sentence."""
        return f"the {self.at}" if self.at in ("loss", "optimizer", "clipping") else self.at

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """What the operation computes."""
        if self.at == "loss":
            return of_loss(scenario)
        if self.at in ("optimizer", "clipping"):
            return of_optimizer(scenario)
        return of_layers(scenario, [layer.name for layer in scenario.layers if is_at(layer, self.at)])


@dataclass(frozen=True)
class Setting(_OfOp):
    """One setting of an operation is another: a number, which can be solved for, a flag or a choice."""

    id = "setting"
    sentence = "{name} of {at} is {value:.7g}, not {right:.7g}"
    formula = "«another» ε, momentum, β, …"
    origin = "a framework's default, or the other convention for the same word"
    needs = ("name",)

    value: float = 0.0
    right: float = 0.0
    choice: str = ""

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every number with the value that an example has, every flag the other way, every other choice."""
        for at, op in (places(scenario) | groups(scenario)).items():
            for name, value in op:
                yield from (made for made in cls._of(at, op, name, value) if made.keeps_form(op, scenario))

    @classmethod
    def _of(cls, at: str, op: Op, name: str, value: Any) -> Iterator[Self]:
        if name in APART or (
            name == "weight_decay" and isinstance(op, Optimizer) and op.is_plain
        ):  # which has a change of its own
            return
        if isinstance(value, bool):
            yield cls(at, name, float(not value), float(value))
        elif isinstance(value, float):
            usual = [example[name] for example in op.examples if example.get(name, value) != value]
            yield cls(at, name, float(usual[0]) if usual else value / 2 or 0.1, value)
        elif isinstance(value, str):
            choices = get_args(type(op).model_fields[name].annotation)
            yield from (cls(at, name, choice=choice) for choice in choices if choice != value)

    @property
    def solve(self) -> Mapping[str, float]:  # type: ignore[override]  # another for each setting
        """A number's value, from the right one."""
        return {} if self.choice or {self.right, self.value} == {0.0, 1.0} else {"value": self.right}

    @property
    def where(self) -> str:
        """The operation's setting."""
        return f"{self.at}.{self.name}"

    def says(self) -> str:
        """Which setting is what."""
        if self.choice:
            return f"{self.name} of {self.called} is {self.choice}"
        if not self.solve:
            return f"{self.name} of {self.called} is {'on' if self.value else 'off'}"
        return f"{self.name} of {self.called} is {self.value:.7g}, not {self.right:.7g}"

    def op(self, run: Circumstances, op: Op) -> Any:
        """The operation with the other setting."""
        if not isinstance(op, Op) or self.name not in type(op).model_fields or not is_at(op, self.at):
            return op  # another change may have put another operation there
        return self._changed(op)

    def _changed(self, op: Op) -> Any:
        right = getattr(op, self.name)
        value = self.choice or (bool(self.value) if isinstance(right, bool) else self.value)
        return op.model_copy(update={self.name: value})

    def keeps_form(self, op: Op, scenario: Scenario) -> bool:
        """Whether slots, parameters, buffers, outputs and labels stay as many and as large."""
        return _form(self._changed(op), scenario) == _form(op, scenario)


def _form(op: Op, scenario: Scenario) -> object:
    """The shapes of all that an operation computes and keeps; None where it does not fit what feeds it."""
    try:
        if isinstance(op, Layer):
            shapes = scenario.shapes()
            x = [shapes[feed] for feed in scenario.feeds()[op.name]]
            held = {name: param.shape for name, param in {**op.parameters(*x), **op.buffers(*x)}.items()}
            return op.shape(*x), held
        if isinstance(op, Clipping):
            return ()
        return op.slots() if isinstance(op, Optimizer) else op.label_shape(scenario.outputs)  # type: ignore[attr-defined]
    except ValueError:
        return None


@dataclass(frozen=True)
class Definition(_OfOp):
    """An operation is defined otherwise, as somebody ships it (`isograd.ops.op.Alternative`)."""

    id = "definition"
    sentence = "{at} {name}"
    formula = "«another definition» of the same operation"
    origin = "another framework, or a paper"
    needs = ("name",)

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every alternative of every operation."""
        for at, op in (places(scenario) | groups(scenario)).items():
            yield from (cls(at, name) for name in op.alternatives)

    @property
    def where(self) -> str:
        """The operation, and the definition's name."""
        return f"{self.at}: {self.name}"

    def op(self, run: Circumstances, op: Op) -> Any:
        """The operation by the other definition, with the same settings."""
        found = self._found(op) if isinstance(op, Op) and is_at(op, self.at) else None
        return op if found is None else found.op.model_construct(**dict(op))

    def _found(self, op: Op) -> Alternative | None:
        return op.alternatives.get(self.name)

    def says(self) -> str:
        """The definition's own sentence."""
        found = _alternatives().get(self.name)
        return f"{self.called} {found.sentence}" if found else super().says()

    def written(self) -> str:
        """The definition's own formula."""
        return _alternatives()[self.name].formula if self.name in _alternatives() else super().written()

    def comes_from(self) -> str:
        """Who defines it so."""
        return _alternatives()[self.name].origin if self.name in _alternatives() else super().comes_from()


@cache
def _alternatives() -> Mapping[str, Alternative]:
    """Every alternative of every operation, by its name."""
    ops: Iterator[type[Op]] = chain.from_iterable(
        table.values() for table in (LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, CLIPPINGS)
    )
    return {name: alternative for op in ops for name, alternative in op.alternatives.items()}
