"""How is a page made of a template? Compiled once, and kept for the next process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket


class _Compiled(FileSystemBytecodeCache):
    """Compiled templates in the user's cache; where they cannot be written, a page takes a moment longer."""

    def get_cache_key(self, name: str, filename: str | os.PathLike[str] | None = None) -> str:
        """By name only: of several checkouts the last one's is kept, and a template that differs is compiled anew."""
        return super().get_cache_key(name)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Kept, if there is room."""
        with suppress(OSError):
            super().dump_bytecode(bucket)


@cache
def templates(package: str, autoescape: bool, finalize: Callable[[Any], Any] | None = None) -> Environment:
    """The templates of a package: a name that is not given is an error, and a line with a statement only is none.

    Args:
        package: whose folder ``templates`` is meant.
        autoescape: whether what is printed is escaped.
        finalize: what becomes of each value before.
    """
    return Environment(
        loader=PackageLoader(package),
        autoescape=autoescape,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        bytecode_cache=_kept(f"{package}-{autoescape}-{finalize is None}"),  # compiled code depends on the options too
    )


def _kept(options: str) -> BytecodeCache | None:
    """Where compiled templates are kept; None where nothing is to be, or can be, written."""
    if sys.dont_write_bytecode:
        return None
    with suppress(OSError, RuntimeError):  # no home, or none that can be written to
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "isograd"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
        if owner == getattr(os, "getuid", lambda: owner)():  # compiled code of somebody else's is not run
            return _Compiled(str(folder), f"{version('isograd')}-{options}-%s.template")
    return None
