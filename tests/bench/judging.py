"""What does judging cost, against a child process that it waits for anyway? ``python -m tests.bench.judging``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from isograd import load_scenario
from isograd.backend import find_backend
from isograd.children import Child
from isograd.inputs import make_inputs
from isograd.judging import FACTOR
from isograd.reference import Reference, make_reference
from isograd.trace import MODES, save_arrays

NAME = "article/sum_regression"
ROUNDS = 5


def reference_seconds() -> tuple[float, Reference]:
    """Median seconds of the reference and the envelope with 16 noisy runs, both modes."""
    scenario = load_scenario(NAME)
    inputs, taken = make_inputs(scenario), []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        reference = make_reference(scenario, inputs, MODES, factor=FACTOR)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken)), reference


def child_seconds(backend: str, reference: Reference) -> float:
    """Median seconds of a backend's child process, from its start to its last answer, both modes."""
    scenario = load_scenario(NAME)
    taken = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_arrays(make_inputs(scenario).arrays(), folder / "inputs")
        save_arrays(reference.states, folder / "states")
        common = {"backend": backend, "scenario": scenario.model_dump(mode="json"), "inputs": str(folder / "inputs")}
        common |= {"every": 1, "quantities": "*", "repeat": 1, "out": str(folder / "trace")}
        for _ in range(ROUNDS):
            start = time.perf_counter()
            child = Child(backend, find_backend(backend))
            answers = [
                child.ask({"kind": kind, "backend": backend, "make": False}, 60.0)
                for kind in ("describe", "environment")
            ]
            answers += [
                child.ask(common | {"mode": mode, "states": states}, 60.0)
                for mode, states in (("free", None), ("resync", str(folder / "states")))
            ]
            taken.append(time.perf_counter() - start)
            assert not any(answer.error for answer in answers)
            child.close()
    return float(np.median(taken))


def row() -> tuple[str, str, float, float, str]:
    """A row for the table."""
    ours, reference = reference_seconds()
    theirs = child_seconds("paddle", reference)
    return "reference and envelope, both modes", "paddle's child process", ours, theirs, "≤ 1"


if __name__ == "__main__":
    print(row())
