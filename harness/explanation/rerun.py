"""What do the rules give with a change, at some steps of a trace, and how far is the trace from that?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any

import numpy as np

from isograd.arithmetic.noise import Kind
from isograd.arithmetic.noisy import noisy
from isograd.arithmetic.numbers import Arithmetic
from isograd.changes.change import Change
from isograd.changes.changed import ChangedSession
from isograd.dtypes import FORMATS
from isograd.envelope import Floats
from isograd.explanation.effort import HELD, SAMPLE
from isograd.explanation.kept import Steps, Unchanged, Whole
from isograd.explanation.local import spreads
from isograd.explanation.replay import Replay, end_to_end
from isograd.floors import pooled
from isograd.inputs import Array
from isograd.judging import FACTOR
from isograd.scaled import scale

NoiseOf = Callable[[Kind], Arithmetic]
"""Arithmetic for a kind of noisy runs."""

FAR = 10.0
"""An element's envelope is seldom so many times its tensor's typical one, but for a ReLU that goes either way."""

FURTHEST = 64
"""Elements of a large tensor that are looked at because they are furthest off."""

RESIZED = 4.0
"""A tensor that a change makes so many times smaller is weighted anew."""

ROUGHLY = 100.0
"""A change that is further off than so many bounds, without noise, is not looked at with noise."""


@dataclass(frozen=True)
class Rerun(Replay):
    """Steps of a trace, run again by changed rules from the trace's own states.

    Attributes:
        local: the trace and its states.
        steps: the steps that are looked at, the first of them first.
    """

    steps: Steps

    def at(self, steps: Steps) -> Rerun:
        """The same trace, where other steps are looked at."""
        return replace(self, steps=steps)

    def compare(
        self,
        change: Change,
        steps: Steps,
        names: list[str] | None = None,
        *,
        stop: bool = False,
        noise: NoiseOf | None = None,
        strict: bool = False,
    ) -> tuple[float, tuple[str, int]]:
        """The largest error in bounds of a change's noisy runs, and where.

        Args:
            change: what is different from the rules.
            steps: where.
            names: quantities; None: all that the trace has.
            stop: at the first step that is outside.
            noise: another arithmetic's; None: the scenario's.
            strict: each element by its own bound, also where the change accounts for nearly all that is wrong.
        """
        worst = (0.0, ("", 0))
        for ratio in self.ratios(change, steps, names, noise=noise, strict=strict):
            worst = max(worst, ratio)
            if stop and not ratio[0] <= 1.0:
                break
        return worst

    def ratios(
        self,
        change: Change,
        steps: Steps,
        names: list[str] | None = None,
        *,
        noise: NoiseOf | None = None,
        strict: bool = False,
    ) -> Iterator[tuple[float, tuple[str, int]]]:
        """The largest error in bounds at each of the steps, one after the other, and where."""
        for step, seen in self._spreads(change, steps, noise or self.noise(4)):
            yield max((self._ratio(name, step, seen[name], strict), (name, step)) for name in names or self.present)

    def noise(self, seed: int, dtype: str = "", products: float | None = None) -> NoiseOf:
        """Arithmetic with noise of the scenario's dtype, or another's, for each kind of noisy runs."""
        dtype = dtype or self.local.scenario.dtype
        return lambda kind: noisy(dtype, self.local.effort.runs, FACTOR, seed, products, kind=kind)

    def _ratio(self, name: str, step: int, seen: tuple[Floats, Floats], strict: bool = False) -> float:
        got, (value, spread) = self.local.recorded(name, step), seen
        if value.shape != got.shape:  # a change that turns a weight round accounts for just that shape
            return float("inf")
        if name == "lr":  # a constant is right where it rounds to what was recorded
            dtype = FORMATS[self.local.scenario.dtype].dtype
            near = self.local.rate_slack(step) >= np.abs(got - value)
            return 0.0 if float(value.astype(dtype)) == float(got) or near else float("inf")
        got, value = got[np.newaxis], value[np.newaxis]
        envelope = self.local.envelope(name, spread[np.newaxis], value, np.array([step]))
        ratio = float(scale(got, value, envelope).ratio[0]) / self.local.limit
        unchanged = self._unchanged(step).ratio.get(name, 0.0) if step in self.steps else 0.0
        if strict or ratio <= 1.0 or unchanged <= 1.0:
            return ratio
        # a change has no rounding of its own (data that are normalised in the dtype have some): where it accounts for
        # by far the most of what is wrong, its elements may be off by what the largest of their tensor may
        loose = float(scale(got, value, pooled(envelope)).ratio[0]) / self.local.limit
        return min(ratio, max(loose, ratio * FAR / unchanged))

    def _spreads(
        self, change: Change, steps: Steps, noise: NoiseOf
    ) -> Iterator[tuple[int, dict[str, tuple[Floats, Floats]]]]:
        """At each step, each quantity without noise, and how far noisy runs stray from it."""
        runs = [(kind, self.run(change, steps, noise(kind))) for kind in self.local.effort.kinds]
        for step in steps.tolist():
            yield step, spreads((kind, self._runs(next(run)[1])) for kind, run in runs)

    def _runs(self, seen: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
        """Each quantity with a leading axis of runs; a constant has one."""
        for name in self.present:
            yield name, self.with_runs(name, np.asarray(seen[name]))

    def vector(self, change: Change, names: list[str], steps: Steps) -> Floats:
        """All quantities of all steps in one vector, in float64; of large ones some elements (`_few`)."""
        runs = self.run(change, steps, "float64")
        return end_to_end([self._few(name, step, seen[name]) for step, seen in runs for name in names])

    def roughly(self, change: Change, steps: Steps, strict: bool = False) -> tuple[float, tuple[str, int]]:
        """How near a change comes at the first of the steps, without noise; 1 is a hundred times its bound.

        Noise costs a hundred times as much, and most changes are wrong by far.

        Args:
            change: what is different from the rules.
            steps: the first of them counts.
            strict: by the typical envelope of a tensor. Where a ReLU can go either way the largest one is no measure.
        """
        ratio, where = next(self.plainly(change, steps[:1], strict))
        return ratio / ROUGHLY, where

    def moves_before(self, change: Change, name: str, step: int) -> bool:
        """Whether a change moves a quantity that comes before another, by more than `ROUGHLY` bounds.

        Not of a change that remembers. The step is run no further than that takes.
        """
        local, of = self.local, self._unchanged(step)
        before = set(takewhile(lambda other: other != name, local.shapes)) & of.weight.keys() - {"lr"}
        session = ChangedSession(local.scenario, local.inputs, change, "float64", rounded=False)
        session.run.loads = not (local.trace.manifest.mode == "free" and step)
        local.effort.spent += local.effort.step / 2
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            session.load(step, local.state(step))
            for seen, value in session.walk(step, local.inputs.batch(step)):
                if seen == name:
                    return False
                if seen not in before:
                    continue
                right = self.ruled(seen, step)
                if np.shape(value) != right.shape:  # another batch, of which the trace may hold a part
                    return False
                off = np.where(np.isfinite(right), np.abs(value - right), 0.0).ravel() * of.weight[seen]
                if off.max(initial=0.0) > ROUGHLY * local.limit:  # what overflows or is NaN is for others to judge
                    return True
        return False

    def plainly(self, change: Change, steps: Steps, strict: bool = False) -> Iterator[tuple[float, tuple[str, int]]]:
        """The largest error without noise in the bounds of the unchanged rules, at each step, and where.

        Larger numbers have larger bounds, by as much.
        """
        for step, seen in self.run(change, steps, "float64"):
            turned = [name for name in self.present if np.shape(seen[name]) != self.local.recorded(name, step).shape]
            yield (np.inf, (turned[0], step)) if turned else self._off(step, seen, strict)

    def _off(self, step: int, seen: Mapping[str, Array], strict: bool) -> tuple[float, tuple[str, int]]:
        whole = self._whole(step)
        if not whole.names:
            return 0.0, ("", step)
        value = end_to_end([self._few(name, step, seen[name]) for name in whole.names])
        alike = (whole.got == value) | (np.isnan(whole.got) & np.isnan(value))
        off = np.abs(whole.got - value)
        off = np.where(alike, 0.0, np.where(np.isnan(off), np.inf, off))
        with np.errstate(divide="ignore", invalid="ignore"):
            larger = np.fmax(1.0, np.maximum.reduceat(np.abs(value), whole.starts) / whole.largest)
        weight = np.maximum(whole.weight, np.repeat(whole.typical, whole.sizes)) if strict else whole.weight
        ratio = off * weight / (self.local.limit * np.repeat(larger, whole.sizes))
        ratio = np.where(np.isnan(ratio), 0.0, ratio)
        worst = int(ratio.argmax())
        name = whole.names[int(np.searchsorted(whole.starts, worst, side="right")) - 1]
        return float(ratio[worst]), (name, step)

    def _whole(self, step: int) -> Whole:
        """All that changes of a step, in one piece."""
        if step not in self.kept.wholes:
            at, names = np.array([step]), [name for name in self.names if name != "lr"]
            sizes = np.array([len(self._few(name, step, self.local.recorded(name, step))) for name in names])
            largest = np.array([np.abs(self.ruled(name, step)).max(initial=0.0) for name in names])
            starts = np.cumsum(sizes) - sizes
            weight = self.weights(names, at)
            typical = np.array([self._unchanged(step).typical[name] for name in names])
            recorded = self.recorded(names, at)
            self.kept.wholes[step] = Whole(names, sizes, starts, recorded, weight, largest, typical)
        return self.kept.wholes[step]

    def ruled(self, name: str, step: int) -> Array:
        """One quantity by the unchanged rules."""
        ruled = self.kept.ruled
        if step not in ruled:
            ruled[step] = next(self.run(Change(), np.array([step]), "float64"))[1]
        return np.asarray(ruled[step][name])

    def recorded(self, names: list[str], steps: Steps) -> Floats:
        """What the trace has, likewise."""
        recorded = self.local.recorded
        return self._kept("recorded", names, steps, lambda name, at: self._few(name, at, recorded(name, at)))

    def weights(self, names: list[str], steps: Steps) -> Floats:
        """One over the envelope of each element, of the unchanged rules."""
        rules = self._unchanged
        return self._kept("weights", names, steps, lambda name, at: self._few(name, at, rules(at).weight[name]))

    def weights_near(self, values: Floats, names: list[str], steps: Steps) -> Floats | None:
        """The weights of what a change gives: a tensor that it makes much smaller has a smaller envelope, as much.

        None where no tensor's size is another by more than `RESIZED`.
        """
        sizes = self._sizes(names, steps)
        if not sizes.all():
            return None
        starts = self.starts(names, steps)
        ruled = self.ruled_end_to_end(names, steps)
        before, now = (np.maximum.reduceat(np.abs(side), starts) for side in (ruled, values))
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.where((before > 0) & (now > 0), before / now, 1.0)
        if not ((factor > RESIZED) | (factor < 1 / RESIZED)).any():
            return None
        return np.asarray(self.weights(names, steps) * np.repeat(factor, sizes))

    def ruled_end_to_end(self, names: list[str], steps: Steps) -> Floats:
        """What the unchanged rules give, as `vector` has it."""
        return self._kept("ruled", names, steps, lambda name, at: self._few(name, at, self.ruled(name, at)))

    def as_held(self, change: Change, names: list[str], steps: Steps) -> Floats:
        """A change's `vector` with learning rates rounded as a trace holds them: a constant has no bound to be off by.

        What is solved for is not: of a rounded rate there is no slope.
        """
        out = self.vector(change, names, steps)
        if "lr" in names and len(out) == int(self._sizes(names, steps).sum()):
            at = self.starts(names, steps)[names.index("lr") :: len(names)]
            out[at] = out[at].astype(FORMATS[self.local.scenario.dtype].dtype)
        return out

    def starts(self, names: list[str], steps: Steps) -> Steps:
        """Where each quantity of each step begins in a `vector`."""
        sizes = self._sizes(names, steps)
        return np.asarray(np.cumsum(sizes) - sizes)

    def _sizes(self, names: list[str], steps: Steps) -> Steps:
        recorded = self.local.recorded
        sizes = self._kept("sizes", names, steps, lambda n, at: np.array([len(self._few(n, at, recorded(n, at)))]))
        return sizes.astype(np.int64)

    def _kept(self, what: str, names: list[str], steps: Steps, of: Callable[[str, int], Array]) -> Floats:
        """Some numbers of each quantity of each step, end to end: the same ones are asked for again and again."""
        key = (what, *names, *steps.tolist())
        found = self.kept.vectors.get(key)
        if found is None:
            found = end_to_end([of(name, at) for at in steps.tolist() for name in names])
            if len(found) <= HELD // 64:
                self.kept.vectors[key] = found
        return found

    def _few(self, name: str, step: int, value: Any) -> Floats:
        """A tensor end to end; of a large one some elements: evenly spread ones, and those that are the furthest off.

        A change that accounts for these is compared with all of them. What is solved for from so many is known as
        well as any element needs.
        """
        flat = np.asarray(value).reshape(-1)
        return flat if flat.size <= SAMPLE else flat[self._sample(name, step, flat.size)]

    def _sample(self, name: str, step: int, size: int) -> Steps:
        samples = self.kept.samples
        if (name, step) not in samples:
            even = np.linspace(0, size - 1, SAMPLE).astype(np.int64)
            off = np.abs(self.local.recorded(name, step) - self.ruled(name, step)).ravel()
            furthest = np.argpartition(np.nan_to_num(off, nan=np.inf), size - FURTHEST)[size - FURTHEST :]
            samples[name, step] = np.union1d(even, furthest)
        return samples[name, step]

    def _unchanged(self, step: int) -> Unchanged:
        found = self.kept.unchanged.get(step)
        if found is None:
            found = self.kept.unchanged[step] = self._by_the_rules(step)
        return found

    def _by_the_rules(self, step: int) -> Unchanged:
        spacing, at = FORMATS[self.local.scenario.dtype].spacing, np.array([step])
        of = Unchanged({"lr": np.ravel(1e6 / spacing(np.asarray(self.local.inputs.lr[step])))}, {}, {})
        ((_, seen),) = self._spreads(Change(), at, self.noise(5))
        for name in [name for name in self.present if name != "lr"]:
            value, spread = (side[np.newaxis] for side in seen[name])
            typical = max(float(np.median(spread)), float(spacing(np.abs(value).max(initial=0.0))))
            of.typical[name] = 1 / (FAR * typical)
            envelope = self.local.envelope(name, spread, value, at)
            of.weight[name] = 1 / np.ravel(pooled(envelope))
            got = self.local.recorded(name, step)[np.newaxis]
            if got.shape == value.shape:
                of.ratio[name] = float(scale(got, value, envelope).ratio[0]) / self.local.limit
        return of

    def bound(self, name: str, step: int) -> Floats:
        """How far each element of a quantity may be off from the unchanged rules, in the shape that they give it."""
        return np.asarray(self.local.limit / self._unchanged(step).weight[name]).reshape(self.ruled(name, step).shape)

    @cached_property
    def present(self) -> list[str]:
        """Quantities of the scenario that the trace has, in execution order."""
        return [name for name in self.local.shapes if name in self.local.trace.columns]

    @cached_property
    def names(self) -> list[str]:
        """Those of them that can be compared element by element with what the rules give."""
        return [name for name in self.present if self.local.fits(name)]
