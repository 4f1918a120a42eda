"""What is an operation of ATen, to whoever moves its result, and how large are its errors?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from isograd.arithmetic import sizes
from isograd.backends.pytorch.noise.known import (
    CORRECT,
    EXACT,
    POOLS,
    PRODUCTS,
    ROUNDED_AT_WILL,
    SCATTERED,
    SPREADS,
    STATISTICS,
    SUMS,
    ULPS,
    UNKNOWN,
    UPDATES,
    UPSAMPLED,
    WHOLE,
    Kind,
)
from isograd.dtypes import FORMATS, Format
from isograd.lazy import LazyModule

torch = LazyModule("torch")
FAILURES = (ImportError, AttributeError, TypeError, ValueError, LookupError, RuntimeError, AssertionError)

SIXTH = 1 / 6
SHORT = {SIXTH: 2e-7}
"""Constants that a library writes with few digits, and how far off that is: PaddlePaddle's slope of a hard sigmoid."""


class Operation(NamedTuple):
    """What is known of an operation.

    Attributes:
        kind: how its result is moved.
        name: its own, without a mark of writing in place.
        arguments: the names of its arguments.
        rule: what it stands for, if anything.
        ulps: of each element.
        in_place: whether it writes to its first argument.
        out: the names of the arguments that it writes its results to.
        written: the places of other arguments that it writes to.
    """

    kind: Kind
    name: str
    arguments: tuple[str, ...]
    rule: Callable[..., Any] | None
    ulps: float
    in_place: bool
    out: tuple[str, ...]
    written: tuple[int, ...]


@cache
def _rules() -> dict[Any, Callable[..., Any]]:
    """The decompositions, by operation; none where this PyTorch does not give them away."""
    try:
        given = LazyModule("torch._decomp").get_decompositions
        packets = (getattr(torch.ops.aten, name, None) for name in sorted(WHOLE))
        rules: dict[Any, Callable[..., Any]] = given([packet for packet in packets if packet is not None])
    except FAILURES:
        return {}
    return {**rules, torch.ops.aten.hardsigmoid.default: _hardsigmoid}


def _hardsigmoid(x: Any) -> Any:
    """By its slope, a sixth, which some libraries write with seven digits, and not by a division by 6."""
    return torch.clamp(x * SIXTH + 0.5, 0, 1)


def _plain_name(func: Any) -> tuple[str, bool]:
    name = func._schema.name.split("::")[1]
    in_place = name.endswith("_") and not name.endswith("__")
    return name.rstrip("_") if in_place else name, in_place


def _rule(func: Any, name: str) -> Callable[..., Any] | None:
    """What an operation stands for; in place, or with ``out``, that of the same without."""
    rules = _rules()
    packet = getattr(torch.ops.aten, name, None)
    overload = func._overloadname
    for wanted in (overload, overload.removesuffix("_out"), "default"):
        found = getattr(packet, wanted, None) if wanted else None
        if found in rules and (found is func or "out" not in wanted):
            return rules[found]
    return None


@cache
def about(func: Any) -> Operation:
    """What is known of an operation of PyTorch."""
    schema = func._schema
    name, in_place = _plain_name(func)
    rule = _rule(func, name) if name in WHOLE else None
    kind, ulps = _kind(func, name, rule)
    written = [i for i, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
    out = tuple(a.name for a in schema.arguments if getattr(a, "is_out", False))
    aliased = any(r.alias_info is not None for r in schema.returns)
    return Operation(
        kind,
        name,
        tuple(a.name for a in schema.arguments),
        rule,
        ulps,
        in_place,
        out,
        STATISTICS.get(name, () if aliased or out else tuple(written)),
    )


def _kind(func: Any, name: str, rule: Callable[..., Any] | None) -> tuple[Kind, float]:
    aliases = [r.alias_info for r in func._schema.returns]
    if torch.Tag.nondeterministic_seeded in func.tags:
        return Kind.RANDOM, 0.0
    if rule is not None:
        return Kind.WHOLE, 0.0
    if name.startswith("_foreach_"):
        return Kind.EACH, 0.0
    if name in UPDATES:
        return Kind.UPDATE, 0.0
    for kind, names in ((Kind.PRODUCT, PRODUCTS), (Kind.SUM, SUMS), (Kind.SPREAD, SPREADS)):
        if name in names:
            return kind, 0.0
    if name in CORRECT | ROUNDED_AT_WILL or name in ULPS:
        return Kind.FUNCTION, ULPS.get(name, sizes.BASIC)
    is_view = bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)
    of_tensors = any("Tensor" in str(r.type) for r in func._schema.returns)
    written = any(a.alias_info is not None and a.alias_info.is_write for a in func._schema.arguments)
    if name in EXACT or name.endswith("_copy") or is_view or not (of_tensors or written):
        return Kind.EXACT, 0.0
    return Kind.UNKNOWN, UNKNOWN


def each(value: Any, change: Callable[[Any], Any]) -> Any:
    """A value, or each of a list or tuple of them."""
    if type(value) in (list, tuple):
        return type(value)(each(one, change) for one in value)
    return change(value)


def flat(value: Any) -> Iterator[Any]:
    """All that is in lists and tuples, however deep."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from flat(one)
    else:
        yield value


def is_moved(value: Any) -> bool:
    """Whether it is a tensor that has noise: of real numbers, laid out as numbers, with some in it."""
    return (
        isinstance(value, torch.Tensor)
        and form_of(value.dtype) is not None
        and value.layout is torch.strided
        and value.numel() > 0
    )


@cache
def form_of(dtype: Any) -> Format | None:
    """What a tensor of a dtype of PyTorch rounds as; None of whole and complex numbers, and of what is not known."""
    return next((form for name, form in FORMATS.items() if dtype is getattr(torch, name, None)), None)


def is_exact(operation: Operation, args: Any, result: Any) -> bool:
    """Whether nothing rounds after all: times a power of two, a count of steps, whole numbers of whole numbers."""
    name = operation.name
    if operation.kind is not Kind.FUNCTION or operation.ulps != sizes.BASIC or len(args) < 2:
        return name in ("index_put", "_index_put_impl", "_unsafe_index_put") and not any(args[3:4])
    if name in ("mul", "div") and isinstance(args[1], int | float) and abs(math.frexp(args[1])[0]) == 0.5:
        return True
    counted = name in ("add", "sub") and not isinstance(args[1], torch.Tensor) and result.dim() == 0
    if counted and float(result).is_integer():
        return True
    return name in CORRECT and all(is_whole(value) for value in (result, *args))


COUNTED = 2**16
"""So many elements are looked at: lengths, positions and counts, of which a floor must not become another."""


def is_whole(value: Any) -> bool:
    """Whether it is whole numbers: the first is looked at before all."""
    if not is_moved(value):
        return not isinstance(value, float) or value.is_integer()
    if value.numel() > COUNTED or not float(value.reshape(-1)[0]).is_integer():
        return False
    return bool((value == value.round()).all())


def is_multiple(value: Any, number: int) -> bool:
    """Whether it is whole multiples of a number: divided by it, they are whole numbers everywhere."""
    return is_whole(value) and (not isinstance(value, torch.Tensor) or bool((value % number == 0).all()))


def ulps_of(operation: Operation, args: Any) -> float:
    """Of each element; some powers are computed as what they are."""
    if operation.name != "pow" or isinstance(args[1], torch.Tensor):
        return operation.ulps
    return {1.0: 0.0, 2.0: sizes.BASIC, 0.5: ULPS["sqrt"], -0.5: ULPS["rsqrt"]}.get(float(args[1]), operation.ulps)


def written_to(operation: Operation, result: Any, args: Any, kwargs: Any) -> Any:
    """A result, put where the operation is to write it."""
    places = [args[0]] if operation.in_place else [kwargs[name] for name in operation.out if name in kwargs]
    if not places:
        return result
    for place, one in zip(places, flat(result), strict=False):
        (place if place.shape == one.shape else place.resize_(one.shape)).copy_(one)
    return places[0] if len(places) == 1 else tuple(places)


def terms_of(operation: Operation, args: Any, kwargs: Any, results: Sequence[Any]) -> list[float]:
    """How many terms are added up for an element of each result."""
    name = operation.name
    if name == "convolution_backward":
        return _terms_of_convolution_backward(*args[:3], transposed=args[7], groups=args[9])
    given = {**dict(zip(operation.arguments, args, strict=False)), **kwargs}
    return [float(_number(name, args, given, results))] * len(results)


def _terms_of_convolution_backward(out: Any, x: Any, weight: Any, *, transposed: bool, groups: int) -> list[float]:
    of_input = weight[0].numel() if transposed else weight[:, 0].numel() / groups
    of_weight = max(x[:, 0].numel(), out[:, 0].numel()) if transposed else out[:, 0].numel()
    return [of_input, of_weight, out[:, 0].numel()]


def _number(name: str, args: Any, given: Any, results: Sequence[Any]) -> Any:
    """The same for an operation whose results all have as many."""
    first = args[0] if isinstance(args[0], torch.Tensor) else results[0]
    if "convolution" in name:
        weight = given["weight"]
        return weight[:, 0].numel() / given.get("groups", 1) if given.get("transposed") else weight[0].numel()
    if name == "_trilinear":
        return math.prod(args[1].shape[1:])
    if name in PRODUCTS:
        factor = args[1] if name in ("addmm", "baddbmm", "addbmm", "addmv") else first
        return factor.shape[-1] * (factor.shape[0] if name == "addbmm" else 1)
    if name in UPSAMPLED:  # a place between two elements is off by u times where it is
        return max(max(one.shape[2:], default=1) for one in (first, results[0])) ** 2
    if name in POOLS:
        size = given.get("kernel_size", 1)
        return math.prod(size) ** (1 if len(size) > 1 else first.dim() - 2) if isinstance(size, list | tuple) else size
    if name in ("cumsum", "cumprod", "logcumsumexp", "prod"):
        dim = given.get("dim")
        return first.numel() if dim is None or not first.dim() else first.shape[dim]
    if name in ("embedding_dense_backward", "index_put", "_index_put_impl", "_unsafe_index_put"):
        indices = [one for one in flat(given["indices"]) if isinstance(one, torch.Tensor)]
        return max((one.numel() for one in indices), default=1)
    if name in SCATTERED:
        return given["index"].numel() if name == "index_add" else given["index"].shape[given["dim"]]
    if name.startswith("_cdist") or name.startswith("_pdist"):
        return first.shape[-1]
    largest = max((one.numel() for one in flat(list(args)) if is_moved(one)), default=1)
    return max(4.0 if "backward" in name else 1.0, largest / max(results[0].numel(), 1))
