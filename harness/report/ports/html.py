"""How does what came of a port look in a browser? One self-contained page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isograd.report.page import page
from isograd.report.ports.curves import charts
from isograd.report.ports.modules import module_tree
from isograd.report.ports.rows import loss_rows, told, weight_rows

if TYPE_CHECKING:
    from isograd.report.ports import Checked

LOSSES, WEIGHTS = 24, 24  # rows at most; the files beside the page have all


def html(checked: Checked) -> str:
    """The page, with its styles, scripts and numbers inside."""
    rows = told(checked)
    drawn = charts(checked, rows["stages"])
    return page(
        "port.html",
        {name: chart for name, (_, chart) in drawn.items()},
        rows["sides"],
        **rows,
        labels={name: label for name, (label, _) in drawn.items()},
        charts_of={sort: [name for name in drawn if name.startswith(sort)] for sort in ("loss", "error")},
        modules=module_tree(checked),
        losses=loss_rows(checked, LOSSES),
        weights=weight_rows(checked, WEIGHTS),
    )
