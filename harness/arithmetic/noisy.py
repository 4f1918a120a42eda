"""What can rounding do to a result? Arithmetic in which every operation's result is moved by that much at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isograd.arithmetic import sizes
from isograd.arithmetic.noise import PIECE, Kind, Places, is_small
from isograd.arithmetic.numbers import UNORDERED, Arithmetic, Array
from isograd.arithmetic.rounded import to_digits
from isograd.dtypes import FORMATS, Format

CORRECT = {np.add, np.subtract, np.multiply, np.divide}
EXACT = {np.negative, np.absolute, np.minimum, np.maximum}

UNDERFLOWS = 1000.0
"""An underflow costs the smallest number there is; it is left out where that is less than one part in so many of the
rounding error."""


class Noise(Arithmetic):
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
        kind: which of them there are, beside the one without noise.
    """

    def __init__(
        self,
        dtype: str,
        runs: int,
        factor: float,
        seed: int,
        products: float | None = None,
        digits: int = 0,
        kind: Kind = Kind.BOTH,
    ) -> None:
        super().__init__("noisy", np.float64, dtype)
        self.format: Format = FORMATS[dtype]
        self.digits = digits
        self.products = products or self.format.roundoff
        self.narrow = dtype != "float64"
        self.factor = factor
        self.scales, second = kind.scales(runs, factor)
        self.everywhere = np.append(self.scales, second)
        self.but_where_rules_round = np.append(self.scales, 0 * second)
        self.places = Places(seed, 2 * runs, kind.among(runs))
        self.rng = np.random.Generator(np.random.SFC64(seed))

    hidden = 2

    def _led(self, values: Array, steps: bool) -> Array:
        return values[np.newaxis] if steps else values[np.newaxis, np.newaxis]

    def taken(self, values: Array) -> Array:
        """In float64."""
        return values.astype(np.float64, copy=False)

    def operate(self, ufunc: Any, method: str, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
        """The result with noise."""
        if self.digits and ufunc is np.matmul:
            inputs = [to_digits(value, self.digits) for value in inputs]
        result = np.asarray(getattr(ufunc, method)(*inputs, **options))
        if ufunc in EXACT:
            return result
        if ufunc is np.matmul or method == "reduce":
            return self._noisy(result, self.everywhere, self._size(ufunc, inputs, options))
        if ufunc in sizes.ACCURACY and sizes.is_flushed(result, self.format):
            return self._noisy(result, self.everywhere, sizes.of_result(ufunc, result, self.format))
        unit = self._unit(ufunc)
        return self._noisy(result, self.but_where_rules_round if ufunc in CORRECT else self.everywhere, unit)

    def _unit(self, ufunc: Any) -> float:
        """How large the rounding error of an elementwise operation can be, over its result."""
        return sizes.unit(ufunc, self.format)

    def _size(self, ufunc: Any, inputs: Sequence[Any], options: dict[str, Any]) -> Array:
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

    def summed(self, total: Array, magnitude: Callable[[slice], Array], number: Any) -> Array:
        """Sums with noise of √n u Σ|terms|."""
        return self._noisy(total, self.everywhere, self.format.roundoff * np.sqrt(number) * magnitude(slice(1)))

    def raised(self, base: float, t: Array) -> Array:
        """As a product of so many factors, whose roundings are independent: some libraries multiply step by step."""
        result, roundoff = np.asarray(base**t), min(self.format.roundoff, FORMATS["float32"].roundoff)
        return self._noisy(result, self.everywhere, np.asarray(roundoff * np.sqrt(t + 1) * np.abs(result)))

    def sides(self, a: Any, b: Any) -> Array:
        """Where ``a`` lies beside ``b``, on both sides where rounding can decide it.

        Sixteen runs would seldom see a number on both sides of a kink that lies at the edge of its bound, and some
        backend will: so this is a rule, and not left to luck. Where no run of the first kind shows the other side, one
        is made to: one with little noise, which counts nearly in full, so that the bound is well above the jump. It is
        for derivatives: a continuous function of a number near its kink is written without a comparison (`maximum`),
        and its noise is that of the number.
        """
        sides, distance = super().sides(a, b), np.subtract(a, b)
        unclear = self._unclear(distance, sides)
        if unclear is not None and unclear.any():
            where = np.nonzero(unclear)
            run = self.rng.integers(1, 1 + max(1, len(self.scales) // 2), len(where[0]))
            there = sides[0, *where]
            sides[run, *where] = np.where(there == 0, 1, -there)
        return sides

    def _unclear(self, distance: Array, sides: Array) -> Array | None:
        """Where rounding can carry a number to the other side, and no run of the first kind shows that."""
        first = len(self.scales)
        if len(distance) == 1 or not first:
            return None
        size = np.abs(distance[1 : first + 1] - distance[:1]) / self.scales.reshape(-1, *[1] * (distance.ndim - 1))
        reach = self.factor * size.max(axis=0, initial=0.0)  # the bound of the number
        shown = (sides[1 : first + 1] == sides[0]).all(axis=0) & (sides[0] != UNORDERED)
        return np.asarray((np.abs(distance[0]) <= reach) & (reach > 0) & shown)

    def winners(self, x: Array, axis: int) -> Array:
        """The index of the largest along an axis, one in every run; the second one in one run where that can be."""
        index = np.asarray(x.argmax(axis=axis))
        if len(x) == 1 or x.shape[axis] == 1 or not len(self.scales):
            return index
        best = np.expand_dims(index[0], axis - 1)
        without = np.array(x[0])
        np.put_along_axis(without, best, -np.inf, axis - 1)
        second = np.expand_dims(without.argmax(axis=axis - 1), axis - 1)
        over = [np.expand_dims(at, 0).repeat(len(x), 0) for at in (best, second)]
        one, two = (np.take_along_axis(x, at, axis).squeeze(axis) for at in over)
        unclear = self._unclear(one - two, super().sides(one, two))
        if unclear is not None and unclear.any():
            where = np.nonzero(unclear)
            run = self.rng.integers(1, 1 + max(1, len(self.scales) // 2), len(where[0]))
            index[run, *where] = second.squeeze(axis - 1)[where]
        return index

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
    dtype: str,
    runs: int,
    factor: float,
    seed: int,
    products: float | None = None,
    digits: int = 0,
    kind: Kind = Kind.BOTH,
) -> Noise:
    """Arithmetic of noisy runs.

    What it takes in has leading axes of 1 run and of steps; what it gives has 1 run without noise, and after it all
    that are of the kind.
    """
    return Noise(dtype, runs, factor, seed, products, digits, kind)
