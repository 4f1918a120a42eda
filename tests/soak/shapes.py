"""Does a run end in a report, with every verdict, whatever shapes, dtypes and names a backend returns?"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from isograd import Report
from isograd.assess import Assessor, Run, ScenarioResult
from isograd.backend import Session
from isograd.backends.numpy_manual import NumpyBackend
from isograd.children import Answer
from isograd.inputs import Array, Batch, Inputs, make_inputs
from isograd.judging import FACTOR, Verdict
from isograd.loading import parse_scenario
from isograd.recorder import record_here
from isograd.reference import make_reference
from isograd.report.account import account_text
from isograd.scenario import Scenario
from isograd.trace import MODES, Mode, save_trace

_rng = np.random.Generator(np.random.PCG64(2))
DRAWN = {"draw": "normal", "scale": 0.5}
NETS: dict[str, list[dict[str, Any]]] = {
    "square": [
        {"name": "a", "kind": "linear", "outputs": 3, "weight": DRAWN, "bias": DRAWN},
        {"name": "act", "kind": "sigmoid"},
        {"name": "b", "kind": "linear", "outputs": 2, "weight": DRAWN, "bias": DRAWN},
    ],
    "single": [{"name": "a", "kind": "linear", "outputs": 1, "weight": DRAWN, "bias": DRAWN}],
    "relu": [
        {"name": "a", "kind": "linear", "outputs": 1, "weight": DRAWN},
        {"name": "act", "kind": "relu"},
        {"name": "b", "kind": "linear", "outputs": 3, "weight": DRAWN},
    ],
}

Returned = dict[str, Any]
Wrong = Callable[[Returned, str], Returned]
"""What a step returns, made wrong at one quantity."""


def _of_value(make: Callable[[Array], Any]) -> Wrong:
    return lambda seen, name: {**seen, name: make(np.asarray(seen[name]))}


VALUES: dict[str, Callable[[Array], Any]] = {
    "of one element": lambda a: a.reshape(-1)[:1],
    "(1, 1)": lambda a: a.reshape(-1)[:1].reshape(1, 1),
    "a scalar": lambda a: a.reshape(-1)[0],
    "a Python number": lambda a: float(a.reshape(-1)[0]),
    "a list": lambda a: a.tolist(),
    "transposed": lambda a: a.T,
    "squeezed": lambda a: np.squeeze(a),
    "an axis before": lambda a: a[np.newaxis],
    "an axis after": lambda a: a[..., np.newaxis],
    "an axis between": lambda a: np.expand_dims(a, min(1, a.ndim)),
    "without its first axis": lambda a: a[0] if a.ndim else a.reshape(1),
    "its mean over the first axis": lambda a: a.mean(axis=0) if a.ndim else a.reshape(1, 1, 1),
    "empty": lambda a: np.zeros(0, a.dtype),
    "without rows": lambda a: a.reshape(-1, *a.shape[1:])[:0],
    "without columns": lambda a: a[..., :0] if a.ndim else np.zeros((1, 0), a.dtype),
    "twice as long": lambda a: np.concatenate([np.atleast_1d(a)] * 2),
    "twice as wide": lambda a: np.concatenate([np.atleast_1d(a)] * 2, axis=-1),
    "a row less": lambda a: np.atleast_1d(a)[:-1],
    "a column less": lambda a: np.atleast_1d(a)[..., :-1],
    "two of it": lambda a: np.stack([a, a]),
    "3-D": lambda a: np.resize(a, (2, 3, 2)),
    "of five axes": lambda a: a.reshape(1, 1, 1, *np.atleast_1d(a).shape),
    "flat": lambda a: a.reshape(-1),
    "reshaped": lambda a: a.reshape(a.shape[::-1]),
    "every pair": lambda a: np.multiply.outer(a, a),
    "large": lambda a: np.resize(a, (300, 200)),
    "int64": lambda a: a.astype(np.int64),
    "uint8": lambda a: np.abs(a).astype(np.uint8),
    "bool": lambda a: a > 0,
    "complex64": lambda a: a.astype(np.complex64),
    "object": lambda a: a.astype(object),
    "text": lambda a: a.astype(str),
    "float16": lambda a: a.astype(np.float16),
    "bfloat16": lambda a: a.astype(ml_dtypes.bfloat16),
    "float8": lambda a: a.astype(ml_dtypes.float8_e4m3fn),
    "float64": lambda a: a.astype(np.float64),
    "longdouble": lambda a: a.astype(np.longdouble),
    "big-endian": lambda a: a.astype(">f4"),
    "structured": lambda a: a.view([("re", a.dtype)]),
    "None": lambda a: None,
    "NaN": lambda a: np.full_like(a, np.nan),
    "infinite": lambda a: np.full_like(a, -np.inf),
    "huge": lambda a: np.full_like(a, 3e38),
    "zero": lambda a: np.zeros_like(a),
    "transposed and an axis before": lambda a: a.T[np.newaxis],
    "an axis after, as float64": lambda a: a[..., np.newaxis].astype(np.float64),
    "scaled, with an axis after": lambda a: 2 * a[..., np.newaxis],
}
NAMES: dict[str, Wrong] = {
    "missing": lambda seen, name: {key: value for key, value in seen.items() if key != name},
    "under another name": lambda seen, name: {f"{k}s" if k == name else k: v for k, v in seen.items()},
    "under a name with a slash": lambda seen, name: {f"{k}/" if k == name else k: v for k, v in seen.items()},
    "twice": lambda seen, name: {**seen, f"{name}.copy": seen[name]},
    "beside a gradient of nothing": lambda seen, name: {**seen, "grad/nothing.weight": seen[name]},
    "beside a nameless one": lambda seen, name: {**seen, "": seen[name]},
    "beside one of no elements": lambda seen, name: {**seen, "forward/nothing": np.zeros((0, 3), np.float32)},
    "alone": lambda seen, name: {name: seen[name]},
    "last": lambda seen, name: {**{k: v for k, v in seen.items() if k != name}, name: seen[name]},
}
WRONG: dict[str, Wrong] = {name: _of_value(make) for name, make in VALUES.items()} | NAMES
HARMLESS = {"big-endian"}
"""A file holds the same numbers."""


@dataclass(frozen=True)
class Case:
    """One wrong return.

    Attributes:
        net: which scenario, by its name.
        quantities: what is wrong; mostly one.
        wrong: in which way.
        since: from which step on.
    """

    net: str
    quantities: tuple[str, ...]
    wrong: str
    since: int = 0

    def returned(self, step: int, seen: Mapping[str, Any]) -> Returned:
        """What the backend returns of a step."""
        out = dict(seen)
        for name in self.quantities if step >= self.since else ():
            out = WRONG[self.wrong](out, name) if name in out else out
        return out


class Misshapen(NumpyBackend):
    """By the rules, but for what it returns."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case

    def session(self, scenario: Scenario, inputs: Inputs) -> Session:
        return _Session(super().session(scenario, inputs), self.case)


class _Session(Session):
    def __init__(self, inner: Session, case: Case) -> None:
        self.inner, self.case, self.at = inner, case, -1

    def load(self, t: int, state: Mapping[str, Array]) -> None:
        self.inner.load(t, state)

    def step(self, t: int, batch: Batch) -> Mapping[str, Array]:
        self.at += 1
        return self.case.returned(self.at, self.inner.step(t, batch))


@cache
def assessor(net: str) -> Assessor:
    """All that is known of a scenario; one oracle for all cases."""
    rng = np.random.Generator(np.random.PCG64(3))
    layers = NETS[net]
    scenario = parse_scenario(
        {
            "name": net,
            "title": "Batches of 3, 3 and 1",
            "epochs": 2,
            "batch_size": 3,
            "data": {
                "kind": "inline",
                "x": rng.standard_normal((7, 3)).tolist(),
                "y": rng.standard_normal((7, layers[-1]["outputs"])).tolist(),
            },
            "layers": layers,
            "loss": {"kind": "mse"},
            "optimizer": {"kind": "sgd", "lr": 0.1},
        }
    )
    inputs = make_inputs(scenario)
    return Assessor(scenario, inputs, make_reference(scenario, inputs, MODES, factor=FACTOR))


def cases(quantities: int = 1, rng: np.random.Generator | None = None) -> Iterator[Case]:
    """Every wrong way at every quantity; with a generator, at random ones, in random order, for ever."""
    for net in NETS if rng is None else ():
        names = list(assessor(net).reference.truth["free"].columns)
        yield from (Case(net, (name,), wrong) for name in names for wrong in WRONG)
    while rng is not None:
        net = str(rng.choice(list(NETS)))
        names = list(assessor(net).reference.truth["free"].columns)
        chosen = tuple(rng.choice(names, int(rng.integers(1, 4)), replace=False).tolist())
        yield Case(net, chosen, str(rng.choice(list(WRONG))), int(rng.choice([0, 0, 0, 1, 4])))


def assessed(case: Case, folder: Path) -> ScenarioResult:
    """What a run of the case's backend, and of a right one, comes to; through files, as from children."""
    known = assessor(case.net)
    runs = {}
    for name, backend in (("wrong", Misshapen(case)), ("right", NumpyBackend())):
        for mode in MODES:
            path = folder / f"{name}-{mode}.safetensors"
            runs[name, mode] = Run(_recorded(backend, name, known, mode, path), path)
    return known.assess(runs, {})


def _recorded(backend: NumpyBackend, name: str, known: Assessor, mode: Mode, path: Path) -> Answer:
    """As a child does: whatever goes wrong while it records is its answer."""
    states = known.reference.states if mode == "resync" else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save_trace(record_here(backend, name, known.scenario, known.inputs, states=states), path)
    except Exception as error:  # noqa: BLE001  # a child's answer
        return Answer(error=f"{type(error).__name__}: {error}")
    return Answer()


def complaints(case: Case, folder: Path, written: bool = False) -> list[str]:
    """What is wrong with the report of a case; with the folder that is made of it too, if asked."""
    try:
        result = assessed(case, folder)
        report = Report((result,), {}, {"modes": list(MODES), "every": 1, "quantities": "*"})
        if written:
            report.write(folder / "report")
        _ = report.summary, report.losses, report.weights, report.quantities, report.findings
        for cell in result.cells.values():
            _ = account_text(cell) if cell.trace is not None else None
    except Exception as error:  # noqa: BLE001  # that is what is looked for
        return [f"{type(error).__name__}: {error}"]
    found = [
        f"{c.backend}, {c.mode}: {c.account.sentence}" for c in result.cells.values() if c.account and c.account.failed
    ]
    right = [result.cells["right", mode].verdict for mode in MODES]
    found += [f"the right backend is {verdict}" for verdict in right if verdict is not Verdict.IDENTICAL]
    wrong = [result.cells["wrong", mode].verdict for mode in MODES]
    if case.wrong not in HARMLESS and case.since == 0:
        found += [f"the wrong backend is {verdict}" for verdict in wrong if verdict.green and _changes(case)]
    return found


def _changes(case: Case) -> bool:
    """Whether what is returned has another form than it should."""
    right = {name: column[0] for name, column in assessor(case.net).reference.twin["free"].columns.items()}
    wrong = case.returned(case.since, right)
    if right.keys() != wrong.keys():
        return True
    return any(
        (np.asarray(wrong[k]).shape, np.asarray(wrong[k]).dtype) != (right[k].shape, right[k].dtype) for k in right
    )


def main(seconds: float) -> int:
    """Random cases for so long; prints each failure, and returns how many there were."""
    deadline, tries, failures = time.monotonic() + seconds, 0, 0
    rng = np.random.Generator(np.random.PCG64(time.time_ns()))
    with tempfile.TemporaryDirectory(prefix="isograd-soak-") as folder:
        for case in cases(rng=rng):
            if time.monotonic() > deadline:
                break
            tries += 1
            found = complaints(case, Path(folder), written=tries % 20 == 0)
            failures += bool(found)
            for text in found:
                print(f"{case}: {text}")
    print(f"returns of every shape and dtype: {tries} tries, {failures} failures")
    return failures


if __name__ == "__main__":
    raise SystemExit(bool(main(60.0)))
