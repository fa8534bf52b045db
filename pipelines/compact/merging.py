"""Merges the rows of several runs into the present state: of each image the answer of the last run.

Rows travel through the merge in blocks, a block for each work item and bucket, like names do when
earlier runs are joined; see `pipelines.history.incremental`.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from digitmill.records import parse_example, read_records
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from pipelines.history.incremental import PastFile, Version, bucket_of
from pipelines.listing.frozen_listing import LISTING, items_in, write_items
from pipelines.listing.work_item import WorkItem, pack, separate_archives
from pipelines.scoring.parts import write_parts
from pipelines.scoring.report_samples import Shown
from pipelines.scoring.rows import Compression
from pipelines.scoring.scored_batch import Scored
from pipelines.statistics.agreement import Disagreement, gravest
from pipelines.statistics.item_statistics import ItemStatistics
from pipelines.statistics.kept_images import (
    FailurePicture,
    KeptImage,
    drawn,
    first_of_each,
    least_sure,
    surest,
)
from schemas.errors import UnreconciledError
from schemas.failure import Failure
from schemas.layout import statistics_name
from schemas.prediction import NO_LABEL, NO_NUMBER, Decision

LISTED: Final = "listed"
"""An image, as the run found it."""

ROW: Final = "row"
"""A `tf.train.Example`, as it stands in the run's predictions."""

FAILURE: Final = "failure"

KEPT: Final = {
    "doubtful": KeptImage,
    "mistaken": KeptImage,
    "examples": KeptImage,
    "disagreements": Disagreement,
    "failure_pictures": FailurePicture,
}
"""Images that a record shows, by its field, and what they are there."""

Entry = tuple[Version, Any]
"""A listed file as it was then, and what is said of it."""

Block = tuple[int, str, list[Entry]]
"""Number of a run, oldest first; what its entries are; the entries."""


@dataclasses.dataclass
class _Answer:
    """What one run said of a file: one row or failure, of an archive one a member."""

    run: int
    said: dict[str, list[Any]] = dataclasses.field(default_factory=dict)


def merged_name(bucket: int) -> str:
    """Returns where in the output the listing of a bucket's images stands."""
    return f"{LISTING}/merged-{bucket:05d}.json.gz"


def blocks_of(file: PastFile, *, current: bool, buckets: int) -> Iterator[tuple[int, Block]]:
    """Yields by bucket what a listing file of a run leads to.

    Args:
        file: the listing file.
        current: whether what the run listed is there, because no later run has listed all of its inputs.
        buckets: number of buckets.
    """
    output = open_folder(file.place)
    entries: dict[str, list[Entry]] = {kind: [] for kind in (LISTED, ROW, FAILURE, *KEPT)}
    with file.kept_whole():
        for item in items_in(output, file.name) if file.listed or file.scored else ():
            if file.listed and current:
                entries[LISTED] += (((image.uri, image.generation), tuple(image)) for image in item.images)
            if file.scored:
                _add_answers(entries, item, output)
    for kind, some in entries.items():
        sorted_out: dict[int, list[Entry]] = {}
        for entry in some:
            sorted_out.setdefault(bucket_of(entry[0][0], buckets), []).append(entry)
        for bucket, those in sorted_out.items():
            yield bucket, (file.number, kind, those)


def _add_answers(entries: dict[str, list[Entry]], item: WorkItem, output: OutputFolder) -> None:
    record = ItemStatistics.from_json(output.read(statistics_name(item.digest)).decode())
    versions = {image.uri: (image.uri, image.generation) for image in item.images}

    def key(uri: str) -> Version:
        return versions[item.images[0].uri if item.may_be_archive else uri]

    entries[FAILURE] += ((key(failure.image), dataclasses.astuple(failure)) for failure in record.failures)
    for kind in KEPT:
        entries[kind] += ((key(kept.image), dataclasses.asdict(kept)) for kept in getattr(record, kind))
    for part in record.parts:
        for payload in _records(part.name, output.read(part.name)):
            entries[ROW].append((key(_text(parse_example(payload)["image"])), payload))


def merge_bucket(
    blocks: Iterable[Block],
    output: OutputFolder,
    *,
    bucket: int,
    run: str,
    compression: Compression = Compression.RECORDS,
) -> Iterator[str]:
    """Writes the present state of one bucket, and yields the digests of its work items.

    Args:
        blocks: of all runs, in any order.
        output: where to.
        bucket: its number.
        run: digest of what the rows depend on beside the images.
        compression: which prediction files are gzipped.

    Raises:
        UnreconciledError: when a file is there for which no run has an answer.
    """
    there, answers = _sort_out(blocks)
    images = sorted(image for _, image in there.values())
    unanswered = [image.uri for image in images if (image.uri, image.generation) not in answers]
    if unanswered:
        raise UnreconciledError(
            f"every image that is there was scored or failed in one of the runs; got {unanswered[0]!r} "
            f"and {len(unanswered) - 1:,} more; name the runs that scored them too"
        )
    if not images:
        write_items(output, merged_name(bucket), None)
    for whole in pack(images, run, size=max(1, len(images))):
        write_items(output, merged_name(bucket), whole)
        for item in separate_archives([whole]):
            said = [answers[image.uri, image.generation].said for image in item.images]
            statistics = _write(item, said, output, compression=compression)
            output.write_once(statistics_name(item.digest), statistics.to_json().encode())
            yield item.digest


def _sort_out(blocks: Iterable[Block]) -> tuple[dict[str, tuple[int, ListedImage]], dict[Version, _Answer]]:
    """Returns the files that are there, and of each version the answer of the last run that has one.

    A file can go back to a version that an early run has scored: the answer to a later version is not its.
    """
    there: dict[str, tuple[int, ListedImage]] = {}
    answers: dict[Version, _Answer] = {}
    for run, kind, entries in blocks:
        for version, what in entries:
            if kind == LISTED:
                uri, _ = version
                if uri not in there or there[uri][0] < run:
                    there[uri] = run, ListedImage(*what)
                continue
            answer = answers.get(version)
            if answer is None or answer.run < run:
                answer = answers[version] = _Answer(run)
            if answer.run == run:
                answer.said.setdefault(kind, []).append(what)
    return there, answers


def _write(
    item: WorkItem, said: Sequence[dict[str, list[Any]]], output: OutputFolder, *, compression: Compression
) -> ItemStatistics:
    def everything(kind: str) -> list[Any]:
        return [what for answer in said for what in answer.get(kind, ())]

    failures = [Failure(*fields) for fields in everything(FAILURE)]
    kept = {kind: [made(**fields) for fields in everything(kind)] for kind, made in KEPT.items()}
    scored = _scored([parse_example(payload) for payload in everything(ROW)], failures)
    statistics = write_parts(output, item.digest, scored, compression=compression)
    return dataclasses.replace(
        statistics,
        doubtful=least_sure(kept["doubtful"]),
        mistaken=surest(kept["mistaken"]),
        examples=drawn(kept["examples"]),
        disagreements=gravest(kept["disagreements"]),
        failure_pictures=first_of_each(kept["failure_pictures"]),
    )


def _scored(rows: Sequence[dict[str, Any]], failures: Sequence[Failure]) -> Scored:
    def numbers(name: str, default: float = 0, dtype: type = np.int64) -> np.ndarray:
        return np.array([row.get(name, default) for row in rows], dtype)

    labels = numbers("label", NO_LABEL).tolist()
    return Scored(
        images=tuple(
            ListedImage(_text(row["image"]), row["generation"], size=-1, label=label)
            for row, label in zip(rows, labels, strict=True)
        ),
        first=numbers("digit"),
        second=numbers("second_digit"),
        confidence=numbers("confidence", dtype=np.float32),
        second_confidence=numbers("second_confidence", dtype=np.float32),
        accepted=np.array([row["decision"] == Decision.ACCEPT.encode() for row in rows], bool),
        challenger=numbers("challenger_digit", NO_LABEL),
        challenger_confidence=numbers("challenger_confidence", NO_NUMBER, np.float32),
        failures=tuple(failures),
        shown=Shown(),
    )


def _records(name: str, data: bytes) -> Iterator[bytes]:
    """Yields the records of a prediction file; of a table none."""
    if name.removesuffix(".gz").endswith(".tfrecord"):
        yield from read_records(data)


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        raise ValueError(f"an image's URI is text; got {value!r}")
    return value.decode()
