"""Merges the rows of several runs into the latest state: for each image, the outcome of the last run.

Rows go through the merge in blocks, one per work item and bucket, like names in the join with earlier runs;
see `pipelines.history.incremental`.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import file_of
from pipelines.compact.row_table import PackedRows, RowTable
from pipelines.history.block_shuffle import Block
from pipelines.history.incremental import PastListingFile, Version, bucket_of, split_by_bucket
from pipelines.listing.frozen_listing import read_items, write_item
from pipelines.listing.relative_names import RelativeNames
from pipelines.listing.work_item import MAX_ITEM_SIZE, WorkItem, pack_items, separate_archives
from pipelines.rows.row_reading import read_part, row_parts
from pipelines.scoring.rows import write_parts
from pipelines.scoring.scored_batch import ScoredBatch
from pipelines.statistics.agreement import Disagreement
from pipelines.statistics.audit_sample import AuditDraw
from pipelines.statistics.failure_rows import MOST_IN_MEMORY, failure_file
from pipelines.statistics.item_statistics import MERGES, ItemStatistics, count_several, read_record
from pipelines.statistics.kept_images import FailurePicture, KeptImage
from schemas.columns import Column
from schemas.errors import UnreconciledError, counted
from schemas.failure import Failure
from schemas.layout import DEFAULT_FORMATS, Compression, Format, merged_listing, part_order, statistics_name
from schemas.prediction import COLUMNS

LISTED: Final = "listed"
"""Kind of entry: an image, as the run listed it."""

CARRIED: Final = "carried"
"""Kind of entry: carried columns of an image in a run; later runs may not have these columns."""

ROW: Final = "row"
"""Kind of entry: a row of the run's predictions."""

FAILURE: Final = "failure"
"""Kind of entry: a failed image."""

SAMPLE_TYPES: Final = {
    "doubtful": KeptImage,
    "mistaken": KeptImage,
    "examples": KeptImage,
    "confused": KeptImage,
    "disagreements": Disagreement,
    "failure_pictures": FailurePicture,
}
"""Types of the sample images in a statistics record, by field."""

Entry = tuple[Version, Any]
"""Version of a listed file, and one of its outcomes."""

Entries = tuple[int, str, Iterable[Entry]]
"""Number of a run, oldest first; kind of the entries; the entries."""

_HELD_FAILURES: Final = 4096
"""Failures to read at a time: an archive may have a million."""


@dataclasses.dataclass
class _Outcome:
    """Outcome of a file in one run: entries by kind, one row or failure per image in the file."""

    run: int
    entries: dict[str, list[Any]] = dataclasses.field(default_factory=dict)


def blocks_of(
    file: PastListingFile,
    *,
    current: bool,
    buckets: int,
    carries: bool = False,
    columns: Sequence[Column] = COLUMNS,
) -> Iterator[tuple[int, Block]]:
    """Yield the images and outcomes of a listing file's work items in blocks, each with its bucket.

    A run is `current` if no later run listed all of its inputs, so its images still exist. A run that
    `carries` columns also yields their values. `columns` are further columns of the rows.
    """
    output = open_folder(file.place)
    with file.damage_reported():
        for item in read_items(output, file.name) if file.listed or file.scored else ():
            if file.listed and current:
                listed = [((image.uri, image.generation), tuple(image)) for image in item.images]
                yield from _packed(file.number, LISTED, listed, buckets=buckets)
            if file.listed and carries:
                carried = [((image.uri, image.generation), image.carried) for image in item.images]
                yield from _packed(file.number, CARRIED, carried, buckets=buckets)
            if file.scored:
                yield from _outcomes(file.number, item, output, buckets=buckets, columns=columns)


def _outcomes(
    run: int, item: WorkItem, output: OutputFolder, *, buckets: int, columns: Sequence[Column]
) -> Iterator[tuple[int, Block]]:
    record = read_record(output.read(statistics_name(item.digest)), output)
    versions = {image.uri: (image.uri, image.generation) for image in item.images}

    def key(uri: str) -> Version:
        return versions[item.images[0].uri if item.may_be_archive else file_of(uri, versions)]

    failures = ((key(failure.image), failure.fields()) for failure in record.failures)
    while some := list(itertools.islice(failures, _HELD_FAILURES)):
        yield from _packed(run, FAILURE, some, buckets=buckets)
    for kind in SAMPLE_TYPES:
        kept = [(key(kept.image), dataclasses.asdict(kept)) for kept in getattr(record, kind)]
        yield from _packed(run, kind, kept, buckets=buckets)
    for part in row_parts(record.parts):
        for rows in read_part(output, part, columns, MAX_ITEM_SIZE):
            yield from _rows(run, PackedRows.of(rows, key), buckets=buckets)


def _packed(run: int, kind: str, entries: list[Entry], *, buckets: int) -> Iterator[tuple[int, Block]]:
    for bucket, group in split_by_bucket(entries, lambda entry: entry[0][0], buckets).items():
        yield bucket, (run, kind, json.dumps(group, separators=(",", ":")).encode())


def _rows(run: int, rows: PackedRows, *, buckets: int) -> Iterator[tuple[int, Block]]:
    groups: dict[int, list[int]] = {}
    for number, file in enumerate(rows.owners()):
        groups.setdefault(bucket_of(file, buckets), []).append(number)
    for bucket, numbers in groups.items():
        yield bucket, (run, ROW, rows.take(numbers).to_bytes())


def _unpacked(block: Block, rows: RowTable) -> Entries:
    run, kind, data = block
    if kind == ROW:
        return run, kind, rows.add(data)
    entries = (((uri, generation), entry) for (uri, generation), entry in json.loads(data))
    return run, kind, entries


def merge_bucket(
    blocks: Iterable[Block],
    output: OutputFolder,
    *,
    bucket: int,
    run: str,
    compression: Compression = Compression.RECORDS,
    formats: Sequence[Format] = DEFAULT_FORMATS,
    columns: Sequence[Sequence[str]] = (),
    extra: Sequence[str] = (),
    names: RelativeNames = RelativeNames(),  # noqa: B008 - frozen
    audit: AuditDraw | None = None,
) -> Iterator[str]:
    """Write the latest state of one bucket from the blocks of all runs; yield its items' digests.

    Args:
        blocks: blocks of all runs for this bucket.
        output: output of the merged state.
        bucket: number of the bucket.
        run: digest of everything besides the images that rows depend on.
        compression: compression of the prediction files.
        formats: formats of the prediction files.
        columns: names of the carried columns of each run, by run number.
        extra: names of the rows' optional columns.
        names: names of the images relative to the inputs of all runs.
        audit: how the audit sample is drawn; None for no sample.

    Raises:
        UnreconciledError: when no run has an outcome for a listed file.
    """
    rows = RowTable()
    listed, outcomes = resolve((_unpacked(block, rows) for block in blocks), columns)
    images = sorted(image for _, image in listed.values())
    missing = [image.uri for image in images if (image.uri, image.generation) not in outcomes]
    if missing:
        raise UnreconciledError(
            f"no run has an outcome for {counted(len(missing), 'image')}, first {missing[0]!r}. "
            "Name the runs that scored them, too."
        )
    if not images:
        write_item(output, merged_listing(bucket), None)
    for whole in pack_items(images, run, size=max(1, len(images))):
        write_item(output, merged_listing(bucket), whole)
        for number, item in enumerate(separate_archives([whole])):
            order = part_order(merged_listing(bucket), number)
            entries = [outcomes[image.uri, image.generation].entries for image in item.images]
            statistics = _write_item(
                item,
                order,
                entries,
                rows,
                output=output,
                compression=compression,
                formats=formats,
                extra=extra,
                names=names,
                audit=audit,
            )
            output.write_once(statistics_name(item.digest), statistics.to_json().encode())
            yield item.digest


def resolve(
    blocks: Iterable[Entries], columns: Sequence[Sequence[str]] = ()
) -> tuple[dict[str, tuple[int, ListedImage]], dict[Version, _Outcome]]:
    """Return the current files, with the run that listed each, and the last run's outcome of each version.

    Outcomes are by version, because a file can return to a version that an earlier run scored. The value of
    each carried column comes from the last run that had the column; `columns` has the carried columns of
    each run, by run number.
    """
    listed: dict[str, tuple[int, ListedImage]] = {}
    outcomes: dict[Version, _Outcome] = {}
    carried: dict[str, dict[int, str]] = {}
    for run, kind, entries in blocks:
        for version, entry in entries:
            uri, _ = version
            if kind == LISTED:
                if uri not in listed or listed[uri][0] < run:
                    listed[uri] = run, ListedImage(*entry)
                continue
            if kind == CARRIED:
                carried.setdefault(uri, {})[run] = entry
                continue
            outcome = outcomes.get(version)
            if outcome is None or outcome.run < run:
                outcome = outcomes[version] = _Outcome(run)
            if outcome.run == run:
                outcome.entries.setdefault(kind, []).append(entry)
    return _with_columns(listed, carried, columns) if carried else listed, outcomes


def _with_columns(
    listed: Mapping[str, tuple[int, ListedImage]],
    carried: Mapping[str, Mapping[int, str]],
    columns: Sequence[Sequence[str]],
) -> dict[str, tuple[int, ListedImage]]:
    return {
        uri: (run, image._replace(carried=_latest(carried.get(uri, {}), columns)))
        for uri, (run, image) in listed.items()
    }


def _latest(by_run: Mapping[int, str], columns: Sequence[Sequence[str]]) -> str:
    """Return the carried values of a file, from the values in each run that listed it."""
    found: dict[str, str] = {}
    for run in sorted(by_run):
        for name in columns[run]:
            found.pop(name, None)
        found |= json.loads(by_run[run] or "{}")
    return json.dumps(found, ensure_ascii=False) if found else ""


def _write_item(
    item: WorkItem,
    order: str,
    entries: Sequence[dict[str, list[Any]]],
    rows: RowTable,
    *,
    output: OutputFolder,
    compression: Compression,
    formats: Sequence[Format],
    extra: Sequence[str],
    names: RelativeNames,
    audit: AuditDraw | None,
) -> ItemStatistics:
    def all_of(kind: str) -> list[Any]:
        return [entry for by_kind in entries for entry in by_kind.get(kind, ())]

    failures = all_of(FAILURE)
    samples: dict[str, Any] = {
        kind: MERGES[kind](record(**fields) for fields in all_of(kind))
        for kind, record in SAMPLE_TYPES.items()
    }
    few = failures if len(failures) <= MOST_IN_MEMORY else []
    scored = rows.batch(all_of(ROW), itertools.starmap(Failure, few))
    if extra:
        scored = _with_carried(scored, item)
    statistics = write_parts(
        output,
        item.digest,
        scored,
        order=order,
        compression=compression,
        formats=formats,
        extra=extra,
        names=names,
        audit=audit,
    )
    if not few and failures:
        statistics = _with_failure_files(statistics, failures, output)
    if not item.may_be_archive:
        files = {image.uri for image in item.images}
        outcomes = [image.uri for image in scored.images], [image for image, *_ in failures]
        samples["several"] = count_several(files, *outcomes)
        samples["further_pages"] = statistics.listed - len(files)
    return dataclasses.replace(statistics, **samples)


def _with_carried(scored: ScoredBatch, item: WorkItem) -> ScoredBatch:
    """Return predictions with the carried columns of their files, as last listed."""
    files = {image.uri: image.carried for image in item.images}
    whole = item.images[0].uri if item.may_be_archive else None
    carried = (files[whole or file_of(image.uri, files)] for image in scored.images)
    images = (image._replace(carried=each) for image, each in zip(scored.images, carried, strict=True))
    return dataclasses.replace(scored, images=tuple(images))


def _with_failure_files(
    statistics: ItemStatistics, failures: Sequence[Sequence[Any]], output: OutputFolder
) -> ItemStatistics:
    """Write failures that are too many for a record to files; return the record with these files."""
    parts = list(statistics.parts)
    for start in range(0, len(failures), MOST_IN_MEMORY):
        some = [*itertools.starmap(Failure, failures[start : start + MOST_IN_MEMORY])]
        part, data = failure_file(statistics.digest, some)
        output.write_once(part.name, data)
        parts.append(part)
    return dataclasses.replace(statistics, parts=tuple(parts), listed=statistics.listed + len(failures))
