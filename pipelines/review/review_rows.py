"""The rows of a finished run that a person should look at: those below the accept threshold."""

import csv
import gzip
import heapq
import io
import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from pipelines.history.incremental import files_of
from pipelines.history.past_runs import PastRun
from pipelines.listing.frozen_listing import items_in
from pipelines.listing.work_item import WorkItem
from pipelines.statistics.item_statistics import ItemStatistics
from schemas import prediction
from schemas.layout import statistics_name
from schemas.manifest import Part
from schemas.prediction import NO_LABEL, Decision

_NAMES: Final = tuple(described.name for described in prediction.COLUMNS)


class Doubt(NamedTuple):
    """A row that was decided `review`. In order, the least sure comes first, of equals the first by name.

    Attributes:
        confidence: probability of `digit`.
        uri: the image's identity.
        generation: version of the image that was scored.
        digit: what the model takes it for.
        second_digit: what else it may be.
        second_confidence: probability of that.
        label: the true digit, or `NO_LABEL`.
        file: the file as it was listed: the image itself, or the archive that holds it.
    """

    confidence: float
    uri: str
    generation: int
    digit: int
    second_digit: int
    second_confidence: float
    label: int
    file: ListedImage


def least_sure(run: PastRun, limit: int) -> list[Doubt]:
    """Returns the least sure rows of a run, least sure first; no more than so many are held.

    Which row comes at which place follows from the run alone: with a higher limit others follow.

    Raises:
        StorageError: when files of the run have been removed or damaged since.
    """
    return heapq.nsmallest(limit, _doubts(run))


def _doubts(run: PastRun) -> Iterator[Doubt]:
    output = open_folder(run.place)
    for file in files_of([run]):
        if file.scored:
            with file.kept_whole():
                for item in items_in(output, file.name):
                    yield from _doubts_of(item, output)


def _doubts_of(item: WorkItem, output: OutputFolder) -> Iterator[Doubt]:
    record = ItemStatistics.from_json(output.read(statistics_name(item.digest)).decode())
    if record.accepted == record.scored:
        return
    files = {image.uri: image for image in item.images}
    for part in record.parts:
        if part.name.removesuffix(".gz").endswith(".csv"):
            for row in _rows(part, output.read(part.name)):
                file = item.images[0] if item.may_be_archive else files[row["image"]]
                yield _doubt(row, file)


def _rows(part: Part, data: bytes) -> Iterator[dict[str, str]]:
    """Yields the rows of a prediction file that are to be reviewed."""
    if Part.of(part.name, data, rows=part.rows) != part:
        raise ValueError(f"{part.name} is not the file that was written")
    text = (gzip.decompress(data) if part.name.endswith(".gz") else data).decode()
    cells: Iterator[Sequence[str]] = csv.reader(io.StringIO(text, newline=""))
    decision = _NAMES.index("decision")
    for row in itertools.islice(cells, 1, None):
        if row[decision] == Decision.REVIEW:
            yield dict(zip(_NAMES, row, strict=True))


def _doubt(row: dict[str, str], file: ListedImage) -> Doubt:
    return Doubt(
        confidence=float(row["confidence"]),
        uri=row["image"],
        generation=int(row["generation"]),
        digit=int(row["digit"]),
        second_digit=int(row["second_digit"]),
        second_confidence=float(row["second_confidence"]),
        label=int(row["label"] or NO_LABEL),
        file=file,
    )
