"""The reports of a run: small CSV tables and one page, made from the merged statistics alone."""

from collections.abc import Iterable, Sequence

from pipelines import agreement
from pipelines.names import folder_of
from pipelines.page import render_page
from pipelines.statistics import RunStatistics, Tally, total_confidence
from pipelines.storage import OutputFolder
from reports.tables import encode_csv
from schemas import failure
from schemas.digit import CLASSES
from schemas.manifest import Manifest, Part

REPORTS = "reports"
"""Folder of the CSV reports within the output."""

PAGE = "report.html"
"""The page, in the output folder."""

_SUMMARY_HEADER = ("scope", "folder", "digit", "scored", "failed", "mean_confidence")

Row = Sequence[object]


def write_reports(output: OutputFolder, statistics: RunStatistics, manifest: Manifest) -> tuple[Part, ...]:
    """Writes `reports/*.csv` and the page, and returns them as parts of the run.

    `confusion.csv` is there only when labels are known, `agreement.csv` only with a challenger.
    """
    tables = {
        "summary.csv": [_SUMMARY_HEADER, *summary_rows(statistics)],
        "failures.csv": [_header(failure.COLUMNS), *failure_rows(statistics)],
    }
    if statistics.labelled:
        tables["confusion.csv"] = [("label", *range(CLASSES)), *confusion_rows(statistics)]
    if manifest.challenger is not None:
        tables["agreement.csv"] = [agreement.HEADER, *agreement.agreement_rows(statistics.agreements)]
    parts = [
        _write(output, f"{REPORTS}/{name}", encode_csv(rows), rows=len(rows) - 1)
        for name, rows in tables.items()
    ]
    page = render_page(statistics, manifest).encode()
    return (*parts, _write(output, PAGE, page, rows=0))


def summary_rows(statistics: RunStatistics) -> Iterable[Row]:
    """Yields counts and mean confidence: of all, per digit, per folder, per folder and digit.

    Failed images have no digit, so `failed` stands only in rows of all and of a folder.
    """
    failed: dict[str, int] = {}
    for failed_image in statistics.failures:
        folder = folder_of(failed_image.image)
        failed[folder] = failed.get(folder, 0) + 1
    folders = sorted({tally.folder for tally in statistics.tallies} | set(failed))
    yield ("all", "", "", *_counts(statistics.tallies, failed=len(statistics.failures)))
    for digit in range(CLASSES):
        yield ("digit", "", digit, *_counts(t for t in statistics.tallies if t.digit == digit))
    by_folder: dict[str, list[Tally]] = {folder: [] for folder in folders}
    for tally in statistics.tallies:
        by_folder[tally.folder].append(tally)
    for folder, tallies in by_folder.items():
        yield ("folder", folder, "", *_counts(tallies, failed=failed.get(folder, 0)))
    for tally in statistics.tallies:
        yield ("folder_digit", tally.folder, tally.digit, *_counts([tally]))


def failure_rows(statistics: RunStatistics) -> Iterable[Row]:
    """Yields the failed images, as `schemas.failure.COLUMNS` has them."""
    for failed in statistics.failures:
        yield tuple(getattr(failed, described.name) for described in failure.COLUMNS)


def confusion_rows(statistics: RunStatistics) -> Iterable[Row]:
    """Yields for each true digit how many images of it were taken for each digit."""
    for label, counts in enumerate(statistics.confusion):
        yield (label, *counts)


def _counts(tallies: Iterable[Tally], *, failed: int | str = "") -> Row:
    group = list(tallies)
    images = sum(tally.images for tally in group)
    mean = f"{total_confidence(group) / images:.6f}" if images else ""
    return images, failed, mean


def _header(columns: Iterable) -> Row:
    return tuple(described.name for described in columns)


def _write(output: OutputFolder, name: str, data: bytes, *, rows: int) -> Part:
    output.replace(name, data)
    return Part.of(name, data, rows=rows)
