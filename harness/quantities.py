"""Which quantities has a step of this scenario, in which order, and of which shape?"""

from __future__ import annotations

from fnmatch import fnmatchcase

from isograd.scenario import Scenario


def quantity_shapes(scenario: Scenario, pattern: str = "*") -> dict[str, tuple[int | None, ...]]:
    """Every quantity of a step in execution order, with its canonical shape; None stands for the batch.

    "The first" always means first in this order within the earliest step.

    Args:
        scenario: the scenario.
        pattern: a glob, or several parted by commas; only quantities that match one are kept.
    """
    features = scenario.input_widths()
    outputs = {layer.name: (None, layer.width(features[layer.name])) for layer in scenario.layers}
    params = {
        f"{layer.name}.{param}": shape
        for layer in scenario.layers
        for param, (shape, _) in layer.parameters(features[layer.name]).items()
    }
    backward_params = sorted(params, key=lambda name: -list(features).index(name.partition(".")[0]))
    shapes: dict[str, tuple[int | None, ...]] = {
        "lr": (),
        **{f"forward/{name}": shape for name, shape in outputs.items()},
        "loss": (),
        **{f"backward/{name}": outputs[name] for name in reversed(outputs)},
        **{f"grad/{name}": params[name] for name in backward_params},
        **{f"weight/{name}": shape for name, shape in params.items()},
    }
    globs = pattern.split(",")
    return {name: shape for name, shape in shapes.items() if any(fnmatchcase(name, glob.strip()) for glob in globs)}


def kind(quantity: str) -> str:
    """What sort of quantity it is: lr, forward, loss, backward, grad, state, weight or buffer."""
    return quantity.partition("/")[0]
