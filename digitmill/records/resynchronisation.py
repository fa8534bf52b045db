"""Frames of a TFRecord file, read so that a damaged one costs itself and nothing behind it.

`tf.data` stops at the first damaged record, or with `ignore_errors` drops all behind it in silence.

Source: https://www.tensorflow.org/tutorials/load_data/tfrecord (framing and checksums).
"""

import os
import struct
from collections.abc import Callable, Iterator
from typing import IO, Final, NamedTuple

import google_crc32c

from schemas.failure import MAX_BYTES, FailureCode, ImageError

_LENGTH: Final = struct.Struct("<Q")
_CRC: Final = struct.Struct("<I")
_HEADER: Final = _LENGTH.size + _CRC.size
FRAME: Final = _HEADER + _CRC.size
"""Bytes of a record beside its payload."""

MAX_RECORD: Final = MAX_BYTES + 2**16
"""Longest record that is read: an image, and what is said about it."""

_WINDOW: Final = 2**20
_HIGH_ZEROS: Final = b"\0\0\0\0"
"""The upper half of every length below 4 GiB: what is looked for behind a damaged length."""


class Frame(NamedTuple):
    """A record.

    Attributes:
        position: its number in the file.
        payload: its bytes, or what is wrong with them; None for one that was not wanted.
    """

    position: int
    payload: bytes | ImageError | None


def read_frames(file: IO[bytes], *, wanted: Callable[[int], bool] = lambda position: True) -> Iterator[Frame]:
    """Yields a file's records in order.

    Behind a damaged length the next sound one is looked for; as many records are taken for lost as
    have room between the two, by the size of those before, and at least one.

    Args:
        file: open at its beginning; it can be sought in.
        wanted: which positions are read; of others the payload is skipped.
    """
    end = file.seek(0, os.SEEK_END)
    at = file.seek(0)
    position = 0
    while at < end:
        length = _length(file.read(_HEADER))
        if length is None or at + FRAME + length > end:
            found = _next_header(file, at + 1, end)
            for _ in range(_lost(found - at, position=position, at=at)):
                yield Frame(
                    position, ImageError(FailureCode.CORRUPT, _said(length, at=at, found=found, end=end))
                )
                position += 1
            at = file.seek(found)
            continue
        yield Frame(position, _payload(file, length) if wanted(position) else None)
        position += 1
        at = file.seek(at + FRAME + length)


def mean_size(file: IO[bytes], *, most: int = 100) -> float:
    """Returns the mean size of the first records, bytes, their frames included; 0 when there is none."""
    sizes: list[int] = []
    at = 0
    while len(sizes) < most and (length := _length(file.read(_HEADER))) is not None:
        sizes.append(FRAME + length)
        at = file.seek(at + sizes[-1])
    return sum(sizes) / len(sizes) if sizes else 0.0


def _payload(file: IO[bytes], length: int) -> bytes | ImageError:
    if length > MAX_RECORD:
        return ImageError(
            FailureCode.TOO_LARGE, f"a record of {length:,} bytes; at most {MAX_RECORD:,} are read"
        )
    payload = file.read(length)
    if _masked(payload) != file.read(_CRC.size):
        return ImageError(FailureCode.CORRUPT, "the record's checksum is wrong")
    return payload


def _length(header: bytes) -> int | None:
    if len(header) < _HEADER or _masked(header[: _LENGTH.size]) != header[_LENGTH.size :]:
        return None
    return _LENGTH.unpack_from(header)[0]


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return _CRC.pack((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF)


def _next_header(file: IO[bytes], start: int, end: int) -> int:
    """Returns where the next sound length stands; the file's end when there is none."""
    overlap = _HEADER - 1
    for window in range(start, end, _WINDOW):
        file.seek(window)
        data = file.read(_WINDOW + overlap)
        zeros = data.find(_HIGH_ZEROS, 4)
        while zeros >= 0:
            header = data[zeros - 4 : zeros - 4 + _HEADER]
            length = _length(header)
            if length is not None and window + zeros - 4 + FRAME + length <= end:
                return window + zeros - 4
            zeros = data.find(_HIGH_ZEROS, zeros + 1)
    return end


def _lost(size: int, *, position: int, at: int) -> int:
    return max(1, round(size * position / at)) if at else 1


def _said(length: int | None, *, at: int, found: int, end: int) -> str:
    if length is not None:
        return f"cut short: {end - at:,} of {FRAME + length:,} bytes"
    return f"the length is damaged: bytes {at:,} to {found:,} are lost"
