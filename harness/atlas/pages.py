"""How is the atlas written down? Markdown a page, one table for a spreadsheet, and a page with a search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from rich.console import RenderableType
from rich.table import Table

from isograd.atlas.compared import Comes
from isograd.atlas.rows import Atlas, Row
from isograd.errors import IsogradError
from isograd.report.staging import staged
from isograd.templates import templates

NAME = "atlas.json"


def write(atlas: Atlas, folder: str | Path) -> Path:
    """Write ``README.md``, a Markdown page for each family, ``atlas.csv``, ``atlas.json`` and ``index.html``.

    Raises:
        ReportError: the folder holds something other than a report, or cannot be written.
    """
    given = {"atlas": atlas, "counts": counts(atlas), "signs": SIGNS}
    markdown, page = templates("isograd.atlas", False, _in_cell), templates("isograd.atlas", True)
    with staged(folder, {"versions": dict(atlas.versions)}) as staging:
        (staging / NAME).write_text(atlas.model_dump_json(indent=1, exclude_defaults=True) + "\n", "utf-8")
        table(atlas).to_csv(staging / "atlas.csv", index=False, lineterminator="\n")
        (staging / "README.md").write_text(markdown.get_template("README.md").render(**given), "utf-8")
        for family, title in atlas.titles.items():
            text = markdown.get_template("family.md").render(title=title, rows=atlas.of(family), **given)
            (staging / f"{family}.md").write_text(text, "utf-8")
        (staging / "index.html").write_text(page.get_template("index.html").render(**given), "utf-8")
    return Path(folder)


SIGNS = {Comes.SAME: "=", Comes.NARROW: "≈", Comes.DIFFERS: "≠", Comes.REFUSED: "✗", Comes.MISTAKEN: "!"}


def read(path: Path) -> Atlas:
    """An atlas that was written.

    Raises:
        IsogradError: there is none.
    """
    try:
        return Atlas.model_validate_json(path.read_bytes())
    except OSError as error:
        raise IsogradError(f"{path}: expected an atlas to compare with: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        text = "expected an atlas of this version, as `isograd atlas --out` writes it"
        raise IsogradError(f"{path}: {text}; {where or 'it'}: {first['msg']}") from None


def counts(atlas: Atlas) -> Mapping[str, Mapping[str, int]]:
    """By page, how many rows come to what; "" are those of one framework alone."""
    return {
        family: {word: sum(row.comes == word for row in atlas.of(family)) for word in [*(c.value for c in Comes), ""]}
        for family in atlas.titles
    }


def counts_table(atlas: Atlas) -> RenderableType:
    """How many rows of each page come to what, for a terminal."""
    words = [*(word.value for word in Comes), ""]
    table = Table(header_style="bold", title=" and ".join(f"{k} {v}" for k, v in atlas.versions.items()))
    for column in ("page", "rows", *words[:-1], "one alone"):
        table.add_column(column, justify="left" if column == "page" else "right")
    for family, of in counts(atlas).items():
        table.add_row(atlas.titles[family], str(sum(of.values())), *(str(of[word] or "") for word in words))
    return table


def table(atlas: Atlas) -> pd.DataFrame:
    """A row a row; each framework's columns have its name."""
    return pd.DataFrame([_flat(row, atlas) for row in atlas.rows])


def _flat(row: Row, atlas: Atlas) -> dict[str, Any]:
    flat: dict[str, Any] = {"family": row.family, "operation": row.operation, "asks": row.asks, "comes": row.comes}
    for name in atlas.versions:
        side = row.sides.get(name)
        of = {"answer": side.answer, "told": side.name, "verdict": side.verdict, "over": side.over} if side else {}
        of |= {"program": side.program, "instead": side.instead, "left": side.left, "docs": side.docs} if side else {}
        flat |= {f"{name}_{word}": of.get(word, "") for word in COLUMNS}
    return flat | {"difference": row.difference, "where": row.where, "effect": row.effect, "note": row.note}


COLUMNS = ("answer", "told", "verdict", "over", "program", "instead", "left", "docs")


def _in_cell(value: Any) -> Any:
    """Text as a Markdown table's cell holds it: in one line, without a column's end."""
    return value.replace("|", "\\|").replace("\n", "<br>") if isinstance(value, str) else value
