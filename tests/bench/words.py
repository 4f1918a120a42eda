"""How far off is what the libraries make of each numeric word? ``python -m tests.bench.words``.

Every word that is no elementary function (`tests.bench.functions` has those), on NumPy, PyTorch and PaddlePaddle, CPU,
in float32 and bfloat16: the largest error over its envelope, that is, over what the noise of sixteen runs of each kind
comes to. An exact word has no noise, and must be exact.

    python -m tests.bench.words LIBRARY FILE      # what one of them gives, for `tests.test_libraries`
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from isograd.arithmetic import make_arithmetic, words
from isograd.arithmetic.noisy import noisy
from isograd.dtypes import FORMATS
from isograd.envelope import spread_of
from isograd.floors import floored

DTYPES = ("float32", "bfloat16")
LIBRARIES = ("numpy", "torch", "paddle")
RNG = np.random.default_rng(0)


def numbers(*shape: int) -> np.ndarray:
    """Of either sign and of many sizes."""
    return RNG.standard_normal(shape) * 10 ** RNG.uniform(-2, 2, shape)


NUMBERS = (numbers(40, 90), numbers(40, 90), numbers(2, 12, 13))
LABELS = RNG.integers(0, 40, 40)


def given(dtype: str) -> list[np.ndarray]:
    """What words are tried on, as float64: numbers of a dtype, and labels."""
    return [*(values.astype(FORMATS[dtype].dtype).astype(np.float64) for values in NUMBERS), LABELS]


# What rounds: each word, or an operator, of x, y (40, 90), z (2, 12, 13), i (40,).
ROUNDS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "+": lambda x, y, z, i: x + y,
    "−": lambda x, y, z, i: x - y,
    "×": lambda x, y, z, i: x * y,
    "÷": lambda x, y, z, i: x / y,
    "@": lambda x, y, z, i: x @ y.mT,
    "sum of rows": lambda x, y, z, i: words.sum(x, 0),
    "sum of columns": lambda x, y, z, i: words.sum(x, 1),
    "sum of all": lambda x, y, z, i: words.sum(x),
    "scatter_add": lambda x, y, z, i: words.scatter_add(x, i, 40),
    "fold": lambda x, y, z, i: words.fold(words.windows(z, (3, 4), (1, 1), (1, 1)), (12, 13), (1, 1), (1, 1)),
}
EXACT: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "abs": lambda x, y, z, i: abs(x),
    "sign": lambda x, y, z, i: words.sign(x),
    "maximum": lambda x, y, z, i: words.maximum(x, y),
    "minimum": lambda x, y, z, i: words.minimum(x, y),
    "where": lambda x, y, z, i: words.where(x > y, x, y),
    "max": lambda x, y, z, i: words.max(x, 1),
    "pick": lambda x, y, z, i: words.one_hot(words.pick(x, 1), 90, x),
    "take_at": lambda x, y, z, i: words.take_at(x, i, 1),
    "put_at": lambda x, y, z, i: words.put_at(words.max(x, 1), i, 1, 90),
    "take": lambda x, y, z, i: words.take(x, i),
    "one_hot": lambda x, y, z, i: words.one_hot(i, 90, x),
    "reshape": lambda x, y, z, i: words.reshape(x, (90, 40)),
    "transpose": lambda x, y, z, i: words.transpose(z, (0, 2, 1)),
    "expand": lambda x, y, z, i: words.expand(words.max(x, 0), (40, 90)),
    "pad": lambda x, y, z, i: words.pad(x, [(1, 0), (0, 2)]),
    "windows": lambda x, y, z, i: words.windows(z, (3, 4), (2, 1), (1, 2)),
    "concat": lambda x, y, z, i: words.concat([x, y], 0),
}

OF_TORCH: dict[str, Callable[[Any, Any, Any, Any, Any], Any]] = {
    "+": lambda m, x, y, z, i: x + y,
    "−": lambda m, x, y, z, i: x - y,
    "×": lambda m, x, y, z, i: x * y,
    "÷": lambda m, x, y, z, i: x / y,
    "@": lambda m, x, y, z, i: x @ y.mT,
    "sum of rows": lambda m, x, y, z, i: x.sum(0),
    "sum of columns": lambda m, x, y, z, i: x.sum(1),
    "sum of all": lambda m, x, y, z, i: x.sum(),
    "scatter_add": lambda m, x, y, z, i: m.zeros_like(x).index_add(0, i, x),
    "fold": lambda m, x, y, z, i: m.nn.functional.fold(m.nn.functional.unfold(z[:, None], (3, 4)), (12, 13), (3, 4))[
        :, 0
    ],
    "abs": lambda m, x, y, z, i: x.abs(),
    "sign": lambda m, x, y, z, i: x.sign(),
    "maximum": lambda m, x, y, z, i: m.maximum(x, y),
    "minimum": lambda m, x, y, z, i: m.minimum(x, y),
    "where": lambda m, x, y, z, i: m.where(x > y, x, y),
    "max": lambda m, x, y, z, i: x.amax(1),
    "pick": lambda m, x, y, z, i: m.nn.functional.one_hot(x.argmax(1), 90).to(x.dtype),
    "take_at": lambda m, x, y, z, i: x.gather(1, i[:, None])[:, 0],
    "put_at": lambda m, x, y, z, i: m.zeros_like(x).scatter(1, i[:, None], x.amax(1)[:, None]),
    "take": lambda m, x, y, z, i: x.index_select(0, i),
    "one_hot": lambda m, x, y, z, i: m.nn.functional.one_hot(i, 90).to(x.dtype),
    "reshape": lambda m, x, y, z, i: x.reshape(90, 40),
    "transpose": lambda m, x, y, z, i: z.permute(0, 2, 1),
    "expand": lambda m, x, y, z, i: x.amax(0).expand(40, 90),
    "pad": lambda m, x, y, z, i: m.nn.functional.pad(x, (0, 2, 1, 0)),
    "windows": lambda m, x, y, z, i: z.unfold(1, 3, 2).unfold(2, 7, 1)[..., ::2],
    "concat": lambda m, x, y, z, i: m.cat([x, y], 0),
}
OF_PADDLE: dict[str, Callable[[Any, Any, Any, Any, Any], Any]] = OF_TORCH | {
    "@": lambda m, x, y, z, i: m.matmul(x, y, transpose_y=True),
    "scatter_add": lambda m, x, y, z, i: m.index_add(m.zeros_like(x), i, 0, x),
    "fold": lambda m, x, y, z, i: m.nn.functional.fold(
        m.nn.functional.unfold(z.unsqueeze(1), (3, 4)), (12, 13), (3, 4)
    )[:, 0],
    "max": lambda m, x, y, z, i: m.max(x, 1),
    "pick": lambda m, x, y, z, i: m.nn.functional.one_hot(m.argmax(x, 1), 90).astype(x.dtype),
    "take_at": lambda m, x, y, z, i: m.take_along_axis(x, i.unsqueeze(1), 1)[:, 0],
    "put_at": lambda m, x, y, z, i: m.put_along_axis(m.zeros_like(x), i.unsqueeze(1), m.max(x, 1, keepdim=True), 1),
    "take": lambda m, x, y, z, i: m.index_select(x, i, 0),
    "one_hot": lambda m, x, y, z, i: m.nn.functional.one_hot(i, 90).astype(x.dtype),
    "reshape": lambda m, x, y, z, i: x.reshape([90, 40]),
    "transpose": lambda m, x, y, z, i: z.transpose([0, 2, 1]),
    "expand": lambda m, x, y, z, i: m.max(x, 0).expand([40, 90]),
    "pad": lambda m, x, y, z, i: m.nn.functional.pad(x, [1, 0, 0, 2]),
    "windows": lambda m, x, y, z, i: z.unfold(1, 3, 2).unfold(2, 7, 1)[..., ::2],
    "concat": lambda m, x, y, z, i: m.concat([x, y], 0),
}


def computed(library: str) -> dict[str, np.ndarray]:
    """What a library makes of each word, as float64, by "word dtype"; words that it lacks in a dtype are left out."""
    out = {}
    for dtype in DTYPES:
        for name, value in _computed(library, dtype):
            out[f"{name} {dtype}"] = np.asarray(value, np.float64)
    return out


def _computed(library: str, dtype: str) -> Iterator[tuple[str, Any]]:
    if library == "numpy":
        operands = [make_arithmetic(dtype, dtype).array(values) for values in given(dtype)]
        yield from ((name, _told(word(*operands))) for name, word in {**ROUNDS, **EXACT}.items())
        return
    module = importlib.import_module(library)
    made = [module.to_tensor(v) if library == "paddle" else module.from_numpy(v) for v in given(dtype)]
    cast = "astype" if library == "paddle" else "to"
    operands = [getattr(v, cast)(getattr(module, dtype)) for v in made[:3]] + made[3:]
    for name, word in (OF_PADDLE if library == "paddle" else OF_TORCH).items():
        try:
            value = word(module, *operands)
        except (RuntimeError, NotImplementedError, ValueError):  # no kernel for the dtype
            continue
        yield name, getattr(value, cast)(module.float64).numpy()


def shares(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Of each word and dtype, the largest error over its envelope: what noisy runs stray from the truth, floored.

    An exact word has no envelope: an error there is infinitely many.
    """
    out = {}
    for dtype in DTYPES:
        right, runs = (
            [arithmetic.array(values) for values in given(dtype)]
            for arithmetic in (make_arithmetic("float64", "float64"), noisy(dtype, 16, 6.0, 0))
        )
        for name, word in {**ROUNDS, **EXACT}.items():
            if f"{name} {dtype}" in found:
                truth, seen = _told(word(*right)), _told(word(*runs))
                off, allowed = np.abs(found[f"{name} {dtype}"] - truth), np.zeros(truth.shape)
                if name in ROUNDS:
                    spread = spread_of(seen.reshape(-1, *truth.shape), truth, 6.0)
                    allowed = floored(spread[np.newaxis], truth[np.newaxis], dtype)[0]
                with np.errstate(divide="ignore"):
                    over = np.divide(off, allowed, out=np.zeros(off.shape), where=off > 0)
                out[f"{name} {dtype}"] = float(over.max())
    return out


def _told(value: Any) -> np.ndarray:
    return np.asarray(value.a.plain(value) if hasattr(value, "a") else value, np.float64)


def main() -> None:
    """Print a row a word, or write what one library gives to a file."""
    if len(sys.argv) == 3:
        np.savez(sys.argv[2], **computed(sys.argv[1]))
        return
    rows = {library: shares(computed(library)) for library in LIBRARIES}
    print(f"{'':26}" + "".join(f"{library:>9}" for library in LIBRARIES))
    for key in rows["numpy"]:
        print(f"{key:26}" + "".join(f"{rows[of][key]:9.3f}" if key in rows[of] else f"{'—':>9}" for of in rows))


if __name__ == "__main__":
    main()
