"""What is an operation? Settings, shapes, parameters, and its rule with the derivative beside it, in one class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag

from isograd.spec import EXACT, Matrix, Name, Positive, Spec, Tensor3, Tensor4, Tensor5, Vector

Array = Any
"""One run's numbers, in any arithmetic: a rule computes with operators and `isograd.arithmetic.words`, nothing else."""

Shape = tuple[int, ...]
"""Of one sample: a rule's arrays have the batch before it."""


class Draw(Spec):
    """An initial value drawn from the scenario's seed: N(0, std²), or uniform on [−limit, limit)."""

    draw: Literal["normal", "uniform"]
    scale: Positive


# An initial value is a table (a draw) or an array: told apart by hand, so that a mistake is reported once.
_DRAWN = Discriminator(lambda value: "drawn" if isinstance(value, (dict, Draw)) else "values")
InitialVector = Annotated[Annotated[Vector, Tag("values")] | Annotated[Draw, Tag("drawn")], _DRAWN]
InitialMatrix = Annotated[Annotated[Matrix, Tag("values")] | Annotated[Draw, Tag("drawn")], _DRAWN]
InitialTensor3 = Annotated[Annotated[Tensor3, Tag("values")] | Annotated[Draw, Tag("drawn")], _DRAWN]
InitialTensor4 = Annotated[Annotated[Tensor4, Tag("values")] | Annotated[Draw, Tag("drawn")], _DRAWN]
InitialTensor5 = Annotated[Annotated[Tensor5, Tag("values")] | Annotated[Draw, Tag("drawn")], _DRAWN]


class Param(NamedTuple):
    """A parameter or a buffer of an operation.

    Attributes:
        shape: its canonical shape.
        axes: what each axis counts, as in ("out", "in", "kh", "kw"): layouts and changes need no op's name.
        initial: its values, a `Draw`, or one number for all elements.
    """

    shape: Shape
    axes: tuple[str, ...]
    initial: Any


class Out(NamedTuple):
    """What a layer's forward rule gives.

    Attributes:
        a: the output.
        saved: what the backward rule needs beside inputs, parameters and output.
        buffers: new values of its buffers.
    """

    a: Array
    saved: Any = None
    buffers: Mapping[str, Array] = {}


class Back:
    """What a layer's backward rule gives: ∂L/∂ each input in order, and ∂L/∂ each parameter by name.

    Example:
        >>> Back(1.0, weight=2.0).params
        {'weight': 2.0}
    """

    __slots__ = ("inputs", "params")

    def __init__(self, *inputs: Array, **params: Array) -> None:
        self.inputs, self.params = inputs, params


class Op(Spec):
    """What all operations have: a kind, by which files name them, and settings, which are their fields.

    Attributes:
        examples: settings that tell each setting apart, as keywords: contract, calibration and finite differences take
            their cases from them.
        alternatives: other definitions that are shipped somewhere, by name (`Alternative`).
    """

    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    alternatives: ClassVar[Mapping[str, Alternative]] = {}

    kind: str


class Alternative(NamedTuple):
    """Another definition of an operation that somebody ships.

    Attributes:
        op: the class with the other rule; it has the same fields.
        sentence: what is different, in a clause that follows the op's name.
        formula: with the changed term between « and ».
        origin: who defines it so.
    """

    op: type[Op]
    sentence: str
    formula: str
    origin: str


class Layer(Op):
    """A node of the graph: a name, and the nodes (or "x", the samples) that feed it; by default the one before.

    Attributes:
        arity: how few and how many inputs it takes.
        exact: only + − × ÷ and comparisons: fractions can run it.
        sample: the shape of a sample that its examples are for.
        indices: of how many things its inputs are, where they are whole numbers, which only samples can be; 0: they are
            any numbers.
    """

    arity: ClassVar[tuple[int, int]] = (1, 1)
    examples: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)
    exact: ClassVar[bool] = True
    sample: ClassVar[Shape] = (3,)

    name: Name
    inputs: Annotated[tuple[Name, ...], Field(max_length=100)] = ()

    @property
    def indices(self) -> int:
        """0."""
        return 0

    def shape(self, *x: Shape) -> Shape:
        """Shape of the output for inputs of these shapes; ValueError, with expected and came, where they do not fit."""
        return x[0]

    def fewest(self, *x: Shape) -> int:
        """How few samples a batch may have."""
        return 1

    def parameters(self, *x: Shape) -> Mapping[str, Param]:
        """Its parameters, for inputs of these shapes."""
        return {}

    def buffers(self, *x: Shape) -> Mapping[str, Param]:
        """What it keeps from step to step and no gradient changes, likewise."""
        return {}

    def forward(self, p: Mapping[str, Array], *x: Array) -> Out:
        """The output of a training step; ``p`` has parameters and buffers."""
        raise NotImplementedError

    def backward(self, p: Mapping[str, Array], out: Out, d: Array, *x: Array) -> Back:
        """The gradients, where ``d`` is ∂L/∂a."""
        raise NotImplementedError

    def evaluate(self, p: Mapping[str, Array], *x: Array) -> Array:
        """The output in evaluation."""
        return self.forward(p, *x).a


Within = Literal["numbers", "shares", "distributions", "signs", "counts"]


class Loss(Op):
    """The last node: a number for outputs and labels.

    Attributes:
        labels: what labels are: ``values``, numbers; ``classes``, integers.
        within: which numbers they may be: any ``numbers``; ``shares`` from 0 to 1; ``distributions``, whose sum is 1;
            ``signs``, 1 or −1; ``counts``, whole ones from 0.
        above: the kind of layer whose outputs it is for, "" for any.
        sample: the shape of outputs that its examples are for.
    """

    labels: ClassVar[Literal["values", "classes"]] = "values"
    within: ClassVar[Within] = "numbers"
    above: ClassVar[str] = ""
    sample: ClassVar[Shape] = (2,)
    exact: ClassVar[bool] = True

    def label_shape(self, outputs: Shape) -> Shape:
        """Of one sample's label, for outputs of this shape; ValueError where the outputs do not fit."""
        return outputs

    def classes(self, outputs: Shape) -> int:
        """How many classes there are, where labels are classes."""
        return outputs[0]

    def value(self, yhat: Array, y: Array) -> Array:
        """L."""
        raise NotImplementedError

    def gradient(self, yhat: Array, y: Array) -> Array:
        """∂L/∂ŷ."""
        raise NotImplementedError


class Optimizer(Op):
    """How a parameter follows from its gradient.

    Attributes:
        usual: settings that frameworks have by default, but for the learning rate.
        by_norm: it computes with a norm of each parameter: where one is split, nothing is as before.
        lr: the learning rate; a schedule starts from it.
    """

    exact: ClassVar[bool] = True
    by_norm: ClassVar[bool] = False
    usual: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)

    lr: Positive

    @property
    def is_plain(self) -> bool:
        """Whether it is plain gradient descent."""
        return False

    def slots(self) -> tuple[str, ...]:
        """What it keeps for each parameter, in the parameter's shape."""
        return ()

    def initial(self, slot: str) -> float:
        """What all numbers of a slot are at first."""
        return 0.0

    def update(
        self, w: Array, g: Array, slots: Mapping[str, Array], lr: Array, t: Array
    ) -> tuple[Array, Mapping[str, Array]]:
        """The parameter after its ``t``-th update, counted from 1, and the slots."""
        raise NotImplementedError


class Clipping(Op):
    """What an optimizer is given in the gradients' place.

    Attributes:
        by_norm: as an optimizer's.
    """

    exact: ClassVar[bool] = True
    by_norm: ClassVar[bool] = False

    def of(self, gradients: Sequence[Array]) -> Callable[[Array], Array]:
        """What becomes of each gradient, where these are all of a step."""
        raise NotImplementedError


class Schedule(Op):
    """The learning rate of each step.

    Attributes:
        per: what it counts: the rate changes after each step, or after each epoch.
    """

    per: Literal["step", "epoch"] = "step"

    def rate(self, t: int, steps: int, per_epoch: int, lr: float) -> float:
        """The rate of step ``t``, counted from 0, of a run of ``steps``, ``per_epoch`` in each epoch.

        ``lr`` is the optimizer's.
        """
        return self.after(self.due(t, steps, per_epoch), self.stays_after(steps, per_epoch), lr)

    def stays_after(self, steps: int, per_epoch: int) -> int:
        """After how many steps or epochs the rate stays, which may be more than the run has."""
        return self.last(self.passed(steps, per_epoch))

    def due(self, t: int, steps: int, per_epoch: int) -> int:
        """How often it is stepped before step ``t``: after each step or epoch, up to its end."""
        return min(self.passed(t, per_epoch), self.stays_after(steps, per_epoch))

    def passed(self, t: int, per_epoch: int) -> int:
        """How many steps, or epochs, are over before step ``t``."""
        return t // per_epoch if self.per == "epoch" else t

    def last(self, whole: int) -> int:
        """After how many the rate stays, in a run of ``whole``; `EXACT`: it never does."""
        return EXACT

    def after(self, n: int, last: int, lr: float) -> float:
        """The rate after ``n`` of them, where it stays after ``last``."""
        raise NotImplementedError
