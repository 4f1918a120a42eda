"""Which scenario files are there, and what is written in them, before anything of it is checked?"""

from __future__ import annotations

import json
import tomllib
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import reduce
from importlib.resources import files
from pathlib import Path
from typing import Any

from isograd.errors import ScenarioError

CATALOGUE = Path(str(files("isograd.scenarios")))
CHAIN = 100  # files that may extend one another


def catalogue_names() -> list[str]:
    """Names of the scenarios that come with isograd, as in "article/sum_regression"."""
    return sorted(path.relative_to(CATALOGUE).with_suffix("").as_posix() for path in CATALOGUE.rglob("*.toml"))


def matches(pattern: str) -> list[str]:
    """The names that a name or a glob stands for; the path of a TOML file stands for itself.

    Raises:
        ScenarioError: there are none.
    """
    if pattern.endswith(".toml"):
        return [pattern]
    names = [name for name in catalogue_names() if fnmatchcase(name, pattern)]
    if not names:
        close = get_close_matches(short(pattern), catalogue_names(), n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(close)}?" if close else "."
        raise ScenarioError(
            f"scenario {short(pattern)!r}: not in the catalogue, and not a .toml file{hint} See `isograd list`."
        )
    return names


def read_scenario(source: str | Path) -> tuple[Path, dict[str, Any]]:
    """The file of a catalogue name or of a path, and its keys, with the scenario's name and folder.

    Raises:
        ScenarioError: no such file; not TOML.
    """
    path = Path(source)
    if path.suffix != ".toml":
        path = CATALOGUE / f"{matches(str(source))[0]}.toml"
    whole = _resolved(path)
    inside = whole.is_relative_to(CATALOGUE.resolve())
    name = whole.relative_to(CATALOGUE.resolve()).with_suffix("").as_posix() if inside else path.stem
    return path, _read(whole) | {"name": name, "folder": str(whole.parent)}


def is_endless(path: Path) -> bool:
    """Whether reading it might never end: a pipe or a device."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a name that cannot be one; links in a circle
        raise ScenarioError(f"{short(str(path))}: expected a scenario file; {error}") from None


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
            return _merged(path, list(found.values()))
        if not isinstance(base, str) or not base:
            raise ScenarioError(f"{path}: extends: expected the name of a file beside this one; got {came(base)}")
        path = _resolved(path.parent / base)


def _read_one(path: Path) -> dict[str, Any]:
    try:
        if is_endless(path):
            raise ScenarioError(f"{short(str(path))}: expected a scenario file; it is a pipe or a device")
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{short(str(path))}: expected a scenario file; {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise ScenarioError(f"{path}: expected TOML: {short(str(error))}") from None
    for key in ("name", "folder"):
        if key in raw:
            raise ScenarioError(f"{path}: {key}: unknown key; a scenario's name is that of its file")
    return raw


def _merged(path: Path, found: list[dict[str, Any]]) -> dict[str, Any]:
    try:
        return reduce(_overlay, reversed(found))
    except RecursionError:
        raise ScenarioError(f"{path}: extends: expected a scenario; tables are nested by the hundred") from None


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """``top`` over ``base``; tables are merged, everything else (lists too) is replaced."""
    merged = dict(base)
    for key, value in top.items():
        old = merged.get(key)
        merged[key] = _overlay(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def came(value: Any) -> str:
    """A value as the file has it, in short."""
    try:
        text = json.dumps(value, default=str)
    except (TypeError, ValueError, RecursionError):  # a number of thousands of digits, a list that holds itself
        return f"a value of type {type(value).__name__} that is too large to show"
    return text if len(text) < 80 else text[:77] + "..."


def short(text: str) -> str:
    """No more of a text than a message has room for."""
    return text if len(text) < 120 else f"{text[:120]}..."
