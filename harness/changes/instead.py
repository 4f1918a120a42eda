"""How does an operation get other rules, and keep the rest?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from isograd.arithmetic.numbers import Numbers
from isograd.arithmetic.words import Marked
from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.ops.op import Back, Layer, Op, Out


class Instead:
    """An operation of which some rules are replaced; all else is its own."""

    def __init__(self, op: Op, **rules: Callable[..., Any]) -> None:
        self._op = op
        self.__dict__.update(rules)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._op, name)


def instead(op: Op, **rules: Callable[..., Any]) -> Any:
    """The operation with other rules, as in ``instead(layer, backward=lambda p, out, d, *x: Back(d))``."""
    return Instead(op, **rules)


def left_out(layer: Layer) -> Any:
    """A layer of one input that hands on what goes in."""
    return instead(layer, forward=lambda p, z: Out(z), backward=lambda p, out, d, z: Back(d), evaluate=lambda p, z: z)


def with_parameters(layer: Layer, changed: Callable[[Mapping[str, Array]], Mapping[str, Array]], **others: Any) -> Any:
    """A layer whose rules are given other parameters than it has."""
    return instead(
        layer,
        forward=lambda p, *x: layer.forward(changed(p), *x),
        backward=lambda p, out, d, *x: layer.backward(changed(p), out, d, *x),
        evaluate=lambda p, *x: layer.evaluate(changed(p), *x),
        **others,
    )


def followed(layer: Layer, after: Callable[[Any], Any], back: Callable[[Any, Any], Any]) -> Any:
    """A layer whose output goes through one more function.

    Args:
        layer: the layer.
        after: the function of its output a.
        back: from d, what ∂L/∂ the new output is, and a, gives ∂L/∂a.
    """

    def forward(p: Any, *x: Any) -> Out:
        out = layer.forward(p, *x)
        return Out(after(out.a), out, out.buffers)

    def backward(p: Any, out: Out, d: Any, *x: Any) -> Back:
        return layer.backward(p, out.saved, back(d, out.saved.a), *x)

    return instead(layer, forward=forward, backward=backward, evaluate=lambda p, *x: after(layer.evaluate(p, *x)))


def beside(values: Array, like: Any) -> Any:
    """Plain values as numbers of the arithmetic of another array."""
    return like.a.array(values) if isinstance(like, Marked) else values.astype(like.dtype, copy=False)


def operand(values: Array, like: Any) -> Any:
    """An array as an operand of the arithmetic of another: a mask, weights."""
    return like.a.array(values.astype(np.float64)) if isinstance(like, Marked) else values.astype(like.dtype)


def cast(values: Any, dtype: str) -> Any:
    """Rounded to a narrower dtype, and back."""
    narrow = FORMATS[dtype].dtype
    if isinstance(values, Marked):
        v: Any = values.v
        return Numbers(v.astype(np.float64).astype(narrow).astype(v.dtype), values.a)
    return values.astype(narrow).astype(values.dtype)
