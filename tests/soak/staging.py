"""Is there a whole report, and nothing left over, however many runs write it and whenever they are killed?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from isograd.report.mark import contents, foreign, read_mark
from isograd.report.staging import UNBORN, staged

tries = 0
AT_ONCE = 3

# Reports without an end, each of files that say the same number, so that a mixed one is seen.
WRITER = """
import random, sys
from isograd.report import exchange, staging
if sys.argv[2] == "renames":
    def without(one, other):
        raise OSError(38, "no exchange here")
    exchange._renameat2 = without
while True:
    number = random.random()
    with staging.staged(sys.argv[1], {"request": {"started": number}}) as new:
        for name in ("summary.csv", "losses.csv", "weights.csv", "traces/a.safetensors"):
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text(str(number))
"""


def fault(folder: Path, may_be_away: bool) -> str:
    """What is wrong with the report in a folder while nobody writes; "" if nothing is."""
    if not folder.exists():
        return "" if may_be_away else "there is no report"
    if foreign(folder):
        return foreign(folder)
    mark = read_mark(folder)
    numbers = {(folder / name).read_text() for name in contents(folder) if name != "run.json"}
    whole = mark is not None and mark["files"] == contents(folder) and numbers == {str(mark["request"]["started"])}
    return "" if whole else f"a mixed report: {numbers}"


def round_of(folder: Path, how: str, rng: np.random.Generator) -> list[str]:
    """Several writers, killed at some time; then the report is looked at, and a last run tidies up."""
    command = [sys.executable, "-c", WRITER, str(folder / "out"), how]
    writers = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(AT_ONCE)]
    time.sleep(0.3 + rng.random() * 0.7)
    early = [writer.pid for writer in writers if writer.poll() is not None]
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
    for writer in writers:
        writer.wait()
    said = ["a writer ended by itself"] if early else []
    said += [fault(folder / "out", may_be_away=how == "renames" or not any(folder.iterdir()))]
    for home in folder.glob(".out.isograd-*"):
        os.utime(home, (time.time() - 2 * UNBORN,) * 2)
    with staged(folder / "out", {"request": {"started": 0.5}}) as new:
        (new / "summary.csv").write_text("0.5")
    said += [fault(folder / "out", may_be_away=False)]
    said += [f"left over: {home.name}: {contents(home)}" for home in folder.glob(".out.isograd-*")]
    return [text for text in said if text]


def campaign(seconds: float, count: int, seed: int) -> list[str]:
    """What went wrong in so many rounds, or in so much time."""
    global tries
    rng = np.random.Generator(np.random.PCG64(seed))
    end, failures = time.monotonic() + seconds, []
    with tempfile.TemporaryDirectory(prefix="isograd-soak-") as name:
        for i in range(count):
            if time.monotonic() > end:
                break
            tries += 1
            folder = Path(name) / str(i)
            folder.mkdir()
            failures += round_of(folder, ("exchange", "renames")[i % 2], rng)
    return failures


def main(seconds: float) -> int:
    """As many as the time is enough for; the number of failures."""
    failures = campaign(seconds, 10**9, seed=int(time.time()))
    for said in failures[:20]:
        print(said)
    return len(failures)
