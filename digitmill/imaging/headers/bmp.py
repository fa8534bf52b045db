"""The structure of a BMP: a file head, an information head, rows of fixed length."""

import struct
from typing import Final

from digitmill.imaging.headers.image_kinds import Header, Kind, corrupt
from digitmill.imaging.limits import MAX_PIXELS

_OLD: Final = struct.Struct("<HHHH")
_INFORMATION: Final = struct.Struct("<iiHHI")
_OLD_HEAD: Final = 12
_FILE_HEAD: Final = 14
_UNCOMPRESSED: Final = frozenset({0, 3})
"""Plain rows, and plain rows whose colours have masks."""

_DEPTHS: Final = frozenset({1, 4, 8, 16, 24, 32})


def header(data: bytes) -> Header:
    """Returns the structure of a BMP; a negative height, rows from the top down, counts as positive.

    Raises:
        ImageError: CORRUPT with a head that is none, and where rows are cut off.
    """
    head = int.from_bytes(data[14:18], "little")
    if head < _OLD_HEAD or len(data) < _FILE_HEAD + max(head, 16):
        raise corrupt(f"a BMP of {len(data):,} bytes with a head of {head:,}")
    if head == _OLD_HEAD:
        (width, height, _, depth), compression = _OLD.unpack_from(data, 18), 0
    elif head < 40:
        raise corrupt(f"a BMP with a head of {head} bytes")
    else:
        width, height, _, depth, compression = _INFORMATION.unpack_from(data, 18)
    width, height = abs(width), abs(height)
    # Of what is too large the caller says so, whatever else may be wrong.
    if compression not in _UNCOMPRESSED or width * height > MAX_PIXELS:
        return Header(Kind.BMP, width, height, False)
    row = (width * depth + 31) // 32 * 4
    first = int.from_bytes(data[10:14], "little")
    if first + row * height > len(data):
        raise corrupt(f"a BMP of {len(data):,} bytes whose {width:,} x {height:,} pixels need more")
    return Header(Kind.BMP, width, height, depth in _DEPTHS and head >= 40)
