"""What is each side asked to run?"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from isograd.ports.grounds import Built, Grounds, mode_of
from isograd.ports.result import RULES, Stage
from isograd.ports.sides import names
from isograd.trace import Mode


def record(grounds: Grounds, built: Built, modes: Sequence[Mode]) -> dict[Stage, Future[None]]:
    """A side's runs; of the origin those in its own dtype only, since in float64 it is the truth."""
    if built.paired and not built.paired.whole:
        return {}
    stages: list[Stage] = [*([RULES] if built.at else []), *modes]
    return {stage: run(grounds, built, stage) for stage in stages}


def run(grounds: Grounds, built: Built, stage: Stage) -> Future[None]:
    """One of them."""
    return grounds.works[built.at].ask(
        "record",
        batches=str(grounds.batches),
        initial=grounds.files["initial-0"],
        states=grounds.files["states"] if mode_of(stage) == "resync" else "",
        dtype=built.dtype(stage),
        out=grounds.files[built.trace(stage)],
        rate=grounds.rate,
        **names(built.paired),
    )
