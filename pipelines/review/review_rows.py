"""Reads the rows of a finished run for people to label: unsure ones, audit samples, and doubtful labels."""

import functools
import heapq
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any, Final, NamedTuple, TypeVar

from digitmill.reports.csv_table import read_csv
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import file_of
from pipelines.history.incremental import past_listing_files
from pipelines.history.past_runs import PastRun
from pipelines.listing.frozen_listing import read_items
from pipelines.listing.work_item import WorkItem
from pipelines.rows.row_reading import read_part, row_parts
from pipelines.statistics.item_statistics import ItemStatistics, merge_statistics
from pipelines.statistics.label_suspects import label_suspects
from schemas.layout import AUDIT, statistics_name
from schemas.manifest import Part
from schemas.prediction import COLUMNS, Decision

T = TypeVar("T")

_LEFT_OUT: Final = ("challenger_digit", "challenger_confidence")
_COLUMNS: Final = tuple(column for column in COLUMNS if column.name not in _LEFT_OUT)


class ReviewRow(NamedTuple):
    """A row for people to label. Sorts by confidence, then by URI.

    Attributes:
        generation: version of the image that was scored.
        file: the listed file: the image itself, or the file or archive that contains it.
        reason: a `schemas.prediction.Reason`, or empty.
        place: index of an accepted row whose label may be wrong; these indices follow those of the rows
            decided `review`. -1 for all other rows.
    """

    confidence: float
    uri: str
    generation: int
    digit: int
    second_digit: int
    second_confidence: float
    label: int
    file: ListedImage
    reason: str = ""
    place: int = -1
    member: bool = False

    @property
    def suspect(self) -> bool:
        """Whether the row is accepted but its label may be wrong."""
        return self.place >= 0


class RowsToLabel(NamedTuple):
    """Rows of a run for people to label.

    Attributes:
        audited: accepted rows in the sample of `score --audit`, sorted by URI.
        doubtful: the least confident rows decided `review`, least confident first.
    """

    audited: list[ReviewRow]
    doubtful: list[ReviewRow]


def rows_to_label(run: PastRun, limit: int) -> RowsToLabel:
    """Return the rows of a run for people to label, with at most `limit` doubtful ones.

    A row's index does not depend on the limit.

    Raises:
        StorageError: when files of the run are missing or damaged.
    """
    drawn = audited_images(open_folder(run.place))
    found = _rows_of_run(run, functools.partial(_item_rows, wanted=_audited, among=drawn, doubtful=True))
    audited: list[ReviewRow] = []
    doubtful = heapq.nsmallest(limit, _set_aside(found, audited))
    return RowsToLabel(sorted(audited, key=lambda row: row.uri), doubtful)


def _set_aside(found: Iterable[tuple[bool, ReviewRow]], aside: list[ReviewRow]) -> Iterator[ReviewRow]:
    """Yield the rows that are not accepted; append the accepted ones to `aside`."""
    for accepted, row in found:
        if accepted:
            aside.append(row)
        else:
            yield row


def audited_images(output: OutputFolder) -> frozenset[str]:
    """Return the URIs of a run's audit sample."""
    try:
        return frozenset(uri for uri, *_ in read_csv(AUDIT, output.read(AUDIT)))
    except FileNotFoundError:
        return frozenset()


def label_doubts(run: PastRun) -> list[ReviewRow]:
    """Return the accepted rows of a run whose labels are most likely wrong, most likely first.

    Raises:
        StorageError: when files of the run are missing or damaged.
    """
    if run.manifest.right == run.manifest.labeled:
        return []
    records = _rows_of_run(run, lambda item, output: [_record(item, output)])
    suspects = label_suspects(merge_statistics(records))
    places = {kept.image: place for place, kept in enumerate(suspects)}
    found = _rows_of_run(run, functools.partial(_item_rows, wanted=_mistaken, among=places.keys()))
    first = run.manifest.counts.scored - run.manifest.accepted
    rows = (row._replace(place=first + places[row.uri]) for _, row in found)
    return sorted(rows, key=lambda row: row.place)


def member_rows(run: PastRun, uris: Set[str]) -> list[ReviewRow]:
    """Return the rows of a run with the given URIs, sorted by URI: digits of fields, accepted or not.

    Raises:
        StorageError: when files of the run are missing or damaged.
    """
    if not uris:
        return []
    found = _rows_of_run(run, functools.partial(_item_rows, wanted=lambda _: uris, among=uris, doubtful=True))
    rows = (row._replace(member=True) for _, row in found if row.uri in uris)
    return sorted(rows, key=lambda row: row.uri)


def _rows_of_run(run: PastRun, of_item: Callable[[WorkItem, OutputFolder], Iterable[T]]) -> Iterator[T]:
    output = open_folder(run.place)
    for file in past_listing_files([run]):
        if file.scored:
            with file.damage_reported():
                for item in read_items(output, file.name):
                    yield from of_item(item, output)


def _record(item: WorkItem, output: OutputFolder) -> ItemStatistics:
    return ItemStatistics.from_json(output.read(statistics_name(item.digest)).decode())


def _audited(record: ItemStatistics) -> Iterator[str]:
    return (image.image for sample in record.audit for image in sample.images)


def _mistaken(record: ItemStatistics) -> Iterator[str]:
    return (image.image for image in record.mistaken)


def _item_rows(
    item: WorkItem,
    output: OutputFolder,
    *,
    wanted: Callable[[ItemStatistics], Iterable[str]],
    among: Set[str],
    doubtful: bool = False,
) -> Iterator[tuple[bool, ReviewRow]]:
    """Yield the rows of a work item for people to label, and whether they were accepted.

    Args:
        item: a work item.
        output: the run's folder.
        wanted: returns image URIs from the item's record; accepted rows are yielded if their URI is there.
        among: URIs to which these are limited.
        doubtful: whether to yield all rows decided `review` too.
    """
    record = _record(item, output)
    mine = {*wanted(record)} & among
    if not mine and (record.accepted == record.scored or not doubtful):
        return
    files = {image.uri: image for image in item.images}
    for part in row_parts(record.parts):
        for accepted, row in _rows(output, part, mine):
            if accepted or doubtful:
                file = item.images[0] if item.may_be_archive else files[file_of(row["image"], files)]
                yield accepted, _review_row(row, file)


def _rows(output: OutputFolder, part: Part, drawn: Set[str]) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Yield the rows of a prediction file for people to label, and whether they were accepted."""
    for some in read_part(output, part, _COLUMNS):
        for place, (decision, image) in enumerate(zip(some["decision"], some["image"], strict=True)):
            accepted = decision != Decision.REVIEW.value
            if not accepted or image in drawn:
                yield accepted, {name: values[place] for name, values in some.items()}


def _review_row(row: dict[str, Any], file: ListedImage) -> ReviewRow:
    return ReviewRow(
        confidence=_as_printed(row["confidence"]),
        uri=row["image"],
        generation=int(row["generation"]),
        digit=int(row["digit"]),
        second_digit=int(row["second_digit"]),
        second_confidence=_as_printed(row["second_confidence"]),
        label=int(row["label"]),
        file=file,
        reason=row["reason"] or "",
    )


def _as_printed(confidence: float) -> float:
    """Round a probability to the decimals of a CSV, so that rows sort the same with all formats."""
    return float(f"{confidence:.6f}")
