"""What would have made the origin give what another side gave? In the origin's own process, in float64."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from isograd.columns import read_columns
from isograd.side.attributes import other_attribute, other_of_loss
from isograd.side.batches import read_batches
from isograd.side.calls import call_of_loss, other_call
from isograd.side.changes import Change
from isograd.side.memory import PutBack, remembered
from isograd.side.origin import Found, Origin
from isograd.side.training import Names, Session, at_step, make_session
from isograd.trace import load_arrays


def explain(job: Mapping[str, Any]) -> None:
    """Try changes one after another, and tell of each what remains outside.

    Each is tried as it is, or solved for the number that leaves least of the first quantity that differs.
    """
    session = make_session(job["file"], job["function"], "float64", Names(rate=job["rate"]))
    with session.framework.clipping() if job["clipping"] else nullcontext():
        _explain(session, job)


OF_OWN_LOSS = (
    partial(other_of_loss, solving=False),
    call_of_loss,
    partial(other_of_loss, solving=True),
)
"""In a loss that the user has written, before what can be otherwise of any loss: what needs no number comes first."""


def _explain(session: Session, job: Mapping[str, Any]) -> None:
    """What has been found is written down each time: a search that takes too long loses nothing."""
    path, told = Path(job["told"]), list[dict[str, Any]]()
    part = path.with_suffix(".part")
    for found in chain([{}], _found(_origin(session, job), job)):
        told += [found] if found else []
        part.write_text(json.dumps(told), "utf-8")
        part.replace(path)
        if found and found["outside"] == []:
            break


def _origin(session: Session, job: Mapping[str, Any]) -> Origin:
    """The origin at the step, with schedules, and with what modules keep, as they stood before it."""
    t, batches = job["t"], read_batches(Path(job["batches"]))
    initial, states = load_arrays(Path(job["initial"]))[0], read_columns(Path(job["states"])) or {}
    before = [initial, *(at_step(states, at) for at in range(1, t + 1))]
    kept = dict[int, PutBack]()
    for at in range(t + 1):
        session.load(at, before[at])
        kept[at] = remembered(session.framework, session.trainee)
        if at < t:
            session.step(at, batches[at])
    target, bounds = (load_arrays(Path(job[name]))[0] for name in ("target", "bounds"))
    ordered = {name: bounds[name] for name in job["order"] if name in bounds}
    previous = (before[t - 1], batches[t - 1]) if t else None
    origin = Origin(session, t, before[t], batches[t], target, ordered, previous=previous, kept=kept)
    session.memories[t] = session.framework.remember(session.trainee)
    origin.right = origin.step(())
    return origin


def _found(origin: Origin, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What each change, and each search for another number or call, has found, in order."""
    first = job["first"]
    for search in OF_OWN_LOSS if job["calls"] else ():
        if other := search(origin, first):
            yield _words(other)
    for changes in job["trials"]:
        yield _tried(origin, first, changes)
    for search in (other_attribute, other_call) if job["calls"] else ():
        if other := search(origin, first):
            yield _words(other)


def _tried(origin: Origin, first: str, changes: Sequence[Change]) -> dict[str, Any]:
    try:
        values, outside = origin.fitted(first, *_solvable(changes))
    except Exception as error:  # noqa: BLE001  # a change that this model cannot have
        return {"outside": None, "values": [], "error": f"{type(error).__name__}: {error}"}
    return {"outside": outside, "values": values, "error": ""}


def _words(found: Found) -> dict[str, Any]:
    words, outside = found
    return {"outside": outside, "values": [], "error": "", "words": words}


def _solvable(changes: Sequence[Change]) -> tuple[Callable[[Sequence[float]], list[Change]], list[float]]:
    """The changes as a function of the numbers that are to be solved for; and where those begin."""
    unknown = [i for i, change in enumerate(changes) if change.get("solve")]

    def with_values(x: Sequence[float]) -> list[Change]:
        of = dict(zip(unknown, x, strict=True))
        return [{**change, "value": of[i]} if i in of else change for i, change in enumerate(changes)]

    return with_values, [float(changes[i]["value"]) for i in unknown]
