"""Why does a port leave its origin? Changes are tried on the origin itself, until one gives all that the port gave."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from isograd.ports.guilty import Candidate, Change, Guilty
from isograd.ports.seen import order, seen, weighted
from isograd.ports.settings import Different
from isograd.ports.tried import candidates
from isograd.side.origin import ENOUGH
from isograd.structure import OptimizerOf

Try = Callable[[Sequence[Sequence[Change]], bool], list[dict[str, Any]]]
"""Tries changes on the origin, and perhaps other calls of functions: of each, what remains outside, and the numbers."""


def cause(guilty: Guilty, attempt: Try) -> str:
    """The first account that leaves nothing outside, in a sentence; "" where none does."""
    if sentence := _set(guilty, attempt):
        return sentence
    if sentence := next(seen(guilty), ""):
        return sentence
    possible = list(candidates(guilty))
    found = attempt([c.changes for c in possible], guilty.kind in ("forward", "loss", "backward", "grad"))
    tried = [said for said in found if "words" not in said]
    sentences: list[tuple[str, list[str] | None, tuple[str, ...]]] = [
        (str(said["words"]), said["outside"], ()) for said in found if "words" in said
    ]
    sentences += [
        (c.sentence.replace("{x}", _number(x, c.plain)).replace("{y}", _number(y)), said["outside"], c.beside)
        for c, said in zip(possible, tried, strict=False)
        if not _nothing(c, said["values"])
        for x, y in [[*said["values"], 0.0, 0.0][:2]]
    ]
    if sentence := next((words for words, outside, beside in sentences if _is_all(beside, outside)), ""):
        return sentence
    shown: tuple[str, ...] = ("tied", "is updated") if guilty.kind in ("grad", "weight", "backward", "state") else ()
    shown += ("initial accumulator",) if guilty.kind in ("weight", "state") else ()
    told = _sentences([different for different in guilty.settings if different.name in shown])
    if {True, False} <= {d.other for d in guilty.settings if d.name == "is updated"}:
        told = ["optimizers have other parameters there (swapped, or another module's)", *told]
    if not told and guilty.kind in ("state", "weight"):
        here = {of.differs for of in guilty.origin.optimizers.values()}
        there = guilty.there.optimizers.values() if guilty.there else ()
        told = [of.differs for of in there if of.differs not in {"", *here}]
    if told or (told := list(order(guilty))):
        return "; ".join(told)
    names = list(guilty.bounds)
    nearly = [(words, outside) for words, outside, _ in sentences if outside and _is_first(guilty, outside)]
    if nearly:  # of several mistakes the first; of several accounts of it the one that leaves the rest latest
        words, outside = max(nearly, key=lambda found: names.index(found[1][0]))
        return f"{words}{_rest(outside)}"
    unit = guilty.unit.name if guilty.unit is not None and guilty.kind == "forward" else None
    if told := _sentences([different for different in guilty.settings if different.at == unit]):
        return f"{'; '.join(told)}; that alone does not account for it"
    return next(weighted(guilty), "")


def _is_first(guilty: Guilty, outside: Sequence[str]) -> bool:
    """Whether the first quantity that differs is right, though later ones are not: there is more than one mistake."""
    names = list(guilty.bounds)
    later = names.index(outside[0]) > names.index(guilty.first)
    return later and guilty.target[guilty.first].size >= ENOUGH


def _rest(outside: Sequence[str]) -> str:
    return f"; that accounts for all of it, but not for {outside[0]}: there is something else, or the same again"


def _is_all(beside: Sequence[str], outside: Sequence[str] | None) -> bool:
    """Whether nothing remains outside, but what is only arranged otherwise."""
    if outside is None:
        return False
    return all(name.partition("/")[2].startswith(tuple(beside) or ("\0",)) for name in outside)


def _nothing(candidate: Candidate, values: Sequence[float]) -> bool:
    """Whether what was solved for is what there is anyway."""
    plain = candidate.plain
    return bool(values) and plain is not None and abs(values[0] - plain) <= 1e-7 * abs(plain)


def _number(x: float, beside: float | None = None) -> str:
    """With as many digits as `isograd.side.trial.SHARE` leaves; next to nothing beside what it usually is, is 0."""
    return "0" if beside and abs(x) <= 1e-6 * abs(beside) else f"{x:.4g}"


# ---------------------------------------------------------------- what is set otherwise


def _set(guilty: Guilty, attempt: Try) -> str:
    """A setting that differs, alone or all together, where the numbers confirm it."""
    tried = [(different, change) for different in guilty.settings if (change := _change_of(different, guilty))]
    if not tried:
        return ""
    kinds = list(dict.fromkeys((d.at.startswith("optimizer"), d.name) for d, _ in tried))
    alike = [[(d, c) for d, c in tried if (d.at.startswith("optimizer"), d.name) == kind] for kind in kinds]
    alone = [[pair] for pair in tried]
    several = [some for some in alike if len(some) > 1] + ([tried] if len(kinds) > 1 else [])
    trials = [*alone, *several]
    for some, of in zip(trials, attempt([[change for _, change in some] for some in trials], False), strict=False):
        if of["outside"] == []:
            return "; ".join(_sentences([different for different, _ in some]))
    # up to the update all is right, and the rule of the update is another: no number can say more
    rules = [different for different, _ in tried if different.name == "rule"]
    return _sentence(rules[0]) if rules and guilty.kind in ("state", "weight") else ""


def _sentences(differing: Sequence[Different]) -> list[str]:
    """Each once; what is so of several modules or parameters alike, of the first and so many more."""
    alike: dict[tuple[Any, ...], list[Different]] = {}
    for different in differing:
        whose = different.at.partition(", ")[0] if different.at.startswith("optimizer") else ""
        alike.setdefault((whose, different.name, different.here, different.other), []).append(different)
    return [
        _sentence(some[0]) + (f" (and so of {len(some) - 1} more)" if len(some) > 1 else "") for some in alike.values()
    ]


def _sentence(different: Different) -> str:
    if different.name == "training" and not different.other:
        return f"{different.at} is in evaluation mode there: it uses its running statistics, not the batch's"
    if different.name == "rule" and "adamw" in (different.here, different.other):
        return f"{different.sentence}: AdamW's weight decay is decoupled from the gradient, Adam's is coupled (L2)"
    return different.sentence


def _change_of(different: Different, guilty: Guilty) -> Change | None:
    """The change that gives the origin the other side's setting."""
    at, value = different.at, different.other
    if at.startswith("optimizer"):
        head, _, param = at.partition(", ")
        name = head.removeprefix("optimizer").strip()
        params = {"params": [param]} if param else {}
        if different.name == "rule":
            there = guilty.there.optimizers if guilty.there else {}
            of: OptimizerOf | None = there.get(different.there)
            settings = of.settings if of else {}
            return {"do": "rule", "at": name, "value": value, "settings": settings}
        if different.name == "is updated" and value:
            return None
        return {"do": "optimizer", "at": name, "name": different.name, "value": value} | params
    if different.name == "frozen":
        return {"do": "optimizer", "at": "", "name": "is updated", "value": False, "params": [at]}
    if different.name in ("kind", "tied") or at == "schedule":
        return None
    if different.name == "training":
        return {"do": "training", "at": at, "value": value}
    return {"do": "setting", "at": at, "name": different.name, "value": value}


def told(path: Path) -> list[dict[str, Any]]:
    """What a child has found."""
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return found
