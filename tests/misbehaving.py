"""What can a backend do wrong beside its numbers? Dozens of ways, each to be done in any place of a backend.

``tests.misbehaving:Faulty[step=os_exit]`` trains as `tests.outside.Outside` does, and does that in the third step;
``tests.misbehaving:step_os_exit`` is the same as a class of its own, and so in a child process of its own.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from isograd import Scenario, Session
from isograd.inputs import Array, Batch, Inputs
from tests.outside import Outside, OutsideSession

PLACES = ("init", "environment", "session", "load", "step")
AT = 2  # the step in which a fault shows

FOREVER = 997  # seconds that a process sleeps which nobody ends


# ---------------------------------------------------------------- it ends, or hangs


def os_exit() -> None:
    print("last words")
    os._exit(7)


def segfault() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


def abort() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()


def end_of_group() -> None:
    os.killpg(0, signal.SIGKILL)


def own(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def hang_with_the_lock() -> None:
    ctypes.PyDLL(None).sleep(FOREVER)


def hang_deaf() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))
    time.sleep(FOREVER)


def deadlock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def ends_from_a_thread() -> None:
    threading.Timer(0.05, os._exit, (9,)).start()
    time.sleep(0.2)


ENDS: dict[str, Callable[[], None]] = {
    "os_exit": os_exit,
    "os_exit_0": lambda: os._exit(0),
    "segfault": segfault,
    "abort": abort,
    "killed": own(signal.SIGKILL),
    "terminated": own(signal.SIGTERM),
    "end_of_group": end_of_group,
    "kills_its_parent": lambda: (os.kill(os.getppid(), signal.SIGKILL), time.sleep(1)),
    "ends_from_a_thread": ends_from_a_thread,
}
HANGS: dict[str, Callable[[], None]] = {
    "hang": lambda: time.sleep(FOREVER),
    "hang_with_the_lock": hang_with_the_lock,
    "hang_deaf": hang_deaf,
    "deadlock": deadlock,
    "stops_itself": own(signal.SIGSTOP),
}


# ---------------------------------------------------------------- it raises


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Mute(Exception):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]


def raises(error: BaseException) -> Callable[[], None]:
    def fault() -> None:
        raise error

    return fault


def recursion() -> None:
    recursion()


def nested() -> None:
    error: BaseException = ValueError("innermost")
    for i in range(50):
        following = RuntimeError(f"cause {i}")
        following.__cause__ = error
        error = following
    raise error


RAISES: dict[str, Callable[[], None]] = {
    "error": raises(RuntimeError("no kernel")),
    "surrogate": raises(RuntimeError("bad \udc80 words")),
    "nul": raises(RuntimeError("nul \0 escape \x1b[31m bell \a")),
    "long": raises(RuntimeError("y" * 10_000_000)),
    "many_lines": raises(RuntimeError("line\n" * 100_000)),
    "unspeakable": raises(Unspeakable()),
    "mute": raises(Mute()),
    "bytes": raises(RuntimeError(b"\xff\xfe")),
    "no_class_name": raises(type("A\nB" * 1000, (Exception,), {})("who")),
    "system_exit": raises(SystemExit(3)),
    "system_exit_text": raises(SystemExit("good bye")),
    "keyboard_interrupt": raises(KeyboardInterrupt()),
    "generator_exit": raises(GeneratorExit()),
    "memory_error": raises(MemoryError("cannot allocate 64 GiB")),
    "stop_iteration": raises(StopIteration()),
    "group": raises(BaseExceptionGroup("several", [ValueError("one"), KeyboardInterrupt()])),
    "recursion": recursion,
    "nested": nested,
    "reads": lambda: print(input()),
}


# ---------------------------------------------------------------- it talks


def writes_to_pipes(data: bytes) -> Callable[[], None]:
    """To every pipe that this process has, but for the three that every process has."""

    def fault() -> None:
        for entry in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                if int(entry.name) > 2 and str(entry.readlink()).startswith("pipe:"):
                    os.write(int(entry.name), data)

    return fault


def forged(**changes: Any) -> bytes:
    return json.dumps({"job": 3, "seconds": 0.1} | changes).encode() + b"\n"


def prints(megabytes: int) -> Callable[[], None]:
    def fault() -> None:
        for _ in range(megabytes):
            print("x" * 1_000_000)
            os.write(1, b"\xff\0" * 1000 + b"\n")

    return fault


WRITES: dict[str, Callable[[], None]] = {
    "garbage": writes_to_pipes(b"garbage\n"),
    "no_utf8": writes_to_pipes(b"\xff\xfe\0\n"),
    "part_of_a_line": writes_to_pipes(b'{"job": 3, '),
    "long_line": writes_to_pipes(b"x" * 60_000),
    "deep": writes_to_pipes(b"[" * 30_000 + b"\n"),
    "digits": writes_to_pipes(b'{"job": ' + b"9" * 30_000 + b"}\n"),
    "number": writes_to_pipes(b"3\n"),
    "null": writes_to_pipes(b"null\n"),
    "other_job": writes_to_pipes(forged(job=99)),
    "nan": writes_to_pipes(forged(seconds=float("nan"))),
    "infinite": writes_to_pipes(b'{"job": 3, "seconds": 1e999}\n'),
    "wrong_form": writes_to_pipes(forged(error=["no", "text"])),
    "unknown_key": writes_to_pipes(forged(verdict="IDENTICAL")),
    "no_step": writes_to_pipes(forged(differs="loss at step many")),
}
TALKS: dict[str, Callable[[], None]] = {
    "prints": prints(5),
    "closes_stdin": lambda: os.close(0),
    "closes_stdout": lambda: os.close(1),
    "closes_stderr": lambda: os.close(2),
    "closes_three": lambda: os.closerange(0, 3),
    "closes_streams": lambda: (sys.stdout.close(), sys.stderr.close(), setattr(sys, "stdin", None)),
    "no_streams": lambda: (setattr(sys, "stdout", None), setattr(sys, "stderr", None)),
}


def closes_all() -> None:
    os.closerange(0, 4096)


# ---------------------------------------------------------------- it leaves processes


def sleeper(*options: str, **more: Any) -> Callable[[], None]:
    def fault() -> None:
        code = f"import signal, time; {''.join(options)} time.sleep({FOREVER})"
        subprocess.Popen([sys.executable, "-I", "-S", "-c", code], **more)

    return fault


def daemon() -> None:
    """As in the textbook: two forks, a session of its own, no descriptor left."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.chdir("/")
            os.closerange(0, 4096)
            time.sleep(FOREVER)
        os._exit(0)


def forks_and_sleeps() -> None:
    if os.fork() == 0:
        time.sleep(FOREVER)


def returns_twice() -> None:
    os.fork()


def raises_twice() -> None:
    os.fork()
    raise RuntimeError("in two processes")


def chain() -> None:
    """Each process starts the next, and all sleep."""
    for _ in range(20):
        if os.fork():
            return
        os.setsid()
    time.sleep(FOREVER)


LEAVES: dict[str, Callable[[], None]] = {
    "sleeper": sleeper(),
    "sleeper_elsewhere": sleeper(start_new_session=True),
    "stubborn": sleeper("[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)];"),
    "daemon": daemon,
    "forks_and_sleeps": forks_and_sleeps,
    "returns_twice": returns_twice,
    "raises_twice": raises_twice,
    "chain": chain,
}


# ---------------------------------------------------------------- it spoils its surroundings


def gone_folder() -> None:
    folder = Path(tempfile.mkdtemp())
    os.chdir(folder)
    folder.rmdir()


def limit(what: int, value: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(what, (value, value))


def removes_temporary_folders() -> None:
    for folder in Path(tempfile.gettempdir()).glob("isograd-*"):
        shutil.rmtree(folder, ignore_errors=True)


def sets_all_signals() -> None:
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)


SPOILS: dict[str, Callable[[], None]] = {
    "closes_all": closes_all,
    "gone_folder": gone_folder,
    "no_environ": lambda: os.environ.clear(),
    "no_path": lambda: sys.path.clear(),
    "other_numpy": lambda: sys.modules.update(numpy=None),  # type: ignore[call-overload]
    "no_modules": lambda: sys.modules.clear(),
    "no_open": lambda: setattr(builtins, "open", None),
    "no_json": lambda: setattr(json, "dumps", None),
    "no_files": limit(resource.RLIMIT_NOFILE, 3),
    "empty_files": limit(resource.RLIMIT_FSIZE, 0),
    "no_recursion": lambda: sys.setrecursionlimit(60),
    "alarm": lambda: signal.alarm(1),
    "ignores_signals": sets_all_signals,
    "hangs_at_exit": lambda: atexit.register(time.sleep, FOREVER),
    "errors_are_raised": lambda: np.seterr(all="raise"),
}


def counts() -> None:
    while True:
        pass


SLOW: dict[str, Callable[[], None]] = {  # what takes the processor, or the patience of `Child.end`
    "counts": counts,
    "no_memory": limit(resource.RLIMIT_AS, 1 << 20),  # in which a library may count for ever, too
    "no_time": lambda: (limit(resource.RLIMIT_CPU, 1)(), counts()),
    "prints_much": prints(1000),
    "stops_its_parent": lambda: os.kill(os.getppid(), signal.SIGSTOP),
    "removes_temporary_folders": removes_temporary_folders,
}

FAULTS = SLOW | ENDS | HANGS | RAISES | WRITES | TALKS | LEAVES | SPOILS


# ---------------------------------------------------------------- it returns something else


class Broken(Mapping[str, Any]):
    """A mapping that says what it has, and does not give it."""

    def __init__(self, seen: Mapping[str, Any]) -> None:
        self.seen = seen

    def __iter__(self) -> Iterator[str]:
        return iter(self.seen)

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("gone")


class NoArray:
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("on another device")


RETURNS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "none": lambda seen: None,
    "list": lambda seen: list(seen.items()),
    "text": lambda seen: "seen",
    "number": lambda seen: 3,
    "generator": lambda seen: (item for item in seen.items()),
    "class": lambda seen: dict,
    "broken": Broken,
    "empty": lambda seen: {},
    "loss_none": lambda seen: seen | {"loss": None},
    "loss_text": lambda seen: seen | {"loss": "0.5"},
    "loss_object": lambda seen: seen | {"loss": np.array([None, 1], object)},
    "loss_ragged": lambda seen: seen | {"loss": [[1.0], [1.0, 2.0]]},
    "loss_integer": lambda seen: seen | {"loss": 3},
    "loss_bool": lambda seen: seen | {"loss": True},
    "loss_complex": lambda seen: seen | {"loss": 1j},
    "loss_date": lambda seen: seen | {"loss": np.datetime64("2026-01-01")},
    "loss_record": lambda seen: seen | {"loss": np.zeros(1, [("a", "f4"), ("b", "i4")])},
    "loss_longdouble": lambda seen: seen | {"loss": np.longdouble(1)},
    "loss_no_array": lambda seen: seen | {"loss": NoArray()},
    "loss_generator": lambda seen: seen | {"loss": (x for x in (1.0,))},
    "loss_itself": lambda seen: seen | {"loss": seen},
    "key_number": lambda seen: seen | {3: seen["loss"]},
    "key_none": lambda seen: seen | {None: seen["loss"]},
    "key_bytes": lambda seen: seen | {b"loss": seen["loss"]},
    "key_empty": lambda seen: seen | {"": seen["loss"]},
    "key_surrogate": lambda seen: seen | {"\udc80": seen["loss"]},
    "key_lines": lambda seen: seen | {"a\nb": seen["loss"]},
    "key_nul": lambda seen: seen | {"a\0": seen["loss"]},
    "key_long": lambda seen: seen | {"a" * 100_000: seen["loss"]},
    "key_steps": lambda seen: seen | {"steps": np.float32([9, 9, 9])},
    "key_inputs": lambda seen: seen | {"inputs/x": np.zeros((3, 2), np.float32)},
    "key_metadata": lambda seen: seen | {"__metadata__": seen["loss"]},
    "keys_many": lambda seen: seen | {f"extra/{i}": seen["loss"] for i in range(20_000)},
}
DIVERGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "loss_float": lambda seen: seen | {"loss": float(seen["loss"])},
    "loss_nan": lambda seen: seen | {"loss": np.float32(np.nan)},
    "loss_infinite": lambda seen: seen | {"loss": np.float32(np.inf)},
    "extra": lambda seen: seen | {"extra at step x": seen["loss"]},
    "masked": lambda seen: seen | {"loss": np.ma.masked_all((), np.float32)},
}
RETURNED = RETURNS | DIVERGES

ENVIRONMENTS: dict[str, Any] = {
    "none": None,
    "list": ["a"],
    "number_in_it": {"version": 1},
    "key_none": {None: "1"},
    "surrogate": {"version": "\udc80\0"},
    "long": {"version": "9" * 10_000_000},
    "many": {f"fact {i}": "x" for i in range(50_000)},
}
MISSING: dict[str, Any] = {"none": None, "text": "relu", "numbers": [1], "surrogate": ["\udc80"], "many": ["x"] * 10**5}


# ---------------------------------------------------------------- the backend


class Faulty(Outside):
    """As `Outside`, but for the faults that its options name, each in its place; in the scenario ``wrecked`` only.

    What is wrong in ``init`` and ``environment`` is so in every scenario.
    """

    def __init__(
        self,
        init: str = "",
        environment: str = "",
        session: str = "",
        load: str = "",
        step: str = "",
        returns: str = "",
        environ: str = "",
        missing: str = "",
    ) -> None:
        self.faults = {"environment": environment, "session": session, "load": load, "step": step}
        self.returns, self.environ, self.lacks = returns, environ, missing
        if init:
            FAULTS[init]()

    def commit(self, place: str) -> None:
        if fault := self.faults[place]:
            FAULTS[fault]()

    def environment(self) -> dict[str, str]:
        self.commit("environment")
        return ENVIRONMENTS[self.environ] if self.environ else super().environment()

    def missing(self, scenario: Scenario) -> list[str]:
        return MISSING[self.lacks] if self.lacks and scenario.name == "wrecked" else super().missing(scenario)

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        if scenario.name != "wrecked":
            return super().session(scenario, inputs)
        self.commit("session")
        return FaultySession(self, scenario, inputs)


class FaultySession(OutsideSession):
    def __init__(self, backend: Faulty, scenario: Scenario, inputs: Inputs) -> None:
        self.backend, self.at = None, -1  # `load` is called by the other constructor, too
        super().__init__(scenario, inputs)
        self.backend = backend

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        if self.backend is not None and self.at == AT - 1:
            self.backend.commit("load")
        super().load(t, state)

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        self.at += 1
        assert self.backend is not None
        if self.at == AT:
            self.backend.commit("step")
        seen = dict(super().step(t, batch))
        return RETURNED[self.backend.returns](seen) if self.backend.returns else seen


def __getattr__(name: str) -> type[Faulty]:
    place, _, fault = name.partition("_")
    if place not in PLACES or fault not in FAULTS:
        raise AttributeError(name)
    return type(name, (Faulty,), {"__init__": lambda self: Faulty.__init__(self, **{place: fault})})
