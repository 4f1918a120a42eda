"""What is to be run? Frozen, validated specs: data and never code, without the name of any framework."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, StrictBool, StrictInt, StringConstraints, Tag, model_validator

from isograd.source import Expect, Finding, Published
from isograd.spec import Count, DType, Matrix, Name, Number, Positive, Spec, Vector

# ---------------------------------------------------------------- layers


class Draw(Spec):
    """An initial value drawn from the scenario's seed: N(0, std²), or uniform on [−limit, limit)."""

    draw: Literal["normal", "uniform"]
    scale: Positive


Values = Matrix | Vector | Draw


# An initial value is a table (a draw) or an array: told apart by hand, so that a mistake is reported once.
_DRAWN = Discriminator(lambda value: "drawn" if isinstance(value, (dict, Draw)) else "values")
InitialMatrix = Annotated[Annotated[Matrix, Tag("values")] | Annotated[Draw, Tag("drawn")], _DRAWN]
InitialVector = Annotated[Annotated[Vector, Tag("values")] | Annotated[Draw, Tag("drawn")], _DRAWN]


class LayerSpec(Spec):
    """What every layer has: a name, and the layers that feed it (by default the one before)."""

    name: Name
    inputs: Annotated[tuple[Name, ...], Field(max_length=1)] = ()

    def width(self, features: int) -> int:
        """Width of the output, for an input of ``features`` columns; ValueError where the layer does not fit."""
        return features

    def parameters(self, features: int) -> dict[str, tuple[tuple[int, ...], Values]]:
        """Canonical shape and initial value of each parameter, for an input of ``features`` columns."""
        return {}


class Linear(LayerSpec):
    """z = x Wᵀ + b, with W of shape (out, in) and b of shape (out,); without ``bias``, z = x Wᵀ."""

    kind: Literal["linear"]
    weight: InitialMatrix
    bias: InitialVector | None = None
    outputs: Count | None = None

    @model_validator(mode="after")
    def _outputs_are_known(self) -> Self:
        if isinstance(self.weight, Draw) and self.outputs is None:
            raise ValueError("outputs: expected the number of units, since the weight is drawn")
        if not isinstance(self.weight, Draw) and self.outputs not in (None, len(self.weight)):
            raise ValueError(f"outputs: expected {len(self.weight)}, the rows of the weight; got {self.outputs}")
        if isinstance(self.bias, tuple) and len(self.bias) != self.units:
            raise ValueError(f"bias: expected {self.units} values, one a unit; got {len(self.bias)}")
        return self

    @property
    def units(self) -> int:
        """Width of the output."""
        return len(self.weight) if isinstance(self.weight, tuple) else self.outputs or 0

    def width(self, features: int) -> int:
        """The number of units; ValueError where the weight's columns are not the input's."""
        if not isinstance(self.weight, Draw) and len(self.weight[0]) != features:
            raise ValueError(
                f"weight: expected shape ({self.units}, {features}), (out, in) for an input of width {features}; "
                f"got ({self.units}, {len(self.weight[0])})"
            )
        return self.units

    def parameters(self, features: int) -> dict[str, tuple[tuple[int, ...], Values]]:
        """Weight (out, in), and bias (out,) where there is one."""
        shapes: dict[str, tuple[tuple[int, ...], Values]] = {"weight": ((self.units, features), self.weight)}
        return shapes if self.bias is None else shapes | {"bias": ((self.units,), self.bias)}


class Sigmoid(LayerSpec):
    """a = 1 / (1 + exp(−z))."""

    kind: Literal["sigmoid"]


class Relu(LayerSpec):
    """a = max(0, z), with derivative 0 at 0."""

    kind: Literal["relu"]


class Scale(LayerSpec):
    """a = k z, the article's f(z) = 2z for ``factor = 2``."""

    kind: Literal["scale"]
    factor: Number


Layer = Annotated[Linear | Sigmoid | Relu | Scale, Field(discriminator="kind")]


# ---------------------------------------------------------------- data, loss, optimizer


class InlineData(Spec):
    """Samples written in the scenario: ``x`` (samples, features) and labels ``y`` (samples, width)."""

    kind: Literal["inline"]
    x: Matrix
    y: Matrix

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
        """Columns of y."""
        return len(self.y[0])


class GaussianData(Spec):
    """``samples`` draws of N(0, I) and labels by a named rule; ``sum``: the sum of a sample's features, width 1."""

    kind: Literal["gaussian"]
    samples: Count
    features: Count
    target: Literal["sum"]

    @property
    def label_width(self) -> int:
        """Columns of the labels."""
        return 1


class TableData(Spec):
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


class HalfSquaredError(Spec):
    """L = (1/B) Σ_batch Σ_outputs ½ (ŷ − y)²."""

    kind: Literal["half_squared_error"]


class MeanSquaredError(Spec):
    """L = mean of (ŷ − y)² over batch and outputs.

    ``width_1_labels = "broadcast"`` compares a label of width 1 with every output. The frameworks do that without being
    asked, so a scenario has to say that it means it.
    """

    kind: Literal["mse"]
    width_1_labels: Literal["broadcast"] | None = None


Loss = Annotated[HalfSquaredError | MeanSquaredError, Field(discriminator="kind")]


class Sgd(Spec):
    """w ← w − lr ∂L/∂w."""

    kind: Literal["sgd"]
    lr: Positive


Optimizer = Sgd  # becomes a union, as Loss is, with the second optimizer


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
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    loss: Loss
    optimizer: Optimizer
    truth: Literal["reference", "published"] = "reference"
    batch_gradient_is_mean: StrictBool = False
    published: tuple[Published, ...] = ()
    findings: tuple[Finding, ...] = ()
    expect: Expect | None = None
    folder: Annotated[str, Field(exclude=True)] = ""

    @model_validator(mode="after")
    def _layers_fit(self) -> Self:
        widths: dict[str, int] = {}
        for i, layer in enumerate(self.layers):
            try:
                if layer.name in widths:
                    raise ValueError(f"name: {layer.name!r} stands twice; expected a name of its own")
                before = self.layers[i - 1].name if i else ""
                if layer.inputs not in ((), (before,)):
                    raise ValueError(
                        f"inputs: expected {[before] if i else 'none'} (no joins yet); got {[*layer.inputs]}"
                    )
                widths[layer.name] = layer.width(widths[before] if i else self.data.features)
            except ValueError as error:
                raise ValueError(f"layers.{i}.{error}") from None
        self._labels_fit(widths[self.layers[-1].name])
        if self.truth == "published" and not self.published:
            raise ValueError('truth: "published" needs [[published]] values to compare with')
        return self

    def _labels_fit(self, outputs: int) -> None:
        labels = self.data.label_width
        if labels == outputs:
            return
        if isinstance(self.loss, MeanSquaredError) and labels == 1:
            if self.loss.width_1_labels is None:
                raise ValueError(
                    f"loss.width_1_labels: labels have width 1, outputs width {outputs}; "
                    'write width_1_labels = "broadcast" if every output is to learn the one label'
                )
            return
        raise ValueError(f"data.y: expected labels of width {outputs}, the last layer's; got {labels}")

    def input_widths(self) -> dict[str, int]:
        """Width of each layer's input."""
        widths, width = {}, self.data.features
        for layer in self.layers:
            widths[layer.name] = width
            width = layer.width(width)
        return widths
