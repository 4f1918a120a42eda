"""Why does a port leave its origin? Changes are tried on the origin itself, until one gives all that the port gave."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.ports.settings import Different
from isograd.structure import OptimizerOf, Structure, Unit

Change = dict[str, Any]

FIT = 1e-4
"""Of a difference that one number accounts for, no larger share is left."""


@dataclass(frozen=True)
class Candidate:
    """Something that may be otherwise there.

    Attributes:
        sentence: what is said if it is, in the user's words; ``{x}`` stands for the number that was solved for.
        changes: what the origin is to do (`isograd.side.trial`).
        plain: the value that changes nothing; a solved one that is it is no cause.
        beside: parameters of which nothing is compared: they are arranged otherwise there, and so is all of them.
    """

    sentence: str
    changes: tuple[Change, ...]
    plain: float | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guilty:
    """A port's first divergence, and everything at that step.

    Attributes:
        first: the quantity.
        step: the step.
        target: what the port gave.
        truth: what the origin gives.
        before: the state before the step.
        earlier: what the port gave a step before; {} at the first.
        bounds: how far each quantity may be off, in order; only those that are compared.
        origin: what the origin is made of.
        settings: what is set otherwise.
        rates: the learning rate of every step, there and here.
        there: what the other side is made of.
    """

    first: str
    step: int
    target: Mapping[str, Array]
    truth: Mapping[str, Array]
    before: Mapping[str, Array]
    earlier: Mapping[str, Array]
    bounds: Mapping[str, Array]
    origin: Structure
    settings: Sequence[Different]
    rates: tuple[Array, Array] = field(default_factory=lambda: (np.zeros(0), np.zeros(0)))
    there: Structure | None = None

    @property
    def kind(self) -> str:
        """What sort of quantity is first."""
        return self.first.partition("/")[0]

    @property
    def unit(self) -> Unit | None:
        """The unit that it belongs to."""
        name = self.first.partition("/")[2]
        of = self.origin.of
        name = name.partition(":")[0].partition("[")[0]
        while name and name not in of:
            name = name.rpartition(".")[0]
        return of.get(name)

    def outside(self) -> list[str]:
        """Everything that differs, in order."""
        return [n for n, bound in self.bounds.items() if not (np.abs(self.target[n] - self.truth[n]) <= bound).all()]


Try = Callable[[Sequence[Sequence[Change]], bool], list[dict[str, Any]]]
"""Tries changes on the origin, and perhaps other calls of functions: of each, what remains outside, and the numbers."""


def cause(guilty: Guilty, attempt: Try) -> str:
    """The first account that leaves nothing outside, in a sentence; "" where none does."""
    if sentence := _set(guilty, attempt):
        return sentence
    if sentence := next(_seen(guilty), ""):
        return sentence
    candidates = list(_candidates(guilty))
    found = attempt([c.changes for c in candidates], guilty.kind in ("forward", "loss"))
    for candidate, said in zip(candidates, found, strict=False):
        if _is_all(candidate, said["outside"]) and not _nothing(candidate, said["values"]):
            x, y = [*said["values"], 0.0, 0.0][:2]
            return candidate.sentence.format(x=_number(x, candidate.plain), y=_number(y))
    return next((str(said["words"]) for said in found if "words" in said), "")


def _is_all(candidate: Candidate, outside: Sequence[str] | None) -> bool:
    """Whether nothing remains outside, but what is only arranged otherwise."""
    if outside is None:
        return False
    return all(name.partition("/")[2].startswith(candidate.beside or ("\0",)) for name in outside)


def _nothing(candidate: Candidate, values: Sequence[float]) -> bool:
    """Whether what was solved for is what there is anyway."""
    plain = candidate.plain
    return bool(values) and plain is not None and abs(values[0] - plain) <= 1e-7 * abs(plain)


def _number(x: float, beside: float | None = None) -> str:
    """With as many digits as `isograd.side.trial.SHARE` leaves; next to nothing beside what it usually is, is 0."""
    return "0" if beside and abs(x) <= 1e-6 * abs(beside) else f"{x:.4g}"


# ---------------------------------------------------------------- what is set otherwise


def _set(guilty: Guilty, attempt: Try) -> str:
    """A setting that differs, alone or all together, where the numbers confirm it."""
    tried = [(different, change) for different in guilty.settings if (change := _change_of(different, guilty))]
    if not tried:
        return ""
    alone = [[change] for _, change in tried]
    together = [[change for _, change in tried]] if len(tried) > 1 else []
    said = attempt([*alone, *together], False)
    for (different, _), of in zip(tried, said, strict=False):
        if of["outside"] == []:
            return _sentence(different)
    if together and len(said) > len(alone) and said[-1]["outside"] == []:
        return "; ".join(_sentences([different for different, _ in tried]))
    # up to the update all is right, and the rule of the update is another: no number can say more
    rules = [different for different, _ in tried if different.name == "rule"]
    return _sentence(rules[0]) if rules and guilty.kind in ("state", "weight") else ""


def _sentences(differing: Sequence[Different]) -> list[str]:
    """Each once; what is so of several modules or parameters alike, of the first and so many more."""
    alike: dict[tuple[Any, ...], list[Different]] = {}
    for different in differing:
        whose = different.at.partition(", ")[0] if different.at.startswith("optimizer") else ""
        alike.setdefault((whose, different.name, different.here, different.other), []).append(different)
    return [
        _sentence(some[0]) + (f" (and so of {len(some) - 1} more)" if len(some) > 1 else "") for some in alike.values()
    ]


def _sentence(different: Different) -> str:
    if different.name == "training" and not different.other:
        return f"{different.at} is in evaluation mode there: it uses its running statistics, not the batch's"
    if different.name == "rule" and "adamw" in (different.here, different.other):
        return f"{different.sentence}: AdamW's weight decay is decoupled from the gradient, Adam's is coupled (L2)"
    return different.sentence


def _change_of(different: Different, guilty: Guilty) -> Change | None:
    """The change that gives the origin the other side's setting."""
    at, value = different.at, different.other
    if at.startswith("optimizer"):
        head, _, param = at.partition(", ")
        name = head.removeprefix("optimizer").strip()
        params = {"params": [param]} if param else {}
        if different.name == "rule":
            there = guilty.there.optimizers if guilty.there else {}
            of: OptimizerOf | None = there.get(different.there)
            settings = of.settings if of else {}
            return {"do": "rule", "at": name, "value": value, "settings": settings}
        if different.name == "is updated" and value:
            return None
        return {"do": "optimizer", "at": name, "name": different.name, "value": value} | params
    if different.name == "frozen":
        return {"do": "optimizer", "at": "", "name": "is updated", "value": False, "params": [at]}
    if different.name == "kind":
        return None
    if different.name == "training":
        return {"do": "training", "at": at, "value": value}
    return {"do": "setting", "at": at, "name": different.name, "value": value}


# ---------------------------------------------------------------- what the numbers themselves say


def _seen(guilty: Guilty) -> Iterator[str]:
    """What can be read off the numbers of the step, without another run."""
    outside = guilty.outside()
    yield from _schedule(guilty)
    if guilty.kind in ("forward", "loss", "backward"):
        yield from _digits(guilty)
    yield from _not_cleared(guilty, outside)
    yield from _not_updated(guilty, outside)
    yield from _no_gradient(guilty, outside)
    yield from _one_factor(guilty, outside)
    yield from _updates(guilty, outside)
    yield from _buffers(guilty, outside)


def _schedule(guilty: Guilty) -> Iterator[str]:
    """Rates of all steps, where the rate itself is the first that differs."""
    there, here = guilty.rates
    if guilty.first != "lr" or not len(here):
        return
    listed = ", ".join(f"{rate:.4g} at step {t}" for t, rate in enumerate(there) if rate != here[t])

    def same(one: Array, other: Array) -> bool:
        return bool(np.allclose(one, other, rtol=1e-6, atol=0.0))

    if same(there, np.full_like(there, there[0])) and not same(here, np.full_like(here, here[0])):
        words = "the schedule is never stepped there" if same(there[:1], here[:1]) else "there is no schedule there"
        yield f"{words}: the learning rate stays {there[0]:.4g}"
    elif len(here) > 1 and same(there[:-1], here[1:]):
        yield f"the schedule is one step ahead there: the learning rate is {listed}"
    elif len(here) > 1 and same(there[1:], here[:-1]):
        yield f"the schedule is one step late there: the learning rate is {listed}"
    elif same(there / here, np.full_like(there, there[0] / here[0])):
        yield f"optimizer: the learning rate is {there[0]:.4g} there, {here[0]:.4g} here"
    else:
        yield f"the schedule is another one there: the learning rate is {listed}"


NARROWER = ("float16", "bfloat16", "float32")
NEAR = 64  # roundoffs of a tensor's largest that a cast, and casts before it, make at most
MANY = 8  # numbers that must all be short: one or two are so by accident


def _digits(guilty: Guilty) -> Iterator[str]:
    """The first quantity that differs has no more digits than a narrower dtype holds."""
    values, right = guilty.target[guilty.first], guilty.truth[guilty.first]
    if values.size < MANY or np.unique(values).size < MANY:
        return
    for dtype in NARROWER:
        near = np.abs(values - right).max() <= NEAR * FORMATS[dtype].roundoff * np.abs(right).max()
        if near and _is_short(values, dtype) and not _is_short(right, dtype):
            yield f"{guilty.first} has no more digits than {dtype} there: it is cast, or computed in {dtype}"
            return


def _is_short(values: Array, dtype: str) -> bool:
    with np.errstate(over="ignore"):
        return np.array_equal(values.astype(FORMATS[dtype].dtype).astype(np.float64), values)


def _fits(guilty: Guilty, name: str, value: Array) -> bool:
    return bool((np.abs(guilty.target[name] - value) <= guilty.bounds[name]).all())


def factor_of(target: Array, truth: Array) -> float | None:
    """The one factor between two arrays; None where there is none."""
    size = float(np.vdot(truth, truth))
    if not size or not np.isfinite(target).all():
        return None
    by = float(np.vdot(truth, target)) / size
    rest, whole = np.linalg.norm(target - by * truth), np.linalg.norm(target - truth)
    return by if rest <= FIT * whole else None


def _common(guilty: Guilty, names: Sequence[str]) -> float | None:
    """The one factor between all of some quantities."""
    factors = [factor_of(guilty.target[name], guilty.truth[name]) for name in names if guilty.truth[name].any()]
    if not factors or None in factors:
        return None
    known = [float(factor) for factor in factors if factor is not None]
    return known[0] if max(known) - min(known) <= FIT * abs(known[0]) else None


def _not_cleared(guilty: Guilty, outside: Sequence[str]) -> Iterator[str]:
    grads = [name for name in outside if name.startswith("grad/")]
    if guilty.kind != "grad" or not guilty.earlier:
        return
    if all(name in guilty.earlier and _fits(guilty, name, guilty.truth[name] + guilty.earlier[name]) for name in grads):
        yield "gradients are not cleared: each step adds its own to those of the step before"


def _no_gradient(guilty: Guilty, outside: Sequence[str]) -> Iterator[str]:
    grads = [name for name in outside if name.startswith("grad/")]
    none = [name.removeprefix("grad/") for name in grads if not guilty.target[name].any()]
    rest = [name for name in outside if name.partition("/")[0] in ("grad", "backward") and guilty.target[name].any()]
    if none and not rest:
        yield f"no gradient reaches {_listed(none)}: the graph is cut behind (detach, stop_gradient), or it is frozen"


def _not_updated(guilty: Guilty, outside: Sequence[str]) -> Iterator[str]:
    if any(name.partition("/")[0] not in ("state", "weight") for name in outside):
        return
    weights = [name for name in outside if name.startswith("weight/")]
    still = [
        name for name in weights if name in guilty.before and np.array_equal(guilty.target[name], guilty.before[name])
    ]
    all_weights = [name for name in guilty.bounds if name.startswith("weight/")]
    if weights and still == weights and len(weights) > len(all_weights) / 2:
        words = "the optimizer does not step, or only every so often"
        yield f"no parameter is updated at step {guilty.step} there: {words}"
    elif weights and still == weights:
        yield f"{_listed([name.removeprefix('weight/') for name in still])} is not updated: not in the optimizer"


def _one_factor(guilty: Guilty, outside: Sequence[str]) -> Iterator[str]:
    """The loss, or its gradient, or all gradients are so many times as large."""
    grads = [name for name in guilty.bounds if name.startswith("grad/")]
    backward = [name for name in guilty.bounds if name.startswith("backward/")]
    behind = [name for name in (*backward, *grads) if name in outside]
    if guilty.kind == "loss" and "loss" in guilty.bounds:
        by = factor_of(guilty.target["loss"], guilty.truth["loss"])
        if by is not None and (all_of := _common(guilty, behind)) is not None and abs(all_of - by) <= FIT * abs(by):
            yield f"the loss is {by:.6g} times as large there{_of_a_batch(guilty, by)}"
        elif by is not None and not any(name in outside for name in (*backward, *grads)):
            yield f"the loss that is reported is {by:.6g} times as large there; its gradient is not"
    if guilty.kind == "backward" and (by := _common(guilty, behind)) is not None:
        yield f"the gradient of the loss is {by:.6g} times as large there{_of_a_batch(guilty, by)}"
    if guilty.kind == "grad":
        yield from _of_gradients(guilty, outside, grads)


def _of_gradients(guilty: Guilty, outside: Sequence[str], grads: Sequence[str]) -> Iterator[str]:
    wrong = [name for name in grads if name in outside]
    if (by := _common(guilty, wrong)) is not None and len(wrong) > len(grads) / 2:
        there, here = (
            np.sqrt(sum(float(np.vdot(of[name], of[name])) for name in grads)) for of in (guilty.target, guilty.truth)
        )
        clipped = (
            f"clipped to a norm of {there:.6g} there" if 0 < by < 1 else f"not clipped to a norm of {here:.6g} there"
        )
        yield f"all gradients are {by:.6g} times as large there: {clipped}, or scaled"
    elif (by := _common(guilty, wrong)) is not None:
        names = _listed([name.removeprefix("grad/") for name in wrong])
        yield f"the gradient of {names} is {by:.6g} times as large there"
    limit = max((float(np.abs(guilty.target[name]).max()) for name in wrong), default=0.0)
    if limit and all(_fits(guilty, name, np.clip(guilty.truth[name], -limit, limit)) for name in grads):
        yield f"gradients are clipped by value at {limit:.6g} there"


def _of_a_batch(guilty: Guilty, by: float) -> str:
    """What a factor usually is: samples, or numbers, of a batch."""
    shapes = [call.outputs[0] for call in guilty.origin.calls if call.outputs and call.outputs[0]]
    if not shapes:
        return ""
    last, known = shapes[-1], {}
    known[float(last[0])] = "the number of samples: a sum in place of a mean"
    known[float(np.prod(last))] = "the number of outputs: a sum in place of a mean"
    known[float(np.prod(last[1:]))] = "the number of a sample's outputs: summed, and not averaged"
    for number, words in known.items():
        if number > 1 and abs(by - number) <= FIT * number:
            return f" ({words})"
        if number > 1 and abs(by - 1 / number) <= FIT / number:
            return f" (one over {words.replace('a sum in place of a mean', 'a mean in place of a sum')})"
    return ""


def _updates(guilty: Guilty, outside: Sequence[str]) -> Iterator[str]:
    """Every parameter moves so many times as far."""
    if any(name.partition("/")[0] not in ("lr", "weight") for name in outside):
        return
    moved = [
        (guilty.target[name] - guilty.before[name], guilty.truth[name] - guilty.before[name])
        for name in guilty.bounds
        if name.startswith("weight/") and name in guilty.before
    ]
    factors = [factor_of(there, here) for there, here in moved if here.any()]
    if factors and None not in factors:
        known = [float(factor) for factor in factors if factor is not None]
        if max(known) - min(known) <= FIT * abs(known[0]):
            rates = (
                f" (the rate is {guilty.target['lr']:.6g} there, {guilty.truth['lr']:.6g} here)"
                if "lr" in outside
                else ""
            )
            yield f"every update is {known[0]:.6g} times as large there: another learning rate{rates}"


def _buffers(guilty: Guilty, outside: Sequence[str]) -> Iterator[str]:
    """Running statistics move so many times as far."""
    if any(not name.startswith("buffer/") for name in outside):
        return
    moved = [
        factor_of(guilty.target[name] - guilty.before[name], guilty.truth[name] - guilty.before[name])
        for name in outside
        if name in guilty.before
    ]
    known = [float(by) for by in moved if by is not None]
    unit = guilty.unit
    if (
        len(known) == len(outside)
        and abs(known[0] - 1) > FIT
        and max(known) - min(known) <= FIT * abs(known[0])
        and unit is not None
    ):
        momentum = unit.settings.get("momentum")
        new = (
            f": momentum is {known[0] * momentum:.6g} there, {momentum:.6g} here" if isinstance(momentum, float) else ""
        )
        yield f"the running statistics of {unit.name} move {known[0]:.6g} times as far there{new}"
    elif all(np.array_equal(guilty.target[name], guilty.before[name]) for name in outside if name in guilty.before):
        whose = unit.name if unit else "the model"
        yield f"the running statistics of {whose} do not move: it is in evaluation mode there"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# ---------------------------------------------------------------- what is tried


ACTIVATIONS = (
    "identity", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "gelu by tanh", "gelu by sigmoid", "silu", "mish",
    "sigmoid", "tanh", "hardswish", "hardsigmoid", "hard sigmoid of slope 0.2", "softplus",
)  # fmt: skip
NUMBERS = ("epsilon", "momentum", "slope", "alpha", "beta", "threshold", "smoothing", "delta")
OF_OPTIMIZERS = {"epsilon": 1e-8, "weight_decay": 1e-2, "beta1": 0.9, "beta2": 0.999, "momentum": 0.9, "rho": 0.99}


def _candidates(guilty: Guilty) -> Iterator[Candidate]:
    if guilty.kind == "forward":
        yield from _of_unit(guilty)
    if guilty.kind in ("loss", "backward"):
        yield from _of_loss(guilty)
    if guilty.kind in ("state", "weight", "grad"):
        yield from _of_optimizer(guilty)
    if guilty.kind in ("forward", "loss", "backward"):
        yield from _of_data(guilty)
    if guilty.kind in ("backward", "grad"):
        yield from _of_graph(guilty)


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
        for kind in ACTIVATIONS:
            if kind != before.kind and (kind == "identity" or not before.params):
                said = "is left out there" if kind == "identity" else f"is {kind} there"
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
    for name in OTHER_LOSSES:
        yield Candidate(f"the loss is another function there: {name}", ({"do": "loss function", "name": name},))
    weighted = {"do": "loss function", "name": "bce with weighted positives", "value": 2.0, "solve": True}
    yield Candidate("loss: positives have the weight {x} there (pos_weight)", (weighted,))
    for kind in (*SOFT, *ACTIVATIONS[1:]):
        yield Candidate(
            f"the model's output goes through {kind} before the loss there", ({"do": "output", "value": kind},)
        )


OTHER_LOSSES = (
    "mse", "half the squared error", "l1", "smooth l1", "root of the mse", "bce", "bce with logits", "cross-entropy",
    "bce with logits of a sigmoid", "mse of a sigmoid", "nll without a log softmax", "mse of a softmax",
)  # fmt: skip
SOFT = ("softmax", "log softmax", "softmax over samples", "softmax over axis 1")


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
        yield Candidate(
            f"the {words} are normalised there: {{x}} times as large, and then {{y}} is added", (scale, move), 1.0
        )


def _of_graph(guilty: Guilty) -> Iterator[Candidate]:
    """Where the graph is cut."""
    for name in dict.fromkeys(call.name for call in guilty.origin.calls):
        change = {"do": "replaced", "at": name, "value": "detached"}
        yield Candidate(f"no gradient goes back through {name} there: detached (stop_gradient)", (change,))


def told(path: Path) -> list[dict[str, Any]]:
    """What a child has found."""
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return found
