"""What does a kernel make of an image?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StrictInt, model_validator

from isograd.arithmetic.words import fold, pad, reshape, sum, transpose, windows
from isograd.ops.op import Array, Back, Draw, InitialTensor4, InitialVector, Layer, Out, Param, Shape
from isograd.spec import EXACT, Count

Params = Mapping[str, Array]
Two = tuple[Count, Count]
Padding = tuple[
    Annotated[StrictInt, Field(ge=0, le=EXACT)],
    Annotated[StrictInt, Field(ge=0, le=EXACT)],
]

DRAWN = {"weight": {"draw": "normal", "scale": 0.5}, "outputs": 4, "kernel": (2, 3)}


class Conv2d(Layer):
    """z[o, i, j] = b[o] + Σ_{c, m, n} W[o, c, m, n] x[c, s i + δ m − p, s j + δ n − p], a cross-correlation.

    x is (channels, height, width) and W (out, in / groups, kh, kw): the k-th group of outputs sees the k-th group of
    channels. ``stride`` s, ``padding`` p with zeros on both sides, ``dilation`` δ, each for height and width. As in
    Dumoulin and Visin, *A guide to convolution arithmetic for deep learning* (2016), chapters 2 and 5.
    """

    kind: Literal["conv2d"]
    sample: ClassVar[Shape] = (2, 5, 6)
    examples = (
        DRAWN,
        DRAWN | {"bias": {"draw": "normal", "scale": 0.5}},
        DRAWN | {"stride": (2, 1)},
        DRAWN | {"padding": (1, 2)},
        DRAWN | {"dilation": (2, 1)},
        DRAWN | {"groups": 2},
    )

    weight: InitialTensor4
    bias: InitialVector | None = None
    outputs: Count | None = None
    kernel: Two | None = None
    stride: Two = (1, 1)
    padding: Padding = (0, 0)
    dilation: Two = (1, 1)
    groups: Count = 1

    @model_validator(mode="after")
    def _sizes_are_known(self) -> Self:
        if isinstance(self.weight, Draw):
            if self.outputs is None or self.kernel is None:
                raise ValueError("kernel: expected outputs and kernel, since the weight is drawn")
        elif self.outputs not in (None, len(self.weight)):
            raise ValueError(f"outputs: expected {len(self.weight)}, the rows of the weight; got {self.outputs}")
        if self.units % self.groups:
            raise ValueError(f"groups: expected a divisor of {self.units}, the outputs; got {self.groups}")
        if isinstance(self.bias, tuple) and len(self.bias) != self.units:
            raise ValueError(f"bias: expected {self.units} values, one an output; got {len(self.bias)}")
        return self

    @property
    def units(self) -> int:
        """Output channels."""
        return self.outputs or 0 if isinstance(self.weight, Draw) else len(self.weight)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        if isinstance(self.weight, Draw):
            return self.kernel or (0, 0)
        return len(self.weight[0][0]), len(self.weight[0][0][0])

    def shape(self, *x: Shape) -> Shape:
        """(out, H′, W′), with H′ = ⌊(H + 2 p − δ (kh − 1) − 1) / s⌋ + 1."""
        if len(x[0]) != 3:
            raise ValueError(f"inputs: expected samples of shape (channels, height, width); got {x[0]}")
        channels, *image = x[0]
        if channels % self.groups:
            raise ValueError(f"groups: expected a divisor of {channels}, the channels; got {self.groups}")
        if not isinstance(self.weight, Draw) and len(self.weight[0]) != channels // self.groups:
            came = (self.units, len(self.weight[0]), *self.size)
            raise ValueError(f"weight: expected shape ({self.units}, {channels // self.groups}, kh, kw); got {came}")
        sizes = zip(image, self.size, self.stride, self.padding, self.dilation, strict=True)
        out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
        if min(out) < 1:
            raise ValueError(f"kernel: expected one that fits into {tuple(image)} with its padding; got {self.size}")
        return (self.units, *out)

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Weight (out, in / groups, kh, kw), and bias (out,) where there is one."""
        shape = (self.units, x[0][0] // self.groups, *self.size)
        bias = {} if self.bias is None else {"bias": Param((self.units,), ("out",), self.bias)}
        return {"weight": Param(shape, ("out", "in", "kh", "kw"), self.weight)} | bias

    def forward(self, p: Params, x: Array) -> Out:
        """Every place's window as a row: z = windows · Wᵀ, for each group."""
        seen = windows(pad(x, self._margins), self.size, self.stride, self.dilation)  # (B, C, H′, W′, kh, kw)
        rows, places = self._rows(seen), seen.shape[2:4]  # (B, G, H′ W′, C/G kh kw)
        z = rows @ self._kernels(p).mT  # (B, G, H′ W′, O/G)
        z = reshape(transpose(z, (0, 1, 3, 2)), (x.shape[0], self.units, *places))
        return Out(z + reshape(p["bias"], (self.units, 1, 1)) if "bias" in p else z, saved=rows)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂W = dᵀ · windows; ∂L/∂windows = d · W, each added to where its window was; ∂L/∂b = Σ d."""
        batch, groups, places = x.shape[0], self.groups, d.shape[2:]
        of_rows = reshape(d, (batch, groups, self.units // groups, prod(places)))
        weight = self._of_kernels(of_rows, out.saved, p["weight"].shape)
        bias = {"bias": sum(d, (0, 2, 3))} if "bias" in p else {}
        rest = [s * (k - 1) - m for k, m, s in zip(self.size, self.padding, self.dilation, strict=True)]
        if self.stride == (1, 1) and min(rest) >= 0:
            return Back(self._turned(p, d, x, rest), weight=weight, **bias)
        seen = transpose(of_rows, (0, 1, 3, 2)) @ self._kernels(p)
        seen = reshape(seen, (batch, groups, *places, x.shape[1] // groups, *self.size))
        seen = reshape(transpose(seen, (0, 1, 4, 2, 3, 5, 6)), (batch, x.shape[1], *places, *self.size))
        (top, _), (left, _) = self._margins[2:]
        padded = [n + 2 * m for n, m in zip(x.shape[2:], self.padding, strict=True)]
        dx = fold(seen, padded, self.stride, self.dilation)[:, :, top : top + x.shape[2], left : left + x.shape[3]]
        return Back(dx, weight=weight, **bias)

    def _turned(self, p: Params, d: Array, x: Array, rest: list[int]) -> Array:
        """∂L/∂x at a stride of 1: the convolution of d, with what is missing of its margins, by the turned kernels."""
        units, inside = self.units // self.groups, x.shape[1] // self.groups
        rows = self._rows(windows(pad(d, [(0, 0), (0, 0), *((n, n) for n in rest)]), self.size, (1, 1), self.dilation))
        kernels = reshape(p["weight"][:, :, ::-1, ::-1], (self.groups, units, inside, *self.size))
        kernels = reshape(transpose(kernels, (0, 1, 3, 4, 2)), (self.groups, units * prod(self.size), inside))
        return reshape(transpose(rows @ kernels, (0, 1, 3, 2)), x.shape)

    @property
    def _margins(self) -> list[tuple[int, int]]:
        return [(0, 0), (0, 0), *((n, n) for n in self.padding)]

    def _rows(self, seen: Array) -> Array:
        batch, channels, high, wide = seen.shape[:4]
        seen = reshape(seen, (batch, self.groups, channels // self.groups, high, wide, *self.size))
        rows = transpose(seen, (0, 1, 3, 4, 2, 5, 6))
        return reshape(rows, (batch, self.groups, high * wide, channels // self.groups * prod(self.size)))

    def _kernels(self, p: Params) -> Array:
        return reshape(p["weight"], (self.groups, self.units // self.groups, prod(p["weight"].shape[1:])))

    def _of_kernels(self, d: Array, rows: Array, shape: Shape) -> Array:
        """Over samples and places at once: (G, O/G, B H′ W′) times (G, B H′ W′, C/G kh kw)."""
        batch, groups, units, places = d.shape
        d = reshape(transpose(d, (1, 2, 0, 3)), (groups, units, batch * places))
        rows = reshape(transpose(rows, (1, 0, 2, 3)), (groups, batch * places, rows.shape[3]))
        return reshape(d @ rows, shape)
