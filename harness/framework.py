"""What must a framework offer so that a user's own model in it can be described, loaded, trained and watched?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from isograd.inputs import Array
from isograd.parts import Row
from isograd.structure import OptimizerOf

ACTIVATIONS = (
    "relu",
    "relu6",
    "leaky relu of slope 0.01",
    "leaky relu of slope 0.1",
    "leaky relu of slope 0.2",
    "elu",
    "selu",
    "gelu by erf (exact)",
    "gelu by tanh (approximate)",
    "gelu by sigmoid (approximate), x σ(1.702 x)",
    "silu (swish)",
    "mish",
    "sigmoid",
    "tanh",
    "hard swish",
    "hard sigmoid",
    "hard sigmoid of slope 0.2",
    "softplus",
    "hard tanh",
    "log sigmoid",
    "the square of a relu",
)
"""Functions that a framework knows by these words (`Framework.function`, `Framework.replaced`)."""

OF_OUTPUTS = ("softmax", "log softmax", "softmax over samples", "softmax over axis 1")
"""Others, which stand between a model and its loss."""

LOSSES = (
    "mse", "half the squared error", "l1", "smooth l1", "root of the mse", "bce", "bce with logits", "cross-entropy",
    "bce with logits of a sigmoid", "mse of a sigmoid", "nll without a log softmax", "mse of a softmax",
    "mse of the outputs and one-hot labels", "nll of a softmax: the logarithm is missing", "cross-entropy over axis 0",
    "bce with logits and one-hot labels", "hinge (margin) loss",
)  # fmt: skip
WEIGHTED = "bce with weighted positives"
"""Losses that it knows (`Framework.loss_function`), and one with a number."""


@dataclass
class Trainee:
    """What a user's function has built.

    Attributes:
        model: the model.
        loss: of the model's output and the labels; None where the model gives it.
        optimizers: by name; "" for the only one.
        schedule: stepped after each step, unless that has done it; None for none.
        train_step: does a step, where the usual one will not do.
    """

    model: Any
    loss: Any
    optimizers: dict[str, Any]
    schedule: Any = None
    train_step: Callable[..., Any] | None = None
    given: Any = field(default=None, repr=False)


NEAR = 1e-2
"""Of what a number is here, how near another one is told with more digits."""


@dataclass(frozen=True)
class Other:
    """What a call of a function can have been instead.

    Attributes:
        words: what is said if it was; ``{x}`` stands for the number, or for several, parted by commas.
        call: gives that of the function, its arguments, its options, and of the number where there is one, or of each.
        begin: where the search for the number begins, or for several; None for no number.
        anywhere: whether it can well be so of all calls, whatever their functions are.
        here: what the number is here, where it is another; None where there is none.
    """

    words: str
    call: Any
    begin: float | tuple[float, ...] | None = None
    anywhere: bool = False
    here: float | None = None

    @property
    def begins(self) -> list[float]:
        """Where the search for each number begins; [] for no number."""
        return [] if self.begin is None else [*self.begin] if isinstance(self.begin, tuple) else [self.begin]

    def said(self, x: Sequence[float]) -> str:
        """The words, with the numbers that were found."""
        near = self.here is not None and any(abs(value - self.here) <= NEAR * abs(self.here) for value in x)
        return self.words.replace("{x}", ", ".join(f"{value:.7g}" if near else f"{value:.4g}" for value in x))


class Kinks(ABC):
    """Who is told where a step goes one of two ways, and says where it is to go the other (docs/judging.md)."""

    @abstractmethod
    def winners(self, winners: Array) -> Array:
        """Of an operation that picks one of several: which ones it picks without noise."""

    @abstractmethod
    def turned(self, gaps: Array) -> Array | None:
        """Of the next operation's gaps, which places are to go the other way; None for none of them.

        Args:
            gaps: by how much each place goes its way: an input above a point, a winner above the rest.
        """


class Noise(ABC):
    """Noise in every operation of one run of some steps."""

    @abstractmethod
    def over(self, trainee: Trainee, t: int) -> AbstractContextManager[None]:
        """Within it the trainee's step ``t`` is noisy."""


class Framework(ABC):
    """A framework, as ports need it; one object a child process.

    Attributes:
        name: as people say it.
        root: its top-level module.
        rows: its own modules, by class name.
        least: what its softmax gives at least; 0 for no such limit.
        apart: attributes that every module of its has, of which it takes care itself.
        spelled_in: the file where its fused functions are spelled out; a comment behind a line says which part it is.
    """

    name: ClassVar[str]
    root: ClassVar[str]
    rows: ClassVar[Mapping[str, Row]]
    least: ClassVar[float] = 0.0
    apart: frozenset[str] = frozenset()
    spelled_in: ClassVar[str] = ""

    def made(self, thing: Any) -> bool:
        """Whether a module, a loss or what else is of one of the framework's own classes, and not of a user's."""
        return type(thing).__module__.startswith(f"{self.root}.")

    @abstractmethod
    def owns(self, model: Any) -> bool:
        """Whether a model is one of this framework's."""

    @abstractmethod
    def version(self) -> str:
        """The framework's."""

    @abstractmethod
    def building(self, dtype: str) -> AbstractContextManager[None]:
        """Within it, what is made without a dtype has this one, and dropout drops nothing."""

    @abstractmethod
    def prepared(self, model: Any, dtype: str) -> None:
        """With parameters and buffers of a dtype, and without dropout."""

    @abstractmethod
    def tensor(self, values: Array) -> Any:
        """An array as a tensor of its own."""

    @abstractmethod
    def array(self, tensor: Any) -> Array:
        """A tensor as an array that shares nothing with it."""

    @abstractmethod
    def is_tensor(self, value: Any) -> bool:
        """Whether something is a tensor of floats."""

    @abstractmethod
    def modules(self, model: Any) -> Iterator[tuple[str, Any]]:
        """Every module by its path, the model itself first, by ""."""

    @abstractmethod
    def children(self, module: Any) -> Iterable[Any]:
        """The modules right below one."""

    @abstractmethod
    def direct(self, module: Any) -> dict[str, Any]:
        """The parameters that a module holds itself."""

    @abstractmethod
    def direct_buffers(self, module: Any) -> dict[str, Any]:
        """The buffers of floats, likewise, that are kept with the model."""

    def held_buffers(self, module: Any) -> dict[str, Any]:
        """All buffers that a module holds itself, as it holds them: what is put there is held; {} of what is none."""
        held: dict[str, Any] = getattr(module, "_buffers", {})
        return held

    @abstractmethod
    def trained(self, parameter: Any) -> bool:
        """Whether a gradient is computed for a parameter."""

    @abstractmethod
    def copy_into(self, tensor: Any, values: Array) -> None:
        """Overwrite a parameter, buffer or slot."""

    @abstractmethod
    def gradient(self, parameter: Any) -> Array | None:
        """∂L/∂ a parameter as it is now; None where there is none."""

    @abstractmethod
    def on_forward(self, module: Any, see: Callable[[list[Any]], None]) -> None:
        """Have ``see`` called with the tensors of floats that a module gives, each time."""

    @abstractmethod
    def on_gradient(self, tensor: Any, see: Callable[[Any], None]) -> None:
        """Have ``see`` called with ∂L/∂ a tensor, if it comes."""

    @abstractmethod
    def on_update(self, optimizer: Any, see: Callable[[Mapping[int, Array]], None]) -> None:
        """Have ``see`` called before each update, with gradients that the optimizer itself clips, by parameter's id."""

    @abstractmethod
    def step(self, trainee: Trainee, x: Any, y: Any) -> Any:
        """The usual step: forward, loss, backward, update; gives the loss."""

    def clipping(self) -> AbstractContextManager[None]:
        """Within it, gradients that are clipped by their norm are divided by just that, and by no more."""
        return nullcontext()

    @abstractmethod
    def rates(self, optimizer: Any) -> dict[int, float]:
        """The learning rate of each parameter that it has, by the parameter's `id`."""

    @abstractmethod
    def optimizer(self, optimizer: Any, names: Mapping[int, str]) -> OptimizerOf:
        """What an optimizer is; ``names`` gives the canonical name of each parameter by its `id`."""

    @abstractmethod
    def slots(self, optimizer: Any, parameter: Any) -> dict[str, Any]:
        """What an optimizer keeps for a parameter, by canonical name; {} before there is anything."""

    @abstractmethod
    def begin_slots(self, optimizer: Any, parameter: Any) -> None:
        """Have there be slots, before a first update."""

    @abstractmethod
    def parameters(self, optimizer: Any) -> list[Any]:
        """All that an optimizer has."""

    @abstractmethod
    def remember(self, trainee: Trainee) -> Any:
        """Where schedules are before a step, beside their optimizers' rates."""

    @abstractmethod
    def recall(self, trainee: Trainee, memory: Any) -> None:
        """Put them there again."""

    @abstractmethod
    def seed(self, seed: int) -> None:
        """Begin the framework's random numbers anew."""

    @abstractmethod
    def seeding(self) -> list[tuple[str, str]]:
        """The functions by which a user's code does that, each by its module's name and its own."""

    @abstractmethod
    def count(self, optimizer: Any, t: int) -> None:
        """Let an optimizer have done ``t`` updates."""

    def set(self, module: Any, name: str, value: Any) -> AbstractContextManager[None]:
        """Within it, a module or a loss has another setting; NotImplementedError where that cannot be."""
        raise NotImplementedError(name)

    def set_optimizer(
        self, optimizer: Any, name: str, value: Any, chosen: Collection[int]
    ) -> AbstractContextManager[None]:
        """Within it, an optimizer has another setting for some parameters, by their `id`."""
        raise NotImplementedError(name)

    def other_optimizer(self, optimizer: Any, kind: str, settings: Mapping[str, Any]) -> Any:
        """An optimizer of another rule for the same parameters."""
        raise NotImplementedError(kind)

    def replaced(self, module: Any, kind: str) -> AbstractContextManager[None]:
        """Within it, a module computes another function of what it is given."""
        raise NotImplementedError(kind)

    def function(self, kind: str) -> Callable[[Any], Any]:
        """A function of a tensor by its name."""
        raise NotImplementedError(kind)

    def loss_function(self, kind: str, value: float | None = None) -> Callable[[Any, Any], Any]:
        """A loss by its name, of an output and labels; some with a number."""
        raise NotImplementedError(kind)

    def regraded(
        self, trainee: Trainee, change: Callable[[Mapping[int, Array]], Mapping[int, Array]]
    ) -> AbstractContextManager[None]:
        """Within it, an update is done with a change of the gradients of the backward pass, by parameter's `id`."""
        raise NotImplementedError

    def uncleared(self, trainee: Trainee, names: Collection[str]) -> AbstractContextManager[None]:
        """Within it, no gradients are cleared of what some optimizers have, by name; at first there are none."""
        raise NotImplementedError

    def calls(self, see: Callable[[int, Any, Any, Any], Any], *, in_parts: bool = False) -> AbstractContextManager[Any]:
        """Within it, ``see`` gives each call's result: of its number, the function, its arguments and options.

        A framework whose calls cannot be seen shows none.

        Args:
            see: that.
            in_parts: whether it sees the parts of fused functions in their place, where they are known.
        """
        return nullcontext()

    def others(self, function: Any, args: Any, options: Any) -> Iterator[Other]:
        """What a call can have been instead, with the same loss where only gradients differ."""
        yield from ()

    def cut(self, function: Any, args: Any, options: Any) -> Iterator[Other]:
        """The same call, with no gradient through one of its operands."""
        yield from ()

    def shared(self, tensor: Any) -> Iterator[Other]:
        """What a tensor can have been that several calls are given; each is made of the tensor alone."""
        yield from ()

    def noisy(
        self, seed: int, dtype: str, scale: float, constants: bool, rates: bool, kinks: Kinks | None = None
    ) -> Noise | None:
        """The noise of one run; None where the framework cannot move its operations' results.

        Args:
            seed: of the noise.
            dtype: whose rounding it has the size of.
            scale: how many times that.
            constants: also of constants, by what float32 holds of them.
            rates: also of what an optimizer's averages are corrected by, as if that were computed in the dtype.
            kinks: is told where an operation goes one of two ways, and says where it is to go the other.
        """
        return None


def called(trainee: Trainee, x: Any, y: Any) -> Any:
    """The loss of a batch: of the model's output and the labels, or what the model gives."""
    model = trainee.model
    out = model(**x) if isinstance(x, Mapping) else model(*x) if isinstance(x, tuple) else model(x)
    if trainee.loss is None:
        return out
    return trainee.loss(out, *y) if isinstance(y, tuple) else trainee.loss(out, y)


def flattened(value: Any, is_tensor: Callable[[Any], bool]) -> list[Any]:
    """All tensors of floats in tuples, lists and dicts, in order."""
    if is_tensor(value):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [tensor for item in value for tensor in flattened(item, is_tensor)]
    return []


def as_floats(values: Any, dtype: str) -> Any:
    """Arrays of a batch with their floats in a dtype; whole numbers and flags as they are, and what is not there."""
    if values is None:
        return None
    if isinstance(values, Mapping):
        return {name: as_floats(value, dtype) for name, value in values.items()}
    if isinstance(values, (tuple, list)):
        return tuple(as_floats(value, dtype) for value in values)
    array = np.asarray(values)
    return _whole(array, array.astype(dtype)) if array.dtype.kind == "f" else array


def _whole(given: Array, array: Array) -> Array:
    """Shares that add up to 1, as far as their dtype can tell, do so in one of more digits too.

    A framework may take that for granted: a cross-entropy's gradient is softmax − shares only if they do.
    """
    if array.itemsize <= given.itemsize or array.ndim < 2 or not array.size or array.min() < 0:
        return array
    sums = array.sum(-1, keepdims=True)
    near = np.abs(sums - 1) <= array.shape[-1] * float(np.finfo(given.dtype).eps)
    return np.asarray(array / sums) if near.all() else array
