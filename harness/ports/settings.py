"""Which settings of modules, losses and optimizers differ? Read off the objects, before any number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from isograd.ports.pairing import Pairing
from isograd.structure import OptimizerOf, Setting, Structure, Unit

CLOSE = 1e-6
"""Two numbers are one setting if they differ by no more than this share: frameworks keep some in float32."""

DEFINED = ("unbiased",)
"""Settings that are no choice of a user's, but how a framework defines an operation (`isograd.ports.known`)."""

WORDS = {"tanh_form": "gelu by its tanh form (approximate)"}
"""Settings that their names do not explain."""


@dataclass(frozen=True)
class Different:
    """A setting that is not the same on both sides.

    Attributes:
        at: the unit on the first side; "loss", "schedule", or "optimizer" with its name.
        there: how the other side calls it.
        name: the setting.
        here: its value on the first side.
        other: its value on the other.
    """

    at: str
    there: str
    name: str
    here: Setting
    other: Setting

    @property
    def sentence(self) -> str:
        """In the user's words."""
        if self.name == "tied":
            alone, shared = ("there", "here") if self.here else ("here", "there")
            return f"{self.at} is tied {shared}: shared with another module; it is a parameter of its own {alone}"
        if self.name == "is updated":
            optimizer, _, param = self.at.partition(", ")
            if self.other:
                return f"{optimizer} has {param} there, and not here: it is updated there"
            return f"{optimizer} does not have {param} there: it is not updated"
        what = self.name if self.at == "schedule" else WORDS.get(self.name, self.name.replace("_", " "))
        return f"{self.at}: {what} is {self.told(self.other)} there, {self.told(self.here)} here"

    @staticmethod
    def told(value: Setting) -> str:
        """A setting as people write it."""
        return f"{value:.9g}" if isinstance(value, float) else str(value)


def different(first: Structure, other: Structure, pairing: Pairing) -> tuple[Different, ...]:
    """Every setting that differs, in the order of the first side's modules."""
    return (
        *_of_units(first, other, pairing),
        *_of_loss(first.loss, other.loss),
        *_of_optimizers(first, other, pairing),
        *_of("schedule", "schedule", first.schedule, other.schedule),
    )


def _of_units(first: Structure, other: Structure, pairing: Pairing) -> Iterator[Different]:
    there = {mine: theirs for theirs, mine in pairing.units.items()}
    theirs = other.of
    for unit in first.units:
        name = there.get(unit.name)
        if name is None:
            continue
        yield from _of(unit.name, name, unit.settings, theirs[name].settings)
        frozen = {pairing.params.get(f"{name}.{param}") for param in theirs[name].frozen}
        for param in unit.params:
            tied = param in theirs[name].tied
            if tied != (param in unit.tied):
                yield Different(f"{unit.name}.{param}", name, "tied", not tied, tied)
            is_frozen = f"{unit.name}.{param}" in frozen
            if is_frozen != (param in unit.frozen):
                yield Different(f"{unit.name}.{param}", name, "frozen", not is_frozen, is_frozen)


def _of_loss(here: Unit | None, there: Unit | None) -> Iterator[Different]:
    if here is None or there is None:
        return
    if here.known and there.known and here.kind != there.kind and "<" not in here.kind + there.kind:
        yield Different("loss", "loss", "kind", here.kind, there.kind)
    yield from _of("loss", "loss", here.settings, there.settings)


def _of_optimizers(first: Structure, other: Structure, pairing: Pairing) -> Iterator[Different]:
    for (name, here), (theirs, there) in zip(first.optimizers.items(), other.optimizers.items(), strict=False):
        at = f"optimizer {name}" if name else "optimizer"
        if here.kind != there.kind:
            yield Different(at, theirs, "rule", here.kind, there.kind)
        yield from _of_parameters(at, here, there, pairing)


def _of_parameters(at: str, here: OptimizerOf, there: OptimizerOf, pairing: Pairing) -> Iterator[Different]:
    """What an optimizer does with each parameter: a group's decay, a rate; said once where it is so for all."""
    of_there = {pairing.params.get(name, name): there.settings | settings for name, settings in there.params.items()}
    of_here = {name: here.settings | settings for name, settings in here.params.items()}
    both = [name for name in of_here if name in of_there]
    for setting in dict.fromkeys(name for settings in of_here.values() for name in settings):
        values = {
            param: (of_here[param][setting], of_there[param][setting])
            for param in both
            if setting in of_here[param] and setting in of_there[param]
        }
        off = [param for param, (mine, other) in values.items() if not _same(mine, other)]
        if off and len(off) == len(values) and len(set(values.values())) == 1:
            yield Different(at, "", setting, *values[off[0]])
        else:
            yield from (Different(f"{at}, {param}", "", setting, *values[param]) for param in off)
    for param in dict.fromkeys([*of_here, *of_there]):
        if (param in of_here) != (param in of_there):
            yield Different(f"{at}, {param}", "", "is updated", param in of_here, param in of_there)


def _of(at: str, there: str, here: Mapping[str, Setting], other: Mapping[str, Setting]) -> Iterator[Different]:
    for name in here:
        if name in other and name not in DEFINED and not _same(here[name], other[name]):
            yield Different(at, there, name, here[name], other[name])


def _same(one: Setting, other: Setting) -> bool:
    numbers = isinstance(one, (int, float)) and isinstance(other, (int, float))
    if numbers and not isinstance(one, bool) and not isinstance(other, bool):
        return abs(float(one) - float(other)) <= CLOSE * max(abs(float(one)), abs(float(other)))  # type: ignore[arg-type]
    if isinstance(one, (int, tuple)) and isinstance(other, (int, tuple)):  # 2 is (2, 2)
        return _spread(one, other) == _spread(other, one)
    return one == other


def _spread(one: int | tuple[int, ...], other: int | tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(one, tuple):
        return one
    return (one,) * len(other) if isinstance(other, tuple) else (one,)
