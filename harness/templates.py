"""How is a page made of a template? Compiled once, and kept as Python keeps its own modules."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import BytecodeCache, Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket


class _Compiled(FileSystemBytecodeCache):
    """Compiled templates beside compiled modules; where they cannot be written, a page takes a moment longer."""

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
        bytecode_cache=_kept(package),
    )


def _kept(package: str) -> BytecodeCache | None:
    folder = Path(str(files(package))) / "__pycache__"
    if sys.dont_write_bytecode or not os.access(folder, os.W_OK):
        return None
    return _Compiled(str(folder), "%s.template")
