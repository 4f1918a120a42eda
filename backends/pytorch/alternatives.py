"""What can a call of one of PyTorch's functions have been instead, in a model that was meant to be the same?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import permutations
from typing import Any

from isograd.backends.pytorch.functions import ACTIVATIONS, LOSSES
from isograd.backends.pytorch.spelled import Recurrent, gru
from isograd.framework import WEIGHTED, Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

Args = Sequence[Any]
Options = Mapping[str, Any]


def others(function: Any, args: Args, options: Options) -> Iterator[Other]:
    """What a call can have been instead."""
    name = getattr(function, "__name__", "")
    yield from _of_makers(name)
    tensors = [value for value in _flat(args) if isinstance(value, torch.Tensor)]
    if not any(tensor.is_floating_point() for tensor in tensors):
        yield from _of_whole_numbers(name, args)
        return
    for names, of in TABLE.items():
        if name in names:
            with suppress(NotImplementedError, IndexError):  # of a form that nothing is known of
                yield from of(args, options)
    if name in ("add", "__add__", "__iadd__", "__radd__", "add_") and len(tensors) > 1:
        yield from _of_sums(args)
    yield from _of_numbers(name, args)
    if name in LEFT_OUT:
        yield Other("left out there", lambda f, a, o: next(v for v in a if isinstance(v, torch.Tensor)) + 0)
    for dtype in ("float32", "float16", "bfloat16"):
        yield Other(f"cast to {dtype} there", _cast(dtype), anywhere=True)


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


def _detached(at: Sequence[int]) -> Callable[..., Any]:
    return lambda f, a, o: f(*(x.detach() if i in at else x for i, x in enumerate(a)), **o)


def _part_detached(place: int) -> Callable[..., Any]:
    return lambda f, a, o: f([x.detach() if i == place else x for i, x in enumerate(a[0])], *a[1:], **o)


def _flat(args: Args) -> Iterator[Any]:
    for value in args:
        yield from value if isinstance(value, (tuple, list)) else (value,)


def _instead(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda f, a, o: function(a[0])


def _after(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda f, a, o: function(f(*a, **o))


def _argument(at: int, value: Any) -> Callable[..., Any]:
    return lambda f, a, o: f(*(value if i == at else x for i, x in enumerate(a)), **o)


def _options(**other: Any) -> Callable[..., Any]:
    return lambda f, a, o: f(*a, **{**o, **other})


def _cast(dtype: str) -> Callable[..., Any]:
    def call(f: Any, a: Any, o: Any) -> Any:
        result = f(*a, **o)
        if not isinstance(result, torch.Tensor) or not result.is_floating_point():
            raise TypeError("no numbers")
        return result.to(getattr(torch, dtype)).to(result.dtype)

    return call


# ---------------------------------------------------------------- what makes numbers, and whole numbers


def _of_makers(name: str) -> Iterator[Other]:
    if name in ("ones", "zeros", "full"):
        yield from _of_filled((), {})
    if name == "zeros":
        yield Other("ones there, not zeros: it starts with ones (initial state)", _after(lambda x: x + 1))
    if name == "arange":
        for by in (1, -1):
            yield Other(f"positions begin at {by} there: shifted", _after(_moved(by)))
            yield Other(f"positions are shifted by {by} there, around the end", _after(_turned(by)))
        yield Other("positions run backwards there: in the reverse order", _after(lambda x: x.flip(0)))
    if name in ("tril", "triu"):
        for by in (1, -1):
            yield Other(f"the mask's diagonal is {by:+d} there: the causal mask is off by one", _diagonal(by))
        yield Other("the mask is transposed there: the future is seen", _after(lambda x: x.transpose(-1, -2)))
        yield Other("the mask is missing there: everything is seen", _after(lambda x: x.new_zeros(x.shape)))
        yield Other("the mask is missing there: everything is seen", _after(lambda x: x.new_ones(x.shape)))


def _of_whole_numbers(name: str, args: Args) -> Iterator[Other]:
    if name in ("eq", "__eq__", "ne", "__ne__", "lt", "__lt__", "le", "__le__", "gt", "__gt__", "ge", "__ge__"):
        yield Other("the comparison is the other way round there: the mask is inverted", _after(lambda x: ~x))
        yield Other("the mask is missing there: nothing is masked", _after(lambda x: x.new_zeros(x.shape)))
        yield Other("the mask is missing there: nothing is masked", _after(lambda x: x.new_ones(x.shape)))


def _of_filled(args: Args, options: Options) -> Iterator[Other]:
    """Labels made by hand, or states to begin with."""
    yield Other("ones and zeros are exchanged there: labels are swapped", _after(lambda x: 1 - x), anywhere=True)
    yield Other("filled with {x} there (labels: smoothed, scaled)", lambda f, a, o, x: f(*a, **o) * 0 + x, 0.5)


def _moved(by: int) -> Callable[[Any], Any]:
    return lambda x: x + by


def _turned(by: int) -> Callable[[Any], Any]:
    return lambda x: x.roll(-by)


def _diagonal(by: int) -> Callable[..., Any]:
    return lambda f, a, o: f(a[0], diagonal=o.get("diagonal", a[1] if len(a) > 1 else 0) + by)


# ---------------------------------------------------------------- activations, norms, linear functions


def _of_activations(args: Args, options: Options) -> Iterator[Other]:
    yield from (Other(f"{words} there", _instead(function)) for words, function in ACTIVATIONS.items())
    yield Other("elu of alpha {x} there", lambda f, a, o, x: torch.nn.functional.elu(a[0], x), 0.5)
    yield Other("one minus it there (inverted)", _after(lambda x: 1 - x))
    yield Other("of what is moved by {x} there (a bias, or a constant added)", _input(lambda x, by: x + by), 1.0)
    yield Other("of what is {x} times as large there (scaled)", _input(lambda x, by: x * by), 0.5)
    yield Other("leaky relu of slope {x} there", lambda f, a, o, x: torch.nn.functional.leaky_relu(a[0], x), 0.05)


def _input(change: Callable[[Any, float], Any]) -> Callable[..., Any]:
    return lambda f, a, o, x: f(change(a[0], x), *a[1:], **o)


def _of_inputs(args: Args, options: Options) -> Iterator[Other]:
    """What has been through another function before, or goes through one then."""
    for words, function in ACTIVATIONS.items():
        yield Other(f"what it is given goes through {words} there (an activation comes before it)", _before(function))
    for words, function in ACTIVATIONS.items():
        yield Other(f"what it gives goes through {words} there (an activation comes after it)", _after(function))
    yield Other("what it is given is {x} times as large there (scaled)", _input(lambda x, by: x * by), 0.5)
    yield Other("what it is given is moved by {x} there", _input(lambda x, by: x + by), 0.5)
    yield Other("it is left out there", _as_given)


def _as_given(f: Any, a: Args, o: Options) -> Any:
    if f(*a, **o).shape != a[0].shape:
        raise ValueError("another shape")
    return a[0] + 0


def _before(function: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda f, a, o: f(function(a[0]), *a[1:], **o)


def _of_embedding(args: Args, options: Options) -> Iterator[Other]:
    rows = args[1].shape[0]
    for row in (0, 1, rows - 1):
        yield Other(f"row {row} gives 0 there (padding index: padding_idx)", _row_of_zeros(row))
    for by in (1, -1):
        yield Other(f"the index is moved by {by} there (positions, or tokens, are shifted)", _index_moved(by, rows))
    yield Other("the index is 0 everywhere there: segments, types, positions are missing", _index(lambda i: 0 * i))
    yield Other("the index is 1 everywhere there", _index(lambda i: 0 * i + 1))
    yield Other("the index (tokens, positions) is reversed there along its last axis", _index(lambda i: i.flip(-1)))
    yield Other("the index is counted from the end there: positions are reversed", _index(lambda i: i.max() - i))
    yield Other("what it gives is {x} times as large there (scaled)", lambda f, a, o, x: f(*a, **o) * x, 2.0)


def _row_of_zeros(row: int) -> Callable[..., Any]:
    return lambda f, a, o: f(*a, **o) * (a[0] != row)[..., None]


def _index(change: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda f, a, o: f(change(a[0]), *a[1:], **o)


def _index_moved(by: int, rows: int) -> Callable[..., Any]:
    return lambda f, a, o: f((a[0] + by) % rows, *a[1:], **o)


def _of_softmax(args: Args, options: Options) -> Iterator[Other]:
    for axis in range(args[0].dim()):
        yield Other(f"over axis {axis} there", _over(axis))
    yield Other(
        "of numbers {x} times as large there (scaled: a temperature)", lambda f, a, o, x: f(a[0] * x, *a[1:], **o), 0.5
    )
    yield Other("a sigmoid there", _instead(lambda x: x.sigmoid()))


def _over(axis: int) -> Callable[..., Any]:
    def call(f: Any, a: Any, o: Any) -> Any:
        low = a[0] == float("-inf")  # a whole row of them would have no softmax; people write −10⁹ there
        options = {key: value for key, value in o.items() if key != "dim"}
        return f(a[0].masked_fill(low, -1e9), **{**options, "dim": axis})

    return call


def _of_norms(args: Args, options: Options) -> Iterator[Other]:
    yield Other("left out there: the norm is missing", _instead(lambda x: x + 0))


def _of_layer_norm(args: Args, options: Options) -> Iterator[Other]:
    x, shape = args[:2]
    eps = options.get("eps", args[4] if len(args) > 4 else 1e-5)
    axes = tuple(range(-len(shape), 0))

    def by_hand(mean: Callable[[Any], Any], variance: Callable[[Any], Any]) -> Callable[..., Any]:
        def call(f: Any, a: Any, o: Any) -> Any:
            weight = o.get("weight", a[2] if len(a) > 2 else None)
            bias = o.get("bias", a[3] if len(a) > 3 else None)
            out = (a[0] - mean(a[0])) * (variance(a[0]) + eps).rsqrt()
            out = out if weight is None else out * weight
            return out if bias is None else out + bias

        return call

    def mean(x: Any) -> Any:
        return x.mean(axes, keepdim=True)

    def none(x: Any) -> Any:
        return torch.zeros_like(mean(x))

    yield Other("an RMS norm there: the mean is not subtracted", by_hand(none, lambda x: mean(x * x)))
    words = "divided by the unbiased deviation there (n − 1, not n)"
    yield Other(words, by_hand(mean, lambda x: x.var(axes, correction=1, keepdim=True)))
    if x.dim() > 2:
        words = "normalised over all but the first axis there"
        rest = tuple(range(1, x.dim()))
        whole = by_hand(lambda x: x.mean(rest, keepdim=True), lambda x: x.var(rest, correction=0, keepdim=True))
        yield Other(words, whole)
    for axis in range(x.dim()):
        of_axis = by_hand(_mean_over(axis), _variance_over(axis))
        yield Other(f"normalised over axis {axis} there", of_axis)


def _mean_over(axis: int) -> Callable[[Any], Any]:
    return lambda x: x.mean(axis, keepdim=True)


def _variance_over(axis: int) -> Callable[[Any], Any]:
    return lambda x: x.var(axis, correction=0, keepdim=True)


def _of_batch_norm(args: Args, options: Options) -> Iterator[Other]:
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    of = {**dict(zip(names, args, strict=False)), **options}
    x, axes = args[0], [0, *range(2, args[0].dim())]

    def by_hand(axes: Sequence[int], correction: int) -> Callable[..., Any]:
        def call(f: Any, a: Any, o: Any) -> Any:
            f(*a, **o)  # the running statistics
            mean = a[0].mean(axes, keepdim=True)
            variance = a[0].var(axes, correction=correction, keepdim=True)
            out = (a[0] - mean) * (variance + of.get("eps", 1e-5)).rsqrt()
            shape = [1, -1] + [1] * (x.dim() - 2)
            for name, join in (("weight", torch.mul), ("bias", torch.add)):
                out = out if of.get(name) is None else join(out, of[name].reshape(shape))
            return out

        return call

    yield Other("divided by the unbiased deviation there (n − 1, not n)", by_hand(axes, 1))
    if x.dim() > 2:
        yield Other("normalised over the places of each sample there (instance norm)", by_hand(axes[1:], 0))
        yield Other("normalised over the samples alone there, at each place", by_hand([0], 0))


def _of_variance(args: Args, options: Options) -> Iterator[Other]:
    for correction, words in ((1, "unbiased: divided by n − 1, not n"), (0, "biased: divided by n, not n − 1")):
        yield Other(f"{words} there", _corrected(correction))


def _corrected(correction: int) -> Callable[..., Any]:
    def call(f: Any, a: Any, o: Any) -> Any:
        return f(*a, **{key: v for key, v in o.items() if key not in ("unbiased", "correction")}, correction=correction)

    return call


def _of_products(args: Args, options: Options) -> Iterator[Other]:
    one, other = args[:2]
    if other.dim() > 1 and other.shape[-1] == other.shape[-2]:
        words = "the second factor is transposed there"
        yield Other(words, lambda f, a, o: f(a[0], a[1].transpose(-1, -2), *a[2:], **o))
    if one.dim() > 1 and one.shape[-1] == one.shape[-2]:
        words = "the first factor is transposed there"
        yield Other(words, lambda f, a, o: f(a[0].transpose(-1, -2), *a[1:], **o))
    if one.shape == other.shape:
        yield Other("the factors are exchanged there: swapped", lambda f, a, o: f(a[1], a[0], *a[2:], **o))
    if one.dim() > 1 and one.shape == other.transpose(-1, -2).shape:
        words = "its factors (queries and keys) are exchanged there: swapped"
        yield Other(words, lambda f, a, o: f(*a, **o).transpose(-1, -2))


def _of_linear(args: Args, options: Options) -> Iterator[Other]:
    if args[1].shape[0] == args[1].shape[1]:
        yield Other("the weight is transposed there", lambda f, a, o: f(a[0], a[1].T, *a[2:], **o))
    if len(args) > 2 or "bias" in options:
        yield Other("the bias is left out there: it is missing", lambda f, a, o: f(a[0], a[1]))
        if len(args) > 2 and args[2] is not None:
            twice = "its bias is {x} times as large there (added twice, or scaled)"
            yield Other(twice, lambda f, a, o, x: f(a[0], a[1], a[2] * x), 2.0)


def _of_sums(args: Args) -> Iterator[Other]:
    mask = next((i for i in (0, 1) if isinstance(args[i], torch.Tensor) and _is_mask(args[i])), None)
    if mask is not None:
        yield from _of_added_masks(mask, float(args[mask].min()))
        return
    yield Other("the second part of the sum is left out there (a residual, skip or bias is missing)", _only(0))
    yield Other("the first part of the sum is left out there (a residual or skip is missing)", _only(1))
    for at, which in enumerate(("first", "second")):
        if isinstance(args[at], torch.Tensor) and args[at].dim() > 1 and args[at].shape[-2] > 1:
            words = f"the {which} part of the sum is missing at the first place there (class token)"
            yield Other(words, _but_first(at))
    for at, which in enumerate(("first", "second")):
        yield Other(f"the {which} part of the sum is {{x}} times as large there (scaled)", _part_scaled(at), 2.0)
    yield Other("the second part is subtracted there, not added", lambda f, a, o: f(a[0], -a[1], *a[2:], **o))
    yield Other("multiplied there, not added", lambda f, a, o: a[0] * a[1])


LOW = -1e3
"""What is added to a score to mask it is lower."""


def _is_mask(x: Any) -> bool:
    values = x.detach()
    return bool(((values == 0) | (values <= LOW)).all() and (values <= LOW).any())


def _of_added_masks(at: int, low: float) -> Iterator[Other]:
    """0 where attention may go, and a low number elsewhere."""

    def masked(make: Callable[..., Any]) -> Callable[..., Any]:
        def call(f: Any, a: Any, o: Any, *x: float) -> Any:
            seen = a[at] == 0
            return f(*(make(seen, *x).to(v.dtype) if i == at else v for i, v in enumerate(a)), **o)

        return call

    yield Other("the mask is left out there: it is missing", masked(lambda seen: 0 * seen))
    inverted = "the mask is inverted there: what may be seen is masked"
    yield Other(inverted, masked(lambda seen: torch.where(seen, low, 0.0)))
    yield Other("the mask of 1 and 0 is added there as it is", masked(lambda seen: 1.0 * seen))
    yield Other("the mask of 0 and 1 is added there as it is", masked(lambda seen: 1.0 * ~seen))
    yield Other("{x} is added at masked places there (mask value)", masked(lambda seen, x: x * ~seen), -1.0)
    for value in (-10.0, -100.0, -1e4, -1e9):
        yield Other(f"{value:g} is added at masked places there (mask value)", masked(_at_masked(value)))
    yield Other("the mask is transposed there", _mask_transposed(at))
    yield Other("masked by a factor there (multiplied), not by a sum", lambda f, a, o: a[1 - at] * (a[at] == 0))


def _at_masked(value: float) -> Callable[..., Any]:
    return lambda seen: torch.where(seen, 0.0, value)


def _mask_transposed(at: int) -> Callable[..., Any]:
    return lambda f, a, o: f(*(v.transpose(-1, -2) if i == at else v for i, v in enumerate(a)), **o)


def _but_first(at: int) -> Callable[..., Any]:
    def call(f: Any, a: Any, o: Any) -> Any:
        kept = torch.ones_like(a[at].select(-1, 0))[..., None]
        kept[..., 0, :] = 0
        return f(*(value * kept if i == at else value for i, value in enumerate(a)), **o)

    return call


def _part_scaled(at: int) -> Callable[..., Any]:
    return lambda f, a, o, x: f(*(value * x if i == at else value for i, value in enumerate(a)), **o)


def _only(at: int) -> Callable[..., Any]:
    return lambda f, a, o: a[at] + torch.zeros_like(a[1 - at])


def _of_factors(args: Args, options: Options) -> Iterator[Other]:
    if all(isinstance(value, torch.Tensor) for value in args[:2]):
        yield Other("added there, not multiplied", lambda f, a, o: a[0] + a[1])
        yield Other("the first factor is left out there", lambda f, a, o: a[1] + torch.zeros_like(a[0]))


def _of_means(args: Args, options: Options) -> Iterator[Other]:
    for name in ("sum", "mean", "amax"):
        yield Other(f"a {name.removeprefix('a')} there", _method(name))
    where = options.get("dim", args[1] if len(args) > 1 else None)
    if where is not None:
        name = "over all axes there, samples too (the whole batch)"
        yield Other(name, lambda f, a, o: f(a[0]), anywhere=True)
    if isinstance(where, (tuple, list)) and 0 not in where and args[0].dim() > len(where):
        yield Other("over axis 0 too there (the whole batch)", _over_samples_too, anywhere=True)
    if isinstance(where, int):
        for axis in range(args[0].dim()):
            yield Other(f"over axis {axis} there", _along(axis))
        yield Other("the last place there, in place of all (pooling)", lambda f, a, o: _place(a, o, -1))
        yield Other("the first place there, in place of all (pooling)", lambda f, a, o: _place(a, o, 0))


def _along(axis: int) -> Callable[..., Any]:
    return lambda f, a, o: f(a[0], **{**{key: value for key, value in o.items() if key != "dim"}, "dim": axis})


def _method(name: str) -> Callable[..., Any]:
    return lambda f, a, o: getattr(a[0], name)(*a[1:], **o)


def _over_samples_too(f: Any, a: Args, o: Options) -> Any:
    where = o.get("dim", a[1] if len(a) > 1 else ())
    return f(a[0], dim=(0, *where))


def _place(a: Args, o: Options, at: int) -> Any:
    return a[0].select(o.get("dim", a[1] if len(a) > 1 else 0), at)


# ---------------------------------------------------------------- shapes


def _of_parts(args: Args, options: Options) -> Iterator[Other]:
    """Chunks: in another order, or interleaved."""
    size = args[0].shape[options.get("dim", args[2] if len(args) > 2 else -1 if args[0].dim() == 1 else 0)]
    asked = args[1] if len(args) > 1 else 0
    for number in (2, 3, 4):
        if isinstance(asked, int) and (asked == number or asked * number == size):
            for order in list(permutations(range(number)))[1:]:
                words = f"its parts are in the order {list(order)} there (gates; or query, key, value: swapped)"
                yield Other(words, _permuted(order))
    wide = args[0].shape[-1]
    for parts in (2, 3, 4):
        for heads in (2, 3, 4, 6, 8, 12, 16):
            if wide % (parts * heads) == 0 and wide > parts * heads:
                words = f"its {parts} parts are laid out head by head there ({heads} heads, reshaped in another order)"
                yield Other(words, _head_by_head(parts, heads))


def _permuted(order: Sequence[int]) -> Callable[..., Any]:
    return lambda f, a, o: tuple(tuple(f(*a, **o))[i] for i in order)


def _head_by_head(parts: int, heads: int) -> Callable[..., Any]:
    def call(f: Any, a: Any, o: Any) -> Any:
        given = f(*a, **o)
        if len(given) != parts:
            raise ValueError("other parts")
        x = a[0]
        split = x.reshape(*x.shape[:-1], heads, parts, x.shape[-1] // (parts * heads))
        return tuple(part.reshape(like.shape) for part, like in zip(split.unbind(-2), given, strict=True))

    return call


def _of_shapes(args: Args, options: Options) -> Iterator[Other]:
    """What splits or joins axes, done in another order."""
    x = args[0]
    if x.dim() == 4:
        words = "channels are last there (NHWC layout) when it is flattened"
        yield Other(words, lambda f, a, o: f(a[0].permute(0, 2, 3, 1).contiguous(), *a[1:], **o))

    def of(make: Callable[[Any, tuple[int, ...]], Any]) -> Callable[..., Any]:
        def call(f: Any, a: Any, o: Any) -> Any:
            out = f(*a, **o)
            made = make(a[0], tuple(out.shape))
            if tuple(made.shape) != tuple(out.shape):
                raise ValueError("another shape")
            return made

        return call

    words = "channels are last there (NHWC layout) where it is reshaped, and moved then"
    yield Other(words, of(lambda x, s: x.reshape(s[0], *s[2:], s[1]).movedim(-1, 1)))
    words = "the last two axes are split in the other order there: heads are interleaved"
    yield Other(words, of(lambda x, s: x.reshape(*s[:-2], s[-1], s[-2]).transpose(-1, -2)))
    words = "reshaped to heads before places there, without being transposed"
    yield Other(words, of(lambda x, s: x.reshape(*s[:-3], s[-2], s[-3], s[-1]).transpose(-3, -2)))
    for one, other in ((0, 1), (1, 2), (2, 3)):
        words = f"axes {one} and {other} are exchanged there before it is reshaped (transposed)"
        yield Other(words, of(_transposed_first(one, other)))
        words = f"axes {one} and {other} are not transposed there, but reshaped"
        yield Other(words, of(_reshaped_only(one, other)))


def _transposed_first(one: int, other: int) -> Callable[[Any, tuple[int, ...]], Any]:
    return lambda x, shape: x.transpose(one, other).reshape(shape)


def _reshaped_only(one: int, other: int) -> Callable[[Any, tuple[int, ...]], Any]:
    def made(x: Any, shape: tuple[int, ...]) -> Any:
        swapped = list(shape)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        return x.reshape(swapped).transpose(one, other)

    return made


def _of_transposed(args: Args, options: Options) -> Iterator[Other]:
    words = "reshaped there, not transposed"
    yield Other(words, lambda f, a, o: a[0].reshape(f(*a, **o).shape))
    x = args[0]
    if len({*x.shape[-2:]}) == 1:
        yield Other("left out there: not transposed", _as_given)


def _of_joins(args: Args, options: Options) -> Iterator[Other]:
    if len(args[0]) > 1:
        yield Other("interleaved there, not side by side", lambda f, a, o: _interleaved(a[0]))
    yield Other("joined in the reverse order there", lambda f, a, o: f([*a[0]][::-1], *a[1:], **o))
    if len(args[0]) > 1 and len({tuple(x.shape) for x in args[0]}) == 1:
        for at in range(min(len(args[0]), 4)):
            words = f"part {at} stands in the place of all there"
            yield Other(words, _one_for_all(at))
    axes = range(args[0][0].dim())
    for axis in axes:
        yield Other(f"joined along axis {axis} there", _joined(axis))


def _one_for_all(at: int) -> Callable[..., Any]:
    return lambda f, a, o: f([a[0][at]] * len(a[0]), *a[1:], **o)


def _joined(axis: int) -> Callable[..., Any]:
    return lambda f, a, o: f(a[0], dim=axis).reshape(f(*a, **o).shape)


def _of_indices(args: Args, options: Options) -> Iterator[Other]:
    """A place of a sequence, or a range of it."""
    x, where = args[:2]
    given = where if isinstance(where, tuple) else (where,)
    for at, index in enumerate(given):
        if isinstance(index, int) and at < x.dim():
            for other in (0, -1, index + 1, index - 1):
                if other != index and -x.shape[at] <= other < x.shape[at]:
                    there = tuple(other if i == at else v for i, v in enumerate(given))
                    yield Other(f"place {other} along axis {at} there, not {index} (-1: the last)", _argument(1, there))
            words = f"the mean over axis {at} there, not place {index} (pooling)"
            yield Other(words, _mean(at))
        if isinstance(index, slice) and at < x.dim() and index != slice(None):
            for by in (1, -1):
                words = f"the range along axis {at} is shifted by {by} there"
                yield Other(words, _rolled(at, -by))


def _mean(axis: int) -> Callable[..., Any]:
    return lambda f, a, o: a[0].mean(axis)


def _rolled(axis: int, by: int) -> Callable[..., Any]:
    return lambda f, a, o: f(a[0].roll(by, axis), *a[1:], **o)


def _of_flips(args: Args, options: Options) -> Iterator[Other]:
    yield Other("left out there: not reversed", lambda f, a, o: a[0] + 0)


# ---------------------------------------------------------------- masks and attention


def _of_masks(args: Args, options: Options) -> Iterator[Other]:
    """A value put in at masked places."""
    if len(args) < 3:
        return
    yield Other("the mask is inverted there", lambda f, a, o: f(a[0], ~a[1], *a[2:], **o))
    yield Other("the mask is missing there", lambda f, a, o: a[0] + 0)
    for value in (0.0, -1e4, -1e9, -1e20, float("-inf")):
        yield Other(f"{value:g} is put in there (mask value)", _argument(2, value))
    if args[1].shape[-1] == args[1].shape[-2]:
        square = torch.ones(args[1].shape[-2:], dtype=torch.bool)
        but_first = square.tril(-1)
        but_first[0, 0] = True
        for words, mask in (
            ("the causal mask is off by one: the next place is seen", ~square.tril(1)),
            ("the causal mask is off by one: the own place is masked", ~square.tril(-1)),
            ("the causal mask is off by one: all but the first do not see themselves", ~but_first),
            ("the causal mask is transposed: only the future is seen", ~square.triu()),
            ("it is causal, and masked", ~square.tril()),
        ):
            yield Other(f"{words} there", _argument(1, mask))
    added = "{x} is added at masked places there (mask value), and no minus infinity"
    yield Other(added, lambda f, a, o, x: a[0] + x * a[1], -1.0)
    put = "{x} is put in at masked places there (mask value)"
    yield Other(put, lambda f, a, o, x: f(a[0], a[1], float(x)), -1.0)


def _of_attention(args: Args, options: Options) -> Iterator[Other]:
    query = args[0]
    width, heads, places = query.shape[-1], query.shape[1] if query.dim() == 4 else 1, query.shape[-2]
    yield Other("the scale 1/√d is left out there", _options(scale=1.0))
    yield Other("scaled by the model's width there, not the head's", _options(scale=(width * heads) ** -0.5))
    yield Other("scaled by 1/d there, not by 1/√d", _options(scale=1.0 / width))
    yield Other("it is not causal there: the mask is missing", _options(is_causal=False, attn_mask=None))
    yield Other("it is causal there", _options(is_causal=True, attn_mask=None))
    yield Other("query and key are exchanged there", lambda f, a, o: f(a[1], a[0], *a[2:], **o))
    yield Other("key and value are exchanged there", lambda f, a, o: f(a[0], a[2], a[1], *a[3:], **o))
    yield Other("query and value are exchanged there", lambda f, a, o: f(a[2], a[1], a[0], *a[3:], **o))
    for axis in range(query.dim() - 2):
        yield Other(f"the softmax is over axis {axis} there (samples, heads)", _over_heads(axis))
    seen = torch.ones(places, args[1].shape[-2], dtype=torch.bool)
    for words, mask in (
        ("the causal mask is off by one: the next place is seen", seen.tril(1)),
        ("the causal mask is off by one: the own place is masked", seen.tril(-1)),
        ("the causal mask is transposed: only the future is seen", seen.triu()),
    ):
        yield Other(f"{words} there", _options(is_causal=False, attn_mask=mask))
    causal = options.get("is_causal", args[5] if len(args) > 5 else False)
    masked = options.get("attn_mask", args[3] if len(args) > 3 else None)
    if causal or masked is not None:
        mask = seen.tril() if causal else masked if masked.dtype == torch.bool else masked > -1
        words = "masked after the softmax there, not before it: weights do not add up to 1"
        yield Other(words, _masked_after(mask, again=False))
        yield Other("masked after the softmax there, and normalised again", _masked_after(mask, again=True))


def _over_heads(axis: int) -> Callable[..., Any]:
    """Where all of an axis is masked alike, the mask changes nothing."""

    def call(f: Any, a: Any, o: Any) -> Any:
        scale = o.get("scale") or a[0].shape[-1] ** -0.5
        return (a[0] @ a[1].transpose(-1, -2) * scale).softmax(axis) @ a[2]

    return call


def _masked_after(mask: Any, *, again: bool) -> Callable[..., Any]:
    def call(f: Any, a: Any, o: Any) -> Any:
        scale = o.get("scale") or a[0].shape[-1] ** -0.5
        weights = (a[0] @ a[1].transpose(-1, -2) * scale).softmax(-1) * mask
        return (weights / weights.sum(-1, keepdim=True) if again else weights) @ a[2]

    return call


# ---------------------------------------------------------------- recurrent


def _of_recurrent(args: Args, options: Options) -> Iterator[Other]:
    """What `torch.lstm` and its like are given."""
    of = Recurrent.of(*args)
    yield Other("the hidden state starts with ones there", _given(lambda of: {"state": _each(of.state, _plus_one)}))
    if of.sizes is None:
        time = 1 if of.batch_first else 0
        yield Other("the sequence is read from its end there: reversed in time", _in_time(lambda x: x.flip(time)))
        yield Other("the batch is taken for the time there (batch first, time major)", _batch_for_time)
    if of.layers > 1 and not of.both:
        every = "every layer takes the weights of the first there"
        yield Other(every, _given(lambda of: {"weights": list(of.weights[: of.each]) * of.layers}))
        rest = "every layer but the first takes the weights of the second there"
        yield Other(rest, _given(lambda of: {"weights": _second_for_rest(of)}))
    if of.both:
        both = "both directions take the weights of the first there"
        yield Other(both, _given(lambda of: {"weights": _one_direction(of)}))
        yield Other("the directions are exchanged there: backward before forward", _directions(_exchanged))
        yield Other("the directions are interleaved there, not side by side", _directions(_interleaved))
        yield Other("the directions are added there", _directions(lambda halves: torch.cat([sum(halves)] * 2, -1)))
        if of.layers == 1 and of.sizes is None:
            words = "the direction back is read forward there: the sequence is not reversed for it"
            yield Other(words, _both_forward)
    if of.biases:
        for at, words in ((2, "the first bias (of the input)"), (3, "the second bias (of the state)")):
            yield Other(f"{words} is left out there: it is missing", _given(_without(at)))


def _of_gru(args: Args, options: Options) -> Iterator[Other]:
    for reset in ("of both parts", "of the state"):
        words = f"the reset gate is a factor {reset} there, not of the state's part of the candidate"
        yield Other(words, _reset(reset))


def _reset(where: str) -> Callable[..., Any]:
    return lambda f, a, o: gru(*a, reset=where)


def _given(change: Callable[[Recurrent], dict[str, Any]]) -> Callable[..., Any]:
    """The same call with some of what it is given otherwise."""

    def call(f: Any, a: Any, o: Any) -> Any:
        of = Recurrent.of(*a)
        return f(*replace(of, **change(of)).args())

    return call


def _each(state: Any, change: Callable[[Any], Any]) -> Any:
    return tuple(map(change, state)) if isinstance(state, (tuple, list)) else change(state)


def _plus_one(x: Any) -> Any:
    return x + 1


def _in_time(change: Callable[[Any], Any]) -> Callable[..., Any]:
    def call(f: Any, a: Any, o: Any) -> Any:
        out, *state = f(change(a[0]), *a[1:], **o)
        return (change(out), *state)

    return call


def _without(bias: int) -> Callable[[Recurrent], dict[str, Any]]:
    return lambda of: {"weights": [torch.zeros_like(v) if i % 4 == bias else v for i, v in enumerate(of.weights)]}


def _second_for_rest(of: Recurrent) -> list[Any]:
    return [*of.weights[: of.each], *list(of.weights[of.each : 2 * of.each]) * (of.layers - 1)]


def _one_direction(of: Recurrent) -> list[Any]:
    pairs = [of.weights[at : at + of.each] for at in range(0, len(of.weights), 2 * of.each)]
    return [w for pair in pairs for w in (*pair, *pair)]


def _batch_for_time(f: Any, a: Any, o: Any) -> Any:
    of = Recurrent.of(*a)
    x = of.x.transpose(0, 1)
    samples = x.shape[0 if of.batch_first else 1]
    state = _each(of.state, lambda s: s.new_zeros(s.shape[0], samples, s.shape[2]))
    out, *rest = f(*replace(of, x=x, state=state).args())
    return (out.transpose(0, 1), *rest)


def _directions(join: Callable[[Sequence[Any]], Any]) -> Callable[..., Any]:
    def call(f: Any, a: Any, o: Any) -> Any:
        out, *state = f(*a, **o)
        return (join(out.chunk(2, -1)), *state)

    return call


def _exchanged(halves: Sequence[Any]) -> Any:
    return torch.cat(halves[::-1], -1)


def _interleaved(halves: Sequence[Any]) -> Any:
    return torch.stack(list(halves), -1).flatten(-2)


def _both_forward(f: Any, a: Any, o: Any) -> Any:
    of = Recurrent.of(*a)
    out, *state = f(*a, **o)
    swapped = [*of.weights[of.each :], *of.weights[: of.each]]
    other = f(*replace(of, weights=swapped).args())[0]
    return (torch.cat([out.chunk(2, -1)[0], other.chunk(2, -1)[0]], -1), *state)


def _of_packing(args: Args, options: Options) -> Iterator[Other]:
    """Sequences of which padding is no part: `torch._pack_padded_sequence`."""
    whole = "the lengths are missing there: padding is read too (not masked, not packed)"
    yield Other(whole, lambda f, a, o: f(a[0], torch.full_like(a[1], a[0].shape[1 if a[2] else 0]), *a[2:], **o))
    for by in (1, -1):
        yield Other(f"the lengths are {by:+d} there", _lengths(by))


def _lengths(by: int) -> Callable[..., Any]:
    return lambda f, a, o: f(a[0], (a[1] + by).clamp(1, a[0].shape[1 if a[2] else 0]), *a[2:], **o)


# ---------------------------------------------------------------- images


def _of_pools(args: Args, options: Options) -> Iterator[Other]:
    """Of images: another kind, another kernel, other edges."""
    functional = torch.nn.functional

    def pooled(kind: str, **other: Any) -> Callable[..., Any]:
        """The same pooling, of a kind, with another setting."""

        def call(f: Any, a: Any, o: Any) -> Any:
            names = ("kernel_size", "stride", "padding")
            given = {**dict(zip(names, a[1:4], strict=False)), **{name: o[name] for name in names if name in o}}
            given["stride"] = given.get("stride") or given["kernel_size"]
            return getattr(functional, kind)(a[0], **{"padding": 0, **given, **other})

        return call

    yield Other("average pooling there, not max", pooled("avg_pool2d"))
    yield Other("max pooling there, not average", pooled("max_pool2d"))
    for size in (2, 3, 4):
        yield Other(f"the pooling's kernel is {size} there", pooled("max_pool2d", kernel_size=size))
        yield Other(f"the pooling's stride is {size - 1} there", pooled("max_pool2d", stride=size - 1))
    for pad in (0, 1):
        yield Other(f"the pooling's padding is {pad} there", pooled("max_pool2d", padding=pad))
    for ceil in (True, False):
        yield Other(f"the pooling's ceil_mode is {ceil} there", pooled("max_pool2d", ceil_mode=ceil))
    for counted in (True, False):
        words = f"padding is {'' if counted else 'not '}counted in the average there (count_include_pad, exclusive)"
        yield Other(words, pooled("avg_pool2d", count_include_pad=counted))


def _of_adaptive(args: Args, options: Options) -> Iterator[Other]:
    functional = torch.nn.functional
    yield Other("max pooling there, not average", lambda f, a, o: functional.adaptive_max_pool2d(*a, **o))
    yield Other("average pooling there, not max", lambda f, a, o: functional.adaptive_avg_pool2d(*a[:2]))
    yield Other("the sum there, not the average", lambda f, a, o: a[0].sum((2, 3), keepdim=True))


def _of_convolutions(args: Args, options: Options) -> Iterator[Other]:
    """Where pixels beyond the edges come from, and how far apart places are."""

    def call(make: Callable[[Any, int, int], Any], dilation: int = 0) -> Callable[..., Any]:
        def other(f: Any, a: Any, o: Any) -> Any:
            x, weight, bias, stride, padding, spread, groups = [*a, *(None, 1, 0, 1, 1)[len(a) - 2 :]][:7]
            high, wide = padding if isinstance(padding, (tuple, list)) else (padding, padding)
            return f(make(x, int(high), int(wide)), weight, bias, stride, 0, dilation or spread, groups)

        return other

    pad = torch.nn.functional.pad
    for how in ("replicate", "reflect", "circular"):
        yield Other(f"padding is {how} there, not zeros (padding mode)", call(_edges(how)))
    yield Other("padding is on one side only there (before)", call(lambda x, h, w: pad(x, (2 * w, 0, 2 * h, 0))))
    yield Other("padding is on one side only there (after)", call(lambda x, h, w: pad(x, (0, 2 * w, 0, 2 * h))))
    wide = call(lambda x, h, w: pad(x, (2 * w, 2 * w, 2 * h, 2 * h)), 2)
    yield Other("the dilation is 2 there, with padding for it", wide)
    strides = "the stride's places begin at {} there (offset)"
    for by in (1, -1):
        moved = call(_shifted(by))
        yield Other(strides.format(by) + ": padding is moved", moved)
    yield Other("the bias is left out there: it is missing", lambda f, a, o: f(a[0], a[1], None, *a[3:], **o))
    turned = "the kernel is turned there: a convolution, and no cross-correlation"
    yield Other(turned, lambda f, a, o: f(a[0], a[1].flip(-1, -2), *a[2:], **o))
    if args[1].shape[0] == args[1].shape[1]:
        channels = "channels of the weight are exchanged there: transposed, (in, out) for (out, in)"
        yield Other(channels, lambda f, a, o: f(a[0], a[1].transpose(0, 1), *a[2:], **o))
    swapped = "height and width of the kernel are exchanged there (transposed)"
    yield Other(swapped, lambda f, a, o: f(a[0], a[1].transpose(-1, -2), *a[2:], **o))


def _shifted(by: int) -> Callable[[Any, int, int], Any]:
    return lambda x, h, w: torch.nn.functional.pad(x, (w - by, w + by, h - by, h + by))


def _of_transposed_convolutions(args: Args, options: Options) -> Iterator[Other]:
    """What the edges of a larger image are made of."""
    names = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")

    def call(
        make: Callable[[Any, tuple[int, ...]], Any] = lambda out, shape: out,
        weight: Callable[[Any], Any] = lambda w: w,
        **other: Any,
    ) -> Callable[..., Any]:
        def instead(f: Any, a: Any, o: Any) -> Any:
            given = {**dict(zip(names, a, strict=False)), **o}
            shape = tuple(f(*a, **o).shape)
            return make(f(**{**given, "weight": weight(given["weight"]), **other}), shape)

        return instead

    def first(out: Any, shape: tuple[int, ...]) -> Any:
        return out[..., : shape[-2], : shape[-1]]

    def last(out: Any, shape: tuple[int, ...]) -> Any:
        return out[..., -shape[-2] :, -shape[-1] :]

    def filled(out: Any, shape: tuple[int, ...]) -> Any:
        return torch.nn.functional.pad(out, (0, shape[-1] - out.shape[-1], 0, shape[-2] - out.shape[-2]))

    yield Other("padding is cut off at the end only there", call(first, padding=0, output_padding=0))
    yield Other("padding is cut off at the beginning only there", call(last, padding=0, output_padding=0))
    yield Other("output_padding is a border of zeros there", call(filled, output_padding=0))
    if args[1].shape[0] == args[1].shape[1]:
        words = "channels of the weight are exchanged there: transposed, (in, out) for (out, in)"
        yield Other(words, call(weight=lambda w: w.transpose(0, 1)))
    yield Other("the kernel is turned there", call(weight=lambda w: w.flip(-1, -2)))


def _edges(how: str) -> Callable[[Any, int, int], Any]:
    return lambda x, h, w: torch.nn.functional.pad(x, (w, w, h, h), mode=how)


def _of_resizing(args: Args, options: Options) -> Iterator[Other]:
    for how, corners in (("nearest", None), ("bilinear", False), ("bilinear", True), ("bicubic", False)):
        said = f"{how}{'' if corners is None else f' with align_corners={corners}'} there"
        yield Other(said, _options(mode=how, align_corners=corners))
    if args[0].dim() == 4:
        yield Other("bilinear from the corner on there, not from half a pixel on (align_mode 1)", _from_the_corner)


def _from_the_corner(f: Any, a: Any, o: Any) -> Any:
    """Bilinear, with place i of the larger image at i · in / out of the smaller one."""
    x, shape = a[0], f(*a, **o).shape
    for axis in (-2, -1):
        small, large = x.shape[axis], shape[axis]
        at = torch.arange(large, dtype=x.dtype) * (small / large)
        low = at.floor().long().clamp(max=small - 1)
        high = (low + 1).clamp(max=small - 1)
        share = (at - low).reshape([-1] + [1] * (-1 - axis))
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, high) * share
    return x


# ---------------------------------------------------------------- losses


def _of_cross_entropy(args: Args, options: Options) -> Iterator[Other]:
    classes = args[0].shape[1] if args[0].dim() > 1 else 1
    yield Other("label smoothing is {x} there", lambda f, a, o, x: f(*a, **{**o, "label_smoothing": min(x, 1.0)}), 0.1)
    for reduction in ("sum", "mean"):
        yield Other(f"its reduction is {reduction} there", _options(reduction=reduction))
    for label in (0, 1, -1, -100, classes - 1):
        yield Other(f"label {label} is ignored there (ignore_index)", _options(ignore_index=label))
    yield Other("of what has been through a softmax there", lambda f, a, o: f(a[0].softmax(1), *a[1:], **o))
    yield Other("of what has been through a sigmoid there", lambda f, a, o: f(a[0].sigmoid(), *a[1:], **o))
    scaled = "of outputs that are {x} times as large there (scaled: a temperature)"
    yield Other(scaled, lambda f, a, o, x: f(a[0] * x, *a[1:], **o), 0.5)
    for axis in range(args[0].dim()):
        yield Other(f"its softmax is over axis {axis} there", _nll_over(axis))
    for words, loss in LOSSES.items():
        if words != WEIGHTED:
            yield Other(f"{words} there", _loss(loss))
    for by in (1, -1):
        words = f"labels are shifted by {by} along the batch there"
        yield Other(words, _labels_rolled(by))
    yield Other("weighted by how rare each class is there (class weights)", _balanced(classes))


def _nll_over(axis: int) -> Callable[..., Any]:
    return lambda f, a, o: torch.nn.functional.nll_loss(
        a[0].log_softmax(axis), *a[1:], **{key: value for key, value in o.items() if key != "label_smoothing"}
    )


def _loss(loss: Callable[..., Any]) -> Callable[..., Any]:
    return lambda f, a, o: loss(*a[:2])


def _balanced(classes: int) -> Callable[..., Any]:
    def call(f: Any, a: Any, o: Any) -> Any:
        counts = a[1].flatten().bincount(minlength=classes).clamp(min=1).to(a[0].dtype)
        return f(a[0], a[1], 1 / counts, **o)

    return call


def _labels_rolled(by: int) -> Callable[..., Any]:
    return lambda f, a, o: f(a[0], a[1].roll(by, 0), *a[2:], **o)


def _of_losses(args: Args, options: Options) -> Iterator[Other]:
    for reduction in ("sum", "mean"):
        yield Other(f"its reduction is {reduction} there", _options(reduction=reduction))
    scaled = "of outputs that are {x} times as large there (scaled)"
    yield Other(scaled, lambda f, a, o, x: f(a[0] * x, *a[1:], **o), 0.5)
    yield Other("of what has been through a sigmoid there", lambda f, a, o: f(a[0].sigmoid(), *a[1:], **o))


def _of_weighted_positives(args: Args, options: Options) -> Iterator[Other]:
    given = options.get("pos_weight", args[5] if len(args) > 5 else None)

    def instead(f: Any, a: Any, o: Any, **other: Any) -> Any:
        return f(*a[:2], **{**{k: v for k, v in o.items() if k not in ("weight", "pos_weight")}, **other})

    if given is not None:
        words = "the weight of positives (pos_weight) is that of all samples there (weight)"
        yield Other(words, lambda f, a, o: instead(f, a, o, weight=given))
        yield Other("the weight of positives (pos_weight) is missing there", lambda f, a, o: instead(f, a, o))
    words = "the weight of positives (pos_weight) is {x} there"
    yield Other(words, lambda f, a, o, x: instead(f, a, o, pos_weight=a[0].new_tensor(x)), 2.0)


# ---------------------------------------------------------------- constants


def _of_numbers(name: str, args: Args) -> Iterator[Other]:
    """Constants that are another: left out, its square, root, half, double or reciprocal; or any number."""
    for at, value in enumerate(args):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value and name not in SHAPES:
            x = float(value)
            what = {"div": "divisor (scale)", "mul": "factor (scale)"}.get(name.strip("_").lstrip("r"), "constant")
            what = "factor (mask value)" if x <= LOW else what
            for words, other in (
                ("squared", x * x), ("its root", abs(x) ** 0.5), ("its reciprocal", 1 / x), ("1: left out", 1.0),
                ("0: left out", 0.0), ("of the other sign", -x),
            ):  # fmt: skip
                yield Other(f"its {what} {value:g} is {words} there", _argument(at, other))
            yield Other(f"its {what} {value:g} is {{x}} there", _number(at), x if x > 0 else -1.0)


def _number(at: int) -> Callable[..., Any]:
    return lambda f, a, o, x: f(*(x if i == at else value for i, value in enumerate(a)), **o)


SHAPES = (
    "view", "reshape", "transpose", "permute", "flatten", "unsqueeze", "squeeze", "split", "chunk", "__getitem__",
    "size", "softmax", "log_softmax", "mean", "sum", "cat", "stack", "expand", "repeat", "conv1d", "conv2d", "conv3d",
    "unflatten", "max_pool2d", "avg_pool2d", "boolean_dispatch", "embedding", "select", "narrow", "roll", "flip",
    "linear", "dropout", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "pad", "interpolate", "lstm", "gru",
    "layer_norm", "max", "min", "argmax", "rnn_tanh", "rnn_relu", "multi_head_attention_forward", "tril", "triu",
    "unbind", "index_select", "masked_fill", "masked_fill_", "var", "std", "batch_norm", "new_zeros", "new_ones",
    "swapaxes", "movedim", "tensor_split", "group_norm", "scaled_dot_product_attention",
)  # fmt: skip
"""Functions whose numbers are axes and sizes."""

LEFT_OUT = (
    "mul", "div", "sqrt", "rsqrt", "__mul__", "__truediv__", "__rmul__", "tanh", "sigmoid", "relu", "square", "sub",
    "__sub__", "exp", "log", "clamp", "abs", "pow", "__pow__", "neg",
)  # fmt: skip
"""Functions that can be left out: what they give has the shape of what they are given."""

TABLE: Mapping[tuple[str, ...], Callable[[Args, Options], Iterator[Other]]] = {
    (
        "relu", "relu_", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "celu", "hardswish",
        "hardsigmoid", "relu6", "hardtanh", "mish", "softplus", "logsigmoid",
    ): _of_activations,
    ("softmax", "log_softmax", "_softmax"): _of_softmax,
    ("layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm"): _of_norms,
    ("batch_norm",): _of_batch_norm,
    ("layer_norm",): _of_layer_norm,
    ("var", "std"): _of_variance,
    ("matmul", "bmm", "__matmul__", "mm"): _of_products,
    ("linear",): _of_linear,
    (
        "linear", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "layer_norm", "batch_norm", "group_norm", "matmul",
    ): _of_inputs,
    ("ones_like", "zeros_like", "full_like"): _of_filled,
    ("embedding",): _of_embedding,
    ("mul", "__mul__", "__imul__", "mul_"): _of_factors,
    ("mean", "sum"): _of_means,
    ("chunk", "split", "unbind", "tensor_split"): _of_parts,
    ("flatten", "reshape", "view", "unflatten"): _of_shapes,
    ("transpose", "permute", "swapaxes", "t"): _of_transposed,
    ("cat", "stack", "concat"): _of_joins,
    ("__getitem__",): _of_indices,
    ("flip",): _of_flips,
    ("masked_fill", "masked_fill_"): _of_masks,
    ("scaled_dot_product_attention",): _of_attention,
    ("lstm", "gru", "rnn_tanh", "rnn_relu"): _of_recurrent,
    ("gru",): _of_gru,
    ("_pack_padded_sequence",): _of_packing,
    ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "boolean_dispatch", "fn"): _of_pools,
    ("adaptive_avg_pool2d", "adaptive_max_pool2d", "_adaptive_avg_pool2d"): _of_adaptive,
    ("conv1d", "conv2d", "conv3d"): _of_convolutions,
    ("conv_transpose2d",): _of_transposed_convolutions,
    ("interpolate", "upsample"): _of_resizing,
    ("cross_entropy",): _of_cross_entropy,
    ("binary_cross_entropy_with_logits",): _of_weighted_positives,
    (
        "mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div",
        "nll_loss", "huber_loss",
    ): _of_losses,
}  # fmt: skip
