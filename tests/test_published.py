"""Is the committed report still what `make publish` would write?"""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isograd.backend import backend_names
from isograd.judging import FACTOR
from isograd.report.html import html
from isograd.report.markdown import markdown
from tests.conftest import Catalogue

PUBLISHED = Path(__file__).parent.parent / "reports" / "published"
CELL = ["scenario", "backend", "dtype", "mode"]
# Kernels differ between processors: a backend may be bit for bit the reference backend on one and not on another.
AGREES = {"IDENTICAL": "agrees", "EQUIVALENT": "agrees"}


def read(source: Path | io.StringIO) -> pd.DataFrame:
    return pd.read_csv(source, keep_default_na=False, na_values=["nan"]).fillna(np.nan)


def both(catalogue: Catalogue, table: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A table of today's run and the published one, read alike; of the latter, the backends that ran."""
    now = read(io.StringIO(getattr(catalogue.report, table).to_csv(index=False)))
    then = read(PUBLISHED / f"{table}.csv")
    if "backend" in then:
        then = then[then.backend.isin(now.backend)]
    return now, then.reset_index(drop=True)


def test_the_folder_holds_what_a_report_holds() -> None:
    files = "summary.csv losses.csv weights.csv findings.csv quantities.parquet run.json README.md index.html"
    assert {path.name for path in PUBLISHED.iterdir()} == set(files.split())


def test_verdicts_are_the_same(catalogue: Catalogue) -> None:
    now, then = (
        frame[[*CELL, "verdict", "first", "step"]].replace(AGREES).sort_values(CELL, ignore_index=True)
        for frame in both(catalogue, "summary")
    )
    pd.testing.assert_frame_equal(now, then)


def bounds(catalogue: Catalogue, rows: pd.DataFrame) -> np.ndarray:
    """How far rounding can push the number of each row of the losses or the weights."""
    envelopes = {result.scenario.name: result.reference.envelope for result in catalogue.report.results}
    found = [
        envelopes[row.scenario][row.mode][f"weight/{row.parameter}"][row.step, *json.loads(row.index_)]
        if "parameter" in rows
        else envelopes[row.scenario][row.mode]["loss"][row.step]
        for row in rows.rename(columns={"index": "index_"}).itertuples(index=False)
    ]
    return FACTOR * np.array(found)


RUN = ["scenario", "dtype", "mode", "epoch", "step"]


@pytest.mark.parametrize(("table", "keys"), [("losses", RUN), ("weights", [*RUN, "parameter", "index"])])
def test_numbers_are_within_their_bounds(catalogue: Catalogue, table: str, keys: list[str]) -> None:
    now, then = both(catalogue, table)
    pd.testing.assert_frame_equal(now[keys], then[keys])
    limit = 2 * bounds(catalogue, now)  # rounding then, and rounding now
    for side in ["reference", *catalogue.report.summary.backend.unique()]:
        if side in then:
            assert (np.abs(now[side] - then[side]) <= limit).all(), side


def test_findings_are_the_same(catalogue: Catalogue) -> None:
    now, then = both(catalogue, "findings")
    absent = set(backend_names()) - set(catalogue.report.summary.backend)
    of_absent = then.text.str.partition(":")[0].isin(absent)  # identities name a backend each
    then = then[~of_absent].reset_index(drop=True)
    texts = ["scenario", "id", "section", "status", "quantity", "index", "printed"]
    fixed = now.id != "batch-gradient-is-mean"  # where in a run the largest difference lies is rounding's business
    pd.testing.assert_frame_equal(now.loc[fixed, texts], then.loc[fixed, texts])
    numbers = [pd.to_numeric(frame.computed[fixed]) for frame in (now, then)]
    np.testing.assert_allclose(*numbers, rtol=1e-6, atol=1e-12)


# A row of README.md's tables of the quantities with the largest errors: the quantity, three numbers, backend and mode.
LARGEST = re.compile(r"(?m)^\| `[a-z/_.]+` ((?:\| \S+ ){3}\|) [^|\n]+, (?:free|resync) \|$")


def skeleton(page: str, catalogue: Catalogue) -> list[str]:
    """The page without what may differ: numbers, versions, and what depends on the processor.

    Kernels add up in the order that suits a processor, so their last digits differ, and with them: which of two green
    verdicts it is; from which digit on a number is not the truth's; in which quantities the largest errors lie; and
    which points a curve needs. These are left out. How large errors may be is for
    `test_numbers_are_within_their_bounds`.
    """
    for cell in (cell for result in catalogue.report.results for cell in result.cells.values() if cell.trace):
        for value in cell.trace.manifest.environment.values():
            page = page.replace(value, "#") if re.search(r"\d\.\d", value) else page
    page = re.sub(r"IDENTICAL|EQUIVALENT|identical|equivalent", "agrees", page)
    page = re.sub(r"[=≈](</span>agrees| agrees)", r"\1", page)
    page = re.sub(r"-?\d[\d.,]*(e[+-]?\d+)?|Infinity|inf|nan|NaN", "#", page)
    page = re.sub(r"#<b>#</b>", "#", page)
    page = re.sub(r"\[(#|null)(,(#|null))*\]", "[#]", page)
    page = re.sub(r'"quantities":\[[^]]*\]', '"quantities":[#]', page)  # those with an error, in a curve's order
    return LARGEST.sub(r"| # \1 # |", page).split()


@pytest.mark.parametrize(("name", "render"), [("README.md", markdown), ("index.html", html)])
def test_pages_say_the_same(catalogue: Catalogue, name: str, render) -> None:
    missing = set(backend_names()) - set(catalogue.report.summary.backend)
    if missing:
        pytest.skip(f"the published pages show all backends; {', '.join(sorted(missing))} was not asked for")
    then = (PUBLISHED / name).read_text("utf-8")
    assert skeleton(render(catalogue.report), catalogue) == skeleton(then, catalogue)


def test_a_number_that_was_changed_is_noticed(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.read_csv(PUBLISHED / "losses.csv")
    frame.loc[637, "reference"] += 1.0
    frame.to_csv(tmp_path / "losses.csv", index=False)
    monkeypatch.setattr("tests.test_published.PUBLISHED", tmp_path)
    with pytest.raises(AssertionError, match="reference"):
        test_numbers_are_within_their_bounds(catalogue, "losses", RUN)
