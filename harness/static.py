"""What do a module's classes and tables say, as its source has it? Read and never run: running takes half a second.

Only what is written out can be read: constants, the keys of a table, bases by their names. For everything else there
is `Unreadable`, and whoever asks has to import the module.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Unreadable(Exception):  # no error: the module is to be imported
    """What a source does not write out."""


class Class(NamedTuple):
    """A class, as its source has it: its module, its name, its docstring, and its attributes in order."""

    module: str
    name: str
    doc: str
    attributes: dict[str, ast.expr | None]
    annotations: dict[str, ast.expr]
    bases: tuple[str, ...]


def place(module: str) -> Path:
    """The file of a module, of which nothing but the outermost package is imported."""
    outer, inner = module.split(".")[:2], module.split(".")[2:]
    try:
        spec = find_spec(".".join(outer))
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise Unreadable(module)
    path = Path(spec.origin).parent.joinpath(*inner) if inner else Path(spec.origin)
    return path if not inner else path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree(module: str) -> ast.Module:
    """The source of a module."""
    try:
        return ast.parse(place(module).read_text("utf-8"))
    except (OSError, SyntaxError, ValueError):
        raise Unreadable(module) from None


@cache
def classes(module: str) -> list[Class]:
    """The classes that a module defines at its outermost level."""
    return [_class(module, node) for node in tree(module).body if isinstance(node, ast.ClassDef)]


def find_class(module: str, name: str) -> Class:
    """A class that a module defines or imports; Unreadable if it does neither."""
    for found in classes(module):
        if found.name == name:
            return found
    return find_class(*_imported(module, name))


def ancestry(of: Class) -> Iterator[Class]:
    """A class and those that it inherits from, as far as their sources can be read; the nearest first."""
    yield of
    for base in of.bases:
        try:
            found = find_class(of.module, base)
        except Unreadable:
            continue
        yield from ancestry(found)


def value(module: str, node: ast.expr | None) -> Any:
    """A constant, also where it is computed from constants, or stands elsewhere in the module under a name."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Tuple() | ast.List():
            return tuple(value(module, item) for item in node.elts)
        case ast.UnaryOp(op=ast.USub()):
            return -value(module, node.operand)
        case ast.BinOp() if type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(module, node.left), value(module, node.right))
        case ast.Name():
            return value(*_assigned(module, node.id))
    raise Unreadable(module)


def keys(module: str, node: ast.expr | None) -> tuple[Any, ...]:
    """The keys of a table: of a display, of `dict.fromkeys`, of two tables in one; here, or elsewhere by name."""
    match node:
        case ast.Dict() if all(key is not None for key in node.keys):
            return tuple(value(module, key) for key in node.keys)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="dict"), attr="fromkeys")):
            return tuple(value(module, node.args[0]))
        case ast.BinOp(op=ast.BitOr()):
            return tuple(dict.fromkeys((*keys(module, node.left), *keys(module, node.right))))
        case ast.Name():
            return keys(*_assigned(module, node.id))
        case ast.Attribute(value=ast.Name(id=name), attr=table):  # of a module that is imported by its name
            return keys(*_assigned(".".join(_imported(module, name)), table))
    raise Unreadable(module)


def _class(module: str, node: ast.ClassDef) -> Class:
    attributes: dict[str, ast.expr | None] = {}
    annotations: dict[str, ast.expr] = {}
    for line in node.body:
        if isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name):
            attributes[line.targets[0].id] = line.value
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            attributes[line.target.id] = line.value
            annotations[line.target.id] = line.annotation
    bases = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
    return Class(module, node.name, ast.get_docstring(node) or "", attributes, annotations, bases)


def assigned(module: str, name: str) -> ast.expr | None:
    """What a module assigns to a name, or imports under it."""
    return _assigned(module, name)[1]


def _assigned(module: str, name: str) -> tuple[str, ast.expr | None]:
    """What a module assigns to a name, and the module that does: itself, or the one that it imports the name from."""
    for node in tree(module).body:
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == name for to in node.targets):
            return module, node.value
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            return module, node.value
    return _assigned(*_imported(module, name))


def imported(module: str, name: str) -> tuple[str, str]:
    """From which module a module imports a name, and what it is called there."""
    return _imported(module, name)


def _imported(module: str, name: str) -> tuple[str, str]:
    for node in tree(module).body:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return node.module, alias.name
    raise Unreadable(f"{module}: {name}")
