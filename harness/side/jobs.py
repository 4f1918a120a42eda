"""What can a parent ask of a side? Each answer lies in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isograd.inputs import Array
from isograd.side.batches import keep_batches, read_batches
from isograd.side.oracle import envelope_of, resynced
from isograd.side.program import function_of
from isograd.side.telling import structure_of
from isograd.side.training import Names, Values, columns_of, make_session, train
from isograd.side.trial import explain
from isograd.trace import load_arrays, save_arrays


def batches(job: Mapping[str, Any]) -> None:
    """Take the batches from the user's function."""
    number = keep_batches(iter(function_of(job["file"], job["function"])()), job["steps"], Path(job["out"]))
    Path(job["told"]).write_text(json.dumps({"batches": number}), "utf-8")


def describe(job: Mapping[str, Any]) -> None:
    """Build the model, tell its structure and its initial values, and what a first step of it calls."""
    session = make_session(job["file"], job["function"])
    initial = session.state()
    structure = structure_of(session)
    session.step(0, read_batches(Path(job["batches"]))[0])
    slots = {name: session.framework.optimizer(opt, {}).slots for name, opt in session.trainee.optimizers.items()}
    optimizers = {
        name: optimizer.model_copy(update={"slots": slots[name]}) for name, optimizer in structure.optimizers.items()
    }
    structure = structure.model_copy(update={"calls": tuple(session.calls), "optimizers": optimizers})
    save_arrays({name: np.asarray(value, order="C") for name, value in initial.items()}, Path(job["out"]))
    Path(job["told"]).write_text(structure.model_dump_json(), "utf-8")


def record(job: Mapping[str, Any]) -> None:
    """Train for the steps that there are batches of, freely or each step from a given state; write the trace."""
    session = make_session(job["file"], job["function"], job["dtype"], names_of(job))
    trained = train(session, read_batches(Path(job["batches"])), load_arrays(Path(job["initial"]))[0], _states(job))
    write_columns(columns_of(trained), job["out"])


def names_of(job: Mapping[str, Any]) -> Names:
    """The names that the parent has paired."""
    return Names(job["units"], job["params"], tuple(job["swapped"]))


def _states(job: Mapping[str, Any]) -> Mapping[str, Array] | None:
    return load_arrays(Path(job["states"]))[0] if job.get("states") else None


def write_columns(columns: Values, out: str) -> None:
    """Write columns, with their order."""
    save_arrays(columns, Path(out), {"order": json.dumps(list(columns))})


def truth(job: Mapping[str, Any]) -> None:
    """The model in float64: the truth of each mode, and the states before each step, rounded to its own dtype."""
    batches, initial = read_batches(Path(job["batches"])), load_arrays(Path(job["initial"]))[0]
    session = make_session(job["file"], job["function"], "float64")
    folder = Path(job["folder"])
    states, resync = resynced(session, batches, initial, job["dtype"])
    save_arrays(states, folder / "states")
    write_columns(resync, str(folder / "truth-resync"))
    if "free" in job["modes"]:
        write_columns(columns_of(train(session, batches, initial, None)), str(folder / "truth-free"))


def envelope(job: Mapping[str, Any]) -> None:
    """How far rounding can push everything; nothing is written where the framework has no noise."""
    batches, initial = read_batches(Path(job["batches"])), load_arrays(Path(job["initial"]))[0]
    session = make_session(job["file"], job["function"], "float64")
    folder = Path(job["folder"])
    states = load_arrays(folder / "states")[0] if job["mode"] == "resync" else None
    truth = load_arrays(folder / f"truth-{job['mode']}")[0]
    found = envelope_of(session, batches, initial, states, truth, job)
    if found is not None:
        write_columns(found, job["out"])


WORK: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "batches": batches,
    "describe": describe,
    "record": record,
    "truth": truth,
    "envelope": envelope,
    "explain": explain,
}
