"""Are a scenario's numbers made once, the same each time, and read exactly as they were written?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness import Scenario, load_scenario
from harness.catalogue import parse_scenario
from harness.errors import ScenarioError
from harness.inputs import Inputs, fingerprint, make_inputs

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


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_everything_is_the_same_draw_rounded_to_the_dtype(dtype: str) -> None:
    wide, narrow = make_inputs(scenario(dtype="float64")), make_inputs(scenario(dtype=dtype))
    np.testing.assert_array_equal(narrow.x, wide.x.astype(dtype))
    np.testing.assert_array_equal(narrow.initial["output.weight"], wide.initial["output.weight"].astype(dtype))
    assert narrow.lr == float(np.dtype(dtype).type(0.1))


def test_the_label_is_the_sum_of_the_features() -> None:
    inputs = make_inputs(scenario(dtype="float64"))
    np.testing.assert_array_equal(inputs.y[:, 0], inputs.x[:, 0] + inputs.x[:, 1])


def test_labels_of_width_1_are_repeated_for_every_output() -> None:
    inputs = make_inputs(load_scenario("article/sum_regression"))
    assert inputs.y.shape == (100, 2)
    np.testing.assert_array_equal(inputs.y[:, 0], inputs.y[:, 1])


def test_the_last_batch_of_an_epoch_may_be_smaller() -> None:
    inputs = make_inputs(scenario(epochs=2, batch_size=3))
    assert [len(x) for x, _ in inputs.batches()] == [3, 3, 1, 3, 3, 1]
    assert (inputs.steps_per_epoch, inputs.steps) == (3, 6)


def test_shuffling_gives_each_epoch_an_order_of_its_own() -> None:
    inputs = make_inputs(scenario(epochs=2, batch_size=7, shuffle=True))
    first, second = (x for x, _ in inputs.batches())
    assert first.tolist() != second.tolist()
    assert sorted(first.tolist()) == sorted(second.tolist()) == sorted(inputs.x.tolist())


def test_arrays_and_back() -> None:
    inputs = make_inputs(scenario(epochs=2))
    again = Inputs.from_arrays(inputs.arrays())
    assert (again.lr, again.batch_size) == (inputs.lr, inputs.batch_size)
    assert all(again.arrays()[name].tobytes() == value.tobytes() for name, value in inputs.arrays().items())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_is_read_to_the_last_digit(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0.1, 1 / 3, 2.718281828459045], [1e-300, 123456789.123456789, -0.30000000000000004]])
    frame, path = pd.DataFrame(values, columns=["a", "b", "c"]), tmp_path / f"data.{suffix}"
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    inputs = make_inputs(table(path).model_copy(update={"dtype": "float64"}))
    np.testing.assert_array_equal(np.hstack([inputs.x, inputs.y]), values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"mine: data\.file: expected a table at .*data\.csv"),
        ("", r"data\.file: .*cannot be read as csv"),
        ("a,b,c\n", r"data\.file: .*has no rows"),
        ("a,b\n1,2\n", r"data\.y: .*has no column 'c'; it has a, b"),
        ("b,c\n1,2\n", r"data\.x: .*has no column 'a'; it has b, c"),
        ("a,b,c\n1,2,x\n", r"data: .*expected numbers in a, b, c"),
        ("a,b,c\n1,2,3\n1,,3\n", r"data: .*row 2, column 'b': expected a finite number"),
        ("a,b,c\n1,inf,3\n", r"data: .*row 1, column 'b': expected a finite number"),
    ],
)
def test_a_table_that_will_not_do_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "data.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ScenarioError, match=message):
        make_inputs(table(path))


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ScenarioError, match=r"data\.file: .*cannot be read as parquet"):
        make_inputs(table(tmp_path / "data.parquet"))


def test_a_number_beyond_the_dtype_is_refused() -> None:
    data = {"kind": "inline", "x": [[1e6, 0]], "y": [[1]]}
    with pytest.raises(ScenarioError, match=r"mine: data\.x: expected numbers that float16 can hold"):
        make_inputs(scenario(data=data, dtype="float16"))


def test_the_fingerprint_is_of_what_decides_the_run() -> None:
    def of(**keys: object) -> str:
        changed = scenario(**keys)
        return fingerprint(changed, make_inputs(changed))

    same = of()
    assert of(title="another", section="9") == same
    other = [{"seed": 1}, {"epochs": 2}, {"dtype": "float64"}, {"batch_size": 2}]
    other += [{"optimizer": {"kind": "sgd", "lr": 0.2}}, {"loss": {"kind": "half_squared_error"}}]
    assert len({same, *(of(**keys) for keys in other)}) == 1 + len(other)
