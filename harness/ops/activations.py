"""Which functions of each number are there? Each with its derivative, as in Goodfellow, Bengio, Courville (2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from isograd.arithmetic.words import (
    Irrational,
    around,
    erf,
    exp,
    expm1,
    irrational,
    log1p,
    max,
    maximum,
    minimum,
    sum,
    tanh,
    where,
)
from isograd.ops.op import Array, Back, Layer, Out, Shape
from isograd.spec import Index, Number, Positive

Params = Mapping[str, Array]

ROOT_HALF = Irrational("0.70710678118654752440084436210484903928483593768847403658833987")  # 1 / √2
ROOT_TWO_OVER_PI = Irrational("0.79788456080286535587989211986876373695171726232986931533185166")  # √(2 / π)


def logistic(z: Array) -> Array:
    """σ(z) = 1 / (1 + e⁻ᶻ), with e^min(z, 0) above and below, so that nothing overflows."""
    return exp(minimum(z, 0)) / (1 + exp(-abs(z)))


class Sigmoid(Layer):
    """a = 1 / (1 + e⁻ᶻ), σ′(z) = a (1 − a)."""

    kind: Literal["sigmoid"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """A = σ(z)."""
        return Out(logistic(around(z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d a (1 − a)."""
        return Back(d * out.a * (1 - out.a))


class Tanh(Layer):
    """a = tanh z, tanh′(z) = 1 − a²."""

    kind: Literal["tanh"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """A = tanh z."""
        return Out(tanh(z))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d (1 − a²)."""
        return Back(d * (1 - out.a * out.a))


class Relu(Layer):
    """a = max(0, z), with derivative 0 at 0."""

    kind: Literal["relu"]

    def forward(self, p: Params, z: Array) -> Out:
        """In this order NaN stays NaN in every arithmetic."""
        return Out(maximum(0, z))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """The derivative is 1 above 0, and 0 below and at 0; at NaN d is passed on, as a is NaN too and not 0."""
        return Back(where(~(z <= 0), d, 0))


class LeakyRelu(Layer):
    """a = z above 0, s z below, with derivative s at 0 (Maas, Hannun, Ng, 2013)."""

    kind: Literal["leaky_relu"]
    examples = ({}, {"slope": 0.2})

    slope: Number = 0.01

    def forward(self, p: Params, z: Array) -> Out:
        """At 0 both are 0."""
        return Out(where(z > 0, z, self.slope * z))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d above 0, s d elsewhere."""
        return Back(where(z > 0, d, self.slope * d))


class Elu(Layer):
    """a = z above 0, α (eᶻ − 1) below, with derivative 1 above and a + α below (Clevert et al., 2016)."""

    kind: Literal["elu"]
    exact: ClassVar[bool] = False
    examples = ({}, {"alpha": 0.5})

    alpha: Positive = 1.0

    def forward(self, p: Params, z: Array) -> Out:
        """Of a z above 0 the other branch is not computed: it could overflow."""
        return Out(where(z > 0, z, self.alpha * expm1(minimum(z, 0))))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d above 0, d α eᶻ elsewhere."""
        return Back(where(z > 0, d, d * self.alpha * exp(minimum(z, 0))))


class Gelu(Layer):
    """a = z Φ(z), Φ(z) = ½ (1 + erf(z / √2)), with derivative Φ(z) + z φ(z) (Hendrycks and Gimpel, 2016).

    ``approximate = "tanh"``: Φ(z) ≈ ½ (1 + tanh u), u = √(2/π) (z + 0.044715 z³).
    """

    kind: Literal["gelu"]
    exact: ClassVar[bool] = False
    examples = ({}, {"approximate": "tanh"})

    approximate: Literal["none", "tanh"] = "none"

    def forward(self, p: Params, z: Array) -> Out:
        """A = z Φ(z), in the order in which libraries multiply."""
        return Out(0.5 * z * (1 + self._bent(z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d (½ (1 + f(u)) + ½ z f′(u) u′), with erf′ = 2 e^−u² / √π and tanh′ = 1 − tanh²."""
        bent, root = self._bent(z), irrational(ROOT_TWO_OVER_PI, z)
        if self.approximate == "none":
            slope = root * exp(-0.5 * (z * z))
        else:
            slope = (1 - bent * bent) * (root * (1 + 3 * (0.044715 * (z * z))))
        return Back(d * (0.5 * (1 + bent) + 0.5 * z * slope))

    def _bent(self, z: Array) -> Array:
        if self.approximate == "none":
            return erf(z * irrational(ROOT_HALF, z))
        return tanh(irrational(ROOT_TWO_OVER_PI, z) * (z + 0.044715 * (z * z * z)))


class Silu(Layer):
    """a = z σ(z), with derivative σ(z) (1 + z (1 − σ(z))) (Elfwing et al., 2018; Ramachandran et al.'s Swish)."""

    kind: Literal["silu"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """A = z σ(z)."""
        return Out(z * logistic(z))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d σ (1 + z (1 − σ)); 1 − σ(z) is σ(−z), which does not cancel."""
        return Back(d * logistic(z) * (1 + z * logistic(-z)))


class Softplus(Layer):
    """a = log(1 + eᶻ), with derivative σ(z) (Dugas et al., 2001)."""

    kind: Literal["softplus"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """A = max(z, 0) + log(1 + e^−|z|), so that nothing overflows."""
        z = around(z)
        return Out(maximum(z, 0) + log1p(exp(-abs(z))))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d σ(z)."""
        return Back(d * logistic(around(z)))


class HardSigmoid(Layer):
    """a = min(max(s z + ½, 0), 1), with derivative s between the bounds and 0 elsewhere (Courbariaux et al., 2015)."""

    kind: Literal["hard_sigmoid"]
    examples = ({}, {"slope": 0.2})

    slope: Positive = 1 / 6

    def forward(self, p: Params, z: Array) -> Out:
        """In this order NaN stays NaN."""
        return Out(minimum(1, maximum(0, self.slope * z + 0.5)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d s where 0 < s z + ½ < 1."""
        a = self.slope * z + 0.5
        return Back(where(a > 0, where(a < 1, self.slope * d, 0), 0))


class HardTanh(Layer):
    """a = min(max(z, low), high), with derivative 1 between the bounds and 0 elsewhere (Collobert, 2004)."""

    kind: Literal["hard_tanh"]
    examples = ({}, {"low": -0.5, "high": 0.25})

    low: Number = -1.0
    high: Number = 1.0

    def forward(self, p: Params, z: Array) -> Out:
        """In this order NaN stays NaN."""
        return Out(minimum(self.high, maximum(self.low, z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d for low < z < high."""
        return Back(where(z > self.low, where(z < self.high, d, 0), 0))


class Softsign(Layer):
    """a = z / (1 + |z|), with derivative 1 / (1 + |z|)² (Bergstra et al., 2009)."""

    kind: Literal["softsign"]

    def forward(self, p: Params, z: Array) -> Out:
        """A = z / (1 + |z|)."""
        return Out(z / (1 + abs(z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d / (1 + |z|)²."""
        below = 1 + abs(z)
        return Back(d / (below * below))


class Scale(Layer):
    """a = k z, the article's f(z) = 2z for ``factor = 2``."""

    kind: Literal["scale"]
    examples = ({"factor": 2.0}, {"factor": -0.3})

    factor: Number

    def forward(self, p: Params, z: Array) -> Out:
        """A = k z."""
        return Out(self.factor * z)

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """The derivative is k."""
        return Back(self.factor * d)


class Softmax(Layer):
    """a_i = e^{z_i} / Σ_j e^{z_j} over an axis of a sample, ∂L/∂z = a (d − Σ_j d_j a_j) (Bridle, 1990)."""

    kind: Literal["softmax"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 3)
    examples = ({}, {"axis": 0})

    axis: Index = -1

    def shape(self, *x: Shape) -> Shape:
        """That of the input, which has such an axis."""
        if not -len(x[0]) <= self.axis < len(x[0]):
            raise ValueError(f"axis: expected an axis of a sample of shape {x[0]}; got {self.axis}")
        return x[0]

    def _of_batch(self) -> int:
        return self.axis if self.axis < 0 else self.axis + 1

    def forward(self, p: Params, z: Array) -> Out:
        """Over the largest, so that nothing overflows."""
        e = exp(z - max(z, self._of_batch(), keepdims=True))
        return Out(e / sum(e, self._of_batch(), keepdims=True))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = a (d − Σ_j d_j a_j)."""
        return Back(out.a * (d - sum(d * out.a, self._of_batch(), keepdims=True)))
