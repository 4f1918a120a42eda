"""What can a parent ask of a side? Each answer lies in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from isograd.columns import Columns, read_columns, write_columns
from isograd.inputs import Array
from isograd.side.batches import keep_batches, read_batches
from isograd.side.oracle import resynced, write_envelope
from isograd.side.program import function_of, reseeded
from isograd.side.telling import structure_of
from isograd.side.training import DRAWN, Names, Session, Values, make_session, train
from isograd.side.trial import explain
from isograd.structure import Structure
from isograd.trace import load_arrays, save_arrays


def batches(job: Mapping[str, Any]) -> None:
    """Take the batches from the user's function."""
    number = keep_batches(iter(function_of(job["file"], job["function"])()), job["steps"], Path(job["out"]))
    Path(job["told"]).write_text(json.dumps({"batches": number}), "utf-8")


def describe(job: Mapping[str, Any]) -> None:
    """Build the model, tell its structure and its initial values, and what a first step of it calls."""
    session = make_session(job["file"], job["function"])
    initial, passing = session.state(), _arrays(session)
    session.load(0, initial)
    structure = structure_of(session)
    batch = read_batches(Path(job["batches"]))[0]
    first = session.step(0, batch)
    calls = tuple(session.calls)
    slots = {name: session.framework.optimizer(opt, {}).slots for name, opt in session.trainee.optimizers.items()}
    optimizers = {
        name: optimizer.model_copy(update={"slots": slots[name]}) for name, optimizer in structure.optimizers.items()
    }
    told = {"calls": calls, "optimizers": optimizers, "random": _drawn(session, batch, initial, first)}
    structure = structure.model_copy(update=told | _made_alike(job, structure, initial, passing))
    initial |= {f"{DRAWN}{key}": passing[key] for key in structure.drawn}
    save_arrays({name: np.asarray(value, order="C") for name, value in initial.items()}, Path(job["out"]))
    Path(job["told"]).write_text(structure.model_dump_json(), "utf-8")


MOVED = 1e-3
"""What another seed moves a tensor by, of its largest, is drawn: sums in another order move it by less."""


def _drawn(session: Session, batch: Any, initial: Mapping[str, Array], first: Mapping[str, Array]) -> str:
    """The first unit that gives something else with another seed."""
    session.load(0, initial)
    again = session.step(0, batch, seed=1)
    for name in first:
        kind, _, rest = name.partition("/")
        if kind in ("forward", "loss") and name in again and again[name].shape == first[name].shape:
            size = np.abs(first[name]).max(initial=0.0)
            if np.abs(again[name] - first[name]).max(initial=0.0) > MOVED * size:
                return rest.partition(":")[0] or name
    return ""


def _arrays(session: Session) -> dict[str, Array]:
    """Buffers that no step records, but for those of a kind that no array is of."""
    found = Values()
    for key, tensor in session.passing().items():
        with suppress(Exception):
            found[key] = session.framework.array(tensor)
    return found


def _made_alike(
    job: Mapping[str, Any], structure: Structure, initial: Mapping[str, Array], passing: Mapping[str, Array]
) -> dict[str, Any]:
    """Which buffers of a user's own modules another build gives alike, for which other numbers are drawn."""
    own = [f"{unit.name}.{name}" for unit in structure.units if not unit.known for name in unit.buffers]
    if not (own or passing):
        return {}
    try:
        with reseeded():
            other = make_session(job["file"], job["function"])
            again, beside = other.state(), _arrays(other)
    except Exception:  # noqa: BLE001  # a model that can be built once only: what is drawn in it is not known
        return {}

    def alike(name: str) -> bool:
        return name in again and np.array_equal(initial[name], again[name], equal_nan=True)

    loaded = all(alike(name) for name in initial if name.startswith("weight/"))
    drawn = tuple(key for key, of in passing.items() if key in beside and not np.array_equal(of, beside[key]))
    return {"constants": tuple(key for key in own if alike(f"buffer/{key}")), "loaded": loaded, "drawn": drawn}


def record(job: Mapping[str, Any]) -> None:
    """Train for the steps that there are batches of, freely or each step from a given state; write the trace."""
    session = make_session(job["file"], job["function"], job["dtype"], names_of(job))
    batches = read_batches(Path(job["batches"]))
    states = read_columns(Path(job["states"])) if job.get("states") else None
    trained = train(session, batches, load_arrays(Path(job["initial"]))[0], states)
    write_columns(Path(job["out"]), trained, len(batches))


def names_of(job: Mapping[str, Any]) -> Names:
    """The names that the parent has paired."""
    return Names(job["units"], job["params"], tuple(job["swapped"]), tuple(job["kept"]), job["rate"], job["drawn"])


def truth(job: Mapping[str, Any]) -> None:
    """The model in float64: the truth of each mode, and the states before each step, rounded to its own dtype.

    With ``clipping``, as it were if it clipped gradients by their norm alone; the states are as they are.
    """
    batches, initial = read_batches(Path(job["batches"])), load_arrays(Path(job["initial"]))[0]
    session = make_session(job["file"], job["function"], "float64", Names(rate=job["rate"]))
    folder = Path(job["folder"])
    if job.get("clipping"):
        states = read_columns(folder / "states")
        with session.framework.clipping():
            for mode in job["modes"]:
                trained = train(session, batches, initial, states if mode == "resync" else None)
                write_columns(folder / f"clipped-{mode}", trained, len(batches))
        return
    before = Columns(folder / "states", len(batches))
    write_columns(folder / "truth-resync", resynced(session, batches, initial, job["dtype"], before), len(batches))
    before.close()
    if "free" in job["modes"]:
        write_columns(folder / "truth-free", train(session, batches, initial, None), len(batches))


def envelope(job: Mapping[str, Any]) -> None:
    """How far rounding can push everything; nothing is written where the framework has no noise."""
    batches, initial = read_batches(Path(job["batches"])), load_arrays(Path(job["initial"]))[0]
    session = make_session(job["file"], job["function"], "float64")
    folder = Path(job["folder"])
    states = read_columns(folder / "states") if job["mode"] == "resync" else None
    truth = read_columns(folder / f"truth-{job['mode']}") or {}
    write_envelope(session, batches, initial, states, truth, job)


WORK: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "batches": batches,
    "describe": describe,
    "record": record,
    "truth": truth,
    "envelope": envelope,
    "explain": explain,
}
