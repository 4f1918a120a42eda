"""How does PyTorch pool windows and resize images, and what is different in it?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from isograd.backend import Deviation
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
    return "padding" if any(op.margins) else ""


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
    return "mode=cubic but of two axes" if op.mode == "cubic" and op.rank != 2 else ""


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


def _is_cut_short(op: Any, dtype: str) -> bool:
    """Whether some sizes are other than their scale says: ⌊n s⌋ is n, or 2 n."""
    whole = {"nearest": (1, 2), "linear": (1,), "cubic": ()}[op.mode]
    return any(n < s < n + 1 for s in op.scale or () for n in whole)


DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "lp_pool": (
        Deviation(
            "forward/{op}",
            "a window that hangs over the edge counts as if it were whole: its mean times the kernel's size",
            "2.13.0",
            "https://github.com/pytorch/pytorch/blob/v2.13.0/torch/nn/functional.py",
            ("*",),
            lambda op, dtype: op.ceil_mode,
            always=False,  # whether one does hangs on the sample's shape
        ),
    ),
    "upsample": (
        Deviation(
            "forward/{op}",
            "an axis that keeps its size is copied, and one that gets twice as many places has each nearest one twice, "
            "whatever the scale",
            "2.13.0",
            "https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/UpSample.h",
            ("*",),
            _is_cut_short,
            always=False,
        ),
        Deviation(
            "backward/{below}",
            "where no axis gets a new size, ∂L/∂a is copied, though the output is no copy of the input",
            "2.13.0",
            "https://github.com/pytorch/pytorch/blob/v2.13.0/aten/src/ATen/native/UpSampleBicubic2d.cpp",
            ("*",),
            lambda op, dtype: op.mode == "cubic" and op.scale is not None and all(1 <= s < 2 for s in op.scale),
            always=False,
        ),
    ),
}
