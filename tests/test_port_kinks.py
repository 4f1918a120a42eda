"""Kinks in a user's own training: what could go the other way by rounding does, once, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isograd.side.kinks import Gaps, Pass

torch = pytest.importorskip("torch")
F = torch.nn.functional

FACTOR, RUNS = 6.0, 12
NEAR, FAR = 2e-7, 2e-6
"""Of numbers of size 1: within six times what one multiplication's rounding in float32 is, and beyond it."""


def twice(gap: float, at: float = 0.0) -> Any:
    """Numbers of size 1 that are rounded: the first is by a gap above a point, the other two far from it."""
    return torch.tensor([1.0 + at + gap, 3.0, -3.0], dtype=torch.float64)


def below(x: Any, by: float = 1.0) -> Any:
    return x * 1.0000001 / 1.0000001 - by


def images(x: Any) -> Any:
    """Two winners, of which one is by the gap above the next."""
    rows = torch.stack([x[0], x[0].detach() * 0 + 1.0, x[1], x[2]])
    return rows.reshape(1, 1, 2, 2)


KINKS: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: F.relu(below(x)),
    "relu, in place": lambda x: F.relu_(below(x)),
    "leaky relu": lambda x: F.leaky_relu(below(x), 0.1),
    "prelu": lambda x: F.prelu(below(x), torch.tensor([0.1], dtype=torch.float64)),
    "abs": lambda x: below(x).abs(),
    "clamp": lambda x: below(x, 0.0).clamp(1.0, 2.0),
    "clamp from above": lambda x: below(x, 0.0).clamp(max=1.0),
    "hard tanh": lambda x: F.hardtanh(below(x, 0.0), -1.0, 1.0),
    "relu6": lambda x: F.relu6(below(x)),
    "hard sigmoid": lambda x: F.hardsigmoid(below(x, -2.0)),
    "threshold": lambda x: F.threshold(below(x), 0.0, 7.0),
    "hard shrink": lambda x: F.hardshrink(below(x, 0.5)),
    "a comparison": lambda x: below(x) * (below(x) > 0),
    "maximum": lambda x: torch.maximum(below(x, 0.0), torch.ones(3, dtype=torch.float64)),
    "max along an axis": lambda x: images(below(x, 0.0)).reshape(1, 4)[:, :2].max(1).values,
    "max pool": lambda x: F.max_pool2d(images(below(x, 0.0))[..., :1, :], (1, 2)),
    "max pool, padded": lambda x: F.max_pool2d(images(below(x, 0.0))[..., :1, :], (1, 2), 1, (0, 1)),
    "max pool of a row": lambda x: F.max_pool1d(images(below(x, 0.0)).reshape(1, 4)[:, :2], 2),
}


def gradient(function: Callable[[Any], Any], gap: float, gaps: Gaps, scale: float, seed: int) -> Any:
    from isograd.backends.pytorch.noise import Noisy

    x = twice(gap).requires_grad_()
    with gaps.over(0), Noisy(seed, "float32", scale, constants=False, kinks=gaps):
        (function(x) * torch.tensor([1.5], dtype=torch.float64)).sum().backward()
    return x.grad.numpy().copy()


def ways(function: Callable[[Any], Any], gap: float, folder: Path) -> tuple[Any, Any]:
    """The gradient as it is, and where everything that can has gone the other way."""
    gaps = Gaps(folder / "of", 1, FACTOR, "float32")
    gaps.begin(Pass.KEEP)
    plain = gradient(function, gap, gaps, 0.0, 0)
    gaps.begin(Pass.STRAY)
    for seed in range(RUNS):
        gradient(function, gap, gaps, 1.0, seed)
    assert gaps.begin(Pass.TURN)
    return plain, gradient(function, gap, gaps, 0.0, 0)


@pytest.mark.parametrize("name", KINKS)
def test_what_is_within_its_bound_of_a_kink_goes_the_other_way(name: str, tmp_path: Path) -> None:
    plain, turned = ways(KINKS[name], NEAR, tmp_path)
    assert abs(turned - plain)[0] > 0.1, f"{plain} {turned}"
    np.testing.assert_allclose(turned[1:], plain[1:], rtol=1e-6)


@pytest.mark.parametrize("name", KINKS)
def test_what_is_beyond_it_does_not(name: str, tmp_path: Path) -> None:
    plain, turned = ways(KINKS[name], FAR, tmp_path)
    np.testing.assert_allclose(turned, plain, rtol=1e-6)


def test_what_has_no_noise_is_a_convention_and_stays(tmp_path: Path) -> None:
    plain, turned = ways(lambda x: F.relu(x - 1.0), 0.0, tmp_path)
    np.testing.assert_array_equal(turned, plain)


def test_what_a_noisy_run_has_shown_is_not_shown_again(tmp_path: Path) -> None:
    gaps = Gaps(tmp_path / "of", 1, FACTOR, "float32")
    for now, gap in ((Pass.KEEP, 1e-8), (Pass.STRAY, -1e-8)):
        gaps.begin(now)
        with gaps.over(0):
            assert gaps.turned(np.array([gap, 1e-8, 1.0])) is None
    with gaps.over(0):
        gaps.turned(np.array([2e-8, 2e-8, 1.0]))
    gaps.begin(Pass.TURN)
    with gaps.over(0):
        assert (turned := gaps.turned(np.array([1e-8, 1e-8, 1.0]))) is not None
        assert turned.tolist() == [False, True, False]


def test_a_model_without_kinks_has_no_last_pass(tmp_path: Path) -> None:
    gaps = Gaps(tmp_path / "of", 1, FACTOR, "float32")
    for now in (Pass.KEEP, Pass.STRAY):
        gaps.begin(now)
        with gaps.over(0):
            pass
    assert not gaps.begin(Pass.TURN)
