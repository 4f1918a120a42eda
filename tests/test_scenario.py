"""Is a wrong scenario refused with one clear message: file, key, what was expected, what came?"""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness import load_scenario
from harness.catalogue import CATALOGUE, catalogue_names, find_scenarios, parse_scenario
from harness.errors import ScenarioError

BASE = tomllib.loads((CATALOGUE / "article/worked_backprop.toml").read_text("utf-8")) | {"name": "mine"}
GAUSSIAN = {"kind": "gaussian", "samples": 3, "features": 2, "target": "sum"}


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(BASE)
    node = raw
    for key in path[:-1]:
        node = node[key]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return raw


@pytest.mark.parametrize("name", catalogue_names())
def test_every_file_of_the_catalogue_loads(name: str) -> None:
    assert load_scenario(name).name == name


def test_a_glob_finds_what_it_matches_once() -> None:
    names = [scenario.name for scenario in find_scenarios(["article/worked*", "article/worked_forward"])]
    assert names == sorted(name for name in catalogue_names() if "worked" in name)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("epoch",), 3, r"f\.toml: epoch: unknown key; expected one of .*epochs"),
        (("layers", 0, "biass"), [1], r"layers\.0\.biass: unknown key; expected one of bias, inputs, kind, name"),
        (("loss",), None, r"loss: expected this key; it is missing"),
        (("epochs",), "3", r"epochs: Input should be a valid integer; got \"3\""),
        (("epochs",), 0, r"epochs: .*greater than or equal to 1; got 0"),
        (("dtype",), "int8", r"dtype: .*'float16', 'float32' or 'float64'; got \"int8\""),
        (("optimizer", "lr"), -1, r"optimizer\.lr: .*greater than 0; got -1"),
        (("optimizer", "lr"), float("inf"), r"optimizer\.lr: .*finite"),
        (("loss", "kind"), "mze", r"loss\.kind: expected 'half_squared_error', 'mse'; got 'mze'"),
        (("layers", 0, "kind"), "conv", r"layers\.0\.kind: expected 'linear'.*; got 'conv'"),
        (("layers", 2, "weight"), [[1, 2]], r"layers\.2\.weight: expected shape \(1, 4\).*got \(1, 2\)"),
        (("layers", 2, "weight"), [[1, 2], [2]], r"layers\.2\.weight: expected rows of one length"),
        (("layers", 0, "weight", 0, 0), "a", r"layers\.0\.weight\.0\.0: .*valid number; got \"a\""),
        (("layers", 0, "bias"), [1], r"layers\.0\.bias: expected 4 values, one a unit; got 1"),
        (("layers", 0, "weight"), {"draw": "normal"}, r"layers\.0\.weight\.scale: expected this key"),
        (("layers", 0, "weight"), {"draw": "normal", "scale": 1}, r"layers\.0\.outputs: expected the number of units"),
        (("layers", 0, "outputs"), 3, r"layers\.0\.outputs: expected 4, the rows of the weight; got 3"),
        (("layers", 0, "inputs"), ["output"], r"layers\.0\.inputs: expected none"),
        (("layers", 2, "inputs"), ["hidden"], r"layers\.2\.inputs: expected \['hidden_act'\]"),
        (("layers", 1, "name"), "hidden", r"layers\.1\.name: 'hidden' stands twice"),
        (("layers", 1, "name"), "Hidden Act", r"layers\.1\.name: .*pattern"),
        (("data", "y"), [[1]], r"data\.y: expected labels of width 2, the last layer's; got 1"),
        (("data", "y"), [[1, 2], [3, 4]], r"data\.y: expected 1 rows, one a sample of x; got 2"),
        (("data",), GAUSSIAN, r"data\.y: expected labels of width 2, the last layer's; got 1"),
        (("published", 0, "values"), [[1.0]], r"published\.0\.values\.0\.0: .*valid string; got 1\.0"),
        (("published",), None, None),
        (("truth",), "publishd", r"truth: .*'reference' or 'published'"),
    ],
)
def test_a_mistake_is_named_with_its_key(path: tuple[Any, ...], value: Any, message: str | None) -> None:
    if message is None:  # a key that may be left out
        assert parse_scenario(changed(path, value), "f.toml")
        return
    with pytest.raises(ScenarioError, match=message) as error:
        parse_scenario(changed(path, value), "f.toml")
    assert all(line.startswith("f.toml: ") for line in str(error.value).splitlines())


def test_labels_of_width_1_need_the_rule_in_sight() -> None:
    raw = changed(("data",), GAUSSIAN) | {"loss": {"kind": "mse"}}
    with pytest.raises(ScenarioError, match=r'loss\.width_1_labels: .*write width_1_labels = "broadcast"'):
        parse_scenario(raw)
    assert parse_scenario(raw | {"loss": {"kind": "mse", "width_1_labels": "broadcast"}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", r"expected TOML"),
        ('name = "other"', r"name: unknown key; a scenario's name is that of its file"),
        ('extends = "nothing.toml"', r"nothing\.toml: expected a scenario file; No such file"),
        ('extends = "mine.toml"', r"extends: a circle, mine\.toml -> mine\.toml"),
        ("extends = 3", r"extends: expected the name of a file beside this one; got 3"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ScenarioError, match=message) as error:
        load_scenario(path)
    assert str(tmp_path) in str(error.value)


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"gone\.toml: expected a scenario file; No such file"):
        load_scenario(tmp_path / "gone.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match=r"bytes\.toml: expected TOML"):
        load_scenario(tmp_path / "bytes.toml")


def test_a_name_that_does_not_exist_gets_its_neighbours() -> None:
    with pytest.raises(ScenarioError, match=r"did you mean article/sum_regression"):
        load_scenario("article/sum_regresion")


def test_extends_merges_tables_and_replaces_lists(tmp_path: Path) -> None:
    base = (CATALOGUE / "article/worked_backprop.toml").read_text("utf-8")
    (tmp_path / "base.toml").write_text(base, "utf-8")
    (tmp_path / "top.toml").write_text('extends = "base.toml"\nepochs = 7\npublished = []\n[optimizer]\nlr = 0.5\n')
    top = load_scenario(tmp_path / "top.toml")
    assert (top.name, top.epochs, top.optimizer.kind, top.optimizer.lr, top.published) == ("top", 7, "sgd", 0.5, ())
    assert [layer.name for layer in top.layers] == ["hidden", "hidden_act", "output"]


def test_a_scenario_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_scenario("article/worked_backprop").epochs = 2
