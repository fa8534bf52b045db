"""Metrics by digit and by folder: rows of the report page's tables and of `digits.csv`."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from digitmill.reports.numbers import NONE, Cell, count_cell, share_cell
from digitmill.reports.precision_recall import ClassRates, class_rates
from digitmill.storage.names import folder_of, readable
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.tallies import Tally, sum_tallies

MAX_FOLDERS: Final = 200
"""Folders on the page; all of them are in `summary.csv`."""

DIGITS_HEADER: Final = (
    "digit", "predicted", "labelled", "right", "precision", "recall", "f1", "mean_confidence", "accepted"
)  # fmt: skip
"""Columns of `digits.csv`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitMetrics(ClassRates):
    """Metrics of one digit, with the mean confidence of the images predicted as it; None without any."""

    digit: int
    predicted: int
    accepted: int
    confidence: float | None

    def cells(self, *, labelled: bool, scored: int) -> Iterator[Cell]:
        """Yield the cells of the digit's row on the page, as `digit_columns` titles them."""
        yield str(self.digit), self.digit
        yield count_cell(self.predicted)
        yield _ratio_cell(self.predicted, scored)
        yield _ratio_cell(self.accepted, self.predicted)
        yield (NONE if self.confidence is None else f"{self.confidence:.4f}"), self.confidence
        yield from map(share_cell, (self.precision, self.recall, self.f1) if labelled else ())

    def row(self) -> tuple[object, ...]:
        """Return the digit's row in `digits.csv`."""
        rates = (self.precision, self.recall, self.f1, self.confidence)
        precision, recall, f1, confidence = ("" if rate is None else f"{rate:.6f}" for rate in rates)
        counts = (self.digit, self.predicted, self.labelled, self.right)
        return (*counts, precision, recall, f1, confidence, self.accepted)


def digit_metrics(statistics: RunStatistics) -> list[DigitMetrics]:
    """Return the metrics of all digits, in order."""
    metrics = []
    for digit, rates in enumerate(class_rates(statistics.confusion)):
        tally = sum_tallies(tally for tally in statistics.tallies if tally.digit == digit)
        metrics.append(
            DigitMetrics(
                digit=digit,
                predicted=tally.images,
                accepted=tally.accepted,
                confidence=tally.mean_confidence,
                **vars(rates),
            )
        )
    return metrics


def digit_columns(*, labelled: bool) -> list[str]:
    """Return the titles of `DigitMetrics.cells`."""
    titles = ["Digit", "Images", "Share", "Accepted", "Mean confidence"]
    return titles + (["Precision", "Recall", "F1"] if labelled else [])


@dataclasses.dataclass(frozen=True)
class FolderMetrics:
    """Metrics of one folder: its URI, failed images, and counts of the scored ones."""

    folder: str
    failed: int
    tally: Tally

    @property
    def needs_attention(self) -> int:
        """Images that a person should look at: for review, failed, or wrong."""
        return self.failed + self.tally.review + self.tally.wrong

    def cells(self, *, labelled: bool) -> Iterator[Cell]:
        """Yield the cells of the folder's row on the page, as `folder_columns` titles them."""
        tally, mean = self.tally, self.tally.mean_confidence
        yield readable(self.folder), None
        yield count_cell(tally.images + self.failed)
        yield count_cell(self.failed)
        yield count_cell(tally.review)
        yield _ratio_cell(tally.review, tally.images)
        yield (NONE if mean is None else f"{mean:.4f}"), mean
        if labelled:
            yield _ratio_cell(tally.right, tally.labelled, decimals=2)
            yield count_cell(tally.wrong)


def folder_metrics(statistics: RunStatistics) -> list[FolderMetrics]:
    """Return the metrics of all folders, sorted by name."""
    failed = collections.Counter(folder_of(failure.image) for failure in statistics.failures)
    tallies: dict[str, list[Tally]] = {folder: [] for folder in failed}
    for tally in statistics.tallies:
        tallies.setdefault(tally.folder, []).append(tally)
    return [
        FolderMetrics(folder, failed[folder], sum_tallies(group)) for folder, group in sorted(tallies.items())
    ]


def worst_folders(metrics: Iterable[FolderMetrics]) -> list[FolderMetrics]:
    """Return the folders that most need attention, worst first; no more than fit on the page."""
    return sorted(metrics, key=lambda folder: (-folder.needs_attention, folder.folder))[:MAX_FOLDERS]


def folder_columns(*, labelled: bool) -> list[str]:
    """Return the titles of `FolderMetrics.cells`."""
    titles = ["Folder", "Images", "Failed", "For review", "Review share", "Mean confidence"]
    return titles + (["Accuracy", "Wrong"] if labelled else [])


def _ratio_cell(count: int, total: int, *, decimals: int = 1) -> Cell:
    return share_cell(count / total if total else None, decimals)
