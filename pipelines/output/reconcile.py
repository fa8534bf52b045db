"""Proves from the statistics records that every listed image has exactly one outcome."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from digitmill.storage import OutputFolder
from pipelines.history import incremental
from pipelines.listing.frozen_listing import (
    FrozenItem,
    ListingIndex,
    Readable,
    read_range_items,
    read_sequence,
)
from pipelines.statistics.item_statistics import ItemStatistics, RunStatistics, merge_statistics, read_record
from schemas.errors import UnreconciledError, counted
from schemas.layout import LISTING, MODELS, PREDICTIONS, STATISTICS, joined_listing, statistics_name
from schemas.manifest import Part

_REMEDY = "Score again into a new output."
_RESUME = "Run the same command with --resume: it makes what is missing, and keeps the rest."


@dataclasses.dataclass(frozen=True)
class Reconciliation:
    """Outcome of every listed image.

    Attributes:
        skipped: number of listed images that an earlier run covers.
        skipped_failed: number of skipped images that failed in that run.
        ignored: files and archive members that were left out.
        vanished: folders that disappeared while they were listed.
        records: the work items' statistics records, with their images as rows.
    """

    statistics: RunStatistics
    records: tuple[Part, ...]
    listing: tuple[Part, ...]
    skipped: int = 0
    skipped_failed: int = 0
    ignored: int = 0
    vanished: int = 0

    @property
    def parts(self) -> tuple[Part, ...]:
        """The statistics and listing files, as parts of the manifest."""
        return self.records + self.listing


def reconcile(index: ListingIndex, *, output: OutputFolder, most: int) -> Reconciliation:
    """Read, check and merge the statistics records of all work items.

    The index has what the launcher listed. What workers listed is read from the output.

    Raises:
        UnreconciledError: when a record is missing, does not account for all images of its item, or names a
            missing file.
    """
    ignored, listing = [index.ignored], _ReadOnce(output)
    listed = itertools.chain(index.items, _range_items(index, listing, ignored))
    items: Iterable[FrozenItem] = listed
    skipped = _Skipped()
    if index.buckets:
        items, skipped = _joined_items(
            index.buckets, sum(item.images for item in listed), output=listing, most=most
        )
    records: list[Part] = []
    try:
        statistics = merge_statistics(_read_record(item, output, records) for item in items)
    except (FileNotFoundError, ValueError) as error:
        raise UnreconciledError(f"failures of a work item cannot be read: {error}. {_REMEDY}") from error
    _check_files(statistics, output)
    return Reconciliation(
        statistics,
        tuple(records),
        tuple(listing.parts()),
        skipped=skipped.images,
        skipped_failed=skipped.failed,
        ignored=sum(ignored) + statistics.ignored,
        vanished=index.vanished,
    )


class _ReadOnce:
    """Reads listing files of an output and keeps each file's manifest entry."""

    def __init__(self, output: OutputFolder) -> None:
        self._output = output
        self._parts: dict[str, Part] = {}

    def read(self, name: str) -> bytes:
        data = self._output.read(name)
        self._parts[name] = Part.of(name, data)
        return data

    def at(self, name: str) -> str:
        return self._output.at(name)

    def parts(self) -> Iterator[Part]:
        """Yield the manifest entry of every listing file, reading files that were not read before."""
        for name in sorted(f"{LISTING}/{name}" for name in self._output.names(LISTING) if name[0] != "."):
            if name not in self._parts:
                self.read(name)
            yield self._parts[name]


class _Skipped(NamedTuple):
    """What the join skipped: files, images in them, and how many of these images had failed."""

    files: int = 0
    images: int = 0
    failed: int = 0


def remove_unreferenced(
    output: OutputFolder, reconciled: Reconciliation, *, confirm: Callable[[], None] = lambda: None
) -> None:
    """Remove staged models and files of abandoned attempts, which readers could mistake for outputs.

    `confirm` is called before each file, and raises when another launcher has taken over the output.
    """
    for name in [*output.walk(MODELS)]:
        confirm()
        output.delete(name)
    named = {part.name for part in (*reconciled.parts, *reconciled.statistics.parts)}
    for folder in (PREDICTIONS, STATISTICS):
        for name in output.names(folder):
            if f"{folder}/{name}" not in named:
                confirm()
                output.delete(f"{folder}/{name}")
    remove_temporary_files(output, ("", LISTING, "reports"), confirm=confirm)


def remove_temporary_files(
    output: OutputFolder, folders: Iterable[str], *, confirm: Callable[[], None] = lambda: None
) -> None:
    """Remove temporary files of processes that were killed while writing; `confirm` is called before each."""
    for folder in folders:
        for name in output.names(folder):
            if name.startswith(".") and name.endswith(".tmp"):
                confirm()
                output.delete(f"{folder}/{name}".lstrip("/"))


def _range_items(index: ListingIndex, output: Readable, ignored: list[int]) -> Iterator[FrozenItem]:
    for keys in index.ranges:
        try:
            yield from read_range_items(output, keys, ignored=ignored)
        except FileNotFoundError as error:
            raise UnreconciledError(
                f"a key range is not listed to its end: {keys.bucket} from {keys.keys.start!r}, "
                f"file not found: {error}. {_RESUME}"
            ) from error


def _joined_items(
    buckets: int, listed: int, *, output: Readable, most: int
) -> tuple[list[FrozenItem], _Skipped]:
    """Return the work items that the join left to score, and what it skipped."""
    each, counts = [], []
    try:
        # One bucket at a time, so that memory holds the names of one bucket only.
        for number in range(buckets):
            bucket = incremental.read_bucket(output, number)
            each.append((bucket.skipped, bucket.skipped_images, bucket.skipped_failed))
            counts.append(len(bucket.todo))
        items = list(_grouped(output, counts, most=most))
    except FileNotFoundError as error:
        raise UnreconciledError(f"the join with earlier runs lacks a file: {error}. {_RESUME}") from error
    skipped = _Skipped(*map(sum, zip(*each, strict=True)))
    todo, packed = sum(counts), sum(item.images for item in items)
    if (listed, todo) != (todo + skipped.files, packed):
        raise UnreconciledError(
            f"the join with earlier runs does not add up: {listed:,} listed, {skipped.files:,} skipped, "
            f"{todo:,} to score, {packed:,} in work items. {_REMEDY}"
        )
    return items, skipped


def _grouped(output: Readable, counts: list[int], *, most: int) -> Iterator[FrozenItem]:
    for group, _ in enumerate(incremental.group_buckets(counts, max_size=most)):
        yield from read_sequence(output, functools.partial(joined_listing, group))


def _read_record(item: FrozenItem, output: OutputFolder, records: list[Part]) -> ItemStatistics:
    name = statistics_name(item.digest)
    try:
        data = output.read(name)
        statistics = read_record(data, output)
    except (FileNotFoundError, ValueError) as error:
        # Resuming helps only if the record is missing: an item with a record counts as done.
        remedy = _RESUME if isinstance(error, FileNotFoundError) else _REMEDY
        raise UnreconciledError(
            f"no statistics record of a work item with {counted(item.images, 'image')}: {name} "
            f"({error}). {remedy}"
        ) from error
    records.append(Part.of(name, data, rows=statistics.listed))
    outcomes = statistics.scored + len(statistics.failures)
    # An archive counts its members, or itself if it has none.
    files = statistics.listed - statistics.further_pages
    complete = files > 0 if item.may_be_archive else files == item.images
    if not complete or statistics.listed != outcomes:
        raise UnreconciledError(
            f"work item {item.digest} does not add up: {item.images:,} names, {statistics.listed:,} listed, "
            f"{statistics.scored:,} scored, {len(statistics.failures):,} failed. {_REMEDY}"
        )
    return statistics


def _check_files(statistics: RunStatistics, output: OutputFolder) -> None:
    # After a power failure, a disk may have the records but not the predictions.
    existing = {f"{folder}/{name}" for folder in (PREDICTIONS, STATISTICS) for name in output.names(folder)}
    missing = [part.name for part in statistics.parts if part.name not in existing]
    if missing:
        raise UnreconciledError(
            f"{len(missing):,} prediction files are missing, first {missing[0]}. {_REMEDY}"
        )
