"""Who ends what a child leaves behind? The first stage of every child process: it forks, and stays to clear up.

Run by its path, as ``python -P watch.py BACKEND``, and made of the standard library only. The fork (the worker) imports
the package, the backend and its framework; this process waits until the worker ends, the pipe of the jobs is closed
(that the parent was killed closes it too), or SIGTERM comes. Then it kills whatever descends from it, and ends as the
worker ended. It shares no lock with the worker, so that nothing that a backend does can keep it from that.

Linux hands it the orphans of its descendants (``PR_SET_CHILD_SUBREAPER``), daemons too, and kills the worker if this
process is killed. Elsewhere only the worker's process group can be found. What cannot be reached: what other users'
processes (sudo) or services (a container, a systemd unit) start on a backend's behalf; and, where a backend kills this
process, what it had started.
"""

from __future__ import annotations

import ctypes
import faulthandler
import fcntl
import importlib
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NoReturn

GRACE = 0.2  # seconds in which helpers may end by themselves: a resource tracker frees shared memory
PATIENCE = 3.0  # seconds in which what was killed must be gone
LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
OUT_OF_THE_WAY = 64  # descriptors from here on are ours: who closes "all" closes the first few


def main() -> NoReturn:
    """Fork: the new process works, this one watches."""
    watcher, parent = os.getpid(), os.getppid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    worker = os.fork()
    if not worker:
        try:
            _work(watcher)
        except BaseException:  # noqa: BLE001  # a copy of this process must not go on as the watcher
            traceback.print_exc()
        finally:
            os._exit(1)
    _watch(worker, parent)


def _prctl(option: int, value: int) -> None:
    if LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


# ---------------------------------------------------------------- the worker


def _work(watcher: int) -> None:
    """Put the descriptors where a backend does not stumble over them, then import what does the work."""
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != watcher:  # it ended before it would have been noticed
        os._exit(1)
    jobs, answers, log = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, OUT_OF_THE_WAY) for number in range(3))
    empty, nobody = os.pipe()
    os.close(nobody)
    os.dup2(empty, 0)  # a backend that reads gets nothing, and no job
    os.close(empty)
    os.dup2(2, 1)  # a framework that prints must not write into the answers
    faulthandler.enable(log)
    os.write(answers, b"\n")  # ends what was printed while the interpreter started
    lines = os.fdopen(jobs, "rb")
    start = json.loads(lines.readline())
    sys.argv = sys.argv[:1]  # a backend's file that looks for arguments finds none
    sys.path += [path for path in start["paths"] if path not in sys.path]
    _import_package(start)
    importlib.import_module(f"{start['package']}.child").main(lines, answers, log, start)


def _import_package(start: dict[str, Any]) -> None:
    """The very package that the parent runs, wherever it lies and whatever else has its name."""
    spec = importlib.util.spec_from_file_location(
        start["package"], start["file"], submodule_search_locations=start["folders"]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[start["package"]] = module
    spec.loader.exec_module(module)


# ---------------------------------------------------------------- the watcher


def _watch(worker: int, parent: int) -> NoReturn:
    asked: list[int] = []  # signals that the parent sent
    awake, wake = os.pipe()
    for end in (awake, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGABRT):
        signal.signal(number, lambda number, _: asked.append(number))
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)  # the worker's answers and log end with the worker
    os.dup2(null, 2)
    poll = select.poll()
    poll.register(0, 0)  # only that it was closed is of interest: what is in it is the worker's
    poll.register(awake, select.POLLIN)
    status = None
    while status is None:
        status = _reaped(worker)
        if signal.SIGTERM in asked or os.getppid() != parent:
            break
        if signal.SIGABRT in asked:
            asked.remove(signal.SIGABRT)
            _abort(worker)
        if status is None and any(fd == 0 for fd, _ in poll.poll(1000)):
            break
        with suppress(BlockingIOError):
            os.read(awake, 1024)
    if status is None:
        _kill(worker)
    _clear(worker)
    _end_as(status or 0)


def _reaped(worker: int) -> int | None:
    """Take leave of the children that have ended; how the worker did, if it is one of them."""
    status = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            status = ended[1] if ended[0] == worker else status
    return status


def _abort(worker: int) -> None:
    """Have it write down where it is, which kills it; without a core file, which nobody asked for."""
    with suppress(OSError, AttributeError):
        resource.prlimit(worker, resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        os.kill(worker, signal.SIGABRT)


def _kill(pid: int) -> None:
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)


def _clear(worker: int) -> None:
    """Until nothing is left that descends from this process."""
    start = time.monotonic()
    while _any_left() and time.monotonic() < start + PATIENCE:
        if time.monotonic() > start + GRACE:
            for pid in descendants(os.getpid()):
                _kill(pid)
        time.sleep(0.005)
    if not LINUX:
        with suppress(OSError):
            os.killpg(worker, signal.SIGKILL)


def _any_left() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def descendants(ancestor: int) -> list[int]:
    """Processes that a process has started, and that those have; none where there is no ``/proc``."""
    started: dict[int, list[int]] = {}
    for pid, parent in _processes():
        started.setdefault(parent, []).append(pid)
    found = list(started.get(ancestor, ()))
    for pid in found:  # which grows
        found += started.get(pid, ())
    return found


def _processes() -> Iterator[tuple[int, int]]:
    """Every process with its parent."""
    with suppress(OSError):
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(OSError), open(f"/proc/{entry.name}/stat", "rb") as stat:  # noqa: PTH123  # it has ended
                    yield int(entry.name), int(stat.read().rpartition(b")")[2].split()[1])


def _end_as(status: int) -> NoReturn:
    """End by the same signal, or with the same code, so that the parent sees how the worker ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


if __name__ == "__main__":
    main()
