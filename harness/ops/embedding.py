"""What stands for a word, and for a place?"""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, sin
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from isograd.arithmetic.words import equals, expand, reshape, row, scatter_add, sum, take, whole
from isograd.ops.op import Alternative, Array, Back, Draw, InitialMatrix, Layer, Out, Param, Shape
from isograd.spec import Count, Step

Params = Mapping[str, Array]


class Embedding(Layer):
    """a = W[x]: of each whole number of a sample its row of W (rows, features).

    Bengio et al., *A neural probabilistic language model* (2003), section 2, equation 5's C. The gradient of a row is
    the sum over all places that have it; that of the row ``padding``, which stands for no word, is 0.
    """

    kind: Literal["embedding"]
    sample: ClassVar[Shape] = (4,)
    examples = (
        {"weight": {"draw": "normal", "scale": 0.5}, "rows": 5, "features": 3},
        {"weight": {"draw": "normal", "scale": 0.5}, "rows": 5, "features": 3, "padding": 1},
    )

    weight: InitialMatrix
    rows: Count | None = None
    features: Count | None = None
    padding: Step | None = None

    @model_validator(mode="after")
    def _size_is_known(self) -> Self:
        drawn = isinstance(self.weight, Draw)
        if drawn and (self.rows is None or self.features is None):
            raise ValueError("rows: expected the numbers of rows and of features, since the weight is drawn")
        if not drawn and (self.rows, self.features) not in ((None, None), self.size):
            raise ValueError(f"rows: expected {self.size}, those of the weight; got {(self.rows, self.features)}")
        if self.padding is not None and self.padding >= self.indices:
            raise ValueError(f"padding: expected a row from 0 to {self.indices - 1}; got {self.padding}")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Rows and features."""
        if isinstance(self.weight, Draw):
            return self.rows or 0, self.features or 0
        return len(self.weight), len(self.weight[0])

    @property
    def indices(self) -> int:
        """As many as there are rows."""
        return self.size[0]

    def shape(self, *x: Shape) -> Shape:
        """A row for each number."""
        return (*x[0], self.size[1])

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Weight (rows, features)."""
        return {"weight": Param(self.size, ("row", "in"), self.weight)}

    def forward(self, p: Params, x: Array) -> Out:
        """The rows."""
        index = whole(x, self.indices)
        return Out(take(p["weight"], index), index)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """Each row's is the sum of what comes to it; to whole numbers goes 0, which nobody takes."""
        return Back(0 * sum(d, d.ndim - 1), weight=scatter_add(self.counted(d, out.saved), out.saved, self.indices))

    def counted(self, values: Array, index: Array) -> Array:
        """Nothing where a place has no word."""
        if self.padding is None:
            return values
        return values * reshape(1 - equals(index, self.padding, values), (*index.shape, 1))


class _PaddingGivesZero(Embedding):
    def forward(self, p: Params, x: Array) -> Out:
        index = whole(x, self.indices)
        return Out(self.counted(take(p["weight"], index), index), index)


Embedding.alternatives = {
    "padding_gives_zero": Alternative(
        _PaddingGivesZero,
        "gives zeros for the padding row, whatever that holds",
        "a = W[x] «· (x ≠ padding)»",
        "PaddlePaddle",
    ),
}


class Positions(Layer):
    """a = x + P, where P (places, features) is learned, as each place's own row.

    Devlin et al., *BERT* (2019), section 3, the position embeddings.
    """

    kind: Literal["positions"]
    sample: ClassVar[Shape] = (4, 3)
    examples = ({"weight": {"draw": "normal", "scale": 0.5}},)

    weight: InitialMatrix

    def shape(self, *x: Shape) -> Shape:
        """That of the input; ValueError where it does not have two axes, or the weight another shape."""
        return _placed(x[0], None if isinstance(self.weight, Draw) else (len(self.weight), len(self.weight[0])))

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Weight (places, features)."""
        return {"weight": Param(x[0], ("place", "in"), self.weight)}

    def forward(self, p: Params, x: Array) -> Out:
        """The same rows in every sample."""
        return Out(x + p["weight"])

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂P = Σ_batch d."""
        return Back(d, weight=sum(d, 0))


def _placed(x: Shape, table: Shape | None) -> Shape:
    if len(x) != 2:
        raise ValueError(f"inputs: expected samples of places and features; got {list(x)}")
    if table is not None and table != x:
        raise ValueError(f"weight: expected shape {list(x)}, places and features; got {list(table)}")
    return x


Base = Annotated[float, Field(gt=1, allow_inf_nan=False)]


class Sinusoids(Layer):
    """a = x + P, with P[k, 2i] = sin(k / base^(2i/n)) and P[k, 2i+1] = cos of the same, of n features.

    Vaswani et al., *Attention is all you need* (2017), section 3.5. The table is computed in float64 and rounded.
    """

    kind: Literal["sinusoids"]
    sample: ClassVar[Shape] = (4, 3)
    examples = ({}, {"base": 100.0})

    base: Base = 10_000.0

    def shape(self, *x: Shape) -> Shape:
        """That of the input; ValueError where it does not have two axes."""
        return _placed(x[0], None)

    def table(self, places: int, features: int) -> list[float]:
        """P, row after row."""
        angles = [[k / self.base ** ((i - i % 2) / features) for i in range(features)] for k in range(places)]
        return [(cos if i % 2 else sin)(angle) for at in angles for i, angle in enumerate(at)]

    def forward(self, p: Params, x: Array) -> Out:
        """The same rows in every sample."""
        return Out(x + expand(reshape(row(self.table(*x.shape[1:]), x), (1, *x.shape[1:])), x.shape))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """As it is."""
        return Back(d)
