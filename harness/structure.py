"""What is a user's model made of? Its units with their settings and parameters, as a child tells its parent."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Setting = bool | int | float | str | None | tuple[int, ...]
Shape = tuple[Annotated[int, Field(ge=0)], ...]


class _Told(BaseModel):
    """Comes from a process in which a user's code runs, and so is looked at before it is believed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Unit(_Told):
    """A module that holds parameters, or has no modules within: what is compared, paired and blamed.

    Attributes:
        name: its path in the model; "model" for the model itself.
        cls: its class's name.
        kind: the operation, where the class is one of the framework's own; otherwise the class's name.
        known: whether the class is one of the framework's own.
        params: each parameter's shape, in the mathematical layout, by canonical name.
        buffers: likewise of what it keeps from step to step and no gradient changes.
        frozen: which parameters are not trained.
        tied: parameters that another unit has too, each with that unit's name for it.
        settings: by canonical name, in one convention for all frameworks.
    """

    name: str
    cls: str
    kind: str
    known: bool = True
    params: dict[str, Shape] = {}
    buffers: dict[str, Shape] = {}
    frozen: tuple[str, ...] = ()
    tied: dict[str, str] = {}
    settings: dict[str, Setting] = {}


class Call(_Told):
    """A unit that was called, and the shapes of the tensors that it gave."""

    name: str
    outputs: tuple[Shape, ...] = ()


class OptimizerOf(_Told):
    """An optimizer.

    Attributes:
        kind: its rule, by the vocabulary's name where it has one; otherwise its class's name.
        settings: of all its parameters alike.
        params: its parameters, by canonical name, each with the settings that are not those of all.
        slots: what it keeps for each parameter, by canonical name.
        imprecise: why its bias corrections are further off than rounding makes them elsewhere; "" if they are not.
        differs: how its rule is another than that of its namesakes; "" if it is not.
        clips: how it clips gradients by their norm otherwise than functions of other frameworks do; "" if it does not.
    """

    kind: str
    settings: dict[str, Setting] = {}
    params: dict[str, dict[str, Setting]] = {}
    slots: tuple[str, ...] = ()
    imprecise: str = ""
    differs: str = ""
    clips: str = ""


class Structure(_Told):
    """A model as it was built, and what a first step of it called.

    Attributes:
        framework: its name.
        version: its version.
        dtype: the dtype of most of its parameters.
        units: in the order in which they were defined.
        calls: in the order in which they were called.
        optimizers: by the user's name; "" for the only one.
        schedule: settings of the learning rate's schedule; {} for none.
        scheduled: its class; "" for none.
        loss: the loss's class and settings; "" where the model gives the loss itself.
        least: what the framework's softmax gives at least, where others give 0; 0 where it does too.
        random: the first unit whose output is another one with another seed, or "loss"; "" where nothing is drawn.
        constants: buffers of a user's own modules that come out alike whatever is drawn, by "unit.buffer".
        loaded: whether the parameters do so too: they come from a file, or are constants.
        drawn: buffers that no step records, as of whole numbers, that do not: a permutation, by "module.buffer".
    """

    framework: str
    version: str
    dtype: str
    units: tuple[Unit, ...]
    calls: tuple[Call, ...] = ()
    optimizers: dict[str, OptimizerOf] = {}
    schedule: dict[str, Setting] = {}
    scheduled: str = ""
    loss: Unit | None = None
    least: Annotated[float, Field(ge=0, le=1e-20)] = 0.0
    random: str = ""
    constants: tuple[str, ...] = ()
    loaded: bool = False
    drawn: tuple[str, ...] = ()

    @property
    def of(self) -> dict[str, Unit]:
        """Units by name."""
        return {unit.name: unit for unit in self.units}

    def params(self) -> dict[str, Shape]:
        """Every parameter's shape, by "unit.param"; of tied ones each name."""
        return {f"{unit.name}.{name}": shape for unit in self.units for name, shape in unit.params.items()}

    def tied(self) -> dict[str, str]:
        """Parameters that another unit has too, likewise, each with the first unit's name for it."""
        return {f"{unit.name}.{name}": first for unit in self.units for name, first in unit.tied.items()}

    def buffers(self) -> dict[str, Shape]:
        """Every buffer's, likewise."""
        return {f"{unit.name}.{name}": shape for unit in self.units for name, shape in unit.buffers.items()}


def plain(value: Any) -> Setting:
    """A setting as it can be told: numbers, words, flags, tuples of whole numbers; of anything else its text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tuple, list)) and all(isinstance(item, int) for item in value):
        return tuple(value)
    return str(value)
