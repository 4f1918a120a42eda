"""Which of PyTorch's operations goes one of two ways, and how is it made to go the other?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from isograd.framework import Kinks
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

Given = Mapping[str, Any]
"""An operation's arguments, by their names."""


def turn(name: str, given: Given, kinks: Kinks) -> None:
    """Tell of the gaps of an operation's operands, and move those that are to go the other way just beyond the kink.

    They are moved where they lie, as a result that was rounded otherwise would be: the backward pass looks at them too.

    Args:
        name: the operation's.
        given: its arguments.
        kinks: whom to tell.
    """
    if name in POINTS:
        for x, point in POINTS[name](given):
            if _is_real(x):
                _across(x, point, kinks)
    elif name in PICKS:
        with suppress(RuntimeError):  # a window that does not fit, which the operation itself will say
            PICKS[name](given, kinks)


def _is_real(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype is torch.float64 and value.numel() > 0


def _across(x: Any, point: Any, kinks: Kinks) -> None:
    """Elements that are compared with a number, or with others."""
    there = point if isinstance(point, torch.Tensor) else torch.tensor(float(point), dtype=x.dtype, device=x.device)
    gaps = x - there
    turned = kinks.turned(gaps.cpu().numpy())
    if turned is None or x.shape != gaps.shape:  # an operand that is spread over another's axes stays
        return
    mask = torch.from_numpy(turned).to(x.device)
    beyond = torch.nextafter(there, torch.where(gaps > 0, -torch.inf, torch.inf).to(x.dtype))
    with suppress(RuntimeError):  # one that is spread in memory as well
        x.copy_(torch.where(mask, beyond, x))


def _limits(*names: str) -> Callable[[Given], Sequence[tuple[Any, Any]]]:
    return lambda given: [(given["self"], given[name]) for name in names if given.get(name) is not None]


def _at(*points: float) -> Callable[[Given], Sequence[tuple[Any, Any]]]:
    return lambda given: [(given["self"], point) for point in points]


POINTS: Mapping[str, Callable[[Given], Sequence[tuple[Any, Any]]]] = {
    **dict.fromkeys(("relu", "leaky_relu", "_prelu_kernel", "abs", "sign", "sgn"), _at(0.0)),
    "relu6": _at(0.0, 6.0),
    "threshold": _limits("threshold"),
    **dict.fromkeys(("hardtanh", "clamp"), lambda given: [
        (given["self"], given[name]) for name in ("min_val", "max_val", "min", "max") if given.get(name) is not None
    ]),
    "clamp_min": _limits("min"),
    "clamp_max": _limits("max"),
    "hardshrink": lambda given: [(given["self"], sign * given.get("lambd", 0.5)) for sign in (1, -1)],
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin", "gt", "ge", "lt", "le"), _limits("other")),
}  # fmt: skip
"""Elements and what they are compared with, of each operation that does."""


# ---------------------------------------------------------------- what picks one of several


def _windows(given: Given, kinks: Kinks) -> None:
    """The largest of each window of an image, beside the next."""
    x = given["self"]
    if not _is_real(x):
        return
    kernel = _pair(given["kernel_size"])
    stride = _pair(given.get("stride") or kernel)
    padding, spread = _pair(given.get("padding", 0)), _pair(given.get("dilation", 1))
    ceil = bool(given.get("ceil_mode", False))
    (*_, h, w), options = x.shape, {"dilation": spread, "stride": stride}
    _, picked = torch.nn.functional.max_pool2d(x, kernel, stride, padding, spread, ceil, return_indices=True)
    number = math.prod(picked.shape[-2:])
    extra = [
        max(0, (of - 1) * s + d * (k - 1) + 1 - size - 2 * p)
        for of, s, d, k, size, p in zip(picked.shape[-2:], stride, spread, kernel, (h, w), padding, strict=True)
    ]
    edges = (padding[1], padding[1] + extra[1], padding[0], padding[0] + extra[0])
    places = torch.arange(h * w, dtype=x.dtype, device=x.device).reshape(1, 1, h, w)
    values, where = (
        torch.nn.functional.unfold(torch.nn.functional.pad(image, edges, value=fill), kernel, **options)
        for image, fill in ((x.reshape(-1, 1, h, w), -torch.inf), (places, -1.0))
    )
    values = values[..., :number]
    winners = torch.from_numpy(kinks.winners(picked.cpu().numpy())).to(x.device).reshape(-1, 1, number)
    won = where[..., :number] == winners
    moved = _lowered(x.reshape(-1, h * w), winners[:, 0], values, won, kinks)
    if moved is not None:
        x.copy_(moved.reshape(x.shape))


def _pair(value: Any) -> list[int]:
    listed = [int(one) for one in value] if isinstance(value, (list, tuple)) else [int(value)]
    return listed * 2 if len(listed) == 1 else listed


def _along(given: Given, kinks: Kinks) -> None:
    """The largest along an axis, beside the next."""
    x, axis = given["self"], given.get("dim")
    if not _is_real(x) or axis is None or not x.dim() or x.shape[axis] < 2:
        return
    flat = x.movedim(axis, -1).reshape(-1, x.shape[axis])
    winners = torch.from_numpy(kinks.winners(flat.argmax(1, keepdim=True).cpu().numpy())).to(x.device)
    won = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, winners, torch.ones_like(winners, dtype=torch.bool))
    moved = _lowered(flat, winners, flat[:, :, None], won[:, :, None], kinks)
    if moved is not None:
        x.copy_(moved.reshape(x.movedim(axis, -1).shape).movedim(-1, axis))


def _lowered(x: Any, winners: Any, values: Any, won: Any, kinks: Kinks) -> Any:
    """Numbers, whose winners are just below the next where they are to lose; None where none is.

    Args:
        x: (rows, numbers).
        winners: which numbers win, (rows, windows).
        values: the numbers of each window, (rows, numbers of it, windows).
        won: which of them that is, likewise.
        kinks: whom to ask.
    """
    first, following = (values.masked_fill(of, -torch.inf).amax(1) for of in (~won, won))
    turned = kinks.turned((first - following).cpu().numpy())
    if turned is None:
        return None
    below = torch.nextafter(following, torch.full_like(following, -torch.inf))
    below = torch.where(torch.from_numpy(turned).to(x.device), below, torch.inf)
    return torch.minimum(x, torch.full_like(x, torch.inf).scatter_reduce_(1, winners, below, "amin"))


PICKS: Mapping[str, Callable[[Given, Kinks], None]] = {"max_pool2d_with_indices": _windows, "max": _along}
"""Those that pick one of several."""
