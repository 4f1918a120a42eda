"""How does noise come into a whole training step? The mode over it, and constants that are computed in Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from isograd.backends.pytorch.noise.mode import Noisy
from isograd.backends.pytorch.noise.operations import is_moved
from isograd.dtypes import FORMATS
from isograd.framework import Kinks, Noise, Trainee
from isograd.lazy import LazyModule
from isograd.patched import Instead

torch = LazyModule("torch")


def noise(seed: int, dtype: str, scale: float, constants: bool, rates: bool, kinks: Kinks | None = None) -> Noise:
    """What `isograd.framework.Framework.noisy` gives."""
    size = scale * FORMATS[dtype].roundoff if rates else 0.0
    return TorchNoise(Noisy(seed, dtype, scale, constants, kinks), constants, size, np.random.default_rng(seed))


@dataclass
class TorchNoise(Noise):
    """The mode that moves results, and optimizers' constants with them.

    Attributes:
        mode: the dispatch mode, of one run.
        constants: whether constants are moved.
        rates: the roundoff with which bias corrections are computed; 0 for none.
        rng: of that.
    """

    mode: Any
    constants: bool
    rates: float
    rng: np.random.Generator

    @contextmanager
    def over(self, trainee: Trainee, t: int) -> Iterator[None]:
        """Within it, a step is noisy."""
        groups = [group for optimizer in trainee.optimizers.values() for group in optimizer.param_groups]
        before = [{name: value for name, value in group.items() if name != "params"} for group in groups]
        if self.constants:
            for optimizer in trainee.optimizers.values():
                self.mode.hyperparameters(optimizer)
        for group in groups:
            group["lr"] *= 1 + self.rates * self._corrections(group, t) * float(self.rng.uniform(-1, 1))
        moved = [dict(group) for group in groups]
        try:
            with self._constants_of_modules(trainee.model), self._constants_of_loss(trainee), self.mode:
                yield
        finally:
            for group, was, then in zip(groups, before, moved, strict=True):
                group.update({name: value for name, value in was.items() if group[name] is then[name]})

    @contextmanager
    def _constants_of_modules(self, model: Any) -> Iterator[None]:
        """Tensors that a user's modules hold and that are no parameters, as masks, positions, means of data.

        One side may have computed them in float32 and another in float64; what float16 holds is the same in both.
        """
        held = list(_tensors(model)) if self.constants else []
        unit = self.mode.scale * FORMATS["float32"].roundoff
        before = [tensor.clone() for tensor in held]
        with torch.no_grad():
            for tensor in held:
                noise = torch.from_numpy(self.rng.uniform(-unit, unit, tuple(tensor.shape))).to(tensor.device)
                tensor.mul_(1 + noise * (tensor.half() != tensor))
        moved = [tensor.clone() for tensor in held]
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, was, then in zip(held, before, moved, strict=True):
                    if torch.equal(tensor, then):  # what a step has written to is its own
                        tensor.copy_(was)

    @contextmanager
    def _constants_of_loss(self, trainee: Trainee) -> Iterator[None]:
        """A loss's settings, some of which are multiplied together before an operation sees them.

        Label smoothing's two constants, 1 − ε and ε / n, may be rounded apart, so that labels do not add up to 1: that
        is another ε, and a loss of another size.
        """
        own = trainee.loss
        settings = {name: value for name, value in getattr(own, "__dict__", {}).items() if type(value) is float}
        if not self.constants or not any(settings.values()):
            yield
            return
        size = 1 + self.mode.scale * FORMATS["float32"].roundoff * float(self.rng.uniform(-1, 1))
        for name, value in settings.items():
            setattr(own, name, self.mode.constant(value, name))
        trainee.loss = Instead(own, lambda *args, **options: own(*args, **options) * size)
        try:
            yield
        finally:
            trainee.loss = own
            for name, value in settings.items():
                setattr(own, name, value)

    @staticmethod
    def _corrections(group: Mapping[str, Any], t: int) -> float:
        """By how much more than a roundoff 1 − β₁ᵗ and √(1 − β₂ᵗ) can be off, where βᵗ is rounded."""
        if "betas" not in group:
            return 0.0
        of_first, of_second = (1 / max(1e-12, 1 - float(beta) ** (t + 1)) for beta in group["betas"])
        return of_first + of_second / 2


def _tensors(model: Any) -> Iterator[Any]:
    """Buffers of a user's own modules, and tensors that are their attributes; none that is spread, or a parameter's."""
    seen = {parameter.data_ptr() for parameter in model.parameters()}
    for module in model.modules():
        if type(module).__module__.startswith("torch."):
            continue
        for value in (*module._buffers.values(), *vars(module).values()):
            if not is_moved(value) or value.requires_grad or value.data_ptr() in seen:
                continue
            if all(step or size == 1 for step, size in zip(value.stride(), value.shape, strict=True)):
                seen.add(value.data_ptr())
                yield value
