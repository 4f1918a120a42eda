"""How does PaddlePaddle run a scenario? Its own layers, autograd and optimizers, used as its users do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from isograd.backend import Backend, LazyModule, Session
from isograd.inputs import Array, Inputs
from isograd.scenario import Scenario

paddle = LazyModule("paddle")


def _half_squared_error(spec: Any, yhat: Any, y: Any) -> Any:
    return 0.5 * paddle.nn.functional.mse_loss(yhat, y, reduction="sum") / len(y)


LAYERS: dict[str, Callable[[Any, int], Any]] = {
    "linear": lambda spec, width: paddle.nn.Linear(
        width, spec.units, bias_attr=None if spec.bias is not None else False
    ),
    "sigmoid": lambda spec, width: paddle.nn.Sigmoid(),
    "relu": lambda spec, width: paddle.nn.ReLU(),
    "scale": lambda spec, width: lambda z: spec.factor * z,
}
LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "half_squared_error": _half_squared_error,
    "mse": lambda spec, yhat, y: paddle.nn.functional.mse_loss(yhat, y),
}
OPTIMIZERS: dict[str, Callable[[Any, float, Any], Any]] = {
    "sgd": lambda spec, lr, parameters: paddle.optimizer.SGD(learning_rate=lr, parameters=parameters)
}
TRANSPOSED = {"linear": {"weight"}}  # PaddlePaddle keeps a Linear's weight as (in, out), for z = x W + b


class PaddleBackend(Backend):
    """PaddlePaddle on the CPU."""

    distribution = "paddlepaddle"
    layers = LAYERS
    losses = LOSSES
    optimizers = OPTIMIZERS
    dtypes = dict.fromkeys(("float32", "float64"))  # no 16-bit kernel of `linear` on the CPU (3.3.1)

    def environment(self) -> dict[str, str]:
        """Version, device and flags."""
        flags = paddle.get_flags(["FLAGS_paddle_num_threads", "FLAGS_use_onednn"])
        return {
            "paddlepaddle": paddle.__version__,
            "device": paddle.device.get_device(),
            "threads": str(flags["FLAGS_paddle_num_threads"]),
            "onednn": str(flags["FLAGS_use_onednn"]),
        }

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The model as layers, with the scenario's initial values."""
        paddle.set_device("cpu")  # where PaddlePaddle has no switch for determinism; its deterministic flags are CUDA's
        return PaddleSession(scenario, inputs)


class PaddleSession(Session):
    """Forward, loss, `backward`, `step`, `clear_grad`: PaddlePaddle's usual loop."""

    def __init__(self, scenario: Scenario, inputs: Inputs) -> None:
        self.dtype = np.dtype(scenario.dtype)
        features = scenario.input_widths()
        self.layers = [(spec.name, LAYERS[spec.kind](spec, features[spec.name])) for spec in scenario.layers]
        model = paddle.nn.LayerDict({k: layer for k, layer in self.layers if isinstance(layer, paddle.nn.Layer)})
        model.to(dtype=scenario.dtype)
        self.parameters = dict(model.named_parameters())
        kinds = {spec.name: spec.kind for spec in scenario.layers}
        self.transposed = {
            name for name in self.parameters if name.split(".")[1] in TRANSPOSED.get(kinds[name.split(".")[0]], ())
        }
        self.load(inputs.initial)
        self.loss = LOSSES[scenario.loss.kind]
        self.loss_spec = scenario.loss
        self.optimizer = OPTIMIZERS[scenario.optimizer.kind](scenario.optimizer, inputs.lr, model.parameters())

    def canonical(self, name: str, tensor: Any) -> Array:
        """A parameter, or its gradient, in the mathematical layout."""
        values: Array = tensor.numpy()
        return values.T if name in self.transposed else values

    def load(self, state: Mapping[str, Array]) -> None:
        """Set the parameters, in PaddlePaddle's layout."""
        for name, value in state.items():
            own = value.T if name in self.transposed else value
            self.parameters[name].set_value(np.ascontiguousarray(own))

    def step(self, x: Array, y: Array) -> Mapping[str, Array]:
        """One step of the loop, with every layer's output kept for its gradient."""
        outputs = {}
        a = paddle.to_tensor(x)
        for name, layer in self.layers:
            a = layer(a)
            a.retain_grads()
            outputs[name] = a
        loss = self.loss(self.loss_spec, a, paddle.to_tensor(y))
        loss.backward()
        self.optimizer.step()
        seen = {
            "lr": self.dtype.type(self.optimizer.get_lr()),
            **{f"forward/{name}": a.numpy() for name, a in outputs.items()},
            "loss": loss.numpy(),
            **{f"backward/{name}": a.grad.numpy() for name, a in outputs.items()},
            **{f"grad/{name}": self.canonical(name, p.grad) for name, p in self.parameters.items()},
            **{f"weight/{name}": self.canonical(name, p) for name, p in self.parameters.items()},
        }
        self.optimizer.clear_grad()
        return seen
