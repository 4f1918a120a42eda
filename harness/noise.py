"""How large is rounding's noise, in each quantity at each step?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.trace import Mode

Floats = NDArray[np.float64]

# Unit roundoff of round-to-nearest, half the spacing of the numbers in [1, 2): IEEE 754-2019, table 3.5.
UNIT_ROUNDOFF = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}
# The smallest number above zero: what an underflow can cost. Same table.
SMALLEST = {"float16": 2.0**-24, "float32": 2.0**-149, "float64": 2.0**-1074}
# The largest finite number, beyond which a right result is infinite. Same table.
LARGEST = {"float16": 65504.0, "float32": (2 - 2.0**-23) * 2.0**127, "float64": (2 - 2.0**-52) * 2.0**1023}


@dataclass(frozen=True)
class Rounding:
    """What is known of a run that rounds.

    Attributes:
        dtype: the dtype that it was in.
        mode: in free, errors accumulate over the steps.
        terms: terms of the longest sum in a step.
        layers: names and kinds of the layers in order; empty where the scenario is not known.
        residual: the constant c of the loss's gradient c (ŷ − y).
        lr: the learning rate.
    """

    dtype: str
    mode: Mode
    terms: int
    layers: tuple[tuple[str, str], ...] = ()
    residual: float = 0.0
    lr: float = 0.0


def noise_levels(
    rounding: Rounding, magnitudes: Mapping[str, Floats], steps: NDArray[Any], sample: Mapping[str, Floats]
) -> dict[str, Floats]:
    """The size of the error that rounding makes, for every quantity at every step.

    A sum of n rounded terms is off by about √n u times their size (Higham, *Accuracy and Stability of Numerical
    Algorithms*, 2nd ed. 2002, section 4.2, with the probabilistic rule of thumb of section 2.8). Their size is taken as
    the largest magnitude that the quantity has reached so far, since a sum that cancels is small while its terms are
    not. After t free steps, independent errors have added up to √t of one step's. No level is below what rounding did
    to the reference backend's own run, which is one sample of it.

    Args:
        rounding: what is known of the run.
        magnitudes: by quantity, the largest magnitude of the truth at each step.
        steps: the step numbers, from 0.
        sample: by quantity, the largest error of the reference backend's run in the same dtype; empty if there is none.
    """
    one_step = UNIT_ROUNDOFF[rounding.dtype] * np.sqrt(rounding.terms)
    growth = np.sqrt(steps + 1) if rounding.mode == "free" else 1.0
    levels = {name: growth * one_step * np.maximum.accumulate(m) for name, m in magnitudes.items()}
    if rounding.layers:
        _amplify(levels, rounding)
    for name, errors in sample.items():
        finite = np.where(np.isfinite(errors), errors, 0.0)  # infinite where the run overflowed: no measure of rounding
        levels[name] = np.maximum(levels[name], np.maximum.accumulate(finite))
    return {name: level + SMALLEST[rounding.dtype] for name, level in levels.items()}


def _amplify(levels: dict[str, Floats], rounding: Rounding) -> None:
    """Raise the levels of what comes from a difference of nearly equal numbers, in the order of the backward pass.

    Two rules have one. The loss's gradient is c (ŷ − y), and is off by c times the noise of ŷ however small it is. A
    sigmoid's derivative is a (1 − a): where it is saturated 1 − a is tiny, but a was rounded to u, and the product with
    d is off by about the noise of d. All that is computed from these inherits their relative error.
    """
    above, above_kind = f"forward/{rounding.layers[-1][0]}", "loss"
    inherited: Floats = np.ones_like(levels[above])
    for name, layer_kind in reversed(rounding.layers):
        backward = f"backward/{name}"
        own = levels[backward]
        at_least = {"loss": rounding.residual, "sigmoid": 1.0}.get(above_kind, 0.0) * levels[above]
        levels[backward] = np.maximum(inherited * own, at_least)
        inherited = np.divide(levels[backward], own, out=np.ones_like(own), where=own > 0)
        for grad in [key for key in levels if key.startswith(f"grad/{name}.")]:
            levels[grad] = inherited * levels[grad]
            levels[grad.replace("grad/", "weight/", 1)] += rounding.lr * levels[grad]
        above, above_kind = backward, layer_kind
