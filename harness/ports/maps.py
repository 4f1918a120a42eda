"""How is it written down, and read again, which parameter of the one side is which of the other?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from isograd.errors import IsogradError
from isograd.ports.result import Result


def read_map(path: Path) -> dict[str, str]:
    """Names of the other side, and what they are on the first.

    Raises:
        IsogradError: it is no JSON object from name to name, or cannot be read.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise IsogradError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise IsogradError(f"{path}: expected JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise IsogradError(f'{path}: expected an object from name to name, as in {{"fc1.weight": "head.1.weight"}}')
    return found


def map_of(results: Sequence[Result]) -> str:
    """Every parameter and buffer of the other sides that is paired, to be edited and given again."""
    names = {name: to for result in results if result.pairing for name, to in result.pairing.params.items()}
    return json.dumps(names, indent=1, ensure_ascii=False) + "\n"
