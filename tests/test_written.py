"""Are the functions, losses, terms and optimizers that the search looks for what they are said to be?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from isograd.changes.catalogue.families import FAMILIES
from isograd.changes.catalogue.features import MADE
from isograd.changes.catalogue.functions import FUNCTIONS
from isograd.changes.catalogue.functions import _fit as fit
from isograd.changes.catalogue.optimizers import OPTIMIZERS
from isograd.changes.catalogue.terms import TERMS, Known
from isograd.changes.catalogue.terms import _least_squares as least_squares
from isograd.changes.catalogue.written import OF_LOSS
from isograd.changes.ways import WAYS
from isograd.changes.written import CLASSES, VALUES

_rng = np.random.default_rng(7)
Z = _rng.standard_normal((4, 3)) * 1.3
D = _rng.standard_normal((4, 3))
NO_SLOPE = ("step", "sign", "straight-through step", "straight-through sign")
STEP = 1e-6


def slopes(of: Any, z: np.ndarray) -> np.ndarray:
    """∂ of(z) / ∂z by central differences."""
    out = np.zeros_like(z)
    for at in np.ndindex(*z.shape):
        width = np.zeros_like(z)
        width[at] = STEP
        out[at] = (float(of(z + width)) - float(of(z - width))) / (2 * STEP)
    return out


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in NO_SLOPE])
def test_a_function_has_its_own_derivative(name: str) -> None:
    f = FUNCTIONS[name]
    by_hand = f.slope(Z, f.of(Z), D)
    assert np.allclose(by_hand, slopes(lambda z: (D * f.of(z)).sum(), Z), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(VALUES))
def test_a_written_loss_has_its_own_derivative(name: str) -> None:
    # labels between 0 and 1, and outputs too: all of them mean something there
    yhat, y = _rng.uniform(0.1, 0.9, (4, 3)), _rng.uniform(0.1, 0.9, (4, 3))
    slope = VALUES[name].slope(yhat, y)
    assert np.allclose(slope, slopes(lambda z: VALUES[name].value(z, y).sum(), yhat), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(CLASSES))
def test_a_written_loss_of_classes_has_its_own_derivative(name: str) -> None:
    y = np.array([0, 2, 1, 1])
    slope = CLASSES[name].slope(Z, y)
    assert np.allclose(slope, slopes(lambda z: CLASSES[name].value(z, y).sum(), Z), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(FAMILIES))
def test_a_family_of_losses_has_its_own_derivative(name: str) -> None:
    r, family = np.array([[-1.7, -0.6, -0.2], [0.15, 0.55, 2.1]]), FAMILIES[name]
    for c in (0.3, 0.8):
        assert np.allclose(family.slope(r, c), slopes(lambda r, c=c: family.value(r, c).sum(), r), rtol=1e-5, atol=1e-6)
        assert family.said.format(c=c) != family.said


@pytest.mark.parametrize("name", list(OF_LOSS))
def test_a_function_of_a_loss_has_its_own_derivative(name: str) -> None:
    of, slope, _ = OF_LOSS[name]
    value = np.array([0.7])
    assert np.allclose(slope(value), slopes(lambda v: of(v).sum(), value), rtol=1e-6)


def _names() -> Iterator[tuple[str, tuple[str, ...]]]:
    said = {
        "function": [f.said for f in FUNCTIONS.values()],
        "loss": [w.said for w in (*VALUES.values(), *CLASSES.values())],
        "optimizer": [w.said for w in OPTIMIZERS.values()],
        "term": [text for _, text in TERMS.values()],
        "way": [text for _, text in WAYS.values()],
        "target": list(MADE),
    }
    yield from ((kind, tuple(texts)) for kind, texts in said.items())


@pytest.mark.parametrize(("kind", "texts"), list(_names()))
def test_no_two_of_them_are_called_the_same(kind: str, texts: tuple[str, ...]) -> None:
    assert len(set(texts)) == len(texts), kind


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in (*NO_SLOPE, "hard_shrink")])
def test_a_function_is_found_by_its_numbers_and_no_other_constants(name: str) -> None:
    f = FUNCTIONS[name]
    z = _rng.standard_normal((8, 4))
    assert fit(f, 1e-4, z, np.asarray(f.of(z)), None) == (1.0, 1.0)
    found = fit(f, 1e-4, z, 1.5 * np.asarray(f.of(1.25 * z)), None)
    assert found is not None
    assert np.allclose(found[0] * f.of(found[1] * z), 1.5 * f.of(1.25 * z), rtol=1e-3, atol=1e-3)
    noise = np.asarray(f.of(z)) + 0.01 * _rng.standard_normal(z.shape)
    assert fit(f, 1e-4, z, noise, None) is None


def test_a_term_is_read_off_only_where_nothing_is_left() -> None:
    a, b = _rng.standard_normal((2, 50))
    assert least_squares([a], 0.3 * a) == pytest.approx([0.3])
    assert least_squares([a, b], 0.3 * a - 2 * b) == pytest.approx([0.3, -2.0])
    assert least_squares([a], 0.3 * a + 0.01 * b) is None
    assert least_squares([a, a], 0.3 * a) is None  # two of one
    assert least_squares([a[:2], b[:2]], a[:2]) is None  # as many as there are numbers


@pytest.mark.parametrize("name", list(TERMS))
def test_a_term_has_the_parameters_shape_and_keeps_axes_of_runs(name: str) -> None:
    parts = [_rng.standard_normal((3, 2)) for _ in range(6)]
    once = TERMS[name][0](Known(*parts, axes=(-2, -1)))
    runs = TERMS[name][0](Known(*(np.stack([part, 2 * part]) for part in parts), axes=(-2, -1)))
    assert once.shape == (3, 2)
    assert np.allclose(runs[0], once)
