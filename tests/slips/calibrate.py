"""Is a right port ever judged red? Every port of the gallery with other seeds, batch sizes and optimizers.

python -m tests.slips.calibrate [--port GLOB] [--seeds 3] [--batches 3,5,8] [--optimizers sgd,momentum,adam,adamw]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tests.slips import FOLDER, load

ROOT = Path(__file__).parents[2]
RATES = {"sgd": 0.05, "momentum": 0.02, "adam": 1e-3, "adamw": 1e-3}
DECAY = 0.01


# ---------------------------------------------------------------- a side, in a process of its own


def _loaded(port: str) -> ModuleType:
    """A port's file, which imports those beside it."""
    sys.path.insert(0, str(FOLDER / port))
    return load(port, "port")


def side(port: str, which: str, optimizer: str, seed: int) -> dict[str, Any]:
    """One side of a port, begun with a seed and trained by an optimizer."""
    if which == "torch":
        import torch

        torch.manual_seed(seed)
    else:
        import paddle

        paddle.seed(seed)
    given = getattr(_loaded(port), which)()
    names = ("model", "loss", "optimizer", "schedule", "train_step")
    parts = dict(given) if isinstance(given, Mapping) else dict(zip(names, given, strict=False))
    parts.pop("schedule", None)  # it is of the optimizer that is no more
    make = _torch_optimizer if which == "torch" else _paddle_optimizer
    own = parts["optimizer"]
    others = {name: make(one, optimizer) for name, one in own.items()} if isinstance(own, Mapping) else None
    return parts | {"optimizer": others or make(own, optimizer)}


def _torch_optimizer(own: Any, kind: str) -> Any:
    import torch

    of = {
        "sgd": lambda p: torch.optim.SGD(p, lr=RATES[kind]),
        "momentum": lambda p: torch.optim.SGD(p, lr=RATES[kind], momentum=0.9, weight_decay=DECAY),
        "adam": lambda p: torch.optim.Adam(p, lr=RATES[kind]),
        "adamw": lambda p: torch.optim.AdamW(p, lr=RATES[kind], weight_decay=DECAY),
    }
    return of[kind]([p for group in own.param_groups for p in group["params"]])


def _paddle_optimizer(own: Any, kind: str) -> Any:
    import paddle

    rate, parameters = RATES[kind], [p for group in _groups(own) for p in group]
    of: dict[str, Callable[[], Any]] = {
        "sgd": lambda: paddle.optimizer.SGD(rate, parameters=parameters),
        "momentum": lambda: paddle.optimizer.Momentum(rate, 0.9, parameters=parameters, weight_decay=DECAY),
        "adam": lambda: paddle.optimizer.Adam(rate, parameters=parameters),
        "adamw": lambda: paddle.optimizer.AdamW(rate, parameters=parameters, weight_decay=DECAY),
    }
    return of[kind]()


def _groups(optimizer: Any) -> Iterator[list[Any]]:
    for item in optimizer._parameter_list:
        yield list(item["params"]) if isinstance(item, dict) else [item]


def batches(port: str, size: int, seed: int, steps: int = 6) -> Iterator[Any]:
    """The port's samples, drawn anew into batches of a size."""
    pool = list(_loaded(port).batches())
    rng = np.random.default_rng(seed)
    many = len(_first(pool[0]))
    for _ in range(steps):
        where = [(int(rng.integers(len(pool))), int(rng.integers(many))) for _ in range(size)]
        yield _picked(pool, where)


def _first(value: Any) -> Any:
    while isinstance(value, (tuple, list, Mapping)):
        value = next(iter(value.values())) if isinstance(value, Mapping) else value[0]
    return value


def _picked(pool: list[Any], where: list[tuple[int, int]]) -> Any:
    one = pool[0]
    if isinstance(one, Mapping):
        return {name: _picked([batch[name] for batch in pool], where) for name in one}
    if isinstance(one, (tuple, list)):
        return tuple(_picked([batch[i] for batch in pool], where) for i in range(len(one)))
    return np.stack([np.asarray(pool[at])[sample] for at, sample in where])


# ---------------------------------------------------------------- all of them


@dataclass(frozen=True)
class Case:
    """A right port."""

    port: str
    optimizer: str
    seed: int
    size: int

    def text(self) -> str:
        """The user's file for it."""
        lines = ["import sys", f"sys.path.insert(0, {str(ROOT)!r})", "from tests.slips import calibrate"]
        for which in ("torch", "paddle"):
            call = f"calibrate.side({self.port!r}, {which!r}, {self.optimizer!r}, {self.seed})"
            lines += [f"def {which}():", f"    return {call}"]
        lines += ["def batches():", f"    yield from calibrate.batches({self.port!r}, {self.size}, {self.seed})"]
        return "\n".join(lines) + "\n"


def main() -> None:
    """Print what is red, and a line a port."""
    from isograd.ports.checking import check

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batches", default="3,5,8", help="batch sizes")
    parser.add_argument("--optimizers", default=",".join(RATES))
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    total = {"cells": 0, "red": 0}
    for port in sorted(path.parent.name for path in FOLDER.glob("*/port.py")):
        if not any(fnmatchcase(port, glob) for glob in options.port.split(",")):
            continue
        cells = red = 0
        worst, begin = 0.0, time.perf_counter()
        sizes = [int(size) for size in options.batches.split(",")]
        for seed, size, optimizer in product(range(options.seeds), sizes, options.optimizers.split(",")):
            case = Case(port, optimizer, seed, size)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "port.py"
                file.write_text(case.text(), "utf-8")
                checked = check(file, steps=options.steps)
            for result in checked.results:
                for cell in result.cells.values():
                    cells += 1
                    worst = max(worst, cell.judgement.error_over_bound or 0.0)
                    if not cell.verdict.green:
                        red += 1
                        print(
                            f"{case} {result.side} {cell.stage}: {cell.verdict} {cell.judgement.message}"[:300],
                            flush=True,
                        )
        total["cells"] += cells
        total["red"] += red
        seconds = time.perf_counter() - begin
        print(
            f"{port:14} {cells:5} cells  {red:3} not green  furthest {worst:.2g} of the bound  {seconds:.0f} s",
            flush=True,
        )
    print(f"all            {total['cells']:5} cells  {total['red']:3} not green")


if __name__ == "__main__":
    main()
