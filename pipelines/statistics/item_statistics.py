"""Mergeable statistics of a work item: reconciliation and reports read them instead of the rows."""

import dataclasses
import functools
import json
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

from digitmill.storage import OutputFolder
from digitmill.storage.names import file_of
from pipelines.statistics.agreement import Agreement, Disagreement, worst_disagreements
from pipelines.statistics.audit_sample import AuditSample, merge_samples
from pipelines.statistics.failure_rows import FailureSorter, RecordedFailures, is_failure_file
from pipelines.statistics.kept_images import (
    FailurePicture,
    KeptImage,
    first_per_code,
    least_confident,
    most_confident,
    sample_per_confusion,
    sample_per_digit,
)
from pipelines.statistics.tallies import Tally, TallyAdder
from pipelines.statistics.thresholds import ConfidenceCounts
from pipelines.statistics.totals import RunningTotal, add_up
from schemas.digit import CLASSES
from schemas.failure import Failure, FailureCode
from schemas.manifest import Part
from schemas.model.ink_counts import InkCounts
from schemas.model.model_card import HISTOGRAM_BINS
from schemas.versioned import decode, parse_json, shallow_fields

CONFIDENCE_BINS = 20
"""Bins of the confidence histogram, of equal width over [0, 1]."""


@dataclasses.dataclass(frozen=True)
class RunStatistics:
    """Statistics of a whole run, merged from its work items in any order.

    Attributes:
        scored: number of rows in prediction files.
        accepted: number of rows decided `accept`.
        tallies: counts by folder and digit.
        confidences: rows by confidence bin.
        confusion: labeled rows by [label][digit].
        doubtful: the least confident rows, least confident first.
        agreements: rows by the model's and the challenger's digit; empty without a challenger.
        disagreements: rows on which both models are confident but differ, worst first.
        accepted_labeled: rows decided `accept` whose label is known.
        accepted_right: rows decided `accept` whose label is the predicted digit.
        thresholds: rows by confidence, in fine bins.
        gray_levels: pixels of every fourth image in equal-width bins over [0, 255], as in a model card; all
            zero for merged runs, which have no pixels.
        mistaken: rows whose label is another digit, most confident first.
        examples: a sample of each predicted digit.
        confused: the most confident wrong rows of each pair of label and predicted digit.
        failure_pictures: one picture per failure code, for images that can be decoded.
        further_pages: number of listed images that are second or later pages of a file.
        ignored: members of archives that were left out as junk.
        not_digits: number of rows decided `review` with the reason NOT_A_DIGIT.
        self_confidence: by digit, the sum over rows with that label of the label's probability; a probability
            that is not among the two greatest counts as 0.
        ink: histograms of ink statistics; all zero for merged runs, which have no pixels.
        audit: one sample of the rows decided `accept`; empty if none was requested.
    """

    listed: int
    scored: int
    accepted: int
    failures: Collection[Failure]
    tallies: Iterable[Tally]
    confidences: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    doubtful: tuple[KeptImage, ...]
    parts: tuple[Part, ...]
    agreements: tuple[Agreement, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    accepted_labeled: int = 0
    accepted_right: int = 0
    thresholds: ConfidenceCounts = ConfidenceCounts()  # noqa: RUF009 - frozen
    gray_levels: tuple[int, ...] = (0,) * HISTOGRAM_BINS
    mistaken: tuple[KeptImage, ...] = ()
    examples: tuple[KeptImage, ...] = ()
    confused: tuple[KeptImage, ...] = ()
    failure_pictures: tuple[FailurePicture, ...] = ()
    further_pages: int = 0
    ignored: int = 0
    not_digits: int = 0
    self_confidence: tuple[float, ...] = (0.0,) * CLASSES
    ink: InkCounts = InkCounts()  # noqa: RUF009 - frozen
    audit: tuple[AuditSample, ...] = ()

    @property
    def labeled(self) -> int:
        """Scored images whose label is known."""
        return sum(map(sum, self.confusion))

    @property
    def right(self) -> int:
        """Labeled images whose label is the predicted digit."""
        return sum(row[label] for label, row in enumerate(self.confusion))

    @property
    def agreed(self) -> int:
        """Scored images for which the challenger predicts the same digit."""
        return sum(cell.images for cell in self.agreements if cell.digit == cell.challenger_digit)

    @property
    def challenger_right(self) -> int:
        """Labeled images whose label is the challenger's digit."""
        return sum(cell.challenger_right for cell in self.agreements)


@dataclasses.dataclass(frozen=True)
class FileCount:
    """Number of images in a listed file, and how many of them failed."""

    file: str
    images: int
    failed: int


def count_several(
    files: Container[str], scored: Sequence[str], failed: Sequence[str]
) -> tuple[FileCount, ...]:
    """Return the number of images in each file that does not have exactly one."""
    # Very few files have several images: find these first, then count.
    members = (image for image in (*scored, *failed) if "!" in image and image not in files)
    several = {file_of(image, files) for image in members}
    outcomes = [(scored, 0), (failed, 1)] if several else []
    return add_up(
        (
            FileCount(file, 1, has_failed)
            for images, has_failed in outcomes
            for image in images
            if (file := file_of(image, files)) in several
        ),
        keys=1,
    )


@dataclasses.dataclass(frozen=True)
class ItemStatistics(RunStatistics):
    """Statistics record of one work item; written last, it marks the item as done.

    Attributes:
        several: files that do not have exactly one image; unused for an archive, which is its own item.
    """

    tallies: tuple[Tally, ...]
    digest: str = dataclasses.field(kw_only=True)
    several: tuple[FileCount, ...] = dataclasses.field(default=(), kw_only=True)

    def to_json(self) -> str:
        """Return the record as the text of its file."""
        fields = {"digest": self.digest} | shallow_fields(self)
        # `dataclasses.asdict` copies every number, which takes half the time of writing a work item.
        return json.dumps(fields, default=shallow_fields, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`.

        Raises:
            ValueError: when the text is not a statistics record.
        """
        return decode(cls, parse_json(text), what="a statistics record")


def read_record(data: bytes, output: OutputFolder) -> ItemStatistics:
    """Parse a statistics record of an output; its failures are read lazily.

    Raises:
        ValueError: when the data is not a statistics record.
    """
    record = ItemStatistics.from_json(data.decode())
    files = [part for part in record.parts if is_failure_file(part.name)]
    if not files:
        return record
    return dataclasses.replace(record, failures=RecordedFailures(record.failures, files, output.read))


def merge_pieces(digest: str, pieces: Iterable[ItemStatistics]) -> ItemStatistics:
    """Merge the statistics of a work item's pieces."""
    merged = vars(merge_statistics(pieces))
    return ItemStatistics(**merged | {"tallies": tuple(merged["tallies"])}, digest=digest)


def _or_empty(items: Iterable[RunStatistics]) -> Iterator[RunStatistics]:
    rest = iter(items)
    zeros = (0,) * CLASSES
    empty = RunStatistics(0, 0, 0, (), (), (0,) * CONFIDENCE_BINS, (zeros,) * CLASSES, (), ())
    yield next(rest, empty)
    yield from rest


def merge_statistics(items: Iterable[RunStatistics]) -> RunStatistics:
    """Merge the statistics of work items; the order does not matter.

    One item at a time is in memory. Failures and tallies, which grow with the number of items, move to disk
    beyond a bound. Only the list of output files grows in memory.
    """
    failures, tallies, counts = FailureSorter(), TallyAdder(), RunningTotal()
    parts: list[Part] = []
    kept: dict[str, Any] = dict.fromkeys(MERGES, ())
    for item in _or_empty(items):
        failures.add(item.failures)
        tallies.add(item.tallies)
        parts += item.parts
        counts.add(tuple(getattr(item, name) for name in _COUNTS))
        for name, merge in MERGES.items():
            if found := getattr(item, name):
                kept[name] = merge((*kept[name], *found))
    return RunStatistics(
        failures=failures.result(),
        tallies=tallies.result(),
        parts=tuple(sorted(parts, key=lambda part: part.name)),
        **dict(zip(_COUNTS, counts.value(), strict=True)),
        **kept,
    )


MERGES: Mapping[str, Callable[[Iterable[Any]], Collection]] = {
    "doubtful": least_confident,
    "agreements": functools.partial(add_up, keys=2),
    "disagreements": worst_disagreements,
    "mistaken": most_confident,
    "examples": sample_per_digit,
    "confused": sample_per_confusion,
    "failure_pictures": first_per_code,
    "audit": merge_samples,
}
"""How to merge the sample fields of records, each into a bounded number of entries, by field."""

_COUNTS: Final = tuple(
    field.name
    for field in dataclasses.fields(RunStatistics)
    if field.name not in (*MERGES, "failures", "tallies", "parts")
)
"""The other fields, which are counts and are added up."""


def count_failure_codes(failures: Iterable[Failure]) -> Mapping[str, int]:
    """Return the number of failures of each code, zeros included."""
    counts = dict.fromkeys(map(str, FailureCode), 0)
    for failure in failures:
        counts[failure.code] += 1
    return counts
