"""Where do a run's files lie while it runs? In a temporary folder, which the next run removes if this one cannot."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX, LOCK = "isograd-", "isograd.lock"


@contextmanager
def scratch(parent: Path | None = None) -> Iterator[Path]:
    """A folder of its own for one run, in ``parent`` or where temporary files go.

    A run that is killed cannot remove it. So each holds a file that its run keeps locked while it lives (the lock ends
    with the process, whatever ended it), and every run removes those of which the lock is free.
    """
    with suppress(OSError):
        _sweep(parent or Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        held = _locked(folder)
        try:
            yield folder
        finally:
            if held is not None:
                os.close(held)


def _locked(folder: Path) -> int | None:
    """Make the lock under another name first: under its own it is never seen unlocked while its run lives."""
    part = folder / f"{LOCK}.part"
    held = os.open(part, os.O_CREAT | os.O_RDWR, 0o600)
    if not _lock(held):
        os.close(held)
        return None
    part.rename(folder / LOCK)
    return held


def _lock(file: int) -> bool:
    """Whether an open file could be locked; not where there are no such locks, as on some network file systems."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sweep(temporary: Path) -> None:
    """Remove the folders of runs that are no more; only folders of this user that hold a lock, and that is free."""
    for folder in temporary.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            file = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                if _lock(file):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(file)
