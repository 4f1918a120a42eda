"""Which samples does PyTorch test its modules with? Read in a process that has PyTorch, and told without it."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import unittest
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from isograd.inputs import Array

SEED = 0
RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "proj_size")
PASSED_OVER = ("device", "dtype", "inplace", "size_average", "reduce")
"""Arguments that change no number; the last two are of old, and None."""


class Strange(ValueError):
    """An argument that is no number, text, array or list of them: in one word."""


@dataclass(frozen=True)
class Sample:
    """One sample of a module, plainly: an array is told as ``{"array": its name}``.

    Attributes:
        module: the class, in `torch.nn`.
        number: which of its samples.
        said: what PyTorch calls it.
        given: the constructor's arguments, by name, with those that are not given.
        inputs: what it is called with.
        options: likewise, by name.
        arrays: all arrays.
        scaled: those that a gradient is wanted of.
        strange: why it cannot be told plainly; "" where it can.
    """

    module: str
    number: int
    said: str
    given: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    scaled: tuple[str, ...] = ()
    strange: str = ""

    @property
    def name(self) -> str:
        """The class and the number."""
        return f"{self.module}_{self.number}"

    def shape(self, value: Any) -> tuple[int, ...]:
        """Of an input."""
        return self.arrays[value["array"]].shape

    def is_whole(self, value: Any) -> bool:
        """Whether an input holds whole numbers."""
        return self.arrays[value["array"]].dtype.kind in "iu"


def available() -> str:
    """Why there are no samples here, or ""."""
    try:
        _database()
    except (ImportError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _database() -> list[Any]:
    """PyTorch's table; what its other tests need beside it is not needed here."""
    if "expecttest" not in sys.modules and importlib.util.find_spec("expecttest") is None:
        absent: Any = ModuleType("expecttest")
        absent.TestCase = unittest.TestCase
        sys.modules["expecttest"] = absent
    from torch.testing._internal.common_modules import module_db

    return list(module_db)


def names() -> list[str]:
    """The modules that have samples."""
    return [info.name.removeprefix("nn.") for info in _database()]


def samples_of(module: str) -> list[Sample]:
    """The samples that a module is trained with, in float32; always the same."""
    import torch

    info = next(info for info in _database() if info.name == f"nn.{module}")
    torch.manual_seed(SEED)
    listed = info.module_inputs_func(info, "cpu", torch.float32, True, True)
    return [_sample(module, number, one) for number, one in enumerate(listed)]


def _sample(module: str, number: int, one: Any) -> Sample:
    """With its arguments by name."""
    import torch

    arrays: dict[str, Array] = {}
    scaled: list[str] = []

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            name = f"{module}_{number}.{len(arrays)}"
            arrays[name] = np.array(value.detach().numpy())
            if arrays[name].dtype.kind == "f" and np.isnan(arrays[name]).any():
                raise Strange("what is no number (NaN) among the inputs")
            if value.requires_grad:
                scaled.append(name)
            return {"array": name}
        if isinstance(value, torch.nn.Module):
            return {"module": type(value).__name__, "given": _of_layer(value)}
        if hasattr(value, "batch_sizes"):
            raise Strange("a packed sequence")
        if isinstance(value, (tuple, list)):
            return [plain(item) for item in value]
        if callable(value):
            return value.__name__
        if value is not None and not isinstance(value, (bool, int, float, str)):
            raise Strange(type(value).__name__)
        return value

    def told(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: plain(value) for name, value in values.items() if name not in PASSED_OVER}

    try:
        given = told(dict(_bound(getattr(torch.nn, module), one.constructor_input)))
        scaled.clear()
        inputs = tuple(plain(value) for value in one.forward_input.args)
        options = told(one.forward_input.kwargs)
    except Strange as error:
        return Sample(module, number, one.desc, strange=str(error))
    return Sample(module, number, one.desc, given, inputs, options, arrays, tuple(scaled))


def _bound(cls: Any, of: Any) -> Iterator[tuple[str, Any]]:
    if cls.__name__ in ("RNN", "GRU", "LSTM"):
        names = RECURRENT if cls.__name__ == "LSTM" else RECURRENT[:-1]
        defaults = dict(zip(names, (None, None, 1, True, False, 0.0, False, 0), strict=False))
        yield from (defaults | dict(zip(names, of.args, strict=False)) | of.kwargs).items()
        return
    bound = inspect.signature(cls).bind(*of.args, **of.kwargs)
    bound.apply_defaults()
    for name, value in bound.arguments.items():
        yield from value.items() if name == "kwargs" else [(name, value)] if name != "args" else []


def _of_layer(layer: Any) -> dict[str, Any]:
    """An encoder's layer, which is given as an object."""
    return {
        "d_model": layer.self_attn.embed_dim,
        "nhead": layer.self_attn.num_heads,
        "dim_feedforward": layer.linear1.out_features,
        "dropout": layer.dropout.p,
        "activation": layer.activation.__name__,
        "layer_norm_eps": layer.norm1.eps,
        "batch_first": layer.self_attn.batch_first,
        "norm_first": layer.norm_first,
        "bias": layer.linear1.bias is not None,
    }
