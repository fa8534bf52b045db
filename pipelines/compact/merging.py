"""Merges the rows of several runs into the latest state: for each image, the outcome of the last run.

Rows travel through the merge in blocks, one for each work item and bucket, like names in the join with
earlier runs; see `pipelines.history.incremental`.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from digitmill.records import parse_example, read_records
from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import file_of
from pipelines.history.incremental import PastListingFile, Version, split_by_bucket
from pipelines.listing.frozen_listing import read_items, write_item
from pipelines.listing.work_item import WorkItem, pack_items, separate_archives
from pipelines.scoring.report_samples import ReportSamples
from pipelines.scoring.rows import write_parts
from pipelines.scoring.scored_batch import ScoredBatch
from pipelines.statistics.agreement import Disagreement
from pipelines.statistics.item_statistics import MERGES, ItemStatistics, count_several, read_record
from pipelines.statistics.kept_images import FailurePicture, KeptImage
from schemas.errors import UnreconciledError
from schemas.failure import Failure
from schemas.layout import Compression, merged_listing, statistics_name
from schemas.prediction import NO_LABEL, NO_NUMBER, Decision

LISTED: Final = "listed"
"""Kind of entry: an image, as the run listed it."""

ROW: Final = "row"
"""Kind of entry: a `tf.train.Example` of the run's predictions."""

FAILURE: Final = "failure"
"""Kind of entry: a failed image."""

SAMPLE_TYPES: Final = {
    "doubtful": KeptImage,
    "mistaken": KeptImage,
    "examples": KeptImage,
    "disagreements": Disagreement,
    "failure_pictures": FailurePicture,
}
"""Sample images of a statistics record: their types, by the record's field."""

Entry = tuple[Version, Any]
"""Version of a listed file, and an outcome of it."""

Block = tuple[int, str, list[Entry]]
"""Number of a run, oldest first; kind of the entries; the entries."""


@dataclasses.dataclass
class _Outcome:
    """Outcome of a file in one run, by kind: a row or a failure; of an archive, one for each member."""

    run: int
    entries: dict[str, list[Any]] = dataclasses.field(default_factory=dict)


def blocks_of(file: PastListingFile, *, current: bool, buckets: int) -> Iterator[tuple[int, Block]]:
    """Yield the images and outcomes of a listing file's work items in blocks, each with its bucket.

    A run's images still exist if it is `current`: no later run listed all of its inputs.
    """
    output = open_folder(file.place)
    entries: dict[str, list[Entry]] = {kind: [] for kind in (LISTED, ROW, FAILURE, *SAMPLE_TYPES)}
    with file.damage_reported():
        for item in read_items(output, file.name) if file.listed or file.scored else ():
            if file.listed and current:
                entries[LISTED] += (((image.uri, image.generation), tuple(image)) for image in item.images)
            if file.scored:
                _add_outcomes(entries, item, output)
    for kind, of_kind in entries.items():
        for bucket, group in split_by_bucket(of_kind, lambda entry: entry[0][0], buckets).items():
            yield bucket, (file.number, kind, group)


def _add_outcomes(entries: dict[str, list[Entry]], item: WorkItem, output: OutputFolder) -> None:
    record = read_record(output.read(statistics_name(item.digest)), output)
    versions = {image.uri: (image.uri, image.generation) for image in item.images}

    def key(uri: str) -> Version:
        return versions[item.images[0].uri if item.may_be_archive else file_of(uri, versions)]

    entries[FAILURE] += ((key(failure.image), dataclasses.astuple(failure)) for failure in record.failures)
    for kind in SAMPLE_TYPES:
        entries[kind] += ((key(kept.image), dataclasses.asdict(kept)) for kept in getattr(record, kind))
    for part in record.parts:
        if part.name.removesuffix(".gz").endswith(".tfrecord"):
            for payload in read_records(output.read(part.name)):
                entries[ROW].append((key(_text(parse_example(payload)["image"])), payload))


def merge_bucket(
    blocks: Iterable[Block],
    output: OutputFolder,
    *,
    bucket: int,
    run: str,
    compression: Compression = Compression.RECORDS,
) -> Iterator[str]:
    """Write the latest state of one bucket from the blocks of all runs; yield its items' digests.

    Raises:
        UnreconciledError: when no run has an outcome for a listed file.
    """
    listed, outcomes = resolve(blocks)
    images = sorted(image for _, image in listed.values())
    missing = [image.uri for image in images if (image.uri, image.generation) not in outcomes]
    if missing:
        raise UnreconciledError(
            f"no run has an outcome for {len(missing):,} images, first {missing[0]!r}. "
            "Name the runs that scored them, too."
        )
    if not images:
        write_item(output, merged_listing(bucket), None)
    for whole in pack_items(images, run, size=max(1, len(images))):
        write_item(output, merged_listing(bucket), whole)
        for item in separate_archives([whole]):
            entries = [outcomes[image.uri, image.generation].entries for image in item.images]
            statistics = _write_item(item, entries, output, compression=compression)
            output.write_once(statistics_name(item.digest), statistics.to_json().encode())
            yield item.digest


def resolve(blocks: Iterable[Block]) -> tuple[dict[str, tuple[int, ListedImage]], dict[Version, _Outcome]]:
    """Return the current files, with the run that listed each, and the last run's outcome of each version.

    A file can return to a version that an early run scored; outcomes of later versions are not its own.
    """
    listed: dict[str, tuple[int, ListedImage]] = {}
    outcomes: dict[Version, _Outcome] = {}
    for run, kind, entries in blocks:
        for version, entry in entries:
            if kind == LISTED:
                uri, _ = version
                if uri not in listed or listed[uri][0] < run:
                    listed[uri] = run, ListedImage(*entry)
                continue
            outcome = outcomes.get(version)
            if outcome is None or outcome.run < run:
                outcome = outcomes[version] = _Outcome(run)
            if outcome.run == run:
                outcome.entries.setdefault(kind, []).append(entry)
    return listed, outcomes


def _write_item(
    item: WorkItem, entries: Sequence[dict[str, list[Any]]], output: OutputFolder, *, compression: Compression
) -> ItemStatistics:
    def all_of(kind: str) -> list[Any]:
        return [entry for by_kind in entries for entry in by_kind.get(kind, ())]

    failures = [Failure(*fields) for fields in all_of(FAILURE)]
    samples: dict[str, Any] = {
        kind: MERGES[kind](record(**fields) for fields in all_of(kind))
        for kind, record in SAMPLE_TYPES.items()
    }
    scored = _make_batch([parse_example(payload) for payload in all_of(ROW)], failures)
    statistics = write_parts(output, item.digest, scored, compression=compression)
    if not item.may_be_archive:
        files = {image.uri for image in item.images}
        outcomes = [image.uri for image in scored.images], [failure.image for failure in failures]
        samples["several"] = count_several(files, *outcomes)
        samples["further_pages"] = statistics.listed - len(files)
    return dataclasses.replace(statistics, **samples)


def _make_batch(rows: Sequence[dict[str, Any]], failures: Sequence[Failure]) -> ScoredBatch:
    def numbers(name: str, default: float = 0, dtype: type = np.int64) -> np.ndarray:
        return np.array([row.get(name, default) for row in rows], dtype)

    labels = numbers("label", NO_LABEL).tolist()
    return ScoredBatch(
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
        samples=ReportSamples(),
    )


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        raise ValueError(f"an image's URI is not text: {value!r}")
    return value.decode()
