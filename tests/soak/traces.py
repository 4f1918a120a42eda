"""Can any file end in anything but a trace that is compared, judged and explained, or a clear refusal?"""

from __future__ import annotations

import json
import struct
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from isograd import Scenario
from isograd.api import compare, explain, judge
from isograd.backend import make_backend
from isograd.errors import IsogradError
from isograd.inputs import Array, Inputs, fingerprint, make_inputs
from isograd.loading import parse_scenario
from isograd.recorder import record_here
from isograd.reference import make_reference
from isograd.trace import INPUTS, KEY, load_arrays, load_trace, save_trace
from tests.soak.mutate import Rng, mutate, value

tries = 0
share = 5.0  # the most costly to try: what can be read is compared, judged, or explained
reached: Counter[str] = Counter()
"""How often a mutated file came as far as each of: loaded, compared, judged, explained."""

NOISE = 3
DTYPES = ("float16", "bfloat16", "float32", "float64")
NAMES = {"F16": np.float16, "BF16": np.int16, "F32": np.float32, "F64": np.float64, "I64": np.int64}


def scenarios() -> list[Scenario]:
    """As small as they can be and still have every kind of layer; one with everything that a source says."""
    layers = [
        {"name": "a", "kind": "linear", "weight": [[0.5], [-0.25]], "bias": [0.1, 0.2]},
        {"name": "b", "kind": "relu"},
        {"name": "c", "kind": "scale", "factor": 2.0},
        {"name": "d", "kind": "linear", "weight": [[0.5, 1.0]]},
        {"name": "e", "kind": "sigmoid"},
    ]
    raw = {
        "title": "t",
        "epochs": 2,
        "batch_size": 2,
        "data": {"kind": "inline", "x": [[1.0], [0.5], [-1.5]], "y": [[1.0], [0.0], [0.5]]},
        "layers": layers,
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "sgd", "lr": 0.5},
    }
    source = {
        "published": [{"quantity": "grad/d.weight", "step": 0, "section": "1", "values": [["0.5", "0.25"]]}],
        "findings": [{"id": "slip", "section": "1", "text": "t", "explains": [{"quantity": "grad/d.weight"}]}],
        "truth": "published",
        "expect": {"verdict": "DIVERGES", "first": "grad/d.weight", "step": 0, "reason": "because"},
    }
    small = raw | {"layers": [layers[0], layers[3]], "epochs": 1, "loss": {"kind": "half_squared_error"}}
    return [parse_scenario(raw | {"name": "r"}), parse_scenario(small | {"name": "s"} | source)]


def originals(folder: Path) -> list[Path]:
    """Right and wrong traces of both modes, in all dtypes, whole and in part."""
    paths = []
    for scenario in scenarios():
        for dtype in DTYPES:
            own = scenario.model_copy(update={"dtype": dtype})
            inputs = make_inputs(own)
            states = make_reference(own, inputs, ("resync",), runs=NOISE, factor=6.0).states
            for name in ("numpy", "numpy[fault=gradient_scale,by=1.5]"):
                for mode, of in (("free", None), ("resync", states)):
                    for every, quantities in ((1, "*"), (2, "loss,grad/*")):
                        trace = record_here(
                            make_backend(name), name, own, inputs, states=of, every=every, quantities=quantities
                        )
                        path = folder / f"{scenario.name}-{dtype}-{len(paths)}-{mode}.safetensors"
                        save_trace(trace, path)
                        paths.append(path)
    return paths


# ---------------------------------------------------------------- mistakes


def of_bytes(data: bytes, rng: Rng) -> bytes:
    """Some bytes altered, cut out, or put in: mostly in the header, where they mean something."""
    header = 8 + struct.unpack("<Q", data[:8])[0]
    for _ in range(rng.choice([1, 1, 2, 8])):
        i = int(rng.integers(header if rng.random() < 0.7 else len(data)))
        piece = rng.bytes(int(rng.integers(1, 9)))
        data = [data[:i] + piece + data[i + len(piece) :], data[:i] + piece + data[i:], data[:i] + data[i + 1 :]][
            rng.choice([0, 0, 0, 1, 2])
        ]
    return data[: int(rng.integers(len(data)))] if rng.random() < 0.05 else data


def of_header(data: bytes, rng: Rng) -> bytes:
    """Names, dtypes, shapes and offsets altered, the bytes as they were."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    text = _dumps(mutate(header, rng))
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def of_manifest(data: bytes, rng: Rng) -> bytes:
    """What the trace says of itself, the scenario in it above all."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    manifest = json.loads(header["__metadata__"][KEY])
    header["__metadata__"][KEY] = _dumps(mutate(manifest, rng)).decode()
    text = _dumps(header)
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


def _dumps(raw: Any) -> bytes:
    try:
        return json.dumps(raw, default=str).encode("utf-8", "replace")
    except (TypeError, ValueError, RecursionError):
        return b"[" * 5000


NUMBERS = [0.0, -0.0, 1.0, -1.0, 1e-45, 1e-320, 65504.0, 7e4, 3.4e38, 1e300, np.nan, np.inf, -np.inf]
INTEGERS = [0, 1, -1, 2, 3, 5, 2**31, 2**62, 2**63 - 1, -(2**63)]


def of_arrays(path: Path, rng: Rng) -> bytes:
    """Numbers, shapes and dtypes altered; quantities lost, doubled, renamed; with a fingerprint that fits, or not."""
    arrays, metadata = load_arrays(path)
    for _ in range(rng.choice([1, 1, 2, 4])):
        name = list(arrays)[rng.integers(len(arrays))]
        _alter(arrays, name, rng)
    if rng.random() < 0.5:
        metadata = _fitting(arrays, metadata)
    with np.errstate(all="ignore"):
        arrays = {name: np.ascontiguousarray(a).reshape(np.shape(a)) for name, a in arrays.items()}
    return save(arrays, metadata)


def _fitting(arrays: dict[str, Array], metadata: dict[str, str]) -> dict[str, str]:
    """What the trace says of itself, with the fingerprint of what it holds now: somebody who means it would do so."""
    manifest = json.loads(metadata[KEY])
    with suppress(KeyError, TypeError, ValueError, OverflowError):  # what is no scenario any more has none
        inputs = Inputs.from_arrays(
            {name.removeprefix(INPUTS): a for name, a in arrays.items() if name.startswith(INPUTS)}
        )
        manifest["fingerprint"] = fingerprint(parse_scenario(manifest["spec"]), inputs)
    return metadata | {KEY: json.dumps(manifest)}


def _alter(arrays: dict[str, Array], name: str, rng: Rng) -> None:
    a = arrays[name]
    numbers: list[Any] = [0, 1, 2] if a.dtype.kind in "iub" else NUMBERS
    numbers = INTEGERS if a.dtype == np.int64 else numbers
    how = rng.integers(9)
    with np.errstate(all="ignore"):
        if how <= 2 and a.size:
            a = np.array(a)
            a.flat[rng.integers(a.size)] = numbers[rng.integers(len(numbers))]
            arrays[name] = a
        elif how == 3:
            arrays[name] = np.full_like(a, numbers[rng.integers(len(numbers))])
        elif how == 4:
            shapes: list[Callable[[], Array]] = [
                lambda: a.T,
                lambda: a[:-1] if a.ndim else a,
                lambda: a.reshape(-1),
                lambda: a[..., None],
                lambda: np.concatenate([a, a]) if a.ndim else a,
                lambda: a[..., :0] if a.ndim else a,
                lambda: a[:0] if a.ndim else a,
                lambda: np.broadcast_to(a, (2, *a.shape)),
            ]
            arrays[name] = shapes[rng.integers(len(shapes))]()
        elif how == 5:
            dtypes = [np.float16, np.float32, np.float64, np.int64, np.int32, np.uint8, np.bool_]
            arrays[name] = a.astype(dtypes[rng.integers(len(dtypes))])
        elif how == 6:
            del arrays[name]
        elif how == 7:
            arrays[list(arrays)[rng.integers(len(arrays))]] = a
        else:
            new = value(rng)
            arrays[new if isinstance(new, str) and new.isprintable() else f"{name}x"] = a
    if not arrays:
        arrays["x"] = a


MISTAKES = ("bytes", "header", "manifest", "arrays", "arrays")


def mutated(path: Path, rng: Rng) -> bytes:
    how = MISTAKES[rng.integers(len(MISTAKES))]
    if how == "arrays":
        return of_arrays(path, rng)
    return {"bytes": of_bytes, "header": of_header, "manifest": of_manifest}[how](path.read_bytes(), rng)


# ---------------------------------------------------------------- what is done with a file


def use(path: Path, original: Path, other: Path, rng: Rng) -> None:
    """One of the things that can be done with it, which cost up to a second."""
    trace = load_trace(path)
    reached["loaded"] += 1
    how = rng.integers(4)
    if how == 0:
        pairs = [(trace, original), (original, trace), (trace, other)]
        for pair in pairs[:2] if rng.random() < 0.8 else pairs[2:]:
            _refused_at_most(lambda pair=pair: compare(*pair), "compared")
    elif how == 1:
        _refused_at_most(lambda: explain(trace), "explained")
    else:
        _refused_at_most(lambda: judge([trace, original][: int(rng.integers(1, 3))], noise=NOISE), "judged")


def _refused_at_most(work: Callable[[], Any], what: str) -> None:
    try:
        work()
    except IsogradError:
        return
    reached[what] += 1


def campaign(seconds: float, count: int, seed: int) -> list[str]:
    """What went wrong in so many tries, or in so much time."""
    global tries
    rng = np.random.Generator(np.random.PCG64(seed))
    end, failures = time.monotonic() + seconds, []
    with tempfile.TemporaryDirectory(prefix="isograd-soak-") as name:
        paths = originals(Path(name))
        path = Path(name) / "mutated.safetensors"
        for _ in range(count):
            if time.monotonic() > end:
                break
            tries += 1
            original, other = (paths[i] for i in rng.integers(len(paths), size=2))
            path.write_bytes(mutated(original, rng))
            try:
                with suppress(IsogradError):  # refused, as it should be
                    use(path, original, other, rng)
            except Exception:  # noqa: BLE001  # that is what is looked for
                failures.append(traceback.format_exc())
    return failures


def main(seconds: float) -> int:
    """As many as the time is enough for; the number of failures."""
    failures = campaign(seconds, 10**9, seed=int(time.time()))
    for said in failures[:20]:
        print(said)
    print(f"traces: {dict(reached)}")
    return len(failures)
