"""Which folder is a report, that another may take the place of? One with our mark, and nothing else in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from isograd.errors import ReportError
from isograd.scratch import LOCK

MARK = "run.json"  # says what a report is, and lists its files
TRACES = "traces"
# All that a report of release 0.1 can hold, whose mark does not list it yet.
UNLISTED = "run.json README.md index.html summary.csv losses.csv weights.csv findings.csv quantities.parquet"
UNLISTED += (
    " map.json report.txt curve.svg curve.csv clean.csv faults.csv single.csv pairs.csv strangers.csv seconds.csv"
)
BY_OTHERS = {".DS_Store", "Thumbs.db", "desktop.ini"}  # what file managers leave in every folder that is looked at


def target_of(folder: str | Path) -> Path:
    """The folder that a report is to take the place of, symbolic links followed.

    Raises:
        ReportError: there can be no folder of that name, or it is the root, the current folder, or one above that.
    """
    try:
        target, here = Path(os.path.realpath(folder)), Path(os.path.realpath("."))
        target.exists()  # a name that is too long
    except (OSError, ValueError) as error:
        raise ReportError(f"{str(folder)!r}: expected the name of a folder: {why(error)}") from None
    if target == here or target in here.parents:
        raise ReportError(
            f"{str(folder)!r}: expected a folder that a report can take the place of; this is "
            f"{'the current one' if target == here else 'one above the current one'}. Try {target / 'report'}"
        )
    return target


def check_replaceable(folder: str | Path) -> None:
    """ReportError unless ``folder`` is free, empty, or a report with nothing in it that is not the report's."""
    target = target_of(folder)
    if target.exists() and not target.is_dir():
        raise ReportError(f"{folder}: expected a folder to write the report to; it is a file")
    try:
        reason = foreign(target) if target.is_dir() and any(target.iterdir()) else ""
    except OSError as error:
        raise ReportError(f"{folder}: expected a folder that can be read: {why(error)}") from None
    if reason:
        raise ReportError(f"{folder}: {reason}; choose an empty or a new folder")


def foreign(folder: Path) -> str:
    """Why a folder is no report that may be deleted; "" where it is one."""
    mark = read_mark(folder)
    if mark is None:
        return "holds files that are no report of isograd"
    listed = mark.get("files")
    others = [name for name in contents(folder) if not _is_known(name, listed)]
    return f"holds {others[0]}, which is not the report's" if others else ""


def unmarked(folder: Path) -> bool:
    """Whether a folder holds nothing but what a report is made of, whether or not it is whole."""
    return all(_is_known(name, None) for name in contents(folder))


def _is_known(name: str, listed: Any) -> bool:
    if name in BY_OTHERS:
        return True
    if isinstance(listed, list):
        return name in listed
    if name.startswith(f"{TRACES}/"):  # with what is left of a run's own folder there
        return name.endswith((".safetensors", ".part")) or name.rpartition("/")[2] in ("", LOCK)
    return name in UNLISTED.split()


def read_mark(folder: Path) -> dict[str, Any] | None:
    """What a report says of itself; None where there is none."""
    try:
        mark = json.loads((folder / MARK).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(mark, dict) or not isinstance(mark.get("isograd"), str):
        return None
    return mark if isinstance(mark.get("files", []), list) else None


def contents(folder: Path) -> list[str]:
    """Every file in a folder and those below it; of other things, links and empty folders among them, the names too."""
    found = []
    for path, folders, files in os.walk(folder, onerror=_raise):
        empty = not (folders or files) and Path(path) != folder
        links = [name for name in folders if (Path(path) / name).is_symlink()]
        found += [Path(path).relative_to(folder) / name for name in (*files, *links)]
        found += [Path(path).relative_to(folder)] if empty and Path(path) != folder / TRACES else []
    return sorted(name.as_posix() for name in found)


def _raise(error: OSError) -> None:
    raise error


def why(error: OSError | ValueError) -> str:
    """What the system says, without the number and the path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
