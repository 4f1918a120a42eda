"""How does an image get more places or fewer, or the same in another order?

What places become is, axis by axis, a sparse linear map: each new place is a sum of a few old ones with weights, and
∂L/∂ an old one is the sum over the new ones that it went into, with the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, prod
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, StrictBool, model_validator

from isograd.arithmetic.words import concat, constant, expand, fold, pad, reshape, row, sum, transpose, windows
from isograd.ops.op import Alternative, Array, Back, Layer, Out, Shape
from isograd.spec import Count, Number, Positive, Step

Params = Mapping[str, Array]
Sizes = Annotated[tuple[Count, ...], Field(min_length=1, max_length=3)]

Rows = Sequence[Sequence[int]]
"""For each new place, the old ones that it sees."""


class Seen(NamedTuple):
    """A place that a new one sees.

    Attributes:
        at: the place.
        weight: its weight.
        size: how large the numbers are that frameworks get the weight from, and round; 0 where nothing is rounded.
    """

    at: int
    weight: float = 1
    size: float = 0


Map = Sequence[Sequence[Seen]]
"""For each new place, the old ones that it sees."""


def places_of(sample: Shape, rank: int) -> Shape:
    """Of a sample (channels, *places), the places; ValueError where it has not as many axes of them.

    Example:
        >>> places_of((2, 5, 6), 2)
        (5, 6)
    """
    if len(sample) != rank + 1:
        raise ValueError(f"inputs: expected samples of channels and {rank} axes of places; got {sample}")
    return sample[1:]


def ones(rows: Rows) -> Map:
    """A map whose weights are all 1: what makes sums of places."""
    return [[Seen(at) for at in places] for places in rows]


def transposed(of: Map, n: int) -> Map:
    """The adjoint of a map of ``n`` places: for each old place, the new ones that see it.

    Example:
        >>> [[seen.at for seen in places] for places in transposed(ones([[0, 2], [2]]), 3)]
        [[0], [], [0, 1]]
    """
    found: list[list[Seen]] = [[] for _ in range(n)]
    for new, places in enumerate(of):
        for seen in places:
            found[seen.at].append(seen._replace(at=new))
    return found


def gathered(x: Array, axis: int, rows: Rows, absent: float = 0) -> Array:
    """What each new place sees on an axis: (…, n, …) gives (…, k, m, …), for m rows of k places at most.

    Where a row is shorter, ``absent`` stands.
    """
    n, most = x.shape[axis], max(map(len, rows))
    at = [seen[i] if i < len(seen) else n for i in range(most) for seen in rows]
    if n in at:
        x = pad(x, [(0, 1) if i == axis else (0, 0) for i in range(x.ndim)], absent)
    behind: list[Array] = [x[(*[slice(None)] * axis, part)] for part in _slices(at)]
    together = behind[0] if len(behind) == 1 else concat(behind, axis)
    return reshape(together, (*x.shape[:axis], most, len(rows), *x.shape[axis + 1 :]))


def _slices(places: Sequence[int]) -> list[slice]:
    """Places in order, as slices of places that are equally far from each other.

    Example:
        >>> _slices([0, 2, 4, 4, 1])
        [slice(0, 5, 2), slice(4, 5, 1), slice(1, 2, 1)]
    """
    found: list[slice] = []
    for at in places:
        last = found[-1] if found else None
        if last and at > last.stop - 1 and at - (last.stop - 1) in (last.step, at - last.start):
            found[-1] = slice(last.start, at + 1, at - (last.stop - 1))
        else:
            found.append(slice(at, at + 1, 1))
    return found


def mapped(x: Array, axis: int, of: Map) -> Array:
    """A map on an axis: (…, n, …) gives (…, m, …)."""
    parts = gathered(x, axis, [[seen.at for seen in places] for places in of])
    most = parts.shape[axis]
    seen = [places[i] if i < len(places) else Seen(0) for i in range(most) for places in of]  # where none is stands 0
    if any(each.weight != 1 or each.size for each in seen):
        parts = parts * reshape(_weights(seen, x), (most, len(of), *[1] * (x.ndim - axis - 1)))
    return sum(parts, axis) if most > 1 else reshape(parts, (*x.shape[:axis], len(of), *x.shape[axis + 1 :]))


def _weights(seen: Sequence[Seen], like: Array) -> Array:
    """In a row; where frameworks get one from larger numbers, as the difference of such, with the error of those."""
    if not any(each.size for each in seen):
        return row([each.weight for each in seen], like)
    larger = [reshape(constant(each.weight + each.size, like), (1,)) for each in seen]
    return concat(larger, 0) - row([each.size for each in seen], like)


class Mapped(Layer):
    """What all have that map each axis of places: samples (channels, *places)."""

    sample: ClassVar[Shape] = (2, 3, 4)

    def maps(self, places: Shape) -> list[Map]:
        """The map of each axis."""
        raise NotImplementedError

    def forward(self, p: Params, x: Array) -> Out:
        """Axis by axis, the last one first."""
        a = x
        for i, of in reversed([*enumerate(self.maps(x.shape[2:]))]):
            a = mapped(a, 2 + i, of)
        return Out(a)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x: the adjoint maps, the first axis first."""
        for i, of in enumerate(self.maps(x.shape[2:])):
            d = mapped(d, 2 + i, transposed(of, x.shape[2 + i]))
        return Back(d)


# ---------------------------------------------------------------- larger and smaller images


class Upsample(Mapped):
    """a[i] = Σₘ w(t − m) x[m] on each axis, with t the place that new place i lies at: of n places, m new ones.

    t = (i + ½) r − ½, with r = n / m, or 1 / ``scale``; with ``align_corners`` t = i (n − 1) / (m − 1), so that the
    outermost places stay where they are. ``linear``: w(u) = max(0, 1 − |u|), with t no less than 0. ``cubic``: Keys'
    kernel (*Cubic convolution interpolation for digital image processing*, 1981) with a = −¾, over four places.
    ``nearest``: the place ⌊i r⌋ alone. Places beyond the edge are those on it.
    """

    kind: Literal["upsample"]
    examples = (
        {"mode": "nearest", "scale": (2.0, 2.0)},
        {"mode": "nearest", "size": (5, 3)},
        {"mode": "linear", "scale": (2.0, 2.0)},
        {"mode": "linear", "scale": (2.6, 1.5)},
        {"mode": "linear", "size": (5, 3)},
        {"mode": "linear", "size": (5, 7), "align_corners": True},
        {"mode": "cubic", "scale": (2.0, 2.0)},
        {"mode": "cubic", "size": (5, 3)},
        {"mode": "cubic", "size": (5, 7), "align_corners": True},
        {"mode": "linear", "size": (5, 4), "align_corners": True},
    )
    sharpness: ClassVar[float] = -0.75  # Keys' a

    mode: Literal["nearest", "linear", "cubic"]
    size: Sizes | None = None
    scale: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=3)] | None = None
    align_corners: StrictBool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.size is None) == (self.scale is None):
            raise ValueError("size: expected a size or a scale, and not both")
        if self.mode == "nearest" and self.align_corners:
            raise ValueError("align_corners: expected false, since the mode is nearest")
        return self

    @property
    def rank(self) -> int:
        """How many axes of places there are."""
        return len(self.size or self.scale or ())

    def sizes(self, places: Shape) -> Shape:
        """How many places each axis gets: those asked for, or ⌊n · scale⌋."""
        return self.size or tuple(floor(n * s) for n, s in zip(places, self.scale or (), strict=True))

    def shape(self, *x: Shape) -> Shape:
        """(channels, *sizes)."""
        places = places_of(x[0], self.rank)
        sizes = self.sizes(places)
        if min(sizes) < 1:
            raise ValueError(f"scale: expected one that leaves a place of each axis of {x[0]}; got {self.scale}")
        return (x[0][0], *sizes)

    def maps(self, places: Shape) -> list[Map]:
        """In float64."""
        sizes = zip(places, self.sizes(places), self.scale or places, strict=True)
        return [[self.seen(i, n, m, self.ratio(n, m, s)) for i in range(m)] for n, m, s in sizes]

    def ratio(self, n: int, m: int, scale: float) -> float:
        """From new place to new place, among the old ones."""
        if self.align_corners:
            return (n - 1) / (m - 1) if m > 1 else 0.0
        return 1 / scale if self.scale else n / m

    def seen(self, i: int, n: int, m: int, ratio: float) -> list[Seen]:
        """What new place ``i`` of ``m`` sees of ``n`` old ones."""
        if self.mode == "nearest":
            return [Seen(self.nearest(i, n, m, ratio))]
        at = self.at(i, n, m, ratio)
        first = floor(at)
        u = at - first
        taps = _linear(u) if self.mode == "linear" else _cubic(u, self.sharpness)
        weights: dict[int, float] = {}
        for tap, weight in taps:
            place = min(max(first + tap, 0), n - 1)
            weights[place] = weights.get(place, 0.0) + weight
        # frameworks round where a place lies, which is as large as n; and what a cubic kernel has on the way, up to 6
        size = (0 if (256 * ratio).is_integer() else ceil(abs(at))) + (6 if self.mode == "cubic" else 0)
        return [Seen(place, weight, size) for place, weight in weights.items()]

    def nearest(self, i: int, n: int, m: int, ratio: float) -> int:
        """⌊i r⌋."""
        return min(i * n // m if self.size else floor(i * ratio), n - 1)

    def at(self, i: int, n: int, m: int, ratio: float) -> float:
        """Where new place ``i`` lies among the old ones."""
        if self.align_corners:
            return i * ratio
        at = (i + 0.5) * ratio - 0.5
        return max(at, 0.0) if self.mode == "linear" else at


def _linear(u: float) -> list[tuple[int, float]]:
    return [(0, 1 - u), (1, u)]


def _cubic(u: float, a: float) -> list[tuple[int, float]]:
    """Keys' kernel: (a + 2) |s|³ − (a + 3) s² + 1 to |s| = 1, and a |s|³ − 5 a s² + 8 a |s| − 4 a from there to 2."""
    return [
        (-1, ((a * (u + 1) - 5 * a) * (u + 1) + 8 * a) * (u + 1) - 4 * a),
        (0, ((a + 2) * u - (a + 3)) * u * u + 1),
        (1, ((a + 2) * (1 - u) - (a + 3)) * (1 - u) * (1 - u) + 1),
        (2, ((a * (2 - u) - 5 * a) * (2 - u) + 8 * a) * (2 - u) - 4 * a),
    ]


class _Asymmetric(Upsample):
    def at(self, i: int, n: int, m: int, ratio: float) -> float:
        return super().at(i, n, m, ratio) if self.align_corners else i * ratio


class _OfCentres(Upsample):
    def nearest(self, i: int, n: int, m: int, ratio: float) -> int:
        return min(floor((i + 0.5) * ratio), n - 1)


class _Catmull(Upsample):
    sharpness: ClassVar[float] = -0.5


Upsample.alternatives = {
    "asymmetric": Alternative(
        _Asymmetric,
        "lets the first places' edges lie on each other, not the images'",
        "t = «i r»   (not (i + ½) r − ½)",
        "TensorFlow 1, ONNX's \"asymmetric\" and PaddlePaddle's align_mode=1 define it so",
    ),
    "nearest_of_centres": Alternative(
        _OfCentres,
        "takes the place nearest to the new place's centre",
        "a[i] = x[⌊«(i + ½)» r⌋]   (not ⌊i r⌋)",
        "PyTorch's \"nearest-exact\", Pillow and OpenCV's INTER_NEAREST_EXACT define it so",
    ),
    "catmull_rom": Alternative(
        _Catmull,
        "has Keys' own a in its cubic kernel",
        "a = «−½»   (not −¾)",
        "Pillow, JAX and TensorFlow define it so",
    ),
}


# ---------------------------------------------------------------- margins


class Pad(Mapped):
    """A margin before and after each axis of places, of ``widths``.

    ``constant``: of a value. ``reflect``: what lies inside, mirrored at the outermost place, which is not repeated.
    ``replicate``: the outermost place. ``circular``: what lies at the other end.
    """

    kind: Literal["pad"]
    examples = (
        {"widths": ((1, 2), (0, 1))},
        {"widths": ((1, 2), (0, 1)), "value": 0.3},
        {"widths": ((1, 2), (0, 3)), "mode": "reflect"},
        {"widths": ((1, 2), (0, 3)), "mode": "replicate"},
        {"widths": ((1, 2), (0, 3)), "mode": "circular"},
    )

    widths: Annotated[tuple[tuple[Step, Step], ...], Field(min_length=1, max_length=3)]
    mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    value: Number = 0.0

    @model_validator(mode="after")
    def _values_are_constant(self) -> Self:
        if self.value and self.mode != "constant":
            raise ValueError(f"value: expected none, since the mode is {self.mode}")
        return self

    def shape(self, *x: Shape) -> Shape:
        """Each axis with its margins."""
        places = places_of(x[0], len(self.widths))
        for n, widths in zip(places, self.widths, strict=True):
            room = {"reflect": n - 1, "circular": n}.get(self.mode)
            if room is not None and max(widths) > room:
                raise ValueError(f"widths: expected at most {room} where there are {n} places; got {max(widths)}")
        return (x[0][0], *(n + before + after for n, (before, after) in zip(places, self.widths, strict=True)))

    def maps(self, places: Shape) -> list[Map]:
        """One old place for each new one, none in a constant margin."""
        return [
            ones([self.place(i, n) for i in range(-before, n + after)])
            for n, (before, after) in zip(places, self.widths, strict=True)
        ]

    def place(self, i: int, n: int) -> list[int]:
        """The place among ``n`` that stands at ``i``, if there is one."""
        if self.mode == "circular":
            return [i % n]
        if self.mode == "replicate":
            return [min(max(i, 0), n - 1)]
        if self.mode == "reflect":
            return [n - 1 - abs(n - 1 - abs(i))]
        return [i] if 0 <= i < n else []

    def forward(self, p: Params, x: Array) -> Out:
        """A constant other than 0 is put around."""
        if not self.value:
            return super().forward(p, x)
        for axis, widths in enumerate(self.widths, 2):
            margins = [expand(reshape(row([self.value], x), [1] * x.ndim), _with(x.shape, axis, n)) for n in widths]
            x = concat([margins[0], x, margins[1]], axis)
        return Out(x)


def _with(shape: Shape, axis: int, n: int) -> Shape:
    return (*shape[:axis], n, *shape[axis + 1 :])


class _Symmetric(Pad):
    def place(self, i: int, n: int) -> list[int]:
        if self.mode != "reflect":
            return super().place(i, n)
        return [-i - 1 if i < 0 else 2 * n - 1 - i if i >= n else i]


Pad.alternatives = {
    "symmetric": Alternative(
        _Symmetric,
        "repeats the outermost place where it mirrors",
        "x[−i] = x[«i − 1»]   (not x[i])",
        "NumPy's and TensorFlow's \"symmetric\" define it so",
    ),
}


# ---------------------------------------------------------------- places to channels, and back


class PixelShuffle(Layer):
    """a[c, f i + m, f j + n] = x[f² c + f m + n, i, j]: channels become places.

    Shi et al., *Real-time single image and video super-resolution* (2016), equation 4.
    """

    kind: Literal["pixel_shuffle"]
    sample: ClassVar[Shape] = (8, 2, 3)
    examples = ({"factor": 2},)

    factor: Count

    def shape(self, *x: Shape) -> Shape:
        """(C, H, W) gives (C / f², f H, f W)."""
        high, wide = places_of(x[0], 2)
        if x[0][0] % self.factor**2:
            raise ValueError(f"factor: expected one whose square divides {x[0][0]}, the channels; got {self.factor}")
        return (x[0][0] // self.factor**2, high * self.factor, wide * self.factor)

    def forward(self, p: Params, x: Array) -> Out:
        """Only the order is new."""
        return Out(spread(x, self.factor))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """Back in the old order."""
        return Back(packed(d, self.factor))


class PixelUnshuffle(Layer):
    """a[f² c + f m + n, i, j] = x[c, f i + m, f j + n]: places become channels, what undoes a pixel shuffle."""

    kind: Literal["pixel_unshuffle"]
    sample: ClassVar[Shape] = (2, 4, 6)
    examples = ({"factor": 2},)

    factor: Count

    def shape(self, *x: Shape) -> Shape:
        """(C, H, W) gives (C f², H / f, W / f)."""
        places = places_of(x[0], 2)
        if any(n % self.factor for n in places):
            raise ValueError(f"factor: expected a divisor of each of {places}, the places; got {self.factor}")
        return (x[0][0] * self.factor**2, *(n // self.factor for n in places))

    def forward(self, p: Params, x: Array) -> Out:
        """Only the order is new."""
        return Out(packed(x, self.factor))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """Back in the old order."""
        return Back(spread(d, self.factor))


def spread(x: Array, f: int, channels_last: bool = False) -> Array:
    """(B, C f², H, W) gives (B, C, f H, f W); the f² are the slower of the channels, if ``channels_last``."""
    batch, channels, high, wide = x.shape
    c = channels // f**2
    split = reshape(x, (batch, *((f, f, c) if channels_last else (c, f, f)), high, wide))
    order = (0, 3, 4, 1, 5, 2) if channels_last else (0, 1, 4, 2, 5, 3)
    return reshape(transpose(split, order), (batch, c, high * f, wide * f))


def packed(x: Array, f: int, channels_last: bool = False) -> Array:
    """The inverse: (B, C, f H, f W) gives (B, C f², H, W)."""
    batch, c, high, wide = x.shape
    split = reshape(x, (batch, c, high // f, f, wide // f, f))
    order = (0, 3, 5, 1, 2, 4) if channels_last else (0, 1, 3, 5, 2, 4)
    return reshape(transpose(split, order), (batch, c * f**2, high // f, wide // f))


class _DepthToSpace(PixelShuffle):
    def forward(self, p: Params, x: Array) -> Out:
        return Out(spread(x, self.factor, channels_last=True))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        return Back(packed(d, self.factor, channels_last=True))


class _SpaceToDepth(PixelUnshuffle):
    def forward(self, p: Params, x: Array) -> Out:
        return Out(packed(x, self.factor, channels_last=True))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        return Back(spread(d, self.factor, channels_last=True))


PixelShuffle.alternatives = {
    "places_before_channels": Alternative(
        _DepthToSpace,
        "counts the places of a block before the channels",
        "a[c, f i + m, f j + n] = x[«C (f m + n) + c», i, j]   (not x[f² c + f m + n, i, j])",
        "TensorFlow's depth_to_space and ONNX's DepthToSpace with mode DCR define it so",
    ),
}
PixelUnshuffle.alternatives = {
    "places_before_channels": Alternative(
        _SpaceToDepth,
        "counts the places of a block before the channels",
        "a[«C (f m + n) + c», i, j] = x[c, f i + m, f j + n]   (not a[f² c + f m + n, i, j])",
        "TensorFlow's space_to_depth and ONNX's SpaceToDepth define it so",
    ),
}


class Unfold(Layer):
    """Each window as a column: a[C-th channel, kernel's place; window], (C, H, W) gives (C kh kw, windows)."""

    kind: Literal["unfold"]
    sample: ClassVar[Shape] = (2, 4, 5)
    examples = (
        {"kernel": (2, 3)},
        {"kernel": (2, 3), "stride": (2, 1)},
        {"kernel": (2, 3), "padding": (1, 2)},
        {"kernel": (2, 3), "dilation": (2, 1)},
    )

    kernel: tuple[Count, Count]
    stride: tuple[Count, Count] = (1, 1)
    padding: tuple[Step, Step] = (0, 0)
    dilation: tuple[Count, Count] = (1, 1)
    order: ClassVar[tuple[int, ...]] = (1, 4, 5)

    def shape(self, *x: Shape) -> Shape:
        """As many columns as a convolution has places."""
        places = places_of(x[0], 2)
        sizes = zip(places, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
        if min(out) < 1:
            raise ValueError(f"kernel: expected one that fits into {places} with its padding; got {self.kernel}")
        return (x[0][0] * prod(self.kernel), prod(out))

    def forward(self, p: Params, x: Array) -> Out:
        """Windows, one behind the other."""
        seen = windows(pad(x, self._margins), self.kernel, self.stride, self.dilation)  # (B, C, H′, W′, kh, kw)
        batch, channels, high, wide, *_ = seen.shape
        columns = transpose(seen, (0, *self.order, 2, 3))
        return Out(reshape(columns, (batch, channels * prod(self.kernel), high * wide)), (high, wide))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """Each column added to where it was."""
        parts = {1: x.shape[1], 4: self.kernel[0], 5: self.kernel[1]}
        columns = reshape(d, (d.shape[0], *(parts[i] for i in self.order), *out.saved))
        order = (0, *self.order, 2, 3)
        seen = transpose(columns, [order.index(i) for i in range(6)])
        (top, _), (left, _) = self._margins[2:]
        padded = [n + 2 * m for n, m in zip(x.shape[2:], self.padding, strict=True)]
        whole = fold(seen, padded, self.stride, self.dilation)
        return Back(whole[:, :, top : top + x.shape[2], left : left + x.shape[3]])

    @property
    def _margins(self) -> list[tuple[int, int]]:
        return [(0, 0), (0, 0), *((n, n) for n in self.padding)]


class _Patches(Unfold):
    order: ClassVar[tuple[int, ...]] = (4, 5, 1)


Unfold.alternatives = {
    "places_before_channels": Alternative(
        _Patches,
        "counts a window's places before the channels",
        "a[«C (kw m + n) + c», window]   (not a[(c kh + m) kw + n, window])",
        "TensorFlow's extract_patches defines it so",
    ),
}
