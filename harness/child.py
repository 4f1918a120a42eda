"""The child process: one backend and its variants, one job after another; the only place where a framework is imported.

Run as ``python -m harness.child BACKEND``. Jobs come as JSON lines on standard input, answers go as JSON lines to what
was standard output; whatever the framework prints goes to standard error, where the parent keeps it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from harness.backend import Backend, make_backend
from harness.catalogue import parse_scenario
from harness.inputs import Inputs
from harness.recorder import record_here
from harness.trace import first_difference, load_arrays, save_trace

SECOND_RUN = 1.0  # seconds: a job that takes less is run twice unasked


def main() -> None:
    """Make the backend, say that it is ready, then answer jobs until standard input ends."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # a framework that prints must not write into the answers
    backend = _answer(answers, lambda: _ready(sys.argv[1]))
    if backend is None:
        sys.exit(1)
    variants = {sys.argv[1]: backend}
    for line in sys.stdin:
        _answer(answers, partial(_run, variants, json.loads(line)))
    answers.flush()
    sys.stderr.flush()
    os._exit(0)  # everything is written; a framework's own teardown takes a second and has nothing to add


def _end_with(parent: int) -> None:
    """End when the parent is gone: one that was killed cannot end its children, and a hang sees nothing else."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _answer(answers: TextIO, work: Callable[[], tuple[dict[str, Any], Any]]) -> Any:
    """Do ``work`` and write down what came of it; an exception is an answer too."""
    start = time.perf_counter()
    try:
        answer, result = work()
    except Exception as error:  # noqa: BLE001  # whatever a framework raises becomes an ERROR cell, with its words
        traceback.print_exc()
        answer, result = {"error": f"{type(error).__name__}: {error}"}, None
    answers.write(json.dumps(answer | {"seconds": time.perf_counter() - start}) + "\n")
    return result


def _ready(name: str) -> tuple[dict[str, Any], Backend]:
    backend = make_backend(name)
    return {"environment": backend.environment()}, backend


def _run(variants: dict[str, Backend], job: dict[str, Any]) -> tuple[dict[str, Any], None]:
    scenario = parse_scenario(job["scenario"])
    if job["backend"] not in variants:
        variants[job["backend"]] = make_backend(job["backend"])
    backend = variants[job["backend"]]
    said = {"environment": backend.environment()}
    missing = backend.missing(scenario)
    if missing:
        return said | {"unsupported": missing}, None
    inputs = Inputs.from_arrays(load_arrays(Path(job["inputs"]))[0])
    states = load_arrays(Path(job["states"]))[0] if job["states"] else None
    recorded = partial(
        record_here,
        backend,
        job["backend"],
        scenario,
        inputs,
        states=states,
        every=job["every"],
        quantities=job["quantities"],
    )
    start = time.perf_counter()
    trace = recorded()
    save_trace(trace, job["out"])
    cheap = time.perf_counter() - start < SECOND_RUN
    again = (recorded() for _ in range((job["repeat"] or (2 if cheap else 1)) - 1))
    return said | {"differs": next((text for other in again if (text := first_difference(trace, other))), "")}, None


if __name__ == "__main__":
    main()
