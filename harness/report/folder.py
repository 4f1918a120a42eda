"""How does a report get onto the disk? Beside, then renamed: whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import ReportError

if TYPE_CHECKING:
    import pandas as pd

    from harness.report import Difference, Report

MARK = "run.json"  # a folder that holds it is a report, and may be replaced by one


def write(report: Report, folder: Path) -> Path:
    """All files of a report, and its traces where they were recorded into the staging folder."""
    from harness.report.html import html
    from harness.report.markdown import markdown

    if Path(str(report.request.get("traces"))) != staging_of(folder) / "traces":
        _remove(staging_of(folder))  # what an interrupted run left there is not this report's
    with staged(folder) as staging:
        for name in ("summary", "losses", "weights", "findings"):
            _csv(getattr(report, name), staging / f"{name}.csv")
        report.quantities.to_parquet(staging / "quantities.parquet", compression="zstd")
        (staging / MARK).write_text(json.dumps(manifest(report), indent=1, ensure_ascii=False) + "\n", "utf-8")
        (staging / "README.md").write_text(markdown(report), "utf-8")
        (staging / "index.html").write_text(html(report), "utf-8")
    return folder


def write_difference(difference: Difference, folder: Path) -> Path:
    """The two tables of a comparison, and the manifests of its sides."""
    with staged(folder) as staging:
        _csv(difference.summary, staging / "summary.csv")
        difference.quantities.to_parquet(staging / "quantities.parquet", compression="zstd")
        sides = {"isograd": version("isograd"), "a": difference.a.model_dump(), "b": difference.b.model_dump()}
        (staging / MARK).write_text(json.dumps(sides, indent=1) + "\n", "utf-8")
    return folder


def manifest(report: Report) -> dict[str, Any]:
    """What was asked for, what ran where, and how long each job took."""
    cells = [(result, cell) for result in report.results for cell in result.cells.values()]
    return {
        "isograd": version("isograd"),
        "green": report.green,
        "request": {key: value for key, value in report.request.items() if key != "traces"},
        "absent": dict(report.absent),
        "environments": {
            cell.backend: cell.trace.manifest.environment if cell.trace else cell.answer.environment
            for _, cell in cells
        },
        "platform": next((cell.trace.manifest.platform for _, cell in cells if cell.trace), ""),
        "jobs": [
            {
                "scenario": result.scenario.name,
                "backend": cell.backend,
                "mode": cell.mode,
                "verdict": str(cell.verdict),
                "fingerprint": cell.trace.manifest.fingerprint if cell.trace else "",
                "seconds": round(cell.answer.seconds, 3),
                "tail": cell.answer.tail,
            }
            for result, cell in cells
        ],
    }


def staging_of(folder: Path) -> Path:
    """Where a report is put together before it takes its place; what an interrupted run leaves behind lies there."""
    return folder.with_name(f"{folder.name}.partial")


def check_replaceable(folder: Path) -> None:
    """ReportError unless ``folder`` is free, empty, or a report."""
    if folder.exists() and not folder.is_dir():
        raise ReportError(f"{folder}: expected a folder to write the report to; it is a file")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).is_file():
        raise ReportError(f"{folder}: holds files that are no report of isograd; choose an empty or a new folder")


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes ``folder``'s place when all is written; on failure, the old stays."""
    check_replaceable(folder)
    staging, old = staging_of(folder), folder.with_name(f"{folder.name}.old")
    try:
        staging.mkdir(parents=True, exist_ok=True)
        yield staging
        if folder.exists():
            _remove(old)
            folder.rename(old)
        staging.rename(folder)
        _remove(old)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise ReportError(f"{folder}: the report cannot be written: {error}; what was there is unchanged") from error


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, lineterminator="\n")
