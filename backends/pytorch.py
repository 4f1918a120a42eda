"""How does PyTorch run a scenario? Its own modules, autograd and optimizers, used as its users do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from isograd.backend import Backend, LazyModule, Session
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Inputs
from isograd.scenario import Scenario

torch = LazyModule("torch")


def _half_squared_error(spec: Any, yhat: Any, y: Any) -> Any:
    return 0.5 * torch.nn.functional.mse_loss(yhat, y, reduction="sum") / len(y)


LAYERS: dict[str, Callable[[Any, int], Any]] = {
    "linear": lambda spec, width: torch.nn.Linear(width, spec.units, bias=spec.bias is not None),
    "sigmoid": lambda spec, width: torch.nn.Sigmoid(),
    "relu": lambda spec, width: torch.nn.ReLU(),
    "scale": lambda spec, width: lambda z: spec.factor * z,
}
LOSSES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "half_squared_error": _half_squared_error,
    "mse": lambda spec, yhat, y: torch.nn.functional.mse_loss(yhat, y),
}
OPTIMIZERS: dict[str, Callable[[Any, float, Any], Any]] = {
    "sgd": lambda spec, lr, parameters: torch.optim.SGD(parameters, lr=lr)
}


BFLOAT16 = FORMATS["bfloat16"].dtype  # NumPy has none of its own, and PyTorch takes over only NumPy's own


def to_tensor(values: Array) -> Any:
    """A tensor that shares the array's memory."""
    if values.dtype == BFLOAT16:
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def to_array(tensor: Any) -> Array:
    """An array that shares the tensor's memory."""
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(BFLOAT16)  # type: ignore[no-any-return]
    return tensor.numpy()  # type: ignore[no-any-return]


class TorchBackend(Backend):
    """PyTorch on the CPU, with deterministic algorithms."""

    distribution = "torch"
    layers = LAYERS
    losses = LOSSES
    optimizers = OPTIMIZERS
    dtypes = FORMATS

    def environment(self) -> dict[str, str]:
        """Version, device, threads and flags."""
        return {
            "torch": torch.__version__,
            "device": "cpu",
            "threads": str(torch.get_num_threads()),
            "deterministic": str(torch.are_deterministic_algorithms_enabled()),
            "mkldnn": str(torch.backends.mkldnn.is_available()),
        }

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The model as modules, with the scenario's initial values."""
        torch.use_deterministic_algorithms(True)
        return TorchSession(scenario, inputs)


class TorchSession(Session):
    """Forward, loss, `zero_grad`, `backward`, `step`: PyTorch's usual loop. Weights are (out, in) here already."""

    def __init__(self, scenario: Scenario, inputs: Inputs) -> None:
        self.dtype = np.dtype(scenario.dtype)
        features = scenario.input_widths()
        self.layers = [(spec.name, LAYERS[spec.kind](spec, features[spec.name])) for spec in scenario.layers]
        model = torch.nn.ModuleDict({k: layer for k, layer in self.layers if isinstance(layer, torch.nn.Module)})
        model.to(getattr(torch, scenario.dtype))
        self.parameters = dict(model.named_parameters())
        self.load(inputs.initial)
        # `to_array` shares the parameter's memory: made once, it shows every later update
        self.weights = {f"weight/{name}": to_array(p.detach()) for name, p in self.parameters.items()}
        self.loss = LOSSES[scenario.loss.kind]
        self.loss_spec = scenario.loss
        self.optimizer = OPTIMIZERS[scenario.optimizer.kind](scenario.optimizer, inputs.lr, model.parameters())

    def load(self, state: Mapping[str, Array]) -> None:
        """Copy the parameters in."""
        with torch.no_grad():
            for name, value in state.items():
                self.parameters[name].copy_(to_tensor(np.array(value)))

    def step(self, x: Array, y: Array) -> Mapping[str, Array]:
        """One step of the loop, with every layer's output kept for its gradient."""
        outputs = {}
        a = to_tensor(x)
        for name, layer in self.layers:
            a = layer(a)
            a.retain_grad()
            outputs[name] = a
        loss = self.loss(self.loss_spec, a, to_tensor(y))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {
            "lr": self.dtype.type(self.optimizer.param_groups[0]["lr"]),
            **{f"forward/{name}": to_array(a.detach()) for name, a in outputs.items()},
            "loss": to_array(loss.detach()),
            **{f"backward/{name}": to_array(a.grad) for name, a in outputs.items()},
            **{f"grad/{name}": to_array(p.grad) for name, p in self.parameters.items()},
            **self.weights,
        }
