"""Which faults are seeded into a scenario? Each change of the catalogue that means something there, at one place."""

from __future__ import annotations

import random
from dataclasses import fields

from isograd.changes.catalogue import CATALOGUE, make_change
from isograd.changes.change import Change
from isograd.scenario import Scenario

# Beside the catalogue's usual options: faults near what a judge could overlook.
SUBTLE: tuple[tuple[str, dict[str, object]], ...] = (
    ("gradient_scale", {"by": 1.00001}),
    ("gradient_scale", {"by": 0.5}),
    ("gradient_scale", {"by": -1.0}),
    ("update_scale", {"by": 1.0001}),
    ("momentum", {"by": 0.1}),
    ("weight_decay", {"by": 1e-4}),
    ("weight_off", {"ulp": 64}),
)
FAULTS = 40
"""Changes of the catalogue that one scenario gets, by lot: several scenarios have them all."""

LATE = 500
"""The step of faults that come late in a long run."""


def faults_of(scenario: Scenario) -> dict[str, Change]:
    """Faults to seed, by how a backend's name has them: some changes, each at a place, by lot, the same each time."""
    lot = random.Random(scenario.name)
    variants = [[c for c in change.variants(scenario) if not c.idle] for change in CATALOGUE.values()]
    chosen = [lot.choice(places) for places in variants if places]
    chosen = lot.sample(chosen, min(FAULTS, len(chosen)))
    chosen += [CATALOGUE[name](**options) for name, options in SUBTLE]
    if scenario.epochs * -(-len(scenario.data.x) // scenario.batch_size) > LATE:  # type: ignore[union-attr]
        chosen += [
            make_change(name, {"step": str(LATE)}) for name in ("update_twice", "update_skipped", "batch_repeated")
        ]
    return {fault_name(change): change for change in chosen}


def fault_name(change: Change) -> str:
    """A change as a backend's name has it: "fault=gradient_scale,by=0.5"; the usual options are left out."""
    options = [f"{f.name}={getattr(change, f.name)}" for f in fields(change) if getattr(change, f.name) != f.default]
    return ",".join([f"fault={change.id}", *options])
