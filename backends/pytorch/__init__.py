"""How does PyTorch run a scenario? Its own modules, autograd and optimizers, used as its users do."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from isograd.backend import Backend, Session
from isograd.backends.pytorch.rows import CLIPPINGS, DEVIATIONS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, torch
from isograd.dtypes import FORMATS
from isograd.inputs import Array, Batch, Inputs
from isograd.scenario import SAMPLES, Scenario

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
    schedules = SCHEDULES
    clippings = CLIPPINGS
    dtypes = FORMATS
    deviations = DEVIATIONS
    has_groups = True
    shares = True

    def missing(self, scenario: Scenario) -> list[str]:
        """Also what groups cannot have of their own."""
        groups, schedule = scenario.of_groups(), scenario.schedule
        row, steps = OPTIMIZERS.get(scenario.optimizer.kind), schedule and SCHEDULES.get(schedule.kind)
        settings = {name for of in groups for name in of.group.settings if row and name in row.common}
        common = steps.common(schedule) if steps and any(of.rate != 1 for of in groups) else ""
        lacks = super().missing(scenario) + [f"{name} of a group" for name in sorted(settings)]
        return lacks + ([f"a group's rate beside the {common} of a schedule"] if common else [])

    def environment(self) -> dict[str, str]:
        """Version, device, threads and flags."""
        return {
            "torch": torch.__version__,
            "device": "cpu",
            "threads": str(torch.get_num_threads()),
            "deterministic": str(torch.are_deterministic_algorithms_enabled()),
            "mkldnn": str(torch.backends.mkldnn.is_available()),
        }

    def programs(self) -> Mapping[str, Any]:
        """Its own names, and the hands of every framework."""
        from isograd.backends.pytorch.programs import names  # the atlas's alone

        return names()

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The model as modules, with the scenario's initial values."""
        torch.use_deterministic_algorithms(True)
        return TorchSession(scenario, inputs)


class TorchSession(Session):
    """Forward, loss, `zero_grad`, `backward`, `step`: PyTorch's usual loop. Layouts are the mathematical ones."""

    def __init__(self, scenario: Scenario, inputs: Inputs) -> None:
        self.scenario, self.dtype = scenario, np.dtype(scenario.dtype)
        self.feeds, shapes = scenario.feeds(), scenario.shapes()
        self.layers = {
            op.name: LAYERS[op.kind].build(op, *(shapes[name] for name in self.feeds[op.name]))
            for op in scenario.layers
        }
        modules = {name: layer for name, layer in self.layers.items() if isinstance(layer, torch.nn.Module)}
        self.model = torch.nn.ModuleList(modules.values())  # a `ModuleDict` refuses names such as "type" or "half"
        self.model.to(getattr(torch, scenario.dtype))
        for name, owner in scenario.shared.items():
            self._tie(name, owner)
        named = ((f"{name}.{key}", p) for name, layer in modules.items() for key, p in layer.named_parameters())
        self.parameters = {name: p for name, p in named if name not in scenario.shared}
        # autograd follows an input that needs no gradient only from the first parameter on
        self.follow_samples = any(
            SAMPLES in self.feeds[name]
            and not any(key.startswith(f"{name}.") for key in (*self.parameters, *scenario.shared))
            for name in self.layers
        )
        own = {f"{name}.{key}": buffer for name, layer in modules.items() for key, buffer in layer.named_buffers()}
        self.buffers = {name: own[name] for name in scenario.buffers()}
        self._make_optimizer(inputs)
        # `to_array` shares the tensor's memory: made once, it shows every later update
        self.state = {f"state/{name}": to_array(slot) for name, slot in self.slots.items()}
        self.state |= {f"weight/{name}": to_array(p.detach()) for name, p in self.parameters.items()}
        self.state |= {f"buffer/{name}": to_array(buffer) for name, buffer in self.buffers.items()}
        self.load(0, inputs.initial)

    def _tie(self, name: str, owner: str) -> None:
        """Make a parameter the other's, as in `head.weight = embedding.weight`."""
        (layer, _, key), (of, _, own) = name.partition("."), owner.partition(".")
        path, _, last = key.rpartition(".")
        setattr(self.layers[layer].get_submodule(path), last, self.layers[of].get_parameter(own))

    def _make_optimizer(self, inputs: Inputs) -> None:
        op, row = self.scenario.optimizer, OPTIMIZERS[self.scenario.optimizer.kind]
        self.steps, self.per_epoch = inputs.steps, inputs.steps_per_epoch
        self.optimizer = row.build(op, op.lr, self._groups(row))
        self.slots: dict[str, Any] = {}
        if row.slots and self.parameters:  # made by the first step: taken with gradients of 0, and then loaded anew
            for p in self.parameters.values():
                p.grad = torch.zeros_like(p)
            self.optimizer.step()
            own = self.optimizer.state
            self.slots = {
                f"{name}.{slot}": own[p][row.slots[slot]] for name, p in self.parameters.items() for slot in op.slots()
            }
        self._make_schedule()

    def _groups(self, row: Any) -> list[dict[str, Any]]:
        """All parameters in a group, since PyTorch refuses an empty list; those of a group in one of its own."""
        own, groups = self.scenario.own(), self.scenario.of_groups()
        found = [{"params": [p for name, p in self.parameters.items() if name not in own]}]
        for of in groups:
            params = [self.parameters[name] for name in of.parameters]
            found += row.build(of.optimizer, of.optimizer.lr, [{"params": params}]).param_groups
        self.rates = [self.scenario.optimizer.lr, *(of.optimizer.lr for of in groups)]
        return found

    def _make_schedule(self) -> None:
        schedule = self.scenario.schedule
        self.schedule: Any = None
        self.place = 0
        if schedule:
            last = schedule.stays_after(self.steps, self.per_epoch)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):  # as before an earlier one
                group.pop("initial_lr", None)
                group["lr"] = rate
            self.schedule = SCHEDULES[schedule.kind].build(schedule, self.optimizer, last)

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        """Copy weights, slots and buffers in, and set the counts of the optimizer and of the schedule."""
        tensors = {f"weight/{name}": p for name, p in self.parameters.items()}
        tensors |= {f"state/{name}": slot for name, slot in self.slots.items()}
        tensors |= {f"buffer/{name}": buffer for name, buffer in self.buffers.items()}
        with torch.no_grad():
            for name, value in state.items():
                tensors[name].copy_(to_tensor(np.array(value)))
            self._count(t)
        if self.place != self._due(t):
            self._jump(t)

    def _count(self, t: int) -> None:
        """Set what the optimizer knows of the number of its steps."""
        row = OPTIMIZERS[self.scenario.optimizer.kind]
        for key, p in self.parameters.items():
            own = self.optimizer.state.get(p, {})
            if "step" in own:
                own["step"].fill_(t)
            for name, after in row.counted.items():
                own[name].fill_(after(self.scenario.optimizer_of(key), t))
            if t == 0:
                own.update({name: None for name in row.first if name in own})

    def _take_first(self) -> None:
        """What the first step has made is copied into the slots, which stay the tensors that they are."""
        row = OPTIMIZERS[self.scenario.optimizer.kind]
        for key, slot in self.slots.items():
            name, _, ours = key.rpartition(".")
            own, theirs = self.optimizer.state[self.parameters[name]], row.slots[ours]
            if own[theirs] is not slot:
                slot.copy_(own[theirs])
                own[theirs] = slot

    def _jump(self, t: int) -> None:
        if self.place > self._due(t):
            self._make_schedule()
        with warnings.catch_warnings():  # that no `optimizer.step()` came before: here it is meant
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            self._advance(t)

    def _due(self, t: int) -> int:
        """How often the schedule is stepped before step ``t``."""
        schedule = self.scenario.schedule
        return schedule.due(t, self.steps, self.per_epoch) if schedule else 0

    def _advance(self, t: int) -> None:
        while self.place < self._due(t):
            self.schedule.step()
            self.place += 1

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        """One step of the loop, with every layer's output kept for its gradient."""
        x, y = to_tensor(batch.x), to_tensor(batch.y)
        outputs, loss = self._forward(x.requires_grad_() if self.follow_samples else x, y)
        for a in outputs.values():
            a.retain_grad()
        self.optimizer.zero_grad()
        loss.backward()
        lr = self.dtype.type(self.optimizer.param_groups[0]["lr"])
        gradients = {f"grad/{name}": to_array(p.grad) for name, p in self.parameters.items()}
        if clipping := self.scenario.clipping:
            gradients = {name: value.copy() for name, value in gradients.items()}  # they are clipped in place
            CLIPPINGS[clipping.kind].clip(clipping, [*self.parameters.values()])
        self.optimizer.step()
        if t == 0:
            self._take_first()
        self._advance(t + 1)
        seen = {
            "lr": lr,
            **{f"forward/{name}": to_array(a.detach()) for name, a in outputs.items()},
            "loss": to_array(loss.detach()),
            **{f"backward/{name}": to_array(a.grad) for name, a in outputs.items()},
            **gradients,
            **self.state,
        }
        return {**seen, **self._evaluated(x, y)} if self.scenario.evaluate else seen

    def _forward(self, x: Any, y: Any) -> tuple[dict[str, Any], Any]:
        """Every layer's output by its name, and the loss of the last."""
        nodes = {SAMPLES: x}
        for name, layer in self.layers.items():
            nodes[name] = layer(*(nodes[feed] for feed in self.feeds[name]))
        last, loss = nodes[self.scenario.layers[-1].name], self.scenario.loss
        del nodes[SAMPLES]
        return nodes, LOSSES[loss.kind].of(loss, last, y)

    def _evaluated(self, x: Any, y: Any) -> dict[str, Array]:
        self.model.eval()
        with torch.no_grad():
            outputs, loss = self._forward(x.detach(), y)
        self.model.train()
        return {**{f"eval/{name}": to_array(a) for name, a in outputs.items()}, "eval_loss": to_array(loss)}
