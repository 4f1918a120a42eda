"""What does each framework answer? Its programs are run in a child process, which a crash costs one row."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isograd.atlas.operations import Operation, probes
from isograd.atlas.programs import Answer
from isograd.backend import find_backend
from isograd.children import Child
from isograd.errors import BackendError
from isograd.stored import in_memory
from isograd.trace import Trace, load_trace

TIMEOUT = 120.0  # seconds for a few programs; the first one waits for the framework's import
EACH = 1.0  # seconds more for each program


class Asked:
    """A framework that programs are asked of.

    Args:
        backend: its name.
        folder: for the answers, each of which is a file.
    """

    def __init__(self, backend: str, folder: Path) -> None:
        self.backend, self.folder, self.number = backend, folder, 0
        self.child = Child(backend, find_backend(backend))

    def answers(self, programs: Sequence[str]) -> list[Answer]:
        """What each program gives: ``value``, or what it ``raises``; ``mistake`` where the program is itself wrong."""
        found: list[Answer] = []
        while len(found) < len(programs):
            out = self.folder / f"{self.backend}-{self.number}.json"
            self.number += 1
            self._revive()
            job = {"kind": "atlas", "do": "ask", "backend": self.backend, "programs": list(programs[len(found) :])}
            answer = self.child.ask(job | {"out": str(out)}, TIMEOUT + EACH * len(job["programs"]))
            if answer.absent:
                raise BackendError(f"backend {self.backend!r}: {answer.error}")
            found += [json.loads(line) for line in out.read_text("utf-8").splitlines()] if out.exists() else []
            if answer.error and len(found) < len(programs):
                found.append({"mistake" if answer.late else "raises": answer.error})  # its program has no line
        return found

    def traces(self, operation: Operation, program: str, values: Mapping[str, Any]) -> list[Trace] | str:
        """What an operation built by a program gives in the probes for some settings; or why there is nothing."""
        self._revive()
        scenarios = probes(operation, values)
        outs = [str(self.folder / f"{self.backend}-{self.number + i}.safetensors") for i in range(len(scenarios))]
        self.number += len(outs)
        job: dict[str, Any] = {
            "kind": "atlas",
            "do": "record",
            "backend": self.backend,
            "word": operation.word,
            "traces": outs,
        }
        job |= {"program": program, "scenarios": [scenario.model_dump(mode="json") for scenario in scenarios]}
        answer = self.child.ask(job | {"of": operation.kind}, TIMEOUT)
        return answer.error or [in_memory(load_trace(Path(out))) for out in outs]

    def _revive(self) -> None:
        if not self.child.alive:
            self.child.close()
            self.child = Child(self.backend, find_backend(self.backend))

    def close(self) -> None:
        """End the child."""
        self.child.close()
