"""How do people prepare data? What becomes of some rows, by what the whole data are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from isograd.dtypes import FORMATS
from isograd.inputs import Array


def _or_one(values: Array) -> Array:
    return np.where(values == 0, 1.0, values)


def _of_n_less_1(whole: Array) -> Array:
    return np.asarray(whole.std(axis=0) * np.sqrt(len(whole) / max(len(whole) - 1, 1)))


def _cast(dtype: str) -> Callable[[Array, Array], Array]:
    return lambda v, whole: v.astype(FORMATS[dtype].dtype).astype(np.float64)


WAYS: Mapping[str, tuple[Callable[[Array, Array], Array], str]] = {
    "centred": (lambda v, whole: v - whole.mean(axis=0), "centred: each column less its mean"),
    "standardised": (
        lambda v, whole: (v - whole.mean(axis=0)) / _or_one(whole.std(axis=0)),
        "normalised: each column less its mean, over its standard deviation",
    ),
    "standardised by n − 1": (
        lambda v, whole: (v - whole.mean(axis=0)) / _or_one(_of_n_less_1(whole)),
        "normalised: each column less its mean, over its standard deviation (of n − 1)",
    ),
    "standardised in all": (
        lambda v, whole: (v - whole.mean()) / (whole.std() or 1.0),
        "normalised: less the mean of all, over their standard deviation",
    ),
    "ranged": (
        lambda v, whole: (v - whole.min(axis=0)) / _or_one(np.ptp(whole, axis=0)),
        "normalised: each column brought between 0 and 1",
    ),
    "ranged to ±1": (
        lambda v, whole: 2 * (v - whole.min(axis=0)) / _or_one(np.ptp(whole, axis=0)) - 1,
        "normalised: each column brought between −1 and 1",
    ),
    "of unit length": (
        lambda v, whole: v / _or_one(np.linalg.norm(v.reshape(len(v), -1), axis=1)).reshape(-1, *[1] * (v.ndim - 1)),
        "normalised: each over its length",
    ),
    "truncated": (lambda v, whole: np.trunc(v), "cut off to whole numbers, as a cast to int does"),
    "rounded": (lambda v, whole: np.rint(v), "rounded to whole numbers"),
    "float32": (_cast("float32"), "cast to float32"),
    "float16": (_cast("float16"), "cast to float16"),
    "bfloat16": (_cast("bfloat16"), "cast to bfloat16"),
    "reversed": (lambda v, whole: v[..., ::-1], "in columns from the last to the first"),
    "rotated": (lambda v, whole: np.roll(v, 1, axis=-1), "in columns that are shifted by one"),
    "clipped": (lambda v, whole: np.clip(v, -1.0, 1.0), "clipped to ±1"),
    "binary": (lambda v, whole: (v > 0).astype(np.float64), "made binary: 1 where they are positive, and 0 elsewhere"),
    "binary at ½": (lambda v, whole: (v > 0.5).astype(np.float64), "made binary: 1 above ½, and 0 elsewhere"),
    "signs": (lambda v, whole: np.sign(v), "their signs only"),
    "not negative": (lambda v, whole: np.maximum(v, 0.0), "cut off at 0: what is negative is 0"),
    "reshaped": (
        lambda v, whole: v.T.reshape(v.shape) if v.ndim > 1 else v,
        "reshaped where they should be transposed: rows stand for columns",
    ),
    "squared": (lambda v, whole: v * v, "squared"),
    "logarithms": (lambda v, whole: np.sign(v) * np.log1p(np.abs(v)), "taken as logarithms, of 1 more"),
    "within 0 and 1": (lambda v, whole: np.clip(v, 0.0, 1.0), "clipped to what lies between 0 and 1"),
    "over the largest": (
        lambda v, whole: v / (np.abs(whole).max() or 1.0),
        "normalised: over the largest absolute value of all",
    ),
    "standardised by the batch": (
        lambda v, whole: (v - v.mean(axis=0)) / _or_one(v.std(axis=0)),
        "normalised by the batch: each column less its mean, over its standard deviation",
    ),
    "centred by the batch": (lambda v, whole: v - v.mean(axis=0), "centred by the batch: each column less its mean"),
    "standardised each": (
        lambda v, whole: (v - v.mean(axis=-1, keepdims=True)) / _or_one(v.std(axis=-1, keepdims=True)),
        "normalised one by one: each less its own mean, over its own standard deviation",
    ),
    "absolute": (lambda v, whole: np.abs(v), "without their sign"),
    "negative": (lambda v, whole: -v, "taken with the other sign"),
    "cubes": (lambda v, whole: v**3, "cubed"),
    "roots": (lambda v, whole: np.sign(v) * np.sqrt(np.abs(v)), "taken as roots of their absolute values"),
    "exponentials": (lambda v, whole: np.exp(np.minimum(v, 80.0)), "taken as exponentials"),
    "natural logarithms": (
        lambda v, whole: np.log(np.maximum(v, 1e-300)) if (v > 0).all() else np.full(v.shape, np.nan),
        "taken as logarithms",
    ),
    "tanh": (lambda v, whole: np.tanh(v), "squashed by tanh"),
    "sigmoid": (lambda v, whole: 0.5 * (1 + np.tanh(0.5 * v)), "squashed by a sigmoid"),
    "to one decimal": (lambda v, whole: np.round(v, 1), "rounded to one decimal"),
    "to two decimals": (lambda v, whole: np.round(v, 2), "rounded to two decimals"),
    "to three decimals": (lambda v, whole: np.round(v, 3), "rounded to three decimals"),
    "down": (lambda v, whole: np.floor(v), "rounded down to whole numbers (floor)"),
    "in eight bits": (
        lambda v, whole: np.rint(v / (np.abs(whole).max() or 1.0) * 127) / 127 * (np.abs(whole).max() or 1.0),
        "quantised to eight bits (int8)",
    ),
    "shares": (
        lambda v, whole: v / _or_one(np.abs(v).sum(axis=-1, keepdims=True)),
        "normalised: each over the sum of its absolute values (l1)",
    ),
    "softmax": (
        lambda v, whole: (
            np.exp(v - v.max(axis=-1, keepdims=True))
            / np.exp(v - v.max(axis=-1, keepdims=True)).sum(axis=-1, keepdims=True)
        ),
        "normalised by softmax, each sample over its columns",
    ),
    "over each column's largest": (
        lambda v, whole: v / _or_one(np.abs(whole).max(axis=0)),
        "normalised: each column over its largest absolute value",
    ),
    "over each column's deviation": (
        lambda v, whole: v / _or_one(whole.std(axis=0)),
        "normalised: each column over its standard deviation, and not centred",
    ),
    "over each column's variance": (
        lambda v, whole: (v - whole.mean(axis=0)) / _or_one(whole.var(axis=0)),
        "normalised: each column less its mean, over its variance (not its standard deviation)",
    ),
    "by the median": (
        lambda v, whole: (
            (v - np.median(whole, axis=0))
            / _or_one(np.percentile(whole, 75, axis=0) - np.percentile(whole, 25, axis=0))
        ),
        "normalised: each column less its median, over its quartiles' distance (robust)",
    ),
    "ranged by the batch": (
        lambda v, whole: (v - v.min(axis=0)) / _or_one(np.ptp(v, axis=0)),
        "normalised by the batch: each column brought between 0 and 1",
    ),
    "ranged each": (
        lambda v, whole: (v - v.min(axis=-1, keepdims=True)) / _or_one(np.ptp(v, axis=-1, keepdims=True)),
        "normalised one by one: each brought between 0 and 1",
    ),
    "centred each": (
        lambda v, whole: v - v.mean(axis=-1, keepdims=True),
        "centred one by one: each less its own mean",
    ),
    "centred in all": (lambda v, whole: v - whole.mean(), "centred: less the mean of all"),
    "of unit columns": (
        lambda v, whole: v / _or_one(np.linalg.norm(v, axis=0)),
        "normalised by the batch: each column over its length (another axis)",
    ),
    "differences": (
        lambda v, whole: np.diff(v, axis=0, prepend=v[:1]),
        "differences to the sample before",
    ),
    "sums": (lambda v, whole: np.cumsum(v, axis=-1), "sums over the columns so far (cumulative)"),
    "sorted": (lambda v, whole: np.sort(v, axis=-1), "sorted, each sample by itself"),
    "one column for all": (
        lambda v, whole: np.broadcast_to(v[..., :1], v.shape),
        "the first column, repeated for all columns",
    ),
    "the mean of each": (
        lambda v, whole: np.broadcast_to(v.mean(axis=-1, keepdims=True), v.shape),
        "the mean of each sample, for all its columns",
    ),
    "the mean of the batch": (
        lambda v, whole: np.broadcast_to(v.mean(axis=0), v.shape),
        "the mean of the batch, for all its samples",
    ),
    "rotated the other way": (
        lambda v, whole: np.roll(v, -1, axis=-1),
        "in columns that are shifted by one, the other way",
    ),
    "pushed on": (
        lambda v, whole: np.concatenate([np.zeros_like(v[..., :1]), v[..., :-1]], axis=-1),
        "in columns that are shifted by one, with 0 in the first",
    ),
    "without outliers": (
        lambda v, whole: np.clip(
            v, whole.mean(axis=0) - 2 * whole.std(axis=0), whole.mean(axis=0) + 2 * whole.std(axis=0)
        ),
        "clipped to two standard deviations about each column's mean",
    ),
    "zeros as means": (
        lambda v, whole: np.where(v == 0, whole.mean(axis=0), v),
        "filled up: 0 is taken for missing, and is the column's mean",
    ),
}
"""What becomes of some rows, where the whole data are those; and how it is said."""
