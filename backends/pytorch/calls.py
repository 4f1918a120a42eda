"""Which calls of PyTorch's functions is a forward pass made of?"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from isograd.backends.pytorch import spelled
from isograd.framework import Framework
from isograd.lazy import LazyModule

torch: Any = LazyModule("torch")

OURS = tuple(f"{Path(file).parent}{os.sep}" for file in (__file__, inspect.getfile(Framework)))
"""Where what only watches is: its calls are no part of the model."""

THEIRS = (spelled.__file__,)
"""A file of ours whose calls stand for the user's."""

WITHOUT_DROPOUT = "without_dropout"
"""A function of ours that calls PyTorch's for the user, so that what comes from it is the user's."""

LOOKS = (
    "__get__", "__set__", "register_hook", "is_floating_point", "dim", "size", "numel", "__len__", "__hash__",
    "_set_grad_enabled", "_record_function_enter_new", "_record_function_exit._RecordFunction",
)  # fmt: skip
"""Calls that compute nothing."""


def mode(see: Callable[[int, Any, Any, Any], Any], parts: Mapping[str, Callable[..., Any]]) -> Any:
    """A mode in which ``see`` is asked for the result of each call.

    Args:
        see: of its number, the function, arguments and options.
        parts: functions that are called in the place of others by name, and whose own calls are seen.
    """
    aside = (*OURS, f"{Path(torch.__file__).parent / 'optim'}{os.sep}")  # an update is no part of the model

    class Seeing(torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.number = -1

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            caller, options = sys._getframe(1).f_code, kwargs or {}
            name = getattr(func, "__name__", "")
            ours = caller.co_filename.startswith(aside) and caller.co_filename not in THEIRS
            if (ours and caller.co_name != WITHOUT_DROPOUT) or name in LOOKS:
                return func(*args, **options)
            if name in parts:
                with suppress(NotImplementedError), self:  # of a form that is not spelled out
                    return parts[name](*args, **options)
            self.number += 1
            return see(self.number, func, args, options)

    return Seeing()
