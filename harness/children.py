"""How is a child process started, asked, and ended? Its crash or hang is an answer like any other."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from isograd.backend import Target
from isograd.pipes import BLOCK, Pipes
from isograd.watch import GRACE, PATIENCE, descendants
from isograd.words import LINE, LONG, clean, clipped, last_words

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LONGEST = 1e8  # seconds, which a lock can wait for
FOREIGN = "what came was no answer: a backend wrote to the descriptor of the answers"


def _valid(text: Any, limit: int = LINE) -> Any:
    return clipped(clean(text), limit) if isinstance(text, str) else text


Word = Annotated[str, BeforeValidator(_valid)]
Words = Annotated[str, BeforeValidator(lambda text: _valid(text, LONG))]


class About(BaseModel):
    """What a backend says of itself, without its framework.

    Attributes:
        distribution: the package whose version is the framework's.
        version: that version.
        tables: ``layers``, ``losses``, ``optimizers`` and ``dtypes``, the kinds in each; or its ``repr``, if no table.
        refused: why there is no backend with the options of its name; "" if there is.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    distribution: Word
    version: Word
    tables: dict[Word, list[Word] | Word]
    refused: Words = ""


class _Said(BaseModel):
    """An answer as it comes: from a process in which somebody else's code runs, and so of any form."""

    model_config = ConfigDict(strict=True, extra="forbid")

    job: int
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    unsupported: Annotated[list[Word], Field(max_length=200)] = []
    error: Words = ""
    environment: Annotated[dict[Word, Word], Field(max_length=200)] = {}
    differs: Annotated[Word, Field(pattern=r"^$|^[^\n]+ at step \d{1,18}$")] = ""
    absent: bool = False
    about: About | None = None


@dataclass(frozen=True)
class Answer:
    """What came of a job: all well, or ``unsupported`` rows, or an ``error`` with the child's last lines.

    ``differs`` says where a second run of the job first differed from the first, as in "loss at step 3"; ``absent``
    that the error is a backend that is not installed or cannot be imported; ``late`` that none came in time. All text
    is valid and of bounded length.
    """

    seconds: float = 0.0
    unsupported: tuple[str, ...] = ()
    error: str = ""
    tail: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    differs: str = ""
    absent: bool = False
    about: About | None = None
    late: bool = False


class Child:
    """One child process: started at once, so that it imports its framework while the parent has other things to do.

    Needs POSIX: pipes that can be polled, and ``fork`` in the child (`isograd.watch`).

    Args:
        backend: a backend's name, for whoever looks at the list of processes.
        target: where its class is.
        python: the interpreter that runs it; the parent's packages are the last that it looks at.
    """

    def __init__(self, backend: str, target: Target, python: str = sys.executable) -> None:
        self.pipes = Pipes()
        # One thread, unless the user says otherwise: the order of a sum must not depend on the number of cores.
        env = dict.fromkeys(THREADS, "1") | dict(os.environ)
        # -P: neither the working directory nor this folder may stand before what is installed
        command = [python, "-P", str(Path(__file__).with_name("watch.py")), backend]
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=self.pipes.ends[0],
                stderr=self.pipes.ends[1],
                env=env,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is the parent's; it ends its children itself
            )
        finally:
            self.pipes.started()
        self.number = 0
        os.set_blocking(self._jobs(), False)
        self._send(_start(target), time.monotonic() + PATIENCE)

    def ask(self, request: Mapping[str, Any], timeout: float) -> Answer:
        """Send one job and wait for the answer, for ``timeout`` seconds at most.

        A child that ends, says nothing in time, or says what is no answer is ended, and the answer is an error.
        """
        self.number += 1
        end = time.monotonic() + min(timeout, LONGEST)
        self._send({"kind": "run"} | dict(request) | {"job": self.number}, end)
        noise = self.number == 1  # what was printed while the interpreter and the backend's file were loaded
        while (line := self.pipes.answer(end - time.monotonic())) and noise and not line.startswith(b"{"):
            pass
        if line is None:
            self._abort()
            text = f"no answer within {timeout:g} s; see --timeout"
            return Answer(timeout, error=text, tail=self._tail(hung=True), late=True)
        if not line:
            return Answer(error=self._how_it_ended(), tail=self._tail())
        answer = self._read(line)
        if answer is None:
            self.end()
            return Answer(error=FOREIGN, tail=self._tail())
        return answer

    def end(self) -> None:
        """End the child and all that it started, now."""
        self.process.terminate()
        try:
            self.process.wait(2 * PATIENCE)
        except subprocess.TimeoutExpired:  # a backend has stopped the watcher
            for pid in descendants(self.process.pid):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()

    def close(self) -> None:
        """End it, and give back what it took here; for the thread that asks it."""
        self.end()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.pipes.close()

    @property
    def alive(self) -> bool:
        """Whether it can take another job."""
        return self.process.poll() is None

    def _jobs(self) -> int:
        assert self.process.stdin is not None
        return self.process.stdin.fileno()

    def _send(self, job: Mapping[str, Any], end: float) -> None:
        """Write a line to the child; what is not taken in time, or by nobody any more, is found out by waiting."""
        line = memoryview(json.dumps(job).encode() + b"\n")
        poll = select.poll()
        poll.register(self._jobs(), select.POLLOUT)
        with suppress(BrokenPipeError):
            while line and poll.poll(_milliseconds(end - time.monotonic())):
                with suppress(BlockingIOError):
                    line = line[os.write(self._jobs(), line[:BLOCK]) :]

    def _read(self, line: bytes) -> Answer | None:
        """The answer that a line is; None if it is none, or one to another question."""
        try:
            said = _Said.model_validate(json.loads(line))
        except (ValueError, RecursionError):  # no UTF-8, no JSON, or of another form
            return None
        if said.job != self.number:
            return None
        tail = self._tail() if said.error else ""
        given = (said.seconds, tuple(said.unsupported), said.error, tail, said.environment)
        return Answer(*given, said.differs, said.absent, said.about)

    def _tail(self, *, hung: bool = False) -> str:
        return last_words(self.pipes.said(), hung=hung)

    def _abort(self) -> None:
        """End a child that hangs; first it writes down where."""
        with suppress(subprocess.TimeoutExpired, OSError):
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(1 + GRACE)
        self.end()

    def _how_it_ended(self) -> str:
        try:
            code = self.process.wait(2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.end()
            return "it closed the descriptor of the answers before it answered"
        if code >= 0:
            return f"the process ended with exit code {code} before it answered"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        memory = "; out of memory is the usual reason" if name == "SIGKILL" else ""
        return f"the process was killed by {name}{memory}"


def _start(target: Target) -> dict[str, Any]:
    """What a child must know before it can import anything: where this package is, and where to look last."""
    package = sys.modules[__name__.rpartition(".")[0]]
    return {
        "package": package.__name__,
        "file": package.__file__,
        "folders": list(package.__path__),
        "paths": [str(Path(path).absolute()) for path in sys.path],
        "target": target.text,
        "pin": target.folder,
    }


def _milliseconds(seconds: float) -> int:
    return int(min(max(seconds, 0.0), 1e6) * 1000)
