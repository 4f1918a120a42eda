"""Does the noise of every numeric word cover what NumPy, PyTorch and PaddlePaddle really make of it?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from isograd.changes.catalogue.optimizers import OPTIMIZERS
from isograd.describe import describe
from tests.bench.optimizers import LIBRARY, THERE, trained
from tests.bench.words import EXACT, LIBRARIES, ROUNDS, computed, shares

COVERED = 2.0
"""Envelopes, of the six that are allowed: sums are added up in other orders on other processors."""

ROOT = Path(__file__).parents[1]


def test_every_word_is_within_its_noise(isograd_backend: str, tmp_path: Path) -> None:
    library = isograd_backend.partition("[")[0]
    if library not in LIBRARIES:
        pytest.skip(f"no table of words for {library}")
    file = tmp_path / "found.npz"
    subprocess.run([sys.executable, "-m", "tests.bench.words", library, str(file)], check=True, cwd=ROOT)
    with np.load(file) as arrays:
        over = shares(arrays)
    assert {name.rpartition(" ")[0] for name in over} == {*ROUNDS, *EXACT}
    assert {name: share for name, share in over.items() if not share <= COVERED} == {}


def test_a_wrong_bit_of_an_exact_word_and_a_sum_without_its_last_term_are_outside() -> None:
    """The measurement's own control."""
    found = computed("numpy")
    found["reshape float32"][0, 0] *= 1 + 2.0**-23
    found["sum of rows float32"] *= 1.001
    assert {name for name, share in shares(found).items() if not share <= COVERED} == {
        "reshape float32",
        "sum of rows float32",
    }


# ---------------------------------------------------------------- optimizers that are only looked for


RNG = np.random.default_rng(11)
WEIGHT, GRADIENTS = RNG.standard_normal((3, 2)), RNG.standard_normal((5, 3, 2))


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    if describe(LIBRARY).absent:
        pytest.skip(f"{LIBRARY} is not installed")
    return trained(WEIGHT, GRADIENTS)


@pytest.mark.parametrize("name", list(THERE))
def test_an_optimizer_is_the_one_of_that_name(expected: dict[str, np.ndarray], name: str) -> None:
    w, slots = WEIGHT, {slot: np.zeros_like(WEIGHT) for slot in OPTIMIZERS[name].slots}
    for t, g in enumerate(GRADIENTS, 1):
        w, slots = OPTIMIZERS[name].update(w, g, slots, np.float64(0.01), np.float64(t))
    assert np.allclose(w, expected[name], rtol=1e-6)  # NAdam keeps a product in float32
