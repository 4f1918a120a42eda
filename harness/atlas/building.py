"""What do the atlas's questions and operations come to? A row for each, in every framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from isograd.api import judge
from isograd.atlas.asking import Asked
from isograd.atlas.compared import ROUNDING, Comes, Compared, compared, text_of
from isograd.atlas.operations import ALTERNATIVE, Arrays, Operation, apart, numbers_of, probes, worst
from isograd.atlas.programs import Answer, called, spelled
from isograd.atlas.questions import Family, Question
from isograd.atlas.rows import REFUSED, RULE, SETTING, SILENT, Row, Side
from isograd.atlas.solving import NARROWER, Found, solve, variants
from isograd.errors import IsogradError
from isograd.judging import Verdict
from isograd.ops.op import Op
from isograd.trace import Trace

LIMITS = ((Comes.SAME, ROUNDING), (Comes.NARROW, NARROWER))


def rows_of(name: str, family: Family, asked: Sequence[Asked]) -> Iterator[Row]:
    """All rows of a page."""
    for operation in family.operation:
        yield from operation_rows(name, operation, asked)
    yield from question_rows(name, family.question, asked)


# ---------------------------------------------------------------- questions


def question_rows(family: str, questions: Sequence[Question], asked: Sequence[Asked]) -> Iterator[Row]:
    """A row a question."""
    answers = [_answers(one, {i: q.of(one.backend) for i, q in enumerate(questions)}) for one in asked]
    others = [_answers(one, {i: q.instead.get(one.backend, "") for i, q in enumerate(questions)}) for one in asked]
    for i, question in enumerate(questions):
        sides, there = {}, [answer.get(i) for answer in answers]
        for at, one in enumerate(asked):
            answer, instead = there[at], others[at].get(i)
            if answer is None:
                continue
            rest = next((other for place, other in enumerate(there) if place != at and other is not None), None)
            left = _left(instead, rest) if instead is not None and rest is not None else ""
            sides[one.backend] = Side(
                answer=_said(answer, question, one.backend),
                program=question.of(one.backend),
                instead=question.instead.get(one.backend, ""),
                left=left,
                docs=question.docs.get(one.backend, ""),
            )
        given = [answer for answer in there if answer is not None]
        came = _two(given)
        yield Row(
            family=family,
            operation=question.operation,
            asks=question.asks,
            comes=came.comes.value if came else "",
            difference=_finite(came.difference) if came else None,
            where=came.text if came else "",
            sides=sides,
            note=question.note,
        )


def _answers(one: Asked, programs: Mapping[int, str]) -> dict[int, Answer]:
    there = {i: program for i, program in programs.items() if program}
    return dict(zip(there, one.answers(list(there.values())), strict=True))


def _two(given: Sequence[Answer]) -> Compared | None:
    if len(given) < 2:
        return None
    if any("mistake" in answer for answer in given):
        return Compared(Comes.MISTAKEN, text="a program does not run with this version")
    return compared(given[0], given[1])


def _said(answer: Answer, question: Question, backend: str) -> str:
    """In few words; and that it refuses where nobody said so, or answers where it should refuse."""
    if "mistake" in answer:
        return f"the program does not run: {answer['mistake']}"
    text = text_of(answer)
    unsaid = ("raises" in answer) != (backend in question.refuses)
    return f"{text} (not expected)" if unsaid else text


def _left(instead: Answer, other: Answer) -> str:
    if "mistake" in instead:
        return f"the program does not run: {instead['mistake']}"
    came = compared(instead, other)
    by = f"{came.difference:.2g}" if came.difference and np.isfinite(came.difference) else came.text
    return f"{came.comes.value} by {by}" if came.comes is Comes.DIFFERS else came.comes.value


def _finite(value: float) -> float | None:
    return float(f"{value:.2g}") if np.isfinite(value) else None


# ---------------------------------------------------------------- operations


class Seen(NamedTuple):
    """An operation in one framework: what its probes gave, and what was found of it; or why there is nothing."""

    came: Sequence[Arrays] = ()
    found: Found | None = None
    error: str = ""
    verdict: str = ""
    over: float | None = None


def operation_rows(family: str, operation: Operation, asked: Sequence[Asked]) -> Iterator[Row]:
    """A row for the definition, and one for each setting."""
    seen = {one.backend: _seen(operation, one) for one in asked if one.backend in operation.bare}
    told = {one.backend: _told(operation, one, seen) for one in asked if one.backend in operation.told}
    for name in [ALTERNATIVE, *operation.open]:
        row = _setting_row(family, operation, name, seen, told)
        if row:
            yield row


def _seen(operation: Operation, one: Asked) -> Seen:
    program, error = operation.bare[one.backend], ""
    for values in variants(operation):
        if error and not _is_possible(operation, values):
            continue
        traces = one.traces(operation, program, values)
        if isinstance(traces, str):
            error = error or traces
            continue
        rate = float(traces[0].columns["lr"][0]) if "lr" in values else 0.0
        if rate and rate != values["lr"]:  # slots may start from the rate
            values = {**values, "lr": rate}
            traces = one.traces(operation, program, values)
            if isinstance(traces, str):
                return Seen(error=traces)
        came = [trace.columns for trace in traces]
        found = solve(operation, came, values)
        again = one.traces(operation, program, found.settings.values)
        verdict, over = _judged(again[0]) if not isinstance(again, str) else (Verdict.ERROR.value, None)
        return Seen(came, found, verdict=verdict, over=over)
    return Seen(error=error)


def _is_possible(operation: Operation, values: Mapping[str, Any]) -> bool:
    """Whether the operation itself takes the settings."""
    try:
        probes(operation, values)
    except (ValueError, IsogradError):
        return False
    return True


def _judged(trace: Trace) -> tuple[str, float | None]:
    """The verdict of a probe of usual size by our rules, told so, and how near to its bound it came."""
    (cell,) = judge([trace])
    ratios = [float(ratio.max()) for ratio in (cell.judgement.ratios or {}).values() if ratio.size]
    return cell.verdict.value, _finite(max(ratios, default=0.0))


def _told(operation: Operation, one: Asked, seen: Mapping[str, Seen]) -> tuple[str, str]:
    """What to write in a framework for another's defaults, and what that comes to against the other's own numbers."""
    other = next((name for name in seen if name != one.backend), None)
    if other is None or seen[other].found is None:
        return "", ""
    found, own, program = _found(seen[other]), seen[one.backend].found, operation.told[one.backend]
    if not found.is_ours:  # what it is told would be settings of another rule
        return "", ""
    here = own.settings.values if own else {}
    same = {name for name, value in found.settings.values.items() if name in here and here[name] == value}
    told = called(program, _op(operation, found)).keys()
    other_rule = own and found.settings.alternative != own.settings.alternative and len(same) == len(here)
    if other_rule or not found.settings.values.keys() <= same | found.silent | told:
        return "", "no setting says it"
    text = spelled(program, _op(operation, found), same - (own.silent if own else frozenset()))
    traces = one.traces(operation, text, found.settings.values)
    if isinstance(traces, str):
        return text, f"{REFUSED}{traces.splitlines()[0]}"
    came = [trace.columns for trace in traces]
    off = apart(came, seen[other].came)
    comes = next((word for word, most in LIMITS if off <= most), Comes.DIFFERS)
    return (
        text,
        comes.value if comes is not Comes.DIFFERS else f"{comes.value} by {off:.2g}: {worst(came, seen[other].came)}",
    )


def _op(operation: Operation, found: Found) -> Op:
    """The operation with the settings that were found."""
    named = {"name": "tried"} if operation.word == "layer" else {}
    return operation.type(**{"kind": operation.kind} | named | operation.settings | dict(found.settings.values))


def _setting_row(
    family: str, operation: Operation, name: str, seen: Mapping[str, Seen], told: Mapping[str, tuple[str, str]]
) -> Row | None:
    backends = [backend for backend, of in seen.items() if of.found]
    found = [_found(seen[backend]) for backend in backends]
    if name != ALTERNATIVE and (all(name in of.silent for of in found) or not all(of.is_ours for of in found)):
        return None  # nothing shows of it here, or no value of it gives what is another rule's
    sides = {}
    for backend, of in seen.items():
        program = operation.bare[backend]
        text = called(operation.told[backend], _op(operation, of.found)).get(name, "") if of.found else ""
        instead, left = told.get(backend, ("", ""))
        sides[backend] = Side(
            answer=_value(operation, of, name, text) if of.found else f"{REFUSED}{of.error.splitlines()[0]}",
            name=text,
            program=program,
            verdict=of.verdict,
            over=of.over,
            instead=instead,
            left=left,
        )
    comes = _comes(seen, name) if len(backends) > 1 else None
    if comes is not Comes.DIFFERS:  # nothing is to be written instead
        sides = {backend: side.model_copy(update={"instead": "", "left": ""}) for backend, side in sides.items()}
    return Row(
        family=family,
        operation=operation.kind,
        asks=_asks(operation, name),
        comes=comes.value if comes else "",
        effect=_effect(operation, name, seen, backends) if comes is Comes.DIFFERS else "",
        sides=sides,
        note=operation.note,
    )


def _asks(operation: Operation, name: str) -> str:
    fixed = ", ".join(f"{key}={value}" for key, value in operation.settings.items() if not isinstance(value, dict))
    what = "its definition" if name == ALTERNATIVE else f"{name}, {SETTING}"
    shape = f"samples {'×'.join(map(str, operation.sample))}" if operation.sample else ""
    given = "; ".join(part for part in (fixed, shape) if part)
    return f"{what} ({given})" if given else what


def _found(seen: Seen) -> Found:
    assert seen.found is not None
    return seen.found


def _value(operation: Operation, seen: Seen, name: str, told: str) -> str:
    """What a framework has of a setting, in our terms, unless it is ``told`` in the same there."""
    found = _found(seen)
    if name == ALTERNATIVE:
        other = operation.type.alternatives.get(found.settings.alternative)
        known = other.sentence if other else RULE
        return known if found.is_ours else f"another: {found.where} is off by {found.apart:.2g}"
    value = found.settings.values[name]
    text = f"{value:.7g}" if isinstance(value, float) else str(value)
    as_told = told.endswith(f"={value!r}")
    said = "" if as_told else f"{text} in isograd's terms" if told else f"{text}, which cannot be told"
    said = f"{said} {SILENT}" if name in found.silent else said
    return ", ".join(part for part in (said, "kept in float32" if name in found.narrow else "") if part)


def _comes(seen: Mapping[str, Seen], name: str) -> Comes:
    first, second = (_found(of) for of in list(seen.values())[:2])
    if name == ALTERNATIVE:
        same = first.is_ours and second.is_ours and first.settings.alternative == second.settings.alternative
        narrow = max(first.apart, second.apart) > ROUNDING
        return (Comes.NARROW if narrow else Comes.SAME) if same else Comes.DIFFERS
    if first.settings.values[name] != second.settings.values[name]:
        return Comes.DIFFERS
    return Comes.NARROW if (name in first.narrow) != (name in second.narrow) else Comes.SAME


def _effect(operation: Operation, name: str, seen: Mapping[str, Seen], backends: Sequence[str]) -> str:
    """What one setting's difference changes by our rules within a step; everything else is as the first has it."""
    first, second = (_found(seen[backend]).settings for backend in backends[:2])
    value = second.alternative if name == ALTERNATIVE else second.values[name]
    if (first.alternative if name == ALTERNATIVE else first.values[name]) == value:
        return ""
    try:
        lots = [[_first(numbers) for numbers in numbers_of(operation, s)] for s in (first, first.with_(name, value))]
    except Exception as error:  # noqa: BLE001  # the two do not go together
        return f"cannot be computed: {type(error).__name__}"
    off = apart(*lots)
    if not np.isfinite(off):
        return "other parameters, or other shapes"
    return f"{off:.2g} in {worst(*lots)}" if off else "none within a step"


def _first(numbers: Arrays) -> Arrays:
    return {name: value if name == "lr" and len(numbers) == 1 else value[:1] for name, value in numbers.items()}
