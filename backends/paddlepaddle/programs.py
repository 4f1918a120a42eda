"""What may a program of the atlas call in PaddlePaddle? Its own names, and hands that every framework has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from isograd.atlas.draws import drawn
from isograd.atlas.hands import shared_hands
from isograd.backends.paddlepaddle.rows import paddle


def t(values: Any, dtype: str = "float64") -> Any:
    """A tensor of the values, followed by autograd; whole numbers and truths stay what they are, and are not."""
    array = np.asarray(values)
    if array.dtype.kind in "biu":
        return paddle.to_tensor(array)
    return paddle.to_tensor(array, dtype=dtype, stop_gradient=False)


def gradients(y: Any, xs: Sequence[Any]) -> Sequence[Any]:
    """∂ y / ∂ each x; None where there is none."""
    return paddle.grad(y, list(xs), allow_unused=True, retain_graph=True)  # type: ignore[no-any-return]


def filled(module: Any, *, turned: Sequence[str] = (), seed: int = 0) -> Any:
    """The module in float64 with drawn parameters, in their order; the numbers of ``turned`` ones are transposed."""
    module = module.to(dtype="float64")
    trained = [(name, p) for name, p in module.named_parameters() if p.trainable]
    for i, (name, p) in enumerate(trained):
        shape = tuple(p.shape)
        values = drawn(*reversed(shape), seed=seed + i).T if name in turned else drawn(*shape, seed=seed + i)
        p.set_value(np.ascontiguousarray(values))
    return module


def steps(
    make: Callable[[Any], Any], n: int = 5, *, lrs: Sequence[float] = (), scale: float = 1.0, dtype: str = "float64"
) -> Any:
    """What an optimizer makes of three drawn weights in each of n steps with drawn gradients of a size; (n, 3)."""
    w = paddle.create_parameter([3], dtype)
    w.set_value(drawn(3).astype(dtype))
    optimizer, seen = make([w]), []
    for i in range(n):
        if lrs:
            optimizer.set_lr(lrs[i])
        (w * paddle.to_tensor(scale * drawn(3, seed=i + 1), dtype=dtype)).sum().backward()
        optimizer.step()
        optimizer.clear_grad()
        seen.append(w.detach().clone())
    return paddle.stack(seen)


def rates(make: Callable[[float], Any], n: int = 10, lr: float = 0.1, *, told: Sequence[float] = ()) -> list[float]:
    """The learning rate before each of n steps of a schedule, which may be told a number each time."""
    schedule, seen = make(lr), []
    for i in range(n):
        seen.append(float(schedule()))
        schedule.step(*told[i : i + 1])
    return seen


def shapes(module: Any) -> dict[str, list[int]]:
    """Names and shapes of all that a layer's state has."""
    return {name: list(value.shape) for name, value in module.state_dict().items()}


def plain(value: Any) -> Any:
    """An array for a tensor."""
    return value.detach().numpy() if isinstance(value, paddle.Tensor) else value


def names() -> Mapping[str, Any]:
    """All of them, with defaults as they are at first, whatever the last program or session has left."""
    paddle.seed(0)
    paddle.set_default_dtype("float32")
    own = {"paddle": paddle, "nn": paddle.nn, "F": paddle.nn.functional, "optimizer": paddle.optimizer}
    own |= {"lr": paddle.optimizer.lr, "initializer": paddle.nn.initializer}
    hands = {hand.__name__: hand for hand in (t, filled, steps, rates, shapes, plain)}
    return own | shared_hands(t, gradients) | hands
