"""Where do a child's answers and its words arrive? A thread reads both, so that a child waits for nobody."""

from __future__ import annotations

import os
import queue
import select
import threading

from isograd.watch import PATIENCE

KEPT = 1 << 17  # bytes of what a child says, the last; whatever it says in all
ANSWER = 1 << 20  # bytes of an answer; ours are shorter
BLOCK = 1 << 16  # bytes read at a time: what a pipe holds


class Pipes:
    """One child's answers, a line each, and its log, of which the end is kept.

    Attributes:
        ends: the descriptors that the child writes to: of the answers, and of the log.
    """

    def __init__(self) -> None:
        (self.answers, answers), (self.log, log) = os.pipe(), os.pipe()
        self.ends = (answers, log)
        self.lines: queue.Queue[bytes] = queue.Queue(maxsize=8)
        self.kept = b""
        self.lock = threading.Lock()
        self.closed = False
        for end in (self.answers, self.log):
            os.set_blocking(end, False)
        self.reader = threading.Thread(target=self._listen, daemon=True)

    def started(self) -> None:
        """The child has its ends, or could not be started: from now on only it keeps them open."""
        for end in self.ends:
            os.close(end)
        self.reader.start()

    def answer(self, seconds: float) -> bytes | None:
        """The next line; b"" if there will be none, None if none came in time."""
        try:
            return self.lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return None

    def said(self) -> str:
        """The last of what the child has written to its log, up to now."""
        self._hear()
        return self.kept.decode(errors="replace")

    def close(self) -> None:
        """Stop reading, though somebody that cannot be ended may still hold the other ends."""
        self.closed = True
        self.reader.join(PATIENCE)

    def _listen(self) -> None:
        poll, line, open_ends = select.poll(), b"", {self.answers, self.log}
        for end in open_ends:
            poll.register(end, select.POLLIN)
        while open_ends and not self.closed:
            for end, _ in poll.poll(500):
                more = self._hear() if end == self.log else None
                if end == self.answers:
                    line, more = self._take(line)
                if not more:
                    poll.unregister(end)
                    open_ends.remove(end)
        with self.lock:
            for end in (self.answers, self.log):
                os.close(end)
            self.answers = self.log = -1

    def _take(self, line: bytes) -> tuple[bytes, bool]:
        """Read answers; the line that is not yet whole, and whether there can be more."""
        try:
            data = os.read(self.answers, BLOCK)
        except BlockingIOError:
            return line, True
        *whole, line = (line + data).split(b"\n")
        try:
            for text in filter(None, whole):
                self.lines.put_nowait(text)
            if not data:
                self.lines.put_nowait(b"")
            elif len(line) > ANSWER:
                self.lines.put_nowait(line[:ANSWER])
        except queue.Full:  # nobody that is asked one thing at a time says so much
            return b"", False
        return line, bool(data) and len(line) <= ANSWER

    def _hear(self) -> bool:
        """Read what there is of the log, and keep its end; whether there can be more."""
        with self.lock:
            for _ in range(KEPT // BLOCK * 4):  # not for ever: a child may write faster than this reads
                try:
                    data = os.read(self.log, BLOCK)
                except BlockingIOError:
                    return True
                except OSError:  # closed
                    return False
                if not data:
                    return False
                self.kept = (self.kept + data)[-KEPT:]
        return True
