"""How does a report look in a browser? One self-contained page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isograd.report.curves import Chart, error_chart, loss_chart
from isograd.report.overview import backends_of, overview
from isograd.report.page import page
from isograd.report.section import rows_of, scenario_rows

if TYPE_CHECKING:
    from isograd.assess import ScenarioResult
    from isograd.report import Report

LOSSES, WEIGHTS = 24, 64  # rows at most; the files beside the page have all

LABELS = {"loss": "Loss of each step", "free": "Error over bound, free", "resync": "Error over bound, resync"}


def html(report: Report) -> str:
    """The page, with its styles, scripts and numbers inside."""
    told = overview(report)
    results = enumerate(report.results)
    charts = {f"{i}-{name}": chart for i, result in results for name, chart in _charts(report, result)}
    return page(
        "report.html",
        charts,
        told["backends"],
        **told,
        sections=[scenario_rows(report, result, losses=LOSSES, weights=WEIGHTS) for result in report.results],
        charts_of=[[name for name in LABELS if f"{i}-{name}" in charts] for i in range(len(report.results))],
        labels=LABELS,
    )


def _charts(report: Report, result: ScenarioResult) -> list[tuple[str, Chart]]:
    backends, first = backends_of(report), next(iter(result.truth))
    found = [("loss", loss_chart(result, first, rows_of(report.losses, result), backends))]
    found += [(mode, error_chart(result, mode, backends)) for mode in result.truth]
    return [(name, chart) for name, chart in found if chart]
