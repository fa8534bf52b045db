"""Encodes columns as TFRecords of `tf.train.Example`, without TensorFlow.

The protobuf runtime takes 4 to 8 us to build one `Example`. All records of a schema have the same shape, so
each column is encoded by itself, with NumPy where its entries have the same width, and the pieces of a record
are joined. The tests compare the bytes with TensorFlow's own.

Sources: https://www.tensorflow.org/tutorials/load_data/tfrecord (framing and checksums),
https://protobuf.dev/programming-guides/encoding (wire format).
"""

import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import google_crc32c
import numpy as np

from digitmill.records.frames import checksum, mask_all, masked
from schemas.columns import Column
from schemas.prediction import NO_LABEL

_LENGTH_DELIMITED: Final = 2
_Entries = list[bytes] | np.ndarray
"""A column's entries, one for each row; uint8[N, W] where all have the same width."""

# Field numbers of tf.train.Feature's oneof: bytes_list, float_list, int64_list.
_LISTS: Final = {"string": 1, "bytes": 1, "number": 2, "integer": 3}


def encode_records(columns: Sequence[Column], values: Mapping[str, Sequence | np.ndarray]) -> bytes:
    """Return the bytes of a TFRecord file with one `Example` for each row.

    Args:
        columns: the record's columns; nullable values of `NO_LABEL`, NaN or None are left out.
        values: N values by column name: texts, bytes, int64 or float32.

    Raises:
        ValueError: when columns differ in length.
    """
    lengths = {described.name: len(values[described.name]) for described in columns}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns differ in length: {lengths}")
    joined = list(_joined([_features(described, values[described.name]) for described in columns]))
    if len(joined) == 1 and isinstance(joined[0], np.ndarray):
        return _framed(joined[0])
    framed: list[bytes] = []
    for entries in zip(*map(_rows_of, joined), strict=True):
        features = b"".join(entries)
        head, crc = _head(len(features))
        framed += (head, features, masked(google_crc32c.extend(crc, features)))
    return b"".join(framed)


def _framed(table: np.ndarray) -> bytes:
    """Return the file of records of one length; the rows of uint8[N, W] are their features."""
    rows, width = table.shape
    head, start = _head(width)
    data = table.tobytes()
    crcs = (google_crc32c.extend(start, data[row * width : (row + 1) * width]) for row in range(rows))
    tails = mask_all(np.fromiter(crcs, np.uint32, rows))
    heads = np.broadcast_to(np.frombuffer(head, np.uint8), (rows, len(head)))
    return np.hstack([heads, table, tails.view(np.uint8).reshape(rows, 4)]).tobytes()


def _joined(pieces: Sequence[_Entries]) -> Iterator[_Entries]:
    """Yield the pieces, with neighbors of fixed width put together."""
    tables: list[np.ndarray] = []
    for piece in pieces:
        if isinstance(piece, np.ndarray):
            tables.append(piece)
            continue
        if tables:
            yield np.hstack(tables)
            tables = []
        yield piece
    if tables:
        yield np.hstack(tables)


def _rows_of(entries: _Entries) -> list[bytes]:
    if isinstance(entries, list):
        return entries
    rows, width = entries.shape
    data = entries.tobytes()
    return [data[row * width : (row + 1) * width] for row in range(rows)]


@functools.cache
def _head(length: int) -> tuple[bytes, int]:
    """Return the bytes before `length` bytes of features, and the checksum of those that are payload."""
    # Example { Features features = 1; }
    header = _header(1, length)
    return _length_and_crc(len(header) + length) + header, google_crc32c.value(header)


@functools.cache
def _length_and_crc(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + checksum(packed)


def _features(described: Column, values: Sequence | np.ndarray) -> _Entries:
    """Return each row's entry of `map<string, Feature> feature = 1`."""
    match described.kind:
        case "number":
            return _number_features(described, np.ascontiguousarray(values, "<f4"))
        case "integer":
            return _integer_features(described, np.asarray(values, np.int64))
        case "bytes":
            return _entries(described, list(values))
        case _:
            return _text_features(described, values)


def _number_features(described: Column, values: np.ndarray) -> _Entries:
    absent = np.isnan(values) if described.nullable else np.zeros(len(values), bool)
    if absent.all():
        return _nothing(len(values))
    table = _table(described, values.view(np.uint8).reshape(-1, 4))
    return _without(table, absent) if absent.any() else table


def _integer_features(described: Column, values: np.ndarray) -> _Entries:
    absent = values == NO_LABEL if described.nullable else np.zeros(len(values), bool)
    if absent.all():
        return _nothing(len(values))
    groups, lengths = _varint_groups(values)
    length = int(lengths[0])
    # Most columns of integers are digits, or times of one epoch: all of the same length.
    if (lengths == length)[~absent].all() and not absent[0]:
        table = _table(described, groups[:, :length])
        return _without(table, absent) if absent.any() else table
    varints = zip(_cut(groups, lengths), absent.tolist(), strict=True)
    return _entries(described, [None if missing else varint for varint, missing in varints])


def _text_features(described: Column, texts: Sequence | np.ndarray) -> _Entries:
    if described.choices:
        choices = list(set(texts))
        entries = dict(zip(choices, _entries(described, _encoded(choices)), strict=True))
        listed = [entries[text] for text in texts]
    else:
        listed = _entries(described, _encoded(texts))
    if not any(listed):
        return _nothing(len(listed))
    # Files of a folder often have names of one length.
    if len(set(map(len, listed))) != 1:
        return listed
    return np.frombuffer(b"".join(listed), np.uint8).reshape(len(listed), -1)


def _encoded(texts: Sequence | np.ndarray) -> list[bytes | None]:
    return [None if text is None else text.encode() for text in texts]


def _nothing(rows: int) -> np.ndarray:
    return np.empty((rows, 0), np.uint8)


def _table(described: Column, values: np.ndarray) -> np.ndarray:
    """Return entries of fixed width, uint8[N, W], for values of fixed width, uint8[N, V]."""
    prefix = _entry_prefix(described, values.shape[1])
    table = np.empty((len(values), len(prefix) + values.shape[1]), np.uint8)
    table[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    table[:, len(prefix) :] = values
    return table


def _without(table: np.ndarray, absent: np.ndarray) -> list[bytes]:
    return [b"" if missing else row for row, missing in zip(_rows_of(table), absent.tolist(), strict=True)]


def _entries(described: Column, values: Sequence[bytes | None]) -> list[bytes]:
    """Return the entries of values; an empty one for None."""
    # Lengths are few, and to look a column up in a cache takes 0.5 us.
    lengths = {len(value) for value in values if value is not None}
    prefixes = {length: _entry_prefix(described, length) for length in lengths}
    return [b"" if value is None else prefixes[len(value)] + value for value in values]


@functools.cache
def _entry_prefix(described: Column, length: int) -> bytes:
    """Return the bytes of a map entry before its value, which depend on the value's length alone."""
    # From the inside out: each message's header depends on the length of what it holds.
    value = _header(1, length)
    values = _header(_LISTS[described.kind], len(value) + length)
    feature = _header(2, len(values) + len(value) + length)
    name = described.name.encode()
    key = _header(1, len(name)) + name
    entry = _header(1, len(key) + len(feature) + len(values) + len(value) + length)
    return b"".join((entry, key, feature, values, value))


@functools.cache
def _header(number: int, length: int) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(length)


def _varint(number: int) -> bytes:
    return _cut(*_varint_groups(np.array([number], np.int64)))[0]


def _varint_groups(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bytes of each int64's varint, uint8[N, 10], and how many of them count, int64[N].

    A varint is groups of seven bits, least significant first, all but the last marked.
    """
    # Negative numbers are sent as their 64-bit two's complement.
    shifted = numbers.astype(np.uint64)[:, None] >> np.arange(0, 70, 7, dtype=np.uint64)[None, :].clip(max=63)
    shifted[:, 9] = numbers < 0
    groups = (shifted & np.uint64(0x7F)).astype(np.uint8)
    lengths = np.maximum(1, 10 - (groups[:, ::-1] != 0).argmax(axis=1) - 10 * ~(groups != 0).any(axis=1))
    groups |= np.where(np.arange(10) < lengths[:, None] - 1, 0x80, 0).astype(np.uint8)
    return groups, lengths


def _cut(groups: np.ndarray, lengths: np.ndarray) -> list[bytes]:
    packed = groups.tobytes()
    return [packed[10 * row : 10 * row + length] for row, length in enumerate(lengths.tolist())]
