"""Are two frameworks' answers the same? Number by number, and what else an answer can be."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np

from isograd.atlas.laws import SURE
from isograd.atlas.programs import Answer


class Comes(StrEnum):
    """What two answers come to."""

    SAME = "same"
    NARROW = "same but for constants kept in float32"
    DIFFERS = "differs"
    REFUSED = "one refuses"
    MISTAKEN = "not run"


ROUNDING = 2.0**-40
"""Of the largest number beside it: some thousand roundings of float64, and far below one of float32."""

NARROW = 2.0**-20
"""The same for float32, in which a constant may be kept or a kernel computes: sixteen roundings of it."""


class Compared(NamedTuple):
    """What two answers come to.

    Attributes:
        comes: in one word.
        difference: the largest, of the largest number beside it.
        text: where it is, or what is different in kind.
    """

    comes: Comes
    difference: float = 0.0
    text: str = ""


def compared(first: Answer, second: Answer) -> Compared:
    """Two answers to one question."""
    if ("raises" in first) != ("raises" in second):
        return Compared(Comes.REFUSED, text="one of them raises an exception")
    if "raises" in first:
        return Compared(Comes.SAME, text="both refuse")
    parts = list(_parts(first["value"], second["value"], ""))
    worst = max(parts, key=lambda part: (list(Comes).index(part.comes), part.difference), default=Compared(Comes.SAME))
    return worst


def _parts(a: Any, b: Any, where: str) -> Iterator[Compared]:
    if _is(a, "array") and _is(b, "array"):
        yield _of_arrays(a, b, where)
    elif _is(a, "law") and _is(b, "law"):
        yield _of_laws(a, b, where)
    elif isinstance(a, dict) and isinstance(b, dict):
        for key in {**a, **b}:
            if key in a and key in b:
                yield from _parts(a[key], b[key], f"{where}{key} ")
            else:
                yield Compared(Comes.DIFFERS, text=f"{where}{key}: on one side only")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        if a and all(_is_number(item) for item in [*a, *b]):
            yield _of_arrays({"array": a, "shape": [len(a)]}, {"array": b, "shape": [len(b)]}, where)
        else:
            for i, pair in enumerate(zip(a, b, strict=True)):
                yield from _parts(*pair, f"{where}[{i}] ")
    elif _is_number(a) and _is_number(b):
        yield _of_arrays({"array": [a], "shape": []}, {"array": [b], "shape": []}, where)
    else:
        same = type(a) is type(b) and a == b
        yield Compared(Comes.SAME if same else Comes.DIFFERS, text="" if same else f"{where}another answer")


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, dict) and kind in value


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) or value in ("nan", "inf", "-inf")


def _of_laws(a: dict[str, Any], b: dict[str, Any], where: str) -> Compared:
    if a["law"] != b["law"]:
        return Compared(Comes.DIFFERS, 1.0, f"{where}{a['law']}, {b['law']}")
    off, error = abs(a["scale"] - b["scale"]), SURE * (a["error"] + b["error"])
    largest = max(abs(a["scale"]), abs(b["scale"])) or 1.0
    same = off <= max(error, ROUNDING * largest)
    return Compared(Comes.SAME if same else Comes.DIFFERS, off / largest, "" if same else f"{where}the scale")


def _of_arrays(a: dict[str, Any], b: dict[str, Any], where: str) -> Compared:
    if a["shape"] != b["shape"]:
        return Compared(Comes.DIFFERS, text=f"{where}shape {tuple(a['shape'])}, {tuple(b['shape'])}")
    x, y = (np.array([float(number) for number in side["array"]]) for side in (a, b))
    if a["array"] == b["array"]:
        return Compared(Comes.SAME)
    finite = np.isfinite(x) & np.isfinite(y)
    same = finite | (x == y) | (np.isnan(x) & np.isnan(y))
    if not same.all():
        return Compared(Comes.DIFFERS, np.inf, f"{where}NaN or infinity on one side only")
    x, y = x[finite], y[finite]
    largest = float(np.abs([x, y]).max(initial=0.0)) or 1.0
    off = float(np.abs(x - y).max(initial=0.0)) / largest
    whole = all(isinstance(number, int) for side in (a, b) for number in side["array"])
    if off <= ROUNDING and not whole:  # whether it is none at all depends on the processor
        return Compared(Comes.SAME)
    if whole:
        return Compared(Comes.DIFFERS, off, where.strip())
    return Compared(Comes.NARROW if off <= NARROW else Comes.DIFFERS, off, where.strip())


def text_of(answer: Answer, digits: int = 5) -> str:
    """An answer in few words."""
    return answer["raises"] if "raises" in answer else _text(answer["value"], digits)


MANY = 8
"""Numbers of an array that are shown."""


def _text(value: Any, digits: int) -> str:
    if _is(value, "array"):
        shown = ", ".join(_text(number, digits) for number in value["array"][:MANY])
        more = ", …" if len(value["array"]) > MANY else ""
        shape = f" of shape {tuple(value['shape'])}" if len(value["shape"]) > 1 or not value["array"] else ""
        return f"[{shown}{more}]{shape}" if value["shape"] else shown
    if _is(value, "law"):
        return f"{value['law']}, {value['scale']:.4g}" + (f" ± {value['error']:.1g}" if value["error"] else "")
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item, digits)}" for key, item in value.items())
    if isinstance(value, list):
        return "(" + ", ".join(_text(item, digits) for item in value) + ")"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
