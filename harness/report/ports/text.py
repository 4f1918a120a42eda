"""What does a person see of a checked port? The verdict, what decided it, and why green is green."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from isograd.judging import describe
from isograd.ports.result import RULES, STARTS, Cell, Result, Stage
from isograd.report.ports import Checked
from isograd.report.text import STYLE
from isograd.visible import visible

MANY = 8  # settings that are listed; more of one kind are one mistake


def checked_text(checked: Checked) -> RenderableType:
    """A row a side, a column a stage; below, for each side what decides and what is known of it."""
    stages = stages_of(checked)
    table = Table(header_style="bold", title=_title(checked), title_justify="left")
    table.add_column("side", overflow="fold")
    for heading in stages.values():
        table.add_column(heading, overflow="fold")
    for result in checked.results:
        cells = [result.cells.get(stage) for stage in stages]
        table.add_row(Text(result.side), *(_cell_text(cell) for cell in cells))
    lines: list[RenderableType] = []
    if not checked.bounded and checked.origin is not None:
        words = f"{checked.origin.framework} has no noisy runs: the rules are judged to some 10⁻⁶, and rounding is not"
        lines.append(Text(words, "yellow"))
    return Group(table, *lines, *(line for result in checked.results for line in _behind(checked, result)))


WIDTH = 160  # columns of the text in a file


def plain_text(checked: Checked) -> str:
    """The same for a file."""
    file = StringIO()
    Console(file=file, width=WIDTH).print(checked_text(checked), soft_wrap=True)
    return visible(file.getvalue())


def _title(checked: Checked) -> Text:
    origin, first = checked.port.sides[0].label, checked.origin
    if first is None:
        return Text(checked.port.name)
    judged = f"judged against {origin} ({first.framework} {first.version}) in float64"
    return Text(f"{checked.port.name}: {checked.steps} steps, {judged}")


def stages_of(checked: Checked) -> dict[Stage, str]:
    """What the stages are called, in the order in which they decide."""
    found = dict.fromkeys(stage for result in checked.results for stage in result.cells)
    dtype = checked.origin.dtype if checked.origin else ""
    names = {RULES: "rules (float64)", "resync": f"step by step ({dtype})", "free": f"free ({dtype})"}
    return {stage: names.get(stage, stage) for stage in sorted(found, key=lambda stage: stage != RULES)}


def _cell_text(cell: Cell | None) -> Text:
    if cell is None:
        return Text("the truth", "dim")
    text = Text(str(cell.verdict), STYLE.get(cell.verdict, "bold red"))
    if cell.comparison is not None and not cell.judgement.structural:
        text.append(f"\n{cell.judgement.error_over_bound:.2g} of the bound", "dim")
    if cell.judgement.first and not cell.verdict.green:
        text.append(f"\n{cell.judgement.first}\nstep {cell.judgement.step}", "red")
    return text


def _behind(checked: Checked, result: Result) -> Iterator[RenderableType]:
    cell = result.deciding
    if not cell.verdict.green:
        yield Text(f"{result.side}: {cell.verdict} ({cell.stage}): {cell.judgement.message}", "red")
        if result.cause:
            yield Padding(Text(f"cause: {result.cause}", "bold"), (0, 0, 0, 4), expand=False)
        yield from (Padding(Text(line, "dim"), (0, 0, 0, 4), expand=False) for line in cell.tail.splitlines()[-12:])
    elif result.pairing is not None:
        yield Text(f"{result.side}: {green_sentence(result)}", "green")
    begin = result.cells.get(STARTS)
    if begin is not None and not begin.verdict.green and begin is not cell:
        yield Padding(Text(f"starts: {begin.judgement.message}", "red"), (0, 0, 0, 4), expand=False)
    for words in said(result):
        yield Padding(Text(words, "cyan"), (0, 0, 0, 4), expand=False)
    if result.pairing is not None and result.pairing.how != "name":
        pairs = len(result.pairing.params)
        yield Padding(
            Text(f"paired by {result.pairing.how}: {pairs} parameters and buffers", "dim"), (0, 0, 0, 4), expand=False
        )
    for module, reason in result.left_out.items() if result.pairing is not None else ():
        yield Padding(Text(f"left out: {module}: {reason or 'no reason given'}", "magenta"), (0, 0, 0, 4), expand=False)
    for line in _settings(result):
        yield Padding(Text(line, "yellow"), (0, 0, 0, 4), expand=False)


def said(result: Result) -> list[str]:
    """What is known to be otherwise on a side; the same of several modules, or stages, once."""
    return list(dict.fromkeys(words for of in result.cells.values() if of.verdict.green for words in _said(of)))


def _said(cell: Cell) -> list[str]:
    reasons = [convention.reason.partition(" (n = ")[0] for convention in cell.conventions]
    rest = [words for words in cell.judgement.message.split("; ") if words and "(n = " not in words]
    return [*reasons, *rest]


def green_sentence(result: Result) -> str:
    """Why it is green: most questions about ports are about nothing but rounding."""
    cells = [cell for cell in result.cells.values() if cell.comparison is not None]
    if not cells:
        return "nothing was compared"
    worst = max(cells, key=lambda cell: cell.judgement.error_over_bound)
    ratios = worst.judgement.ratios or {}
    name = max(ratios, key=lambda quantity: float(ratios[quantity].max()))
    assert worst.comparison is not None
    where = describe(worst.comparison, name, int(ratios[name].argmax()), worst.judgement.limit)
    return f"the largest difference is {worst.judgement.error_over_bound:.2g} of what rounding may do here: {where}"


def _settings(result: Result) -> list[str]:
    lines = [different.sentence for different in result.settings]
    more = [f"… and {len(lines) - MANY} more settings that differ"] if len(lines) > MANY else []
    return [f"setting: {line}" for line in lines[:MANY]] + more


def failure(checked: Checked) -> str:
    """Everything that is not green, for an assertion's message."""
    lines = [f"{checked.port.name}: the sides do not train alike:"]
    for result in checked.results:
        if not result.green:
            cell = result.deciding
            lines.append(f"  {result.side}: {cell.verdict} ({cell.stage}): {cell.judgement.message}")
            lines += [f"    cause: {result.cause}"] if result.cause else []
            lines += [f"    setting: {different.sentence}" for different in result.settings[:MANY]]
            lines += [f"    | {line}" for line in cell.tail.splitlines()]
    return "\n".join(lines)
