"""Reads the header of a JPEG: segments up to the first scan, then entropy-coded data up to the end mark."""

import re
import struct
from typing import Final

from digitmill.imaging.headers.image_kinds import Header, Kind, corrupt
from schemas.failure import FailureCode, ImageError

_SIZE: Final = struct.Struct(">BHH")
_JPEG_LS: Final = 0xF7
_FRAMES: Final = frozenset({*range(0xC0, 0xD0), _JPEG_LS}) - {0xC4, 0xC8, 0xCC}
_EVERYDAY_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
_FRAME_BYTES: Final = 8
_SCAN: Final = 0xDA
_END: Final = 0xD9
_BEHIND_SCAN: Final = re.compile(rb"\xff[^\xff\x00\xd0-\xd7]")
"""A mark that ends entropy-coded data: no stuffed zero, no restart."""

_BETWEEN_SCANS: Final = frozenset({0xC4, 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE})
"""Tables, scans, the number of lines, applications' data and comments."""

_FILL: Final = re.compile(rb"((?:[^\xff]|\xff\0){0,64})\xff+")
"""Bytes before a marker that decoders skip: zeros, by which some writers align segments, or a segment's own,
where its length is stated too short. Behind more of them the marker found may be a thumbnail's."""
_NO_SEGMENT: Final = (0x00, 0xD9, 0xFF)
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})


def header(data: bytes) -> Header:
    """Return the header of a JPEG; the size is that of the frame.

    Scans are walked up to the end mark, because the decoder silently fills missing parts of a truncated JPEG
    with gray. Entropy-coded data has no marks but restarts, and thumbnails come before the scan.

    Raises:
        ImageError: CORRUPT unless there is exactly one frame before the first scan, and an end mark.
    """
    frame, place = None, 2
    marker, orderly = 0, True
    while marker != _SCAN:
        marker, place, skipped = _marker(data, place)
        orderly = orderly and not skipped
        if marker in _STANDALONE:
            continue
        length = _segment(data, place)
        if marker in _FRAMES:
            if frame is not None or length < _FRAME_BYTES:
                raise corrupt("a JPEG with two frames, or a damaged one")
            frame = marker, _SIZE.unpack_from(data, place + 2)
        place += length
    if frame is None:
        raise corrupt("a JPEG without a frame")
    if frame[0] == _JPEG_LS:
        raise ImageError(FailureCode.UNSUPPORTED, "JPEG-LS picture, not supported: convert it to PNG or JPEG")
    _check_scans(data, place)
    kind, (_, height, width) = frame
    return Header(Kind.JPEG, width, height, orderly and kind in _EVERYDAY_FRAMES)


def _check_scans(data: bytes, place: int) -> None:
    """Raise the error for scans that are damaged or do not end."""
    while True:
        found = _BEHIND_SCAN.search(data, place)
        if found is None:
            raise corrupt(f"a JPEG without its end, cut off after {len(data):,} bytes")
        place = found.end()
        marker = data[place - 1]
        if marker == _END:
            return
        if marker not in _BETWEEN_SCANS:
            raise corrupt(f"a JPEG with damaged pixels: the mark {marker:#x} at byte {place:,}")
        place += _segment(data, place)


def _segment(data: bytes, place: int) -> int:
    """Return the length of a marker's segment, its own two bytes included."""
    length = int.from_bytes(data[place : place + 2])
    if length < 2 or place + length > len(data):
        raise corrupt(f"a JPEG cut off after {len(data):,} bytes, or a damaged segment")
    return length


def _marker(data: bytes, place: int) -> tuple[int, int, bytes]:
    """Return the marker at a place, where its content begins, and the bytes skipped before it."""
    if place + 1 < len(data) and data[place] == 0xFF and data[place + 1] not in _NO_SEGMENT:
        return data[place + 1], place + 2, b""
    fill = _FILL.match(data, place)
    if fill is None:
        raise corrupt(f"a JPEG cut off after {len(data):,} bytes, or no marker at byte {place:,}")
    place = fill.end()
    if place >= len(data) or data[place] in (0x00, 0xD9):
        raise corrupt("a JPEG that ends before its picture")
    return data[place], place + 1, fill[1]
