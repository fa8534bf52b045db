"""`tfrecord:GLOB`: labelled images that `digitmill pack` wrote."""

import glob
import itertools
import os
import re
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np

from imaging.batch import decode_batch
from imaging.errors import ImageError
from schemas import packed
from schemas.digit import CLASSES
from schemas.errors import UserError
from schemas.failure import FailureCode
from trainer.data import rejects
from trainer.data.folder import divide
from trainer.data.splits import Digits, Split

_CHUNK: Final = 128
_READ: Final = 32
"""Records that are held at once as they are stored; an image may be large."""

_LENGTH = struct.Struct("<Q")
_FRAME: Final = _LENGTH.size + 4 + 4
"""Bytes of a record beside its payload: its length, and a checksum of either."""

_PLACE_IN_GRAPH: Final = re.compile(r"\{\{.*?\}\} *| *\[Op:.*")


class RecordsSource:
    """Shards of packed images with labels.

    They are divided by their pixels, as those of `folder:` are, so that a folder and its pack give
    the same splits.

    Args:
        pattern: shards, local or in gs://; `*`, `?`, `[…]`, for local ones `**`.

    Raises:
        UserError: when a local pattern matches no file.
    """

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        if "://" not in pattern:
            _local_shards(pattern)

    def read(self, *, validation_fraction: float) -> Digits:
        """Decodes every image and divides them; the shares are fixed, whatever the fraction.

        TensorFlow's devices start with it: the strategy must have been made before.
        """
        del validation_fraction
        name = f"tfrecord:{self._pattern}"
        shards = _remote_shards(self._pattern) if "://" in self._pattern else _local_shards(self._pattern)
        print(f"{name}: reading {len(shards):,} shards", flush=True)
        images, labels, bad, seen = [], [], [], 0
        for records in _chunks(itertools.chain.from_iterable(map(_records, shards))):
            batch = decode_batch((record.content for record in records), len(records))
            good = np.array([error is None for error in batch.errors], bool)
            images.append(batch.digits[good])
            labels.append(np.array([record.label for record in records], np.int64)[good])
            bad += [
                (record.name, error)
                for record, error in zip(records, batch.errors, strict=True)
                if error is not None
            ]
            seen += len(records)
        rejects.report(bad, images=seen, source=name)
        _check_any(name, seen)
        return divide(name, Split(np.concatenate(images), np.concatenate(labels).astype(np.uint8)))


class _Record(NamedTuple):
    name: str
    content: bytes | ImageError
    label: int = 0


def _local_shards(pattern: str) -> list[str]:
    # A path that exists is taken as it is, whatever brackets it has in it.
    found = [pattern] if os.path.isfile(pattern) else glob.glob(pattern, recursive=True)
    return _checked(pattern, sorted(path for path in found if os.path.isfile(path)))


def _remote_shards(pattern: str) -> list[str]:
    import tensorflow as tf

    try:
        return _checked(pattern, sorted(tf.io.gfile.glob(pattern)))
    except tf.errors.OpError as error:
        raise UserError(
            "tfrecord:GLOB names shards that can be listed", got=pattern, remedy=error.message
        ) from error


def _checked(pattern: str, shards: list[str]) -> list[str]:
    if not shards:
        remedy = "check the pattern"
        if os.path.isdir(pattern):
            remedy = f"name the files in it: tfrecord:{os.path.join(pattern, 'packed-*.tfrecord')}"
        raise UserError("tfrecord:GLOB matches at least one file", got=pattern, remedy=remedy)
    return shards


def _check_any(name: str, seen: int) -> None:
    if not seen:
        raise UserError(
            "packed shards hold images",
            got=name,
            remedy="pack a folder: digitmill pack --input FOLDER --labels folder --output DIR",
        )


def _chunks(records: Iterator[_Record]) -> Iterator[list[_Record]]:
    while chunk := list(itertools.islice(records, _CHUNK)):
        yield chunk


def _records(shard: str) -> Iterator[_Record]:
    """Yields a shard's records; those behind a damaged one, which TensorFlow drops, as errors."""
    import tensorflow as tf

    position = 0
    try:
        for payload in _payloads(shard):
            yield _parsed(payload, name=f"{shard}[{position}]")
            position += 1
    except tf.errors.DataLossError as error:
        said = _PLACE_IN_GRAPH.sub("", error.message)
        yield _Record(f"{shard}[{position}]", ImageError(FailureCode.CORRUPT, said))
        lost = ImageError(FailureCode.CORRUPT, f"behind the damaged record {position}")
        for behind in range(position + 1, _count(shard)):
            yield _Record(f"{shard}[{behind}]", lost)
    except tf.errors.OpError as error:
        raise UserError("shards can be read", got=shard, remedy=error.message) from error


def _payloads(shard: str) -> Iterator[bytes]:
    import tensorflow as tf

    records = tf.data.TFRecordDataset(shard)
    given = 0
    try:
        # One at a time they take 65 us each, in batches 6 us.
        for batch in records.batch(_READ).as_numpy_iterator():
            for payload in batch:
                yield payload
                given += 1
    except tf.errors.DataLossError:
        # The damaged record took its batch along.
        yield from records.skip(given).as_numpy_iterator()


def _parsed(payload: bytes, *, name: str) -> _Record:
    import tensorflow as tf
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        features = tf.train.Example.FromString(payload).features.feature
    except DecodeError:
        return _Record(name, ImageError(FailureCode.UNSUPPORTED, "a record of something else"))
    encoded, label = _first(features, packed.ENCODED), _first(features, packed.LABEL)
    if not isinstance(encoded, bytes):
        return _Record(name, ImageError(FailureCode.UNSUPPORTED, f"a record without {packed.ENCODED}"))
    original = _first(features, packed.NAME)
    name = f"{name} {original.decode(errors='replace')}" if isinstance(original, bytes) else name
    if label is None:
        raise UserError(
            "every packed image that is trained on has a label",
            got=name,
            remedy="pack again with --labels folder, or --labels CSV with a path and a label for each",
        )
    if not isinstance(label, int) or not 0 <= label < CLASSES:
        return _Record(name, ImageError(FailureCode.UNSUPPORTED, f"{packed.LABEL} is no digit"))
    return _Record(name, encoded, label)


def _first(features: Any, name: str) -> bytes | int | None:
    # Asking for a feature that is not there would make it.
    if name not in features:
        return None
    feature = features[name]
    return next(iter(feature.bytes_list.value or feature.int64_list.value), None)


def _count(shard: str) -> int:
    """Returns how many records a shard's lengths lead through, damaged ones included."""
    import tensorflow as tf

    with tf.io.gfile.GFile(shard, "rb") as file:
        end, at, records = file.size(), 0, 0
        while at < end:
            file.seek(at)
            header = file.read(_LENGTH.size)
            records += 1
            at += _FRAME + (_LENGTH.unpack(header)[0] if len(header) == _LENGTH.size else end)
    return records
