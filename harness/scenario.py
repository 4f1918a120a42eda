"""What is to be run? Frozen, validated specs: data and never code, without the name of any framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

from pydantic import (
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)

from isograd.ops import AnyClipping, AnyLayer, AnyLoss, AnyOptimizer, AnySchedule
from isograd.ops.op import Draw, Layer, Loss, Op, Optimizer, Param, Shape
from isograd.source import Expect, Finding, Published
from isograd.spec import Count, DType, Fixed, Matrix, Names, Positive, Settings, Spec, Step, remembered

SAMPLES = "x"
"""What feeds the first layer: the name of the samples, as a node of the graph."""

# ---------------------------------------------------------------- data

Classes = Annotated[tuple[Step, ...], Field(min_length=1)]
"""The class of each sample, counted from 0."""

SampleShape = Annotated[tuple[Count, ...], Field(min_length=1, max_length=8)]


def _is_list_of_classes(y: object) -> str:
    return "classes" if isinstance(y, (list, tuple)) and y and not isinstance(y[0], (list, tuple)) else "values"


Labels = Annotated[
    Annotated[Matrix, Tag("values")] | Annotated[Classes, Tag("classes")], Discriminator(_is_list_of_classes)
]


class Samples(Spec):
    """What all data have: samples of ``features`` numbers, each of them in a ``shape`` if one is given."""

    shape: SampleShape | None = None

    if TYPE_CHECKING:  # fields of some, properties of others

        @property
        def features(self) -> int:
            """Numbers of a sample."""

        @property
        def label_width(self) -> int:
            """Numbers of a label."""

    @model_validator(mode="after")
    def _shape_holds_the_features(self) -> Self:
        if self.shape is not None and prod(self.shape) != self.features:
            raise ValueError(f"shape: expected a product of {self.features}, the features; got {list(self.shape)}")
        return self

    @property
    def sample(self) -> Shape:
        """The shape of a sample."""
        return (self.features,) if self.shape is None else self.shape


class InlineData(Samples):
    """Samples in the scenario's file: ``x`` (samples, features), labels ``y`` (samples, width), or a class each."""

    kind: Literal["inline"]
    x: Matrix
    y: Labels

    @model_validator(mode="after")
    def _as_many_labels(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError(f"y: expected {len(self.x)} rows, one a sample of x; got {len(self.y)}")
        return self

    @property
    def features(self) -> int:
        """Columns of x."""
        return len(self.x[0])

    @property
    def label_width(self) -> int:
        """Columns of y; a class is one."""
        return len(self.y[0]) if isinstance(self.y[0], tuple) else 1


class GaussianData(Samples):
    """``samples`` draws of N(0, I) and labels by a named rule; ``sum``: the sum of a sample's features, width 1."""

    kind: Literal["gaussian"]
    samples: Count
    features: Count
    target: Literal["sum"]

    @property
    def label_width(self) -> int:
        """Columns of the labels."""
        return 1


class TableData(Samples):
    """Samples from a CSV or Parquet file, beside the scenario's own file; ``x`` and ``y`` name its columns."""

    kind: Literal["table"]
    file: Annotated[str, StringConstraints(pattern=r"\.(csv|parquet)$")]
    x: Annotated[tuple[str, ...], Field(min_length=1)]
    y: Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def features(self) -> int:
        """Columns of x."""
        return len(self.x)

    @property
    def label_width(self) -> int:
        """Columns of y."""
        return len(self.y)


Data = Annotated[InlineData | GaussianData | TableData, Field(discriminator="kind")]


# ---------------------------------------------------------------- parameters that are treated otherwise


class Group(Spec):
    """Parameters for which the optimizer has other settings: no decay of biases and norms, a smaller rate below.

    Attributes:
        parameters: globs of their names, as in "*.bias"; a parameter is in the first group that names it.
        rate: their learning rate over the optimizer's, at every step.
        settings: those of the optimizer's that are others.
    """

    parameters: Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]
    rate: Positive = 1.0
    settings: Settings = Field(default_factory=Fixed)

    def of(self, optimizer: Optimizer) -> Optimizer:
        """The optimizer with the group's settings, and at its rate; ValueError for what is none of its settings."""
        known = [name for name in type(optimizer).model_fields if name not in ("kind", "lr")]
        unknown = [name for name in self.settings if name not in known]
        if unknown:
            hint = "; a group's rate is `rate`, over the optimizer's" if unknown[0] == "lr" else ""
            raise ValueError(f"settings.{unknown[0]}: {optimizer.kind} has {', '.join(known) or 'none'}{hint}")
        return type(optimizer)(**{**dict(optimizer), **self.settings, "lr": optimizer.lr * self.rate})


class Own(NamedTuple):
    """What the parameters of a group are updated by.

    Attributes:
        group: the group.
        parameters: their names.
        optimizer: with the group's settings, and its rate.
        rate: its learning rate over that of the others.
    """

    group: Group
    parameters: tuple[str, ...]
    optimizer: Optimizer
    rate: float


# ---------------------------------------------------------------- the whole


class Scenario(Spec):
    """Everything that decides a training run, and what its source says about it.

    Example:
        >>> from isograd import load_scenario
        >>> load_scenario("article/worked_backprop").layers[0].name
        'hidden'
    """

    name: str
    title: str
    section: str = ""
    dtype: DType = "float32"
    seed: Annotated[StrictInt, Field(ge=0, le=2**64 - 1)] = 0
    epochs: Count = 1
    batch_size: Count = 1
    shuffle: StrictBool = False
    data: Data
    layers: Annotated[tuple[AnyLayer, ...], Field(min_length=1)]
    loss: AnyLoss
    optimizer: AnyOptimizer
    schedule: AnySchedule | None = None
    clipping: AnyClipping | None = None
    groups: Annotated[tuple[Group, ...], Field(max_length=100)] = ()
    shared: Names = Field(default_factory=Fixed)
    evaluate: StrictBool = False
    truth: Literal["reference", "published"] = "reference"
    batch_gradient_is_mean: StrictBool = False
    published: tuple[Published, ...] = ()
    findings: tuple[Finding, ...] = ()
    expect: Expect | None = None
    folder: Annotated[str, Field(exclude=True)] = ""

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        shapes: dict[str, Shape] = {SAMPLES: self.data.sample}
        used: set[str] = set()
        for i, layer in enumerate(self.layers):
            try:
                if layer.name in shapes:
                    raise ValueError(f"name: {layer.name!r} stands twice; expected a name of its own")
                feeds = self._feeds(i)
                _check_inputs(layer, feeds, shapes)
                used.update(feeds)
                shapes[layer.name] = _shape(layer, [shapes[name] for name in feeds])
            except ValueError as error:
                raise ValueError(f"layers.{i}.{error}") from None
        for i, layer in enumerate(self.layers[:-1]):
            if layer.name not in used:
                raise ValueError(
                    f"layers.{i}.name: nothing takes the output of {layer.name!r}; expected a layer that does"
                )
        self._samples_fit()
        self._labels_fit(shapes[self.layers[-1].name])
        self._shared_fit()
        self._groups_fit()
        if self.truth == "published" and not self.published:
            raise ValueError('truth: "published" needs [[published]] values to compare with')
        return self

    def _samples_fit(self) -> None:
        """Only samples can be whole numbers, and then nothing else takes them."""
        for i, layer in enumerate(self.layers):
            fed = [name == SAMPLES for name in self._feeds(i)]
            if layer.indices and not all(fed):
                raise ValueError(
                    f"layers.{i}.inputs: {layer.kind} takes whole numbers, which only the samples x can be"
                )
            if self.indices and not layer.indices and any(fed):
                raise ValueError(
                    f"layers.{i}.inputs: the samples x are whole numbers, which {layer.kind} does not take"
                )

    @property
    def indices(self) -> int:
        """Of how many things samples are, where they are whole numbers; 0: they are any numbers."""
        return min((layer.indices for layer in self.layers if layer.indices), default=0)

    def _labels_fit(self, outputs: Shape) -> None:
        try:
            labels, width = self.data.label_width, prod(self.loss.label_shape(outputs))
        except ValueError as error:
            raise ValueError(f"loss: {self.loss.kind}: {error}") from None
        if self.loss.labels == "classes":
            if labels != width:
                number = "one class" if width == 1 else f"{width} classes"
                raise ValueError(
                    f"data.y: expected {number} a sample, for the loss {self.loss.kind}; got {labels} numbers"
                )
            return
        if isinstance(self.data, InlineData) and not isinstance(self.data.y[0], tuple):
            raise ValueError(f"data.y: expected rows of numbers, for the loss {self.loss.kind}; got classes")
        if labels == width:
            return
        if _may_broadcast(self.loss) and labels == 1:
            if not self.broadcasts:
                raise ValueError(
                    f"loss.width_1_labels: labels have width 1, outputs width {width}; "
                    'write width_1_labels = "broadcast" if every output is to learn the one label'
                )
            return
        whose = "the last layer's" if width == prod(outputs) else f"as the loss {self.loss.kind} has them"
        raise ValueError(f"data.y: expected labels of width {width}, {whose}; got {labels}")

    def _shared_fit(self) -> None:
        """Each is a parameter of a layer, of the shape of one of another layer, which is not itself shared."""
        known = self.used()
        for name, owner in self.shared.items():
            for each in (name, owner):
                if each not in known:
                    raise ValueError(f"shared: expected parameters, of {', '.join(known) or 'none'}; got {each!r}")
            if owner in self.shared or name.partition(".")[0] == owner.partition(".")[0]:
                raise ValueError(f"shared.{name}: expected a parameter of another layer that is its own; got {owner!r}")
            if known[name].shape != known[owner].shape:
                shapes = f"{list(known[name].shape)} and {list(known[owner].shape)}"
                raise ValueError(f"shared.{name}: expected {owner} to have its shape; they have {shapes}")
            if not isinstance(known[name].initial, Draw) and known[name].initial != known[owner].initial:
                raise ValueError(
                    f"shared.{name}: expected the initial numbers of {owner}, or a draw, which is not made"
                )

    def _groups_fit(self) -> None:
        """Each has settings of the optimizer, which keep as much as the others do, and parameters that no other has."""
        for i, group in enumerate(self.groups):
            try:
                made = group.of(self.optimizer)
            except ValidationError as error:
                first = error.errors()[0]
                got = f"; got {first['input']!r}" if first["loc"] else ""
                where = ".".join(map(str, ("settings", *first["loc"])))
                raise ValueError(f"groups.{i}.{where}: {first['msg'].removeprefix('Value error, ')}{got}") from None
            except ValueError as error:
                raise ValueError(f"groups.{i}.{error}") from None
            if made.slots() != self.optimizer.slots():
                kept = " and ".join(", ".join(op.slots()) or "nothing" for op in (self.optimizer, made))
                raise ValueError(f"groups.{i}.settings: expected as much state as the others have; got {kept}")
        self._groups_have_parameters()

    def _groups_have_parameters(self) -> None:
        taken: set[str] = set()
        for i, of in enumerate(self.of_groups()):
            free = [name for name in self.parameters() if name not in taken]
            for glob in of.group.parameters:
                if not any(fnmatchcase(name, glob) for name in free):
                    also = f"; {', '.join(self.shared)} go by their owners' names" if self.shared else ""
                    raise ValueError(
                        f"groups.{i}.parameters: expected names that no group before it has, "
                        f"of {', '.join(free) or 'none'}{also}; got {glob!r}"
                    )
            taken.update(of.parameters)

    @remembered
    def of_groups(self) -> tuple[Own, ...]:
        """Each group's parameters and what they are updated by; a parameter is in the first group that names it."""
        free, found = list(self.parameters()), []
        for group in self.groups:
            names = tuple(name for name in free if any(fnmatchcase(name, glob) for glob in group.parameters))
            free = [name for name in free if name not in names]
            found.append(Own(group, names, group.of(self.optimizer), group.rate))
        return tuple(found)

    @remembered
    def own(self) -> dict[str, Own]:
        """Of each parameter in a group what it is updated by; all others are by the optimizer as it is."""
        return {name: of for of in self.of_groups() for name in of.parameters}

    def optimizer_of(self, parameter: str) -> Optimizer:
        """What updates a parameter."""
        own = self.own().get(parameter)
        return own.optimizer if own else self.optimizer

    @property
    def is_plain(self) -> bool:
        """Whether all parameters are updated by plain gradient descent, at one rate."""
        return self.optimizer.is_plain and not self.groups

    @property
    def broadcasts(self) -> bool:
        """Whether every output is to learn the one number of a label."""
        return _may_broadcast(self.loss) and getattr(self.loss, "width_1_labels", None) is not None

    # ------------------------------------------------------------ the graph

    def _feeds(self, i: int) -> tuple[str, ...]:
        before = self.layers[i - 1].name if i else SAMPLES
        return self.layers[i].inputs or (before,)

    @remembered
    def feeds(self) -> dict[str, tuple[str, ...]]:
        """For each layer the nodes that feed it, in order; "x" are the samples."""
        return {layer.name: self._feeds(i) for i, layer in enumerate(self.layers)}

    @remembered
    def shapes(self) -> dict[str, Shape]:
        """For each node, the samples first, the shape of its output for one sample."""
        shapes = {SAMPLES: self.data.sample}
        for name, feeds in self.feeds().items():
            shapes[name] = self.layer(name).shape(*(shapes[feed] for feed in feeds))
        return shapes

    def layer(self, name: str) -> Layer:
        """The layer of that name."""
        found: Layer = next(layer for layer in self.layers if layer.name == name)
        return found

    @remembered
    def parameters(self) -> dict[str, Param]:
        """Every parameter by "layer.param", in the order of the layers; a shared one by its owner's name."""
        return {name: param for name, param in self.used().items() if name not in self.shared}

    @remembered
    def used(self) -> dict[str, Param]:
        """What each layer uses by "layer.param": also what is shared, by the name that the layer has for it."""
        return self._of_layers(lambda layer, shapes: layer.parameters(*shapes))

    @remembered
    def buffers(self) -> dict[str, Param]:
        """Every buffer by "layer.name", likewise."""
        return self._of_layers(lambda layer, shapes: layer.buffers(*shapes))

    def _of_layers(self, what: Callable[[Layer, list[Shape]], Mapping[str, Param]]) -> dict[str, Param]:
        shapes, feeds = self.shapes(), self.feeds()
        return {
            f"{layer.name}.{name}": param
            for layer in self.layers
            for name, param in what(layer, [shapes[feed] for feed in feeds[layer.name]]).items()
        }

    @property
    def outputs(self) -> Shape:
        """The shape of the last layer's output for one sample."""
        return self.shapes()[self.layers[-1].name]

    @property
    def ops(self) -> tuple[Op, ...]:
        """Every operation."""
        return tuple(op for _, op in self.worded())

    def worded(self) -> list[tuple[str, Op]]:
        """Every operation with the word for what it is: layer, loss, optimizer, schedule or clipping."""
        found: list[tuple[str, Op]] = [("layer", layer) for layer in self.layers]
        found += [("loss", self.loss), ("optimizer", self.optimizer)]
        found += [("optimizer", of.optimizer) for of in self.of_groups()]
        more = {"schedule": self.schedule, "clipping": self.clipping}
        return found + [(word, op) for word, op in more.items() if op]


def _may_broadcast(loss: Loss) -> bool:
    return "width_1_labels" in type(loss).model_fields


def _shape(layer: Layer, given: list[Shape]) -> Shape:
    """The shape of its output, for which its parameters are known; ValueError where outputs have too few axes."""
    try:
        layer.parameters(*given)
        return layer.shape(*given)
    except IndexError:
        shapes = " and ".join(str(list(shape)) for shape in given)
        raise ValueError(f"inputs: expected outputs with more axes for {layer.kind}; got shape {shapes}") from None


def _check_inputs(layer: Layer, feeds: tuple[str, ...], shapes: Mapping[str, Shape]) -> None:
    few, many = layer.arity
    if not few <= len(feeds) <= many:
        number = str(few) if few == many else f"{few} or more"
        raise ValueError(f"inputs: expected {number} for {layer.kind}; got {[*feeds] if layer.inputs else 'none'}")
    for name in feeds:
        if name not in shapes:
            raise ValueError(f"inputs: expected layers before it, of {', '.join(shapes)}; got {name!r}")
