"""What does recording cost, against the same steps in a bare loop? ``python -m tests.bench.training BACKEND``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from isograd import load_scenario
from isograd.backend import make_backend
from isograd.inputs import Inputs, make_inputs
from isograd.recorder import record_here

ROUNDS = 7


def bare_numpy(inputs: Inputs) -> Callable[[], None]:
    """The loop that someone writes who knows backpropagation and wants no more than the weights."""

    def train() -> None:
        w1, w2 = inputs.weights["hidden.weight"], inputs.weights["output.weight"]
        for _ in range(10):
            for i in range(100):
                x, y = inputs.x[i : i + 1], inputs.y[i : i + 1]
                z = x @ w1.T
                h = np.maximum(z, 0)
                d = h @ w2.T - y  # 2 / n = 1 for the two outputs of one sample
                (d * d).mean()
                dz = (d @ w2) * (z > 0)
                w2 = w2 - 0.01 * (d.T @ h)
                w1 = w1 - 0.01 * (dz.T @ x)

    return train


def bare_torch(inputs: Inputs) -> Callable[[], None]:
    """The source's own program, with its data and labels given."""
    import torch

    xs, ys = torch.from_numpy(inputs.x), torch.from_numpy(inputs.y)

    def train() -> None:
        first, second = torch.nn.Linear(2, 4, bias=False), torch.nn.Linear(4, 2, bias=False)
        model = torch.nn.Sequential(first, torch.nn.ReLU(), second)
        first.weight.data = torch.tensor(inputs.weights["hidden.weight"])
        second.weight.data = torch.tensor(inputs.weights["output.weight"])
        optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.01), torch.nn.MSELoss()
        for _ in range(10):
            for i in range(100):
                loss = criterion(model(xs[i].unsqueeze(0)), ys[i].unsqueeze(0))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

    return train


def bare_paddle(inputs: Inputs) -> Callable[[], None]:
    """The source's own program, with its data and labels given."""
    import paddle

    xs, ys = paddle.to_tensor(inputs.x), paddle.to_tensor(inputs.y)

    def train() -> None:
        first, second = paddle.nn.Linear(2, 4, bias_attr=False), paddle.nn.Linear(4, 2, bias_attr=False)
        model = paddle.nn.Sequential(first, paddle.nn.ReLU(), second)
        first.weight.set_value(inputs.weights["hidden.weight"].T.copy())
        second.weight.set_value(inputs.weights["output.weight"].T.copy())
        optimizer = paddle.optimizer.SGD(learning_rate=0.01, parameters=model.parameters())
        criterion = paddle.nn.MSELoss()
        for _ in range(10):
            for i in range(100):
                loss = criterion(model(paddle.unsqueeze(xs[i], axis=0)), paddle.unsqueeze(ys[i], axis=0))
                loss.backward()
                optimizer.step()
                model.clear_gradients()

    return train


BARE = {"numpy": bare_numpy, "torch": bare_torch, "paddle": bare_paddle}


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measured(name: str) -> tuple[float, float]:
    """Median seconds of 1,000 recorded steps, and of 1,000 bare ones, in turn."""
    scenario = load_scenario("article/sum_regression")
    inputs, backend = make_inputs(scenario), make_backend(name)
    bare = BARE[name](inputs)

    def recorded() -> None:
        record_here(backend, name, scenario, inputs)

    recorded(), bare()  # warm-up: lazy imports, thread pools
    pairs = [(seconds(recorded), seconds(bare)) for _ in range(ROUNDS)]
    return float(np.median([a for a, _ in pairs])), float(np.median([b for _, b in pairs]))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(measured(sys.argv[1])))
    else:  # "--once": what a user without isograd would do, as one process
        BARE[sys.argv[1]](make_inputs(load_scenario("article/sum_regression")))()
