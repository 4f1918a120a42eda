"""How does NumPy run a scenario? By the hand-written rules, in NumPy's own arithmetic or another."""

from __future__ import annotations

from isograd.dtypes import FORMATS
from isograd.ops import CLIPPINGS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES
from isograd.rules import Rules


class NumpyBackend(Rules):
    """Forward and backward by hand, in the scenario's dtype or in the ``arithmetic`` that its name gives.

    Args:
        arithmetic: float16, bfloat16, tf32, float32, float64, extended (the machine's long double), mp50 (50 digits),
            rational (exact, from the decimal digits that a person wrote; not for sigmoid), exact (from the scenario's
            dtype's own numbers).
    """

    distribution = "numpy"
    layers = LAYERS
    losses = LOSSES
    optimizers = OPTIMIZERS
    schedules = SCHEDULES
    clippings = CLIPPINGS
    dtypes = FORMATS

    def __init__(self, arithmetic: str = "") -> None:
        super().__init__(arithmetic, rounded=True)
