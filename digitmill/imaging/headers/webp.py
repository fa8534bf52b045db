"""The structure of a WebP: RIFF chunks, of which some state a canvas or a frame."""

import struct
from typing import Final

from digitmill.imaging.headers.image_kinds import UPRIGHT, Header, Kind, corrupt, exif_orientation

_CHUNK: Final = struct.Struct("<4sI")
_FIRST: Final = 12


def header(data: bytes) -> Header:
    """Returns the structure of a WebP; the size holds the canvas and every frame.

    Raises:
        ImageError: CORRUPT without a frame, and where a chunk is cut off.
    """
    end = int.from_bytes(data[4:8], "little") + 8
    if end > len(data):
        raise corrupt(f"a WebP cut off after {len(data):,} of {end:,} bytes")
    sizes, orientation, place, pictures = [(0, 0)], UPRIGHT, _FIRST, 0
    while place + _CHUNK.size <= end:
        name, length = _CHUNK.unpack_from(data, place)
        content = data[place + 8 : place + 8 + min(length, end)]
        place += 8 + length + length % 2
        if place > end + length % 2:
            raise corrupt(f"a WebP whose chunk {name!r} of {length:,} bytes does not fit into it")
        if name == b"EXIF":
            orientation = exif_orientation(content)
        elif name in _SIZES:
            sizes.append(_SIZES[name](content))
            pictures += name != b"VP8X"
    if not pictures:
        raise corrupt("a WebP without a picture")
    return Header(Kind.WEBP, max(w for w, _ in sizes), max(h for _, h in sizes), False, orientation)


def _canvas(content: bytes) -> tuple[int, int]:
    return _three(content, 4) + 1, _three(content, 7) + 1


def _frame(content: bytes) -> tuple[int, int]:
    # Places are stated in steps of two pixels.
    return 2 * _three(content, 0) + _three(content, 6) + 1, 2 * _three(content, 3) + _three(content, 9) + 1


def _lossy(content: bytes) -> tuple[int, int]:
    width, height = (int.from_bytes(content[place : place + 2], "little") for place in (6, 8))
    return width & 0x3FFF, height & 0x3FFF


def _lossless(content: bytes) -> tuple[int, int]:
    bits = int.from_bytes(content[1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _three(content: bytes, place: int) -> int:
    return int.from_bytes(content[place : place + 3], "little")


_SIZES: Final = {b"VP8X": _canvas, b"VP8 ": _lossy, b"VP8L": _lossless, b"ANMF": _frame}
