"""Does the JSON schema know what scenario files may hold, and the README what one more operation takes?"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from isograd.loading import json_schema
from isograd.ops import CLIPPINGS, LAYERS, LOSSES, OPTIMIZERS, SCHEDULES

ROOT = Path(__file__).parent.parent


def kinds() -> set[str]:
    definitions = json_schema()["$defs"].values()
    return {of["properties"]["kind"]["const"] for of in definitions if "const" in of["properties"].get("kind", {})}


def test_the_schema_knows_every_operation() -> None:
    assert {*LAYERS, *LOSSES, *OPTIMIZERS, *SCHEDULES, *CLIPPINGS} <= kinds()


def test_what_the_files_place_says_is_not_asked_for() -> None:
    schema = json_schema()
    assert not {"name", "folder"} & schema["properties"].keys()
    assert {"extends", "layers", "schedule", "evaluate"} <= schema["properties"].keys()


def test_the_command_prints_it() -> None:
    done = subprocess.run([sys.executable, "-m", "isograd", "schema"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(json.dumps(json_schema()))


# ---------------------------------------------------------------- the recipe


def blocks() -> list[str]:
    recipe = (ROOT / "README.md").read_text("utf-8").partition("**A layer** (a loss")[2].partition("## Which")[0]
    return re.findall(r"```python\n(.*?)```", recipe, re.DOTALL)


def files() -> list[str]:
    recipe = (ROOT / "README.md").read_text("utf-8").partition("**A layer** (a loss")[2].partition("Files touched")[0]
    return list(dict.fromkeys(re.findall(r"\]\(([\w/]+\.py)\)", recipe)))


def test_the_recipe_is_what_was_done() -> None:
    assert len(blocks()) == len(files()) == 3
    for file, block in zip(files(), blocks(), strict=True):
        assert block.rstrip() in (ROOT / file).read_text("utf-8"), file


def test_nothing_else_knows_the_operation() -> None:
    (kind,) = re.findall(r'Literal\["(\w+)"\]', blocks()[0])
    sources = [path for folder in ("harness", "backends") for path in (ROOT / folder).rglob("*.py")]
    assert sorted(str(p.relative_to(ROOT)) for p in sources if kind in p.read_text("utf-8").lower()) == sorted(files())


@pytest.mark.parametrize("line", blocks()[1:])
def test_a_row_is_one_line(line: str) -> None:
    assert line.count("\n") == 1
