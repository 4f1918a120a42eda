"""How does what is written in a scenario's file become a scenario?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from isograd.errors import ScenarioError
from isograd.files import CATALOGUE, came, catalogue_names, matches, read_scenario, short
from isograd.scenario import Scenario
from isograd.spec import Spec

__all__ = ["CATALOGUE", "catalogue_names", "find_scenarios", "load_scenario", "parse_scenario"]

FAULTS = 20  # mistakes of one scenario that are told
DEPTH = 20  # tables and lists within each other; a scenario has 8
BITS = 1024  # of an integer; beyond, there are no floats
SHOWN = 8  # kinds of an operation that are named in a message


def find_scenarios(patterns: list[str] | tuple[str, ...] = ()) -> list[Scenario]:
    """Scenarios by catalogue name, glob ("article/*") or TOML path; all of the catalogue without any.

    Raises:
        ScenarioError: nothing has that name, or a file is not a valid scenario.
    """
    found = [name for pattern in patterns or ["*"] for name in matches(pattern)]
    return [load_scenario(name) for name in dict.fromkeys(found)]


def load_scenario(source: str | Path) -> Scenario:
    """Read and check one scenario, by catalogue name ("article/sum_regression") or by the path of a TOML file.

    Raises:
        ScenarioError: no such file; not TOML; an unknown key; a value or shape that does not fit. The message gives
            file, key, and what was expected.
    """
    path, raw = read_scenario(source)
    return parse_scenario(raw, str(path))


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
        level = [node for nodes in inner for node in nodes if isinstance(node, (dict, list, int, str))]
        if any(isinstance(node, int) and node.bit_length() > BITS for node in level):
            return "expected numbers that float64 can hold; one has hundreds of digits"
        if any(isinstance(node, str) and not _is_text(node) for node in level):
            return "expected text that UTF-8 can hold; there is half of a surrogate pair"
        if not level:
            return ""
    return f"expected at most {DEPTH} tables and lists within each other; there are more"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
        tag = str(item["ctx"].get("tag", "none"))
        return f"{key}.kind: expected {_kinds(item['ctx'].get('expected_tags'), tag)}; got {short(tag)!r}"
    if item["type"] == "value_error":  # our own: they name the rest of the key themselves
        return f"{key}{'.' if re.match(r'[a-z_]+: ', message) else ': '}{message}" if key else message
    return f"{key}: {message}; got {came(item['input'])}"


def _kinds(tags: str | None, tag: str) -> str:
    """The kinds that there are; of many those that are nearest to what came."""
    if tags is None:
        return "the kind, as a string"
    kinds = tags.replace("'", "").split(", ")
    if len(kinds) <= SHOWN:
        return tags
    near = get_close_matches(short(tag), kinds, SHOWN, cutoff=0.0)
    return f"one of {len(kinds)} kinds (isograd list), such as {', '.join(map(repr, near))}"


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
            keys.append(short(str(part)))
    return keys, parent


def _expected_keys(table: dict[str, Any]) -> list[str]:
    """The keys of the spec that is of the table's kind, or has most in common with it."""
    specs: list[type[Spec]] = [Scenario, *_below(Spec)]
    near = max(specs, key=lambda spec: (_is_of_kind(spec, table), len(table.keys() & spec.model_fields.keys())))
    return sorted(near.model_fields.keys() - {"name", "folder"} if near is Scenario else near.model_fields.keys())


def _below(spec: type[Spec]) -> Iterator[type[Spec]]:
    for sub in spec.__subclasses__():
        yield sub
        yield from _below(sub)


def _is_of_kind(spec: type[Spec], table: dict[str, Any]) -> bool:
    field = spec.model_fields.get("kind")
    return field is not None and table.get("kind") in get_args(field.annotation)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a scenario's file, for editors: made from the operations themselves."""
    schema = Scenario.model_json_schema()
    given = ("name", "folder")  # by the file's place
    schema["properties"] = {key: value for key, value in schema["properties"].items() if key not in given}
    extends = {"type": "string", "description": "Another file, of which this one has all that it does not say itself."}
    schema["properties"]["extends"] = extends
    needed = [key for key in schema["required"] if key not in given]
    del schema["required"]
    schema["anyOf"] = [{"required": ["extends"]}, {"required": needed}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
