"""Who takes which job? All children of a run: each takes its jobs one after another, and is started anew if it ends.

Where `warm` says so, those of isograd's own backends stay for the next run.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isograd.backend import Target, parse_name
from isograd.children import Answer, Child
from isograd.errors import IsogradError


@contextmanager
def warm() -> Iterator[None]:
    """Within it, the processes of isograd's own backends are not ended after a run: the next one has them at once.

    For a notebook, or a suite of many small runs, where importing a framework takes longer than what it computes. They
    end with the block, and with this process, however it ends. A run in another folder, with another environment or
    another ``sys.path`` has processes of its own.

    Example:
        >>> import isograd
        >>> with isograd.warm():
        ...     reports = [isograd.run("article/single_neuron", backends=["numpy"]) for _ in range(2)]
        >>> all(report.green for report in reports)
        True
    """
    IDLE.users += 1
    try:
        yield
    finally:
        IDLE.users -= 1
        if not IDLE.users:
            IDLE.close()


MOST = 2
"""Processes of one backend that are kept at once: a framework's takes some hundred megabytes."""


@dataclass
class Idle:
    """Children that have nothing to do, kept for the next run while somebody wants that.

    Attributes:
        users: how many blocks of `warm` there are.
        kept: of each backend's class, each with the circumstances in which it was started.
    """

    users: int = 0
    kept: dict[Target, list[tuple[object, Child]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, target: Target) -> Child | None:
        """A child that is as one that would be started now; what was started in other circumstances is ended."""
        with self.lock:
            lot, now = self.kept.get(target, []), circumstances()
            while lot:
                started, child = lot.pop()
                if child.alive and started == now:
                    return child
                _end(child)
            return None

    def keep(self, target: Target, started: object, child: Child) -> bool:
        """Whether it is kept: a process of isograd's own backend, and well."""
        with self.lock:
            kept = bool(self.users and target.own and child.alive)
            if kept:
                self.kept.setdefault(target, []).append((started, child))
                if len(self.kept[target]) > MOST:
                    _end(self.kept[target].pop(0)[1])
            return kept

    def close(self) -> None:
        """End them all."""
        with self.lock:
            lots, self.kept = list(self.kept.values()), {}
        for _, child in (row for lot in lots for row in lot):
            _end(child)


IDLE = Idle()


def circumstances() -> object:
    """What a child has of the moment when it is started: where modules are looked for, its folder, its environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    folder = ""
    with suppress(OSError):  # it may have been removed
        folder = str(Path.cwd())
    return tuple(sys.path), folder, tuple(sorted(environment.items()))


def _end(child: Child) -> None:
    with suppress(OSError):
        child.close()


@dataclass
class Job:
    """One scenario in one mode on one backend, as the child is asked for it.

    ``request`` may hold callables without arguments: they are called when the job's turn comes, so that a job can wait
    for what the parent is still computing.
    """

    request: dict[str, Any]


class Children:
    """All children of a run; a child that fails costs its own job."""

    def __init__(self, jobs: int, timeout: float) -> None:
        self.timeout = timeout
        self.running: set[Child] = set()
        self.stopped = False
        self.pool = ThreadPoolExecutor(jobs)
        self.work: list[Future[None]] = []

    def submit(self, target: Target, jobs: Iterable[Job], done: Callable[[Job, Answer], None]) -> None:
        """Run jobs of one backend and its variants as soon as a place is free.

        Args:
            target: where the backend's class is.
            jobs: what is asked.
            done: called with each answer, from another thread.
        """
        turn = Turn(self, target)
        self.work.append(self.pool.submit(turn.take, list(jobs), done))

    def wait(self) -> None:
        """Until every job is answered; raises what went wrong in this process, if anything did."""
        for work in self.work:
            work.result()
        self.pool.shutdown()

    def stop(self) -> None:
        """End every child, now; what was not answered is not answered any more."""
        self.stopped = True
        for child in list(self.running):
            child.end()
        self.pool.shutdown(wait=False, cancel_futures=True)


class Turn:
    """The jobs of one backend and its variants. What cannot even start is not started for every job again."""

    def __init__(self, children: Children, target: Target) -> None:
        self.children, self.target = children, target
        self.child: Child | None = None
        self.started: object = None
        self.broken: dict[str, Answer] = {}  # by variant; under "", all of them
        self.environments: dict[str, Answer] = {}

    def take(self, jobs: list[Job], done: Callable[[Job, Answer], None]) -> None:
        """Run the jobs."""
        try:
            for job in jobs:
                if self.children.stopped:
                    break
                answer = self._answer(job)
                if not self.children.stopped:
                    done(job, answer)
        finally:
            self._bury()

    def _answer(self, job: Job) -> Answer:
        variant = job.request["backend"]
        if "" not in self.broken and variant not in self.broken and variant not in self.environments:
            ready = self._ask(variant, {"kind": "environment", "backend": variant})
            (self.broken if ready.error else self.environments)[variant] = ready
        broken = self.broken.get("") or self.broken.get(variant)
        if broken:
            return broken
        try:
            request = {key: value() if callable(value) else value for key, value in job.request.items()}
        except (IsogradError, OSError) as error:  # what the child is to read cannot be written
            return Answer(error=str(error))
        answer = self._ask(variant, request)
        return replace(answer, environment=answer.environment or self.environments[variant].environment)

    def _ask(self, variant: str, request: dict[str, Any]) -> Answer:
        if self.child is None or not self.child.alive:
            self._bury()
            problem = self._start(parse_name(variant).base)
            if problem:
                self.broken[""] = problem
                return problem
        assert self.child is not None
        return self.child.ask(request, self.children.timeout)

    def _start(self, base: str) -> Answer | None:
        """Start a child and have it import the backend's class; what is wrong with that, if anything."""
        kept = IDLE.take(self.target)
        if kept is not None:
            if not self._describe(kept, base).error:
                return None
            self._bury()  # it died while it waited, or is about to: that says nothing about this run
        try:
            child = Child(base, self.target)
        except OSError as error:
            return Answer(error=f"a child process cannot be started: {error}")
        answer = self._describe(child, base)
        return answer if answer.error else None

    def _describe(self, child: Child, base: str) -> Answer:
        self.child, self.started = child, circumstances()
        self.children.running.add(child)
        if self.children.stopped:  # it was started while `stop` ended the others
            child.end()
        return child.ask({"kind": "describe", "backend": base, "make": False}, self.children.timeout)

    def _bury(self) -> None:
        if self.child is not None:
            if self.children.stopped or not IDLE.keep(self.target, self.started, self.child):
                _end(self.child)
            self.children.running.discard(self.child)
            self.child = None
