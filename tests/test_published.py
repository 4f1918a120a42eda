"""Is the committed report still what `make publish` would write?"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness import Report
from harness.backend import backend_names
from harness.report.html import html
from harness.report.markdown import markdown

PUBLISHED = Path(__file__).parent.parent / "reports" / "published"
CELL = ["scenario", "backend", "dtype", "mode"]
# Kernels differ between processors: a backend may be bit for bit the reference backend on one and not on another.
AGREES = {"IDENTICAL": "agrees", "EQUIVALENT": "agrees"}


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(PUBLISHED / f"{name}.csv", keep_default_na=False, na_values=[""])


def test_the_folder_holds_what_a_report_holds() -> None:
    files = "summary.csv losses.csv weights.csv findings.csv quantities.parquet run.json README.md index.html"
    assert {path.name for path in PUBLISHED.iterdir()} == set(files.split())


def test_verdicts_are_the_same(catalogue: Report) -> None:
    now = catalogue.summary
    then = read("summary")
    then = then[then.backend.isin(now.backend)]
    for frame in (now, then):
        frame["first"] = frame["first"].fillna("")
    columns = [*CELL, "verdict", "first", "step"]
    compare = lambda frame: frame[columns].replace(AGREES).astype(str).sort_values(CELL).to_numpy().tolist()  # noqa: E731
    assert compare(now) == compare(then)


@pytest.mark.parametrize(
    ("table", "keys", "quantity"),
    [
        ("losses", ["scenario", "dtype", "mode", "epoch", "step"], lambda frame: "loss"),
        (
            "weights",
            ["scenario", "dtype", "mode", "epoch", "step", "parameter", "index"],
            lambda frame: "weight/" + frame.parameter,
        ),
    ],
)
def test_numbers_are_within_their_bounds(catalogue: Report, table: str, keys: list[str], quantity) -> None:
    now, then = getattr(catalogue, table), read(table)
    assert now[keys].astype(str).to_numpy().tolist() == then[keys].astype(str).to_numpy().tolist()
    limits = catalogue.quantities.groupby(["scenario", "mode", "quantity", "step"], observed=True).bound.max()
    at = pd.MultiIndex.from_arrays([now.scenario, now["mode"], np.broadcast_to(quantity(now), len(now)), now.step])
    limit = 2 * limits.reindex(at).to_numpy()  # rounding then, and rounding now
    backends = [cell for cell in catalogue.summary.backend.unique() if cell in then.columns]
    assert backends
    for side in ["reference", *backends]:
        known = np.isfinite(limit)  # a scenario that is compared with published values has no bound for its loss
        assert (np.abs(now[side] - then[side])[known] <= limit[known]).all(), side


def test_findings_are_the_same(catalogue: Report) -> None:
    now, then = catalogue.findings, read("findings")
    texts = ["scenario", "id", "section", "status", "quantity", "index", "printed"]
    # identities name a backend each, and only those that ran are there now
    ran = then.text.str.partition(":")[0].isin(["reference", *catalogue.summary.backend]) | then.printed.notna()
    then = then[(then.id != "batch-gradient-is-mean") | ran].reset_index(drop=True)
    assert now[texts].fillna("").astype(str).to_numpy().tolist() == then[texts].fillna("").astype(str).to_numpy().tolist()
    fixed = (now.id != "batch-gradient-is-mean").to_numpy()
    np.testing.assert_allclose(now.computed[fixed], then.computed[fixed], rtol=1e-6, atol=1e-12)


def skeleton(page: str, catalogue: Report) -> list[str]:
    """The page without what may differ: numbers, versions, and which of two green verdicts."""
    for cell in (cell for result in catalogue.results for cell in result.cells.values() if cell.trace):
        for value in cell.trace.manifest.environment.values():
            page = page.replace(value, "·") if re.search(r"\d\.\d", value) else page
    page = re.sub(r"IDENTICAL|EQUIVALENT|identical|equivalent", "agrees", page)
    return re.sub(r"-?\d[\d.,]*(e[+-]?\d+)?|Infinity|inf|nan|NaN", "#", page).split()


@pytest.mark.parametrize(("name", "render"), [("README.md", markdown), ("index.html", html)])
def test_pages_say_the_same(catalogue: Report, name: str, render) -> None:
    missing = set(backend_names()) - set(catalogue.summary.backend)
    if missing:
        pytest.skip(f"the published pages show all backends; {', '.join(sorted(missing))} was not asked for")
    then = (PUBLISHED / name).read_text("utf-8")
    assert skeleton(render(catalogue), catalogue) == skeleton(then, catalogue)
