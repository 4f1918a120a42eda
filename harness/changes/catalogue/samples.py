"""What can be wrong with which samples of a batch count, and how much, in the loss and its gradient?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

from isograd.arithmetic.words import concat, where
from isograd.arithmetic.words import sum as total
from isograd.changes.change import Circumstances
from isograd.changes.instead import instead
from isograd.changes.places import OfLoss
from isograd.ops.op import Array, Loss
from isograd.scenario import Scenario

PARTS: dict[str, Callable[[int], slice]] = {
    "first half": lambda n: slice(0, n - n // 2),
    "second half": lambda n: slice(n - n // 2 if n > 1 else 0, n),
    "first sample": lambda n: slice(0, 1),
    "last sample": lambda n: slice(n - 1, n),
}
"""The samples of a batch of n that count."""


@dataclass(frozen=True)
class PartCounts(OfLoss):
    """Only some samples of a batch have a gradient."""

    id = "part_counts"
    sentence = "only the {part} of each batch has a gradient"
    formula = "∂L/∂ŷ_i ← «0» for the other i"
    origin = "micro-batches between which gradients are cleared, a loss of the last piece only"
    choices = ("part", "alone", "reported")

    part: Literal["first half", "second half", "first sample", "last sample"] = "second half"
    alone: bool = False
    reported: bool = False

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Of two samples or more; of two, a half is a sample."""
        most = min(scenario.batch_size, 2)
        yield from (c for c in super().variants(scenario) if most > 1 and (scenario.batch_size > 2 or "half" in c.part))

    def says(self) -> str:
        """Also whether its mean is its own, and whether the loss that is reported is that of the part."""
        mean = ", as of a batch of its own" if self.alone else ""
        return super().says() + mean + ("; the loss is that of the part too" if self.reported else "")

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """Value and gradient by the part."""

        def value(yhat: Any, y: Any) -> Any:
            part = PARTS[self.part](yhat.shape[0])
            return op.value(yhat[part], y[part])

        def gradient(yhat: Any, y: Any) -> Any:
            part = PARTS[self.part](yhat.shape[0])
            whole = op.gradient(yhat, y)
            own = op.gradient(yhat[part], y[part]) if self.alone else whole[part]
            return concat([0 * whole[: part.start], own, 0 * whole[part.stop :]], 0)

        return instead(op, gradient=gradient, **({"value": value} if self.reported else {}))


@dataclass(frozen=True)
class MeanOfMeans(OfLoss):
    """The loss is a mean over pieces of a batch, whatever their number of samples."""

    id = "mean_of_means"
    sentence = "the loss is the mean of the means over {size} samples each, though the last of them has fewer"
    formula = "L = «(1/K) Σ_k» mean over piece k   (not over all samples)"
    origin = "micro-batches, or processes, whose losses are averaged"

    size: int = 2

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Pieces of two to eight, where one is left that is smaller."""
        n = scenario.batch_size
        yield from (cls(size) for size in range(2, 9) if size < n and n % size)

    @property
    def where(self) -> str:
        """How large the pieces are."""
        return f"{self.size} samples"

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """Value and gradient of each piece, over their number."""

        def pieces(of: Callable[..., Any], yhat: Any, y: Any) -> list[Any]:
            starts = range(0, yhat.shape[0], self.size)
            return [of(yhat[i : i + self.size], y[i : i + self.size]) / len(starts) for i in starts]

        def value(yhat: Any, y: Any) -> Any:
            first, *others = pieces(op.value, yhat, y)
            for other in others:
                first = first + other
            return first

        return instead(op, value=value, gradient=lambda yhat, y: concat(pieces(op.gradient, yhat, y), 0))


MASKS: dict[str, Callable[[Array], Any]] = {
    "0": lambda y: (y < 0) | (y > 0),
    "negative": lambda y: y >= 0,
    "0 or negative": lambda y: y > 0,
    "positive": lambda y: y <= 0,
}
"""Which labels count, where those of that sort do not."""

ZERO_WHERE_RIGHT = ("mse", "half_squared_error", "l1", "huber", "smooth_l1", "log_cosh")
"""Losses that are 0 where an output is its label, and whose gradient is too."""


@dataclass(frozen=True)
class LabelsMasked(OfLoss):
    """Some labels are taken for padding."""

    id = "labels_masked"
    sentence = "labels that are {which} do not count in the loss"
    formula = "L = (1/«Σ m») Σ «m» …, m = 0 for such labels"
    origin = "a mask for padding, an ignore_index, on labels of which such are meant"
    choices = ("which", "divides")

    which: Literal["0", "negative", "0 or negative", "positive"] = "0 or negative"
    divides: bool = True

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """For losses that are 0 where an output is its label."""
        yield from super().variants(scenario) if scenario.loss.kind in ZERO_WHERE_RIGHT else ()

    def says(self) -> str:
        """Also whether they count in what it is divided by."""
        return super().says() + (", nor in what it is divided by" if self.divides else "")

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """Value and gradient, with the output as label where there is a mask; of none that is left, nothing."""
        if op.kind not in ZERO_WHERE_RIGHT:
            return op

        def times(value: Any, counts: Any, y: Any) -> Any:
            if not self.divides:
                return value
            ones = where(counts, 0 * y + 1, 0 * y)
            left = total(ones)
            return value * (total(0 * y + 1) / where(left > 0, left, left + 1))

        def value(yhat: Any, y: Any) -> Any:
            counts = MASKS[self.which](y)
            return times(op.value(yhat, where(counts, y, yhat)), counts, y)

        def gradient(yhat: Any, y: Any) -> Any:
            counts = MASKS[self.which](y)
            return times(op.gradient(yhat, where(counts, y, yhat)), counts, y)

        return instead(op, value=value, gradient=gradient)
