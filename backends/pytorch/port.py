"""How is a user's own PyTorch model described, loaded, trained and watched?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from isograd.backends.pytorch import alternatives, calls, spelled, to_array, to_tensor
from isograd.backends.pytorch.functions import BEHIND, FUNCTIONS, LOSSES
from isograd.backends.pytorch.modules import ROWS
from isograd.framework import Framework, Kinks, Noise, Other, Trainee, called, flattened
from isograd.inputs import Array
from isograd.lazy import LazyModule
from isograd.patched import patched
from isograd.structure import OptimizerOf, Setting, plain

torch: Any = LazyModule("torch")


RULES = {"SGD": "sgd", "Adam": "adam", "AdamW": "adamw", "RMSprop": "rmsprop", "Adagrad": "adagrad"}
SLOTS = {
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "max_exp_avg_sq": "v_max",
    "momentum_buffer": "velocity",
    "square_avg": "v",
    "grad_avg": "mean",
    "sum": "sum",
    "acc_delta": "delta",
    "exp_inf": "inf_norm",
}
SETTINGS = {
    "lr": "lr",
    "eps": "epsilon",
    "weight_decay": "weight_decay",
    "momentum": "momentum",
    "dampening": "dampening",
    "nesterov": "nesterov",
    "amsgrad": "amsgrad",
    "alpha": "rho",
    "rho": "rho",
    "momentum_decay": "momentum_decay",
    "initial_accumulator_value": "initial accumulator",
    "centered": "centred",
    "lr_decay": "lr_decay",
}
ATTRIBUTES = {
    "epsilon": ("eps",),
    "kernel": ("kernel_size",),
    "counts_padding": ("count_include_pad",),
    "slope": ("negative_slope",),
    "axis": ("dim",),
    "low": ("min_val",),
    "high": ("max_val",),
    "padding_index": ("padding_idx",),
    "ignored": ("ignore_index",),
    "smoothing": ("label_smoothing",),
    "groups": ("groups", "num_groups"),
    "heads": ("num_heads",),
    "first": ("start_dim",),
    "last": ("end_dim",),
}
DROPPING = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")


class TorchFramework(Framework):
    """PyTorch on the CPU."""

    name = "PyTorch"
    root = "torch"
    spelled_in = spelled.__file__
    rows = ROWS

    def owns(self, model: Any) -> bool:
        """A `torch.nn.Module`."""
        return any(cls.__module__.startswith("torch.nn.") for cls in type(model).__mro__)

    def version(self) -> str:
        """PyTorch's."""
        return str(torch.__version__)

    @contextmanager
    def building(self, dtype: str) -> Iterator[None]:
        """By the default dtype; and dropout is none from now on."""
        _drop_nothing()
        before = torch.get_default_dtype()
        torch.set_default_dtype(getattr(torch, dtype))
        try:
            yield
        finally:
            torch.set_default_dtype(before)

    def prepared(self, model: Any, dtype: str) -> None:
        """Converted, without dropout; what a user has put into evaluation mode stays there."""
        _drop_nothing()
        model.to(getattr(torch, dtype))
        for module in model.modules():
            if isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0

    def tensor(self, values: Array) -> Any:
        """A copy."""
        return to_tensor(np.array(values))

    def array(self, tensor: Any) -> Array:
        """A copy."""
        return np.array(to_array(tensor.detach().contiguous()))

    def is_tensor(self, value: Any) -> bool:
        """A tensor of floats."""
        return isinstance(value, torch.Tensor) and value.is_floating_point()

    def modules(self, model: Any) -> Iterator[tuple[str, Any]]:
        """As PyTorch names them."""
        yield from model.named_modules()

    def children(self, module: Any) -> Iterable[Any]:
        """As PyTorch has them."""
        return module.children()  # type: ignore[no-any-return]

    def direct(self, module: Any) -> dict[str, Any]:
        """Its own parameters."""
        return {name: value for name, value in module._parameters.items() if value is not None}

    def direct_buffers(self, module: Any) -> dict[str, Any]:
        """Those that are saved with it, and are no sparse ones."""
        held = {name: value for name, value in module._buffers.items() if value is not None}
        kept = {name: value for name, value in held.items() if value.layout == torch.strided}
        passing = module._non_persistent_buffers_set
        return {name: value for name, value in kept.items() if name not in passing and value.is_floating_point()}

    @cached_property
    def apart(self) -> frozenset[str]:  # type: ignore[override]  # it needs the framework
        """Those of an empty module."""
        return frozenset(vars(torch.nn.Module()))

    def trained(self, parameter: Any) -> bool:
        """Whether it requires a gradient."""
        return bool(parameter.requires_grad)

    def copy_into(self, tensor: Any, values: Array) -> None:
        """In place."""
        with torch.no_grad():
            tensor.copy_(to_tensor(np.array(values)))

    def gradient(self, parameter: Any) -> Array | None:
        """As autograd has left it."""
        return None if parameter.grad is None else self.array(parameter.grad)

    def on_forward(self, module: Any, see: Callable[[list[Any]], None]) -> None:
        """By a forward hook."""
        module.register_forward_hook(lambda _, inputs, output: see(flattened(_padded(output), self.is_tensor)))

    def on_gradient(self, tensor: Any, see: Callable[[Any], None]) -> None:
        """By a tensor's hook; a parameter that a module gives would keep it."""
        if tensor.requires_grad and not tensor.is_leaf:
            tensor.register_hook(see)

    def on_update(self, optimizer: Any, see: Callable[[Mapping[int, Array]], None]) -> None:
        """By a hook before the step."""
        optimizer.register_step_pre_hook(lambda *_: see({}))

    def step(self, trainee: Trainee, x: Any, y: Any) -> Any:
        """As PyTorch's tutorials have it."""
        for optimizer in trainee.optimizers.values():
            optimizer.zero_grad()
        loss = called(trainee, x, y)
        loss.backward()
        for optimizer in trainee.optimizers.values():
            optimizer.step()
        return loss

    @contextmanager
    def clipping(self) -> Iterator[None]:
        """Without the 10⁻⁶ that `torch.nn.utils.clip_grad_norm_` adds to a norm: it is given so much less."""
        place, name = torch.nn.utils.clip_grad, "_clip_grads_with_norm_"
        own = getattr(place, name, None)
        if own is None:  # another version's
            yield
            return

        def clip(parameters: Any, max_norm: float, total_norm: Any, foreach: bool | None = None) -> None:
            own(parameters, max_norm, total_norm - 1e-6, foreach)

        with patched(place, **{name: clip}):
            yield

    def rates(self, optimizer: Any) -> dict[int, float]:
        """Those of their groups."""
        return {id(p): float(group["lr"]) for group in optimizer.param_groups for p in group["params"]}

    def parameters(self, optimizer: Any) -> list[Any]:
        """Of all groups."""
        return [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def optimizer(self, optimizer: Any, names: Mapping[int, str]) -> OptimizerOf:
        """With the first group's settings, and what other groups have otherwise."""
        groups = [_of_group(group) for group in optimizer.param_groups]
        params: dict[str, dict[str, Setting]] = {}
        for group, settings in zip(optimizer.param_groups, groups, strict=True):
            other = {name: value for name, value in settings.items() if value != groups[0].get(name)}
            params |= {names[id(p)]: other for p in group["params"] if id(p) in names}
        kept = {SLOTS[name] for state in optimizer.state.values() for name in state if name in SLOTS}
        cls = type(optimizer).__name__
        return OptimizerOf(kind=RULES.get(cls, cls), settings=groups[0], params=params, slots=tuple(sorted(kept)))

    def slots(self, optimizer: Any, parameter: Any) -> dict[str, Any]:
        """By their canonical names."""
        state = optimizer.state.get(parameter, {})
        return {SLOTS[name]: value for name, value in state.items() if name in SLOTS and value is not None}

    def begin_slots(self, optimizer: Any, parameter: Any) -> None:
        """By a step with gradients of 0 of a copy of it: an optimizer makes its slots in its first step."""
        if optimizer.state.get(parameter):
            return
        group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
        other = torch.nn.Parameter(parameter.detach().clone())
        other.grad = torch.zeros_like(other)
        made = type(optimizer)([{**group, "params": [other]}])
        made.step()
        optimizer.state[parameter] = made.state[other]

    def count(self, optimizer: Any, t: int) -> None:
        """Its counts; before the first update it has nothing."""
        if not t:
            optimizer.state.clear()
        for state in optimizer.state.values():
            if "step" in state:
                state["step"] = torch.full_like(state["step"], t) if torch.is_tensor(state["step"]) else t

    def remember(self, trainee: Trainee) -> Any:
        """The schedule's own state, and the rates."""
        schedule = trainee.schedule.state_dict() if hasattr(trainee.schedule, "state_dict") else None
        rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in trainee.optimizers.values()]
        return copy.deepcopy((schedule, rates))

    def recall(self, trainee: Trainee, memory: Any) -> None:
        """Both."""
        schedule, rates = copy.deepcopy(memory)
        if schedule is not None and trainee.schedule is not None:
            trainee.schedule.load_state_dict(schedule)
        for optimizer, of in zip(trainee.optimizers.values(), rates, strict=True):
            if len(of) == len(optimizer.param_groups):  # not where somebody has parted the groups meanwhile
                for group, rate in zip(optimizer.param_groups, of, strict=True):
                    group["lr"] = rate

    def seed(self, seed: int) -> None:
        """Of the default generator."""
        torch.manual_seed(seed)

    def seeding(self) -> list[tuple[str, str]]:
        """That of the default generator."""
        return [("torch", "manual_seed"), ("torch.random", "manual_seed")]

    @contextmanager
    def set(self, module: Any, name: str, value: Any) -> Iterator[None]:
        """By the attribute."""
        if name == "tanh_form":
            own, value = "approximate", "tanh" if value else "none"
        else:
            own = next(own for own in ATTRIBUTES.get(name, (name,)) if hasattr(module, own))
        before = getattr(module, own)
        if isinstance(before, tuple) and isinstance(value, (int, float)):
            value = (value,) * len(before)
        setattr(module, own, tuple(value) if isinstance(value, list) else value)
        try:
            yield
        finally:
            setattr(module, own, before)

    @contextmanager
    def set_optimizer(self, optimizer: Any, name: str, value: Any, chosen: Collection[int]) -> Iterator[None]:
        """In groups of one parameter each."""
        groups = optimizer.param_groups
        optimizer.param_groups = [{**group, "params": [p]} for group in groups for p in group["params"]]
        if name == "is updated":
            kept = [group for group in optimizer.param_groups if id(group["params"][0]) not in chosen]
            optimizer.param_groups = kept
        for group in optimizer.param_groups:
            if id(group["params"][0]) in chosen and name != "is updated":
                group.update(_own_settings({name: value}, group))
        try:
            yield
        finally:
            optimizer.param_groups = groups

    def other_optimizer(self, optimizer: Any, kind: str, settings: Mapping[str, Any]) -> Any:
        """With those of its settings that it has too."""
        cls = getattr(torch.optim, next(name for name, rule in RULES.items() if rule == kind))
        groups = [{"params": list(group["params"])} for group in optimizer.param_groups]
        made = cls(groups, lr=float(settings["lr"]))
        for group in made.param_groups:
            own = _own_settings(settings, group)
            group.update({name: value for name, value in own.items() if name in group})
        return made

    def function(self, kind: str) -> Callable[[Any], Any]:
        """One of the listed ones."""
        return FUNCTIONS[kind]

    def loss_function(self, kind: str, value: float | None = None) -> Callable[[Any, Any], Any]:
        """One of the listed ones."""
        function = LOSSES[kind]
        return function if value is None else lambda out, y: function(out, y, value)

    @contextmanager
    def replaced(self, module: Any, kind: str) -> Iterator[None]:
        """By its forward method; what is no function in its place is one of what it gives."""
        own, function = module.forward, FUNCTIONS[kind]
        module.forward = (lambda *args, **options: function(own(*args, **options))) if kind in BEHIND else function
        try:
            yield
        finally:
            del module.forward

    @contextmanager
    def regraded(
        self, trainee: Trainee, change: Callable[[Mapping[int, Array]], Mapping[int, Array]]
    ) -> Iterator[None]:
        """By hooks where gradients are accumulated, and before each optimizer's step."""
        parameters = {id(p): p for optimizer in trainee.optimizers.values() for p in self.parameters(optimizer)}
        raw: dict[int, Array] = {}

        def see(parameter: Any) -> None:
            raw[id(parameter)] = self.array(parameter.grad)

        def before(own: Any) -> Any:
            def step(*args: Any, **options: Any) -> Any:
                for key, gradient in change(raw).items():
                    parameters[key].grad = to_tensor(gradient)
                return own(*args, **options)

            return step

        hooks = [p.register_post_accumulate_grad_hook(see) for p in parameters.values() if p.requires_grad]
        steps = [(optimizer, optimizer.step) for optimizer in trainee.optimizers.values()]
        for optimizer, own in steps:
            optimizer.step = before(own)
        try:
            yield
        finally:
            for optimizer, own in steps:
                optimizer.step = own
            for hook in hooks:
                hook.remove()

    @contextmanager
    def uncleared(self, trainee: Trainee, names: Collection[str]) -> Iterator[None]:
        """With functions that clear nothing."""
        clearing = [trainee.optimizers[name] for name in names]
        for optimizer in clearing:
            for parameter in self.parameters(optimizer):
                parameter.grad = None
        if len(clearing) == len(trainee.optimizers):
            clearing.append(trainee.model)
        for one in clearing:
            one.zero_grad = lambda *_, **__: None
        try:
            yield
        finally:
            for one in clearing:
                del one.zero_grad

    def calls(self, see: Callable[[int, Any, Any, Any], Any], *, in_parts: bool = False) -> AbstractContextManager[Any]:
        """By a mode over PyTorch's functions, so that gradients follow."""
        return calls.mode(see, spelled.SPELLED if in_parts else {})  # type: ignore[no-any-return]

    def others(self, function: Any, args: Any, options: Any) -> Iterator[Other]:
        """As listed."""
        yield from alternatives.others(function, args, options)

    def cut(self, function: Any, args: Any, options: Any) -> Iterator[Other]:
        """Each operand detached."""
        yield from alternatives.cut(args)

    def shared(self, tensor: Any) -> Iterator[Other]:
        """As listed."""
        yield from alternatives.shared(tensor)

    def noisy(
        self, seed: int, dtype: str, scale: float, constants: bool, rates: bool, kinks: Kinks | None = None
    ) -> Noise | None:
        """Under a dispatch mode."""
        from isograd.backends.pytorch.noise.training import noise

        return noise(seed, dtype, scale, constants, rates, kinks)


def _own_settings(settings: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by PyTorch's names."""
    own = {theirs: settings[ours] for theirs, ours in SETTINGS.items() if ours in settings and theirs in group}
    if "beta1" in settings or "beta2" in settings:
        first, second = group.get("betas", (0.9, 0.999))
        own["betas"] = (settings.get("beta1", first), settings.get("beta2", second))
    return own


def _padded(output: Any) -> Any:
    """Without packed sequences: in which order others have their elements is not known."""
    packed = torch.nn.utils.rnn.PackedSequence
    if isinstance(output, packed) or (isinstance(output, tuple) and any(isinstance(item, packed) for item in output)):
        return ()
    return output


def _of_group(group: Mapping[str, Any]) -> dict[str, Setting]:
    settings = {SETTINGS[name]: plain(value) for name, value in group.items() if name in SETTINGS}
    if "betas" in group:
        settings |= {"beta1": float(group["betas"][0]), "beta2": float(group["betas"][1])}
    return settings


def _drop_nothing() -> None:
    """Functions and modules that drop at random hand on what they are given."""
    functional = torch.nn.functional
    if getattr(functional.dropout, "isograd", False):
        return

    def kept(input: Any, *_: Any, **__: Any) -> Any:  # the name that PyTorch gives the argument
        return input

    kept.isograd = True  # type: ignore[attr-defined]
    for name in DROPPING:
        setattr(functional, name, kept)
    attention = functional.scaled_dot_product_attention

    def without_dropout(*args: Any, **options: Any) -> Any:
        if len(args) > 4:
            args = (*args[:4], 0.0, *args[5:])
        options.pop("dropout_p", None)
        return attention(*args, **options)

    functional.scaled_dot_product_attention = without_dropout
