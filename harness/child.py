"""The child process: one backend and its variants, one job after another; the only place where a framework is imported.

Started by `isograd.watch`. Jobs come as JSON lines from a descriptor of their own, answers go as JSON lines to another;
whatever the framework prints goes to the log, of which the parent keeps the end.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from isograd.backend import TABLES, Backend, backend_class, installed_version, make_backend
from isograd.errors import BackendError, BackendUnavailableError, IsogradError
from isograd.inputs import Inputs
from isograd.loading import parse_scenario
from isograd.recorder import environment_of, record_here
from isograd.trace import first_difference, load_arrays, save_trace
from isograd.words import LONG, clean, clipped, said_of

SECOND_RUN = 1.0  # seconds: a job that takes less is run twice unasked

MANY = 100  # of what is missing is enough to say

Said = dict[str, Any]


def main(jobs: BinaryIO, answers: int, log: int, start: dict[str, Any]) -> NoReturn:
    """Answer jobs until there are no more.

    Args:
        jobs: lines of JSON, one a job.
        answers: the descriptor that answers are written to.
        log: the descriptor of the log, whatever becomes of standard error.
        start: ``target``, where the backend's class is, and ``pin``, the folder where its module was found.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    if start["pin"]:
        sys.meta_path.insert(0, Pinned(start["target"].partition(":")[0].partition(".")[0], start["pin"]))
    talk = Talk(answers, log)
    os.register_at_fork(after_in_child=partial(talk.leave, jobs.fileno()))
    child = Child(start["target"], talk)
    for line in jobs:
        job = json.loads(line)
        talk.answer(job, work_of(child, job["kind"]))
    os._exit(0)  # everything is written; a framework's own teardown takes a second and has nothing to add


def work_of(child: Child, kind: str) -> Callable[[Said], Said]:
    """What does a job of a kind; a port's is imported when there is one."""
    if kind == "port":
        from isograd.side.jobs import WORK

        def do(job: Said) -> Said:
            WORK[job["do"]](job)
            return {}

        return do
    return {"atlas": child.atlas, "describe": child.describe, "environment": child.environment}.get(kind, child.run)


class Pinned:
    """Imports one top-level module from the folder where the parent found it, and leaves all others alone."""

    def __init__(self, name: str, folder: str) -> None:
        self.name, self.folder = name, folder

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The module, if it is this one."""
        return PathFinder.find_spec(name, [self.folder]) if name == self.name else None


@dataclass
class Talk:
    """How the child speaks to its parent, and that nobody else does: a backend may fork, and return twice."""

    answers: int
    log: int
    pid: int = field(default_factory=os.getpid)

    def answer(self, job: Said, work: Callable[[Said], Said]) -> None:
        """Do ``work`` and write down what came of it; whatever it raises is an answer too."""
        start = time.perf_counter()
        try:
            said = work(job)
        except BaseException as error:  # noqa: BLE001  # an ERROR cell with its words, for SystemExit too
            self.must_be_the_child()
            plain = isinstance(error, IsogradError)
            if not (plain and error.__context__ is None):  # what isograd itself says needs no frames of its own
                self.show(error)
            said = {"error": clipped(clean(str(error)), LONG) if plain else said_of(error)}
            said |= {"absent": True} if isinstance(error, BackendUnavailableError) else {}
        self.must_be_the_child()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # a backend may have closed it, or put something else there
                stream.flush()
        seconds = time.perf_counter() - start
        self._write(self.answers, json.dumps(said | {"job": job["job"], "seconds": seconds}).encode() + b"\n")

    def show(self, error: BaseException) -> None:
        """Write an exception's traceback to the log."""
        with suppress(Exception):
            lines = "".join(traceback.format_exception(error)).split("\n")
            self._write(self.log, "\n".join(map(clipped, lines)).encode(errors="backslashreplace"))

    def must_be_the_child(self) -> None:
        """End this process, if it is a copy that a backend made of the child."""
        if os.getpid() != self.pid:
            os._exit(0)

    def leave(self, jobs: int) -> None:
        """What a copy does first: it has no part in the talk, and must not keep it open."""
        for number in (jobs, self.answers):
            with suppress(OSError):
                os.close(number)

    @staticmethod
    def _write(number: int, data: bytes) -> None:
        while data:
            data = data[os.write(number, data) :]


class Child:
    """One backend's class and its variants, each made once."""

    def __init__(self, target: str, talk: Talk) -> None:
        self.target, self.talk = target, talk
        self.variants: dict[str, Backend] = {}

    def describe(self, job: Said) -> Said:
        """What a backend says of itself without its framework; if it is to be made, whether its name's options are."""
        cls = backend_class(job["backend"], self.target)
        version = installed_version(cls)
        if version is None:
            raise BackendUnavailableError(f"not installed; try pip install {cls.distribution}")
        refused = self._refusal(job["backend"]) if job["make"] else ""
        about = {"distribution": cls.distribution, "version": version, "refused": refused}
        return {"about": about | {"tables": {table: _kinds(getattr(cls, table)) for table in TABLES}}}

    def environment(self, job: Said) -> Said:
        """What could change a variant's numbers; imports its framework."""
        return {"environment": environment_of(self._variant(job["backend"]))}

    def atlas(self, job: Said) -> Said:
        """Run programs of the atlas, or an operation as its framework builds it unasked."""
        from isograd.atlas.programs import WORK

        WORK[job["do"]](self._variant(job["backend"]), job)
        return {}

    def run(self, job: Said) -> Said:
        """Record one scenario in one mode into a trace file, and see whether a second run is the same."""
        scenario = parse_scenario(job["scenario"])
        backend = self._variant(job["backend"])
        said = {"environment": environment_of(backend)}
        missing = _words(backend.missing(scenario))
        if missing:
            return said | {"unsupported": missing}
        inputs = Inputs.from_arrays(load_arrays(Path(job["inputs"]))[0])
        states = load_arrays(Path(job["states"]))[0] if job["states"] else None
        options = {"states": states, "every": job["every"], "quantities": job["quantities"]}
        recorded = partial(record_here, backend, job["backend"], scenario, inputs, **options)
        start = time.perf_counter()
        trace = recorded()
        self.talk.must_be_the_child()  # before it writes what the child is writing
        save_trace(trace, job["out"])
        cheap = time.perf_counter() - start < SECOND_RUN
        again = (recorded() for _ in range((job["repeat"] or (2 if cheap else 1)) - 1))
        return said | {"differs": next((text for other in again if (text := first_difference(trace, other))), "")}

    def _refusal(self, name: str) -> str:
        try:
            self._variant(name)
        except Exception as error:  # noqa: BLE001  # somebody else's `__init__`
            return str(error) if isinstance(error, IsogradError) else said_of(error)
        return ""

    def _variant(self, name: str) -> Backend:
        if name not in self.variants:
            self.variants[name] = make_backend(name, self.target)
        return self.variants[name]


def _kinds(table: Any) -> list[str] | str:
    """A table's kinds; what it is, where it is no table."""
    return [clipped(clean(str(kind))) for kind in table] if isinstance(table, Mapping) else clipped(repr(table))


def _words(missing: Any) -> list[str]:
    if not isinstance(missing, (list, tuple)) or not all(isinstance(word, str) for word in missing):
        raise BackendError(f"missing(): expected a list of what is missing, each a text; got {clipped(repr(missing))}")
    return [clipped(clean(word)) for word in missing[:MANY]]
