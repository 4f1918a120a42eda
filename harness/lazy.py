"""How is a module imported at its first use only?"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


class LazyModule:
    """A module that is imported at its first use: a framework, so that a backend's tables can be read without it.

    Example:
        >>> torch = LazyModule("torch")  # at the top of a backend's file; nothing is imported yet
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        module = sys.modules.get(self._name) or import_module(self._name)
        value = getattr(module, attribute)
        setattr(self, attribute, value)  # looked up once: the next access costs what a plain one does
        return value
