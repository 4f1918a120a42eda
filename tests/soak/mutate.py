"""How is plain data (of a TOML file, of a manifest) made wrong? By any value in any place, and any place anywhere."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterator
from typing import Any

import numpy as np

Rng = np.random.Generator
Place = tuple[Any, Any]  # a container, and a key of it


def places(node: Any, depth: int = 30) -> Iterator[Place]:
    """Every key of every table and every index of every list, as deep as one looks."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield node, key
        yield from places(value, depth - 1) if depth else ()


def nested(depth: int, value: Any = 1, table: bool = False) -> Any:
    for _ in range(depth):
        value = {"a": value} if table else [value]
    return value


HUGE = 10**4999  # more digits than Python writes without being asked to
NUMBERS = [0, -1, 1, 2, 3, 7, 255, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**24, -(10**24), 10**400, HUGE, -HUGE]
FLOATS = [0.0, -0.0, 0.5, 1.0, 3.7, 1e-320, 1e-45, 1e38, 1e308, -1e308, float("nan"), float("inf"), -float("inf")]
TEXTS = ["", " ", "\0", "x" * 10_000, "loss", "forward/hidden", "grad/x.weight", "linear", "relu", "float16", "\ud800"]
TEXTS += ["1", "0.5", "-1.25", "9" * 400, "nan", "../x.csv", "\x1b[31m", "=1", "t.csv", "free", "resync", "*", "[", "٣"]
OTHERS = [None, True, False, [], {}, [[]], [[], []], [{}], {"": 0}, [[1, 2], [3]], nested(50), nested(5000), (1, 2)]
OTHERS += [nested(50, table=True), nested(5000, table=True), {1: 2}, {"kind": "linear"}, {"draw": "normal", "scale": 1}]
OTHERS += [datetime.date(2026, 1, 1), datetime.time(1), b"bytes", {1, 2}, [0], [0, 0], [0, 0, 0], [-1], [10**9]]
POOL: list[Any] = [*NUMBERS, *FLOATS, *TEXTS, *OTHERS]


def value(rng: Rng) -> Any:
    return copy.copy(POOL[rng.integers(len(POOL))])


def mutate(raw: Any, rng: Rng) -> Any:
    """A deep copy with one to three mistakes."""
    raw = copy.deepcopy(raw)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        found = list(places(raw))
        if not found:
            return value(rng)
        node, key = found[rng.integers(len(found))]
        _mistake(found, node, key, rng)
    return raw


def _mistake(found: list[Place], node: Any, key: Any, rng: Rng) -> None:
    other, of_other = found[rng.integers(len(found))]
    how = rng.integers(8)
    if how == 0:
        del node[key]
    elif how == 1 and isinstance(node, dict):
        node[("x", str(key) + "x", "kind", of_other, 1)[rng.integers(5)]] = node.pop(key)
    elif how == 1 or how == 2:
        node[key] = copy.copy(other[of_other])  # somebody else's
    elif how == 3 and isinstance(node, list):
        node.insert(key, copy.copy(node[key]) if rng.integers(2) else value(rng))
    elif how == 3:
        node[("new", "outputs", "inputs", "index", "at")[rng.integers(5)]] = value(rng)
    elif how == 4 and isinstance(node[key], (int, float)) and not isinstance(node[key], bool):
        number = node[key]
        node[key] = [-number, number + 1, number - 1, float(number), str(number)][rng.integers(5)]
    elif how == 5:
        node[key] = [node[key]]
    else:
        node[key] = value(rng)


SNIPPETS = ["9" * 5000, "[" * 2000, "{" * 2000, "a." * 3000 + "b=1\n", "1979-05-27", "inf", "nan", "0x", "1_0"]
SNIPPETS += [
    '"""',
    "\r",
    "\0",
    "\ufeff",
    "[[layers]]\n",
    "[loss]\n",
    "extends='x.toml'\n",
    "\\ud800",
    "=",
    "\n",
    "]",
    "#",
]


def mutate_text(text: str, rng: Rng) -> bytes:
    """A text as bytes, with one to three things cut out, put in, doubled, or altered."""
    data = text.encode()
    for _ in range(rng.choice([1, 1, 2, 3])):
        i, j = sorted(rng.integers(len(data) + 1, size=2))
        how = rng.integers(5)
        if how == 0:
            data = data[:i] + data[min(j, i + int(rng.integers(1, 40))) :]
        elif how == 1:
            data = data[:i] + SNIPPETS[rng.integers(len(SNIPPETS))].encode() + data[i:]
        elif how == 2:
            data = data[:j] + data[i:j] + data[j:]
        elif how == 3:
            data = data[:i] + rng.bytes(int(rng.integers(1, 4))) + data[i + 1 :]
        else:
            data = data[:i]
    return data
