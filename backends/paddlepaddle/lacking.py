"""What can PaddlePaddle not do of a scenario that no row tells alone?"""

from __future__ import annotations

from isograd.backends.paddlepaddle.rows import LAYERS, OPTIMIZERS
from isograd.scenario import Scenario

RECURRENT = ("rnn", "lstm", "gru")
"""Layers that compute with a list of their weights, as they were when it was built."""


def norms_of_parts(scenario: Scenario) -> list[str]:
    """Norms of a parameter of ours that is several of PaddlePaddle's, each of which has its own."""
    split = [op.kind for op in scenario.layers if op.kind in LAYERS and LAYERS[op.kind].stacked]
    by_norm = scenario.optimizer.by_norm or (scenario.clipping and scenario.clipping.by_norm)
    return [f"a norm of each parameter, where projections are split: {split[0]}"] if split and by_norm else []


def of_groups(scenario: Scenario) -> list[str]:
    """Settings that no group can have, and a norm over all groups, each of which is clipped by its own."""
    row = OPTIMIZERS.get(scenario.optimizer.kind)
    rates = {of.rate for of in scenario.of_groups()} - {1.0}
    settings = [name for group in scenario.groups for name in group.settings]
    lacks = [f"{name} of a group" for name in settings if row and name not in row.group]
    lacks += ["a group's rate: steps have sizes of their own"] if scenario.optimizer.kind == "rprop" and rates else []
    together = scenario.groups and scenario.clipping and scenario.clipping.kind == "global_norm"
    return lacks + (["a norm over all groups"] if together else [])


def shares(scenario: Scenario) -> list[str]:
    """What is shared and is split on a side, or would have to be turned where it is no linear layer's weight."""
    return [f"shared {name}" for name, owner in scenario.shared.items() if not _can_share(scenario, name, owner)]


def _can_share(scenario: Scenario, *names: str) -> bool:
    of = [(scenario.layer(name.partition(".")[0]).kind, name.partition(".")[2]) for name in names]
    rows = [(LAYERS[kind], param) for kind, param in of if kind in LAYERS]
    simple = all(param not in row.stacked and "." not in row.names.get(param, param) for row, param in rows)
    simple = simple and not any(kind in RECURRENT for kind, _ in of)
    turned = len({param in row.transposed for row, param in rows}) > 1
    return simple and (not turned or of[0] == ("linear", "weight"))
