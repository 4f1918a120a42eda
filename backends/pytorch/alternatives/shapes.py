"""What can have been done to axes and places instead: how are they split, joined, moved, and which ones are taken?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import Any

from isograd.backends.pytorch.alternatives.building import (
    Args,
    Call,
    Options,
    Table,
    after,
    as_given,
    before,
    given,
    instead,
    interleaved,
)
from isograd.framework import Other


def _of_parts(args: Args, options: Options) -> Iterator[Other]:
    """Chunks: in another order, or interleaved."""
    size = args[0].shape[given(args, options, "dim", 2, -1 if args[0].dim() == 1 else 0)]
    asked = args[1] if len(args) > 1 else 0
    for number in (2, 3, 4):
        if isinstance(asked, int) and (asked == number or asked * number == size):
            for order in list(permutations(range(number)))[1:]:
                words = f"its parts are in the order {list(order)} there (gates; or query, key, value: swapped)"
                yield Other(words, after(_in_order(order)))
    wide = args[0].shape[-1]
    for parts in (2, 3, 4):
        for heads in (2, 3, 4, 6, 8, 12, 16):
            if wide % (parts * heads) == 0 and wide > parts * heads:
                words = f"its {parts} parts are laid out head by head there ({heads} heads, reshaped in another order)"
                yield Other(words, _head_by_head(parts, heads))


def _in_order(order: Sequence[int]) -> Callable[[Any], Any]:
    return lambda parts: tuple(parts[i] for i in order)


def _head_by_head(parts: int, heads: int) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        split = f(*a, **o)
        if len(split) != parts:
            raise ValueError("other parts")
        x = a[0]
        other = x.reshape(*x.shape[:-1], heads, parts, x.shape[-1] // (parts * heads))
        return tuple(part.reshape(like.shape) for part, like in zip(other.unbind(-2), split, strict=True))

    return call


def _of_shapes(args: Args, options: Options) -> Iterator[Other]:
    """What splits or joins axes, done in another order."""
    if args[0].dim() == 4:
        words = "channels are last there (NHWC layout) when it is flattened"
        yield Other(words, before(lambda x: x.permute(0, 2, 3, 1).contiguous()))
    words = "channels are last there (NHWC layout) where it is reshaped, and moved then"
    yield Other(words, _made(lambda x, s: x.reshape(s[0], *s[2:], s[1]).movedim(-1, 1)))
    words = "the last two axes are split in the other order there: heads are interleaved"
    yield Other(words, _made(lambda x, s: x.reshape(*s[:-2], s[-1], s[-2]).transpose(-1, -2)))
    words = "reshaped to heads before places there, without being transposed"
    yield Other(words, _made(lambda x, s: x.reshape(*s[:-3], s[-2], s[-3], s[-1]).transpose(-3, -2)))
    for one, other in ((0, 1), (1, 2), (2, 3)):
        words = f"axes {one} and {other} are exchanged there before it is reshaped (transposed)"
        yield Other(words, _made(_transposed_first(one, other)))
        words = f"axes {one} and {other} are not transposed there, but reshaped"
        yield Other(words, _made(_reshaped_only(one, other)))


def _made(make: Callable[[Any, tuple[int, ...]], Any]) -> Call:
    """Of its first argument and of the shape that the call gives, to that shape."""

    def call(f: Any, a: Args, o: Options) -> Any:
        shape = tuple(f(*a, **o).shape)
        made = make(a[0], shape)
        if tuple(made.shape) != shape:
            raise ValueError("another shape")
        return made

    return call


def _transposed_first(one: int, other: int) -> Callable[[Any, tuple[int, ...]], Any]:
    return lambda x, shape: x.transpose(one, other).reshape(shape)


def _reshaped_only(one: int, other: int) -> Callable[[Any, tuple[int, ...]], Any]:
    def made(x: Any, shape: tuple[int, ...]) -> Any:
        swapped = list(shape)
        swapped[one], swapped[other] = swapped[other], swapped[one]
        return x.reshape(swapped).transpose(one, other)

    return made


def _of_transposed(args: Args, options: Options) -> Iterator[Other]:
    yield Other("reshaped there, not transposed", lambda f, a, o: a[0].reshape(f(*a, **o).shape))
    if len({*args[0].shape[-2:]}) == 1:
        yield Other("left out there: not transposed", as_given)


def _of_joins(args: Args, options: Options) -> Iterator[Other]:
    joined = args[0]
    if len(joined) > 1:
        yield Other("interleaved there, not side by side", instead(interleaved))
    yield Other("joined in the reverse order there", before(lambda parts: [*parts][::-1]))
    if len(joined) > 2:
        words = "joined in another order there: the last part comes first"
        yield Other(words, before(lambda parts: [parts[-1], *parts[:-1]]))
        words = "joined in another order there: the first part comes last"
        yield Other(words, before(lambda parts: [*parts[1:], parts[0]]))
        for at in range(min(len(joined), 8) - 1):
            words = f"joined in another order there: parts {at} and {at + 1} are exchanged"
            yield Other(words, before(_neighbours(at)))
    if len(joined) > 1 and len({tuple(x.shape) for x in joined}) == 1:
        for at in range(min(len(joined), 4)):
            yield Other(f"part {at} stands in the place of all there", before(_one_for_all(at)))
    for axis in range(joined[0].dim()):
        yield Other(f"joined along axis {axis} there", _joined(axis))


def _neighbours(at: int) -> Callable[[Any], Any]:
    return lambda parts: [*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]]


def _one_for_all(at: int) -> Callable[[Any], Any]:
    return lambda parts: [parts[at]] * len(parts)


def _joined(axis: int) -> Call:
    return lambda f, a, o: f(a[0], dim=axis).reshape(f(*a, **o).shape)


def _of_repeats(args: Args, options: Options) -> Iterator[Other]:
    """Heads, or samples, that stand for several."""
    words = "repeated as a whole there (tiled: 0 1 0 1), not each for itself (0 0 1 1)"
    yield Other(words, _tiled, anywhere=True)


def _tiled(f: Any, a: Args, o: Options) -> Any:
    by, axis = given(a, o, "repeats", 1), given(a, o, "dim", 2)
    times = [1] * a[0].dim()
    times[axis] = int(by)
    return a[0].repeat(times)


def _of_tiles(args: Args, options: Options) -> Iterator[Other]:
    times = args[1] if len(args) > 1 and isinstance(args[1], (tuple, list)) else args[1:]
    words = "each is repeated for itself there (0 0 1 1), and not all as a whole (tiled: 0 1 0 1)"
    for axis, by in enumerate(times[-args[0].dim() :]):
        if isinstance(by, int) and by > 1 and args[0].shape[axis] > 1:
            yield Other(words, _each_repeated(axis, by), anywhere=True)


def _each_repeated(axis: int, by: int) -> Call:
    return lambda f, a, o: a[0].repeat_interleave(by, axis)


def _of_flips(args: Args, options: Options) -> Iterator[Other]:
    yield Other("left out there: not reversed", instead(lambda x: x + 0))


TABLE: Table = {
    ("chunk", "split", "unbind", "tensor_split"): _of_parts,
    ("flatten", "reshape", "view", "unflatten"): _of_shapes,
    ("transpose", "permute", "swapaxes", "t"): _of_transposed,
    ("cat", "stack", "concat"): _of_joins,
    ("flip",): _of_flips,
    ("repeat_interleave",): _of_repeats,
    ("repeat", "tile"): _of_tiles,
}
