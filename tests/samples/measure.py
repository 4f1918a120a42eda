"""Of PyTorch's samples of its modules, which train in PaddlePaddle as they do in PyTorch?

python -m tests.samples.measure [--modules GLOB,…] [--told]
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any

from isograd.judging import FACTOR, Verdict
from isograd.ports.checking import RUNS, Checking
from isograd.ports.request import port_of
from isograd.ports.result import Cell
from isograd.ports.sides import Files, SideError, Work, working
from isograd.ports.without import Without
from isograd.report.ports import Checked
from isograd.scratch import scratch
from tests.samples.found import found_of, not_run
from tests.samples.listed import Sample, names, samples_of
from tests.samples.pairs import Layer, Unsupported, layer_of
from tests.samples.sides import keep

ROOT = Path(__file__).parents[2]
STEPS, MODES, TOGETHER, TIMEOUT = 1, ("resync",), 24, 60.0
"""One step is all that there is to see: nothing but running statistics is kept from step to step."""

GREEN, EXPECTED, FINDING, RED, UNSUPPORTED, ERROR = KINDS = (
    "green",
    "EXPECTED",
    "finding",
    "red",
    "unsupported",
    "error",
)

PORT = """
import sys
sys.path.insert(0, {root!r})
from tests.samples import sides

def torch():
    return sides.torch({folder!r})

def paddle():
    return sides.paddle({folder!r})

def batches():
    return sides.batches({folder!r})
"""


@dataclass(frozen=True)
class Row:
    """What came of one sample."""

    sample: Sample
    kind: str
    why: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of one check.

    Attributes:
        kind: of `KINDS`.
        why: in words.
        first: the first quantity that differs, where one does.
        of: what of it is certainly one sample's, by its name.
    """

    kind: str
    why: str = ""
    first: str = ""
    of: Mapping[str, Outcome] = field(default_factory=dict)


Pair = tuple[Sample, Layer]


@dataclass
class Checker:
    """Checks samples, many at a time, in the same two processes."""

    folder: Path
    works: Sequence[Work]
    spare: Work

    def __post_init__(self) -> None:
        self.numbers = count()

    def rows(self, samples: Sequence[Sample]) -> Iterator[Row]:
        """A row a sample."""
        pairs = []
        for sample in samples:
            try:
                layer = layer_of(sample)
            except Unsupported as error:
                yield Row(sample, UNSUPPORTED, str(error))
                continue
            if found := not_run(sample):
                yield Row(sample, FINDING, found.heading)
            else:
                pairs.append((sample, layer))
        for at in range(0, len(pairs), TOGETHER):
            yield from self._judged(pairs[at : at + TOGETHER])

    def _judged(self, pairs: Sequence[Pair]) -> Iterator[Row]:
        """All at once. What is certainly one sample's is told of that one, and the others are checked without it."""
        outcome = self._outcome(pairs)
        if outcome.kind == GREEN or len(pairs) == 1:
            yield from (row_of(sample, outcome) for sample, _ in pairs)
            return
        apart = {name: outcome.of[name] for name in outcome.of if any(name == sample.name for sample, _ in pairs)}
        yield from (row_of(sample, apart[sample.name]) for sample, _ in pairs if sample.name in apart)
        rest = [pair for pair in pairs if pair[0].name not in apart]
        middle = len(rest) // 2
        for some in (rest,) if apart else (rest[:middle], rest[middle:]):
            if some:
                yield from self._judged(some)

    def _outcome(self, pairs: Sequence[Pair]) -> Outcome:
        try:
            return outcome_of(self.checked(pairs))
        except SideError as error:
            return Outcome(ERROR, str(error))

    def checked(self, pairs: Sequence[Pair]) -> Checked:
        """One port of which each sample is a branch."""
        folder = self.folder / f"port{next(self.numbers)}"
        folder.mkdir()
        keep(folder, pairs)
        file = folder / f"{folder.name}.py"
        file.write_text(PORT.format(root=str(ROOT), folder=str(folder)), "utf-8")
        port = port_of([str(file)])
        for work, side in zip((*self.works, self.spare), (*port.sides, port.sides[0]), strict=True):
            work.side = side
        options = ({}, Without(), False, RUNS, FACTOR, lambda text: None)
        return Uncaused(port, self.works, self.spare, Files(folder), MODES, STEPS, *options).result()


class Uncaused(Checking):
    """Without a search for causes: of many samples at once there are several."""

    def _cause(self, *_: Any) -> str:
        return ""


@contextmanager
def checker() -> Iterator[Checker]:
    """With its processes, which end with the block."""
    with scratch() as folder:
        file = folder / "none.py"
        file.write_text(PORT.format(root=str(ROOT), folder=str(folder)), "utf-8")
        with working(port_of([str(file)]), TIMEOUT) as (works, spare):
            yield Checker(folder, works, spare)


def outcome_of(checked: Checked) -> Outcome:
    """What a port comes to, and why; and what of that is one sample's."""
    cells = [(result.side, cell) for result in checked.results for cell in result.cells.values()]
    for side, cell in cells:
        if cell.verdict is Verdict.ERROR:
            return Outcome(ERROR, f"{side}: {cell.judgement.message}")
    wrong = [(side, cell) for side, cell in cells if not cell.verdict.green]
    if wrong:
        side, cell = wrong[0]
        found = cell.judgement
        of = {sample: outcome for side, cell in reversed(wrong) for sample, outcome in _outside(side, cell)}
        return Outcome(RED, f"{side}, {cell.stage}: {cell.verdict}, {found.message}", found.first, of)
    said = dict.fromkeys(cell.judgement.message for _, cell in cells if cell.verdict is Verdict.EXPECTED)
    of = {
        sample_in(convention.quantity): Outcome(EXPECTED, convention.reason)
        for _, cell in cells
        for convention in cell.conventions
    }
    return Outcome(EXPECTED, "; ".join(said), of=of) if said else Outcome(GREEN)


def _outside(side: str, cell: Cell) -> Iterator[tuple[str, Outcome]]:
    """Each sample of which something is outside, with the first that is."""
    ratios = cell.judgement.ratios or {}
    for name in reversed([name for name, column in ratios.items() if not (column <= 1).all()]):
        why = f"{side}, {cell.stage}: {cell.verdict} {name}, {float(ratios[name].max()):.3g} bounds"
        yield sample_in(name), Outcome(RED, why, name)


def sample_in(quantity: str) -> str:
    """The sample whose a quantity is."""
    return re.sub(r"^[a-z]+/(of\.)?([^.]*).*$", r"\2", quantity)


def row_of(sample: Sample, outcome: Outcome) -> Row:
    """A sample's: what is red for a reason that is written down is a finding."""
    found = found_of(sample, outcome.first) if outcome.kind in (RED, ERROR) else None
    return Row(sample, FINDING, found.heading) if found else Row(sample, outcome.kind, outcome.why)


def measured(modules: Sequence[str]) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each module's samples."""
    with checker() as of:
        for module in modules:
            rows = list(of.rows(samples_of(module)))
            yield module, sorted(rows, key=lambda row: row.sample.number)


def line(name: str, rows: Sequence[Row]) -> str:
    """A line of the table."""
    kinds = Counter(row.kind for row in rows)
    return f"{name:28}{len(rows):8}" + "".join(f"{kinds[kind]:13}" for kind in KINDS)


def main() -> None:
    """Print a line a module, and the sum."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", default="*", help="names, or globs, with commas between them")
    parser.add_argument("--told", action="store_true", help="say of each sample that is not green why")
    options = parser.parse_args()
    globs = options.modules.split(",")
    print(f"{'':28}{'samples':>8}" + "".join(f"{kind:>13}" for kind in KINDS))
    everything: list[Row] = []
    for module, rows in measured([name for name in names() if any(fnmatchcase(name, glob) for glob in globs)]):
        everything += rows
        print(line(module, rows), flush=True)
        reasons = Counter((row.kind, row.why) for row in rows if row.kind == UNSUPPORTED)
        for (kind, why), number in reasons.items():
            print(f"    {number} {kind}: {why}", flush=True)
        for row in rows if options.told else ():
            if row.kind not in (GREEN, UNSUPPORTED):
                print(f"    {row.sample.number} {row.sample.said}: {row.kind}: {row.why}"[:400], flush=True)
    print(line("all", everything))


if __name__ == "__main__":
    main()
