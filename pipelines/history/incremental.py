"""Skips images that earlier runs have scored: a hash join of this run's listing with theirs.

Names go through the join in blocks, one per listing file and bucket, because shuffling a single name would
cost Beam more than scoring an image. A bucket has about 50,000 names, so no process holds all names. The
images left to score are frozen in the output, bucket by bucket, and then packed into work items as large as
those of a first run.

An earlier run covers all images that it listed: it scored them, or skipped them because a still earlier run
covers them. It does not cover images that failed because of the storage or the machine.

A listed file may contain several images: an archive's members, a scan's pages. The join skips whole files,
and counts the images that the earlier run found in them.
"""

import contextlib
import dataclasses
import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import FIELD_TYPES, ListedImage, stored
from digitmill.storage.names import file_of
from pipelines.history.block_shuffle import Block
from pipelines.history.past_runs import PastRun
from pipelines.listing.frozen_listing import (
    Readable,
    damaged_listing,
    read_item,
    read_items,
    unpack,
    write_item,
)
from pipelines.listing.work_item import ITEM_SIZE, WorkItem, pack_items
from pipelines.statistics.item_statistics import FileCount, read_record
from schemas.errors import StorageError
from schemas.failure import FailureCode
from schemas.layout import (
    LISTING,
    bucket_listing,
    is_bucket,
    is_joined,
    is_listed,
    joined_listing,
    statistics_name,
)
from schemas.versioned import check_types, fields_of, parse_json

_BUCKET_NAMES: Final = 50_000
_MOST_BUCKETS: Final = 4096

_MIN_ITEMS: Final = 16
"""Target number of work items, unless they become too small: enough to balance the workers."""

T = TypeVar("T")

Version = tuple[str, int]
"""An image's URI and its generation."""

FileImages = tuple[str, int, int, int]
"""A file's URI and generation, its number of images, and how many of them failed."""

LISTED: Final = "listed"
FAILED: Final = "failed"
"""Kind of names: files with an image whose failure is permanent."""

PASSING: Final = "passing"
"""Kind of names: files with an image whose failure may be temporary; see `FailureCode.may_pass`."""

SEVERAL: Final = "several"
"""Kind of names: files with several images, each with its numbers of images and of failed images."""


@dataclasses.dataclass(frozen=True)
class PastListingFile:
    """A listing file of an earlier run.

    Attributes:
        number: number of the run among the earlier ones, oldest first.
        listed: whether the file has images as they were listed, before any join.
        scored: whether the file's work items were scored; if so, some images may have failed.
    """

    number: int
    place: str
    name: str
    listed: bool
    scored: bool

    @contextlib.contextmanager
    def damage_reported(self) -> Iterator[None]:
        """Context manager that raises StorageError when a file of the run is missing or damaged."""
        try:
            yield
        except (FileNotFoundError, EOFError, zlib.error, gzip.BadGzipFile, KeyError, ValueError) as error:
            raise StorageError(
                f"files of an earlier run are missing or damaged ({error})",
                value=self.place,
                hint="restore them (`digitmill verify` lists them), or start a new run without that one",
            ) from error


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Result of the join for one bucket.

    Attributes:
        todo: files to score, sorted by URI.
        skipped: number of files that an earlier run covers.
        failed: skipped files that failed in that run, or an image in them.
        several: URI, generation, images and failed images of skipped files without exactly one image.
    """

    todo: tuple[ListedImage, ...]
    skipped: int
    failed: tuple[Version, ...]
    several: tuple[FileImages, ...] = ()

    @property
    def skipped_images(self) -> int:
        """Number of images in the skipped files."""
        return self.skipped + sum(images - 1 for _, _, images, _ in self.several)

    @property
    def skipped_failed(self) -> int:
        """Number of images in the skipped files that failed in the earlier run."""
        counted = {(uri, generation): failed for uri, generation, _, failed in self.several}
        return sum(counted.get(version, 1) for version in self.failed)

    def to_bytes(self) -> bytes:
        """Return the content of the bucket's file."""
        todo = [*map(stored, self.todo)]
        return gzip.compress(json.dumps([todo, self.skipped, self.failed, self.several]).encode(), 1, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Bucket":
        """Parse the output of `to_bytes`."""
        with fields_of("a bucket of names"):
            # Earlier versions did not count the images of archives.
            todo, skipped, failed, *several = parse_json(unpack(data))
            counted = several[0] if several else ()
            check_types([[skipped]], (int,))
            check_types(todo, FIELD_TYPES)
            check_types(failed, (str, int))
            check_types(counted, (str, int, int, int))
            return cls(
                tuple(itertools.starmap(ListedImage, todo)),
                skipped,
                tuple((uri, made) for uri, made in failed),
                tuple((uri, made, images, bad) for uri, made, images, bad in counted),
            )


def bucket_count(images: int, *, names: int | None = None) -> int:
    """Return the number of buckets for about `images` names, `names` per bucket; fixed when a run begins."""
    return min(_MOST_BUCKETS, images // (names or _BUCKET_NAMES) + 1)


def bucket_of(uri: str, buckets: int) -> int:
    """Return the bucket number of a URI."""
    return zlib.crc32(uri.encode()) % buckets


def past_listing_files(runs: Sequence[PastRun]) -> Iterator[PastListingFile]:
    """Yield the listing files that the manifests of earlier runs name."""
    for number, run in enumerate(runs):
        yield from run_listing_files(number, run.place, (part.name for part in run.manifest.parts))


def run_listing_files(number: int, place: str, names: Iterable[str]) -> Iterator[PastListingFile]:
    """Yield the listing files among the files of a run."""
    listing = sorted(name for name in names if name.startswith(f"{LISTING}/"))
    joined = any(map(is_bucket, listing))
    for name in listing:
        listed = is_listed(name)
        if listed or is_bucket(name) or is_joined(name):
            scored = is_joined(name) if joined else listed
            yield PastListingFile(number, place, name, listed=listed, scored=scored)


def current_blocks(output: OutputFolder, name: str, *, run: int, buckets: int) -> Iterator[tuple[int, Block]]:
    """Yield blocks of names from a listing file of this run, each with its bucket."""
    item = read_item(output, name)
    yield from _blocks(item.images if item else (), run, LISTED, buckets=buckets)


def past_blocks(file: PastListingFile, *, buckets: int) -> Iterator[tuple[int, Block]]:
    """Yield blocks of names from an earlier run's listing file: names it covers, and names that failed."""
    output = open_folder(file.place)
    names: dict[str, list[tuple]] = {}
    with file.damage_reported():
        if is_bucket(file.name):
            bucket = Bucket.from_bytes(output.read(file.name))
            names = {FAILED: list(bucket.failed), SEVERAL: list(bucket.several)}
        else:
            items = read_items(output, file.name)
            if file.listed:
                names[LISTED] = [
                    (image.uri, image.generation, image.size) for item in items for image in item.images
                ]
            for item in items if file.scored else ():
                for kind, found in _outcomes(output, item):
                    names.setdefault(kind, []).append(found)
    for kind, of_kind in names.items():
        yield from _blocks(of_kind, file.number, kind, buckets=buckets)


def _outcomes(output: OutputFolder, item: WorkItem) -> Iterator[tuple[str, tuple]]:
    """Yield a work item's files with a failure, and its files without exactly one image."""
    record = read_record(output.read(statistics_name(item.digest)), output)
    files = {image.uri: (image.uri, image.generation) for image in item.images}
    counted = list(record.several)
    if item.may_be_archive:
        counted = [FileCount(item.images[0].uri, record.listed, len(record.failures))]
    yield from ((SEVERAL, (*files[count.file], count.images, count.failed)) for count in counted)
    # Store each file once: an archive may have a million failures.
    failed: dict[tuple[str, Version], None] = {}
    for failure in record.failures:
        # Rescoring always covers a whole file.
        file = item.images[0].uri if item.may_be_archive else file_of(failure.image, files)
        failed[PASSING if FailureCode(failure.code).may_pass else FAILED, files[file]] = None
    yield from failed


def join_bucket(blocks: Iterable[Block], *, run: int, retry_failures: bool) -> Bucket:
    """Join one bucket: find the files left to score, from the blocks of this run and of earlier runs."""
    past, current = _Past(), list[ListedImage]()
    for number, kind, packed in blocks:
        names = json.loads(packed)
        if number == run:
            current += itertools.starmap(ListedImage, names)
        else:
            past.add(number, kind, names)
    todo, skipped_failed, skipped = list[ListedImage](), list[Version](), 0
    several: list[FileImages] = []
    for image in sorted(current):
        version, outcome = (image.uri, image.generation), past.outcome(image)
        if outcome in (None, PASSING) or (outcome == FAILED and retry_failures):
            todo.append(image)
            continue
        skipped += 1
        if outcome == FAILED:
            skipped_failed.append(version)
        several += ((*version, images, failed) for images, failed in past.counted(image))
    return Bucket(tuple(todo), skipped, tuple(skipped_failed), tuple(several))


class _Past:
    """What the earlier runs say about the files of a bucket."""

    def __init__(self) -> None:
        # For files with several images: numbers of images and of failed images, by the run that counted them.
        self._counts: dict[tuple, dict[int, tuple[int, int]]] = {}
        # For each version: the last run that listed it, and the last run in which it failed.
        self._last: dict[str, dict[tuple, int]] = {LISTED: {}, FAILED: {}, PASSING: {}}

    def add(self, number: int, kind: str, names: Iterable[Sequence]) -> None:
        """Add a block of an earlier run."""
        if kind == SEVERAL:
            for uri, generation, images, failed in names:
                self._counts.setdefault((uri, generation), {})[number] = images, failed
            return
        seen = self._last[kind]
        for version in map(tuple, names):
            seen[version] = max(number, seen.get(version, -1))

    def outcome(self, image: ListedImage) -> str | None:
        """Return a file's outcome in the last run that listed it; None if no run did."""
        covering_run = self._covering_run(image)
        if covering_run is None:
            return None
        version = (image.uri, image.generation)
        fared = (kind for kind in (PASSING, FAILED) if self._last[kind].get(version) == covering_run)
        return next(fared, LISTED)

    def counted(self, image: ListedImage) -> Iterator[tuple[int, int]]:
        """Yield the latest numbers of images and of failed images of a file with several; at most one pair.

        Ignores later counts, which may be of another file with the same modification time.
        """
        covering_run = self._covering_run(image)
        counts = self._counts.get((image.uri, image.generation), {})
        until = [run for run in counts if covering_run is not None and run <= covering_run]
        yield from (counts[run] for run in [*sorted(until)][-1:])

    def _covering_run(self, image: ListedImage) -> int | None:
        # The size distinguishes a new file that has the modification time of the old one.
        return self._last[LISTED].get((image.uri, image.generation, image.size))


def group_buckets(counts: Sequence[int], *, max_size: int) -> list[list[int]]:
    """Group buckets to pack together, so that few new images do not make many files."""
    aim = min(max_size, max(ITEM_SIZE, -(-sum(counts) // _MIN_ITEMS)))
    grouped: list[list[int]] = []
    held = aim
    for bucket, count in enumerate(counts):
        if not count:
            continue
        if held + count > aim:
            grouped.append([])
            held = 0
        grouped[-1].append(bucket)
        held += count
    return grouped


def freeze_group(
    output: OutputFolder, group: int, buckets: Sequence[int], *, run: str, max_size: int
) -> Iterator[tuple[str, WorkItem]]:
    """Pack the images of a group of buckets into work items, and yield each with its listing file."""
    images = (image for bucket in buckets for image in read_bucket(output, bucket).todo)
    items = pack_items(images, run, size=max_size)
    for number, item in enumerate(itertools.chain(items, [None])):
        name = joined_listing(group, number)
        write_item(output, name, item)
        if item is not None:
            yield name, item


def read_bucket(output: Readable, number: int) -> Bucket:
    """Read the result of the join for a bucket.

    Raises:
        FileNotFoundError: when it is missing.
        UserError: when it is damaged.
    """
    name = bucket_listing(number)
    try:
        return Bucket.from_bytes(output.read(name))
    except ValueError as error:
        raise damaged_listing(output, name, error) from error


def _blocks(names: Iterable[tuple], run: int, kind: str, *, buckets: int) -> Iterator[tuple[int, Block]]:
    for bucket, group in split_by_bucket(names, lambda name: name[0], buckets).items():
        yield bucket, (run, kind, json.dumps(group, separators=(",", ":")).encode())


def split_by_bucket(entries: Iterable[T], uri_of: Callable[[T], str], buckets: int) -> dict[int, list[T]]:
    """Group entries by the bucket of their URIs."""
    groups: dict[int, list[T]] = {}
    for entry in entries:
        groups.setdefault(bucket_of(uri_of(entry), buckets), []).append(entry)
    return groups
