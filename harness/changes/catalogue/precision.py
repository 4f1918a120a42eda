"""What can be wrong with the precision, or with what is no number?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from isograd.arithmetic.words import maximum, minimum, sqrt, where
from isograd.changes.catalogue.losses import OF_SQUARES
from isograd.changes.change import Change, Circumstances
from isograd.changes.instead import cast, followed, instead
from isograd.changes.places import AtLayer, AtParameter, OfLoss
from isograd.dtypes import FORMATS
from isograd.ops.op import Back, Layer, Loss, Op, Out
from isograd.scenario import Scenario


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


Narrow = Literal["bfloat16", "float16", "float32"]


def narrower(scenario: Scenario) -> list[Narrow]:
    """Dtypes with fewer digits than the scenario's."""
    names: tuple[Narrow, ...] = ("bfloat16", "float16", "float32")
    return [name for name in names if FORMATS[name].digits < FORMATS[scenario.dtype].digits]


@dataclass(frozen=True)
class _Narrow(Change):
    """A change that names a narrower dtype, and a place."""

    at: str = ""
    name: Narrow = "bfloat16"

    @property
    def where(self) -> str:
        """The place, and the dtype."""
        return f"{self.at}: {self.name}" if self.at else self.name

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each narrower dtype at each place, and at all."""
        every = list(super().variants(scenario))
        yield from (replace(change, name=name) for name in narrower(scenario) for change in every)


@dataclass(frozen=True)
class LayerIn(_Narrow, AtLayer):
    """A layer computes in a narrower dtype: its inputs, parameters, and all that it gives are rounded to it."""

    id = "layer_in"
    sentence = "{at} computes in {name}"
    formula = "a = «fl»(f(«fl»(x), «fl»(W)))"
    origin = "autocast, half() on a module, a dtype argument"

    def touches(self, scenario: Scenario) -> frozenset[str] | None:
        """Of all layers together also what the loss hands back."""
        return super().touches(scenario) if self.at else None

    def op(self, run: Circumstances, op: Op) -> Any:
        """The rules between roundings; of all layers together also what the loss hands back."""

        def narrow(values: Any) -> Any:
            return cast(values, self.name)

        if isinstance(op, Loss) and not self.at:
            return instead(op, gradient=lambda yhat, y: narrow(op.gradient(yhat, y)))
        if not (isinstance(op, Layer) and self.here(op)):
            return op

        def forward(p: Mapping[str, Any], *x: Any) -> Out:
            out = op.forward({key: narrow(v) for key, v in p.items()}, *map(narrow, x))
            return Out(narrow(out.a), out, out.buffers)

        def backward(p: Mapping[str, Any], out: Out, d: Any, *x: Any) -> Back:
            kept = out.saved._replace(a=out.a)
            back = op.backward({key: narrow(v) for key, v in p.items()}, kept, narrow(d), *map(narrow, x))
            return Back(*map(narrow, back.inputs), **{key: narrow(g) for key, g in back.params.items()})

        return instead(op, forward=forward, backward=backward)


@dataclass(frozen=True)
class LossIn(OfLoss):
    """The loss is computed in a narrower dtype, of outputs and labels that are rounded to it."""

    id = "loss_in"
    sentence = "the loss is computed in {name}: all that it is given is rounded to it"
    formula = "L = «fl»(ℓ(«fl»(«fl»(ŷ) − «fl»(y))))"
    origin = "half() on outputs and labels, autocast around a loss"

    name: Narrow = "float16"

    @property
    def where(self) -> str:
        """The dtype."""
        return self.name

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each narrower dtype, where labels are numbers."""
        yield from (cls(name=name) for name in narrower(scenario) if scenario.loss.labels == "values")

    def loss(self, run: Circumstances, op: Loss) -> Any:
        """Of the rounded difference, and rounded; of squares the factor of the gradient is, and each square."""
        squares = op.kind in OF_SQUARES

        def narrow(values: Any) -> Any:
            return cast(values, self.name)

        def residual(yhat: Any, y: Any) -> Any:
            return narrow(narrow(yhat) - narrow(y))

        def value(yhat: Any, y: Any) -> Any:
            r = residual(yhat, y)
            return narrow(op.value(sqrt(narrow(r * r)) if squares else r, 0 * r))

        def gradient(yhat: Any, y: Any) -> Any:
            r = residual(yhat, y)
            by = narrow(op.gradient(0 * r + 1, 0 * r) / 2) * 2
            return narrow(by * r if squares else op.gradient(r, 0 * r))

        return instead(op, value=value, gradient=gradient)


@dataclass(frozen=True)
class OutputIn(_Narrow, AtLayer):
    """A layer's output is kept in a narrower dtype, and so is its gradient."""

    id = "output_in"
    sentence = "the output of {at} is kept in {name}"
    formula = "a ← «fl»(a), d ← «fl»(d)"
    origin = "half(), a cast between two layers, activations that are stored narrow"

    name: Narrow = "float16"
    gradient: bool = True

    @classmethod
    def variants(cls, scenario: Scenario) -> Iterator[Self]:
        """Each narrower dtype in each layer, and in all; with the gradient and without."""
        for change in super().variants(scenario):
            yield from (replace(change, gradient=gradient) for gradient in (True, False))

    def op(self, run: Circumstances, op: Op) -> Any:
        """Rounded once."""
        if not (isinstance(op, Layer) and self.here(op)):
            return op
        back = (lambda d, a: cast(d, self.name)) if self.gradient else (lambda d, a: d)
        return followed(op, lambda a: cast(a, self.name), back)


@dataclass(frozen=True)
class WeightsIn(_Narrow, AtParameter):
    """Parameters are kept in a narrower dtype."""

    id = "weights_in"
    sentence = "{at} is kept in {name}"
    formula = "w ← «fl»(w)"
    origin = "a checkpoint, a master copy that is missing, a default dtype"

    name: Narrow = "float32"

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """Rounded after each update."""
        return cast(np.asarray(after), self.name) if self.here(key) else after


@dataclass(frozen=True)
class GradientsIn(_Narrow, AtParameter):
    """Gradients are kept in a narrower dtype."""

    id = "gradients_in"
    sentence = "the gradient of {at} is kept in {name}"
    formula = "g ← «fl»(g)"
    origin = "gradients that are compressed for an exchange between workers"

    def gradients(self, run: Circumstances, g: Any) -> Any:
        """Rounded before they are reported and used."""
        return {key: cast(np.asarray(v), self.name) if self.here(key) else v for key, v in g.items()}


@dataclass(frozen=True)
class Flushed(Change):
    """Denormal numbers are flushed to zero."""

    id = "flushed"
    sentence = "denormal (subnormal) results are flushed to zero"
    formula = "x ← «0» where 0 < |x| < the smallest normal number"
    origin = "set_flush_denormal, -ffast-math, a processor's FTZ and DAZ; JAX on the CPU"

    def op(self, run: Circumstances, op: Op) -> Any:
        """Every result of every layer, and of the loss."""
        least = FORMATS[run.scenario.dtype].normal

        def flushed(values: Any) -> Any:
            return where(abs(values) < least, 0, values)

        if isinstance(op, Loss):
            return instead(
                op,
                value=lambda yhat, y: flushed(op.value(yhat, y)),
                gradient=lambda yhat, y: flushed(op.gradient(yhat, y)),
            )
        if not isinstance(op, Layer):
            return op

        def backward(p: Mapping[str, Any], out: Out, d: Any, *x: Any) -> Back:
            back = op.backward(p, out.saved, flushed(d), *x)
            return Back(*map(flushed, back.inputs), **{key: flushed(g) for key, g in back.params.items()})

        return instead(followed(op, flushed, lambda d, a: d), backward=backward)

    def updated(self, run: Circumstances, key: str, w: Any, g: Any, after: Any) -> Any:
        """So are parameters, and updates."""
        least = FORMATS[run.scenario.dtype].normal
        step = np.where(np.abs(after - w) < least, 0.0, after - w)
        return np.where(np.abs(w + step) < least, 0.0, w + step)


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
