"""Which hands has a program of the atlas in every framework, made of two that each has of its own?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from isograd.atlas.draws import drawn

OTHER = 1009
"""Seed of what comes from above: other numbers than those that a program draws."""


def shared_hands(t: Callable[..., Any], gradients: Callable[[Any, Sequence[Any]], Sequence[Any]]) -> dict[str, Any]:
    """``draw``, ``grad``, ``vjp`` and ``slope``, by name.

    Args:
        t: a tensor of values in a dtype, followed by autograd.
        gradients: of a number by several tensors; None for one that it does not depend on.
    """

    def draw(*shape: int, seed: int = 0, dtype: str = "float64") -> Any:
        """A tensor of drawn numbers, followed by autograd."""
        return t(drawn(*shape, seed=seed), dtype)

    def grad(y: Any, *xs: Any) -> Any:
        """∂ Σ y / ∂ each x."""
        found = gradients(y.sum(), xs)
        return found[0] if len(xs) == 1 else found

    def vjp(y: Any, *xs: Any) -> Any:
        """∂ Σ d y / ∂ each x, for drawn d."""
        return grad(y * draw(*y.shape, seed=OTHER).detach().to(y.dtype), *xs)

    def slope(f: Callable[[Any], Any], *points: float) -> Any:
        """The derivative of a function of one number, at each point."""
        x = t([float(point) for point in points])
        return grad(f(x), x)

    return {hand.__name__: hand for hand in (draw, grad, vjp, slope)}
