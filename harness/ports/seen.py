"""What do the numbers of the first wrong step say by themselves, without another run?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.ports.guilty import Guilty

FIT = 1e-4
"""Of a difference that one number accounts for, no larger share is left."""


def seen(guilty: Guilty) -> Iterator[str]:
    """What can be read off the numbers of the step, without another run."""
    outside = guilty.outside()
    if not outside:  # red by a known definition alone, which the other side does not have after all
        return
    yield from _schedule(guilty)
    if guilty.kind in ("forward", "loss", "backward"):
        yield from _digits(guilty)
    before = guilty.until_update()
    yield from _not_cleared(guilty, before)
    yield from _not_updated(guilty, outside)
    yield from _no_gradient(guilty, before)
    yield from _one_factor(guilty, before)
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
        known = "; ".join(different.sentence for different in guilty.settings if different.at == "schedule")
        classes = (guilty.there.scheduled if guilty.there else "", guilty.origin.scheduled)
        told = f" ({classes[0]}, and {classes[1]} here)" if all(classes) else ""
        yield f"{known or f'the schedule is another one there{told}'}: the learning rate is {listed}"


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
    moving = [
        name
        for name in guilty.bounds
        if name.startswith("weight/")
        and name in guilty.before
        and not np.array_equal(guilty.truth[name], guilty.before[name])
    ]
    if weights and still == weights and len(weights) == len(moving):
        words = "the optimizer does not step, or only every so often"
        yield f"no parameter is updated at step {guilty.step} there: {words}"
    elif weights and still == weights:
        yield f"{_listed([name.removeprefix('weight/') for name in still])} is not updated: not in the optimizer"


def _one_factor(guilty: Guilty, outside: Sequence[str]) -> Iterator[str]:
    """The loss, or its gradient, or all gradients are so many times as large."""
    grads = [name for name in guilty.bounds if name.startswith("grad/")]
    backward = [name for name in guilty.bounds if name.startswith("backward/")]
    behind = [name for name in (*backward, *grads) if name in outside]
    if guilty.kind == "loss":
        by = factor_of(guilty.target[guilty.first], guilty.truth[guilty.first])
        common = [_common(guilty, [n for n in behind if n.startswith(kind)]) for kind in ("backward/", "grad/")]
        if by is not None and any(all_of is not None and abs(all_of - by) <= FIT * abs(by) for all_of in common):
            yield f"the loss is {_times(by)} times as large there{_of_a_batch(guilty, by)}{_of_other_steps(guilty, by)}"
        elif by is not None and not any(name in outside for name in (*backward, *grads)):
            yield f"the loss that is reported is {_times(by)} times as large there; its gradient is not"
    if guilty.kind == "backward" and (by := _common(guilty, behind)) is not None:
        yield f"the gradient of the loss is {_times(by)} times as large there{_of_a_batch(guilty, by)}"
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
        yield f"all gradients are {_times(by)} times as large there: {clipped}, or scaled"
    elif (by := _common(guilty, wrong)) is not None:
        names = _listed([name.removeprefix("grad/") for name in wrong])
        yield f"the gradient of {names} is {_times(by)} times as large there"
    limit = max((float(np.abs(guilty.target[name]).max()) for name in wrong), default=0.0)
    if limit and all(_fits(guilty, name, np.clip(guilty.truth[name], -limit, limit)) for name in grads):
        yield f"gradients are clipped by value at {limit:.6g} there"


def _times(by: float) -> str:
    """A factor; one that is next to 1 by how far it is from it."""
    return f"{by:.6g}" if abs(by - 1) >= 1e-5 else f"1 {'+' if by > 1 else '−'} {abs(by - 1):.2g}"


def _of_other_steps(guilty: Guilty, by: float) -> str:
    """What a factor that is another in each step comes from."""
    there, here = guilty.losses
    with np.errstate(all="ignore"):
        factors = there / here
    if not len(factors) or not np.isfinite(factors).all() or np.ptp(factors) <= FIT * np.abs(factors).max():
        return ""
    listed = ", ".join(f"{factor:.4g}" for factor in factors[:4])
    if (np.abs(factors - factors.round()) <= FIT * factors).all():
        return f", and not in every step ({listed}): a sum in place of a mean"
    number = "averaged over another number, of samples or of labels that count"
    return f", and not in every step ({listed}): {number}"


def _of_a_batch(guilty: Guilty, by: float) -> str:
    """What a factor usually is: samples, or numbers, of a batch."""
    shapes = [call.outputs[0] for call in guilty.origin.calls if call.outputs and call.outputs[0]]
    if not shapes:
        return " (a factor, or a mean over another number, as where ignored labels count)"
    last, known = shapes[-1], {}
    known[float(last[0])] = "the number of samples: a sum in place of a mean"
    known[float(np.prod(last))] = "the number of outputs: a sum in place of a mean"
    known[float(np.prod(last[1:]))] = "the number of a sample's outputs: summed, and not averaged"
    for number, words in known.items():
        if number > 1 and abs(by - number) <= FIT * number:
            return f" ({words})"
        if number > 1 and abs(by - 1 / number) <= FIT / number:
            return f" (one over {words.replace('a sum in place of a mean', 'a mean in place of a sum')})"
    return " (a factor, or a mean over another number, as where ignored labels count)"


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
    moved_wrong = [
        (name, factor_of(guilty.target[name] - guilty.before[name], guilty.truth[name] - guilty.before[name]))
        for name in outside
        if name.startswith("weight/") and name in guilty.before
    ]
    known = [float(by) for _, by in moved_wrong if by is not None]
    if len(known) == len(outside) and max(known) - min(known) <= FIT * abs(known[0]):
        names = _listed([name.removeprefix("weight/") for name, _ in moved_wrong])
        yield f"the update of {names} is {known[0]:.6g} times as large there: another learning rate for it"


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


def weighted(guilty: Guilty) -> Iterator[str]:
    """Each sample's gradient, or each place's, is so many times as large: nothing that was tried says why."""
    outside = guilty.outside()
    backward = [name for name in outside if name.startswith("backward/")]
    if guilty.kind not in ("loss", "backward") or not backward:
        return
    there, here = guilty.target[backward[0]], guilty.truth[backward[0]]
    if here.ndim < 2 or here.shape[-1] < MANY // 2:
        return
    rows = [(t, h) for t, h in zip(there.reshape(-1, there.shape[-1]), here.reshape(-1, here.shape[-1]), strict=True)]
    factors = [factor_of(t, h) if h.any() else 0.0 if t.any() else 1.0 for t, h in rows]
    known = [float(by) for by in factors if by is not None]
    if len(known) == len(rows) and max(known) - min(known) > FIT * max(map(abs, known)):
        words = f"from {min(known):.4g} to {max(known):.4g} times as large there"
        none = sum(by == 0 for by in known)
        left = f", and {none} of {len(known)} not at all: they are left out (masked, ignored)" if none else ""
        yield f"loss: each sample's gradient is {words}: samples, or classes, are weighted{left}"


def order(guilty: Guilty) -> Iterator[str]:
    """Where the first difference is, units are called in another order, or another number of times."""
    if guilty.unit is not None and guilty.kind == "forward":
        yield from order_of(*guilty.calls, guilty.unit.name)


def order_of(here: Sequence[str], there: Sequence[str], unit: str) -> Iterator[str]:
    """The same of the units that are called, by the origin's names, up to one of them."""
    at = next((i for i, (a, b) in enumerate(zip(here, there, strict=False)) if a != b), min(len(here), len(there)))
    if unit not in here or at == len(here) == len(there) or at > here.index(unit) + 1:
        return
    mine = here[at] if at < len(here) else "nothing"
    theirs = there[at] if at < len(there) else "nothing"
    behind = f"after {here[at - 1]}" if at else "first"
    yield f"modules are called in another order there: {behind} comes {theirs}, and here {mine} (before or after)"
