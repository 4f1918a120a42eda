"""What can a pooling of images have been instead, a convolution, or a resizing?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from isograd.backends.pytorch.alternatives.building import (
    Args,
    Call,
    Options,
    Table,
    changed,
    given,
    transposed,
    with_options,
)
from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

CHANNELS = "channels of the weight are exchanged there: transposed, (in, out) for (out, in)"


def _of_pools(args: Args, options: Options) -> Iterator[Other]:
    """Of images: another kind, another kernel, other edges."""
    yield Other("average pooling there, not max", _pooled("avg_pool2d"))
    yield Other("max pooling there, not average", _pooled("max_pool2d"))
    for size in (2, 3, 4):
        yield Other(f"the pooling's kernel is {size} there", _pooled("max_pool2d", kernel_size=size))
        yield Other(f"the pooling's stride is {size - 1} there", _pooled("max_pool2d", stride=size - 1))
    for pad in (0, 1):
        yield Other(f"the pooling's padding is {pad} there", _pooled("max_pool2d", padding=pad))
    for ceil in (True, False):
        yield Other(f"the pooling's ceil_mode is {ceil} there", _pooled("max_pool2d", ceil_mode=ceil))
    for counted in (True, False):
        words = f"padding is {'' if counted else 'not '}counted in the average there (count_include_pad, exclusive)"
        yield Other(words, _pooled("avg_pool2d", count_include_pad=counted))


def _pooled(kind: str, **other: Any) -> Call:
    """The same pooling, of a kind, with another setting."""

    def call(f: Any, a: Args, o: Options) -> Any:
        names = ("kernel_size", "stride", "padding")
        own = {**dict(zip(names, a[1:4], strict=False)), **{name: o[name] for name in names if name in o}}
        own["stride"] = own.get("stride") or own["kernel_size"]
        return getattr(torch.nn.functional, kind)(a[0], **{"padding": 0, **own, **other})

    return call


def _of_adaptive(args: Args, options: Options) -> Iterator[Other]:
    functional = torch.nn.functional
    yield Other("max pooling there, not average", lambda f, a, o: functional.adaptive_max_pool2d(*a, **o))
    yield Other("average pooling there, not max", lambda f, a, o: functional.adaptive_avg_pool2d(*a[:2]))
    yield Other("the sum there, not the average", lambda f, a, o: a[0].sum((2, 3), keepdim=True))


# ---------------------------------------------------------------- convolutions


def _of_convolutions(args: Args, options: Options) -> Iterator[Other]:
    """Where pixels beyond the edges come from, and how far apart places are."""
    pad = torch.nn.functional.pad
    for how in ("replicate", "reflect", "circular"):
        yield Other(f"padding is {how} there, not zeros (padding mode)", _padded(_edges(how)))
    yield Other("padding is on one side only there (before)", _padded(lambda x, h, w: pad(x, (2 * w, 0, 2 * h, 0))))
    yield Other("padding is on one side only there (after)", _padded(lambda x, h, w: pad(x, (0, 2 * w, 0, 2 * h))))
    wide = _padded(lambda x, h, w: pad(x, (2 * w, 2 * w, 2 * h, 2 * h)), 2)
    yield Other("the dilation is 2 there, with padding for it", wide)
    for by in (1, -1):
        yield Other(f"the stride's places begin at {by} there (offset): padding is moved", _padded(_shifted(by)))
    yield Other("the bias is left out there: it is missing", lambda f, a, o: f(a[0], a[1], None, *a[3:], **o))
    turned = "the kernel is turned there: a convolution, and no cross-correlation"
    yield Other(turned, changed(1, _turned))
    if args[1].shape[0] == args[1].shape[1]:
        yield Other(CHANNELS, changed(1, _channels_exchanged))
    yield Other("height and width of the kernel are exchanged there (transposed)", changed(1, transposed))


def _padded(make: Callable[[Any, int, int], Any], dilation: int = 0) -> Call:
    """The convolution, without padding of its own, of an image that has some."""

    def call(f: Any, a: Args, o: Options) -> Any:
        names = (("bias", None), ("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1))
        bias, stride, padding, spread, groups = (given(a, o, name, 2 + at, of) for at, (name, of) in enumerate(names))
        high, wide = padding if isinstance(padding, (tuple, list)) else (padding, padding)
        return f(make(a[0], int(high), int(wide)), a[1], bias, stride, 0, dilation or spread, groups)

    return call


def _edges(how: str) -> Callable[[Any, int, int], Any]:
    return lambda x, h, w: torch.nn.functional.pad(x, (w, w, h, h), mode=how)


def _shifted(by: int) -> Callable[[Any, int, int], Any]:
    return lambda x, h, w: torch.nn.functional.pad(x, (w - by, w + by, h - by, h + by))


def _turned(kernel: Any) -> Any:
    return kernel.flip(-1, -2)


def _channels_exchanged(kernel: Any) -> Any:
    return kernel.transpose(0, 1)


def _of_transposed_convolutions(args: Args, options: Options) -> Iterator[Other]:
    """What the edges of a larger image are made of."""
    names = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")

    def call(
        make: Callable[[Any, tuple[int, ...]], Any] = lambda out, shape: out,
        weight: Callable[[Any], Any] = lambda w: w,
        **other: Any,
    ) -> Call:
        def instead(f: Any, a: Args, o: Options) -> Any:
            own = {**dict(zip(names, a, strict=False)), **o}
            shape = tuple(f(*a, **o).shape)
            return make(f(**{**own, "weight": weight(own["weight"]), **other}), shape)

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
        yield Other(CHANNELS, call(weight=_channels_exchanged))
    yield Other("the kernel is turned there", call(weight=_turned))


# ---------------------------------------------------------------- resizing


def _of_resizing(args: Args, options: Options) -> Iterator[Other]:
    for how, corners in (
        ("nearest", None), ("bilinear", False), ("bilinear", True), ("bicubic", False), ("bicubic", True),
        ("area", None), ("nearest-exact", None),
    ):  # fmt: skip
        said = f"{how}{'' if corners is None else f' with align_corners={corners}'} there"
        yield Other(said, with_options(mode=how, align_corners=corners))
    if args[0].dim() == 4:
        yield Other("bilinear from the corner on there, not from half a pixel on (align_mode 1)", _from_the_corner)


def _from_the_corner(f: Any, a: Args, o: Options) -> Any:
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


# ---------------------------------------------------------------- edges


def _of_pads(args: Args, options: Options) -> Iterator[Other]:
    """How much comes before and behind each axis, and of what."""
    sizes = list(given(args, options, "pad", 1, ()))
    pairs = [sizes[at : at + 2] for at in range(0, len(sizes), 2)]
    mode = given(args, options, "mode", 2, "constant")
    for words, other in (
        ("what is padded before comes behind there, and the reverse", [pair[::-1] for pair in pairs]),
        ("as much is padded before as behind there (symmetric)", [[sum(pair) // 2] * 2 for pair in pairs]),
        ("all is padded before there", [[sum(pair), 0] for pair in pairs]),
        ("all is padded behind there", [[0, sum(pair)] for pair in pairs]),
        ("axes are padded as the other one there (height and width exchanged)", pairs[::-1]),
    ):
        if other != pairs:
            yield Other(words, changed(1, _sizes([size for pair in other for size in pair])))
    for how in ("constant", "reflect", "replicate", "circular"):
        if how != mode:
            yield Other(f"padding is {how} there, not {mode} (padding mode)", _filled(how))
    yield Other("filled with {x} there", lambda f, a, o, x: f(a[0], given(a, o, "pad", 1), value=x), 1.0)


def _sizes(other: list[int]) -> Callable[[Any], Any]:
    return lambda _: other


def _filled(how: str) -> Call:
    return lambda f, a, o: f(a[0], given(a, o, "pad", 1), mode=how)


TABLE: Table = {
    ("pad",): _of_pads,
    ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "boolean_dispatch", "fn"): _of_pools,
    ("adaptive_avg_pool2d", "adaptive_max_pool2d", "_adaptive_avg_pool2d"): _of_adaptive,
    ("conv1d", "conv2d", "conv3d"): _of_convolutions,
    ("conv_transpose2d",): _of_transposed_convolutions,
    ("interpolate", "upsample"): _of_resizing,
}
