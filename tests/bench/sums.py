"""How far off are the libraries' sums? ``python -m tests.bench.sums``.

CPU, one thread. The error of a sum of n terms over u Σ|terms|, at most over a few widths, for sums over the rows of a
batch, sums of all elements, and products of matrices with n inside; by what the columns hold. Beside it what an
envelope allows for: √n and, for float32 and float64, what adding the terms one by one comes to
(`isograd.arithmetic.sizes`). The table stands in docs/judging.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from isograd.arithmetic.sizes import of_product, of_sum
from isograd.calibration.tables import COLUMNS
from isograd.dtypes import FORMATS, Format
from isograd.inputs import Array

LENGTHS = (10, 100, 1_000, 10_000, 100_000)
WIDTHS = (1, 3, 16)
KINDS = ("constant", "flag", "rare", "count", "price", "percentage", "amount", "sorted", "normal")
OPERATIONS: tuple[str, ...] = ("rows", "all", "product")


def libraries(dtype: str) -> dict[str, dict[str, Callable[..., Array]]]:
    """How each library computes each operation; those that have the dtype on a CPU."""
    import paddle
    import torch

    torch.set_num_threads(1)
    narrow = dtype == "bfloat16"

    def of_torch(f: Callable[..., Any]) -> Callable[..., Array]:
        def tensor(x: Array) -> Any:
            x = np.ascontiguousarray(x)
            return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16) if narrow else torch.from_numpy(x)

        return lambda *sides: f(*map(tensor, sides)).double().numpy()

    def of_paddle(f: Callable[..., Any]) -> Callable[..., Array]:
        return lambda *sides: f(*(paddle.to_tensor(np.ascontiguousarray(x)) for x in sides)).numpy()

    found: dict[str, dict[str, Callable[..., Array]]] = {
        "torch": {
            "rows": of_torch(lambda x: x.sum(0)),
            "all": of_torch(lambda x: x.sum()),
            "product": of_torch(lambda d, x: d.t() @ x),
        }
    }
    if dtype in ("float32", "float64"):
        found["paddle"] = {
            "rows": of_paddle(lambda x: x.sum(0)),
            "all": of_paddle(lambda x: x.sum()),
            "product": of_paddle(lambda d, x: paddle.matmul(d, x, transpose_x=True)),
        }
    if not narrow:
        found["numpy"] = {
            "rows": lambda x: np.asarray(x.sum(axis=0)),
            "all": lambda x: np.asarray(x.sum()),
            "product": lambda d, x: np.asarray(d.T @ x),
        }
    return found


def cases(kind: str, n: int, dtype: str) -> Iterator[tuple[Array, Array]]:
    """Pairs d, x of (n, 1) and (n, k): what the batch's samples hold, and a gradient of another such kind."""
    rng = np.random.default_rng(n)
    form = FORMATS[dtype].dtype
    for k in WIDTHS:
        x = np.column_stack([COLUMNS[kind](rng, n) for _ in range(k)]) * rng.uniform(0.1, 1, k)
        yield np.full((n, 1), 2 / n).astype(form), x.astype(form)


def errors(kind: str, n: int, dtype: str) -> dict[tuple[str, str], float]:
    """The largest error of each library's operation in u Σ|terms|, and the size that the envelope is made with."""
    form, out = FORMATS[dtype], dict[tuple[str, str], float]()
    for d, x in cases(kind, n, dtype):
        exact, size, unit = _exact(d, x), _sizes(d, x, form), _units(d, x, form)
        for operation in OPERATIONS:
            sides = (d, x) if operation == "product" else (x,)
            rows = {name: np.abs(of[operation](*sides) - exact[operation]) for name, of in libraries(dtype).items()}
            for name, off in [*rows.items(), ("size", size[operation])]:
                worst = float((np.asarray(off, np.float64) / unit[operation]).max())
                out[operation, name] = max(out.get((operation, name), 0.0), worst)
    return out


def _exact(d: Array, x: Array) -> dict[str, Array]:
    wide = x.astype(np.longdouble)
    return {"rows": wide.sum(axis=0), "all": wide.sum(), "product": d.astype(np.longdouble).T @ wide}


def _units(d: Array, x: Array, form: Format) -> dict[str, Array]:
    d, x = np.abs(d.astype(np.float64)), np.abs(x.astype(np.float64))
    tiny = np.finfo(np.float64).tiny
    found = {"rows": x.sum(axis=0), "all": x.sum(), "product": d.T @ x}
    return {name: form.roundoff * np.maximum(value, tiny) for name, value in found.items()}


def _sizes(d: Array, x: Array, form: Format) -> dict[str, Array]:
    d, x = d.astype(np.float64)[np.newaxis], x.astype(np.float64)[np.newaxis]
    return {
        "rows": of_sum(x, {"axis": -2}, form)[0],
        "all": of_sum(x, {"axis": (-2, -1)}, form)[0],
        "product": of_product(d.mT, x, form.roundoff, form)[0],
    }


def main() -> None:
    """Print a row for each kind of column and length."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.sums")
    parser.add_argument("--dtype", default="float32", choices=list(FORMATS))
    parser.add_argument("--lengths", nargs="*", type=int, default=LENGTHS)
    asked = parser.parse_args()
    names = [*libraries(asked.dtype), "size"]
    print(f"{asked.dtype}: error in u Σ|terms|")
    print(f"{'':21}" + "".join(f"{operation:>{7 * len(names)}} |" for operation in OPERATIONS))
    print(f"{'columns':12}{'n':>8} " + "".join("".join(f"{name:>7}" for name in names) + " |" for _ in OPERATIONS))
    for kind in KINDS:
        for n in asked.lengths:
            found = errors(kind, n, asked.dtype)
            cells = ("".join(f"{found[o, name]:7.0f}" for name in names) + " |" for o in OPERATIONS)
            print(f"{kind:12}{n:8} " + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
