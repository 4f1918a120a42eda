"""What number does a training make small that only wants things apart, or near?"""

from __future__ import annotations

from math import prod
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from isograd.arithmetic.words import exp, log, maximum, reshape, sqrt, sum, where
from isograd.ops.activations import logistic
from isograd.ops.axes import joined, parts
from isograd.ops.op import Array, Loss, Shape, Within
from isograd.spec import NotNegative, Number, Positive


class SoftMargin(Loss):
    """L = mean of log(1 + e^−yŷ), of scores ŷ and signs y: a hinge without its bend."""

    kind: Literal["soft_margin"]
    exact: ClassVar[bool] = False
    within: ClassVar[Within] = "signs"

    def value(self, yhat: Array, y: Array) -> Any:
        """The logarithm as max(−yŷ, 0) + log(1 + e^−|yŷ|), so that nothing overflows."""
        z = -y * yhat
        return sum(maximum(z, 0) + log(1 + exp(-abs(z)))) / prod(y.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = −y σ(−yŷ) / n."""
        return -y * logistic(-y * yhat) / prod(y.shape)


class Hinge(Loss):
    """L = mean of max(0, 1 − yŷ), of scores ŷ and signs y; ``power = 2``: of its square (Cortes and Vapnik, 1995)."""

    kind: Literal["hinge"]
    within: ClassVar[Within] = "signs"
    examples = ({}, {"power": 2})

    power: Literal[1, 2] = 1

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over n."""
        over = maximum(0, 1 - y * yhat)
        return sum(over if self.power == 1 else over * over) / prod(y.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = −y / n where yŷ < 1, times 2 (1 − yŷ) for the square; 0 elsewhere."""
        left = 1 - y * yhat
        return where(left > 0, -y if self.power == 1 else -2 * y * left, 0) / prod(y.shape)


class HingeEmbedding(Loss):
    """L = mean of ŷ where y is 1, of max(0, m − ŷ) where it is −1: ŷ are distances of what is alike, or is not."""

    kind: Literal["hinge_embedding"]
    within: ClassVar[Within] = "signs"
    examples = ({}, {"margin": 0.5})

    margin: NotNegative = 1.0

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over n."""
        return sum(where(y > 0, yhat, maximum(0, self.margin - yhat))) / prod(y.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂ŷ = 1 / n where y is 1, −1 / n where it is −1 and ŷ < m."""
        return where(y > 0, y, where(self.margin - yhat > 0, y, 0)) / prod(y.shape)


class MarginRanking(Loss):
    """L = mean of max(0, −y (a − b) + m): y says which of two scores is to be the larger one.

    A sample's outputs have a and b on their first axis.
    """

    kind: Literal["margin_ranking"]
    within: ClassVar[Within] = "signs"
    sample: ClassVar[Shape] = (2, 3)
    examples = ({}, {"margin": 0.5})

    margin: NotNegative = 0.0

    def label_shape(self, outputs: Shape) -> Shape:
        """That of one of them."""
        return _of_parts(outputs, 2, "two scores")[1:]

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over n."""
        return sum(maximum(0, self._left(yhat, y))) / prod(y.shape)

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂L/∂a = −y / n where the ranking is not yet right by m, ∂L/∂b = y / n."""
        g = where(self._left(yhat, y) > 0, -y, 0) / prod(y.shape)
        return joined(g, -g)

    def _left(self, yhat: Array, y: Array) -> Any:
        a, b = parts(yhat, 2)
        return -y * (a - b) + self.margin


class CosineEmbedding(Loss):
    """L = mean of 1 − cos(a, b) where y is 1, of max(0, cos(a, b) − m) where it is −1.

    A sample's outputs are (2, features): a and b. cos(a, b) = a·b / √((a·a + ε) (b·b + ε)).
    """

    kind: Literal["cosine_embedding"]
    exact: ClassVar[bool] = False
    within: ClassVar[Within] = "signs"
    sample: ClassVar[Shape] = (2, 3)
    examples = ({}, {"margin": 0.3}, {"epsilon": 0.1})

    margin: Annotated[Number, Field(ge=-1, le=1)] = 0.0
    epsilon: Positive = 1e-12

    def label_shape(self, outputs: Shape) -> Shape:
        """One sign a sample."""
        if len(outputs) != 2:
            raise ValueError(f"expected outputs (2, features); got shape {outputs}")
        return _of_parts(outputs, 2, "two vectors")[2:]

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over B."""
        cos = self._cosine(yhat)[0]
        return sum(where(y > 0, 1 - cos, maximum(0, cos - self.margin))) / y.shape[0]

    def gradient(self, yhat: Array, y: Array) -> Any:
        """±1 / B times ∂cos/∂a = b / (|a| |b|) − cos · a / |a|², where |a|² = a·a + ε, and likewise for b."""
        a, b = parts(yhat, 2)
        cos, norms = self._cosine(yhat)
        factor = where(y > 0, -y, where(cos - self.margin > 0, -y, 0)) / y.shape[0]
        cos, factor = (reshape(v, (v.shape[0], 1)) for v in (cos, factor))
        aa, bb = (reshape(v, (v.shape[0], 1)) for v in norms)
        root = sqrt(aa * bb)
        return joined(factor * (b / root - cos * a / aa), factor * (a / root - cos * b / bb))

    def _cosine(self, yhat: Array) -> tuple[Any, tuple[Any, Any]]:
        a, b = parts(yhat, 2)
        aa, bb = sum(a * a, 1) + self.epsilon, sum(b * b, 1) + self.epsilon
        return sum(a * b, 1) / sqrt(aa * bb), (aa, bb)


class Triplet(Loss):
    """L = mean of max(0, |a − p + ε| − |a − n + ε| + m): an anchor is to be nearer to p than to n.

    A sample's outputs are (3, features): a, p, n. Its label says nothing. Schroff et al., *FaceNet* (2015), with
    distances as they are and not squared; frameworks add ε to each difference.
    """

    kind: Literal["triplet"]
    exact: ClassVar[bool] = False
    sample: ClassVar[Shape] = (3, 2)
    examples = ({}, {"margin": 0.1}, {"epsilon": 0.1})

    margin: NotNegative = 1.0
    epsilon: Positive = 1e-6

    def label_shape(self, outputs: Shape) -> Shape:
        """One number a sample, which is not looked at."""
        if len(outputs) != 2:
            raise ValueError(f"expected outputs (3, features); got shape {outputs}")
        return _of_parts(outputs, 3, "an anchor, one that is alike, one that is not")[2:]

    def value(self, yhat: Array, y: Array) -> Any:
        """The sum over B."""
        near, far, _, _ = self._distances(yhat)
        return sum(maximum(0, near - far + self.margin)) / yhat.shape[0]

    def gradient(self, yhat: Array, y: Array) -> Any:
        """∂|u|/∂u = u / |u|, of both differences, where the triplet is not yet apart by m."""
        near, far, u, v = self._distances(yhat)
        batch = yhat.shape[0]
        on = near - far + self.margin > 0
        one = reshape(where(on, 1 / near, 0), (batch, 1)) * u / batch
        other = reshape(where(on, 1 / far, 0), (batch, 1)) * v / batch
        return joined(one - other, -one, other)

    def _distances(self, yhat: Array) -> tuple[Any, Any, Any, Any]:
        a, p, n = parts(yhat, 3)
        u, v = a - p + self.epsilon, a - n + self.epsilon
        return sqrt(sum(u * u, 1)), sqrt(sum(v * v, 1)), u, v


def _of_parts(outputs: Shape, number: int, what: str) -> Shape:
    if outputs[0] != number:
        raise ValueError(f"expected outputs ({number}, …), {what}; got shape {outputs}")
    return outputs
