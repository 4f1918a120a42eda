"""What can a call have been given instead: which other tensor of the step, or another layer's parameters?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from isograd.framework import Framework

LATEST = 40
"""Tensors that can stand in the place of another: so many of its shape, the latest first."""


class Made(Protocol):
    """What calls have made, by their numbers."""

    def __getitem__(self, number: int, /) -> Any: ...


@dataclass(frozen=True)
class Given:
    """A call with other tensors for some of its arguments, or with another one added to its result.

    Attributes:
        of: which argument, by its place or its name, and which tensor: a parameter by its key, or what a call has made
            by its number, which is below 0 for what none has made.
        added: whether it is added to the result.
        neighbour: the layer beside its own, of the same parent, whose parameters it has, in every block alike; "" for
            another.
    """

    of: tuple[tuple[int | str, str | int], ...]
    added: bool = False
    neighbour: str = ""

    def __call__(self, params: Mapping[str, Any], made: Made, function: Any, args: Any, options: Any) -> Any:
        """The call's result."""
        if self.neighbour:
            keys = {id(tensor): key for key, tensor in params.items()}
            own = {at: keys[id(value)] for at, value in named(args, options) if id(value) in keys}
            given = {at: params[beside(key, self.neighbour)] for at, key in own.items()}
        else:
            given = {at: params[name] if isinstance(name, str) else made[name] for at, name in self.of}
        if self.added:
            return function(*args, **options) + next(iter(given.values()))
        return function(
            *(given.get(at, value) for at, value in enumerate(args)),
            **{name: given.get(name, value) for name, value in options.items()},
        )


@dataclass(frozen=True)
class Shared:
    """Calls that are given another tensor in the place of one that they share.

    Attributes:
        places: of each call, by its number, which of its arguments that tensor is.
        change: gives the other tensor, of the one, and of a number where there is one.
    """

    places: Mapping[int, Sequence[int]]
    change: Callable[..., Any]

    def __call__(self, number: int, function: Any, args: Any, options: Any, *x: float) -> Any:
        """A call's result."""
        at = self.places[number]
        return function(*(self.change(v, *x) if i in at else v for i, v in enumerate(args)), **options)


def named(args: Any, options: Any) -> Iterator[tuple[int | str, Any]]:
    """Arguments by their places, and options by their names."""
    yield from enumerate(args)
    yield from options.items()


def strangers(framework: Framework, args: Any, known: Collection[int]) -> list[Any]:
    """Tensors among arguments that are not known by their `id`."""
    return [value for value in args if framework.is_tensor(value) and id(value) not in known]


def beside(key: str, unit: str) -> str:
    """The parameter of the same name of a unit beside a parameter's own."""
    own, _, param = key.rpartition(".")
    parent = own.rpartition(".")[0]
    return f"{parent}.{unit}.{param}" if parent else f"{unit}.{param}"


@dataclass
class Pool:
    """The tensors of a step so far, each of which can stand in the place of another of its shape."""

    framework: Framework
    params: Mapping[int, str]
    made: dict[int, tuple[int, ...]] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)  # so that no `id` comes twice
    numbers: dict[int, int] = field(default_factory=dict)

    def meet(self, args: Any) -> None:
        """What a call is given that no call has made, as the samples: numbered from −1 down, as it comes."""
        for value in strangers(self.framework, args, (*self.params, *self.numbers)):
            number = -1 - sum(known < 0 for known in self.made)
            self.made[number] = tuple(value.shape)
            self.numbers[id(value)] = number
            self.kept.append(value)

    def keep(self, number: int, made: Any) -> None:
        """A call has made something."""
        if self.framework.is_tensor(made) and id(made) not in self.params:
            self.made[number] = tuple(made.shape)
            self.kept.append(made)
            self.numbers[id(made)] = number

    def operands(self, args: Any) -> list[tuple[int, Any]]:
        """A call's tensors that are no parameters, by their places; they are kept, so that no `id` comes twice."""
        found = [(at, value) for at, value in enumerate(args) if self.framework.is_tensor(value)]
        self.kept += [value for _, value in found]
        return [(at, value) for at, value in found if id(value) not in self.params]

    def instead(self, args: Any, options: Any, made: Any) -> Iterator[Given]:
        """A call with other tensors, given its arguments, its options and its result."""
        own = {at: self.params[id(value)] for at, value in named(args, options) if id(value) in self.params}
        units = dict.fromkeys(key.rpartition(".")[0] for key in self.params.values())
        keys = set(self.params.values())
        for neighbour in dict.fromkeys(unit.rpartition(".")[2] for unit in units) if own else ():
            of = {at: beside(key, neighbour) for at, key in own.items()}
            if keys.issuperset(of.values()) and set(of.values()).isdisjoint(own.values()):
                yield Given(tuple(of.items()), neighbour=neighbour)
        for unit in units if own else ():
            of = {at: f"{unit}.{key.rpartition('.')[2]}" for at, key in own.items()}
            if keys.issuperset(of.values()) and set(of.values()).isdisjoint(own.values()):
                yield Given(tuple(of.items()))
        for at, value in enumerate(args):
            if self.framework.is_tensor(value) and id(value) not in self.params:
                yield from (Given(((at, number),)) for number in self._alike(value))
        if self.framework.is_tensor(made):
            yield from (Given(((0, number),), added=True) for number in self._alike(made))

    def _alike(self, tensor: Any) -> list[int]:
        """Earlier tensors of the same shape, the latest first."""
        shape, own = tuple(tensor.shape), self.numbers.get(id(tensor), -1)
        return [n for n, of in reversed(self.made.items()) if of == shape and n != own][:LATEST]
