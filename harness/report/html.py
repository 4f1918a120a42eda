"""How does a report look in a browser? One self-contained page: no network, no server, readable without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from isograd.report.curves import Chart, error_chart, loss_chart
from isograd.report.overview import backends_of, overview
from isograd.report.section import plain, rows_of, scenario_rows, short
from isograd.templates import templates

if TYPE_CHECKING:
    from isograd.assess import ScenarioResult
    from isograd.report import Report

COLOURS = 8  # of report.css; with more backends they come again, with another dash
LOSSES, WEIGHTS = 24, 64  # rows at most; the files beside the page have all

LABELS = {"loss": "Loss of each step", "free": "Error over bound, free", "resync": "Error over bound, resync"}


def html(report: Report) -> str:
    """The page, with its styles, scripts and numbers inside.

    Text from scenarios and backends is escaped by the template, and the numbers are JSON in which ``<`` is escaped. The
    page's own policy lets nothing be loaded, and no script run but its two, which it knows by their digests.
    """
    env = templates("isograd.report", True, plain)
    env.filters |= {"short": short, "parted": parted}
    told = overview(report)
    results = enumerate(report.results)
    charts = {f"{i}-{name}": chart for i, result in results for name, chart in _charts(report, result)}
    scripts = [_asset("uplot.min.js"), _asset("charts.js")]
    return env.get_template("report.html").render(
        **told,
        sections=[scenario_rows(report, result, losses=LOSSES, weights=WEIGHTS) for result in report.results],
        colours={name: place % COLOURS for place, name in enumerate(told["backends"])},
        charts=charts,
        charts_of=[[name for name in LABELS if f"{i}-{name}" in charts] for i in range(len(report.results))],
        labels=LABELS,
        curves=htmlsafe_json_dumps(charts, _json),
        scripts=[Markup(script) for script in scripts],  # ours, and without "</script"
        digests=[base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts],
        styles=[Markup(_asset(name)) for name in ("uplot.min.css", "report.css")],
    )


def _charts(report: Report, result: ScenarioResult) -> list[tuple[str, Chart]]:
    backends, first = backends_of(report), next(iter(result.truth))
    found = [("loss", loss_chart(result, first, rows_of(report.losses, result), backends))]
    found += [(mode, error_chart(result, mode, backends)) for mode in result.truth]
    return [(name, chart) for name, chart in found if chart]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _asset(name: str) -> str:
    return (files("isograd.report") / "templates" / name).read_text("utf-8")


def parted(value: str, truth: str) -> tuple[str, str]:
    """A number's digits as far as they are the truth's, and the rest.

    Example:
        >>> parted("0.98514044", "0.9851404"), parted("0.25", "0.25")
        (('0.9851404', '4'), ('0.25', ''))
    """
    if value == truth:
        return value, ""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(value, truth, strict=False)))
    same = min(same, len(value) - 1)  # of a number that stops short of the truth, its last digit
    return value[:same], value[same:]
