"""Are a scenario's numbers made once, the same each time, and read exactly as they were written?"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isograd import Scenario, load_scenario
from isograd.dtypes import FORMATS
from isograd.errors import ScenarioError
from isograd.inputs import Inputs, fingerprint, make_inputs
from isograd.loading import parse_scenario
from tests.conftest import SMALL

LAYER = {"name": "output", "kind": "linear", "outputs": 1, "weight": {"draw": "normal", "scale": 0.5}}
REST = {"title": "t", "layers": [LAYER], "loss": {"kind": "mse"}, "optimizer": {"kind": "sgd", "lr": 0.1}}
GAUSSIAN = {"kind": "gaussian", "samples": 7, "features": 2, "target": "sum"}
TABLE = {"kind": "table", "x": ["a", "b"], "y": ["c"]}


def scenario(**keys: object) -> Scenario:
    return parse_scenario({"name": "mine", "data": GAUSSIAN, **REST, **keys})


def table(path: Path) -> Scenario:
    return scenario(data=TABLE | {"file": path.name}, folder=str(path.parent))


def test_the_same_scenario_gives_the_same_bits() -> None:
    first, second = (make_inputs(scenario(seed=3)).arrays() for _ in range(2))
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)
    assert make_inputs(scenario(seed=4)).x.tobytes() != first["x"].tobytes()


@pytest.mark.parametrize("dtype", FORMATS)
def test_everything_is_the_same_draw_rounded_to_the_dtype(dtype: str) -> None:
    wide, narrow = make_inputs(scenario(dtype="float64")), make_inputs(scenario(dtype=dtype))
    rounded = FORMATS[dtype].dtype
    np.testing.assert_array_equal(narrow.x, wide.x.astype(rounded))
    np.testing.assert_array_equal(
        narrow.initial["weight/output.weight"], wide.initial["weight/output.weight"].astype(rounded)
    )
    assert set(narrow.lr.tolist()) == {float(rounded.type(0.1))}


def test_the_label_is_the_sum_of_the_features() -> None:
    inputs = make_inputs(scenario(dtype="float64"))
    np.testing.assert_array_equal(inputs.y[:, 0], inputs.x[:, 0] + inputs.x[:, 1])


def test_labels_of_width_1_are_repeated_for_every_output() -> None:
    inputs = make_inputs(load_scenario("article/sum_regression"))
    assert inputs.y.shape == (100, 2)
    np.testing.assert_array_equal(inputs.y[:, 0], inputs.y[:, 1])


def test_labels_as_wide_as_the_output_are_left_alone() -> None:
    assert make_inputs(scenario()).y.shape == (7, 1)


def test_the_draw_is_that_of_pcg64() -> None:
    """Another generator, another order of drawing: every published number would be another."""
    x = make_inputs(scenario(dtype="float64")).x
    assert x.ravel()[:3].tolist() == [0.1257302210933933, -0.1321048632913019, 0.6404226504432821]


def drawn(**draw: object) -> np.ndarray:
    layer = LAYER | {"outputs": 2000, "weight": draw}
    last = {"name": "last", "kind": "linear", "outputs": 1, "weight": {"draw": "normal", "scale": 1}}
    return make_inputs(scenario(layers=[layer, last], dtype="float64")).initial["weight/output.weight"]


def test_a_normal_draw_has_the_scale_for_its_standard_deviation() -> None:
    assert drawn(draw="normal", scale=0.25).std() == pytest.approx(0.25, rel=0.05)  # of 4,000 numbers: 1 % is one σ


def test_a_uniform_draw_fills_the_range_of_its_scale() -> None:
    weight = drawn(draw="uniform", scale=0.25)
    assert -0.25 <= weight.min() < -0.249
    assert 0.249 < weight.max() < 0.25


@pytest.mark.parametrize(
    "keys", [{"epochs": 5}, {"batch_size": 3}, {"shuffle": True}, {"optimizer": REST["optimizer"]}]
)
def test_how_long_it_trains_changes_no_initial_value(keys: dict[str, object]) -> None:
    one, other = make_inputs(scenario()), make_inputs(scenario(**keys))
    assert one.x.tobytes() == other.x.tobytes()
    assert one.initial["weight/output.weight"].tobytes() == other.initial["weight/output.weight"].tobytes()


def test_the_last_batch_of_an_epoch_may_be_smaller() -> None:
    inputs = make_inputs(scenario(epochs=2, batch_size=3))
    assert [len(x) for x, _ in inputs.batches()] == [3, 3, 1, 3, 3, 1]
    assert (inputs.steps_per_epoch, inputs.steps) == (3, 6)


def test_a_batch_is_no_larger_than_the_data() -> None:
    inputs = make_inputs(scenario(batch_size=100))
    assert (inputs.batch_size, inputs.steps, [len(x) for x, _ in inputs.batches()]) == (7, 1, [7])


def test_batches_keep_samples_and_labels_together() -> None:
    for x, y in make_inputs(scenario(epochs=2, batch_size=3, shuffle=True, dtype="float64")).batches():
        np.testing.assert_array_equal(y[:, 0], x.sum(axis=1))


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_samples_of_a_step_are_those_of_its_batch(shuffle: bool) -> None:
    inputs = make_inputs(scenario(epochs=2, batch_size=3, shuffle=shuffle))
    for step, (x, _) in enumerate(inputs.batches()):
        np.testing.assert_array_equal(inputs.x[inputs.samples(step)], x)


def test_without_shuffling_samples_come_in_the_order_of_the_data() -> None:
    inputs = make_inputs(scenario(epochs=2, batch_size=3))
    np.testing.assert_array_equal(np.vstack([x for x, _ in inputs.batches()]), np.vstack([inputs.x, inputs.x]))


def test_shuffling_gives_each_epoch_an_order_of_its_own() -> None:
    inputs = make_inputs(scenario(epochs=2, batch_size=7, shuffle=True))
    first, second = (x for x, _ in inputs.batches())
    assert first.tolist() != second.tolist()
    assert sorted(first.tolist()) == sorted(second.tolist()) == sorted(inputs.x.tolist())


def test_arrays_and_back() -> None:
    inputs = make_inputs(scenario(epochs=2))
    again = Inputs.from_arrays(inputs.arrays())
    assert (again.lr.tolist(), again.batch_size) == (inputs.lr.tolist(), inputs.batch_size)
    assert all(again.arrays()[name].tobytes() == value.tobytes() for name, value in inputs.arrays().items())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_is_read_to_the_last_digit(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0.1, 1 / 3, 2.718281828459045], [1e-300, 123456789.123456789, -0.30000000000000004]])
    frame, path = pd.DataFrame(values, columns=["a", "b", "c"]), tmp_path / f"data.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    inputs = make_inputs(table(path).model_copy(update={"dtype": "float64"}))
    np.testing.assert_array_equal(np.hstack([inputs.x, inputs.y]), values)


def test_any_number_in_a_csv_file_is_read_as_python_reads_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2000, 3)) * 10.0 ** rng.integers(-300, 300, (2000, 3))
    path = tmp_path / "data.csv"
    path.write_text("a,b,c\n" + "\n".join(",".join(map(repr, row)) for row in values.tolist()))
    inputs = make_inputs(table(path).model_copy(update={"dtype": "float64"}))
    np.testing.assert_array_equal(np.hstack([inputs.x, inputs.y]), values)


def test_a_table_is_looked_for_beside_its_scenario(
    tmp_path: Path, scenario_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data.csv").write_text("c,b,a,unused\n3,2,1,x\n6,5,4,y\n")
    monkeypatch.chdir("/")
    path = scenario_file(
        text="""
        title = "t"
        data = { kind = "table", file = "data.csv", x = ["a", "b"], y = ["c"] }
        layers = [{ name = "output", kind = "linear", weight = [[0.5, 0.5]] }]
        loss = { kind = "mse" }
        optimizer = { kind = "sgd", lr = 0.1 }
        """
    )
    inputs = make_inputs(load_scenario(path))
    assert (inputs.x.tolist(), inputs.y.tolist()) == ([[1, 2], [4, 5]], [[3], [6]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"mine: data\.file: expected a table at .*data\.csv; there is none"),
        ("", r"data\.file: .*cannot be read as csv"),
        ("a,b,c\n", r"data\.file: .*has no rows"),
        ("a,b\n1,2\n", r"data\.y: .*has no column 'c'; it has a, b"),
        ("b,c\n1,2\n", r"data\.x: .*has no column 'a'; it has b, c"),
        ("a,b,c\n1,2,x\n", r"data: .*expected numbers in a, b, c"),
        ("a,b,c\n1,2,3\n1,,3\n", r"data: .*row 2, column 'b': expected a finite number"),
        ("a,b,c\n1,inf,3\n", r"data: .*row 1, column 'b': expected a finite number"),
        ("a,b,c\n1,1e999,3\n", r"data: .*row 1, column 'b': expected a finite number"),
        ("a,b,c\n1,2\n", r"data: .*row 1, column 'c': expected a finite number"),
        ("a,b,c\n1,2,3,4\n", r"data\.file: .*expected as many cells in a row as in the header; got more"),
        ("a,b,c\n1,2,3\n1,2,3,4\n", r"data\.file: .*cannot be read as csv: .*Expected 3 fields in line 3, saw 4"),
        ("a;b;c\n1;2;3\n", r"data\.x: .*has no column 'a'; it has a;b;c"),
        ("a,b,c\n1,2,2020-01-01\n", r"data: .*expected numbers in a, b, c"),
        ("a,b,c\n1,2,\udcff\n", r"data\.file: .*cannot be read as csv: .*utf-8"),
    ],
)
def test_a_table_that_will_not_do_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "data.csv"
    if text is not None:
        path.write_text(text, "utf-8", errors="surrogateescape")
    with pytest.raises(ScenarioError, match=message):
        make_inputs(table(path))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (None, r"data\.y: .*has no column 'c'; it has a, b"),
        (["x", "y"], r"data: .*expected numbers in a, b, c"),
        ([1.0, np.nan], r"data: .*row 2, column 'c': expected a finite number"),
        (pd.array([None, 2], "Int64"), r"data: .*row 1, column 'c': expected a finite number"),
        (pd.to_datetime(["2020-01-01", "2020-01-02"]), r"data: .*expected numbers in a, b, c"),
        ([[1.0], [2.0]], r"data: .*expected numbers in a, b, c"),
    ],
    ids=["missing", "text", "NaN", "null", "dates", "lists"],
)
def test_a_parquet_file_that_will_not_do_is_refused(tmp_path: Path, column: object, message: str) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    if column is not None:
        frame["c"] = column
    frame.to_parquet(tmp_path / "data.parquet")
    with pytest.raises(ScenarioError, match=message):
        make_inputs(table(tmp_path / "data.parquet"))


def test_a_parquet_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"mine: data\.file: expected a table at .*gone\.parquet; there is none"):
        make_inputs(table(tmp_path / "gone.parquet"))


def test_a_parquet_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    pd.DataFrame({"a": [1.0], "b": [2.0], "c": [3.0]}).to_parquet(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 53):
        path.write_bytes(whole[:size])
        with pytest.raises(ScenarioError, match=r"data\.file: .*cannot be read as parquet"):
            make_inputs(table(path))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"data": {"kind": "inline", "x": [[1e6, 0]], "y": [[1]]}}, r"data\.x: expected numbers that float16 can hold"),
        (
            {"data": {"kind": "inline", "x": [[1, 0]], "y": [[-1e6]]}},
            r"data\.y: expected numbers that float16 can hold",
        ),
        ({"layers": [LAYER | {"weight": [[1, 65520]]}]}, r"output\.weight: expected numbers that float16 can hold"),
        ({"optimizer": {"kind": "sgd", "lr": 1e-9}}, r"optimizer\.lr: 1e-09 rounds to 0 in float16"),
        ({"optimizer": {"kind": "sgd", "lr": 1e9}}, r"optimizer\.lr: 1e\+09 rounds to inf in float16"),
    ],
)
def test_a_number_that_the_dtype_cannot_hold_is_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ScenarioError, match=f"mine: {message}"):
        make_inputs(scenario(**keys, dtype="float16"))


def test_a_batch_that_a_layer_can_make_nothing_of_is_refused() -> None:
    layers = [{"name": "norm", "kind": "batch_norm"}, LAYER]
    data = {"kind": "inline", "x": [[1, 2], [3, 4], [5, 7]], "y": [[1], [2], [3]]}
    make_inputs(scenario(layers=layers, data=data, batch_size=3))
    for size, words in ((2, "the last batch of an epoch has 1"), (1, "a batch has 1")):
        with pytest.raises(ScenarioError, match=f"mine: batch_size: norm needs 2 samples or more in .* batch; {words}"):
            make_inputs(scenario(layers=layers, data=data, batch_size=size))


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_largest_number_of_the_dtype_is_not_refused(dtype: str) -> None:
    largest = FORMATS[dtype].largest
    data = {"kind": "inline", "x": [[largest, 0]], "y": [[1]]}
    assert float(make_inputs(scenario(data=data, dtype=dtype)).x[0, 0]) == largest


SAME = [
    {"title": "another", "section": "9"},
    {"findings": [{"id": "slip", "section": "1", "text": "t"}]},
    {"published": [{"quantity": "loss", "section": "1", "values": [["1"]]}]},
    {"expect": {"verdict": "DIVERGES", "first": "loss", "step": 0, "reason": "because"}},
    {"folder": "elsewhere"},
]
OTHER = [
    {"seed": 1},
    {"epochs": 2},
    {"dtype": "float64"},
    {"batch_size": 2},
    {"shuffle": True},
    {"optimizer": {"kind": "sgd", "lr": 0.2}},
    {"loss": {"kind": "half_squared_error"}},
    {"data": GAUSSIAN | {"samples": 6}},
    {"layers": [LAYER | {"weight": [[0.5, 0.5]]}]},
    {"layers": [LAYER, {"name": "act", "kind": "scale", "factor": 2}]},
    {"layers": [LAYER, {"name": "act", "kind": "scale", "factor": 3}]},
]


def test_the_fingerprint_is_of_what_decides_the_run() -> None:
    def of(**keys: object) -> str:
        changed = scenario(**keys)
        return fingerprint(changed, make_inputs(changed))

    same = of()
    for keys in SAME:
        assert of(**keys) == same, keys
    assert len({same, *(of(**keys) for keys in OTHER)}) == 1 + len(OTHER)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_draws_that_no_number_can_hold_are_refused(dtype: str) -> None:
    raw = tomllib.loads(SMALL) | {"name": "huge", "dtype": dtype}
    raw["layers"][0] |= {"weight": {"draw": "uniform", "scale": 1.7e308}, "outputs": 3}
    with pytest.raises(ScenarioError, match=r"huge: hidden\.weight: expected numbers that"):
        make_inputs(parse_scenario(raw))


def test_a_pipe_is_no_scenario_and_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ScenarioError, match="it is a pipe or a device"):
        load_scenario(tmp_path / "pipe.toml")
    os.mkfifo(tmp_path / "pipe.csv")
    data = {"kind": "table", "file": "pipe.csv", "x": ["a", "b"], "y": ["c"]}
    raw = tomllib.loads(SMALL) | {"name": "piped", "folder": str(tmp_path), "data": data}
    with pytest.raises(ScenarioError, match="it is a pipe or a device"):
        make_inputs(parse_scenario(raw))
