"""Reads the rows of a finished run that need review: those below the accept threshold."""

import heapq
from collections.abc import Iterator
from typing import Final, NamedTuple

from digitmill.reports.csv_table import read_csv
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import file_of
from pipelines.history.incremental import past_listing_files
from pipelines.history.past_runs import PastRun
from pipelines.listing.frozen_listing import read_items
from pipelines.listing.work_item import WorkItem
from pipelines.statistics.item_statistics import ItemStatistics
from schemas import prediction
from schemas.layout import statistics_name
from schemas.manifest import Part
from schemas.prediction import NO_LABEL, Decision

_NAMES: Final = tuple(described.name for described in prediction.COLUMNS)


class ReviewRow(NamedTuple):
    """A row that was decided `review`. Sorts by confidence, then by URI.

    Attributes:
        generation: version of the image that was scored.
        file: the file as it was listed: the image itself, or the file or archive that holds it.
    """

    confidence: float
    uri: str
    generation: int
    digit: int
    second_digit: int
    second_confidence: float
    label: int
    file: ListedImage


def least_confident(run: PastRun, limit: int) -> list[ReviewRow]:
    """Return the least confident rows of a run, in order; no more than `limit` are held in memory.

    A row's index does not depend on the limit.

    Raises:
        StorageError: when files of the run are missing or damaged.
    """
    return heapq.nsmallest(limit, _review_rows(run))


def _review_rows(run: PastRun) -> Iterator[ReviewRow]:
    output = open_folder(run.place)
    for file in past_listing_files([run]):
        if file.scored:
            with file.damage_reported():
                for item in read_items(output, file.name):
                    yield from _item_rows(item, output)


def _item_rows(item: WorkItem, output: OutputFolder) -> Iterator[ReviewRow]:
    record = ItemStatistics.from_json(output.read(statistics_name(item.digest)).decode())
    if record.accepted == record.scored:
        return
    files = {image.uri: image for image in item.images}
    for part in record.parts:
        if part.name.removesuffix(".gz").endswith(".csv"):
            for row in _rows(part, output.read(part.name)):
                file = item.images[0] if item.may_be_archive else files[file_of(row["image"], files)]
                yield _parse_row(row, file)


def _rows(part: Part, data: bytes) -> Iterator[dict[str, str]]:
    """Yield the rows of a prediction file that were decided `review`."""
    if Part.of(part.name, data, rows=part.rows) != part:
        raise ValueError(f"{part.name} has changed")
    decision = _NAMES.index("decision")
    for row in read_csv(part.name, data):
        if row[decision] == Decision.REVIEW:
            yield dict(zip(_NAMES, row, strict=True))


def _parse_row(row: dict[str, str], file: ListedImage) -> ReviewRow:
    return ReviewRow(
        confidence=float(row["confidence"]),
        uri=row["image"],
        generation=int(row["generation"]),
        digit=int(row["digit"]),
        second_digit=int(row["second_digit"]),
        second_confidence=float(row["second_confidence"]),
        label=int(row["label"] or NO_LABEL),
        file=file,
    )
