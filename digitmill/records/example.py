"""Decodes `tf.train.Example`, and the packed images in them, without TensorFlow.

Does not use protobuf's runtime, which needs 500 MiB for a forged record of 32 MiB full of empty features.

Source: https://protobuf.dev/programming-guides/encoding (wire format).
"""

import struct
from typing import Final, NamedTuple

from schemas.digit import NOT_A_DIGIT
from schemas.failure import MAX_BYTES, FailureCode, ImageError
from schemas.packed import ENCODED, LABEL, NAME
from schemas.prediction import NO_LABEL

MAX_FIELDS: Final = 10_000
"""Fields that a message may have: an empty one takes two bytes of it, and half a microsecond to read."""

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_WIDTHS = {_FIXED64: 8, _FIXED32: 4}
# Field numbers of tf.train.Feature's oneof.
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_FLOAT: Final = struct.Struct("<f")

Value = bytes | int | float

_Field = tuple[int, int, int, int]
"""Field number, wire type, a varint's value or the start of the field's bytes, and the field's end."""


def parse_example(payload: bytes) -> dict[str, Value]:
    """Return the first value of each feature, by name.

    Raises:
        ValueError: when the bytes are not a `tf.train.Example`, or have more than `MAX_FIELDS` fields.
    """
    found: dict[str, Value] = {}
    entries_left = MAX_FIELDS
    # Positions count from the payload's first byte, so that no message within it is copied.
    for number, wire, start, end in _fields(payload, 0, len(payload)):
        entries = _fields(payload, start, end) if number == 1 and wire == _DELIMITED else []
        entries_left -= len(entries)
        if entries_left < 0:
            raise ValueError(f"more than {MAX_FIELDS:,} features")
        for inner_number, inner_wire, inner_start, inner_end in entries:
            if inner_number == 1 and inner_wire == _DELIMITED:
                name, value = _entry(payload, inner_start, inner_end)
                if value is not None:
                    found[name] = value
    return found


class Place(NamedTuple):
    """Position and type of a feature's value in a record."""

    start: int
    end: int
    kind: type


def place_values(payload: bytes) -> dict[str, Place] | None:
    """Return the places of a record's values by feature name; None if digitmill did not write the record.

    digitmill writes one value per feature, each feature once, and packed numbers.

    Raises:
        ValueError: as in `parse_example`.
    """
    places: dict[str, Place] = {}
    for number, wire, start, end in _fields(payload, 0, len(payload)):
        if number != 1 or wire != _DELIMITED:
            return None
        for entry in _fields(payload, start, end):
            inner = _fields(payload, *entry[2:]) if entry[:2] == (1, _DELIMITED) else []
            if [field[:2] for field in inner] != [(1, _DELIMITED), (2, _DELIMITED)]:
                return None
            name = payload[slice(*inner[0][2:])].decode()
            place = _place(payload, *inner[1][2:])
            if place is None or name in places:
                return None
            places[name] = place
    return places


def _place(data: bytes, start: int, end: int) -> Place | None:
    """Return where the single value of a feature lies."""
    lists = _fields(data, start, end)
    if len(lists) != 1 or lists[0][1] != _DELIMITED:
        return None
    number, _, list_start, list_end = lists[0]
    values = _fields(data, list_start, list_end)
    if len(values) != 1 or values[0][:2] != (1, _DELIMITED):
        return None
    _, _, value, value_end = values[0]
    if number == _BYTES_LIST:
        return Place(value, value_end, bytes)
    if number == _FLOAT_LIST and value_end - value == _FLOAT.size:
        return Place(value, value_end, float)
    if number == _INT64_LIST and value_end > value and _varint(data, value, value_end)[1] == value_end:
        return Place(value, value_end, int)
    return None


class PackedImage(NamedTuple):
    """An image of a packed shard.

    Attributes:
        content: the image file's bytes, or the error if they cannot be used.
        name: the URI from which it was packed; None if the record has none.
        label: the true digit, `NOT_A_DIGIT`, or `NO_LABEL`.
    """

    content: bytes | ImageError
    name: bytes | None = None
    label: int = NO_LABEL


def parse_packed_image(payload: bytes | ImageError) -> PackedImage:
    """Return the image in a record yielded by `read_frames`; UNSUPPORTED for any other record."""
    if isinstance(payload, ImageError):
        return PackedImage(payload)
    try:
        features = parse_example(payload)
    except ValueError as error:
        return PackedImage(ImageError(FailureCode.UNSUPPORTED, f"not a tf.train.Example: {error}"))
    content, name, label = features.get(ENCODED), features.get(NAME), features.get(LABEL, NO_LABEL)
    name = name if isinstance(name, bytes) else None
    if not isinstance(content, bytes):
        return PackedImage(ImageError(FailureCode.UNSUPPORTED, f"a record without {ENCODED}"), name)
    if not isinstance(label, int) or not (label == NO_LABEL or 0 <= label <= NOT_A_DIGIT):
        found = label if isinstance(label, int) else type(label).__name__
        return PackedImage(
            ImageError(FailureCode.UNSUPPORTED, f"{LABEL} is {found}, not a digit from 0 to 9"), name
        )
    if len(content) > MAX_BYTES:
        detail = f"{len(content):,} bytes; the limit is {MAX_BYTES:,}"
        return PackedImage(ImageError(FailureCode.TOO_LARGE, detail), name, label)
    return PackedImage(content, name, label)


def _entry(data: bytes, start: int, end: int) -> tuple[str, Value | None]:
    name, value = "", None
    for number, wire, field_start, field_end in _fields(data, start, end):
        if number == 1 and wire == _DELIMITED:
            name = data[field_start:field_end].decode()
        elif number == 2 and wire == _DELIMITED:
            value = _feature(data, field_start, field_end)
    return name, value


def _feature(data: bytes, start: int, end: int) -> Value | None:
    for number, wire, list_start, list_end in _fields(data, start, end):
        if wire == _DELIMITED and number in (_BYTES_LIST, _FLOAT_LIST, _INT64_LIST) and list_end > list_start:
            first_number, first_wire, value, value_end = _field(data, list_start, list_end)
            if first_number != 1:
                continue
            if number == _BYTES_LIST and first_wire == _DELIMITED:
                return data[value:value_end]
            if number == _FLOAT_LIST and first_wire in (_DELIMITED, _FIXED32):
                return _FLOAT.unpack_from(data, value)[0] if value_end - value >= _FLOAT.size else None
            if number == _INT64_LIST and first_wire == _VARINT:
                return _signed(value)
            if number == _INT64_LIST and first_wire == _DELIMITED and value_end > value:
                return _signed(_varint(data, value, value_end)[0])
    return None


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _fields(data: bytes, start: int, end: int) -> list[_Field]:
    fields = []
    while start < end:
        field = _field(data, start, end)
        fields.append(field)
        start = field[3]
        if len(fields) > MAX_FIELDS:
            raise ValueError(f"more than {MAX_FIELDS:,} fields")
    return fields


def _field(data: bytes, start: int, end: int) -> _Field:
    key, at = _varint(data, start, end)
    wire = key & 7
    if wire == _DELIMITED:
        length, at = _varint(data, at, end)
    elif wire == _VARINT:
        value, at = _varint(data, at, end)
        return key >> 3, wire, value, at
    elif wire in _WIDTHS:
        length = _WIDTHS[wire]
    else:
        raise ValueError(f"unknown wire type {wire}")
    if length > end - at:
        raise ValueError("a field reaches beyond its message")
    return key >> 3, wire, at, at + length


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return an unsigned number of at most 64 bits and where it ends."""
    if at < end and (byte := data[at]) < 0x80:
        return byte, at + 1  # nearly every number is this small
    number = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("a number reaches beyond its message")
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFFFFFFFFFFFFFF, at
    raise ValueError("a number has more than 64 bits")
