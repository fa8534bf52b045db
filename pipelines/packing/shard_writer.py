"""Packs one work item: reads its images and writes them as one shard, once. Independent of Beam."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from typing import Final, Self

import numpy as np

from digitmill.records import encode_records
from digitmill.storage import ImageReader, OutputFolder
from digitmill.storage.listed_image import ListedImage
from pipelines.listing.work_item import WorkItem, make_failure, pack_items
from pipelines.scoring.classify import split_chunks
from schemas import packed
from schemas.errors import UnreconciledError
from schemas.failure import Failure
from schemas.layout import statistics_name
from schemas.manifest import Part
from schemas.prediction import NO_LABEL
from schemas.versioned import decode, parse_json

_RUN: Final = f"packed images {packed.FORMAT}"
_RECORD_BYTES: Final = 120
"""Bytes of a record without the image and its name: framing, names of features, label, generation."""

_CHUNK_BYTES: Final = 2**20


SHARDS: Final = "packed-*.tfrecord"
"""Pattern of the shards' names in the output."""


def shard_name(digest: str, content: str) -> str:
    """Return the name of a work item's shard, given the digests of the item and of the shard's content."""
    return f"packed-{digest}-{content[:16]}.tfrecord"


def shards(images: Sequence[ListedImage], *, shard_bytes: float) -> Iterator[WorkItem]:
    """Yield work items of about equal size with every image once, in order.

    No item is larger than `shard_bytes`, unless it has only one image.
    """
    sizes = [max(0, image.size) + len(image.uri) + _RECORD_BYTES for image in images]
    for start, end in _equal_cuts(sizes, most=shard_bytes):
        yield from pack_items(images[start:end], _RUN, size=end - start)


def _equal_cuts(sizes: Sequence[int], *, most: float) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each shard, given the images' sizes."""
    total = sum(sizes)
    # A shard may exceed its fair share by one image.
    fair = max(most - max(sizes, default=0), most / 2)
    count = math.ceil(total / fair)
    start = passed = held = number = 0
    for at, size in enumerate(sizes):
        is_full = held + size > most or passed + size / 2 > total * (number + 1) / count
        if held and is_full:
            yield start, at
            start, held, number = at, 0, max(number + 1, math.floor(passed * count / total))
        held += size
        passed += size
    if held:
        yield start, len(sizes)


@dataclasses.dataclass(frozen=True)
class PackedItem:
    """The record of one packed work item, written last: its counts, its failures, its shard if any."""

    digest: str
    listed: int
    packed: int
    labeled: int
    failures: tuple[Failure, ...]
    parts: tuple[Part, ...]

    def to_json(self) -> str:
        """Return the record as the text of its file."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`; raise ValueError when the text is not a record."""
        return decode(cls, parse_json(text), what="a record of a packed work item")


class Packer:
    """Packs the work items of one worker process, with at most the bytes of two shards in memory."""

    def __init__(self, reader: ImageReader, output: OutputFolder) -> None:
        self._reader = reader
        self._output = output

    def run(self, item: WorkItem) -> PackedItem:
        """Pack a work item and write its shard and its record, unless it has a record already.

        A crash is harmless: the record is written last, and an item without one is packed again. Two attempts
        may differ, because an image may vanish in between. Shards are therefore named by their content, and
        the first record determines which one counts.
        """
        record = statistics_name(item.digest)
        if not self._output.exists(record):
            self._output.write_once(record, self._pack(item).to_json().encode())
        # If two workers packed the item, the first record counts.
        return PackedItem.from_json(self._output.read(record).decode())

    def _pack(self, item: WorkItem) -> PackedItem:
        failures: list[Failure] = []
        labels: list[int] = []
        records: list[bytes] = []
        contents = zip(item.images, self._reader.read(item.images), strict=True)
        # Only a chunk is in memory both as images and as records.
        for chunk in split_chunks(contents, most_bytes=_CHUNK_BYTES):
            good = [(image, content) for image, content in chunk if isinstance(content, bytes)]
            failures += [
                make_failure(image, content) for image, content in chunk if not isinstance(content, bytes)
            ]
            labels += [image.label for image, _ in good]
            records.append(_encoded(good))
        parts = (self._write(item, b"".join(records), rows=len(labels)),) if labels else ()
        labeled = len(labels) - labels.count(NO_LABEL)
        return PackedItem(item.digest, len(item.images), len(labels), labeled, tuple(failures), parts)

    def _write(self, item: WorkItem, data: bytes, *, rows: int) -> Part:
        content = hashlib.sha256(data).hexdigest()
        name = shard_name(item.digest, content)
        self._output.write_once(name, data)
        return Part(name, rows=rows, bytes=len(data), sha256=content)


def _encoded(images: Sequence[tuple[ListedImage, bytes]]) -> bytes:
    columns: dict[str, Sequence | np.ndarray] = {
        packed.ENCODED: [content for _, content in images],
        packed.NAME: [image.uri for image, _ in images],
        packed.LABEL: np.array([image.label for image, _ in images], np.int64),
        packed.GENERATION: np.array([image.generation for image, _ in images], np.int64),
    }
    return encode_records(packed.COLUMNS, columns)


def read_packed(item: WorkItem, output: OutputFolder) -> PackedItem:
    """Read the record of a work item and check that it accounts for every image.

    Raises:
        UnreconciledError: when the record is missing or lacks an image.
    """
    name = statistics_name(item.digest)
    try:
        done = PackedItem.from_json(output.read(name).decode())
    except (FileNotFoundError, ValueError) as error:
        raise UnreconciledError(
            f"the record {name} of {len(item.images):,} images cannot be read: {error}; "
            "pack again into a new output"
        ) from error
    if not len(item.images) == done.listed == done.packed + len(done.failures):
        raise UnreconciledError(
            f"the counts of work item {item.digest} do not add up: {len(item.images):,} listed, "
            f"{done.packed:,} packed, {len(done.failures):,} failed; pack again into a new output"
        )
    return done
