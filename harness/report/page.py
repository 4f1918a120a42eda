"""How is a page made? Of a template, with styles, scripts and numbers inside: no network, no server."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from itertools import takewhile
from typing import Any

from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from isograd.report.curves import Chart
from isograd.report.section import plain, short
from isograd.templates import templates

COLOURS = 8  # of report.css; with more sides they come again, with another dash


def page(template: str, charts: Mapping[str, Chart], coloured: Sequence[str], **told: Any) -> str:
    """The page, readable without JavaScript.

    Text from outside is escaped by the template, and the numbers are JSON in which ``<`` is escaped. The page's own
    policy lets nothing be loaded, and no script run but its two, which it knows by their digests.

    Args:
        template: its name.
        charts: by the names that the template has for them.
        coloured: what has a colour of its own, as curves have.
        **told: everything else that the template says.
    """
    env = templates("isograd.report", True, plain)
    env.filters |= {"short": short, "parted": parted}
    scripts = [_asset("uplot.min.js"), _asset("charts.js")]
    return env.get_template(template).render(
        **told,
        isograd=version("isograd"),
        colours={name: place % COLOURS for place, name in enumerate(coloured)},
        charts=charts,
        curves=htmlsafe_json_dumps(charts, _json),
        scripts=[Markup(script) for script in scripts],  # ours, and without "</script"
        digests=[base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts],
        styles=[Markup(_asset(name)) for name in ("uplot.min.css", "report.css")],
    )


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
