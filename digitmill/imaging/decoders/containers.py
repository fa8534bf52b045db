"""Checks of containers whose damage Pillow does not report: blocks of GIF, chunks of PNG, size of WebP."""

import re
import struct
import zlib
from typing import Final

from digitmill.imaging.decoders.pages import check_size
from digitmill.imaging.headers.image_kinds import Header, Kind, corrupt

_GIF_SCREEN: Final = struct.Struct("<6xHHBxx")
_GIF_FRAME: Final = struct.Struct("<HHHHB")
_PALETTE_FLAG: Final = 0x80
_BMP_SIZE: Final = struct.Struct("<14xIi")
_OS2_HEADER: Final = 12
"""The one header with sizes of 16 bits."""

_PNG_CHUNK: Final = struct.Struct(">I4s")
_ZEROS: Final = re.compile(rb"\0*")


def check(data: bytes, header: Header) -> int | None:
    """Return the number of frames where the structure tells it.

    Raises:
        ImageError: CORRUPT or TOO_LARGE.
    """
    if header.kind is Kind.GIF:
        return _gif_frames(data)
    if header.kind is Kind.PNG:
        _check_png(data)
    elif header.kind is Kind.WEBP:
        _check_webp(data)
    elif header.kind is Kind.BMP:
        _check_bmp(data)
    return None


def _gif_frames(data: bytes) -> int:
    """Return the number of frames of a GIF whose blocks are all there, up to its trailer.

    Pillow takes the end of a file that is cut off between two frames for the end of the animation.
    """
    place, frames = _GIF_SCREEN.size, 0
    try:
        width, height, flags = _GIF_SCREEN.unpack_from(data)
        check_size(Kind.GIF, width, height)
        place += _palette_bytes(flags)
        while True:
            # Pillow and browsers skip stray zeros between blocks.
            zeros = _ZEROS.match(data, place)
            place = zeros.end() if zeros else place
            block = data[place]
            if block == 0x3B:
                return frames
            if block == 0x2C:
                left, top, columns, rows, flags = _GIF_FRAME.unpack_from(data, place + 1)
                if left + columns > width or top + rows > height or not columns or not rows:
                    raise corrupt(f"a GIF of {width} x {height} with a frame of {columns} x {rows} pixels")
                place = _after_blocks(data, place + 1 + _GIF_FRAME.size + _palette_bytes(flags) + 1)
                frames += 1
            elif block == 0x21:
                place = _after_blocks(data, place + 2)
            else:
                raise corrupt(f"a damaged GIF: no block at byte {place:,}")
    except (struct.error, IndexError) as error:
        raise corrupt(f"a GIF cut off after {len(data):,} bytes, in frame {frames + 1}") from error


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & _PALETTE_FLAG else 0


def _after_blocks(data: bytes, place: int) -> int:
    while data[place]:
        place += data[place] + 1
    return place + 1


def _check_png(data: bytes) -> None:
    """Check all checksums up to the end; Pillow skips those of pixels."""
    place, name = 8, b""
    while name != b"IEND":
        length, name = _PNG_CHUNK.unpack_from(data, place)
        end = place + 8 + length
        if zlib.crc32(memoryview(data)[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise corrupt(f"a damaged PNG: the checksum of {name!r} at byte {place:,} is wrong")
        place = end + 4


def _check_bmp(data: bytes) -> None:
    """Check the signs, which Pillow does not look at: only the height may be negative."""
    if len(data) < _BMP_SIZE.size:
        raise corrupt(f"a BMP cut off after {len(data)} bytes")
    size, width = _BMP_SIZE.unpack_from(data)
    if size != _OS2_HEADER and width <= 0:
        raise corrupt(f"a BMP of {width} pixels in width")


def _check_webp(data: bytes) -> None:
    """Check that all bytes are there, and the size, because libwebp allocates the canvas when it opens."""
    stated = int.from_bytes(data[4:8], "little") + 8
    name, body = data[12:16], data[20:30]
    if stated > len(data) + 1 or len(body) < 10:
        raise corrupt(f"a WebP cut off after {len(data):,} of {stated:,} bytes")
    if name == b"VP8X":
        width, height = (int.from_bytes(body[place : place + 3], "little") + 1 for place in (4, 7))
    elif name == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (int.from_bytes(body[place : place + 2], "little") & 0x3FFF for place in (6, 8))
    check_size(Kind.WEBP, width, height)
