"""Which functions of each number are there? Each with its derivative, as in Goodfellow, Bengio, Courville (2016)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from isograd.arithmetic.words import (
    Irrational,
    around,
    erf,
    exp,
    irrational,
    log,
    max,
    maximum,
    minimum,
    sum,
    tanh,
    where,
)
from isograd.ops.axes import axis_of
from isograd.ops.op import Array, Back, Layer, Out, Shape
from isograd.spec import Index, Number, Positive

Params = Mapping[str, Array]

LAMBDA, ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717  # as the paper prints them
ROOT_HALF = Irrational("0.70710678118654752440084436210484903928483593768847403658833987")  # 1 / √2
ROOT_TWO_OVER_PI = Irrational("0.79788456080286535587989211986876373695171726232986931533185166")  # √(2 / π)


def logistic(z: Array) -> Array:
    """σ(z) = 1 / (1 + e⁻ᶻ), with e^min(z, 0) above and below, so that nothing overflows."""
    return exp(minimum(z, 0)) / (1 + exp(-abs(z)))


def _log_of_1_and_exp(z: Array) -> Array:
    """max(z, 0) + log(1 + e^−|z|), so that nothing overflows. Some libraries lose digits of the sum."""
    return maximum(z, 0) + log(1 + exp(-abs(z)))


def _steeper(beta: float, z: Array) -> Array:
    return z if beta == 1 else beta * z


class Identity(Layer):
    """a = z: a layer that somebody has put there for later."""

    kind: Literal["identity"]

    def forward(self, p: Params, z: Array) -> Out:
        """A = z."""
        return Out(z)

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d."""
        return Back(d)


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
        return Back(where(z <= 0, 0, d))


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
        """As it stands: some libraries lose digits of eᶻ − 1. Of a z above 0 it is not computed: it could overflow."""
        return Out(where(z > 0, z, self.alpha * (exp(minimum(z, 0)) - 1)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d above 0, d (a + α) elsewhere: some libraries form the sum, and lose digits of eᶻ with it."""
        return Back(where(z > 0, d, d * (minimum(out.a, 0) + self.alpha)))


class Selu(Layer):
    """a = λ z above 0, λ α (eᶻ − 1) below, that keep mean 0 and variance 1 (Klambauer et al., 2017)."""

    kind: Literal["selu"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """As an ELU, λ times."""
        return Out(LAMBDA * where(z > 0, z, ALPHA * (exp(minimum(z, 0)) - 1)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d λ above 0, d λ α eᶻ elsewhere."""
        return Back(LAMBDA * where(z > 0, d, d * ALPHA * exp(minimum(z, 0))))


class Celu(Layer):
    """a = z above 0, α (e^{z/α} − 1) below, with derivative 1 above and e^{z/α} below (Barron, 2017)."""

    kind: Literal["celu"]
    exact: ClassVar[bool] = False
    examples = ({}, {"alpha": 0.5})

    alpha: Positive = 1.0

    def forward(self, p: Params, z: Array) -> Out:
        """As an ELU's: some libraries lose digits of e^{z/α} − 1."""
        return Out(where(z > 0, z, self.alpha * (exp(minimum(z, 0) / self.alpha) - 1)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d above 0, d e^{z/α} elsewhere."""
        return Back(where(z > 0, d, d * exp(minimum(z, 0) / self.alpha)))


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
    """a = z σ(β z), with derivative σ (1 + β z (1 − σ)) (Elfwing et al., 2018; with β Ramachandran et al.'s Swish)."""

    kind: Literal["silu"]
    exact: ClassVar[bool] = False
    examples = ({}, {"beta": 1.5})

    beta: Number = 1.0

    def forward(self, p: Params, z: Array) -> Out:
        """A = z σ(β z)."""
        return Out(z * logistic(_steeper(self.beta, z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d σ (1 + β z (1 − σ)); 1 − σ(u) is σ(−u), which does not cancel."""
        u = _steeper(self.beta, z)
        return Back(d * logistic(u) * (1 + u * logistic(-u)))


class Mish(Layer):
    """a = z t with t = tanh(log(1 + eᶻ)), and derivative t + z (1 − t²) σ(z) (Misra, 2020)."""

    kind: Literal["mish"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """A = z t."""
        t = tanh(_log_of_1_and_exp(z))
        return Out(z * t, t)

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d (t + z (1 − t²) σ(z))."""
        t = out.saved
        return Back(d * (t + z * (1 - t * t) * logistic(z)))


class Softplus(Layer):
    """a = log(1 + e^βz) / β, with derivative σ(β z) (Dugas et al., 2001).

    Above a ``threshold`` of β z it is z itself, as frameworks have it.
    """

    kind: Literal["softplus"]
    exact: ClassVar[bool] = False
    examples = ({}, {"beta": 2.0}, {"threshold": 0.5})

    beta: Positive = 1.0
    threshold: Number = 20.0

    def forward(self, p: Params, z: Array) -> Out:
        """A = log(1 + e^βz) / β, or z."""
        u = _steeper(self.beta, z)
        a = _log_of_1_and_exp(around(u))
        return Out(where(u > self.threshold, z, a if self.beta == 1 else a / self.beta))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d σ(β z), or d."""
        u = _steeper(self.beta, z)
        return Back(where(u > self.threshold, d, d * logistic(around(u))))


class LogSigmoid(Layer):
    """a = log σ(z) = −log(1 + e⁻ᶻ), with derivative σ(−z)."""

    kind: Literal["log_sigmoid"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """A = −log(1 + e⁻ᶻ)."""
        return Out(-_log_of_1_and_exp(-around(z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d σ(−z)."""
        return Back(d * logistic(-around(z)))


class TanhShrink(Layer):
    """a = z − tanh z, with derivative tanh² z."""

    kind: Literal["tanh_shrink"]
    exact: ClassVar[bool] = False

    def forward(self, p: Params, z: Array) -> Out:
        """A = z − tanh z."""
        t = tanh(z)
        return Out(z - t, t)

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d − d (1 − tanh² z), as it is where nobody has written it out: for small z it loses digits."""
        return Back(d - d * (1 - out.saved * out.saved))


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


def softmax(z: Array, axis: int) -> Array:
    """e^z / Σ e^z along an axis of the batch, over the largest, so that nothing overflows."""
    e = exp(z - max(z, axis, keepdims=True))
    return e / sum(e, axis, keepdims=True)


def log_softmax(z: Array, axis: int) -> Array:
    """z − log Σ e^z along an axis of the batch, likewise."""
    shifted = z - max(z, axis, keepdims=True)
    return shifted - log(sum(exp(shifted), axis, keepdims=True))


class _AlongAxis(Layer):
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 3)
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"axis": 0})

    axis: Index = -1

    def shape(self, *x: Shape) -> Shape:
        """That of the input, which has such an axis."""
        axis_of(self.axis, x[0])
        return x[0]

    def _at(self, z: Array) -> int:
        return axis_of(self.axis, z.shape[1:]) + 1


class Softmax(_AlongAxis):
    """a_i = e^{z_i} / Σ_j e^{z_j} over an axis of a sample, ∂L/∂z = a (d − Σ_j d_j a_j) (Bridle, 1990)."""

    kind: Literal["softmax"]

    def forward(self, p: Params, z: Array) -> Out:
        """As `softmax`."""
        return Out(softmax(z, self._at(z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = a (d − Σ_j d_j a_j)."""
        return Back(out.a * (d - sum(d * out.a, self._at(z), keepdims=True)))


class LogSoftmax(_AlongAxis):
    """a_i = z_i − log Σ_j e^{z_j} over an axis of a sample, ∂L/∂z = d − softmax(z) Σ_j d_j."""

    kind: Literal["log_softmax"]

    def forward(self, p: Params, z: Array) -> Out:
        """As `log_softmax`."""
        return Out(log_softmax(z, self._at(z)))

    def backward(self, p: Params, out: Out, d: Array, z: Array) -> Back:
        """∂L/∂z = d − e^a Σ_j d_j."""
        return Back(d - exp(out.a) * sum(d, self._at(z), keepdims=True))
