"""What an image's first bytes say, read before anything is decoded."""

import enum
import io
import struct
from typing import Final

from imaging.errors import ImageError
from schemas.failure import FailureCode

MAX_BYTES: Final = 32 * 2**20
"""Larger files are rejected unread by the decoder, bytes."""

MAX_PIXELS: Final = 4096 * 4096
"""Larger pictures are rejected undecoded: a file of 389 KB can hold 400 megapixels."""

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = struct.Struct(">II")


class Kind(enum.StrEnum):
    """Supported image kinds, told by their magic bytes and not by their names."""

    PNG = "PNG"
    JPEG = "JPEG"
    GIF = "GIF"
    BMP = "BMP"
    TIFF = "TIFF"
    WEBP = "WebP"


_MAGIC = (
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"GIF87a", Kind.GIF),
    (b"GIF89a", Kind.GIF),
    (b"BM", Kind.BMP),
    (b"II*\x00", Kind.TIFF),
    (b"MM\x00*", Kind.TIFF),
)


def check_header(data: bytes) -> Kind:
    """Returns the kind of an image that may be decoded, from its first bytes.

    Raises:
        ImageError: EMPTY, UNSUPPORTED, CORRUPT (no readable size) or TOO_LARGE.
    """
    if not data:
        raise ImageError(FailureCode.EMPTY, "0 bytes")
    if len(data) > MAX_BYTES:
        raise ImageError(FailureCode.TOO_LARGE, f"{len(data):,} bytes; at most {MAX_BYTES:,} are read")
    kind = _kind(data)
    width, height = _png_size(data) if kind is Kind.PNG else _size(data, kind)
    if width * height > MAX_PIXELS:
        raise ImageError(
            FailureCode.TOO_LARGE, f"{width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are decoded"
        )
    return kind


def _kind(data: bytes) -> Kind:
    if data.startswith(_PNG_MAGIC):
        return Kind.PNG
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Kind.WEBP
    raise ImageError(FailureCode.UNSUPPORTED, f"begins with {data[:8]!r}, no supported kind of image")


def _png_size(data: bytes) -> tuple[int, int]:
    if len(data) < 24 or data[12:16] != b"IHDR":
        raise ImageError(FailureCode.CORRUPT, "a PNG without a header chunk")
    return _PNG_SIZE.unpack_from(data, 16)


def _size(data: bytes, kind: Kind) -> tuple[int, int]:
    # Pillow reads headers of every kind without decoding; only other kinds than PNG pay for it.
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
            return image.size
    except Image.DecompressionBombError as error:
        raise ImageError(FailureCode.TOO_LARGE, str(error)) from error
    except (OSError, SyntaxError, ValueError, struct.error, OverflowError) as error:
        raise ImageError(FailureCode.CORRUPT, f"a {kind} whose header cannot be read: {error}") from error
