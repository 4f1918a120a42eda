"""In which settings, defaults and answers do frameworks differ? Every row is found by running them.

The pages are in ``conventions``: operations of ours, whose settings are solved for from what a framework computes with
none given, and questions, which are programs in each framework.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from isograd.atlas.asking import Asked
from isograd.atlas.building import rows_of
from isograd.atlas.questions import families
from isograd.atlas.rows import Atlas, Row
from isograd.describe import describe
from isograd.errors import BackendError, IsogradError
from isograd.scratch import scratch


def frameworks() -> list[str]:
    """The backends that the pages have programs for, in the order in which they name them."""
    named = [name for page in families().values() for operation in page.operation for name in operation.bare]
    named += [name for page in families().values() for question in page.question for name in question.program]
    return list(dict.fromkeys(named))


def build(
    pages: Sequence[str] = (),
    *,
    backends: Sequence[str] | None = None,
    progress: Callable[[str], object] | None = None,
) -> Atlas:
    """Ask every framework everything.

    Args:
        pages: names of pages; all without any.
        backends: names of backends; those that the pages have programs for, and that are installed, without.
        progress: told of each page that is done.

    Raises:
        IsogradError: there is no such page, or no framework to ask.
    """
    known = families()
    unknown = [page for page in pages if page not in known]
    if unknown:
        raise IsogradError(f"page {unknown[0]!r}: expected one of {', '.join(known)}")
    for name in backends or ():
        if name not in frameworks():
            raise BackendError(f"backend {name!r}: the pages have programs for {', '.join(frameworks())}")
    chosen = {name: known[name] for name in pages or known}
    about = {name: describe(name) for name in backends or frameworks()}
    absent = {name: of.absent for name, of in about.items() if of.absent}
    if backends and absent:
        raise BackendError("; ".join(f"backend {name!r}: {why}" for name, why in absent.items()))
    present = [name for name in about if name not in absent]
    if not present:
        raise BackendError(f"none of {', '.join(about)} is installed")
    rows: list[Row] = []
    with scratch() as folder, ExitStack() as stack:
        asked = [Asked(name, folder) for name in present]
        for one in asked:
            stack.callback(one.close)
        for name, page in chosen.items():
            rows += rows_of(name, page, asked)
            if progress:
                progress(f"{page.title}: {sum(row.family == name for row in rows)} rows")
    titles = {name: page.title for name, page in chosen.items()}
    return Atlas(versions={name: str(about[name].version) for name in present}, titles=titles, rows=tuple(rows))
