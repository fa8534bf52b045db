"""`tfrecord:GLOB`: labelled images that `digitmill pack` wrote."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import numpy as np

from digitmill.imaging.batch import decode_batch
from digitmill.records import Frame, mean_size, open_stream, parse_packed_image, read_frames
from digitmill.storage import ImageReader, ListedImage, NothingFoundError, list_place, uri_of_place
from digitmill.storage.names import place_of
from digitmill.storage.patterns import has_magic
from schemas.errors import UserError
from schemas.failure import ImageError
from schemas.prediction import NO_LABEL
from trainer.data.reading import ALONE, DecodedBatch, ReadOptions, ReadPlan, Shard, Workers, read, round_robin
from trainer.data.sources.folder import check_split_coverage
from trainer.data.splits import Digits

_CHUNK: Final = 128
_HEAD: Final = 2**18
"""Bytes of the first shard that are read to estimate the size of records."""

_LIKELY_SIZE: Final = 512
"""Assumed bytes of a record where the first one is damaged or the shard is gzipped."""

_SHARD_BITS: Final = 40
"""A position is the number of a shard and, in the lower bits, that of a record in it."""


class RecordsSource:
    """Shards of packed images with labels, local or in a bucket.

    Splits depend on the pixels, as those of `folder:` do, so that a folder and its pack give the same.

    Args:
        pattern: the shards; `*`, `?`, `[…]`, `**`.

    Raises:
        UserError: when the pattern matches no file.
    """

    def __init__(self, pattern: str, reading: ReadOptions | None = None) -> None:
        self.name = f"tfrecord:{pattern}"
        self._reading = reading or ReadOptions()
        self._pattern = pattern
        self._shards = _matching(pattern)

    def read(self, *, validation_fraction: float, workers: Workers = ALONE) -> Digits:
        """Decode every image and divide them; the shares are fixed, whatever the fraction."""
        del validation_fraction
        plan = ReadPlan(
            self.name,
            _estimate(self._shards),
            made_from=self._shards,
            batches=lambda shard: _batches(self._shards, shard, pattern=self._pattern),
            owners=lambda positions, workers: _owners(positions, workers, shards=len(self._shards)),
            description=f"{len(self._shards):,} shards",
        )
        digits = read(plan, reading=self._reading, workers=workers)
        if not any(digits.train_counts()) and not len(digits.test):
            raise UserError(
                "the packed shards hold no images",
                value=self.name,
                hint="pack a folder: digitmill pack --input FOLDER --labels folder --output DIR",
            )
        check_split_coverage(digits)
        return digits


def _matching(pattern: str) -> list[ListedImage]:
    with contextlib.suppress(NothingFoundError):
        shards = list(list_place(pattern))
        # Without a wildcard it names one file, or a folder whose other files are no shards.
        if has_magic(pattern) or [shard.uri for shard in shards] == [uri_of_place(pattern)]:
            return shards
    folder = pattern.rstrip("/")
    raise UserError(
        "no file matches tfrecord:GLOB",
        value=pattern,
        hint=f"check the pattern. To read a folder, name its files: tfrecord:{folder}/packed-*.tfrecord",
    )


def _estimate(shards: Sequence[ListedImage]) -> int:
    with ImageReader() as reader:
        mean = mean_size(reader.read_head(shards[0], _HEAD))
    return round(sum(shard.size for shard in shards) / (mean or _LIKELY_SIZE))


def _owners(positions: np.ndarray, workers: int, *, shards: int) -> np.ndarray:
    """Return the worker of each record: by shards where there are enough, else record by record."""
    if shards >= workers:
        return round_robin(positions >> _SHARD_BITS, workers)
    return round_robin(positions & (1 << _SHARD_BITS) - 1, workers)


def _batches(shards: Sequence[ListedImage], shard: Shard, *, pattern: str) -> Iterator[DecodedBatch]:
    records = itertools.chain.from_iterable(
        _records(number, file, shard, shards=len(shards), name=place_of(file.uri, pattern))
        for number, file in enumerate(shards)
    )
    while chunk := list(itertools.islice(records, _CHUNK)):
        positions, names, contents, labels = zip(*chunk, strict=True)
        decoded = decode_batch(contents, len(chunk))
        yield DecodedBatch(np.array(positions, np.int64), names, np.array(labels, np.int64), decoded)


_Record = tuple[int, str, bytes | ImageError, int]
"""Position, name, content and label."""


def _records(number: int, file: ListedImage, shard: Shard, *, shards: int, name: str) -> Iterator[_Record]:
    """Yield the records of one file that are a worker's."""
    first = number << _SHARD_BITS

    def is_own(position: int) -> bool:
        return bool(_owners(np.array([first + position]), shard[1], shards=shards)[0] == shard[0])

    if shards >= shard[1] and not is_own(0):
        return
    with _open_shard(file) as opened:
        for frame in _frames(opened):
            if is_own(frame.position):
                yield _record(frame, position=first + frame.position, name=f"{name}[{frame.key}]")


def _open_shard(file: ListedImage) -> BinaryIO:
    with ImageReader() as reader:
        try:
            return reader.fetch(file)
        except ImageError as error:
            raise UserError("cannot read the shard", value=place_of(file.uri), hint=str(error)) from error


def _frames(file: BinaryIO) -> Iterator[Frame]:
    """Yield a file's records; where its gzip data is damaged, the last is the error."""
    position = 0
    try:
        for frame in read_frames(open_stream(file)):
            yield frame
            position = frame.position + 1
    except ImageError as error:
        yield Frame(position, "end", error)


def _record(frame: Frame, *, position: int, name: str) -> _Record:
    image = parse_packed_image(frame.payload)
    if image.name is not None:
        name = f"{name} {image.name.decode(errors='replace')}"
    if isinstance(image.content, bytes) and image.label == NO_LABEL:
        raise UserError(
            "a packed image has no label",
            value=name,
            hint="pack again with --labels folder, or --labels CSV with a path and a label for each",
        )
    return position, name, image.content, image.label
