"""How does a folder take a report's place? Put together beside it, then exchanged in one step: whole or not at all.

Beside the target X lies, while a report is put together, a folder of its own, ``.X.isograd-…``, with

- ``lock``, which the run holds for as long as it lives (the system lets go of it, however the run ends),
- ``new``, the report, and after the exchange what it has taken the place of,
- ``old``, what is displaced where the system knows no exchange; a run that died in between is mended by the next.

Nothing else is ever deleted, and of these only what is provably a report of ours, or left by a run that is dead.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from isograd.errors import ReportError
from isograd.report.exchange import alone, exchange
from isograd.report.mark import MARK, TRACES, check_replaceable, contents, foreign, read_mark, target_of, unmarked, why

try:
    import fcntl
except ImportError:  # Windows: no telling who is alive, and so nothing that others left is swept
    fcntl = None  # type: ignore[assignment]

MAGIC = "isograd: a report is put together here for "
UNBORN = 60.0  # seconds after which a staging folder without a word in its lock was left by a run that is dead
NAME = 180  # bytes of the target's name that the staging folder's has: with the rest it stays below 255


class Staging:
    """A folder beside the target, in which a report is put together.

    Used with ``with``. What is not published is gone afterwards; but where an exception ends the block, finished
    traces are kept, in `kept`, until a later report takes the target's place.

    Args:
        folder: what the report is to take the place of. Nothing is touched before `open`.

    Raises:
        ReportError: it is none that a report may take the place of.
    """

    def __init__(self, folder: str | Path) -> None:
        check_replaceable(folder)
        self.folder, self.target = Path(folder), target_of(folder)
        self.home: Path | None = None
        self.lock: IO[str] | None = None
        self.kept: Path | None = None
        self.new: tuple[int, int] | None = None  # which folder the new report is, whatever its name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        traces = self.home and self.home / "new" / TRACES
        if error is not None and traces and self._is_new() and any(traces.rglob("*.safetensors")):
            self.kept = traces
        self._end()

    def open(self) -> Path:
        """The folder to write the report into; made, with what a dead run left half done mended, at the first call."""
        if self.home is None:
            with self.writing():
                self.target.parent.mkdir(parents=True, exist_ok=True)
                self.home = Path(tempfile.mkdtemp(prefix=f"{_prefix(self.target)}-", dir=self.target.parent))
                self.lock = (self.home / "lock").open("w", encoding="utf-8")
                _hold(self.lock)
                self.lock.write(_word(self.target))
                self.lock.flush()
                (self.home / "new").mkdir()
                self.new = _identity(self.home / "new")
                with alone(self.target.parent):
                    for home in _left_behind(self.target):
                        _mend(home, self.target)
        return self.home / "new"

    def traces(self) -> Path:
        """The folder for the traces, within the report's."""
        return self.open() / TRACES

    def publish(self, mark: Mapping[str, Any]) -> list[str]:
        """Put what was written into the target's place, and tell what else happened there meanwhile.

        Args:
            mark: what the report says of itself, for `MARK`; the list of its files is added.

        Returns:
            A sentence each: it replaced a report that another run has finished since this one started; another run is
            at work on one.

        Raises:
            ReportError: it cannot be written; what was there is unchanged.
        """
        new = self.open()
        assert self.home is not None
        with self.writing():
            for part in new.rglob("*.part"):  # of a child that was killed while it wrote
                part.unlink()
            whole = {"isograd": version("isograd"), **mark, "files": sorted({*contents(new), MARK})}
            (new / MARK).write_bytes(encoded(json.dumps(whole, indent=1, ensure_ascii=False) + "\n"))
            with alone(self.target.parent):
                self._take_its_place(self.home)
        remarks: list[str] = []
        with suppress(OSError):  # it is there, and what is still to be said or swept takes nothing from it
            remarks += self._remarks(new, mark)
            for home in _left_behind(self.target):
                _sweep(home)
        self._end()
        return remarks

    def _take_its_place(self, home: Path) -> None:
        new = home / "new"
        try:
            new.rename(self.target)  # free, or an empty folder
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            exchange(new, self.target, home / "old")
            reason = _reason_to_keep(new)
            if reason:  # since it was looked at
                exchange(new, self.target, home / "old")
                raise ReportError(f"{self.folder}: {reason}; what was there is unchanged") from None

    def _is_new(self) -> bool:
        """Whether in the new report's place is not yet what it has displaced."""
        assert self.home is not None
        return _identity(self.home / "new") in (None, self.new)

    def _end(self) -> None:
        """Remove what is not kept: the new report, if it is still here; or what it has displaced, if that is ours."""
        if self.home and not self.kept:
            old = self.home / "old"
            displaced = [*([] if self._is_new() else [self.home / "new"]), *([old] if old.exists() else [])]
            if not any(_reason_to_keep(folder) for folder in displaced):
                _remove(self.home)
        if self.lock:
            self.lock.close()  # and only now may others see a dead run in it

    def _remarks(self, displaced: Path, mark: Mapping[str, Any]) -> list[str]:
        remarks = []
        started, before = _started(mark), read_mark(displaced)
        if started and before and _started(before) != started:
            finished = (displaced / MARK).stat().st_mtime
            if finished > started:
                at = time.strftime("%H:%M:%S", time.localtime(finished))
                remarks = [f"it replaced the report of another run, finished at {at}, after this one had started"]
        if any(home != self.home for home in _homes(self.target, alive=True)):
            remarks += ["another run is at work on a report for this folder, which will replace this one"]
        return remarks

    @contextmanager
    def writing(self) -> Iterator[None]:
        """What the system refuses in this block is a ReportError."""
        try:
            yield
        except OSError as error:
            raise ReportError(
                f"{self.folder}: the report cannot be written: {why(error)}; what was there is unchanged"
            ) from error


@contextmanager
def staged(folder: str | Path, mark: Mapping[str, Any]) -> Iterator[Path]:
    """A folder to write into, which takes ``folder``'s place when all is written; on failure, the old stays."""
    with Staging(folder) as staging:
        with staging.writing():
            yield staging.open()
        staging.publish(mark)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Which folder it is, whatever name it comes to have; None if there is none."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _reason_to_keep(folder: Path) -> str:
    """Why what was displaced may not be deleted; "" if it may: it is a report, or empty."""
    try:
        return foreign(folder) if any(folder.iterdir()) else ""
    except OSError as error:
        return f"cannot be looked into ({why(error)})"


def encoded(text: str) -> bytes:
    """UTF-8; what is no character (half of a surrogate pair, from a name that is no UTF-8) becomes an escape."""
    return text.encode("utf-8", "backslashreplace")


def _started(mark: Mapping[str, Any]) -> float | None:
    request = mark.get("request")
    started = request.get("started") if isinstance(request, dict) else None
    return started if isinstance(started, float) else None


# ---------------------------------------------------------------- what dead runs left


def _prefix(target: Path) -> str:
    """With what a staging folder's name begins; no more of the target's than a name can hold."""
    return f".{os.fsdecode(os.fsencode(target.name)[:NAME])}.isograd"


def _homes(target: Path, alive: bool) -> list[Path]:
    """The staging folders of a target whose runs live, or whose runs are dead."""
    homes = [
        Path(entry.path)
        for entry in os.scandir(target.parent)
        if entry.name.startswith(f"{_prefix(target)}-") and entry.is_dir(follow_symlinks=False)
    ]
    return sorted(home for home in homes if _said_by(home) == _word(target) and _is_held(home) == alive)


def _left_behind(target: Path) -> list[Path]:
    """The staging folders of a target whose runs are dead; those that died before they said a word are removed."""
    with suppress(OSError):
        for entry in os.scandir(target.parent):
            home = Path(entry.path)
            if entry.name.startswith(f"{_prefix(target)}-") and entry.is_dir(follow_symlinks=False):
                old = time.time() - entry.stat().st_mtime > UNBORN
                if old and not _said_by(home) and set(contents(home)) <= {"lock"}:
                    shutil.rmtree(home, ignore_errors=True)
    return _homes(target, alive=False)


def _word(target: Path) -> str:
    return f"{MAGIC}{os.fsencode(target).hex()}\n"


def _said_by(home: Path) -> str:
    try:
        return (home / "lock").read_text("utf-8")
    except (OSError, ValueError):
        return ""


def _hold(lock: IO[str]) -> None:
    if fcntl:
        with suppress(OSError):  # a file system without locks: nobody can tell that this run lives, and none is swept
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_held(home: Path) -> bool:
    """Whether the run of a staging folder lives, as far as anybody can tell."""
    if not fcntl:
        return True
    try:
        with (home / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:  # held, or on a file system that cannot tell
        return True
    return False


def _mend(home: Path, target: Path) -> None:
    """Put back what a run that died between two renames has taken away."""
    if (home / "old").is_dir() and not target.exists():
        (home / "old").rename(target)


def _sweep(home: Path) -> None:
    """Remove what a dead run left, unless there is something in it that is none of ours."""
    parts = [path for path in home.iterdir() if path.name != "lock"]
    ours = all(part.name in ("new", "old") and part.is_dir() and not part.is_symlink() for part in parts)
    if ours and all(unmarked(part) or not foreign(part) for part in parts):
        _remove(home)


def _remove(home: Path) -> None:
    """Remove a staging folder, its lock last: whoever is killed over it leaves one that still says whose it is."""
    for name in ("new", "old"):
        shutil.rmtree(home / name, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)
