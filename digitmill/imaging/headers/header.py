"""Reads an image's header: its kind and, of PNG and JPEG, its size and whether it is whole and plain.

PNG and JPEG, which nearly all images are, are decoded in this process where they are small and plain; their
headers are read here, so that nothing cut off, contradictory or huge gets to a decoder. GIF, BMP, TIFF and
WebP are only recognised; they are decoded under guard, where OpenCV rejects what is cut off or too large.
"""

from typing import Final

from digitmill.imaging.headers import jpeg, png
from digitmill.imaging.headers.image_kinds import Header, Kind
from digitmill.imaging.limits import MAX_PIXELS, PLAIN_BYTES, PLAIN_PIXELS
from schemas.failure import MAX_BYTES, FailureCode, ImageError

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_PNG: Final = Kind.PNG
"""Looking up a member of an enumeration takes 0.1 us; nearly all images are PNG."""

_MAGIC: Final = (
    (b"\xff\xd8\xff", Kind.JPEG),
    (b"GIF87a", Kind.GIF),
    (b"GIF89a", Kind.GIF),
    (b"BM", Kind.BMP),
    (b"II*\x00", Kind.TIFF),
    (b"MM\x00*", Kind.TIFF),
)


def read_header(data: bytes) -> Header:
    """Returns an image's header; takes 1 us for a small PNG and runs no decoder.

    Raises:
        ImageError: EMPTY, UNSUPPORTED or TOO_LARGE (the file); and of a PNG or JPEG CORRUPT (truncated, or
            without a readable size) or TOO_LARGE (its pixels).
    """
    size = len(data)
    if size > MAX_BYTES:
        raise ImageError(FailureCode.TOO_LARGE, f"{size:,} bytes; at most {MAX_BYTES:,} are read")
    kind = _kind(data)
    if kind is _PNG:
        header = png.header(data)
    elif kind is Kind.JPEG:
        header = jpeg.header(data)
    else:
        return Header(kind, 0, 0, False)
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
