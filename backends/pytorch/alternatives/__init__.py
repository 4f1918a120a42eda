"""What can a call of one of PyTorch's functions have been instead, in a model that was meant to be the same?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from operator import mul
from typing import Any

from isograd.backends.pytorch.alternatives import (
    activations,
    choices,
    constants,
    general,
    images,
    linear,
    losses,
    makers,
    masks,
    norms,
    recurrent,
    shapes,
    sums,
)
from isograd.backends.pytorch.alternatives.building import Args, Call, Options, Table, before, cast, tensors
from isograd.backends.pytorch.functions import ACTIVATIONS
from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

TABLES = (
    activations.TABLE,
    norms.TABLE,
    linear.TABLE,
    sums.TABLE,
    shapes.TABLE,
    choices.TABLE,
    masks.TABLE,
    recurrent.TABLE,
    images.TABLE,
    losses.TABLE,
    constants.TABLE,
)
"""In this order: a function may stand in several."""

LEFT_OUT = (
    "mul", "div", "sqrt", "rsqrt", "__mul__", "__truediv__", "__rmul__", "tanh", "sigmoid", "relu", "square", "sub",
    "__sub__", "exp", "log", "clamp", "abs", "pow", "__pow__", "neg",
)  # fmt: skip
"""Functions that can be left out: what they give has the shape of what they are given."""


def others(function: Any, args: Args, options: Options) -> Iterator[Other]:
    """What a call can have been instead."""
    name = getattr(function, "__name__", "")
    yield from _listed(makers.TABLE, name, args, options)
    if not any(tensor.is_floating_point() for tensor in tensors(args)):
        yield from _listed(makers.COMPARISONS, name, args, options)
        return
    for table in TABLES:
        yield from _listed(table, name, args, options)
    yield from constants.of_numbers(name, args)
    yield from general.general(function, args, options)
    yield from general.of_channels(name, args)
    if name in LEFT_OUT:
        yield Other("left out there", lambda f, a, o: next(v for v in a if isinstance(v, torch.Tensor)) + 0)
    for dtype in ("float32", "float16", "bfloat16"):
        yield Other(f"cast to {dtype} there", cast(dtype), anywhere=True)


def _listed(table: Table, name: str, args: Args, options: Options) -> Iterator[Other]:
    for names, of in table.items():
        if name in names:
            with suppress(NotImplementedError, IndexError):  # of a form that nothing is known of
                yield from of(args, options)


def shared(tensor: Any) -> Iterator[Other]:
    """What a tensor can have been that several calls are given."""
    if tensor.is_floating_point() and tensor.dim():
        for axis in dict.fromkeys((tensor.dim() - 1, min(1, tensor.dim() - 1))):
            words = f"with its mean over axis {axis} subtracted first there (a layer norm, and no RMS norm)"
            yield Other(words, partial(_centred, axis))
        for words in activations.BEFORE_SUMS:
            yield Other(f"through {words} first there", ACTIVATIONS[words])
        yield Other("{x} times as large there (scaled)", mul, 0.5)


def _centred(axis: int, x: Any) -> Any:
    return x - x.mean(axis, keepdim=True)


def cut(args: Args) -> Iterator[Other]:
    """With each of its operands detached, where there are several, and with all."""
    at = [i for i, value in enumerate(args) if isinstance(value, torch.Tensor) and value.requires_grad]
    which = {0: "first", 1: "second", 2: "third"}
    for i in at if len(at) > 1 else ():
        said = f"its {which.get(i, 'last')} operand is detached there (stop_gradient): no gradient goes through it"
        yield Other(said, _detached([i]))
    if at:
        yield Other("detached there (stop_gradient): no gradient goes through it", _detached(at))
    for place, joined in enumerate(args[0]) if args and isinstance(args[0], (tuple, list)) else ():
        if isinstance(joined, torch.Tensor) and joined.requires_grad:
            words = (
                f"part {place} of what it joins is detached there (stop_gradient): no gradient goes through it (a skip)"
            )
            yield Other(words, _part_detached(place))


def _detached(at: Sequence[int]) -> Call:
    return lambda f, a, o: f(*(x.detach() if i in at else x for i, x in enumerate(a)), **o)


def _part_detached(place: int) -> Call:
    return before(lambda parts: [x.detach() if i == place else x for i, x in enumerate(parts)])
