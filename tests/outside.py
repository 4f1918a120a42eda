"""How does somebody else's backend look? One class and one session, known to nobody: no entry point, in no list.

It computes with NumPy, by rules of its own: single expressions of the chain rule, for one hidden layer at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from isograd import Backend, Scenario, Session
from isograd.inputs import Array, Batch, Inputs

LAYERS: dict[str, Any] = {
    "linear": (lambda z, p: z @ p["weight"].T + p["bias"], None),
    "relu": (lambda z, p: np.where(z > 0, z, 0), lambda z, p, d: d * (z > 0)),
    "scale": (lambda z, p: z * p["factor"], lambda z, p, d: d * p["factor"]),
}


class Outside(Backend):
    """Has no sigmoid, one loss, and two dtypes."""

    distribution = "numpy"
    layers = LAYERS
    losses = dict.fromkeys(("mse",))
    optimizers = dict.fromkeys(("sgd",))
    dtypes = dict.fromkeys(("float32", "float64"))

    def environment(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        return OutsideSession(scenario, inputs)


class OutsideSession(Session):
    def __init__(self, scenario: Scenario, inputs: Inputs) -> None:
        self.dtype = np.dtype(scenario.dtype).type
        self.lr = self.dtype(inputs.lr[0])
        self.kinds = {layer.name: layer.kind for layer in scenario.layers}
        self.p: dict[str, dict[str, Any]] = {
            layer.name: {"bias": self.dtype(0), "factor": self.dtype(getattr(layer, "factor", 1))}
            for layer in scenario.layers
        }
        self.trained = list(inputs.weights)
        self.load(0, inputs.initial)

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        for name, value in state.items():
            layer, _, param = name.removeprefix("weight/").partition(".")
            self.p[layer][param] = np.array(value)

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        x, y = batch
        seen: dict[str, Any] = {"lr": self.lr}
        given = {}
        for name, kind in self.kinds.items():
            given[name] = x
            x = seen[f"forward/{name}"] = LAYERS[kind][0](x, self.p[name])
        seen["loss"] = np.square(x - y).mean(dtype=self.dtype)
        d = self.dtype(2) * (x - y) / self.dtype(y.size)
        for name, kind in reversed(self.kinds.items()):
            seen[f"backward/{name}"] = d
            if kind == "linear":
                seen |= {f"grad/{name}.weight": d.T @ given[name], f"grad/{name}.bias": d.sum(axis=0)}
                d = d @ self.p[name]["weight"]
            else:
                d = LAYERS[kind][1](given[name], self.p[name], d)
        self.load(
            t + 1,
            {
                name: self.p[name.split(".")[0]][name.split(".")[1]] - self.lr * seen[f"grad/{name}"]
                for name in self.trained
            },
        )
        seen |= {f"weight/{name}": self.p[name.split(".")[0]][name.split(".")[1]] for name in self.trained}
        return {name: value for name, value in seen.items() if not name.startswith("grad/") or name[5:] in self.trained}
