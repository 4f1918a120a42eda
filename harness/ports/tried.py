"""What can be otherwise on a side, and so is tried on the origin?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, permutations

import numpy as np

from isograd.framework import ACTIVATIONS, LOSSES, OF_OUTPUTS, WEIGHTED
from isograd.ports import constants
from isograd.ports.guilty import Candidate, Change, Guilty
from isograd.ports.seen import NARROWER
from isograd.structure import Unit

NUMBERS = ("epsilon", "momentum", "slope", "alpha", "beta", "threshold", "smoothing", "delta")
OF_OPTIMIZERS = {"epsilon": 1e-8, "weight_decay": 1e-2, "beta1": 0.9, "beta2": 0.999, "momentum": 0.9, "rho": 0.99}


def candidates(guilty: Guilty) -> Iterator[Candidate]:
    """What could account for the quantity that differs first, by what sort of quantity that is."""
    yield from constants.candidates(guilty)
    if guilty.kind == "forward":
        yield from _of_unit(guilty)
    if guilty.kind in ("forward", "loss"):
        yield from _of_roles(guilty)
    if guilty.kind in ("loss", "backward"):
        yield from _of_loss(guilty)
    if guilty.kind in ("state", "weight", "grad"):
        yield from _of_optimizer(guilty)
    if guilty.kind in ("forward", "loss", "backward"):
        yield from _of_data(guilty)
    if guilty.kind in ("backward", "grad"):
        yield from _of_graph(guilty)
    if guilty.kind == "grad":
        yield from _of_clipping(guilty)


def _of_unit(guilty: Guilty) -> Iterator[Candidate]:
    unit = guilty.unit
    if unit is None:
        return
    for of in _before(guilty, unit):
        for name, value in of.settings.items():
            if name in NUMBERS and isinstance(value, float) and value > 0:
                for at, words in _alone_and_alike(guilty, of, name):
                    change = {"do": "setting", "at": at, "name": name, "value": value, "solve": True}
                    yield Candidate(f"{words}: {name} is {{x}} there, {value:.6g} here", (change,), value)
    yield from _of_parameters(guilty, unit)
    for before in _before(guilty, unit):
        for kind in ("identity", *ACTIVATIONS):
            if kind == "identity" or not before.params:
                said = "is left out there" if kind == "identity" else f"is {kind} there"
                if "norm" in before.kind and kind == "identity":
                    said += " (missing, or in another place: before or after)"
                for at, words in _alone_and_alike(guilty, before):
                    change = {"do": "replaced", "at": at, "value": kind}
                    yield Candidate(f"{words} ({before.kind}) {said}", (change,))
        for dtype in NARROWER:
            change = {"do": "replaced", "at": before.name, "value": dtype}
            yield Candidate(f"what {before.name} gives is cast to {dtype} there", (change,))
    modes = [of for of in guilty.origin.units if "training" in of.settings]
    if "training" in unit.settings and len(modes) > 1:
        changes = tuple({"do": "training", "at": of.name, "value": not of.settings["training"]} for of in modes)
        yield Candidate("the model is in evaluation mode there: running statistics are used, not the batch's", changes)
    if "training" in unit.settings:
        change = {"do": "training", "at": unit.name, "value": not unit.settings["training"]}
        words = "evaluation mode there: running statistics are used"
        words = words if unit.settings["training"] else "training mode there"
        yield Candidate(f"{unit.name} is in {words}", (change,))


def _alone_and_alike(guilty: Guilty, unit: Unit, name: str = "") -> list[tuple[list[str], str]]:
    """A unit; and all of its kind with the same setting, if it is not the only one."""
    alike = [
        of.name
        for of in guilty.origin.units
        if of.kind == unit.kind and of.settings.get(name) == unit.settings.get(name)
    ]
    every = [(alike, f"every {unit.kind.replace('_', ' ')}, {unit.name} first")] if len(alike) > 1 else []
    return [([unit.name], unit.name), *every]


def _before(guilty: Guilty, unit: Unit) -> list[Unit]:
    """The unit, and those without a quantity that is compared which are called right before it."""
    calls = list(dict.fromkeys(call.name for call in guilty.origin.calls))
    if unit.name not in calls:
        return [unit]
    found = [unit.name]
    for name in reversed(calls[: calls.index(unit.name)]):
        found.append(name)
        if f"forward/{name}" in guilty.bounds:
            break
    return [guilty.origin.of[name] for name in found]


def _of_parameters(guilty: Guilty, unit: Unit) -> Iterator[Candidate]:
    """Its parameters in another arrangement, or another unit's."""
    for param, shape in unit.params.items():
        at = f"{unit.name}.{param}"
        if len(shape) == 2 and shape[0] == shape[1]:
            change = {"do": "arranged", "at": at, "name": "transposed"}
            words = f"{at} is transposed there: the axes of a square weight are the other way round"
            yield Candidate(words, (change,), beside=(at,))
        if len(shape) == 4:
            change = {"do": "arranged", "at": at, "name": "turned"}
            words = f"{at} is flipped (turned) there: a convolution, and no cross-correlation"
            yield Candidate(words, (change,), beside=(at,))
        change = {"do": "arranged", "at": at, "name": "nothing"}
        yield Candidate(f"{at} is missing there, or 0", (change,))
    gates = {"lstm": 4, "gru": 3, "rnn_cell": 4}.get(unit.kind, 0)
    for order in list(permutations(range(gates)))[1:] if gates else ():
        changes = [
            {"do": "arranged", "at": f"{unit.name}.{param}", "name": "parts", "value": order} for param in unit.params
        ]
        words = f"the gates of {unit.name} are in another order there: {list(order)}"
        yield Candidate(words, tuple(changes), beside=(f"{unit.name}.",))
    for other in guilty.origin.units:
        if other.name != unit.name and other.params and dict(other.params) == dict(unit.params):
            yield Candidate(
                f"{unit.name} and {other.name} have each other's parameters there: swapped, or one used for the other",
                ({"do": "exchanged", "at": [unit.name, other.name]},),
                beside=(f"{unit.name}.", f"{other.name}."),
            )


NEAR = 6
"""Units before the first difference of which one's output can have been taken for another's."""


def _of_roles(guilty: Guilty) -> Iterator[Candidate]:
    """What two units give, in each other's place: in every block alike, then there alone."""
    units, shapes = guilty.origin.of, {call.name: call.outputs for call in guilty.origin.calls}
    called = list(dict.fromkeys(call.name for call in guilty.origin.calls if units[call.name].params))
    unit = guilty.unit
    end = called.index(unit.name) if unit is not None and unit.name in called else len(called)
    for one, two in combinations(called[max(0, end - NEAR) : end], 2):
        same = dict(units[one].params) == dict(units[two].params) and shapes[one] == shapes[two]
        (parent, last), (beside, other) = one.rpartition(".")[::2], two.rpartition(".")[::2]
        if not same or parent != beside:
            continue
        words = f"what {one} and {two} give is exchanged there: each stands in the other's place"
        prefix = "{}.{}" if parent else "{}{}"
        blocks = [name.rpartition(".")[0] for name in called if name.rpartition(".")[2] == last]
        pairs = [(prefix.format(block, last), prefix.format(block, other)) for block in blocks]
        alike = [pair for pair in pairs if pair[1] in units]
        for some in [alike, [(one, two)]] if len(alike) > 1 else [[(one, two)]]:
            yield Candidate(words, ({"do": "roles", "at": some},))


def _of_loss(guilty: Guilty) -> Iterator[Candidate]:
    loss = guilty.origin.loss
    settings = loss.settings if loss else {}
    if "smoothing" in settings:
        change = {"do": "setting", "at": "loss", "name": "smoothing", "value": 0.1, "solve": True}
        yield Candidate(f"loss: label smoothing is {{x}} there, {settings['smoothing']:g} here", (change,))
    for value in ("sum", "mean"):
        if settings.get("reduction") not in (None, value):
            change = {"do": "setting", "at": "loss", "name": "reduction", "value": value}
            yield Candidate(f"loss: its reduction is {value} there, {settings['reduction']} here", (change,))
    if "ignored" in settings:
        for label in (0, -1, -100, -1000):
            if label != settings["ignored"]:
                other: Change = {"do": "setting", "at": "loss", "name": "ignored", "value": label}
                words = f"loss: the ignored label (ignore_index) is {label} there, {settings['ignored']} here"
                yield Candidate(words, (other,))
    for name in LOSSES:
        yield Candidate(f"the loss is another function there: {name}", ({"do": "loss function", "name": name},))
    weighted = {"do": "loss function", "name": WEIGHTED, "value": 2.0, "solve": True}
    yield Candidate("loss: positives have the weight {x} there (pos_weight)", (weighted,))
    for kind in (*OF_OUTPUTS, *ACTIVATIONS):
        yield Candidate(
            f"the model's output goes through {kind} before the loss there", ({"do": "output", "value": kind},)
        )


def _of_optimizer(guilty: Guilty) -> Iterator[Candidate]:
    for at, optimizer in guilty.origin.optimizers.items():
        words = f"optimizer {at}" if at else "optimizer"
        for name, begin in OF_OPTIMIZERS.items():
            here = optimizer.settings.get(name)
            if isinstance(here, (int, float)) and not isinstance(here, bool):
                change = {"do": "optimizer", "at": at, "name": name, "value": float(here or begin), "solve": True}
                sentence = f"{words}: {name.replace('_', ' ')} is {{x}} there, {here:.6g} here"
                yield Candidate(sentence, (change,), float(here) if here else None)
        yield Candidate(f"{words} steps twice there in each step", ({"do": "twice", "at": at},))
        for name in ("nesterov", "amsgrad", "centred"):
            if name in optimizer.settings:
                value = not optimizer.settings[name]
                change = {"do": "optimizer", "at": at, "name": name, "value": value}
                yield Candidate(f"{words}: {name} is {value} there, {not value} here", (change,))
        for kind in ("sgd", "adam", "adamw", "rmsprop", "adagrad"):
            if kind != optimizer.kind:
                change = {"do": "rule", "at": at, "value": kind, "settings": dict(optimizer.settings)}
                yield Candidate(f"{words}: the rule is {kind}'s there, {optimizer.kind}'s here", (change,))


def _of_data(guilty: Guilty) -> Iterator[Candidate]:
    for part, words in (("x", "samples"), ("y", "labels")):
        if part == "x" and guilty.kind != "forward":
            continue
        data: Change = {"do": "data", "at": part}
        for by in (1, -1):
            yield Candidate(
                f"the {words} are another sample's there: moved by {by} in the batch",
                (data | {"name": "rolled", "value": by},),
            )
            along = data | {"name": "rolled along", "value": by}
            yield Candidate(f"the {words} are shifted by {by} along their last axis there", (along,))
            for name in ("labels moved", "classes moved"):
                yield Candidate(
                    f"the {words} are {by:+d} there: classes counted from another number, shifted",
                    (data | {"name": name, "value": by},),
                )
        for axis in (1, 2, 3):
            what = "channels (RGB for BGR)" if axis == 1 else f"axis {axis}"
            yield Candidate(
                f"the {words} are reversed along their {what} there", (data | {"name": "reversed", "value": axis},)
            )
        for axes in ((2, 3), (1, 2), (1, 3)):
            change = data | {"name": "swapped", "value": axes}
            yield Candidate(
                f"the axes {axes[0]} and {axes[1]} of the {words} are exchanged there: transposed", (change,)
            )
        scale, move = (
            data | {"name": name, "value": value, "solve": True} for name, value in (("scaled", 0.5), ("moved", 0.0))
        )
        yield Candidate(f"the {words} are {{x}} times as large there", (scale,), 1.0)
        yield Candidate(f"{{x}} is added to the {words} there", (move,), 0.0)
        yield Candidate(f"the {words} are cast to whole numbers there (int)", (data | {"name": "truncated"},))
        for name in ("standardised by feature", "standardised as one", "standardised by sample"):
            for correction in (0, 1):
                change = data | {"name": name, "value": correction}
                how = name.removeprefix("standardised ").replace("as one", "all alike")
                yield Candidate(f"the {words} are normalised there {how}: mean 0, standard deviation 1", (change,))
        yield Candidate(
            f"the {words} are normalised there: {{x}} times as large, and then {{y}} is added", (scale, move), 1.0
        )


def _of_graph(guilty: Guilty) -> Iterator[Candidate]:
    """Where the graph is cut."""
    for name in dict.fromkeys(call.name for call in guilty.origin.calls):
        change = {"do": "replaced", "at": name, "value": "detached"}
        yield Candidate(f"no gradient goes back through {name} there: detached (stop_gradient)", (change,))


def _of_clipping(guilty: Guilty) -> Iterator[Candidate]:
    """What is done to gradients between the backward pass and the update."""
    grads = [guilty.target[name] for name in guilty.bounds if name.startswith("grad/")]
    largest = max((float(np.abs(grad).max()) for grad in grads if grad.size), default=0.0)
    longest = max((float(np.linalg.norm(grad)) for grad in grads), default=0.0)
    whole = float(np.sqrt(sum(float(np.vdot(grad, grad)) for grad in grads)))
    for name, value, words in (
        ("none", 0.0, "gradients are not clipped there: the step is done with those of the backward pass"),
        ("norm", whole, f"gradients are clipped to a norm of {whole:.6g} there, all together"),
        (
            "each",
            longest,
            f"each gradient is clipped by its own norm there, to {longest:.6g}, not all by one",
        ),
        ("value", largest, f"gradients are clipped by value there, at {largest:.6g}, not by norm"),
    ):
        yield Candidate(words, ({"do": "clipped", "name": name, "value": value},))
    yield from _of_groups(guilty)
    names = list(guilty.origin.optimizers)
    for some in ([names, *([name] for name in names)] if len(names) > 1 else [names]) if guilty.step else ():
        whose = f" of {some[0]}" if len(some) < len(names) else ""
        words = f"gradients{whose} are not cleared there: each step adds its own to those of the step before"
        yield Candidate(words, ({"do": "uncleared", "at": some},))


def _of_groups(guilty: Guilty) -> Iterator[Candidate]:
    """Clipping in which each of an optimizer's parameter groups has its own norm."""
    for at, optimizer in guilty.origin.optimizers.items():
        parts: dict[str, list[str]] = {}
        for param, settings in optimizer.params.items():
            if f"grad/{param}" in guilty.target:
                parts.setdefault(repr(sorted(settings.items())), []).append(param)
        squares = {param: float((guilty.target[f"grad/{param}"] ** 2).sum()) for of in parts.values() for param in of}
        if len(parts) > 1:
            longest = max(sum(squares[param] for param in of) for of in parts.values()) ** 0.5
            whose = f" of {at}" if at else ""
            words = (
                f"the gradients of each parameter group{whose} are clipped by the norm of that group there, to "
                f"{longest:.6g}, not all by one"
            )
            change = {"do": "clipped", "name": "norm", "value": longest, "parts": list(parts.values())}
            yield Candidate(words, (change,))
