"""Reads an image's header: its kind and, for PNG and JPEG, its size and whether it is complete and plain.

Nearly all images are small, plain PNGs and JPEGs, which are decoded in this process. Their headers are
checked here, so that no truncated, contradictory or huge file reaches a decoder. All other kinds are only
recognized: `digitmill.imaging.decoders` reads them under guard and rejects truncated or oversized files.
"""

from typing import Final

from digitmill.imaging.headers import jpeg, png
from digitmill.imaging.headers.image_kinds import Header, Kind
from digitmill.imaging.headers.refused_kinds import refusal
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
    (b"II+\x00", Kind.TIFF),
    (b"MM\x00+", Kind.TIFF),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Kind.JPEG_2000),
    (b"\xff\x4f\xff\x51", Kind.JPEG_2000),
    *((b"P%d%c" % (number, blank), Kind.PNM) for number in range(1, 7) for blank in b"\t\n\r #"),
)

_BRANDS: Final = {
    b"avif": Kind.AVIF,
    b"avis": Kind.AVIF,
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"), Kind.HEIC),
}
"""Brands of the ISO base media container, which videos use too."""

_GENERIC_BRANDS: Final = (b"mif1", b"msf1", b"miaf")
"""Say that there are pictures, not how they are compressed: a compatible brand does."""

_PDF_HEAD: Final = 1024
"""PDF readers look for the signature in this many first bytes."""


def read_header(data: bytes) -> Header:
    """Return an image's header without running a decoder; takes 1 us for a small PNG.

    Raises:
        ImageError: EMPTY, UNSUPPORTED or TOO_LARGE (the file); for a PNG or JPEG also CORRUPT (truncated, or
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
    if data[4:8] == b"ftyp" and (pictures := _brand(data)) is not None:
        return pictures
    if b"%PDF-" in data[:_PDF_HEAD]:
        return Kind.PDF
    raise ImageError(FailureCode.UNSUPPORTED, refusal(data))


def _brand(data: bytes) -> Kind | None:
    """Return the kind of picture in an ISO base media container; None for a video."""
    size = min(int.from_bytes(data[:4]), 256)
    main, compatible = data[8:12], [data[place : place + 4] for place in range(16, size, 4)]
    if main not in _GENERIC_BRANDS:
        return _BRANDS.get(main)
    return next((_BRANDS[brand] for brand in compatible if brand in _BRANDS), Kind.HEIC)
