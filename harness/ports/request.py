"""What does a user ask for: which functions of which files are the sides, and where do the batches come from?"""

from __future__ import annotations

import ast
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isograd.errors import IsogradError

BATCHES = "batches"


@dataclass(frozen=True)
class Side:
    """One side of a port.

    Attributes:
        label: how it is called in the report.
        file: the user's file.
        function: which of its functions gives model, loss and optimizer.
        python: the interpreter of its child process: another environment, with another version of a framework.
    """

    label: str
    file: Path
    function: str
    python: str = sys.executable


@dataclass(frozen=True)
class Port:
    """What is compared.

    Attributes:
        name: the file's, without its ending.
        sides: the first is the origin.
        batches: the file whose function `batches` gives them; None where ``data`` does.
        data: a file of arrays.
        others: other files that have a function `batches` too.
    """

    name: str
    sides: tuple[Side, ...]
    batches: Path | None
    data: Path | None = None
    others: tuple[Path, ...] = ()


def port_of(
    requests: Sequence[str], data: str | Path | None = None, python: Mapping[str, str | Path] | None = None
) -> Port:
    """The sides that files, or functions of files, stand for; none of their code is run here.

    Args:
        requests: ``port.py``, of which every function but `batches` is a side unless it has arguments or begins with an
            underscore; or ``file.py:function`` each.
        data: a file of batches, where no file has a function `batches`.
        python: the interpreters of sides that have one of their own, by label.

    Raises:
        IsogradError: no such file or function; fewer than two sides; no batches.
    """
    sides: list[Side] = []
    giving: list[Path] = []
    for request in requests:
        text, _, function = request.partition(":")
        file = Path(text).absolute()
        functions = functions_of(file)
        giving += [file] if BATCHES in functions else []
        chosen = [function] if function else [name for name in functions if name != BATCHES]
        if function and function not in functions:
            raise IsogradError(f"{text}: expected a function {function}; it has {', '.join(functions) or 'none'}")
        sides += [Side(name, file, name) for name in chosen]
    if len(sides) < 2:
        came = ", ".join(side.label for side in sides) or "none"
        raise IsogradError(
            f"{' '.join(requests)}: expected two functions at least, one a side, each without arguments; got {came}"
        )
    if data is None and not giving:
        raise IsogradError(f"{' '.join(requests)}: expected a function batches() that gives (x, y), or --data FILE.npz")
    if data is not None and not Path(data).is_file():
        raise IsogradError(f"{data}: expected a file of arrays; there is none")
    name = sides[0].file.stem if sides[0].file.stem != "port" else sides[0].file.parent.name
    where = None if data is not None else giving[0]
    named = _run_by(_told_apart(sides), python or {})
    others = tuple(dict.fromkeys(file for file in giving if file != where)) if where else ()
    return Port(name, named, where, None if data is None else Path(data).absolute(), others)


def _run_by(sides: Sequence[Side], python: Mapping[str, str | Path]) -> tuple[Side, ...]:
    """With the interpreters that were asked for."""
    labels = [side.label for side in sides]
    for label, path in python.items():
        if label not in labels:
            raise IsogradError(f"python: expected a side, one of {', '.join(labels)}; got {label}")
        if shutil.which(str(path)) is None:
            raise IsogradError(f"python of {label}: expected an interpreter, as envs/new/bin/python; got {path}")
    return tuple(replace(s, python=str(Path(python[s.label]).absolute())) if s.label in python else s for s in sides)


def functions_of(file: Path) -> list[str]:
    """The functions of a file that can be called without arguments, in order; it is read, and not run."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except OSError as error:
        raise IsogradError(f"{file}: cannot be read: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        raise IsogradError(f"{file}: expected a Python file: {error}") from None
    defined = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.name for node in defined if not node.name.startswith("_") and _needs_nothing(node.args)]


def _needs_nothing(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return not positional and all(default is not None for default in arguments.kw_defaults)


def _told_apart(sides: Sequence[Side]) -> tuple[Side, ...]:
    """With the file's name where two have one label."""
    labels = [side.label for side in sides]
    named = [replace(s, label=f"{s.file.stem}:{s.label}") if labels.count(s.label) > 1 else s for s in sides]
    again = [side.label for side in named]
    return tuple(
        replace(s, label=f"{s.label}#{at}") if again.count(s.label) > 1 else s for at, s in enumerate(named, 1)
    )
