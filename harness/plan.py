"""Which jobs does a request come to, and what came of each? All children, with the reference computed meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from harness.assess import Assessor, Run
from harness.backend import parse_name
from harness.children import Answer, Children, Job
from harness.envelope import RUNS
from harness.errors import TraceError
from harness.inputs import Inputs, make_inputs
from harness.judging import FACTOR
from harness.recorder import States
from harness.reference import Reference, make_reference
from harness.scenario import Scenario
from harness.trace import Mode, save_arrays


class Progress(Protocol):
    """Whoever wants to know how far a run is; `done` is called from other threads, one at a time."""

    def planned(self, backend: str, jobs: int) -> None:
        """So many jobs will be asked of a backend."""

    def done(self, backend: str, scenario: str, mode: str, answer: Answer) -> None:
        """A job is done."""


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
        self.folder, self.kept = folder, kept
        self.scenarios = scenarios
        self.inputs: dict[str, Inputs] = {s.name: make_inputs(s) for s in scenarios}
        self.references: dict[str, Future[Reference]] = {s.name: Future() for s in scenarios}
        self.states: dict[str, Future[States]] = {s.name: Future() for s in scenarios}
        self.answers: dict[tuple[str, str, Mode], Answer] = {}
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TraceError(f"{kept}: the folder for the traces cannot be made: {error.strerror}") from None

    def record(self, jobs: int, timeout: float, progress: Progress | None) -> None:
        """Run every job; the reference is computed here while the children import their frameworks."""
        for i, scenario in enumerate(self.scenarios):
            save_arrays(self.inputs[scenario.name].arrays(), self.folder / f"inputs-{i}.safetensors")
        children = Children(self.folder, jobs, timeout)
        lock = threading.Lock()

        def done(job: Job, answer: Answer) -> None:
            backend, scenario, mode = job.request["backend"], job.request["scenario"]["name"], job.request["mode"]
            with lock:
                self.answers[backend, scenario, mode] = answer
                if progress:
                    progress.done(backend, scenario, mode, answer)

        try:
            if progress:
                for backend in self.backends:
                    progress.planned(backend, len(self.modes) * len(self.scenarios))
            for group in self._groups(jobs):
                children.submit(group[0], self._jobs(group), done)
            for i, scenario in enumerate(self.scenarios):
                self._make_reference(i, scenario)
            children.wait()
        except BaseException:  # Ctrl-C too: no child may outlive its parent
            waited_for: list[Future[Any]] = [*self.references.values(), *self.states.values()]
            for future in waited_for:
                future.cancel()
            children.stop()
            raise

    def _groups(self, jobs: int) -> list[list[str]]:
        """Backends that share a child: variants of one, in as many parts as may run at once, import it that often."""
        bases = dict.fromkeys(parse_name(backend).base for backend in self.backends)
        variants = [[b for b in self.backends if parse_name(b).base == base] for base in bases]
        return [part for of_base in variants for i in range(jobs) if (part := of_base[i::jobs])]

    def _jobs(self, backends: list[str]) -> list[Job]:
        """Free runs first: they do not need the reference, which is still being computed."""
        return [
            Job(
                {
                    "backend": backend,
                    "scenario": scenario.model_dump(mode="json"),
                    "inputs": str(self.folder / f"inputs-{i}.safetensors"),
                    "mode": mode,
                    "states": (lambda i=i, s=scenario: self._states(i, s)) if mode == "resync" else None,
                    "every": self.every,
                    "quantities": self.quantities,
                    "repeat": self.repeat,
                    "out": str(self._path(scenario, backend, mode)),
                }
            )
            for mode in self.modes
            for backend in backends
            for i, scenario in enumerate(self.scenarios)
        ]

    def _states(self, i: int, scenario: Scenario) -> str:
        self.states[scenario.name].result()
        return str(self.folder / f"states-{i}.safetensors")

    def _make_reference(self, i: int, scenario: Scenario) -> None:
        inputs = self.inputs[scenario.name]
        folder = self.folder / f"reference-{i}"
        folder.mkdir()

        def ready(states: States) -> None:
            save_arrays(states, self.folder / f"states-{i}.safetensors")
            self.states[scenario.name].set_result(states)

        options: dict[str, Any] = {"runs": self.noise, "factor": self.factor, "ready": ready, "folder": folder}
        self.references[scenario.name].set_result(make_reference(scenario, inputs, self.modes, **options))

    def _path(self, scenario: Scenario, backend: str, mode: Mode) -> Path:
        name = f"{scenario.name}-{backend}-{scenario.dtype}-{mode}"
        return self.kept / f"{''.join(c if c.isalnum() or c in '-_=.' else '_' for c in name)}.safetensors"

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
