"""Of the slips that people make in ports, how many are red, at the right place, and named rightly?

python -m tests.slips.measure [--port GLOB] [--slips GLOB] [--told]
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from isograd.judging import Verdict
from isograd.ports.checking import check
from isograd.ports.result import RULES, Result
from isograd.structure import Structure

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "scenarios" / "ports"
SLOTS = {"exp_avg_sq": "v", "exp_avg": "m", "momentum_buffer": "velocity", "square_avg": "v"}
TOGETHER = 4
"""Slips that are checked beside one origin: each is a process of its own."""


@dataclass(frozen=True)
class Row:
    """What came of one slip."""

    port: str
    slip: str
    red: bool
    placed: bool
    named: str  # right, wrong or none
    told: str


def listed(port: str) -> dict[str, tuple[str, int, str]]:
    """Each slip's first quantity, step and pattern, asked in a process of its own: they import a framework."""
    import json
    import subprocess
    import sys

    code = (
        "import json, sys; from tests import slips; "
        f"print('\\n' + json.dumps({{n: [s.first, s.step, s.says] for n, s in slips.of({port!r}).items()}}))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name: tuple(of) for name, of in json.loads(out.splitlines()[-1]).items()}


def measured(port: str, names: Sequence[str], steps: int = 3) -> Iterator[Row]:
    """A row a slip."""
    of = listed(port)
    chosen = [name for name in of if any(fnmatchcase(name, glob) for glob in names)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"slips_{port}.py"
        lines = ["import sys", f"sys.path.insert(0, {str(ROOT)!r})"]
        for name in chosen:
            lines += [
                f"def {name}():",
                f"    from tests.slips import find; return find({f'{port}/{name}'!r}).program()",
            ]
        file.write_text("\n".join(lines) + "\n", "utf-8")
        for at in range(0, len(chosen), TOGETHER):
            some = chosen[at : at + TOGETHER]
            others = (f"{file}:{name}" for name in some)
            checked = check(f"{FOLDER / port / 'port.py'}:torch", *others, steps=steps, mode="resync")
            for result in checked.results[1:]:
                yield row(port, result, checked.origin, *of[result.side])


def row(port: str, result: Result, origin: Structure | None, first: str, step: int, says: str) -> Row:
    """Whether it is red, whether the first quantity and step are right, and what is said of the cause."""
    cell = result.cells.get(RULES, result.deciding)
    red = cell.verdict in (Verdict.DIVERGES, Verdict.ERROR)
    found = cell.judgement
    for theirs, ours in SLOTS.items():
        first = first.replace(theirs, ours)
    globs = [*first.replace("#", ":").split("|"), *(["lr"] if "weight/" in first else [])]
    seen = {found.first, of_weights(result, origin)}
    placed = found.step in (step, None) and any(fnmatchcase(name, glob) for name in seen for glob in globs)
    said = result.cause or (found.message if "pairing" in result.cells else "")
    named = "none" if not said else "right" if re.search(says, said) else "wrong"
    told = f"{cell.verdict} {found.first} step {found.step}; {said or found.message}"
    return Row(port, result.side, red, placed or found.structural, named, f"{told} [{first} {step}]")


def of_weights(result: Result, origin: Structure | None) -> str:
    """The first quantity outside that is not the output of a module without parameters: the tables know no others."""
    found = result.cells[RULES].judgement if RULES in result.cells else None
    if found is None or found.step is None or origin is None:
        return ""
    bare = {unit.name for unit in origin.units if not unit.params}
    outside = [name for name, ratios in (found.ratios or {}).items() if not ratios[found.step] <= 1]
    return next((name for name in outside if name.partition("/")[2].partition(":")[0] not in bare), "")


def main() -> None:
    """Print a line a port."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="*")
    parser.add_argument("--slips", default="*")
    parser.add_argument("--told", action="store_true")
    options = parser.parse_args()
    everything: list[Row] = []
    for port in sorted(path.stem for path in Path(__file__).parent.glob("*.py")):
        if (FOLDER / port).is_dir() and fnmatchcase(port, options.port):
            for one in measured(port, options.slips.split(",")):
                everything.append(one)
                if options.told and (not one.red or not one.placed or one.named != "right"):
                    print(
                        f"{one.port}/{one.slip}: red {one.red}, placed {one.placed}, {one.named}: {one.told}"[:400],
                        flush=True,
                    )
            print(line(port, [one for one in everything if one.port == port]), flush=True)
    print(line("all", everything))


def line(name: str, rows: Sequence[Row]) -> str:
    """How many are red, placed and named."""
    of = len(rows) or 1
    named = {what: sum(row.named == what for row in rows) for what in ("right", "wrong", "none")}
    red, placed = sum(row.red for row in rows), sum(row.placed for row in rows)
    shares = "  ".join(f"{what} {100 * number / of:.1f} %" for what, number in named.items())
    where = f"red {100 * red / of:.1f} %  first right {100 * placed / of:.1f} %"
    return f"{name:14} {len(rows):4} slips: {where}  named {shares}"


if __name__ == "__main__":
    main()
