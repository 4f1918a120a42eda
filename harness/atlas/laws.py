"""From which distribution were these numbers drawn? By Kolmogorov's and Smirnov's test, at a stated level."""

from __future__ import annotations

from math import erf, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 1e-6
"""How likely the test refuses the right law: of a thousand rows one in a thousand times."""

SURE = 5.0
"""Standard errors within which two scales are one."""


def law_of(values: Any) -> dict[str, Any]:
    """The law of many numbers: all one constant; uniform up to a bound; normal with a deviation; normal, cut at two.

    Returns:
        ``law``: its name, with ``scale``: the constant, the bound or the deviation, and its standard ``error``.
    """
    x = np.sort(np.asarray(values, float).reshape(-1))
    if x[0] == x[-1]:
        return {"law": "constant", "scale": float(x[0]), "error": 0.0}
    n, largest = len(x), float(np.abs(x).max())
    bound = largest * (n + 1) / n  # the largest of n is short of the bound by an n-th of it
    deviation = float(np.sqrt((x * x).mean()))
    found = {"uniform": (bound, bound / n), "normal": (deviation, deviation / sqrt(2 * n))}
    cut = deviation / CUT
    if largest < 2.01 * cut:
        found["normal, cut at 2 deviations"] = (cut, cut / sqrt(2 * n))
    distance, law = min((_distance(x, law, scale), law) for law, (scale, _) in found.items())
    if distance > sqrt(log(2 / LEVEL) / (2 * n)):  # Massart's bound for the level
        return {"law": "another", "scale": deviation, "error": deviation / sqrt(2 * n)}
    scale, error = found[law]
    return {"law": law, "scale": scale, "error": error}


def _normal(x: float) -> float:
    return (1 + erf(x / sqrt(2))) / 2


_INSIDE = _normal(2.0) - _normal(-2.0)
CUT = sqrt(1 - 4 * np.exp(-2.0) / sqrt(2 * np.pi) / _INSIDE)
"""What is left of a normal law's deviation when it is cut at two: Johnson, Kotz, Balakrishnan (1994), 13.10.1."""


def _distance(x: NDArray[np.float64], law: str, scale: float) -> float:
    """Kolmogorov's, of sorted numbers from a law."""
    if law == "uniform":
        share = np.clip((x / scale + 1) / 2, 0, 1)
    else:
        share = np.array([_normal(value) for value in (x / scale).tolist()])
        if law != "normal":
            share = np.clip((share - _normal(-2.0)) / _INSIDE, 0, 1)
    n = len(x)
    places = np.arange(n + 1) / n
    return max(float(np.abs(share - places[1:]).max()), float(np.abs(share - places[:-1]).max()))
