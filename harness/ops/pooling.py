"""What is left of the numbers in a window: the largest, their mean, their norm?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from math import prod
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StrictBool, model_validator

from isograd.arithmetic.words import pick, put_at, reshape, row, sqrt, take_at, transpose, where
from isograd.ops.op import Alternative, Array, Back, Layer, Out, Shape
from isograd.ops.resizing import Rows, gathered, mapped, ones, places_of, transposed
from isograd.spec import Count, Step

Params = Mapping[str, Array]
Sizes = Annotated[tuple[Count, ...], Field(min_length=1, max_length=3)]
Margins = Annotated[tuple[Step, ...], Field(min_length=1, max_length=3)]


class Pool(Layer):
    """What all pools have: samples (channels, *places), and for each axis the places that each window sees."""

    sample: ClassVar[Shape] = (2, 5, 6)

    @property
    def rank(self) -> int:
        """How many axes of places there are."""
        raise NotImplementedError

    def rows(self, places: Shape) -> list[Rows]:
        """For each axis, the places within the sample that each window sees."""
        raise NotImplementedError

    def shape(self, *x: Shape) -> Shape:
        """(channels, *windows), one or more on each axis; each sees some place."""
        rows = self.rows(places_of(x[0], self.rank))
        if not all(axis and all(axis) for axis in rows):
            raise ValueError(f"kernel: expected windows that each see some place of {x[0][1:]}")
        return (x[0][0], *map(len, rows))


class Largest(Pool):
    """a = max of a window, which gets the gradient: the choice is made once, for one of those that are equal."""

    absent: ClassVar[float] = float("-inf")  # what stands where a window has no number: never the largest

    def forward(self, p: Params, x: Array) -> Out:
        """All that a window sees in one row, and a choice for each."""
        seen = self._seen(x)
        chosen = pick(seen, -1)
        return Out(take_at(seen, chosen, -1), chosen)

    def _seen(self, x: Array) -> Array:
        """(B, C, *windows, all that they see)."""
        rows = self.rows(x.shape[2:])
        for i, axis in enumerate(rows):
            x = gathered(x, 2 + 2 * i, axis, self.absent)  # (B, C, k, windows, k′, windows′, …)
        x = transpose(x, (0, 1, *range(3, x.ndim, 2), *range(2, x.ndim, 2)))
        return reshape(x, (*x.shape[: 2 + len(rows)], prod(x.shape[2 + len(rows) :])))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x = Σ d over the windows whose largest it is."""
        rows = self.rows(x.shape[2:])
        n, sizes = len(rows), [max(map(len, axis)) for axis in rows]
        each = reshape(put_at(d, out.saved, d.ndim, prod(sizes)), (*d.shape, *sizes))
        each = transpose(each, (0, 1, *chain.from_iterable((2 + n + i, 2 + i) for i in range(n))))
        each = reshape(each, (*d.shape[:2], *(k * m for k, m in zip(sizes, d.shape[2:], strict=True))))
        for i, axis in enumerate(rows):
            spots: list[list[int]] = [[] for _ in range(x.shape[2 + i])]
            for window, seen in enumerate(axis):
                for at, place in enumerate(seen):
                    spots[place].append(at * len(axis) + window)
            each = mapped(each, 2 + i, ones(spots))
        return Back(each)


class Average(Pool):
    """a = the sum of a window over the number of its places."""

    def counts(self, places: Shape) -> list[list[int]]:
        """For each axis, how many places each window has."""
        return [[*map(len, axis)] for axis in self.rows(places)]

    def forward(self, p: Params, x: Array) -> Out:
        """The sums, axis by axis, over the counts."""
        counts = self._counts(x)
        total = x
        for i, axis in enumerate(self.rows(x.shape[2:])):
            total = mapped(total, 2 + i, ones(axis))
        return Out(total / counts)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x = Σ d / n over the windows that see it."""
        share = d / self._counts(x)
        for i, axis in enumerate(self.rows(x.shape[2:])):
            share = mapped(share, 2 + i, transposed(ones(axis), x.shape[2 + i]))
        return Back(share)

    def _counts(self, x: Array) -> Array:
        """One number, where all windows have as many places."""
        counts = self.counts(x.shape[2:])
        if all(min(axis) == max(axis) for axis in counts):
            return prod(axis[0] for axis in counts)
        shape = [len(axis) for axis in counts]
        flat = [1]
        for axis in counts:
            flat = [n * m for n in flat for m in axis]
        return reshape(row(flat, x), shape)


# ---------------------------------------------------------------- windows of one size


class Windows(Pool):
    """Windows of one size: of the i-th on an axis, place m is s i + δ m − p.

    With ``ceil_mode`` a last window may hang over the edge, if it begins before the padding behind it.
    """

    kernel: Sizes
    stride: Sizes | None = None
    padding: Margins | None = None
    ceil_mode: StrictBool = False

    @model_validator(mode="after")
    def _there_are_as_many(self) -> Self:
        for name in ("stride", "padding", "dilation"):
            values = getattr(self, name, None)
            if values is not None and len(values) != self.rank:
                raise ValueError(f"{name}: expected {self.rank} values, one an axis of the kernel; got {len(values)}")
        for k, p, d in zip(self.kernel, self.margins, self.spread, strict=True):
            if 2 * p > d * (k - 1) + 1:
                raise ValueError(f"padding: expected at most half of the window's {d * (k - 1) + 1} places; got {p}")
        return self

    @property
    def rank(self) -> int:
        """As many axes as the kernel has."""
        return len(self.kernel)

    @property
    def steps(self) -> Shape:
        """From window to window: by default the kernel's size."""
        return self.stride or self.kernel

    @property
    def margins(self) -> Shape:
        """Padding on both sides of each axis."""
        return self.padding or (0,) * self.rank

    @property
    def spread(self) -> Shape:
        """From place to place of a window."""
        return (1,) * self.rank

    def starts(self, places: Shape) -> list[range]:
        """For each axis, the place at which each window begins, below 0 in the padding."""
        found = []
        for n, k, s, p, d in zip(places, self.kernel, self.steps, self.margins, self.spread, strict=True):
            room = n + 2 * p - d * (k - 1) - 1
            many = (-(-room // s) if self.ceil_mode else room // s) + 1
            found.append(range(-p, min(many * s - p, n), s))
        return found

    def rows(self, places: Shape) -> list[Rows]:
        """What lies in padding, or over the edge, is not seen."""
        sizes = zip(places, self.starts(places), self.kernel, self.spread, strict=True)
        return [
            [[at for at in range(start, start + k * d, d) if 0 <= at < n] for start in starts]
            for n, starts, k, d in sizes
        ]


class MaxPool(Windows, Largest):
    """a[c, i, j] = max x[c, s i + δ m − p, s j + δ n − p] over m, n of the kernel; padding is never the largest.

    As in Dumoulin and Visin, *A guide to convolution arithmetic for deep learning* (2016), chapter 3.
    """

    kind: Literal["max_pool"]
    examples = (
        {"kernel": (2, 3)},
        {"kernel": (2, 3), "stride": (1, 2)},
        {"kernel": (2, 3), "padding": (1, 1)},
        {"kernel": (2, 3), "stride": (1, 1), "dilation": (2, 1)},
        {"kernel": (3, 3), "stride": (2, 2), "padding": (0, 1), "ceil_mode": True},
    )

    dilation: Sizes | None = None

    @property
    def spread(self) -> Shape:
        """The dilation."""
        return self.dilation or super().spread


class _ZerosCompete(MaxPool):
    absent: ClassVar[float] = 0.0


MaxPool.alternatives = {
    "zeros_compete": Alternative(
        _ZerosCompete,
        "pads with zeros, which are larger than what is negative",
        "a = max(x, «0») where a window sees padding   (not max x)",
        "a max pool after padding by hand",
    ),
}


class AveragePool(Windows, Average):
    """a[c, i, j] = Σ x[c, s i + m − p, s j + n − p] / n over m, n of the kernel, where padding is 0.

    As in Dumoulin and Visin, chapter 3. The number n is that of the places within the sample; with ``counts_padding``
    those of the padding count too, but what hangs over its edge does not.
    """

    kind: Literal["average_pool"]
    examples = (
        {"kernel": (2, 3)},
        {"kernel": (2, 3), "stride": (1, 2)},
        {"kernel": (2, 3), "padding": (1, 1)},
        {"kernel": (2, 3), "padding": (1, 1), "counts_padding": True},
        {"kernel": (3, 3), "stride": (2, 2), "padding": (0, 1), "counts_padding": True, "ceil_mode": True},
    )

    counts_padding: StrictBool = False

    def counts(self, places: Shape) -> list[list[int]]:
        """Those within the sample, or within its padding."""
        if not self.counts_padding:
            return super().counts(places)
        sizes = zip(places, self.starts(places), self.kernel, self.margins, strict=True)
        return [[min(start + k, n + p) - start for start in starts] for n, starts, k, p in sizes]


class _OverKernel(AveragePool):
    def counts(self, places: Shape) -> list[list[int]]:
        return [[k] * len(starts) for k, starts in zip(self.kernel, self.starts(places), strict=True)]


AveragePool.alternatives = {
    "over_whole_kernel": Alternative(
        _OverKernel,
        "divides by the kernel's size, also where a window hangs over the edge",
        "a = Σ x / «(kh kw)»   (not the number of places that the window has)",
        "an average pool written by hand as a convolution with 1 / (kh kw)",
    ),
}


class LpPool(Windows):
    """a = (Σ xᵖ)^(1/p) over a window: its sum, its Euclidean norm, or a norm nearer to its largest.

    Gulcehre et al., *Learned-norm pooling for deep feedforward and recurrent neural networks* (2014), with a p that is
    given. ∂L/∂x = Σ d (x / a)ᵖ⁻¹ over the windows that see it, 0 where a is.
    """

    kind: Literal["lp_pool"]
    exact: ClassVar[bool] = False
    examples = (
        {"kernel": (2, 3), "power": 1},
        {"kernel": (2, 3), "power": 2},
        {"kernel": (2, 3), "power": 4},
        {"kernel": (2, 3), "power": 2, "stride": (1, 2)},
        {"kernel": (2, 3), "power": 2, "padding": (1, 1)},
        {"kernel": (3, 3), "power": 2, "stride": (2, 2), "ceil_mode": True},
    )

    power: Literal[1, 2, 4]

    def forward(self, p: Params, x: Array) -> Out:
        """By squares and square roots; 1 in the place of a norm that is 0."""
        a = x
        for _ in range(self._squares):
            a = a * a
        for i, axis in enumerate(self.rows(x.shape[2:])):
            a = mapped(a, 2 + i, ones(axis))
        for _ in range(self._squares):
            a = sqrt(a)
        return Out(a, where(a == 0, 1 + a, a))

    @property
    def _squares(self) -> int:
        return self.power.bit_length() - 1

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """Of each place in each window."""
        share = d
        for _ in range(self.power - 1):
            share = share / out.saved
        for i, axis in enumerate(self.rows(x.shape[2:])):
            share = mapped(share, 2 + i, transposed(ones(axis), x.shape[2 + i]))
        for _ in range(self.power - 1):
            share = share * x
        return Back(share)


# ---------------------------------------------------------------- as many windows as are asked for


class Adaptive(Pool):
    """As many windows as are asked for: the i-th of m over n places sees ⌊i n / m⌋ to before ⌈(i + 1) n / m⌉."""

    size: Sizes

    @property
    def rank(self) -> int:
        """As many axes as the size has."""
        return len(self.size)

    def rows(self, places: Shape) -> list[Rows]:
        """Neighbours overlap by one place at most, if there are no more windows than places."""
        return [
            [[*range(i * n // m, -(-(i + 1) * n // m))] for i in range(m)]
            for n, m in zip(places, self.size, strict=True)
        ]


class AdaptiveAveragePool(Adaptive, Average):
    """a[c, i, j] = the mean of x[c] from ⌊i H / H′⌋ to before ⌈(i + 1) H / H′⌉, and likewise along the width.

    He et al., *Spatial pyramid pooling* (2015), section 2.3: windows that go with the sample's size.
    """

    kind: Literal["adaptive_average_pool"]
    examples = ({"size": (2, 3)}, {"size": (3, 4)}, {"size": (1, 1)}, {"size": (7, 2)})


class AdaptiveMaxPool(Adaptive, Largest):
    """a[c, i, j] = the largest of x[c] from ⌊i H / H′⌋ to before ⌈(i + 1) H / H′⌉, and likewise along the width."""

    kind: Literal["adaptive_max_pool"]
    examples = ({"size": (2, 3)}, {"size": (3, 4)}, {"size": (1, 1)}, {"size": (7, 2)})


def _equal(places: Shape, size: Shape) -> list[Rows]:
    """Windows of one size and stride: s = ⌊n / m⌋, k = n − (m − 1) s; as ever, where there are more than places."""
    found: list[Rows] = []
    for n, m in zip(places, size, strict=True):
        s = n // m
        found.append([[*range(i * s, i * s + n - (m - 1) * s)] for i in range(m)])
    return found


class _EqualAverage(AdaptiveAveragePool):
    def rows(self, places: Shape) -> list[Rows]:
        return _equal(places, self.size)


class _EqualMax(AdaptiveMaxPool):
    def rows(self, places: Shape) -> list[Rows]:
        return _equal(places, self.size)


AdaptiveAveragePool.alternatives = {
    "equal_windows": Alternative(
        _EqualAverage,
        "has windows of one size, n − (m − 1) ⌊n / m⌋, every ⌊n / m⌋ places",
        "from «i ⌊n / m⌋» to before «n − (m − 1 − i) ⌊n / m⌋»",
        "an adaptive pool rewritten as a plain one, as exporters to ONNX do",
    ),
}
AdaptiveMaxPool.alternatives = {
    "equal_windows": AdaptiveAveragePool.alternatives["equal_windows"]._replace(op=_EqualMax),
}
