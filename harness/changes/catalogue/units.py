"""What can be wrong with the order of a layer's units?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from isograd.changes.catalogue.parameters import WEIGHT, biased
from isograd.changes.change import Circumstances, Evidence
from isograd.changes.places import AtLayer, layer_of, matrices
from isograd.changes.reading import MOST, distances, listed, nearest
from isograd.inputs import Array
from isograd.scenario import Scenario


@dataclass(frozen=True)
class InOtherOrder(AtLayer):
    """Something of a layer's units is in another order: `order` has for each place the unit that stands there.

    Without an order, it is the usual one of the change.
    """

    every = "every linear layer"
    with_bias: ClassVar[bool] = True

    order: tuple[int, ...] = ()

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """For each unit the one whose output it has, if that is an order."""
        if not self.at:
            return
        step = evidence.steps[0]
        got, right = evidence.recorded(f"forward/{self.at}", step), evidence.ruled(f"forward/{self.at}", step)
        if got is None or got.ndim != 2:
            return
        rows = MOST // got.shape[-1] ** 2  # of a large batch a few samples tell units apart as well
        if not rows:
            return
        got, right = got[:rows], right[:rows]
        bias = evidence.state(step).get(f"{WEIGHT}{self.at}.bias")
        if bias is not None and not self.with_bias:
            got, right = got - bias, right - bias
        own = np.arange(got.shape[1])
        order = np.concatenate([nearest(far, own[part]) for part, far in distances(got.T, right.T)])
        if (np.sort(order) == own).all() and (order != own).any():
            yield replace(self, order=tuple(order.tolist()))

    def _rows(self, value: Array) -> list[int]:
        """The order of all rows of a weight or bias; those that `order` does not know of stay."""
        rows = list(range(len(value)))
        return [*self.order, *rows[len(self.order) :]] if self.order else self.usual(rows)

    def _reordered(self, scenario: Scenario, state: Mapping[str, Array], params: tuple[str, ...]) -> dict[str, Array]:
        """Those parameters of the layers that are meant, in the other order; all else of the state is left out."""
        names = [f"{WEIGHT}{layer}.{param}" for layer in self.places(scenario) if self.is_at(layer) for param in params]
        return {name: state[name][self._rows(state[name])] for name in names if name in state}

    def usual(self, rows: list[int]) -> list[int]:
        """The usual order: the first two change places."""
        return [*rows[1::-1], *rows[2:]]

    def says(self) -> str:
        """With the units that moved, where they were read off."""
        moved = [i for i, unit in enumerate(self.order) if unit != i]
        if not moved:
            return super().says()
        which = f"{moved[0]} and {moved[1]} swapped" if len(moved) == 2 else listed(self.order)
        return f"{super().says()}: {which}"


@dataclass(frozen=True)
class UnitsSwapped(InOtherOrder):
    """Units of a layer are swapped, and nothing above knows of it."""

    id = "units_swapped"
    sentence = "the units of {at} are in another order, and the layer above does not know of it"
    formula = "W ← «P» W, b ← «P» b   (and nothing above)"
    origin = "a checkpoint that was split, joined or sorted"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Linear layers of two units or more."""
        return _of_several_units(scenario)

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """Also what the layers around it compute."""
        return None

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Rows in that order."""
        return {**state, **self._reordered(run.scenario, state, ("weight", "bias"))}


@dataclass(frozen=True)
class RowsSwapped(InOtherOrder):
    """Rows of a weight are swapped, and its bias knows nothing of it."""

    id = "rows_swapped"
    sentence = "the rows of the weight of {at} are in another order, and its bias is not"
    formula = "W ← «P» W, b ← b"
    origin = "a weight that was sorted or split without its bias"
    with_bias = False

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Linear layers of two units or more with a bias."""
        return [name for name in _of_several_units(scenario) if name in biased(scenario)]

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Rows in that order."""
        return {**state, **self._reordered(run.scenario, state, ("weight",))}


@dataclass(frozen=True)
class UnitsPermuted(InOtherOrder):
    """The units of a layer are in another order, and the layer above knows of it: an equivalent network."""

    id = "units_permuted"
    sentence = "the units of {at} are in another order, consistently with the layer above (an equivalent network)"
    formula = "W ← «P» W, b ← «P» b, and above V ← V «Pᵀ»: f(x) is the same"
    origin = "a pruned, merged or sorted checkpoint"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """Linear layers of two units or more below another."""
        several = _of_several_units(scenario)
        return [below for below, above in _stacked(scenario).items() if below in several and above]

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each: an order of the units in one layer changes the layer above, too."""
        yield from (cls(at=at) for at in cls.places(scenario))

    def usual(self, rows: list[int]) -> list[int]:
        """Backwards."""
        return rows[::-1]

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """Also what the layers around it compute."""
        return None

    def loaded(self, run: Circumstances, state: Mapping[str, Array]) -> Mapping[str, Array]:
        """Rows in that order here, columns above."""
        below = self.at or self.places(run.scenario)[0]
        above = f"{WEIGHT}{_stacked(run.scenario)[below]}.weight"
        order = self._rows(state[f"{WEIGHT}{below}.weight"])
        changed = {key: value[order] for key, value in state.items() if key.startswith(f"{WEIGHT}{below}.")}
        return {**state, **changed, above: state[above][:, order]}


def _of_several_units(scenario: Scenario) -> list[str]:
    return [layer_of(key) for key, param in matrices(scenario).items() if param.shape[0] > 1]


def _stacked(scenario: Scenario) -> dict[str, str]:
    """For each linear layer the one that takes its units, by way of activations only; "" where it is not one alone."""
    shapes, feeds, linear = scenario.shapes(), scenario.feeds(), [layer_of(key) for key in matrices(scenario)]
    trained = {layer_of(key) for key in scenario.used()}

    def above(name: str) -> str:
        takers = [taker for taker, inputs in feeds.items() if name in inputs]
        if len(takers) != 1 or len(feeds[takers[0]]) != 1:
            return ""
        if takers[0] in linear:
            return takers[0]
        return above(takers[0]) if takers[0] not in trained and shapes[takers[0]] == shapes[name] else ""

    return {name: above(name) for name in linear}
