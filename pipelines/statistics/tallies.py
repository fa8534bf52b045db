"""Counts of scored images by folder and predicted digit."""

import dataclasses
import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from digitmill.storage.sorted_rows import SortedRows
from pipelines.statistics.totals import ExactSum


@dataclasses.dataclass(frozen=True)
class Tally:
    """Counts of the images of one folder with one predicted digit.

    Attributes:
        confidence: sum of the images' confidences.
        accepted: images decided `accept`.
        labeled: images whose label is known.
        right: images whose label is the digit.
    """

    folder: str
    digit: int
    images: int
    confidence: float
    accepted: int = 0
    labeled: int = 0
    right: int = 0

    @property
    def mean_confidence(self) -> float | None:
        """Mean confidence in [0, 1]; None without images."""
        return self.confidence / self.images if self.images else None

    @property
    def review(self) -> int:
        """Images decided `review`."""
        return self.images - self.accepted

    @property
    def wrong(self) -> int:
        """Labeled images whose label is another digit."""
        return self.labeled - self.right


MOST_IN_MEMORY: Final = 131_072
"""Maximum number of tallies in memory, half a kilobyte each; more are moved to disk."""


class _Sum:
    __slots__ = ("accepted", "confidence", "images", "labeled", "right")

    def __init__(self) -> None:
        self.images = self.accepted = self.labeled = self.right = 0
        self.confidence = ExactSum()

    def add(self, tally: Tally) -> None:
        self.images += tally.images
        self.accepted += tally.accepted
        self.labeled += tally.labeled
        self.right += tally.right
        self.confidence.add(tally.confidence)

    def tally(self, folder: str, digit: int) -> Tally:
        return Tally(
            folder, digit, self.images, self.confidence.value, self.accepted, self.labeled, self.right
        )

    def fields(self) -> list[object]:
        return [self.images, self.confidence, self.accepted, self.labeled, self.right]

    def add_fields(self, fields: Sequence[Any]) -> None:
        images, confidences, accepted, labeled, right = fields
        self.images += images
        self.accepted += accepted
        self.labeled += labeled
        self.right += right
        for confidence in confidences:
            self.confidence.add(confidence)


class TallyAdder:
    """Adds up tallies by folder and digit, exactly and in any order; uses the disk if there are many."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[int, _Sum]] = {}
        self._count = 0
        self._rows: SortedRows | None = None

    def add(self, tallies: Iterable[Tally]) -> None:
        """Add tallies, each under its folder and digit."""
        for tally in tallies:
            self.add_under(tally.folder, tally.digit, tally)

    def add_under(self, folder: str, digit: int, tally: Tally) -> None:
        """Add a tally under another folder or digit."""
        by_digit = self._sums.setdefault(folder, {})
        if digit not in by_digit:
            if self._count >= MOST_IN_MEMORY:
                self._spill()
                by_digit = self._sums.setdefault(folder, {})
            by_digit[digit] = _Sum()
            self._count += 1
        by_digit[digit].add(tally)

    def result(self) -> Iterable[Tally]:
        """Return the sums, sorted by folder and digit. Do not add tallies afterwards."""
        if self._rows is None:
            return tuple(_tallies(sorted(self._sums.items())))
        self._spill()
        return _SortedTallies(self._rows)

    def _spill(self) -> None:
        self._rows = self._rows or SortedRows()
        self._rows.add(
            (folder, [[digit, *each.fields()] for digit, each in by_digit.items()])
            for folder, by_digit in self._sums.items()
        )
        self._sums, self._count = {}, 0


class _SortedTallies:
    """Tallies stored on disk as partial sums."""

    def __init__(self, rows: SortedRows) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Tally]:
        return _tallies(map(_joined, itertools.groupby(self._rows, key=operator.itemgetter(0))))


def _joined(portions: tuple[str, Iterable[tuple[str, Any]]]) -> tuple[str, dict[int, _Sum]]:
    folder, rows = portions
    by_digit: dict[int, _Sum] = {}
    for _, digits in rows:
        for digit, *fields in digits:
            by_digit.setdefault(digit, _Sum()).add_fields(fields)
    return folder, by_digit


def _tallies(folders: Iterable[tuple[str, dict[int, _Sum]]]) -> Iterator[Tally]:
    for folder, by_digit in folders:
        for digit, each in sorted(by_digit.items()):
            yield each.tally(folder, digit)


def sum_tallies(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies of any folders and digits, as a tally without folder and digit."""
    whole = _Sum()
    for tally in tallies:
        whole.add(tally)
    return whole.tally("", -1)
