"""What can an activation have been instead, or a softmax?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import add, mul
from typing import Any

from isograd.backends.pytorch.alternatives.building import Args, Call, Options, Table, after, before, given, instead
from isograd.backends.pytorch.functions import ACTIVATIONS
from isograd.framework import Other
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

BEFORE_SUMS = ("relu", "relu6", "gelu by erf (exact)", "silu (swish)", "hard swish", "tanh", "sigmoid")
"""What a branch is put through where it should come as it is."""


def _of_activations(args: Args, options: Options) -> Iterator[Other]:
    yield from (Other(f"{words} there", instead(function)) for words, function in ACTIVATIONS.items())
    yield Other("elu of alpha {x} there", instead(torch.nn.functional.elu), 0.5)
    yield Other("one minus it there (inverted)", after(lambda out: 1 - out))
    yield Other("of what is moved by {x} there (a bias, or a constant added)", before(add), 1.0)
    yield Other("of what is {x} times as large there (scaled)", before(mul), 0.5)
    gate = "clipped to 0 and 6 of what is 1.2 times as large there (a hard sigmoid of slope 0.2, and not of a sixth)"
    yield Other(gate, before(lambda x: (x - 3) * 1.2 + 3))
    yield Other("leaky relu of slope {x} there", instead(torch.nn.functional.leaky_relu), 0.05)


def _of_gates(args: Args, options: Options) -> Iterator[Other]:
    """One half of what is given, times a function of the other half."""
    axis = given(args, options, "dim", 1, -1)
    halves = args[0].chunk(2, axis)
    if len(halves) == 2:
        yield Other("the halves are exchanged there: the first is the gate", _gated(axis, 1, 0, torch.sigmoid))
        for words in ("tanh", "silu (swish)", "gelu by erf (exact)", "relu"):
            yield Other(f"the gate goes through {words} there, not a sigmoid", _gated(axis, 0, 1, ACTIVATIONS[words]))


def _gated(axis: int, of: int, by: int, gate: Callable[[Any], Any]) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        halves = a[0].chunk(2, axis)
        return halves[of] * gate(halves[by])

    return call


def _of_softmax(args: Args, options: Options) -> Iterator[Other]:
    for axis in range(args[0].dim()):
        yield Other(f"over axis {axis} there", _over(axis))
    yield Other("of numbers {x} times as large there (scaled: a temperature)", before(mul), 0.5)
    yield Other("a sigmoid there", instead(lambda x: x.sigmoid()))
    for axis in range(args[0].dim()):
        twice = f"of what has been through a softmax over axis {axis} there (twice)"
        yield Other(twice, before(_softmax(axis)))


def _softmax(axis: int) -> Callable[[Any], Any]:
    return lambda x: x.softmax(axis)


def _over(axis: int) -> Call:
    def call(f: Any, a: Args, o: Options) -> Any:
        low = a[0] == float("-inf")  # a whole row of them would have no softmax; people write −10⁹ there
        return f(a[0].masked_fill(low, -1e9), **{**o, "dim": axis})

    return call


TABLE: Table = {
    (
        "relu", "relu_", "gelu", "silu", "tanh", "sigmoid", "leaky_relu", "elu", "selu", "celu", "hardswish",
        "hardsigmoid", "relu6", "hardtanh", "mish", "softplus", "logsigmoid",
    ): _of_activations,
    ("glu",): _of_gates,
    ("softmax", "log_softmax", "_softmax"): _of_softmax,
}  # fmt: skip
