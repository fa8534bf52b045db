"""`tfrecord:GLOB`: labelled images that `digitmill pack` wrote."""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from digitmill.imaging.batch import decode_batch
from digitmill.records import Frame, mean_size, open_stream, parse_packed_image, read_frames
from schemas.errors import UserError
from schemas.failure import ImageError
from schemas.prediction import NO_LABEL
from trainer.data.exchange import Exchange
from trainer.data.reading import DecodedBatch, ReadOptions, ReadPlan, Shard, read, round_robin
from trainer.data.sources.folder import check_split_coverage
from trainer.data.splits import Digits
from trainer.files.files import File, in_cloud, matching, open_file, read_head

_CHUNK: Final = 128
_HEAD: Final = 2**18
"""Bytes of the first shard that are read to estimate the size of records."""

_LIKELY_SIZE: Final = 512
"""Assumed bytes of a record where the first one is damaged or the shard is gzipped."""

_SHARD_BITS: Final = 40
"""A position is the number of a shard and, in the lower bits, that of a record in it."""


class RecordsSource:
    """Shards of packed images with labels, local or in `gs://`.

    Splits depend on the pixels, as those of `folder:` do, so that a folder and its pack give the same.

    Args:
        pattern: the shards; `*`, `?`, `[…]`, `**`.
        reading: how they are read.

    Raises:
        UserError: when the pattern matches no file.
    """

    def __init__(self, pattern: str, reading: ReadOptions | None = None) -> None:
        self.name = f"tfrecord:{pattern}"
        self._reading = reading or ReadOptions()
        self._shards = _checked(pattern, matching(pattern))

    def read(
        self, *, validation_fraction: float, shard: Shard = (0, 1), exchange: Exchange | None = None
    ) -> Digits:
        """Decodes every image and divides them; the shares are fixed, whatever the fraction."""
        del validation_fraction
        plan = ReadPlan(
            self.name,
            _estimate(self._shards),
            made_from=self._shards,
            batches=lambda shard: _batches(self._shards, shard),
            owners=lambda positions, workers: _owners(positions, workers, shards=len(self._shards)),
            description=f"{len(self._shards):,} shards",
        )
        digits = read(plan, reading=self._reading, shard=shard, exchange=exchange)
        if not any(digits.train_counts()) and not len(digits.test):
            raise UserError(
                "packed shards hold images",
                value=self.name,
                hint="pack a folder: digitmill pack --input FOLDER --labels folder --output DIR",
            )
        check_split_coverage(digits)
        return digits


def _checked(pattern: str, shards: list[File]) -> list[File]:
    if not shards:
        hint = "check the pattern"
        if in_cloud(pattern) or os.path.isdir(pattern):
            hint = f"name the files in it: tfrecord:{pattern.rstrip('/')}/packed-*.tfrecord"
        raise UserError("tfrecord:GLOB matches at least one file", value=pattern, hint=hint)
    return shards


def _estimate(shards: Sequence[File]) -> int:
    mean = mean_size(read_head(shards[0], _HEAD))
    return round(sum(shard.size for shard in shards) / (mean or _LIKELY_SIZE))


def _owners(positions: np.ndarray, workers: int, *, shards: int) -> np.ndarray:
    """Returns the worker of each record: by shards where there are enough, else record by record."""
    if shards >= workers:
        return round_robin(positions >> _SHARD_BITS, workers)
    return round_robin(positions & (1 << _SHARD_BITS) - 1, workers)


def _batches(shards: Sequence[File], shard: Shard) -> Iterator[DecodedBatch]:
    records = itertools.chain.from_iterable(
        _records(number, file, shard, shards=len(shards)) for number, file in enumerate(shards)
    )
    while chunk := list(itertools.islice(records, _CHUNK)):
        yield DecodedBatch(
            positions=np.array([record.position for record in chunk], np.int64),
            names=[record.name for record in chunk],
            labels=np.array([record.label for record in chunk], np.int64),
            decoded=decode_batch((record.content for record in chunk), len(chunk)),
        )


class _Record(NamedTuple):
    position: int
    name: str
    content: bytes | ImageError
    label: int


def _records(number: int, file: File, shard: Shard, *, shards: int) -> Iterator[_Record]:
    """Yields the records of one file that are a worker's."""
    first = number << _SHARD_BITS

    def is_own(position: int) -> bool:
        return bool(_owners(np.array([first + position]), shard[1], shards=shards)[0] == shard[0])

    if shards >= shard[1] and not is_own(0):
        return
    with open_file(file.place) as opened:
        for frame in _frames(opened):
            if is_own(frame.position):
                yield _record(frame, position=first + frame.position, name=f"{file.place}[{frame.position}]")


def _frames(file: BinaryIO) -> Iterator[Frame]:
    """Yields a file's records; where its gzip data is damaged, the last is the error."""
    position = 0
    try:
        for frame in read_frames(open_stream(file)):
            yield frame
            position = frame.position + 1
    except ImageError as error:
        yield Frame(position, error)


def _record(frame: Frame, *, position: int, name: str) -> _Record:
    image = parse_packed_image(frame.payload)
    if image.name is not None:
        name = f"{name} {image.name.decode(errors='replace')}"
    if isinstance(image.content, bytes) and image.label == NO_LABEL:
        raise UserError(
            "every packed image that is trained on has a label",
            value=name,
            hint="pack again with --labels folder, or --labels CSV with a path and a label for each",
        )
    return _Record(position, name, image.content, image.label)
