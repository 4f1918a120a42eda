"""How does PaddlePaddle run a scenario? Its own layers, autograd and optimizers, used as its users do."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from isograd.backend import Backend, Session
from isograd.backends.paddlepaddle.lacking import norms_of_parts, of_groups, shares
from isograd.backends.paddlepaddle.rows import CLIPPINGS, DEVIATIONS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES, paddle
from isograd.inputs import Array, Batch, Inputs
from isograd.ops.op import Param
from isograd.scenario import SAMPLES, Scenario


class PaddleBackend(Backend):
    """PaddlePaddle on the CPU."""

    distribution = "paddlepaddle"
    layers = LAYERS
    losses = LOSSES
    optimizers = OPTIMIZERS
    schedules = SCHEDULES
    clippings = CLIPPINGS
    deviations = DEVIATIONS
    has_groups = True
    shares = True
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

    def programs(self) -> Mapping[str, Any]:
        """Its own names, and the hands of every framework."""
        from isograd.backends.paddlepaddle.programs import names  # the atlas's alone

        return names()

    def missing(self, scenario: Scenario) -> list[str]:
        """Also what no row tells alone."""
        return [*super().missing(scenario), *norms_of_parts(scenario), *of_groups(scenario), *shares(scenario)]

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        """The model as layers, with the scenario's initial values."""
        paddle.set_device("cpu")  # where PaddlePaddle has no switch for determinism; its deterministic flags are CUDA's
        warnings.filterwarnings("ignore", "When training, we now always track global mean")  # said at every batch norm
        return PaddleSession(scenario, inputs)


class Held(NamedTuple):
    """Tensors that stay the same ones from step to step and stand one below the other in what we have of them.

    Attributes:
        tensors: mostly one.
        shape: its shape as we have it.
        transposed: the axes of each are turned.
    """

    tensors: tuple[Any, ...]
    shape: tuple[int, ...]
    transposed: bool = False

    def numbers(self) -> Array:
        """The numbers, in the mathematical layout."""
        return self._joined([tensor.numpy() for tensor in self.tensors])

    def gradient(self) -> Array:
        """Those of the gradient, likewise."""
        return self._joined([tensor.grad.numpy() for tensor in self.tensors])

    def _joined(self, values: list[Array]) -> Array:
        turned = [value.T for value in values] if self.transposed else values
        return turned[0].reshape(self.shape) if len(turned) == 1 else np.concatenate(turned)

    def set(self, value: Array) -> None:
        """Copy numbers in, which come in the mathematical layout."""
        for tensor, part in zip(
            self.tensors, np.split(value, len(self.tensors)) if value.ndim else [value], strict=True
        ):
            part = part.T if self.transposed else part.reshape(tensor.shape)
            tensor.set_value(np.ascontiguousarray(part))


class PaddleSession(Session):
    """Forward, loss, `backward`, `step`, `clear_grad`: PaddlePaddle's usual loop."""

    def __init__(self, scenario: Scenario, inputs: Inputs) -> None:
        self.scenario, self.dtype = scenario, np.dtype(scenario.dtype)
        self.feeds, shapes = scenario.feeds(), scenario.shapes()
        fed = {op.name: [shapes[name] for name in self.feeds[op.name]] for op in scenario.layers}
        usual = paddle.get_default_dtype()
        paddle.set_default_dtype(scenario.dtype)  # `to(dtype=…)` fails at a recurrent layer's own empty buffer (3.3.1)
        self.layers = {op.name: LAYERS[op.kind].build(op, *fed[op.name]) for op in scenario.layers}
        paddle.set_default_dtype(usual)
        self.modules = {name: layer for name, layer in self.layers.items() if isinstance(layer, paddle.nn.Layer)}
        self.model = paddle.nn.LayerDict(self.modules)
        # autograd follows an input that needs no gradient only from the first parameter on
        self.follow_samples = any(
            SAMPLES in self.feeds[op.name] and not op.parameters(*fed[op.name]) for op in scenario.layers
        )
        self.weights = {name: self._held(name, param) for name, param in scenario.parameters().items()}
        for name, owner in scenario.shared.items():
            self._tie(name, owner)
        self.buffers = {name: self._held(name, param) for name, param in scenario.buffers().items()}
        self._make_optimizer(inputs)
        self.load(0, inputs.initial)

    def _tie(self, name: str, owner: str) -> None:
        """Make a parameter the other's; where that lies the other way round, a linear layer takes it turned."""
        layer, _, key = name.partition(".")
        mine, held = self._held(name, self.scenario.parameters()[owner]), self.weights[owner]
        module, tensor = self.modules[layer], held.tensors[0]
        if mine.transposed == held.transposed:
            setattr(module, LAYERS[self.scenario.layer(layer).kind].names.get(key, key), tensor)
        else:
            self.layers[layer] = lambda x: paddle.nn.functional.linear(x, tensor.t(), module.bias)

    def _held(self, key: str, param: Param) -> Held:
        layer, _, name = key.partition(".")
        row = LAYERS[self.scenario.layer(layer).kind]
        theirs = row.stacked.get(name) or (row.names.get(name, name),)
        tensors = tuple(attrgetter(own)(self.modules[layer]) for own in theirs)
        return Held(tensors, param.shape, name in row.transposed)

    def _make_schedule(self) -> None:
        op, schedule = self.scenario.optimizer, self.scenario.schedule
        self.schedule: Any = None
        self.place = 0
        if schedule:
            last = schedule.stays_after(self.steps, self.per_epoch)
            self.schedule = SCHEDULES[schedule.kind].build(schedule, op.lr, last)

    def _make_optimizer(self, inputs: Inputs) -> None:
        op = self.scenario.optimizer
        self.steps, self.per_epoch = inputs.steps, inputs.steps_per_epoch
        self._make_schedule()
        row, tensors = OPTIMIZERS[op.kind], [tensor for held in self.weights.values() for tensor in held.tensors]
        clipping = self.scenario.clipping
        clip = CLIPPINGS[clipping.kind].build(clipping) if clipping else None
        groups = self._groups(row, clip) if self.scenario.groups else tensors
        self.optimizer = row.build(op, self.schedule or op.lr, groups)
        self.optimizer._grad_clip = clip  # what every optimizer's `grad_clip` comes to; each group has its own
        # slots are made by the first step: it is taken with gradients of 0, and what it changes is loaded anew
        sum((tensor * 0).sum() for tensor in tensors).backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        own = self.optimizer.state_dict()
        self.slots = {
            f"{name}.{slot}": held._replace(
                tensors=tuple(own[f"{tensor.name}_{row.slots[slot]}_0"] for tensor in held.tensors)
            )
            for name, held in self.weights.items()
            for slot in op.slots()
        }
        self.counted = [
            (own[f"{tensor.name}_{theirs}_0"], after, self.scenario.optimizer_of(name))
            for name, held in self.weights.items()
            for tensor in held.tensors
            for theirs, after in row.counted.items()
        ]

    def _groups(self, row: Any, clip: Any) -> list[dict[str, Any]]:
        """Parameters of no group, and of each, with PaddlePaddle's names of what is other for them."""
        own = self.scenario.own()
        rest = [tensor for name, held in self.weights.items() if name not in own for tensor in held.tensors]
        groups: list[dict[str, Any]] = [{"params": rest, "grad_clip": clip}] if rest else []
        for of in self.scenario.of_groups():
            other = {row.group[name]: getattr(of.optimizer, name) for name in of.group.settings}
            params = [tensor for name in of.parameters for tensor in self.weights[name].tensors]
            groups.append({"params": params, "grad_clip": clip, "learning_rate": of.rate, **other})
        return groups

    @property
    def state(self) -> dict[str, Held]:
        """What the next step starts from, by quantity."""
        return {
            **{f"state/{name}": held for name, held in self.slots.items()},
            **{f"weight/{name}": held for name, held in self.weights.items()},
            **{f"buffer/{name}": held for name, held in self.buffers.items()},
        }

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        """Set weights, slots and buffers, in PaddlePaddle's layout, what is counted, and the schedule."""
        for name, held in self.state.items():
            held.set(state[name])
        for tensor, after, op in self.counted:
            number = after(op, t, self.dtype)
            tensor.set_value(np.full(tensor.shape, number, self.dtype))
        if self.place > self._due(t):  # anew: what `step(epoch)` gives is not right for every schedule
            self._make_schedule()
            self.optimizer.set_lr_scheduler(self.schedule)
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
        x, y = paddle.to_tensor(batch.x, stop_gradient=not self.follow_samples), paddle.to_tensor(batch.y)
        outputs, loss = self._forward(x, y)
        for a in outputs.values():
            a.retain_grads()
        loss.backward()
        lr = self.dtype.type(self.optimizer.get_lr())
        gradients = {f"grad/{name}": held.gradient() for name, held in self.weights.items()}
        if self.scenario.clipping:  # by their norm they are clipped in place
            gradients = {name: np.array(value) for name, value in gradients.items()}
        self.optimizer.step()
        self._advance(t + 1)
        seen = {
            "lr": lr,
            **{f"forward/{name}": a.numpy() for name, a in outputs.items()},
            "loss": loss.numpy(),
            **{f"backward/{name}": a.grad.numpy() for name, a in outputs.items()},
            **gradients,
            **{name: held.numbers() for name, held in self.state.items()},
        }
        self.optimizer.clear_grad()
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
        with paddle.no_grad():
            outputs, loss = self._forward(x, y)
        self.model.train()
        return {**{f"eval/{name}": a.numpy() for name, a in outputs.items()}, "eval_loss": loss.numpy()}
