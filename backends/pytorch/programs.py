"""What may a program of the atlas call in PyTorch? Its own names, and hands that every framework has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from isograd.atlas.draws import drawn
from isograd.atlas.hands import shared_hands
from isograd.backends.pytorch.rows import torch


def t(values: Any, dtype: str = "float64") -> Any:
    """A tensor of the values, followed by autograd; whole numbers and truths stay what they are, and are not."""
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        return torch.tensor(array)
    return torch.tensor(array, dtype=getattr(torch, dtype), requires_grad=True)


def gradients(y: Any, xs: Sequence[Any]) -> Sequence[Any]:
    """∂ y / ∂ each x; None where there is none."""
    return torch.autograd.grad(y, xs, allow_unused=True, retain_graph=True)  # type: ignore[no-any-return]


def filled(module: Any, *, turned: Sequence[str] = (), seed: int = 0) -> Any:
    """The module in float64 with drawn parameters, in their order; the numbers of ``turned`` ones are transposed."""
    module = module.to(torch.float64)
    with torch.no_grad():
        for i, (name, p) in enumerate(module.named_parameters()):
            shape = tuple(p.shape)
            values = drawn(*reversed(shape), seed=seed + i).T if name in turned else drawn(*shape, seed=seed + i)
            p.copy_(torch.tensor(values.copy()))
    return module


def steps(
    make: Callable[[Any], Any], n: int = 5, *, lrs: Sequence[float] = (), scale: float = 1.0, dtype: str = "float64"
) -> Any:
    """What an optimizer makes of three drawn weights in each of n steps with drawn gradients of a size; (n, 3)."""
    w = t(drawn(3), dtype)
    optimizer, seen = make([w]), []
    for i in range(n):
        if lrs:
            for group in optimizer.param_groups:
                group["lr"] = lrs[i]
        w.grad = torch.tensor(scale * drawn(3, seed=i + 1), dtype=w.dtype)
        optimizer.step()
        seen.append(w.detach().clone())
    return torch.stack(seen)


def rates(make: Callable[[Any], Any], n: int = 10, lr: float = 0.1, *, told: Sequence[float] = ()) -> list[float]:
    """The learning rate before each of n steps of a schedule, which may be told a number each time."""
    optimizer = torch.optim.SGD([t([0.0])], lr=lr)
    schedule, seen = make(optimizer), []
    for i in range(n):
        seen.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step(*told[i : i + 1])
    return seen


def shapes(module: Any) -> dict[str, list[int]]:
    """Names and shapes of all that a module's state has."""
    return {name: list(value.shape) for name, value in module.state_dict().items()}


def plain(value: Any) -> Any:
    """An array for a tensor."""
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value


def names() -> Mapping[str, Any]:
    """All of them, with defaults as they are at first, whatever the last program or session has left."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    torch.use_deterministic_algorithms(False)
    own = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "optim": torch.optim, "init": torch.nn.init}
    own |= {"lr_scheduler": torch.optim.lr_scheduler}
    hands = {hand.__name__: hand for hand in (t, filled, steps, rates, shapes, plain)}
    return own | shared_hands(t, gradients) | hands
