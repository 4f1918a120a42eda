"""Which numbers do the atlas's programs draw? The same ones for the same shape and seed, in every framework."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEED = 20260101


def drawn(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    """Numbers of N(0, 1)."""
    return np.random.Generator(np.random.PCG64([SEED, seed, *shape])).standard_normal(shape)
