"""What do the children of a port do, in which order, and where do their files lie?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from isograd.backend import Target
from isograd.children import Answer, Child
from isograd.columns import read_columns
from isograd.errors import IsogradError
from isograd.inputs import Array
from isograd.ports.pairing import Pairing
from isograd.ports.request import Port, Side
from isograd.side.batches import keep_batches, read_batches
from isograd.structure import Structure

TARGET = Target("isograd.side.jobs:WORK", True)


class SideError(IsogradError):
    """What a side's child has not done, and why; its last words are in the second argument."""

    @property
    def tail(self) -> str:
        """The last lines that the child has written."""
        return str(self.args[1]) if len(self.args) > 1 else ""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass
class Work:
    """A side with its child: one process, so that its framework is imported once.

    Attributes:
        side: what it is.
        child: its process; started anew where one has ended.
        place: jobs of a side wait for one another.
    """

    side: Side
    timeout: float
    child: Child | None = None
    place: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def ask(self, do: str, **options: Any) -> Future[None]:
        """Have the child do something; the future raises `SideError`."""
        job = {"kind": "port", "do": do, "file": str(self.side.file), "function": self.side.function}
        return self.place.submit(self._ask, job | options)

    def _ask(self, job: Mapping[str, Any]) -> None:
        if self.child is None or not self.child.alive:
            self._end()
            self.child = Child(self.side.label, TARGET, self.side.python)
        answer: Answer = self.child.ask(job, self.timeout)
        if answer.error:
            raise SideError(answer.error, answer.tail)

    def _end(self) -> None:
        if self.child is not None:
            with suppress(OSError):
                self.child.close()
            self.child = None

    def close(self) -> None:
        """End it, now."""
        if self.child is not None:
            self.child.end()
        self.place.shutdown(wait=True, cancel_futures=True)
        self._end()


@contextmanager
def working(port: Port, timeout: float) -> Iterator[tuple[list[Work], Work]]:
    """The sides with their children, and another for the origin beside its own; all end with the block."""
    sides, spare = [Work(side, timeout) for side in port.sides], Work(port.sides[0], timeout)
    try:
        yield sides, spare
    finally:
        for work in (*sides, spare):
            work.close()


@dataclass(frozen=True)
class Files:
    """Where everything of one port lies while it is checked."""

    folder: Path

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def columns(self, name: str) -> dict[str, Array] | None:
        """Quantities with their steps leading, in execution order, mapped; None where there is no such file."""
        return read_columns(self.folder / name)

    def structure(self, name: str) -> Structure:
        """What a child has told of its model."""
        try:
            return Structure.model_validate_json((self.folder / name).read_bytes())
        except (OSError, ValidationError) as error:
            raise SideError(f"expected the structure of a model; {error}") from None


def take_batches(works: Sequence[Work], port: Port, files: Files, steps: int) -> Path:
    """The batches, in a file: the user's own, or what the user's function gives."""
    file = files.folder / "batches.npz"
    if port.data is not None:
        keep_batches(iter(read_batches(port.data)), steps, file)
        return file
    return given_by(works, port.batches, file, steps)


def given_by(works: Sequence[Work], giving: Path | None, file: Path, steps: int) -> Path:
    """What the function `batches` of one of the sides' files gives."""
    giver = next(work for work in works if work.side.file == giving)
    giver.ask("batches", steps=steps, out=str(file), told=f"{file}.json", function="batches").result()
    return file


def describe(works: Sequence[Work], files: Files, batches: Path) -> list[Structure | SideError]:
    """Every side's structure, all at once; or why there is none."""
    asked = [
        work.ask("describe", batches=str(batches), out=files[f"initial-{at}"], told=files[f"structure-{at}"])
        for at, work in enumerate(works)
    ]
    return [_told(future, files, f"structure-{at}") for at, future in enumerate(asked)]


def _told(future: Future[None], files: Files, name: str) -> Structure | SideError:
    try:
        future.result()
        return files.structure(name)
    except SideError as error:
        return error


def names(pairing: Pairing | None) -> dict[str, Any]:
    """The pairing as a child is told it."""
    if pairing is None:
        return {"units": None, "params": None, "swapped": [], "kept": [], "drawn": {}}
    named = {"units": dict(pairing.units), "params": dict(pairing.params)}
    more = {"swapped": list(pairing.swapped), "kept": list(pairing.kept), "drawn": dict(pairing.drawn)}
    return named | more
