"""What does a matrix make of features?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from isograd.arithmetic.words import reshape, sum
from isograd.ops.op import Array, Back, Draw, InitialMatrix, InitialTensor3, InitialVector, Layer, Out, Param, Shape
from isograd.spec import Count

Params = Mapping[str, Array]


class _OfUnits(Layer):
    """What has a weight for each of its units, and perhaps a bias; fields stand in this order, as in stored traces."""

    examples = (
        {"weight": {"draw": "normal", "scale": 0.5}, "outputs": 4},
        {"weight": {"draw": "normal", "scale": 0.5}, "outputs": 4, "bias": {"draw": "normal", "scale": 0.5}},
    )

    weight: Any
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

    def weight_and_bias(self, weight: Param) -> Mapping[str, Param]:
        """The weight, and bias (out,) where there is one."""
        bias = {} if self.bias is None else {"bias": Param((self.units,), ("out",), self.bias)}
        return {"weight": weight} | bias


class Linear(_OfUnits):
    """z = x Wᵀ + b, with W of shape (out, in) and b of shape (out,); without ``bias``, z = x Wᵀ.

    The formulas are the chain rule as in Goodfellow, Bengio, Courville, *Deep Learning* (2016), section 6.5, in row
    convention; of a sample of more than one axis the last one is the features'.
    """

    kind: Literal["linear"]
    weight: InitialMatrix

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
        return self.weight_and_bias(Param((self.units, x[0][-1]), ("out", "in"), self.weight))

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


class Bilinear(_OfUnits):
    """z_o = x₁ᵀ W_o x₂ + b_o, of two inputs' features, with W of shape (out, first, second) and b of shape (out,).

    Socher et al., *Reasoning with neural tensor networks* (2013), section 3.1, the bilinear tensor product.
    """

    kind: Literal["bilinear"]
    arity: ClassVar[tuple[int, int]] = (2, 2)
    weight: InitialTensor3

    def shape(self, *x: Shape) -> Shape:
        """As many units as the weight has matrices; ValueError where they do not fit, or inputs have several axes."""
        if len(x[0]) != 1 or len(x[1]) != 1:
            raise ValueError(f"inputs: expected two rows of features; got {[*map(list, x)]}")
        own = None if isinstance(self.weight, Draw) else (len(self.weight[0]), len(self.weight[0][0]))
        if own not in (None, (x[0][0], x[1][0])):
            raise ValueError(f"weight: expected matrices of shape {(x[0][0], x[1][0])}, (first, second); got {own}")
        return (self.units,)

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Weight (out, first, second), and bias (out,) where there is one."""
        shape = (self.units, x[0][0], x[1][0])
        return self.weight_and_bias(Param(shape, ("out", "first", "second"), self.weight))

    def forward(self, p: Params, x: Array, y: Array) -> Out:
        """W x₂ first, which backward needs: (B, out, first)."""
        w, b = p["weight"], x.shape[0]
        right = reshape(y @ reshape(w, (prod(w.shape[:2]), w.shape[2])).mT, (b, *w.shape[:2]))
        z = sum(right * reshape(x, (b, 1, w.shape[1])), 2)
        return Out(z + p["bias"] if "bias" in p else z, right)

    def backward(self, p: Params, out: Out, d: Array, x: Array, y: Array) -> Back:
        """∂L/∂x₁ = Σ_o d_o W_o x₂, ∂L/∂x₂ = Σ_o d_o W_oᵀ x₁, ∂L/∂W_o = Σ_batch d_o x₁ x₂ᵀ, ∂L/∂b = Σ_batch d."""
        w, b = p["weight"], x.shape[0]
        units, first, second = w.shape
        dx = sum(reshape(d, (b, units, 1)) * out.saved, 1)
        outer = reshape(reshape(d, (b, units, 1)) * reshape(x, (b, 1, first)), (b, units * first))
        dy = outer @ reshape(w, (units * first, second))
        dw = reshape(outer.mT @ y, (units, first, second))
        return Back(dx, dy, weight=dw, bias=sum(d, 0)) if "bias" in p else Back(dx, dy, weight=dw)


def rows_of(x: Array) -> Array:
    """(…, n) as a matrix."""
    return reshape(x, (prod(x.shape[:-1]), x.shape[-1]))
