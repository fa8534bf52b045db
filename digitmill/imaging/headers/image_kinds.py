"""Image kinds, what a header says, and EXIF's orientation: shared by the readers of PNG and JPEG."""

import enum
import struct
from typing import Final, NamedTuple

from schemas.failure import FailureCode, ImageError

UPRIGHT: Final = 1
"""EXIF's orientation of a picture that is stored as it is to be shown."""

_ORIENTATION: Final = 0x0112
_ENTRY: Final = 12
_MOST_ENTRIES: Final = 512
"""Real EXIF blocks have some dozens of entries."""


class Kind(enum.StrEnum):
    """Supported image kinds, recognized by their magic bytes, not by file names."""

    PNG = "PNG"
    JPEG = "JPEG"
    GIF = "GIF"
    BMP = "BMP"
    TIFF = "TIFF"
    WEBP = "WebP"
    AVIF = "AVIF"
    JPEG_2000 = "JPEG 2000"
    PNM = "PNM"
    HEIC = "HEIC"
    PDF = "PDF"


class Header(NamedTuple):
    """Facts from an image's header.

    Attributes:
        width: width in pixels; 0 if only the decoder can read it.
        plain: whether the image may be decoded in this process: small, one picture, no unusual structure.
        orientation: EXIF orientation, 1 to 8, if the decoder does not apply it itself.
        clear_gray: the transparent gray level, in the depth of the file, or None.
        depth: bits per sample, if `clear_gray` is given.
        animated: whether a PNG has several frames; for other kinds, only the decoder knows.
    """

    kind: Kind
    width: int
    height: int
    plain: bool
    orientation: int = UPRIGHT
    clear_gray: int | None = None
    depth: int = 8
    animated: bool = False


def corrupt(detail: str) -> ImageError:
    """Return the error for a file that is cut off or contradicts itself."""
    return ImageError(FailureCode.CORRUPT, detail)


def exif_orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8, in an EXIF block; 1 if it has none.

    An unreadable block is ignored, because the picture itself may be readable.
    """
    block = block.removeprefix(b"Exif\x00\x00")
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (entries,) = struct.unpack_from(f"{order}H", block, start)
        for number in range(min(entries, _MOST_ENTRIES)):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + _ENTRY * number)
            if tag == _ORIENTATION and kind == 3 and count == 1 and 1 <= value <= 8:
                return int(value)
    except struct.error:
        pass
    return UPRIGHT
