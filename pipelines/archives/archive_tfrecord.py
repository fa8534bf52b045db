"""Reads TFRecords of packed images, without TensorFlow.

`tf.data` drops all that follows a damaged record. Here lengths and payloads are checked on their own:
a damaged payload costs its own record, and only a damaged length costs the rest.
"""

import struct
from collections.abc import Iterator
from typing import Final

from digitmill.records.example import read_example
from digitmill.records.tfrecord import masked_crc
from pipelines.archives.archive_stream import (
    ArchiveError,
    RawMember,
    Stream,
    cut_short,
    read_exactly,
    skip,
    too_large,
)
from schemas.digit import CLASSES
from schemas.failure import MAX_BYTES, FailureCode, ImageError
from schemas.packed import ENCODED, LABEL, NAME
from schemas.prediction import NO_LABEL

_LENGTH = struct.Struct("<Q")
_CRC_SIZE: Final = 4
_HEADER_SIZE: Final = _LENGTH.size + _CRC_SIZE
_MAX_RECORD: Final = MAX_BYTES + 2**16
"""Longest record that is read: an image, and what is said about it."""


def is_tfrecord(head: bytes) -> bool:
    """Returns whether a file's first bytes are the length of a record, by its checksum."""
    return _checks(head[: _LENGTH.size], head[_LENGTH.size : _HEADER_SIZE])


def read_tfrecord(stream: Stream) -> Iterator[RawMember]:
    """Yields the images, by the names and with the labels that they were packed with.

    A record that has no name, or cannot be read, is named by its position: `record-0` is the first.

    Raises:
        ArchiveError: CORRUPT where the rest cannot be read.
    """
    position = 0
    while header := stream.read(_HEADER_SIZE):
        if len(header) < _HEADER_SIZE:
            raise cut_short()
        if not is_tfrecord(header):
            raise ArchiveError(FailureCode.CORRUPT, f"the length of record {position:,} is damaged")
        (length,) = _LENGTH.unpack_from(header)
        name = b"record-%d" % position
        if length > _MAX_RECORD:
            skip(stream, length + _CRC_SIZE)
            yield RawMember(name, too_large(length))
        else:
            payload = read_exactly(stream, length)
            yield _member(payload, name=name, crc=read_exactly(stream, _CRC_SIZE))
        position += 1


def _checks(data: bytes, crc: bytes) -> bool:
    return len(data) + len(crc) >= _HEADER_SIZE and masked_crc(data) == crc


def _member(payload: bytes, *, name: bytes, crc: bytes) -> RawMember:
    if masked_crc(payload) != crc:
        return RawMember(name, ImageError(FailureCode.CORRUPT, "the record's checksum is wrong"))
    try:
        features = read_example(payload)
    except ValueError as error:
        return RawMember(name, ImageError(FailureCode.UNSUPPORTED, f"a record of something else: {error}"))
    encoded, packed_name = features.get(ENCODED), features.get(NAME)
    label = features.get(LABEL, NO_LABEL)
    if isinstance(packed_name, bytes):
        name = packed_name
    if not isinstance(encoded, bytes):
        return RawMember(name, ImageError(FailureCode.UNSUPPORTED, f"a record without {ENCODED}"))
    if not isinstance(label, int) or not (label == NO_LABEL or 0 <= label < CLASSES):
        found = label if isinstance(label, int) else type(label).__name__
        return RawMember(name, ImageError(FailureCode.UNSUPPORTED, f"{LABEL} is {found}, no digit"))
    return RawMember(name, encoded if len(encoded) <= MAX_BYTES else too_large(len(encoded)), label)
