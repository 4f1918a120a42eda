"""What can rounding do to a user's own training? PyTorch in float64, each operation's result moved so much at random.

The forward pass, the backward pass and the optimizer's update all come by as operations of ATen, under autograd. What
is said of their errors is what `isograd.arithmetic.sizes` says of the rules' (docs/judging.md): √n u Σ|terms| of a sum
of n terms, the ULPs of an elementary function, nothing of what is only picked or laid out anew. A kernel that does many
things in one runs as the operations that it stands for, so that noise is within it as well.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from functools import cache
from typing import Any

from isograd.backends.pytorch.noise.mode import Noisy
from isograd.backends.pytorch.noise.operations import FAILURES
from isograd.lazy import LazyModule

torch = LazyModule("torch")

__all__ = ["Noisy", "available"]


@cache
def available() -> str:
    """Why noisy runs cannot be had of this PyTorch, or ""; it is tried with a small model."""
    try:
        version = torch.__version__
    except FAILURES as error:
        return f"PyTorch cannot be imported: {error}"
    try:
        plain, noisy = _tried(ExitStack()), _tried(Noisy(0))
    except FAILURES as error:
        return f"PyTorch {version} does not let operations be followed as isograd does: {type(error).__name__}: {error}"
    off = float((noisy - plain).abs().max())
    if not 0 < off < 1e-3:
        return f"in PyTorch {version} noise does not come through: it moved a small model's weights by {off:g}"
    return ""


def _tried(around: AbstractContextManager[Any]) -> Any:
    """The weights after one step, without a random number of PyTorch's."""
    x = torch.linspace(-1.0, 1.0, 12, dtype=torch.float64).reshape(4, 3)
    weight = torch.linspace(0.1, 0.9, 9, dtype=torch.float64).reshape(3, 3).requires_grad_()
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    with around:
        loss = torch.nn.functional.layer_norm(torch.nn.functional.linear(x, weight), (3,)).square().mean()
        loss.backward()
        optimizer.step()
    return weight.detach()
