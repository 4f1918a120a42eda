"""In what do frameworks differ by definition, so that every right port shows it? Each by its exact formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from isograd.inputs import Array
from isograd.structure import Setting, Structure

VARIANCE, UNBIASED = "running_var", "unbiased"


@dataclass(frozen=True)
class Convention:
    """A quantity that one side defines otherwise.

    Attributes:
        quantity: its name.
        truth: what it is by that definition, at each step.
        factor: by which the envelope goes with it.
        reason: in a sentence.
    """

    quantity: str
    truth: Array
    factor: float
    reason: str


def variances(
    first: Structure,
    other: Mapping[str, Mapping[str, Setting]],
    truth: Mapping[str, Array],
    states: Mapping[str, Array] | None,
    initial: Mapping[str, Array],
) -> list[Convention]:
    """Running variances of batches, over a channel's n numbers where the origin has n − 1, or the reverse.

    Ioffe and Szegedy, *Batch normalization* (2015), algorithm 2, have n − 1. With a weight m of the new one, a running
    variance moves by m (var − old), so that the other definition's follows exactly; where a step calls the unit k times
    on as many numbers, (1 − m)ᵏ of the old one is left, and all the rest has the factor.

    Args:
        first: the origin, whose truth it is.
        other: settings of the other side's units, by the origin's names.
        truth: the origin's quantities.
        states: the state before each step; None: each step begins where the one before ended.
        initial: the state before the first step.
    """
    found = []
    for unit in first.units:
        name, numbers = f"buffer/{unit.name}.{VARIANCE}", _numbers(unit.name, truth)
        momentum, mine = unit.settings.get("momentum"), unit.settings.get(UNBIASED)
        theirs = other.get(unit.name, {}).get(UNBIASED)
        if not isinstance(momentum, float) or name not in truth or None in (mine, theirs) or mine == theirs:
            continue
        number = min(numbers, default=0)
        if number < 2 or number != max(numbers):
            continue
        left = (1 - momentum) ** len(numbers)
        share = (number - 1) / number if mine else number / (number - 1)
        column, of_truth = truth[name].astype(np.float64), np.asarray(initial[name], np.float64)
        there, before = np.empty_like(column), of_truth
        for t, after in enumerate(column):
            if states is not None:
                before = of_truth = np.asarray(states[name][t], np.float64)
            moves = (after != of_truth).any()  # and not in evaluation mode
            there[t] = left * before + share * (after - left * of_truth) if moves else before
            before, of_truth = there[t], after
        which = ("n", "n − 1") if mine else ("n − 1", "n")
        words = f"the running variance is the batch's over {which[0]} there, over {which[1]} here (n = {number})"
        found.append(Convention(name, there, share, words))
    return found


def _numbers(unit: str, truth: Mapping[str, Array]) -> list[int]:
    """On how many numbers of a channel a unit is called, each time in a step."""
    calls = [truth[of] for of in truth if of == f"forward/{unit}" or of.startswith(f"forward/{unit}:")]
    return [call[0].size // (call.shape[2] if call.ndim > 2 else 1) for call in calls]
