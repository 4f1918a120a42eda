"""How does PyTorch pool windows and resize images, and what is different in it?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from isograd.backends.pytorch.rows.row import LayerRow, torch

Build = Callable[[Any, tuple[int, ...]], Any]


def _max_pool(op: Any, x: tuple[int, ...]) -> Any:
    return _of_rank("MaxPool", x)(op.kernel, op.steps, op.margins, op.spread, ceil_mode=op.ceil_mode)


def _average_pool(op: Any, x: tuple[int, ...]) -> Any:
    return _of_rank("AvgPool", x)(op.kernel, op.steps, op.margins, op.ceil_mode, op.counts_padding)


def _lp_pool(op: Any, x: tuple[int, ...]) -> Any:
    one = len(op.kernel) == 1  # which takes numbers, not tuples of one
    kernel, stride = (op.kernel[0], op.steps[0]) if one else (op.kernel, op.steps)
    return _of_rank("LPPool", x)(op.power, kernel, stride, op.ceil_mode)


def _lp_pool_lacks(op: Any) -> str:
    """With ``ceil_mode`` a window that hangs over the edge counts as if it were whole (docs/found.md)."""
    return "padding" if any(op.margins) else "ceil_mode" if op.ceil_mode else ""


def _adaptive(name: str) -> Build:
    return lambda op, x: _of_rank(name, x)(op.size)


def _of_rank(name: str, x: tuple[int, ...]) -> Any:
    """The layer of so many axes of places."""
    return getattr(torch.nn, f"{name}{len(x) - 1}d")


def _upsample(op: Any, x: tuple[int, ...]) -> Any:
    mode = {"linear": ("linear", "bilinear", "trilinear")[len(x) - 2], "cubic": "bicubic"}.get(op.mode, op.mode)
    corners = None if op.mode == "nearest" else op.align_corners
    return torch.nn.Upsample(op.size, op.scale, mode, corners)


def _upsample_lacks(op: Any) -> str:
    """An axis whose size stays, or doubles, is copied whatever its scale is; a cubic one's gradient always is."""
    if op.mode == "cubic" and op.rank != 2:
        return "mode=cubic but of two axes"
    copied = {"nearest": (1, 2), "linear": (1,), "cubic": (1,)}[op.mode]
    cut_short = [s for s in op.scale or () if any(n < s < n + 1 for n in copied)]
    return f"scale={cut_short[0]:g}, which may leave the size" if cut_short else ""


def _pad(op: Any, x: tuple[int, ...]) -> Any:
    widths = [*chain.from_iterable(reversed(op.widths))]  # the last axis first
    value = op.value if op.mode == "constant" else None
    # without any margin it gives its very input, which has no gradient of its own
    return lambda z: torch.nn.functional.pad(z, widths, op.mode, value) if any(widths) else z.view_as(z)


def _unfold(op: Any, x: tuple[int, ...]) -> Any:
    return torch.nn.Unfold(op.kernel, op.dilation, op.padding, op.stride)


LAYERS: dict[str, LayerRow] = {
    "max_pool": LayerRow(_max_pool),
    "average_pool": LayerRow(_average_pool),
    "lp_pool": LayerRow(_lp_pool, _lp_pool_lacks),
    "adaptive_average_pool": LayerRow(_adaptive("AdaptiveAvgPool")),
    "adaptive_max_pool": LayerRow(_adaptive("AdaptiveMaxPool")),
    "upsample": LayerRow(_upsample, _upsample_lacks),
    "pad": LayerRow(_pad),
    "pixel_shuffle": LayerRow(lambda op, x: torch.nn.PixelShuffle(op.factor)),
    "pixel_unshuffle": LayerRow(lambda op, x: torch.nn.PixelUnshuffle(op.factor)),
    "unfold": LayerRow(_unfold),
}
