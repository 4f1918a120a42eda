"""How are child processes started, timed, and buried? A child's crash or hang is an answer like any other."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

TAIL = 12  # lines of what a failed child said that are worth showing
LINE = 1000  # characters of each, and of an exception's message
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Job:
    """One scenario in one mode on one backend, as the child is asked for it.

    ``request`` may hold callables without arguments: they are called when the job's turn comes, so that a job can wait
    for what the parent is still computing.
    """

    request: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came of a job: all well, or ``unsupported`` rows, or an ``error`` with the child's last lines.

    ``differs`` says where a second run of the job first differed from the first, as in "loss at step 3".
    """

    seconds: float = 0.0
    unsupported: tuple[str, ...] = ()
    error: str = ""
    tail: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    differs: str = ""


class Child:
    """One child process: started at once, so that it imports its framework while the parent has other things to do."""

    def __init__(self, backend: str, log: Path) -> None:
        self.log: BinaryIO = log.open("w+b")
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        # One thread, unless the user says otherwise: the order of a sum must not depend on the number of cores.
        env = dict.fromkeys(THREADS, "1") | {"PYTHONFAULTHANDLER": "1"} | dict(os.environ) | {"PYTHONPATH": paths}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.child", backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=env,
            start_new_session=True,  # Ctrl-C is the parent's; it ends its children itself
        )
        self.answers: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, request: dict[str, Any], timeout: float) -> Answer:
        """Send one job and wait for the answer, for ``timeout`` seconds at most."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:  # it died in between; waiting finds out how
            pass
        return self.wait(timeout)

    def wait(self, timeout: float) -> Answer:
        """The next answer; an error where the child ends, or says nothing in time, in which case it is ended."""
        try:
            line = self.answers.get(timeout=timeout)
        except queue.Empty:
            self.end()
            return Answer(timeout, error=f"no answer within {timeout:g} s; see --timeout", tail=self._said())
        if not line:
            return Answer(error=self._how_it_ended(), tail=self._said())
        raw = json.loads(line)
        return Answer(
            raw["seconds"],
            tuple(raw.get("unsupported", ())),
            _clipped(raw.get("error", "")),
            self._said() if "error" in raw else "",
            raw.get("environment", {}),
            raw.get("differs", ""),
        )

    def end(self) -> None:
        """End the child and all that it started, now."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):  # nothing is left of it
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    @property
    def alive(self) -> bool:
        """Whether it can take another job."""
        return self.process.poll() is None

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.answers.put(line)
        self.answers.put(b"")

    def _said(self) -> str:
        self.log.flush()
        lines = Path(self.log.name).read_text(errors="replace").rstrip().splitlines()
        return "\n".join(_clipped(line) for line in lines[-TAIL:])

    def _how_it_ended(self) -> str:
        code = self.process.wait()
        self.end()  # what it started may still run
        if code >= 0:
            return f"the process ended with exit code {code} before it answered"
        name = signal.Signals(-code).name
        memory = "; out of memory is the usual reason" if name == "SIGKILL" else ""
        return f"the process was killed by {name}{memory}"


def _clipped(text: str) -> str:
    return text if len(text) <= LINE else f"{text[:LINE]}… ({len(text)} characters)"


class Children:
    """All children of a run: each takes its jobs one after another, and is started anew if it ends before they do."""

    def __init__(self, folder: Path, jobs: int, timeout: float) -> None:
        self.folder = folder
        self.timeout = timeout
        self.running: set[Child] = set()
        self.stopped = False
        self.pool = ThreadPoolExecutor(jobs)
        self.work: list[Future[None]] = []

    def submit(self, backend: str, jobs: Iterable[Job], done: Callable[[Job, Answer], None]) -> None:
        """Run a backend's jobs as soon as a place is free; ``done`` is called with each answer, from another thread."""
        self.work.append(self.pool.submit(self._work, backend, list(jobs), done))

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

    def _work(self, backend: str, jobs: list[Job], done: Callable[[Job, Answer], None]) -> None:
        child: Child | None = None
        broken: Answer | None = None  # a backend that cannot even start is not started for every job again
        environment: dict[str, str] = {}
        try:
            for job in jobs:
                if self.stopped:
                    break
                if broken is None and (child is None or not child.alive):
                    self._bury(child)
                    child, ready = self._start(backend)
                    broken, environment = (ready if ready.error else None), ready.environment
                answer = broken or self._ask(child, job, environment)
                if not self.stopped:
                    done(job, answer)
        finally:
            self._bury(child)

    def _start(self, backend: str) -> tuple[Child, Answer]:
        number = f"{time.monotonic_ns()}"
        child = Child(backend, self.folder / f"child-{number}.log")
        self.running.add(child)
        if self.stopped:  # it was started while `stop` ended the others
            child.end()
        return child, child.wait(self.timeout)

    def _ask(self, child: Child | None, job: Job, environment: dict[str, str]) -> Answer:
        assert child is not None
        request = {key: value() if callable(value) else value for key, value in job.request.items()}
        answer = child.ask(request, self.timeout)
        return replace(answer, environment=answer.environment or environment)

    def _bury(self, child: Child | None) -> None:
        if child is None:
            return
        assert child.process.stdin is not None
        try:
            child.process.stdin.close()
            child.process.wait(timeout=5)
        except (OSError, subprocess.TimeoutExpired):
            child.end()
        self.running.discard(child)
        child.log.close()
