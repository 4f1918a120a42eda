"""What can a number that a call is given have been instead, or the one that a tensor is filled with?"""

from __future__ import annotations

from collections.abc import Iterator

from isograd.backends.pytorch.alternatives.building import Args, Call, Options, Table, after, argument, where_given
from isograd.backends.pytorch.alternatives.masks import LOW
from isograd.framework import Other

SIZES = (
    "view", "reshape", "transpose", "permute", "flatten", "unsqueeze", "squeeze", "split", "chunk", "__getitem__",
    "size", "softmax", "log_softmax", "mean", "sum", "cat", "stack", "expand", "repeat", "conv1d", "conv2d", "conv3d",
    "unflatten", "max_pool2d", "avg_pool2d", "boolean_dispatch", "embedding", "select", "narrow", "roll", "flip",
    "linear", "dropout", "adaptive_avg_pool2d", "_adaptive_avg_pool2d", "pad", "interpolate", "lstm", "gru",
    "layer_norm", "max", "min", "argmax", "rnn_tanh", "rnn_relu", "multi_head_attention_forward", "tril", "triu",
    "unbind", "index_select", "masked_fill", "masked_fill_", "var", "std", "batch_norm", "new_zeros", "new_ones",
    "swapaxes", "movedim", "tensor_split", "group_norm", "scaled_dot_product_attention", "repeat_interleave", "tile",
)  # fmt: skip
"""Functions whose numbers are axes and sizes."""


def of_numbers(name: str, args: Args) -> Iterator[Other]:
    """Constants that are another: left out, its square, root, half, double or reciprocal; or any number."""
    for at, value in enumerate(args):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value and name not in SIZES:
            x = float(value)
            what = {"div": "divisor (scale)", "mul": "factor (scale)"}.get(name.strip("_").lstrip("r"), "constant")
            what = "factor (mask value)" if x <= LOW else what
            for words, other in (
                ("squared", x * x), ("its root", abs(x) ** 0.5), ("its reciprocal", 1 / x), ("1: left out", 1.0),
                ("0: left out", 0.0), ("of the other sign", -x),
            ):  # fmt: skip
                told = words if other in (0.0, 1.0) else f"{other:.6g}, {words},"
                yield Other(f"its {what} {value:g} is {told} there", argument(at, other))
            if name.strip("_") in ("add", "radd") and 0 < x <= SMALL:
                words = f"its constant {value:g} (epsilon) is added to the root there, and not under it"
                yield Other(words, _outside_the_root(1 - at, x))
            begin = x if x > 0 else -1.0
            yield Other(f"its {what} {value:g} is {{x}} there", where_given(at, lambda _, x: x), begin, here=x)


SMALL = 1e-2
"""What is added to keep from a division by 0 is no larger."""


def _outside_the_root(at: int, epsilon: float) -> Call:
    """What has the root √x + ε."""
    return lambda f, a, o: (a[at].sqrt() + epsilon) ** 2


def of_filled(args: Args, options: Options) -> Iterator[Other]:
    """Labels made by hand, or states to begin with."""
    yield Other("ones and zeros are exchanged there: labels are swapped", after(lambda out: 1 - out), anywhere=True)
    yield Other("filled with {x} there (labels: smoothed, scaled)", after(lambda out, x: out * 0 + x), 0.5)


TABLE: Table = {("ones_like", "zeros_like", "full_like"): of_filled}
