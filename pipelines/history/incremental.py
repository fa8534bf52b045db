"""Skips what earlier runs have scored: a hash join of what is listed now with what was listed then.

Names travel through the join in blocks, a block for each listing file and bucket: a name by itself
would cost Beam more than it costs to score an image. A bucket holds some 50,000 names, so no process
ever holds all. What is left to be scored is frozen in the output as listings are, bucket by bucket,
and then packed into work items as large as those of a first run.

An earlier run vouches for all that it listed: it has scored it, or had skipped it because a still
earlier run vouched for it.
"""

import contextlib
import dataclasses
import gzip
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from digitmill.storage import OutputFolder, open_folder
from digitmill.storage.listed_image import ListedImage
from pipelines.history.past_runs import PastRun
from pipelines.listing.frozen_listing import LISTING, items_in, read_item, write_items
from pipelines.listing.work_item import SIZE, WorkItem, pack
from pipelines.statistics.item_statistics import ItemStatistics
from schemas.errors import StorageError
from schemas.layout import statistics_name

_BUCKET_NAMES: Final = 50_000
_MOST_BUCKETS: Final = 4096

_SHARE: Final = 16
"""Work items to aim for while they are not too small: enough for the workers to share."""

Version = tuple[str, int]
"""An image's URI and its generation."""

Block = tuple[int, str, bytes]
"""Number of a run, oldest first, with this one as the last; what the names are; the names, packed."""

LISTED: Final = "listed"
FAILED: Final = "failed"


@dataclasses.dataclass(frozen=True)
class PastFile:
    """A listing file of an earlier run.

    Attributes:
        number: the run's place among the earlier runs.
        place: its output folder.
        name: the file's name within it.
        listed: whether the file says what was listed.
        scored: whether the file's work items were scored, so that some of them may have failed.
    """

    number: int
    place: str
    name: str
    listed: bool
    scored: bool

    @contextlib.contextmanager
    def kept_whole(self) -> Iterator[None]:
        """Raises StorageError where what is read of the run has been removed or damaged since."""
        try:
            yield
        except (FileNotFoundError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
            remedy = "bring its files back (`digitmill verify` names them), or begin anew without it"
            raise StorageError(
                "an earlier run keeps the files that its manifest names",
                got=self.place,
                remedy=f"{remedy}: {error}",
            ) from error


@dataclasses.dataclass(frozen=True)
class Bucket:
    """What the join found of the names in one bucket.

    Attributes:
        todo: to be scored, in order of URI.
        skipped: number of images that an earlier run vouches for.
        failed: those among the skipped that failed then.
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
        todo, skipped, failed = json.loads(gzip.decompress(data))
        return cls(tuple(map(ListedImage._make, todo)), skipped, tuple((uri, made) for uri, made in failed))


def bucket_count(images: int, *, names: int | None = None) -> int:
    """Returns the number of buckets for about so many images; it is fixed when a run begins.

    Args:
        images: number of names to spread.
        names: how many of them a bucket comes to.
    """
    return min(_MOST_BUCKETS, images // (names or _BUCKET_NAMES) + 1)


def bucket_of(uri: str, buckets: int) -> int:
    """Returns the bucket that a name belongs to."""
    return zlib.crc32(uri.encode()) % buckets


def bucket_name(number: int) -> str:
    """Returns where in the output a bucket's file stands."""
    return f"{LISTING}/bucket-{number:05d}.json.gz"


def joined_name(group: int, number: int) -> str:
    """Returns where in the output a work item of a group of buckets stands."""
    return f"{LISTING}/joined-{group:05d}-{number:05d}.json.gz"


def is_bucket(name: str) -> bool:
    """Whether a listing file says what the join found."""
    return name.startswith(f"{LISTING}/bucket-")


def is_joined(name: str) -> bool:
    """Whether a listing file holds work items that the join left."""
    return name.startswith(f"{LISTING}/joined-")


def is_listed(name: str) -> bool:
    """Whether a listing file says what was listed."""
    return name.startswith((f"{LISTING}/launcher-", f"{LISTING}/range-", f"{LISTING}/merged-"))


def files_of(runs: Sequence[PastRun]) -> Iterator[PastFile]:
    """Yields the listing files of earlier runs, those that their manifests name."""
    for number, run in enumerate(runs):
        names = sorted(part.name for part in run.manifest.parts if part.name.startswith(f"{LISTING}/"))
        joined = any(map(is_bucket, names))
        for name in names:
            listed = is_listed(name)
            if listed or is_bucket(name) or is_joined(name):
                scored = is_joined(name) if joined else listed
                yield PastFile(number, run.place, name, listed=listed, scored=scored)


def current_blocks(output: OutputFolder, name: str, *, run: int, buckets: int) -> Iterator[tuple[int, Block]]:
    """Yields by bucket what a listing file of this run holds."""
    item = read_item(output, name)
    yield from _blocks(item.images if item else (), run, LISTED, buckets=buckets)


def past_blocks(file: PastFile, *, buckets: int) -> Iterator[tuple[int, Block]]:
    """Yields by bucket what a listing file of an earlier run vouches for, and what of it had failed."""
    output = open_folder(file.place)
    with file.kept_whole():
        if is_bucket(file.name):
            failed = Bucket.from_bytes(output.read(file.name)).failed
            yield from _blocks(failed, file.number, FAILED, buckets=buckets)
            return
        items = items_in(output, file.name)
        if file.listed:
            sizes = [(image.uri, image.generation, image.size) for item in items for image in item.images]
            yield from _blocks(sizes, file.number, LISTED, buckets=buckets)
        if file.scored:
            failed = tuple(itertools.chain.from_iterable(_failures(output, item) for item in items))
            yield from _blocks(failed, file.number, FAILED, buckets=buckets)


def _failures(output: OutputFolder, item: WorkItem) -> Iterator[Version]:
    record = ItemStatistics.from_json(output.read(statistics_name(item.digest)).decode())
    if item.may_be_archive:
        # An archive is taken up again as a whole.
        yield from ((image.uri, image.generation) for image in item.images if record.failures)
    else:
        yield from ((failure.image, failure.generation) for failure in record.failures)


def join(blocks: Iterable[Block], *, run: int, retry_failures: bool) -> Bucket:
    """Returns what is to be scored of one bucket.

    Args:
        blocks: of this run and the earlier ones, in any order.
        run: number of this run.
        retry_failures: whether what had failed is to be scored again.
    """
    # For each version the last run that listed it, and the last in which it stood as failed.
    # A copy that keeps a file's old time is told by its size.
    last: dict[str, dict[tuple, int]] = {LISTED: {}, FAILED: {}}
    current: list[ListedImage] = []
    for number, kind, packed in blocks:
        names = json.loads(zlib.decompress(packed))
        if number == run:
            current += map(ListedImage._make, names)
            continue
        seen = last[kind]
        for version in map(tuple, names):
            seen[version] = max(number, seen.get(version, -1))
    todo, failed, skipped = [], [], 0
    for image in sorted(current):
        version = (image.uri, image.generation)
        vouched = last[LISTED].get((*version, image.size))
        had_failed = vouched is not None and last[FAILED].get(version) == vouched
        if vouched is None or (had_failed and retry_failures):
            todo.append(image)
            continue
        skipped += 1
        if had_failed:
            failed.append(version)
    return Bucket(tuple(todo), skipped, tuple(failed))


def groups(counts: Sequence[int], *, most: int) -> list[list[int]]:
    """Returns which buckets are packed together, so that few new images make few files.

    Args:
        counts: images to be scored in each bucket.
        most: greatest number of images in a work item.
    """
    aim = min(most, max(SIZE, -(-sum(counts) // _SHARE)))
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
    output: OutputFolder, group: int, buckets: Sequence[int], *, run: str, most: int
) -> Iterator[tuple[str, WorkItem]]:
    """Packs the images of some buckets into work items, writes each once, and yields it by its file."""
    images = (image for bucket in buckets for image in read_bucket(output, bucket).todo)
    number = 0
    for number, item in enumerate(pack(images, run, size=most), start=1):
        name = joined_name(group, number - 1)
        write_items(output, name, item)
        yield name, item
    write_items(output, joined_name(group, number), None)


def read_bucket(output: OutputFolder, number: int) -> Bucket:
    """Returns what the join found; raises FileNotFoundError where it was not done."""
    return Bucket.from_bytes(output.read(bucket_name(number)))


def _blocks(names: Iterable[tuple], run: int, kind: str, *, buckets: int) -> Iterator[tuple[int, Block]]:
    sorted_out: dict[int, list[tuple]] = {}
    for name in names:
        sorted_out.setdefault(bucket_of(name[0], buckets), []).append(name)
    for bucket, some in sorted_out.items():
        yield bucket, (run, kind, zlib.compress(json.dumps(some, separators=(",", ":")).encode(), 1))
