"""What can rounding do to a result? Arithmetic in which every operation's result is moved by that much at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from isograd.backends.numpy_manual import sizes
from isograd.backends.numpy_manual.arithmetic import Arithmetic
from isograd.backends.numpy_manual.noise import PIECE, Places, is_small, noise_scales
from isograd.backends.numpy_manual.rounded import Rounding, to_digits
from isograd.dtypes import FORMATS, Format
from isograd.inputs import Array

CORRECT = {np.add, np.subtract, np.multiply, np.divide}
EXACT = {np.negative, np.absolute, np.minimum, np.maximum}

UNDERFLOWS = 1000.0
"""An underflow costs the smallest number there is; it is left out where that is less than one part in so many of the
rounding error."""


class Noise(Rounding):
    """Noise of the size of a dtype's rounding, in 2 × `runs` runs beside the one without.

    In the first `runs` every operation has noise: in run 1 as large as its rounding error can be, in the last `factor`
    times that, in the others between. So they show all that lies within `factor` envelopes, and what is not linear
    there with the rest: a ReLU's kink, a sigmoid's tail. What they stray counts by their scale (`noise_scales`).

    But rounding is not random: an update of less than half a unit of its weight is lost, step after step, and noise
    would not show that. So in the other runs the basic operations round as IEEE 754 says, to the dtype, and noise is
    only in what libraries compute in orders and ways of their own: sums, products of matrices, elementary functions.

    Args:
        dtype: the scenario's; its noise is put into float64, whose own rounding is invisible beside a narrower one's.
        runs: how many runs of each kind.
        factor: how many envelopes a number may be off.
        seed: of the noise.
        products: unit roundoff of matrix products, where it is not the dtype's.
        digits: if not 0, matrix products take their factors rounded to so many binary digits.
        kind: 1 or 2 for the runs of that kind alone, beside the one without noise; 0 for both.
    """

    def __init__(
        self,
        dtype: str,
        runs: int,
        factor: float,
        seed: int,
        products: float | None = None,
        digits: int = 0,
        kind: int = 0,
    ) -> None:
        self.format: Format = FORMATS[dtype]
        self.digits = digits
        self.products = products or self.format.roundoff
        self.narrow = dtype != "float64"
        self.factor = factor
        self.scales = noise_scales(runs, factor)[: 0 if kind == 2 else runs]
        second = 0 if kind == 1 else runs
        self.everywhere = np.append(self.scales, np.ones(second))
        self.but_where_rules_round = np.append(self.scales, np.zeros(second))
        self.places = Places(seed, 2 * runs, slice(0 if kind < 2 else runs, runs if kind == 1 else None))
        self.rng = np.random.Generator(np.random.SFC64(seed))

    def operate(self, ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """The result with noise; of a comparison, with both answers where either is right."""
        if self.digits and ufunc is np.matmul:
            inputs = [to_digits(value, self.digits) for value in inputs]
        result = np.asarray(getattr(ufunc, method)(*inputs, **options))
        if result.dtype == bool:
            return self._either(result, *inputs)
        if ufunc in EXACT:
            return result
        if ufunc is np.matmul or method == "reduce":
            return self._noisy(result, self.everywhere, self._size(ufunc, inputs, options))
        if ufunc in sizes.ACCURACY and sizes.is_flushed(result, self.format):
            return self._noisy(result, self.everywhere, sizes.of_result(ufunc, result, self.format))
        unit = self._unit(ufunc)
        return self._noisy(result, self.but_where_rules_round if ufunc in CORRECT else self.everywhere, unit)

    def _unit(self, ufunc: np.ufunc) -> float:
        """How large the rounding error of an elementwise operation can be, over its result."""
        return sizes.unit(ufunc, self.format)

    def _size(self, ufunc: np.ufunc, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """How large the rounding error of a sum or a product of matrices can be, of each element: (1, …).

        Its terms are those of the run without noise: what the other runs' differ from them is of second order here.
        """
        if ufunc is np.matmul:
            a, b = inputs
            return sizes.of_product(a[:1], b[:1], self.products, self.format)
        return sizes.of_sum(inputs[0][:1], options, self.format)

    def _noisy(self, result: Array, scales: Array, size: Array | float) -> Array:
        """All runs of a result, with noise of a size for each element, or of one relative to the result."""
        given = np.ascontiguousarray(result).reshape(len(result), -1)
        many, of_each = len(given) > 1, size.reshape(len(size), -1) if isinstance(size, np.ndarray) else None
        out = given if many else np.empty((1 + len(scales), given.shape[1]))
        out[0] = given[0]
        if is_small(given.shape[1], len(scales)):
            noise = self.places.noise(given.shape[1], scales)
            noise *= self._with_underflow(
                size * np.abs(given[-len(scales) :]) if of_each is None else of_each[-len(scales) :]
            )
            np.add(given[1:] if many else given, noise, out=out[1:])
            self._round(out[1 + len(self.scales) :])
            return out.reshape(len(out), *result.shape[1:])
        of_each = of_each if of_each is None else self._with_underflow(of_each)
        stretches = of_each is None and self.narrow and not self._underflows(given[0], float(size))
        for run, piece, noise in self.places.pieces(given.shape[1], scales):
            value, moved = given[run if many else 0, piece], out[run, piece]
            if stretches:  # the same as below, in fewer passes; in float64 itself 1 holds no such noise
                noise *= size
                noise += 1.0
                np.multiply(value, noise, out=moved)
            else:
                noise *= (
                    self._with_underflow(size * np.abs(value))
                    if of_each is None
                    else of_each[run if len(of_each) > 1 else 0, piece]
                )
                np.add(value, noise, out=moved)
            if run > len(self.scales):
                self._round(moved)
        return out.reshape(len(out), *result.shape[1:])

    def _round(self, values: Array) -> None:
        """Round to the dtype, in place; float64 is rounded already."""
        if self.narrow and len(values):
            values[...] = values.astype(self.format.dtype)

    def _underflows(self, values: Array, unit: float) -> bool:
        """Whether the smallest number is more than nothing beside the rounding error of any of these values."""
        least = UNDERFLOWS * self.format.smallest
        for start in range(0, len(values), PIECE):
            errors = unit * np.abs(values[start : start + PIECE])
            if errors.min() < least and ((errors < least) & (errors > 0)).any():
                return True
        return False

    def _with_underflow(self, size: Array) -> Array:
        """What is exactly 0 stays so; and an infinity stays what it is."""
        size = size + self.format.smallest * (size != 0)
        size[~np.isfinite(size)] = 0.0
        return size

    def _either(self, result: Array, *sides: Any) -> Array:
        """A comparison's answers; where rounding can decide it and no run of the first kind shows that, one is made to.

        Sixteen runs would seldom see a number on both sides of a kink that lies at the edge of its bound, and some
        backend will: so this is a rule, and not left to luck. The run is one with little noise, which counts nearly in
        full, so that the bound is well above the jump. It is for derivatives: a continuous function of a number
        near its kink is written without a comparison (`np.maximum`), and its noise is that of the number.
        """
        distance = np.subtract(*sides)
        if len(distance) == 1:
            return result
        first = len(self.scales)
        size = np.abs(distance[1 : first + 1] - distance[:1]) / self.scales.reshape(-1, *[1] * (distance.ndim - 1))
        reach = self.factor * size.max(axis=0, initial=0.0)  # the bound of the number
        shown = result[1 : first + 1]
        unclear = (np.abs(distance[0]) <= reach) & (reach > 0) & (shown == result[0]).all(axis=0)
        if unclear.any():
            result = np.array(result)
            where = np.nonzero(unclear)
            run = self.rng.integers(1, 1 + max(1, first // 2), len(where[0]))
            result[run, *where] = ~result[0, *where]
        return result

    def around(self, z: Array) -> Array:
        """``z``, with one run at 0 where rounding can carry it there and none that counts nearly in full is near it.

        For a function whose slope is there, and flat all around: where z has large noise, few of sixteen runs would
        see the slope, and some backend will.
        """
        first = len(self.scales)
        if len(z) == 1 or not first:
            return z
        half = max(1, first // 2)  # as with a comparison
        with np.errstate(invalid="ignore"):
            size = np.abs(z[1 : first + 1] - z[:1]) / self.scales.reshape(-1, *[1] * (z.ndim - 1))
            within = np.abs(z[0]) <= self.factor * size.max(axis=0)
        unclear = within & ~(np.abs(z[: half + 1]) < 1).any(axis=0)
        if unclear.any():
            z = np.array(z)
            where = np.nonzero(unclear)
            z[self.rng.integers(1, 1 + half, len(where[0])), *where] = 0
        return z


def noisy(
    dtype: str, runs: int, factor: float, seed: int, products: float | None = None, digits: int = 0, kind: int = 0
) -> Arithmetic:
    """Arithmetic of noisy runs; what it takes in has a leading axis of 1, what it gives one of 2 × runs + 1.

    With a ``kind``, 1 or 2, the runs of that kind only, and the one without noise before them.
    """
    rounding = Noise(dtype, runs, factor, seed, products, digits, kind)
    return NoisyArithmetic("noisy", np.dtype(np.float64), np.float64, rounding=rounding)


class NoisyArithmetic(Arithmetic):
    """Arrays get their leading axis."""

    def array(self, values: Array) -> Array:
        """``values`` as one run, which any operation makes many of."""
        return super().array(values)[np.newaxis]
