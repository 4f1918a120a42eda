"""What would the tools in use say of two runs? Their default rules, each a line, from their own documentation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from isograd.inputs import Array
from isograd.trace import Trace

# Relative and absolute tolerance by dtype: docs of torch.testing.assert_close, PyTorch 2.13.
ASSERT_CLOSE = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
}


def assert_close(a: Array, b: Array, dtype: str) -> bool:
    """|a − b| ≤ atol + rtol |b| for every element."""
    rtol, atol = ASSERT_CLOSE[dtype]
    return bool((np.abs(a - b) <= atol + rtol * np.abs(b)).all())


def means(a: Array, b: Array, dtype: str) -> bool:
    """PaDiff's default: the means of two tensors agree to a relative 1e-7."""
    return bool(np.abs(a.mean() - b.mean()) <= 1e-7 * np.abs(b.mean()))


def mean_difference(a: Array, b: Array, dtype: str) -> bool:
    """reprod_log's default: the mean of |a − b| is at most 1e-6."""
    return bool(np.abs(a - b).mean() <= 1e-6)


TOOLS: dict[str, Callable[[Array, Array, str], bool]] = {
    "assert_close": assert_close,
    "PaDiff": means,
    "reprod_log": mean_difference,
}


@np.errstate(invalid="ignore", over="ignore")
def agreements(trace: Trace, other: Trace, dtype: str) -> dict[str, bool]:
    """Whether each tool passes ``trace`` against ``other``: on the final weights, and on all tensors of every step."""
    pairs = [
        (name, a.astype(np.float64), other.columns[name].astype(np.float64))
        for name, a in trace.columns.items()
        if name in other.columns and a.shape == other.columns[name].shape
    ]
    whole = len(pairs) == len(trace.columns) == len(other.columns)
    out = {}
    for tool, agree in TOOLS.items():
        last = [agree(a[-1], b[-1], dtype) for name, a, b in pairs if name.startswith("weight/")]
        steps = (agree(a[i], b[i], dtype) for _, a, b in pairs for i in range(len(a)))
        out[f"{tool}, final weights"] = whole and all(last)
        out[f"{tool}, every step"] = whole and all(steps)
    return out
