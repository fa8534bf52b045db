"""Reads the header of a PNG by walking its chunks, each with a length, a type and a checksum."""

import struct
from typing import Final

from digitmill.imaging.headers.image_kinds import UPRIGHT, Header, Kind, corrupt, exif_orientation
from digitmill.imaging.limits import MAX_PIXELS

_KIND: Final = Kind.PNG

_HEAD: Final = struct.Struct(">8x I4sIIBB7x I4s")
"""From the file's first byte: the header chunk, then the length and the type of the chunk behind it."""

_CHUNK: Final = struct.Struct(">I4s")
_HEADER_BYTES: Final = 13
_FIRST_CHUNK: Final = 8
_SECOND_CHUNK: Final = 33
_OVERHEAD: Final = 12
"""Length, type and checksum of a chunk, bytes."""

_END: Final = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_GRAY: Final = 0

_EVERYDAY: Final = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB pHYs bKGD sBIT tIME tEXt eXIf hIST".split()
)
"""Chunks that are plain: nothing compressed but the picture, and one picture only."""


def header(data: bytes) -> Header:
    """Return the header of a PNG.

    Raises:
        ImageError: CORRUPT if the header is missing or a chunk is cut off.
    """
    size = len(data)
    if size < _SECOND_CHUNK:
        raise corrupt(f"a PNG cut off after {size} bytes")
    whole = data if size >= _HEAD.size else data + bytes(_OVERHEAD)
    first, head, width, height, depth, color, second, name = _HEAD.unpack_from(whole)
    if head != b"IHDR" or first != _HEADER_BYTES:
        raise corrupt("a PNG without a header chunk")
    # Nearly all PNGs are a header, one chunk of pixels and an end: no need to walk.
    if second + _SECOND_CHUNK + 2 * _OVERHEAD == size and name == b"IDAT" and data.endswith(_END):
        return Header(_KIND, width, height, True)
    if width * height > MAX_PIXELS:  # TOO_LARGE, by the caller, whatever else is wrong
        return Header(_KIND, width, height, False)
    plain, animated, orientation, clear = _walk(data)
    clear_gray = int.from_bytes(clear) if color == _GRAY and clear is not None and len(clear) == 2 else None
    return Header(_KIND, width, height, plain, orientation, clear_gray, depth, animated)


def _walk(data: bytes) -> tuple[bool, bool, int, bytes | None]:
    """Return whether all chunks are everyday ones, whether it is animated, orientation, transparent gray."""
    place, everyday, animated, orientation, clear = _FIRST_CHUNK, True, False, UPRIGHT, None
    while place + _OVERHEAD <= len(data):
        length, name = _CHUNK.unpack_from(data, place)
        content = place + 8
        place += _OVERHEAD + length
        if place > len(data):
            break
        if name == b"IEND":
            return everyday, animated, orientation, clear
        everyday = everyday and name in _EVERYDAY
        if name == b"acTL":
            animated = True
        elif name == b"eXIf":
            orientation = exif_orientation(data[content : content + length])
        elif name == b"tRNS":
            clear = data[content : content + length]
    raise corrupt(f"a PNG cut off after {len(data):,} bytes")
