"""Decodes PNGs of 28 x 28 gray pixels, many at once: nearly all images are such files.

OpenCV takes 14 us per file, mostly for setup and zlib. Here libdeflate inflates each picture in 4 to 5 us,
and the filters of many are undone at once. Only files with correct checksums, lengths and filters are
decoded. All other files are left to OpenCV, which rejects or tolerates them.

Source: https://www.w3.org/TR/png-3/#9Filters
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import deflate
import numpy as np

from schemas.digit import SIDE

BLOCK: Final = 128
"""Pictures to decode together: those of more do not fit into a processor's nearest cache."""

_MOST_BYTES: Final = 2048
"""Files of a picture have 100 to 900."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_DATA: Final = b"IDAT"
_DATA_CHECKSUM: Final = zlib.crc32(_DATA)
_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_SIZE: Final = struct.Struct(">II")
_GRAY: Final = b"\x08\0\0\0\0"
"""Eight bits, gray, and the only compression, filters and order of rows."""


def _chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)


_HEAD: Final = _SIGNATURE + _chunk(b"IHDR", _SIZE.pack(SIDE, SIDE) + _GRAY)
_FRONT: Final = struct.Struct(f">{len(_HEAD)}xI4s")
"""Length and name of the chunk behind the header."""
_BACK: Final = struct.Struct(f">I{len(_END)}s")
"""That chunk's checksum, and the last chunk."""

_WINDOWS: Final = bytes(range(0x28, 0x79, 0x10))
"""First bytes of zlib streams whose window holds a whole picture; libdeflate does not mind smaller ones."""

_ROW: Final = 1 + SIDE
"""Bytes of a row: its filter, then its pixels."""

_LEFT: Final = 1
"""The filter that takes the pixel to the left away; filters up to this one look at one row alone."""
_LAST: Final = 4


class Decoded(NamedTuple):
    """Decoded files.

    Attributes:
        places: int64[N], indices of the decoded files.
        pixels: uint8[N, 28, 28], their pixels.
    """

    places: np.ndarray
    pixels: np.ndarray


def may_be_small(data: bytes) -> bool:
    """Whether a file's first bytes are those of a PNG of 28 x 28 gray pixels."""
    return data.startswith(_HEAD) and len(data) <= _MOST_BYTES


def decode_small(files: Sequence[bytes]) -> Decoded:
    """Decode the files that are valid and consist of a header, one chunk of pixels and an end.

    Args:
        files: files for which `may_be_small` is true.
    """
    places, pictures = [], []
    for place, data in enumerate(files):
        try:
            length, name = _FRONT.unpack_from(data)
            end = _FRONT.size + length
            stream = data[_FRONT.size : end]
            checks = name, *_BACK.unpack_from(data, end)
            if checks != (_DATA, deflate.crc32(stream, _DATA_CHECKSUM), _END) or stream[0] not in _WINDOWS:
                continue
            rows = deflate.zlib_decompress(stream, SIDE * _ROW)
        except (struct.error, IndexError, deflate.DeflateError):
            continue
        if len(rows) == SIDE * _ROW:
            places.append(place)
            pictures.append(rows)
    table = np.frombuffer(b"".join(pictures), np.uint8).reshape(-1, SIDE, _ROW)
    highest = table[:, :, 0].max(axis=1)
    known = highest <= _LAST
    return Decoded(np.array(places, np.int64)[known], _unfiltered(table[known], highest[known] <= _LEFT))


def _unfiltered(table: np.ndarray, within_rows: np.ndarray) -> np.ndarray:
    """Return the pixels of pictures, uint8[N, 28, 28], from their rows, uint8[N, 28, 29]."""
    pixels = np.empty((len(table), SIDE, SIDE), np.uint8)
    for which, undo in ((within_rows, _summed), (~within_rows, _by_opencv)):
        if which.any():
            pixels[which] = undo(table[which])
    return pixels


def _summed(table: np.ndarray) -> np.ndarray:
    """Undo filters that look at no other row: OpenCV writes such files."""
    # The columns of all pictures, one after the other: then each step adds many neighbors at once.
    columns = cv2.transpose(table.reshape(-1, _ROW))
    added = np.where(columns[0] == _LEFT, np.uint8(255), np.uint8(0))
    for place in range(2, _ROW):
        columns[place] += columns[place - 1] & added
    return cv2.transpose(columns[1:]).reshape(-1, SIDE, SIDE)


def _by_opencv(table: np.ndarray) -> np.ndarray:
    """Undo all filters, by OpenCV: one tall PNG of all pictures, uncompressed.

    An empty row is put above each picture, because the filters of its first row look at none.
    """
    tall = np.zeros((len(table), _ROW, _ROW), np.uint8)
    tall[:, 1:] = table
    size = _SIZE.pack(SIDE, len(tall) * _ROW)
    head, data = _chunk(b"IHDR", size + _GRAY), _chunk(_DATA, bytes(deflate.zlib_compress(tall.data, 0)))
    file = np.frombuffer(b"".join((_SIGNATURE, head, data, _END)), np.uint8)
    pixels = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    assert pixels is not None, "OpenCV decodes what is written here"
    return pixels.reshape(-1, _ROW, SIDE)[:, 1:]
