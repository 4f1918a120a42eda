"""Which numbers does a scenario hand to every backend? Data, initial values and batch order, made once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil, prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isograd.dtypes import FORMATS
from isograd.errors import ScenarioError
from isograd.files import is_endless
from isograd.labels import are_indices, mistake_in
from isograd.ops.op import Draw, Param
from isograd.scenario import GaussianData, InlineData, Scenario, TableData

Array = NDArray[Any]

TARGETS = {"sum": lambda x: x.sum(axis=1, keepdims=True)}


class Batch(NamedTuple):
    """What a step is given.

    Attributes:
        x: samples, (B, *sample's shape), in the scenario's dtype; or whole numbers, of int64, for an embedding.
        y: labels: numbers in the dtype, (B, *the loss's shape of labels); or classes, as many, of int64.
    """

    x: Array
    y: Array


@dataclass(frozen=True)
class Inputs:
    """All numbers of a run, rounded to the scenario's dtype.

    Attributes:
        x: samples, (N, *sample's shape).
        y: labels, (N, *the loss's shape of labels), also where one number is meant for every output; or classes, as
            many, of int64.
        initial: the state before the first step, by quantity: ``weight/…``, ``state/…``, ``buffer/…``.
        order: the order of the samples in each epoch, (epochs, N).
        lr: the learning rate of each step, (steps,), rounded to the dtype as the frameworks' kernels round it.
        batch_size: samples of a batch; the last of an epoch may have fewer.
    """

    x: Array
    y: Array
    initial: Mapping[str, Array]
    order: NDArray[np.int64]
    lr: NDArray[np.float64]
    batch_size: int

    def batches(self) -> Iterator[Batch]:
        """The batches of every step, in order; a last batch of an epoch may be smaller."""
        for epoch in self.order:
            x, y = self.x[epoch], self.y[epoch]
            for start in range(0, len(epoch), self.batch_size):
                batch = slice(start, start + self.batch_size)
                yield Batch(x[batch], y[batch])

    def batch(self, step: int) -> Batch:
        """The batch of one step."""
        rows = self.samples(step)
        return Batch(self.x[rows], self.y[rows])

    @property
    def weights(self) -> dict[str, Array]:
        """The parameters before the first step, by "layer.param"."""
        return {name.removeprefix(WEIGHT): value for name, value in self.initial.items() if name.startswith(WEIGHT)}

    def samples(self, step: int) -> NDArray[np.int64]:
        """Which samples the batch of a step holds, in order."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        start = batch * self.batch_size
        samples: NDArray[np.int64] = self.order[epoch][start : start + self.batch_size]
        return samples

    @property
    def steps_per_epoch(self) -> int:
        """Updates in one pass over the samples."""
        return ceil(int(self.order.shape[1]) / self.batch_size)

    @property
    def steps(self) -> int:
        """Updates in the whole run."""
        return len(self.order) * self.steps_per_epoch

    def arrays(self) -> dict[str, Array]:
        """Everything as named arrays, for a file; `from_arrays` is its inverse."""
        named = {f"initial/{name}": value for name, value in self.initial.items()}
        batch_size = np.asarray(np.int64(self.batch_size))
        return {"x": self.x, "y": self.y, "order": self.order, **named, "lr": self.lr, "batch_size": batch_size}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Inputs:
        """The inputs that `arrays` gave, here or in a version that knew parameters and one learning rate only."""
        initial = {
            _of_state(name.removeprefix(INITIAL)): value for name, value in arrays.items() if name.startswith(INITIAL)
        }
        inputs = cls(arrays["x"], arrays["y"], initial, arrays["order"], arrays["lr"], int(arrays["batch_size"]))
        return inputs if inputs.lr.ndim else replace(inputs, lr=np.full(inputs.steps, float(inputs.lr)))


INITIAL, WEIGHT = "initial/", "weight/"


def _of_state(name: str) -> str:
    return name if "/" in name else WEIGHT + name


def make_inputs(scenario: Scenario) -> Inputs:
    """Draw, read and round everything that ``scenario`` needs; the same arrays for the same scenario, always.

    Raises:
        ScenarioError: a data file that is missing, lacks a column, or holds something that is not a finite number.
    """
    rng = np.random.Generator(np.random.PCG64(scenario.seed))
    dtype = FORMATS[scenario.dtype].dtype
    x, y = _data(scenario, rng)
    drawn = {name: _initial(param, rng) for name, param in state_of(scenario).items()}
    rows = np.arange(len(x))
    order = np.array([rng.permutation(rows) if scenario.shuffle else rows for _ in range(scenario.epochs)])
    batch_size = min(scenario.batch_size, len(x))
    _check_batches(scenario, batch_size, len(x) % batch_size or batch_size)
    rates = _rates(scenario, ceil(len(x) / batch_size))
    with np.errstate(over="ignore"):  # looked at in the next lines, where it can be named
        x, y = (values if values.dtype == np.int64 else values.astype(dtype) for values in (x, y))
        initial = {name: value.astype(dtype) for name, value in drawn.items()}
        lr = rates.astype(dtype).astype(np.float64)
    for name, values in {"data.x": x, "data.y": y, **{key.partition("/")[2]: v for key, v in initial.items()}}.items():
        if not np.isfinite(values).all():
            raise ScenarioError(f"{scenario.name}: {name}: expected numbers that {dtype} can hold; got one beyond it")
    if wrong := [rate for rate in lr.tolist() if not 0 < rate < np.inf and scenario.schedule is None]:
        raise ScenarioError(
            f"{scenario.name}: optimizer.lr: {scenario.optimizer.lr:g} rounds to {wrong[0]:g} in {dtype}"
        )
    _check_settings(scenario, dtype)
    if not np.isfinite(lr).all():
        raise ScenarioError(f"{scenario.name}: schedule: expected rates that {dtype} can hold; got {lr.max():g}")
    return Inputs(x, y, initial, order, lr, batch_size)


def _check_settings(scenario: Scenario, dtype: Any) -> None:
    """That the dtype holds what an optimizer and a clipping compute with."""
    clipping = scenario.clipping or ()
    of_each: list[tuple[str, Any]] = [("optimizer", scenario.optimizer), ("clipping", clipping)]
    of_each += [(f"groups.{i}.settings", of.optimizer) for i, of in enumerate(scenario.of_groups())]
    for where, name, value in ((where, name, value) for where, op in of_each for name, value in op):
        with np.errstate(over="ignore"):
            held = dtype.type(value) if isinstance(value, float) else 1
        if isinstance(value, float) and value > 0 and not held > 0:
            text = "it would do nothing, and what it guards against would be divided by"
            raise ScenarioError(f"{scenario.name}: {where}.{name}: {value:g} rounds to 0 in {dtype}: {text}")
        if where == "clipping" and not np.isfinite(held):
            raise ScenarioError(
                f"{scenario.name}: {where}.{name}: expected a number that {dtype} can hold; got {value:g}"
            )


def _check_batches(scenario: Scenario, batch_size: int, last: int) -> None:
    """That each layer has as many samples in a batch as it needs."""
    shapes = scenario.shapes()
    for name, feeds in scenario.feeds().items():
        fewest = scenario.layer(name).fewest(*(shapes[feed] for feed in feeds))
        if last < fewest:
            which = "the last batch of an epoch has" if last < batch_size else "a batch has"
            raise ScenarioError(
                f"{scenario.name}: batch_size: {name} needs {fewest} samples or more in every batch; {which} {last}"
            )


def state_of(scenario: Scenario) -> dict[str, Param]:
    """What a training starts from and goes on with, by quantity: weights, the optimizer's slots, buffers."""
    parameters = scenario.parameters()
    slots = {
        f"state/{name}.{slot}": param._replace(initial=scenario.optimizer_of(name).initial(slot))
        for name, param in parameters.items()
        for slot in scenario.optimizer.slots()
    }
    weights = {WEIGHT + name: param for name, param in parameters.items()}
    return weights | slots | {f"buffer/{name}": param for name, param in scenario.buffers().items()}


def _rates(scenario: Scenario, per_epoch: int) -> NDArray[np.float64]:
    lr, schedule, steps = scenario.optimizer.lr, scenario.schedule, scenario.epochs * per_epoch
    rates = [schedule.rate(t, steps, per_epoch, lr) if schedule else lr for t in range(steps)]
    return np.array(rates, np.float64)


# What says nothing about the numbers, or is in the numbers themselves.
_NO_PART = {
    "name",
    "title",
    "section",
    "seed",
    "batch_size",
    "shuffle",
    "data",
    "truth",
    "batch_gradient_is_mean",
    "published",
    "findings",
    "expect",
}


def fingerprint(scenario: Scenario, inputs: Inputs) -> str:
    """SHA-256 over all that decides the run: numbers, and every field but titles, findings, and what made the numbers.

    A field that has its default is left out, so that a new one leaves the fingerprints of old traces as they are.
    """
    spec = scenario.model_dump_json(exclude=_NO_PART, exclude_defaults=True)
    digest = hashlib.sha256(spec.encode())
    for name, values in sorted(inputs.arrays().items()):
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _initial(param: Param, rng: np.random.Generator) -> Array:
    value, shape = param.initial, param.shape
    if not isinstance(value, Draw):
        values = np.array(value, dtype=np.float64)
        return np.full(shape, values) if not values.ndim else values
    if value.draw == "normal":
        return rng.standard_normal(shape) * value.scale
    if value.scale > np.finfo(np.float64).max / 2:  # its range is beyond what NumPy draws from
        return np.full(shape, np.inf)
    return rng.uniform(-value.scale, value.scale, shape)


def _data(scenario: Scenario, rng: np.random.Generator) -> tuple[Array, Array]:
    """Samples in their shape, and labels in the outputs' shape, or as classes."""
    data, outputs = scenario.data, scenario.outputs
    if isinstance(data, InlineData):
        x, y = np.array(data.x, dtype=np.float64), np.array(data.y, dtype=np.float64)
    elif isinstance(data, GaussianData):
        x = rng.standard_normal((data.samples, data.features))
        y = TARGETS[data.target](x)
    else:
        x, y = _table(scenario.name, Path(scenario.folder) / data.file, data)
    x = x.reshape(len(x), *data.sample)
    shape = scenario.loss.label_shape(outputs)
    y = np.repeat(y, prod(outputs), axis=1) if scenario.broadcasts and y.shape[1] == 1 else y
    y = y.reshape(len(y), *shape)
    if mistake := mistake_in(y, scenario.loss, outputs):
        raise ScenarioError(f"{scenario.name}: data.y: {mistake}")
    if scenario.indices:
        if not are_indices(x, scenario.indices):
            raise ScenarioError(f"{scenario.name}: data.x: expected whole numbers from 0 to {scenario.indices - 1}")
        x = x.astype(np.int64)
    return x, y.astype(np.int64) if scenario.loss.labels == "classes" else y


def _table(name: str, path: Path, data: TableData) -> tuple[Array, Array]:
    import pandas as pd  # heavy, and only this kind of data needs it

    columns = [*data.x, *data.y]
    if is_endless(path):
        raise ScenarioError(f"{name}: data.file: expected a table at {path}; it is a pipe or a device")
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError:
        raise ScenarioError(f"{name}: data.file: expected a table at {path}; there is none") from None
    except OSError as error:
        raise ScenarioError(f"{name}: data.file: expected a table at {path}; {error.strerror or error}") from None
    except ValueError as error:  # pandas' and pyarrow's parser errors are ValueErrors
        raise ScenarioError(f"{name}: data.file: {path} cannot be read as {path.suffix[1:]}: {error}") from None
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        key = "x" if missing[0] in data.x else "y"
        raise ScenarioError(
            f"{name}: data.{key}: {path} has no column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}"
        )
    if not len(frame):
        raise ScenarioError(f"{name}: data.file: {path} has no rows")
    # what a row has too much, pandas takes for an index
    if path.suffix == ".csv" and not isinstance(frame.index, pd.RangeIndex):
        raise ScenarioError(f"{name}: data.file: {path}: expected as many cells in a row as in the header; got more")
    try:
        values = frame[columns].astype(np.float64).to_numpy()  # unlike `to_numpy` alone, no numbers out of dates
    except (TypeError, ValueError) as error:
        raise ScenarioError(f"{name}: data: {path}: expected numbers in {', '.join(columns)}; {error}") from None
    for row, column in np.argwhere(~np.isfinite(values))[:1]:
        raise ScenarioError(
            f"{name}: data: {path}: row {row + 1}, column {columns[column]!r}: expected a finite number"
        )
    return values[:, : len(data.x)], values[:, len(data.x) :]
