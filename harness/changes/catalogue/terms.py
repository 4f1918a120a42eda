"""Which known term is added to a gradient, or to an update? Read off what is left of it, and solved for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self, get_args

import numpy as np

from isograd.changes.change import Circumstances, Evidence, Recorded, Values
from isograd.changes.functions import TINY
from isograd.changes.places import AtParameter
from isograd.dtypes import FORMATS
from isograd.inputs import Array
from isograd.scenario import Scenario

NEAR = 1e-2
"""Of what is wrong, how much a term may leave over to be tried: rounding of the parameter that it was added to."""

STEPS = 4
"""Steps of which a term is read off."""

LARGE = 2**16
"""Numbers by which that is done, evenly spread."""

Where = Literal["the gradient", "the gradient that the update uses", "the update"]


class Known(NamedTuple):
    """What a term is made of, for one parameter; the first axes may be those of runs and steps.

    Attributes:
        w: the parameter before the update.
        g: its gradient, as the rules have it.
        start: its initial value.
        before: its gradient at the step before, as the rules have it.
        reported: the same with what is added.
        after: the parameter after the update, as the optimizer has it.
        axes: the parameter's own.
    """

    w: Array
    g: Array
    start: Array
    before: Array
    reported: Array
    after: Array
    axes: tuple[int, ...]


def _mean(of: Known, axes: tuple[int, ...]) -> Array:
    return np.asarray(of.g.mean(axis=axes, keepdims=True) + 0 * of.g)


def _norm(values: Array, axes: tuple[int, ...]) -> Array:
    return np.asarray(np.maximum(np.sqrt((values * values).sum(axis=axes, keepdims=True)), TINY))


TERMS: Mapping[str, tuple[Callable[[Known], Array], str]] = {
    "w": (lambda of: of.w, "the parameter itself (a decay)"),
    "w − w₀": (lambda of: of.w - of.start, "its distance from its initial value (a decay to the start)"),
    "sign w": (lambda of: np.sign(of.w), "the sign of the parameter (an l1 penalty)"),
    "w / ‖w‖": (lambda of: of.w / _norm(of.w, of.axes), "the parameter over its norm (a penalty of the norm itself)"),
    "w³": (lambda of: of.w**3, "the cube of the parameter"),
    "w − mean w": (
        lambda of: of.w - of.w.mean(axis=of.axes, keepdims=True),
        "the parameter less the mean of its elements (a penalty of their variance)",
    ),
    "g of before": (lambda of: of.before, "its gradient of the step before"),
    "what came before": (lambda of: of.reported, "what it came to at the step before (a moving average, a momentum)"),
    "sign g": (lambda of: np.sign(of.g), "the sign of its gradient"),
    "g / ‖g‖": (lambda of: of.g / _norm(of.g, of.axes), "its gradient over its norm (normalised)"),
    "g²": (lambda of: of.g * of.g, "the square of its gradient"),
    "g³": (lambda of: of.g**3, "the cube of its gradient"),
    "g |g|": (lambda of: of.g * np.abs(of.g), "its gradient times its own size"),
    "mean g": (lambda of: _mean(of, of.axes), "the mean of its gradient over all its elements"),
    "mean g of a row": (lambda of: _mean(of, of.axes[-1:]), "the mean of its gradient over each row"),
    "mean g of a column": (lambda of: _mean(of, of.axes[:1]), "the mean of its gradient over each column"),
    "w g": (lambda of: of.w * of.g, "the parameter times its gradient"),
    "|w| g": (lambda of: np.abs(of.w) * of.g, "the parameter's size times its gradient"),
    "w² g": (lambda of: of.w * of.w * of.g, "the square of the parameter times its gradient"),
    "w |g|": (lambda of: of.w * np.abs(of.g), "the parameter times its gradient's size"),
    "w Σ w g": (
        lambda of: of.w * (of.w * of.g).sum(axis=of.axes, keepdims=True),
        "the part of its gradient along the parameter",
    ),
    "1": (lambda of: 1 + 0 * of.g, "1 (a constant)"),
    "w of after": (lambda of: of.after, "the parameter after the update (a decay)"),
    "w of after − w₀": (lambda of: of.after - of.start, "the updated parameter's distance from its initial value"),
    "sign w of after": (lambda of: np.sign(of.after), "the sign of the parameter after the update (an l1 penalty)"),
    "w³ of after": (lambda of: of.after**3, "the cube of the parameter after the update"),
}
"""What may be added to a gradient or an update, of each parameter by itself, and how it is said."""

REMEMBERED = ("g of before", "what came before")
AFTER = "of after"


def _rate_of(evidence: Evidence, key: str, step: int) -> float:
    own = evidence.scenario.own().get(key)
    return float(evidence.inputs.lr[step]) * (own.rate if own else 1.0)


@dataclass(frozen=True)
class TermAdded(AtParameter):
    """A term that is known is added to a gradient, or to an update."""

    id = "term_added"
    sentence = "{by:.7g} times {of} is added to {to} of {at}"
    formula = "g ← «k» g «+ c φ(w, g)»"
    origin = "a penalty, a decay, a centred or smoothed gradient: whatever somebody adds by hand"
    needs = ("by",)
    tables = {"of": TERMS}  # noqa: RUF012
    reading = 10

    of: str = "w"
    to: Where = "the gradient"
    by: float = 0.0
    times: float = 1.0
    begins: Literal["with 0", "with its own"] = "with 0"

    @property
    def solve(self) -> Mapping[str, float]:  # type: ignore[override]  # with a factor, where that is another too
        """How much of the term; and how much of what it is added to."""
        return {"by": 0.0} | ({"times": 1.0} if self.times != 1.0 else {})

    @property
    def remembers(self) -> bool:  # type: ignore[override]  # of one term
        """Whether it needs the steps before."""
        return self.of in REMEMBERED

    def back_in(self, scenario: Scenario) -> int | None:
        """The step before is enough for its gradient; what it came to is reported, or it is led through all of them."""
        return 1 if self.of == "g of before" else 0 if self.to == "the gradient" else None

    def recall(self, run: Circumstances, recorded: Recorded) -> None:
        """What the gradients came to at the step before."""
        found = {key: recorded(f"grad/{key}", 1) for key in run.inputs.weights if self.to == "the gradient"}
        run.memory = {key: (value, value) for key, value in found.items() if value is not None}

    vague = True  # a change with a name says more

    @property
    def where(self) -> str:
        """Where, and what."""
        return f"{self.at or 'every parameter'}: {self.of}"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """To the gradient, reported or not, and to what the update makes of it."""
        for plain in super().variants(scenario):
            yield from (replace(plain, to=to) for to in get_args(Where))

    def says(self) -> str:
        """How much of what; and what else."""
        said = super().says().replace(f"times {self.of} is", f"times {TERMS[self.of][1]} is")
        if self.of.startswith("mean g") and self.by == -1.0:
            over = TERMS[self.of][1].removeprefix("the mean of its gradient ")
            said = f"{self.to} of {self.at or 'every parameter'} is centred: its mean {over} is subtracted"
        if self.to == "the gradient that the update uses":
            said += ", and what is reported is right"
        return said if self.times == 1.0 else f"{said}, which itself is {self.times:.7g} times what it should be"

    def fitted(self, evidence: Evidence) -> Iterator[Self]:
        """Every term that, with the right constant, leaves next to nothing of what is wrong; or with a factor."""
        steps = evidence.looked_at[:STEPS]
        keys = [key for key in evidence.inputs.weights if self.here(key)]
        parts = [self._read(evidence, key, step) for step in steps for key in keys]
        if not parts or any(part is None for part in parts):
            return
        read = [part for part in parts if part is not None]
        wrong = np.concatenate([np.ravel(off) for off, _, _ in read])
        base = np.concatenate([np.ravel(base) for _, base, _ in read])
        least = (
            max(float(np.abs(known.w).max(initial=0.0)) for _, _, known in read) if self.to != "the gradient" else 0.0
        )
        least = max(least, float(np.abs(base).max(initial=0.0))) * FORMATS[evidence.scenario.dtype].roundoff
        if not np.isfinite(wrong).all() or not np.abs(wrong).max(initial=0.0) > least:
            return  # it is right
        some = slice(None, None, max(1, len(wrong) // LARGE))
        wrong, base = wrong[some], base[some]
        alike = evidence.scenario.is_plain and evidence.scenario.schedule is None
        for name, (of, _) in TERMS.items():
            if (name.endswith(AFTER) or (alike and self.to == "the update")) and not (
                name.endswith(AFTER) and self.to == "the update"
            ):
                continue  # what is added to the gradient of gradient descent is added to its update
            with np.errstate(all="ignore"):
                term = np.concatenate([np.ravel(of(known)) for _, _, known in read])[some]
            for columns in ([term], [term, base]):
                found = _least_squares(columns, wrong)
                if found is not None and (len(found) == 1 or abs(found[1]) > NEAR * NEAR):
                    own = steps[0] and len(found) > 1  # an average begins with what it is of
                    times = 1 + found[1] if len(found) > 1 else 1.0
                    yield replace(self, of=name, by=found[0], times=times, begins="with its own" if own else "with 0")
                    break

    def _read(self, evidence: Evidence, key: str, step: int) -> tuple[Array, Array, Known] | None:
        """What is wrong of a parameter's gradient or update, what that should be, and what terms are made of."""
        kind = "grad" if self.to == "the gradient" else "weight"
        got, g = evidence.recorded(f"{kind}/{key}", step), evidence.ruled(f"grad/{key}", step)
        if got is None:
            return None
        w, right = evidence.state(step)[f"weight/{key}"].astype(np.float64), evidence.ruled(f"{kind}/{key}", step)
        off, due = got - right, (g if self.to == "the gradient" else right - w)
        if self.to == "the gradient that the update uses":
            rate = -_rate_of(evidence, key, step)  # right for plain gradient descent; the trial tells for others
            off, due = (off / rate, g) if rate else (off, due)
        start = evidence.inputs.weights[key].astype(np.float64)
        before, reported = self._before(evidence, key, step, g)
        return (
            off,
            due,
            Known(w, g, start, before, reported, evidence.ruled(f"weight/{key}", step), tuple(range(-g.ndim, 0))),
        )

    def _before(self, evidence: Evidence, key: str, step: int, g: Array) -> tuple[Array, Array]:
        """A parameter's gradient at the step before, and what it came to then."""
        if not step:
            return 0 * g, 0 * g
        before, reported = evidence.ruled(f"grad/{key}", step - 1), evidence.recorded(f"grad/{key}", step - 1)
        rate, after = _rate_of(evidence, key, step - 1), evidence.recorded(f"weight/{key}", step - 1)
        if self.to != "the gradient" and after is not None and rate:
            w = evidence.state(step - 1)[f"weight/{key}"].astype(np.float64)
            reported = after - w if self.to == "the update" else (w - after) / rate
        return before, 0 * g if reported is None else reported

    def _of(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Known:
        start = run.inputs.weights[key].astype(np.float64)
        before, reported = run.memory.get(key, (0 * g, 0 * g) if self.begins == "with 0" else (g, g))
        return Known(w, g, start, before, reported, after, tuple(range(-start.ndim, 0)))

    def gradients(self, run: Circumstances, g: Values) -> Values:
        """With the term, where it is reported."""
        if self.to != "the gradient":
            return g
        return {k: self._with(v, run, k, run.plain(run.parameter(k)), v) if self.here(k) else v for k, v in g.items()}

    def used(self, run: Circumstances, key: str, w: Any, g: Any) -> Any:
        """With the term, where only the update knows of it."""
        here = self.to == "the gradient that the update uses" and self.here(key)
        return self._with(g, run, key, w, g) if here else g

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """What is added to the update has been through no optimizer."""
        here = self.to == "the update" and self.here(key)
        return w + self._with(after - w, run, key, w, g, after) if here else after

    def _with(self, base: Any, run: Circumstances, key: str, w: Any, g: Any, after: Any = 0.0) -> Any:
        with np.errstate(all="ignore"):
            came = self.times * base + self.by * TERMS[self.of][0](self._of(run, key, w, g, after))
        run.memory[key] = g, came
        return came


def _least_squares(columns: list[Array], wrong: Array) -> list[float] | None:
    """The constants with which columns give what is wrong, or nearly; None where none do, or any would."""
    matrix = np.stack(columns, axis=1)
    size = np.linalg.norm(matrix, axis=0)
    if len(wrong) <= len(columns) or not np.isfinite(matrix).all() or not size.all():
        return None
    found, _, rank, _ = np.linalg.lstsq(matrix / size, wrong, rcond=1e-9)
    left = np.abs(matrix / size @ found - wrong).max()
    return [float(v) for v in found / size] if rank == len(columns) and left <= NEAR * np.abs(wrong).max() else None
