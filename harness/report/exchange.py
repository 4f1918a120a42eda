"""How do two folders take each other's place? In one step where the system can, otherwise in three, and alone."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # Linux, fcntl.h and fs.h
_NO_EXCHANGE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)


def exchange(one: Path, other: Path, aside: Path) -> None:
    """Let two folders take each other's place: in one step where the system can, otherwise by way of ``aside``."""
    try:
        _renameat2(one, other)
    except OSError as error:
        if error.errno not in _NO_EXCHANGE:
            raise
        _exchange_by_renaming(one, other, aside)


def _exchange_by_renaming(one: Path, other: Path, aside: Path) -> None:
    try:
        other.rename(aside)
        one.rename(other)
        aside.rename(one)
    except BaseException:
        if not other.exists():
            aside.rename(other)
        raise


def _renameat2(one: Path, other: Path) -> None:
    """Linux' rename with RENAME_EXCHANGE (man 2 rename), in glibc since 2.28; OSError with ENOSYS elsewhere."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    if rename is None:
        raise OSError(errno.ENOSYS, "no renameat2")
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))


@contextmanager
def alone(parent: Path) -> Iterator[None]:
    """While no other run renames anything in this folder: it matters where one takes two steps for it."""
    if not fcntl:
        yield
        return
    folder = os.open(parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
