"""Which quantities has a step of this scenario, in which order, and of which shape?"""

from __future__ import annotations

from fnmatch import fnmatchcase

from isograd.scenario import Scenario
from isograd.spec import remembered


def quantity_shapes(scenario: Scenario, pattern: str = "*") -> dict[str, tuple[int | None, ...]]:
    """Every quantity of a step in execution order, with its canonical shape; None stands for the batch.

    "The first" always means first in this order within the earliest step.

    Args:
        scenario: the scenario.
        pattern: a glob, or several parted by commas; only quantities that match one are kept.
    """
    if pattern == "*":
        return dict(_shapes(scenario))
    globs = [glob.strip() for glob in pattern.split(",")]
    return {name: shape for name, shape in _shapes(scenario).items() if any(fnmatchcase(name, glob) for glob in globs)}


@remembered
def _shapes(scenario: Scenario) -> dict[str, tuple[int | None, ...]]:
    outputs = {layer.name: (None, *scenario.shapes()[layer.name]) for layer in scenario.layers}
    params = {name: param.shape for name, param in scenario.parameters().items()}
    places = {layer.name: i for i, layer in enumerate(scenario.layers)}
    last_first = sorted(params, key=lambda name: -places[name.partition(".")[0]])
    shapes: dict[str, tuple[int | None, ...]] = {
        "lr": (),
        **{f"forward/{name}": shape for name, shape in outputs.items()},
        "loss": (),
        **{f"backward/{name}": outputs[name] for name in reversed(outputs)},
        **{f"grad/{name}": params[name] for name in last_first},
        **{f"state/{name}.{slot}": shape for name, shape in params.items() for slot in scenario.optimizer.slots()},
        **{f"weight/{name}": shape for name, shape in params.items()},
        **{f"buffer/{name}": buffer.shape for name, buffer in scenario.buffers().items()},
    }
    if scenario.evaluate:
        shapes |= {**{f"eval/{name}": shape for name, shape in outputs.items()}, "eval_loss": ()}
    return shapes


def kind(quantity: str) -> str:
    """What sort of quantity it is: lr, forward, loss, backward, grad, state, weight, buffer, eval or eval_loss."""
    return quantity.partition("/")[0]


def has_samples(quantity: str) -> bool:
    """Whether its first axis counts the samples of the batch."""
    return kind(quantity) in ("forward", "backward", "eval")
