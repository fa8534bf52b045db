"""The structure of a TIFF: a directory of entries, of which some say where the pixels stand."""

import struct
from typing import Final

import numpy as np

from digitmill.imaging.headers.image_kinds import Header, Kind, corrupt

_WIDTH, _HEIGHT = 256, 257
_STRIPS: Final = (273, 279)
_TILES: Final = (324, 325)
_TYPES: Final = {1: "u1", 3: "u2", 4: "u4"}
"""Types of entries that hold sizes and places: bytes, 16 and 32 bits, unsigned."""

_ENTRY: Final = 12

Entries = dict[int, np.ndarray]


def header(data: bytes) -> Header:
    """Returns the structure of a TIFF's first page.

    Only the six entries that matter are read: a directory can state 65,535 others of 4 GB each.

    Raises:
        ImageError: CORRUPT without a size, and where strips or tiles lie outside the file.
    """
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 8:
        raise corrupt(f"a TIFF cut off after {len(data)} bytes")
    entries = _entries(data, order, int(struct.unpack_from(f"{order}I", data, 4)[0]))
    if _WIDTH not in entries or _HEIGHT not in entries:
        raise corrupt("a TIFF without a size")
    _check_pixels(entries, len(data))
    return Header(Kind.TIFF, int(entries[_WIDTH][0]), int(entries[_HEIGHT][0]), False)


def _entries(data: bytes, order: str, start: int) -> Entries:
    """Returns the values of the entries that matter, each an array of at least one."""
    count = int.from_bytes(data[start : start + 2], "little" if order == "<" else "big")
    end = start + 2 + _ENTRY * count
    if count == 0 or end > len(data):
        raise corrupt(f"a TIFF of {len(data):,} bytes with {count:,} entries at byte {start:,}")
    found: Entries = {}
    for place in range(start + 2, end, _ENTRY):
        tag, kind, number = struct.unpack_from(f"{order}HHI", data, place)
        if tag in (_WIDTH, _HEIGHT, *_STRIPS, *_TILES) and tag not in found:
            found[tag] = _values(data, order, place + 8, kind=kind, number=number)
    return found


def _values(data: bytes, order: str, place: int, *, kind: int, number: int) -> np.ndarray:
    if kind not in _TYPES or number == 0:
        raise corrupt(f"a TIFF with {number} values of type {kind} where numbers are due")
    dtype = np.dtype(order + _TYPES[kind])
    if number * dtype.itemsize > 4:
        (place,) = struct.unpack_from(f"{order}I", data, place)
    if place + number * dtype.itemsize > len(data):
        raise corrupt(f"a TIFF cut off after {len(data):,} bytes: {number:,} values at byte {place:,}")
    return np.frombuffer(data, dtype, number, place).astype(np.int64)


def _check_pixels(entries: Entries, size: int) -> None:
    for places, lengths in (_STRIPS, _TILES):
        if places in entries and lengths in entries:
            starts, sizes = entries[places], entries[lengths]
            if len(starts) != len(sizes) or int((starts + sizes).max()) > size:
                raise corrupt(f"a TIFF of {size:,} bytes whose pixels stand outside it: cut off or damaged")
            return
    raise corrupt("a TIFF that does not say where its pixels stand")
