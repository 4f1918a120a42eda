"""Is a wrong scenario refused with one clear message: file, key, what was expected, what came?"""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from isograd import Scenario, load_scenario
from isograd.errors import ScenarioError
from isograd.loading import CATALOGUE, catalogue_names, find_scenarios, parse_scenario
from isograd.spec import Spec

BASE = tomllib.loads((CATALOGUE / "article/worked_backprop.toml").read_text("utf-8")) | {"name": "mine"}
GAUSSIAN = {"kind": "gaussian", "samples": 3, "features": 2, "target": "sum"}
TABLE = {"kind": "table", "file": "t.csv", "x": ["a", "b"], "y": ["c", "d"]}
FINDING = {"id": "slip", "section": "1", "text": "t"}
EXPECT = {"verdict": "DIVERGES", "first": "loss", "step": 0, "reason": "because"}


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
        (("dtype",), "int8", r"dtype: .*'float16', 'bfloat16', 'float32' or 'float64'; got \"int8\""),
        (("optimizer", "lr"), -1, r"optimizer\.lr: .*greater than 0; got -1"),
        (("optimizer", "lr"), float("inf"), r"optimizer\.lr: .*finite"),
        (("loss", "kind"), "mze", r"loss\.kind: expected one of \d+ kinds .*'mse'.*; got 'mze'"),
        (("layers", 0, "kind"), "conv", r"layers\.0\.kind: expected one of \d+ kinds.*'conv2d'.*; got 'conv'"),
        (("layers", 2, "weight"), [[1, 2]], r"layers\.2\.weight: expected shape \(1, 4\).*got \(1, 2\)"),
        (("layers", 2, "weight"), [[1, 2], [2]], r"layers\.2\.weight: expected rows of one length"),
        (("layers", 0, "weight", 0, 0), "a", r"layers\.0\.weight\.0\.0: .*valid number; got \"a\""),
        (("layers", 0, "bias"), [1], r"layers\.0\.bias: expected 4 values, one a unit; got 1"),
        (("layers", 0, "weight"), {"draw": "normal"}, r"layers\.0\.weight\.scale: expected this key"),
        (("layers", 0, "weight"), {"draw": "normal", "scale": 1}, r"layers\.0\.outputs: expected the number of units"),
        (("layers", 0, "outputs"), 3, r"layers\.0\.outputs: expected 4, the rows of the weight; got 3"),
        (("layers", 0, "inputs"), ["output"], r"layers\.0\.inputs: expected layers before it, of x; got 'output'"),
        (("layers", 2, "inputs"), ["hidden"], r"layers\.1\.name: nothing takes the output of 'hidden_act'"),
        (("layers", 1, "name"), "hidden", r"layers\.1\.name: 'hidden' stands twice"),
        (("layers", 1, "name"), "Hidden Act", r"layers\.1\.name: .*pattern"),
        (("data", "y"), [[1]], r"data\.y: expected labels of width 2, the last layer's; got 1"),
        (("data", "y"), [[1, 2], [3, 4]], r"data\.y: expected 1 rows, one a sample of x; got 2"),
        (("data",), GAUSSIAN, r"data\.y: expected labels of width 2, the last layer's; got 1"),
        (("published", 0, "values"), [[1.0]], r"published\.0\.values\.0\.0: .*valid string; got 1\.0"),
        (("published",), None, None),
        (("truth",), "publishd", r"truth: .*'reference' or 'published'"),
        (("title",), 3, r"title: .*valid string; got 3"),
        (("shuffle",), 1, r"shuffle: .*valid boolean; got 1"),
        (("epochs",), True, r"epochs: .*valid integer; got true"),
        (("optimizer", "lr"), True, r"optimizer\.lr: .*valid number; got true"),
        (("optimizer", "kind"), "addam", r"optimizer\.kind: expected one of \d+ kinds .*'adam', .*; got 'addam'"),
        (("data",), 3, r"data: .*valid dictionary.*; got 3"),
        (("data", "kind"), None, r"data\.kind: expected the kind"),
        (("data", "x"), [[1, 2], [1]], r"data\.x: expected rows of one length"),
        (("data",), GAUSSIAN | {"features": 3}, r"layers\.0\.weight: expected shape \(4, 3\).*got \(4, 2\)"),
        (("data",), GAUSSIAN | {"target": "product"}, r"data\.target: .*'sum'; got \"product\""),
        (("data",), TABLE | {"file": "t.txt"}, r"data\.file: .*csv\|parquet.*; got \"t\.txt\""),
        (("data",), TABLE | {"x": []}, r"data\.x: .*at least 1 item"),
        (("layers",), [], r"layers: .*at least 1 item"),
        (("layers",), [3], r"layers\.0: .*valid dictionary.*; got 3"),
        (("layers", 0, "kind"), None, r"layers\.0\.kind: expected the kind"),
        (("layers", 1, "factor"), None, r"layers\.1\.factor: expected this key; it is missing"),
        (("layers", 0, "weight"), [[]], r"layers\.0\.weight\.0: .*at least 1 item"),
        (("layers", 0, "weight"), [[1, float("nan")]], r"layers\.0\.weight\.0\.1: .*finite number; got NaN"),
        (("published", 0, "values"), [["1e3"]], r"published\.0\.values\.0\.0: .*pattern .*; got \"1e3\""),
        (("published", 0, "quantity"), "Forward", r"published\.0\.quantity: .*pattern .*; got \"Forward\""),
        (
            ("findings",),
            [FINDING | {"evidence": [{"label": "x"}]}],
            r"findings\.0\.evidence\.0: expected one of: quant",
        ),
        (
            ("findings",),
            [FINDING | {"evidence": [{"label": "x", "quantity": "loss", "rule": "relu", "at": 1}]}],
            r"findings\.0\.evidence\.0: expected one of: quantity .*; rule with at; epoch_loss with epoch",
        ),
        (("expect",), EXPECT | {"verdict": "EQUIVALENT"}, r"expect\.verdict: .*'DIVERGES'; got \"EQUIVALENT\""),
        (("expect",), EXPECT | {"step": -1}, r"expect\.step: .*greater than or equal to 0; got -1"),
    ],
)
def test_a_mistake_is_named_with_its_key(path: tuple[Any, ...], value: Any, message: str | None) -> None:
    if message is None:  # a key that may be left out
        assert parse_scenario(changed(path, value), "f.toml")
        return
    with pytest.raises(ScenarioError, match=message) as error:
        parse_scenario(changed(path, value), "f.toml")
    assert str(error.value).startswith("f.toml: ")
    assert "\n" not in str(error.value)  # one mistake, one line


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ScenarioError) as error:
        parse_scenario({"name": "mine", "epochs": 0, "colour": "red"}, "f.toml")
    keys = [line.split(": ")[1] for line in str(error.value).splitlines()]
    assert sorted(keys) == ["colour", "data", "epochs", "layers", "loss", "optimizer", "title"]


def test_published_values_are_needed_where_they_are_the_truth() -> None:
    raw = changed(("published",), []) | {"truth": "published"}
    with pytest.raises(ScenarioError, match=r'truth: "published" needs \[\[published\]\] values'):
        parse_scenario(raw)


def test_labels_of_width_1_need_the_rule_in_sight() -> None:
    raw = changed(("data",), GAUSSIAN) | {"loss": {"kind": "mse"}}
    with pytest.raises(ScenarioError, match=r'loss\.width_1_labels: .*write width_1_labels = "broadcast"'):
        parse_scenario(raw)
    assert parse_scenario(raw | {"loss": {"kind": "mse", "width_1_labels": "broadcast"}})


def test_only_labels_of_width_1_are_broadcast() -> None:
    broadcast = {"kind": "mse", "width_1_labels": "broadcast"}
    with pytest.raises(ScenarioError, match=r"data\.y: expected labels of width 2, the last layer's; got 3"):
        parse_scenario(changed(("data", "y"), [[1, 2, 3]]) | {"loss": broadcast})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", r"expected TOML"),
        ('name = "other"', r"name: unknown key; a scenario's name is that of its file"),
        ('extends = "nothing.toml"', r"nothing\.toml: expected a scenario file; No such file"),
        ('extends = "mine.toml"', r"extends: a circle, mine\.toml -> mine\.toml"),
        ("extends = 3", r"extends: expected the name of a file beside this one; got 3"),
        ('extends = "."', r"expected a scenario file; Is a directory"),
        ('folder = "/"', r"folder: unknown key"),
        pytest.param("a = " + "[" * 20_000, r"expected TOML", id="nested too deeply"),
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


def test_extends_goes_over_several_files_and_the_last_word_counts(tmp_path: Path) -> None:
    base = (CATALOGUE / "article/worked_backprop.toml").read_text("utf-8")
    (tmp_path / "a.toml").write_text(base, "utf-8")
    (tmp_path / "b.toml").write_text('extends = "a.toml"\nepochs = 7\nseed = 1\n')
    (tmp_path / "c.toml").write_text('extends = "b.toml"\nepochs = 8\n')
    top = load_scenario(tmp_path / "c.toml")
    assert (top.title, top.seed, top.epochs) == (load_scenario("article/worked_backprop").title, 1, 8)


def test_a_circle_is_shown_with_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('extends = "b.toml"')
    (tmp_path / "b.toml").write_text('extends = "a.toml"')
    with pytest.raises(ScenarioError, match=r"extends: a circle, a\.toml -> b\.toml -> a\.toml"):
        load_scenario(tmp_path / "a.toml")


def specs(cls: type[Spec] = Spec) -> list[type[Spec]]:
    return [sub for child in cls.__subclasses__() for sub in (child, *specs(child))]


@pytest.mark.parametrize("spec", specs(), ids=lambda spec: spec.__name__)
def test_every_part_of_a_scenario_is_frozen_and_knows_its_keys(spec: type[Spec]) -> None:
    assert (spec.model_config["frozen"], spec.model_config["extra"]) == (True, "forbid")


def test_a_scenario_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_scenario("article/worked_backprop").epochs = 2


@pytest.mark.parametrize("name", catalogue_names())
def test_nothing_in_a_scenario_can_be_changed(name: str) -> None:
    assert hash(load_scenario(name))  # a list or a dict anywhere in it would have none


@pytest.mark.parametrize("name", catalogue_names())
def test_a_scenario_survives_the_way_to_a_child(name: str) -> None:
    scenario = load_scenario(name)
    again = Scenario.model_validate_json(scenario.model_dump_json())
    assert again == scenario.model_copy(update={"folder": ""})  # where its data was, a child need not know


def test_every_node_has_the_shape_of_its_output() -> None:
    shapes = load_scenario("article/worked_backprop").shapes()
    assert shapes == {"x": (2,), "hidden": (4,), "hidden_act": (4,), "output": (2,)}
