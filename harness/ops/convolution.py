"""What does a kernel make of a line, an image or a volume, and the other way?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StrictInt, model_validator

from isograd.arithmetic.words import fold, pad, reshape, sum, transpose, windows
from isograd.ops.op import (
    Array,
    Back,
    Draw,
    InitialTensor3,
    InitialTensor4,
    InitialTensor5,
    InitialVector,
    Layer,
    Out,
    Param,
    Shape,
)
from isograd.ops.resizing import Pad
from isograd.spec import EXACT, Count

Params = Mapping[str, Array]
Margin = Annotated[StrictInt, Field(ge=0, le=EXACT)]
One = tuple[Count]
Two = tuple[Count, Count]
Three = tuple[Count, Count, Count]
Margin1 = tuple[Margin]
Margin2 = tuple[Margin, Margin]
Margin3 = tuple[Margin, Margin, Margin]

NORMAL = {"draw": "normal", "scale": 0.5}
LITTLE = {"draw": "normal", "scale": 0.05}  # where there are many outputs
LINE = {"weight": NORMAL, "outputs": 4, "kernel": (3,)}
IMAGE = {"weight": NORMAL, "outputs": 4, "kernel": (2, 3)}
VOLUME = {"weight": NORMAL, "outputs": 2, "kernel": (2, 2, 2)}


class _Kernel(Layer):
    """What convolutions and transposed ones have: a kernel, with a size along each of ``rank`` axes of places.

    Fields stand in this order: a trace's fingerprint is of a scenario as it is written out.
    """

    rank: ClassVar[int]
    turned: ClassVar[bool] = False  # whether the weight has inputs before outputs

    weight: Any
    bias: InitialVector | None = None
    outputs: Count | None = None
    kernel: tuple[int, ...] | None = None
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: Count = 1

    @model_validator(mode="after")
    def _sizes_are_known(self) -> Self:
        if isinstance(self.weight, Draw):
            if self.outputs is None or self.kernel is None:
                raise ValueError("kernel: expected outputs and kernel, since the weight is drawn")
        elif self.outputs not in (None, self.units):
            raise ValueError(f"outputs: expected {self.units}, as the weight has; got {self.outputs}")
        if self.units % self.groups:
            raise ValueError(f"groups: expected a divisor of {self.units}, the outputs; got {self.groups}")
        if isinstance(self.bias, tuple) and len(self.bias) != self.units:
            raise ValueError(f"bias: expected {self.units} values, one an output; got {len(self.bias)}")
        return self

    @property
    def units(self) -> int:
        """Output channels."""
        if isinstance(self.weight, Draw):
            return self.outputs or 0
        return len(self.weight[0]) * self.groups if self.turned else len(self.weight)

    @property
    def size(self) -> tuple[int, ...]:
        """The kernel's, along each axis."""
        if isinstance(self.weight, Draw):
            return self.kernel or (0,) * self.rank
        size, part = [], self.weight[0][0]
        for _ in range(self.rank):
            size.append(len(part))
            part = part[0]
        return tuple(size)

    def _places(self, x: Shape) -> Shape:
        """The places of a sample, which has channels before them."""
        names = ("length",), ("height", "width"), ("depth", "height", "width")
        if len(x) != self.rank + 1:
            raise ValueError(
                f"inputs: expected samples of shape (channels, {', '.join(names[self.rank - 1])}); got {x}"
            )
        if x[0] % self.groups:
            raise ValueError(f"groups: expected a divisor of {x[0]}, the channels; got {self.groups}")
        shape = self._weight_shape(x[0])
        came = (len(self.weight), len(self.weight[0]), *self.size) if not isinstance(self.weight, Draw) else shape
        if came != shape:
            axes = ", ".join(map(str, shape[:2])) + ", " + ", ".join(_AXES[self.rank])
            raise ValueError(f"weight: expected shape ({axes}); got {came}")
        return x[1:]

    def _weight_shape(self, channels: int) -> Shape:
        pair = (channels, self.units // self.groups) if self.turned else (self.units, channels // self.groups)
        return (*pair, *self.size)

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Weight, and bias (out,) where there is one."""
        axes = (*(("in", "out") if self.turned else ("out", "in")), *_AXES[self.rank])
        bias = {} if self.bias is None else {"bias": Param((self.units,), ("out",), self.bias)}
        return {"weight": Param(self._weight_shape(x[0][0]), axes, self.weight)} | bias

    # ------------------------------------------------------------ rows: a window each

    @property
    def _margins(self) -> list[tuple[int, int]]:
        return [(0, 0), (0, 0), *((n, n) for n in self.padding)]

    def _rows(self, seen: Array) -> Array:
        """(B, C, *places, *size) gives (B, G, places, C/G · size)."""
        n, (batch, channels) = self.rank, seen.shape[:2]
        places = seen.shape[2 : 2 + n]
        seen = reshape(seen, (batch, self.groups, channels // self.groups, *places, *self.size))
        rows = transpose(seen, (0, 1, *range(3, 3 + n), 2, *range(3 + n, 3 + 2 * n)))
        return reshape(rows, (batch, self.groups, prod(places), channels // self.groups * prod(self.size)))

    def _of_rows(self, rows: Array, channels: int, places: Shape) -> Array:
        """The other way: (B, C, *places, *size)."""
        n, batch = self.rank, rows.shape[0]
        rows = reshape(rows, (batch, self.groups, *places, channels // self.groups, *self.size))
        seen = transpose(rows, (0, 1, 2 + n, *range(2, 2 + n), *range(3 + n, 3 + 2 * n)))
        return reshape(seen, (batch, channels, *places, *self.size))

    def _grouped(self, x: Array) -> Array:
        """(B, C, *places) gives (B, G, C/G, places)."""
        return reshape(x, (x.shape[0], self.groups, x.shape[1] // self.groups, prod(x.shape[2:])))

    def _kernels(self, p: Params) -> Array:
        """The weight as a matrix for each group: its first axis, and all others in a row."""
        first = p["weight"].shape[0] // self.groups
        return reshape(p["weight"], (self.groups, first, prod(p["weight"].shape[1:])))

    def _of_kernels(self, d: Array, rows: Array, shape: Shape) -> Array:
        """∂L/∂W over samples and places at once: (G, n, B places) times (G, B places, m)."""
        batch, groups, first, places = d.shape
        d = reshape(transpose(d, (1, 2, 0, 3)), (groups, first, batch * places))
        rows = reshape(transpose(rows, (1, 0, 2, 3)), (groups, batch * places, rows.shape[3]))
        return reshape(d @ rows, shape)

    def _shifted(self, p: Params, z: Array) -> Array:
        return z + reshape(p["bias"], (self.units, *[1] * self.rank)) if "bias" in p else z

    def _of_bias(self, p: Params, d: Array) -> dict[str, Array]:
        return {"bias": sum(d, (0, *range(2, d.ndim)))} if "bias" in p else {}


_AXES = {1: ("k",), 2: ("kh", "kw"), 3: ("kd", "kh", "kw")}


class _Line(_Kernel):
    rank: ClassVar[int] = 1

    weight: InitialTensor3
    kernel: One | None = None
    stride: One = (1,)
    padding: Margin1 = (0,)
    dilation: One = (1,)


class _Image(_Kernel):
    rank: ClassVar[int] = 2

    weight: InitialTensor4
    kernel: Two | None = None
    stride: Two = (1, 1)
    padding: Margin2 = (0, 0)
    dilation: Two = (1, 1)


class _Volume(_Kernel):
    rank: ClassVar[int] = 3

    weight: InitialTensor5
    kernel: Three | None = None
    stride: Three = (1, 1, 1)
    padding: Margin3 = (0, 0, 0)
    dilation: Three = (1, 1, 1)


class _Convolution(_Kernel):
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"

    @property
    def _border(self) -> Pad:
        """What puts the margins around, where they are no zeros."""
        widths = tuple((n, n) for n in self.padding)
        return Pad.model_validate({"kind": "pad", "name": "border", "widths": widths, "mode": self.padding_mode})

    @property
    def _within(self) -> Self:
        """The convolution of what has its margins already."""
        return self.model_copy(update={"padding": (0,) * self.rank, "padding_mode": "zeros"})

    def shape(self, *x: Shape) -> Shape:
        """(out, *places), of n ⌊(n + 2 p − δ (k − 1) − 1) / s⌋ + 1."""
        places = self._places(x[0])
        if self.padding_mode != "zeros":
            self._border.shape(x[0])
        sizes = zip(places, self.size, self.stride, self.padding, self.dilation, strict=True)
        out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
        if min(out) < 1:
            raise ValueError(f"kernel: expected one that fits into {places} with its padding; got {self.size}")
        return (self.units, *out)

    def forward(self, p: Params, x: Array) -> Out:
        """Every place's window as a row: z = windows · Wᵀ, for each group."""
        if self.padding_mode != "zeros":
            padded = self._border.forward({}, x)
            out = self._within.forward(p, padded.a)
            return Out(out.a, (padded, out))
        seen = windows(pad(x, self._margins), self.size, self.stride, self.dilation)
        rows, places = self._rows(seen), seen.shape[2 : 2 + self.rank]
        z = transpose(rows @ self._kernels(p).mT, (0, 1, 3, 2))  # (B, G, O/G, places)
        return Out(self._shifted(p, reshape(z, (x.shape[0], self.units, *places))), saved=rows)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂W = dᵀ · windows; ∂L/∂windows = d · W, each added to where its window was; ∂L/∂b = Σ d."""
        if self.padding_mode != "zeros":
            padded, inner = out.saved
            back = self._within.backward(p, inner, d, padded.a)
            return Back(*self._border.backward({}, padded, back.inputs[0], x).inputs, **back.params)
        of_rows = self._grouped(d)
        gradients = {"weight": self._of_kernels(of_rows, out.saved, p["weight"].shape), **self._of_bias(p, d)}
        rest = [s * (k - 1) - m for k, m, s in zip(self.size, self.padding, self.dilation, strict=True)]
        if set(self.stride) == {1} and min(rest) >= 0:
            return Back(self._turned(p, d, x, rest), **gradients)
        seen = self._of_rows(transpose(of_rows, (0, 1, 3, 2)) @ self._kernels(p), x.shape[1], d.shape[2:])
        padded = [n + 2 * m for n, m in zip(x.shape[2:], self.padding, strict=True)]
        inner = (slice(m, m + n) for n, m in zip(x.shape[2:], self.padding, strict=True))
        return Back(fold(seen, padded, self.stride, self.dilation)[(..., *inner)], **gradients)

    def _turned(self, p: Params, d: Array, x: Array, rest: list[int]) -> Array:
        """∂L/∂x at a stride of 1: the convolution of d, with what is missing of its margins, by the turned kernels."""
        units, inside = self.units // self.groups, x.shape[1] // self.groups
        margins = [(0, 0), (0, 0), *((n, n) for n in rest)]
        rows = self._rows(windows(pad(d, margins), self.size, (1,) * self.rank, self.dilation))
        flipped = p["weight"][(slice(None), slice(None), *[slice(None, None, -1)] * self.rank)]
        kernels = reshape(flipped, (self.groups, units, inside, prod(self.size)))
        kernels = reshape(transpose(kernels, (0, 1, 3, 2)), (self.groups, units * prod(self.size), inside))
        return reshape(transpose(rows @ kernels, (0, 1, 3, 2)), x.shape)


class Conv1d(_Line, _Convolution):
    """z[o, i] = b[o] + Σ_{c, m} W[o, c, m] x[c, s i + δ m − p], as `Conv2d` along an axis; W: (out, in / groups, k)."""

    kind: Literal["conv1d"]
    sample: ClassVar[Shape] = (2, 6)
    examples = (
        LINE,
        LINE | {"bias": NORMAL},
        LINE | {"stride": (2,)},
        LINE | {"padding": (1,)},
        LINE | {"dilation": (2,)},
        LINE | {"groups": 2},
        LINE | {"weight": LITTLE, "padding": (2,), "padding_mode": "replicate"},
    )


class Conv2d(_Image, _Convolution):
    """z[o, i, j] = b[o] + Σ_{c, m, n} W[o, c, m, n] x[c, s i + δ m − p, s j + δ n − p], a cross-correlation.

    x is (channels, height, width) and W (out, in / groups, kh, kw): the k-th group of outputs sees the k-th group of
    channels; with as many groups as channels, each its own (depthwise). ``stride`` s, ``padding`` p with zeros on both
    sides, or as ``padding_mode`` says (`isograd.ops.resizing.Pad`), ``dilation`` δ, each for height and width. As in
    Dumoulin and Visin, *A guide to convolution arithmetic for deep learning* (2016), chapters 2 and 5.
    """

    kind: Literal["conv2d"]
    sample: ClassVar[Shape] = (2, 5, 6)
    examples = (
        IMAGE,
        IMAGE | {"bias": NORMAL},
        IMAGE | {"stride": (2, 1)},
        IMAGE | {"padding": (1, 2)},
        IMAGE | {"dilation": (2, 1)},
        IMAGE | {"groups": 2},
        IMAGE | {"weight": LITTLE, "padding": (2, 2), "padding_mode": "reflect"},
        IMAGE | {"weight": LITTLE, "padding": (1, 1), "padding_mode": "circular", "stride": (2, 1)},
    )


class Conv3d(_Volume, _Convolution):
    """As `Conv2d` along three axes: x is (channels, depth, height, width), W (out, in / groups, kd, kh, kw)."""

    kind: Literal["conv3d"]
    sample: ClassVar[Shape] = (2, 3, 4, 3)
    examples = (
        VOLUME,
        VOLUME | {"bias": NORMAL},
        VOLUME | {"stride": (1, 2, 1)},
        VOLUME | {"padding": (0, 1, 1)},
        VOLUME | {"dilation": (1, 2, 1)},
        VOLUME | {"groups": 2},
        VOLUME | {"weight": LITTLE, "padding": (1, 1, 1), "padding_mode": "replicate"},
    )


class _Transposed(_Kernel):
    turned: ClassVar[bool] = True

    more: tuple[int, ...] = ()

    def shape(self, *x: Shape) -> Shape:
        """(out, *places), of n (n − 1) s − 2 p + δ (k − 1) + 1 + more."""
        places = self._places(x[0])
        out = [n - 2 * p for n, p in zip(self._whole(places), self.padding, strict=True)]
        if min(out) < 1:
            raise ValueError(f"padding: expected some that leaves a place; got {self.padding} for {places}")
        if any(m >= s and m >= d for m, s, d in zip(self.more, self.stride, self.dilation, strict=True)):
            raise ValueError(f"more: expected less than the stride or the dilation; got {self.more}")
        return (self.units, *out)

    def _whole(self, places: Shape) -> list[int]:
        """The places that windows reach, with the padding."""
        sizes = zip(places, self.size, self.stride, self.dilation, self.more, strict=True)
        return [(n - 1) * s + d * (k - 1) + 1 + m for n, k, s, d, m in sizes]

    def forward(self, p: Params, x: Array) -> Out:
        """Each place's numbers times W are a window; windows are added up where they lie."""
        of_places = self._grouped(x)  # (B, G, C/G, places)
        seen = self._of_rows(transpose(of_places, (0, 1, 3, 2)) @ self._kernels(p), self.units, x.shape[2:])
        whole = fold(seen, self._whole(x.shape[2:]), self.stride, self.dilation)
        inner = (slice(m, n - m) for n, m in zip(whole.shape[2:], self.padding, strict=True))
        return Out(self._shifted(p, whole[(..., *inner)]), saved=of_places)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x = windows of d · Wᵀ; ∂L/∂W = xᵀ · windows of d; ∂L/∂b = Σ d."""
        rows = self._rows(windows(pad(d, self._margins), self.size, self.stride, self.dilation))
        weight = self._of_kernels(out.saved, rows, p["weight"].shape)
        dx = reshape(transpose(rows @ self._kernels(p).mT, (0, 1, 3, 2)), x.shape)
        return Back(dx, weight=weight, **self._of_bias(p, d))


class ConvTranspose1d(_Line, _Transposed):
    """The adjoint of `Conv1d`, as `ConvTranspose2d` along one axis. W is (in, out / groups, k)."""

    kind: Literal["conv_transpose1d"]
    sample: ClassVar[Shape] = (2, 4)
    examples = (
        LINE,
        LINE | {"bias": NORMAL},
        LINE | {"stride": (2,)},
        LINE | {"padding": (1,)},
        LINE | {"dilation": (2,)},
        LINE | {"groups": 2},
        LINE | {"stride": (2,), "more": (1,)},
    )

    more: Margin1 = (0,)


class ConvTranspose2d(_Image, _Transposed):
    """z[o, s i + δ m − p, s j + δ n − p] is the sum of all W[c, o, m, n] x[c, i, j] that fall there, and b[o].

    It is the adjoint of `Conv2d`: W is (in, out / groups, kh, kw), ``padding`` p is taken away on both sides, and
    ``more`` places are added behind (frameworks call them output padding). Dumoulin and Visin (2016), chapter 4.
    """

    kind: Literal["conv_transpose2d"]
    sample: ClassVar[Shape] = (2, 3, 4)
    examples = (
        IMAGE,
        IMAGE | {"bias": NORMAL},
        IMAGE | {"stride": (2, 1)},
        IMAGE | {"padding": (0, 1)},
        IMAGE | {"dilation": (2, 1)},
        IMAGE | {"groups": 2},
        IMAGE | {"stride": (2, 2), "more": (1, 0)},
    )

    more: Margin2 = (0, 0)
