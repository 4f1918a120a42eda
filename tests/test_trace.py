"""Does a trace file give back what was put in, and is everything else refused?"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import save_file

from isograd import Trace, load_trace, save_trace
from isograd.dtypes import FORMATS
from isograd.errors import TraceError
from isograd.inputs import Inputs
from isograd.trace import FORMAT, INPUTS, KEY, STEPS, Manifest, check_place, first_difference

BFLOAT16 = FORMATS["bfloat16"].dtype
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


def some_inputs(dtype: np.dtype) -> Inputs:
    x = np.arange(6).reshape(3, 2).astype(dtype)
    return Inputs(x, x[:, :1], {"weight/output.weight": x[:1]}, np.array([[2, 0, 1], [0, 1, 2]]), np.full(4, 0.1), 2)


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), BFLOAT16], ids=str)
def test_the_inputs_of_a_run_come_back_and_are_no_quantities(tmp_path: Path, dtype: np.dtype) -> None:
    before = some_inputs(dtype)
    save_trace(replace(a_trace(), inputs=before), tmp_path / "t.safetensors")
    after = load_trace(tmp_path / "t.safetensors")
    assert list(after.columns) == list(a_trace().columns)
    assert after.inputs is not None
    assert (after.inputs.lr.tolist(), after.inputs.batch_size) == ([0.1] * after.inputs.steps, 2)
    for name, values in before.arrays().items():
        found = after.inputs.arrays()[name]
        assert (found.dtype, found.tolist()) == (values.dtype, values.tolist()), name


def test_a_trace_without_inputs_has_none_after_a_file_either(tmp_path: Path) -> None:
    save_trace(a_trace(), tmp_path / "t.safetensors")
    assert load_trace(tmp_path / "t.safetensors").inputs is None


def test_a_trace_of_format_1_is_read(tmp_path: Path) -> None:
    keys = ("scenario", "fingerprint", "backend", "dtype", "mode", "steps", "environment", "platform")
    old = MANIFEST.model_dump(include=set(keys)) | {"format": 1}
    save_file({STEPS: np.arange(3), "loss": ONE}, tmp_path / "t.safetensors", {KEY: json.dumps(old)})
    trace = load_trace(tmp_path / "t.safetensors")
    assert (trace.manifest.format, trace.manifest.spec, trace.inputs) == (1, {}, None)


@pytest.mark.parametrize("key", ["x", "y", "order", "lr", "batch_size"])
def test_inputs_that_are_not_whole_are_refused(tmp_path: Path, key: str) -> None:
    given = {INPUTS + name: values for name, values in some_inputs(np.dtype(np.float32)).arrays().items()}
    del given[INPUTS + key]
    save_file({STEPS: np.arange(3), "loss": ONE, **given}, tmp_path / "t.safetensors", stored())
    with pytest.raises(TraceError, match=rf"t\.safetensors: the inputs of the run are not whole: .*{key}"):
        load_trace(tmp_path / "t.safetensors")


WIDE = np.arange(48, dtype=np.float32).reshape(2, 6, 4)


@pytest.mark.parametrize(
    "column",
    [
        WIDE.transpose(0, 2, 1),
        np.asfortranarray(WIDE),
        WIDE[:, ::-1],
        WIDE[:, 1::2, 2:],
        np.broadcast_to(np.float32(1.5), (2, 3)),
        np.diagonal(WIDE, axis1=1, axis2=2),
        WIDE[:, :0],
        np.array([1.5, 2.5], np.float16),
        WIDE[:, ::2].astype(BFLOAT16).transpose(0, 2, 1),
    ],
    ids=["transposed", "Fortran", "reversed", "every other", "one number", "diagonal", "empty", "scalars", "bfloat16"],
)
def test_a_column_is_saved_as_it_reads_however_it_lies(tmp_path: Path, column: np.ndarray) -> None:
    save_trace(Trace({"loss": column}, np.arange(2), MANIFEST), tmp_path / "t.safetensors")
    loaded = load_trace(tmp_path / "t.safetensors").columns["loss"]
    assert (loaded.dtype, loaded.shape) == (column.dtype, column.shape)
    np.testing.assert_array_equal(loaded, column)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    dtype=st.sampled_from([np.dtype(np.float16), BFLOAT16, np.dtype(np.float32), np.dtype(np.float64)]),
    shape=arrays_of.array_shapes(max_dims=3, max_side=4),
    data=st.data(),
)
def test_every_bit_comes_back(
    tmp_path_factory: pytest.TempPathFactory, dtype: np.dtype, shape: tuple[int, ...], data: st.DataObject
) -> None:
    bits = data.draw(arrays_of.arrays(f"u{dtype.itemsize}", shape))  # every NaN, −0 and subnormal there is
    path = tmp_path_factory.getbasetemp() / "every_bit.safetensors"
    save_trace(Trace({"loss": bits.view(dtype)}, np.arange(len(bits)), MANIFEST), path)
    assert load_trace(path).columns["loss"].tobytes() == bits.tobytes()


def test_what_was_read_depends_on_the_file_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_trace(a_trace(), path)
    trace = load_trace(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert trace.columns["loss"][0] == 1.5


def test_quantities_that_the_manifest_does_not_list_come_last(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_file({STEPS: np.arange(3), "b": ONE, "a": ONE, "loss": ONE}, path, stored(quantities=["lr", "loss"]))
    assert list(load_trace(path).columns) == ["loss", "a", "b"]


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_trace(a_trace(), path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(TraceError, match=r"t\.safetensors: expected a whole safetensors file"):
            load_trace(path)


def test_no_flipped_byte_gives_anything_but_a_trace_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    save_trace(a_trace(), path)
    whole = path.read_bytes()
    outcomes = set()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x24]) + whole[i + 1 :])
        try:
            outcomes.add(type(load_trace(path)))
        except TraceError as error:
            outcomes.add(type(error))
    assert outcomes == {Trace, TraceError}


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
        ({KEY: "[" * 100_000}, {}, r"the manifest is not a JSON object: maximum recursion depth"),
        (stored(mode="fast"), {}, r"manifest: mode: "),
        (stored(steps="many"), {}, r"manifest: steps: "),
        (stored(quantities=3), {}, r"manifest: quantities: "),
        (stored(dtype="int8"), {}, r"manifest: dtype: "),
        (stored(), {"loss": ONE}, r"no tensor 'steps'"),
        (stored(), {STEPS: np.array([0, 2, 1]), "loss": ONE}, r"expected ascending steps"),
        (stored(), {STEPS: np.array([0, 1, 1]), "loss": ONE}, r"expected ascending steps"),
        (stored(), {STEPS: np.array([-1, 0, 1]), "loss": ONE}, r"expected ascending steps as int64, none below 0"),
        (stored(), {STEPS: np.arange(3.0), "loss": ONE}, r"expected ascending steps as int64, .*; got float64"),
        (stored(), {STEPS: np.arange(3)[:, None], "loss": ONE}, r"expected ascending steps .*; got .* \(3, 1\)"),
        (stored(), {STEPS: np.arange(2), "loss": ONE}, r"loss: expected 2 steps; got shape \(3,\)"),
        (stored(), {STEPS: np.arange(3), "loss": np.arange(3)}, r"loss: expected float16, .*; got int64"),
        (stored(), {STEPS: np.arange(3), "loss": np.array(1.5)}, r"loss: expected 3 steps; got shape \(\)"),
    ],
)
def test_what_is_not_a_trace_is_refused(
    tmp_path: Path, metadata: dict[str, str], arrays: dict[str, np.ndarray], message: str
) -> None:
    save_file(arrays or {"x": ONE}, tmp_path / "t.safetensors", metadata)
    with pytest.raises(TraceError, match=message):
        load_trace(tmp_path / "t.safetensors")


@pytest.mark.parametrize("key", [key for key, field in Manifest.model_fields.items() if field.is_required()])
def test_a_key_that_the_manifest_lacks_is_named(tmp_path: Path, key: str) -> None:
    rest = MANIFEST.model_dump(exclude={key})
    save_file({STEPS: np.arange(3), "loss": ONE}, tmp_path / "t.safetensors", {KEY: json.dumps(rest)})
    with pytest.raises(TraceError, match=rf"t\.safetensors: manifest: {key}: Field required"):
        load_trace(tmp_path / "t.safetensors")


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("F8_E4M3", [1], 1),
        ("F4", [2], 1),
        ("F32", [2**40], 4),
        ("F32", [0, 2**40, 2**40], 0),
        ("F32", [0, 2**63], 0),
        ("F32", [1] * 70, 4),
    ],
)
def test_a_tensor_that_numpy_cannot_make_is_refused(tmp_path: Path, dtype: str, shape: list[int], size: int) -> None:
    header = {"__metadata__": stored(), "loss": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    (tmp_path / "t.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
    with pytest.raises(TraceError, match=r"t\.safetensors: expected a whole safetensors file"):
        load_trace(tmp_path / "t.safetensors")


def test_what_is_not_there_and_what_is_no_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.safetensors", tmp_path):
        with pytest.raises(TraceError, match="expected a trace file; there is none"):
            load_trace(path)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(TraceError):
        load_trace(tmp_path / "t.safetensors")


def test_a_save_that_is_cut_short_at_the_end_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last thing that happens is one rename: whoever reads has the old file or the new one, whole."""
    path = tmp_path / "t.safetensors"
    save_trace(a_trace(), path)
    before = path.read_bytes()

    def refused(self: Path, target: Path) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(TraceError, match=r"cannot be written: .*not permitted"):
        save_trace(Trace({"loss": ONE}, np.arange(3), MANIFEST), path)
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]
    assert path.read_bytes() == before


def test_a_failed_save_leaves_the_old_file_and_no_half_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.safetensors"
    save_trace(a_trace(), path)
    before = path.read_bytes()

    def full_disk(tensors: object, file: Path, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("isograd.trace.save_file", full_disk)
    with pytest.raises(TraceError, match=r"cannot be written: .*No space left"):
        save_trace(a_trace(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "place",
    [
        lambda folder: folder / "no" / "t.safetensors",
        lambda folder: folder / "a file" / "t.safetensors",
        lambda folder: folder / "a folder",
        lambda folder: folder / f"{'x' * 300}.safetensors",
    ],
    ids=["no folder", "within a file", "over a folder", "too long a name"],
)
def test_saving_where_it_cannot_be_says_so_and_leaves_nothing(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    (tmp_path / "a file").write_text("here first")
    (tmp_path / "a folder").mkdir()
    with pytest.raises(TraceError, match=r"cannot be written: "):
        save_trace(a_trace(), place(tmp_path))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a file", "a folder"]


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("whoever runs this may write anywhere")
    with pytest.raises(TraceError, match=r"t\.safetensors: cannot be written: .*[Pp]ermission"):
        save_trace(a_trace(), tmp_path / "t.safetensors")


@pytest.mark.parametrize("dtype", [object, np.longdouble, "U1"])
def test_what_no_file_can_hold_is_refused(tmp_path: Path, dtype: type) -> None:
    trace = Trace({"loss": np.zeros(3, dtype)}, np.arange(3), MANIFEST)
    with pytest.raises(TraceError, match="cannot be written: Unknown dtype"):
        save_trace(trace, tmp_path / "t.safetensors")


# ---------------------------------------------------------------- two runs of one job


def differing(**columns: object) -> Trace:
    return Trace(a_trace().columns | {name.replace("_", "/", 1): c for name, c in columns.items()}, STEPPED, MANIFEST)


STEPPED = np.array([0, 5, 10])
ONE_MORE = a_trace().columns["loss"] + 1
HIDDEN = np.ascontiguousarray(a_trace().columns["forward/hidden"])


@pytest.mark.parametrize(
    ("columns", "where"),
    [
        ({}, ""),
        ({"loss": np.array([1.5, -0.0, -np.nan], np.float32)}, "loss at step 10"),
        ({"loss": np.array([1.5, 0.0, np.nan], np.float32)}, "loss at step 5"),
        ({"loss": np.array([1.5, 0.0, np.nan], np.float32), "forward_hidden": HIDDEN + 1}, "forward/hidden at step 0"),
        ({"loss": ONE_MORE, "forward_hidden": HIDDEN + 1}, "loss at step 0"),  # the first in execution order
        ({"forward_hidden": HIDDEN.copy()}, ""),  # however it lies
    ],
    ids=["none", "the sign of NaN", "the sign of 0", "the earlier step", "the earlier quantity", "layout"],
)
def test_the_first_difference_of_two_runs_is_in_any_bit(columns: dict[str, np.ndarray], where: str) -> None:
    assert first_difference(differing(), differing(**columns)) == where


@pytest.mark.parametrize(
    "other",
    [
        lambda columns: {name: column for name, column in columns.items() if name != "loss"},
        lambda columns: columns | {"loss": columns["loss"].astype(np.float64)},
        lambda columns: columns | {"loss": columns["loss"][:, np.newaxis]},
        lambda columns: columns | {"loss": columns["loss"][:, np.newaxis].repeat(2, axis=1)},
    ],
    ids=["missing", "dtype", "an axis more", "shape"],
)
def test_a_quantity_of_another_form_differs_from_the_first_step_on(other: Callable[..., dict]) -> None:
    a = differing()
    assert first_difference(a, replace(a, columns=other(dict(a.columns)))) == "loss at step 0"


def test_a_quantity_that_only_the_second_run_has_is_a_difference() -> None:
    assert first_difference(differing(), differing(more=ONE)) == "more at step 0"


def test_every_takes_the_steps_and_names_asked_for() -> None:
    thin = a_trace().every(np.array([0, 2]), ["loss"])
    assert list(thin.columns) == ["loss"]
    assert thin.columns["loss"][0] == 1.5
    assert len(thin.columns["loss"]) == len(thin.steps) == 2


def test_no_pipe_or_device_is_replaced_by_a_file(tmp_path: Path) -> None:
    place = tmp_path / "pipe"
    os.mkfifo(place)
    for write in (check_place, lambda path: save_trace(a_trace(), path)):
        with pytest.raises(TraceError, match="it is a device or a pipe"):
            write(place)
    assert place.is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
