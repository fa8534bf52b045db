"""Checks sizes in WebP and BMP files, whose damage Pillow does not report."""

import struct
from typing import Final

from digitmill.imaging.decoders.pages import check_size
from digitmill.imaging.headers.image_kinds import Header, Kind, corrupt

_BMP_SIZE: Final = struct.Struct("<14xIi")
_OS2_HEADER: Final = 12
"""The one header with sizes of 16 bits."""


def check(data: bytes, header: Header) -> None:
    """Check a WebP or BMP; do nothing for other kinds.

    Raises:
        ImageError: CORRUPT or TOO_LARGE.
    """
    if header.kind is Kind.WEBP:
        _check_webp(data)
    elif header.kind is Kind.BMP:
        _check_bmp(data)


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
