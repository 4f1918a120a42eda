"""Which smallest change to a scenario would tell causes apart that do the same in it? Tried, not guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from isograd.changes.change import Change
from isograd.changes.changed import ChangedBackend
from isograd.changes.places import layer_of, matrices
from isograd.dtypes import FORMATS
from isograd.explanation.effort import ALTERATIONS, effort_of
from isograd.explanation.local import Local, make_local
from isograd.explanation.rerun import Rerun
from isograd.explanation.trial import Trial
from isograd.inputs import Array, Inputs, state_of
from isograd.recorder import record_here
from isograd.rules import Rules
from isograd.scenario import InlineData, Scenario

STEPS = 4
"""Steps of an altered scenario that are looked at, from the first at which the causes act."""


MOST = 200_000
"""A scenario with more numbers in a batch's products than this is not altered: it would take too long to try."""

Altered = tuple[str, Scenario, Inputs]
"""What is altered, for people; and what then is to be run."""


def telling_apart(local: Local, step: int, names: Sequence[str], causes: Sequence[Trial]) -> str:
    """The smallest alteration after which no two of the causes do the same, or that there is none, as a phrase.

    "" where it was not looked for: a large scenario, causes that are not run again, or no more trials.

    Args:
        local: the trace, with what was run and its numbers.
        step: where the causes begin to act.
        names: the quantities that were recorded.
        causes: what cannot be told apart; each is run in place of the rules.
    """
    changes, scenario, inputs = [trial.change for trial in causes], local.scenario, local.inputs
    if any(change.precision() or change.vague for change in changes) or _too_large(inputs):
        return ""
    spent = 0.0
    for text, altered, numbers in alterations(scenario, inputs, set(local.shapes) - set(names)):
        spent += _cost(altered, numbers, step, len(changes))
        if spent > ALTERATIONS:
            return ""
        if _possible(altered, numbers, step, changes):
            return f"{text} would tell them apart"
    return "nor in any near it that was tried"


def _too_large(inputs: Inputs) -> bool:
    return inputs.batch_size * sum(value.size for value in inputs.weights.values()) > MOST


def _cost(scenario: Scenario, inputs: Inputs, step: int, changes: int) -> float:
    """What it costs to try an alteration: all steps up to the causes', with each of them, and those looked at."""
    effort = effort_of(scenario, inputs)
    return (1 + changes) * (step + STEPS) * effort.step + changes**2 * STEPS * effort.noisy


def _possible(scenario: Scenario, inputs: Inputs, step: int, changes: Sequence[Change]) -> bool:
    try:
        return _all_differ(scenario, inputs, step, changes)
    except ValueError:  # a change that has no place in it any more: parameters that were of one shape are not
        return False


@np.errstate(all="ignore")  # an alteration may overflow: then it tells nothing
def _all_differ(scenario: Scenario, inputs: Inputs, step: int, changes: Sequence[Change]) -> bool:
    """Whether no run with one of the changes would be accounted for by another."""
    short = _first(inputs, -(-(step + STEPS) // inputs.steps_per_epoch))
    steps = np.arange(short.steps)[step : step + STEPS]
    right = record_here(Rules("float64"), "reference", scenario, short).columns
    states = {name: _before(value, right[name]) for name, value in short.initial.items()}
    for seen in changes:
        trace = record_here(ChangedBackend(seen), "changed", scenario, short, states=states)
        rerun = Rerun(make_local(scenario, short, trace, states), steps)
        if any(rerun.compare(other, steps)[0] <= 1.0 for other in changes if other is not seen):
            return False
    return len(steps) > 0


def _first(inputs: Inputs, epochs: int) -> Inputs:
    """The first epochs of a run."""
    short = replace(inputs, order=inputs.order[:epochs])
    return replace(short, lr=inputs.lr[: short.steps])


def _before(initial: Array, after: Array) -> Array:
    """A part of the state before each step."""
    return np.concatenate([initial[np.newaxis], after[:-1].astype(initial.dtype)])


# ---------------------------------------------------------------- alterations, the smallest first


def alterations(scenario: Scenario, inputs: Inputs, not_recorded: set[str]) -> Iterator[Altered]:
    """What could be altered: first what is recorded, then numbers, then how many there are of something.

    Args:
        scenario: what was run.
        inputs: its numbers.
        not_recorded: quantities that the trace lacks.
    """
    if not_recorded:
        yield f"recording {sorted(not_recorded)[0] if len(not_recorded) == 1 else 'every quantity'}", scenario, inputs
    rng = np.random.Generator(np.random.PCG64(0))
    for alter in (
        _other_values,
        _other_labels,
        _other_rate,
        _longer,
        _larger_batch,
        _more_outputs,
        *_biases(scenario),
        *_wider(scenario),
    ):
        try:
            yield from alter(scenario, inputs, rng)
        except ValueError:  # not a scenario: what was altered does not fit the rest
            continue


Alter = Callable[[Scenario, Inputs, np.random.Generator], Iterator[Altered]]


def _other_values(scenario: Scenario, inputs: Inputs, rng: np.random.Generator) -> Iterator[Altered]:
    drawn = {f"weight/{key}": _like(value, value.shape, rng) for key, value in inputs.weights.items()}
    yield "other initial values", scenario, replace(inputs, initial={**inputs.initial, **drawn})


def _other_labels(scenario: Scenario, inputs: Inputs, rng: np.random.Generator) -> Iterator[Altered]:
    yield "other labels", scenario, replace(inputs, y=_like(inputs.y, inputs.y.shape, rng))


def _other_rate(scenario: Scenario, inputs: Inputs, rng: np.random.Generator) -> Iterator[Altered]:
    rates = (0.7 * inputs.lr).astype(FORMATS[scenario.dtype].dtype).astype(np.float64)
    yield "another learning rate", scenario, replace(inputs, lr=rates)


def _longer(scenario: Scenario, inputs: Inputs, rng: np.random.Generator) -> Iterator[Altered]:
    if inputs.steps == 1:
        twice = replace(inputs, order=np.tile(inputs.order, (2, 1)), lr=np.tile(inputs.lr, 2))
        yield "a second step", scenario.model_copy(update={"epochs": 2 * scenario.epochs}), twice


def _larger_batch(scenario: Scenario, inputs: Inputs, rng: np.random.Generator) -> Iterator[Altered]:
    """Batches of one sample more; where there is none, one is added."""
    size, number = inputs.batch_size + 1, len(inputs.x)
    if scenario.loss.labels == "classes" or scenario.schedule:
        return
    if number < size:
        x, y = (np.concatenate([v, _like(v, (size - number, *v.shape[1:]), rng)]) for v in (inputs.x, inputs.y))
        order = np.concatenate([inputs.order, np.tile(np.arange(number, size), (len(inputs.order), 1))], axis=1)
        inputs = replace(inputs, x=x, y=y, order=order)
    altered = scenario.model_copy(update={"batch_size": size, "data": _inline(scenario, inputs)})
    larger = replace(inputs, batch_size=size)
    yield f"batches of {size} samples instead of {size - 1}", altered, replace(larger, lr=inputs.lr[: larger.steps])


def _more_outputs(scenario: Scenario, inputs: Inputs, rng: np.random.Generator) -> Iterator[Altered]:
    linear = [layer_of(key) for key in matrices(scenario)]
    if not linear or len(scenario.outputs) != 1 or scenario.loss.labels == "classes":
        return
    width, initial = scenario.outputs[0], dict(inputs.initial)
    for key in _params(linear[-1]):
        if key in initial:
            initial[key] = _a_row_more(initial[key], rng)
    y = np.concatenate([inputs.y, _like(inputs.y, (len(inputs.y), 1), rng)], axis=1)
    yield f"{width + 1} outputs instead of {width}", *_made(scenario, replace(inputs, initial=initial, y=y))


def _biases(scenario: Scenario) -> Iterator[Alter]:
    """A bias for each linear layer that has none."""

    def biased(name: str) -> Alter:
        def alter(scenario: Scenario, inputs: Inputs, rng: np.random.Generator) -> Iterator[Altered]:
            weight = inputs.initial[f"weight/{name}.weight"]
            initial = {**inputs.initial, f"weight/{name}.bias": _like(weight, (len(weight),), rng)}
            yield f"a bias in {name}", *_made(scenario, replace(inputs, initial=initial))

        return alter

    params = scenario.parameters()
    yield from (biased(layer_of(key)) for key in matrices(scenario) if f"{layer_of(key)}.bias" not in params)


def _wider(scenario: Scenario) -> Iterator[Alter]:
    """A unit more in each layer below another; a feature more in the data."""
    linear = [layer_of(key) for key in matrices(scenario)]

    def unit(lower: str, upper: str) -> Alter:
        def alter(scenario: Scenario, inputs: Inputs, rng: np.random.Generator) -> Iterator[Altered]:
            initial = dict(inputs.initial)
            for key in _params(lower):
                if key in initial:
                    initial[key] = _a_row_more(initial[key], rng)
            above = f"weight/{upper}.weight"
            initial[above] = _a_row_more(initial[above].T, rng).T
            units = len(initial[f"weight/{lower}.weight"])
            text = f"{units} units in {lower} instead of {units - 1}"
            yield text, *_made(scenario, replace(inputs, initial=initial))

        return alter

    def feature(scenario: Scenario, inputs: Inputs, rng: np.random.Generator) -> Iterator[Altered]:
        name, x = f"weight/{linear[0]}.weight", inputs.x
        wider = _a_row_more(inputs.initial[name].T, rng).T
        x = np.concatenate([x, _like(x, (len(x), 1), rng)], axis=1)
        text = f"{x.shape[1]} features instead of {x.shape[1] - 1}"
        yield text, *_made(scenario, replace(inputs, x=x, initial={**inputs.initial, name: wider}))

    yield from (unit(lower, upper) for lower, upper in pairwise(linear))
    yield from [feature] if linear and len(scenario.data.sample) == 1 else []


def _params(layer: str) -> tuple[str, str]:
    return f"weight/{layer}.weight", f"weight/{layer}.bias"


def _a_row_more(value: Array, rng: np.random.Generator) -> Array:
    return np.concatenate([value, _like(value, (1, *value.shape[1:]), rng)])


def _like(values: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """New numbers of the same size."""
    size = float(np.abs(values.astype(np.float64)).mean()) or 1.0
    return (rng.standard_normal(shape) * size).astype(values.dtype)


def _inline(scenario: Scenario, inputs: Inputs) -> InlineData:
    flat = (len(inputs.x), -1)
    y = inputs.y.tolist() if scenario.loss.labels == "classes" else _listed(inputs.y.reshape(flat))
    shape = scenario.data.shape and inputs.x.shape[1:]
    return InlineData.model_validate({"kind": "inline", "x": _listed(inputs.x.reshape(flat)), "y": y, "shape": shape})


def _made(scenario: Scenario, inputs: Inputs) -> tuple[Scenario, Inputs]:
    """The scenario that the numbers belong to; ValueError where they fit together in none."""
    layers: list[dict[str, Any]] = []
    for layer in scenario.layers:
        raw = layer.model_dump()
        for param in ("weight", "bias"):
            key = f"{layer.name}.{param}"
            name = f"weight/{scenario.shared.get(key, key)}"
            if param in raw and name in inputs.initial:
                raw[param] = _listed(inputs.initial[name])
        layers.append(raw | ({"outputs": None} if raw.get("outputs") else {}))
    loss = scenario.loss.model_dump(exclude={"width_1_labels"})
    raw = scenario.model_dump() | {"layers": layers, "data": _inline(scenario, inputs), "loss": loss}
    bare = {"published": (), "findings": (), "expect": None, "truth": "reference"}
    altered = Scenario.model_validate(raw | bare | {"folder": scenario.folder})
    numbers = {name: inputs.initial.get(name) for name in state_of(altered)}
    zeros = {name: np.zeros(param.shape, inputs.x.dtype) for name, param in state_of(altered).items()}
    fits = {name: v if v is not None and v.shape == zeros[name].shape else zeros[name] for name, v in numbers.items()}
    return altered, replace(inputs, initial=fits)


def _listed(values: Array) -> Any:
    return values.astype(np.float64).tolist()
