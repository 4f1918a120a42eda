"""Does the noise of every numeric word cover what NumPy, PyTorch and PaddlePaddle really make of it?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
