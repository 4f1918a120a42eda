"""Which files does a report have, and what is in each?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from isograd.ports.maps import map_of
from isograd.report.staging import Staging, encoded, staged
from isograd.visible import as_cell

if TYPE_CHECKING:
    import pandas as pd

    from isograd.report import Difference, Report
    from isograd.report.ports import Checked


def write(report: Report, folder: Path) -> Path:
    """All files of a report, whole or not at all.

    Raises:
        ReportError: the folder holds something other than a report, or cannot be written.
    """
    with Staging(folder) as staging:
        publish(report, staging)
    return folder


def publish(report: Report, staging: Staging) -> list[str]:
    """All files of a report, beside the traces that were recorded there; `Staging.publish` gives what is returned."""
    from isograd.report.html import html
    from isograd.report.markdown import markdown

    folder = staging.open()
    with staging.writing():
        for name in ("summary", "losses", "weights", "findings"):
            _csv(getattr(report, name), folder / f"{name}.csv")
        _parquet(report.quantities, folder / "quantities.parquet")
        (folder / "README.md").write_bytes(encoded(markdown(report)))
        (folder / "index.html").write_bytes(encoded(html(report)))
    return staging.publish(manifest(report))


def write_difference(difference: Difference, folder: Path) -> Path:
    """The two tables of a comparison, and the manifests of its sides."""
    with staged(folder, {"a": difference.a.model_dump(), "b": difference.b.model_dump()}) as staging:
        _csv(difference.summary, staging / "summary.csv")
        _parquet(difference.quantities, staging / "quantities.parquet")
    return folder


def write_port(checked: Checked, folder: Path) -> Path:
    """All files of what came of a port, whole or not at all.

    Raises:
        ReportError: the folder holds something other than a report, or cannot be written.
    """
    from isograd.report.ports.html import html
    from isograd.report.ports.markdown import markdown
    from isograd.report.ports.text import plain_text

    with staged(folder, {"green": checked.green, "port": checked.port.name}) as staging:
        for name in ("summary", "losses", "weights"):
            _csv(getattr(checked, name), staging / f"{name}.csv")
        _parquet(checked.quantities, staging / "quantities.parquet")
        texts = {"map.json": map_of(checked.results), "report.txt": plain_text(checked)}
        texts |= {"README.md": markdown(checked), "index.html": html(checked)}
        for name, text in texts.items():
            (staging / name).write_bytes(encoded(text))
    return folder


def manifest(report: Report) -> dict[str, Any]:
    """What was asked for, what ran where, and how long each job took."""
    cells = [(result, cell) for result in report.results for cell in result.cells.values()]
    return {
        "green": report.green,
        "request": dict(report.request),
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


def _csv(frame: pd.DataFrame, path: Path) -> None:
    """A table as CSV, whose texts are safe in a spreadsheet; numbers stay as they are."""
    texts = frame.select_dtypes(include=["object", "string"]).columns
    shown = frame.assign(**{name: frame[name].map(lambda x: as_cell(x) if isinstance(x, str) else x) for name in texts})
    shown.rename(columns=as_cell).to_csv(path, index=False, lineterminator="\n")


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    with path.open("wb") as file:  # pyarrow opens no path that is not UTF-8
        frame.to_parquet(file, compression="zstd")
