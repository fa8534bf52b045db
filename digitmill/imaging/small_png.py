"""Decodes small PNGs of gray pixels, many at once: nearly all images are such files.

OpenCV takes 14 us per file of 28 x 28 pixels, mostly for setup and zlib. Here libdeflate inflates each
picture in 4 to 5 us, and the filters of many of one size are undone at once. Only files with correct
checksums, lengths and filters are decoded. All other files are left to OpenCV, which rejects or tolerates
them.

Source: https://www.w3.org/TR/png-3/#9Filters
"""

import functools
import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import deflate
import numpy as np

BLOCK: Final = 128
"""Pictures to decode together."""

BLOCK_BYTES: Final = 2**20
"""Bytes of rows to decode together: more would not stay in a processor's cache, and take memory ten times."""

_MOST_SIDE: Final = 256
"""Of a picture, pixels: for a larger one it matters little what a call costs."""

_MOST_BYTES: Final = 2 * _MOST_SIDE**2
"""No valid file is larger. Those of 28 x 28 pixels have 100 to 900 bytes."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_DATA: Final = b"IDAT"
_DATA_CHECKSUM: Final = zlib.crc32(_DATA)
_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_SIZE: Final = struct.Struct(">II")
_GRAY: Final = b"\x08\0\0\0\0"
"""Eight bits, gray, and the only compression, filters and order of rows."""


def _chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)


_START: Final = _SIGNATURE + b"\0\0\0\rIHDR"
_KIND_AT: Final = slice(len(_START) + _SIZE.size, len(_START) + _SIZE.size + len(_GRAY))
_HEAD_BYTES: Final = _KIND_AT.stop + 4
_FRONT: Final = struct.Struct(">I4s")
"""Length and name of a chunk."""
_DATA_AT: Final = _HEAD_BYTES + _FRONT.size
_BACK: Final = struct.Struct(f">I{len(_END)}s")
"""The checksum of the only chunk of pixels, and the last chunk."""

_WINDOWS: Final = {(power << 4) + 8: 2 ** (power + 8) for power in range(8)}
"""How far back a zlib stream may refer, by its first byte, bytes; libdeflate does not mind if it is less."""
_LARGEST_WINDOW: Final = max(_WINDOWS.values())

_LEFT: Final = 1
"""The filter that takes the pixel to the left away; filters up to this one look at one row alone."""
_LAST: Final = 4


class Decoded(NamedTuple):
    """Decoded files of one size.

    Attributes:
        places: int64[N], indices of the decoded files.
        pixels: uint8[N, height, width], their pixels.
    """

    places: np.ndarray
    pixels: np.ndarray


Size = tuple[int, int]
"""Height and width, pixels."""


def small_size(data: bytes) -> Size | None:
    """Return the size of a file whose first bytes are those of a small PNG of gray pixels; else None."""
    return _size(data[:_HEAD_BYTES]) if data.startswith(_START) and len(data) <= _MOST_BYTES else None


@functools.lru_cache(maxsize=1024)
def _size(head: bytes) -> Size | None:
    if len(head) < _HEAD_BYTES or head[_KIND_AT] != _GRAY:
        return None
    width, height = _SIZE.unpack_from(head, len(_START))
    chunk = head[len(_SIGNATURE) + 4 : -4]
    whole = head[-4:] == zlib.crc32(chunk).to_bytes(4)
    return (height, width) if whole and 0 < width <= _MOST_SIDE >= height > 0 else None


def decode_small(files: Sequence[bytes], size: Size) -> Decoded:
    """Decode the files that are valid and consist of a header, chunks of pixels and an end.

    Args:
        files: as bytes.
        size: the files' `small_size`.
    """
    places, pictures = [], []
    height, row = size[0], 1 + size[1]
    for place, data in enumerate(files):
        rows = _inflated(data, height * row)
        if rows is not None:
            places.append(place)
            pictures.append(rows)
    table = np.frombuffer(b"".join(pictures), np.uint8).reshape(-1, height, row)
    highest = table[:, :, 0].max(axis=1)
    known = highest <= _LAST
    return Decoded(np.array(places, np.int64)[known], _unfiltered(table[known], highest[known] <= _LEFT))


def _inflated(data: bytes, size: int) -> bytearray | None:
    """Return the rows of a file, so many bytes; None if anything about it is not as it should be."""
    try:
        length, name = _FRONT.unpack_from(data, _HEAD_BYTES)
        end = _DATA_AT + length
        stream = data[_DATA_AT:end]
        checks = name, *_BACK.unpack_from(data, end)
        if checks != (_DATA, deflate.crc32(stream, _DATA_CHECKSUM), _END):
            stream = _joined(data)
        if _WINDOWS.get(stream[0], 0) < min(size, _LARGEST_WINDOW):
            return None
        rows = deflate.zlib_decompress(stream, size)
    except (struct.error, IndexError, deflate.DeflateError):
        return None
    return rows if len(rows) == size else None


def _joined(data: bytes) -> bytes:
    """Return the stream in a file's chunks of pixels; nothing if one is damaged or others are there."""
    place, parts = _HEAD_BYTES, []
    while not (place == len(data) - len(_END) and data.endswith(_END)):
        length, name = _FRONT.unpack_from(data, place)
        content = data[place + _FRONT.size : place + _FRONT.size + length]
        place += _FRONT.size + length + 4
        if name != _DATA or data[place - 4 : place] != deflate.crc32(content, _DATA_CHECKSUM).to_bytes(4):
            return b""
        parts.append(content)
    return b"".join(parts)


def _unfiltered(table: np.ndarray, within_rows: np.ndarray) -> np.ndarray:
    """Return the pixels of pictures, uint8[N, height, width], from rows, uint8[N, height, 1 + width]."""
    count, height, row = table.shape
    pixels = np.empty((count, height, row - 1), np.uint8)
    for which, undo in ((within_rows, _summed), (~within_rows, _by_opencv)):
        if which.any():
            pixels[which] = undo(table[which])
    return pixels


def _summed(table: np.ndarray) -> np.ndarray:
    """Undo filters that look at no other row: OpenCV writes such files."""
    count, height, row = table.shape
    # The columns of all pictures, one after the other: then each step adds many neighbors at once.
    columns = cv2.transpose(table.reshape(-1, row))
    added = np.where(columns[0] == _LEFT, np.uint8(255), np.uint8(0))
    for place in range(2, row):
        columns[place] += columns[place - 1] & added
    return cv2.transpose(columns[1:]).reshape(count, height, row - 1)


def _by_opencv(table: np.ndarray) -> np.ndarray:
    """Undo all filters, by OpenCV: one tall PNG of all pictures, uncompressed.

    An empty row is put above each picture, because the filters of its first row look at none.
    """
    count, height, row = table.shape
    tall = np.zeros((count, 1 + height, row), np.uint8)
    tall[:, 1:] = table
    size = _SIZE.pack(row - 1, count * (1 + height))
    head, data = _chunk(b"IHDR", size + _GRAY), _chunk(_DATA, bytes(deflate.zlib_compress(tall.data, 0)))
    file = np.frombuffer(b"".join((_SIGNATURE, head, data, _END)), np.uint8)
    pixels = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    assert pixels is not None, "OpenCV decodes what is written here"
    return pixels.reshape(count, 1 + height, row - 1)[:, 1:]
