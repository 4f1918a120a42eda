"""How inaccurate are the libraries' elementary functions? ``python -m tests.bench.functions``.

CPU, float32 against NumPy's float64, in ULP of the right result, over 2²⁰ arguments each; the table in
`isograd.arithmetic.sizes` is from here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from isograd.arithmetic.words import erf
from isograd.dtypes import FORMATS

N = 2**20
RANGES = {
    "exp": (-80, 80),
    "log": (1e-30, 1e4),
    "tanh": (-9, 9),
    "sigmoid": (-80, 80),
    "sqrt": (0, 1e6),
    "rsqrt": (1e-6, 1e6),
    "log1p": (1e-30, 1e4),
    "expm1": (-80, 80),
    "erf": (-4, 4),
    "sin": (-30, 30),
    "cos": (-30, 30),
}
EXACT: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda z: np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z))),
    "sqrt": np.sqrt,
    "rsqrt": lambda z: 1 / np.sqrt(z),
    "log1p": np.log1p,
    "expm1": np.expm1,
    "erf": erf,
    "sin": np.sin,
    "cos": np.cos,
}


def libraries() -> dict[str, Callable[[str, Any], Any]]:
    """How each computes a function of a float32 array."""
    import paddle
    import torch

    def of_paddle(name: str, x: Any) -> Any:
        module = paddle.nn.functional if name == "sigmoid" else paddle
        return getattr(module, name)(paddle.to_tensor(x)).numpy()

    return {
        "torch": lambda name, x: getattr(torch, name)(torch.from_numpy(x)).numpy(),
        "paddle": of_paddle,
        "numpy": lambda name, x: EXACT[name](x),
    }


def worst(name: str, compute: Callable[[str, Any], Any]) -> float:
    """The largest error in ULP, over arguments spread evenly and over ones spread by magnitude."""
    low, high = RANGES[name]
    rng = np.random.default_rng(1)
    even = rng.uniform(low, high, N)
    magnitude = np.exp(rng.uniform(np.log(1e-6), np.log(high), N)) * (rng.choice([-1, 1], N) if low < 0 else 1)
    x = np.concatenate([even, magnitude]).astype(np.float32)
    right = EXACT[name](x.astype(np.float64))
    return float((np.abs(compute(name, x) - right) / FORMATS["float32"].spacing(right)).max())


def main() -> None:
    """Print a row a function."""
    found = libraries()
    print("ULP      " + "".join(f"{library:>8}" for library in found))
    for name in RANGES:
        print(f"{name:9}" + "".join(f"{worst(name, compute):8.2f}" for compute in found.values()))


if __name__ == "__main__":
    main()
