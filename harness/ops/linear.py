"""What does a matrix make of features?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Literal, Self

from pydantic import model_validator

from isograd.arithmetic.words import reshape, sum
from isograd.ops.op import Array, Back, Draw, InitialMatrix, InitialVector, Layer, Out, Param, Shape
from isograd.spec import Count

Params = Mapping[str, Array]


class Linear(Layer):
    """z = x Wᵀ + b, with W of shape (out, in) and b of shape (out,); without ``bias``, z = x Wᵀ.

    The formulas are the chain rule as in Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 6.5, in row
    convention; of a sample of more than one axis the last one is the features'.
    """

    kind: Literal["linear"]
    examples = (
        {"weight": {"draw": "normal", "scale": 0.5}, "outputs": 4},
        {"weight": {"draw": "normal", "scale": 0.5}, "outputs": 4, "bias": {"draw": "normal", "scale": 0.5}},
    )

    weight: InitialMatrix
    bias: InitialVector | None = None
    outputs: Count | None = None

    @model_validator(mode="after")
    def _outputs_are_known(self) -> Self:
        if isinstance(self.weight, Draw) and self.outputs is None:
            raise ValueError("outputs: expected the number of units, since the weight is drawn")
        if not isinstance(self.weight, Draw) and self.outputs not in (None, len(self.weight)):
            raise ValueError(f"outputs: expected {len(self.weight)}, the rows of the weight; got {self.outputs}")
        if isinstance(self.bias, tuple) and len(self.bias) != self.units:
            raise ValueError(f"bias: expected {self.units} values, one a unit; got {len(self.bias)}")
        return self

    @property
    def units(self) -> int:
        """Width of the output."""
        return len(self.weight) if isinstance(self.weight, tuple) else self.outputs or 0

    def shape(self, *x: Shape) -> Shape:
        """As many units as the weight has rows; ValueError where its columns are not the input's features."""
        features = x[0][-1]
        if not isinstance(self.weight, Draw) and len(self.weight[0]) != features:
            raise ValueError(
                f"weight: expected shape ({self.units}, {features}), (out, in) for an input of width {features}; "
                f"got ({self.units}, {len(self.weight[0])})"
            )
        return (*x[0][:-1], self.units)

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Weight (out, in), and bias (out,) where there is one."""
        weight = Param((self.units, x[0][-1]), ("out", "in"), self.weight)
        bias = {} if self.bias is None else {"bias": Param((self.units,), ("out",), self.bias)}
        return {"weight": weight} | bias

    def forward(self, p: Params, x: Array) -> Out:
        """Z = x Wᵀ + b."""
        z = x @ p["weight"].mT
        return Out(z + p["bias"] if "bias" in p else z)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x = d W, ∂L/∂W = dᵀ x, ∂L/∂b = Σ d, both over samples and all axes but the features'."""
        dx = d @ p["weight"]
        if d.ndim > 2:
            d, x = rows_of(d), rows_of(x)
        dw = d.mT @ x
        return Back(dx, weight=dw, bias=sum(d, 0)) if "bias" in p else Back(dx, weight=dw)


def rows_of(x: Array) -> Array:
    """(…, n) as a matrix."""
    return reshape(x, (prod(x.shape[:-1]), x.shape[-1]))
