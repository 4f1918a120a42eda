"""How does PaddlePaddle pool windows and resize images, and what is different in it?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

from isograd.backend import Deviation
from isograd.backends.paddlepaddle.rows.row import LayerRow, paddle

Build = Callable[[Any, tuple[int, ...]], Any]


def _max_pool(op: Any, x: tuple[int, ...]) -> Any:
    return _of_rank("MaxPool", x)([*op.kernel], [*op.steps], [*op.margins], ceil_mode=op.ceil_mode)


def _max_pool_lacks(op: Any) -> str:
    return "dilation" if max(op.spread) > 1 else _windows_lack(op)


def _average_pool(op: Any, x: tuple[int, ...]) -> Any:
    settings = {"exclusive": not op.counts_padding, "ceil_mode": op.ceil_mode}
    return _of_rank("AvgPool", x)([*op.kernel], [*op.steps], [*op.margins], **settings)


def _lp_pool(op: Any, x: tuple[int, ...]) -> Any:
    pool = _of_rank("LPPool", x)
    return pool(float(op.power), [*op.kernel], [*op.steps], [*op.margins], ceil_mode=op.ceil_mode)


def _lp_pool_lacks(op: Any) -> str:
    return "kernel of 3 axes" if op.rank == 3 else _windows_lack(op)


def _windows_lack(op: Any) -> str:
    """With ``ceil_mode`` it keeps a last window that lies in the padding as a whole, where there can be one."""
    sizes = zip(op.kernel, op.steps, op.margins, strict=True)
    return "ceil_mode" if op.ceil_mode and any(s + p > k for k, s, p in sizes) else ""


def _adaptive(name: str) -> Build:
    return lambda op, x: _of_rank(name, x)(op.size[0] if len(op.size) == 1 else [*op.size])


def _of_rank(name: str, x: tuple[int, ...]) -> Any:
    """The layer of so many axes of places."""
    return getattr(paddle.nn, f"{name}{len(x) - 1}D")


def _upsample(op: Any, x: tuple[int, ...]) -> Any:
    mode = {"linear": ("linear", "bilinear", "trilinear")[len(x) - 2], "cubic": "bicubic"}.get(op.mode, op.mode)
    size, scale = op.size and [*op.size], op.scale and [*op.scale]
    layout = ("NCW", "NCHW", "NCDHW")[len(x) - 2]
    return paddle.nn.Upsample(size, scale, mode, op.align_corners, data_format=layout)


def _upsample_lacks(op: Any) -> str:
    there = {"nearest": (2, 3), "linear": (1, 2, 3), "cubic": (2,)}[op.mode]
    if op.rank not in there:
        return f"mode={op.mode} of {op.rank} axes"
    copied = op.scale and max(op.scale) > 1 and all(1 <= s < 2 for s in op.scale)
    return f"scale={max(op.scale):g}, which may leave the size" if copied else ""


def _pad(op: Any, x: tuple[int, ...]) -> Any:
    widths = [*chain.from_iterable(reversed(op.widths))]  # the last axis first
    layout = ("NCL", "NCHW", "NCDHW")[len(x) - 2]
    return lambda z: paddle.nn.functional.pad(z, widths, op.mode, op.value, layout)


def _unfold(op: Any, x: tuple[int, ...]) -> Any:
    return paddle.nn.Unfold([*op.kernel], [*op.dilation], [*op.padding], [*op.stride])


LAYERS: dict[str, LayerRow] = {
    "max_pool": LayerRow(_max_pool, lacks=_max_pool_lacks),
    "average_pool": LayerRow(_average_pool, lacks=_windows_lack),
    "lp_pool": LayerRow(_lp_pool, lacks=_lp_pool_lacks),
    "adaptive_average_pool": LayerRow(_adaptive("AdaptiveAvgPool")),
    "adaptive_max_pool": LayerRow(_adaptive("AdaptiveMaxPool")),
    "upsample": LayerRow(_upsample, lacks=_upsample_lacks),
    "pad": LayerRow(_pad),
    "pixel_shuffle": LayerRow(lambda op, x: paddle.nn.PixelShuffle(op.factor)),
    "pixel_unshuffle": LayerRow(lambda op, x: paddle.nn.PixelUnshuffle(op.factor)),
    "unfold": LayerRow(_unfold),
}


def _kept(quantity: str, reason: str, file: str, when: Callable[[Any], bool] = lambda op: True) -> Deviation:
    """Some number is kept in float32, which shows where it is not exact there: that hangs on the sample's shape."""

    def shows(op: Any, dtype: str) -> bool:
        return dtype == "float64" and when(op)

    told = f"{reason}, in a float64 run too"
    return Deviation(quantity, told, "3.3.1", f"{FILES}{file}", ("*",), shows, always=False, kept_in="float32")


FILES = "https://github.com/PaddlePaddle/Paddle/blob/v3.3.1/paddle/phi/kernels/"
_SHARE = _kept("backward/{below}", "1 / n, for n places of a window, is kept in float32", "funcs/pooling.cc")

DEVIATIONS: dict[str, tuple[Deviation, ...]] = {
    "average_pool": (_SHARE,),
    "adaptive_average_pool": (_SHARE,),
    "lp_pool": (_kept("forward/{op}", "powers and roots are computed in float32", "funcs/pooling.h"),),
    "upsample": (
        _kept(
            "forward/{op}",
            "where a place lies, and weights, are computed in float32",
            "cpu/interpolate_kernel.cc",
            lambda op: op.mode != "nearest",
        ),
    ),
}
