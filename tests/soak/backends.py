"""Do backends that misbehave, drawn at random, take a report away or leave anything? ``python -m tests.soak``."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from isograd import Report, Scenario, load_scenario, run
from isograd.errors import IsogradError
from tests.conftest import REFERENCE
from tests.misbehaving import ENVIRONMENTS, FAULTS, MISSING, PLACES, RETURNED
from tests.test_misbehaving import RIGHT, TEXT, processes

BACKENDS = 12  # of a run, and so of a try
TIMEOUT = 6.0  # seconds that a hang is waited for
NOT_ALONE = {"removes_temporary_folders"}  # whose faults cost others' cells, in the same folder


def main(seconds: float) -> int:
    """Runs of backends drawn at random, for so long; the number of those after which something was wrong."""
    tries = failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder, mark = Path(name), f"ISOGRAD_TEST_MARK={uuid.uuid4()}"
        os.environ.update([mark.split("=")])
        os.environ["TMPDIR"] = tempfile.tempdir = name
        scenarios = list(_scenarios(folder))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            backends = _backends(np.random.Generator(np.random.PCG64(tries)))
            wrong = _wrong(backends, scenarios, folder, mark)
            tries, failures = tries + 1, failures + bool(wrong)
            for text in wrong:
                print(f"backends, run {tries}: {text}: {','.join(backends)}", file=sys.stderr)
    tempfile.tempdir = None
    print(f"backends: {tries} runs of {BACKENDS} backends, {failures} with something wrong")
    return failures


def _scenarios(folder: Path) -> Iterator[Scenario]:
    for name in ("wrecked", "after"):
        (folder / f"{name}.toml").write_text(TEXT, encoding="utf-8")
        yield load_scenario(folder / f"{name}.toml")


def _backends(rng: np.random.Generator) -> list[str]:
    """One or two faults each, in any places; some in a process of their own, some in one that many share."""
    kinds = {place: list(FAULTS) for place in PLACES}
    kinds |= {"returns": list(RETURNED), "environ": list(ENVIRONMENTS), "missing": list(MISSING)}
    backends = []
    for _ in range(BACKENDS):
        chosen = rng.choice(list(kinds), size=rng.integers(1, 3), replace=False)
        options = {str(kind): str(rng.choice(kinds[kind])) for kind in chosen}
        ((place, fault), *_) = options.items()
        alone = place in PLACES and rng.random() < 0.5
        text = ",".join(f"{key}={value}" for key, value in options.items())
        backends.append(f"tests.misbehaving:{place}_{fault}" if alone else f"tests.misbehaving:Faulty[{text}]")
    return list(dict.fromkeys(backends))


def _wrong(backends: list[str], scenarios: list[Scenario], folder: Path, mark: str) -> list[str]:
    """What was wrong after a run of these backends beside the right one."""
    found = list(_judged(backends, scenarios, folder))
    left = [path.name for path in folder.glob("isograd-*")]
    found += [f"left in the temporary folder: {left}"] if left else []
    if running := processes(mark):
        found.append(f"{len(running)} processes are left")
        for pid in running:
            os.kill(pid, signal.SIGKILL)
    return found


def _judged(backends: list[str], scenarios: list[Scenario], folder: Path) -> Iterator[str]:
    names = [REFERENCE, *backends]
    try:
        report = run(scenarios, backends=names, timeout=TIMEOUT, jobs=6, causes=False)
        _without_pairs(report).write(folder / "report")
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # each is a failure, IsogradError too
        yield f"{'refused' if isinstance(error, IsogradError) else 'aborted'}: {error!r}"
        return
    for result in report.results:
        if {backend for backend, _ in result.cells} != set(names):
            yield f"{result.scenario.name} has no cell of some"
        for (backend, _), cell in result.cells.items():
            if not cell.judgement.message and cell.verdict not in RIGHT:
                yield f"{backend} is {cell.verdict} without a word"
    if not any(fault in name for fault in NOT_ALONE for name in backends):
        wrong = [cell.verdict for r in report.results for (b, _), cell in r.cells.items() if b == REFERENCE]
        if set(wrong) - {"IDENTICAL"}:
            yield f"{REFERENCE} is {wrong}"


def _without_pairs(report: Report) -> Report:
    return replace(report, results=tuple(replace(r, compare_pairs=lambda: iter(())) for r in report.results))


if __name__ == "__main__":
    sys.exit(bool(main(float(sys.argv[1]) if len(sys.argv) > 1 else 60.0)))
