"""How far can rounding push each number? Many runs at once, each operation's result off by noise of rounding's size.

Monte Carlo arithmetic: D. S. Parker, *Monte Carlo Arithmetic*, UCLA CSD-970002 (1997). Every array has a leading axis
of runs; run 0 has no noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.numpy_manual import sizes
from backends.numpy_manual.arithmetic import Arithmetic
from backends.numpy_manual.rounded import Rounding, to_digits
from harness.dtypes import FORMATS, Format
from harness.inputs import Array

CORRECT = {np.add, np.subtract, np.multiply, np.divide}
EXACT = {np.negative, np.absolute, np.minimum, np.maximum}


@cache
def noise_scales(runs: int, factor: float) -> NDArray[np.float64]:
    """How many times rounding's size the noise of each of the first runs is; read-only."""
    scales = np.geomspace(1.0, factor, runs)
    scales.setflags(write=False)
    return scales


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
    """

    def __init__(
        self, dtype: str, runs: int, factor: float, seed: int, products: float | None = None, digits: int = 0
    ) -> None:
        self.format: Format = FORMATS[dtype]
        self.digits = digits
        self.products = products or self.format.roundoff
        self.runs = runs
        self.narrow = dtype != "float64"
        self.factor = factor
        self.scales = noise_scales(runs, factor)
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
        correct = ufunc in CORRECT and method == "__call__"
        return self._noisy(result, self._size(ufunc, method, inputs, options, result), correct)

    def _size(
        self, ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: dict[str, Any], result: Array
    ) -> Array:
        """How large the rounding error of each element of the result can be."""
        if ufunc is np.matmul:
            a, b = inputs
            return sizes.of_product(a, b, self.products, self.format)
        if method == "reduce":
            return sizes.of_sum(inputs[0], options, self.format)
        return sizes.of_result(ufunc, result, self.format)

    def _noisy(self, result: Array, size: Array, correct: bool) -> Array:
        size = np.where(np.isfinite(size), size, 0.0)  # an infinity stays what it is
        size += self.format.smallest * (size != 0)  # an underflow; what is exactly 0 stays so
        noise = self.rng.random((2 * self.runs + 1, *result.shape[1:]))
        noise *= 2
        noise -= 1
        noise[1 : self.runs + 1] *= self._column(self.scales, noise.ndim)
        rounded = noise[self.runs + 1 :]
        if correct:
            rounded[...] = 0
        noise *= size
        noise += result
        noise[0] = result[0]  # 0 times the noise of an infinity is no number
        if self.narrow:
            rounded[...] = rounded.astype(self.format.dtype)
        return noise

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
        size = np.abs(distance[1 : self.runs + 1] - distance[:1]) / self._column(self.scales, distance.ndim)
        reach = self.factor * size.max(axis=0)  # the bound of the number
        shown = result[1 : self.runs + 1]
        unclear = (np.abs(distance[0]) <= reach) & (reach > 0) & (shown == result[0]).all(axis=0)
        if unclear.any():
            result = np.array(result)
            where = np.nonzero(unclear)
            run = self.rng.integers(1, 1 + max(1, self.runs // 2), len(where[0]))
            result[run, *where] = ~result[0, *where]
        return result

    def around(self, z: Array) -> Array:
        """``z``, with one run at 0 where rounding can carry it there and none that counts nearly in full is near it.

        For a function whose slope is there, and flat all around: where z has large noise, few of sixteen runs would
        see the slope, and some backend will.
        """
        if len(z) == 1:
            return z
        half = max(1, self.runs // 2)  # as with a comparison
        with np.errstate(invalid="ignore"):
            size = np.abs(z[1 : self.runs + 1] - z[:1]) / self._column(self.scales, z.ndim)
            within = np.abs(z[0]) <= self.factor * size.max(axis=0)
        unclear = within & ~(np.abs(z[: half + 1]) < 1).any(axis=0)
        if unclear.any():
            z = np.array(z)
            where = np.nonzero(unclear)
            z[self.rng.integers(1, 1 + half, len(where[0])), *where] = 0
        return z

    @staticmethod
    def _column(values: NDArray[np.float64], ndim: int) -> NDArray[np.float64]:
        return values.reshape(-1, *[1] * (ndim - 1))


def noisy(
    dtype: str, runs: int, factor: float, seed: int, products: float | None = None, digits: int = 0
) -> Arithmetic:
    """Arithmetic of noisy runs; what it takes in has a leading axis of 1, what it gives one of 2 × runs + 1."""
    return NoisyArithmetic(
        "noisy", np.dtype(np.float64), np.float64, rounding=Noise(dtype, runs, factor, seed, products, digits)
    )


class NoisyArithmetic(Arithmetic):
    """Arrays get their leading axis."""

    def array(self, values: Array) -> Array:
        """``values`` as one run, which any operation makes many of."""
        return super().array(values)[np.newaxis]
