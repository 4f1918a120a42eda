"""What number does a training of a classifier make small?"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from isograd.arithmetic.words import (
    equals,
    maximum,
    one_hot,
    reshape,
    row,
    sum,
    take,
    take_at,
    transpose,
    up_to,
    where,
)
from isograd.ops.activations import log_softmax, softmax
from isograd.ops.axes import axis_of
from isograd.ops.op import Alternative, Array, Loss, Shape, Within
from isograd.spec import Index, NotNegative, Positive, Share, Step

Weights = Annotated[tuple[NotNegative, ...], Field(min_length=1)]


class _OfClasses(Loss):
    """A mean over samples, and over places of each, that have a class, weighed by the classes' weights.

    ``weights`` has one number a class, ``ignored`` is a class that counts nothing, and ``axis`` is the classes' axis in
    a sample's outputs; a label has the other axes' shape.
    """

    labels: ClassVar[Literal["values", "classes"]] = "classes"
    sample: ClassVar[Shape] = (3, 3)
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = (
        {},
        {"weights": (0.5, 1.0, 2.0)},
        {"ignored": 1},
        {"axis": -1},
    )

    weights: Weights | None = None
    ignored: Step | None = None
    axis: Index = 0

    def label_shape(self, outputs: Shape) -> Shape:
        """Without the axis of classes."""
        at = axis_of(self.axis, outputs)
        if self.weights is not None and len(self.weights) != outputs[at]:
            raise ValueError(f"weights: expected {outputs[at]} values, one a class; got {len(self.weights)}")
        return (*outputs[:at], *outputs[at + 1 :])

    def classes(self, outputs: Shape) -> int:
        """The size of the classes' axis."""
        return outputs[axis_of(self.axis, outputs)]

    def _at(self, yhat: Array) -> int:
        return axis_of(self.axis, yhat.shape[1:]) + 1

    def _shares(self, yhat: Array, y: Array) -> tuple[Any, Any]:
        """How much each sample counts, None for 1; and how much all do together."""
        if self.weights is None and self.ignored is None:
            return None, prod(y.shape)
        known = up_to(y, yhat.shape[self._at(yhat)])
        share = 1 - equals(y, -1, yhat) if self.weights is None else take(row(self.weights, yhat), known)
        if self.ignored is not None:
            share = share * (1 - equals(y, self.ignored, yhat))
        return share, sum(share)

    def _picked(self, scores: Array, y: Array) -> Any:
        """The score of each sample's class, weighed."""
        share, whole = self._shares(scores, y)
        at = self._at(scores)
        picked = take_at(scores, up_to(y, scores.shape[at]), at)
        return sum(picked if share is None else picked * share) / whole

    def _hot(self, yhat: Array, y: Array) -> Array:
        """1 for each sample's class, in the outputs' shape."""
        at, hot = self._at(yhat), one_hot(y, yhat.shape[self._at(yhat)], yhat)
        order = [*range(at), y.ndim, *range(at, y.ndim)]
        return hot if at == y.ndim else transpose(hot, order)

    def _weighed(self, each: Array, y: Array) -> Any:
        """Numbers of the outputs' shape, times what their sample counts."""
        share, whole = self._shares(each, y)
        at = self._at(each)
        return (each if share is None else each * reshape(share, (*y.shape[:at], 1, *y.shape[at:]))) / whole


class CrossEntropy(_OfClasses):
    """L = −(1/B) Σ_batch log softmax(ŷ)_y, of logits ŷ (B, classes) and each sample's class y.

    Goodfellow, Bengio, Courville, *Deep Learning* (2016), sections 3.13 and 6.2.2.3. With ``smoothing`` ε the label is
    1 − ε for its class and ε / C for each of the C classes (Szegedy et al., 2016), each times its class's weight.
    """

    kind: Literal["cross_entropy"]
    exact: ClassVar[bool] = False
    examples = (
        *_OfClasses.examples,
        {"smoothing": 0.1},
        {"smoothing": 0.1, "weights": (0.5, 1.0, 2.0)},
    )

    smoothing: Share = 0.0

    def value(self, yhat: Array, y: Array) -> Any:
        """The mean of log Σ e^ŷ − ŷ_y, both over the largest ŷ."""
        logs = log_softmax(yhat, self._at(yhat))
        if not self.smoothing:
            return -self._picked(logs, y)
        return -(self._picked(logs, y) * (1 - self.smoothing) + sum(self._smooth(logs, y) * logs))

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = (softmax(ŷ) − 1_y) / B; in general softmax(ŷ) Σ t − t, for labels t."""
        at, shares = self._at(yhat), softmax(yhat, self._at(yhat))
        if not self.smoothing:
            return self._weighed(shares - self._hot(yhat, y), y)
        t = self._weighed(self._hot(yhat, y), y) * (1 - self.smoothing) + self._smooth(yhat, y)
        return shares * sum(t, at, keepdims=True) - t

    def _smooth(self, like: Array, y: Array) -> Any:
        """ε w_c / C for each class of each sample, over what all samples count."""
        at = self._at(like)
        number = like.shape[at]
        flat = row(self.weights or (1.0,) * number, like) * (self.smoothing / number)
        flat = reshape(flat, (1, *[1] * (at - 1), number, *[1] * (like.ndim - at - 1)))
        _, whole = self._shares(like, y)
        if self.ignored is None:
            return (flat + 0 * like) / whole
        kept = reshape(1 - equals(y, self.ignored, like), (*y.shape[:at], 1, *y.shape[at:]))
        return flat * kept / whole


class _WeightOfTheLabel(CrossEntropy):
    def value(self, yhat: Array, y: Array) -> Any:
        t, weight = self._label(yhat, y)
        return -sum(weight * sum(t * log_softmax(yhat, self._at(yhat)), self._at(yhat), keepdims=True)) / sum(weight)

    def gradient(self, yhat: Array, y: Array) -> Any:
        t, weight = self._label(yhat, y)
        whole = sum(t, self._at(yhat), keepdims=True)
        return weight * (softmax(yhat, self._at(yhat)) * whole - t) / sum(weight)

    def _label(self, like: Array, y: Array) -> tuple[Any, Any]:
        at = self._at(like)
        number = like.shape[at]
        weights = reshape(row(self.weights or (1.0,) * number, like), (number, *[1] * (like.ndim - at - 1)))
        t = self._hot(like, y) * (1 - self.smoothing) + self.smoothing / number
        return t, sum(t * weights, at, keepdims=True)


CrossEntropy.alternatives = {
    "weight_of_the_smoothed_label": Alternative(
        _WeightOfTheLabel,
        "weighs each sample by its smoothed label's mean weight, not each class of the label by its own",
        "L = −Σ_b «(Σ_c t_c w_c)» Σ_c t_c log p_c / Σ_b Σ_c t_c w_c   (not Σ_c w_c t_c log p_c)",
        "PaddlePaddle",
    ),
}


class NegativeLogLikelihood(_OfClasses):
    """L = −(1/B) Σ_batch ŷ_y, of log-probabilities ŷ (B, classes) and each sample's class y."""

    kind: Literal["nll"]
    above: ClassVar[str] = "log_softmax"

    def value(self, yhat: Array, y: Array) -> Any:
        """The mean of −ŷ_y."""
        return -self._picked(yhat, y)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = −1_y / B."""
        return -self._weighed(self._hot(yhat, y), y)


class SoftCrossEntropy(Loss):
    """L = −mean of Σ_c y_c log softmax(ŷ)_c, of logits ŷ and labels that are probabilities; ``axis``: the classes'."""

    kind: Literal["soft_cross_entropy"]
    exact: ClassVar[bool] = False
    within: ClassVar[Within] = "distributions"
    sample: ClassVar[Shape] = (3, 3)
    examples = ({}, {"axis": -1})

    axis: Index = 0

    def value(self, yhat: Array, y: Array) -> Any:
        """Over the number of samples, and of places of each."""
        at = axis_of(self.axis, yhat.shape[1:]) + 1
        return -sum(y * log_softmax(yhat, at)) / (prod(y.shape) // y.shape[at])

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = (softmax(ŷ) Σ_c y_c − y) / n."""
        at = axis_of(self.axis, yhat.shape[1:]) + 1
        return (softmax(yhat, at) * sum(y, at, keepdims=True) - y) / (prod(y.shape) // y.shape[at])


class MultiMargin(Loss):
    """L = (1/B) Σ_batch (1/C) Σ_{c ≠ y} max(0, m − ŷ_y + ŷ_c)ᵖ, of scores ŷ (B, C): a hinge for each other class."""

    kind: Literal["multi_margin"]
    labels: ClassVar[Literal["values", "classes"]] = "classes"
    sample: ClassVar[Shape] = (3,)
    examples = ({}, {"power": 2}, {"margin": 0.5})

    power: Literal[1, 2] = 1
    margin: Positive = 1.0

    def label_shape(self, outputs: Shape) -> Shape:
        """One class a sample."""
        if len(outputs) != 1:
            raise ValueError(f"expected one score a class, of shape (classes,); got outputs of shape {outputs}")
        return ()

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over B C, without the class's own m."""
        over = self._over(yhat, y)
        return sum(over if self.power == 1 else over * over) / prod(yhat.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ_c = p max(0, …)ᵖ⁻¹ / (B C) for c ≠ y, and minus their sum for y."""
        over = self._over(yhat, y)
        each = where(self._distance(yhat, y) > 0, 1 - one_hot(y, yhat.shape[1], yhat), 0)
        if self.power == 2:
            each = each * (2 * over)
        return (each - one_hot(y, yhat.shape[1], yhat) * sum(each, 1, keepdims=True)) / prod(yhat.shape)

    def _distance(self, yhat: Array, y: Array) -> Any:
        own = reshape(take_at(yhat, y, 1), (yhat.shape[0], 1))
        return self.margin - own + yhat

    def _over(self, yhat: Array, y: Array) -> Any:
        return maximum(0, self._distance(yhat, y)) * (1 - one_hot(y, yhat.shape[1], yhat))
