"""How is a user's own PaddlePaddle model described, loaded, trained and watched?"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from isograd.backends.paddlepaddle.modules import ROWS
from isograd.framework import Framework, Trainee, called, flattened
from isograd.inputs import Array
from isograd.lazy import LazyModule
from isograd.structure import OptimizerOf, Setting, plain

paddle: Any = LazyModule("paddle")


RULES = {"SGD": "sgd", "Momentum": "sgd", "Adam": "adam", "AdamW": "adamw", "RMSProp": "rmsprop", "Adagrad": "adagrad"}
SLOTS = {
    "moment1": "m",
    "moment2": "v",
    "moment2_max": "v_max",
    "velocity": "velocity",
    "momentum": "velocity",
    "mean_square": "v",
    "mean_grad": "mean",
    "moment": "sum",
    "_avg_squared_grad": "v",
    "_avg_squared_update": "delta",
    "inf_norm": "inf_norm",
}
OWN_RULES = {
    "RMSProp": "RMSProp is another rule there: ε is under the root, the rate within the velocity (PaddlePaddle 3.3.1)",
}
"""What an optimizer does otherwise than its namesakes, by its formula in optimizer/rmsprop.py."""

EXACT_CLIP = "ClipGradByGlobalNorm divides gradients by their norm, clip_grad_norm_ by that and 1e-06"
"""3.3.1, nn/clip.py."""

CORRECTIONS = (
    "Adam's 1 − βᵗ is computed in float32, so that the first steps are some 10⁻⁵ too small (PaddlePaddle 3.3.1)"
)
POWERS = {"beta1_pow_acc": "_beta1", "beta2_pow_acc": "_beta2"}


class PaddleFramework(Framework):
    """PaddlePaddle on the CPU."""

    name = "PaddlePaddle"
    root = "paddle"
    rows = ROWS
    least = math.exp(-64)  # 3.3.1 clips x − max x at −64 (phi/kernels/funcs/softmax_impl.h)

    def owns(self, model: Any) -> bool:
        """A `paddle.nn.Layer`."""
        return any(cls.__module__.startswith("paddle.nn.") for cls in type(model).__mro__)

    def version(self) -> str:
        """PaddlePaddle's."""
        return str(paddle.__version__)

    @contextmanager
    def building(self, dtype: str) -> Iterator[None]:
        """By the default dtype; and dropout is none from now on."""
        _drop_nothing()
        before = paddle.get_default_dtype()
        paddle.set_default_dtype(dtype)
        try:
            yield
        finally:
            paddle.set_default_dtype(before)

    def prepared(self, model: Any, dtype: str) -> None:
        """Converted, without dropout; what a user has put into evaluation mode stays there."""
        _drop_nothing()
        wanted = getattr(paddle, dtype)
        held = [*model.parameters(), *model.buffers()]
        if any(tensor.dtype != wanted and tensor.is_floating_point() for tensor in held):
            model.to(dtype=dtype)
        for layer in model.sublayers(include_self=True):
            if isinstance(getattr(layer, "dropout", None), float):
                layer.dropout = 0.0

    def tensor(self, values: Array) -> Any:
        """A copy."""
        return paddle.to_tensor(np.array(values))

    def array(self, tensor: Any) -> Array:
        """A copy."""
        return np.array(tensor.detach().numpy())

    def is_tensor(self, value: Any) -> bool:
        """A tensor of floats."""
        return isinstance(value, paddle.Tensor) and value.is_floating_point()

    def modules(self, model: Any) -> Iterator[tuple[str, Any]]:
        """As PaddlePaddle names them."""
        yield from model.named_sublayers(include_self=True)

    def children(self, module: Any) -> Iterable[Any]:
        """As PaddlePaddle has them."""
        return module.children()  # type: ignore[no-any-return]

    def direct(self, module: Any) -> dict[str, Any]:
        """Its own parameters."""
        return {name: value for name, value in module._parameters.items() if value is not None}

    def direct_buffers(self, module: Any) -> dict[str, Any]:
        """Those that are saved with it."""
        passing = module._non_persistable_buffer_names_set
        kept = {name: value for name, value in module._buffers.items() if value is not None and name not in passing}
        return {name: value for name, value in kept.items() if value.is_floating_point()}

    @cached_property
    def apart(self) -> frozenset[str]:  # type: ignore[override]  # it needs the framework
        """Those of an empty layer."""
        return frozenset(vars(paddle.nn.Layer()))

    def trained(self, parameter: Any) -> bool:
        """Whether it stops no gradient."""
        return not parameter.stop_gradient

    def copy_into(self, tensor: Any, values: Array) -> None:
        """In place."""
        tensor.set_value(np.asarray(values, order="C").astype(str(tensor.dtype).rpartition(".")[2]))

    def gradient(self, parameter: Any) -> Array | None:
        """As autograd has left it."""
        return None if parameter.grad is None else self.array(parameter.grad)

    def on_forward(self, module: Any, see: Callable[[list[Any]], None]) -> None:
        """By a hook after the forward pass; a cell gives its output, and its states, of which that is the first."""
        row = ROWS.get(type(module).__name__)
        of_states = row is not None and row.kind == "rnn_cell"

        def told(_: Any, inputs: Any, output: Any) -> None:
            see(flattened(output[1] if of_states else output, self.is_tensor))

        module.register_forward_post_hook(told)

    def on_gradient(self, tensor: Any, see: Callable[[Any], None]) -> None:
        """By a tensor's hook; a parameter that a module gives would keep it."""
        if not (tensor.stop_gradient or tensor.is_leaf):
            tensor.register_hook(lambda gradient: see(gradient))

    def on_update(self, optimizer: Any, see: Callable[[Mapping[int, Array]], None]) -> None:
        """Around the optimizer's step; it clips gradients itself, where it is to."""
        own = optimizer.step

        def step(*args: Any, **options: Any) -> Any:
            see(self._clipped(optimizer))
            return own(*args, **options)

        optimizer.step = step

    def _clipped(self, optimizer: Any) -> dict[int, Array]:
        found = dict[int, Array]()
        for clip, group in self._clips(optimizer):  # each for itself, as the optimizer does
            pairs = [(p, p.grad.clone()) for p in group if p.grad is not None]  # they are clipped where they lie
            found |= {id(p): self.array(g) for p, g in (clip(pairs) if pairs else ())}
        return found

    def _clips(self, optimizer: Any) -> Iterator[tuple[Any, list[Any]]]:
        """What clips gradients, and whose."""
        groups, whole = optimizer._param_groups, optimizer._grad_clip
        listed = [(group.get("grad_clip", whole), group["params"]) for group in groups if isinstance(group, dict)]
        yield from ((clip, params) for clip, params in listed or [(whole, list(groups))] if clip is not None)

    def step(self, trainee: Trainee, x: Any, y: Any) -> Any:
        """As PaddlePaddle's tutorials have it."""
        loss = called(trainee, x, y)
        loss.backward()
        for optimizer in trainee.optimizers.values():
            optimizer.step()
        for optimizer in trainee.optimizers.values():
            optimizer.clear_grad()
        return loss

    def rates(self, optimizer: Any) -> dict[int, float]:
        """One, of which parameters, or their groups, have factors."""
        whole = float(optimizer.get_lr())
        return {id(p): whole * _factor(p) for p in self.parameters(optimizer)}

    def parameters(self, optimizer: Any) -> list[Any]:
        """Of all groups."""
        return [parameter for group in self._groups(optimizer) for parameter in group]

    def _groups(self, optimizer: Any) -> list[list[Any]]:
        listed = optimizer._parameter_list or []
        return [group["params"] for group in listed] if listed and isinstance(listed[0], dict) else [listed]

    def optimizer(self, optimizer: Any, names: Mapping[int, str]) -> OptimizerOf:
        """With the first group's settings, and what other groups have otherwise."""
        cls = type(optimizer).__name__
        of_each = {id(p): self._of(optimizer, p, group) for group, p in self._grouped(optimizer)}
        first = next(iter(of_each.values()), {})
        params = {
            names[at]: {name: value for name, value in settings.items() if value != first.get(name)}
            for at, settings in of_each.items()
            if at in names
        }
        kept = {SLOTS[name] for name, of in self._accumulators(optimizer) if of}
        kind, slots = RULES.get(cls, cls), tuple(sorted(kept))
        return OptimizerOf(
            kind=kind,
            settings=first,
            params=params,
            slots=slots,
            imprecise=CORRECTIONS if kind in ("adam", "adamw") else "",
            differs=OWN_RULES.get(cls, ""),
            clips=EXACT_CLIP
            if any(isinstance(clip, paddle.nn.ClipGradByGlobalNorm) for clip, _ in self._clips(optimizer))
            else "",
        )

    def _grouped(self, optimizer: Any) -> Iterator[tuple[Mapping[str, Any], Any]]:
        groups = optimizer._param_groups
        if groups and isinstance(groups[0], dict):
            yield from ((group, p) for group in groups for p in group["params"])
        else:
            yield from (({}, p) for p in groups)

    def _of(self, optimizer: Any, parameter: Any, group: Mapping[str, Any]) -> dict[str, Setting]:
        """What an optimizer does with a parameter."""
        defaults = getattr(optimizer, "_default_dict", {})

        def value(name: str) -> Any:
            return group.get(name, getattr(optimizer, f"_{name}", defaults.get(name)))

        settings: dict[str, Setting] = {"lr": float(optimizer.get_lr()) * _factor(parameter)}
        names = {"beta1": "beta1", "beta2": "beta2", "epsilon": "epsilon", "momentum": "momentum", "rho": "rho"}
        names |= {"use_nesterov": "nesterov", "centered": "centred", "amsgrad": "amsgrad"}
        names |= {"initial_accumulator_value": "initial accumulator", "momentum_decay": "momentum_decay"}
        for own, name in names.items():
            if (found := value(own)) is not None:
                settings[name] = plain(found if not hasattr(found, "numpy") else float(found))
        if type(optimizer).__name__ == "SGD":
            settings["momentum"] = 0.0
        settings["weight_decay"] = self._decay(optimizer, parameter, group)
        return settings

    def _decay(self, optimizer: Any, parameter: Any, group: Mapping[str, Any]) -> float:
        chosen = getattr(optimizer, "_apply_decay_param_fun", None)
        if chosen is not None and not chosen(parameter.name):
            return 0.0
        decay = group.get("weight_decay")
        if decay is None:
            decay = getattr(parameter, "regularizer", None) or getattr(optimizer, "regularization", None)
        if decay is None and type(optimizer).__name__ == "AdamW":
            decay = optimizer._weight_decay
        if decay is None:  # Momentum has it in its kernel
            defaults = getattr(optimizer, "_default_dict", {})
            decay = group.get("regularization_coeff", defaults.get("regularization_coeff"))
        coefficient = getattr(decay, "_coeff", getattr(decay, "_regularization_coeff", decay))
        return float(coefficient or 0.0)

    def _accumulators(self, optimizer: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
        yield from ((name, of) for name, of in optimizer._accumulators.items() if name in SLOTS)

    def slots(self, optimizer: Any, parameter: Any) -> dict[str, Any]:
        """By their canonical names."""
        return {SLOTS[name]: of[parameter.name] for name, of in self._accumulators(optimizer) if parameter.name in of}

    def begin_slots(self, optimizer: Any, parameter: Any) -> None:
        """As the optimizer does before its first step."""
        if not any(parameter.name in of for of in optimizer._accumulators.values()):
            block = paddle.static.default_main_program().global_block()  # is asked for, and not used
            optimizer._create_accumulators(block, [parameter])

    def count(self, optimizer: Any, t: int) -> None:
        """By the powers that it keeps; before the first update all else is 0."""
        for name, of in optimizer._accumulators.items():
            for tensor in of.values():
                if name in POWERS:
                    beta = getattr(optimizer, POWERS[name])
                    tensor.set_value(np.full(tuple(tensor.shape), float(beta) ** (t + 1), tensor.numpy().dtype))
                elif not t and name in SLOTS:
                    tensor.set_value(np.zeros(tuple(tensor.shape), tensor.numpy().dtype))

    def remember(self, trainee: Trainee) -> Any:
        """The schedule's own state."""
        return copy.deepcopy(trainee.schedule.state_dict()) if hasattr(trainee.schedule, "state_dict") else None

    def recall(self, trainee: Trainee, memory: Any) -> None:
        """The same."""
        if memory is not None and trainee.schedule is not None:
            trainee.schedule.set_state_dict(copy.deepcopy(memory))

    def seed(self, seed: int) -> None:
        """Of the default generator."""
        paddle.seed(seed)

    def seeding(self) -> list[tuple[str, str]]:
        """That of the default generator."""
        return [("paddle", "seed")]


DROPPING = ("dropout", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")


def _factor(parameter: Any) -> float:
    """Of the rate: its own, or its group's."""
    return float(getattr(parameter, "optimize_attr", {}).get("learning_rate", 1.0))


def _drop_nothing() -> None:
    """Functions and modules that drop at random hand on what they are given."""
    functional = paddle.nn.functional
    if getattr(functional.dropout, "isograd", False):
        return

    def kept(x: Any, *_: Any, **__: Any) -> Any:
        return x

    kept.isograd = True  # type: ignore[attr-defined]
    for name in DROPPING:
        if hasattr(functional, name):
            setattr(functional, name, kept)
