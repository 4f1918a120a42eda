"""What can be wrong with the precision, or with what is no number?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

import numpy as np
from pydantic.dataclasses import dataclass

from isograd.arithmetic.words import maximum, minimum, where
from isograd.changes.change import (
    OPTIONS,
    AtLayer,
    Change,
    Circumstances,
    instead,
)
from isograd.dtypes import FORMATS
from isograd.ops.op import Back, Layer, Op, Out
from isograd.scenario import Scenario


@dataclass(config=OPTIONS)
class ComputedIn(Change):
    """A narrower arithmetic."""

    id = "computed_in"
    sentence = "it is computed in {name}"
    formula = "«fl»(x ∘ y) with fewer digits"
    origin = "autocast, a GPU's TF32, a default dtype"

    name: Literal["bfloat16", "float16", "tf32", "float32"] = "bfloat16"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Every one that is narrower than the scenario's dtype."""
        digits = {"bfloat16": 8, "float16": 11, "tf32": 11, "float32": 24}
        narrower = (name for name, d in digits.items() if d < FORMATS[scenario.dtype].digits)
        yield from (cls(name=name) for name in narrower)  # type: ignore[arg-type]

    def arithmetic(self) -> str | None:
        """The narrower one."""
        return self.name

    def precision(self) -> tuple[str, float] | None:
        """Its own; TF32 rounds what goes into products, both factors, and nothing else."""
        if self.name == "tf32":
            return "float32", 2 * FORMATS["float16"].roundoff
        return self.name, FORMATS[self.name].roundoff


@dataclass(config=OPTIONS)
class NarrowRate(Change):
    """The learning rate is kept in float32."""

    id = "narrow_rate"
    sentence = "the learning rate is kept in float32"
    formula = "η ← «fl₃₂»(η)"
    origin = "a framework that keeps an optimizer's constants in float32"

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """In float64 runs."""
        yield from [cls()] if scenario.dtype == "float64" else []

    def rate(self, run: Circumstances, lr: float) -> float:
        """Rounded to float32."""
        return float(np.float32(lr))


@dataclass(config=OPTIONS)
class NarrowConstant(AtLayer):
    """A layer's constant is kept in float32."""

    id = "narrow_constant"
    sentence = "the constant of {at} is kept in float32"
    formula = "a = «fl₃₂»(k) z"
    origin = "a framework that keeps a layer's settings in float32"

    every = "every layer that has one"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """In float64 runs, layers with a number among their settings."""
        wide = scenario.layers if scenario.dtype == "float64" else ()
        return [layer.name for layer in wide if _constants(layer)]

    def op(self, run: Circumstances, op: Op) -> Any:
        """The operation, with its constants rounded to float32; parameters are arrays, and stay."""
        if not (isinstance(op, Layer) and self.here(op)):
            return op
        return op.model_copy(update={key: float(np.float32(value)) for key, value in _constants(op).items()})


def _constants(op: Op) -> dict[str, float]:
    return {key: value for key, value in op if isinstance(value, float)}


@dataclass(config=OPTIONS)
class InfinityClipped(AtLayer):
    """A layer gives the largest number where it should give infinity."""

    id = "infinity_clipped"
    sentence = "{at} gives the largest number of the dtype instead of infinity"
    formula = "a ← «clip»(a, −a_max, a_max)"
    origin = "nan_to_num, a clamp against overflow in mixed precision, saturating conversions"

    def op(self, run: Circumstances, op: Op) -> Any:
        """Clipped; NaN stays."""
        if not (isinstance(op, Layer) and self.here(op)):
            return op
        largest = FORMATS[run.scenario.dtype].largest

        def forward(p: Mapping[str, Any], *x: Any) -> Out:
            out = op.forward(p, *x)
            return out._replace(a=minimum(maximum(out.a, -largest), largest))

        return instead(op, forward=forward)


@dataclass(config=OPTIONS)
class NanToZero(AtLayer):
    """ReLU makes 0 of NaN."""

    id = "nan_to_zero"
    sentence = "{at} makes 0 of NaN"
    formula = "a = «[z > 0]» z   (0 where z is NaN)"
    origin = "max written as a comparison, fmax, a compiler's fast-math; PaddlePaddle 3.3.1's own ReLU on x86-64"

    every = "every ReLU"

    @classmethod
    def places(cls, scenario: Scenario) -> list[str]:
        """ReLUs."""
        return [layer.name for layer in scenario.layers if layer.kind == "relu"]

    def op(self, run: Circumstances, op: Op) -> Any:
        """0 where z > 0 does not hold, and so its derivative, by which d is multiplied."""
        if op.kind != "relu" or not self.here(op):
            return op
        return instead(
            op,
            forward=lambda p, z: Out(where(z > 0, z, 0)),
            backward=lambda p, out, d, z: Back(where(z > 0, d, d * 0)),
        )
