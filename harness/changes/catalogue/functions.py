"""Which function stands in an activation's place, behind a layer, or for a derivative? Found by its numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from isograd.arithmetic.numbers import Exact
from isograd.changes.catalogue.activations import elementwise
from isograd.changes.change import Circumstances, Evidence
from isograd.changes.functions import MORE, Function
from isograd.changes.instead import followed, instead
from isograd.changes.places import AtLayer, is_activation
from isograd.changes.reading import met, near
from isograd.inputs import Array
from isograd.ops.op import Back, Layer, Op, Out
from isograd.scenario import Scenario

NEAR = 1e-4
"""Of the largest number, how far a function may be off to be tried."""

LARGE = 2**14
"""Numbers of a layer by which a function is looked for, in whole samples."""

STEPS = 8
"""Gauss–Newton steps by which its two constants are."""

How = Literal["in its place", "its derivative", "after it", "before it"]


def _functions() -> dict[str, Function]:
    def of_kind(kind: str, op: type[Layer]) -> Function:
        layer = op.model_construct(kind=kind, name="f")
        return Function(
            lambda z: layer.forward({}, z).a,
            lambda z, a, d: layer.backward({}, layer.forward({}, z), d, z).inputs[0],
            kind.replace("_", " "),
        )

    plain = {kind: of_kind(kind, op) for kind, op in elementwise() if kind not in MORE}
    return {**plain, **MORE}


FUNCTIONS = _functions()
"""Every function that is looked for, by name: the operations' own, with their usual settings, and more."""


@dataclass(frozen=True)
class OtherFunction(AtLayer):
    """Another function stands in an activation's place, or comes after a layer, or gives an activation's derivative."""

    id = "other_function"
    sentence = "{at} is another function"
    formula = "a = «α g(β z)»   (not f(z))"
    origin = "an activation written by hand, a temperature, a constant of another paper, one layer too many"
    needs = ("of",)
    tables = {"of": FUNCTIONS}  # noqa: RUF012
    reading = 10
    choices = ("how",)

    how: How = "in its place"
    of: str = ""
    times: float = 1.0
    by: float = 1.0

    @property
    def solve(self) -> Mapping[str, float]:  # type: ignore[override]  # of a function with constants
        """The constants that are not 1: any is another function."""
        return {name: float("inf") for name in ("times", "by") if getattr(self, name) != 1.0}

    vague = True  # a change with a name says more

    @property
    def where(self) -> str:
        """Where, and which."""
        return f"{self.at}: {self.of}" + ("" if self.how == "in its place" else f", {self.how}")

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """In the place of each activation, and of all; behind the other layers, and before them."""
        here = [layer.name for layer in scenario.layers if is_activation(scenario, layer)]
        ways: tuple[How, ...] = ("in its place", "its derivative")
        others: tuple[How, ...] = ("after it", "before it")
        for at in (*here, *([""] if len(here) > 1 else [])):
            yield from (cls(at=at, how=how) for how in ways)
        feeds = scenario.feeds()
        for layer in scenario.layers:
            if layer.name not in here and len(feeds[layer.name]) == 1:
                yield from (cls(at=layer.name, how=how) for how in others)

    def says(self) -> str:
        """Which function, of what, stands where."""
        inner = "" if self.by == 1.0 else f" of {self.by:.7g} times what it is given"
        said = ("" if self.times == 1.0 else f"{self.times:.7g} times ") + FUNCTIONS[self.of].said + inner
        at = self.at or "every activation"
        return {
            "in its place": f"{at} is {said}",
            "its derivative": f"{at} has the derivative of {said}, not its own",
            "after it": f"after {at} comes {said}",
            "before it": f"what {at} is given goes through {said} first",
        }[self.how]

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Every function that, with at most two constants, gives the numbers of the first wrong step."""
        step, scenario = evidence.steps[0], evidence.scenario
        if self.how == "before it":
            yield from self._before(evidence, step)
            return
        places = [layer.name for layer in scenario.layers if is_activation(scenario, layer)]
        names = [self.at] if self.at else places
        if all(self._is_right(evidence, step, name) for name in names):
            return
        found = [self._numbers(evidence, step, name) for name in names]
        numbers = [tuple(None if of is None else of[_few(of)] for of in each) for each in found if each is not None]
        if len(numbers) < len(names):
            return
        own, slack = {scenario.layer(name).kind for name in names}, near(scenario.dtype, NEAR)
        for name, function in FUNCTIONS.items():
            with np.errstate(all="ignore"):
                constants = [_fit(function, slack, *each) for each in numbers]  # type: ignore[arg-type]  # of three each
            first = constants[0]
            if first is None or (name in own and first == (1.0, 1.0)):
                continue
            if all(other is not None and np.allclose(other, first, rtol=1e-3) for other in constants):
                yield replace(self, of=name, times=first[0], by=first[1])

    def _before(self, evidence: Evidence, step: int) -> Iterator[Self]:
        """Every function of what a layer is given by which it gives what the trace has."""
        layer = met(evidence, self.at, step)
        if layer is None:
            return
        least = near(evidence.scenario.dtype, NEAR) * float(np.abs(layer.a).max(initial=0.0))
        for name, function in FUNCTIONS.items():
            with np.errstate(all="ignore"):
                given = np.asarray(function.of(layer.x[0]))
                came = np.asarray(layer.layer.forward(layer.p, given).a)
            if not np.array_equal(given, layer.x[0]) and (np.abs(came - layer.a) <= least).all():
                yield replace(self, of=name)

    def _numbers(self, evidence: Evidence, step: int, name: str) -> tuple[Array, Array, Array | None] | None:
        """What the function is given, what it should give, and for a derivative what comes from above."""
        feeds = evidence.scenario.feeds()
        forward, (feed, *others) = f"forward/{name}", feeds[name]
        if self.how == "after it":
            got = evidence.recorded(forward, step)
            return None if got is None else (evidence.ruled(forward, step), got, None)
        if others or feed not in feeds:
            return None
        z = evidence.recorded(f"forward/{feed}", step)
        if self.how == "in its place":
            got = evidence.recorded(forward, step)
            return None if z is None or got is None else (z, got, None)
        d, got = evidence.recorded(f"backward/{name}", step), evidence.recorded(f"backward/{feed}", step)
        alone = [fed for names in feeds.values() for fed in names].count(feed) == 1
        return None if z is None or got is None or d is None or not alone else (z, got, d)

    def _is_right(self, evidence: Evidence, step: int, name: str) -> bool:
        """Whether what another function would change is what the rules give: then there is none to be found."""
        feed = evidence.scenario.feeds()[name][0]
        quantity = f"backward/{feed}" if self.how == "its derivative" else f"forward/{name}"
        got = evidence.recorded(quantity, step)
        if got is None:
            return False
        right = evidence.ruled(quantity, step)
        size = near(evidence.scenario.dtype, NEAR) * float(np.abs(right).max(initial=0.0))
        return bool(right.shape == got.shape and (np.abs(got - right) <= size).all())

    def op(self, run: Circumstances, op: Op) -> Any:
        """The function, with its derivative."""
        if not (self.of and isinstance(op, Layer) and self.here(op)):
            return op
        if not (self.at or is_activation(run.scenario, op)):
            return op
        f, times, by = FUNCTIONS[self.of], Exact(self.times), Exact(self.by)

        def of(z: Any) -> Any:
            return times * f.of(by * z)

        def back(d: Any, z: Any) -> Any:
            return times * (by * f.slope(by * z, f.of(by * z), d))

        if self.how == "after it":
            return followed(op, of, back)
        if self.how == "before it":

            def backward(p: Any, out: Out, d: Any, z: Any) -> Back:
                below = op.backward(p, out, d, of(z))
                return Back(back(below.inputs[0], z), **below.params)

            return instead(
                op,
                forward=lambda p, z: op.forward(p, of(z)),
                backward=backward,
                evaluate=lambda p, z: op.evaluate(p, of(z)),
            )
        if self.how == "its derivative":
            return instead(op, backward=lambda p, out, d, z: Back(back(d, z)))
        return instead(
            op,
            forward=lambda p, z: Out(of(z)),
            backward=lambda p, out, d, z: Back(back(d, z)),
            evaluate=lambda p, z: of(z),
        )


def _few(values: Array) -> slice:
    """Whole samples, as many as a function is looked for by."""
    return slice(max(1, LARGE // max(1, values[0].size)))


def _fit(function: Function, slack: float, z: Array, got: Array, d: Array | None) -> tuple[float, float] | None:
    """α and β with which α f(β z), or for a derivative α β f′(β z) d, is what there is; None if there are none.

    One where that is enough: with both 1, with α alone, with β alone, with both.
    """
    size = float(np.abs(got).max(initial=0.0))
    nothing = d is not None and not size  # a derivative of 0 is that of any constant
    if z.shape != got.shape or nothing or not (np.isfinite(got).all() and np.isfinite(z).all()):
        return None

    def value(by: float) -> Array:
        given = by * z
        return np.asarray(function.of(given) if d is None else by * function.slope(given, function.of(given), d))

    def fits(times: float, by: float) -> bool:
        return bool((np.abs(times * value(by) - got) <= slack * size).all())

    first = value(1.0)
    if not np.isfinite(first).all():
        return None
    if fits(1.0, 1.0):
        return 1.0, 1.0
    square = float((first * first).sum())
    if not square or not size or got.size < 3:
        return None
    times = float((first * got).sum()) / square
    if fits(times, 1.0):
        return times, 1.0
    for both in (False, True):
        found = _newton(value, got, times if both else 1.0, both)
        if found and fits(*found):
            return found
    return None


def _newton(value: Callable[[float], Array], got: Array, times: float, both: bool) -> tuple[float, float] | None:
    by = 1.0
    for _ in range(STEPS):
        at, width = value(by), 1e-6 * max(1.0, abs(by))
        slope = times * (value(by + width) - at) / width
        columns = [slope.ravel(), at.ravel()] if both else [slope.ravel()]
        matrix, left = np.stack(columns, axis=1), (got - times * at).ravel()
        if not (np.isfinite(matrix).all() and np.isfinite(left).all()):
            return None
        normal = matrix.T @ matrix
        if not (np.isfinite(normal).all() and np.linalg.cond(normal) < 1e12):
            return None
        moved = np.linalg.solve(normal, matrix.T @ left)
        by, times = by + float(moved[0]), times + (float(moved[1]) if both else 0.0)
        if abs(moved[0]) <= 1e-9 * max(1.0, abs(by)):
            break
    return (times, by) if np.isfinite(times) and np.isfinite(by) and abs(by) < 1e3 else None
