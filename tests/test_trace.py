"""Does a trace file give back what was put in, and is everything else refused?"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness import Trace, load_trace, save_trace
from harness.errors import TraceError
from harness.trace import FORMAT, KEY, STEPS, Manifest

MANIFEST = Manifest(scenario="s", fingerprint="f", backend="b", dtype="float32", mode="free", steps=3)


def a_trace() -> Trace:
    wide = np.arange(24, dtype=np.float32).reshape(3, 4, 2)
    columns = {
        "loss": np.array([1.5, -0.0, np.nan], np.float32),
        "forward/hidden": wide.transpose(0, 2, 1),  # not contiguous: a file must hold what it shows, not how it lies
        "grad/hidden.weight": np.full((3, 2), 2.0**-149, np.float32),
    }
    return Trace(columns, np.arange(3), MANIFEST)


def test_round_trip(tmp_path: Path) -> None:
    before = a_trace()
    save_trace(before, tmp_path / "t.safetensors")
    after = load_trace(tmp_path / "t.safetensors")
    assert after.manifest == before.manifest
    assert list(after.columns) == list(before.columns)  # in execution order
    for name, column in before.columns.items():
        assert (after.columns[name].dtype, after.columns[name].shape) == (column.dtype, column.shape)
        assert after.columns[name].tobytes() == np.ascontiguousarray(column).tobytes(), name


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_trace(a_trace(), path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(TraceError, match=r"t\.safetensors: expected a whole safetensors file"):
            load_trace(path)


def stored(**changes: object) -> dict[str, str]:
    return {KEY: json.dumps(MANIFEST.model_dump() | changes)}


ONE = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("metadata", "arrays", "message"),
    [
        ({}, {}, r"a safetensors file, but not a trace"),
        ({KEY: "{"}, {}, r"the manifest is not a JSON object"),
        ({KEY: "3"}, {}, r"the manifest is not a JSON object"),
        (stored(format=FORMAT + 1), {}, rf"trace format {FORMAT + 1}; this isograd reads up to {FORMAT}"),
        (stored(mode="fast"), {}, r"manifest: mode: "),
        (stored(dtype="int8"), {}, r"manifest: dtype: "),
        (stored(), {"loss": ONE}, r"no tensor 'steps'"),
        (stored(), {STEPS: np.array([0, 2, 1]), "loss": ONE}, r"expected ascending steps"),
        (stored(), {STEPS: np.arange(3.0), "loss": ONE}, r"expected ascending steps as int64, none below 0; got float64"),
        (stored(), {STEPS: np.arange(2), "loss": ONE}, r"loss: expected 2 steps; got shape \(3,\)"),
        (stored(), {STEPS: np.arange(3), "loss": np.arange(3)}, r"loss: expected float16, .*; got int64"),
    ],
)
def test_what_is_not_a_trace_is_refused(
    tmp_path: Path, metadata: dict[str, str], arrays: dict[str, np.ndarray], message: str
) -> None:
    save_file(arrays or {"x": ONE}, tmp_path / "t.safetensors", metadata)
    with pytest.raises(TraceError, match=message):
        load_trace(tmp_path / "t.safetensors")


def test_what_is_not_there_and_what_is_no_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.safetensors", tmp_path):
        with pytest.raises(TraceError, match="expected a trace file; there is none"):
            load_trace(path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(TraceError):
        load_trace(tmp_path / "t.safetensors")


def test_a_failed_save_leaves_the_old_file_and_no_half_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.safetensors"
    save_trace(a_trace(), path)
    before = path.read_bytes()

    def full_disk(tensors: object, file: Path, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.trace.save_file", full_disk)
    with pytest.raises(TraceError, match=r"cannot be written: .*No space left"):
        save_trace(a_trace(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]
    assert path.read_bytes() == before


def test_saving_where_no_folder_is_says_so(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be written"):
        save_trace(a_trace(), tmp_path / "no" / "t.safetensors")


def test_every_takes_the_steps_and_names_asked_for() -> None:
    thin = a_trace().every(np.array([0, 2]), ["loss"])
    assert list(thin.columns) == ["loss"]
    assert thin.columns["loss"][0] == 1.5
    assert len(thin.columns["loss"]) == len(thin.steps) == 2
