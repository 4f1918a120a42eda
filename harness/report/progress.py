"""How far is a run? A bar on a terminal, a plain line a job when piped."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from isograd.children import Answer


class Progress:
    """Told of every job as it is done, and of their number before."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        self.bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.tasks: dict[str, TaskID] = {}
        self.shares: dict[tuple[str, str], float] = {}
        self.started = time.monotonic()

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def planned(self, backend: str, jobs: int) -> None:
        """So many jobs will be asked of a backend."""
        self.tasks[backend] = self.bars.add_task(backend, total=jobs)

    def done(self, backend: str, scenario: str, mode: str, answer: Answer) -> None:
        """A job is done."""
        self.bars.advance(self.tasks[backend])
        if not self.console.is_terminal:
            outcome = answer.error or (
                f"unsupported: {', '.join(answer.unsupported)}" if answer.unsupported else "done"
            )
            line = f"{backend} {scenario} {mode} {answer.seconds:.2f} s {outcome}"
            self.console.print(line, soft_wrap=True)

    def oracle(self, scenario: str, mode: str, share: float) -> None:
        """So much more of the oracle's work on a scenario in one mode is done, 1 in all."""
        self.bars.advance(self.tasks["oracle"], share)
        before = self.shares.get((scenario, mode), 0.0)
        self.shares[scenario, mode] = before + share
        if not self.console.is_terminal and before + share > 1 - 1e-9 >= before:
            line = f"oracle {scenario} {mode} done, {time.monotonic() - self.started:.2f} s after the start"
            self.console.print(line, soft_wrap=True)
