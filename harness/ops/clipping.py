"""What becomes of gradients that are too large, before an optimizer sees them?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from isograd.arithmetic.words import maximum, minimum, sqrt, sum
from isograd.ops.op import Array, Clipping
from isograd.spec import NotNegative, Positive


class ByValue(Clipping):
    """g ← min(max(g, −c), c), each number on its own; c = ``bound``.

    Graves, *Generating sequences with recurrent neural networks* (2013), section 2.1.
    """

    kind: Literal["value"]
    exact: ClassVar[bool] = True
    examples = ({"bound": 0.05}, {"bound": 0.01})

    bound: Positive

    def of(self, gradients: Sequence[Array]) -> Callable[[Array], Array]:
        """Of each number."""
        return lambda g: maximum(minimum(g, self.bound), -self.bound)


class _ByNorm(Clipping):
    """By a norm that is above a bound c: g ← g c / (‖g‖ + ε). Pascanu, Mikolov, Bengio (2013), section 3.2.

    PyTorch adds an ε of 10⁻⁶ and clips where c / (‖g‖ + ε) < 1; PaddlePaddle adds none.
    """

    exact: ClassVar[bool] = False
    examples = ({"bound": 0.05}, {"bound": 0.2}, {"bound": 0.05, "epsilon": 0.0})

    bound: Positive
    epsilon: NotNegative = 1e-6

    def scale(self, norm: Array) -> Array:
        """min(1, c / (‖g‖ + ε))."""
        return self.bound / maximum(norm + self.epsilon, self.bound)


class ByNorm(_ByNorm):
    """By the norm of each parameter's gradient."""

    kind: Literal["norm"]
    by_norm: ClassVar[bool] = True

    def of(self, gradients: Sequence[Array]) -> Callable[[Array], Array]:
        """Each by its own."""
        return lambda g: g * self.scale(sqrt(sum(g * g)))


class ByGlobalNorm(_ByNorm):
    """By the norm of all gradients together."""

    kind: Literal["global_norm"]

    def of(self, gradients: Sequence[Array]) -> Callable[[Array], Array]:
        """All by one number."""
        squares = [sum(g * g) for g in gradients]
        total = squares[0]
        for square in squares[1:]:
            total = total + square
        scale = self.scale(sqrt(total))
        return lambda g: g * scale
