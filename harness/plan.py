"""Which jobs does a request come to, and what came of each? All children, with the reference computed meanwhile."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from isograd.assess import Assessor, Run
from isograd.backend import find_backend, parse_name
from isograd.children import Answer
from isograd.envelope import RUNS
from isograd.errors import TraceError
from isograd.inputs import Array, Inputs, make_inputs
from isograd.judging import FACTOR
from isograd.pool import Children, Job
from isograd.recorder import States
from isograd.reference import Reference, make_reference
from isograd.scenario import Scenario
from isograd.scratch import scratch
from isograd.trace import Mode, save_arrays

READABLE = 150  # characters of a trace file's name; file systems allow 255 bytes, and a part file has more


class Progress(Protocol):
    """Whoever wants to know how far a run is; told from several threads, of each matter by one at a time."""

    def planned(self, backend: str, jobs: int) -> None:
        """So many jobs will be asked of a backend."""

    def done(self, backend: str, scenario: str, mode: str, answer: Answer) -> None:
        """A job is done."""

    def oracle(self, scenario: str, mode: str, share: float) -> None:
        """So much more of the oracle's work on a scenario in one mode is done, 1 in all."""


def trace_name(scenario: str, backend: str, dtype: str, mode: Mode) -> str:
    """The name of a job's trace file: readable, and of no other job, also where file names know no upper case."""
    identity = "\n".join((scenario, backend, dtype, mode))
    readable = "".join(c if c.isascii() and (c.isalnum() or c in "-_=.") else "_" for c in identity.replace("\n", "-"))
    digest = hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()
    return f"{readable[:READABLE]}-{digest[:12]}.safetensors"


class Plan:
    """What is to be recorded for one `run`, and what has come of it so far."""

    def __init__(
        self,
        scenarios: list[Scenario],
        backends: list[str],
        modes: tuple[Mode, ...],
        every: int,
        quantities: str,
        folder: Path,
        kept: Path,
        *,
        repeat: int | None = 1,
        noise: int = RUNS,
        factor: float = FACTOR,
        causes: bool = True,
    ) -> None:
        self.backends, self.modes, self.every, self.quantities = backends, modes, every, quantities
        self.repeat, self.noise, self.factor, self.causes = repeat, noise, factor, causes
        self.folder, self.kept = folder.absolute(), kept.absolute()  # a backend may change its working directory
        self.scenarios = scenarios
        self.inputs: dict[str, Inputs] = {s.name: make_inputs(s) for s in scenarios}
        self.references: dict[str, Future[Reference]] = {s.name: Future() for s in scenarios}
        self.states: dict[str, Future[States]] = {s.name: Future() for s in scenarios}
        self.answers: dict[tuple[str, str, Mode], Answer] = {}
        self.writing = threading.Lock()
        self.part = self.kept
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TraceError(f"{kept}: the folder for the traces cannot be made: {error.strerror}") from None

    def record(self, jobs: int, timeout: float, progress: Progress | None) -> None:
        """Run every job; the reference is computed here while the children import their frameworks.

        Traces are written to a folder beside those that are whole: what a child that is killed has begun is not kept.
        """
        with ExitStack() as stack:
            try:
                self.part = stack.enter_context(scratch(self.kept))
            except OSError as error:
                raise TraceError(f"{self.kept}: the traces cannot be written there: {error.strerror}") from None
            self._record(jobs, timeout, progress)

    def _record(self, jobs: int, timeout: float, progress: Progress | None) -> None:
        children = Children(jobs, timeout)
        lock = threading.Lock()

        def done(job: Job, answer: Answer) -> None:
            backend, scenario, mode = job.request["backend"], job.request["scenario"]["name"], job.request["mode"]
            answer = self._kept(answer, Path(job.request["out"]))
            with lock:
                self.answers[backend, scenario, mode] = answer
                if progress:
                    progress.done(backend, scenario, mode, answer)

        try:
            if progress:
                progress.planned("oracle", len(self.modes) * len(self.scenarios))
                for backend in self.backends:
                    progress.planned(backend, len(self.modes) * len(self.scenarios))
            for group in self._groups(jobs):
                children.submit(find_backend(group[0]), self._jobs(group), done)
            for i, scenario in enumerate(self.scenarios):
                self._make_reference(i, scenario, progress)
            children.wait()
        except BaseException:  # Ctrl-C too: no child may outlive its parent
            waited_for: list[Future[Any]] = [*self.references.values(), *self.states.values()]
            for future in waited_for:
                future.cancel()
            children.stop()
            raise

    def absent(self) -> dict[str, str]:
        """Backends of which a child said that they are not installed or cannot be imported, each with its words."""
        return {backend: answer.error for (backend, _, _), answer in self.answers.items() if answer.absent}

    def leave_out(self, backends: Mapping[str, str]) -> None:
        """Nobody asked for these by name, and they cannot be run here: they are no cells."""
        self.backends = [backend for backend in self.backends if backend not in backends]

    def _groups(self, jobs: int) -> list[list[str]]:
        """Backends that share a child: variants of one, in as many parts as may run at once, import it that often."""
        bases = dict.fromkeys(parse_name(backend).base for backend in self.backends)
        variants = [[b for b in self.backends if parse_name(b).base == base] for base in bases]
        return [of_base[i::jobs] for of_base in variants for i in range(min(jobs, len(of_base)))]

    def _jobs(self, backends: list[str]) -> list[Job]:
        """Free runs first: they do not need the reference, which is still being computed."""
        return [
            Job(
                {
                    "backend": backend,
                    "scenario": scenario.model_dump(mode="json"),
                    "inputs": lambda i=i, s=scenario: self._written(f"inputs-{i}", self.inputs[s.name].arrays),
                    "mode": mode,
                    "states": (lambda i=i, s=scenario: self._states(i, s)) if mode == "resync" else None,
                    "every": self.every,
                    "quantities": self.quantities,
                    "repeat": self.repeat,
                    "out": str(self.part / self._path(scenario, backend, mode).name),
                }
            )
            for mode in self.modes
            for backend in backends
            for i, scenario in enumerate(self.scenarios)
        ]

    def _states(self, i: int, scenario: Scenario) -> str:
        states = self.states[scenario.name].result()
        return self._written(f"states-{i}", lambda: states)

    def _written(self, name: str, arrays: Callable[[], Mapping[str, Array]]) -> str:
        """The file that a child is to read; written when it is first needed, and again if somebody removed it."""
        path = self.folder / f"{name}.safetensors"
        with self.writing:
            self.part.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                save_arrays(arrays(), path)
        return str(path)

    def _make_reference(self, i: int, scenario: Scenario, progress: Progress | None) -> None:
        inputs = self.inputs[scenario.name]
        options: dict[str, Any] = {"runs": self.noise, "factor": self.factor}
        if progress:
            options["progress"] = partial(progress.oracle, scenario.name)
        folder, ready = self.folder / f"reference-{i}", self.states[scenario.name].set_result
        reference = make_reference(scenario, inputs, self.modes, ready=ready, folder=folder, **options)
        self.references[scenario.name].set_result(reference)

    def _kept(self, answer: Answer, part: Path) -> Answer:
        """The answer, once its trace has taken its place."""
        if answer.error or answer.unsupported:
            return answer
        try:
            part.replace(self.kept / part.name)
        except OSError as error:
            return replace(answer, error=f"{self.kept / part.name}: the trace cannot be kept: {error.strerror}")
        return answer

    def _path(self, scenario: Scenario, backend: str, mode: Mode) -> Path:
        return self.kept / trace_name(scenario.name, backend, scenario.dtype, mode)

    def assessor(self, scenario: Scenario) -> Assessor:
        """What is known of a scenario, ready to look at its runs."""
        reference = self.references[scenario.name].result()
        inputs = self.inputs[scenario.name]
        return Assessor(scenario, inputs, reference, self.every, self.quantities, self.factor, self.causes)

    def runs(self, scenario: Scenario) -> dict[tuple[str, Mode], Run]:
        """What each backend's child came back with."""
        return {
            (backend, mode): Run(self.answers[backend, scenario.name, mode], self._path(scenario, backend, mode))
            for backend in self.backends
            for mode in self.modes
        }
