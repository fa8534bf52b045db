"""Skips images that earlier runs have scored: a hash join of this run's listing with theirs.

Names travel through the join in blocks, one for each listing file and bucket: shuffling a single name
would cost Beam more than scoring an image. A bucket holds about 50,000 names, so no process ever holds all.
The images left to score are frozen in the output, bucket by bucket, and then packed into work items as large
as those of a first run.

An earlier run covers all images that it listed: it scored them, or skipped them because a still earlier run
covers them.
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
from digitmill.storage.listed_image import ListedImage
from digitmill.storage.names import file_of
from pipelines.history.past_runs import PastRun
from pipelines.listing.frozen_listing import read_item, read_items, write_item
from pipelines.listing.work_item import ITEM_SIZE, WorkItem, pack_items
from pipelines.statistics.item_statistics import read_record
from schemas.errors import StorageError
from schemas.layout import (
    LISTING,
    bucket_listing,
    is_bucket,
    is_joined,
    is_listed,
    joined_listing,
    statistics_name,
)
from schemas.versioned import fields_of, parse_json

_BUCKET_NAMES: Final = 50_000
_MOST_BUCKETS: Final = 4096

_MIN_ITEMS: Final = 16
"""Work items to aim for, as long as they are not too small: enough to balance the workers."""

T = TypeVar("T")

Version = tuple[str, int]
"""An image's URI and its generation."""

Block = tuple[int, str, bytes]
"""Number of a run, oldest first and this one last; kind of the names; the names, compressed."""

LISTED: Final = "listed"
FAILED: Final = "failed"


@dataclasses.dataclass(frozen=True)
class PastListingFile:
    """A listing file of an earlier run.

    Attributes:
        number: number of the run among the earlier ones, oldest first.
        listed: whether the file holds images as they were listed.
        scored: whether the file's work items were scored; then some images may have failed.
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
        except (FileNotFoundError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
            raise StorageError(
                f"files of an earlier run are missing or damaged ({error})",
                value=self.place,
                hint="restore them (`digitmill verify` lists them), or start a new run without it",
            ) from error


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Result of the join for one bucket.

    Attributes:
        todo: images to score, sorted by URI.
        skipped: number of images that an earlier run covers.
        failed: skipped images that failed in that run.
    """

    todo: tuple[ListedImage, ...]
    skipped: int
    failed: tuple[Version, ...]

    def to_bytes(self) -> bytes:
        """Returns the content of its file."""
        return gzip.compress(json.dumps(dataclasses.astuple(self)).encode(), 1, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Bucket":
        """Reads what `to_bytes` wrote."""
        with fields_of("a bucket of names"):
            todo, skipped, failed = parse_json(gzip.decompress(data))
            images = tuple(itertools.starmap(ListedImage, todo))
            return cls(images, skipped, tuple((uri, made) for uri, made in failed))


def bucket_count(images: int, *, names: int | None = None) -> int:
    """Returns the number of buckets for about `images` names, of `names` each; fixed when a run begins."""
    return min(_MOST_BUCKETS, images // (names or _BUCKET_NAMES) + 1)


def bucket_of(uri: str, buckets: int) -> int:
    """Returns the number of a name's bucket."""
    return zlib.crc32(uri.encode()) % buckets


def past_listing_files(runs: Sequence[PastRun]) -> Iterator[PastListingFile]:
    """Yields the listing files of earlier runs that their manifests name."""
    for number, run in enumerate(runs):
        names = sorted(part.name for part in run.manifest.parts if part.name.startswith(f"{LISTING}/"))
        joined = any(map(is_bucket, names))
        for name in names:
            listed = is_listed(name)
            if listed or is_bucket(name) or is_joined(name):
                scored = is_joined(name) if joined else listed
                yield PastListingFile(number, run.place, name, listed=listed, scored=scored)


def current_blocks(output: OutputFolder, name: str, *, run: int, buckets: int) -> Iterator[tuple[int, Block]]:
    """Yields the names in a listing file of this run in blocks, each with its bucket."""
    item = read_item(output, name)
    yield from _blocks(item.images if item else (), run, LISTED, buckets=buckets)


def past_blocks(file: PastListingFile, *, buckets: int) -> Iterator[tuple[int, Block]]:
    """Yields the names in a listing file of an earlier run in blocks: covered ones, and failed ones."""
    output = open_folder(file.place)
    with file.damage_reported():
        if is_bucket(file.name):
            failed = Bucket.from_bytes(output.read(file.name)).failed
            yield from _blocks(failed, file.number, FAILED, buckets=buckets)
            return
        items = read_items(output, file.name)
        if file.listed:
            sizes = [(image.uri, image.generation, image.size) for item in items for image in item.images]
            yield from _blocks(sizes, file.number, LISTED, buckets=buckets)
        if file.scored:
            failed = tuple(itertools.chain.from_iterable(_failures(output, item) for item in items))
            yield from _blocks(failed, file.number, FAILED, buckets=buckets)


def _failures(output: OutputFolder, item: WorkItem) -> Iterator[Version]:
    record = read_record(output.read(statistics_name(item.digest)), output)
    if item.may_be_archive:
        # An archive is scored again as a whole.
        yield from ((image.uri, image.generation) for image in item.images if len(record.failures))
    else:
        # So is a file with pages.
        files = {image.uri for image in item.images}
        yield from dict.fromkeys((file_of(each.image, files), each.generation) for each in record.failures)


def join_bucket(blocks: Iterable[Block], *, run: int, retry_failures: bool) -> Bucket:
    """Returns which images of one bucket are left to score, from the blocks of this run and earlier ones."""
    # For each version: the last run that listed it, and the last run in which it failed.
    # The size tells a new file apart that kept the modification time of the old one.
    last: dict[str, dict[tuple, int]] = {LISTED: {}, FAILED: {}}
    current: list[ListedImage] = []
    for number, kind, packed in blocks:
        names = json.loads(zlib.decompress(packed))
        if number == run:
            current += itertools.starmap(ListedImage, names)
            continue
        seen = last[kind]
        for version in map(tuple, names):
            seen[version] = max(number, seen.get(version, -1))
    todo, failed, skipped = [], [], 0
    for image in sorted(current):
        version = (image.uri, image.generation)
        covering_run = last[LISTED].get((*version, image.size))
        had_failed = covering_run is not None and last[FAILED].get(version) == covering_run
        if covering_run is None or (had_failed and retry_failures):
            todo.append(image)
            continue
        skipped += 1
        if had_failed:
            failed.append(version)
    return Bucket(tuple(todo), skipped, tuple(failed))


def group_buckets(counts: Sequence[int], *, max_size: int) -> list[list[int]]:
    """Groups the buckets that are packed together, so that few new images make few files."""
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
    """Packs the images of a group of buckets into work items, and yields each with its listing file."""
    images = (image for bucket in buckets for image in read_bucket(output, bucket).todo)
    items = pack_items(images, run, size=max_size)
    for number, item in enumerate(itertools.chain(items, [None])):
        name = joined_listing(group, number)
        write_item(output, name, item)
        if item is not None:
            yield name, item


def read_bucket(output: OutputFolder, number: int) -> Bucket:
    """Reads the result of the join for a bucket; raises FileNotFoundError if it is missing."""
    return Bucket.from_bytes(output.read(bucket_listing(number)))


def _blocks(names: Iterable[tuple], run: int, kind: str, *, buckets: int) -> Iterator[tuple[int, Block]]:
    for bucket, group in split_by_bucket(names, lambda name: name[0], buckets).items():
        yield bucket, (run, kind, zlib.compress(json.dumps(group, separators=(",", ":")).encode(), 1))


def split_by_bucket(entries: Iterable[T], uri_of: Callable[[T], str], buckets: int) -> dict[int, list[T]]:
    """Returns the entries of each bucket, by the URI that each belongs to."""
    groups: dict[int, list[T]] = {}
    for entry in entries:
        groups.setdefault(bucket_of(uri_of(entry), buckets), []).append(entry)
    return groups
