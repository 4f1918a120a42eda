"""Which calls of PyTorch's functions is a forward pass made of, and what can each of them have been instead?"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isograd.backends.pytorch.functions import ACTIVATIONS
from isograd.framework import Framework
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

Call = Callable[[Callable[..., Any], Any, Any], Any]
"""A call in the place of one, given the function, its arguments and its options."""

Other = tuple[str, Call]
"""What is said of a call that is another, and that."""

NAMES = (
    "relu", "relu_", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "celu", "hardswish", "hardsigmoid",
    "relu6", "hardtanh", "mish", "softplus", "logsigmoid",
)  # fmt: skip
OURS = tuple(f"{Path(file).parent}{os.sep}" for file in (__file__, inspect.getfile(Framework)))
"""Where what only watches is: its calls are no part of the model."""

WITHOUT_DROPOUT = "without_dropout"
"""A function of ours that calls PyTorch's for the user, so that what comes from it is the user's."""

LOOKS = ("__get__", "__set__", "register_hook", "is_floating_point", "dim", "size", "numel", "__len__", "__hash__")
POOLS = ("max_pool1d", "max_pool2d", "avg_pool1d", "avg_pool2d", "boolean_dispatch", "fn")


def mode(see: Callable[[int, Any, Any, Any], Any]) -> Any:
    """A mode in which ``see`` is asked for the result of each call: its number, the function, arguments, options."""

    class Seeing(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.number = -1

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            caller = sys._getframe(1).f_code
            ours = caller.co_filename.startswith(OURS) and caller.co_name != WITHOUT_DROPOUT
            if ours or getattr(func, "__name__", "") in LOOKS:
                return func(*args, **(kwargs or {}))
            self.number += 1
            return see(self.number, func, args, kwargs or {})

    return Seeing()


def others(func: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Iterator[Other]:
    """What a call can have been instead."""
    name = getattr(func, "__name__", "")
    tensors = [value for value in args if isinstance(value, torch.Tensor)]
    if not tensors or not any(tensor.is_floating_point() for tensor in tensors):
        yield from _of_masks(name)
        return
    x = tensors[0]
    if name in NAMES:
        yield from ((f"{words} there", _instead(function)) for words, function in ACTIVATIONS.items())
    yield from _of_pools(name, x)
    if name in ("flatten", "reshape", "view") and x.ndim == 4:
        yield "channels are last there (NHWC layout) when it is flattened", lambda f, a, o: f(_last(a[0]), *a[1:], **o)
    if name in ("softmax", "log_softmax", "_softmax"):
        for axis in range(x.ndim):
            yield f"over axis {axis} there", _over(axis)
    if name in ("masked_fill", "masked_fill_") and len(args) > 2:
        yield "the mask is inverted there", lambda f, a, o: f(a[0], ~a[1], *a[2:], **o)
        for value in (-1e4, -1e9, -1e20, 0.0, float("-inf")):
            yield f"{value:g} is put in there (mask value)", _argument(2, value)
    if name == "scaled_dot_product_attention":
        yield from _of_attention(x)
    if name in ("add", "__add__", "__iadd__", "__radd__", "add_") and len(tensors) > 1:
        yield "the sum is left out there: the second part (residual, skip or bias) is missing", lambda f, a, o: a[0] + 0
        yield "the sum is left out there: the first part (residual or skip) is missing", lambda f, a, o: a[1] + 0
    if name == "cross_entropy":
        yield from _of_cross_entropy()
    if name == "cat":
        yield "in the reverse order there", lambda f, a, o: f([*a[0]][::-1], *a[1:], **o)
    if name in ("mean", "sum"):
        other = "sum" if name == "mean" else "mean"
        yield f"a {other} there", _method(other)
    yield from _of_numbers(name, args)
    if name in (
        "mul",
        "div",
        "sqrt",
        "rsqrt",
        "__mul__",
        "__truediv__",
        "__rmul__",
        "tanh",
        "sigmoid",
        "relu",
        "square",
    ):
        yield "left out there", lambda f, a, o: next(v for v in a if isinstance(v, torch.Tensor)) + 0
    if name in ("layer_norm", "batch_norm", "group_norm", "instance_norm"):
        yield f"{name} is left out there: the norm is missing", lambda f, a, o: a[0] + 0
    if name in ("conv1d", "conv2d", "conv3d"):
        yield from _of_convolutions()
    if name == "interpolate":
        for how, corners in (("nearest", None), ("bilinear", False), ("bilinear", True), ("bicubic", False)):
            said = f"{how}{'' if corners is None else f' with align_corners={corners}'} there"
            yield said, _options(mode=how, align_corners=corners)
    for dtype in ("float32", "float16", "bfloat16"):
        yield f"cast to {dtype} there", _cast(dtype)


def _instead(function: Callable[[Any], Any]) -> Call:
    return lambda f, a, o: function(a[0])


def _cast(dtype: str) -> Call:
    def call(f: Any, a: Any, o: Any) -> Any:
        result = f(*a, **o)
        return result.to(getattr(torch, dtype)).to(result.dtype)

    return call


def _over(axis: int) -> Call:
    return lambda f, a, o: f(a[0], **{**_without(o, "dim"), "dim": axis})


def _argument(at: int, value: Any) -> Call:
    """Another value for one of the arguments."""
    return lambda f, a, o: f(*(value if i == at else x for i, x in enumerate(a)), **o)


def _options(**other: Any) -> Call:
    return lambda f, a, o: f(*a, **{**o, **other})


def _method(name: str) -> Call:
    return lambda f, a, o: getattr(a[0], name)(*a[1:], **o)


def _diagonal(by: int) -> Call:
    return lambda f, a, o: f(a[0], diagonal=o.get("diagonal", a[1] if len(a) > 1 else 0) + by)


def _last(x: Any) -> Any:
    return x.permute(0, 2, 3, 1).contiguous()


def _without(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != name}


def _of_masks(name: str) -> Iterator[Other]:
    if name in ("tril", "triu"):
        for by in (1, -1):
            words = f"the mask's diagonal is {by:+d} there: the causal mask is off by one"
            yield words, _diagonal(by)


def _of_pools(name: str, x: Any) -> Iterator[Other]:
    """Of images: another kind, another kernel, other edges."""
    if "pool" not in name and name not in POOLS:
        return
    functional = torch.nn.functional
    if "adaptive" in name:
        yield "max pooling there, not average", lambda f, a, o: functional.adaptive_max_pool2d(*a, **o)
        return

    def pooled(kind: str, **other: Any) -> Call:
        """The same pooling, of a kind, with another setting."""

        def call(f: Any, a: Any, o: Any) -> Any:
            names = ("kernel_size", "stride", "padding")
            given = {**dict(zip(names, a[1:4], strict=False)), **{name: o[name] for name in names if name in o}}
            given["stride"] = given.get("stride") or given["kernel_size"]
            return getattr(functional, kind)(a[0], **{"padding": 0, **given, **other})

        return call

    yield "average pooling there, not max", pooled("avg_pool2d")
    yield "max pooling there, not average", pooled("max_pool2d")
    for size in (2, 3, 4):
        yield f"the pooling's kernel is {size} there", pooled("max_pool2d", kernel_size=size)
    for pad in (0, 1):
        yield f"the pooling's padding is {pad} there", pooled("max_pool2d", padding=pad)
    for ceil in (True, False):
        yield f"the pooling's ceil_mode is {ceil} there", pooled("max_pool2d", ceil_mode=ceil)
    for counted in (True, False):
        words = f"padding is {'' if counted else 'not '}counted in the average there (count_include_pad, exclusive)"
        yield words, pooled("avg_pool2d", count_include_pad=counted)


def _of_convolutions() -> Iterator[Other]:
    """Where pixels beyond the edges come from, and how far apart places are."""

    def call(make: Callable[[Any, int, int], Any], dilation: int = 0) -> Call:
        def other(f: Any, a: Any, o: Any) -> Any:
            x, weight, bias, stride, padding, spread, groups = [*a, *(None, 1, 0, 1, 1)[len(a) - 2 :]][:7]
            high, wide = padding if isinstance(padding, (tuple, list)) else (padding, padding)
            return f(make(x, int(high), int(wide)), weight, bias, stride, 0, dilation or spread, groups)

        return other

    pad = torch.nn.functional.pad
    for how in ("replicate", "reflect", "circular"):
        words = f"padding is {how} there, not zeros (padding mode)"
        yield words, call(_edges(how))
    yield "padding is on one side only there (before)", call(lambda x, h, w: pad(x, (2 * w, 0, 2 * h, 0)))
    yield "padding is on one side only there (after)", call(lambda x, h, w: pad(x, (0, 2 * w, 0, 2 * h)))
    yield "the dilation is 2 there, with padding for it", call(lambda x, h, w: pad(x, (2 * w, 2 * w, 2 * h, 2 * h)), 2)


def _edges(how: str) -> Callable[[Any, int, int], Any]:
    return lambda x, h, w: torch.nn.functional.pad(x, (w, w, h, h), mode=how)


def _of_attention(query: Any) -> Iterator[Other]:
    width = query.shape[-1]
    heads = query.shape[1] if query.ndim == 4 else 1
    yield "the scale 1/√d is left out there", _options(scale=1.0)
    yield "scaled by the model's width there, not the head's", _options(scale=(width * heads) ** -0.5)
    yield "scaled by 1/d there, not by 1/√d", _options(scale=1.0 / width)
    yield "it is not causal there: the mask is missing", _options(is_causal=False, attn_mask=None)
    yield "it is causal there", _options(is_causal=True, attn_mask=None)
    yield "query and key are exchanged there", lambda f, a, o: f(a[1], a[0], *a[2:], **o)
    yield "key and value are exchanged there", lambda f, a, o: f(a[0], a[2], a[1], *a[3:], **o)
    places = query.shape[-2]
    seen = torch.ones(places, places, dtype=torch.bool)
    for words, mask in (
        ("the causal mask is off by one: the next place is seen", seen.tril(1)),
        ("the causal mask is off by one: the own place is masked", seen.tril(-1)),
        ("the causal mask is transposed: only the future is seen", seen.triu()),
    ):
        yield f"{words} there", _options(is_causal=False, attn_mask=mask)


def _of_cross_entropy() -> Iterator[Other]:
    for smoothing in (0.05, 0.1, 0.2):
        yield f"label smoothing is {smoothing} there", _options(label_smoothing=smoothing)
    for reduction in ("sum", "mean"):
        yield f"its reduction is {reduction} there", _options(reduction=reduction)
    for label in (0, 1, -1, -100):
        yield f"label {label} is ignored there (ignore_index)", _options(ignore_index=label)
    yield "of what has been through a softmax there", lambda f, a, o: f(a[0].softmax(-1), *a[1:], **o)
    for by in (0.5, 2.0, 0.1, 10.0):
        yield f"of outputs that are {by:g} times as large there (temperature, scale)", _scaled_first(by)


def _scaled_first(by: float) -> Call:
    return lambda f, a, o: f(a[0] * by, *a[1:], **o)


def _of_numbers(name: str, args: Sequence[Any]) -> Iterator[Other]:
    """Constants that are another: left out, its square, root, half, double or reciprocal."""
    for at, value in enumerate(args):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 and name not in SHAPES:
            x = float(value)
            for words, other in (
                ("squared", x * x), ("its root", x**0.5), ("doubled", 2 * x), ("halved", x / 2),
                ("its reciprocal", 1 / x), ("1: left out", 1.0),
            ):  # fmt: skip
                said = f"its constant {value:g} is {words} there"
                yield said, _argument(at, other)


SHAPES = (
    "view", "reshape", "transpose", "permute", "flatten", "unsqueeze", "squeeze", "split", "chunk", "__getitem__",
    "size", "softmax", "log_softmax", "mean", "sum", "cat", "stack", "expand", "repeat", "conv1d", "conv2d", "conv3d",
    "unflatten", "max_pool2d", "avg_pool2d", "boolean_dispatch", "embedding", "select", "narrow", "roll", "flip",
    "linear", "dropout", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "pad", "interpolate", "lstm", "gru",
    "layer_norm", "max", "min", "argmax",
)  # fmt: skip
