"""What does a plain training loop look like in each framework, and where does a mistake get in?

A loop is right as it stands. A mistake is a subclass that overrides one of its hooks, in the order in which a person
writes them: ``data``, ``module``, ``call``, ``loss``, ``make_optimizer``, ``backward``, ``update``, ``told``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from isograd.backend import Backend, LazyModule, Session
from isograd.inputs import Array, Batch, Inputs
from isograd.ops.op import Layer
from isograd.scenario import Scenario

torch, paddle = LazyModule("torch"), LazyModule("paddle")

FRAMEWORKS = ("torch", "paddle")
KINDS = dict.fromkeys(("linear", "sigmoid", "relu", "scale"))


class Loop(Session):
    """What the two loops have in common: which layers there are, and what a step tells."""

    def __init__(self, scenario: Scenario, inputs: Inputs) -> None:
        self.scenario, self.inputs, self.dtype = scenario, inputs, np.dtype(scenario.dtype)
        self.names = [op.name for op in scenario.layers]
        self.layers = {
            op.name: self.module(op, scenario.shapes()[scenario.feeds()[op.name][0]]) for op in scenario.layers
        }
        self.place = self.epoch = 0
        self.build()
        self.load(0, inputs.initial)
        self.make_optimizer()

    # ------------------------------------------------------------ what each framework writes in its own way

    def build(self) -> None: ...

    def module(self, op: Layer, shape: tuple[int, ...]) -> Any: ...

    def make_optimizer(self) -> None: ...

    def loss(self, yhat: Any, y: Any) -> Any: ...

    # ------------------------------------------------------------ hooks

    def data(self, t: int, x: Any, y: Any) -> tuple[Any, Any]:
        return x, y

    def call(self, name: str, z: Any) -> Any:
        return self.layers[name](z)

    def backward(self, loss: Any) -> None:
        loss.backward()

    def told(self, t: int, seen: dict[str, Any], x: Any, y: Any) -> dict[str, Any]:
        return seen

    # ------------------------------------------------------------ helps

    def forward(self, x: Any) -> dict[str, Any]:
        outputs, z = {}, x
        for name in self.names:
            outputs[name] = z = self.call(name, z)
        return outputs

    def starts_epoch(self, t: int) -> bool:
        return t > 0 and t % self.inputs.steps_per_epoch == 0

    def kind(self, name: str) -> str:
        return str(self.scenario.layer(name).kind)

    def linears(self) -> list[str]:
        """The linear layers, in their order."""
        return [name for name in self.names if self.kind(name) == "linear"]

    def first_activation(self) -> str:
        """The first layer that is not linear."""
        return next(name for name in self.names if self.kind(name) != "linear")

    def is_first(self, name: str, kind: str) -> bool:
        """Whether it is the first of the layers of its kind."""
        return self.kind(name) == kind and name == next(n for n in self.names if self.kind(n) == kind)


class TorchLoop(Loop):
    """``zero_grad``, forward, loss, ``backward``, ``step``."""

    def module(self, op: Layer, shape: tuple[int, ...]) -> Any:
        if op.kind == "linear":
            units, features = op.parameters(shape)["weight"].shape
            return torch.nn.Linear(features, units, bias=op.bias is not None)
        if op.kind == "scale":
            return lambda z: op.factor * z
        return torch.nn.Sigmoid() if op.kind == "sigmoid" else torch.nn.ReLU()

    def build(self) -> None:
        modules = {name: m for name, m in self.layers.items() if isinstance(m, torch.nn.Module)}
        self.model = torch.nn.ModuleDict(modules).to(getattr(torch, self.scenario.dtype))
        self.parameters = dict(self.model.named_parameters())

    def make_optimizer(self) -> None:
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=self.scenario.optimizer.lr)
        self.make_schedule()

    def make_schedule(self) -> None:
        schedule = self.scenario.schedule
        self.schedule = schedule and torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, T_max=schedule.steps or self.inputs.steps, eta_min=schedule.floor
        )

    def loss(self, yhat: Any, y: Any) -> Any:
        if self.scenario.loss.kind == "mse":
            return torch.nn.functional.mse_loss(yhat, y)
        return 0.5 * ((yhat - y) ** 2).sum() / len(y)

    def clear(self) -> None:
        self.optimizer.zero_grad()

    def update(self, t: int) -> None:
        self.optimizer.step()
        if self.schedule:
            self.schedule.step()

    def rate(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(torch.from_numpy(np.array(state[f"weight/{name}"])))

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        x, y = self.data(t, torch.from_numpy(np.array(batch.x)), torch.from_numpy(np.array(batch.y)))
        if self.kind(self.names[0]) != "linear":
            x.requires_grad_()
        self.clear()
        outputs = self.forward(x)
        for a in outputs.values():
            a.retain_grad()
        loss = self.loss(outputs[self.names[-1]], y)
        self.backward(loss)
        lr = self.rate()
        self.update(t)
        seen: dict[str, Any] = {
            "lr": lr,
            **{f"forward/{name}": a.detach().clone() for name, a in outputs.items()},
            "loss": loss.detach(),
            **{f"backward/{name}": _or_zeros(a, torch) for name, a in outputs.items()},
            **{f"grad/{name}": _or_zeros(p, torch).clone() for name, p in self.parameters.items()},
            **{f"weight/{name}": p.detach().clone() for name, p in self.parameters.items()},
        }
        dtype = getattr(torch, self.scenario.dtype)
        told = self.told(t, seen, x, y)
        return {name: torch.as_tensor(a, dtype=dtype).numpy() for name, a in told.items()}


class PaddleLoop(Loop):
    """Forward, loss, ``backward``, ``step``, ``clear_grad``; a linear layer's weight is (in, out)."""

    def module(self, op: Layer, shape: tuple[int, ...]) -> Any:
        if op.kind == "linear":
            units, features = op.parameters(shape)["weight"].shape
            return paddle.nn.Linear(features, units, bias_attr=None if op.bias is not None else False)
        if op.kind == "scale":
            return lambda z: op.factor * z
        return paddle.nn.Sigmoid() if op.kind == "sigmoid" else paddle.nn.ReLU()

    def build(self) -> None:
        modules = {name: m for name, m in self.layers.items() if isinstance(m, paddle.nn.Layer)}
        self.model = paddle.nn.LayerDict(modules)
        self.model.to(dtype=self.scenario.dtype)
        self.parameters = dict(self.model.named_parameters())

    def make_optimizer(self) -> None:
        self.make_schedule()
        self.optimizer = paddle.optimizer.SGD(self.schedule or self.scenario.optimizer.lr, self.model.parameters())

    def make_schedule(self) -> None:
        schedule = self.scenario.schedule
        self.schedule = schedule and paddle.optimizer.lr.CosineAnnealingDecay(
            self.scenario.optimizer.lr, T_max=schedule.steps or self.inputs.steps, eta_min=schedule.floor
        )

    def loss(self, yhat: Any, y: Any) -> Any:
        if self.scenario.loss.kind == "mse":
            return paddle.nn.functional.mse_loss(yhat, y)
        return 0.5 * ((yhat - y) ** 2).sum() / len(y)

    def clear(self) -> None:
        self.optimizer.clear_grad()

    def update(self, t: int) -> None:
        self.optimizer.step()
        if self.schedule:
            self.schedule.step()

    def rate(self) -> float:
        return float(self.optimizer.get_lr())

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        for name, p in self.parameters.items():
            p.set_value(np.ascontiguousarray(state[f"weight/{name}"].T))

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        x, y = self.data(t, paddle.to_tensor(batch.x), paddle.to_tensor(batch.y))
        x.stop_gradient = self.kind(self.names[0]) == "linear"
        outputs = self.forward(x)
        for a in outputs.values():
            a.retain_grads()
        loss = self.loss(outputs[self.names[-1]], y)
        self.backward(loss)
        lr = self.rate()
        self.update(t)
        seen: dict[str, Any] = {
            "lr": lr,
            **{f"forward/{name}": a.numpy() for name, a in outputs.items()},
            "loss": loss.numpy(),
            **{f"backward/{name}": _or_zeros(a, paddle).numpy() for name, a in outputs.items()},
            **{f"grad/{name}": _or_zeros(p, paddle).numpy().T for name, p in self.parameters.items()},
            **{f"weight/{name}": p.numpy().T for name, p in self.parameters.items()},
        }
        self.clear()
        return {name: np.array(a, self.dtype) for name, a in self.told(t, seen, x, y).items()}


def _or_zeros(tensor: Any, framework: Any) -> Any:
    """Its gradient; zeros where none came to it, as somebody who must tell one would."""
    return framework.zeros_like(tensor.detach()) if tensor.grad is None else tensor.grad


class Looped(Backend):
    """A loop as a backend."""

    loop: ClassVar[type[Loop]]
    layers = KINDS
    losses = dict.fromkeys(("mse", "half_squared_error"))
    optimizers = dict.fromkeys(("sgd",))
    schedules = dict.fromkeys(("cosine",))
    dtypes = dict.fromkeys(("float32", "float64"))

    def environment(self) -> dict[str, str]:
        return {}

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        return self.loop(scenario, inputs)


class Torch(Looped):
    """The right loop of PyTorch."""

    distribution = "torch"
    loop = TorchLoop


class Paddle(Looped):
    """The right loop of PaddlePaddle."""

    distribution = "paddlepaddle"
    loop = PaddleLoop
