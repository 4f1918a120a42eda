"""Of the mistakes that people make, for how many does isograd name the cause?

python -m tests.mistakes.measure [--table GLOB] [--kinds GLOB] [--scenarios GLOB] [--told]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from isograd import run
from isograd.assess import Cell
from tests.mistakes import fifth, fourth, further, kinds, seventh, sixth, third
from tests.mistakes.kinds import Kind

EVERY = {
    f"{module.__name__}:{name}": kind
    for module in (kinds, further, third, fourth, fifth, sixth, seventh)
    for name, kind in module.KINDS.items()
}
TOGETHER = 6  # kinds of one run: what was said of them is seen before the next ones are started


@dataclass(frozen=True)
class Outcome:
    """One mistake in one scenario.

    Attributes:
        kind: the mistake's name.
        scenario: where.
        reds: the modes whose cell is red.
        came: "green", "right", "wrong", "none" or "ERROR".
        said: the causes; what went wrong, where something did.
    """

    kind: str
    scenario: str
    reds: int
    came: str
    said: str


def outcomes(chosen: dict[str, Kind], scenarios: str = "*") -> Iterator[Outcome]:
    """Every kind in its scenarios; the kinds of one run share its reference."""
    every = dict.fromkeys(scenario for kind in chosen.values() for scenario in kind.scenarios)
    for scenario in (scenario for scenario in every if fnmatchcase(scenario, scenarios)):
        here = [name for name, kind in chosen.items() if scenario in kind.scenarios]
        for start in range(0, len(here), TOGETHER):
            some = here[start : start + TOGETHER]
            cells = run(scenario, backends=some).results[0].cells
            for name in some:
                two = [cells[name, mode] for mode in ("free", "resync")]
                yield outcome(name.partition(":")[2], chosen[name], scenario, two)


def outcome(name: str, kind: Kind, scenario: str, cells: list[Cell]) -> Outcome:
    reds = [cell for cell in cells if not cell.verdict.green]
    failed = [cell for cell in reds if cell.verdict.name in ("ERROR", "UNSUPPORTED", "NONDETERMINISTIC")]
    if not reds or failed:
        said = failed[0].judgement.message if failed else ""
        return Outcome(name, scenario, len(reds), "ERROR" if failed else "green", said)
    account = next((cell.account for cell in reds if cell.account), None)
    if account is None or not account.causes:
        return Outcome(name, scenario, len(reds), "none", account.sentence if account else "no account")
    right = any(kind.accepts(trial.sentence) for trial in account.causes)
    return Outcome(name, scenario, len(reds), "right" if right else "wrong", account.sentence)


def table(found: list[Outcome]) -> str:
    """A row a kind, and the shares of all."""
    lines = [f"{'kind':22}{'red':>5}{'named':>7}{'right':>7}{'wrong':>7}{'none':>6}{'green':>7}{'error':>7}"]
    names = dict.fromkeys(o.kind for o in found)
    lines += [_row(name, [o for o in found if o.kind == name]) for name in names]
    lines.append(_row("all", found))
    judged = [o for o in found if o.came in ("right", "wrong", "none")]
    came, n = Counter(o.came for o in judged), max(len(judged), 1)
    named = came["right"] + came["wrong"]
    shares = f"right {came['right'] / n:.1%}, wrong {came['wrong'] / n:.1%}, none {came['none'] / n:.1%}"
    lines.append(f"{len(judged)} red: a cause is named in {named / n:.1%}; {shares}")
    return "\n".join(lines)


def _row(name: str, some: list[Outcome]) -> str:
    came = Counter(o.came for o in some)
    red = came["right"] + came["wrong"] + came["none"]
    named = came["right"] + came["wrong"]
    return (
        f"{name:22}{red:5}{named:7}{came['right']:7}{came['wrong']:7}{came['none']:6}{came['green']:7}{came['ERROR']:7}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default="*", help="a glob of kinds")
    parser.add_argument("--table", default="*", help="a glob of modules, as in '*further*'")
    parser.add_argument("--scenarios", default="*", help="a glob of scenarios")
    parser.add_argument("--told", action="store_true", help="print what was said of each")
    arguments = parser.parse_args()
    chosen = {name: kind for name, kind in EVERY.items() if fnmatchcase(name.partition(":")[2], arguments.kinds)}
    chosen = {name: kind for name, kind in chosen.items() if fnmatchcase(name, arguments.table)}
    found = []
    for o in outcomes(chosen, arguments.scenarios):
        found.append(o)
        if arguments.told:
            print(f"{o.kind} · {o.scenario.rpartition('/')[2]} · {o.came}: {o.said[:600]}", flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
