"""How does a child tell of what a user's model is made?"""

from __future__ import annotations

from typing import Any

from isograd.side.training import Session
from isograd.side.units import row_of
from isograd.structure import Setting, Structure, Unit, plain

SCHEDULES = {
    "total_iters": "steps",
    "decay_steps": "steps",
    "end_lr": "end rate",
    **{
        name: name
        for name in ("T_max", "eta_min", "gamma", "step_size", "power", "T_0", "T_mult", "factor", "patience")
    },
    **{name: name for name in ("threshold", "cooldown", "start_factor", "end_factor", "warmup_steps", "total_steps")},
}
"""Settings of schedules, as frameworks' classes call them."""


def structure_of(session: Session) -> Structure:
    """What a model is made of."""
    framework, trainee = session.framework, session.trainee
    names: dict[int, str] = {}
    for key, held in session.params.items():
        names.setdefault(id(held.tensor), key)
    units = []
    for unit in session.units:
        params, buffers = [*unit.params()], [*unit.buffers()]
        short = len(unit.name) + 1
        units.append(
            Unit(
                name=unit.name,
                cls=type(unit.module).__name__,
                kind=unit.kind,
                known=unit.known,
                params={held.key[short:]: session._value(held).shape for held in params},
                buffers={held.key[short:]: session._value(held).shape for held in buffers},
                frozen=tuple(held.key[short:] for held in params if not framework.trained(held.tensor)),
                tied={held.key[short:]: session.tied[held.key] for held in params if held.key in session.tied},
                settings={
                    name: plain(value) for name, value in (unit.row.settings(unit.module) if unit.row else {}).items()
                },
            )
        )
    loss = trainee.loss
    told = None
    if loss is not None:
        row = row_of(loss, framework.rows)
        settings = {name: plain(value) for name, value in (row.settings(loss) if row else {}).items()}
        cls = type(loss).__name__ if row or not hasattr(loss, "__name__") else loss.__name__
        told = Unit(name="loss", cls=cls, kind=row.kind if row else cls, known=row is not None, settings=settings)
    return Structure(
        framework=framework.name,
        version=framework.version(),
        least=framework.least,
        dtype=session.dtype,
        units=tuple(units),
        optimizers={name: framework.optimizer(optimizer, names) for name, optimizer in trainee.optimizers.items()},
        schedule=_of_schedule(trainee.schedule),
        scheduled="" if trainee.schedule is None else type(trainee.schedule).__name__,
        loss=told,
    )


def _of_schedule(schedule: Any) -> dict[str, Setting]:
    """Its settings; a polynomial's last rate is 0 where its class has none."""
    held = vars(schedule) if hasattr(schedule, "__dict__") else {}
    found = {name: plain(held[own]) for own, name in SCHEDULES.items() if isinstance(held.get(own), (int, float))}
    if (milestones := held.get("milestones")) is not None:
        found["milestones"] = tuple(sorted(int(step) for step in milestones))
    return {"end rate": 0.0, **found} if "power" in found else found
