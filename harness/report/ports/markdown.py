"""How does what came of a port look on a code host? One Markdown page, compact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isograd.report.markdown import rendered
from isograd.report.ports.modules import module_tree
from isograd.report.ports.rows import all_rows, loss_rows, told, weight_rows

if TYPE_CHECKING:
    from isograd.report.ports import Checked

LOSSES, WEIGHTS, MODULES, PAIRS = 12, 8, 24, 48  # rows at most; the files beside the page have all


def markdown(checked: Checked) -> str:
    """The page. Every value that the template prints is escaped, for Markdown and for HTML."""
    modules = module_tree(checked)
    rows = list(all_rows(modules)) if modules else []
    red = [row for row in rows if not row["green"]]
    return rendered(
        "port.md",
        **told(checked),
        modules=modules,
        red=red[:MODULES],
        more=len(red) - MODULES,
        losses=loss_rows(checked, LOSSES),
        weights=weight_rows(checked, WEIGHTS),
        pairs=PAIRS,
    )
