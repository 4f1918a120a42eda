"""What have installed distributions registered in a group of entry points?"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

OURS = "isograd"  # the distribution whose own backends may be imported anywhere


def registered(group: str) -> tuple[EntryPoint, ...]:
    """Every entry point of a group; looked for again only where a folder on the path has changed."""
    return _registered(group, _path())


def ours(group: str) -> frozenset[str]:
    """What isograd itself has registered there; nothing where it is not installed."""
    return _ours(group, _path())


def _path() -> tuple[tuple[str, int], ...]:
    return tuple((folder, _changed(Path(folder))) for folder in sys.path)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _registered(group: str, path: object) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=group))


@lru_cache(maxsize=64)
def _ours(group: str, path: object) -> frozenset[str]:
    points = _registered(group, path)
    return frozenset(point.value for point in points if point.dist is not None and point.dist.name == OURS)
