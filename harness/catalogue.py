"""Which scenarios are there, and how is a TOML file read into one?"""

from __future__ import annotations

import json
import re
import tomllib
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import reduce
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from harness.errors import ScenarioError
from harness.scenario import LayerSpec, Scenario
from harness.spec import Spec

CATALOGUE = Path(str(files("scenarios")))
FAULTS = 20  # mistakes of one scenario that are told
CHAIN = 100  # files that may extend one another
DEPTH = 20  # tables and lists within each other; a scenario has 8
BITS = 1024  # of an integer; beyond, there are no floats


def catalogue_names() -> list[str]:
    """Names of the scenarios that come with isograd, as in "article/sum_regression"."""
    return sorted(path.relative_to(CATALOGUE).with_suffix("").as_posix() for path in CATALOGUE.rglob("*.toml"))


def find_scenarios(patterns: list[str] | tuple[str, ...] = ()) -> list[Scenario]:
    """Scenarios by catalogue name, glob ("article/*") or TOML path; all of the catalogue without any.

    Raises:
        ScenarioError: nothing has that name, or a file is not a valid scenario.
    """
    found = [name for pattern in patterns or ["*"] for name in _matches(pattern)]
    return [load_scenario(name) for name in dict.fromkeys(found)]


def _matches(pattern: str) -> list[str]:
    if pattern.endswith(".toml"):
        return [pattern]
    names = [name for name in catalogue_names() if fnmatchcase(name, pattern)]
    if not names:
        close = get_close_matches(_short(pattern), catalogue_names(), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(close)}?" if close else "."
        raise ScenarioError(
            f"scenario {_short(pattern)!r}: not in the catalogue, and not a .toml file{hint} See `isograd list`."
        )
    return names


def load_scenario(source: str | Path) -> Scenario:
    """Read and check one scenario, by catalogue name ("article/sum_regression") or by the path of a TOML file.

    Raises:
        ScenarioError: no such file; not TOML; an unknown key; a value or shape that does not fit. The message gives
            file, key, and what was expected.
    """
    path = Path(source)
    if path.suffix != ".toml":
        path = CATALOGUE / f"{_matches(str(source))[0]}.toml"
    whole = _resolved(path)
    inside = whole.is_relative_to(CATALOGUE.resolve())
    name = whole.relative_to(CATALOGUE.resolve()).with_suffix("").as_posix() if inside else path.stem
    return parse_scenario(_read(whole) | {"name": name, "folder": str(whole.parent)}, str(path))


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a name that cannot be one; links in a circle
        raise ScenarioError(f"{_short(str(path))}: expected a scenario file; {error}") from None


def parse_scenario(raw: dict[str, Any], where: str = "scenario") -> Scenario:
    """Check a scenario given as plain data, as a TOML file would hold it; ``where`` stands in the messages.

    Raises:
        ScenarioError: with one line a mistake: file, key, what was expected, what came.
    """
    why = _beyond(raw)
    if why:
        raise ScenarioError(f"{where}: {why}")
    try:
        return Scenario.model_validate(raw)
    except ValidationError as error:
        lines = [f"{where}: {_say(item, raw)}" for item in _causes(error.errors()[:FAULTS])]
        more = error.error_count() - FAULTS
        raise ScenarioError("\n".join(lines + [f"{where}: {more} more mistakes"] * (more > 0))) from None


def _beyond(raw: Any) -> str:
    """What no scenario has, and what ends whoever walks it by recursion, or writes it as digits; "" without any."""
    level = [raw]
    for _ in range(DEPTH):
        inner = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, (dict, list))]
        level = [node for nodes in inner for node in nodes if isinstance(node, (dict, list, int))]
        if any(isinstance(node, int) and node.bit_length() > BITS for node in level):
            return "expected numbers that float64 can hold; one has hundreds of digits"
        if not level:
            return ""
    return f"expected at most {DEPTH} tables and lists within each other; there are more"


def _causes(items: list[Any]) -> list[Any]:
    """Without what only follows: pydantic also calls a list too short that has no valid item."""

    def within(item: Any, other: Any) -> bool:
        return item is not other and item["loc"][: len(other["loc"])] == other["loc"]

    return [item for item in items if item["type"] != "too_short" or not any(within(other, item) for other in items)]


def _say(item: Any, raw: Any) -> str:
    """One line of a validation error: the key, what was expected, what came."""
    keys, parent = _path(item, raw)
    key, message = ".".join(keys), item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return f"{key}: unknown key; expected one of {', '.join(_expected_keys(parent))}"
    if item["type"] == "missing":
        return f"{key}: expected {'one more value' if isinstance(item['loc'][-1], int) else 'this key'}; it is missing"
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tags = item["ctx"].get("expected_tags", "the kind, as a string")
        return f"{key}.kind: expected {tags}; got {_short(str(item['ctx'].get('tag', 'none')))!r}"
    if item["type"] == "value_error":  # our own: they name the rest of the key themselves
        return f"{key}{'.' if re.match(r'[a-z_]+: ', message) else ': '}{message}" if key else message
    return f"{key}: {message}; got {_came(item['input'])}"


def _came(value: Any) -> str:
    """A value as the file has it, in short."""
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):  # a number of thousands of digits, a list that holds itself
        return f"a value of type {type(value).__name__} that is too large to show"
    return text if len(text) < 80 else text[:77] + "..."


def _path(item: Any, raw: Any) -> tuple[list[str], Any]:
    """The keys that lead to a mistake in the user's own file, and the table that the last one stands in.

    pydantic's location also holds the tags of unions ("linear", "mse"), which are no keys of the file.
    """
    keys, node, parent = [], raw, raw
    for part in item["loc"]:
        inside = (
            part in node if isinstance(node, dict) else isinstance(node, (list, tuple)) and part in range(len(node))
        )
        if inside:
            parent, node = node, node[part]
        if inside or (item["type"] == "missing" and part == item["loc"][-1]):
            keys.append(_short(str(part)))
    return keys, parent


def _expected_keys(table: dict[str, Any]) -> list[str]:
    """The keys of the spec that is of the table's kind, or has most in common with it."""
    specs: list[type[Spec]] = [Scenario, *Spec.__subclasses__(), *LayerSpec.__subclasses__()]
    near = max(specs, key=lambda spec: (_is_of_kind(spec, table), len(table.keys() & spec.model_fields.keys())))
    return sorted(near.model_fields.keys() - {"name", "folder"} if near is Scenario else near.model_fields.keys())


def _is_of_kind(spec: type[Spec], table: dict[str, Any]) -> bool:
    field = spec.model_fields.get("kind")
    return field is not None and table.get("kind") in get_args(field.annotation)


def _read(path: Path) -> dict[str, Any]:
    """The file's keys, laid over those of the file that it ``extends``."""
    found: dict[Path, dict[str, Any]] = {}
    while True:
        if path in found:
            raise ScenarioError(f"{path}: extends: a circle, {' -> '.join(p.name for p in (*found, path))}")
        if len(found) >= CHAIN:
            raise ScenarioError(f"{path}: extends: expected at most {CHAIN} files, each over the next; there are more")
        found[path] = _read_one(path)
        base = found[path].pop("extends", None)
        if base is None:
            return reduce(_overlay, reversed(found.values()))
        if not isinstance(base, str) or not base:
            raise ScenarioError(f"{path}: extends: expected the name of a file beside this one; got {_came(base)}")
        path = _resolved(path.parent / base)


def _read_one(path: Path) -> dict[str, Any]:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{_short(str(path))}: expected a scenario file; {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise ScenarioError(f"{path}: expected TOML: {_short(str(error))}") from None
    for key in ("name", "folder"):
        if key in raw:
            raise ScenarioError(f"{path}: {key}: unknown key; a scenario's name is that of its file")
    return raw


def _short(text: str) -> str:
    return text if len(text) < 120 else f"{text[:120]}..."


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """``top`` over ``base``; tables are merged, everything else (lists too) is replaced."""
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        merged[key] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
