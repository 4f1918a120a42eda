"""How is a call made anew: of other arguments, with something before it or after it, or with another in its place?

Each function here but the last ones gives the `call` of an `Other`. Where a number is searched for, the function that
it is made of is given the number too, behind the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

Args = Sequence[Any]
Options = Mapping[str, Any]
Call = Callable[..., Any]
Table = Mapping[tuple[str, ...], Callable[[Args, Options], Iterator[Other]]]
"""By the names of functions, what a call of one of them can have been."""


def instead(function: Callable[..., Any]) -> Call:
    """Another function, of its first argument."""
    return lambda f, a, o, *x: function(a[0], *x)


def before(function: Callable[..., Any]) -> Call:
    """The call, of what a function gives for its first argument."""
    return changed(0, function)


def after(function: Callable[..., Any]) -> Call:
    """A function of what the call gives."""
    return lambda f, a, o, *x: function(f(*a, **o), *x)


def changed(at: int, change: Callable[..., Any]) -> Call:
    """The call, of what a function gives for one of its arguments; a call that is not given it cannot be that."""
    return lambda f, a, o, *x: f(*a[:at], change(a[at], *x), *a[at + 1 :], **o)


def where_given(at: int, change: Callable[..., Any]) -> Call:
    """The same, but a call that is not given it stays as it is."""
    return lambda f, a, o, *x: f(*(change(v, *x) if i == at else v for i, v in enumerate(a)), **o)


def argument(at: int, value: Any) -> Call:
    """The call, with another value for one of its arguments, where that is given."""
    return where_given(at, lambda _: value)


def exchanged(one: int, other: int) -> Call:
    """The call, with two of its arguments in each other's place."""

    def call(f: Any, a: Args, o: Options) -> Any:
        given = list(a)
        given[one], given[other] = given[other], given[one]
        return f(*given, **o)

    return call


def with_options(**other: Any) -> Call:
    """The call, with other options."""
    return lambda f, a, o: f(*a, **{**o, **other})


def cast(dtype: str) -> Call:
    """What the call gives, rounded to a dtype."""

    def call(f: Any, a: Args, o: Options) -> Any:
        result = f(*a, **o)
        if not isinstance(result, torch.Tensor) or not result.is_floating_point():
            raise TypeError("no numbers")
        return result.to(getattr(torch, dtype)).to(result.dtype)

    return call


def as_given(f: Any, a: Args, o: Options) -> Any:
    """Its first argument, if what the call gives has the shape of it."""
    if f(*a, **o).shape != a[0].shape:
        raise ValueError("another shape")
    return a[0] + 0


# ---------------------------------------------------------------- what is read off a call, and what is done to tensors


def tensors(args: Args) -> list[Any]:
    """Those among its arguments, and those in lists of them."""
    flat = (one for value in args for one in (value if isinstance(value, (tuple, list)) else (value,)))
    return [value for value in flat if isinstance(value, torch.Tensor)]


def given(args: Args, options: Options, name: str, at: int, otherwise: Any = None) -> Any:
    """An argument, by its name or at its place; or what it is if it is left out."""
    return options.get(name, args[at] if len(args) > at else otherwise)


def transposed(x: Any) -> Any:
    """With its last two axes exchanged."""
    return x.transpose(-1, -2)


def rolled(by: int, axis: int = 0) -> Callable[[Any], Any]:
    """Moved along an axis, and around its end."""
    return lambda x: x.roll(by, axis)


def interleaved(parts: Sequence[Any]) -> Any:
    """Joined along the last axis, by turns."""
    return torch.stack(list(parts), -1).flatten(-2)
