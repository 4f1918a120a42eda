"""What does a program of the atlas give, in one framework? Run in that framework's child process.

A program is a few lines of Python whose last line is an expression: its value is the answer. It sees the framework's
own names as its users write them, and the hands that each backend gives (`isograd.backend.Backend.programs`): ``t``
makes a tensor, ``draw`` one of drawn numbers, ``grad`` and ``vjp`` differentiate. Programs come from this package's own
files, and are shown in the atlas as they were run.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isograd.atlas.draws import drawn
from isograd.atlas.laws import law_of
from isograd.backend import Backend
from isograd.inputs import make_inputs
from isograd.loading import parse_scenario
from isograd.ops.op import Op
from isograd.recorder import record_here
from isograd.trace import save_trace
from isograd.words import clean, clipped, said_of

Answer = dict[str, Any]
"""A value as JSON has it: a number, a text, a list, a dict; or ``{"array": …}``, ``{"law": …}``, ``{"raises": …}``."""

MISTAKES = (SyntaxError, NameError, ImportError)
"""What a program raises that is itself wrong, or is for another version of the framework."""


def answer(backend: Backend, program: str) -> Answer:
    """What a program gives; what it raises is an answer too, unless the program itself is wrong.

    Raises:
        SyntaxError, NameError, ImportError: there is no such thing in this version of the framework.
    """
    names: dict[str, Any] = {"np": np, "drawn": drawn, **backend.programs()}
    names["law"] = lambda values: law_of(names["plain"](values))
    tree = ast.parse(program.strip())
    last = tree.body.pop()
    if not isinstance(last, ast.Expr):
        raise SyntaxError(f"a program's last line is its answer; got {ast.unparse(last)}")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            exec(compile(tree, "<program>", "exec"), names)
            value = eval(compile(ast.Expression(last.value), "<program>", "eval"), names)
            return {"value": said(value, names["plain"])}
        except MISTAKES:
            raise
        except Exception as error:  # noqa: BLE001  # that a framework refuses something is what is asked for
            first = next((line.strip() for line in str(error).splitlines() if line.strip("- ")), "")
            return {"raises": f"{type(error).__name__}: {clipped(clean(first), 120)}"}


def said(value: Any, plain: Any) -> Any:
    """A value as JSON: tensors as nested lists with their shape, NaN and infinities as texts."""
    value = plain(value)
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            return clipped(clean(str(value)))
        if array.dtype.kind == "c":  # with real and imaginary parts as a last axis
            array = np.stack([array.real, array.imag], -1)
        if array.dtype.kind == "f":
            array = array.astype(np.float64)
        return {"array": [_number(number) for number in array.reshape(-1).tolist()], "shape": list(array.shape)}
    if isinstance(value, Mapping):
        return {str(key): said(item, plain) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [said(item, plain) for item in value]
    if isinstance(value, float):
        return _number(value)
    return value if value is None or isinstance(value, bool | int) else clipped(clean(str(value)))


def _number(value: Any) -> Any:
    return value if np.isfinite(value) else str(value)


def ask(backend: Backend, job: Mapping[str, Any]) -> None:
    """Run the programs of a job, and write down what each gives, in their order: what is not there has ended it all."""
    with Path(job["out"]).open("w", encoding="utf-8") as out:
        for program in job["programs"]:
            try:
                found = answer(backend, program)
            except MISTAKES as error:
                found = {"mistake": said_of(error)}
            out.write(json.dumps(found) + "\n")
            out.flush()


def record(backend: Backend, job: Mapping[str, Any]) -> None:
    """Run probes with an operation built by a program, and write down their traces.

    The program stands in the operation's row for so long; all else is as in any run of the backend.
    """
    table = {"layer": backend.layers, "loss": backend.losses, "optimizer": backend.optimizers}
    table["schedule"] = backend.schedules
    rows: Any = table[job["word"]]
    row = rows[job["of"]]
    built = _builder(backend, job["word"], job["program"])
    rows[job["of"]] = row._replace(**{"of" if job["word"] == "loss" else "build": built})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for raw, out in zip(job["scenarios"], job["traces"], strict=True):
                scenario = parse_scenario(raw, "the atlas")
                save_trace(record_here(backend, job["backend"], scenario, make_inputs(scenario)), Path(out))
    finally:
        rows[job["of"]] = row


PLACES: dict[str, Callable[..., dict[str, Any]]] = {
    "layer": lambda op, *x: {"op": op},
    "loss": lambda op, yhat, y: {"op": op, "yhat": yhat, "y": y},
    "optimizer": lambda op, lr, parameters: {"op": op, "parameters": parameters},
    "schedule": lambda op, base, last: {"op": op, "opt": base, "rate": base},
}
"""What a program is given, by word: the arguments of a row, by the names that it knows them by."""


def _builder(backend: Backend, word: str, program: str) -> Any:
    code, names = compile(program.strip(), "<program>", "eval"), backend.programs()
    return lambda *given: eval(code, {"np": np, **names, **PLACES[word](*given)})


def spelled(program: str, op: Op, usual: Collection[str] = ()) -> str:
    """A program as a user writes it: with the numbers of the settings in place, without arguments of ``usual`` ones."""
    tree = ast.parse(program.strip(), mode="eval")
    for call in _calls(tree):
        call.keywords = [keyword for keyword in call.keywords if not _asked(keyword) or {*_asked(keyword)} - {*usual}]
    return ast.unparse(_Told(op).visit(tree))


def called(program: str, op: Op) -> dict[str, str]:
    """How a program tells each setting: the argument that it stands in, alone if there is such a one."""
    found: dict[str, str] = {}
    for call in _calls(ast.parse(program.strip(), mode="eval")):
        for keyword in sorted(call.keywords, key=lambda keyword: -len({*_asked(keyword)})):
            settings = _asked(keyword)
            found |= dict.fromkeys(settings, ast.unparse(_Told(op).visit(keyword)))
    return found


def _calls(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _asked(node: ast.AST) -> list[str]:
    return [
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id == "op"
    ]


class _Told(ast.NodeTransformer):
    """Puts the number in the place of each expression of `op`."""

    def __init__(self, op: Op) -> None:
        self.op = op

    def visit(self, node: ast.AST) -> Any:
        """An expression of nothing but ``op`` becomes its value."""
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        if isinstance(node, ast.expr) and names == {"op"} and not isinstance(node, ast.Name):
            value = eval(compile(ast.Expression(node), "<program>", "eval"), {"op": self.op})
            value = float(f"{value:.12g}") if isinstance(value, float) else value
            return ast.parse(repr(value), mode="eval").body
        return self.generic_visit(node)


WORK = {"ask": ask, "record": record}
