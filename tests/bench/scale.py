"""What do large runs cost, in time and memory? ``python -m tests.bench.scale [NAME…] [--large]``.

Each is a whole `isograd run` on three backends in both modes, without a report, against importing both frameworks and
training the same network in each, bare: one process after the other. With ``bare FRAMEWORK`` it is that program.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from isograd import load_scenario
from isograd.inputs import make_inputs
from isograd.reference import make_reference

BACKENDS = "numpy,torch,paddle"
BATCH = 64


@dataclass(frozen=True)
class Case:
    """A network of linear layers with ReLUs between them; or, without widths, the article's sum regression.

    Attributes:
        widths: of the data, and of each layer.
        steps: how many.
        ratio: the goal for the time, over the bare programs'; 0: none.
        seconds: the goal in seconds; 0: none.
        megabytes: the goal for the memory of the largest process; 0: none.
    """

    widths: tuple[int, ...]
    steps: int
    ratio: float = 0.0
    seconds: float = 0.0
    megabytes: float = 0.0


CASES = {
    "width 512, 10 steps": Case((512, 512, 512, 1), 10, ratio=3.0, megabytes=1000),
    "Linear(768, 768), 1 step": Case((768, 768), 1, seconds=10.0),
    "width 2048, 2 steps": Case((2048, 2048, 2048, 1), 2, seconds=30.0, megabytes=3000),
    "sum regression, 10,000 steps": Case((), 10_000, seconds=30.0),
    "sum regression, 100,000 steps": Case((), 100_000, seconds=200.0, megabytes=800),
}
LARGE = ("sum regression, 100,000 steps",)  # minutes: with --large only

SUM_REGRESSION = """
title = "sum regression"
seed = 10
epochs = {epochs}
data = {{ kind = "gaussian", samples = 100, features = 2, target = "sum" }}
layers = [
    {{ name = "hidden", kind = "linear", weight = [[1, 2], [2, 3], [1, 1], [3, 1]] }},
    {{ name = "hidden_act", kind = "relu" }},
    {{ name = "output", kind = "linear", weight = [[1, 1, 1, 1], [1, 0, 0, 1]] }},
]
loss = {{ kind = "mse", width_1_labels = "broadcast" }}
optimizer = {{ kind = "sgd", lr = 0.01 }}
"""
NETWORK = """
title = "a network"
batch_size = {batch}
data = {{ kind = "gaussian", samples = {samples}, features = {features}, target = "sum" }}
layers = [{layers}]
loss = {{ kind = "mse"{broadcast} }}
optimizer = {{ kind = "sgd", lr = 1e-4 }}
"""


def scenario_text(case: Case) -> str:
    """The case as a scenario's file."""
    if not case.widths:
        return SUM_REGRESSION.format(epochs=case.steps // 100)
    layers = []
    for i, (before, width) in enumerate(pairwise(case.widths)):
        layers += [f'{{ name = "act{i}", kind = "relu" }}'] if i else []
        weight = f'weight = {{ draw = "normal", scale = {before**-0.5:.4f} }}'
        bias = 'bias = { draw = "uniform", scale = 0.1 }'
        layers.append(f'{{ name = "linear{i}", kind = "linear", outputs = {width}, {weight}, {bias} }}')
    broadcast = ', width_1_labels = "broadcast"' if case.widths[-1] > 1 else ""
    samples = BATCH * case.steps
    return NETWORK.format(
        batch=BATCH, samples=samples, features=case.widths[0], layers=", ".join(layers), broadcast=broadcast
    )


def bare_torch(case: Case) -> None:
    """The loop that someone writes who has PyTorch only."""
    import torch

    widths = case.widths or (2, 4, 2)
    torch.set_num_threads(1)
    layers: list[torch.nn.Module] = []
    for before, width in pairwise(widths):
        layers += [torch.nn.Linear(before, width), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=1e-4), torch.nn.MSELoss()
    for x, y in batches(case):
        loss = criterion(model(torch.from_numpy(x)), torch.from_numpy(y))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def bare_paddle(case: Case) -> None:
    """The same with PaddlePaddle."""
    import paddle

    widths = case.widths or (2, 4, 2)
    layers = []
    for before, width in pairwise(widths):
        layers += [paddle.nn.Linear(before, width), paddle.nn.ReLU()]
    model = paddle.nn.Sequential(*layers[:-1])
    optimizer = paddle.optimizer.SGD(learning_rate=1e-4, parameters=model.parameters())
    criterion = paddle.nn.MSELoss()
    for x, y in batches(case):
        loss = criterion(model(paddle.to_tensor(x)), paddle.to_tensor(y))
        loss.backward()
        optimizer.step()
        model.clear_gradients()


BARE = {"torch": bare_torch, "paddle": bare_paddle}


def batches(case: Case):
    """Data as good as any."""
    widths, batch = case.widths or (2, 4, 2), BATCH if case.widths else 1
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((batch, width), dtype=np.float32) for width in (widths[0], widths[-1]))
    for _ in range(case.steps):
        yield x, y


def largest_child() -> float:
    """Megabytes of the largest process that has ended, of all so far."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def measured(name: str) -> tuple[float, float, float]:
    """Seconds of a whole run, of the bare programs, and megabytes of the largest process of the run."""
    case, env = CASES[name], os.environ | {"PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.toml"
        path.write_text(scenario_text(case), encoding="utf-8")
        command = [sys.executable, "-m", "isograd.cli", "run", str(path), "--backends", BACKENDS]
        theirs = [[sys.executable, "-m", "tests.bench.scale", "bare", backend, name] for backend in BARE]
        for warm in theirs:
            subprocess.run(warm, check=True, env=env)
        start = time.perf_counter()
        subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        between = time.perf_counter()
        for bare in theirs:
            subprocess.run(bare, check=True, env=env)
        return between - start, time.perf_counter() - between, largest_child()


def oracle_row() -> str:
    """The oracle's seconds a step, both modes, over the slowest backend's recorded step, at width 512."""
    from isograd.backend import make_backend
    from isograd.judging import FACTOR
    from isograd.recorder import record_here

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.toml"
        path.write_text(scenario_text(CASES["width 512, 10 steps"]), encoding="utf-8")
        scenario = load_scenario(path)
    inputs = make_inputs(scenario)
    start = time.perf_counter()
    make_reference(scenario, inputs, ("free", "resync"), factor=FACTOR)
    ours = (time.perf_counter() - start) / (2 * inputs.steps)
    steps = {}
    for backend in BARE:
        made = make_backend(backend)
        record_here(made, backend, scenario, inputs)
        start = time.perf_counter()
        record_here(made, backend, scenario, inputs)
        steps[backend] = (time.perf_counter() - start) / inputs.steps
    slowest = max(steps, key=lambda backend: steps[backend])
    return f"oracle, width 512: {ours * 1e3:.0f} ms a step, {ours / steps[slowest]:.0f} × {slowest}'s; goal ≤ 40 ×"


def main(arguments: list[str]) -> None:
    """Print a line a case."""
    if arguments[:1] == ["bare"]:
        BARE[arguments[1]](CASES[arguments[2]])
        return
    names = [name for name in arguments if name in CASES] or [
        name for name in CASES if name not in LARGE or "--large" in arguments
    ]
    print(f"{'what':32}{'seconds':>9}{'bare':>8}{'ratio':>8}{'MB':>7}  goal")
    for name in names:
        # a process of its own, since the largest child is told of all children
        code = f"from tests.bench.scale import measured; print(*measured({name!r}))"
        answer = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout
        ours, theirs, megabytes = map(float, answer.split())
        case = CASES[name]
        goals = [f"≤ {case.ratio:g} ×"] if case.ratio else []
        goals += [f"≤ {case.seconds:g} s"] if case.seconds else []
        goals += [f"≤ {case.megabytes:g} MB"] if case.megabytes else []
        print(f"{name:32}{ours:9.1f}{theirs:8.1f}{ours / theirs:8.2f}{megabytes:7.0f}  {', '.join(goals)}", flush=True)
    print(oracle_row())


if __name__ == "__main__":
    main(sys.argv[1:])
