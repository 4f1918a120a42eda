"""Do the benchmarks still run? What they say is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import judging, training

ROOT = Path(__file__).parents[1]


def test_recording_and_a_bare_loop_are_both_timed(isograd_backend: str) -> None:
    if isograd_backend not in training.BARE:
        pytest.skip(f"no bare loop for {isograd_backend}")
    code = f"from tests.bench import training; training.ROUNDS = 1; print(training.measured({isograd_backend!r}))"
    command = [sys.executable, "-W", "ignore", "-c", code]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=ROOT, text=True).stdout.splitlines()[-1]
    assert min(json.loads(said.replace("(", "[").replace(")", "]"))) > 0


def test_the_reference_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "ROUNDS", 1)
    assert judging.reference_seconds()[0] > 0
