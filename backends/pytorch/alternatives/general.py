"""What can any call have been instead, by its arguments alone: another axis, flag, word or number, or left out?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from typing import Any

from isograd.backends.pytorch.alternatives.building import Args, Call, Options, as_given, given
from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

AXES: Mapping[str, int] = {
    "cumsum": 1, "cumprod": 1, "logsumexp": 1, "logcumsumexp": 1, "amax": 1, "amin": 1, "argmax": 1, "argmin": 1,
    "sum": 1, "mean": 1, "prod": 1, "var": 1, "std": 1, "max": 1, "min": 1, "median": 1, "sort": 1, "argsort": 1,
    "normalize": 2, "norm": 2, "roll": 2, "gather": 1, "index_select": 1, "cosine_similarity": 2, "glu": 1, "diff": 2,
    "flip": 1, "vector_norm": 2, "topk": 2, "nansum": 1, "nanmean": 1, "take_along_dim": 2, "scatter_add": 1,
}  # fmt: skip
"""Functions along an axis, and at which place they are given it."""

FLAGS_APART = ("inplace", "training", "keepdim", "return_indices", "need_weights", "return_inverse", "return_counts")
"""Flags that change no numbers, or only the shape of what comes."""

WORDS: Mapping[str, tuple[str, ...]] = {
    "reduction": ("mean", "sum"),
    "reduce": ("sum", "mean", "prod", "amax", "amin"),
    "approximate": ("none", "tanh"),
    "indexing": ("ij", "xy"),
    "padding_mode": ("zeros", "border", "reflection"),
    "rounding_mode": ("floor", "trunc"),
}
"""Words that are given by name, and what else stands there."""

SIZES = (
    "dim", "axis", "size", "kernel_size", "stride", "padding", "dilation", "groups", "num_classes", "diagonal",
    "start_dim", "end_dim", "chunks", "output_size", "num_groups", "scale_factor", "k", "n", "dims", "shifts",
    "ignore_index", "repeats", "sections", "descending", "dropout_p", "p", "correction", "_stacklevel",
)  # fmt: skip
"""Numbers given by name that are axes, counts and sizes, or have alternatives of their own."""

RELATIVES = (
    ("log", "log2", "log10", "log1p"),
    ("exp", "exp2", "expm1"),
    ("sin", "cos"),
    ("floor", "ceil", "round", "trunc"),
    ("argmax", "argmin"),
    ("amax", "amin"),
    ("cumsum", "cumprod"),
    ("triu", "tril"),
)
"""Functions that are taken for each other."""


def general(function: Any, args: Args, options: Options) -> Iterator[Other]:
    """What a call can have been, whatever it computes."""
    name = getattr(function, "__name__", "").strip("_")
    bound = _bound(function, args, options)
    for key, value in bound.items():
        if isinstance(value, bool) and key not in FLAGS_APART:
            yield Other(f"its {key} is {not value} there", _with(function, args, options, key, not value))
        for other in WORDS.get(key, ()) if isinstance(value, str) else ():
            if other != value:
                yield Other(f"its {key} is {other} there, not {value}", _with(function, args, options, key, other))
    for family in RELATIVES:
        for other in family if name in family else ():
            if other != name:
                yield Other(f"{other} there, not {name}", _relative(other))
    yield from _along_others(name, args, options)
    yield from _of_options(options)
    if args and isinstance(args[0], torch.Tensor):
        yield Other("left out there: it is missing", as_given)


def _bound(function: Any, args: Args, options: Options) -> Mapping[str, Any]:
    """Arguments by their names, with those that are left out; of a function that tells no names, what is named."""
    try:
        bound = signature(function).bind(*args, **options)
    except (TypeError, ValueError):
        return options
    bound.apply_defaults()
    return bound.arguments


def _with(function: Any, args: Args, options: Options, key: str, value: Any) -> Call:
    """The call with another value by a name, wherever it was given."""
    names = [] if key in options else [*_bound(function, args, options)]
    at = names.index(key) if key in names else len(args)

    def call(f: Any, a: Args, o: Options) -> Any:
        return f(*a[:at], value, *a[at + 1 :], **o) if at < len(a) else f(*a, **{**o, key: value})

    return call


def _relative(name: str) -> Call:
    return lambda f, a, o: getattr(torch, name)(*a, **o)


def _along_others(name: str, args: Args, options: Options) -> Iterator[Other]:
    """Along another axis; what then comes has the shape that the call gives, or broadcasts to the same."""
    at = AXES.get(name)
    axis = None if at is None else given(args, options, "dim", at, given(args, options, "axis", at))
    axis = axis[0] if isinstance(axis, (tuple, list)) and len(axis) == 1 else axis
    if at is None or not isinstance(axis, int) or isinstance(axis, bool) or not isinstance(args[0], torch.Tensor):
        return
    axes = args[0].dim()
    for other in range(axes):
        if other != axis % axes:
            yield Other(f"over axis {other} there, not over axis {axis % axes} (another dim)", _along(at, other))


def _along(at: int, axis: int) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        key = "axis" if "axis" in o else "dim"
        return f(*a[:at], axis, *a[at + 1 :], **o) if len(a) > at else f(*a, **{**o, key: axis})

    return call


def _of_options(options: Options) -> Iterator[Other]:
    """Numbers that are given by name: missing, or any other one."""
    for key, value in options.items():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and key not in SIZES:
            if key in ("min", "max"):
                yield Other(f"it has no {key} there: that bound is missing", _unset(key))
            begin = float(value) if value > 0 else float(value) or 0.1
            yield Other(f"its {key} {value:g} is {{x}} there", _set(key), begin, here=float(value))


def _unset(key: str) -> Call:
    return lambda f, a, o: f(*a, **{**o, key: None})


def _set(key: str) -> Callable[..., Any]:
    return lambda f, a, o, x: f(*a, **{**o, key: x})


# ---------------------------------------------------------------- one number a channel

MOST = 8
"""Constants that are solved for together."""


def of_channels(name: str, args: Args) -> Iterator[Other]:
    """Where a tensor of a few constants, as one a channel, is put to all of a larger one: others; or all moved besides.

    An image is normalised by means and deviations: if both are others, what comes is scaled and moved.
    """
    if name.strip("_") not in ("add", "sub", "mul", "div", "truediv"):
        return
    for at, constants in enumerate(args[:2]):
        other = args[1 - at] if len(args) > 1 else None
        if not (isinstance(constants, torch.Tensor) and isinstance(other, torch.Tensor)):
            continue
        number = constants.numel()
        if constants.is_complex():
            continue
        few = 1 < number <= MOST and constants.dim() > 0 and 4 * number < other.numel()
        if constants.requires_grad or not few or (constants.dim() == other.dim() and constants.shape[0] > 1):
            continue  # with the samples' axis it is no constant, but one number of each
        values = tuple(map(float, constants.detach().flatten()))
        yield Other(f"its {number} constants are {{x}} there", _constants(at), values)
        words = (
            f"its {number} channels are scaled and moved there, by {{x}} (factors, then what is added): normalised "
            "with other means and deviations"
        )
        yield Other(words, _scaled(constants.shape), (1.0,) * number + (0.0,) * number)


def _constants(at: int) -> Callable[..., Any]:
    def call(f: Any, a: Args, o: Options, *x: float) -> Any:
        own = list(a)
        own[at] = torch.tensor(x, dtype=a[1 - at].dtype).reshape(a[at].shape)
        return f(*own, **o)

    return call


def _scaled(shape: Any) -> Callable[..., Any]:
    def call(f: Any, a: Args, o: Options, *x: float) -> Any:
        out, half = f(*a, **o), len(x) // 2
        by, more = (out.new_tensor(part).reshape(shape) for part in (x[:half], x[half:]))
        return out * by + more

    return call
