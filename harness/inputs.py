"""Which numbers does a scenario hand to every backend? Data, initial values and batch order, made once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isograd.dtypes import FORMATS
from isograd.errors import ScenarioError
from isograd.files import is_endless
from isograd.scenario import Draw, GaussianData, InlineData, Scenario, TableData

Array = NDArray[Any]

TARGETS = {"sum": lambda x: x.sum(axis=1, keepdims=True)}


@dataclass(frozen=True)
class Inputs:
    """All numbers of a run, rounded to the scenario's dtype.

    Attributes:
        x: samples, (N, features).
        y: labels, (N, width), or (N, outputs) where the scenario broadcasts labels of width 1.
        initial: initial value of each parameter, "layer.param" to its canonical array.
        order: the order of the samples in each epoch, (epochs, N).
        lr: the learning rate, rounded to the dtype as the frameworks' kernels round it.
    """

    x: Array
    y: Array
    initial: Mapping[str, Array]
    order: NDArray[np.int64]
    lr: float
    batch_size: int

    def batches(self) -> Iterator[tuple[Array, Array]]:
        """The batches (x, y) of every step, in order; a last batch of an epoch may be smaller."""
        for epoch in self.order:
            x, y = self.x[epoch], self.y[epoch]
            for start in range(0, len(epoch), self.batch_size):
                batch = slice(start, start + self.batch_size)
                yield x[batch], y[batch]

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
        scalars = {"lr": np.float64(self.lr), "batch_size": np.int64(self.batch_size)}
        return {
            "x": self.x,
            "y": self.y,
            "order": self.order,
            **named,
            **{k: np.asarray(v) for k, v in scalars.items()},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> Inputs:
        """The inputs that `arrays` gave."""
        initial = {
            name.removeprefix("initial/"): value for name, value in arrays.items() if name.startswith("initial/")
        }
        lr, batch_size = float(arrays["lr"]), int(arrays["batch_size"])
        return cls(arrays["x"], arrays["y"], initial, arrays["order"], lr, batch_size)


def make_inputs(scenario: Scenario) -> Inputs:
    """Draw, read and round everything that ``scenario`` needs; the same arrays for the same scenario, always.

    Raises:
        ScenarioError: a data file that is missing, lacks a column, or holds something that is not a finite number.
    """
    rng = np.random.Generator(np.random.PCG64(scenario.seed))
    dtype = FORMATS[scenario.dtype].dtype
    x, y = _data(scenario, rng)
    features = scenario.input_widths()
    drawn = {
        f"{layer.name}.{param}": _initial(value, shape, rng)
        for layer in scenario.layers
        for param, (shape, value) in layer.parameters(features[layer.name]).items()
    }
    rows = np.arange(len(x))
    order = np.array([rng.permutation(rows) if scenario.shuffle else rows for _ in range(scenario.epochs)])
    with np.errstate(over="ignore"):  # looked at in the next lines, where it can be named
        x, y = x.astype(dtype), y.astype(dtype)
        initial = {name: value.astype(dtype) for name, value in drawn.items()}
        lr = float(dtype.type(scenario.optimizer.lr))
    for name, values in {"data.x": x, "data.y": y, **initial}.items():
        if not np.isfinite(values).all():
            raise ScenarioError(f"{scenario.name}: {name}: expected numbers that {dtype} can hold; got one beyond it")
    if not 0 < lr < np.inf:
        raise ScenarioError(f"{scenario.name}: optimizer.lr: {scenario.optimizer.lr:g} rounds to {lr:g} in {dtype}")
    return Inputs(x, y, initial, order, lr, min(scenario.batch_size, len(x)))


def fingerprint(scenario: Scenario, inputs: Inputs) -> str:
    """SHA-256 over what decides the run (model, numbers, loss, optimizer), not over titles or findings."""
    spec = scenario.model_dump_json(include={"dtype", "epochs", "layers", "loss", "optimizer"})
    digest = hashlib.sha256(spec.encode())
    for name, values in sorted(inputs.arrays().items()):
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _initial(value: Any, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if not isinstance(value, Draw):
        return np.array(value, dtype=np.float64)
    if value.draw == "normal":
        return rng.standard_normal(shape) * value.scale
    if value.scale > np.finfo(np.float64).max / 2:  # its range is beyond what NumPy draws from
        return np.full(shape, np.inf)
    return rng.uniform(-value.scale, value.scale, shape)


def _data(scenario: Scenario, rng: np.random.Generator) -> tuple[Array, Array]:
    data = scenario.data
    if isinstance(data, InlineData):
        x, y = np.array(data.x, dtype=np.float64), np.array(data.y, dtype=np.float64)
    elif isinstance(data, GaussianData):
        x = rng.standard_normal((data.samples, data.features))
        y = TARGETS[data.target](x)
    else:
        x, y = _table(scenario.name, Path(scenario.folder) / data.file, data)
    return x, np.repeat(y, _outputs(scenario), axis=1) if _broadcasts(scenario) else y


def _outputs(scenario: Scenario) -> int:
    last = scenario.layers[-1]
    return last.width(scenario.input_widths()[last.name])


def _broadcasts(scenario: Scenario) -> bool:
    return scenario.data.label_width == 1 and _outputs(scenario) > 1


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
