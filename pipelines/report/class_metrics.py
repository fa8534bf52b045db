"""Metrics by digit and by folder: rows of the report page's tables and of `digits.csv`."""

import dataclasses
import functools
import heapq
import itertools
from collections.abc import Iterator
from typing import Final

from digitmill.reports.numbers import NONE, Cell, count_cell, share_cell
from digitmill.reports.precision_recall import ClassRates, class_rates
from digitmill.storage.names import folder_of, readable
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.tallies import Tally, TallyAdder, sum_tallies
from schemas.digit import CLASSES

MAX_FOLDERS: Final = 200
"""Maximum number of folders on the page."""

MAX_LISTED: Final = 65_536
"""Maximum number of folders in `summary.csv`; the others are summed up."""

_ALL: Final = -1
_FAILED: Final = -1
"""Stands for a digit in counts of failed images."""

DIGITS_HEADER: Final = (
    "digit", "predicted", "labeled", "right", "precision", "recall", "f1", "mean_confidence", "accepted"
)  # fmt: skip
"""Columns of `digits.csv`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitMetrics(ClassRates):
    """Metrics of one digit. The mean confidence of images predicted as this digit is None without any."""

    digit: int
    predicted: int
    accepted: int
    confidence: float | None

    def cells(self, *, labeled: bool, scored: int) -> Iterator[Cell]:
        """Yield the cells of the digit's row on the page, under the titles of `digit_columns`."""
        yield str(self.digit), self.digit
        yield count_cell(self.predicted)
        yield _ratio_cell(self.predicted, scored)
        yield _ratio_cell(self.accepted, self.predicted)
        yield (NONE if self.confidence is None else f"{self.confidence:.4f}"), self.confidence
        yield from map(share_cell, (self.precision, self.recall, self.f1) if labeled else ())

    def row(self) -> tuple[object, ...]:
        """Return the digit's row in `digits.csv`."""
        rates = (self.precision, self.recall, self.f1, self.confidence)
        precision, recall, f1, confidence = ("" if rate is None else f"{rate:.6f}" for rate in rates)
        counts = (self.digit, self.predicted, self.labeled, self.right)
        return (*counts, precision, recall, f1, confidence, self.accepted)


@dataclasses.dataclass(frozen=True)
class FolderMetrics:
    """Metrics of one folder: its URI, number of failed images, and counts of scored images by digit."""

    folder: str
    failed: int
    tallies: tuple[Tally, ...]

    @functools.cached_property
    def tally(self) -> Tally:
        """Counts of the scored images."""
        return sum_tallies(self.tallies)

    @property
    def needs_attention(self) -> int:
        """Images that a person should look at: for review, failed, or wrong."""
        return self.failed + self.tally.review + self.tally.wrong

    def cells(self, *, labeled: bool) -> Iterator[Cell]:
        """Yield the cells of the folder's row on the page, under the titles of `folder_columns`."""
        tally, mean = self.tally, self.tally.mean_confidence
        yield readable(self.folder), None
        yield count_cell(tally.images + self.failed)
        yield count_cell(self.failed)
        yield count_cell(tally.review)
        yield _ratio_cell(tally.review, tally.images)
        yield (NONE if mean is None else f"{mean:.4f}"), mean
        if labeled:
            yield _ratio_cell(tally.right, tally.labeled, decimals=2)
            yield count_cell(tally.wrong)


@dataclasses.dataclass(frozen=True)
class FolderSurvey:
    """Metrics of a run's folders, and the sums over all of them.

    Attributes:
        digits: counts of the images of each predicted digit, in order.
        everything: counts of all scored images.
        count: number of folders.
        listed: metrics of all folders, or of the `MAX_LISTED` that most need attention, sorted by name.
        others: sums over the folders that are not listed; None if all are listed.
    """

    digits: tuple[Tally, ...]
    everything: Tally
    count: int
    listed: tuple[FolderMetrics, ...]
    others: FolderMetrics | None = None

    def worst(self) -> list[FolderMetrics]:
        """Return the folders that most need attention, worst first, at most `MAX_FOLDERS`."""
        return sorted(self.listed, key=_by_attention)[:MAX_FOLDERS]

    def note(self) -> str:
        """Return a sentence on the folders that the page leaves out; empty if there are none."""
        if self.count <= MAX_FOLDERS:
            return ""
        start = f"{MAX_FOLDERS:,} of {self.count:,} folders; "
        if self.others is None:
            return f"{start}{self.count - MAX_FOLDERS:,} more are in reports/summary.csv."
        return f"{start}{MAX_LISTED:,} are in reports/summary.csv, and the sums of the others."


_Ranked = tuple[int, str, FolderMetrics]
"""A folder with its rank, which is stored because folders are sorted repeatedly."""


def survey_folders(statistics: RunStatistics) -> FolderSurvey:
    """Return the metrics of a run's folders. Memory holds about `MAX_LISTED` folders at a time."""
    sums, others, count, others_failed = TallyAdder(), TallyAdder(), 0, 0
    sums.add(Tally("", digit, 0, 0.0) for digit in (_ALL, *range(CLASSES)))
    kept: list[_Ranked] = []
    for folder in _folders(statistics):
        count += 1
        for tally in folder.tallies:
            sums.add_under("", tally.digit, tally)
            sums.add_under("", _ALL, tally)
        kept.append((*_by_attention(folder), folder))
        if len(kept) > MAX_LISTED * 5 // 4:
            others_failed += _fold(kept, others)
    others_failed += _fold(kept, others)
    everything, *digits = sums.result()
    return FolderSurvey(
        tuple(digits),
        everything,
        count,
        tuple(sorted((folder for *_, folder in kept), key=lambda folder: folder.folder)),
        FolderMetrics("", others_failed, tuple(others.result())) if count > len(kept) else None,
    )


def _fold(kept: list[_Ranked], others: TallyAdder) -> int:
    """Move the folders beyond `MAX_LISTED` into the sums `others`; return their number of failed images."""
    if len(kept) <= MAX_LISTED:
        return 0
    kept.sort()
    for *_, folder in kept[MAX_LISTED:]:
        for tally in folder.tallies:
            others.add_under("", tally.digit, tally)
    failed = sum(folder.failed for *_, folder in kept[MAX_LISTED:])
    del kept[MAX_LISTED:]
    return failed


def _by_attention(folder: FolderMetrics) -> tuple[int, str]:
    return -folder.needs_attention, folder.folder


def _folders(statistics: RunStatistics) -> Iterator[FolderMetrics]:
    """Yield the metrics of every folder, sorted by name."""
    failed = TallyAdder()
    failed.add(Tally(folder_of(failure.image), _FAILED, 1, 0.0) for failure in statistics.failures)
    tallies = heapq.merge(failed.result(), statistics.tallies, key=lambda tally: tally.folder)
    for folder, group in itertools.groupby(tallies, key=lambda tally: tally.folder):
        of_folder = tuple(group)
        count = sum(tally.images for tally in of_folder if tally.digit == _FAILED)
        yield FolderMetrics(folder, count, tuple(tally for tally in of_folder if tally.digit != _FAILED))


def digit_metrics(statistics: RunStatistics, folders: FolderSurvey) -> list[DigitMetrics]:
    """Return the metrics of all digits, in order."""
    metrics = []
    for digit, rates in enumerate(class_rates(statistics.confusion)):
        tally = folders.digits[digit]
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


def digit_columns(*, labeled: bool) -> list[str]:
    """Return the titles of `DigitMetrics.cells`."""
    titles = ["Digit", "Images", "Share", "Accepted", "Mean confidence"]
    return titles + (["Precision", "Recall", "F1"] if labeled else [])


def folder_columns(*, labeled: bool) -> list[str]:
    """Return the titles of `FolderMetrics.cells`."""
    titles = ["Folder", "Images", "Failed", "For review", "Review share", "Mean confidence"]
    return titles + (["Accuracy", "Wrong"] if labeled else [])


def _ratio_cell(count: int, total: int, *, decimals: int = 1) -> Cell:
    return share_cell(count / total if total else None, decimals)
