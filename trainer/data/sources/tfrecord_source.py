"""`tfrecord:GLOB`: labelled images that `digitmill pack` wrote."""

import io
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from digitmill.imaging.batch import decode_batch
from digitmill.records.resynchronisation import Frame, mean_size, read_frames
from schemas import packed
from schemas.errors import UserError
from schemas.failure import FailureCode, ImageError
from trainer.data.exchange import Exchange
from trainer.data.reading import DecodedBatch, ReadOptions, ReadPlan, Shard, read, round_robin
from trainer.data.sources.folder import check_split_coverage
from trainer.data.splits import Digits
from trainer.files.files import File, in_cloud, matching, open_file, read_head

_CHUNK: Final = 128
_HEAD: Final = 2**18
"""Bytes of the first shard by which it is told how large records are."""

_LIKELY_SIZE: Final = 512
"""Bytes of a record where the first one is damaged."""

_SHARD_BITS: Final = 40
"""A position is the number of a shard and, in so many bits, that of a record in it."""


class RecordsSource:
    """Shards of packed images with labels, local or in `gs://`.

    They are divided by their pixels, as those of `folder:` are, so that a folder and its pack give
    the same splits.

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
                got=self.name,
                remedy="pack a folder: digitmill pack --input FOLDER --labels folder --output DIR",
            )
        check_split_coverage(digits)
        return digits


def _checked(pattern: str, shards: list[File]) -> list[File]:
    if not shards:
        remedy = "check the pattern"
        if in_cloud(pattern) or os.path.isdir(pattern):
            remedy = f"name the files in it: tfrecord:{pattern.rstrip('/')}/packed-*.tfrecord"
        raise UserError("tfrecord:GLOB matches at least one file", got=pattern, remedy=remedy)
    return shards


def _estimate(shards: Sequence[File]) -> int:
    mean = mean_size(io.BytesIO(read_head(shards[0], _HEAD)))
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
    label: int = 0


def _records(number: int, file: File, shard: Shard, *, shards: int) -> Iterator[_Record]:
    """Yields the records of one file that are a worker's."""
    first = number << _SHARD_BITS

    def wanted(position: int) -> bool:
        return bool(_owners(np.array([first + position]), shard[1], shards=shards)[0] == shard[0])

    if shards >= shard[1] and not wanted(0):
        return
    with open_file(file.place) as opened:
        for frame in read_frames(opened, wanted=wanted):
            if wanted(frame.position):
                yield _parsed(frame, position=first + frame.position, name=f"{file.place}[{frame.position}]")


def _parsed(frame: Frame, *, position: int, name: str) -> _Record:
    import tensorflow as tf
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    if not isinstance(frame.payload, bytes):
        return _Record(position, name, frame.payload or ImageError(FailureCode.UNREADABLE, "not read"))
    try:
        features = tf.train.Example.FromString(frame.payload).features.feature
    except DecodeError:
        return _Record(position, name, ImageError(FailureCode.UNSUPPORTED, "a record of something else"))
    encoded, label = _first(features, packed.ENCODED), _first(features, packed.LABEL)
    original = _first(features, packed.NAME)
    name = f"{name} {original.decode(errors='replace')}" if isinstance(original, bytes) else name
    if not isinstance(encoded, bytes):
        return _Record(
            position, name, ImageError(FailureCode.UNSUPPORTED, f"a record without {packed.ENCODED}")
        )
    if label is None:
        raise UserError(
            "every packed image that is trained on has a label",
            got=name,
            remedy="pack again with --labels folder, or --labels CSV with a path and a label for each",
        )
    # What is no number is no digit either.
    return _Record(position, name, encoded, label if isinstance(label, int) else -1)


def _first(features: Any, name: str) -> bytes | int | None:
    # Asking for a feature that is not there would make it.
    if name not in features:
        return None
    feature = features[name]
    return next(iter(feature.bytes_list.value or feature.int64_list.value), None)
