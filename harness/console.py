"""How does a text get to the terminal? As it is meant to look, and without an end to the program where nobody reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment

from isograd.visible import visible

PIPED = 1000  # columns where there is no terminal, whose edge would cut names and verdicts


class SafeConsole(Console):
    """A console that shows what it is given, and steers the terminal by styles alone.

    Texts of scenarios, backends and file names may hold anything: no brackets are markup, and escape sequences are
    shown. Where nothing can be written (the pipe's reader is gone, the disk is full), the rest is dropped.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False)
        self.push_render_hook(_Shown())
        self.lost: OSError | None = None

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, as `rich.console.Console.print` does; after what could not be written, nothing more."""
        try:
            super().print(*objects, **options)
        except OSError as error:
            self._lose(error)

    def on_broken_pipe(self) -> None:
        """Whoever read has enough; that is no failure."""
        self._lose(BrokenPipeError())

    def fit(self) -> None:
        """Get ready for what this process writes to: unbroken lines where it is no terminal, any encoding."""
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = PIPED
        if isinstance(self.file, TextIOWrapper):
            self.file.reconfigure(errors="backslashreplace")

    def _lose(self, error: OSError) -> None:
        self.lost, self.quiet = error, True
        drop(sys.stderr if self.stderr else sys.stdout)
        if not self.stderr and not isinstance(error, BrokenPipeError):
            with suppress(OSError):
                sys.stderr.write(f"isograd: standard output cannot be written: {error.strerror}\n")


def drop(file: Any) -> None:
    """Write nowhere what is still to be written to a file, or Python itself would try again when it ends."""
    with suppress(OSError, AttributeError, ValueError):  # none (closed from the start), or no file of the system's
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)


class _Shown(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Visible(renderable) for renderable in renderables]


class _Visible:
    """Something that is rendered with all its texts made visible."""

    def __init__(self, inner: ConsoleRenderable) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)
