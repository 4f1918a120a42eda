"""How is what somebody else's code says made fit to be shown? Valid text, of bounded length."""

from __future__ import annotations

from collections.abc import Iterable

TAIL = 12  # lines of what a failed child said that are worth showing, and of the stack where it was
LINE = 1000  # characters of each, and of an exception's message
LONG = 4 * LINE  # characters of a message of our own, which may quote somebody else's
SLACK = 40  # characters that a clipped text has beyond its limit, at most
IMPORTS = '  File "<frozen importlib'  # frames between an import and the file that it runs
FATAL, STACK = "Fatal Python error: ", "(most recent call first):"  # what faulthandler writes


def clean(text: str) -> str:
    """``text`` with visible replacements for what is no text in a file: lone surrogates, and NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def clipped(text: str, limit: int = LINE) -> str:
    """The first ``limit`` characters, and how many there were; what was clipped before stays as it is."""
    return text if len(text) <= limit + SLACK else f"{text[:limit]}… ({len(text)} characters)"


def said_of(error: BaseException, *, named: bool = True) -> str:
    """An exception's class, if it is to be ``named``, and its words, whatever its ``__str__`` does."""
    try:
        words = str(error)
    except BaseException as other:  # noqa: BLE001  # somebody else's `__str__`
        words = f"(its text cannot be shown: {type(other).__name__})"
    return clipped(clean(f"{type(error).__name__}: {words}" if named else words))


def last_words(said: str, *, hung: bool = False) -> str:
    """The last lines that a child wrote; where faulthandler wrote its stacks, that of the thread that matters.

    Args:
        said: the end of what it wrote.
        hung: the stacks were asked for, because it hung.
    """
    lines = [clipped(line.rstrip("\r").rpartition("\r")[2]) for line in clean(said).rstrip().split("\n")]
    starts = [i for i, line in enumerate(lines) if line.startswith(FATAL)]
    if not starts:
        return "\n".join(lines[-TAIL:])
    before, dump = "\n".join(lines[: starts[-1]]).rstrip().split("\n"), lines[starts[-1] :]
    head = "it hung here, most recent call first:" if hung else dump[0]
    return "\n".join([*filter(None, before[-TAIL:]), head, *_stack(dump)])


def _stack(dump: Iterable[str]) -> list[str]:
    """The frames of the thread that took the signal; of the main one, which comes last, if that has none."""
    stacks: list[tuple[str, list[str]]] = []
    for line in dump:
        if line.endswith(STACK):
            stacks.append((line, []))
        elif stacks and line.startswith("  File ") and not line.startswith(IMPORTS):
            stacks[-1][1].append(line)
    shown = [frames for head, frames in stacks if frames and head.startswith("Current thread")]
    shown += [frames for _, frames in reversed(stacks) if frames]
    return shown[0][:TAIL] if shown else []
