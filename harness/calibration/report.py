"""How is a calibration written down? The tables as CSV, the curve as SVG, and a page that reads well on a code host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isograd.calibration import Calibration, share
from isograd.calibration.causes import Causes
from isograd.calibration.outside import GREEN, Outside
from isograd.report.staging import staged
from isograd.templates import templates

QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
WIDTH, HEIGHT, DECADES = 640, 300, 5
"""The curve's size in pixels, and how many powers of ten its logarithmic axis shows below 1."""


def write(calibration: Calibration, folder: str | Path) -> Path:
    """Write ``README.md``, ``curve.svg`` and a CSV file for each table of cells, whole or not at all.

    Raises:
        ReportError: the folder holds something other than a report, or cannot be written.
    """
    environment = templates("isograd.calibration", False)
    with staged(folder, {"factor": calibration.factor, **calibration.request}) as staging:
        tables = {name: getattr(calibration, name) for name in ("curve", "clean", "faults")}
        tables |= {name: getattr(calibration.outside, name) for name in ("tables", "wide", "planted", "overflows")}
        for name, table in tables.items():
            table.to_csv(staging / f"{name}.csv", index=False, lineterminator="\n", float_format="%.6g")
        (staging / "curve.svg").write_text(environment.get_template("curve.svg").render(**curve(calibration)), "utf-8")
        (staging / "README.md").write_text(environment.get_template("README.md").render(**page(calibration)), "utf-8")
    return Path(folder)


def write_causes(causes: Causes, folder: str | Path) -> Path:
    """Write ``README.md``, ``single.csv``, ``pairs.csv``, ``strangers.csv`` and ``seconds.csv``, whole or not at all.

    Raises:
        ReportError: the folder holds something other than a report, or cannot be written.
    """
    single = causes.counted
    pairs = causes.pairs[causes.pairs.above_rounding]
    rows = {
        "request": causes.request,
        "goals": _rows(causes.goals),
        "faults": [
            {"id": name, "cells": len(of), "named": int(of.named.sum()), "wrong": int(of.wrong.sum())}
            for name, of in single.groupby("id", sort=True)
        ],
        "missed": _rows(single[~single.named | single.wrong]),
        "pairs": _rows(pairs[~pairs.named]),
        "strangers": _rows(causes.strangers[causes.strangers.wrong]),
        "kinds": sorted(set(causes.strangers.fault)),
        "described": int((causes.single.above_rounding & causes.single.described).sum()),
        "seconds": causes.single.seconds.quantile([0.5, 0.9, 1.0]).tolist(),
    }
    with staged(folder, causes.request) as staging:
        for name in ("single", "pairs", "strangers", "seconds"):
            getattr(causes, name).to_csv(staging / f"{name}.csv", index=False, lineterminator="\n", float_format="%.4g")
        page = templates("isograd.calibration", False).get_template("causes.md").render(**rows)
        (staging / "README.md").write_text(page, "utf-8")
    return Path(folder)


def page(calibration: Calibration) -> dict[str, Any]:
    """What the page prints."""
    clean, above = calibration.clean, calibration.above
    n = len(clean)
    over = clean.least_factor.to_numpy() > calibration.factor
    below = calibration.faults[~calibration.faults.above_rounding]
    return {
        "request": calibration.request,
        "factor": calibration.factor,
        "goals": _rows(calibration.goals),
        "tools": _rows(calibration.tools),
        "quantiles": QUANTILES,
        "spread": [
            {
                "dtype": dtype,
                "kind": kind,
                "cells": len(rows),
                "at": rows.least_factor.quantile(list(QUANTILES)).tolist(),
            }
            for (dtype, kind), rows in clean.groupby(["dtype", "kind"], sort=True)
        ],
        "alarms": {"over": int(over.sum()), "of": n, "high": share(over)[2], "where": _where(clean[over])},
        "curve": _rows(calibration.curve[calibration.curve.factor.isin(_shown(calibration))]),
        "faults": [
            {
                "id": name,
                "cells": len(rows),
                "found": int((~rows.green).sum()),
                "first": _first(rows[rows.well_defined]),
                "least": float(rows.least_factor.min()),
            }
            for name, rows in above.groupby("id", sort=True)
        ],
        "below": {"cells": len(below), "green": int(below.green.sum())},
        "below_ids": [
            {"id": name, "cells": len(rows), "green": int(rows.green.sum())}
            for name, rows in below.groupby("id", sort=True)
        ],
        "outside": _outside(calibration.outside),
        "missed": _rows(above[above.green]),
        "wrong": _rows(calibration.backends[~calibration.backends.verdict.isin(("IDENTICAL", "EQUIVALENT"))]),
        "misnamed": _rows(calibration.well_defined[~calibration.first_right]),
    }


def _outside(outside: Outside) -> dict[str, Any]:
    """Long tables and overflows: by dtype and backend, how near to the bound, and how much was compared."""
    overflows, planted = outside.overflows, outside.planted[outside.planted.above_rounding]
    return {
        "tables": _furthest(outside.tables),
        "wide": _furthest(outside.wide),
        "overflows": [
            {
                "dtype": dtype,
                "backend": backend,
                "cells": len(of),
                "green": int(of.verdict.isin(GREEN).sum()),
                "apart": int(of.makes_numbers_of_nan.sum()),
                "vacuous": int((of.verdict == "VACUOUS").sum()),
                "compared": float(of.compared.median()),
            }
            for (dtype, backend), of in overflows.groupby(["dtype", "backend"], sort=True)
        ],
        "planted": {
            "above": len(planted),
            "of": len(outside.planted),
            "found": int((~outside.planted.green.astype(bool)).sum()),
        },
        "red": _rows(outside.red),
    }


def _furthest(cells: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {"dtype": dtype, "backend": backend, "cells": len(of), "most": float(of.least_factor.max())}
        for (dtype, backend), of in cells.groupby(["dtype", "backend"], sort=True)
    ]


def curve(calibration: Calibration) -> dict[str, Any]:
    """The points of the two lines, on logarithmic axes."""
    rows = calibration.curve

    def x(factors: Any) -> Any:
        position = np.log(np.asarray(factors) / rows.factor.min()) / np.log(rows.factor.max() / rows.factor.min())
        return WIDTH * position

    def y(shares: Any) -> Any:
        return HEIGHT * -np.log10(np.maximum(shares, 10.0**-DECADES)) / DECADES

    return {
        "width": WIDTH,
        "height": HEIGHT,
        "backends": _path(x(rows.factor), y(rows.backends)),
        "alarms": _path(x(rows.factor), y(rows.false_alarms)),
        "missed": _path(x(rows.factor), y(1 - rows.found)),
        "factor": f"{calibration.factor:g}",
        "at": f"{x(calibration.factor):.1f}",
        "ticks": [(f"{x(factor):.1f}", f"{factor:g}") for factor in (0.5, 1, 2, 4, 8, 16, 32, 64)],
        "levels": [(f"{HEIGHT * i / DECADES:.1f}", f"1e-{i}" if i else "1") for i in range(DECADES + 1)],
    }


def _path(x: Any, y: Any) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _shown(calibration: Calibration) -> list[float]:
    factors = calibration.curve.factor.to_numpy()
    wanted = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 16, 32, 64)
    return [float(factors[np.abs(np.log(factors / f)).argmin()]) for f in wanted]


def _where(rows: pd.DataFrame) -> str:
    """How many of which kind and dtype."""
    counts = (rows.kind + " " + rows.dtype).value_counts()
    return ", ".join(f"{n} {which}" for which, n in counts.items())


def _first(rows: pd.DataFrame) -> str:
    right = (rows["first"] == rows.expected_first) & (rows.step == rows.expected_step)
    return f"{int(right.sum())} of {len(rows)}"
