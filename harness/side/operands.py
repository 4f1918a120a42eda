"""What can a call have been given instead: which other tensor of the step, or another layer's parameters?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from isograd.framework import Framework

LATEST = 40
"""Tensors that can stand in the place of another: so many of its shape, the latest first."""


Place = int | str | tuple[int, int]
"""Where a call is given something: at a place, by a name, or at a place of a list at one."""


@dataclass(frozen=True)
class Arguments:
    """What a call is given.

    Attributes:
        args: by places.
        options: by names.
    """

    args: Sequence[Any]
    options: Mapping[str, Any]

    def placed(self) -> Iterator[tuple[Place, Any]]:
        """Everything by its place, also what is in lists."""
        for at, value in enumerate(self.args):
            if isinstance(value, (list, tuple)):
                yield from (((at, i), item) for i, item in enumerate(value))
            else:
                yield at, value
        yield from self.options.items()

    def taken(self, at: Place) -> Any:
        """What stands at a place."""
        if isinstance(at, str):
            return self.options[at]
        return self.args[at[0]][at[1]] if isinstance(at, tuple) else self.args[at]

    def put(self, at: Place, value: Any) -> Arguments:
        """With something else at a place."""
        if isinstance(at, str):
            return Arguments(self.args, {**self.options, at: value})
        given = list(self.args)
        if isinstance(at, tuple):
            whole, at, inner = self.args[at[0]], *at
            value = type(whole)([value if i == inner else item for i, item in enumerate(whole)])
        given[at] = value
        return Arguments(given, self.options)

    def of(self, function: Callable[..., Any]) -> Any:
        """What a function gives for it."""
        return function(*self.args, **self.options)


class Made(Protocol):
    """What calls have made, by their numbers."""

    def __getitem__(self, number: int, /) -> Any: ...


@dataclass(frozen=True)
class Given:
    """A call with other tensors for some of its arguments, or with another one added to its result.

    Attributes:
        of: which argument, by its place, and which tensor: a parameter by its key, or what a call has made
            by its number, which is below 0 for what none has made.
        added: whether it is added to the result.
        neighbour: the layer beside its own, of the same parent, whose parameters it has, in every block alike; "" for
            another.
        role: of a call before it, which is given that tensor too, its number and the place there: what stands there is
            meant in every turn of a loop, whoever has made it; None for what the call of that number has made.
    """

    of: tuple[tuple[Place, str | int], ...]
    added: bool = False
    neighbour: str = ""
    role: tuple[int, Place] | None = None

    def __call__(self, params: Mapping[str, Any], made: Made, function: Any, given: Arguments) -> Any:
        """The call's result."""
        if self.neighbour:
            keys = {id(tensor): key for key, tensor in params.items()}
            own = {at: keys[id(value)] for at, value in given.placed() if id(value) in keys}
            others = {at: params[beside(key, self.neighbour)] for at, key in own.items()}
        else:
            others = {at: params[name] if isinstance(name, str) else made[name] for at, name in self.of}
        if self.added:
            return given.of(function) + next(iter(others.values()))
        for at, value in others.items():
            given = given.put(at, value)
        return given.of(function)


@dataclass(frozen=True)
class Exchanged:
    """Two tensors in each other's place, in all that is given them from a call on.

    Attributes:
        start: the number of that call.
        pair: the numbers of the calls that have made them.
    """

    start: int
    pair: tuple[int, int]

    def __call__(self, made: Made, number: int, function: Any, given: Arguments) -> Any:
        """A call's result."""
        if number >= self.start:
            one, other = (made[of] for of in self.pair)
            swapped = {id(one): other, id(other): one}
            for at, value in [*given.placed()]:
                given = given.put(at, swapped[id(value)]) if id(value) in swapped else given
        return given.of(function)


@dataclass(frozen=True)
class Shared:
    """Calls that are given another tensor in the place of one that they share.

    Attributes:
        places: of each call, by its number, which of its arguments that tensor is.
        change: gives the other tensor, of the one, and of a number where there is one.
    """

    places: Mapping[int, Sequence[Place]]
    change: Callable[..., Any]

    def __call__(self, number: int, function: Any, given: Arguments, *x: float) -> Any:
        """A call's result."""
        for at in self.places[number]:
            given = given.put(at, self.change(given.taken(at), *x))
        return given.of(function)


@dataclass(frozen=True)
class Link:
    """A call in a chain of calls, each of which is given what the one before it has made.

    Attributes:
        number: of the call.
        at: which of its arguments comes from the one before; of the first, which one goes through the chain.
    """

    number: int
    at: Place


@dataclass(frozen=True)
class Reordered:
    """Calls of chains in another order.

    Attributes:
        chains: the links of each, as they follow each other.
        order: in which order they are done instead, counted from 0.
    """

    chains: Sequence[Sequence[Link]]
    order: Sequence[int]

    def begun(self) -> Callable[[int, Any, Arguments], Any]:
        """What gives each call's result in one run: nothing is done before the last one of a chain is called."""
        links = {link.number: (chain, link) for chain in self.chains for link in chain}
        held = dict[int, tuple[Any, Arguments]]()

        def of(number: int, function: Any, given: Arguments) -> Any:
            chain, link = links[number]
            held[number] = (function, given)
            x = given.taken(link.at)
            if link is not chain[-1]:
                return x + 0  # a tensor of its own: a parameter that a unit seemed to give would keep what watches it
            for place in self.order:
                function, given = held[chain[place].number]
                x = given.put(chain[place].at, x).of(function)
            return x

        return of


def strangers(framework: Framework, given: Arguments, known: Collection[int]) -> list[Any]:
    """Tensors that a call is given and that are not known by their `id`."""
    return [value for _, value in given.placed() if framework.is_tensor(value) and id(value) not in known]


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

    def meet(self, given: Arguments) -> None:
        """What a call is given that no call has made, as the samples: numbered from −1 down, as it comes."""
        for value in strangers(self.framework, given, (*self.params, *self.numbers)):
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

    def sources(self, given: Arguments) -> list[tuple[Place, int]]:
        """Which of a call's arguments other calls have made, and which ones."""
        own = [(at, self.numbers.get(id(of), -1)) for at, of in given.placed() if self.framework.is_tensor(of)]
        return [(at, number) for at, number in own if number >= 0]

    def operands(self, given: Arguments) -> list[tuple[Place, Any]]:
        """A call's tensors that are no parameters, by their places; they are kept, so that no `id` comes twice."""
        found = [(at, value) for at, value in given.placed() if self.framework.is_tensor(value)]
        self.kept += [value for _, value in found]
        return [(at, value) for at, value in found if id(value) not in self.params]

    def instead(self, given: Arguments, made: Any) -> Iterator[Given]:
        """A call with other tensors, of what it is given and of its result."""
        own = {at: self.params[id(value)] for at, value in given.placed() if id(value) in self.params}
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
        for at, value in given.placed():
            if self.framework.is_tensor(value) and id(value) not in self.params:
                yield from (Given(((at, number),)) for number in self._alike(value))
        if self.framework.is_tensor(made):
            yield from (Given(((0, number),), added=True) for number in self._alike(made))

    def _alike(self, tensor: Any) -> list[int]:
        """Earlier tensors of the same shape, the latest first."""
        shape, own = tuple(tensor.shape), self.numbers.get(id(tensor), -1)
        return [n for n, of in reversed(self.made.items()) if of == shape and n != own][:LATEST]
