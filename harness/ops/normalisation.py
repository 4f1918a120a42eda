"""How is an activation brought to mean 0 and variance 1, or to a length of 1?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, StrictBool

from isograd.arithmetic.words import exp, log, maximum, pad, reshape, sqrt, sum, transpose, where, windows
from isograd.ops.axes import axis_of
from isograd.ops.op import Alternative, Array, Back, InitialVector, Layer, Out, Param, Shape
from isograd.spec import Count, Index, NotNegative, Number, Positive

Params = Mapping[str, Array]
Share = Annotated[Number, Field(ge=0, le=1)]


class Standard(NamedTuple):
    """Numbers brought to mean 0 and variance 1 over some axes, and what the derivative needs."""

    normal: Array
    deviation: Array
    mean: Array
    variance: Array
    axes: tuple[int, ...]


def standardised(x: Array, axes: tuple[int, ...], epsilon: float) -> Standard:
    """x̂ = (x − μ) / √(σ² + ε), with mean and variance over axes of the batch."""
    n = prod(x.shape[i] for i in axes)
    mean = sum(x, axes, keepdims=True) / n
    centred = x - mean
    variance = sum(centred * centred, axes, keepdims=True) / n
    deviation = sqrt(variance + epsilon)
    return Standard(centred / deviation, deviation, mean, variance, axes)


def through(s: Standard, e: Array) -> Array:
    """∂L/∂x = (e − mean(e) − x̂ mean(e x̂)) / √(σ² + ε), for e = ∂L/∂x̂: Ioffe and Szegedy (2015), section 3."""
    n = prod(e.shape[i] for i in s.axes)
    along = sum(e * s.normal, s.axes, keepdims=True) / n
    return (e - sum(e, s.axes, keepdims=True) / n - s.normal * along) / s.deviation


def _check_rank(x: Shape) -> None:
    """Channels and up to three axes of places: nobody has a norm by channels for more."""
    if len(x) > 4:
        raise ValueError(f"inputs: expected samples of channels and up to three axes; got {list(x)}")


class BatchNorm(Layer):
    """a = γ (x − μ) / √(σ² + ε) + β, with mean and variance of each channel over the batch.

    The channel is a sample's first axis. Ioffe and Szegedy, *Batch Normalization* (2015), algorithms 1 and 2. The
    running mean and variance keep a share of what they were: r ← ``momentum`` r + (1 − ``momentum``) · new, with the
    unbiased variance n / (n − 1) σ² as new one; in evaluation they stand for μ and σ². Without ``running`` there are
    none, and evaluation is as training.
    """

    kind: Literal["batch_norm"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 3)
    examples = (
        {},
        {"weight": {"draw": "normal", "scale": 1.0}, "bias": {"draw": "normal", "scale": 1.0}},
        {"momentum": 0.5},
        {"epsilon": 0.1},
        {"running": False},
    )

    weight: InitialVector | None = None
    bias: InitialVector | None = None
    momentum: Share = 0.9
    epsilon: NotNegative = 1e-5
    running: StrictBool = True

    def shape(self, *x: Shape) -> Shape:
        """That of the input; ValueError where scale or shift have not as many values as there are channels."""
        for name, values in (("weight", self.weight), ("bias", self.bias)):
            if isinstance(values, tuple) and len(values) != x[0][0]:
                raise ValueError(f"{name}: expected {x[0][0]} values, one a channel; got {len(values)}")
        _check_rank(x[0])
        return x[0]

    def fewest(self, *x: Shape) -> int:
        """Two values a channel: one has no variance. PyTorch refuses it, PaddlePaddle then gives back its input."""
        return 1 if prod(x[0][1:]) > 1 else 2

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Scale γ as weight, 1 at first, and shift β as bias, 0 at first, unless said otherwise: (channels,)."""
        weight, bias = (1.0 if self.weight is None else self.weight), (0.0 if self.bias is None else self.bias)
        shape, axes = (x[0][0],), ("channel",)
        return {"weight": Param(shape, axes, weight), "bias": Param(shape, axes, bias)}

    def buffers(self, *x: Shape) -> Mapping[str, Param]:
        """Running mean, 0 at first, and variance, 1 at first: (channels,)."""
        if not self.running:
            return {}
        shape, axes = (x[0][0],), ("channel",)
        return {"running_mean": Param(shape, axes, 0.0), "running_var": Param(shape, axes, 1.0)}

    def forward(self, p: Params, x: Array) -> Out:
        """By the batch's mean and variance; the running ones move towards them."""
        axes, n = _all_but_channels(x)
        seen = standardised(x, axes, self.epsilon)
        new = {"running_mean": _flat(seen.mean), "running_var": self.kept_variance(_flat(seen.variance), n)}
        buffers = {
            name: self.momentum * p[name] + (1 - self.momentum) * new[name] for name in self.buffers(x.shape[1:])
        }
        return Out(_wide(p["weight"], x) * seen.normal + _wide(p["bias"], x), seen, buffers)

    def kept_variance(self, variance: Array, n: int) -> Array:
        """The variance of a batch that the running one moves to, of ``n`` values: n / (n − 1) σ²; of one value 0."""
        return variance * n / (n - 1) if n > 1 else variance

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x as `through` has it, for γ d; ∂L/∂γ = Σ d x̂, ∂L/∂β = Σ d."""
        seen: Standard = out.saved
        dx = through(seen, d * _wide(p["weight"], x))
        return Back(dx, weight=sum(d * seen.normal, seen.axes), bias=sum(d, seen.axes))

    def evaluate(self, p: Params, x: Array) -> Array:
        """By the running mean and variance."""
        if not self.running:
            return self.forward(p, x).a
        deviation = sqrt(_wide(p["running_var"], x) + self.epsilon)
        return _wide(p["weight"], x) * ((x - _wide(p["running_mean"], x)) / deviation) + _wide(p["bias"], x)


class _Biased(BatchNorm):
    def kept_variance(self, variance: Array, n: int) -> Array:
        return variance


class _EpsilonOutside(BatchNorm):
    def forward(self, p: Params, x: Array) -> Out:
        inner = BatchNorm.forward(self._without(), p, x)
        seen: Standard = inner.saved
        normal = seen.normal * seen.deviation / (seen.deviation + self.epsilon)
        a = _wide(p["weight"], x) * normal + _wide(p["bias"], x)
        return Out(a, seen._replace(normal=normal), inner.buffers)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """With s = √σ² + ε, whose derivative is that of √σ² alone: (γ d − mean(γ d)) / s − x̂ mean(γ d x̂) / √σ²."""
        normal, deviation, _, _, axes = out.saved
        n = prod(x.shape[i] for i in axes)
        e = d * _wide(p["weight"], x)
        along = sum(e * normal, axes, keepdims=True) / n
        dx = (e - sum(e, axes, keepdims=True) / n) / (deviation + self.epsilon) - normal * along / deviation
        return Back(dx, weight=sum(d * normal, axes), bias=sum(d, axes))

    def evaluate(self, p: Params, x: Array) -> Array:
        if not self.running:
            return self.forward(p, x).a
        outside = sqrt(_wide(p["running_var"], x)) + self.epsilon
        return _wide(p["weight"], x) * ((x - _wide(p["running_mean"], x)) / outside) + _wide(p["bias"], x)

    def _without(self) -> Self:
        return self.model_copy(update={"epsilon": 0.0})


BatchNorm.alternatives = {
    "biased_running_variance": Alternative(
        _Biased,
        "moves its running variance to the biased variance of the batch",
        "r ← m r + (1 − m) «σ²»   (not n / (n − 1) σ²)",
        "PaddlePaddle, TensorFlow and ONNX define it so, PyTorch does not",
    ),
    "epsilon_outside_root": Alternative(
        _EpsilonOutside,
        "adds ε to the standard deviation, not to the variance",
        "a = γ (x − μ) / («√σ² + ε») + β",
        "a batch norm written by hand",
    ),
}


def _all_but_channels(x: Array) -> tuple[tuple[int, ...], int]:
    """All axes but the channel's, and how many values a channel has."""
    axes = (0, *range(2, x.ndim))
    return axes, prod(x.shape[i] for i in axes)


def _wide(values: Array, x: Array) -> Array:
    """A value a channel, in the rank of ``x``."""
    return reshape(values, (x.shape[1], *[1] * (x.ndim - 2)))


def _flat(values: Array) -> Array:
    return reshape(values, (values.shape[1],))


class _Affine(Layer):
    """A standardisation with a scale γ and a shift β, or without (``affine``)."""

    weight: InitialVector | None = None
    bias: InitialVector | None = None
    affine: StrictBool = True
    epsilon: NotNegative = 1e-5

    def _held(self, shape: Shape, axes: tuple[str, ...]) -> Mapping[str, Param]:
        """Scale as weight, 1 at first, and shift as bias, 0 at first, unless said otherwise."""
        if not self.affine:
            return {}
        weight, bias = (1.0 if self.weight is None else self.weight), (0.0 if self.bias is None else self.bias)
        return {"weight": Param(shape, axes, weight), "bias": Param(shape, axes, bias)}

    def _check(self, number: int, what: str) -> None:
        for name, values in (("weight", self.weight), ("bias", self.bias)):
            if values is not None and not self.affine:
                raise ValueError(f"{name}: expected none, without affine")
            if isinstance(values, tuple) and len(values) != number:
                raise ValueError(f"{name}: expected {number} values, {what}; got {len(values)}")


DRAWN = {"weight": {"draw": "normal", "scale": 1.0}, "bias": {"draw": "normal", "scale": 1.0}}


class LayerNorm(_Affine):
    """a = γ x̂ + β, with x̂ over the last axis of each sample, or over the last ``axes`` of them (Ba et al., 2016)."""

    kind: Literal["layer_norm"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 4)
    examples = ({}, DRAWN, {"epsilon": 0.1}, {"axes": 2}, {"affine": False})

    axes: Count = 1

    def shape(self, *x: Shape) -> Shape:
        """That of the input, which has so many axes."""
        if self.axes > len(x[0]):
            raise ValueError(f"axes: expected {len(x[0])} at most, as a sample of shape {x[0]} has; got {self.axes}")
        self._check(prod(x[0][-self.axes :]), "one a feature")
        return x[0]

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Scale and shift for each place that is standardised over."""
        return self._held(x[0][-self.axes :], ("feature",) * self.axes)

    def forward(self, p: Params, x: Array) -> Out:
        """Over the last axes."""
        seen = standardised(x, tuple(range(x.ndim - self.axes, x.ndim)), self.epsilon)
        return Out(p["weight"] * seen.normal + p["bias"] if self.affine else seen.normal, seen)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """As `through` has it; ∂L/∂γ = Σ d x̂, ∂L/∂β = Σ d, over samples and the other places."""
        seen: Standard = out.saved
        if not self.affine:
            return Back(through(seen, d))
        rest = tuple(range(x.ndim - self.axes))
        return Back(through(seen, d * p["weight"]), weight=sum(d * seen.normal, rest), bias=sum(d, rest))


class GroupNorm(_Affine):
    """a = γ x̂ + β, with x̂ over the channels of each of ``groups`` and all their places (Wu and He, 2018).

    The channel is a sample's first axis; scale and shift are each channel's.
    """

    kind: Literal["group_norm"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (4, 3)
    examples = ({"groups": 2}, {"groups": 2} | DRAWN, {"groups": 4}, {"groups": 2, "epsilon": 0.1},
                {"groups": 2, "affine": False})  # fmt: skip

    groups: Count

    def shape(self, *x: Shape) -> Shape:
        """That of the input."""
        if x[0][0] % self.groups:
            raise ValueError(f"groups: expected a divisor of {x[0][0]}, the channels; got {self.groups}")
        self._check(x[0][0], "one a channel")
        return x[0]

    def fewest(self, *x: Shape) -> int:
        """Two values a group: of one PyTorch refuses a batch of one."""
        return 1 if prod(x[0]) > self.groups else 2

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Scale and shift: (channels,)."""
        return self._held((x[0][0],), ("channel",))

    def forward(self, p: Params, x: Array) -> Out:
        """Each group of a sample in a row."""
        seen = standardised(reshape(x, (x.shape[0], self.groups, prod(x.shape[1:]) // self.groups)), (2,), self.epsilon)
        normal = reshape(seen.normal, x.shape)
        return Out(_wide(p["weight"], x) * normal + _wide(p["bias"], x) if self.affine else normal, seen)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x = e / s + c x − c μ − Σ e / (n s), c = (μ Σ e − Σ e x) / (n s³), e = γ d, s = √(σ² + ε).

        That is `through`, in the order in which libraries compute it: of the inputs as they are, so that digits are
        lost where μ is large. ∂L/∂γ = Σ d x̂, ∂L/∂β = Σ d, over samples and places.
        """
        seen: Standard = out.saved
        e = reshape(d * _wide(p["weight"], x) if self.affine else d, seen.normal.shape)
        flat, n = reshape(x, seen.normal.shape), seen.normal.shape[2]
        whole, s = sum(e, 2, keepdims=True), seen.deviation
        c = (whole * seen.mean - sum(e * flat, 2, keepdims=True)) / (n * (s * s * s))
        dx = reshape(e / s + c * flat + (-c * seen.mean - whole / (n * s)), x.shape)
        if not self.affine:
            return Back(dx)
        axes, _ = _all_but_channels(x)
        return Back(dx, weight=sum(d * reshape(seen.normal, x.shape), axes), bias=sum(d, axes))


class InstanceNorm(_Affine):
    """a = γ x̂ + β, with x̂ over the places of each channel of each sample (Ulyanov et al., 2016)."""

    kind: Literal["instance_norm"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 4)
    examples = ({}, DRAWN, {"epsilon": 0.1}, {"affine": False})

    def shape(self, *x: Shape) -> Shape:
        """That of the input, which has more than one place."""
        if prod(x[0][1:]) < 2:
            raise ValueError(f"inputs: expected samples (channels, places, …), with two places or more; got {x[0]}")
        _check_rank(x[0])
        self._check(x[0][0], "one a channel")
        return x[0]

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Scale and shift: (channels,)."""
        return self._held((x[0][0],), ("channel",))

    def forward(self, p: Params, x: Array) -> Out:
        """Over the places."""
        seen = standardised(x, tuple(range(2, x.ndim)), self.epsilon)
        return Out(_wide(p["weight"], x) * seen.normal + _wide(p["bias"], x) if self.affine else seen.normal, seen)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """As `through` has it; ∂L/∂γ = Σ d x̂, ∂L/∂β = Σ d, over samples and places."""
        seen: Standard = out.saved
        if not self.affine:
            return Back(through(seen, d))
        axes, _ = _all_but_channels(x)
        return Back(through(seen, d * _wide(p["weight"], x)), weight=sum(d * seen.normal, axes), bias=sum(d, axes))


class RmsNorm(Layer):
    """a = γ x / √(mean x² + ε), over the last axis of a sample (Zhang and Sennrich, 2019).

    ∂L/∂x = (e − n mean(e n)) / r, with r the root, n = x / r and e = γ d.
    """

    kind: Literal["rms_norm"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 3)
    examples = ({}, {"weight": {"draw": "normal", "scale": 1.0}}, {"epsilon": 0.1})

    weight: InitialVector | None = None
    epsilon: NotNegative = 1e-5

    def shape(self, *x: Shape) -> Shape:
        """That of the input."""
        if isinstance(self.weight, tuple) and len(self.weight) != x[0][-1]:
            raise ValueError(f"weight: expected {x[0][-1]} values, one a feature; got {len(self.weight)}")
        return x[0]

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Scale as weight: (features,), 1 at first."""
        return {"weight": Param((x[0][-1],), ("feature",), 1.0 if self.weight is None else self.weight)}

    def forward(self, p: Params, x: Array) -> Out:
        """Over the last axis."""
        root = sqrt(sum(x * x, x.ndim - 1, keepdims=True) / x.shape[-1] + self.epsilon)
        normal = x / root
        return Out(p["weight"] * normal, (normal, root))

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x as above, ∂L/∂γ = Σ d n."""
        normal, root = out.saved
        e = d * p["weight"]
        along = sum(e * normal, x.ndim - 1, keepdims=True) / x.shape[-1]
        return Back((e - normal * along) / root, weight=sum(d * normal, tuple(range(x.ndim - 1))))


class LocalResponseNorm(Layer):
    """a_c = x_c / (k + α / n Σ x²)^β, over n channels around c (Krizhevsky et al., 2012, section 3.3, α / n for α).

    Of an even n one more lies before c than after it. ∂L/∂x_c = d_c s_c^−β − 2 αβ / n x_c Σ d x s^−β−1, over the
    channels around which c lies, with s what is raised.
    """

    kind: Literal["local_response_norm"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (4, 3)
    examples = ({"size": 3}, {"size": 2}, {"size": 3, "alpha": 0.5}, {"size": 3, "alpha": 0.5, "beta": 0.5},
                {"size": 3, "k": 2.0})  # fmt: skip

    size: Count
    alpha: Positive = 1e-4
    beta: Positive = 0.75
    k: Positive = 1.0

    def shape(self, *x: Shape) -> Shape:
        """That of the input, which has places."""
        if len(x[0]) < 2:
            raise ValueError(f"inputs: expected samples (channels, places, …); got {x[0]}")
        return x[0]

    def forward(self, p: Params, x: Array) -> Out:
        """The power as e^{−β log s}."""
        s = self.k + self.alpha / self.size * self._around(x * x, self.size // 2)
        return Out(x * exp(-self.beta * log(s)), s)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """∂L/∂x as above: what lies before c in a sum lies after it in the sum's derivative."""
        s = out.saved
        power = exp(-self.beta * log(s))
        back = self._around(d * x * power / s, (self.size - 1) // 2)
        return Back(d * power - self.alpha / self.size * (self.beta * (2 * x * back)))

    def _around(self, x: Array, before: int) -> Array:
        """Sums over neighbouring channels, so many of them before each."""
        last = transpose(x, (0, *range(2, x.ndim), 1))
        widths = [(0, 0)] * (x.ndim - 1) + [(before, self.size - 1 - before)]
        sums = sum(windows(pad(last, widths), (self.size,), (1,), (1,)), x.ndim)
        return transpose(sums, (0, x.ndim - 1, *range(1, x.ndim - 1)))


class Normalize(Layer):
    """a = x / max(|x|, ε), with the Euclidean length along an axis of a sample.

    ∂L/∂x = (d − a Σ d a) / |x|, and d / ε where |x| is no more than ε.
    """

    kind: Literal["normalize"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (2, 3)
    examples = ({}, {"axis": 0}, {"epsilon": 1.0})

    axis: Index = -1
    epsilon: Positive = 1e-12

    def shape(self, *x: Shape) -> Shape:
        """That of the input, which has such an axis."""
        axis_of(self.axis, x[0])
        return x[0]

    def forward(self, p: Params, x: Array) -> Out:
        """By its length."""
        length = sqrt(sum(x * x, axis_of(self.axis, x.shape[1:]) + 1, keepdims=True))
        return Out(x / maximum(length, self.epsilon), length)

    def backward(self, p: Params, out: Out, d: Array, x: Array) -> Back:
        """As above."""
        along = sum(d * out.a, axis_of(self.axis, x.shape[1:]) + 1, keepdims=True)
        return Back((d - where(out.saved > self.epsilon, out.a * along, 0)) / maximum(out.saved, self.epsilon))
