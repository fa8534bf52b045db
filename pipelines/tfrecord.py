"""Encodes columns as TFRecords of `tf.train.Example`, and reads the frames, without TensorFlow.

The protobuf runtime takes 4-8 us to build one `Example`, and `tf.io.TFRecordWriter` needs
TensorFlow. All records of a schema have the same shape, so each column is encoded on its own and
the pieces of a record are joined. The tests hold the bytes to TensorFlow's parser.

Sources: https://www.tensorflow.org/tutorials/load_data/tfrecord (framing and checksums),
https://protobuf.dev/programming-guides/encoding (wire format).
"""

import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import google_crc32c
import numpy as np

from schemas.columns import Column
from schemas.prediction import NO_LABEL

_LENGTH_DELIMITED: Final = 2
_CRC: Final = struct.Struct("<I")
_HEAD: Final = 8 + _CRC.size
# Field numbers of tf.train.Feature's oneof: bytes_list, float_list, int64_list.
_LISTS: Final = {"string": 1, "bytes": 1, "number": 2, "integer": 3}


def encode_tfrecords(columns: Sequence[Column], values: Mapping[str, Sequence | np.ndarray]) -> bytes:
    """Returns the bytes of a TFRecord file with one `Example` a row.

    Args:
        columns: the record's columns; a nullable one is left out of a row where it is `NO_LABEL`
            or, of numbers, NaN.
        values: for each column's name its N values: texts, bytes, int64 or float32.
    """
    pieces = [_features(described, values[described.name]) for described in columns]
    return b"".join(map(_frame, map(b"".join, zip(*pieces, strict=True))))


def _frame(features: bytes) -> bytes:
    # Example { Features features = 1; }
    header = _header(1, len(features))
    payload = header + features
    return b"".join((_length_and_crc(len(payload)), payload, masked_crc(payload)))


@functools.cache
def _length_and_crc(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + masked_crc(packed)


def masked_crc(data: bytes) -> bytes:
    """Returns the checksum that stands behind a record's length and behind its payload, four bytes."""
    crc = google_crc32c.value(data)
    return _CRC.pack((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF)


def read_tfrecords(data: bytes) -> Iterator[bytes]:
    """Yields the payloads of a TFRecord file.

    Raises:
        ValueError: when the file is cut off or a checksum is wrong.
    """
    start = 0
    while start < len(data):
        head = data[start : start + _HEAD]
        length = int.from_bytes(head[:8], "little")
        end = start + _HEAD + length
        payload, crc = data[start + _HEAD : end], data[end : end + _CRC.size]
        if len(crc) != _CRC.size or head != _length_and_crc(length) or crc != masked_crc(payload):
            raise ValueError(f"the record at byte {start:,} is damaged")
        yield payload
        start = end + _CRC.size


def _features(described: Column, values: Sequence | np.ndarray) -> list[bytes]:
    """Returns each row's entry of `map<string, Feature> feature = 1`."""
    match described.kind:
        case "number":
            return _number_features(described, np.asarray(values, "<f4"))
        case "integer":
            numbers = np.asarray(values, np.int64).tolist()
            distinct = list(set(numbers))
            varints = _varints(np.array(distinct, np.int64))
            entries = {
                number: _entry(described, varint) for number, varint in zip(distinct, varints, strict=True)
            }
            if described.nullable:
                entries[NO_LABEL] = b""
            return [entries[number] for number in numbers]
        case "bytes":
            return [_entry(described, value) for value in values]
        case _:
            return [_entry(described, text.encode()) for text in values]


def _number_features(described: Column, values: np.ndarray) -> list[bytes]:
    if described.nullable and np.isnan(values).all():
        return [b""] * len(values)
    packed = values.tobytes()
    prefix = _entry_prefix(described, 4)
    entries = [prefix + packed[start : start + 4] for start in range(0, len(packed), 4)]
    if described.nullable:
        for row in np.flatnonzero(np.isnan(values)).tolist():
            entries[row] = b""
    return entries


def _entry(described: Column, value: bytes) -> bytes:
    return _entry_prefix(described, len(value)) + value


@functools.cache
def _entry_prefix(described: Column, length: int) -> bytes:
    """Returns all of a map entry but its value's bytes, which depends on their number alone."""
    # From the inside out: each message's header depends on the length of what it holds.
    value = _header(1, length)
    values = _header(_LISTS[described.kind], len(value) + length)
    feature = _header(2, len(values) + len(value) + length)
    key = _field(1, described.name.encode())
    entry = _header(1, len(key) + len(feature) + len(values) + len(value) + length)
    return b"".join((entry, key, feature, values, value))


def _field(number: int, content: bytes) -> bytes:
    return _header(number, len(content)) + content


@functools.cache
def _header(number: int, length: int) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    return _varints(np.array([number], np.int64))[0]


def _varints(numbers: np.ndarray) -> list[bytes]:
    """Returns the varint of each int64: groups of seven bits, least first, all but the last marked."""
    # Negative numbers are sent as their 64-bit two's complement.
    shifted = numbers.astype(np.uint64)[:, None] >> np.arange(0, 70, 7, dtype=np.uint64)[None, :].clip(max=63)
    shifted[:, 9] = numbers < 0
    groups = (shifted & np.uint64(0x7F)).astype(np.uint8)
    lengths = np.maximum(1, 10 - (groups[:, ::-1] != 0).argmax(axis=1) - 10 * ~(groups != 0).any(axis=1))
    groups |= np.where(np.arange(10) < lengths[:, None] - 1, 0x80, 0).astype(np.uint8)
    packed = groups.tobytes()
    return [packed[10 * row : 10 * row + length] for row, length in enumerate(lengths.tolist())]
