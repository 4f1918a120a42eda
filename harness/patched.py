"""How is an attribute another for a while, and then as it was?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def patched(thing: Any, **values: Any) -> Iterator[None]:
    """Within it, attributes of an object or a module are others; what it does not hold itself is removed afterwards.

    Example:
        >>> from types import SimpleNamespace
        >>> thing = SimpleNamespace(a=1)
        >>> with patched(thing, a=2, b=3):
        ...     print(thing)
        namespace(a=2, b=3)
        >>> thing
        namespace(a=1)
    """
    held = {name: vars(thing)[name] for name in values if name in vars(thing)}
    for name, value in values.items():
        setattr(thing, name, value)
    try:
        yield
    finally:
        for name in values:
            if name in held:
                setattr(thing, name, held[name])
            else:
                delattr(thing, name)


class Instead:
    """A function in the place of something that is called, with whatever else that has."""

    def __init__(self, own: Any, call: Callable[..., Any]) -> None:
        self._own, self._call = own, call

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The function's."""
        return self._call(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)
