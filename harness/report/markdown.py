"""How does a report look on a code host? One Markdown page, compact: what has many rows is thinned, not cut off."""

from __future__ import annotations

import html
import re
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from isograd.report.overview import overview
from isograd.report.section import plain, scenario_rows, short
from isograd.templates import templates

if TYPE_CHECKING:
    from isograd.report import Report

LOSSES, WEIGHTS, WORST = 12, 16, 5  # rows at most; the files beside the page have all

SPECIAL = re.compile(r"[\\`*_\[\]|~$#@!]")
"""What Markdown, or GitHub's reading of it (mathematics, mentions, strikethrough), takes for more than itself."""


def markdown(report: Report) -> str:
    """The page. Every value that the template prints is escaped, for Markdown and for HTML."""
    sections = [scenario_rows(report, result, losses=LOSSES, weights=WEIGHTS) for result in report.results]
    for section in sections:
        section["worst"] = _worst(section)
    return rendered("report.md", **overview(report), sections=sections)


def rendered(template: str, **told: Any) -> str:
    """A template's page, without the blank lines that its statements leave."""
    env = templates("isograd.report", True, escaped)
    env.filters |= {"code": code, "pre": pre, "short": short}
    return re.sub(r"\n{3,}", "\n\n", env.get_template(template).render(isograd=version("isograd"), **told))


def _worst(section: dict[str, Any]) -> list[dict[str, Any]]:
    """The quantities that come nearest to their bounds or are outside, worst first, each where it is worst."""
    rows = [
        {"name": row["name"], "backend": backend, "modes": modes, **cell}
        for row in section["quantities"]
        for (backend, modes), cell in zip(section["columns"], row["cells"], strict=True)
        if cell and not cell["problem"]
    ]
    rows.sort(key=lambda row: -row["ratio"])
    worst = {row["name"]: row for row in reversed(rows)}
    return sorted(worst.values(), key=lambda row: -row["ratio"])[:WORST]


def escaped(value: Any) -> Markup:
    r"""A value as text that stays on its line and in its cell, and means nothing to Markdown or HTML.

    Example:
        >>> print(escaped("a|b <i>"), escaped("grad_x"))
        a\|b &lt;i&gt; grad\_x
    """
    if isinstance(value, Markup):
        return value
    line = " ".join(plain(str(value)).splitlines())
    return Markup(SPECIAL.sub(r"\\\g<0>", html.escape(line, quote=False)))


def code(value: str) -> Markup:
    """A name as code; as plain text where it holds what would end the code or the cell."""
    return escaped(value) if re.search(r"^$|[^ -~]|[`|<>&]", value) else Markup(f"`{value}`")


def pre(value: str) -> Markup:
    """Lines as they are."""
    return Markup("<pre>\n{}\n</pre>").format(plain(value))
