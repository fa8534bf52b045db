"""Tables of a run's page and CSVs: by digit, by folder, by failure."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from digitmill.reports.numbers import NONE, share, thousands
from digitmill.reports.precision_recall import ClassRates, class_rates
from digitmill.storage.names import folder_of, readable
from pipelines.statistics.item_statistics import RunStatistics
from pipelines.statistics.tallies import Tally, total
from schemas.digit import CLASSES

FOLDERS_SHOWN: Final = 200
"""Folders in the page; all of them are in `summary.csv`."""

DIGITS_HEADER: Final = (
    "digit", "predicted", "labelled", "right", "precision", "recall", "f1", "mean_confidence", "accepted"
)  # fmt: skip
"""Columns of `digits.csv`."""

Cell = tuple[str, float | None]
"""The words of a cell, and what it is sorted by."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitRates(ClassRates):
    """How well one digit is told.

    Attributes:
        digit: the digit.
        predicted: images taken for it.
        accepted: of these accepted.
        confidence: mean of these; None where there is none.
    """

    digit: int
    predicted: int
    accepted: int
    confidence: float | None

    def cells(self, *, labelled: bool, scored: int) -> Iterator[Cell]:
        """Yields the cells of its row in the page."""
        of_all = self.predicted / scored if scored else None
        yield str(self.digit), self.digit
        yield thousands(self.predicted), self.predicted
        yield share(of_all, 1), of_all
        accepted = self.accepted / self.predicted if self.predicted else None
        yield share(accepted, 1), accepted
        yield (NONE if self.confidence is None else f"{self.confidence:.4f}"), self.confidence
        for rate in (self.precision, self.recall, self.f1) if labelled else ():
            yield share(rate), rate

    def row(self) -> tuple[object, ...]:
        """Returns its row in `digits.csv`."""
        rates = (self.precision, self.recall, self.f1, self.confidence)
        precision, recall, f1, confidence = ("" if rate is None else f"{rate:.6f}" for rate in rates)
        counts = (self.digit, self.predicted, self.labelled, self.right)
        return (*counts, precision, recall, f1, confidence, self.accepted)


def digit_rates(statistics: RunStatistics) -> list[DigitRates]:
    """Returns the rates of all digits."""
    rows, told = [], class_rates(statistics.confusion)
    for digit in range(CLASSES):
        tally = total(tally for tally in statistics.tallies if tally.digit == digit)
        rows.append(
            DigitRates(
                digit=digit,
                predicted=tally.images,
                accepted=tally.accepted,
                confidence=tally.confidence / tally.images if tally.images else None,
                **vars(told[digit]),
            )
        )
    return rows


def digit_columns(*, labelled: bool) -> list[tuple[str, bool]]:
    """Returns titles of `DigitRates.cells`, and whether they are numbers."""
    titles = ["Digit", "Images", "Share", "Accepted", "Mean confidence"]
    titles += ["Precision", "Recall", "F1"] if labelled else []
    return [(title, title != "Digit") for title in titles]


@dataclasses.dataclass(frozen=True)
class FolderRates:
    """What became of one folder's images.

    Attributes:
        folder: its URI.
        failed: images that failed.
        tally: of those that were scored.
    """

    folder: str
    failed: int
    tally: Tally

    @property
    def to_look_at(self) -> int:
        """Images that a person would look at: for review, failed, or wrong."""
        tally = self.tally
        return self.failed + tally.images - tally.accepted + tally.labelled - tally.right

    def cells(self, *, labelled: bool) -> Iterator[Cell]:
        """Yields the cells of its row in the page."""
        tally = self.tally
        images, review = tally.images + self.failed, tally.images - tally.accepted
        yield readable(self.folder), None
        yield thousands(images), images
        yield thousands(self.failed), self.failed
        yield thousands(review), review
        reviewed = review / tally.images if tally.images else None
        yield share(reviewed, 1), reviewed
        mean = tally.confidence / tally.images if tally.images else None
        yield (NONE if mean is None else f"{mean:.4f}"), mean
        if labelled:
            accuracy = tally.right / tally.labelled if tally.labelled else None
            yield share(accuracy), accuracy
            yield thousands(tally.labelled - tally.right), tally.labelled - tally.right


def folder_rates(statistics: RunStatistics) -> list[FolderRates]:
    """Returns the rates of all folders, by name."""
    failed: dict[str, int] = {}
    for failure in statistics.failures:
        folder = folder_of(failure.image)
        failed[folder] = failed.get(folder, 0) + 1
    tallies: dict[str, list[Tally]] = {folder: [] for folder in failed}
    for tally in statistics.tallies:
        tallies.setdefault(tally.folder, []).append(tally)
    return [FolderRates(folder, failed.get(folder, 0), total(tallies[folder])) for folder in sorted(tallies)]


def folders_to_show(rates: Iterable[FolderRates]) -> list[FolderRates]:
    """Returns the folders with most to look at, those first; as many as the page holds."""
    return sorted(rates, key=lambda rate: (-rate.to_look_at, rate.folder))[:FOLDERS_SHOWN]


def folder_columns(*, labelled: bool) -> list[tuple[str, bool]]:
    """Returns titles of `FolderRates.cells`, and whether they are numbers."""
    titles = ["Folder", "Images", "Failed", "For review", "Review share", "Mean confidence"]
    titles += ["Accuracy", "Wrong"] if labelled else []
    return [(title, title != "Folder") for title in titles]
